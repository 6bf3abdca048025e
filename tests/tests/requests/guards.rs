//! Handlers that say who may use them, and the session of a request in error pages, log lines and
//! responders.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_typed_session::{
    GuardError, Guarded, LoggedIn, Login, LoginRule, MemoryStore, OnOutage, Refusal, ReturnTo,
    Rule, Session, SessionError, SessionMiddleware, SessionMiddlewareBuilder, Status, TypedSession,
    require,
    testing::{Fault, FaultyStore, Operation, TestSession},
};
use actix_typed_session_tests::{
    ApiClient, Client, Response, Site, exchange, log_watch::Log, serve,
};
use actix_web::{
    App, HttpRequest, HttpResponse, Responder, ResponseError as _,
    body::BoxBody,
    dev::ServiceResponse,
    http::{StatusCode, header::HeaderValue},
    middleware::{ErrorHandlerResponse, ErrorHandlers, Logger, from_fn},
    test::TestRequest,
    web,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Session, Debug, Default)]
struct Visitor {
    #[session(privilege)]
    user: Option<i64>,
    #[session(privilege)]
    is_admin: bool,
    #[session(privilege, ttl = "15m")]
    knows_password: bool,
    #[session(merge = "add")]
    views: u64,
    cart: Vec<String>,
}

impl Login for Visitor {
    type User = i64;

    fn user(&self) -> Option<i64> {
        self.user
    }

    fn login_page(_: &HttpRequest) -> Option<String> {
        Some("/login".to_owned())
    }
}

/// The same login, for an API: without a page.
#[derive(Session)]
struct ApiVisitor {
    #[session(privilege)]
    user: Option<i64>,
}

impl Login for ApiVisitor {
    type User = i64;

    fn user(&self) -> Option<i64> {
        self.user
    }
}

struct Admin;

impl Rule for Admin {
    type Session = Visitor;
    type Grant = i64;

    fn check(visitor: &Visitor, request: &HttpRequest) -> Result<i64, Refusal> {
        let user = visitor.require_login(request)?;
        if visitor.is_admin { Ok(user) } else { Err(Refusal::forbidden()) }
    }
}

struct RecentPassword;

impl Rule for RecentPassword {
    type Session = Visitor;
    type Grant = ();

    fn check(visitor: &Visitor, _: &HttpRequest) -> Result<(), Refusal> {
        let refusal = || Refusal::forbidden().or_page("/confirm");
        visitor.knows_password.then_some(()).ok_or_else(refusal)
    }
}

async fn account(mut session: LoggedIn<Visitor>) -> impl Responder {
    session.add_views(1);
    format!("user {} views {}", session.user(), session.views)
}

async fn log_in(mut session: TypedSession<Visitor>, user: web::Path<i64>) -> &'static str {
    session.set_user(Some(user.into_inner()));
    "in"
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/in/{user}", web::get().to(log_in))
        .route(
            "/cart",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.cart_mut().push("pear".to_owned());
                "added"
            }),
        )
        .route(
            "/promote",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_is_admin(true);
                "promoted"
            }),
        )
        .route(
            "/confirm",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_knows_password(true);
                "confirmed"
            }),
        )
        .route("/account", web::route().to(account))
        .route(
            "/api",
            web::route().to(async |session: LoggedIn<ApiVisitor>| session.user().to_string()),
        )
        .route(
            "/admin",
            web::get().to(async |session: Guarded<Admin>| format!("admin {}", session.grant())),
        )
        .route(
            "/email",
            web::get().to(async |session: Guarded<(LoginRule<Visitor>, RecentPassword)>| {
                let (user, ()) = session.grant();
                format!("email of {user}")
            }),
        )
        .route(
            "/maybe",
            web::get().to(async |session: Option<LoggedIn<Visitor>>| {
                session.map_or_else(|| "guest".to_owned(), |session| session.user().to_string())
            }),
        )
        .route("/login", web::get().to(async |next: ReturnTo| format!("next={next}")))
        .service(
            web::scope("/shop")
                .wrap(from_fn(require::<LoggedIn<Visitor>>))
                .route("/orders", web::get().to(async || "orders"))
                .route("/account", web::get().to(account)),
        )
        .route("/socket", web::get().to(socket));
}

async fn socket(
    session: LoggedIn<Visitor>,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let (response, connection, _) = actix_ws::handle(&request, body)?;
    let _ = (session.user(), connection);
    Ok(response)
}

