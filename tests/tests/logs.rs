//! What the library logs, and that none of it shows a value of a session. `log_watch` checks for
//! every test that no line shows an id, a key or a token.
//!
//! The tests run one after the other, because they read the lines of all threads. The process ends
//! when any of these shows their values.

use std::{
    collections::BTreeSet,
    env, fs,
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, FileStore, Guarded, MemoryStore, OnOutage, RedisCredentials, RedisStore, Refusal,
    Rule, Session, SessionError, SessionHandle, SessionId, SessionMiddleware,
    SessionMiddlewareBuilder, Sessions, StoreError, SystemClock, Timestamp, TypedSession,
    import::{ActixSession, ForeignId, ForeignSession, Importer},
    observe::{Event, Observer},
    store::{MovingStore, Patch, Record, SessionStore, StoreKey, UpdateOutcome},
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{
    Client, Site, exchange, get,
    json::json,
    log_watch::{self, Level, Log},
    serve,
    servers::{RedisServer, Server},
    wait::until,
};
use actix_web::{
    App, FromRequest as _, HttpRequest, HttpResponse, Responder,
    cookie::{Cookie, CookieJar, Key},
    web,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::sync::Mutex;

/// Held by the test that runs.
static TURN: Mutex<()> = Mutex::const_new(());

/// Every text of these sessions. It looks like the part of an error that names the expected type.
const TEXT: &str = "canary, expected canary at line 1";
const CODE: u64 = 4_242_424_242;

/// What must not be logged.
const VALUES: [&str; 2] = ["canary", "4242424242"];

#[derive(Session)]
struct Visitor {
    #[session(index)]
    user: String,
    name: String,
    code: u64,
    codes: Vec<u64>,
    by_name: std::collections::BTreeMap<String, u64>,
}

/// Another release's fields of a visitor, with other types, one per struct.
macro_rules! released {
    ($($name:ident { $(#[$attribute:meta])* $field:ident: $type:ty })*) => {
        $(
            #[derive(Session)]
            $(#[$attribute])*
            struct $name {
                $field: $type,
            }
        )*

        async fn read_released(request: actix_web::HttpRequest) -> HttpResponse {
            $(
                let found = TypedSession::<$name>::extract(&request).await;
                drop(found.map(|session| format!("{:?}", session.$field)));
            )*
            HttpResponse::Ok().finish()
        }
    };
}

released! {
    Number { name: u64 }
    Quoting { name: Quoted }
    Choice { name: Chosen }
    Numbers { by_name: std::collections::BTreeMap<u64, u64> }
    Short { codes: (u64, String) }
    Small { code: u8 }
    Strict { #[session(strict)] name: u64 }
}

#[derive(Session)]
struct Lenient {
    #[session(lenient)]
    name: u64,
    #[session(lenient)]
    code: u8,
}

#[derive(Session)]
struct Right {
    #[session(privilege)]
    name: u64,
}

/// A rule whose page is not a valid header value.
struct Refused;

impl Rule for Refused {
    type Session = Visitor;
    type Grant = ();

    fn check(_: &Visitor, _: &HttpRequest) -> Result<(), Refusal> {
        Err(Refusal::unauthorized().or_url(format!("/{TEXT}\n")))
    }
}

#[derive(Session)]
struct Largest {
    #[session(merge = "max")]
    name: u64,
}

#[derive(Session)]
struct Rejecting {
    #[session(merge = "reject")]
    code: u64,
}

#[derive(Session)]
struct Timed {
    #[session(ttl = "15m")]
    name: Option<String>,
}

#[derive(Session)]
struct Unfit {
    name: Quoted,
}

/// Quotes its value in errors.
#[derive(Debug, Default, Clone, PartialEq)]
struct Quoted(String);

impl Serialize for Quoted {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(format!("`{}` is no good, expected better", self.0)))
    }
}

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(de::Error::custom(format!("`{text}` is no good")))
    }
}

#[derive(Debug, Default, Deserialize, Serialize, Clone, PartialEq)]
enum Chosen {
    #[default]
    One,
    Other,
}

type Store = web::Data<FaultyStore<MemoryStore>>;

async fn fill(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_user(TEXT.to_owned());
    session.set_name(TEXT.to_owned());
    session.set_code(CODE);
    session.set_codes(vec![CODE, CODE]);
    session.by_name_mut().insert(TEXT.to_owned(), CODE);
    "ok"
}

async fn add(mut session: TypedSession<Visitor>) -> impl Responder {
    session.codes_mut().push(CODE);
    "ok"
}

fn key_of(session: &SessionHandle) -> StoreKey {
    StoreKey::from(session.id().expect("a session"))
}

/// Another request writes while this one holds the session.
async fn conflict(
    mut session: TypedSession<Largest>,
    handle: SessionHandle,
    store: Store,
) -> impl Responder {
    let mut patch = Patch::default();
    patch.set("name".into(), json(&format!("\"other {TEXT}\"")));
    store.update(&key_of(&handle), &patch).await.expect("a working store");
    session.set_name(CODE);
    "ok"
}

/// Another request writes to a field that must not be written by two.
async fn reject(
    mut session: TypedSession<Rejecting>,
    handle: SessionHandle,
    store: Store,
) -> impl Responder {
    let mut patch = Patch::default();
    patch.set("code".into(), json("7"));
    store.update(&key_of(&handle), &patch).await.expect("a working store");
    session.set_code(CODE + 1);
    "ok"
}

/// Another request logs out while this one holds the session.
async fn lose(
    mut session: TypedSession<Visitor>,
    handle: SessionHandle,
    store: Store,
) -> impl Responder {
    store.destroy(&key_of(&handle)).await.expect("a working store");
    session.codes_mut().push(CODE);
    "ok"
}

async fn give_up(mut session: TypedSession<Visitor>, store: Store) -> impl Responder {
    session.codes_mut().push(CODE);
    store.inject(Operation::Update, Fault::Delay(Duration::from_millis(500)));
    store.inject(Operation::Update, Fault::ErrorBefore);
    let saved = tokio::time::timeout(Duration::from_millis(1), session.save()).await;
    assert!(saved.is_err(), "it takes longer");
    store.heal();
    "ok"
}

async fn stream(session: TypedSession<Visitor>) -> impl Responder {
    let mut session = session;
    HttpResponse::Ok().streaming(Box::pin(futures_util::stream::once(async move {
        session.codes_mut().push(CODE);
        Ok::<_, actix_web::Error>(web::Bytes::from("unsaved"))
    })))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/fill", web::get().to(fill))
        .route("/add", web::get().to(add))
        .route("/read", web::get().to(async |session: TypedSession<Visitor>| session.name.clone()))
        .route("/read_released", web::get().to(read_released))
        .route(
            "/lenient",
            web::get().to(async |session: TypedSession<Lenient>| {
                format!("{} {}", session.name, session.code)
            }),
        )
        .route(
            "/timed",
            web::get().to(async |session: TypedSession<Timed>| format!("{:?}", session.name)),
        )
        .route(
            "/unfit",
            web::get().to(async |mut session: TypedSession<Unfit>| {
                session.set_name(Quoted(TEXT.to_owned()));
                "ok"
            }),
        )
        .route(
            "/right",
            web::get().to(async |session: TypedSession<Right>| session.name.to_string()),
        )
        .route("/token", web::get().to(async |mut session: SessionHandle| session.csrf_token()))
        .route("/conflict", web::get().to(conflict))
        .route("/lose", web::get().to(lose))
        .route("/reject", web::get().to(reject))
        .route("/give_up", web::get().to(give_up))
        .route("/stream", web::get().to(stream))
        .route("/change", web::post().to(fill))
        .route("/guarded", web::get().to(async |_: Guarded<Refused>| "ok"))
        .route(
            "/renew",
            web::get().to(async |mut session: SessionHandle| {
                session.renew();
                "ok"
            }),
        )
        .route(
            "/form",
            web::get().to(async |mut session: TypedSession<Visitor>| {
                session.set_name(TEXT.to_owned());
                session.save().await?;
                session.renew();
                Ok::<_, SessionError>(session.csrf_token())
            }),
        )
        .route(
            "/forged",
            web::get().to(async |session: SessionHandle| -> Result<&str, SessionError> {
                session.verify_csrf(TEXT)?;
                Ok("ok")
            }),
        );
}

/// A write is stored, but the session does not reach the new store.
async fn a_move_that_fails() {
    let (old, watched) = (MemoryStore::new(), FaultyStore::new(MemoryStore::new()));
    let ready = MovingStore::ready(old.clone(), watched.clone());
    let browser = visit(ready, &watched).await;
    let moving = MovingStore::moving(old, watched.clone());
    watched.inject(Operation::Create, Fault::ErrorBefore);
    let updated = moving.update(&key_in(&browser), &Patch::default()).await;
    assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
}

/// A browser at a site with this store and a session full of secrets.
async fn visit(store: impl SessionStore + Clone, watched: &FaultyStore<MemoryStore>) -> Client {
    let site = Site::unwatched(SessionMiddleware::builder(store))
        .settings(|it| it.on_outage(OnOutage::Anonymous))
        .data(watched.clone())
        .configure(routes)
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/fill").await.text(), "200 ok");
    browser
}

async fn values_that_no_longer_fit() {
    let store = FaultyStore::new(MemoryStore::new());
    let mut browser = visit(store.clone(), &store).await;
    for (path, answer) in [
        ("/read_released", "200 "),
        ("/lenient", "200 0 0"),
        ("/timed", "200 None"),
        ("/unfit", "500 "),
        ("/right", "200 0"),
        ("/conflict", "200 ok"),
    ] {
        assert_eq!(browser.get(path).await.text(), answer, "{path}");
    }
}

async fn requests_that_go_wrong() {
    let store = FaultyStore::new(MemoryStore::new());
    let mut browser = visit(store.clone(), &store).await;
    for (path, answer) in [
        ("/stream", "200 unsaved"),
        ("/forged", "403 "),
        ("/reject", "409 "),
        ("/give_up", "200 ok"),
        ("/read", TEXT),
    ] {
        let response = browser.get(path).await;
        assert!(response.text().ends_with(answer), "{path}: {response:?}");
    }
    for (operation, path, status) in [
        (Operation::Load, "/add", 200),
        (Operation::Update, "/add", 503),
        (Operation::Rotate, "/renew", 503),
    ] {
        store.inject(operation, Fault::ErrorBefore);
        assert_eq!(browser.get(path).await.status, status, "{operation:?}");
        store.heal();
    }
    assert_eq!(browser.get("/lose").await.status, 200);

    let forged = b"POST /change HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                   Content-Length: 0\r\nSec-Fetch-Site: cross-site\r\n\r\n";
    assert_eq!(exchange(browser.address, forged).await[0].status, 403);
    let person = b"Accept: text/html\r\n";
    assert_eq!(get(browser.address, "/guarded", person).await.status, 401);

    let bare = serve!(App::new().configure(routes));
    assert_eq!(Client::new(bare).get("/read").await.status, 500);

    let mut browser = visit(store.clone(), &store).await;
    let old = browser.clone();
    browser.get("/renew").await;
    assert_eq!(old.clone().get("/token").await.status, 200);

    let eager = Site::unwatched(SessionMiddleware::builder(store.clone()))
        .settings(|it| it.touch_interval(Duration::ZERO).cookie_persistent(true))
        .configure(routes)
        .start();
    let mut eager = eager.client();
    eager.get("/fill").await;
    store.inject(Operation::Touch, Fault::ErrorBefore);
    assert_eq!(eager.get("/read").await.status, 200);
    store.heal();

    let inner = SessionMiddleware::builder(MemoryStore::new()).cookie_name("inner");
    let inner = inner.build().expect("valid settings");
    let outer = SessionMiddleware::new(MemoryStore::new());
    let nested = serve!(App::new().configure(routes).wrap(inner.clone()).wrap(outer.clone()));
    assert_eq!(Client::new(nested).get("/read").await.status, 200);

    let own_ids = Site::unwatched(SessionMiddleware::builder(MemoryStore::new()))
        .settings(|it| it.id_generator(|_| SessionId::random()))
        .configure(routes)
        .start();
    assert_eq!(own_ids.client().get("/form").await.status, 200);

    let elsewhere = Site::unwatched(SessionMiddleware::builder(MemoryStore::new()))
        .settings(|it| it.cookie_name("sid").cookie_path("/elsewhere"))
        .configure(routes)
        .start();
    assert_eq!(elsewhere.client().get("/fill").await.status, 200);

    let broken = Site::unwatched(SessionMiddleware::builder(MemoryStore::new()))
        .settings(|it| it.observer(Broken))
        .configure(routes)
        .start();
    assert_eq!(broken.client().get("/fill").await.text(), "200 ok");

    let small = MemoryStore::builder().capacity(1).build();
    visit(small.clone(), &store).await;
    visit(small, &store).await;
}

/// An observer with a fault.
struct Broken;

impl Observer for Broken {
    fn observe(&self, event: &Event<'_>) {
        panic!("it cannot write {event:?} of {TEXT}");
    }
}

/// A program whose sessions fit badly.
struct Former(String);

impl Importer for Former {
    fn identify(&self, _: &HttpRequest) -> Option<ForeignId> {
        Some(ForeignId::new("former"))
    }

    async fn find(&self, _: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        ForeignSession::from_json(self.0.as_bytes()).map(Some)
    }

    async fn forget(&self, _: &ForeignId) -> Result<(), StoreError> {
        Err(StoreError::internal("read-only"))
    }
}

async fn sessions_of_another_program() {
    for json in [
        format!("{{\"name\":{CODE},\"codes\":\"{TEXT}\",\"\":\"{TEXT}\"}}"),
        format!("{{\"name\":\"{TEXT}\",{TEXT}}}"),
    ] {
        let settings = SessionMiddleware::builder(MemoryStore::new()).import(Former(json));
        let site = Site::unwatched(settings).configure(routes).start();
        assert_eq!(site.client().get("/read").await.text(), "200 ");
    }

    // The text in it is not JSON.
    let (key, mut jar) = ([7; 64], CookieJar::new());
    let session = format!("{{\"name\":\"{TEXT}\"}}");
    jar.signed_mut(&Key::from(&key)).add(Cookie::new("id", session));
    let cookie = jar.get("id").expect("it was added").encoded().to_string();
    let old = ActixSession::in_cookie([key]).expect("a key").signed();
    let settings = SessionMiddleware::builder(MemoryStore::new()).import(old);
    let site = Site::unwatched(settings).configure(routes).start();
    let response = get(site.address, "/read", format!("Cookie: {cookie}\r\n").as_bytes()).await;
    assert_eq!(response.text(), "200 ");
}

async fn files_that_are_damaged() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let store = FileStore::builder(folder.path()).sweep_interval(None).build().expect("a folder");
    let watched = FaultyStore::new(MemoryStore::new());
    let sessions = Sessions::<Visitor>::new(store.clone());
    let user = Visitor::by_user(&TEXT.to_owned());
    for damage in [
        "canary".to_owned(),
        format!("{{\"v\":\"{TEXT}\"}}"),
        format!("{{\"v\":1,\"created\":\"{TEXT}\"}}"),
        format!("{{\"v\":1,\"{TEXT}\":{CODE}}}"),
    ] {
        // Found by its visitor, in a list, and by a logout.
        for find in ["load", "list", "destroy"] {
            let browser = visit(store.clone(), &watched).await;
            let key = key_in(&browser);
            let name = key.to_hex();
            let file = folder.path().join(&name[..2]).join(&name[2..]);
            fs::write(file, &damage).expect("a file to damage");
            match find {
                "load" => assert_eq!(browser.clone().get("/read").await.text(), "200 "),
                "list" => drop(sessions.list(&user, None, 10).await.expect("a working disk")),
                _ => drop(store.destroy(&key).await.expect("a working disk")),
            }
        }
    }

    // A folder in the place of an entry of the index cannot be deleted as a file.
    let browser = visit(store.clone(), &watched).await;
    let key = key_in(&browser);
    let mut folders = vec![folder.path().join("index")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(&key.to_hex()) {
                fs::remove_file(&path)
                    .and_then(|()| fs::create_dir(&path))
                    .expect("a writable folder");
            }
        }
    }
    assert!(store.destroy(&key).await.expect("a working disk"));

    // A file in the place of the default folder.
    let root = tempfile::TempDir::new().expect("a temporary folder");
    fs::write(root.path().join("sessions"), TEXT).expect("a writable folder");
    let before = env::current_dir().expect("a working directory");
    env::set_current_dir(root.path()).expect("our own folder");
    let default = FileStore::default();
    env::set_current_dir(before).expect("our own folder");
    assert!(default.path().ends_with("sessions"), "{default:?}");

    // A file in the place of a folder cannot be swept.
    let log = Log::of_all_threads();
    let sweeping = FileStore::builder(folder.path()).sweep_interval(Some(Duration::from_millis(1)));
    let _sweeping = sweeping.build().expect("a folder");
    fs::remove_dir_all(folder.path().join("ff")).ok();
    fs::write(folder.path().join("ff"), TEXT).expect("a writable folder");
    until("the sweep fails", || log.text().contains("expired sessions are left")).await;
}

async fn a_redis_that_is_damaged_or_refuses() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let watched = FaultyStore::new(MemoryStore::new());
    let sessions = Sessions::<Visitor>::new(store.clone());
    let user = Visitor::by_user(&TEXT.to_owned());
    let name = |browser: &Client| {
        format!("session:{}", URL_SAFE_NO_PAD.encode(key_in(browser).as_bytes()))
    };
    for damage in [
        &["HSET", "name", TEXT][..],
        &["HSET", "@e", TEXT],
        &["HSET", "@c", "4242424242x"],
        &["HSET", "@c", "yesterday"],
        &["SET", TEXT],
    ] {
        for find in ["load", "list", "destroy"] {
            let browser = visit(store.clone(), &watched).await;
            let mut command = vec![damage[0]];
            let name = name(&browser);
            command.push(&name);
            command.extend(&damage[1..]);
            redis.command(&command);
            match find {
                "load" => assert_eq!(browser.clone().get("/read").await.text(), "200 "),
                "list" => drop(sessions.list(&user, None, 10).await),
                _ => drop(store.destroy(&key_in(&browser)).await),
            }
        }
    }

    // Clocks that differ from that of Redis.
    let (now, hour) = (SystemClock.now(), Duration::from_secs(3_600));
    let behind = Timestamp::from_unix_ms(now.as_unix_ms() - 3_600_000);
    for own in [behind, now.saturating_add(hour)] {
        let store = RedisStore::new(&redis.url()).expect("a good URL");
        let key = StoreKey::from(&SessionId::random());
        let created = store.create(&key, &Record::new(own, own.saturating_add(hour * 20))).await;
        assert!(created.is_ok(), "{created:?}");
    }

    // The first credentials are good for a moment, and then there are none.
    let calls = Arc::new(AtomicUsize::new(0));
    let builder = RedisStore::builder(&redis.url()).credentials_provider(move || {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let credentials = RedisCredentials::new("default", "").valid_for(Duration::from_millis(1));
        ready(if call == 0 { Ok(credentials) } else { Err("no token".into()) })
    });
    redis.command(&["ACL", "SETUSER", "default", "nopass"]);
    let log = Log::of_all_threads();
    let _browser = visit(builder.build().expect("good settings"), &watched).await;
    until("it signs in again", || log.text().contains("could not sign in again")).await;

    // Redis quotes the beginning of a command that it does not have.
    let browser = visit(store.clone(), &watched).await;
    let strange = RedisServer::start_with(Server::Redis, &["--rename-command", "EVALSHA", ""]);
    let store = RedisStore::new(&strange.url()).expect("a good URL");
    let elsewhere = Site::unwatched(SessionMiddleware::builder(store)).configure(routes).start();
    let mut elsewhere = Client { address: elsewhere.address, ..browser };
    assert_eq!(elsewhere.get("/fill").await.text(), "500 ");
}

