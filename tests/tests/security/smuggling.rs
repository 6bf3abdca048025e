//! Bytes that mean one thing to a browser or a proxy and another thing to a careless server. None
//! of them moves a session to another client, plants one, or writes another header.

use actix_typed_session::{
    MemoryStore, SessionId, SessionMiddleware, SessionMiddlewareBuilder, TypedSession,
};
use actix_typed_session_tests::{
    Client, Response, Site, exchange,
    steps::{Visitor, show},
};
use actix_web::{App, HttpServer, web};
use http::{Request, Version};
use tokio::net::TcpStream;

/// The ids of two visitors.
async fn ann_and_eve(site: &Site) -> (String, String) {
    let (mut ann, mut eve) = (site.client(), site.client());
    ann.act("name=ann").await;
    eve.act("name=eve").await;
    (ann.cookie().to_owned(), eve.cookie().to_owned())
}

/// The response to a request with these header lines, with `ANN` and `EVE` for the ids; `None` if
/// the connection was closed without one.
async fn ask(site: &Site, (ann, eve): &(String, String), lines: &[u8]) -> Option<Response> {
    let mut request = b"GET /do/read HTTP/1.1\r\nHost: test\r\nConnection: close\r\n".to_vec();
    request.extend(replaced(&replaced(lines, b"ANN", ann), b"EVE", eve));
    request.extend(b"\r\n\r\n");
    let mut responses = exchange(site.address, &request).await;
    assert!(responses.len() <= 1, "{responses:?}");
    responses.pop()
}

fn replaced(bytes: &[u8], from: &[u8], to: &str) -> Vec<u8> {
    let mut rest = bytes;
    let mut result = Vec::new();
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        result.extend(&rest[..at]);
        result.extend(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    result.extend(rest);
    result
}

/// How the site sees the client of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Ann,
    Eve,
    NewVisitor,
    /// By Actix, as invalid HTTP, or by the library, as two sessions.
    Refused,
}

async fn assert_rows(site: &Site, ids: &(String, String), rows: &[(&str, &[u8], Is)]) {
    for (name, lines, expected) in rows {
        let response = ask(site, ids, lines).await;
        let is = match response.as_ref().map(Response::text).as_deref() {
            Some("200 Loaded name=ann") => Is::Ann,
            Some("200 Loaded name=eve") => Is::Eve,
            Some("200 New") => Is::NewVisitor,
            None => Is::Refused,
            Some(text) if text.starts_with("400 ") || text.starts_with("431 ") => Is::Refused,
            Some(text) => panic!("{name}: {text}"),
        };
        assert_eq!(is, *expected, "{name}: {response:?}");
        let handed = response.as_ref().and_then(Response::set_cookie);
        assert!(handed.is_none_or(|cookie| cookie.contains("Max-Age=0")), "{name}: {response:?}");
    }
}

