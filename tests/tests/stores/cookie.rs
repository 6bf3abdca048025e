//! Sessions sealed in their cookies, over real sockets.

use std::time::Duration;

use actix_typed_session::{
    CookieStore, FakeClock, Key, Session, SessionHandle, SessionId, SessionMiddleware,
    SessionMiddlewareBuilder, TypedSession,
};
use actix_typed_session_tests::{Response, Site, log_watch::Log, steps::routes};
use actix_web::{App, Error, HttpRequest, HttpResponse, Responder, web};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KEY: Key = Key::from_bytes([1; 32]);
const NEWER_KEY: Key = Key::from_bytes([2; 32]);

fn start() -> Site<()> {
    with(&[KEY], |builder| builder)
}

fn with(
    keys: &[Key],
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Site<()> {
    let store = CookieStore::new(keys.iter().cloned()).expect("there is a key");
    Site::unwatched(SessionMiddleware::builder(store))
        .clock(FakeClock::default())
        .settings(settings)
        .route("/id", id)
        .route("/fill/{bytes}", fill)
        .route("/saved_fill/{bytes}", saved_fill)
        .route("/farewell/{bytes}", farewell)
        .route("/stream", stream)
        .configure(routes)
        .start()
}

/// The answer to a request with this cookie.
async fn replay(site: &Site<()>, name: &str, value: &str) -> Response {
    let mut browser = site.client();
    browser.cookies.insert(name.to_owned(), value.to_owned());
    browser.act("read").await
}

#[derive(Session)]
struct Visitor {
    views: u64,
    name: String,
}

async fn id(session: SessionHandle) -> impl Responder {
    session.id().map_or_else(String::new, |id| id.as_str().to_owned())
}

async fn fill(mut session: TypedSession<Visitor>, bytes: web::Path<usize>) -> impl Responder {
    session.set_name("x".repeat(*bytes));
    "filled"
}

async fn saved_fill(mut session: TypedSession<Visitor>, bytes: web::Path<usize>) -> impl Responder {
    session.set_name("x".repeat(*bytes));
    let saved = session.save().await;
    session.set_name("short".to_owned());
    saved.map_or_else(|error| format!("{error:?}"), |()| "saved".to_owned())
}

async fn farewell(mut session: TypedSession<Visitor>, bytes: web::Path<usize>) -> impl Responder {
    session.destroy();
    session.set_name("x".repeat(*bytes));
    "goodbye"
}

/// Changes the session while the body is sent.
async fn stream(request: HttpRequest, session: TypedSession<Visitor>) -> impl Responder {
    let how = request.query_string().to_owned();
    let chunks = futures_util::stream::once(async move {
        let mut session = session;
        match how.as_str() {
            "write" => session.set_views(session.views + 1),
            "destroy" => session.destroy(),
            _ => {}
        }
        let saved = session.save().await;
        let line = saved.map_or_else(|error| error.to_string(), |()| "saved".to_owned());
        Ok::<_, Error>(web::Bytes::from(line))
    });
    HttpResponse::Ok().streaming(Box::pin(chunks))
}

const NAME: &str = "__Host-session";

// What a session keeps.

#[actix_web::test]
async fn a_session_is_in_its_cookie_and_nowhere_else() {
    let site = start();
    let mut browser = site.client();
    assert_eq!(browser.act("view,name=ann,cart=a").await.text(), "200 New views=1 name=ann cart=a");
    assert_eq!(browser.act("view,cart=b").await.text(), "200 Loaded views=2 name=ann cart=a+b");
    browser.act("name=bob,save,name=eve,save,name=ann").await;
    let other = start();
    browser.address = other.address;
    let line = "200 Loaded views=2 name=ann cart=a+b";
    assert_eq!(browser.act("read").await.text(), line, "another process with the key reads it");
    assert_eq!(site.client().act("read").await.text(), "200 New");
}

#[actix_web::test]
async fn a_request_that_changes_nothing_sets_no_cookie() {
    let site = start();
    for steps in ["read", "touch", "age=5000", "persist", "renew", "views=0", "name="] {
        let response = site.client().act(steps).await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "{steps}");
    }
    let mut browser = site.visitor("view,name=ann").await;
    for steps in ["read", "look", "name=ann", "view,unview", "reload", "save", "touch"] {
        let response = browser.act(steps).await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "{steps}");
    }
    assert_eq!(browser.get("/plain").await.header("vary"), None);
}

