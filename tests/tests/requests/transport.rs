//! How clients present their sessions: signed ids, ids in headers, cookies with and without TLS,
//! tokens in forms. And what attackers try with each of them.

use std::{sync::Arc, time::Duration};

use actix_typed_session::{
    Key, MemoryStore, OnOutage, Session, SessionId, SessionMiddleware, SessionMiddlewareBuilder,
    TypedSession,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{ApiClient, Client, Response, Site, get, log_watch::Log};
use actix_web::{App, HttpServer, web};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

const HOUR: Duration = Duration::from_secs(3600);

fn keys(bytes: &[u8]) -> Vec<Key> {
    bytes.iter().map(|byte| Key::from_bytes([*byte; 32])).collect()
}

/// A site whose ids are signed with these keys.
fn signed(bytes: &[u8]) -> Site {
    Site::with(|builder| builder.signing_keys(keys(bytes)))
}

/// Asks the site with this session cookie.
async fn with_cookie(site: &Site, value: &str, steps: &str) -> Response {
    let header = format!("Cookie: __Host-session={value}\r\n");
    get(site.address, &format!("/do/{steps}"), header.as_bytes()).await
}

/// Asks the site with these headers.
async fn with_headers(site: &Site, headers: &[&str], steps: &str) -> Response {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    get(site.address, &format!("/do/{steps}"), headers.as_bytes()).await
}

/// The client is a visitor without a session, and the store was not asked for one.
fn assert_stranger(site: &Site, response: &Response, calls: &str, attempt: &str) {
    assert_eq!(response.text(), "200 New", "{attempt}");
    assert_eq!(site.store_calls(), calls, "{attempt}");
}

// Signed ids.

#[actix_web::test]
async fn a_signed_id_is_a_session_like_any_other() {
    let site = signed(&[1]);
    let mut browser = site.client();
    browser.act("name=ann").await;
    assert_eq!(browser.cookie().len(), 43 + 1 + 43);
    assert_eq!(browser.act("view").await.text(), "200 Loaded views=1 name=ann");
    let old = browser.clone();
    browser.act("user=7").await;
    assert_ne!(browser.cookie(), old.cookie());
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=1 name=ann user=7");
    assert_eq!(site.store_calls(), "create 1, load 3, update 1, rotate 1");
    browser.act("destroy").await;
    assert!(browser.cookies.is_empty());
}

#[actix_web::test]
async fn a_forged_cookie_is_removed_and_costs_no_store_call() {
    let site = signed(&[1, 2]);
    let mut browser = site.client();
    browser.act("name=ann").await;
    let calls = site.store_calls();
    let cookie = browser.cookie().to_owned();
    let mut forged: Vec<String> = Vec::new();
    for position in 0..cookie.len() {
        let mut bytes = cookie.clone().into_bytes();
        // Another character of base64url, so that only the signature is wrong.
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).expect("ASCII"));
        forged.push(cookie[..position].to_owned());
    }
    let (id, mac) = cookie.rsplit_once('.').expect("an id and a signature");
    forged.extend([
        id.to_owned(),
        mac.to_owned(),
        format!("{id}."),
        format!(".{mac}"),
        format!("{mac}.{id}"),
        format!("{cookie}A"),
        format!("{cookie}.{mac}"),
        format!("{}.{mac}", SessionId::random().as_str()),
        SessionId::random().as_str().to_owned(),
        "a".repeat(10_000),
    ]);
    for value in forged {
        let response = with_cookie(&site, &value, "read").await;
        assert_stranger(&site, &response, &calls, &value);
        assert!(response.removes_cookie(), "{value}");
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn forged_cookies_before_a_true_one_do_not_hide_it() {
    let site = signed(&[1]);
    let mut browser = site.client();
    browser.act("name=ann").await;
    let forged: String = (0..50).map(|n| format!("__Host-session={n:087}; ")).collect();
    let header = format!("Cookie: {forged}__Host-session={}", browser.cookie());
    let response = with_headers(&site, &[&header], "read").await;
    assert_eq!(response.text(), "200 Loaded name=ann");
    assert_eq!(site.store_calls(), "create 1, load 1");
}

#[actix_web::test]
async fn a_key_is_replaced_without_logging_anybody_out() {
    let before = signed(&[1]);
    let mut browser = before.client();
    browser.act("name=ann").await;
    let old = browser.clone();

    let rotated = before.beside(|builder| builder.signing_keys(keys(&[2, 1])));
    browser.address = rotated.address;
    let response = browser.act("read").await;
    assert_eq!(response.text(), "200 Loaded name=ann");
    assert_ne!(browser.cookie(), old.cookie(), "it is signed anew");
    assert_eq!(
        browser.cookie().rsplit_once('.').map(|(id, _)| id),
        old.cookie().rsplit_once('.').map(|(id, _)| id),
        "the id is the same"
    );
    assert_eq!(rotated.store_calls(), "create 1, load 1, touch 1");
    assert_eq!(browser.act("read").await.set_cookie(), None, "once is enough");
    assert_eq!(rotated.store_calls(), "create 1, load 2, touch 1");
    // A request with a change also signs it again.
    let mut writer = Client { address: rotated.address, ..old.clone() };
    assert!(writer.act("view").await.set_cookie().is_some());
    assert_eq!(rotated.store_calls(), "create 1, load 3, update 1, touch 1");

    let after = before.beside(|builder| builder.signing_keys(keys(&[2])));
    browser.address = after.address;
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=1 name=ann");
    let calls = after.store_calls();
    let mut late = Client { address: after.address, ..old };
    assert_stranger(&after, &late.act("read").await, &calls, "the old key is gone");
}

#[actix_web::test]
async fn signing_anew_never_takes_the_place_of_a_new_id() {
    let before = signed(&[1]);
    let mut browser = before.client();
    browser.act("name=ann").await;
    let rotated = before.beside(|builder| builder.signing_keys(keys(&[2, 1])));
    browser.address = rotated.address;
    let slow = rotated.held(&browser, "gate").await;
    browser.act("renew").await;
    let response = rotated.release(slow).await;
    assert_eq!(response.set_cookie(), None, "{response:?}");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn a_signed_id_is_of_no_use_in_another_cookie_or_with_another_key() {
    let site = signed(&[1]);
    let mut browser = site.client();
    browser.act("name=ann").await;
    let calls = site.store_calls();
    let cookie = browser.cookie();
    let other_name =
        site.beside(|builder| builder.cookie_name("__Host-other").signing_keys(keys(&[1])));
    let header = format!("Cookie: __Host-other={cookie}");
    let response = with_headers(&other_name, &[&header], "read").await;
    assert_stranger(&site, &response, &calls, "another name");
    let other_key = site.beside(|builder| builder.signing_keys(keys(&[3])));
    let response = with_cookie(&other_key, cookie, "read").await;
    assert_stranger(&site, &response, &calls, "another key");
}

#[actix_web::test]
async fn an_id_that_was_given_out_unsigned_is_refused_once_ids_are_signed() {
    let unsigned = Site::start();
    let mut browser = unsigned.client();
    browser.act("name=ann").await;
    let calls = unsigned.store_calls();
    let site = unsigned.beside(|builder| builder.signing_keys(keys(&[1])));
    browser.address = site.address;
    let response = browser.act("read").await;
    assert_stranger(&site, &response, &calls, "unsigned");
    assert!(response.removes_cookie());
    assert_eq!(browser.act("name=ann").await.text(), "200 New name=ann", "and in again");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

// Ids in headers.

/// Sites that take ids from a header, with a client each.
fn apis() -> [(Site, ApiClient); 2] {
    let bearer = Site::with(SessionMiddlewareBuilder::bearer);
    let named = Site::with(|builder| builder.header("X-Session"));
    let (one, other) = (ApiClient::bearer(bearer.address), ApiClient::named(named.address));
    [(bearer, one), (named, other)]
}

fn vary(response: &Response) -> String {
    response.all("vary").collect::<Vec<_>>().join(", ").to_ascii_lowercase()
}

#[actix_web::test]
async fn browsers_and_api_clients_live_side_by_side() {
    for (site, mut api) in apis() {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let response = api.act("name=bot").await;
        assert_eq!(response.text(), "200 New name=bot");
        assert_eq!(api.id.len(), 43);
        assert_eq!(browser.act("view").await.text(), "200 Loaded views=1 name=ann");
        assert_eq!(api.act("view").await.text(), "200 Loaded views=1 name=bot");
        let looked_at = if api.answer == "x-session" { "x-session" } else { "authorization" };
        for response in [browser.act("read").await, api.act("read").await] {
            assert_eq!(vary(&response), format!("cookie, {looked_at}"));
            assert_eq!(response.header(api.answer), None, "nothing is new");
        }
        let response = site.client().act("name=eve").await;
        assert!(response.set_cookie().is_some(), "who sends nothing is a browser");
        assert_eq!(response.header(api.answer), None);
    }
}

#[actix_web::test]
async fn an_api_client_is_told_its_new_id_and_that_it_has_none_any_more() {
    for (site, mut api) in apis() {
        assert_eq!(api.act("read").await.header(api.answer), None, "nothing was written");
        assert_eq!(site.store_calls(), "");
        api.act("name=bot").await;
        let first = api.id.clone();
        api.act("user=7").await;
        assert_ne!(api.id, first);
        assert_eq!(api.act("renew").await.status, 200);
        assert_eq!(api.act("read").await.text(), "200 Loaded name=bot user=7");
        let last = api.id.clone();
        assert_eq!(api.act("destroy").await.header(api.answer), Some(""));
        let mut thief =
            ApiClient { address: api.address, before: api.before, answer: api.answer, id: last };
        let response = thief.act("read").await;
        assert_eq!(response.text(), "200 New");
        assert_eq!(response.header(api.answer), Some(""), "an id that names nothing");
        assert_eq!(response.set_cookie(), None);
    }
}

#[actix_web::test]
async fn an_api_client_keeps_its_id_until_it_expires() {
    let site = Site::with(|builder| builder.bearer().max_age(HOUR).cookie_persistent(true));
    let mut api = ApiClient::bearer(site.address);
    api.act("name=bot").await;
    site.clock().advance(HOUR / 2);
    let response = api.act("read").await;
    assert_eq!(site.store.calls(Operation::Touch), 1);
    assert_eq!(response.header("session-token"), None, "it has the id already");
    site.clock().advance(HOUR);
    let response = api.act("read").await;
    assert_eq!((response.text().as_str(), response.header("session-token")), ("200 New", Some("")));
}

#[actix_web::test]
async fn a_failing_store_tells_api_clients_no_id() {
    let site = Site::with(SessionMiddlewareBuilder::bearer);
    let mut api = ApiClient::bearer(site.address);
    site.store.inject(Operation::Create, Fault::ErrorBefore);
    let response = api.act("name=bot").await;
    assert_eq!((response.text().as_str(), response.header("session-token")), ("503 ", None));
}

#[actix_web::test]
async fn a_script_in_a_browser_cannot_have_the_id_read_out_to_it() {
    for (site, api) in apis() {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let cookie = format!("Cookie: __Host-session={}", browser.cookie());
        for asked in ["", "x", "not.an.id"] {
            for steps in ["renew", "user=1", "regenerate,name=ann", "destroy"] {
                browser.act("name=ann").await;
                let cookie = match browser.cookies.values().next() {
                    Some(value) => format!("Cookie: __Host-session={value}"),
                    None => cookie.clone(),
                };
                let asks = format!("{}{asked}", api.before);
                let response = with_headers(&site, &[&cookie, &asks], steps).await;
                assert_eq!(response.status, 200, "{asked} {steps}");
                assert_eq!(response.header(api.answer), None, "{asked} {steps}");
                assert!(response.set_cookie().is_some(), "{asked} {steps}");
                browser.keep_cookies(&response);
            }
        }
    }
}

#[actix_web::test]
async fn different_ids_in_cookie_and_header_are_refused() {
    for (site, mut api) in apis() {
        let (mut ann, mut eve) = (site.client(), site.client());
        ann.act("name=ann").await;
        eve.act("name=eve").await;
        api.act("name=bot").await;
        let calls = site.store_calls();
        let unknown = SessionId::random();
        let cookie = format!("Cookie: __Host-session={}", ann.cookie());
        let two = format!("{cookie}; __Host-session={}", eve.cookie());
        let header = |id: &str| format!("{}{id}", api.before);
        for headers in [
            vec![cookie.clone(), header(&api.id)],
            vec![header(&api.id), cookie.clone()],
            vec![cookie.clone(), header(unknown.as_str())],
            vec![cookie.clone(), header(eve.cookie())],
            vec![two.clone(), header(eve.cookie())],
            vec![two, header(ann.cookie())],
            vec![header(&api.id), header(unknown.as_str())],
        ] {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            for steps in ["read", "name=eve", "destroy", "csrf"] {
                let response = with_headers(&site, &headers, steps).await;
                assert_eq!(response.text(), "400 ", "{headers:?} {steps}");
                assert_eq!(response.set_cookie(), None, "{headers:?}");
                assert_eq!(response.header(api.answer), None, "{headers:?}");
            }
        }
        assert_eq!(site.store_calls(), calls);
        let headers = format!("{cookie}\r\n{}\r\n", header(&api.id));
        let plain = get(site.address, "/plain", headers.as_bytes()).await;
        assert_eq!(plain.text(), "200 no session here", "without a session nobody looks");
        assert_eq!(vary(&plain), "");
        assert_eq!(ann.act("read").await.text(), "200 Loaded name=ann");
    }
}

#[actix_web::test]
async fn the_same_id_in_cookie_and_header_is_answered_in_the_cookie() {
    for (site, api) in apis() {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let cookie = format!("Cookie: __Host-session={}", browser.cookie());
        let header = format!("{}{}", api.before, browser.cookie());
        let response = with_headers(&site, &[&cookie, &header], "renew").await;
        assert_eq!(response.text(), "200 Renewed name=ann");
        assert_eq!(response.header(api.answer), None);
        assert!(response.set_cookie().is_some());
    }
}

#[actix_web::test]
async fn a_foreign_authorization_disturbs_nobody() {
    let site = Site::with(SessionMiddlewareBuilder::bearer);
    let mut browser = site.client();
    browser.act("name=ann").await;
    let cookie = format!("Cookie: __Host-session={}", browser.cookie());
    let short = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.0123456789012345678901234567890123456789012";
    let long = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "e".repeat(2_000), "s".repeat(342));
    for foreign in ["Basic YW5uOnNlc2FtZQ==", "Digest username=\"ann\"", "AWS4-HMAC-SHA256 a=b"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("Bearer {short}"), format!("Bearer {long}")])
        .chain(["bearer b3BhcXVl/Zm9yZWlnbi90b2tlbg==", "Bearer opaque"].map(str::to_owned))
    {
        let foreign = format!("Authorization: {foreign}");
        let response = with_headers(&site, &[&cookie, &foreign], "read").await;
        assert_eq!(response.text(), "200 Loaded name=ann", "{foreign}");
        let response = with_headers(&site, &[&foreign], "name=bob").await;
        assert!(response.set_cookie().is_some(), "{foreign}");
        assert_eq!(response.header("session-token"), None, "{foreign}");
    }
    // A token that has the form of an id is an unknown one, and the answer goes to the header.
    let token = "Authorization: Bearer opaque-token-that-may-be-an-id";
    let response = with_headers(&site, &[token], "read").await;
    assert_eq!((response.text().as_str(), response.set_cookie()), ("200 New", None));
    assert_eq!(response.header("session-token"), Some(""));
}

#[actix_web::test]
async fn a_cookie_in_quotes_is_the_cookie() {
    for site in [Site::start(), signed(&[1])] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let quoted = format!("\"{}\"", browser.cookie());
        let response = with_cookie(&site, &quoted, "view").await;
        assert_eq!(response.text(), "200 Loaded views=1 name=ann");
        assert_eq!(response.set_cookie(), None);
        let response = with_cookie(&site, &quoted, "destroy").await;
        assert!(response.removes_cookie());
        assert_eq!(browser.act("read").await.text(), "200 New");
    }
}

