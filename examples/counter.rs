//! Counts the views of each browser. The count survives a restart of the server.
//!
//! `cargo run --example counter`, then open the printed address in two browsers. `PORT` chooses another
//! port than 8080.

use std::{env, error::Error, path};

use actix_typed_session::{FileStore, Session, SessionMiddleware, TypedSession};
use actix_web::{App, HttpServer, Responder, get};

/// What the server remembers of a browser.
#[derive(Session)]
struct Visitor {
    #[session(merge = "add")] // of two requests at once, both count
    views: u64,
}

#[get("/")]
async fn index(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_views(session.views + 1);
    format!("You have been here {} times.\n", session.views)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match env::var("PORT") {
        Ok(port) => port.parse().map_err(|error| format!("PORT={port} is no port: {error}"))?,
        Err(_) => 8080,
    };
    let store = FileStore::new("sessions")?;
    let folder = path::absolute(store.path())?;
    // Made once, here: every worker gets a clone of it.
    let sessions = SessionMiddleware::new(store);
    let server = HttpServer::new(move || App::new().wrap(sessions.clone()).service(index))
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("Open http://{address} in a browser, or more than one.");
    }
    println!("The sessions are files in {}.", folder.display());
    server.run().await?;
    Ok(())
}
