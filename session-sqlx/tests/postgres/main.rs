//! The laws of stores on a real PostgreSQL, and what the schema promises.

mod costs;
mod outage;
mod processes;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, FakeClock, StoreError, Timestamp,
    store::{
        CreateOutcome, DeleteExpired as _, FindByIndex as _, Number, Patch, Record, SessionStore,
        StoreKey, UpdateOutcome,
    },
    testing::{Harness, Reopen},
};
use actix_typed_session_sqlx::{PostgresStore, SqlConfigError};
use actix_typed_session_tests::{
    error_chain,
    json::{json, set},
    postgres::PostgresServer,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

/// The server of all tests of this program.
fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start)
}

/// The number of the next table.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Stores in separate tables.
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

    /// The first store that was opened.
    fn open_again(&self) -> PostgresStore {
        self.store(self.table.get().expect("a store was opened"))
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
        self.open_again()
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

mod encrypted {
    use std::time::Duration;

    use actix_typed_session::{
        EncryptedStore, Key, Timestamp, store_conformance,
        testing::{Harness, Reopen},
    };
    use actix_typed_session_sqlx::PostgresStore;

    use super::Tables;

    struct Encrypted(Tables);

    fn encrypted(store: PostgresStore) -> EncryptedStore<PostgresStore> {
        EncryptedStore::new(store, [Key::from_bytes([7; 32])]).expect("there is a key")
    }

    impl Harness for Encrypted {
        type Store = EncryptedStore<PostgresStore>;

        async fn open(&self) -> Self::Store {
            encrypted(self.0.open().await)
        }

        fn now(&self) -> Timestamp {
            self.0.now()
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by).await;
        }
    }

    impl Reopen for Encrypted {
        async fn reopen(&self, store: Self::Store) -> Self::Store {
            drop(store);
            encrypted(self.0.open_again())
        }
    }

    store_conformance!(Encrypted(Tables::new("read committed")), DeleteExpired, Reopen);
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

/// What is stored, what is added, and what an absent field counts as.
const SUMS: &[(Option<&str>, Number, Number)] = &[
    (None, Number::Int(5), Number::Int(3)),
    (Some("1"), Number::Int(2), Number::Int(0)),
    (Some("-0"), Number::Int(2), Number::Int(0)),
    (Some("9223372036854775807"), Number::Int(1), Number::Int(0)),
    (Some("18446744073709551615"), Number::Int(1), Number::Int(0)),
    (Some("-9223372036854775808"), Number::Int(-1), Number::Int(0)),
    (Some("9007199254740993"), Number::Int(i128::MAX), Number::Int(0)),
    (Some("9007199254740993"), Number::Float(0.5), Number::Int(0)),
    (Some("18446744073709551616"), Number::Int(1), Number::Int(0)),
    (Some("99999999999999999999"), Number::Int(1), Number::Int(0)),
    (Some("0.1"), Number::Float(0.2), Number::Int(0)),
    (Some("0.5"), Number::Int(1), Number::Int(0)),
    (Some("0.5"), Number::Float(-0.5), Number::Int(0)),
    (Some("-0.0"), Number::Float(-0.0), Number::Int(0)),
    (Some("1E2"), Number::Int(1), Number::Int(0)),
    (Some("1e22"), Number::Float(1e7), Number::Int(0)),
    (Some("123456789012345.6"), Number::Float(1e15), Number::Int(0)),
    (Some("1e-7"), Number::Float(1e-9), Number::Int(0)),
    (Some("1e300"), Number::Float(1e299), Number::Int(0)),
    (Some("1.7976931348623157e308"), Number::Float(1.7976931348623157e308), Number::Int(0)),
    (Some("5e-324"), Number::Float(5e-324), Number::Int(0)),
    (Some("1e-400"), Number::Float(0.25), Number::Int(0)),
    (Some("null"), Number::Int(1), Number::Int(7)),
    (Some("\"12\""), Number::Int(1), Number::Int(7)),
    (Some("[]"), Number::Float(0.5), Number::Float(2.0)),
    (None, Number::Float(0.1), Number::Float(0.2)),
    (None, Number::Float(1e200), Number::Int(1)),
];

#[tokio::test]
async fn sums_are_those_of_the_library() {
    let tables = Tables::new("read committed");
    let store = tables.open().await;
    for (n, (stored, by, from)) in SUMS.iter().enumerate() {
        let now = tables.now();
        let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
        let fields = set(&stored.map(|stored| ("n", stored)).into_iter().collect::<Vec<_>>());
        let record = fields.apply_to(&record).expect("a new record takes a patch");
        let key = key(u8::try_from(n).expect("few sums"));
        store.create(&key, &record).await.expect("the server is up");
        let mut patch = Patch::default();
        patch.add("n".into(), *from, *by);
        store.update(&key, &patch).await.expect("the server is up");
        let sum = store.load(&key, &Default::default()).await.expect("up").expect("there");
        let expected = patch.apply_to(&record).expect("a live record");
        let read = |record: &Record| {
            let number = Number::parse(record.field("n").expect("a sum")).expect("a number");
            // `==` does not tell zeros apart.
            format!("{number:?}")
        };
        assert_eq!(read(&sum), read(&expected), "{stored:?} + {by:?}");
    }
}

#[tokio::test]
async fn a_role_with_the_least_privileges_uses_the_table_of_another_one() {
    let tables = Tables::new("read committed");
    let owner = tables.store("granted");
    owner.ensure_schema().await.expect("the server is up");
    let grant = "CREATE ROLE site LOGIN; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON granted TO site; \
         GRANT SELECT ON granted_version TO site";
    sqlx::raw_sql(grant).execute(&tables.pool()).await.expect("a superuser may");
    let url = server().url().replace("postgres@", "site@");
    let pool = PgPool::connect_lazy(&url).expect("a valid URL");
    let build = |table: &str| {
        let builder = PostgresStore::builder(pool.clone()).clock(tables.clock.clone());
        builder.table(table).sweep_interval(None).build().expect("the settings are valid")
    };
    let store = build("granted");
    store.ensure_schema().await.expect("it is there, so nothing is to be made");
    let now = tables.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    store.create(&key(1), &record).await.expect("it may");
    assert!(store.destroy(&key(1)).await.expect("it may"));
    assert_eq!(store.delete_expired().await.expect("it may"), 0);
    let error = build("other").ensure_schema().await.expect_err("it may not");
    assert!(error_chain(&error).contains("privilege"), "{}", error_chain(&error));
}

#[tokio::test]
async fn actions_with_one_value_wait_for_each_other_across_processes() {
    let tables = Tables::new("read committed");
    let stores = [tables.store("locked"), tables.store("locked")];
    stores[0].ensure_schema().await.expect("the server is up");
    let running = Arc::new(AtomicUsize::new(0));
    let value = json("7");
    // Two pools are as good as two processes: they share nothing but the server.
    let actions: Vec<_> = (0..20)
        .map(|n| {
            let store = stores[n % 2].clone();
            let (running, value) = (Arc::clone(&running), Arc::clone(&value));
            tokio::spawn(async move {
                let action = async move {
                    let others = running.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    others
                };
                store.exclusively(&value, action).await
            })
        })
        .collect();
    for action in actions {
        assert_eq!(action.await.expect("no panic").expect("the lock comes"), 0);
    }
}