fn site() -> Site {
    site_with(|settings| settings)
}

fn site_with(
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Site<FaultyStore<MemoryStore>> {
    Site::in_memory().configure(routes).settings(settings).start()
}

/// What a browser sends when a person opens a page.
const PAGE: &str = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
     Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
/// What it sends for `fetch`.
const FETCH: &str = "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\nAccept: */*\r\n";

async fn ask(client: &Client, method: &str, path: &str, headers: &str) -> Response {
    let cookies = client.cookies.iter().map(|(name, value)| format!("Cookie: {name}={value}\r\n"));
    let cookies: String = cookies.collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\
         {cookies}{headers}\r\n"
    );
    let mut responses = exchange(client.address, request.as_bytes()).await;
    assert_eq!(responses.len(), 1, "{method} {path} {headers}");
    responses.remove(0)
}

async fn open_page(client: &Client, path: &str) -> Response {
    ask(client, "GET", path, PAGE).await
}

#[actix_web::test]
async fn a_handler_behind_a_login_gets_the_user_and_others_are_sent_to_log_in() {
    let site = site();
    let mut ann = site.client();
    let refused = open_page(&ann, "/account?tab=2&x=%20").await;
    assert_eq!(refused.text(), "303 ");
    let location = "/login?next=%2Faccount%3Ftab%3D2%26x%3D%2520";
    assert_eq!(refused.header("location"), Some(location));

    let page = open_page(&ann, location).await;
    assert_eq!(page.body, "next=/account?tab=2&x=%20");

    ann.get("/in/7").await;
    assert_eq!(ann.get("/account").await.text(), "200 user 7 views 1");
    assert_eq!(ann.get("/account").await.text(), "200 user 7 views 2");
}

#[actix_web::test]
async fn each_kind_of_client_gets_an_answer_that_it_can_use() {
    let site = site();
    let guest = site.client();
    let xhr = "Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n";
    for (path, method, headers, expected) in [
        ("/account", "GET", PAGE, "303 /login?next=%2Faccount"),
        ("/account", "GET", "Accept: text/html\r\n", "303 /login?next=%2Faccount"),
        ("/account", "POST", PAGE, "303 /login"),
        ("/account", "GET", FETCH, "401 -"),
        ("/account", "POST", FETCH, "401 -"),
        ("/account", "GET", xhr, "401 -"),
        ("/account", "GET", "Accept: application/json\r\n", "401 -"),
        ("/account", "GET", "", "401 -"),
        ("/api", "GET", PAGE, "401 -"),
        ("/shop/orders", "GET", PAGE, "303 /login?next=%2Fshop%2Forders"),
        ("/shop/orders", "GET", FETCH, "401 -"),
        ("/shop/nowhere", "GET", FETCH, "401 -"),
    ] {
        let response = ask(&guest, method, path, headers).await;
        let location = response.header("location").unwrap_or("-");
        assert_eq!(
            format!("{} {location}", response.status),
            expected,
            "{method} {path} {headers}"
        );
        assert_eq!(response.body, "", "{method} {path}");
        assert_eq!(response.header("www-authenticate"), None, "{method} {path}");
        assert_eq!(response.header("vary"), Some("Cookie"), "{method} {path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{method} {path}");
    }
    assert_eq!(site.store_calls(), "", "clients without a cookie cost no store call");
}

#[actix_web::test]
async fn a_head_request_is_answered_as_a_get() {
    let site = Site::in_memory().route("/account", async |_: LoggedIn<Visitor>| "yours").start();
    let request = format!("HEAD /account HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{PAGE}\r\n");
    let response = exchange(site.address, request.as_bytes()).await.remove(0);
    assert_eq!(response.header("location"), Some("/login?next=%2Faccount"));
}

