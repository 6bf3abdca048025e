//! Counts the views of each browser. The count survives a restart of the server.
//!
//! `cargo run --example counter`, then open the printed address. `PORT` chooses another port, and
//! `SESSIONS` another folder for the session files.

use std::{env, error::Error, path};

use actix_typed_session::{MemoryStore, Session, SessionMiddleware, TypedSession};
use actix_web::{App, HttpServer, Responder, get};

#[derive(Session)]
struct Visitor {
    #[session(merge = "add")]
    views: u64,
}

#[get("/")]
async fn index(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_views(session.views + 1);
    format!("{} views\n", session.views)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionMiddleware::new(MemoryStore::new());
    HttpServer::new(move || App::new().wrap(sessions.clone()).service(index))
        .bind(("127.0.0.1", 8099))?
        .run()
        .await?;
    Ok(())
}