#[actix_web::test]
async fn a_server_error_discards_what_was_not_saved() {
    let site = start();
    let mut browser = site.visitor("name=ann").await;
    for steps in ["name=bob,status=500", "renew,status=500", "user=1,status=503", "nan"] {
        assert_eq!(browser.act(steps).await.set_cookie(), None, "{steps}");
    }
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
    browser.act("name=bob,save,name=eve,status=500").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=bob", "what was saved is kept");
    assert!(browser.act("destroy,status=500").await.removes_cookie());
}

#[actix_web::test]
async fn the_id_is_inside_the_seal_and_changes_when_it_must() {
    let site = with(&[KEY], |builder| builder.id_generator(|_| SessionId::uuid()));
    let mut browser = site.client();
    assert_eq!(browser.get("/id").await.body, "");
    browser.act("name=ann").await;
    let mut ids = vec![browser.get("/id").await.body];
    assert_eq!(ids[0].len(), 36);
    browser.act("name=bob").await;
    assert_eq!(browser.get("/id").await.body, ids[0], "a change keeps the id");
    for (steps, line) in [
        ("renew", "200 Loaded name=bob"),
        ("user=7", "200 Loaded name=bob user=7"),
        ("regenerate,name=eve", "200 Loaded name=eve"),
        ("destroy,name=zoe", "200 Loaded name=zoe"),
    ] {
        browser.act(steps).await;
        assert_eq!(browser.act("read").await.text(), line, "{steps}");
        let id = browser.get("/id").await.body;
        assert!(!ids.contains(&id), "{steps}");
        ids.push(id);
    }
    assert!(browser.act("regenerate").await.removes_cookie());
}

#[actix_web::test]
async fn the_cookie_is_as_persistent_as_the_session() {
    let site = start();
    let mut browser = site.client();
    let response = browser.act("name=ann").await;
    assert!(response.set_cookie().is_some_and(|cookie| !cookie.contains("Max-Age")));
    let response = browser.act("persist,age=60000").await;
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("; Max-Age=60")));
    let response = browser.act("name=bob").await;
    assert!(response.set_cookie().is_some_and(|cookie| cookie.contains("; Max-Age=60")));
}

// Attacks.

#[actix_web::test]
async fn the_cookie_does_not_show_what_is_in_it() {
    let site = start();
    let browser = site.visitor("name=PLAINTEXT").await;
    let sealed = URL_SAFE_NO_PAD.decode(&browser.cookie()[2..]).expect("base64url");
    let text = String::from_utf8_lossy(&sealed);
    assert!(!text.contains("PLAINTEXT") && !text.contains("name"), "{text}");
}

#[actix_web::test]
async fn a_cookie_with_another_byte_anywhere_is_no_session() {
    let site = start();
    let browser = site.visitor("name=ann").await;
    let value = browser.cookie();
    for place in 0..value.len() {
        let mut other = value.to_owned().into_bytes();
        other[place] = if other[place] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("ASCII");
        let response = replay(&site, NAME, &other).await;
        assert_eq!(response.text(), "200 New", "byte {place}");
        assert!(response.removes_cookie(), "byte {place}");
    }
    for other in [
        &value[..value.len() - 1],
        &value[1..],
        &format!("{value}A"),
        &format!("{value}="),
        &format!("\"{value}"),
        &value.replacen('1', "2", 1),
        "1.",
        "",
        SessionId::random().as_str(),
        &format!("1.{}", "A".repeat(4_000)),
    ] {
        assert_eq!(replay(&site, NAME, other).await.text(), "200 New", "{other}");
    }
    for same in [value, &format!("\"{value}\"")] {
        assert_eq!(replay(&site, NAME, same).await.text(), "200 Loaded name=ann");
    }
}

