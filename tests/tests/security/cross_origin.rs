//! Requests that a page of another origin causes: forms, scripts and WebSockets of an attacker,
//! from another site, another host of the site, or another port.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_typed_session::{
    CookieStore, Key, MemoryStore, Session, SessionError, SessionHandle, SessionMiddleware,
    SessionMiddlewareBuilder, TypedSession,
};
use actix_typed_session_tests::{
    Client, Response, Site, exchange,
    log_watch::{Level, Log},
    serve,
    steps::{Visitor, show},
};
use actix_web::{App, FromRequest as _, HttpRequest, HttpResponse, middleware::from_fn, web};
use http::{Request, Version};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What browsers say of a request that they made for a page of another origin.
const FOREIGN: [&str; 7] = [
    "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n",
    "Sec-Fetch-Site: same-site\r\nOrigin: https://evil.shop.example\r\n",
    // A page with `Referrer-Policy: no-referrer`, a sandboxed frame, or a `data:` address.
    "Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n",
    "Sec-Fetch-Site: cross-site\r\n",
    // Over plain http, and in old browsers.
    "Origin: https://evil.example\r\n",
    "Origin: http://shop.example:8080\r\n",
    "Origin: null\r\n",
];

/// What browsers say of a request of the site's own page, and what other clients say.
const OWN: [&str; 6] = [
    "Sec-Fetch-Site: same-origin\r\nOrigin: https://shop.example\r\n",
    "Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n",
    "Sec-Fetch-Site: none\r\n",
    "Origin: https://shop.example\r\n",
    "Origin: http://shop.example\r\n",
    "",
];

const UNSAFE: [&str; 7] = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY", "MYMETHOD"];

const WEB_SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// Sends a request to `shop.example` with these header lines.
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

/// The request was refused, and the session's owner is not harmed.
fn assert_refused(response: &Response, attempt: &str) {
    assert_eq!(response.text(), "403 ", "{attempt}");
    assert_eq!(response.set_cookie(), None, "{attempt}");
}

#[actix_web::test]
async fn a_page_of_another_origin_neither_writes_nor_reads_nor_ends_a_session() {
    let site = Site::start();
    let ann = site.visitor("name=ann,user=7").await;
    let calls = site.store_calls();
    for method in UNSAFE {
        for headers in FOREIGN {
            for steps in
                ["name=eve", "view,save", "user=8", "destroy", "regenerate", "read", "csrf"]
            {
                let response = ask(&ann, method, &format!("/do/{steps}"), headers).await;
                assert_refused(&response, &format!("{method} {steps} {headers}"));
            }
        }
    }
    assert_eq!(site.store_calls(), calls, "the store is not even asked");
    assert_eq!(ann.clone().act("read").await.text(), "200 Loaded name=ann user=7");
}

#[actix_web::test]
async fn the_sites_own_pages_and_clients_that_are_not_browsers_are_served() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    for method in UNSAFE {
        for headers in OWN {
            let response = ask(&ann, method, "/do/read", headers).await;
            assert_eq!(response.text(), "200 Loaded name=ann", "{method} {headers}");
        }
    }
}

#[actix_web::test]
async fn a_link_an_image_and_a_preflight_of_another_origin_are_served() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    for headers in FOREIGN {
        let response = ask(&ann, "GET", "/do/read", headers).await;
        assert_eq!(response.text(), "200 Loaded name=ann", "{headers}");
        assert_eq!(ask(&ann, "OPTIONS", "/do/read", headers).await.status, 200, "{headers}");
    }
}

#[actix_web::test]
async fn a_form_of_another_site_logs_no_new_visitor_in() {
    let site = Site::start();
    for headers in FOREIGN {
        let response = ask(&site.client(), "POST", "/do/user=666", headers).await;
        assert_refused(&response, headers);
    }
    let mut stale = site.client();
    stale.cookies.insert("__Host-session".to_owned(), "junk".to_owned());
    assert_refused(&ask(&stale, "POST", "/do/user=666", FOREIGN[0]).await, "junk");
    assert_eq!(site.store_calls(), "");
}