#[actix_web::test]
async fn headers_mean_nothing_unless_they_are_turned_on() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    for before in ["Authorization: Bearer ", "X-Session: ", "Session-Token: "] {
        let header = format!("{before}{}", browser.cookie());
        let response = with_headers(&site, &[&header], "read").await;
        assert_eq!(response.text(), "200 New", "{before}");
        assert_eq!(vary(&response), "cookie");
    }
    let bearer = Site::with(SessionMiddlewareBuilder::bearer);
    let mut api = ApiClient::bearer(bearer.address);
    api.act("name=bot").await;
    for before in ["X-Session: ", "Session-Token: ", "Proxy-Authorization: Bearer "] {
        let response = with_headers(&bearer, &[&format!("{before}{}", api.id)], "read").await;
        assert_eq!(response.text(), "200 New", "{before}");
    }
}

#[actix_web::test]
async fn big_and_many_headers_are_unknown_ids() {
    for (site, api) in apis() {
        let big = format!("{}{}", api.before, "a".repeat(50_000));
        let response = with_headers(&site, &[&big], "read").await;
        assert_stranger(&site, &response, "", "a big one");
        let bad = format!("{}x", api.before);
        let many = vec![bad.as_str(); 60];
        assert_stranger(&site, &with_headers(&site, &many, "read").await, "", "many bad ones");
        let id = SessionId::random();
        let good = format!("{}{}", api.before, id.as_str());
        let many = vec![good.as_str(); 60];
        assert_eq!(with_headers(&site, &many, "read").await.text(), "200 New");
        assert_eq!(site.store_calls(), "load 1", "one id is one look-up, however often it is said");
        let ids: Vec<_> =
            (0..60).map(|_| format!("{}{}", api.before, SessionId::random().as_str())).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(with_headers(&site, &ids, "read").await.text(), "400 ");
        assert_eq!(site.store_calls(), "load 1");
    }
}

