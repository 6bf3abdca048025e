//! The middleware among other middlewares, scopes, streams and sockets.

use actix_typed_session::{
    FileStore, MemoryStore, Session, SessionError, SessionHandle, SessionId, SessionMiddleware,
    Status, TypedSession,
    store::StoreKey,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Site, exchange, get, log_watch::Log, serve};
use actix_web::{
    App, Error, FromRequest as _, HttpRequest, HttpResponse, Responder,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::{ErrorForbidden, ErrorImATeapot, ErrorInternalServerError},
    http::header,
    middleware::{Compress, Logger, Next, NormalizePath, from_fn},
    web,
};
use futures_util::{SinkExt as _, StreamExt as _};

#[derive(Session)]
struct Visitor {
    views: u64,
    #[session(privilege)]
    user: Option<u32>,
}

#[derive(Session)]
struct Settings {
    theme: String,
}

#[derive(Session)]
#[session(cookie = "admin")]
struct Admin {
    views: u64,
}

fn store() -> FaultyStore<MemoryStore> {
    FaultyStore::new(MemoryStore::new())
}

async fn view(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_views(session.views + 1);
    session.views.to_string()
}

// Extractors.

#[actix_web::test]
async fn two_structs_share_one_session_and_one_load() {
    async fn both(
        mut visitor: TypedSession<Visitor>,
        mut settings: TypedSession<Settings>,
    ) -> impl Responder {
        visitor.set_views(visitor.views + 1);
        settings.set_theme(format!("{}x", settings.theme));
        format!("{} {}", visitor.views, settings.theme)
    }
    let site = Site::in_memory().route("/", both).start();
    let mut browser = site.client();
    assert_eq!(browser.get("/").await.body, "1 x");
    assert_eq!(browser.get("/").await.body, "2 xx");
    assert_eq!(site.store.calls(Operation::Load), 1);
    assert_eq!(site.store.calls(Operation::Update), 1);
}

#[actix_web::test]
async fn a_guard_and_a_handler_see_each_others_writes() {
    async fn guard(
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let (request, mut payload) = request.into_parts();
        {
            let mut session = TypedSession::<Visitor>::from_request(&request, &mut payload).await?;
            session.set_views(session.views + 10);
        }
        next.call(ServiceRequest::from_parts(request, payload)).await
    }
    let store = store();
    let sessions = SessionMiddleware::new(store.clone());
    let address = serve!(
        App::new()
            .wrap(from_fn(guard))
            .wrap(sessions.clone())
            .service(web::scope("/in").route("/side", web::get().to(view)))
    );
    let mut browser = Client::new(address);
    assert_eq!(browser.get("/in/side").await.body, "11");
    assert_eq!(browser.get("/in/side").await.body, "22");
    assert_eq!(store.calls(Operation::Update), 1);
    assert_eq!(browser.get("/nowhere").await.status, 404);
    assert_eq!(browser.get("/in/side").await.body, "43", "the 404 counted ten");
}

#[actix_web::test]
async fn without_the_middleware_the_error_names_what_to_add() {
    let address = serve!(App::new().route("/", web::get().to(view)).route(
        "/why",
        web::get().to(async |session: Result<TypedSession<Visitor>, SessionError>| {
            session.err().map(|error| error.to_string())
        })
    ));
    assert_eq!(get(address, "/", b"").await.text(), "500 ");
    let why = get(address, "/why", b"").await.body;
    assert!(why.contains(".wrap(SessionMiddleware::new(store))"), "{why}");
}