#[actix_web::test]
async fn a_doubled_or_garbled_header_is_refused() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    for headers in [
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-origin, none\r\n",
        "Sec-Fetch-Site: SAME-ORIGIN\r\n",
        "Sec-Fetch-Site: \r\nOrigin: https://shop.example\r\n",
        "Sec-Fetch-Site: \"same-origin\"\r\n",
        "Sec-Fetch-Site: same-origin\u{e9}\r\n",
        "Origin: https://shop.example\r\nOrigin: https://shop.example\r\n",
        "Origin: https://shop.example\r\nOrigin: https://evil.example\r\n",
        "Origin: https://evil.example https://shop.example\r\n",
        "Origin: \r\n",
        "Origin: shop.example\r\n",
        "Origin: https://shop.example.evil.example\r\n",
        "Origin: https://shop.example@evil.example\r\n",
        "Origin: https://evil.example/?https://shop.example\r\n",
        "Origin: https://shop.example:8443\r\n",
        "Origin: https://shop.example.\r\n",
        "Origin: https://sh\u{f6}p.example\r\n",
    ] {
        assert_refused(&ask(&ann, "POST", "/do/view", headers).await, headers);
    }
    let long = format!("Origin: https://{}\r\n", "a".repeat(20_000));
    assert_refused(&ask(&ann, "POST", "/do/view", &long).await, "a long one");
}

#[actix_web::test]
async fn a_method_in_another_case_is_another_method() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    for method in ["get", "Get", "head", "GETX"] {
        assert_refused(&ask(&ann, method, "/do/view", FOREIGN[0]).await, method);
    }
}

#[actix_web::test]
async fn without_a_clear_host_no_origin_is_the_own_one() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    let cookie = format!("Cookie: __Host-session={}", ann.cookie());
    let origin = "Origin: https://shop.example";
    for (begin, status) in [
        ("POST /do/read HTTP/1.0", 403),
        ("POST /do/read HTTP/1.0\r\nHost: shop.example", 200),
        ("POST /do/read HTTP/1.1\r\nHost: evil.example", 403),
        ("POST http://shop.example/do/read HTTP/1.1\r\nHost: shop.example", 200),
        ("POST http://evil.example/do/read HTTP/1.1\r\nHost: shop.example", 403),
        ("POST /do/read HTTP/1.1\r\nHost: shop.example:80", 403),
        ("POST /do/read HTTP/1.1\r\nHost: SHOP.example:443", 200),
        ("POST /do/read HTTP/1.1\r\nHost: 10.0.0.1\r\nX-Forwarded-Host: shop.example", 403),
    ] {
        let request = format!(
            "{begin}\r\nConnection: close\r\n{cookie}\r\n{origin}\r\nContent-Length: 0\r\n\r\n"
        );
        let responses = exchange(site.address, request.as_bytes()).await;
        assert_eq!(responses[0].status, status, "{begin}");
    }
    let doubled = format!(
        "POST /do/read HTTP/1.1\r\nHost: shop.example\r\nHost: evil.example\r\n\
         Connection: close\r\n{cookie}\r\n{origin}\r\n\r\n"
    );
    let responses = exchange(site.address, doubled.as_bytes()).await;
    assert!(matches!(responses[0].status, 400 | 403), "{responses:?}");
}

#[actix_web::test]
async fn a_trusted_proxy_says_which_host_was_asked() {
    let behind = Site::with(|builder| builder.trusted_proxies(["127.0.0.1"]));
    let open = behind.beside(|builder| builder);
    let ann = behind.visitor("name=ann").await;
    for (said, is_served) in [
        ("X-Forwarded-Host: www.shop.example\r\n", true),
        ("Forwarded: for=192.0.2.1;host=www.shop.example;proto=https\r\n", true),
        ("X-Forwarded-Host: www.shop.example, evil.example\r\n", false),
        ("X-Forwarded-Host: www.shop.example\r\nForwarded: host=evil.example\r\n", false),
        ("", false),
    ] {
        let headers = format!("Origin: https://www.shop.example\r\n{said}");
        let response = ask(&ann, "POST", "/do/read", &headers).await;
        assert_eq!(response.status, if is_served { 200 } else { 403 }, "{said}");
        let direct = Client { address: open.address, ..ann.clone() };
        assert_refused(&ask(&direct, "POST", "/do/read", &headers).await, said);
    }
    // What a browser knows counts before what the proxy says.
    let headers = "Sec-Fetch-Site: cross-site\r\nOrigin: https://www.shop.example\r\n\
         X-Forwarded-Host: www.shop.example\r\n";
    assert_refused(&ask(&ann, "POST", "/do/read", headers).await, headers);
}

