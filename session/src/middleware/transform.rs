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

/// Loads sessions when a handler asks for them, and saves, renews or destroys them with the response.
///
/// Make it once, outside the closure that builds the `App`, and clone it into each: with
/// [`MemoryStore`](crate::MemoryStore) every worker would have sessions of its own otherwise.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{FileStore, SessionMiddleware};
/// use actix_web::{App, HttpServer};
///
/// #[actix_web::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let sessions = SessionMiddleware::new(FileStore::new("sessions")?);
///     HttpServer::new(move || App::new().wrap(sessions.clone())).bind("127.0.0.1:8080")?.run().await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct SessionMiddleware {
    config: Arc<Config>,
}

impl SessionMiddleware {
    /// Sessions in this store, with the default settings of [`builder`](Self::builder).
    pub fn new(store: impl Backend) -> Self {
        Self::from(Config::new(store))
    }
}

#[cfg(feature = "file")]
impl Default for SessionMiddleware {
    /// A [`FileStore`](crate::FileStore) in the folder `sessions` of the working directory; sessions live for 20 hours
    /// (72 000 000 ms) without a request.
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