#[actix_web::test]
async fn option_and_result_are_extractors_that_go_on_without_a_session() {
    async fn option(session: Option<TypedSession<Visitor>>) -> impl Responder {
        session.map(|session| session.views).map_or("none".to_owned(), |views| views.to_string())
    }
    async fn result(session: Result<TypedSession<Visitor>, SessionError>) -> impl Responder {
        match session {
            Ok(session) => session.views.to_string(),
            Err(error) => error.to_string(),
        }
    }
    let site = Site::in_memory()
        .route("/view", view)
        .route("/option", option)
        .route("/result", result)
        .start();
    let mut browser = site.client();
    browser.get("/view").await;
    assert_eq!(browser.get("/option").await.body, "1");
    assert_eq!(browser.get("/result").await.body, "1");
    site.store.inject(Operation::Load, Fault::ErrorBefore);
    assert_eq!(browser.get("/option").await.text(), "200 none");
    let response = browser.get("/result").await;
    assert_eq!(response.text(), "200 the session store failed");
    assert_eq!(response.set_cookie(), None, "nobody knows whether the session is gone");
}

// Composition.

#[actix_web::test]
async fn a_session_works_inside_a_scope_and_only_there() {
    let sessions = SessionMiddleware::new(store());
    let address = serve!(
        App::new()
            .route("/outside", web::get().to(view))
            .service(web::scope("/shop").wrap(sessions.clone()).route("/", web::get().to(view)))
    );
    let mut browser = Client::new(address);
    browser.get("/shop/").await;
    assert_eq!(browser.get("/shop/").await.body, "2");
    assert_eq!(browser.get("/outside").await.status, 500);
}

/// Shows in a header what the session looks like after the response.
async fn look_again(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let session = TypedSession::<Visitor>::extract(response.request()).await?;
    let seen = format!("{} {:?} {}", session.views, session.status(), session.id().is_some());
    let seen = header::HeaderValue::from_str(&seen)?;
    response.headers_mut().insert(header::HeaderName::from_static("seen"), seen);
    Ok(response)
}

#[actix_web::test]
async fn who_asks_for_the_session_after_the_response_sees_what_was_stored() {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let app = move || {
        App::new()
            .wrap(sessions.clone())
            .wrap(from_fn(look_again))
            .route("/", web::get().to(view))
            .route("/plain", web::get().to(|| async { "plain" }))
    };
    let mut browser = Client::new(serve!(app()));
    // The first begins the session; the others change it, and the store changes its copy in place.
    for n in 1..4 {
        let response = browser.get("/").await;
        assert_eq!(response.body, n.to_string());
        assert_eq!(response.header("seen"), Some(format!("{n} Loaded true").as_str()));
    }
    // This is the first extraction, and it is too late to set or remove the cookie.
    let response = browser.get("/plain").await;
    assert_eq!(response.header("seen"), Some("3 Loaded true"));
}

#[actix_web::test]
async fn who_asks_for_it_after_the_response_sees_a_session_that_has_a_new_id() {
    async fn again(mut session: TypedSession<Visitor>) -> Result<impl Responder, SessionError> {
        session.renew();
        session.set_views(session.views + 1);
        session.save().await?;
        session.set_views(session.views + 1);
        Ok("saved, and changed again")
    }
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let app = move || {
        App::new().wrap(sessions.clone()).wrap(from_fn(look_again)).route("/", web::get().to(again))
    };
    let mut browser = Client::new(serve!(app()));
    for n in [2, 4] {
        let response = browser.get("/").await;
        assert_eq!(response.header("seen"), Some(format!("{n} Loaded true").as_str()));
    }
}

#[actix_web::test]
async fn a_store_that_answers_at_once_is_asked_no_less() {
    async fn fail(mut session: TypedSession<Visitor>) -> impl Responder {
        session.set_views(100);
        HttpResponse::InternalServerError()
    }
    async fn log_in(mut session: TypedSession<Visitor>) -> impl Responder {
        session.set_user(Some(session.user.unwrap_or_default() + 1));
        session.views.to_string()
    }
    async fn log_out(mut session: TypedSession<Visitor>) -> impl Responder {
        session.destroy();
        ""
    }
    let store = MemoryStore::new();
    let site = Site::unwatched(SessionMiddleware::builder(store.clone()))
        .route("/", view)
        .route("/fail", fail)
        .route("/log_in", log_in)
        .route("/log_out", log_out)
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/").await.text(), "200 1");
    assert_eq!(browser.get("/fail").await.status, 500);
    assert_eq!(browser.get("/").await.text(), "200 2", "a failed request changes nothing");
    let before = browser.cookie().to_owned();
    assert_eq!(browser.get("/log_in").await.text(), "200 2");
    assert_ne!(browser.cookie(), before, "a privilege renews the id");
    assert_eq!(browser.get("/").await.text(), "200 3");
    assert!(browser.get("/log_out").await.removes_cookie());
    let left = store.len();
    assert_eq!(left, 1, "the mark of the renewal alone");
    assert_eq!(browser.get("/").await.text(), "200 1");
}

