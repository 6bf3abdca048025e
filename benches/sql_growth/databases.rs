//! The databases that are measured.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use actix_typed_session::{
    FakeClock,
    store::{DeleteExpired, FindByIndex, SessionStore},
};
use actix_typed_session_benches::rules::POOL;
use actix_typed_session_sqlx::{PostgresStore, SqliteStore};
use actix_typed_session_tests::{folder::temporary_folder, postgres::PostgresServer};
use rusqlite::Connection;
use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long PostgreSQL may take to count what it did.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database with sessions.
pub(crate) trait Database {
    type Store: SessionStore + FindByIndex + DeleteExpired + Clone;
    /// How many sessions are stored at the same time to fill the table.
    const FILLERS: usize;

    /// As sites have it: what was answered is on the disk.
    fn store(&self) -> &Self::Store;
    /// A store that need not wait for the disk.
    fn filler(&self) -> &Self::Store;
    /// Does what the database does by itself after a while.
    async fn tidy(&self);
    async fn size(&self) -> Size;
    /// The number of updates, once this many are counted. `None`: it does not count them.
    async fn updates(&self, at_least: i64) -> Option<Updates>;
}

/// Bytes on the disk.
pub(crate) struct Size {
    pub(crate) table: f64,
    pub(crate) indexes: f64,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Updates {
    pub(crate) all: i64,
    /// Those that changed no index, because the new row is in the same page.
    pub(crate) hot: i64,
}

pub(crate) struct Postgres {
    pool: PgPool,
    store: PostgresStore,
    filler: PostgresStore,
    /// Stops with this.
    _server: PostgresServer,
}

impl Postgres {
    /// Starts a server with its default settings.
    pub(crate) async fn start(clock: &FakeClock) -> Self {
        let server = PostgresServer::start(&[]);
        let options: PgConnectOptions = server.url().parse().expect("a URL");
        let pool = |options| {
            let pool = PgPoolOptions::new().max_connections(POOL).test_before_acquire(false);
            pool.connect_lazy_with(options)
        };
        let store = |pool| {
            let store = PostgresStore::builder(pool).clock(clock.clone()).sweep_interval(None);
            store.build().expect("the settings are valid")
        };
        let filler = store(pool(options.clone().options([("synchronous_commit", "off")])));
        let store = store(pool(options.clone()));
        store.ensure_schema().await.expect("it may make tables");
        Self { pool: pool(options), store, filler, _server: server }
    }

    async fn numbers(&self, query: &'static str) -> [i64; 2] {
        let row = sqlx::query(query).fetch_one(&self.pool).await.expect("the server is up");
        [0, 1].map(|column| row.get(column))
    }
}

impl Database for Postgres {
    type Store = PostgresStore;

    const FILLERS: usize = 64;

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    fn filler(&self) -> &PostgresStore {
        &self.filler
    }

    async fn tidy(&self) {
        for statement in ["VACUUM (ANALYZE) actix_session", "CHECKPOINT"] {
            let running = sqlx::query(statement).execute(&self.pool);
            running.await.expect("a superuser may");
        }
    }

    async fn size(&self) -> Size {
        let size = "SELECT pg_table_size('actix_session'), pg_indexes_size('actix_session')";
        let [table, indexes] = self.numbers(size).await.map(|bytes| bytes as f64);
        Size { table, indexes }
    }

    async fn updates(&self, at_least: i64) -> Option<Updates> {
        let start = Instant::now();
        loop {
            let updates = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
                 WHERE relname = 'actix_session'";
            let [all, hot] = self.numbers(updates).await;
            if all >= at_least {
                return Some(Updates { all, hot });
            }
            assert!(start.elapsed() < PATIENCE, "only {all} of {at_least} updates are counted");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

pub(crate) struct Sqlite {
    path: PathBuf,
    store: SqliteStore,
    /// Deleted with this.
    _folder: TempDir,
}

impl Sqlite {
    pub(crate) fn open(clock: &FakeClock) -> Self {
        let folder = temporary_folder();
        let path = folder.path().join("sessions.db");
        let store = SqliteStore::builder(&path).clock(clock.clone()).sweep_interval(None);
        Self { store: store.build().expect("a folder"), path, _folder: folder }
    }
}

impl Database for Sqlite {
    type Store = SqliteStore;

    // Those that wait together share a sync.
    const FILLERS: usize = 512;

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    fn filler(&self) -> &SqliteStore {
        &self.store
    }

    async fn tidy(&self) {}

    async fn size(&self) -> Size {
        let connection = Connection::open(&self.path).expect("it is there");
        let of = |which: &str| {
            let size = format!("SELECT sum(pgsize) FROM dbstat WHERE name {which}");
            connection.query_row(&size, (), |row| row.get::<_, f64>(0)).expect("it is compiled in")
        };
        Size { table: of("= 'actix_session'"), indexes: of("LIKE '%actix_session_%'") }
    }

    async fn updates(&self, _: i64) -> Option<Updates> {
        None
    }
}
