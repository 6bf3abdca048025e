//! Guards around a scope.

use actix_web::{
    Error, FromRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

/// Lets only those requests pass for which this can be extracted: a middleware for a scope, a
/// resource or the whole application. Use it with [`from_fn`](actix_web::middleware::from_fn).
///
/// `G` is [`LoggedIn<Visitor>`](super::LoggedIn), [`Guarded<Admin>`](super::Guarded), or an
/// extractor of your own. What it returns as an error is the response. Requests for paths that do
/// not exist in the scope are refused as well.
///
/// The session middleware has to be outside: in `App::new()`, its `.wrap(…)` comes **after** this
/// one. If it is not, each request gets a 500.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     LoggedIn, Login, MemoryStore, Session, SessionMiddleware, TypedSession, require,
/// };
/// use actix_web::{App, middleware::from_fn, web};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(privilege)]
///     user_id: Option<i64>,
/// }
///
/// impl Login for Visitor {
///     type User = i64;
///
///     fn user(&self) -> Option<i64> {
///         self.user_id
///     }
/// }
///
/// let account = web::scope("/account")
///     .wrap(from_fn(require::<LoggedIn<Visitor>>))
///     .route("/orders", web::get().to(async |_: TypedSession<Visitor>| "your orders"));
/// let sessions = SessionMiddleware::new(MemoryStore::new());
/// let app = App::new().service(account).wrap(sessions);
/// ```
///
/// # Errors
/// Those of the services inside. A refusal is a response, so that
/// [`ErrorHandlers`](actix_web::middleware::ErrorHandlers) and logs see it.
pub async fn require<G: FromRequest>(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody + 'static>, Error> {
    // What was extracted is dropped at once: routing goes on only if nothing holds the request.
    match request.extract::<G>().await.map(drop) {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Err(error) => {
            let (request, _) = request.into_parts();
            Ok(ServiceResponse::from_err(error, request).map_into_right_body())
        }
    }
}