#[actix_web::test]
async fn an_id_in_a_header_is_signed_too() {
    let before = Site::with(|builder| builder.bearer().signing_keys(keys(&[1])));
    let mut api = ApiClient::bearer(before.address);
    api.act("name=bot").await;
    assert_eq!(api.id.len(), 43 + 1 + 43);
    let calls = before.store_calls();
    for position in 0..api.id.len() {
        let mut bytes = api.id.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let id = String::from_utf8(bytes).expect("ASCII");
        let mut forger = ApiClient { id, ..ApiClient::bearer(before.address) };
        assert_stranger(&before, &forger.act("read").await, &calls, "forged");
        assert_eq!(forger.id, "", "it is told to forget it");
    }
    let rotated = before.beside(|builder| builder.bearer().signing_keys(keys(&[2, 1])));
    api.address = rotated.address;
    let old = api.id.clone();
    assert_eq!(api.act("read").await.text(), "200 Loaded name=bot");
    assert_ne!(api.id, old, "it is signed anew");
    let after = before.beside(|builder| builder.bearer().signing_keys(keys(&[2])));
    api.address = after.address;
    assert_eq!(api.act("read").await.text(), "200 Loaded name=bot");
}

#[derive(Session)]
struct Visitor {
    views: u64,
}

#[actix_web::test]
async fn the_cause_of_a_refusal_is_in_the_log_and_the_ids_are_not() {
    async fn strict(mut session: TypedSession<Visitor>) -> String {
        session.set_views(session.views + 1);
        session.views.to_string()
    }
    async fn lax(session: Option<TypedSession<Visitor>>) -> String {
        session.is_some().to_string()
    }
    let store = FaultyStore::new(MemoryStore::new());
    let sessions = SessionMiddleware::builder(store.clone()).bearer().build().expect("valid");
    let app = actix_web::test::init_service(
        App::new()
            .wrap(sessions)
            .route("/strict", web::get().to(strict))
            .route("/lax", web::get().to(lax)),
    )
    .await;
    let (one, other) = (SessionId::random(), SessionId::random());
    let ask = async || {
        for (path, status, body) in [("/strict", 400, ""), ("/lax", 200, "false")] {
            let request = actix_web::test::TestRequest::get()
                .uri(path)
                .insert_header(("Cookie", format!("__Host-session={}", one.as_str())))
                .insert_header(("Authorization", format!("Bearer {}", other.as_str())))
                .to_request();
            let response = actix_web::test::call_service(&app, request).await;
            assert_eq!(response.status(), status, "{path}");
            assert!(!response.headers().contains_key("set-cookie"), "{path}");
            assert!(!response.headers().contains_key("session-token"), "{path}");
            assert_eq!(actix_web::test::read_body(response).await, body, "{path}");
        }
    };
    // Once before the log is read: a log line that first runs without a listener stays silent.
    ask().await;
    let log = Log::of_this_thread();
    ask().await;
    assert!(log.text().contains("the ids of different sessions"), "{}", log.text());
    for id in [&one, &other] {
        assert!(!log.text().contains(id.as_str()), "{}", log.text());
    }
    assert_eq!(store.calls(Operation::Load), 0);
}

