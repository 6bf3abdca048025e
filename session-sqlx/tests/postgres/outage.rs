//! What callers see while PostgreSQL is stopped, hangs, is cut off, or takes no writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, StoreError, SystemClock,
    store::{
        Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _, UpdateOutcome,
    },
};
use actix_typed_session_sqlx::PostgresStore;
use actix_typed_session_tests::{
    postgres::{PostgresServer, url},
    proxy::Proxy,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::sleep;

use crate::{key, server};

/// The time limit of the stores here.
const LIMIT: Duration = Duration::from_millis(2_000);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_millis(4_000);

fn store(pool: &PgPool, table: &str) -> PostgresStore {
    let builder = PostgresStore::builder(pool.clone()).table(table).time_limit(LIMIT);
    builder.sweep_interval(None).build().expect("the settings are valid")
}

fn pool(url: &str, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections);
    options.connect_lazy(url).expect("a valid URL")
}

/// A store with a session, and its pool.
async fn with_session(url: &str, table: &str) -> (PostgresStore, PgPool) {
    let pool = pool(url, 4);
    let store = store(&pool, table);
    store.ensure_schema().await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    (store, pool)
}

fn add_one() -> Patch {
    let mut patch = Patch::default();
    patch.add("n".into(), Number::Int(0), Number::Int(1));
    patch
}

async fn count(store: &PostgresStore) -> Result<u64, StoreError> {
    let record = store.load(&key(1), &LoadOptions::default()).await?.expect("the session is there");
    let count = record.field("n").map(|json| json.get().parse().expect("a number"));
    Ok(count.unwrap_or_default())
}

