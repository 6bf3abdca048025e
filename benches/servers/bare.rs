//! Actix Web without sessions: what all others are compared with. `bare THREADS`.

use actix_typed_session_benches::{rules, server, site};
use actix_web::App;

#[actix_web::main]
async fn main() {
    let [threads] = rules::arguments();
    server::run(&threads, || App::new().configure(site::bare_more).configure(site::bare)).await;
}
