//! Axum, bare or with tower-sessions. `tower_sessions THREADS bare|memory|redis PLACE`.

use actix_typed_session_benches::{
    server,
    site::{COUNTER, SOME, UNTOUCHED, padding},
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

fn main() {
    let [threads, store, place] = server::arguments();
    let threads: usize = threads.parse().expect("a number of threads");
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = match store.as_str() {
            "bare" => Router::new()
                .route("/untouched", get(async || UNTOUCHED))
                .route("/read", get(async || std::hint::black_box(1_u64).to_string()))
                .route("/read_8", get(async || std::hint::black_box(1_u64).to_string()))
                .route("/write", get(async || std::hint::black_box(1_u64).to_string()))
                .route("/add", get(async || std::hint::black_box(1_u64).to_string()))
                .route("/seed/{fields}", post(async || UNTOUCHED)),
            "memory" => routes(MemoryStore::default()),
            "redis" => {
                let config = Config::from_url(&place).expect("a URL");
                let pool = Pool::new(config, None, None, None, 1).expect("a pool");
                pool.connect();
                pool.wait_for_connect().await.expect("Redis");
                routes(RedisStore::new(pool))
            }
            other => panic!("no store is called {other}"),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        server::announce(listener.local_addr().expect("an address").port());
        axum::serve(listener, router).await.expect("the server runs");
    });
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