async fn increment(store: &PostgresStore) -> Result<(), StoreError> {
    match store.update(&key(1), &add_one()).await? {
        UpdateOutcome::Applied { .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

/// Waits until the pool has tested its connection and taken it back.
async fn at_rest(pool: &PgPool) {
    let start = Instant::now();
    while pool.num_idle() == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "the connection does not come back");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Each call fails in time.
async fn assert_unavailable(store: &PostgresStore) {
    for is_write in [false, true] {
        let start = Instant::now();
        let result = if is_write { increment(store).await } else { count(store).await.map(|_| ()) };
        let took = start.elapsed();
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        assert!(took < LIMIT + SLACK, "{took:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_unavailable_and_the_first_call_after_it_is_back_works() {
    let mut server = PostgresServer::start_with(&[]);
    let (store, _) = with_session(&server.url(), "sessions").await;
    for n in 1..=2 {
        increment(&store).await.expect("the server is up");
        server.kill();
        assert_unavailable(&store).await;
        server.restart();
        assert_eq!(count(&store).await.expect("the first call works"), n);
    }
    server.kill();
    server.restart();
    increment(&store).await.expect("the first call is a write, and works");
    assert_eq!(count(&store).await.expect("the server is up"), 3, "no write was repeated");
}

#[tokio::test]
async fn while_the_server_hangs_no_call_hangs_with_it() {
    let server = PostgresServer::start();
    let (store, pool) = with_session(&server.url(), "sessions").await;
    server.pause();
    // More calls than the pool has connections.
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { assert_unavailable(&store).await })
        })
        .collect();
    for call in calls {
        call.await.expect("it fails in time");
    }
    server.resume();
    let before = count(&store).await.expect("the first call works");
    assert!(before <= 12, "each write was sent once: {before}");
    for _ in 0..20 {
        increment(&store).await.expect("all connections work");
    }
    assert!(pool.size() <= 4);
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_given_up() {
    let proxy = Proxy::to(server().address());
    let (store, _) = with_session(&url(proxy.address()), "swallowed").await;
    increment(&store).await.expect("the network works");
    proxy.hang(true);
    for _ in 0..3 {
        assert_unavailable(&store).await;
    }
    // What the connections of before have held back never arrives.
    proxy.cut();
    proxy.hang(false);
    let before = count(&store).await.expect("the first call works");
    increment(&store).await.expect("and a write");
    assert_eq!(count(&store).await.expect("up"), before + 1);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_repeated_and_a_read_is() {
    let proxy = Proxy::to(server().address());
    let (store, _) = with_session(&url(proxy.address()), "lost_answer").await;
    increment(&store).await.expect("the network works");
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy(&url(proxy.address())).expect("a valid URL");
    let store = self::store(&pool, "lost_answer");
    for n in [3, 5, 7] {
        increment(&store).await.expect("the network works, and the statement is prepared");
        at_rest(&pool).await;
        proxy.swallow_replies(true);
        let writer = store.clone();
        let write = tokio::spawn(async move { increment(&writer).await });
        sleep(Duration::from_millis(200)).await;
        proxy.swallow_replies(false);
        proxy.cut();
        let error = write.await.expect("no panic").expect_err("the answer is lost");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert_eq!(count(&store).await.expect("up"), n, "once, and not twice");

        at_rest(&pool).await;
        proxy.swallow_replies(true);
        let reader = store.clone();
        let read = tokio::spawn(async move { count(&reader).await });
        sleep(Duration::from_millis(200)).await;
        proxy.swallow_replies(false);
        proxy.cut();
        assert_eq!(read.await.expect("no panic").expect("it is read again"), n);
    }
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_is_asked_for_again() {
    let proxy = Proxy::to(server().address());
    with_session(&url(proxy.address()), "lost_renewal").await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy(&url(proxy.address())).expect("a valid URL");
    let store = store(&pool, "lost_renewal");
    let until = SystemClock.now().saturating_add(Duration::from_secs(10));
    for (n, old_id) in [(1, OldIdReads::Snapshot), (2, OldIdReads::Nothing)] {
        let grace = Grace::new(until, old_id);
        let session = store.load(&key(n), &LoadOptions::default()).await.expect("up");
        let mut patch = add_one();
        patch.set_snapshot(session.expect("it is there"));
        let unknown = store.rotate(&key(100), &key(101), &patch, grace).await;
        assert!(matches!(unknown, Ok(UpdateOutcome::Gone)), "and the statement is prepared");
        at_rest(&pool).await;
        proxy.swallow_replies(true);
        let renewing = store.clone();
        let renewal =
            tokio::spawn(async move { renewing.rotate(&key(n), &key(n + 1), &patch, grace).await });
        sleep(Duration::from_millis(200)).await;
        proxy.swallow_replies(false);
        proxy.cut();
        let outcome = renewal.await.expect("no panic").expect("it is repeated");
        assert!(matches!(outcome, UpdateOutcome::Applied { version } if version == u64::from(n)));
        let renewed = store.load(&key(n + 1), &LoadOptions::default()).await.expect("up");
        let renewed = renewed.expect("it was renewed");
        let expected = n.to_string();
        assert_eq!(renewed.field("n").map(|json| json.get()), Some(&*expected), "applied once");
    }
}

#[tokio::test]
async fn connections_that_the_server_has_closed_are_replaced() {
    let server = PostgresServer::start();
    let (store, pool) = with_session(&server.url(), "sessions").await;
    for n in 1..=3 {
        let close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        sqlx::query(close).execute(&pool).await.expect("a superuser may");
        increment(&store).await.expect("the first call works");
        assert_eq!(count(&store).await.expect("up"), n);
    }
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_until_a_connection_is_free() {
    let (store, pool) = with_session(&server().url(), "exhausted").await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(pool.acquire().await.expect("a connection is free"));
    }
    assert_unavailable(&store).await;
    drop(taken.pop());
    increment(&store).await.expect("a connection is free");
    assert_eq!(count(&store).await.expect("up"), 1);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable_for_writes_only() {
    let server = PostgresServer::start();
    let (store, pool) = with_session(&server.url(), "sessions").await;
    let set = "ALTER ROLE postgres SET default_transaction_read_only =";
    let on = sqlx::AssertSqlSafe(format!("{set} on"));
    sqlx::raw_sql(on).execute(&pool).await.expect("a superuser may");
    // As after a failover: new connections find a server in another state than the old ones.
    let replaced = self::pool(&server.url(), 2);
    let replaced_store = self::store(&replaced, "sessions");
    let error = increment(&replaced_store).await.expect_err("read-only");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(count(&replaced_store).await.expect("reads work"), 0);
    let off = sqlx::AssertSqlSafe(format!("{set} off"));
    sqlx::raw_sql(off).execute(&pool).await.expect("this connection is older");
    // The connections that are still read-only fail once each and are closed.
    for _ in 0..2 {
        let _ = increment(&replaced_store).await;
    }
    let before = count(&replaced_store).await.expect("up");
    increment(&replaced_store).await.expect("a new connection takes writes");
    assert_eq!(count(&store).await.expect("up"), before + 1);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_server_was_killed_under_load() {
    let mut server = PostgresServer::start_with(&["fsync=on"]);
    let (store, _) = with_session(&server.url(), "sessions").await;
    let (stored, unknown) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, stored, unknown) =
                (store.clone(), Arc::clone(&stored), Arc::clone(&unknown));
            tokio::spawn(async move {
                for _ in 0..200 {
                    let counted = if increment(&store).await.is_ok() { &stored } else { &unknown };
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let enough = stored.load(Ordering::SeqCst) + 50;
        let start = Instant::now();
        while stored.load(Ordering::SeqCst) < enough && start.elapsed() < Duration::from_secs(20) {
            sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        server.restart();
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let found = count(&store).await.expect("the server is up");
    let (stored, unknown) = (stored.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
    println!("{stored} writes were answered, {unknown} were not, {found} are stored");
    assert!(found >= stored, "{stored} writes were answered, and {found} are stored");
    assert!(found <= stored + unknown, "{found} > {stored} + {unknown}");
}