fn key_in(browser: &Client) -> StoreKey {
    StoreKey::from(&SessionId::new(browser.cookie()).expect("an id"))
}

#[actix_web::test]
async fn no_line_of_the_library_tells_a_value() {
    let _turn = TURN.lock().await;
    VALUES.into_iter().for_each(log_watch::value);
    let log = Log::of_all_threads();
    values_that_no_longer_fit().await;
    requests_that_go_wrong().await;
    sessions_of_another_program().await;
    files_that_are_damaged().await;
    a_redis_that_is_damaged_or_refuses().await;
    a_move_that_fails().await;

    // `.ci/check-log-lines` checks that these are all lines that the library can log, and that the
    // guide lists them.
    let lines = log.lines().into_iter().map(|line| {
        let log_watch::Line { file, line: number, level, event, .. } = &line;
        let event = event.as_deref().unwrap_or_else(|| panic!("a line without an event: {line:?}"));
        format!("{file}:{number} {event} {level} {}\n", line.fields.join(" "))
    });
    let lines: BTreeSet<String> = lines.collect();
    assert!(lines.len() > 10, "{lines:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests");
    fs::create_dir_all(&folder).expect("a writable folder");
    let lines: String = lines.into_iter().collect();
    fs::write(folder.join("log-lines"), lines).expect("a writable folder");
}

