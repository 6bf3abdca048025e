//! What a call costs: round trips and bytes, as a proxy counts them.

use std::time::{Duration, Instant};

use actix_typed_session::{
    Clock as _, StoreError, SystemClock,
    store::{
        FindByIndex as _, Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _,
        UpdateOutcome,
    },
};
use actix_typed_session_sqlx::PostgresStore;
use actix_typed_session_tests::{
    json::{add, json, set},
    postgres::url,
    proxy::Proxy,
};
use sqlx::{Connection as _, PgPool, Row as _, postgres::PgPoolOptions};
use tokio::time::sleep;

use crate::{key, server};

/// The pool that the guide recommends, with one connection.
fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(1) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy(url)
        .expect("a valid URL")
}

struct Costs {
    proxy: Proxy,
    pool: PgPool,
    store: PostgresStore,
}

/// A call is one round trip. It does not wait for another one, by which sqlx tests the connection
/// before the pool has it again.
const WITH_RETURN: u64 = 2;

/// Round trips, bytes sent, and bytes received.
type Cost = (u64, u64, u64);

impl Costs {
    async fn new(table: &str) -> Self {
        let proxy = Proxy::to(server().address());
        let pool = pool(&url(proxy.address()));
        let builder = PostgresStore::builder(pool.clone()).table(table).sweep_interval(None);
        let store = builder.build().expect("the settings are valid");
        store.ensure_schema().await.expect("the server is up");
        Self { proxy, pool, store }
    }

    /// What a call costs.
    async fn of<T>(&self, call: impl Future<Output = T>) -> (T, Cost) {
        let before = self.counts().await;
        let result = call.await;
        let after = self.counts().await;
        (result, (after.0 - before.0, after.1 - before.1, after.2 - before.2))
    }

    async fn counts(&self) -> Cost {
        let start = Instant::now();
        while self.pool.num_idle() == 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "the connection does not come back");
            sleep(Duration::from_millis(1)).await;
        }
        (self.proxy.requests(), self.proxy.bytes_up(), self.proxy.bytes_down())
    }
}

fn new_record() -> Record {
    let now = SystemClock.now();
    Record::new(now, now.saturating_add(Duration::from_secs(3_600)))
}

fn applied(outcome: Result<UpdateOutcome, StoreError>) {
    assert!(matches!(outcome, Ok(UpdateOutcome::Applied { .. })), "{outcome:?}");
}

#[tokio::test]
async fn each_call_is_one_round_trip() {
    let costs = Costs::new("costs").await;
    // In the first round, each statement is prepared.
    for (round, first) in [(1, 1), (2, 11)] {
        for (call, cost) in all_calls(&costs, first).await {
            println!("{call}: {} bytes sent, {} received", cost.1, cost.2);
            assert!(round == 1 || cost.0 == WITH_RETURN, "{call}: {} round trips", cost.0);
        }
    }
}

/// Makes each call, and returns what it costs.
async fn all_calls(costs: &Costs, first: u8) -> Vec<(&'static str, Cost)> {
    let (store, keys) = (&costs.store, [0, 1, 2].map(|n| key(first + n)));
    let later = new_record().expires_at().saturating_add(Duration::from_secs(60));
    let mut list = Vec::new();
    let (created, cost) = costs.of(store.create(&keys[0], &new_record())).await;
    created.expect("the server is up");
    list.push(("create", cost));
    let options = [LoadOptions::default(), LoadOptions::default().with_fields(&["a"])];
    for (call, options) in ["load", "load of one field"].into_iter().zip(&options) {
        let (loaded, cost) = costs.of(store.load(&keys[0], options)).await;
        assert!(loaded.expect("the server is up").is_some());
        list.push((call, cost));
    }
    for (call, patch) in [("set", set(&[("a", "1")])), ("add", add("n", 1)), ("both", both())] {
        let (updated, cost) = costs.of(store.update(&keys[0], &patch)).await;
        applied(updated);
        list.push((call, cost));
    }
    let (touched, cost) = costs.of(store.touch(&keys[0], later)).await;
    assert!(touched.expect("the server is up"));
    list.push(("touch", cost));
    let snapshot = store.load(&keys[0], &LoadOptions::default()).await.expect("up").expect("there");
    let mut renewal = set(&[("user", "7")]);
    renewal.set_snapshot(snapshot);
    let grace = Grace::new(later, OldIdReads::Snapshot);
    let (rotated, cost) = costs.of(store.rotate(&keys[0], &keys[1], &renewal, grace)).await;
    applied(rotated);
    list.push(("rotate", cost));
    let value = json("7");
    let (found, cost) = costs.of(store.find("user", &value, None, 10)).await;
    found.expect("the server is up");
    list.push(("find", cost));
    let (destroyed, cost) = costs.of(store.destroy(&keys[0])).await;
    assert!(destroyed.expect("the server is up"));
    list.push(("destroy, with the renewed session", cost));
    list
}