// `Secure`.

fn automatic(proxies: &[&str]) -> Site {
    let proxies: Vec<String> = proxies.iter().map(|proxy| (*proxy).to_owned()).collect();
    Site::with(|builder| builder.cookie_secure_auto().trusted_proxies(proxies))
}

const SPOOFED: [&str; 4] = [
    "X-Forwarded-Proto: https",
    "Forwarded: for=192.0.2.1;proto=https",
    "X-Forwarded-Ssl: on",
    "Front-End-Https: on",
];

#[actix_web::test]
async fn without_tls_the_cookie_is_not_secure_whatever_a_client_says() {
    for site in [automatic(&[]), automatic(&["192.0.2.1", "10.0.0.0/8"])] {
        for headers in [&[][..], &SPOOFED] {
            let response = with_headers(&site, headers, "view").await;
            let cookie = response.set_cookie().expect("a new session");
            assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
        }
    }
}

#[actix_web::test]
async fn a_trusted_proxy_says_whether_there_is_tls() {
    let site = automatic(&["127.0.0.0/8"]);
    for https in [&SPOOFED[..1], &SPOOFED[1..2], &SPOOFED[..2]] {
        let response = with_headers(&site, https, "view").await;
        let cookie = response.set_cookie().expect("a new session");
        assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure"), "{cookie}");
    }
    for http in [&[][..], &["X-Forwarded-Proto: http"], &["X-Forwarded-Proto: https, http"]] {
        let response = with_headers(&site, http, "view").await;
        let cookie = response.set_cookie().expect("a new session");
        assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
    }
}