#[actix_web::test]
async fn other_middlewares_work_around_and_inside() {
    let sessions = SessionMiddleware::new(store());
    let address = serve!(
        App::new()
            .wrap(Compress::default())
            .wrap(NormalizePath::trim())
            .wrap(sessions.clone())
            .wrap(Logger::default())
            .route("/around", web::get().to(view))
            .route(
                "/long",
                web::get().to(async |mut session: TypedSession<Visitor>| {
                    session.set_views(session.views + 1);
                    "long ".repeat(1_000)
                })
            )
    );
    let inside = SessionMiddleware::new(store());
    let other = serve!(
        App::new()
            .wrap(inside.clone())
            .wrap(Compress::default())
            .wrap(NormalizePath::trim())
            .wrap(Logger::default())
            .route("/around", web::get().to(view))
    );
    for address in [address, other] {
        let mut browser = Client::new(address);
        assert_eq!(browser.get("/around/").await.body, "1");
        assert_eq!(browser.get("/around").await.body, "2");
    }
    let response = get(address, "/long", b"Accept-Encoding: gzip\r\n").await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert!(response.set_cookie().is_some());
    let vary: Vec<_> = response.all("vary").flat_map(|value| value.split(", ")).collect();
    assert!(vary.contains(&"Cookie") && vary.contains(&"accept-encoding"), "{vary:?}");
}

#[actix_web::test]
async fn an_error_of_a_handler_closes_the_session() {
    let site = Site::in_memory()
        .route("/", view)
        .route("/teapot", async |mut session: TypedSession<Visitor>| {
            session.set_views(session.views + 10);
            Err::<&str, _>(ErrorImATeapot("short and stout"))
        })
        .route("/broken", async |mut session: TypedSession<Visitor>| {
            session.set_views(session.views + 100);
            Err::<&str, _>(ErrorInternalServerError("broken"))
        })
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/teapot").await.text(), "418 short and stout");
    assert_eq!(browser.get("/broken").await.status, 500);
    assert_eq!(browser.get("/").await.body, "11");
}

/// A middleware whose error reaches the session middleware as an `Err`.
async fn refuse(
    session: TypedSession<Visitor>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut session = session;
    match request.path() {
        "/forbidden" => {
            session.set_views(session.views + 10);
            Err(ErrorForbidden("forbidden"))
        }
        "/broken" => {
            session.set_views(session.views + 100);
            Err(ErrorInternalServerError("broken"))
        }
        "/goodbye" => {
            session.destroy();
            Err(ErrorInternalServerError("goodbye"))
        }
        _ => next.call(request).await,
    }
}

#[actix_web::test]
async fn an_error_of_an_inner_middleware_closes_the_session_cookie_included() {
    let store = store();
    let sessions = SessionMiddleware::new(store.clone());
    let address = serve!(
        App::new()
            .wrap(from_fn(refuse))
            .wrap(sessions.clone())
            .default_service(web::get().to(view))
    );
    let mut browser = Client::new(address);
    let response = browser.get("/forbidden").await;
    assert_eq!(response.text(), "403 forbidden");
    assert!(response.set_cookie().is_some(), "one cookie: {response:?}");
    assert_eq!(response.header("vary"), Some("Cookie"));
    assert_eq!(browser.get("/broken").await.set_cookie(), None);
    assert_eq!(browser.get("/").await.body, "11");
    store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(browser.get("/forbidden").await.text(), "503 ");
    store.heal();
    assert!(browser.get("/goodbye").await.removes_cookie());
    assert_eq!(browser.get("/").await.body, "1");
}

