use actix_cors::Cors;
use actix_typed_session::{Session, SessionMiddleware, TypedSession};
use actix_web::{
    App, Error, FromRequest as _, HttpResponse, Result,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{
        Compress, ErrorHandlerResponse, ErrorHandlers, Logger, Next, NormalizePath, from_fn,
    },
    web::{self, ServiceConfig},
};

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user_id: Option<i64>,
    refused: u32,
}

/// The first `wrap` is the innermost, and the last one is the outermost.
fn app(
    sessions: SessionMiddleware,
    routes: impl FnOnce(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let cors = Cors::default()
        .allowed_origin("https://app.example.com")
        .allowed_methods(["GET", "POST"])
        .supports_credentials();
    App::new()
        .configure(routes)
        .wrap(from_fn(require_login)) // uses the session, so it is inside
        .wrap(sessions)
        .wrap(ErrorHandlers::new().default_handler(error_page)) // also for errors of the store
        .wrap(cors) // also for error pages
        .wrap(Compress::default())
        .wrap(NormalizePath::trim())
        .wrap(Logger::default()) // logs what the client gets
}

/// A guard. It answers with a response: error pages do not see an `Err` of a middleware.
async fn require_login(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>> {
    let mut session = TypedSession::<Visitor>::extract(request.request()).await?;
    if session.user_id.is_some() || request.path() == "/login" {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    session.set_refused(session.refused + 1); // stored with the response
    let response = HttpResponse::Unauthorized().finish();
    Ok(request.into_response(response).map_into_right_body())
}

/// An error page that greets the user. It is outside, so it can read what was stored.
fn error_page<B: 'static>(response: ServiceResponse<B>) -> Result<ErrorHandlerResponse<B>> {
    let page = async move {
        // The store may be what failed, so go on without the session.
        let session = TypedSession::<Visitor>::extract(response.request()).await.ok();
        let user = session.and_then(|session| session.user_id);
        let text =
            format!("Sorry, {}.", user.map_or("visitor".to_owned(), |id| format!("user {id}")));
        let (request, failed) = response.into_parts();
        let (failed, _) = failed.into_parts(); // keeps the status, the headers and the cookie
        let page = failed.set_body(BoxBody::new(text));
        Ok(ServiceResponse::new(request, page).map_into_right_body())
    };
    Ok(ErrorHandlerResponse::Future(Box::pin(page)))
}
