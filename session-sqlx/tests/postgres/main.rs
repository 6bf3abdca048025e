//! The laws of stores on a real PostgreSQL, and what the schema promises.

mod server;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, FakeClock, StoreError, Timestamp,
    store::{CreateOutcome, Number, Patch, Record, SessionStore, StoreKey, UpdateOutcome},
    testing::{Harness, Reopen},
};
use actix_typed_session_sqlx::{PostgresStore, SqlConfigError};
use server::PostgresServer;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

/// The server of all tests of this program.
fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start)
}

/// The number of the next table.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Stores in tables of their own.
struct Tables {
    clock: FakeClock,
    table: OnceLock<String>,
    isolation: &'static str,
}

impl Tables {
    fn new(isolation: &'static str) -> Self {
        Self { clock: FakeClock::default(), table: OnceLock::new(), isolation }
    }

    fn pool(&self) -> PgPool {
        let set = format!("SET default_transaction_isolation = '{}'", self.isolation);
        PgPoolOptions::new()
            .max_connections(8)
            .after_connect(move |connection, _| {
                let set = set.clone();
                Box::pin(async move {
                    sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await.map(|_| ())
                })
            })
            .connect_lazy(&server().url())
            .expect("a valid URL")
    }

    fn store(&self, table: &str) -> PostgresStore {
        let builder = PostgresStore::builder(self.pool()).table(table).clock(self.clock.clone());
        let builder = builder.time_limit(Duration::from_secs(30));
        builder.sweep_interval(None).build().expect("the settings are valid")
    }
}

impl Harness for Tables {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        let table = format!("t{}", TABLES.fetch_add(1, Ordering::SeqCst));
        let store = self.store(&table);
        store.ensure_schema().await.expect("the server is up");
        // OK because a law that opens several stores reopens the first one only.
        let _ = self.table.set(table);
        store
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

impl Reopen for Tables {
    async fn reopen(&self, store: PostgresStore) -> PostgresStore {
        drop(store);
        self.store(self.table.get().expect("a store was opened"))
    }
}

mod read_committed {
    use actix_typed_session::store_conformance;

    store_conformance!(super::Tables::new("read committed"), DeleteExpired, FindByIndex, Reopen);
}

mod serializable {
    use actix_typed_session::store_conformance;

    store_conformance!(super::Tables::new("serializable"), DeleteExpired, FindByIndex, Reopen);
}

fn key(n: u8) -> StoreKey {
    StoreKey::from_bytes([n; 32])
}

async fn new_session(tables: &Tables) -> PostgresStore {
    let store = tables.open().await;
    let now = tables.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    let created = store.create(&key(1), &record).await.expect("the server is up");
    assert_eq!(created, CreateOutcome::Stored);
    store
}

#[tokio::test]
async fn two_hundred_concurrent_increments_add_two_hundred() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let store = new_session(&Tables::new(isolation)).await;
        let mut patch = Patch::default();
        patch.add("n".into(), Number::Int(0), Number::Int(1));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let (store, patch) = (store.clone(), patch.clone());
                tokio::spawn(async move { store.update(&key(1), &patch).await })
            })
            .collect();
        for task in tasks {
            let outcome = task.await.expect("no panic").expect("the server is up");
            assert!(matches!(outcome, UpdateOutcome::Applied { .. }));
        }
        let record = store.load(&key(1), &Default::default()).await.expect("up").expect("there");
        assert_eq!(record.field("n").map(|json| json.get()), Some("200"), "{isolation}");
    }
}

#[tokio::test]
async fn ten_starts_at_once_make_one_schema() {
    let tables = Tables::new("read committed");
    let store = tables.store("ten_starts");
    let starts = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.ensure_schema().await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic").expect("it waits for the others");
    }
}

#[tokio::test]
async fn the_schema_of_a_later_release_is_refused() {
    let tables = Tables::new("read committed");
    let store = tables.store("later");
    store.ensure_schema().await.expect("the server is up");
    let later = sqlx::query("INSERT INTO later_version VALUES (2)");
    later.execute(&tables.pool()).await.expect("the table is there");
    let error = store.ensure_schema().await.expect_err("a later version");
    assert!(
        matches!(&error, StoreError::Internal(cause) if cause.to_string().contains("version 2"))
    );
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable() {
    let pool = PgPool::connect_lazy("postgres://x@127.0.0.1:1/x").expect("a valid URL");
    let limit = Duration::from_millis(200);
    let store = PostgresStore::builder(pool).time_limit(limit).build().expect("valid");
    let error = store.load(&key(1), &Default::default()).await.expect_err("down");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_name_that_would_need_quotes_is_refused() {
    let pool = PgPool::connect_lazy("postgres://x@127.0.0.1:1/x").expect("a valid URL");
    for name in ["", "a b", "a\"; DROP TABLE x; --", "A", "1a"] {
        let error = PostgresStore::builder(pool.clone()).table(name).build().expect_err("bad");
        assert!(matches!(error, SqlConfigError::Name(_)), "{name}");
    }
}
