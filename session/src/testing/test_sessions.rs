//! The sessions of a site under test: its own middleware, with a store and a clock for tests.

use std::fmt;

use actix_web::{HttpRequest, dev::ServiceResponse};

use super::{
    faulty::FaultyStore,
    jar::Jar,
    peek::{Peek, write},
};
use crate::{
    middleware::SessionMiddleware,
    request::SessionHandle,
    store::{MemoryStore, SessionStore},
    time::FakeClock,
    typed::Session,
};

/// The sessions of a site in its tests: the site's own middleware on a store in memory, with a
/// clock that stands still.
///
/// [`session`](super::TestRequestExt::session) sends a request with a session, and
/// [`session_of`](Self::session_of) reads the session that the client has after the response.
/// [`client`](Self::client) is a client for several requests. The guide has a test for
/// [every case of a small shop](crate::guide::testing).
///
/// Clones share the store and the clock. A site with several middlewares needs one for each.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     ConfigError, Session, SessionMiddleware, TypedSession,
///     store::SessionStore,
///     testing::{TestRequestExt as _, TestSessions},
/// };
/// use actix_web::{App, Responder, test, web};
///
/// #[derive(Session, Default)]
/// struct Visitor {
///     user_id: Option<i64>,
///     cart: Vec<String>,
/// }
///
/// // The site's own function, which `main` calls with a `FileStore`.
/// fn sessions(store: impl SessionStore) -> Result<SessionMiddleware, ConfigError> {
///     SessionMiddleware::builder(store).cookie_name("__Host-shop").build()
/// }
///
/// async fn add(mut session: TypedSession<Visitor>, item: web::Path<String>) -> impl Responder {
///     session.cart_mut().push(item.into_inner());
///     "added"
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let sessions = TestSessions::new(sessions);
/// let app = App::new().wrap(sessions.middleware()).route("/add/{item}", web::post().to(add));
/// let app = test::init_service(app).await;
///
/// let request = test::TestRequest::post()
///     .uri("/add/pear")
///     .session(&sessions, Visitor { user_id: Some(7), ..Visitor::default() });
/// let response = test::call_service(&app, request.to_request()).await;
///
/// let visitor = sessions.session_of::<Visitor>(&response).await.expect("a session");
/// assert_eq!((visitor.user_id, visitor.cart), (Some(7), vec!["pear".to_owned()]));
/// # });
/// ```
pub struct TestSessions<S = MemoryStore> {
    middleware: SessionMiddleware,
    clock: FakeClock,
    store: FaultyStore<S>,
}

impl TestSessions {
    /// Makes the site's middleware with a [`MemoryStore`] and a [`FakeClock`]. `middleware` is the
    /// function with which the site makes it from a store.
    ///
    /// The clock takes the place of the one that the middleware has. A function with other
    /// parameters fits into a closure: `|store| shop::sessions(&config, store)`. One that takes a
    /// `MemoryStore` gets `store.inner().clone()`, which injects no faults.
    ///
    /// # Panics
    /// The function fails, or the middleware that it returns has clones, so that its clock cannot
    /// be replaced.
    #[track_caller]
    pub fn new<M: MadeMiddleware>(middleware: impl FnOnce(FaultyStore<MemoryStore>) -> M) -> Self {
        let clock = FakeClock::default();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        Self::with_store(store, clock, middleware)
    }
}

impl<S: SessionStore> TestSessions<S> {
    /// As [`new`](TestSessions::new), with a store of your choice. Give the store the same clock.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "file")] {
    /// use actix_typed_session::{FakeClock, FileStore, SessionMiddleware, testing::TestSessions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let clock = FakeClock::default();
    /// let store = FileStore::builder(folder).clock(clock.clone()).build()?;
    /// let sessions = TestSessions::with_store(store, clock, SessionMiddleware::new);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// As [`new`](TestSessions::new).
    #[track_caller]
    pub fn with_store<M: MadeMiddleware>(
        store: S,
        clock: FakeClock,
        middleware: impl FnOnce(FaultyStore<S>) -> M,
    ) -> Self {
        let store = FaultyStore::new(store);
        let middleware = middleware(store.clone()).made();
        let middleware =
            middleware.unwrap_or_else(|why| panic!("the middleware cannot be made: {why}"));
        let middleware = middleware.with_clock(clock.clone()).expect(
            "the function must return a middleware without clones, because the fixture replaces \
             its clock; call it once for each `TestSessions`",
        );
        Self { middleware, clock, store }
    }

    /// Returns the middleware, to wrap the app with.
    pub fn middleware(&self) -> SessionMiddleware {
        self.middleware.clone()
    }

