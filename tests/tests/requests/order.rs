//! The order of the middlewares: what each one sees of the session, inside and outside.

use std::sync::{Arc, Mutex};

use actix_typed_session::{
    MemoryStore, SessionError, SessionMiddlewareBuilder,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Response, exchange, get, serve};
use actix_web::{error::ErrorForbidden, http::StatusCode};

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/middlewares_site.rs"));

/// The origin that the site trusts with its answers.
const APP: &str = "Origin: https://app.example.com\r\n";

type Store = FaultyStore<MemoryStore>;

fn store() -> Store {
    FaultyStore::new(MemoryStore::new())
}

fn sessions(store: &Store) -> SessionMiddleware {
    with(store, |settings| settings)
}

fn with(
    store: &Store,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> SessionMiddleware {
    settings(SessionMiddleware::builder(store.clone())).build().expect("valid settings")
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/login", web::to(log_in))
        .route("/show", web::get().to(show))
        .route("/fail", web::to(fail))
        .route("/long", web::get().to(long));
}

async fn log_in(mut session: TypedSession<Visitor>) -> &'static str {
    session.set_user_id(Some(7));
    "welcome"
}

async fn show(session: TypedSession<Visitor>) -> String {
    format!("{:?} {}", session.user_id, session.refused)
}

/// Writes, and fails.
async fn fail(mut session: TypedSession<Visitor>) -> HttpResponse {
    session.set_refused(session.refused + 100);
    HttpResponse::InternalServerError().finish()
}

async fn long(mut session: TypedSession<Visitor>) -> String {
    session.set_refused(session.refused + 1);
    "long ".repeat(1000)
}

fn plain_page<B: 'static>(response: ServiceResponse<B>) -> Result<ErrorHandlerResponse<B>> {
    let response = response.into_response(HttpResponse::Ok().body("a page"));
    Ok(ErrorHandlerResponse::Response(response.map_into_right_body()))
}

async fn post(address: std::net::SocketAddr, path: &str, headers: &str) -> Response {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\
         {headers}\r\n"
    );
    exchange(address, request.as_bytes()).await.remove(0)
}

// The order of the guide.

#[actix_web::test]
async fn a_guard_inside_reads_the_session_and_its_writes_are_stored() {
    let sessions = sessions(&store());
    let mut ann = Client::new(serve!(app(sessions.clone(), routes)));
    assert_eq!(ann.get("/show").await.text(), "401 Sorry, visitor.");
    assert_eq!(ann.get("/show").await.status, 401);
    assert_eq!(ann.get("/login").await.text(), "200 welcome");
    assert_eq!(ann.get("/show").await.text(), "200 Some(7) 2");
}

#[actix_web::test]
async fn an_error_page_outside_greets_the_user_and_keeps_status_and_cookie() {
    let sessions = sessions(&store());
    let mut ann = Client::new(serve!(app(sessions.clone(), routes)));
    let refused = ann.get("/show").await;
    assert_eq!(refused.text(), "401 Sorry, visitor.");
    assert!(refused.set_cookie().is_some(), "the guard began a session");
    ann.get("/login").await;
    assert_eq!(ann.get("/fail").await.text(), "500 Sorry, user 7.");
    assert_eq!(ann.get("/nowhere").await.text(), "404 Sorry, user 7.");
    assert_eq!(ann.get("/show").await.body, "Some(7) 1", "what failed stored nothing");
}

#[actix_web::test]
async fn an_error_page_outside_is_also_that_of_a_store_that_fails() {
    let store = store();
    let sessions = sessions(&store);
    let mut ann = Client::new(serve!(app(sessions.clone(), routes)));
    ann.get("/login").await;
    store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(ann.get("/long").await.text(), "503 Sorry, user 7.", "while it is saved");
    store.inject(Operation::Load, Fault::ErrorBefore);
    assert_eq!(ann.get("/show").await.status, 503);
    store.heal();
    assert_eq!(ann.get("/show").await.body, "Some(7) 0");
}

#[actix_web::test]
async fn cors_outside_marks_every_answer_and_lets_preflights_pass_the_guard() {
    let store = store();
    let sessions = sessions(&store);
    let address = serve!(app(sessions.clone(), routes));
    let preflight = format!(
        "OPTIONS /show HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{APP}\
         Access-Control-Request-Method: GET\r\n\r\n"
    );
    let preflight = exchange(address, preflight.as_bytes()).await.remove(0);
    assert_eq!(preflight.status, 200);
    assert_eq!(store.calls(Operation::Create), 0, "the guard did not see it");
    let mut ann = Client::new(address);
    ann.get("/login").await;
    let headers = format!("Cookie: __Host-session={}\r\n{APP}", ann.cookie());
    store.inject(Operation::Update, Fault::ErrorBefore);
    let failed = get(address, "/long", headers.as_bytes()).await;
    assert_eq!(failed.status, 503);
    let allowed = failed.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"), "the page's script can read the status");
}

