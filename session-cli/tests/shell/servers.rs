//! On Redis, PostgreSQL, MariaDB and SQLite.

use std::sync::OnceLock;

use actix_typed_session::{
    RedisStore, Timestamp,
    store::{FindByIndex, ListAll, Patch, Record},
};
use actix_typed_session_sqlx::{MySqlStore, PostgresStore, SqliteStore};
use actix_typed_session_tests::{
    mariadb::MariaDbServer,
    postgres::PostgresServer,
    servers::{ClusterSetup, RedisServer, SentinelSetup, Server},
};
use serde_json::json;
use sqlx::pool::PoolOptions;
use tempfile::TempDir;

use crate::fixture::{create, digest, fill, key, public_id, run};

pub(crate) fn postgres() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start(&["fsync=off"]))
}

fn mariadb() -> &'static MariaDbServer {
    static SERVER: OnceLock<MariaDbServer> = OnceLock::new();
    SERVER.get_or_init(|| MariaDbServer::start(&["--innodb-flush-log-at-trx-commit=2"]))
}

/// What every store does alike. It begins with the four sessions.
async fn commands_work(
    url: &str,
    settings: &str,
    store: &(impl FindByIndex + ListAll),
    sweeps: &str,
) {
    fill(store).await;
    let run = |arguments: &str| run(url, &format!("{settings} {arguments}"));
    assert_eq!(run("count").ok(), "4\n");
    assert_eq!(run("count --field user_id=42").ok(), "2\n");
    let list = run("list").ok();
    assert_eq!(list.lines().count(), 5, "{list}");
    assert!(list.contains(&public_id(0).to_string()) && list.contains(&digest(3)), "{list}");
    let id = public_id(1);
    let shown = run(&format!("show --json --values {id}")).json();
    assert_eq!(shown[0]["fields"][1]["value"], 42);
    assert_eq!(shown[0]["began"], "2026-11-29T09:00:00.000Z");
    let expired = u64::from(sweeps == SWEPT);
    if expired > 0 {
        let record = Record::new(Timestamp::from_unix_ms(1), Timestamp::from_unix_ms(2));
        create(store, key(9), &record, &Patch::default()).await;
    }
    let checked = run("check --json").json();
    let all_good = json!({
        "readable": 4, "retired": 0, "expired": expired, "later_format": 0, "damaged": 0,
    });
    assert_eq!(checked, [all_good]);
    assert_eq!(run(&format!("destroy --yes {id} {}", digest(3))).ok(), "2 sessions destroyed\n");
    assert_eq!(run("destroy --yes --field user_id=7").ok(), "1 session destroyed\n");
    assert_eq!(run("count").ok(), "1\n");
    assert_eq!(run("sweep").ok(), sweeps);
}

const SWEPT: &str = "1 expired session deleted\n";
const BY_ITSELF: &str = "nothing to do: Redis deletes expired sessions by itself\n";

#[tokio::test]
async fn commands_work_on_redis() {
    let server = RedisServer::start(Server::Redis);
    let store = RedisStore::builder(&server.url()).prefix("shop:").build().expect("a good URL");
    commands_work(&server.url(), "--prefix shop:", &store, BY_ITSELF).await;
    assert_eq!(run(server.url(), "count").ok(), "0\n", "another prefix has other sessions");
}

#[tokio::test]
async fn commands_work_on_redis_with_tls() {
    let (server, authority) = RedisServer::start_tls(Server::Redis);
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority).expect("our folder");
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let store = RedisStore::builder(&url).root_certificate(authority).build();
    let settings = format!("--ca-file {}", file.display());
    commands_work(&url, &settings, &store.expect("a good URL"), BY_ITSELF).await;
    let untrusted = run(&url, "count").fails(1);
    assert!(untrusted.contains("certificate"), "{untrusted}");
}

#[tokio::test]
async fn commands_work_on_a_cluster() {
    let cluster = ClusterSetup::start(Server::Redis);
    let urls = cluster.urls();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let store = RedisStore::cluster(urls.iter().map(String::as_str)).build().expect("good URLs");
    let url = format!("redis+cluster://{}", hosts.join(","));
    commands_work(&url, "", &store, BY_ITSELF).await;
}

#[tokio::test]
async fn commands_work_through_sentinels() {
    let sentinels = SentinelSetup::start();
    let urls = sentinels.urls();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let name = actix_typed_session_tests::servers::MASTER_NAME;
    let store = RedisStore::sentinel(urls.iter().map(String::as_str), name).build();
    let url = format!("redis+sentinel://{}/{name}", hosts.join(","));
    commands_work(&url, "", &store.expect("good URLs"), BY_ITSELF).await;
}

#[tokio::test]
async fn commands_work_on_postgresql() {
    let url = postgres().url();
    let pool = PoolOptions::new().connect(&url).await.expect("the server is up");
    let store = PostgresStore::builder(pool).table("shop").build().expect("good settings");
    let missing = run(&url, "--table shop count").fails(1);
    assert!(missing.contains("check --table and --schema"), "{missing}");
    store.ensure_schema().await.expect("the server is up");
    commands_work(&url, "--table shop", &store, SWEPT).await;
}

#[tokio::test]
async fn commands_work_on_mariadb() {
    let url = mariadb().url();
    let pool = PoolOptions::new().connect(&url).await.expect("the server is up");
    let store = MySqlStore::builder(pool).table("shop").build().expect("good settings");
    let missing = run(&url, "--table shop count").fails(1);
    assert!(missing.contains("check --table"), "{missing}");
    store.ensure_schema().await.expect("the server is up");
    let url = url.replace("mysql:", "mariadb:");
    commands_work(&url, "--table shop", &store, SWEPT).await;
}

#[tokio::test]
async fn commands_work_on_sqlite() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("sessions.db");
    let store = SqliteStore::new(&path).expect("a new file");
    commands_work(&format!("sqlite://{}", path.display()), "", &store, SWEPT).await;
}

#[tokio::test]
async fn a_role_without_privileges_is_told_which_it_needs() {
    let url = postgres().url();
    let pool = PoolOptions::new().connect(&url).await.expect("the server is up");
    let store = PostgresStore::builder(pool.clone()).table("closed").build();
    store.expect("good settings").ensure_schema().await.expect("the server is up");
    sqlx::query("CREATE ROLE reader LOGIN").execute(&pool).await.expect("the server is up");
    let url = url.replace("postgres@", "reader@");
    let error = run(&url, "--table closed list").fails(1);
    assert!(error.contains("grant SELECT"), "{error}");
}
