//! Another request of the visitor, while a handler has the session.

use actix_web::HttpResponse;

use super::{
    faulty::unwatched,
    held_request::{HeldRequest, plain_request},
    outcome::Seen,
    peek::at_once,
    test_session::{TestSession, WAITS},
};
use crate::{
    error::Chain,
    typed::{Session, TypedSession},
};

impl<T: Session> TestSession<T> {
    /// Makes another request of the visitor now, while a handler has the session: in another tab,
    /// or because the form was sent twice. `change` is what it does to the session.
    ///
    /// [`written`](Self::written) and [`outcome`](Self::outcome) say what the handler's request has
    /// done since.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, SessionError, TypedSession, testing::TestSession};
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     #[session(merge = "reject")]
    ///     balance: u32,
    /// }
    ///
    /// async fn pay(mut session: TypedSession<Visitor>) -> Result<&'static str, SessionError> {
    ///     session.set_balance(session.balance - 10);
    ///     session.save().await?;
    ///     Ok("paid")
    /// }
    ///
    /// # actix_web::rt::System::new().block_on(async {
    /// let test = TestSession::of(Visitor { balance: 10 });
    /// let session = test.session();
    /// test.meanwhile(|other| other.set_balance(0));
    /// let response = test.finish(pay(session).await).await;
    /// assert_eq!(response.status(), 409, "the money was spent already");
    /// # });
    /// ```
    ///
    /// # Panics
    /// The other request cannot be stored. Injected faults do not concern it.
    #[track_caller]
    pub fn meanwhile(&self, change: impl FnOnce(&mut TypedSession<T>)) {
        self.settle();
        let middleware = self.sessions.made();
        let jar = self.client.borrow().jar.clone();
        let request = HeldRequest::new(middleware, &jar, plain_request(middleware, None));
        let other = unwatched(async {
            let mut session = match request.extract::<TypedSession<T>>().await {
                Ok(session) => session,
                Err(error) => panic!("the other request has no session: {}", Chain(&error)),
            };
            change(&mut session);
            drop(session);
            request.answer(HttpResponse::Ok().finish()).await
        });
        let response = at_once(other).expect(WAITS);
        let status = response.status();
        assert!(status.is_success(), "the other request cannot be stored; it gets a {status}");
        self.client.borrow_mut().jar.keep(middleware.config(), response.headers());
        let now = Seen::of(&self.peek());
        if let Some(open) = &mut self.client.borrow_mut().open {
            open.before = now;
        }
    }
}
