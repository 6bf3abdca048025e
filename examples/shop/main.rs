//! A small shop, as a real site would be built. It shows:
//!
//! - a login with a password, "remember me", and a login at another site (OAuth): `login`, `oauth`
//! - two structs that share one session: `visitor`
//! - a cart that keeps what two tabs do at once, and orders that cannot be sent twice: `cart`
//! - messages that are shown once: `pages`
//! - handlers that say whom they serve: a user, an administrator, a user who has just given the
//!   password: `guards`, `account`, `admin`
//! - a page with the user's devices, and a limit for their number: `devices`
//! - the same session for programs without cookies, and in a WebSocket: `api`, `live`
//! - forms that other sites cannot send: nothing to do; tokens protect old browsers
//! - unit tests of all handlers: `tests`
//!
//! Run `cargo run --example shop`, then open the printed address. The port is 8080; set `PORT` to
//! use another one. The users are ann, bob and root; each has the password `open sesame`.
//!
//! The cookie keeps its safe defaults, including `Secure`. Browsers and curl treat
//! `http://127.0.0.1` as secure, so it works there.

#![expect(unreachable_pub, reason = "in a program, `pub` is shorter and says enough")]

mod account;
mod admin;
mod api;
mod cart;
mod catalogue;
mod devices;
mod guards;
mod live;
mod login;
mod oauth;
mod pages;
mod provider;
#[cfg(test)]
mod tests;
mod users;
mod visitor;

use std::{env, error::Error, net::TcpListener};

use actix_typed_session::{
    ConfigError, MemoryStore, SessionMiddleware, Sessions, store::SessionStore,
};
use actix_web::{
    App, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::header,
    middleware::{DefaultHeaders, ErrorHandlers},
    web::{self, ServiceConfig, get, post},
};

use crate::{catalogue::Orders, provider::Provider, users::Users, visitor::Account};

/// What all handlers share.
struct Shop {
    users: Users,
    orders: Orders,
    /// The sessions of users, for pages and jobs that look at them from outside.
    sessions: Sessions<Account>,
    provider: Provider,
}

impl Shop {
    fn new(sessions: Sessions<Account>, provider: Provider) -> Self {
        Self { users: Users::new(), orders: Orders::default(), sessions, provider }
    }
}

/// The middleware. A session ends after 20 hours without a request.
fn sessions(store: impl SessionStore) -> Result<SessionMiddleware, ConfigError> {
    SessionMiddleware::builder(store).bearer().build()
}

/// The whole site. The tests make it too.
fn app(
    shop: web::Data<Shop>,
    sessions: SessionMiddleware,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(shop)
        .configure(routes)
        .wrap(sessions)
        // Around the sessions, so that it sees what they answer if the store is down.
        .wrap(ErrorHandlers::new().default_handler(pages::error_page))
        .wrap(DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, CONTENT)))
}

/// Scripts, styles and sockets of this site only, and no frames of other sites around it.
const CONTENT: &str = "default-src 'self'; frame-ancestors 'none'";

/// All pages.
fn routes(config: &mut ServiceConfig) {
    config
        .route("/", get().to(cart::index))
        .route("/cart", get().to(cart::show))
        .route("/cart", post().to(cart::add))
        .route("/cart/change", post().to(cart::change))
        .route("/checkout", get().to(cart::check_out_form))
        .route("/checkout", post().to(cart::check_out))
        .route("/login", get().to(login::form))
        .route("/login", post().to(login::log_in))
        .route("/logout", post().to(login::log_out))
        .route("/confirm", get().to(login::confirm_form))
        .route("/confirm", post().to(login::confirm))
        .route("/oauth/start", get().to(oauth::start))
        .route("/oauth/callback", get().to(oauth::callback))
        .route("/account", get().to(account::show))
        .route("/account/password", get().to(account::password_form))
        .route("/account/password", post().to(account::change_password))
        .route("/devices/end", post().to(devices::end))
        .route("/devices/end-others", post().to(devices::end_others))
        .route("/admin", get().to(admin::show))
        .route("/admin/log-out", post().to(admin::log_out))
        .route("/live", get().to(live::page))
        .route("/live/socket", get().to(live::socket))
        .route("/api/login", post().to(api::log_in))
        .route("/api/logout", post().to(api::log_out))
        .route("/api/cart", get().to(api::cart))
        .route("/api/cart", post().to(api::add))
        .route("/api/orders", get().to(api::orders))
        .route("/provider", get().to(provider::ask))
        .route("/provider", post().to(provider::agree))
        .route("/shop.css", get().to(async || file("text/css", include_str!("shop.css"))))
        .route("/live.js", get().to(async || file("text/javascript", include_str!("live.js"))));
}

/// A file that is part of the program. It has no session, so it costs no store call.
fn file(content_type: &'static str, content: &'static str) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "max-age=600"));
    response.content_type(content_type).body(content)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    let store = MemoryStore::new();
    let provider = Provider::new(address);
    let shop = web::Data::new(Shop::new(Sessions::new(store.clone()), provider));
    let sessions = sessions(store)?;
    let server = HttpServer::new(move || app(shop.clone(), sessions.clone())).listen(listener)?;
    println!("Open http://{address} in a browser.");
    server.run().await?;
    Ok(())
}
