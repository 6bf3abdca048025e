//! The site of the concurrency tests in its own process: `site_process REDIS_URL PREFIX`. Prints
//! its port.

use std::env;

use actix_typed_session::{RedisStore, SessionMiddleware};
use actix_typed_session_tests::{Gate, concurrency::routes};
use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, url, prefix] = &arguments[..] else { panic!("site_process REDIS_URL PREFIX") };
    let store = RedisStore::builder(url).prefix(prefix).build().expect("a good URL");
    let sessions = SessionMiddleware::builder(store).build().expect("good settings");
    let gate = web::Data::new(Gate::default());
    let server = HttpServer::new(move || {
        App::new().app_data(gate.clone()).wrap(sessions.clone()).configure(routes)
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    println!("{}", server.addrs()[0].port());
    server.run().await
}
