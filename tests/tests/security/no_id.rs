//! What is derived from an id, or stands beside it, does not open a session. Who has read the
//! store, a backup, a log of keys or a page does not have an id.

use std::{fs, path::Path};

use actix_typed_session::{
    CookieStore, Durability, FileStore, Key, MemoryStore, RedisStore, Session, SessionId,
    SessionMiddleware, SessionMiddlewareBuilder, Sessions, TypedSession,
    store::{FindByIndex, SessionStore, StoreKey},
};
use actix_typed_session_tests::{
    Client, Site, get,
    servers::{RedisServer, Server},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use redis::Value;
use tempfile::TempDir;

#[derive(Session)]
struct Visitor {
    #[session(index)]
    name: String,
}

async fn read(session: TypedSession<Visitor>) -> String {
    format!("name={}", session.name)
}

async fn begin(mut session: TypedSession<Visitor>) -> String {
    session.set_name("ann".to_owned());
    session.csrf_token()
}

/// Everything that can be derived from an id, except for what the store writes itself.
fn derived(id: &str) -> Vec<(String, String)> {
    let key = StoreKey::from(&SessionId::new(id).expect("the cookie is the id"));
    let bytes = key.as_bytes();
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let hex = key.to_hex();
    [
        ("hex", hex.clone()),
        ("upper-case hex", hex.to_uppercase()),
        ("base64url", URL_SAFE_NO_PAD.encode(bytes)),
        ("base64url, padded", URL_SAFE.encode(bytes)),
        ("base64", STANDARD_NO_PAD.encode(bytes)),
        ("base64, padded", STANDARD.encode(bytes)),
        ("backwards", URL_SAFE_NO_PAD.encode(reversed)),
        ("half of it", hex[..32].to_owned()),
        ("a file's name", hex[2..].to_owned()),
        ("a file's path", format!("{}/{}", &hex[..2], &hex[2..])),
        (
            "an UUID",
            format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..32]
            ),
        ),
        (
            "hashed again",
            StoreKey::from(&SessionId::new(&*hex).expect("hex is like an id")).to_hex(),
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Reads a store as a thief does.
trait Steal {
    /// Every stored name and value, each with a description.
    fn everything(&self) -> Vec<(String, String)>;
}

impl Steal for TempDir {
    fn everything(&self) -> Vec<(String, String)> {
        fn walk(root: &Path, folder: &Path, all: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                all.extend(
                    name.split('-').map(|part| ("part of a name".to_owned(), part.to_owned())),
                );
                let relative = path.strip_prefix(root).expect("it is inside").to_string_lossy();
                all.push(("a name".to_owned(), name.clone()));
                all.push(("a path".to_owned(), relative.clone().into_owned()));
                all.push(("a path without slashes".to_owned(), relative.replace('/', "")));
                all.push(("up and down again".to_owned(), format!("../sessions/{relative}")));
                if path.is_dir() {
                    walk(root, &path, all);
                } else {
                    let text =
                        String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
                    all.push(("content".to_owned(), text));
                }
            }
        }
        let mut all = Vec::new();
        walk(self.path(), self.path(), &mut all);
        all
    }
}

impl Steal for RedisServer {
    fn everything(&self) -> Vec<(String, String)> {
        fn texts(value: &Value, all: &mut Vec<(String, String)>) {
            match value {
                Value::BulkString(bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    all.extend([
                        ("text".to_owned(), text.clone().into_owned()),
                        (
                            "after the colon".to_owned(),
                            text.rsplit(':').next().unwrap_or_default().to_owned(),
                        ),
                        ("in base64url".to_owned(), URL_SAFE_NO_PAD.encode(bytes)),
                        (
                            "its last 43".to_owned(),
                            text.chars().rev().take(43).collect::<Vec<_>>().iter().rev().collect(),
                        ),
                    ]);
                }
                Value::Array(values) => values.iter().for_each(|value| texts(value, all)),
                Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                    texts(key, all);
                    texts(value, all);
                }),
                _ => {}
            }
        }
        let mut all = Vec::new();
        let Value::Array(keys) = self.command(&["KEYS", "*"]) else { panic!("a list of keys") };
        assert!(!keys.is_empty(), "something is stored");
        for key in keys {
            texts(&key, &mut all);
            let Value::BulkString(name) = &key else { panic!("a key") };
            let name = String::from_utf8_lossy(name).into_owned();
            let kind = self.command(&["TYPE", &name]);
            let held = match &kind {
                Value::SimpleString(kind) if kind == "hash" => self.command(&["HGETALL", &name]),
                Value::SimpleString(kind) if kind == "zset" => {
                    self.command(&["ZRANGE", &name, "0", "-1"])
                }
                other => panic!("the store has a {other:?}"),
            };
            texts(&held, &mut all);
        }
        all
    }
}