#[actix_web::test]
async fn a_session_without_tls_is_none_with_tls() {
    let https = "X-Forwarded-Proto: https";
    for builder in [
        (|builder| builder) as fn(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
        |builder| builder.signing_keys(keys(&[1])),
    ] {
        let site = Site::with(|it| builder(it.cookie_secure_auto().trusted_proxies(["127.0.0.1"])));
        let mut browser = site.client();
        browser.act("name=plain").await;
        let planted = browser.cookie().to_owned();
        let cookie = format!("Cookie: session={planted}");
        assert_eq!(with_headers(&site, &[&cookie, https], "read").await.text(), "200 New");
        let secure = with_headers(&site, &[https], "name=secure").await;
        let secure = secure.set_cookie().and_then(|it| it.split(';').next()).expect("a cookie");
        let both = format!("{cookie}; {secure}");
        let read = async |headers: &[&str]| with_headers(&site, headers, "read").await.text();
        assert_eq!(read(&[&both, https]).await, "200 Loaded name=secure");
        assert_eq!(read(&[&both]).await, "200 Loaded name=plain");
        // A removal names the cookie that it removes.
        let response = with_headers(&site, &[&both, https], "destroy").await;
        assert!(response.removes_cookie());
        assert!(response.set_cookie().is_some_and(|it| it.starts_with("__Host-session=;")));
        assert_eq!(read(&[&both]).await, "200 Loaded name=plain");
    }
}

#[actix_web::test]
async fn tls_that_ends_in_the_server_makes_the_cookie_secure() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key");
    let certificate = certified.cert.der().clone();
    let key = certified.signing_key.serialize_der().try_into().expect("a key");
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate and its key");
    let sessions = SessionMiddleware::builder(MemoryStore::new()).cookie_secure_auto().build();
    let sessions = sessions.expect("valid settings");
    async fn view(mut session: TypedSession<Visitor>) -> String {
        session.set_views(session.views + 1);
        session.views.to_string()
    }
    let server =
        HttpServer::new(move || App::new().wrap(sessions.clone()).route("/", web::get().to(view)))
            .workers(1)
            .disable_signals()
            .bind_rustls_0_23(("127.0.0.1", 0), server)
            .expect("a free port")
            .bind(("127.0.0.1", 0))
            .expect("a free port");
    let addresses = server.addrs();
    actix_web::rt::spawn(server.run());

    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addresses[0]).await.expect("the server listens");
    let name = "localhost".try_into().expect("a name");
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.expect("the handshake");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-Proto: http\r\n\r\n";
    stream.write_all(request).await.expect("the server reads");
    let mut answer = Vec::new();
    // An unclean end of TLS does not matter here.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains(" __Host-session=") && cookie.contains("; Secure"), "{cookie}");

    let plain = get(addresses[1], "/", b"X-Forwarded-Proto: https\r\n").await;
    let cookie = plain.set_cookie().expect("a cookie");
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
}