#[actix_web::test]
async fn a_refused_visitor_gets_the_same_answer_with_and_without_a_session() {
    let site = site();
    let mut shopper = site.client();
    shopper.get("/cart").await;
    let mut forger = site.client();
    forger.cookies.insert("__Host-session".to_owned(), "A".repeat(43));
    let mut junk = site.client();
    junk.cookies.insert("__Host-session".to_owned(), "junk".to_owned());
    let calls = site.store_calls();
    for headers in [PAGE, FETCH] {
        for path in ["/account", "/admin", "/email", "/shop/orders"] {
            let mut answers = Vec::new();
            for client in [&site.client(), &shopper, &forger, &junk] {
                let mut answer = ask(client, "GET", path, headers).await;
                answer.headers.retain(|(name, _)| name != "date");
                answers.push(format!("{answer:?}"));
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{path} {answers:#?}");
        }
    }
    let other_calls = |calls: &str| calls.replace(|it: char| it.is_ascii_digit(), "");
    assert_eq!(other_calls(&site.store_calls()), "create , load ", "nothing is stored");
    assert_eq!(calls, "create 1");
    assert_eq!(shopper.get("/cart").await.text(), "200 added");
}

#[actix_web::test]
async fn a_role_is_a_403_for_users_and_a_login_for_guests() {
    let site = site();
    let mut ann = site.client();
    assert_eq!(open_page(&ann, "/admin").await.status, 303);
    ann.get("/in/7").await;
    assert_eq!(open_page(&ann, "/admin").await.text(), "403 ");
    ann.get("/promote").await;
    assert_eq!(open_page(&ann, "/admin").await.text(), "200 admin 7");
}

#[actix_web::test]
async fn a_password_given_a_moment_ago_counts_for_its_time_only() {
    let site = site();
    let mut ann = site.client();
    assert_eq!(
        open_page(&ann, "/email").await.header("location"),
        Some("/login?next=%2Femail"),
        "rules are asked in their order"
    );
    ann.get("/in/7").await;
    let stale = open_page(&ann, "/email").await;
    assert_eq!(stale.header("location"), Some("/confirm?next=%2Femail"));
    assert_eq!(ask(&ann, "GET", "/email", FETCH).await.status, 403);
    ann.get("/confirm").await;
    site.pass(Duration::from_secs(15 * 60 - 1)).await;
    assert_eq!(open_page(&ann, "/email").await.text(), "200 email of 7");
    site.pass(Duration::from_secs(1)).await;
    assert_eq!(open_page(&ann, "/email").await.status, 303);
    assert_eq!(ann.get("/account").await.status, 200, "the login goes on");
}

#[actix_web::test]
async fn an_outage_lets_no_one_in_and_sends_no_one_to_log_in() {
    for on_outage in [OnOutage::FailClosed, OnOutage::Anonymous] {
        let site = site_with(|settings| settings.on_outage(on_outage));
        let mut ann = site.client();
        ann.get("/in/7").await;
        site.store.inject(Operation::Load, Fault::ErrorBefore);
        for path in ["/account", "/api", "/admin", "/email", "/shop/orders", "/shop/account"] {
            for headers in [PAGE, FETCH] {
                let response = ask(&ann, "GET", path, headers).await;
                assert_eq!(response.text(), "503 ", "{on_outage:?} {path}");
                assert_eq!(response.set_cookie(), None, "{on_outage:?} {path}");
            }
        }
        assert_eq!(ann.get("/maybe").await.body, "guest", "{on_outage:?}");
        site.store.heal();
        assert_eq!(ann.get("/account").await.status, 200, "{on_outage:?}");
    }
}

#[actix_web::test]
async fn clients_with_bearer_tokens_get_a_challenge_and_never_a_page() {
    let site = site_with(SessionMiddlewareBuilder::bearer);
    let mut program = ApiClient::bearer(site.address);
    let header = |id: &str| format!("Authorization: Bearer {id}\r\n{PAGE}");
    for id in ["", "A".repeat(43).as_str()] {
        let refused = ask(&site.client(), "GET", "/account", &header(id)).await;
        assert_eq!(refused.text(), "401 ", "{id}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{id}");
        assert_eq!(refused.header("location"), None, "{id}");
    }
    let begun = ask(&site.client(), "GET", "/in/7", &header("")).await;
    program.id = begun.header("session-token").expect("an id").to_owned();
    let response = ask(&site.client(), "GET", "/account", &header(&program.id)).await;
    assert_eq!(response.text(), "200 user 7 views 1");

    let page = open_page(&site.client(), "/account").await;
    assert_eq!((page.status, page.header("www-authenticate")), (303, None), "a browser");
    let forbidden = ask(&site.client(), "GET", "/admin", &header(&program.id)).await;
    assert_eq!((forbidden.status, forbidden.header("www-authenticate")), (403, None));
}

#[actix_web::test]
async fn an_id_in_another_header_has_no_challenge() {
    let site = site_with(|settings| settings.header("X-Session"));
    let refused = ask(&site.client(), "GET", "/account", &format!("X-Session: \r\n{PAGE}")).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, None));
    let signed_in = ask(&site.client(), "GET", "/in/7", "X-Session: \r\n").await;
    let id = signed_in.header("x-session").expect("an id");
    let header = format!("X-Session: {id}\r\n");
    assert_eq!(ask(&site.client(), "GET", "/account", &header).await.status, 200);
}