#[actix_web::test]
async fn a_cookie_is_read_as_browsers_write_it_and_in_no_other_way() {
    let site = Site::start();
    let ids = ann_and_eve(&site).await;
    assert_rows(
        &site,
        &ids,
        &[
            ("plain", b"Cookie: __Host-session=ANN", Is::Ann),
            ("no space", b"cookie:__Host-session=ANN", Is::Ann),
            ("among others", b"Cookie: a=b;c;=;; __Host-session=ANN ;d=e", Is::Ann),
            ("RFC 2109", b"Cookie: $Version=1; __Host-session=ANN; $Path=/", Is::Ann),
            // Browsers refuse to set this cookie, but send a cookie without a name in the same
            // form.
            ("nameless", b"Cookie: =__Host-session=ANN", Is::NewVisitor),
            ("nameless, spaces", b"Cookie: = __Host-session=ANN", Is::NewVisitor),
            ("nameless, after another", b"Cookie: a=b; =__Host-session=ANN", Is::NewVisitor),
            ("a comma", b"Cookie: a=b, __Host-session=ANN", Is::NewVisitor),
            ("RFC 2109, a comma", b"Cookie: $Version=1,__Host-session=ANN", Is::NewVisitor),
            ("an ampersand", b"Cookie: a=b&__Host-session=ANN", Is::NewVisitor),
            ("quoted", b"Cookie: __Host-session=\"ANN\"", Is::Ann),
            ("half quoted", b"Cookie: __Host-session=\"ANN", Is::NewVisitor),
            ("a quoted neighbour", b"Cookie: a=\"x; __Host-session=ANN; b=y\"", Is::Ann),
            ("other case", b"Cookie: __HOST-session=ANN; __Host-Session=ANN", Is::NewVisitor),
            ("encoded name", b"Cookie: __%48ost-session=ANN", Is::NewVisitor),
            ("encoded equals sign", b"Cookie: __Host-session%3DANN", Is::NewVisitor),
            ("no prefix", b"Cookie: session=ANN", Is::NewVisitor),
            ("another prefix", b"Cookie: __Secure-session=ANN", Is::NewVisitor),
            ("more before", b"Cookie: x__Host-session=ANN", Is::NewVisitor),
            ("more behind", b"Cookie: __Host-session.x=ANN", Is::NewVisitor),
            ("an array", b"Cookie: __Host-session[]=ANN; __Host-session[0]=ANN", Is::NewVisitor),
            // Browsers do not see the prefix behind these, but Python's `strip` removes them.
            ("U+2000 before", b"Cookie: \xe2\x80\x80__Host-session=ANN", Is::NewVisitor),
            ("U+00A0 before", b"Cookie: \xc2\xa0__Host-session=ANN", Is::NewVisitor),
            ("U+0085 before", b"Cookie: \xc2\x85__Host-session=ANN", Is::NewVisitor),
            ("NBSP of Latin-1 before", b"Cookie: \xa0__Host-session=ANN", Is::NewVisitor),
            ("U+3000 behind the name", b"Cookie: __Host-session\xe3\x80\x80=ANN", Is::NewVisitor),
            ("U+2000 before the value", b"Cookie: __Host-session=\xe2\x80\x80ANN", Is::NewVisitor),
            ("an equals sign too many", b"Cookie: __Host-session==ANN", Is::NewVisitor),
            ("padded", b"Cookie: __Host-session=ANN=", Is::NewVisitor),
            ("a comma behind", b"Cookie: __Host-session=ANN,", Is::NewVisitor),
            ("two in one", b"Cookie: __Host-session=ANN EVE", Is::NewVisitor),
            ("encoded NUL", b"Cookie: __Host-session=ANN%00", Is::NewVisitor),
            ("high byte", b"Cookie: __Host-session=ANN\x80", Is::NewVisitor),
            ("a path", b"Cookie: __Host-session=../ANN", Is::NewVisitor),
            ("an attribute", b"Cookie: a=b; Path=/; Domain=x; __Host-session=ANN; HttpOnly", Is::Ann),
            ("several fields", b"Cookie: a=b\r\nCookie: __Host-session=ANN\r\nCookie: c=d", Is::Ann),
            ("two, the first counts", b"Cookie: __Host-session=ANN; __Host-session=EVE", Is::Ann),
            ("two, the other way", b"Cookie: __Host-session=EVE; __Host-session=ANN", Is::Eve),
            ("two fields", b"Cookie: __Host-session=EVE\r\nCookie: __Host-session=ANN", Is::Eve),
            ("tossed without the prefix", b"Cookie: session=EVE; __Host-session=ANN", Is::Ann),
            ("tossed junk", b"Cookie: __Host-session=junk; __Host-session=ANN", Is::Ann),
            ("other fields", b"Set-Cookie: __Host-session=ANN\r\nCookie2: __Host-session=ANN\r\nX-Cookie: __Host-session=ANN", Is::NewVisitor),
            ("NUL", b"Cookie: __Host-session=ANN\0", Is::Refused),
            ("NUL before", b"Cookie: \0__Host-session=ANN", Is::Refused),
            ("a control character", b"Cookie: \x01__Host-session=ANN", Is::Refused),
            ("form feed", b"Cookie: \x0c__Host-session=ANN", Is::Refused),
            ("DEL", b"Cookie: a=\x7f; __Host-session=ANN", Is::Refused),
            ("folded", b"Cookie: a=b;\r\n __Host-session=ANN", Is::Refused),
            ("space before the colon", b"Cookie : __Host-session=ANN", Is::Refused),
            ("NUL in the field's name", b"Cookie\0: __Host-session=ANN", Is::Refused),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_bearer_token_is_read_as_rfc_6750_writes_it_and_in_no_other_way() {
    let site = Site::with(SessionMiddlewareBuilder::bearer);
    let ids = ann_and_eve(&site).await;
    assert_rows(
        &site,
        &ids,
        &[
            ("plain", b"Authorization: Bearer ANN", Is::Ann),
            ("hop by hop", b"Connection: Authorization\r\nAuthorization: Bearer ANN", Is::Ann),
            (
                "beside another scheme",
                b"Authorization: Basic YTpi\r\nAuthorization: Bearer ANN",
                Is::Ann,
            ),
            ("said twice", b"Authorization: Bearer ANN\r\nAuthorization: Bearer ANN", Is::Ann),
            ("two clients", b"Authorization: Bearer ANN\r\nAuthorization: Bearer EVE", Is::Refused),
            ("two ways", b"Authorization: Bearer ANN\r\nCookie: __Host-session=EVE", Is::Refused),
            ("two in one", b"Authorization: Bearer ANN, Bearer EVE", Is::NewVisitor),
            ("a tab", b"Authorization: Bearer\tANN", Is::NewVisitor),
            ("no space", b"Authorization: BearerANN", Is::NewVisitor),
            ("no scheme", b"Authorization: ANN", Is::NewVisitor),
            ("another scheme", b"Authorization: Token ANN", Is::NewVisitor),
            ("as a password", b"Authorization: Basic ANN", Is::NewVisitor),
            ("quoted", b"Authorization: Bearer \"ANN\"", Is::NewVisitor),
            ("a parameter", b"Authorization: Bearer token=ANN", Is::NewVisitor),
            ("U+2000", b"Authorization: Bearer \xe2\x80\x80ANN", Is::NewVisitor),
            ("high byte", b"Authorization: Bearer ANN\xff", Is::NewVisitor),
            ("the answer's header", b"Session-Token: ANN", Is::NewVisitor),
            ("the proxy's", b"Proxy-Authorization: Bearer ANN", Is::NewVisitor),
            ("NUL", b"Authorization: Bearer ANN\0", Is::Refused),
            ("folded", b"Authorization: Bearer\r\n ANN", Is::Refused),
        ],
    )
    .await;
}

#[actix_web::test]
async fn large_headers_are_answered_or_refused_and_the_next_request_is_served() {
    let site = Site::start();
    let ids = ann_and_eve(&site).await;
    let many: String = (0..1_000).map(|n| format!("c{n}=v; ")).collect();
    assert_rows(
        &site,
        &ids,
        &[
            ("a thousand others", format!("Cookie: {many}__Host-session=ANN").as_bytes(), Is::Ann),
            (
                "a long neighbour",
                format!("Cookie: a={}; __Host-session=ANN", "x".repeat(50_000)).as_bytes(),
                Is::Ann,
            ),
            (
                "a long name",
                format!("Cookie: {}=ANN", "_".repeat(50_000)).as_bytes(),
                Is::NewVisitor,
            ),
            (
                "300 KB",
                format!("Cookie: a={}; __Host-session=ANN", "x".repeat(300_000)).as_bytes(),
                Is::Refused,
            ),
            (
                "300 fields",
                format!("{}Cookie: __Host-session=ANN", "X: y\r\n".repeat(300)).as_bytes(),
                Is::Refused,
            ),
            ("afterwards", b"Cookie: __Host-session=ANN", Is::Ann),
        ],
    )
    .await;
}

/// A proxy sends the requests of several clients over one connection. If it and the server disagree
/// about the end of a request, an attacker's request swallows the victim's head with its cookie.
#[actix_web::test]
async fn no_request_takes_the_cookie_of_the_next_one_on_its_connection() {
    let stolen = "GET /do/name=stolen HTTP/1.1\r\nHost: test\r\nX: ";
    let after_chunks = format!("0\r\n\r\n{stolen}");
    let length = after_chunks.len();
    let chunked = "Transfer-Encoding: chunked";
    for (row, headers, body) in [
        ("length", format!("Content-Length: {}", stolen.len()), stolen),
        ("both", format!("Content-Length: {length}\r\n{chunked}"), &after_chunks),
        ("both, the other way", format!("{chunked}\r\nContent-Length: {length}"), &after_chunks),
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: 5"), &after_chunks),
        ("two lengths, in one", format!("Content-Length: 5, {length}"), &after_chunks),
        ("a signed length", "Content-Length: +5".to_owned(), &after_chunks),
        ("a negative length", "Content-Length: -1".to_owned(), &after_chunks),
        ("a hexadecimal length", "Content-Length: 0x5".to_owned(), &after_chunks),
        ("a huge length", format!("Content-Length: {}", "9".repeat(30)), &after_chunks),
        ("a space in the name", format!("Content-Length : {length}"), &after_chunks),
        (
            "x-chunked",
            format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked"),
            &after_chunks,
        ),
        (
            "identity",
            format!("Content-Length: {length}\r\nTransfer-Encoding: identity"),
            &after_chunks,
        ),
        (
            "chunked twice",
            format!("Content-Length: {length}\r\n{chunked}\r\n{chunked}"),
            &after_chunks,
        ),
        (
            "chunked, identity",
            format!("Content-Length: {length}\r\n{chunked}, identity"),
            &after_chunks,
        ),
        (
            "a tab",
            format!("Content-Length: {length}\r\nTransfer-Encoding:\tchunked"),
            &after_chunks,
        ),
        (
            "a vertical tab",
            format!("Content-Length: {length}\r\nTransfer-Encoding: \x0bchunked"),
            &after_chunks,
        ),
        (
            "folded",
            format!("Content-Length: {length}\r\nTransfer-Encoding:\r\n chunked"),
            &after_chunks,
        ),
        ("a huge chunk", chunked.to_owned(), "FFFFFFFFFFFFFFFFF\r\n"),
        ("a negative chunk", chunked.to_owned(), "-1\r\n"),
        (
            "HTTP/1.0",
            format!("Content-Length: {length}\r\n{chunked}\r\nConnection: keep-alive"),
            &after_chunks,
        ),
    ] {
        let site = Site::start();
        let mut ann = site.client();
        ann.act("name=ann").await;
        let version = if row == "HTTP/1.0" { "1.0" } else { "1.1" };
        let request = format!(
            "POST /do/read HTTP/{version}\r\nHost: test\r\n{headers}\r\n\r\n{body}\
             GET /do/view HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: __Host-session={}\r\n\r\n",
            ann.cookie(),
        );
        let responses = exchange(site.address, request.as_bytes()).await;
        let now = ann.act("read").await.text();
        let texts: Vec<_> = responses.iter().map(Response::text).collect();
        // The victim's request is served as it was sent, or not at all.
        let expected = match row {
            "length" => ("200 Loaded views=1 name=ann", 2),
            _ => ("200 Loaded name=ann", 1),
        };
        assert_eq!((&*now, texts.len()), expected, "{row}: {texts:?}");
        assert!(!texts.iter().any(|text| text.contains("stolen")), "{row}: {texts:?}");
    }
}

/// RFC 9113, 8.2.3: a browser may split its cookies into several fields, and a server puts them
/// together again.
#[actix_web::test]
async fn http_2_cookies_in_several_fields_are_as_one_and_each_stream_has_its_own() {
    let sessions = SessionMiddleware::builder(MemoryStore::new()).build().expect("valid settings");
    async fn act(name: web::Path<String>, mut session: TypedSession<Visitor>) -> String {
        if *name != "read" {
            session.set_name(name.into_inner());
        }
        show(&session)
    }
    let server = HttpServer::new(move || {
        App::new().wrap(sessions.clone()).route("/{name}", web::get().to(act))
    });
    let server = server.workers(1).disable_signals();
    let server = server.bind_auto_h2c(("127.0.0.1", 0)).expect("a free port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    let (mut ann, mut eve) = (Client::new(address), Client::new(address));
    ann.get("/ann").await;
    eve.get("/eve").await;

    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = actix_web::rt::spawn(connection);
    let ask = async |cookies: &[&str]| {
        let mut client = client.clone().ready().await.expect("a stream is free");
        let mut request = Request::get(format!("http://{address}/read")).version(Version::HTTP_2);
        for cookie in cookies {
            let cookie = cookie.replace("ANN", ann.cookie()).replace("EVE", eve.cookie());
            request = request.header("cookie", cookie);
        }
        let request = request.body(()).expect("a request");
        let (response, _) = client.send_request(request, true).expect("it is sent");
        let response = response.await.expect("a response");
        assert!(!response.headers().contains_key("session-token"));
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(chunk) = body.data().await {
            text.extend(chunk.expect("a whole body"));
        }
        String::from_utf8(text).expect("text")
    };
    for (cookies, expected) in [
        (&["a=b", "__Host-session=ANN", "c=d"][..], "Loaded name=ann"),
        (&["a=b; __Host-session=ANN", "c=d"], "Loaded name=ann"),
        (&["__Host-session=EVE", "__Host-session=ANN"], "Loaded name=eve"),
        // A pair does not continue in the next field.
        (&["__Host-session=", "ANN"], "New"),
        (&["__Host-session", "=ANN"], "New"),
        (&[], "New"),
    ] {
        assert_eq!(ask(cookies).await, expected, "{cookies:?}");
    }
    let streams = (0..30).map(|n| {
        let (cookie, expected) = match n % 3 {
            0 => ("__Host-session=ANN", "Loaded name=ann"),
            1 => ("__Host-session=EVE", "Loaded name=eve"),
            _ => ("theme=dark", "New"),
        };
        let ask = &ask;
        async move { assert_eq!(ask(&[cookie]).await, expected, "stream {n}") }
    });
    futures_util::future::join_all(streams).await;
    connection.abort();
}

#[actix_web::test]
async fn no_setting_writes_a_header_or_an_attribute_of_its_own() {
    let builder = || SessionMiddleware::builder(MemoryStore::new());
    let tricks =
        ["\r\nSet-Cookie: x=y", "\n", "\r", "\0", "; Domain=evil", ";", "\u{7f}", "é", "\u{2028}"];
    for trick in tricks {
        for text in
            [trick.to_owned(), format!("/a{trick}"), format!("a{trick}b"), format!("{trick}a")]
        {
            assert!(builder().cookie_name(&*text).build().is_err(), "the name {text:?}");
            let path = builder().cookie_name("sid").cookie_path(&*text).build();
            assert!(path.is_err(), "the path {text:?}");
            let domain = builder().cookie_name("sid").cookie_domain(&*text).build();
            assert!(domain.is_err(), "the domain {text:?}");
            assert!(builder().header(&*text).build().is_err(), "the header {text:?}");
            let id = format!("{}{text}", "a".repeat(30));
            assert!(SessionId::new(id).is_err(), "the id {text:?}");
        }
    }
    for byte in (0..=u8::MAX).map(char::from) {
        let text = format!("/{byte}");
        let is_sent = builder().cookie_name("sid").cookie_path(&*text).build().is_ok();
        assert_eq!(is_sent, matches!(byte, ' '..='~') && byte != ';', "{byte:?} in a path");
        let text = format!("a{byte}");
        let is_sent = builder().cookie_name("sid").cookie_domain(&*text).build().is_ok();
        assert_eq!(
            is_sent,
            matches!(byte, ' '..='~') && !";/".contains(byte),
            "{byte:?} in a domain"
        );
        let is_sent = builder().cookie_name(&*text).build().is_ok();
        let is_token = byte.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(byte);
        assert_eq!(is_sent, is_token, "{byte:?} in a name");
    }
    // Accepted values stay within one attribute each.
    let site = Site::with(|builder| {
        let path = "/\"a, b=c";
        let builder = builder.cookie_name("a!#$%&'*+-.^_`|~").cookie_domain("x=y, \"z");
        builder.cookie_path(path).stripped_prefix(path)
    });
    let response = site.client().act("name=ann").await;
    let cookie = response.set_cookie().expect("a cookie");
    let names: Vec<_> =
        cookie.split("; ").skip(1).map(|it| it.split('=').next().unwrap_or_default()).collect();
    assert_eq!(names, ["HttpOnly", "SameSite", "Secure", "Path", "Domain"], "{cookie}");
    assert_eq!(site.client().act("read").await.text(), "200 New");
}