// Tokens in forms.

#[actix_web::test]
async fn a_token_is_good_for_the_session_that_got_it() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let token = browser.act("csrf").await.body;
    let again = browser.act("csrf").await.body;
    assert_ne!(token, again, "the text differs each time");
    for token in [&token, &again] {
        let response = browser.act(&format!("verify={token},view")).await;
        assert_eq!(response.status, 200);
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=2 name=ann");
    assert_eq!(site.store_calls(), "create 1, load 5, update 2", "a token is not stored");
    // After a restart, or in another process.
    browser.address = site.beside(|builder| builder).address;
    assert_eq!(browser.act(&format!("verify={token}")).await.status, 200);
}

#[actix_web::test]
async fn a_form_is_checked_against_the_id_that_came_with_it() {
    let site = Site::start();
    let mut browser = site.client();
    browser.act("name=ann").await;
    let token = browser.act("csrf").await.body;
    // As a guard does before the handler reads the form.
    assert_eq!(browser.act(&format!("renew,save,verify={token}")).await.status, 200);
    assert_eq!(browser.act(&format!("verify={token}")).await.status, 403);
}

#[actix_web::test]
async fn a_visitor_gets_a_session_with_the_form() {
    let site = Site::start();
    let mut browser = site.client();
    let response = browser.act("csrf").await;
    assert!(response.set_cookie().is_some());
    assert_eq!(site.store_calls(), "create 1");
    let token = response.body;
    assert_eq!(
        browser.act(&format!("verify={token},name=ann")).await.text(),
        "200 Loaded name=ann"
    );
    // Several in one page, with or without something written, stored early or late.
    for steps in
        ["csrf,csrf", "csrf,name=bob", "name=bob,csrf", "csrf,user=1", "csrf,save", "save,csrf"]
    {
        let mut browser = site.client();
        let token = browser.act(steps).await.body;
        let response = browser.act(&format!("verify={token}")).await;
        assert_eq!(response.status, 200, "{steps}");
        assert!(response.body.starts_with("Loaded"), "{steps}");
    }
}

