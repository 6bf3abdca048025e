//! A client that keeps its session between requests.

use std::{cell::RefCell, fmt};

use actix_service::Service;
use actix_web::{HttpResponse, dev::ServiceResponse, http::header::HeaderMap, test::TestRequest};

use super::{
    faulty::unwatched,
    held_request::{HeldRequest, plain_request},
    jar::Jar,
    peek::prepare,
    test_sessions::{SessionValues, TestSessions, sealed},
};
use crate::{
    error::Chain, middleware::SessionMiddleware, request::SessionHandle, store::SessionStore,
};

impl<S: SessionStore> TestSessions<S> {
    /// Returns a client without a session: a new visitor.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, SessionMiddleware, TypedSession, testing::TestSessions};
    /// use actix_web::{App, Responder, test, web};
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
    /// let sessions = TestSessions::new(SessionMiddleware::new);
    /// let app = App::new().wrap(sessions.middleware()).route("/", web::get().to(view));
    /// let app = test::init_service(app).await;
    ///
    /// let ann = sessions.client();
    /// for _ in 0..3 {
    ///     ann.call(&app, test::TestRequest::get().uri("/")).await;
    /// }
    /// assert_eq!(sessions.session_of::<Visitor>(&ann).await.expect("a session").views, 3);
    /// # });
    /// ```
    pub fn client(&self) -> TestClient {
        TestClient::new(&self.middleware(), Jar::default())
    }

    /// Returns a client with a session that has these values. It is stored now.
    ///
    /// # Panics
    /// A value cannot be stored, a struct names the cookie of another middleware, or the store
    /// fails for another reason than an injected fault.
    pub async fn client_with(&self, values: impl SessionValues) -> TestClient {
        let client = self.client();
        self.give(&client, values).await;
        client
    }

    /// Returns a client without a session that keeps ids in the header of the middleware, not in a
    /// cookie: a program that uses an API. Its requests ask for a session in the header.
    ///
    /// # Panics
    /// The middleware has neither [`bearer`](crate::SessionMiddlewareBuilder::bearer) nor
    /// [`header`](crate::SessionMiddlewareBuilder::header).
    #[track_caller]
    pub fn api_client(&self) -> TestClient {
        TestClient::new(&self.middleware(), api_jar(self.made()))
    }

    /// As [`client_with`](Self::client_with), for an [`api_client`](Self::api_client).
    ///
    /// # Panics
    /// As these two.
    pub async fn api_client_with(&self, values: impl SessionValues) -> TestClient {
        let client = self.api_client();
        self.give(&client, values).await;
        client
    }

    /// Writes these values to the session of a client, or begins one. So a client can have the
    /// sessions of several middlewares.
    ///
    /// # Panics
    /// As [`client_with`](Self::client_with).
    pub async fn give(&self, client: &TestClient, values: impl SessionValues) {
        let mut jar = client.jar.borrow().clone();
        prepare(self.made(), &mut jar, |middleware, handle| values.write(middleware, handle)).await;
        client.jar.replace(jar);
    }

    /// Returns a [CSRF token](SessionHandle::csrf_token) as a page of this client would have it. A
    /// client without a session gets one with it.
    ///
    /// # Panics
    /// The store fails for another reason than an injected fault.
    pub async fn csrf_token(&self, client: &TestClient) -> String {
        unwatched(async {
            let jar = client.jar.borrow().clone();
            let request = HeldRequest::new(self.made(), &jar, plain_request(self.made(), None));
            request.only_read();
            let mut handle = match request.extract::<SessionHandle>().await {
                Ok(handle) => handle,
                Err(error) => panic!("the session cannot be read: {}", Chain(&error)),
            };
            let token = handle.csrf_token();
            drop(handle);
            let response = request.answer(HttpResponse::Ok().finish()).await;
            client.keep(&response);
            token
        })
        .await
    }
}

/// The jar of a client that keeps its id in the middleware's header.
#[track_caller]
pub(super) fn api_jar(middleware: &SessionMiddleware) -> Jar {
    let mut jar = Jar::default();
    assert!(
        jar.use_header(middleware.config()),
        "the middleware takes ids from cookies only; call `bearer()` or `header(…)` on its builder",
    );
    jar
}

/// A client of a site under test. It keeps cookies, and the ids of headers, as a browser or a
/// program does. [`TestSessions::client`] makes one.
///
/// Clones have the same session and keep what they get on their own: another device with the same
/// cookie, or a thief.
///
/// Unlike a browser, it keeps cookies of any domain and does not drop them when time passes: the
/// server must not rely on that.
#[derive(Clone)]
pub struct TestClient {
    middleware: SessionMiddleware,
    pub(super) jar: RefCell<Jar>,
}

impl TestClient {
    fn new(middleware: &SessionMiddleware, jar: Jar) -> Self {
        Self { middleware: middleware.clone(), jar: RefCell::new(jar) }
    }

    /// Sends a request to an app that [`test::init_service`](actix_web::test::init_service) has
    /// made, and keeps the cookies of the response.
    ///
    /// Several requests can be under way at once. Each sends the cookies from when it was called.
    ///
    /// # Panics
    /// A middleware of the app fails, as in
    /// [`call_service`](actix_web::test::call_service).
    pub async fn call<A, B, E>(&self, app: &A, request: TestRequest) -> ServiceResponse<B>
    where
        A: Service<actix_http::Request, Response = ServiceResponse<B>, Error = E>,
        E: fmt::Debug,
    {
        let mut request = request.to_request();
        let path = request.path().to_owned();
        self.jar.borrow().send(request.headers_mut(), &path);
        let response = app.call(request).await.expect("a middleware of the app failed");
        self.keep(&response);
        response
    }

    /// Keeps the cookies of a response to a request that was sent in another way, such as
    /// [`session_from`](super::TestRequestExt::session_from).
    pub fn keep<B>(&self, response: &ServiceResponse<B>) {
        self.keep_headers(response.headers());
    }

    fn keep_headers(&self, headers: &HeaderMap) {
        self.jar.borrow_mut().keep(self.middleware.config(), headers);
    }
}

impl sealed::SessionSource for TestClient {
    fn jar(&self, _: &SessionMiddleware) -> Jar {
        self.jar.borrow().clone()
    }
}

impl fmt::Debug for TestClient {
    /// Omits the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClient").field(&self.jar.borrow()).finish()
    }
}