    /// Returns the clock of the middleware. It stands still until it is advanced.
    pub fn clock(&self) -> &FakeClock {
        &self.clock
    }

    /// Returns the store, to [inject](FaultyStore::inject) faults and count calls. What the
    /// fixtures do is not counted and has no faults.
    pub fn store(&self) -> &FaultyStore<S> {
        &self.store
    }

    /// Returns the session that the client has after this response, as its next request would read
    /// it. `None`: the client has none, because it never got one, was logged out, or the session
    /// expired.
    ///
    /// A session that the response issues counts, else the one that the request came with. In place
    /// of a response, it takes a [`TestClient`](super::TestClient).
    ///
    /// # Panics
    /// The struct is `strict` and a stored value does not decode, the struct names the cookie of
    /// another middleware, or the store fails for another reason than an injected fault.
    pub async fn session_of<T: Session>(&self, client: &impl SessionSource) -> Option<T> {
        self.peek(client).await?.read(&self.middleware)
    }

    async fn peek(&self, client: &impl SessionSource) -> Option<Peek> {
        let jar = client.jar(&self.middleware);
        Peek::new(&self.middleware, &jar, client.request()).await
    }

    pub(super) fn made(&self) -> &SessionMiddleware {
        &self.middleware
    }
}

impl<S> Clone for TestSessions<S> {
    fn clone(&self) -> Self {
        Self {
            middleware: self.middleware.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
        }
    }
}

impl<S> fmt::Debug for TestSessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSessions")
            .field("middleware", &self.middleware)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// What the function of a site returns that makes its middleware: a [`SessionMiddleware`], or a
/// `Result` with one.
pub trait MadeMiddleware: sealed::MadeMiddleware {}

impl<M: sealed::MadeMiddleware> MadeMiddleware for M {}

/// One or several structs of one session: a struct, or a tuple of up to three.
pub trait SessionValues: sealed::SessionValues {}

impl<V: sealed::SessionValues> SessionValues for V {}

/// What has the session of a client: the [`ServiceResponse`] that it got, or a
/// [`TestClient`](super::TestClient).
pub trait SessionSource: sealed::SessionSource {}

impl<C: sealed::SessionSource> SessionSource for C {}

impl sealed::MadeMiddleware for SessionMiddleware {
    fn made(self) -> Result<SessionMiddleware, String> {
        Ok(self)
    }
}

impl<E: fmt::Display> sealed::MadeMiddleware for Result<SessionMiddleware, E> {
    fn made(self) -> Result<SessionMiddleware, String> {
        self.map_err(|error| error.to_string())
    }
}

impl<T: Session> sealed::SessionValues for T {
    fn write(self, middleware: &SessionMiddleware, handle: &SessionHandle) {
        write(middleware, handle, self);
    }
}

impl<A: Session, B: Session> sealed::SessionValues for (A, B) {
    fn write(self, middleware: &SessionMiddleware, handle: &SessionHandle) {
        write(middleware, handle, self.0);
        write(middleware, handle, self.1);
    }
}

impl<A: Session, B: Session, C: Session> sealed::SessionValues for (A, B, C) {
    fn write(self, middleware: &SessionMiddleware, handle: &SessionHandle) {
        write(middleware, handle, self.0);
        write(middleware, handle, self.1);
        write(middleware, handle, self.2);
    }
}

impl<B> sealed::SessionSource for ServiceResponse<B> {
    fn jar(&self, middleware: &SessionMiddleware) -> Jar {
        let config = middleware.config();
        let mut jar = Jar::sent(config, self.request().headers());
        jar.keep(config, self.headers());
        jar
    }

    fn request(&self) -> Option<&HttpRequest> {
        Some(ServiceResponse::request(self))
    }
}

/// Keeps other crates from implementing the traits, which need private types.
pub(super) mod sealed {
    use actix_web::HttpRequest;

    use super::{Jar, SessionHandle, SessionMiddleware};

    pub trait MadeMiddleware {
        /// Returns the middleware, or why there is none.
        fn made(self) -> Result<SessionMiddleware, String>;
    }

    pub trait SessionValues {
        /// Writes the structs to a session.
        fn write(self, middleware: &SessionMiddleware, handle: &SessionHandle);
    }

    pub trait SessionSource {
        /// Returns what the client keeps.
        fn jar(&self, middleware: &SessionMiddleware) -> Jar;

        /// Returns the client's latest request, if it is known.
        fn request(&self) -> Option<&HttpRequest> {
            None
        }
    }
}