#[actix_web::test]
async fn a_guard_around_a_scope_loads_the_session_once_with_the_handlers() {
    let site = site();
    let mut ann = site.client();
    ann.get("/in/7").await;
    assert_eq!(ann.get("/shop/orders").await.text(), "200 orders");
    assert_eq!(ann.get("/shop/nowhere").await.status, 404);
    assert_eq!(site.store_calls(), "create 1, load 2");
    assert_eq!(ann.get("/shop/account").await.text(), "200 user 7 views 1");
    assert_eq!(site.store_calls(), "create 1, load 3, update 1");
}

#[actix_web::test]
async fn a_login_page_inside_of_its_scope_is_a_401_and_not_an_endless_redirect() {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .route("/login", web::get().to(async || "log in"))
            .wrap(from_fn(require::<LoggedIn<Visitor>>))
            .wrap(sessions.clone())
    );
    let guest = Client::new(address);
    assert_eq!(open_page(&guest, "/orders").await.status, 303);
    assert_eq!(open_page(&guest, "/login?next=%2Forders").await.text(), "401 ");
}

#[actix_web::test]
async fn a_guard_outside_of_the_session_middleware_lets_no_one_in() {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .route("/in/{user}", web::get().to(log_in))
            .route("/", web::get().to(async || "secret"))
            .wrap(sessions.clone())
            .wrap(from_fn(require::<LoggedIn<Visitor>>))
    );
    let mut ann = Client::new(address);
    assert_eq!(ann.get("/in/7").await.text(), "500 ");
    assert_eq!(ann.get("/").await.text(), "500 ");
}

#[actix_web::test]
async fn error_pages_see_a_refusal_of_a_scope_as_that_of_a_handler() {
    fn page(
        response: ServiceResponse<BoxBody>,
    ) -> actix_web::Result<ErrorHandlerResponse<BoxBody>> {
        let error = response.response().error().and_then(|it| it.as_error::<GuardError>());
        let is_refused = matches!(error, Some(GuardError::Refused(_)));
        let body = format!("please log in, refused: {is_refused}");
        let response = response.map_body(|_, _| BoxBody::new(body));
        Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
    }
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .route("/api", web::get().to(async |_: LoggedIn<ApiVisitor>| "secret"))
            .service(
                web::scope("/scope")
                    .wrap(from_fn(require::<LoggedIn<ApiVisitor>>))
                    .route("/", web::get().to(async || "secret"))
            )
            .wrap(actix_web::middleware::Compat::new(from_fn(boxed)))
            .wrap(ErrorHandlers::new().handler(StatusCode::UNAUTHORIZED, page))
            .wrap(sessions.clone())
    );
    for path in ["/api", "/scope/"] {
        let response = open_page(&Client::new(address), path).await;
        assert_eq!(response.text(), "401 please log in, refused: true", "{path}");
    }
}

