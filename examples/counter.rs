//! Counts the views of each browser. The count survives a restart of the server.
//!
//! Run `cargo run --example counter`, then open the printed address in two browsers. The port is
//! 8080; set `PORT` to use another one. Each session is a file. To keep all of them in one file of
//! SQLite, run `cargo run --example counter -- --sqlite`.

use std::{env, error::Error};

use actix_typed_session::{FileStore, Session, SessionMiddleware, TypedSession};
use actix_typed_session_sqlx::SqliteStore;
use actix_web::{App, HttpServer, Responder, get};

/// The session: what the server remembers about a browser.
#[derive(Session)]
struct Visitor {
    #[session(merge = "add")] // concurrent requests all count
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
        Ok(port) => {
            port.parse().map_err(|error| format!("PORT={port} is not a valid port: {error}"))?
        }
        Err(_) => 8080,
    };
    // Create it once, outside the closure. Every worker gets a clone.
    let (sessions, place) = match env::args().nth(1).as_deref() {
        None => {
            let store = FileStore::new("sessions")?;
            let place = format!("files in {}", store.path().display());
            (SessionMiddleware::new(store), place)
        }
        Some("--sqlite") => {
            let store = SqliteStore::new("sessions.db")?;
            let place = format!("in {}", store.path().display());
            (SessionMiddleware::new(store), place)
        }
        Some(other) => return Err(format!("`{other}` is not an option; use `--sqlite`").into()),
    };
    let server = HttpServer::new(move || App::new().wrap(sessions.clone()).service(index))
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("Open http://{address} in one or more browsers.");
    }
    println!("The sessions are {place}.");
    server.run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_loses_no_session() {
        Visitor::check_stored_schema("counter.session.json");
    }
}
