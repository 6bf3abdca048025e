//! The middleware: puts a session on each request, and closes it with the response.

use std::{
    future::{Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_service::{Service, Transform};
use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, VARY},
    },
};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use pin_project_lite::pin_project;
use tracing::error;

use crate::{
    config::{Config, SessionMiddlewareBuilder, WorkerConfig},
    error::Chain,
    handle::{Closing, SessionHandle},
    store::Backend,
    transport::Answer,
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

    /// Sessions in this store, with settings of your own.
    pub fn builder(store: impl Backend) -> SessionMiddlewareBuilder {
        SessionMiddlewareBuilder::new(store)
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
    type Future = SessionFuture<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        // The handle is kept and the request is not: a clone of it would make Actix's routing panic.
        let handle = SessionHandle::attach(&request, &self.config);
        SessionFuture::Calling { call: self.service.call(request), handle }
    }
}

pin_project! {
    /// The future of [`SessionService`].
    ///
    /// It has a type of its own so that a route without a session pays for no allocation here.
    #[project = Step]
    #[allow(missing_debug_implementations, missing_docs, reason = "nobody names or prints it")]
    pub enum SessionFuture<F, B> {
        Calling { #[pin] call: F, handle: Option<SessionHandle> },
        Closing { close: LocalBoxFuture<'static, Closed<B>> },
    }
}

type Closed<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

impl<F, B> Future for SessionFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody + 'static,
{
    type Output = Closed<B>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, handle) = match self.as_mut().project() {
            Step::Calling { call, handle } => (ready!(call.poll(context)), handle.take()),
            Step::Closing { close } => return close.as_mut().poll(context),
        };
        if let (Some(handle), Ok(response)) = (&handle, &result) {
            handle.detach(response.request());
        }
        let Some(handle) = handle.filter(SessionHandle::is_touched) else {
            return Poll::Ready(result.map(ServiceResponse::map_into_left_body));
        };
        let (request, status) = head(&result);
        if let Some(closing) = handle.close_now(request, status) {
            return Poll::Ready(tell(result, closing));
        }
        let close = async move {
            let (request, status) = head(&result);
            let closing = handle.close(request, status).await;
            tell(result, closing)
        };
        self.set(Self::Closing { close: close.boxed_local() });
        self.poll(context)
    }
}

/// What the inner service answers, and to what; an error has lost the request.
fn head<B>(result: &Result<ServiceResponse<B>, Error>) -> (Option<&HttpRequest>, StatusCode) {
    match result {
        Ok(response) => (Some(response.request()), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    }
}

/// The answer, with what there is to tell about the session.
fn tell<B: MessageBody>(
    result: Result<ServiceResponse<B>, Error>,
    Closing { answer, looked_at, error }: Closing,
) -> Closed<B> {
    let failed = error.inspect(|error| error!("{}", Chain(error)));
    match result {
        Ok(mut response) => match failed {
            None => {
                mark(response.headers_mut(), answer.as_ref(), looked_at.as_ref());
                Ok(response.map_into_left_body())
            }
            Some(failed) => {
                let mut failed = failed.error_response();
                mark(failed.headers_mut(), answer.as_ref(), looked_at.as_ref());
                Ok(response.into_response(failed.map_into_right_body()))
            }
        },
        // The response is made from the error later, so the headers wait for it.
        Err(error) => {
            let mut error = failed.map_or(error, Error::from);
            error.add_response_mapper(move |mut response: HttpResponse| {
                mark(response.headers_mut(), answer.as_ref(), looked_at.as_ref());
                response
            });
            Err(error)
        }
    }
}

/// Tells the client about its session, and caches that the response is this client's. Marking twice
/// is marking once: Actix may map an error's response more than once.
fn mark(headers: &mut HeaderMap, answer: Option<&Answer>, looked_at: Option<&HeaderName>) {
    if !headers.get_all(VARY).any(|vary| varies_by(vary, &COOKIE)) {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
    if let Some(name) = looked_at
        && !headers.get_all(VARY).any(|vary| varies_by(vary, name))
    {
        headers.append(VARY, HeaderValue::from(name.clone()));
    }
    match answer {
        Some(Answer::Cookie(cookie)) if !headers.get_all(SET_COOKIE).any(|it| it == cookie) => {
            headers.append(SET_COOKIE, cookie.clone());
            // RFC 9111, 5.2.2.4: a cache may keep the response, without this header.
            headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache=\"Set-Cookie\""));
        }
        Some(Answer::Header(name, value)) if headers.get(name) != Some(value) => {
            headers.insert(name.clone(), value.clone());
            // RFC 9111, 5.2.2.5: the header's name says nothing to caches, so they keep nothing of it.
            headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        _ => {}
    }
}

fn varies_by(vary: &HeaderValue, name: &HeaderName) -> bool {
    vary.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|there| there == b"*" || there.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marking_twice_is_marking_once() {
        let cookie = Answer::Cookie(HeaderValue::from_static("a=b"));
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        mark(&mut headers, Some(&cookie), None);
        let once = headers.len();
        mark(&mut headers, Some(&cookie), None);
        assert_eq!(headers.len(), once);
        assert_eq!(headers.get_all(SET_COOKIE).count(), 2);
        assert_eq!(headers.get_all(CACHE_CONTROL).count(), 1);
    }

    #[test]
    fn an_id_in_a_header_takes_the_place_of_what_is_there_and_is_not_stored_in_caches() {
        let name = HeaderName::from_static("x-session");
        let mut headers = HeaderMap::new();
        headers.append(name.clone(), HeaderValue::from_static("the handler's"));
        let answer = Answer::Header(name.clone(), HeaderValue::from_static("id"));
        for _ in 0..2 {
            mark(&mut headers, Some(&answer), Some(&name));
            assert_eq!(headers.get_all(&name).collect::<Vec<_>>(), ["id"]);
            assert_eq!(headers.get_all(CACHE_CONTROL).collect::<Vec<_>>(), ["no-store"]);
            assert_eq!(headers.get_all(VARY).collect::<Vec<_>>(), ["Cookie", "x-session"]);
            assert_eq!(headers.get(SET_COOKIE), None);
        }
    }

    #[test]
    fn a_vary_of_the_handler_is_kept_and_not_doubled() {
        for (vary, lines) in [("Accept", 2), ("Accept, cookie", 1), ("*", 1)] {
            let mut headers = HeaderMap::new();
            headers.append(VARY, HeaderValue::from_static(vary));
            mark(&mut headers, None, None);
            assert_eq!(headers.get_all(VARY).count(), lines, "{vary}");
        }
    }
}