#[actix_web::test]
async fn a_trusted_origin_is_served_and_its_neighbours_are_not() {
    let site = Site::with(|builder| builder.trusted_origins(["https://app.shop.example:8443"]));
    let ann = site.visitor("name=ann").await;
    for site_header in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", ""] {
        let from = async |origin: &str| {
            let headers = format!("{site_header}Origin: {origin}\r\n");
            ask(&ann, "POST", "/do/view", &headers).await
        };
        assert_eq!(from("https://app.shop.example:8443").await.status, 200, "{site_header}");
        for origin in [
            "https://app.shop.example",
            "http://app.shop.example:8443",
            "https://x.app.shop.example:8443",
            "https://app.shop.example.evil.example:8443",
            "null",
        ] {
            assert_refused(&from(origin).await, origin);
        }
    }
}

// Ids that browsers do not send on their own.

#[actix_web::test]
async fn an_id_in_a_header_is_not_checked_and_one_in_a_cookie_beside_it_is() {
    for (site, header) in [
        (Site::with(SessionMiddlewareBuilder::bearer), "Authorization: Bearer "),
        (Site::with(|builder| builder.header("X-Session")), "X-Session: "),
    ] {
        let ann = site.visitor("name=ann").await;
        let (id, stranger) = (ann.cookie().to_owned(), site.client());
        let mut stale = site.client();
        stale.cookies.insert("__Host-session".to_owned(), "junk".to_owned());
        for foreign in FOREIGN {
            let with_id = format!("{foreign}{header}{id}\r\n");
            let empty = format!("{foreign}{header}\r\n");
            for client in [&stranger, &stale] {
                let response = ask(client, "POST", "/do/read", &with_id).await;
                assert_eq!(response.text(), "200 Loaded name=ann", "{with_id}");
            }
            // A new session, whose id the page's script would get in a header.
            let response = ask(&stranger, "POST", "/do/name=eve", &empty).await;
            assert_eq!((response.status, response.set_cookie()), (200, None), "{empty}");
            // The cookie decides, so it is checked.
            for headers in [&with_id, &empty, foreign] {
                assert_refused(&ask(&ann, "POST", "/do/view", headers).await, headers);
            }
            assert_refused(&ask(&stale, "POST", "/do/view", &empty).await, &empty);
            assert_refused(&ask(&stranger, "POST", "/do/view", foreign).await, foreign);
            let other = format!("{foreign}{header}{}\r\n", "x".repeat(43));
            assert_eq!(ask(&ann, "POST", "/do/view", &other).await.status, 400, "{other}");
        }
        assert_eq!(ann.clone().act("read").await.text(), "200 Loaded name=ann");
    }
}

// WebSockets.

/// A WebSocket whose opening counts as a view.
async fn socket(
    request: HttpRequest,
    body: web::Payload,
    mut session: TypedSession<Visitor>,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, socket, _) = actix_ws::handle(&request, body)?;
    session.set_views(session.views + 1);
    let _ = socket.close(None).await;
    Ok(response)
}

