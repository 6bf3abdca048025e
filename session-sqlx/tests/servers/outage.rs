//! What callers see while the database is stopped, hangs, is cut off, or takes no writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, StoreError, SystemClock,
    store::{Grace, LoadOptions, OldIdReads, Record, SessionStore, UpdateOutcome},
};
use actix_typed_session_tests::{database::DatabaseServer, json::add, proxy::Proxy, wait::until};
use sqlx::{Pool, pool::PoolOptions};
use tokio::time::sleep;

use crate::database::{Builder as _, Database, key, on_each_database, pool, run};

/// The time limit of the stores here.
const LIMIT: Duration = Duration::from_millis(2_000);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_millis(4_000);

fn store<D: Database>(pool: &Pool<D>, table: &str) -> D::Store {
    let builder = D::builder(pool.clone()).table(table).time_limit(LIMIT);
    builder.sweep_interval(None).build().expect("the settings are valid")
}

/// A store with a session, and its pool.
async fn with_session<D: Database>(url: &str, table: &str) -> (D::Store, Pool<D>) {
    let pool = pool::<D>(url, 4);
    let store = store(&pool, table);
    D::ensure_schema(&store).await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    (store, pool)
}

pub(crate) async fn count(store: &impl SessionStore) -> Result<u64, StoreError> {
    let record = store.load(&key(1), &LoadOptions::default()).await?.expect("the session is there");
    let count = record.field("n").map(|json| json.get().parse().expect("a number"));
    Ok(count.unwrap_or_default())
}

pub(crate) async fn increment(store: &impl SessionStore) -> Result<(), StoreError> {
    match store.update(&key(1), &add("n", 1)).await? {
        UpdateOutcome::Applied { .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

/// Waits until the pool has tested its connection and taken it back.
async fn at_rest<D: Database>(pool: &Pool<D>) {
    until("the connection is idle", || pool.num_idle() > 0).await;
}

/// Each call fails in time.
async fn assert_unavailable(store: &impl SessionStore) {
    for is_write in [false, true] {
        let start = Instant::now();
        let result = if is_write { increment(store).await } else { count(store).await.map(|_| ()) };
        let took = start.elapsed();
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        assert!(took < LIMIT + SLACK, "{took:?}");
    }
}

async fn a_server_that_is_killed_is_unavailable_and_the_first_call_after_it_is_back_works<
    D: Database,
>() {
    let mut server = DatabaseServer::<D::Program>::start(D::SAFE);
    let (store, _) = with_session::<D>(&D::url(None, server.address()), "sessions").await;
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

async fn while_the_server_hangs_no_call_hangs_with_it<D: Database>() {
    let server = DatabaseServer::<D::Program>::start(D::FAST);
    let (store, pool) = with_session::<D>(&D::url(None, server.address()), "sessions").await;
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

async fn a_network_that_swallows_everything_is_given_up<D: Database>() {
    let proxy = Proxy::to(D::shared().address());
    let (store, _) = with_session::<D>(&D::url(None, proxy.address()), "swallowed").await;
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

async fn a_write_whose_answer_is_lost_is_not_repeated_and_a_read_is<D: Database>() {
    let proxy = Proxy::to(D::shared().address());
    let (store, _) = with_session::<D>(&D::url(None, proxy.address()), "lost_answer").await;
    increment(&store).await.expect("the network works");
    let pool = PoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy(&D::url(None, proxy.address())).expect("a valid URL");
    let store = self::store::<D>(&pool, "lost_answer");
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

async fn a_renewal_whose_answer_is_lost_is_asked_for_again<D: Database>() {
    let proxy = Proxy::to(D::shared().address());
    with_session::<D>(&D::url(None, proxy.address()), "lost_renewal").await;
    let pool = PoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy(&D::url(None, proxy.address())).expect("a valid URL");
    let store = store::<D>(&pool, "lost_renewal");
    let until = SystemClock.now().saturating_add(Duration::from_secs(10));
    for (n, old_id) in [(1, OldIdReads::Snapshot), (2, OldIdReads::Nothing)] {
        let grace = Grace::new(until, old_id);
        let session = store.load(&key(n), &LoadOptions::default()).await.expect("up");
        let mut patch = add("n", 1);
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

async fn connections_that_the_server_has_closed_are_replaced<D: Database>() {
    let server = DatabaseServer::<D::Program>::start(D::FAST);
    let (store, pool) = with_session::<D>(&D::url(None, server.address()), "sessions").await;
    for n in [1, 3, 5] {
        run(&pool, D::KILL_ALL).await;
        // The store has just used a connection, and uses it again. As each request does, it loads
        // first.
        assert_eq!(count(&store).await.expect("the first call works"), n - 1);
        increment(&store).await.expect("no connection is left that was closed");
        until("the connections are back", || pool.num_idle() == pool.size() as usize).await;
        run(&pool, D::KILL_ALL).await;
        increment(&store).await.expect("the first call works");
        assert_eq!(count(&store).await.expect("up"), n + 1);
    }
}

async fn an_exhausted_pool_is_unavailable_until_a_connection_is_free<D: Database>() {
    let (store, pool) = with_session::<D>(&D::url(None, D::shared().address()), "exhausted").await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(pool.acquire().await.expect("a connection is free"));
    }
    assert_unavailable(&store).await;
    drop(taken.pop());
    increment(&store).await.expect("a connection is free");
    assert_eq!(count(&store).await.expect("up"), 1);
}

async fn a_server_that_takes_no_writes_is_unavailable_for_writes_only<D: Database>() {
    let server = DatabaseServer::<D::Program>::start(D::FAST);
    let (store, pool) = with_session::<D>(&D::url(None, server.address()), "sessions").await;
    run(&pool, D::READ_ONLY[0]).await;
    // As after a failover: new connections find a server in another state than the old ones.
    let replaced = self::pool::<D>(&D::url(None, server.address()), 2);
    let replaced_store = self::store::<D>(&replaced, "sessions");
    let error = increment(&replaced_store).await.expect_err("read-only");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(count(&replaced_store).await.expect("reads work"), 0);
    run(&pool, D::READ_ONLY[1]).await;
    // The connections that are still read-only fail once each and are closed.
    for _ in 0..2 {
        let _ = increment(&replaced_store).await;
    }
    let before = count(&replaced_store).await.expect("up");
    increment(&replaced_store).await.expect("a new connection takes writes");
    assert_eq!(count(&store).await.expect("up"), before + 1);
}

async fn what_was_answered_is_there_after_the_server_was_killed_under_load<D: Database>() {
    let mut server = DatabaseServer::<D::Program>::start(D::SAFE);
    let (store, _) = with_session::<D>(&D::url(None, server.address()), "sessions").await;
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

on_each_database!(
    a_server_that_is_killed_is_unavailable_and_the_first_call_after_it_is_back_works,
    while_the_server_hangs_no_call_hangs_with_it,
    a_network_that_swallows_everything_is_given_up,
    a_write_whose_answer_is_lost_is_not_repeated_and_a_read_is,
    a_renewal_whose_answer_is_lost_is_asked_for_again,
    connections_that_the_server_has_closed_are_replaced,
    an_exhausted_pool_is_unavailable_until_a_connection_is_free,
    a_server_that_takes_no_writes_is_unavailable_for_writes_only,
    what_was_answered_is_there_after_the_server_was_killed_under_load,
);