#[actix_web::test]
async fn a_token_of_another_session_is_refused() {
    let site = Site::start();
    let (mut ann, mut eve) = (site.client(), site.client());
    ann.act("name=ann").await;
    eve.act("name=eve").await;
    let mine = ann.act("csrf").await.body;
    let planted = eve.act("csrf").await.body;
    let cookie = ann.cookie().to_owned();
    let mut attempts = vec![String::new(), planted, cookie, "A".repeat(86), "x".to_owned()];
    attempts.extend((0..mine.len()).map(|end| mine[..end].to_owned()));
    attempts.extend([format!("{mine}A"), format!("{mine}{mine}"), "A".repeat(5_000)]);
    for position in 0..mine.len() {
        let mut bytes = mine.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        attempts.push(String::from_utf8(bytes).expect("ASCII"));
    }
    for token in attempts {
        let response = ann.act(&format!("verify={token},name=eve")).await;
        assert_eq!(response.text(), "403 ", "{token}");
    }
    assert_eq!(ann.act("read").await.text(), "200 Loaded name=ann");
    // A client without a session, or with one that is gone, is refused too.
    let response = site.client().act(&format!("verify={mine}")).await;
    assert_eq!(response.text(), "403 ");
    let gone = ann.clone();
    ann.act("destroy").await;
    assert_eq!(gone.clone().act(&format!("verify={mine}")).await.text(), "403 ");
}