/// A value that panics when it is stored half changed.
#[derive(Default, serde::Deserialize)]
struct Fragile {
    half_changed: bool,
}

impl serde::Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.half_changed, "half changed");
        serializer.collect_map([("half_changed", self.half_changed)])
    }
}

#[derive(Session)]
struct Hazard {
    fragile: Fragile,
}

#[actix_web::test]
async fn a_panic_in_a_handler_stores_nothing_and_harms_no_other_request() {
    async fn panicking(mut session: TypedSession<Visitor>) -> &'static str {
        session.set_views(session.views + 100);
        let mut views = session.views_mut();
        *views += 1;
        panic!("as the test wants it");
    }
    // A guard that records its change while a panic unwinds would panic again and abort the
    // process.
    async fn hazardous(mut session: TypedSession<Hazard>) -> &'static str {
        let mut fragile = session.fragile_mut();
        fragile.half_changed = true;
        panic!("as the test wants it");
    }
    let site = Site::in_memory()
        .route("/", view)
        .route("/panic", panicking)
        .route("/hazard", hazardous)
        .start();
    let mut browser = site.client();
    browser.get("/").await;
    let cookie = format!("Cookie: __Host-session={}\r\n", browser.cookie());
    for path in ["/panic", "/hazard"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{cookie}\r\n");
        let responses = exchange(site.address, request.as_bytes()).await;
        assert!(responses.is_empty(), "the connection is closed");
    }
    assert_eq!(browser.get("/").await.body, "2");
}

#[actix_web::test]
async fn nested_middlewares_have_sessions_of_their_own() {
    async fn admin(
        mut inner: TypedSession<Visitor>,
        mut outer: TypedSession<Admin>,
    ) -> impl Responder {
        inner.set_views(inner.views + 1);
        outer.set_views(outer.views + 10);
        format!("{} {}", inner.views, outer.views)
    }
    let (inner_store, outer_store) = (store(), store());
    let outer = SessionMiddleware::builder(outer_store.clone())
        .cookie_name("__Host-admin")
        .build()
        .expect("valid settings");
    let inner = SessionMiddleware::new(inner_store.clone());
    let address = serve!(
        App::new()
            .wrap(inner.clone())
            .wrap(outer.clone())
            .route("/both", web::get().to(admin))
            .route("/inner", web::get().to(view))
            .route(
                "/unknown",
                web::get().to(async |session: Result<TypedSession<Other>, SessionError>| {
                    session.err().map(|error| error.to_string())
                })
            )
    );
    let mut browser = Client::new(address);
    assert_eq!(browser.get("/both").await.body, "1 10");
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-admin", "__Host-session"]);
    assert_eq!(browser.get("/both").await.body, "2 20");
    let calls = outer_store.all_calls();
    assert_eq!(browser.get("/inner").await.body, "3");
    assert_eq!(outer_store.all_calls(), calls, "the outer session was not asked for");
    let why = browser.get("/unknown").await.body;
    assert!(why.contains("cookie_name(\"nowhere\")"), "{why}");
}

#[derive(Session, Debug)]
#[session(cookie = "nowhere")]
struct Other {
    #[allow(dead_code, reason = "the test needs the struct and not its fields")]
    views: u64,
}

#[actix_web::test]
async fn outside_the_inner_middleware_the_outer_session_is_the_default() {
    async fn count(
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let response = next.call(request).await?;
        let mut session =
            TypedSession::<Visitor>::from_request(response.request(), &mut Payload::None).await?;
        session.set_views(session.views + 100);
        Ok(response)
    }
    let (inner_store, outer_store) = (store(), store());
    let outer = SessionMiddleware::builder(outer_store.clone())
        .cookie_name("__Host-admin")
        .build()
        .expect("valid settings");
    let inner = SessionMiddleware::new(inner_store.clone());
    let address = serve!(
        App::new()
            .wrap(inner.clone())
            .wrap(from_fn(count))
            .wrap(outer.clone())
            .route("/", web::get().to(view))
    );
    let mut browser = Client::new(address);
    assert_eq!(browser.get("/").await.body, "1");
    assert_eq!(browser.get("/").await.body, "2", "the inner session has no hundreds");
    assert_eq!(outer_store.calls(Operation::Update), 1);
}