/// Sets, removes and adds, a whole number and another one.
fn both() -> Patch {
    let mut patch = add("n", 5);
    patch.add("weight".into(), Number::Float(0.5), Number::Float(0.25));
    patch.set("a".into(), json("2"));
    patch.remove("b".into());
    patch
}

#[tokio::test]
async fn a_small_change_of_a_large_session_sends_few_bytes_and_a_part_receives_few() {
    let costs = Costs::new("large").await;
    let large = set(&[("large", &format!("\"{}\"", "x".repeat(8 * 1024))), ("a", "1")]);
    let record = large.apply_to(&new_record()).expect("a new record takes a patch");
    costs.store.create(&key(1), &record).await.expect("the server is up");
    let part = LoadOptions::default().with_fields(&["a"]);
    for _ in 0..2 {
        applied(costs.store.update(&key(1), &set(&[("a", "2")])).await);
        costs.store.load(&key(1), &part).await.expect("the server is up");
    }
    let (updated, cost) = costs.of(costs.store.update(&key(1), &set(&[("a", "3")]))).await;
    applied(updated);
    assert!(cost.1 < 300 && cost.2 < 300, "{cost:?}");
    let (loaded, cost) = costs.of(costs.store.load(&key(1), &part)).await;
    let loaded = loaded.expect("the server is up").expect("it is there");
    assert_eq!(loaded.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    assert!(!loaded.is_whole());
    assert!(cost.1 < 300 && cost.2 < 600, "{cost:?}");
}

#[tokio::test]
async fn updates_and_touches_change_no_index() {
    let costs = Costs::new("hot").await;
    let record = new_record();
    for n in 0..20 {
        costs.store.create(&key(n), &record).await.expect("the server is up");
    }
    for round in 0..25 {
        // Less than an hour later, as most touches are.
        let later = record.expires_at().saturating_add(Duration::from_millis(round));
        for n in 0..20 {
            applied(costs.store.update(&key(n), &add("n", 1)).await);
            assert!(costs.store.touch(&key(n), later).await.expect("the server is up"));
        }
    }
    let start = Instant::now();
    let (updates, hot) = loop {
        let flush = sqlx::raw_sql("SELECT pg_stat_force_next_flush()");
        flush.execute(&costs.pool).await.expect("PostgreSQL 15 or later");
        let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
             WHERE relname = 'hot'";
        let row = sqlx::query(counts).fetch_optional(&costs.pool).await.expect("a query");
        let count = |column| row.as_ref().map_or(0, |row| row.get::<i64, _>(column));
        if count(0) >= 1_000 {
            break (count(0), count(1));
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the server counts too few updates");
        sleep(Duration::from_millis(50)).await;
    };
    println!("{hot} of {updates} updates changed no index");
    assert!(hot * 100 >= updates * 95, "{hot} of {updates}");
}

#[tokio::test]
async fn the_default_pool_of_sqlx_adds_a_round_trip_to_each_call() {
    let costs = Costs::new("default_pool").await;
    costs.store.create(&key(1), &new_record()).await.expect("the server is up");
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect_lazy(&url(costs.proxy.address())).expect("a valid URL");
    let builder = PostgresStore::builder(pool.clone()).table("default_pool").sweep_interval(None);
    let store = builder.build().expect("the settings are valid");
    let costs = Costs { pool, store, ..costs };
    for _ in 0..2 {
        costs.store.load(&key(1), &LoadOptions::default()).await.expect("the server is up");
    }
    let (_, cost) = costs.of(costs.store.load(&key(1), &LoadOptions::default())).await;
    assert_eq!(cost.0, WITH_RETURN + 1);
}