#[actix_web::test]
async fn a_cookie_under_another_name_is_no_session() {
    let shop = with(&[KEY], |builder| builder.cookie_name("__Host-shop"));
    let admin = with(&[KEY], |builder| builder.cookie_name("__Host-admin"));
    let browser = shop.visitor("user=1").await;
    assert_eq!(replay(&admin, "__Host-admin", browser.cookie()).await.text(), "200 New");
    assert_eq!(replay(&shop, "__Host-shop", browser.cookie()).await.text(), "200 Loaded user=1");
}

#[actix_web::test]
async fn of_several_cookies_the_first_that_opens_counts() {
    let site = start();
    let (ann, bob) = (site.visitor("name=ann").await, site.visitor("name=bob").await);
    let mut browser = site.client();
    let values = format!("junk; {NAME}=1.AAAA; {NAME}={}; {NAME}={}", ann.cookie(), bob.cookie());
    browser.cookies.insert(NAME.to_owned(), values);
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

// Time.

#[actix_web::test]
async fn a_session_expires_inside_the_seal_whatever_the_client_keeps() {
    let site = start();
    let browser = site.visitor("name=ann").await;
    site.clock().advance(Duration::from_secs(72_000) - Duration::from_millis(1));
    assert_eq!(replay(&site, NAME, browser.cookie()).await.text(), "200 Loaded name=ann");
    site.clock().advance(Duration::from_millis(1));
    let response = replay(&site, NAME, browser.cookie()).await;
    assert_eq!(response.text(), "200 New");
    assert!(response.removes_cookie());
}

#[actix_web::test]
async fn a_use_extends_a_session_when_it_is_due_and_never_past_its_absolute_lifetime() {
    let site = with(&[KEY], |builder| builder.absolute_lifetime(3 * DAY));
    let mut browser = site.visitor("name=ann").await;
    assert_eq!(browser.act("read").await.set_cookie(), None, "it is not due");
    for _ in 0..3 {
        site.clock().advance(19 * HOUR);
        let response = browser.act("read").await;
        assert_eq!(response.text(), "200 Loaded name=ann");
        assert!(response.set_cookie().is_some(), "it is extended");
    }
    site.clock().advance(15 * HOUR - Duration::from_millis(1));
    assert_eq!(browser.act("name=bob").await.text(), "200 Loaded name=bob");
    site.clock().advance(Duration::from_millis(1));
    assert_eq!(browser.act("read").await.text(), "200 New", "3 days after it began");
}

#[actix_web::test]
async fn a_sessions_own_max_age_holds_inside_the_seal() {
    let site = start();
    let mut browser = site.visitor("name=ann").await;
    browser.act("age=60000").await;
    let copy = browser.clone();
    site.clock().advance(Duration::from_secs(59));
    assert_eq!(browser.act("touch").await.text(), "200 Loaded name=ann");
    site.clock().advance(Duration::from_secs(59));
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann", "it was extended");
    assert_eq!(replay(&site, NAME, copy.cookie()).await.text(), "200 New");
}

#[actix_web::test]
async fn a_session_that_expires_while_a_request_holds_it_stays_expired() {
    let site = start();
    for steps in ["gate,name=bob", "gate,touch", "gate,renew", "gate,user=1", "name=bob,gate"] {
        let mut browser = site.visitor("name=ann").await;
        let request = site.held(&browser, steps).await;
        site.clock().advance(20 * HOUR);
        let response = site.release(request).await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "{steps}");
        assert_eq!(browser.act("read").await.text(), "200 New", "{steps}");
    }
}

// Keys.

#[actix_web::test]
async fn a_key_is_replaced_without_losing_a_session_and_then_forgotten() {
    let before = start();
    let both = with(&[NEWER_KEY, KEY], |builder| builder);
    let after = with(&[NEWER_KEY], |builder| builder);
    let mut browser = before.visitor("name=ann").await;
    let old = browser.cookie().to_owned();
    browser.address = both.address;
    assert_eq!(browser.act("read").await.set_cookie(), None, "a key alone is no reason to write");
    browser.act("view").await;
    browser.address = after.address;
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=1 name=ann");
    assert_eq!(replay(&after, NAME, &old).await.text(), "200 New", "its key was taken away");
    assert_eq!(replay(&before, NAME, browser.cookie()).await.text(), "200 New");
}