#[actix_web::test]
async fn a_struct_that_names_no_cookie_gets_the_innermost_session_and_the_log_says_so_once() {
    async fn log_in(mut session: TypedSession<Unnamed>) -> impl Responder {
        session.set_user(Some(7));
        "in"
    }
    #[derive(Session)]
    struct Unnamed {
        #[session(privilege)]
        user: Option<i64>,
    }
    let (inner_store, outer_store) = (store(), store());
    let outer = SessionMiddleware::new(outer_store.clone());
    let inner = SessionMiddleware::builder(inner_store.clone()).cookie_name("__Host-oauth");
    let inner = inner.build().expect("valid settings");
    let log = Log::of_all_threads();
    let warnings = || log.text().matches("`Unnamed` does not say which session it means").count();
    let address = serve!(
        App::new()
            .service(web::scope("/oauth").wrap(inner.clone()).route("/in", web::get().to(log_in)))
            .route("/in", web::get().to(log_in))
            .wrap(outer.clone())
    );
    Client::new(address).get("/in").await;
    assert_eq!(warnings(), 0, "one middleware is enough of a name");
    for _ in 0..3 {
        Client::new(address).get("/oauth/in").await;
    }
    assert_eq!(
        (inner_store.calls(Operation::Create), outer_store.calls(Operation::Create)),
        (3, 1)
    );
    assert_eq!(warnings(), 1);
}

#[actix_web::test]
async fn a_middleware_that_is_wrapped_twice_is_one() {
    let sessions = SessionMiddleware::new(store());
    let address = serve!(
        App::new().wrap(sessions.clone()).wrap(sessions.clone()).route("/", web::get().to(view))
    );
    assert_eq!(Client::new(address).get("/").await.body, "1");
}

#[actix_web::test]
async fn code_without_a_struct_can_end_a_session() {
    let site = Site::in_memory()
        .route("/", view)
        .route("/logout", async |mut session: SessionHandle| {
            let before = session.status();
            session.destroy();
            format!("{before:?} {:?} {:?}", session.status(), session.id())
        })
        .start();
    let mut browser = site.client();
    browser.get("/").await;
    let response = browser.get("/logout").await;
    assert_eq!(response.body, "Loaded Destroyed None");
    assert!(response.removes_cookie());
}

#[actix_web::test]
async fn an_old_id_that_reads_nothing_is_not_told_either() {
    let site = Site::in_memory()
        .route("/", view)
        .route("/login", async |mut session: TypedSession<Visitor>| {
            session.set_user(Some(1));
            "hello"
        })
        .route("/renew", async |mut session: SessionHandle| {
            session.renew();
            "ok"
        })
        .route("/id", async |session: SessionHandle| {
            format!("{:?} {}", session.status(), session.id().is_some())
        })
        .start();
    let mut browser = site.client();
    browser.get("/").await;
    let before = browser.clone();
    browser.get("/renew").await;
    assert_eq!(before.clone().get("/id").await.body, "Retired true");
    let before = browser.clone();
    browser.get("/login").await;
    assert_eq!(before.clone().get("/id").await.body, "Retired false");
    assert_eq!(browser.get("/id").await.body, "Loaded true");
}

