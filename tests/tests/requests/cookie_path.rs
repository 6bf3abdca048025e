//! Requests at paths where browsers do not send the cookie.

use actix_typed_session::{MemoryStore, Session, SessionError, SessionMiddleware, TypedSession};
use actix_typed_session_tests::{Client, Response, Site, exchange, log_watch::Log, serve};
use actix_web::{App, HttpResponse, web};

#[derive(Session)]
struct Visitor {
    views: u64,
    #[session(privilege)]
    user: Option<u64>,
}

async fn view(mut session: TypedSession<Visitor>) -> String {
    session.set_views(session.views + 1);
    format!("{:?} {}", session.status(), session.views)
}

async fn read(session: TypedSession<Visitor>) -> String {
    format!("{:?} {}", session.status(), session.views)
}

async fn login(mut session: TypedSession<Visitor>) -> String {
    session.set_user(Some(7));
    session.csrf_token()
}

async fn save(mut session: TypedSession<Visitor>) -> Result<String, SessionError> {
    session.set_views(9);
    session.save().await?;
    Ok("saved".to_owned())
}

async fn save_anyway(mut session: TypedSession<Visitor>) -> String {
    session.set_views(9);
    format!("{}", session.save().await.is_err())
}

async fn leave(mut session: TypedSession<Visitor>) -> HttpResponse {
    session.destroy();
    HttpResponse::Ok().finish()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/read", web::get().to(read))
        .route("/login", web::get().to(login))
        .route("/save", web::get().to(save))
        .route("/save-anyway", web::get().to(save_anyway))
        .route("/leave", web::get().to(leave))
        .default_service(web::to(view));
}

/// A browser that sends its cookies to the paths that they are for.
struct Browser {
    client: Client,
    cookie_path: &'static str,
}

impl Browser {
    async fn get(&mut self, path: &str) -> Response {
        let rest = path.strip_prefix(self.cookie_path);
        let sends = rest.is_some_and(|rest| {
            rest.is_empty() || self.cookie_path.ends_with('/') || rest.starts_with('/')
        });
        if sends {
            return self.client.get(path).await;
        }
        let mut without = Client::new(self.client.address);
        let response = without.get(path).await;
        self.client.cookies.extend(without.cookies);
        response
    }
}

fn site(cookie_path: &'static str) -> (Site, Browser) {
    let site = Site::in_memory()
        .settings(|builder| builder.cookie_name("sid").cookie_path(cookie_path))
        .configure(|config| {
            config.service(web::scope("/app").configure(routes)).configure(routes);
        })
        .start();
    let browser = Browser { client: site.client(), cookie_path };
    (site, browser)
}

#[actix_web::test]
async fn a_request_outside_the_path_leaves_the_session_below_it_alone() {
    for cookie_path in ["/app", "/app/"] {
        let (_site, mut browser) = site(cookie_path);
        assert_eq!(browser.get("/app/x").await.text(), "200 New 1");
        let cookie = browser.client.cookie().to_owned();
        for path in ["/", "/other", "/application", "/App/x", "/x/app", "/login", "/leave"] {
            let response = browser.get(path).await;
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(response.set_cookie(), None, "{path}");
        }
        assert_eq!(browser.client.cookie(), cookie);
        assert_eq!(browser.get("/app/x").await.text(), "200 Loaded 2");
    }
}

#[actix_web::test]
async fn a_session_begins_at_the_path_and_below_it() {
    for (cookie_path, path) in
        [("/app", "/app"), ("/app", "/app/"), ("/app", "/app/x"), ("/app/", "/app/"), ("/", "/x")]
    {
        let (_site, mut browser) = site(cookie_path);
        assert_eq!(browser.get(path).await.text(), "200 New 1", "{cookie_path} {path}");
        assert_eq!(browser.get(path).await.text(), "200 Loaded 2", "{cookie_path} {path}");
    }
    for (cookie_path, path) in [("/app/", "/app"), ("/app", "/%61pp"), ("/app", "/app%2Fx")] {
        let (site, mut browser) = site(cookie_path);
        assert_eq!(browser.get(path).await.set_cookie(), None, "{cookie_path} {path}");
        assert_eq!(site.store_calls(), "", "{cookie_path} {path}");
    }
}

#[actix_web::test]
async fn what_is_dropped_outside_the_path_is_warned_about_once_and_fails_to_save() {
    let log = Log::of_all_threads();
    let (site, mut browser) = site("/app/only/here");
    for _ in 0..3 {
        assert_eq!(browser.get("/other").await.text(), "200 New 1");
        assert_eq!(browser.get("/read").await.text(), "200 New 0");
        assert_eq!(browser.get("/save").await.status, 500);
        assert_eq!(browser.get("/save-anyway").await.text(), "200 true");
    }
    assert_eq!(site.store_calls(), "");
    let lines = log.lines().into_iter().map(|line| line.text);
    let lines: Vec<_> = lines.filter(|line| line.contains("/app/only/here")).collect();
    let warnings = lines.iter().filter(|line| line.contains("dropped")).count();
    assert_eq!(warnings, 1, "{lines:?}");
    assert!(lines[0].contains("cookie_path") && lines[0].contains("stripped_prefix"), "{lines:?}");
}

#[actix_web::test]
async fn a_client_that_sends_its_cookie_everywhere_uses_its_session_everywhere() {
    let (_site, mut browser) = site("/app");
    browser.get("/app/x").await;
    assert_eq!(browser.client.get("/other").await.text(), "200 Loaded 2");
    assert_eq!(browser.client.get("/login").await.status, 200);
    assert_eq!(browser.client.get("/other").await.text(), "200 Loaded 3");
    assert!(browser.client.get("/leave").await.removes_cookie());
}

#[actix_web::test]
async fn a_proxy_that_removes_the_path_needs_its_prefix() {
    for (cookie_path, prefix) in [("/shop", "/shop"), ("/shop", "/shop/"), ("/shop/", "/shop")] {
        let sessions = SessionMiddleware::builder(MemoryStore::new())
            .cookie_name("sid")
            .cookie_path(cookie_path)
            .stripped_prefix(prefix)
            .build()
            .expect("valid settings");
        let address = serve!(App::new().configure(routes).wrap(sessions.clone()));
        let mut browser = Client::new(address);
        assert_eq!(browser.get("/cart").await.text(), "200 New 1");
        assert_eq!(browser.get("/").await.text(), "200 Loaded 2");
    }
    // The proxy removes a part of the path only.
    let sessions = SessionMiddleware::builder(MemoryStore::new())
        .cookie_name("sid")
        .cookie_path("/shop/app")
        .stripped_prefix("/shop")
        .build()
        .expect("valid settings");
    let address = serve!(App::new().configure(routes).wrap(sessions.clone()));
    assert_eq!(Client::new(address).get("/other").await.set_cookie(), None);
    assert!(Client::new(address).get("/app").await.set_cookie().is_some());
    let wrong = SessionMiddleware::builder(MemoryStore::new()).stripped_prefix("shop").build();
    assert!(wrong.is_err());
}

#[actix_web::test]
async fn an_id_in_a_header_has_no_path() {
    let sessions = SessionMiddleware::builder(MemoryStore::new())
        .cookie_name("sid")
        .cookie_path("/app")
        .bearer()
        .build()
        .expect("valid settings");
    let address = serve!(App::new().configure(routes).wrap(sessions.clone()));
    let asks = "GET /other HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                Authorization: Bearer\r\n\r\n";
    let responses = exchange(address, asks.as_bytes()).await;
    assert!(responses[0].header("session-token").is_some_and(|token| token.len() > 20));
}
