//! This library.
//! `typed THREADS STORE PLACE`, where the store is `memory`, `file`, `file-process`, `redis`,
//! `redis-cache`, `postgres`, `postgres-untested`, `postgres-cached` or `sqlite`.

use actix_typed_session::{
    Durability, FileStore, MemoryStore, RedisStore, SessionMiddleware, store::SessionStore,
};
use actix_typed_session_benches::{rules, server, site};
#[cfg(feature = "sql")]
use actix_typed_session_sqlx::{PostgresStore, PostgresStoreBuilder, SqliteStore};
use actix_web::App;
#[cfg(feature = "sql")]
use sqlx::postgres::PgPoolOptions;

#[actix_web::main]
async fn main() {
    let [threads, store, place] = rules::arguments();
    match store.as_str() {
        "memory" => {
            // No session may evict another.
            run(&threads, MemoryStore::builder().capacity(10_000_000).build()).await
        }
        "file" => run(&threads, FileStore::new(&place).expect("a folder")).await,
        "file-process" => {
            let store = FileStore::builder(&place).durability(Durability::Process).build();
            run(&threads, store.expect("a folder")).await
        }
        "redis" => run(&threads, RedisStore::new(&place).expect("a URL")).await,
        "redis-cache" => {
            let store = RedisStore::builder(&place).local_cache_bytes(64 << 20).build();
            run(&threads, store.expect("a URL")).await
        }
        #[cfg(feature = "sql")]
        "postgres" => {
            run(&threads, postgres(PgPoolOptions::new(), &place, |store| store).await).await
        }
        #[cfg(feature = "sql")]
        "postgres-untested" => {
            let pool = PgPoolOptions::new().test_before_acquire(false);
            run(&threads, postgres(pool, &place, |store| store).await).await
        }
        #[cfg(feature = "sql")]
        "postgres-cached" => {
            let cached = |store: PostgresStoreBuilder| store.local_cache_bytes(64 << 20);
            run(&threads, postgres(PgPoolOptions::new(), &place, cached).await).await
        }
        #[cfg(feature = "sql")]
        "sqlite" => run(&threads, SqliteStore::new(&place).expect("a folder")).await,
        other => panic!("no store is called {other}"),
    }
}

#[cfg(feature = "sql")]
async fn postgres(
    pool: PgPoolOptions,
    url: &str,
    settings: impl FnOnce(PostgresStoreBuilder) -> PostgresStoreBuilder,
) -> PostgresStore {
    let pool = pool.max_connections(rules::POOL).connect(url).await.expect("PostgreSQL");
    let store = settings(PostgresStore::builder(pool)).build().expect("valid settings");
    store.ensure_schema().await.expect("it may make tables");
    store
}

async fn run<S: SessionStore + Clone>(threads: &str, store: S) {
    let sessions = SessionMiddleware::new(store.clone());
    server::run(threads, move || {
        App::new()
            .configure(site::typed_more)
            .configure(site::typed(store.clone()))
            .wrap(sessions.clone())
    })
    .await;
}