async fn boxed(
    request: actix_web::dev::ServiceRequest,
    next: actix_web::middleware::Next<impl actix_web::body::MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

#[actix_web::test]
async fn a_web_socket_opens_for_users_and_is_a_401_for_others() {
    let site = site();
    let mut ann = site.client();
    assert_eq!(open_socket(&ann, "Sec-Fetch-Mode: websocket\r\nAccept: */*\r\n").await, 401);
    assert_eq!(open_socket(&ann, "").await, 401);
    ann.get("/in/7").await;
    assert_eq!(open_socket(&ann, "").await, 101);
}

async fn open_socket(client: &Client, headers: &str) -> u16 {
    let cookies = client.cookies.iter().map(|(name, value)| format!("Cookie: {name}={value}\r\n"));
    let cookies: String = cookies.collect();
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         {cookies}{headers}\r\n"
    );
    let mut stream = TcpStream::connect(client.address).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    let head = String::from_utf8(head).expect("text");
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[derive(Session)]
#[session(cookie = "staff")]
struct Staff {
    #[session(privilege)]
    user: Option<i64>,
}

impl Login for Staff {
    type User = i64;

    fn user(&self) -> Option<i64> {
        self.user
    }
}

#[actix_web::test]
async fn where_middlewares_are_nested_a_guard_asks_for_the_session_of_its_struct() {
    let inner = SessionMiddleware::new(MemoryStore::new());
    let outer = SessionMiddleware::builder(MemoryStore::new())
        .cookie_name("staff")
        .build()
        .expect("valid settings");
    let address = serve!(
        App::new()
            .configure(routes)
            .route(
                "/staff/in",
                web::get().to(async |mut session: TypedSession<Staff>| {
                    session.set_user(Some(1));
                    "in"
                })
            )
            .route(
                "/staff",
                web::get().to(async |staff: LoggedIn<Staff>| format!("staff {}", staff.user()))
            )
            .wrap(inner.clone())
            .wrap(outer.clone())
    );
    let mut ann = Client::new(address);
    ann.get("/in/7").await;
    assert_eq!(ann.get("/staff").await.status, 401, "a login at the shop is not one of the staff");
    let mut eve = Client::new(address);
    eve.get("/staff/in").await;
    assert_eq!(eve.get("/staff").await.text(), "200 staff 1");
    assert_eq!(eve.get("/account").await.status, 401);
}

#[actix_web::test]
async fn behind_a_proxy_that_removes_a_prefix_visitors_come_back_to_the_whole_path() {
    let site = site_with(|settings| settings.stripped_prefix("/shop-app"));
    let refused = open_page(&site.client(), "/account").await;
    assert_eq!(refused.header("location"), Some("/login?next=%2Fshop-app%2Faccount"));
}

#[actix_web::test]
async fn a_fixture_is_let_in_or_refused_without_an_app() {
    let guest = TestSession::<Visitor>::new_visitor();
    let error = guest.extract::<LoggedIn<Visitor>>().expect_err("a guest");
    assert_eq!(error.status_code(), 401);
    guest.request(TestRequest::get().uri("/a?b").insert_header(("Sec-Fetch-Mode", "navigate")));
    let GuardError::Refused(refusal) = guest.extract::<LoggedIn<Visitor>>().expect_err("a guest")
    else {
        panic!("a refusal")
    };
    assert_eq!(refusal.location(), Some("/login?next=%2Fa%3Fb"));
    assert!(guest.stored().is_none());

    let user = TestSession::of(Visitor { user: Some(7), ..Visitor::default() });
    let mut session = user.extract::<LoggedIn<Visitor>>().expect("a user");
    assert_eq!(session.user(), 7);
    session.cart_mut().push("pear".to_owned());
    session.set_user(None);
    assert_eq!(session.user(), 7, "the user when the request came");
    drop(session);
    assert_eq!(user.written(), ["user", "cart"]);
    assert_eq!(user.extract::<Guarded<Admin>>().expect_err("a guest now").status_code(), 401);
}

#[actix_web::test]
async fn a_rule_is_a_function_of_the_struct_and_the_request() {
    let request = TestRequest::default().to_http_request();
    let check = |visitor: &Visitor| Admin::check(visitor, &request).map_err(|it| it.status());
    assert_eq!(check(&Visitor::default()), Err(StatusCode::UNAUTHORIZED));
    let user = Visitor { user: Some(7), ..Visitor::default() };
    assert_eq!(check(&user), Err(StatusCode::FORBIDDEN));
    assert_eq!(check(&Visitor { is_admin: true, ..user }), Ok(7));
}

// Forms that go on without a session.

async fn form_of(session: Option<TypedSession<Visitor>>) -> String {
    session.map_or_else(|| "none".to_owned(), |session| format!("{:?}", session.status()))
}

async fn result_of(session: Result<TypedSession<Visitor>, SessionError>) -> String {
    match session {
        Ok(session) => format!("{:?}", session.status()),
        Err(SessionError::Store(_)) => "outage".to_owned(),
        Err(SessionError::CrossOrigin) => "cross-origin".to_owned(),
        Err(SessionError::NoMiddleware) => "no middleware".to_owned(),
        Err(SessionError::Decode { field, .. }) => format!("decode {field}"),
        Err(_) => "another".to_owned(),
    }
}

#[actix_web::test]
async fn a_visitor_without_a_session_is_not_an_error() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/option", form_of)
        .route("/result", result_of)
        .start();
    let mut ann = site.client();
    assert_eq!(ann.get("/option").await.body, "New");
    assert_eq!(ann.get("/result").await.body, "New");
    ann.get("/in/7").await;
    assert_eq!(ann.get("/option").await.body, "Loaded");
    assert_eq!(ann.get("/result").await.body, "Loaded");
}

