//! actix-session. `actix_session THREADS memory|cookie|redis PLACE`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_session::{
    Session, SessionMiddleware,
    storage::{
        CookieSessionStore, LoadError, RedisSessionStore, SaveError, SessionKey, SessionStore,
        UpdateError,
    },
};
use actix_typed_session::SessionId;
use actix_typed_session_benches::{
    rules::{self, COUNTER, SOME, UNTOUCHED, padding},
    server,
};
use actix_web::{
    App, HttpResponse,
    cookie::{Key, time::Duration},
    web,
};

#[actix_web::main]
async fn main() {
    let [threads, store, place] = rules::arguments();
    match store.as_str() {
        "memory" => {
            let map = Map::default();
            run(&threads, move || map.clone()).await
        }
        "cookie" => run(&threads, CookieSessionStore::default).await,
        "redis" => {
            let store = RedisSessionStore::new(place).await.expect("Redis");
            run(&threads, move || store.clone()).await
        }
        other => panic!("no store is called {other}"),
    }
}

async fn run<S: SessionStore + 'static>(
    threads: &str,
    store: impl Fn() -> S + Clone + Send + 'static,
) {
    let key = Key::generate();
    server::run(threads, move || {
        App::new()
            .route("/untouched", web::get().to(async || UNTOUCHED))
            .route("/read", web::get().to(read))
            .route("/read_8", web::get().to(read_8))
            .route("/write", web::get().to(write))
            .route("/add", web::get().to(write))
            .route("/seed/{fields}", web::post().to(seed))
            .wrap(SessionMiddleware::new(store(), key.clone()))
    })
    .await;
}

async fn read(session: Session) -> actix_web::Result<String> {
    Ok(session.get::<u64>(COUNTER)?.unwrap_or_default().to_string())
}

async fn read_8(session: Session) -> actix_web::Result<String> {
    let mut length = session.get::<u64>(COUNTER)?.unwrap_or_default();
    for (name, _) in padding(SOME) {
        length += session.get::<String>(&name)?.map_or(0, |text| text.len() as u64);
    }
    Ok(length.to_string())
}

async fn write(session: Session) -> actix_web::Result<String> {
    let views = session.get::<u64>(COUNTER)?.unwrap_or_default() + 1;
    session.insert(COUNTER, views)?;
    Ok(views.to_string())
}

async fn seed(fields: web::Path<usize>, session: Session) -> actix_web::Result<HttpResponse> {
    session.insert(COUNTER, 0)?;
    for (name, text) in padding(*fields) {
        session.insert(name, text)?;
    }
    Ok(HttpResponse::Ok().finish())
}

/// The library has no store in memory, so this is the simplest one that it can have.
#[derive(Clone, Default)]
struct Map(Arc<Mutex<HashMap<String, HashMap<String, String>>>>);

impl Map {
    fn with<R>(
        &self,
        action: impl FnOnce(&mut HashMap<String, HashMap<String, String>>) -> R,
    ) -> R {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SessionStore for Map {
    async fn load(&self, key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        Ok(self.with(|sessions| sessions.get(key.as_ref()).cloned()))
    }

    async fn save(
        &self,
        state: HashMap<String, String>,
        _: &Duration,
    ) -> Result<SessionKey, SaveError> {
        let key = SessionId::random().as_str().to_owned();
        self.with(|sessions| sessions.insert(key.clone(), state));
        Ok(SessionKey::try_from(key).expect("of a good length"))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: HashMap<String, String>,
        _: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        self.with(|sessions| sessions.insert(key.as_ref().to_owned(), state));
        Ok(key)
    }

    async fn update_ttl(&self, _: &SessionKey, _: &Duration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.with(|sessions| sessions.remove(key.as_ref()));
        Ok(())
    }
}
