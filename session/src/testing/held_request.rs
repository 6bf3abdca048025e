//! A request that has passed the middleware, and waits there for its test.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use actix_service::{Service, Transform as _};
use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    body::MessageBody as _,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Uri,
        header::{FORWARDED, X_FORWARDED_PROTO},
    },
    test::TestRequest,
};
use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::jar::Jar;
use crate::{config::Config, middleware::SessionMiddleware, request::RequestSession};

/// A request that has passed the middleware. A test takes the place of the route.
pub(super) struct HeldRequest {
    pub(super) request: HttpRequest,
    session: Rc<RequestSession>,
    answer: Rc<RefCell<Option<HttpResponse>>>,
    response: LocalBoxFuture<'static, Result<ServiceResponse, Error>>,
}

impl HeldRequest {
    /// Sends a request with what this client keeps.
    pub(super) fn new(middleware: &SessionMiddleware, client: &Jar, request: TestRequest) -> Self {
        let mut request = request.to_srv_request();
        let path = request.path().to_owned();
        client.send(request.headers_mut(), &path);
        let route = Route::default();
        let service = middleware.new_transform(route.clone()).into_inner();
        let service = service.expect("the middleware starts with any service");
        let response = service.call(request);
        let request = route.request.take().expect("the middleware calls the route at once");
        let session = RequestSession::innermost(&request).expect("the middleware puts it there");
        let response = async {
            let (request, response) = response.await?.into_parts();
            let response = response.map_body(|_, body| body.boxed());
            Ok(ServiceResponse::new(request, response))
        };
        Self { request, session, answer: route.answer, response: response.boxed_local() }
    }

    /// Extracts something as the parameter of a handler.
    pub(super) fn extract<E: FromRequest>(&self) -> E::Future {
        E::from_request(&self.request, &mut Payload::None)
    }

    /// Lets the request read the session without extending it.
    pub(super) fn only_read(&self) {
        self.session.only_read(&self.request);
    }

    /// Whether extractors asked for the session, and the last of them is dropped.
    pub(super) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// The session on the request.
    pub(super) fn session(&self) -> Rc<RequestSession> {
        Rc::clone(&self.session)
    }

    /// Answers the request. Returns what the middleware makes of the response.
    pub(super) async fn answer(self, response: HttpResponse) -> ServiceResponse {
        self.answer.replace(Some(response));
        self.response.await.expect("a route that answers does not fail")
    }
}

/// A request at a path with the cookie. It takes the way of `like`: the same proxy, with TLS or
/// without.
pub(super) fn plain_request(
    middleware: &SessionMiddleware,
    like: Option<&HttpRequest>,
) -> TestRequest {
    let mut request = TestRequest::default().uri(&inside_cookie_path(middleware.config()));
    let Some(like) = like else { return request };
    for name in [FORWARDED, X_FORWARDED_PROTO] {
        for value in like.headers().get_all(&name) {
            request = request.append_header((name.clone(), value.clone()));
        }
    }
    match like.peer_addr() {
        Some(peer) => request.peer_addr(peer),
        None => request,
    }
}

/// A path at which browsers send the cookie, as the application sees it.
fn inside_cookie_path(config: &Config) -> String {
    let path = config.cookie.path.strip_prefix(&*config.stripped_prefix).unwrap_or("/");
    let is_path = path.starts_with('/') && Uri::try_from(path).is_ok();
    if is_path { path.to_owned() } else { "/".to_owned() }
}

/// The service inside the middleware.
#[derive(Clone, Default)]
struct Route {
    request: Rc<RefCell<Option<HttpRequest>>>,
    answer: Rc<RefCell<Option<HttpResponse>>>,
}

impl Service<ServiceRequest> for Route {
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        self.request.replace(Some(request.request().clone()));
        let answer = Rc::clone(&self.answer);
        // The answer is there before the future is polled.
        poll_fn(move |_| answer.take().map_or(Poll::Pending, Poll::Ready))
            .map(|response| Ok(request.into_response(response)))
            .boxed_local()
    }
}