#[actix_web::test]
async fn a_damaged_session_makes_a_new_visitor_and_one_line_in_the_log() {
    let log = Log::of_this_thread();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let store = FileStore::new(folder.path()).expect("a writable folder");
    let app = actix_web::test::init_service(
        App::new().wrap(SessionMiddleware::new(store)).route("/", web::get().to(view)),
    )
    .await;
    let get = async |cookie: Option<&str>| {
        let mut request = actix_web::test::TestRequest::get().uri("/");
        if let Some(cookie) = cookie {
            request = request.insert_header((header::COOKIE, cookie));
        }
        let response = actix_web::test::call_service(&app, request.to_request()).await;
        let set = response.headers().get(header::SET_COOKIE).cloned();
        let set = set.map(|set| set.to_str().expect("ASCII").to_owned());
        (set, actix_web::test::read_body(response).await)
    };
    let (cookie, _) = get(None).await;
    let cookie = cookie.expect("a cookie").split(';').next().expect("a pair").to_owned();
    let id = SessionId::new(cookie.split_once('=').expect("a pair").1).expect("an id");
    let name = StoreKey::from(&id).to_hex();
    let file = folder.path().join(&name[..2]).join(&name[2..]);
    std::fs::write(file, "half a sess").expect("the session's file");
    for _ in 0..3 {
        let (set, body) = get(Some(&cookie)).await;
        assert_eq!(body, "1", "a new visitor");
        assert!(set.is_some_and(|set| !set.contains(&cookie)), "with another id");
    }
    let text = log.text();
    assert_eq!(text.matches("the stored session is damaged").count(), 1, "{text}");
    assert!(text.contains("it is kept in"), "{text}");
}

// After the head of the response.

/// A streamed body, which changes and saves the session after the head was sent.
async fn stream(request: HttpRequest, session: TypedSession<Visitor>) -> impl Responder {
    let how = request.query_string().to_owned();
    let chunks = futures_util::stream::once(async move {
        let mut session = session;
        session.set_views(session.views + 1);
        if how == "login" {
            session.set_user(Some(1));
        }
        if how == "destroy" {
            session.destroy();
        }
        let saved = if how == "unsaved" { Ok(()) } else { session.save().await };
        let line = match saved {
            Ok(()) => format!("{} {:?}", session.views, session.status()),
            Err(error) => error.to_string(),
        };
        Ok::<_, Error>(web::Bytes::from(line))
    });
    HttpResponse::Ok().streaming(Box::pin(chunks))
}

#[actix_web::test]
async fn a_streaming_body_can_save_what_needs_no_new_cookie() {
    let site = Site::in_memory().route("/", view).route("/stream", stream).start();
    let mut browser = site.client();
    let response = browser.get("/stream").await;
    assert!(response.body.contains("the response head has been sent"), "{response:?}");
    assert_eq!(response.set_cookie(), None, "no session was stored");
    browser.get("/").await;
    let before = browser.clone();
    assert_eq!(browser.get("/stream").await.body, "2 Loaded");
    assert_eq!(browser.get("/").await.body, "3");
    let login = browser.get("/stream?login").await;
    assert!(login.body.contains("the response head has been sent"), "{login:?}");
    assert_eq!(browser.cookies, before.cookies, "and the old id got no privilege");
    assert_eq!(browser.get("/").await.body, "4");
    assert_eq!(browser.get("/stream?destroy").await.body, "0 Destroyed");
    assert_eq!(browser.get("/").await.body, "1");
}

#[actix_web::test]
async fn changes_that_nobody_saves_are_warned_about() {
    let log = Log::of_this_thread();
    let sessions = SessionMiddleware::new(store());
    let app = actix_web::test::init_service(
        App::new().wrap(sessions).route("/stream", web::get().to(stream)),
    )
    .await;
    let request = actix_web::test::TestRequest::get().uri("/stream?unsaved").to_request();
    let response = actix_web::test::call_service(&app, request).await;
    assert_eq!(actix_web::test::read_body(response).await, "1 New");
    assert!(log.text().contains("were never stored"), "{}", log.text());
}