#[actix_web::test]
async fn an_origin_that_cors_allows_is_not_one_that_the_session_trusts() {
    let store = store();
    let strict = sessions(&store);
    let refused = post(serve!(app(strict.clone(), routes)), "/login", APP).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.set_cookie(), None);
    assert!(refused.header("access-control-allow-origin").is_some());
    let trusting = with(&store, |it| it.trusted_origins(["https://app.example.com"]));
    let served = post(serve!(app(trusting.clone(), routes)), "/login", APP).await;
    assert_eq!(served.status, 200);
    assert!(served.set_cookie().is_some());
    assert_eq!(served.header("access-control-allow-credentials"), Some("true"));
}

#[actix_web::test]
async fn cors_and_compression_outside_keep_what_the_answer_varies_by() {
    for id_in_header in [false, true] {
        let store = store();
        let sessions = with(&store, |it| if id_in_header { it.header("X-Session") } else { it });
        let address = serve!(app(sessions.clone(), routes));
        let headers = format!("{APP}Accept-Encoding: gzip\r\n");
        let response = get(address, "/login", headers.as_bytes()).await;
        let vary = response.all("vary").collect::<Vec<_>>().join(", ").to_ascii_lowercase();
        assert!(vary.contains("cookie") && vary.contains("origin"), "{vary}");
        assert_eq!(vary.contains("x-session"), id_in_header, "{vary}");
    }
}

#[actix_web::test]
async fn a_vary_of_the_handler_survives_cors_outside_together_with_the_cookie() {
    async fn localised(session: TypedSession<Visitor>) -> HttpResponse {
        let body = format!("{:?}", session.user_id);
        HttpResponse::Ok().insert_header(("Vary", "Accept-Language")).body(body)
    }
    let sessions = sessions(&store());
    let address = serve!(app(sessions.clone(), |config| {
        config.route("/login", web::get().to(localised));
    }));
    let response = get(address, "/login", APP.as_bytes()).await;
    let vary = response.header("vary").expect("one line");
    assert!(vary.starts_with("Accept-Language, Cookie, Origin"), "{vary}");
}

#[actix_web::test]
async fn what_a_browser_gets_compressed_has_its_cookie() {
    let sessions = sessions(&store());
    let address = serve!(app(sessions.clone(), routes));
    let mut ann = Client::new(address);
    ann.get("/login").await;
    let headers = format!("Cookie: __Host-session={}\r\nAccept-Encoding: gzip\r\n", ann.cookie());
    let response = get(address, "/long", headers.as_bytes()).await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let vary = response.all("vary").collect::<Vec<_>>().join(", ");
    assert!(vary.contains("Cookie") && vary.contains("accept-encoding"), "{vary}");
}

#[actix_web::test]
async fn settings_by_path_see_the_path_that_was_made_normal() {
    let store = store();
    let inside = with(&store, |it| it.cookie_name("id").cookie_path("/login"));
    let outside = inside.clone();
    for address in [
        serve!(app(outside.clone(), routes)),
        serve!(App::new().configure(routes).wrap(NormalizePath::trim()).wrap(inside.clone())),
    ] {
        let response = get(address, "//login/", b"").await;
        assert_eq!(response.text(), "200 welcome");
        assert!(response.set_cookie().is_some(), "`/login` is below the cookie's path");
    }
}

// Other orders.

#[actix_web::test]
async fn a_guard_outside_finds_no_middleware_before_the_handler() {
    let store = store();
    let sessions = sessions(&store);
    let address =
        serve!(App::new().configure(routes).wrap(sessions.clone()).wrap(from_fn(require_login)));
    let response = get(address, "/login", b"").await;
    assert_eq!(response.text(), "500 ");
    assert_eq!(store.calls(Operation::Create), 0);
}

/// Counts answers, after they were made.
async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>> {
    let mut response = next.call(request).await?;
    let mut session = TypedSession::<Visitor>::extract(response.request()).await?;
    session.set_refused(session.refused + 1);
    let outcome = match session.save().await {
        Ok(()) => "stored",
        Err(SessionError::ResponseSent) => "too late for a cookie",
        Err(_) => "another error",
    };
    response.headers_mut().insert(
        actix_web::http::header::HeaderName::from_static("count"),
        actix_web::http::header::HeaderValue::from_static(outcome),
    );
    Ok(response)
}