/// Nothing in the store.
impl Steal for () {
    fn everything(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

async fn nothing_but_the_id_opens_the_session<S>(store: S, thief: impl Steal)
where
    S: SessionStore + FindByIndex + Clone,
{
    let key = || [Key::from_bytes([1; 32])];
    let served = |middleware: SessionMiddlewareBuilder| {
        let site = Site::unwatched(middleware).route("/read", read).route("/begin", begin);
        site.workers(1).start().address
    };
    let by_id = || SessionMiddleware::builder(store.clone()).bearer();
    let plain = served(by_id());
    let signed = served(by_id().signing_keys(key()));
    let sealed = CookieStore::new(key()).expect("there is a key");
    let sealed = served(SessionMiddleware::builder(sealed));

    let mut browser = Client::new(plain);
    let token = browser.get("/begin").await.body;
    let id = browser.cookie().to_owned();
    let mut beside = Client::new(signed);
    beside.get("/begin").await;
    let (signed_id, mac) = beside.cookie().rsplit_once('.').expect("an id and a signature");

    let sessions = Sessions::<Visitor>::new(store.clone());
    let page = sessions.list(&Visitor::by_name(&"ann".to_owned()), None, 10).await;
    let page = page.expect("the store answers");
    assert_eq!(page.sessions.len(), 2);
    let mut attempts = derived(&id);
    attempts.extend(derived(signed_id));
    attempts
        .extend(page.sessions.iter().map(|it| ("a public id".into(), it.public_id().to_string())));
    attempts.extend(thief.everything());
    attempts.push(("a CSRF token".into(), token.clone()));
    attempts.push(("half of a CSRF token".into(), token[..43].to_owned()));
    attempts.push(("the other half".into(), token[43..].to_owned()));
    attempts.push(("a signature".into(), mac.to_owned()));
    let keys: Vec<_> = derived(&id);
    attempts.extend(
        keys.iter()
            .map(|(name, it)| (format!("{name}, a foreign signature"), format!("{it}.{mac}"))),
    );

    for (name, attempt) in attempts {
        // A header cannot have control characters.
        let attempt: String = attempt.chars().filter(|it| !it.is_control()).take(4_000).collect();
        assert_ne!(attempt, id, "{name}: the store has the id");
        assert!(!attempt.contains(&id), "{name}: the store has the id");
        for address in [plain, signed, sealed] {
            for header in ["Cookie: __Host-session=", "Authorization: Bearer "] {
                let line = format!("{header}{attempt}\r\n");
                let response = get(address, "/read", line.as_bytes()).await;
                assert_eq!(response.text(), "200 name=", "{name}: {header}{attempt}");
            }
        }
    }
    assert_eq!(browser.get("/read").await.text(), "200 name=ann");
    assert_eq!(beside.get("/read").await.text(), "200 name=ann");
}

#[actix_web::test]
async fn nothing_but_the_id_opens_a_session_in_memory() {
    nothing_but_the_id_opens_the_session(MemoryStore::new(), ()).await;
}

#[actix_web::test]
async fn no_file_name_and_no_file_opens_a_session() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = FileStore::builder(folder.path()).durability(Durability::Process);
    nothing_but_the_id_opens_the_session(store.build().expect("a writable folder"), folder).await;
}

#[actix_web::test]
async fn nothing_that_redis_holds_opens_a_session() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    nothing_but_the_id_opens_the_session(store, redis).await;
}