#[actix_web::test]
async fn what_cannot_be_kept_is_not_said_to_be_unsaved() {
    let log = Log::of_this_thread();
    let sessions = SessionMiddleware::new(store());
    let app = actix_web::test::init_service(
        App::new()
            .wrap(sessions)
            .route("/", web::get().to(view))
            .route(
                "/renew",
                web::get().to(async |mut session: SessionHandle| {
                    session.renew();
                    "renewed"
                }),
            )
            .route(
                "/broken",
                web::get().to(async |mut session: SessionHandle| {
                    session.renew();
                    HttpResponse::InternalServerError().finish()
                }),
            ),
    )
    .await;
    let get = async |path: &str, cookie: &str| {
        let request = actix_web::test::TestRequest::get()
            .uri(path)
            .insert_header((header::COOKIE, cookie))
            .to_request();
        let response = actix_web::test::call_service(&app, request).await;
        let set = response.headers().get(header::SET_COOKIE).cloned();
        set.map(|set| set.to_str().expect("ASCII").split(';').next().unwrap_or_default().to_owned())
    };
    let cookie = get("/", "").await.expect("a new session");
    assert_eq!(get("/broken", &cookie).await, None);
    assert!(get("/renew", &cookie).await.is_some());
    assert_eq!(get("/renew", &cookie).await, None, "the id is an old one");
    assert_eq!(log.lines().len(), 1, "{}", log.text());
    assert!(log.text().contains("the changes of a request are lost"), "{}", log.text());
}

#[actix_web::test]
async fn what_is_asked_for_during_a_save_is_done_after_it() {
    async fn busy(
        how: web::Path<String>,
        mut session: TypedSession<Visitor>,
        mut other: TypedSession<Settings>,
    ) -> impl Responder {
        session.set_views(session.views + 1);
        let meanwhile = async {
            match how.as_str() {
                "write" => other.set_theme("dark".to_owned()),
                _ => other.destroy(),
            }
        };
        let (saved, ()) = futures_util::future::join(session.save(), meanwhile).await;
        saved.map(|()| "saved")
    }
    let site = Site::in_memory()
        .route("/", view)
        .route("/theme", async |session: TypedSession<Settings>| session.theme.clone())
        .route("/busy/{how}", busy)
        .start();
    let mut browser = site.client();
    browser.get("/").await;
    site.store.inject(Operation::Update, Fault::Delay(std::time::Duration::from_millis(20)));
    assert_eq!(browser.get("/busy/write").await.text(), "200 saved");
    assert_eq!(browser.get("/theme").await.body, "dark");
    assert!(browser.get("/busy/destroy").await.removes_cookie());
    assert_eq!(browser.get("/").await.body, "1", "a new session");
}

#[actix_web::test]
async fn a_websocket_reads_the_session_and_changes_it_with_save() {
    async fn socket(
        request: HttpRequest,
        body: web::Payload,
        session: TypedSession<Visitor>,
    ) -> Result<HttpResponse, Error> {
        let (response, mut socket, mut messages) = actix_ws::handle(&request, body)?;
        let mut session = session;
        actix_web::rt::spawn(async move {
            while let Some(Ok(actix_ws::Message::Text(text))) = messages.next().await {
                if &*text == "view" {
                    session.set_views(session.views + 1);
                }
                if &*text == "reload" {
                    let _ = session.reload().await;
                }
                let answer = match session.save().await {
                    Ok(()) => session.views.to_string(),
                    Err(error) => error.to_string(),
                };
                if socket.text(answer).await.is_err() {
                    break;
                }
            }
        });
        Ok(response)
    }
    let site = Site::in_memory().route("/", view).route("/socket", socket).start();
    let mut browser = site.client();
    browser.get("/").await;
    let cookie = format!("__Host-session={}", browser.cookie());
    let (response, mut socket) = awc::Client::new()
        .ws(format!("http://{}/socket", site.address))
        .set_header(header::COOKIE, cookie)
        .connect()
        .await
        .expect("a websocket");
    assert_eq!(response.status(), 101);
    let mut say = async |text: &'static str| {
        socket.send(awc::ws::Message::Text(text.into())).await.expect("an open socket");
        match socket.next().await {
            Some(Ok(awc::ws::Frame::Text(answer))) => {
                String::from_utf8(answer.to_vec()).expect("text")
            }
            other => panic!("an answer and not {other:?}"),
        }
    };
    assert_eq!(say("view").await, "2");
    assert_eq!(browser.get("/").await.body, "3", "what the socket saved");
    assert_eq!(say("reload").await, "3", "what the request saved");
    assert_eq!(say("view").await, "4");
    browser.get("/").await;
    assert_eq!(browser.get("/").await.body, "6");
}

