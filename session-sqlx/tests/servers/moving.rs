//! The laws hold while sessions move from files to Redis and to PostgreSQL, and from PostgreSQL to
//! MariaDB.

use std::time::{Duration, Instant};

use actix_typed_session::{
    Clock, Durability, FakeClock, FileStore, MemoryStore, RedisStore, SystemClock, Timestamp,
    store::{ListAll, LoadOptions, MovingStore, SessionStore, StoreKey, UpdateOutcome},
    store_conformance,
    testing::{Fault, FaultyStore, Harness, Operation},
};
use actix_typed_session_tests::{
    folder::lasting_folder,
    json::{add, record},
    moving::{MovingHarness, Scene},
    stores,
};
use sqlx::{MySql, Postgres};

use crate::database::Tables;

/// Empty file stores.
struct Files<C>(C);

impl<C: Clock + Clone> Harness for Files<C> {
    type Store = FileStore;

    async fn open(&self) -> FileStore {
        let builder = FileStore::builder(lasting_folder().join("sessions")).clock(self.0.clone());
        builder.durability(Durability::Process).build().expect("a writable folder")
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn advance(&self, _: Duration) {
        unreachable!("the new store's harness does")
    }
}

/// Empty stores in a Redis, whose time cannot be set.
struct Redis;

impl Harness for Redis {
    type Store = RedisStore;

    async fn open(&self) -> RedisStore {
        stores::redis()
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn tick(&self) -> Duration {
        Duration::from_millis(300)
    }
}

fn to_redis(scene: Scene) -> MovingHarness<Files<SystemClock>, Redis> {
    MovingHarness { scene, old: Files(SystemClock), new: Redis }
}

fn to_postgres(scene: Scene) -> MovingHarness<Files<FakeClock>, Tables<Postgres>> {
    let new = Tables::new("read committed");
    MovingHarness { scene, old: Files(new.clock.clone()), new }
}

fn from_postgres_to_mysql(scene: Scene) -> MovingHarness<Tables<Postgres>, Tables<MySql>> {
    let (mut old, new) = (Tables::new("read committed"), Tables::new("read committed"));
    old.clock = new.clock.clone();
    MovingHarness { scene, old, new }
}

mod from_postgres_to_mysql_in_both_phases {
    use super::*;

    store_conformance!(from_postgres_to_mysql(Scene::BothPhases), FindByIndex, ListAll);
}

mod to_redis_empty {
    use super::*;

    store_conformance!(to_redis(Scene::Empty), FindByIndex, ListAll);
}

mod to_redis_all_in_old {
    use super::*;

    store_conformance!(to_redis(Scene::AllInOld), FindByIndex, ListAll);
}

mod to_redis_in_both_phases {
    use super::*;

    store_conformance!(to_redis(Scene::BothPhases), FindByIndex, ListAll);
}

mod to_postgres_empty {
    use super::*;

    store_conformance!(to_postgres(Scene::Empty), DeleteExpired, FindByIndex, ListAll);
}

mod to_postgres_all_in_old {
    use super::*;

    store_conformance!(to_postgres(Scene::AllInOld), DeleteExpired, FindByIndex, ListAll);
}

mod to_postgres_in_both_phases {
    use super::*;

    store_conformance!(to_postgres(Scene::BothPhases), DeleteExpired, FindByIndex, ListAll);
}

/// A session has moved, but is still in the old store, because the process was killed before the
/// last step.
async fn what_has_ended_in_the_new_store_stays_ended(new: impl SessionStore + Clone) {
    let old = FaultyStore::new(MemoryStore::new());
    let key = StoreKey::from_bytes([9; 32]);
    let session = record(SystemClock.now(), &[("n", "1")]);
    old.create(&key, &session).await.expect("memory is up");
    let moving = MovingStore::moving(old.clone(), new.clone());
    old.inject(Operation::Destroy, Fault::ErrorBefore);
    moving.update(&key, &add("n", 1)).await.expect("both stores answer");
    old.heal();
    assert!(old.load(&key, &LoadOptions::default()).await.expect("memory is up").is_some());
    // As if it had been renewed and the grace period were over.
    assert!(new.destroy(&key).await.expect("it is up"), "it has moved");
    for store in [MovingStore::ready(old.clone(), new.clone()), moving] {
        let loaded = store.load(&key, &LoadOptions::default()).await.expect("both stores answer");
        assert!(loaded.is_none());
        let updated = store.update(&key, &add("n", 1)).await.expect("both stores answer");
        assert!(matches!(updated, UpdateOutcome::Gone), "{updated:?}");
        assert!(!store.destroy(&key).await.expect("both stores answer"));
    }
}

#[tokio::test]
async fn what_has_ended_in_redis_stays_ended_while_it_is_in_the_old_store() {
    what_has_ended_in_the_new_store_stays_ended(stores::redis()).await;
}

#[tokio::test]
async fn what_has_ended_in_postgres_stays_ended_while_it_is_in_the_old_store() {
    let tables = Tables::<Postgres>::new("read committed");
    tables.clock.advance(SystemClock.now().saturating_since(tables.now()));
    what_has_ended_in_the_new_store_stays_ended(tables.open().await).await;
}

/// Moves this many sessions of eight fields.
const SESSIONS: u32 = 10_000;

async fn measure(what: &str, old: FileStore, new: impl ListAll) {
    let value = format!("\"{}\"", "x".repeat(20));
    let names: Vec<String> = (0..8).map(|n| format!("field{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (&**name, &*value)).collect();
    let record = record(SystemClock.now(), &fields);
    for n in 0..SESSIONS {
        let mut bytes = [5; 32];
        bytes[0] = n as u8;
        bytes[1..5].copy_from_slice(&n.to_le_bytes());
        old.create(&StoreKey::from_bytes(bytes), &record).await.expect("a writable folder");
    }
    let started = Instant::now();
    let done = MovingStore::moving(old, new).move_all().await.expect("both stores answer");
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(done.copied, u64::from(SESSIONS));
    println!("{what}: {:.0} sessions per second", f64::from(SESSIONS) / seconds);
}

#[tokio::test]
#[ignore = "a measurement: cargo test -- --ignored --nocapture sessions_per_second"]
async fn sessions_per_second() {
    let files = Files(SystemClock);
    measure("files to Redis", files.open().await, stores::redis()).await;
    let tables = Tables::<Postgres>::new("read committed");
    tables.clock.advance(SystemClock.now().saturating_since(tables.now()));
    measure("files to PostgreSQL", files.open().await, tables.open().await).await;
}
