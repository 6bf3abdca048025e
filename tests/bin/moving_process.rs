//! The site of the concurrency tests in its own process, while its sessions move from files to
//! Redis: `moving_process FOLDER REDIS_URL PREFIX ready|moving|new`. Prints its port.
//!
//! `GET /move` moves all sessions, 1 000 in a second at most.

use std::{env, num::NonZeroU32};

use actix_typed_session::{
    Durability, FileStore, RedisStore, SessionMiddleware,
    store::{MovingStore, SessionStore},
};
use actix_typed_session_tests::{Gate, concurrency::routes, error_chain};
use actix_web::{App, HttpResponse, HttpServer, web};

type Store = MovingStore<FileStore, RedisStore>;

async fn move_all(store: web::Data<Store>) -> HttpResponse {
    let slow = Store::clone(&store).sessions_per_second(NonZeroU32::new(1_000));
    match slow.move_all().await {
        Ok(done) => {
            HttpResponse::Ok().body(format!("{} {} {}", done.copied, done.present, done.unreadable))
        }
        Err(error) => HttpResponse::InternalServerError().body(error_chain(&error)),
    }
}

async fn serve(
    store: impl SessionStore,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<()> {
    let sessions = SessionMiddleware::builder(store).build().expect("good settings");
    let gate = web::Data::new(Gate::default());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gate.clone())
            .wrap(sessions.clone())
            .configure(configure.clone())
            .configure(routes)
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    println!("{}", server.addrs()[0].port());
    server.run().await
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, folder, url, prefix, phase] = &arguments[..] else {
        panic!("moving_process FOLDER REDIS_URL PREFIX PHASE")
    };
    let old = FileStore::builder(folder).durability(Durability::Process);
    let old = old.build().expect("a writable folder");
    let new = RedisStore::builder(url).prefix(prefix).build().expect("a good URL");
    let store = match phase.as_str() {
        "ready" => MovingStore::ready(old, new),
        "moving" => MovingStore::moving(old, new),
        "new" => return serve(new, |_| {}).await,
        other => panic!("unknown phase {other:?}"),
    };
    let data = web::Data::new(store.clone());
    serve(store, move |config| {
        config.app_data(data.clone()).route("/move", web::get().to(move_all));
    })
    .await
}
