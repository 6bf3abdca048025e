//! What a call costs: round trips and bytes, as a proxy counts them.

use std::time::Duration;

use actix_typed_session::{
    Clock as _, StoreError, SystemClock,
    store::{
        FindByIndex as _, Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    json::{add, json, set},
    proxy::Proxy,
    wait::until,
};
use sqlx::{Connection as _, Pool, pool::PoolOptions};

use crate::database::{Builder as _, Database, key, on_each_database};

/// The pool that the guide recommends, with one connection.
fn pool<D: Database>(url: &str) -> Pool<D> {
    PoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut D::Connection, meta| {
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

pub(crate) struct Costs<D: Database> {
    proxy: Proxy,
    pub(crate) pool: Pool<D>,
    pub(crate) store: D::Store,
}

/// A call is one round trip. It does not wait for another one, by which sqlx tests the connection
/// before the pool has it again.
const WITH_RETURN: u64 = 2;

/// Round trips, bytes sent, and bytes received.
type Cost = (u64, u64, u64);

impl<D: Database> Costs<D> {
    pub(crate) async fn new(table: &str) -> Self {
        let proxy = Proxy::to(D::shared().address());
        let pool = pool::<D>(&D::url(None, proxy.address()));
        let builder = D::builder(pool.clone()).table(table).sweep_interval(None);
        let store = builder.build().expect("the settings are valid");
        D::ensure_schema(&store).await.expect("the server is up");
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
        until("the connection is idle", || self.pool.num_idle() > 0).await;
        (self.proxy.requests(), self.proxy.bytes_up(), self.proxy.bytes_down())
    }
}

pub(crate) fn new_record() -> Record {
    let now = SystemClock.now();
    Record::new(now, now.saturating_add(Duration::from_secs(3_600)))
}

pub(crate) fn applied(outcome: Result<UpdateOutcome, StoreError>) {
    assert!(matches!(outcome, Ok(UpdateOutcome::Applied { .. })), "{outcome:?}");
}

async fn each_call_takes_as_many_round_trips_as_documented<D: Database>() {
    let costs = Costs::<D>::new("costs").await;
    // In the first round, each statement is prepared.
    for (round, first) in [(1, 1), (2, 11)] {
        for (call, cost) in all_calls(&costs, first).await {
            println!("{call}: {} bytes sent, {} received", cost.1, cost.2);
            let extra = D::EXTRA_CALLS.iter().find(|(name, _)| *name == call);
            let statements = 1 + extra.map_or(0, |(_, more)| *more);
            assert!(
                round == 1 || cost.0 == WITH_RETURN * statements,
                "{call}: {} round trips",
                cost.0
            );
        }
    }
}

/// Makes each call, and returns what it costs.
async fn all_calls<D: Database>(costs: &Costs<D>, first: u8) -> Vec<(&'static str, Cost)> {
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

async fn a_small_change_of_a_large_session_sends_few_bytes_and_a_part_receives_few<D: Database>() {
    let costs = Costs::<D>::new("large").await;
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
    assert!(cost.1 < 300 && cost.2 < 1_000, "{cost:?}");
}

async fn the_default_pool_of_sqlx_adds_a_round_trip_to_each_call<D: Database>() {
    let costs = Costs::<D>::new("default_pool").await;
    costs.store.create(&key(1), &new_record()).await.expect("the server is up");
    let pool = PoolOptions::<D>::new().max_connections(1);
    let pool = pool.connect_lazy(&D::url(None, costs.proxy.address())).expect("a valid URL");
    let builder = D::builder(pool.clone()).table("default_pool").sweep_interval(None);
    let store = builder.build().expect("the settings are valid");
    let costs = Costs { pool, store, ..costs };
    for _ in 0..2 {
        costs.store.load(&key(1), &LoadOptions::default()).await.expect("the server is up");
    }
    let (_, cost) = costs.of(costs.store.load(&key(1), &LoadOptions::default())).await;
    assert_eq!(cost.0, WITH_RETURN + 1);
}

on_each_database!(
    each_call_takes_as_many_round_trips_as_documented,
    a_small_change_of_a_large_session_sends_few_bytes_and_a_part_receives_few,
    the_default_pool_of_sqlx_adds_a_round_trip_to_each_call,
);