#[actix_web::test]
async fn a_page_of_another_origin_opens_no_web_socket_with_a_session() {
    let site = Site::in_memory()
        .configure(actix_typed_session_tests::steps::routes)
        .route("/socket", socket)
        .start();
    let ann = site.visitor("name=ann").await;
    let calls = site.store_calls();
    let firefox = WEB_SOCKET.replace(": Upgrade", ": keep-alive, Upgrade");
    let shouting = WEB_SOCKET.replace("websocket", "WebSocket");
    for handshake in [WEB_SOCKET, &firefox, &shouting] {
        for foreign in FOREIGN {
            for client in [&ann, &site.client()] {
                let headers = format!("{handshake}{foreign}");
                let (status, cookie) = open(client, "/socket", &headers).await;
                assert_eq!((status, cookie), (403, false), "{headers}");
            }
        }
    }
    assert_eq!(site.store_calls(), calls);
    for handshake in [WEB_SOCKET, &firefox, &shouting] {
        for own in OWN {
            let headers = format!("{handshake}{own}");
            assert_eq!(open(&ann, "/socket", &headers).await.0, 101, "{headers}");
        }
    }
}

/// Sends a `GET`, perhaps for a socket. Returns the status, and whether the response sets a cookie.
async fn open(client: &Client, path: &str, headers: &str) -> (u16, bool) {
    let cookies = client.cookies.iter().map(|(name, value)| format!("Cookie: {name}={value}\r\n"));
    let cookies: String = cookies.collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{cookies}{headers}\r\n");
    let mut stream = TcpStream::connect(client.address).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), head.contains("set-cookie"))
}

#[actix_web::test]
async fn a_link_through_a_proxy_that_always_says_upgrade_is_served() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    let headers = format!("Connection: upgrade\r\n{}", FOREIGN[3]);
    assert_eq!(open(&ann, "/do/view", &headers).await.0, 200);
    assert_eq!(ann.clone().act("read").await.text(), "200 Loaded views=1 name=ann");
}

// Every way to a session.

#[derive(Session)]
#[session(cookie = "session")]
struct Named {
    name: String,
}

async fn optional(session: Option<TypedSession<Visitor>>) -> String {
    match session {
        Some(mut session) => {
            session.set_views(session.views + 1);
            show(&session)
        }
        None => "no session".to_owned(),
    }
}

async fn explained(session: Result<TypedSession<Visitor>, SessionError>) -> HttpResponse {
    match session {
        Ok(session) => HttpResponse::Ok().body(show(&session)),
        Err(SessionError::CrossOrigin) => HttpResponse::Forbidden().body("from elsewhere"),
        Err(error) => HttpResponse::from_error(error),
    }
}

/// A handler that tries every way, one after the other.
async fn insistent(request: HttpRequest) -> String {
    let tries = [
        TypedSession::<Visitor>::extract(&request).await.err(),
        SessionHandle::extract(&request).await.map(|mut it| it.destroy()).err(),
        TypedSession::<Named>::extract(&request).await.err(),
        TypedSession::<Visitor>::extract(&request).await.err(),
        <Option<TypedSession<Visitor>>>::extract(&request)
            .await
            .ok()
            .flatten()
            .is_none()
            .then_some(SessionError::CrossOrigin),
    ];
    let refused = tries.iter().filter(|it| matches!(it, Some(SessionError::CrossOrigin))).count();
    format!("{refused} of {}", tries.len())
}

#[actix_web::test]
async fn no_way_of_extraction_gets_a_session_for_a_page_of_another_origin() {
    let guard = async |request: actix_web::dev::ServiceRequest,
                       next: actix_web::middleware::Next<_>| {
        // It goes on without a session, as a guard that looks for one does.
        let _ = SessionHandle::extract(request.request()).await;
        next.call(request).await
    };
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let address = serve!(
        App::new()
            .wrap(from_fn(guard))
            .wrap(sessions.clone())
            .route("/optional", web::route().to(optional))
            .route("/explained", web::route().to(explained))
            .route("/insistent", web::route().to(insistent))
            .route(
                "/handle",
                web::route().to(async |mut session: SessionHandle| {
                    session.destroy();
                    "destroyed"
                })
            )
            .route(
                "/named",
                web::route().to(async |mut session: TypedSession<Named>| {
                    session.set_name("eve".to_owned());
                    "named"
                })
            )
            .route("/plain", web::route().to(async || "no session here"))
    );
    let mut ann = Client::new(address);
    ann.get("/optional").await;
    for foreign in FOREIGN {
        for path in ["/handle", "/named"] {
            assert_refused(&ask(&ann, "POST", path, foreign).await, &format!("{path} {foreign}"));
        }
        for (path, text) in [
            ("/optional", "200 no session"),
            ("/explained", "403 from elsewhere"),
            ("/insistent", "200 5 of 5"),
            ("/plain", "200 no session here"),
        ] {
            let response = ask(&ann, "POST", path, foreign).await;
            assert_eq!(response.text(), text, "{path} {foreign}");
            assert_eq!(response.headers.iter().find(|(name, _)| name == "set-cookie"), None);
        }
    }
    assert_eq!(ask(&ann, "POST", "/optional", OWN[0]).await.text(), "200 Loaded views=2");
}

