//! What the tests need of each database, and stores in it for the laws.

use std::{
    marker::PhantomData,
    net::SocketAddr,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock, FakeClock, StoreError, Timestamp,
    store::{
        CreateOutcome, DeleteExpired, FindByIndex, ListAll, Ping, Record, SessionStore as _,
        StoreKey,
    },
    testing::{Harness, Reopen},
};
use actix_typed_session_sqlx::SqlConfigError;
use sqlx::{Pool, pool::PoolOptions};

use actix_typed_session_tests::database::{DatabaseServer, Program};

/// A database with a store.
pub(crate) trait Database: sqlx::Database {
    type Program: Program;
    type Store: DeleteExpired + FindByIndex + ListAll + Ping + Clone + 'static;
    type Builder: Builder<Store = Self::Store>;

    /// Settings of a server that does not wait for its disk, and of one that does.
    const FAST: &'static [&'static str];
    const SAFE: &'static [&'static str];
    /// Closes all other connections.
    const KILL_ALL: &'static str;
    /// Makes the server take no writes on new connections, and take them again.
    const READ_ONLY: [&'static str; 2];
    /// Makes a user `site` with the least privileges for the table `granted`.
    const GRANT: &'static str;
    /// Calls that take more than one statement, and how many more.
    const EXTRA_CALLS: &'static [(&'static str, u64)];

    /// A statement that locks the row of `key(n)` until the end of the transaction. It computes the
    /// key, because sqlx logs the statement.
    fn lock_row(table: &str, n: u8) -> String;

    /// The server of all tests that leave it running.
    fn shared() -> &'static DatabaseServer<Self::Program>;

    /// The URL of the database behind an address. Without a user: one that may do everything.
    fn url(user: Option<&str>, address: SocketAddr) -> String;

    /// The statement that sets the isolation level of a connection.
    fn set_isolation(level: &str) -> String;

    /// Runs statements on a connection.
    fn run(
        connection: &mut Self::Connection,
        sql: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + '_>>;

    fn builder(pool: Pool<Self>) -> Self::Builder;

    fn ensure_schema(store: &Self::Store) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The settings of a store.
pub(crate) trait Builder: Sized {
    type Store;

    fn table(self, name: &str) -> Self;
    fn time_limit(self, limit: Duration) -> Self;
    fn sweep_interval(self, interval: Option<Duration>) -> Self;
    fn clock(self, clock: impl Clock) -> Self;
    fn build(self) -> Result<Self::Store, SqlConfigError>;
}

/// Makes the settings of a store a [`Builder`], by its methods of the same names.
macro_rules! builder {
    ($builder:ty, $store:ty) => {
        impl $crate::database::Builder for $builder {
            type Store = $store;

            fn table(self, name: &str) -> Self {
                self.table(name)
            }

            fn time_limit(self, limit: std::time::Duration) -> Self {
                self.time_limit(limit)
            }

            fn sweep_interval(self, interval: Option<std::time::Duration>) -> Self {
                self.sweep_interval(interval)
            }

            fn clock(self, clock: impl actix_typed_session::Clock) -> Self {
                self.clock(clock)
            }

            fn build(self) -> Result<$store, actix_typed_session_sqlx::SqlConfigError> {
                self.build()
            }
        }
    };
}
pub(crate) use builder;

/// The number of the next table.
static TABLES: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn new_table() -> String {
    format!("t{}", TABLES.fetch_add(1, Ordering::SeqCst))
}

/// A pool that connects when it is used.
pub(crate) fn pool<D: Database>(url: &str, connections: u32) -> Pool<D> {
    let options = PoolOptions::new().max_connections(connections);
    options.connect_lazy(url).expect("a valid URL")
}

/// Runs statements on any connection of a pool.
pub(crate) async fn run<D: Database>(pool: &Pool<D>, sql: &str) {
    let mut connection = pool.acquire().await.expect("the server is up");
    D::run(&mut connection, sql.to_owned()).await.expect("the statement is allowed");
}

/// Runs each test on each database.
macro_rules! on_each_database {
    ($($test:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<sqlx::Postgres>().await;
            })*
        }

        mod mysql {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<sqlx::MySql>().await;
            })*
        }
    };
}
pub(crate) use on_each_database;

/// Stores in separate tables.
pub(crate) struct Tables<D> {
    pub(crate) clock: FakeClock,
    table: OnceLock<String>,
    isolation: &'static str,
    database: PhantomData<fn() -> D>,
}

impl<D: Database> Tables<D> {
    pub(crate) fn new(isolation: &'static str) -> Self {
        let (clock, table) = (FakeClock::default(), OnceLock::new());
        Self { clock, table, isolation, database: PhantomData }
    }

    pub(crate) fn pool(&self) -> Pool<D> {
        let set = D::set_isolation(self.isolation);
        PoolOptions::new()
            .max_connections(8)
            .after_connect(move |connection, _| {
                let set = set.clone();
                Box::pin(async move { D::run(connection, set).await })
            })
            .connect_lazy(&D::url(None, D::shared().address()))
            .expect("a valid URL")
    }

    pub(crate) fn builder(&self, table: &str) -> D::Builder {
        let builder = D::builder(self.pool()).table(table).clock(self.clock.clone());
        builder.time_limit(Duration::from_secs(30)).sweep_interval(None)
    }

    pub(crate) fn store(&self, table: &str) -> D::Store {
        self.builder(table).build().expect("the settings are valid")
    }

    /// The first store that was opened.
    pub(crate) fn open_again(&self) -> D::Store {
        self.store(self.table())
    }

    /// The table of the first store that was opened.
    pub(crate) fn table(&self) -> &str {
        self.table.get().expect("a store was opened")
    }

    /// Makes a table.
    pub(crate) async fn new_table(&self) -> String {
        let table = new_table();
        D::ensure_schema(&self.store(&table)).await.expect("the server is up");
        // OK because a law that opens several stores reopens the first one only.
        let _ = self.table.set(table.clone());
        table
    }

    /// A store with an empty session of a minute.
    pub(crate) async fn with_session(&self) -> D::Store {
        let store = self.open().await;
        let now = self.now();
        let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
        let created = store.create(&key(1), &record).await.expect("the server is up");
        assert_eq!(created, CreateOutcome::Stored);
        store
    }
}

impl<D: Database> Harness for Tables<D> {
    type Store = D::Store;

    async fn open(&self) -> D::Store {
        self.store(&self.new_table().await)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

impl<D: Database> Reopen for Tables<D> {
    async fn reopen(&self, store: D::Store) -> D::Store {
        drop(store);
        self.open_again()
    }
}

pub(crate) fn key(n: u8) -> StoreKey {
    StoreKey::from_bytes([n; 32])
}
