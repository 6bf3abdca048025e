//! From express-session, on an application that a real Node.js runs and that keeps its sessions in
//! PostgreSQL with connect-pg-simple.

use actix_typed_session::{
    MemoryStore, Session, SessionMiddleware, TypedSession,
    import::{ExpressSession, Importer},
};
use actix_typed_session_sqlx::ForeignPostgres;
use actix_typed_session_tests::{Client, Site, node::NodeServer};
use sqlx::{PgPool, Postgres};

use crate::database::{Database, new_table, pool, run};

#[derive(Session)]
struct Visitor {
    #[session(privilege, alias = "userId")]
    user_id: Option<i64>,
    #[session(rename = "userName")]
    user_name: String,
    views: u64,
}

async fn read(visitor: TypedSession<Visitor>) -> String {
    format!("{:?} {} {}", visitor.user_id, visitor.user_name, visitor.views)
}

async fn log_out(mut visitor: TypedSession<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

const ANN: &str = "200 Some(7) Änn \"the\" 1st 3";
const NEW_VISITOR: &str = "200 None  0";

fn site(old: impl Importer) -> Site<()> {
    let settings = SessionMiddleware::builder(MemoryStore::new()).import(old);
    Site::unwatched(settings).route("/read", read).route("/logout", log_out).start()
}

/// An application that has a database to itself, and a pool for that.
async fn old_site() -> (NodeServer, PgPool) {
    let url = Postgres::url(None, Postgres::shared().address());
    let database = new_table();
    run(&pool::<Postgres>(&url, 1), &format!("CREATE DATABASE {database}")).await;
    let (server, _) = url.rsplit_once('/').expect("the database is its last part");
    let url = format!("{server}/{database}");
    (NodeServer::start("express.js", &["postgres", &url]), pool(&url, 2))
}

fn importer(store: ForeignPostgres) -> ExpressSession<ForeignPostgres> {
    ExpressSession::new(store, ["new secret"])
}

/// A visitor who has logged in at the old site.
async fn logged_in(old: &NodeServer, new: &Site<()>) -> Client {
    let mut ann = Client::new(old.address);
    assert_eq!(ann.get("/login/7").await.text(), "200 logged in");
    assert_eq!(ann.get("/me").await.text(), "200 7");
    Client { address: new.address, ..ann }
}

#[actix_web::test]
async fn sessions_of_connect_pg_simple_go_on() {
    let (old, pool) = old_site().await;
    let new = site(importer(ForeignPostgres::new(pool)));
    let before = logged_in(&old, &new).await;
    let mut ann = before.clone();
    assert_eq!(ann.get("/read").await.text(), ANN);
    assert_eq!(ann.cookies.keys().collect::<Vec<_>>(), ["__Host-session"]);
    let at_old = Client { address: old.address, ..before }.get("/me").await;
    assert_eq!(at_old.text(), "200 undefined", "the old session is gone");
}

#[actix_web::test]
async fn kept_sessions_of_connect_pg_simple_end_with_a_logout() {
    let (old, pool) = old_site().await;
    let new = site(importer(ForeignPostgres::new(pool)).keep_old());
    let before = logged_in(&old, &new).await;
    let mut ann = before.clone();
    assert_eq!(ann.get("/read").await.text(), ANN);
    let mut at_old = Client { address: old.address, ..before };
    assert_eq!(at_old.get("/me").await.text(), "200 7", "the site can go back");
    assert_eq!(ann.get("/logout").await.text(), "200 bye");
    assert_eq!(at_old.get("/me").await.text(), "200 undefined", "but not after a logout");
}

/// The module stores the time of its connections without their zone, and sqlx sets UTC on its own.
#[actix_web::test]
async fn an_expired_session_of_connect_pg_simple_is_a_new_visitor_in_each_time_zone() {
    let (old, pool) = old_site().await;
    let at = |zone: &str| {
        let store = ForeignPostgres::new(pool.clone()).schema("public").table("session");
        site(importer(store.time_zone(zone)))
    };
    let (utc, tokyo) = (at("UTC"), at("Asia/Tokyo"));
    let ann = logged_in(&old, &utc).await;
    // Tokyo is nine hours ahead, so there it was an hour ago.
    run(&pool, "UPDATE session SET expire = (now() AT TIME ZONE 'UTC') + interval '8 h'").await;
    let in_tokyo = Client { address: tokyo.address, ..ann.clone() }.get("/read").await;
    assert_eq!(in_tokyo.text(), NEW_VISITOR);
    assert_eq!(Client { address: utc.address, ..ann }.get("/read").await.text(), ANN);
}

#[actix_web::test]
async fn a_table_that_is_missing_fails_the_request_and_keeps_the_cookie() {
    let (old, pool) = old_site().await;
    let new = site(importer(ForeignPostgres::new(pool.clone()).table("another")));
    let mut ann = logged_in(&old, &new).await;
    let response = ann.get("/read").await;
    assert_eq!((response.status, response.set_cookie()), (500, None), "{response:?}");
    let right = site(importer(ForeignPostgres::new(pool)));
    ann.address = right.address;
    assert_eq!(ann.get("/read").await.text(), ANN);
}
