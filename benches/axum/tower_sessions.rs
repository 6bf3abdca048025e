//! Axum, bare or with tower-sessions.
//! `tower_sessions THREADS bare|memory|redis|postgres|postgres-untested|sqlite PLACE`.

use actix_typed_session_benches_axum::{
    rules::{COUNTER, POOL, SOME, UNTOUCHED, arguments, padding},
    run,
};
use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike as _, Config, Pool},
};
use tower_sessions_sqlx_store::{
    PostgresStore, SqliteStore,
    sqlx::{
        postgres::PgPoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

fn main() {
    let [threads, store, place] = arguments();
    run(&threads, async {
        match store.as_str() {
            "bare" => bare(),
            "memory" => routes(MemoryStore::default()),
            "redis" => routes(redis(&place).await),
            "postgres" => routes(postgres(PgPoolOptions::new(), &place).await),
            "postgres-untested" => {
                let pool = PgPoolOptions::new().test_before_acquire(false);
                routes(postgres(pool, &place).await)
            }
            "sqlite" => routes(sqlite(&place).await),
            other => panic!("no store is called {other}"),
        }
    });
}

fn bare() -> Router {
    let number = || get(async || std::hint::black_box(1_u64).to_string());
    Router::new()
        .route("/untouched", get(async || UNTOUCHED))
        .route("/read", number())
        .route("/read_8", number())
        .route("/write", number())
        .route("/add", number())
        .route("/seed/{fields}", post(async || UNTOUCHED))
}

async fn redis(url: &str) -> RedisStore<Pool> {
    let config = Config::from_url(url).expect("a URL");
    let pool = Pool::new(config, None, None, None, 1).expect("a pool");
    pool.connect();
    pool.wait_for_connect().await.expect("Redis");
    RedisStore::new(pool)
}

async fn postgres(pool: PgPoolOptions, url: &str) -> PostgresStore {
    let pool = pool.max_connections(POOL).connect(url).await.expect("PostgreSQL");
    let store = PostgresStore::new(pool);
    store.migrate().await.expect("it may make tables");
    store
}

/// As this library has it: readers do not wait for writers, and what was answered is on the disk.
async fn sqlite(path: &str) -> SqliteStore {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(POOL).connect_with(options);
    let store = SqliteStore::new(pool.await.expect("a folder"));
    store.migrate().await.expect("it may make tables");
    store
}

fn routes(store: impl SessionStore + Clone) -> Router {
    Router::new()
        .route("/untouched", get(async || UNTOUCHED))
        .route("/read", get(read))
        .route("/read_8", get(read_8))
        .route("/write", get(write))
        .route("/add", get(write))
        .route("/seed/{fields}", post(seed))
        .layer(SessionManagerLayer::new(store))
}

type Result<T> = std::result::Result<T, String>;

async fn views(session: &Session) -> Result<u64> {
    let views = session.get::<u64>(COUNTER).await.map_err(|error| error.to_string())?;
    Ok(views.unwrap_or_default())
}

async fn read(session: Session) -> Result<String> {
    Ok(views(&session).await?.to_string())
}

async fn read_8(session: Session) -> Result<String> {
    let mut length = views(&session).await?;
    for (name, _) in padding(SOME) {
        let text = session.get::<String>(&name).await.map_err(|error| error.to_string())?;
        length += text.map_or(0, |text| text.len() as u64);
    }
    Ok(length.to_string())
}

async fn write(session: Session) -> Result<String> {
    let views = views(&session).await? + 1;
    session.insert(COUNTER, views).await.map_err(|error| error.to_string())?;
    Ok(views.to_string())
}

async fn seed(Path(fields): Path<usize>, session: Session) -> Result<()> {
    session.insert(COUNTER, 0).await.map_err(|error| error.to_string())?;
    for (name, text) in padding(fields) {
        session.insert(&name, text).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
