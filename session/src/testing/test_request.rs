//! Requests of Actix Web's tests with a session.

use std::fmt;

use actix_http::Request;
use actix_service::Service;
use actix_web::{
    HttpRequest,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::TryIntoHeaderPair},
    test::{TestRequest, call_service},
    web::Bytes,
};
use serde::Serialize;

use super::{
    jar::Jar,
    peek::{at_once, prepare},
    test_client::api_jar,
    test_sessions::{SessionSource, SessionValues, TestSessions},
};
use crate::store::SessionStore;

/// Gives a [`TestRequest`] a session. Import it `as _`.
///
/// # Examples
/// A test of a page that only users see:
///
/// ```
/// use actix_typed_session::{
///     Session, SessionMiddleware, TypedSession,
///     testing::{TestRequestExt as _, TestSessions},
/// };
/// use actix_web::{App, HttpResponse, test, web};
///
/// #[derive(Session, Default)]
/// struct Visitor {
///     user_id: Option<i64>,
/// }
///
/// async fn orders(session: TypedSession<Visitor>) -> HttpResponse {
///     match session.user_id {
///         Some(_) => HttpResponse::Ok().body("your orders"),
///         None => HttpResponse::Unauthorized().finish(),
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let sessions = TestSessions::new(SessionMiddleware::new);
/// let app = App::new().wrap(sessions.middleware()).route("/orders", web::get().to(orders));
/// let app = test::init_service(app).await;
///
/// let request = test::TestRequest::get()
///     .uri("/orders")
///     .session(&sessions, Visitor { user_id: Some(7) });
/// assert_eq!(request.send_request(&app).await.status(), 200);
/// assert_eq!(test::TestRequest::get().uri("/orders").send_request(&app).await.status(), 401);
/// # });
/// ```
pub trait TestRequestExt: Into<SessionRequest> {
    /// Stores a session with these values, and sends its cookie with the request.
    ///
    /// If the request has a session of the same middleware already, it writes the values to that.
    /// Two structs of one session can also be a tuple: `(visitor, account)`.
    ///
    /// # Panics
    /// - A value cannot be stored, or a struct names the cookie of another middleware.
    /// - The store does not answer at once, such as files or a server. Then use
    ///   [`client_with`](TestSessions::client_with).
    #[track_caller]
    fn session<S: SessionStore>(
        self,
        sessions: &TestSessions<S>,
        values: impl SessionValues,
    ) -> SessionRequest {
        let mut request = self.into();
        give(&mut request.jar, sessions, values);
        request
    }

    /// As [`session`](Self::session), for a client that sends its id in the header of the
    /// middleware, not in a cookie.
    ///
    /// # Panics
    /// As [`session`](Self::session), and if the middleware has neither
    /// [`bearer`](crate::SessionMiddlewareBuilder::bearer) nor
    /// [`header`](crate::SessionMiddlewareBuilder::header).
    #[track_caller]
    fn session_in_header<S: SessionStore>(
        self,
        sessions: &TestSessions<S>,
        values: impl SessionValues,
    ) -> SessionRequest {
        let mut request = self.into();
        let mut jar = api_jar(sessions.made());
        give(&mut jar, sessions, values);
        request.jar.append(jar);
        request
    }