// Size.

#[actix_web::test]
async fn a_session_that_is_too_large_for_a_cookie_is_a_500_and_stays_as_it_was() {
    let log = Log::of_this_thread();
    let store = CookieStore::new([KEY]).expect("there is a key");
    let app =
        App::new().wrap(SessionMiddleware::new(store)).route("/fill/{bytes}", web::get().to(fill));
    let app = actix_web::test::init_service(app).await;
    let get = async |bytes: usize| {
        let uri = format!("/fill/{bytes}");
        let request = actix_web::test::TestRequest::get().uri(&uri).to_request();
        let response = actix_web::test::call_service(&app, request).await;
        let cookie = response.headers().get("set-cookie").map(|cookie| cookie.len());
        (response.status().as_u16(), cookie)
    };
    let (mut fits, mut does_not) = (1, 10_000);
    while does_not - fits > 1 {
        let bytes = (fits + does_not) / 2;
        match get(bytes).await {
            (200, Some(cookie)) => {
                assert!(cookie <= 4_096, "{cookie}");
                fits = bytes;
            }
            (500, None) => does_not = bytes,
            other => panic!("{bytes}: {other:?}"),
        }
    }
    assert!((2_800..2_950).contains(&fits), "what the docs promise: {fits}");
    assert_eq!(get(100_000).await, (500, None));
    let text = log.text();
    assert!(text.contains("would take 4097 bytes and browsers take 4096"), "{text}");
    assert!(text.contains("keep large data elsewhere"), "{text}");
    assert!(!text.contains("xxx"), "no value is logged");
}

#[actix_web::test]
async fn what_was_there_before_a_change_that_is_too_large_is_still_there() {
    let site = start();
    let mut browser = site.visitor("name=ann").await;
    let before = browser.clone();
    let response = browser.get("/fill/5000").await;
    assert_eq!((response.text().as_str(), response.set_cookie()), ("500 ", None));
    assert_eq!(browser.cookies, before.cookies);
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
    let response = browser.get("/saved_fill/5000").await;
    assert_eq!(response.status, 200, "the handler has seen the error and made the session smaller");
    assert!(response.body.contains("CookieTooLarge"), "{response:?}");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=short");
}

#[actix_web::test]
async fn a_session_that_just_fits_still_fits_when_it_is_extended() {
    let site = with(&[KEY], |builder| builder.cookie_persistent(true));
    let mut browser = site.visitor("name=ann").await;
    let most = (2_800..3_000).rev().map(|bytes| format!("/fill/{bytes}"));
    for path in most {
        if browser.get(&path).await.status == 200 {
            break;
        }
    }
    assert!(browser.cookie().len() > 3_900, "it just fits");
    for _ in 0..30 {
        site.clock().advance(19 * HOUR);
        let response = browser.act("read").await;
        assert_eq!((response.status, response.set_cookie().is_some()), (200, true));
    }
}

#[actix_web::test]
async fn a_destroy_is_carried_out_even_if_what_follows_it_is_too_large() {
    let site = start();
    let mut browser = site.visitor("name=ann").await;
    let response = browser.get("/farewell/5000").await;
    assert_eq!(response.status, 500);
    assert!(response.removes_cookie(), "{response:?}");
    let mut browser = site.visitor("name=ann").await;
    browser.get("/farewell/5").await;
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=xxxxx");
}

// After the head of the response.

#[actix_web::test]
async fn after_the_head_nothing_can_be_saved() {
    let site = start();
    let mut browser = site.visitor("name=ann").await;
    let before = browser.clone();
    for how in ["write", "destroy"] {
        let response = browser.get(&format!("/stream?{how}")).await;
        assert!(response.body.contains("the response head has been sent"), "{response:?}");
        assert_eq!(browser.cookies, before.cookies, "{how}");
    }
    assert_eq!(browser.get("/stream").await.body, "saved", "there was nothing to save");
    assert_eq!(browser.act("read").await.text(), "200 Loaded name=ann");
}

// What a server without state cannot do: these claims are the limits that the documentation names.

