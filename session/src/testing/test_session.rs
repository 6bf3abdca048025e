//! A session for the unit tests of handlers, without an app.

use std::{cell::RefCell, fmt, marker::PhantomData, mem, time::Duration};

use actix_web::{FromRequest, HttpResponse, Responder, http::StatusCode, test::TestRequest};

use super::{
    faulty::FaultyStore,
    held_request::{HeldRequest, plain_request},
    jar::Jar,
    outcome::{Finished, Outcome, Seen},
    peek::{Peek, at_once, prepare, write, written},
    test_sessions::{MadeMiddleware, TestSessions},
};
use crate::{
    error::Chain,
    middleware::SessionMiddleware,
    request::SessionHandle,
    store::MemoryStore,
    time::{FakeClock, Timestamp},
    typed::{Session, TypedSession},
};

/// A visitor's session in the unit test of a handler. It needs no app and no runtime of Actix Web.
///
/// [`session`](Self::session) returns what the handler would extract. Afterwards the test asks what
/// became of the session: what is [stored](Self::stored), which fields were
/// [written](Self::written), and the [`outcome`](Self::outcome).
///
/// Behind it are the middleware and a [`MemoryStore`], so it does what the site will do. A request
/// begins when something is extracted. It ends when all of that is dropped and the test asks
/// something, extracts again, or uses the clock or the store; or with [`finish`](Self::finish).
/// What one handler extracts is one request: `handler(test.session(), test.handle())`. The next one
/// is the next request of the same client, with the id that it got.
///
/// What is held when the test asks something cannot change the session any more, as after a
/// response. Read with [`stored`](Self::stored) in the middle of a test, not with `session`, which
/// is a request.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     Session, TypedSession,
///     testing::{Outcome, TestSession},
/// };
///
/// #[derive(Session, Default)]
/// struct Visitor {
///     #[session(privilege)]
///     user_id: Option<i64>,
///     cart: Vec<String>,
/// }
///
/// async fn add_to_cart(mut session: TypedSession<Visitor>, item: &str) -> &'static str {
///     session.cart_mut().push(item.to_owned());
///     "added"
/// }
///
/// async fn log_out(mut session: TypedSession<Visitor>) {
///     session.destroy();
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestSession::of(Visitor { user_id: Some(7), ..Visitor::default() });
///
/// add_to_cart(test.session(), "pear").await;
/// assert_eq!(test.written(), ["cart"]);
/// assert_eq!(test.stored().expect("a session").cart, ["pear"]);
///
/// log_out(test.session()).await;
/// assert_eq!(test.outcome(), Outcome::Destroyed);
/// # });
/// ```
pub struct TestSession<T> {
    pub(super) sessions: TestSessions,
    pub(super) client: RefCell<Client>,
    session: PhantomData<T>,
}

/// The client, its request, and what became of the request before.
#[derive(Default)]
pub(super) struct Client {
    pub(super) jar: Jar,
    /// What the session is given before the first request.
    prepare: Vec<Prepare>,
    is_prepared: bool,
    /// The next request, if the test has one.
    next: Option<TestRequest>,
    pub(super) open: Option<OpenRequest>,
    latest: Option<Finished>,
}

type Prepare = Box<dyn FnOnce(&SessionMiddleware, &SessionHandle)>;

/// A request that was not answered yet.
pub(super) struct OpenRequest {
    held: HeldRequest,
    pub(super) before: Option<Seen>,
}

impl<T: Session> TestSession<T> {
    /// A visitor whose stored session has these values.
    ///
    /// Fields with `skip` are not stored, so handlers see their defaults.
    ///
    /// The session is stored when the test first uses it, so a value that cannot be stored panics
    /// there.
    pub fn of(value: T) -> Self {
        Self::new_visitor().and(value)
    }

    /// A visitor without a session: `TestSession::<Visitor>::new_visitor()`.
    pub fn new_visitor() -> Self {
        Self::with_sessions(TestSessions::new(|store| {
            let builder = SessionMiddleware::builder(store).session::<T>();
            match T::SCHEMA.cookie {
                Some(name) => builder.cookie_name(name),
                None => builder,
            }
            .build()
        }))
    }

    fn with_sessions(sessions: TestSessions) -> Self {
        Self { sessions, client: RefCell::default(), session: PhantomData }
    }

    /// Gives the session the values of another struct too. Call it before the first request.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, testing::TestSession};
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     cart: Vec<String>,
    /// }
    ///
    /// #[derive(Session)]
    /// struct Account {
    ///     user_id: Option<i64>,
    /// }
    ///
    /// let test = TestSession::of(Visitor { cart: vec![] }).and(Account { user_id: Some(7) });
    /// assert_eq!(test.session_as::<Account>().user_id, Some(7));
    /// ```
    ///
    /// # Panics
    /// The session was used already.
    #[track_caller]
    pub fn and<U: Session>(mut self, value: U) -> Self {
        let client = self.not_begun();
        client.prepare.push(Box::new(|middleware, handle| write(middleware, handle, value)));
        self
    }