#[derive(Session)]
#[session(cookie = "login")]
struct Login {
    state: u32,
}

#[actix_web::test]
async fn an_exception_is_of_one_middleware_and_not_of_the_one_around_it() {
    let outer = SessionMiddleware::new(MemoryStore::new());
    let inner = SessionMiddleware::builder(MemoryStore::new())
        .cookie_name("__Host-login")
        .allow_cross_origin_if(|request| request.path() == "/login/callback")
        .build()
        .expect("valid settings");
    let next = async |mut login: TypedSession<Login>| {
        login.set_state(login.state + 1);
        login.state.to_string()
    };
    let both = async |_: TypedSession<Login>, mut account: TypedSession<Named>| {
        account.set_name("eve".to_owned());
        "both"
    };
    let address = serve!(
        App::new()
            .service(
                web::scope("/login")
                    .wrap(inner.clone())
                    .route("/callback", web::route().to(next))
                    .route("/other", web::route().to(next))
                    .route("/both", web::route().to(both))
            )
            .wrap(outer.clone())
    );
    let client = Client::new(address);
    for foreign in FOREIGN {
        assert_eq!(ask(&client, "POST", "/login/callback", foreign).await.text(), "200 1");
        assert_refused(&ask(&client, "POST", "/login/other", foreign).await, foreign);
        assert_refused(&ask(&client, "POST", "/login/both", foreign).await, foreign);
    }
}

#[actix_web::test]
async fn an_exception_is_asked_for_requests_only_that_would_be_refused() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let site = Site::with(|builder| {
        builder.allow_cross_origin_if(move |request: &HttpRequest| {
            count.fetch_add(1, Ordering::Relaxed);
            request.headers().contains_key("x-signature")
        })
    });
    let ann = site.visitor("name=ann").await;
    for own in OWN {
        ask(&ann, "POST", "/do/read", own).await;
        ask(&ann, "GET", "/do/read", FOREIGN[0]).await;
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_refused(&ask(&ann, "POST", "/do/view", FOREIGN[0]).await, "no signature");
    let signed = format!("{}X-Signature: ok\r\n", FOREIGN[0]);
    assert_eq!(ask(&ann, "POST", "/do/view", &signed).await.text(), "200 Loaded views=1 name=ann");
}

#[actix_web::test]
async fn the_check_can_be_turned_off() {
    let site = Site::with(|builder| builder.cross_origin_protection(false));
    let ann = site.visitor("name=ann").await;
    for foreign in FOREIGN {
        assert_eq!(ask(&ann, "POST", "/do/read", foreign).await.text(), "200 Loaded name=ann");
    }
}

