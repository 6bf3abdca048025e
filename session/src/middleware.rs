//! The middleware: puts a session on each request, and closes it with the response.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_service::{Service, Transform};
use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, SET_COOKIE, VARY},
};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use tracing::error;

use crate::{
    config::{Config, SessionMiddlewareBuilder, WorkerConfig},
    error::Chain,
    handle::{Closing, SessionHandle},
    store::{FileStore, SessionStore},
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
    pub fn new(store: impl SessionStore) -> Self {
        Self::from(Config::new(store))
    }

    /// Sessions in this store, with settings of your own.
    pub fn builder(store: impl SessionStore) -> SessionMiddlewareBuilder {
        SessionMiddlewareBuilder::new(store)
    }
}

impl Default for SessionMiddleware {
    /// A [`FileStore`] in the folder `sessions` of the working directory; sessions live for 20 hours
    /// (72 000 000 ms) without a request.
    fn default() -> Self {
        Self::new(FileStore::default())
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
            config: Rc::new(WorkerConfig(Arc::clone(&self.config))),
        }))
    }
}

/// The service that [`SessionMiddleware`] wraps around another.
#[allow(missing_debug_implementations, reason = "Actix names the type and nobody prints it")]
pub struct SessionService<S> {
    service: S,
    config: Rc<WorkerConfig>,
}

impl<S, B> Service<ServiceRequest> for SessionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        // The handle is kept and the request is not: a clone of it would make Actix's routing panic.
        let handle = SessionHandle::attach(&request, &self.config);
        let call = self.service.call(request);
        async move {
            let result = call.await;
            let Some(handle) = handle else {
                return result.map(ServiceResponse::map_into_left_body);
            };
            match result {
                Ok(response) => Ok(close(&handle, response).await),
                Err(error) => Err(close_error(&handle, error).await),
            }
        }
        .boxed_local()
    }
}

async fn close<B: MessageBody>(
    handle: &SessionHandle,
    mut response: ServiceResponse<B>,
) -> ServiceResponse<EitherBody<B>> {
    handle.detach(response.request());
    if !handle.is_touched() {
        return response.map_into_left_body();
    }
    let Closing { cookie, error } = handle.close(Some(response.request()), response.status()).await;
    match error {
        None => {
            mark(response.headers_mut(), cookie.as_ref());
            response.map_into_left_body()
        }
        Some(error) => {
            error!("{}", Chain(&error));
            let mut failed = error.error_response();
            mark(failed.headers_mut(), cookie.as_ref());
            response.into_response(failed.map_into_right_body())
        }
    }
}

/// An inner middleware failed; the response is made from its error later, so the headers wait for it.
async fn close_error(handle: &SessionHandle, error: Error) -> Error {
    if !handle.is_touched() {
        return error;
    }
    let status = error.as_response_error().status_code();
    let Closing { cookie, error: failed } = handle.close(None, status).await;
    let mut error = match failed {
        None => error,
        Some(failed) => {
            error!("{}", Chain(&failed));
            failed.into()
        }
    };
    error.add_response_mapper(move |mut response: HttpResponse| {
        mark(response.headers_mut(), cookie.as_ref());
        response
    });
    error
}

/// Tells the client about its session, and caches that the response is this client's. Marking twice
/// is marking once: Actix may map an error's response more than once.
fn mark(headers: &mut HeaderMap, cookie: Option<&HeaderValue>) {
    if !headers.get_all(VARY).any(varies_by_cookie) {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
    if let Some(cookie) = cookie
        && !headers.get_all(SET_COOKIE).any(|there| there == cookie)
    {
        headers.append(SET_COOKIE, cookie.clone());
        // RFC 9111, 5.2.2.4: a cache may keep the response, without this header.
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache=\"Set-Cookie\""));
    }
}

fn varies_by_cookie(vary: &HeaderValue) -> bool {
    vary.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marking_twice_is_marking_once() {
        let cookie = HeaderValue::from_static("a=b");
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        mark(&mut headers, Some(&cookie));
        let once = headers.len();
        mark(&mut headers, Some(&cookie));
        assert_eq!(headers.len(), once);
        assert_eq!(headers.get_all(SET_COOKIE).count(), 2);
    }

    #[test]
    fn a_vary_of_the_handler_is_kept_and_not_doubled() {
        for (vary, lines) in [("Accept", 2), ("Accept, cookie", 1), ("*", 1)] {
            let mut headers = HeaderMap::new();
            headers.append(VARY, HeaderValue::from_static(vary));
            mark(&mut headers, None);
            assert_eq!(headers.get_all(VARY).count(), lines, "{vary}");
        }
    }
}
