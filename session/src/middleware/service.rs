//! The service of the middleware: it attaches a session to each request, and closes it with the
//! response.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_service::Service;
use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use pin_project_lite::pin_project;

use super::headers::mark;
use crate::{
    config::WorkerConfig,
    error::SessionError,
    request::{RequestSession, ResponseEffects},
};

/// The service that [`SessionMiddleware`](crate::SessionMiddleware) wraps around another service.
#[allow(missing_debug_implementations, reason = "applications cannot name it")]
pub struct SessionService<S> {
    pub(super) service: S,
    pub(super) config: Rc<WorkerConfig>,
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
        // Keep the session, not the request: a clone of the request would make Actix's routing
        // panic.
        let session = RequestSession::attach(&request, &self.config);
        SessionFuture::Calling { call: self.service.call(request), session }
    }
}

pin_project! {
    /// The future of [`SessionService`].
    ///
    /// It is an enum instead of a box, so that a route without a session allocates nothing here.
    #[project = Step]
    #[allow(missing_debug_implementations, missing_docs, reason = "applications cannot name it")]
    pub enum SessionFuture<F, B> {
        Calling { #[pin] call: F, session: Option<Rc<RequestSession>> },
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
        let (result, session) = match self.as_mut().project() {
            Step::Calling { call, session } => (ready!(call.poll(context)), session.take()),
            Step::Closing { close } => return close.as_mut().poll(context),
        };
        if let (Some(session), Ok(response)) = (&session, &result) {
            session.detach(response.request());
        }
        let Some(session) = session.filter(|session| session.is_extracted()) else {
            return Poll::Ready(result.map(ServiceResponse::map_into_left_body));
        };
        let (request, status) = head(&result);
        if let Some(effects) = session.active().close_at_once(request, status) {
            return Poll::Ready(respond(result, effects));
        }
        let close = async move {
            let (request, status) = head(&result);
            let effects = session.active().close(request, status).await;
            respond(result, effects)
        };
        self.set(Self::Closing { close: close.boxed_local() });
        self.poll(context)
    }
}

/// Returns the request and the status of the response. An error no longer has the request.
fn head<B>(result: &Result<ServiceResponse<B>, Error>) -> (Option<&HttpRequest>, StatusCode) {
    match result {
        Ok(response) => (Some(response.request()), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    }
}

/// Returns the response with the headers of the session. If the session could not be stored,
/// returns an error response instead.
fn respond<B: MessageBody>(
    result: Result<ServiceResponse<B>, Error>,
    ResponseEffects { header, vary_header, error }: ResponseEffects,
) -> Closed<B> {
    let failed = error.inspect(SessionError::log);
    match result {
        Ok(mut response) => match failed {
            None => {
                mark(response.headers_mut(), header.as_ref(), vary_header.as_ref());
                Ok(response.map_into_left_body())
            }
            Some(failed) => {
                let mut failed = failed.error_response();
                mark(failed.headers_mut(), header.as_ref(), vary_header.as_ref());
                Ok(response.into_response(failed.map_into_right_body()))
            }
        },
        // Actix makes the response from the error later, so the headers are added then.
        Err(error) => {
            let mut error = failed.map_or(error, Error::from);
            error.add_response_mapper(move |mut response: HttpResponse| {
                mark(response.headers_mut(), header.as_ref(), vary_header.as_ref());
                response
            });
            Err(error)
        }
    }
}
