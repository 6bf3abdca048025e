//! Attempts to pass a guard without a login, to keep one after a logout, and to be sent to another
//! site by a login page.

use actix_typed_session::{
    CookieStore, Guarded, Key, LoggedIn, Login, MemoryStore, Refusal, ReturnTo, Rule, Session,
    SessionError, SessionMiddleware, TypedSession, require,
};
use actix_typed_session_tests::{Client, Response, Site, exchange, serve};
use actix_web::{App, HttpRequest, HttpResponse, middleware::from_fn, web};

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user: Option<i64>,
    note: String,
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

/// The struct of another release, whose user is a text.
#[derive(Session)]
struct OtherRelease {
    #[session(privilege)]
    user: String,
}

/// Sends visitors to a page that their request names.
struct Careless;

impl Rule for Careless {
    type Session = Visitor;
    type Grant = ();

    fn check(_: &Visitor, request: &HttpRequest) -> Result<(), Refusal> {
        let page = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        let page = page.expect("a query").into_inner().remove(0).1;
        Err(Refusal::unauthorized().or_page(page))
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/in",
            web::route().to(async |mut session: TypedSession<Visitor>| {
                session.set_user(Some(7));
                "in"
            }),
        )
        .route(
            "/note",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_note("hello".to_owned());
                "noted"
            }),
        )
        .route(
            "/failed",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_user(Some(7));
                HttpResponse::InternalServerError().finish()
            }),
        )
        .route(
            "/out",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.destroy();
                "out"
            }),
        )
        .route(
            "/leave",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_user(None);
                "left"
            }),
        )
        .route(
            "/other-release",
            web::get().to(async |mut session: TypedSession<OtherRelease>| {
                session.set_user("seven".to_owned());
                "in"
            }),
        )
        .route(
            "/secret",
            web::route()
                .to(async |session: LoggedIn<Visitor>| format!("secret of {}", session.user())),
        )
        .route("/careless", web::get().to(async |_: Guarded<Careless>| "secret"))
        .service(
            web::scope("/area")
                .wrap(from_fn(require::<LoggedIn<Visitor>>))
                .default_service(web::route().to(async || "secret")),
        );
}

fn site() -> Site {
    Site::in_memory().configure(routes).start()
}

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\n";

async fn ask(client: &Client, line: &str, headers: &str) -> Response {
    let cookies = client.cookies.iter().map(|(name, value)| format!("Cookie: {name}={value}\r\n"));
    let cookies: String = cookies.collect();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{cookies}{headers}\r\n"
    );
    let mut responses = exchange(client.address, request.as_bytes()).await;
    assert_eq!(responses.len(), 1, "{line}");
    responses.remove(0)
}

/// No guard lets the client pass.
async fn assert_is_out(client: &Client, attempt: &str) {
    for path in ["/secret", "/area/x"] {
        let response = ask(client, &format!("GET {path}"), "").await;
        assert_eq!(response.text(), "401 ", "{attempt}: {path}");
    }
}

#[actix_web::test]
async fn sessions_without_a_login_do_not_pass() {
    let site = site();
    assert_is_out(&site.client(), "no cookie").await;
    for steps in [
        &["/note"][..],
        &["/failed"],
        &["/other-release"],
        &["/in", "/out"],
        &["/in", "/leave"],
        &["/in", "/other-release"],
        &["/in", "/failed", "/out"],
    ] {
        let mut eve = site.client();
        for step in steps {
            eve.get(step).await;
        }
        assert_is_out(&eve, &format!("{steps:?}")).await;
    }
}

#[actix_web::test]
async fn a_cookie_from_before_the_login_and_from_before_the_logout_does_not_pass() {
    let site = site();
    let mut ann = site.client();
    ann.get("/note").await;
    let planted = ann.clone();
    ann.get("/in").await;
    assert_is_out(&planted, "a planted id, right after the login").await;
    let copy = ann.clone();
    assert_eq!(ann.get("/secret").await.text(), "200 secret of 7");
    ann.get("/out").await;
    assert_is_out(&copy, "a copy, after the logout").await;
    assert_is_out(&ann, "the client itself").await;
}