#[actix_web::test]
async fn a_copy_of_the_cookie_outlives_logout_renewal_and_login_until_it_expires() {
    let site = start();
    for end in ["destroy", "renew", "user=1", "regenerate,name=eve"] {
        let mut browser = site.visitor("name=ann").await;
        let copy = browser.cookie().to_owned();
        let response = browser.act(end).await;
        assert_eq!(response.removes_cookie(), end == "destroy", "the client itself forgets it");
        let replayed = replay(&site, NAME, &copy).await;
        assert_eq!(replayed.text(), "200 Loaded name=ann", "{end}: the session as it was sealed");
        site.clock().advance(20 * HOUR);
        assert_eq!(replay(&site, NAME, &copy).await.text(), "200 New", "{end}");
    }
}

#[actix_web::test]
async fn of_concurrent_requests_the_last_response_wins_as_a_whole() {
    let site = start();
    let mut browser = site.visitor("views=10").await;
    let request = site.held(&browser, "view,gate").await;
    assert_eq!(browser.act("view,name=ann").await.text(), "200 Loaded views=11 name=ann");
    let response = site.release(request).await;
    browser.keep_cookies(&response);
    assert_eq!(browser.act("read").await.text(), "200 Loaded views=11", "the name is lost");
}

/// The cookie as a later release may write it, in another format.
fn of_a_later_release(value: &str) -> String {
    format!("2.{}", value.strip_prefix("1.").expect("this release's format"))
}

#[actix_web::test]
async fn a_later_releases_cookie_is_left_alone_and_reads_as_a_new_visitor() {
    let log = Log::of_all_threads();
    let site = start();
    let cookie = of_a_later_release(site.visitor("name=ann").await.cookie());
    let mut browser = site.client();
    browser.cookies.insert("__Host-session".to_owned(), cookie.clone());
    for (steps, answer) in [
        ("read", "200 New"),
        ("touch", "200 New"),
        ("name=bob", "200 New name=bob"),
        ("read", "200 New"),
        ("name=bob,save", "503 "),
        ("renew", "200 New"),
    ] {
        let response = browser.act(steps).await;
        assert_eq!(response.text(), answer, "{steps}");
        assert_eq!(response.set_cookie(), None, "{steps}");
    }
    assert_eq!(browser.cookie(), cookie);
    let lines = log.lines().into_iter().filter(|line| line.text.contains("later release"));
    let dropped = lines.filter(|line| line.text.contains("dropped")).count();
    assert_eq!(dropped, 1);
}

#[actix_web::test]
async fn a_login_replaces_a_later_releases_cookie_and_a_logout_removes_it() {
    for steps in ["user=7", "regenerate,name=bob", "destroy,name=bob"] {
        let site = start();
        let cookie = of_a_later_release(site.visitor("name=ann").await.cookie());
        let mut browser = site.client();
        browser.cookies.insert("__Host-session".to_owned(), cookie);
        let response = browser.act(steps).await;
        assert_eq!(response.status, 200, "{steps}: {response:?}");
        assert!(response.set_cookie().is_some() && !response.removes_cookie(), "{steps}");
        assert!(browser.act("read").await.text().starts_with("200 Loaded"), "{steps}");
    }
    for steps in ["destroy", "regenerate", "destroy,save"] {
        let site = start();
        let cookie = of_a_later_release(site.visitor("name=ann").await.cookie());
        assert!(replay_steps(&site, &cookie, steps).await.removes_cookie(), "{steps}");
    }
}

#[actix_web::test]
async fn a_cookie_of_no_release_is_removed() {
    let site = start();
    let cookie = site.visitor("name=ann").await.cookie().to_owned();
    let rest = &cookie[2..];
    for value in [
        format!("0.{rest}"),
        format!("02.{rest}"),
        format!("1700000000.{rest}"),
        format!("x.{rest}"),
        format!("1.{}", &rest[1..]),
        rest.to_owned(),
    ] {
        assert!(replay_steps(&site, &value, "read").await.removes_cookie(), "{value:.12}");
    }
}

async fn replay_steps(site: &Site<()>, value: &str, steps: &str) -> Response {
    let mut browser = site.client();
    browser.cookies.insert("__Host-session".to_owned(), value.to_owned());
    browser.act(steps).await
}