#[actix_web::test]
async fn a_session_in_the_cookie_is_checked_like_any_other() {
    let store = CookieStore::new([Key::from_bytes([1; 32])]).expect("a key");
    let site = Site::unwatched(SessionMiddleware::builder(store))
        .configure(actix_typed_session_tests::steps::routes)
        .start();
    let ann = site.visitor("name=ann").await;
    for foreign in FOREIGN {
        assert_refused(&ask(&ann, "POST", "/do/name=eve", foreign).await, foreign);
        assert_refused(&ask(&site.client(), "POST", "/do/name=eve", foreign).await, foreign);
    }
    assert_eq!(ask(&ann, "POST", "/do/read", OWN[0]).await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn each_kind_of_connection_is_checked_with_its_own_cookie() {
    let site = Site::with(|builder| {
        builder
            .cookie_secure_auto()
            .trusted_proxies(["127.0.0.1"])
            .signing_keys([Key::from_bytes([1; 32])])
    });
    let ann = site.visitor("name=ann").await;
    let https = "X-Forwarded-Proto: https\r\n";
    for foreign in FOREIGN {
        for proto in ["", https] {
            let headers = format!("{proto}{foreign}");
            assert_refused(&ask(&ann, "POST", "/do/view", &headers).await, &headers);
        }
    }
    assert_eq!(ask(&ann, "POST", "/do/read", OWN[3]).await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_token_from_a_page_of_the_attackers_does_not_help() {
    let site = Site::start();
    let ann = site.visitor("name=ann").await;
    let token = ann.clone().act("csrf").await.body;
    let path = format!("/do/verify={token},view");
    assert_refused(&ask(&ann, "POST", &path, FOREIGN[0]).await, "with a token that leaked");
    assert_eq!(ask(&ann, "POST", &path, OWN[0]).await.status, 200);
}

#[actix_web::test]
async fn http_2_has_its_host_in_the_authority() {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let server = actix_web::HttpServer::new(move || {
        App::new().wrap(sessions.clone()).route("/", web::route().to(optional))
    });
    let server = server.workers(1).disable_signals().bind_auto_h2c(("127.0.0.1", 0));
    let server = server.expect("a free port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = actix_web::rt::spawn(connection);
    for (origin, site, expected) in [
        ("https://shop.example", "", "New views=1"),
        ("https://evil.example", "", "no session"),
        ("https://shop.example", "cross-site", "no session"),
        ("https://evil.example", "same-origin", "New views=1"),
    ] {
        let mut client = client.clone().ready().await.expect("a stream is free");
        let mut request = Request::post("https://shop.example/").version(Version::HTTP_2);
        request = request.header("origin", origin);
        if !site.is_empty() {
            request = request.header("sec-fetch-site", site);
        }
        let request = request.body(()).expect("a request");
        let (response, _) = client.send_request(request, true).expect("it is sent");
        let mut body = response.await.expect("a response").into_body();
        let mut text = Vec::new();
        while let Some(chunk) = body.data().await {
            text.extend(chunk.expect("a whole body"));
        }
        assert_eq!(String::from_utf8_lossy(&text), expected, "{origin} {site}");
    }
    connection.abort();
}

/// The threads of other tests log too, so this asks the middleware in its own thread.
#[actix_web::test]
async fn the_first_refusal_is_a_warning_that_says_what_to_do_and_the_later_ones_are_not() {
    let log = Log::of_this_thread();
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let app = App::new().wrap(sessions).route("/", web::route().to(async |_: SessionHandle| "ok"));
    let app = actix_web::test::init_service(app).await;
    for _ in 0..3 {
        let request = actix_web::test::TestRequest::post()
            .insert_header(("origin", "https://evil.example"))
            .to_request();
        let response = actix_web::test::call_service(&app, request).await;
        assert_eq!(response.status(), 403);
    }
    let lines = log.lines();
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::WARN, Level::DEBUG, Level::DEBUG, Level::DEBUG], "{}", log.text());
    for setting in ["trusted_origins", "allow_cross_origin_if", "`Host`"] {
        assert!(lines[0].text.contains(setting), "{}", log.text());
    }
    assert!(!log.text().contains("evil"), "an attacker does not write into the log");
}

#[actix_web::test]
async fn a_web_socket_is_checked_in_an_application_without_a_socket_too() {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let app = App::new().wrap(sessions).route("/", web::get().to(async |_: SessionHandle| "ok"));
    let app = actix_web::test::init_service(app).await;
    for (origin, status) in [("https://evil.example", 403), ("http://shop.example", 200)] {
        let request = actix_web::test::TestRequest::get()
            .insert_header(("host", "shop.example"))
            .insert_header(("connection", "Upgrade"))
            .insert_header(("upgrade", "websocket"))
            .insert_header(("origin", origin))
            .to_request();
        let response = actix_web::test::call_service(&app, request).await;
        assert_eq!(response.status(), status, "{origin}");
    }
}