#[actix_web::test]
async fn an_outage_and_a_request_of_another_origin_are_none_and_say_why() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/option", form_of)
        .route("/result", result_of)
        .start();
    let mut ann = site.client();
    ann.get("/in/7").await;
    site.store.inject(Operation::Load, Fault::ErrorBefore);
    assert_eq!(ann.get("/option").await.text(), "200 none");
    assert_eq!(ann.get("/result").await.text(), "200 outage");
    site.store.heal();
    let foreign = "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n";
    assert_eq!(ask(&ann, "POST", "/option", foreign).await.text(), "200 none");
    assert_eq!(ask(&ann, "POST", "/result", foreign).await.text(), "200 cross-origin");
}

#[actix_web::test]
async fn a_route_without_the_middleware_is_none_and_says_why() {
    let address = serve!(
        App::new()
            .route("/option", web::get().to(form_of))
            .route("/result", web::get().to(result_of))
    );
    let mut guest = Client::new(address);
    assert_eq!(guest.get("/option").await.text(), "200 none");
    assert_eq!(guest.get("/result").await.text(), "200 no middleware");
}

#[derive(Session)]
struct Earlier {
    cart: String,
}

#[derive(Session)]
#[session(strict)]
struct StrictCart {
    cart: Vec<String>,
}

#[actix_web::test]
async fn a_strict_struct_that_does_not_decode_is_none_and_says_why() {
    async fn strict(session: Result<TypedSession<StrictCart>, SessionError>) -> String {
        session.map_or_else(|error| error.to_string(), |session| session.cart.join(","))
    }
    let site = Site::in_memory()
        .route("/earlier", async |mut session: TypedSession<Earlier>| {
            session.set_cart("pear".to_owned());
            "ok"
        })
        .route(
            "/option",
            async |session: Option<TypedSession<StrictCart>>, request: HttpRequest| {
                let of = TypedSession::<StrictCart>::of(&request);
                format!("{} {}", session.is_none(), of.is_none())
            },
        )
        .route("/result", strict)
        .start();
    let mut ann = site.client();
    ann.get("/earlier").await;
    let log = Log::of_all_threads();
    assert_eq!(ann.get("/option").await.text(), "200 true true");
    assert_eq!(log.text().matches("StrictCart::cart").count(), 1, "`of` does not log it again");
    assert!(ann.get("/result").await.body.contains("StrictCart::cart"));
}

// The session that the request has loaded.

/// Shows the session on the response.
struct Shown;

impl Responder for Shown {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().body(show(request))
    }
}

fn show(request: &HttpRequest) -> String {
    TypedSession::<Visitor>::of(request).map_or_else(
        || "none".to_owned(),
        |session| format!("{:?} {:?}", session.status(), session.cart),
    )
}

