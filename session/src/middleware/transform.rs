//! The middleware that applications wrap around their routes.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
};

use actix_service::{Service, Transform};
use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
};

use super::service::SessionService;
use crate::{
    config::{Config, WorkerConfig},
    store::Backend,
};

/// The middleware that keeps sessions. Wrap an `App` or a scope with it.
///
/// It loads a session when a handler extracts it. When the handler returns, it saves, renews or
/// destroys the session before it sends the response.
///
/// Create it once, outside the closure that builds the `App`, and clone it into each `App`.
/// Otherwise, each worker has its own [`MemoryStore`](crate::MemoryStore) and does not find the
/// sessions of the others.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{FileStore, SessionMiddleware};
/// use actix_web::{App, HttpServer};
///
/// #[actix_web::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let sessions = SessionMiddleware::new(FileStore::new("sessions")?);
///     let app = move || App::new().wrap(sessions.clone());
///     HttpServer::new(app).bind("127.0.0.1:8080")?.run().await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct SessionMiddleware {
    config: Arc<Config>,
}

impl SessionMiddleware {
    /// Creates a middleware that keeps sessions in this store, with the default settings. Use
    /// [`builder`](Self::builder) to change a setting.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::new(MemoryStore::new());
    /// ```
    pub fn new(store: impl Backend) -> Self {
        Self::from(Config::new(store))
    }
}

/// For the fixtures of tests.
#[cfg(feature = "testing")]
impl SessionMiddleware {
    /// Returns the settings.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Replaces the clock. `None`: clones of this middleware share its settings.
    pub(crate) fn with_clock(mut self, clock: impl crate::time::Clock) -> Option<Self> {
        Arc::get_mut(&mut self.config)?.clock = Arc::new(clock);
        Some(self)
    }
}

#[cfg(feature = "file")]
impl Default for SessionMiddleware {
    /// Creates a middleware with a [`FileStore`](crate::FileStore) in the folder `sessions` of the
    /// working directory. Sessions live for 20 hours (72 000 000 ms) without a request.
    fn default() -> Self {
        Self::new(crate::store::FileStore::default())
    }
}

impl From<Config> for SessionMiddleware {
    fn from(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl std::fmt::Debug for SessionMiddleware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionMiddleware")
            .field("rules", &self.config.rules)
            .field("cookie", &self.config.cookie)
            .finish_non_exhaustive()
    }
}

impl<S, B> Transform<S, ServiceRequest> for SessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = SessionService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(SessionService {
            service,
            config: Rc::new(WorkerConfig::new(Arc::clone(&self.config))),
        }))
    }
}