#[actix_web::test]
async fn a_logout_by_an_outer_middleware_counts_in_the_same_request() {
    async fn log_out_first(
        mut request: actix_web::dev::ServiceRequest,
        next: actix_web::middleware::Next<impl actix_web::body::MessageBody>,
    ) -> Result<actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>, actix_web::Error>
    {
        if request.query_string() == "out" {
            request.extract::<TypedSession<Visitor>>().await?.set_user(None);
        }
        if request.query_string() == "end" {
            request.extract::<TypedSession<Visitor>>().await?.destroy();
        }
        if request.query_string() == "new" {
            request.extract::<TypedSession<Visitor>>().await?.regenerate();
        }
        next.call(request).await
    }
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address =
        serve!(App::new().configure(routes).wrap(from_fn(log_out_first)).wrap(sessions.clone()));
    for way in ["out", "end", "new"] {
        for path in ["/secret", "/area/x"] {
            let mut ann = Client::new(address);
            ann.get("/in").await;
            assert_eq!(ann.get(&format!("{path}?{way}")).await.text(), "401 ", "{path} {way}");
            assert_is_out(&ann, way).await;
        }
    }
}

#[actix_web::test]
async fn no_form_of_a_path_and_no_method_passes_around_a_scope() {
    let site = site();
    let guest = site.client();
    for path in [
        "/area/",
        "/area/x",
        "/area//x",
        "/area/x/",
        "/area/%78",
        "/area/../area/x",
        "/area/./x",
        "/area/x?a=/login",
        "/area/x#/login",
        "//area/x",
        "/AREA/x",
        "/%61rea/x",
        "/./area/x",
        "/login/../area/x",
        "http://shop.example/area/x",
        "http://evil.example/area/x",
        "/area;x/y",
    ] {
        for method in ["GET", "POST", "OPTIONS", "PROPFIND", "CONNECT", "TRACE"] {
            let response = ask(&guest, &format!("{method} {path}"), "").await;
            assert!(!response.body.contains("secret"), "{method} {path}");
            assert!(
                [400, 401, 404].contains(&response.status),
                "{method} {path}: {}",
                response.status
            );
        }
    }
    let response = ask(&guest, "GET /area/x", "X-HTTP-Method-Override: OPTIONS\r\n").await;
    assert_eq!(response.status, 401);
}