#[actix_web::test]
async fn what_is_outside_reads_after_the_handler_and_stores_with_save() {
    let sessions = sessions(&store());
    let mut ann = Client::new(serve!(
        App::new().configure(routes).wrap(sessions.clone()).wrap(from_fn(count))
    ));
    let without_session = ann.get("/show").await;
    assert_eq!(without_session.header("count"), Some("too late for a cookie"));
    assert_eq!(ann.get("/login").await.header("count"), Some("stored"));
    assert_eq!(ann.get("/show").await.body, "Some(7) 1");
    assert_eq!(ann.get("/show").await.body, "Some(7) 2");
}

#[actix_web::test]
async fn an_error_page_inside_does_not_see_that_saving_failed() {
    let store = store();
    let sessions = sessions(&store);
    let mut ann = Client::new(serve!(
        App::new()
            .configure(routes)
            .wrap(ErrorHandlers::new().default_handler(error_page))
            .wrap(sessions.clone())
    ));
    ann.get("/login").await;
    assert_eq!(ann.get("/fail").await.text(), "500 Sorry, user 7.");
    store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(ann.get("/long").await.text(), "503 ", "an empty page");
}

#[actix_web::test]
async fn an_error_page_inside_that_changes_the_status_decides_what_is_stored() {
    for (is_inside, shown) in [(true, "None 100"), (false, "None 0")] {
        let sessions = sessions(&store());
        let pages = || ErrorHandlers::new().handler(StatusCode::INTERNAL_SERVER_ERROR, plain_page);
        let address = if is_inside {
            serve!(App::new().configure(routes).wrap(pages()).wrap(sessions.clone()))
        } else {
            let pages =
                || ErrorHandlers::new().handler(StatusCode::INTERNAL_SERVER_ERROR, plain_page);
            serve!(App::new().configure(routes).wrap(sessions.clone()).wrap(pages()))
        };
        let mut ann = Client::new(address);
        assert_eq!(ann.get("/fail").await.text(), "200 a page");
        assert_eq!(ann.get("/show").await.body, shown);
    }
}

#[actix_web::test]
async fn error_pages_do_not_see_an_err_of_a_middleware() {
    async fn forbid(
        request: ServiceRequest,
        _: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>> {
        let mut session = TypedSession::<Visitor>::extract(request.request()).await?;
        session.set_refused(session.refused + 1);
        Err(ErrorForbidden("as it is"))
    }
    let sessions = sessions(&store());
    let address = serve!(
        App::new()
            .configure(routes)
            .wrap(from_fn(forbid))
            .wrap(sessions.clone())
            .wrap(ErrorHandlers::new().default_handler(error_page))
    );
    let response = get(address, "/show", b"").await;
    assert_eq!(response.text(), "403 as it is");
    assert!(response.set_cookie().is_some(), "the session is stored all the same");
}

/// A logger that also keeps the status that it logs.
fn logger(seen: &Arc<Mutex<Vec<u16>>>) -> Logger {
    let seen = Arc::clone(seen);
    Logger::new("%s %{seen}xo").custom_response_replace("seen", move |response| {
        seen.lock().expect("no panic").push(response.status().as_u16());
        String::new()
    })
}

#[actix_web::test]
async fn a_logger_inside_logs_a_success_where_the_client_gets_an_error() {
    for (is_inside, logged) in [(true, 200), (false, 503)] {
        let store = store();
        let sessions = sessions(&store);
        let seen = Arc::default();
        let logs = Arc::clone(&seen);
        let address = if is_inside {
            serve!(App::new().configure(routes).wrap(logger(&logs)).wrap(sessions.clone()))
        } else {
            serve!(App::new().configure(routes).wrap(sessions.clone()).wrap(logger(&logs)))
        };
        let mut ann = Client::new(address);
        ann.get("/login").await;
        store.inject(Operation::Update, Fault::ErrorBefore);
        assert_eq!(ann.get("/long").await.status, 503);
        assert_eq!(*seen.lock().expect("no panic"), [200, logged]);
    }
}

#[actix_web::test]
async fn cors_inside_does_not_mark_an_answer_whose_session_was_not_stored() {
    let store = store();
    let sessions = sessions(&store);
    let address = serve!(
        App::new()
            .configure(routes)
            .wrap(Cors::default().allowed_origin("https://app.example.com"))
            .wrap(sessions.clone())
    );
    store.inject(Operation::Create, Fault::ErrorBefore);
    let failed = get(address, "/login", APP.as_bytes()).await;
    assert_eq!(failed.status, 503);
    assert_eq!(failed.header("access-control-allow-origin"), None);
}
