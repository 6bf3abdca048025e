//! From express-session, on an application that a real Node.js runs.

use actix_typed_session::{
    MemoryStore, RedisStore, Session, SessionMiddleware, TypedSession,
    import::{ExpressSession, ForeignFiles, ForeignRedis, Importer},
};
use actix_typed_session_tests::{
    Client, Site,
    node::NodeServer,
    servers::{RedisServer, Server},
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Session)]
struct Visitor {
    #[session(privilege, index, alias = "userId")]
    user_id: Option<i64>,
    #[session(rename = "userName")]
    user_name: String,
    #[session(merge = "add")]
    views: u64,
    score: f64,
    cart: Vec<Item>,
    passport: Option<Passport>,
    since: Option<String>,
    nothing: Option<String>,
    /// The other program has stored a text.
    wrong: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    article: String,
    count: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Passport {
    user: String,
}

async fn read(visitor: TypedSession<Visitor>) -> String {
    format!("{:?}", &*visitor)
}

async fn view(mut visitor: TypedSession<Visitor>) -> String {
    visitor.set_views(visitor.views + 1);
    visitor.views.to_string()
}

async fn log_out(mut visitor: TypedSession<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user_id, user_name, views, score, cart, passport, since, nothing, wrong } = self;
        write!(f, "{user_id:?} {user_name:?} {views} {score} {cart:?} {passport:?} ")?;
        write!(f, "{since:?} {nothing:?} {wrong}")
    }
}

const ANN: &str = "200 Some(7) \"Änn \\\"the\\\" 1st\" 3 0.1 [Item { article: \"tea\", count: 2 }] \
                   Some(Passport { user: \"7\" }) Some(\"1970-01-01T00:00:00.000Z\") None 0";

fn site(old: impl Importer) -> Site<()> {
    let settings = SessionMiddleware::builder(MemoryStore::new()).import(old);
    Site::unwatched(settings)
        .route("/read", read)
        .route("/view", view)
        .route("/logout", log_out)
        .start()
}

/// A visitor who has logged in at the old site.
async fn logged_in(old: &NodeServer, new: &Site<()>) -> Client {
    let mut ann = Client::new(old.address);
    assert_eq!(ann.get("/login/7").await.text(), "200 logged in");
    assert_eq!(ann.get("/me").await.text(), "200 7");
    Client { address: new.address, ..ann }
}

async fn goes_on(old: &NodeServer, new: &Site<()>) {
    let before = logged_in(old, new).await;
    let mut ann = before.clone();
    assert_eq!(ann.get("/read").await.text(), ANN);
    assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), ["__Host-session"]);
    assert_eq!(ann.get("/view").await.text(), "200 4");
    let at_old = Client { address: old.address, ..before }.get("/me").await;
    assert_eq!(at_old.text(), "200 undefined", "the old session is gone");
}

async fn is_kept(old: &NodeServer, new: &Site<()>) {
    let before = logged_in(old, new).await;
    let mut ann = before.clone();
    assert_eq!(ann.get("/read").await.text(), ANN);
    assert_eq!(ann.cookies.len(), 2);
    let mut at_old = Client { address: old.address, ..before };
    assert_eq!(at_old.get("/me").await.text(), "200 7", "the site can go back");
    assert_eq!(ann.get("/logout").await.text(), "200 bye");
    assert!(ann.cookies.is_empty());
    assert_eq!(at_old.get("/me").await.text(), "200 undefined", "but not after a logout");
}

#[actix_web::test]
async fn sessions_of_session_file_store_go_on() {
    let folder = TempDir::new().expect("a folder");
    let old = NodeServer::start("express.js", &["file", folder.path().to_str().expect("text")]);
    let importer = || ExpressSession::new(ForeignFiles::new(folder.path()), ["new secret"]);
    goes_on(&old, &site(importer())).await;
    is_kept(&old, &site(importer().keep_old())).await;
}

#[actix_web::test]
async fn sessions_of_connect_redis_go_on() {
    let redis = RedisServer::start(Server::Redis);
    let old = NodeServer::start("express.js", &["redis", &redis.url()]);
    let importer = || {
        let server = RedisStore::new(&redis.url()).expect("a good URL");
        ExpressSession::new(ForeignRedis::new(server, "sess:"), ["newest", "new secret"])
    };
    goes_on(&old, &site(importer())).await;
    is_kept(&old, &site(importer().keep_old())).await;
    let mut ann = logged_in(&old, &site(importer())).await;
    redis.command(&["FLUSHALL"]);
    let new = site(importer());
    ann.address = new.address;
    assert!(ann.get("/read").await.text().starts_with("200 None"), "it is not there any more");
}

#[actix_web::test]
async fn a_bad_signature_is_a_new_visitor() {
    let folder = TempDir::new().expect("a folder");
    let old = NodeServer::start("express.js", &["file", folder.path().to_str().expect("text")]);
    for secrets in [&["another secret"][..], &[]] {
        let files = ForeignFiles::new(folder.path());
        let new = site(ExpressSession::new(files, secrets.iter().copied()));
        let mut ann = logged_in(&old, &new).await;
        let response = ann.get("/read").await;
        assert!(response.text().starts_with("200 None \"\" 0"), "{response:?}");
        assert_eq!(response.set_cookie(), None);
    }
    let new = site(ExpressSession::new(ForeignFiles::new(folder.path()), ["new secret"]));
    let ann = logged_in(&old, &new).await;
    let good = ann.cookies["connect.sid"].clone();
    for forged in [good.replacen("s%3A", "s%3AA", 1), good.replacen("s%3A", "", 1), good + "A"] {
        let mut eve = ann.clone();
        eve.cookies.insert("connect.sid".to_owned(), forged);
        assert!(eve.get("/read").await.text().starts_with("200 None"));
    }
}