    /// Uses the site's own middleware, with its limits and other settings. Defaults to one with the
    /// default settings. `middleware` is the function with which the site makes it from a store, as
    /// for [`TestSessions::new`].
    ///
    /// # Panics
    /// The session was used already, or as [`TestSessions::new`].
    #[track_caller]
    pub fn middleware<M: MadeMiddleware>(
        mut self,
        middleware: impl FnOnce(FaultyStore<MemoryStore>) -> M,
    ) -> Self {
        let prepare = mem::take(&mut self.not_begun().prepare);
        let client = RefCell::new(Client { prepare, ..Client::default() });
        Self { client, ..Self::with_sessions(TestSessions::new(middleware)) }
    }

    #[track_caller]
    fn not_begun(&mut self) -> &mut Client {
        let client = self.client.get_mut();
        assert!(
            !client.is_prepared,
            "the session was used already; prepare it before the test extracts or asks something",
        );
        client
    }

    /// Returns the session as a handler extracts it.
    ///
    /// # Panics
    /// Extraction fails, for example because of an injected fault or in a `strict` struct. Then the
    /// site does not call the handler; [`extract`](Self::extract) returns the error.
    #[track_caller]
    pub fn session(&self) -> TypedSession<T> {
        self.session_as::<T>()
    }

    /// Returns another struct of the same session, as a handler extracts it.
    ///
    /// # Panics
    /// As [`session`](Self::session).
    #[track_caller]
    pub fn session_as<U: Session>(&self) -> TypedSession<U> {
        match self.extract::<TypedSession<U>>() {
            Ok(session) => session,
            Err(error) => panic!(
                "`{}` cannot be extracted: {}; call `extract` to get the error",
                U::SCHEMA.type_name,
                Chain(&error),
            ),
        }
    }

    /// Returns the session without its fields, as a handler extracts it.
    ///
    /// # Panics
    /// As [`session`](Self::session).
    #[track_caller]
    pub fn handle(&self) -> SessionHandle {
        match self.extract::<SessionHandle>() {
            Ok(handle) => handle,
            Err(error) => panic!(
                "the session cannot be extracted: {}; call `extract` to get the error",
                Chain(&error),
            ),
        }
    }

    /// Extracts anything, as a parameter of a handler: `Option<TypedSession<Visitor>>`,
    /// `HttpRequest`, or an extractor of your own.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{
    ///     MemoryStore, Session, TypedSession,
    ///     testing::{Fault, Operation, TestSession},
    /// };
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     views: u64,
    /// }
    ///
    /// let test = TestSession::of(Visitor { views: 3 });
    /// test.store().inject(Operation::Load, Fault::ErrorBefore);
    /// assert!(test.extract::<TypedSession<Visitor>>().is_err());
    /// ```
    ///
    /// # Errors
    /// The extractor fails. The site answers with this error and does not call the handler.
    ///
    /// # Panics
    /// The extractor does not answer at once, for example because of a
    /// [`Fault::Delay`](super::Fault::Delay).
    #[track_caller]
    pub fn extract<E: FromRequest>(&self) -> Result<E, E::Error> {
        self.begin();
        let future = {
            let client = self.client.borrow();
            client.open.as_ref().expect("it has begun").held.extract::<E>()
        };
        at_once(future).expect(
            "the extractor waits; test extractors that wait, and stores with a delay, through an \
             app with `TestSessions`",
        )
    }

    /// Sets the next request, for extractors and settings that look at its path, headers or
    /// `app_data`. Defaults to `GET` at the path of the cookie.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, Session, SessionMiddleware, testing::TestSession};
    /// use actix_web::test::TestRequest;
    /// use std::time::Duration;
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     unread: u32,
    /// }
    ///
    /// let test = TestSession::of(Visitor { unread: 2 }).middleware(|store| {
    ///     SessionMiddleware::builder(store)
    ///         .keep_expiry_if(|request| request.path().starts_with("/poll/"))
    ///         .build()
    /// });
    /// let expires_at = test.expires_at();
    /// test.clock().advance(Duration::from_secs(3600));
    /// test.request(TestRequest::get().uri("/poll/mail")).session();
    /// assert_eq!(test.expires_at(), expires_at);
    /// ```
    ///
    /// # Panics
    /// A request is open, and something of it is held.
    #[track_caller]
    pub fn request(&self, request: TestRequest) -> &Self {
        self.settle();
        let mut client = self.client.borrow_mut();
        assert!(
            client.open.is_none(),
            "a request is open; drop what was extracted from it, or end it with `finish`",
        );
        client.next = Some(request);
        drop(client);
        self
    }

