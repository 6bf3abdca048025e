//! Updates of one session that wait at the same time and go as one: each is as if it had gone by
//! itself.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, PublicId, RedisStore, StoreError, SystemClock,
    store::{
        FindByIndex as _, Index, LoadOptions, Number, Patch, Record, SessionStore as _,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    json::{add, json, record, set},
    process::key,
    servers::{ClusterSetup, RedisServer, Server},
};
use tokio::task::JoinHandle;

/// A store with a session that has these fields.
async fn with_session(store: RedisStore, fields: &[(&str, &str)]) -> RedisStore {
    let new = record(SystemClock.now(), fields);
    store.create(&key(0), &new).await.expect("the server is up");
    store
}

fn plain(server: &RedisServer) -> RedisStore {
    RedisStore::new(&server.url()).expect("a good URL")
}

/// Starts updates, which wait for the session together.
fn start(store: &RedisStore, patches: &[Patch]) -> Vec<JoinHandle<Updated>> {
    let call = |patch: &Patch| {
        let (store, patch) = (store.clone(), patch.clone());
        tokio::spawn(async move { store.update(&key(0), &patch).await })
    };
    patches.iter().map(call).collect()
}

type Updated = Result<UpdateOutcome, StoreError>;

async fn all(calls: Vec<JoinHandle<Updated>>) -> Vec<Updated> {
    let mut all = Vec::new();
    for call in calls {
        all.push(call.await.expect("no panic"));
    }
    all
}

fn versions(updated: &[Updated]) -> BTreeSet<u64> {
    let version = |updated: &Updated| match updated {
        Ok(UpdateOutcome::Applied { version }) => *version,
        other => panic!("{other:?}"),
    };
    updated.iter().map(version).collect()
}

async fn stored(store: &RedisStore) -> Record {
    let loaded = store.load(&key(0), &LoadOptions::default()).await.expect("the server is up");
    loaded.expect("the session is there")
}

#[tokio::test]
async fn a_session_that_many_requests_change_at_once_takes_few_scripts() {
    for kind in [Server::Redis, Server::Valkey] {
        let server = RedisServer::start(kind);
        let store = with_session(plain(&server), &[]).await;
        server.command(&["CONFIG", "RESETSTAT"]);
        let updated = all(start(&store, &vec![add("n", 1); 200])).await;
        let scripts = server.calls("evalsha");
        assert!(scripts < 10, "{scripts} scripts");
        let record = stored(&store).await;
        assert_eq!(record.field("n").map(|json| json.get()), Some("200"));
        assert_eq!(versions(&updated), (record.version() - 199..=record.version()).collect());
    }
}

#[tokio::test]
async fn in_a_cluster_too_and_the_order_of_the_requests_is_kept() {
    let cluster = ClusterSetup::start(Server::Redis);
    let store = RedisStore::cluster(cluster.urls().iter().map(String::as_str));
    let store = with_session(store.build().expect("good URLs"), &[("b", "0"), ("c", "0")]).await;
    let patches: Vec<Patch> = (0..40)
        .map(|n| {
            let mut patch = set(&[("a", &n.to_string())]);
            patch.add("n".into(), Number::Int(5), Number::Int(n));
            match n % 3 {
                0 => patch.set("b".into(), json(&n.to_string())),
                1 => patch.remove("b".into()),
                _ => patch.add("b".into(), Number::Int(0), Number::Int(1)),
            }
            patch
        })
        .collect();
    let before = stored(&store).await;
    let expected = patches
        .iter()
        .fold(before, |record, patch| patch.apply_to(&record).expect("a live record"));
    versions(&all(start(&store, &patches)).await);
    assert_eq!(stored(&store).await.to_bytes(), expected.to_bytes());
}

#[tokio::test]
async fn sums_are_those_of_one_addition_after_the_other() {
    let server = RedisServer::start(Server::Redis);
    for before in [
        None,
        Some("7"),
        Some("0.1"),
        Some("\"text\""),
        Some("99999999999999999"),
        Some("-1000000000000000000"),
        Some("18446744073709551615"),
        Some("9007199254740993"),
    ] {
        let fields = before.map(|json| ("n", json));
        let store = with_session(plain(&server), fields.as_slice()).await;
        let mut patch = Patch::default();
        patch.add("n".into(), Number::Int(10), Number::Int(3));
        let expected = (0..9).fold(stored(&store).await, |record, _| {
            patch.apply_to(&record).expect("a live record")
        });
        versions(&all(start(&store, &vec![patch; 9])).await);
        assert_eq!(stored(&store).await.to_bytes(), expected.to_bytes(), "{before:?}");
        store.destroy(&key(0)).await.expect("the server is up");
    }
}

#[tokio::test]
async fn the_local_cache_keeps_its_copy() {
    let server = RedisServer::start(Server::Redis);
    let store = RedisStore::builder(&server.url()).local_cache_bytes(1 << 20);
    let store = with_session(store.build().expect("a good URL"), &[]).await;
    stored(&store).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    versions(&all(start(&store, &vec![add("n", 1); 50])).await);
    let copy = store.load_cached(&key(0)).expect("it is kept");
    let scripts = server.calls("evalsha");
    assert!(scripts < 10, "{scripts} scripts");
    let there = plain(&server).load(&key(0), &LoadOptions::default()).await.expect("up");
    assert_eq!(copy.to_bytes(), there.expect("it is there").to_bytes());
}

#[tokio::test]
async fn updates_that_must_change_the_index_go_one_by_one() {
    let server = RedisServer::start(Server::Redis);
    let store = with_session(plain(&server), &[]).await;
    let mut index = set(&[("user", "0")]);
    let id = PublicId::new(SystemClock.now(), Duration::from_secs(3_600));
    index.index_field(Index::new(id, "user".into()));
    store.update(&key(0), &index).await.expect("the server is up");
    let patches: Vec<_> = (1..=9).map(|n: u8| set(&[("user", &n.to_string())])).collect();
    versions(&all(start(&store, &patches)).await);
    let user = stored(&store).await.field("user").expect("a user").to_owned();
    let page = store.find("user", &user, None, 10).await.expect("the server is up");
    assert_eq!(page.sessions.len(), 1);
}

#[tokio::test]
async fn a_session_that_is_gone_is_gone_for_each() {
    let server = RedisServer::start(Server::Redis);
    let store = plain(&server);
    for updated in all(start(&store, &vec![add("n", 1); 9])).await {
        assert!(matches!(updated, Ok(UpdateOutcome::Gone)), "{updated:?}");
    }
}

#[tokio::test]
async fn while_the_server_hangs_no_update_waits_longer_than_one() {
    const LIMIT: Duration = Duration::from_secs(2);
    let server = RedisServer::start(Server::Redis);
    let store = RedisStore::builder(&server.url()).response_timeout(LIMIT);
    let store = with_session(store.build().expect("a good URL"), &[]).await;
    versions(&all(start(&store, &[add("n", 1)])).await);
    server.pause();
    let begin = Instant::now();
    for updated in all(start(&store, &vec![add("n", 1); 9])).await {
        assert!(matches!(updated, Err(StoreError::Unavailable(_))), "{updated:?}");
    }
    assert!(begin.elapsed() < LIMIT * 2, "{:?}", begin.elapsed());
    server.resume();
    versions(&all(start(&store, &vec![add("n", 1); 9])).await);
}