#[actix_web::test]
async fn a_page_of_another_origin_does_not_pass_with_the_users_cookie() {
    let site = site();
    let mut ann = site.client();
    ann.get("/in").await;
    let foreign = format!("{PAGE}Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n");
    for path in ["/secret", "/area/x"] {
        let response = ask(&ann, &format!("POST {path}"), &foreign).await;
        assert_eq!(
            (response.text().as_str(), response.header("location")),
            ("403 ", None),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn two_ids_in_one_request_do_not_pass() {
    let site = Site::in_memory().configure(routes).settings(|settings| settings.bearer()).start();
    let mut ann = site.client();
    ann.get("/in").await;
    let mut eve = site.client();
    eve.get("/note").await;
    for (client, other) in [(&eve, ann.cookie()), (&ann, eve.cookie())] {
        let header = format!("Authorization: Bearer {other}\r\n");
        assert_eq!(ask(client, "GET /secret", &header).await.text(), "400 ");
        assert_eq!(ask(client, "GET /area/x", &header).await.text(), "400 ");
    }
}

#[actix_web::test]
async fn a_sealed_cookie_that_was_changed_does_not_pass() {
    let store = CookieStore::new([Key::generate()]).expect("a key");
    let sessions = SessionMiddleware::new(store);
    let address = serve!(App::new().configure(routes).wrap(sessions.clone()));
    let mut ann = Client::new(address);
    ann.get("/in").await;
    assert_eq!(ann.get("/secret").await.status, 200);
    let cookie = ann.cookie().to_owned();
    for place in [0, cookie.len() / 2, cookie.len() - 2] {
        let mut changed = cookie.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let mut eve = Client::new(address);
        let value = String::from_utf8(changed).expect("ASCII");
        eve.cookies.insert("__Host-session".to_owned(), value);
        assert_is_out(&eve, &format!("byte {place}")).await;
    }
}

#[actix_web::test]
async fn the_login_page_is_never_told_to_send_the_visitor_elsewhere() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/login", async |next: ReturnTo| format!("next={next}"))
        .configure(|config| {
            config.default_service(web::route().to(async |_: LoggedIn<Visitor>| "secret"));
        })
        .start();
    let guest = site.client();
    for target in [
        "//evil.example",
        "//evil.example/x",
        "///evil.example",
        "/%09/evil.example",
        "/\\evil.example",
        "/%5Cevil.example",
        "/%2F%2Fevil.example",
        "/.//evil.example",
        "/..//evil.example",
        "http://evil.example",
        "http://evil.example//evil.example",
        "/x?next=//evil.example",
        "/x?next=https://evil.example",
        "/x%0d%0aLocation:%20https://evil.example",
        "/@evil.example",
        "*",
    ] {
        let response = ask(&guest, &format!("GET {target}"), PAGE).await;
        if response.status == 400 {
            continue;
        }
        let location = response.header("location").map(str::to_owned);
        let Some(location) = location else {
            panic!("{target}: {}", response.status);
        };
        assert!(
            location == "/login" || location.starts_with("/login?next=%2F"),
            "{target} {location}"
        );
        let page = ask(&guest, &format!("GET {location}"), "").await;
        let next = page.body.strip_prefix("next=").expect("the page shows it").to_owned();
        assert!(!next.starts_with("//"), "{target} {next}");
        assert!(next.is_empty() || next.starts_with('/'), "{target} {next}");
        assert!(!next.contains(['\\', '\r', '\n', '\t', '"', '<']), "{target} {next}");
    }
}

#[actix_web::test]
async fn a_forged_next_is_as_if_there_were_none() {
    let site =
        Site::in_memory().route("/login", async |next: ReturnTo| format!("[{next}]")).start();
    for query in [
        "next=https%3A%2F%2Fevil.example",
        "next=%2F%2Fevil.example",
        "next=%2F%5Cevil.example",
        "next=%2F%09%2Fevil.example",
        "next=javascript%3Aalert(1)",
        "next=%22%3E%3Cscript%3E",
        "next=%2F%22onfocus%3D",
        "next=%2Fa&next=%2F%2Fevil.example",
        "next[]=%2Fa",
        "next",
        "%",
        "next=%2Fa%0D%0Ab",
        "next=%FF",
        "next=%2Fa%00",
        "",
    ] {
        let response = site.client().get(&format!("/login?{query}")).await;
        assert_eq!(response.text(), "200 []", "{query}");
    }
}

#[actix_web::test]
async fn a_page_that_is_made_of_the_request_splits_no_response() {
    let site = site();
    let query = "page=/login%0D%0ASet-Cookie:%20a=b%0D%0A%0D%0A%3Cscript%3E";
    let response = ask(&site.client(), &format!("GET /careless?{query}"), PAGE).await;
    assert_eq!(response.text(), "401 ");
    assert_eq!((response.header("location"), response.set_cookie()), (None, None));
}

#[actix_web::test]
async fn a_handler_that_ignores_the_reason_still_has_no_session() {
    let site = Site::in_memory()
        .configure(routes)
        .route("/show", async |session: Option<LoggedIn<Visitor>>| {
            session.map_or_else(|| "guest".to_owned(), |session| session.note.clone())
        })
        .route("/why", async |session: Result<TypedSession<Visitor>, SessionError>| {
            session.is_ok().to_string()
        })
        .start();
    let mut eve = site.client();
    eve.get("/note").await;
    assert_eq!(eve.get("/show").await.body, "guest");
    assert_eq!(eve.get("/why").await.body, "true");
}