    /// Ends the request with the response of the handler, as the middleware does, and returns the
    /// response that the client gets. If the session cannot be stored, that is an error.
    ///
    /// A server error (5xx) stores nothing. Without this call, a request ends with a 200.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{
    ///     Session, TypedSession,
    ///     testing::{Fault, Operation, TestSession},
    /// };
    /// use actix_web::{Responder, error::ErrorBadGateway};
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     views: u64,
    /// }
    ///
    /// async fn view(mut session: TypedSession<Visitor>) -> impl Responder {
    ///     session.set_views(session.views + 1);
    ///     "hello"
    /// }
    ///
    /// # actix_web::rt::System::new().block_on(async {
    /// let test = TestSession::of(Visitor { views: 3 });
    /// test.store().inject(Operation::Update, Fault::ErrorBefore);
    /// let response = test.finish(view(test.session()).await).await;
    /// assert_eq!(response.status(), 503);
    /// test.store().heal();
    ///
    /// view(test.session()).await;
    /// let response = test.finish(Err::<&str, _>(ErrorBadGateway("no answer"))).await;
    /// assert_eq!(response.status(), 502);
    /// assert_eq!(test.stored().expect("a session").views, 3, "a 5xx stores nothing");
    /// # });
    /// ```
    ///
    /// # Panics
    /// No request is open: nothing was extracted since the last one ended.
    pub async fn finish(&self, response: impl Responder) -> HttpResponse {
        let request = self.client.borrow().open.as_ref().map(|open| open.held.request.clone());
        let request = request.expect(
            "there is no request to finish; call `session`, `handle` or `extract` before, and use \
             the clock and the store and ask what became of the session after",
        );
        let response = response.respond_to(&request).map_into_boxed_body();
        drop(request);
        self.answer(response).await
    }

    /// Returns the stored session as the next request would read it. `None`: there is none, because
    /// it never began, was destroyed or expired.
    ///
    /// Ends the request, if there is one.
    ///
    /// # Panics
    /// The request cannot be stored: [`finish`](Self::finish) returns the response that the client
    /// gets then. Or the struct is `strict`, and a stored value does not decode.
    #[track_caller]
    pub fn stored(&self) -> Option<T> {
        self.stored_as::<T>()
    }

    /// As [`stored`](Self::stored), for another struct of the session.
    ///
    /// # Panics
    /// As [`stored`](Self::stored).
    #[track_caller]
    pub fn stored_as<U: Session>(&self) -> Option<U> {
        self.end();
        self.peek().read(self.sessions.made())
    }

    /// Returns the names of the fields whose stored values the latest request has changed, in the
    /// order of the struct. It is empty if the session has ended.
    ///
    /// Ends the request, if there is one.
    ///
    /// # Panics
    /// There was no request, or it cannot be stored.
    #[track_caller]
    pub fn written(&self) -> Vec<&'static str> {
        self.written_as::<T>()
    }

    /// As [`written`](Self::written), for another struct of the session.
    ///
    /// # Panics
    /// As [`written`](Self::written).
    #[track_caller]
    pub fn written_as<U: Session>(&self) -> Vec<&'static str> {
        self.with_latest(|latest| written::<U>(latest.before.as_ref(), latest.after.as_ref()))
    }

    /// Returns what became of the session in the latest request.
    ///
    /// Ends the request, if there is one.
    ///
    /// # Panics
    /// There was no request, or it cannot be stored.
    #[track_caller]
    pub fn outcome(&self) -> Outcome {
        self.with_latest(|latest| latest.outcome)
    }

    /// Whether the latest request has changed nothing: no field of any struct, no limit and no id.
    /// It may have extended the session.
    ///
    /// Ends the request, if there is one.
    ///
    /// # Panics
    /// There was no request, or it cannot be stored.
    #[track_caller]
    pub fn is_unchanged(&self) -> bool {
        self.with_latest(|latest| match (latest.outcome, &latest.before, &latest.after) {
            (Outcome::NoSession, ..) => true,
            (Outcome::Kept, Some(before), Some(after)) => before.version() == after.version(),
            _ => false,
        })
    }

    /// Returns how long the session lives without a request. Ends the request, if there is one.
    ///
    /// # Panics
    /// The request cannot be stored.
    #[track_caller]
    pub fn max_age(&self) -> Duration {
        self.end();
        self.peek().handle().max_age()
    }

    /// Whether the session's cookie outlives the browser. Ends the request, if there is one.
    ///
    /// # Panics
    /// The request cannot be stored.
    #[track_caller]
    pub fn is_persistent(&self) -> bool {
        self.end();
        self.peek().handle().is_persistent()
    }

    /// Returns when the session expires if no request extends it. `None`: there is none. Ends the
    /// request, if there is one.
    ///
    /// # Panics
    /// The request cannot be stored.
    #[track_caller]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.end();
        self.peek().record().map(|record| record.expires_at())
    }

    /// Returns a token as a page of the visitor has it, for a handler that verifies one. It is a
    /// request by itself: a new visitor gets a session with it.
    ///
    /// # Panics
    /// As [`session`](Self::session).
    #[track_caller]
    pub fn csrf_token(&self) -> String {
        let token = self.handle().csrf_token();
        self.end();
        token
    }

    /// Returns the clock, which stands still until the test advances it. Ends a request whose
    /// handler has returned, before time passes.
    ///
    /// # Panics
    /// The request or a prepared value cannot be stored.
    #[track_caller]
    pub fn clock(&self) -> &FakeClock {
        self.settle();
        self.sessions.clock()
    }

    /// Returns the store, to inject faults and to count calls. What the fixture does is not counted
    /// and has no faults. Ends a request whose handler has returned.
    ///
    /// # Panics
    /// The request or a prepared value cannot be stored.
    #[track_caller]
    pub fn store(&self) -> &FaultyStore<MemoryStore> {
        self.settle();
        self.sessions.store()
    }
}