    /// Continues as the client that got this response: sends the session that it has now, or none
    /// after a logout. In place of a response, it takes a [`TestClient`](super::TestClient).
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{
    /// #     Session, SessionMiddleware, TypedSession,
    /// #     testing::{TestRequestExt as _, TestSessions},
    /// # };
    /// # use actix_web::{App, Responder, test, web};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(privilege)] user_id: Option<i64> }
    /// # async fn log_in(mut session: TypedSession<Visitor>) -> impl Responder {
    /// #     session.set_user_id(Some(7));
    /// #     "welcome"
    /// # }
    /// # async fn name(session: TypedSession<Visitor>) -> String {
    /// #     format!("{:?}", session.user_id)
    /// # }
    /// # actix_web::rt::System::new().block_on(async {
    /// # let sessions = TestSessions::new(SessionMiddleware::new);
    /// # let app = App::new()
    /// #     .wrap(sessions.middleware())
    /// #     .route("/login", web::post().to(log_in))
    /// #     .route("/name", web::get().to(name));
    /// # let app = test::init_service(app).await;
    /// let login = test::TestRequest::post().uri("/login").send_request(&app).await;
    /// let name = test::TestRequest::get().uri("/name").session_from(&sessions, &login);
    /// assert_eq!(test::call_and_read_body(&app, name.to_request()).await, "Some(7)");
    /// # });
    /// ```
    fn session_from<S: SessionStore>(
        self,
        sessions: &TestSessions<S>,
        client: &impl SessionSource,
    ) -> SessionRequest {
        let mut request = self.into();
        request.jar.append(client.jar(sessions.made()));
        request
    }
}

impl TestRequestExt for TestRequest {}

impl TestRequestExt for SessionRequest {}

#[track_caller]
fn give<S: SessionStore>(jar: &mut Jar, sessions: &TestSessions<S>, values: impl SessionValues) {
    let write = |middleware: &_, handle: &_| values.write(middleware, handle);
    at_once(prepare(sessions.made(), jar, write)).expect(
        "the store does not answer at once; make the client with `client_with(…).await`, and use \
         `call` of the client or `session_from(&sessions, &client)`",
    );
}

/// A [`TestRequest`] with a session. [`TestRequestExt`] makes it.
///
/// It has the methods of [`TestRequest`]. Set cookies of your own with `TestRequest::cookie` before
/// the session.
#[must_use = "send it with `send_request`, or make a request of it with `to_request`"]
pub struct SessionRequest {
    request: TestRequest,
    jar: Jar,
}

impl From<TestRequest> for SessionRequest {
    fn from(request: TestRequest) -> Self {
        Self { request, jar: Jar::default() }
    }
}

impl SessionRequest {
    /// Sends the request to an app, as [`TestRequest::send_request`] does.
    ///
    /// # Panics
    /// A middleware of the app fails.
    pub async fn send_request<A, B, E>(self, app: &A) -> ServiceResponse<B>
    where
        A: Service<Request, Response = ServiceResponse<B>, Error = E>,
        E: fmt::Debug,
    {
        call_service(app, self.to_request()).await
    }

    /// Makes the request for [`call_service`].
    pub fn to_request(self) -> Request {
        let mut request = self.request.to_request();
        let path = request.path().to_owned();
        self.jar.send(request.headers_mut(), &path);
        request
    }

    /// Makes the request for a service.
    pub fn to_srv_request(self) -> ServiceRequest {
        let mut request = self.request.to_srv_request();
        let path = request.path().to_owned();
        self.jar.send(request.headers_mut(), &path);
        request
    }

    /// Makes the request for a handler or an extractor.
    pub fn to_http_request(self) -> HttpRequest {
        self.to_srv_request().into_parts().0
    }

    /// Sets the path, as [`TestRequest::uri`] does.
    pub fn uri(self, path: &str) -> Self {
        self.map(|request| request.uri(path))
    }

    /// Sets the method, as [`TestRequest::method`] does.
    pub fn method(self, method: Method) -> Self {
        self.map(|request| request.method(method))
    }

    /// Sets a header, as [`TestRequest::insert_header`] does.
    pub fn insert_header(self, header: impl TryIntoHeaderPair) -> Self {
        self.map(|request| request.insert_header(header))
    }

    /// Adds a header, as [`TestRequest::append_header`] does.
    pub fn append_header(self, header: impl TryIntoHeaderPair) -> Self {
        self.map(|request| request.append_header(header))
    }

    /// Sets the body, as [`TestRequest::set_payload`] does.
    pub fn set_payload(self, data: impl Into<Bytes>) -> Self {
        self.map(|request| request.set_payload(data))
    }

    /// Sets the body to a form, as [`TestRequest::set_form`] does.
    pub fn set_form(self, data: impl Serialize) -> Self {
        self.map(|request| request.set_form(data))
    }

    /// Sets the body to JSON, as [`TestRequest::set_json`] does.
    pub fn set_json(self, data: impl Serialize) -> Self {
        self.map(|request| request.set_json(data))
    }

    /// Calls any other method of [`TestRequest`]: `.map(|request| request.peer_addr(address))`.
    pub fn map(self, change: impl FnOnce(TestRequest) -> TestRequest) -> Self {
        Self { request: change(self.request), jar: self.jar }
    }
}

impl fmt::Debug for SessionRequest {
    /// Omits the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionRequest").field(&self.jar).finish()
    }
}