// The rest.

#[actix_web::test]
async fn the_headers_of_a_handler_are_kept() {
    let site = Site::in_memory()
        .route("/", async |mut session: TypedSession<Visitor>| {
            session.set_views(session.views + 1);
            HttpResponse::Ok()
                .insert_header((header::SET_COOKIE, "theme=dark"))
                .insert_header((header::VARY, "Accept-Language"))
                .insert_header((header::CACHE_CONTROL, "max-age=60"))
                .body("hello")
        })
        .start();
    let response = get(site.address, "/", b"").await;
    assert_eq!(response.all("set-cookie").count(), 2);
    assert!(response.all("set-cookie").any(|cookie| cookie == "theme=dark"));
    assert_eq!(response.all("vary").collect::<Vec<_>>(), ["Accept-Language, Cookie"]);
    let caching: Vec<_> = response.all("cache-control").collect();
    assert_eq!(caching, ["max-age=60", "no-cache=\"Set-Cookie\""]);
}

#[actix_web::test]
async fn extractors_of_one_handler_that_load_at_once_load_once() {
    async fn three(
        a: TypedSession<Visitor>,
        b: TypedSession<Settings>,
        c: SessionHandle,
    ) -> impl Responder {
        format!("{} {:?} {:?}", a.views, b.theme, c.status() == Status::Loaded)
    }
    let site = Site::in_memory().route("/", view).route("/three", three).start();
    let mut browser = site.client();
    browser.get("/").await;
    site.store.inject(Operation::Load, Fault::Delay(std::time::Duration::from_millis(20)));
    assert_eq!(browser.get("/three").await.body, "1 \"\" true");
    assert_eq!(site.store.calls(Operation::Load), 1);
}

#[actix_web::test]
async fn a_save_that_is_given_up_is_settled_before_the_response() {
    async fn impatient(mut session: TypedSession<Visitor>) -> impl Responder {
        session.set_views(session.views + 1);
        let saved = tokio::time::timeout(std::time::Duration::from_millis(1), session.save()).await;
        format!("{}", saved.is_err())
    }
    let site = Site::in_memory().route("/", view).route("/impatient", impatient).start();
    let mut browser = site.client();
    browser.get("/").await;
    site.store.inject(Operation::Update, Fault::Delay(std::time::Duration::from_millis(500)));
    assert_eq!(browser.get("/impatient").await.body, "true");
    assert_eq!(site.store.calls(Operation::Update), 1, "the abandoned save is not made twice");
    site.store.heal();
    assert_eq!(browser.get("/").await.body, "3");
}

#[actix_web::test]
async fn logs_tell_the_cause_and_no_secret() {
    let log = Log::of_this_thread();
    let store = store();
    let sessions = SessionMiddleware::new(store.clone());
    let app = actix_web::test::init_service(
        App::new().wrap(sessions).route("/", web::get().to(view)).route(
            "/secret",
            web::get().to(async |mut session: TypedSession<Settings>| {
                session.set_theme("hunter2".to_owned());
                "ok"
            }),
        ),
    )
    .await;
    let request = actix_web::test::TestRequest::get().uri("/secret").to_request();
    let response = actix_web::test::call_service(&app, request).await;
    let cookie = response.headers().get(header::SET_COOKIE).expect("a cookie").clone();
    let cookie = cookie.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
    store.inject(Operation::Load, Fault::ErrorBefore);
    let request = actix_web::test::TestRequest::get()
        .insert_header((header::COOKIE, cookie.clone()))
        .to_request();
    assert_eq!(actix_web::test::call_service(&app, request).await.status(), 503);
    let text = log.text();
    assert!(text.contains("injected before the call"), "{text}");
    let id = cookie.split_once('=').expect("a pair").1;
    assert!(!text.contains("hunter2") && !text.contains(id), "{text}");
}