/// The lines of a level, and worse.
fn at_least(log: &Log, level: Level) -> Vec<String> {
    let lines = log.lines().into_iter().filter(|line| line.level <= level);
    lines.map(|line| line.text).collect()
}

#[actix_web::test]
async fn what_a_client_has_caused_is_not_logged_as_an_error() {
    let _turn = TURN.lock().await;
    let store = FaultyStore::new(MemoryStore::new());
    let site = Site::unwatched(SessionMiddleware::builder(store.clone()))
        .settings(SessionMiddlewareBuilder::bearer)
        .data(store)
        .configure(routes)
        .start();
    let (mut ann, mut bob) = (site.client(), site.client());
    for browser in [&mut ann, &mut bob] {
        assert_eq!(browser.get("/fill").await.status, 200);
    }
    let log = Log::of_all_threads();
    let headers = format!(
        "Cookie: __Host-session={}\r\nAuthorization: Bearer {}\r\n",
        ann.cookie(),
        bob.cookie()
    );
    assert_eq!(get(site.address, "/read", headers.as_bytes()).await.status, 400);
    assert_eq!(ann.get("/forged").await.status, 403);
    assert_eq!(ann.get("/reject").await.status, 409);
    let strange = format!("Cookie: __Host-session=\u{1}{}\r\n", "x".repeat(3_000));
    get(site.address, "/read", strange.as_bytes()).await;
    assert_eq!(ann.get("/lose").await.status, 200);
    assert_eq!(at_least(&log, Level::ERROR), <[String; 0]>::default());
    // They can be found at a lower level.
    let text = log.text();
    assert!(text.contains("different sessions") && text.contains("`reject`"), "{text}");
}

#[actix_web::test]
async fn a_fault_of_the_site_is_logged_as_an_error_once() {
    let _turn = TURN.lock().await;
    let store = FaultyStore::new(MemoryStore::new());
    let site = Site::unwatched(SessionMiddleware::builder(store.clone()))
        .data(store.clone())
        .configure(routes)
        .start();
    let mut ann = site.client();
    assert_eq!(ann.get("/fill").await.status, 200);
    for (operation, path) in [(Operation::Load, "/read"), (Operation::Update, "/add")] {
        let log = Log::of_all_threads();
        store.inject(operation, Fault::ErrorBefore);
        assert_eq!(ann.get(path).await.status, 503);
        store.heal();
        assert_eq!(at_least(&log, Level::ERROR).len(), 1, "{path}");
    }
    let log = Log::of_all_threads();
    assert_eq!(ann.get("/unfit").await.status, 500);
    assert_eq!(at_least(&log, Level::ERROR).len(), 1);
    let bare = serve!(App::new().configure(routes));
    let log = Log::of_all_threads();
    assert_eq!(Client::new(bare).get("/read").await.status, 500);
    assert_eq!(at_least(&log, Level::ERROR).len(), 1);
}