#[actix_web::test]
async fn a_token_ends_with_the_id() {
    for change in ["renew", "user=1", "regenerate,name=ann", "destroy,name=ann"] {
        let site = Site::start();
        let mut browser = site.client();
        browser.act("name=ann").await;
        let old = browser.clone();
        let token = browser.act("csrf").await.body;
        assert_eq!(browser.act(change).await.status, 200);
        assert_eq!(browser.act(&format!("verify={token}")).await.text(), "403 ", "{change}");
        let response = old.clone().act(&format!("verify={token}")).await;
        assert_eq!(response.text(), "403 ", "{change}: with the old id");
        let token = browser.act("csrf").await.body;
        assert_eq!(browser.act(&format!("verify={token}")).await.status, 200, "{change}");
    }
}

#[actix_web::test]
async fn a_token_that_is_made_after_a_change_of_the_id_is_good_for_the_new_one() {
    let site = Site::start();
    for change in ["renew", "user=1", "regenerate", "regenerate,name=bob", "destroy", "renew,save"]
    {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let token = browser.act(&format!("{change},csrf")).await.body;
        let response = browser.act(&format!("verify={token}")).await;
        assert_eq!(response.status, 200, "{change}");
    }
}

#[actix_web::test]
async fn a_destroyed_session_is_not_begun_again_for_an_earlier_token() {
    let site = Site::start();
    for steps in ["csrf,destroy", "csrf,save,destroy", "csrf,regenerate"] {
        let mut browser = site.client();
        browser.act("name=ann").await;
        let response = browser.act(steps).await;
        assert!(response.removes_cookie(), "{steps}");
    }
    let response = site.client().act("csrf,destroy").await;
    assert_eq!(response.set_cookie(), None);
}

#[actix_web::test]
async fn an_error_page_begins_no_session_for_its_form() {
    let site = Site::start();
    let mut browser = site.client();
    assert_eq!(browser.act("csrf,status=500").await.set_cookie(), None);
    assert_eq!(site.store_calls(), "");
    assert!(browser.act("csrf,status=404").await.set_cookie().is_some());
}

#[actix_web::test]
async fn a_token_is_bound_to_the_id_of_the_applications_own_generator() {
    let site = Site::with(|builder| {
        builder.id_generator(|_| {
            SessionId::new(format!("eu1.{}", SessionId::random().as_str())).expect("an id")
        })
    });
    for steps in ["csrf", "csrf,name=ann", "csrf,save"] {
        let mut browser = site.client();
        let token = browser.act(steps).await.body;
        assert!(browser.cookie().starts_with("eu1."));
        assert_eq!(browser.act(&format!("verify={token}")).await.status, 200, "{steps}");
        let token = browser.act("renew,csrf").await.body;
        assert!(browser.cookie().starts_with("eu1."));
        assert_eq!(browser.act(&format!("verify={token}")).await.status, 200, "{steps}");
    }
}

#[actix_web::test]
async fn a_token_from_an_outage_is_good_when_it_is_over() {
    let site = Site::with(|builder| builder.on_outage(OnOutage::Anonymous));
    let mut browser = site.client();
    browser.act("name=ann").await;
    site.store.inject(Operation::Load, Fault::ErrorBefore);
    let token = browser.act("csrf").await.body;
    let verify = format!("verify={token}");
    assert_eq!(browser.act(&verify).await.text(), "403 ", "nobody knows whether the id is good");
    site.store.heal();
    assert_eq!(browser.act(&verify).await.text(), "200 Loaded name=ann");
}

#[actix_web::test]
async fn api_clients_have_tokens_too() {
    let site = Site::with(|builder| builder.bearer().signing_keys(keys(&[1])));
    let mut api = ApiClient::bearer(site.address);
    let token = api.act("csrf").await.body;
    assert_eq!(api.id.len(), 43 + 1 + 43, "it begins a session");
    assert_eq!(api.act(&format!("verify={token}")).await.status, 200);
}