impl<T: Session> TestSession<T> {
    /// Stores what was prepared, and ends a request of which nothing is held.
    #[track_caller]
    pub(super) fn settle(&self) {
        self.prepare();
        if self.client.borrow().open.as_ref().is_some_and(|open| open.held.is_over()) {
            self.end();
        }
    }

    /// Begins a request, unless one is open.
    #[track_caller]
    fn begin(&self) {
        self.settle();
        if self.client.borrow().open.is_none() {
            let before = Seen::of(&self.peek());
            let mut client = self.client.borrow_mut();
            let middleware = self.sessions.made();
            let request = client.next.take().unwrap_or_else(|| plain_request(middleware, None));
            let held = HeldRequest::new(middleware, &client.jar, request);
            client.open = Some(OpenRequest { held, before });
        }
    }

    /// Stores what the session begins with.
    #[track_caller]
    fn prepare(&self) {
        let (values, mut jar) = {
            let mut client = self.client.borrow_mut();
            client.is_prepared = true;
            (mem::take(&mut client.prepare), client.jar.clone())
        };
        if values.is_empty() {
            return;
        }
        let write = |middleware: &SessionMiddleware, handle: &SessionHandle| {
            values.into_iter().for_each(|write| write(middleware, handle));
        };
        at_once(prepare(self.sessions.made(), &mut jar, write)).expect(WAITS);
        self.client.borrow_mut().jar = jar;
    }

    /// Ends the request, if one is open, as if the handler had answered with a 200.
    #[track_caller]
    fn end(&self) {
        self.prepare();
        if self.client.borrow().open.is_none() {
            return;
        }
        let response = at_once(self.answer(HttpResponse::Ok().finish())).expect(WAITS);
        assert!(
            response.status() == StatusCode::OK,
            "the session cannot be stored, so the client gets the status {} in place of the \
             handler's response; call `finish(response).await` to test that",
            response.status(),
        );
    }

    /// Ends the request with a response.
    async fn answer(&self, response: HttpResponse) -> HttpResponse {
        let open = self.client.borrow_mut().open.take().expect("a request is open");
        let OpenRequest { held, before } = open;
        let session = held.session();
        let response = held.answer(response).await;
        self.client.borrow_mut().jar.keep(self.sessions.made().config(), response.headers());
        let after = Seen::of(&self.peek());
        let finished = Finished::new(before, after, session.asked_to_end());
        self.client.borrow_mut().latest = Some(finished);
        response.into_parts().1
    }

    pub(super) fn peek(&self) -> Peek {
        let jar = self.client.borrow().jar.clone();
        let peek = at_once(Peek::new(self.sessions.made(), &jar, None)).expect(WAITS);
        peek.expect("a client that sends one id does not contradict itself")
    }

    #[track_caller]
    fn with_latest<R>(&self, ask: impl FnOnce(&Finished) -> R) -> R {
        self.end();
        let client = self.client.borrow();
        ask(client.latest.as_ref().expect(
            "there was no request; call `session` or `handle`, and pass that to the handler",
        ))
    }
}

pub(super) const WAITS: &str = "the store has a delay; end the request with `finish(response).await`, or call \
                     `heal()` on the store";

impl<T: Session> fmt::Debug for TestSession<T> {
    /// Omits the fields and ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.borrow();
        f.debug_struct("TestSession")
            .field("struct", &T::SCHEMA.type_name)
            .field("latest", &client.latest.as_ref().map(|latest| latest.outcome))
            .finish_non_exhaustive()
    }
}
