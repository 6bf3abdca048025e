//! This library. `typed THREADS memory|file|file-process|redis|redis-cache PLACE`.

use actix_typed_session::{
    Durability, FileStore, MemoryStore, RedisStore, SessionMiddleware, store::SessionStore,
};
use actix_typed_session_benches::{server, site};
use actix_web::App;

#[actix_web::main]
async fn main() {
    let [threads, store, place] = server::arguments();
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
        other => panic!("no store is called {other}"),
    }
}

async fn run<S: SessionStore + Clone>(threads: &str, store: S) {
    let sessions = SessionMiddleware::new(store.clone());
    server::run(threads, move || {
        App::new()
            .configure(site::typed(store.clone()))
            .configure(site::typed_more)
            .wrap(sessions.clone())
    })
    .await;
}
