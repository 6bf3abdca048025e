//! axum_session. `axum_session THREADS postgres|postgres-fresh|sqlite|sqlite-fresh PLACE`.
//!
//! By default, it reads copies in its own memory, which are up to an hour old. With `-fresh`, it
//! keeps none, as sites of several servers need it.

use std::fmt::Debug;

use actix_typed_session_benches_axum::{
    rules::{COUNTER, POOL, SOME, UNTOUCHED, arguments, padding},
    run,
};
use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionStore};
use axum_session_sqlx::{SessionPgPool, SessionSqlitePool};
use sqlx::{
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use time::Duration;

fn main() {
    let [threads, store, place] = arguments();
    run(&threads, async {
        let (database, config) = match store.strip_suffix("-fresh") {
            Some(database) => {
                (database, SessionConfig::default().with_memory_lifetime(Duration::ZERO))
            }
            None => (store.as_str(), SessionConfig::default()),
        };
        match database {
            "postgres" => routes(postgres(&place).await, config).await,
            "sqlite" => routes(sqlite(&place).await, config).await,
            other => panic!("no store is called {other}"),
        }
    });
}

async fn postgres(url: &str) -> SessionPgPool {
    PgPoolOptions::new().max_connections(POOL).connect(url).await.expect("PostgreSQL").into()
}

/// As this library has it: readers do not wait for writers, and what was answered is on the disk.
async fn sqlite(path: &str) -> SessionSqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(POOL).connect_with(options);
    pool.await.expect("a folder").into()
}

/// What all databases are.
trait Database: DatabasePool + Clone + Debug + Send + Sync + 'static {}

impl<D: DatabasePool + Clone + Debug + Send + Sync + 'static> Database for D {}

async fn routes<D: Database>(database: D, config: SessionConfig) -> Router {
    let store = SessionStore::new(Some(database), config).await.expect("it may make tables");
    Router::new()
        .route("/untouched", get(async || UNTOUCHED))
        .route("/read", get(read::<D>))
        .route("/read_8", get(read_8::<D>))
        .route("/write", get(write::<D>))
        .route("/add", get(write::<D>))
        .route("/seed/{fields}", post(seed::<D>))
        .layer(SessionLayer::new(store))
}

fn views<D: Database>(session: &Session<D>) -> u64 {
    session.get(COUNTER).unwrap_or_default()
}

async fn read<D: Database>(session: Session<D>) -> String {
    views(&session).to_string()
}

async fn read_8<D: Database>(session: Session<D>) -> String {
    let texts = padding(SOME).filter_map(|(name, _)| session.get::<String>(&name));
    let length: usize = texts.map(|text| text.len()).sum();
    (length as u64 + views(&session)).to_string()
}

async fn write<D: Database>(session: Session<D>) -> String {
    let views = views(&session) + 1;
    session.set(COUNTER, views);
    views.to_string()
}

async fn seed<D: Database>(Path(fields): Path<usize>, session: Session<D>) {
    session.set(COUNTER, 0);
    for (name, text) in padding(fields) {
        session.set(&name, text);
    }
}
