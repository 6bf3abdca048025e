//! Single sign-on with OpenID Connect: who logs out at the provider is logged out here, in one
//! session or on all devices (OpenID Connect Back-Channel Logout 1.0). It shows:
//!
//! - sessions that are found by the ids of another program: `sid` and `sub` are `index` fields
//! - a request without a cookie that ends the right sessions, and tokens that end none
//!
//! Run `cargo run --example sso`, then open the printed address. The port is 8080; set `PORT` to
//! use another one. The provider is part of the program. It is reached as `localhost`, which is
//! another site than `127.0.0.1`.

#![expect(unreachable_pub, reason = "in a program, `pub` is shorter and says enough")]

mod provider;
mod site;
mod tokens;

use std::{env, error::Error, net::TcpListener};

use actix_typed_session::{MemoryStore, SessionMiddleware, Sessions, store::FindByIndex};
use actix_web::{
    App, HttpResponse, HttpServer,
    http::header,
    web::{Data, ServiceConfig, get, post, resource, scope},
};
use maud::{DOCTYPE, Markup, html};

use crate::{provider::Provider, site::Sso, tokens::Verifier};

/// The routes of the site and of the provider.
fn routes(config: &mut ServiceConfig) {
    let provider = scope("/provider")
        .service(resource("").get(provider::ask).post(provider::agree))
        .route("/token", post().to(provider::token))
        .route("/end", post().to(provider::end));
    config
        .service(provider)
        .route("/", get().to(site::index))
        .route("/login", get().to(site::log_in))
        .route("/callback", get().to(site::callback))
        .route("/back-channel-logout", post().to(site::back_channel_logout));
}

fn sso(provider: &Provider, store: impl FindByIndex) -> Sso {
    let issuer = provider.issuer.clone();
    let verifier = Verifier::new(&issuer, provider::CLIENT, provider.keys());
    Sso { sessions: Sessions::new(store), verifier, issuer }
}

fn document(title: &str, body: Markup) -> HttpResponse {
    let page = html! { (DOCTYPE) html lang="en" { title { (title) } (body) } };
    let mut response = HttpResponse::Ok();
    response.insert_header(header::ContentType::html()).body(page.into_string())
}

fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    let (store, provider) = (MemoryStore::new(), Provider::new(address));
    let sso = Data::new(sso(&provider, store.clone()));
    let (provider, sessions) = (Data::new(provider), SessionMiddleware::new(store));
    let server = HttpServer::new(move || {
        let app = App::new().app_data(sso.clone()).app_data(provider.clone());
        app.configure(routes).wrap(sessions.clone())
    })
    .listen(listener)?;
    println!("Open http://{address} in a browser.");
    println!("The provider is at http://localhost:{}/provider.", address.port());
    server.run().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
