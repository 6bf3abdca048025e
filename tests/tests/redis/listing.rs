//! The list of all sessions, and the readiness check, on real servers.

use std::collections::BTreeSet;

use actix_typed_session::{
    Clock as _, RedisStore, SessionId, StoreError, SystemClock,
    store::{ListAll as _, ListCursor, Ping as _, SessionStore as _, StoreKey},
};
use actix_typed_session_tests::{
    error_chain,
    json::record,
    servers::{ClusterSetup, RedisServer, Server},
};
use redis::Value;

async fn fill(store: &RedisStore, sessions: usize) -> BTreeSet<StoreKey> {
    let mut keys = BTreeSet::new();
    for _ in 0..sessions {
        let key = StoreKey::from(&SessionId::random());
        let record = record(SystemClock.now(), &[("a", "1")]);
        store.create(&key, &record).await.expect("the server is up");
        keys.insert(key);
    }
    keys
}

async fn list(store: &RedisStore) -> Result<BTreeSet<StoreKey>, StoreError> {
    let (mut found, mut next) = (BTreeSet::new(), None);
    loop {
        let page = store.list(next.as_ref(), 10).await?;
        found.extend(page.sessions.into_iter().map(|(key, _)| key));
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

#[tokio::test]
async fn other_keys_of_the_server_are_not_listed() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::builder(&redis.url()).prefix("shop[1]*:").build().expect("good");
    let other = RedisStore::builder(&redis.url()).prefix("shop1:").build().expect("good");
    fill(&other, 20).await;
    redis.command(&["SET", "shop[1]*:cache", "mine"]);
    let keys = fill(&store, 20).await;
    assert_eq!(list(&store).await.expect("the server is up"), keys);
}

#[tokio::test]
async fn a_list_that_a_restart_has_cut_off_begins_again() {
    let mut redis =
        RedisServer::start_with(Server::Redis, &["--appendonly", "yes", "--appendfsync", "always"]);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let keys = fill(&store, 200).await;
    let first = store.list(None, 10).await.expect("the server is up");
    redis.kill();
    redis.restart();
    let error = store.list(first.next.as_ref(), 10).await.expect_err("its position is lost");
    assert!(error_chain(&error).contains("again from the beginning"), "{}", error_chain(&error));
    assert_eq!(list(&store).await.expect("the server is up"), keys);
}

#[tokio::test]
async fn all_nodes_of_a_cluster_are_listed_and_must_answer() {
    let cluster = ClusterSetup::start(Server::Redis);
    let store = RedisStore::cluster(cluster.urls().iter().map(String::as_str));
    let store = store.build().expect("good URLs");
    let keys = fill(&store, 100).await;
    store.ping().await.expect("all nodes are up");
    assert_eq!(list(&store).await.expect("all nodes are up"), keys);
}

#[tokio::test]
async fn a_cursor_of_another_store_is_refused() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let error = store.list(Some(&ListCursor::new(*b"page 2")), 10).await.expect_err("foreign");
    assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
}

#[tokio::test]
async fn an_acl_user_needs_what_the_guide_says() {
    let redis = RedisServer::start(Server::Redis);
    let guide = include_str!("../../../session/src/guide/redis.md");
    let line = guide.lines().find(|line| line.starts_with("ACL SETUSER sessions on"));
    let line: Vec<_> = line.expect("the guide has one").split(' ').collect();
    assert_eq!(redis.command(&line), Value::Okay);
    let store = RedisStore::builder(&redis.url()).credentials("sessions", "secret").build();
    let store = store.expect("a good URL");
    let keys = fill(&store, 3).await;
    for (call, more) in [("list", ["+scan", "+info"]), ("ping", ["+ping", "+ping"])] {
        for permission in more {
            assert!(guide.contains(permission), "{permission}");
        }
        let is_listed = async || match call {
            "list" => list(&store).await.map(|found| found == keys),
            _ => store.ping().await.map(|()| true),
        };
        assert!(is_listed().await.is_err(), "{call}");
        redis.command(&[&["ACL", "SETUSER", "sessions"][..], &more].concat());
        assert!(is_listed().await.expect("it may"), "{call}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_ready_until_it_is() {
    let mut redis = RedisServer::start(Server::Redis);
    let unused = RedisStore::new(&redis.url()).expect("a good URL");
    let used = RedisStore::new(&redis.url()).expect("a good URL");
    used.ping().await.expect("it is up");
    redis.kill();
    for store in [&unused, &used] {
        let error = store.ping().await.expect_err("no server is there");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    redis.restart();
    for store in [&unused, &used] {
        store.ping().await.expect("it is up again");
    }
}

#[tokio::test]
async fn a_cluster_whose_nodes_are_not_there_is_not_ready() {
    let cluster = ClusterSetup::start(Server::Redis);
    let urls = cluster.urls();
    let store = || RedisStore::cluster(urls.iter().map(String::as_str)).build().expect("good URLs");
    let (used, unused) = (store(), store());
    used.ping().await.expect("all nodes are up");
    drop(cluster);
    for store in [&unused, &used] {
        let error = store.ping().await.expect_err("no node is there");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
