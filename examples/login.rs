//! A small shop: login, a renewed id, logout, and a cart, with two structs over one session, and forms that no
//! other site can send.
//!
//! `cargo run --example login`, then open the printed address. `PORT` chooses another port than 8080.
//! Any name can log in with the password `open sesame`. The cookie keeps its safe defaults, `Secure`
//! among them: browsers and curl treat `http://127.0.0.1` as secure.

use std::{env, error::Error};

use actix_typed_session::{MemoryStore, Session, SessionError, SessionMiddleware, TypedSession};
use actix_web::{
    App, HttpResponse, HttpServer, Responder, get,
    http::{StatusCode, header},
    post, web,
};
use serde::{Deserialize, Serialize};

/// Who is logged in.
#[derive(Session)]
#[session(namespace = "account")]
struct Account {
    #[session(privilege)] // any change gives the session a new id
    user: Option<String>,
}

/// What is in the cart. It has nothing to do with the account, so it is a struct of its own.
#[derive(Session)]
#[session(namespace = "cart")]
struct Cart {
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
}

#[get("/")]
async fn index(mut account: TypedSession<Account>, cart: TypedSession<Cart>) -> impl Responder {
    // Each form carries it. A new visitor gets a session by it, for the forms to belong to.
    let csrf = format!("<input type=hidden name=csrf value={}>", account.csrf_token());
    let who = match &account.user {
        Some(user) => format!(
            "<p>Hello, {}.</p><form method=post action=/logout>{csrf}<button>Log out</button></form>",
            escape(user)
        ),
        None => format!(
            "<form method=post action=/login>{csrf}\
             <input name=user placeholder=Name> \
             <input name=password type=password placeholder='open sesame'> \
             <button>Log in</button></form>"
        ),
    };
    let items: String = cart
        .items
        .iter()
        .map(|item| format!("<li>{} × {}</li>", item.count, escape(&item.name)))
        .collect();
    let mut page = HttpResponse::Ok();
    // Without this, the back button shows the page to whoever comes after the user has logged out.
    page.insert_header((header::CACHE_CONTROL, "no-store"));
    page.content_type("text/html; charset=utf-8").body(format!(
        "<!doctype html><title>Shop</title>{who}<ul>{items}</ul>\
         <form method=post action=/cart>{csrf}<input name=item placeholder=Item> <button>Add</button></form>"
    ))
}

#[derive(Deserialize)]
struct Credentials {
    csrf: String,
    user: String,
    password: String,
}

#[post("/login")]
async fn login(
    mut account: TypedSession<Account>,
    form: web::Form<Credentials>,
) -> Result<HttpResponse, SessionError> {
    account.verify_csrf(&form.csrf)?;
    if form.password != "open sesame" || form.user.is_empty() {
        return Ok(HttpResponse::build(StatusCode::FORBIDDEN).body("Wrong name or password.\n"));
    }
    // The cart comes along under the new id. `account.regenerate()` would leave it behind.
    account.set_user(Some(form.into_inner().user));
    Ok(see_the_shop())
}

#[derive(Deserialize)]
struct Confirmed {
    csrf: String,
}

#[post("/logout")]
async fn logout(
    mut account: TypedSession<Account>,
    form: web::Form<Confirmed>,
) -> Result<HttpResponse, SessionError> {
    account.verify_csrf(&form.csrf)?;
    account.destroy();
    Ok(see_the_shop())
}

#[derive(Deserialize)]
struct Wish {
    csrf: String,
    item: String,
}

#[post("/cart")]
async fn add(
    mut cart: TypedSession<Cart>,
    wish: web::Form<Wish>,
) -> Result<HttpResponse, SessionError> {
    cart.verify_csrf(&wish.csrf)?;
    let name = wish.into_inner().item;
    // Several changes at once; only what is different afterwards is stored.
    cart.modify(|cart| match cart.items.iter_mut().find(|item| item.name == name) {
        Some(item) => item.count += 1,
        None => cart.items.push(Item { name, count: 1 }),
    });
    Ok(see_the_shop())
}

fn see_the_shop() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/")).finish()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match env::var("PORT") {
        Ok(port) => port.parse().map_err(|error| format!("PORT={port} is no port: {error}"))?,
        Err(_) => 8080,
    };
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let server = HttpServer::new(move || {
        App::new().wrap(sessions.clone()).service(index).service(login).service(logout).service(add)
    })
    .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("Open http://{address} in a browser.");
    }
    server.run().await?;
    Ok(())
}