#[actix_web::test]
async fn a_responder_sees_the_changes_of_its_handler() {
    let site = Site::in_memory()
        .route("/add", async |mut session: TypedSession<Visitor>| {
            session.cart_mut().push("pear".to_owned());
            Shown
        })
        .route("/none", async || Shown)
        .start();
    let mut ann = site.client();
    assert_eq!(ann.get("/add").await.body, r#"New ["pear"]"#);
    assert_eq!(ann.get("/add").await.body, r#"Loaded ["pear", "pear"]"#);
    assert_eq!(ann.get("/none").await.body, "none", "no extractor has asked");
    assert_eq!(site.store_calls(), "create 1, load 1, update 1");
}

#[actix_web::test]
async fn an_error_page_reads_and_writes_the_session_and_a_5xx_drops_it() {
    fn page(
        mut response: ServiceResponse<BoxBody>,
    ) -> actix_web::Result<ErrorHandlerResponse<BoxBody>> {
        if let Some(mut session) = TypedSession::<Visitor>::of(response.request()) {
            session.cart_mut().push("seen".to_owned());
            let cart = HeaderValue::from_str(&session.cart.join(" ")).expect("text");
            response.headers_mut().insert("x-cart".parse().expect("a name"), cart);
        }
        Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
    }
    let fail = |status: u16| {
        move |mut session: TypedSession<Visitor>| async move {
            session.cart_mut().push(status.to_string());
            HttpResponse::build(StatusCode::from_u16(status).expect("a status")).finish()
        }
    };
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .route("/404", web::get().to(fail(404)))
            .route("/500", web::get().to(fail(500)))
            .route("/plain", web::get().to(HttpResponse::NotFound))
            .route("/cart", web::get().to(async |_: TypedSession<Visitor>| Shown))
            .wrap(ErrorHandlers::new().default_handler(page))
            .wrap(sessions.clone())
    );
    let mut ann = Client::new(address);
    assert_eq!(ann.get("/404").await.header("x-cart"), Some("404 seen"));
    assert_eq!(ann.get("/500").await.header("x-cart"), Some("404 seen 500 seen"));
    assert_eq!(ann.get("/plain").await.header("x-cart"), None, "no extractor has asked");
    assert_eq!(ann.get("/cart").await.body, r#"Loaded ["404", "seen"]"#);
}

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[actix_web::test]
async fn a_log_line_inside_of_the_middleware_has_the_session_and_outside_it_never_has() {
    let line = |place: &'static str| {
        Logger::new("%{session}xo").custom_response_replace("session", move |response| {
            let line = format!("{place} {}", show(response.request()));
            LOGGED.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            String::new()
        })
    };
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .route("/", web::get().to(async |mut session: TypedSession<Visitor>| {
                session.cart_mut().push("pear".to_owned());
                "added"
            }))
            .route("/read", web::get().to(async |_: TypedSession<Visitor>| "read"))
            .wrap(line("inside"))
            .wrap(sessions.clone())
            .wrap(line("outside")),
        workers: 1
    );
    let mut ann = Client::new(address);
    ann.get("/").await;
    ann.get("/read").await;
    let mut lines = LOGGED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    lines.sort();
    assert_eq!(
        lines,
        [r#"inside Loaded ["pear"]"#, r#"inside New ["pear"]"#, "outside none", "outside none"]
    );
}

#[actix_web::test]
async fn a_middleware_function_sees_the_session_after_its_handler() {
    async fn look(
        request: actix_web::dev::ServiceRequest,
        next: actix_web::middleware::Next<impl actix_web::body::MessageBody>,
    ) -> Result<ServiceResponse<impl actix_web::body::MessageBody>, actix_web::Error> {
        assert!(TypedSession::<Visitor>::of(request.request()).is_none(), "before the handler");
        let mut response = next.call(request).await?;
        if let Some(session) = TypedSession::<Visitor>::of(response.request()) {
            let is_new = session.status() == Status::New;
            let cart = HeaderValue::from_str(&format!("{is_new} {}", session.cart.join(" ")));
            response.headers_mut().insert("x-cart".parse().expect("a name"), cart.expect("text"));
        }
        Ok(response)
    }
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(App::new().configure(routes).wrap(from_fn(look)).wrap(sessions.clone()));
    let mut ann = Client::new(address);
    assert_eq!(ann.get("/cart").await.header("x-cart"), Some("true pear"));
    assert_eq!(ann.get("/login").await.header("x-cart"), None);
}

#[actix_web::test]
async fn another_struct_of_the_loaded_session_is_found_and_one_of_another_session_is_not() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/api-only", async |_: TypedSession<ApiVisitor>, request: HttpRequest| {
            let found = TypedSession::<Visitor>::of(&request).and_then(|session| session.user);
            let staff = TypedSession::<Staff>::of(&request).is_some();
            format!("{found:?} {staff}")
        })
        .start();
    let mut ann = site.client();
    ann.get("/in/7").await;
    assert_eq!(ann.get("/api-only").await.body, "Some(7) false");
}

#[actix_web::test]
async fn a_privilege_that_an_error_page_writes_renews_the_id() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/escalate", async |_: TypedSession<ApiVisitor>, request: HttpRequest| {
            let mut session = TypedSession::<Visitor>::of(&request).expect("it is loaded");
            session.set_is_admin(true);
            "admin"
        })
        .start();
    let mut ann = site.client();
    ann.get("/in/7").await;
    let before = ann.cookie().to_owned();
    ann.get("/escalate").await;
    assert_ne!(ann.cookie(), before);
    assert_eq!(ann.get("/admin").await.text(), "200 admin 7");
}
