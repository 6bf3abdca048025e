//! A small shop with login, logout and a cart. It shows:
//!
//! - two structs that share one session
//! - an id that is renewed at login
//! - a page with the devices on which a user is logged in, and a limit for their number
//! - forms that other sites cannot send: the middleware refuses them, and tokens protect old browsers
//!
//! Run `cargo run --example login`, then open the printed address. The port is 8080; set `PORT` to
//! use another one. Every name can log in with the password `open sesame`.
//!
//! The cookie keeps its safe defaults, including `Secure`. Browsers and curl treat
//! `http://127.0.0.1` as secure, so it works there.

use std::{env, error::Error, time::SystemTime};

use actix_typed_session::{
    MemoryStore, OverLimit, PublicId, Session, SessionError, SessionMiddleware, Sessions,
    StoredSession, Timestamp, TypedSession,
};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Responder, get,
    http::{StatusCode, header},
    post, web,
};
use serde::{Deserialize, Serialize};

/// On how many devices a user can be logged in. One more login ends the oldest.
const MAX_DEVICES: usize = 5;

/// Who is logged in.
#[derive(Session)]
#[session(namespace = "account")]
struct Account {
    #[session(privilege)] // a change renews the session's id
    #[session(index)] // `Sessions` can find all sessions of a user
    user: Option<String>,
    /// The name of the browser and of its system.
    device: String,
}

/// The cart. It has nothing to do with the account, so it is a separate struct.
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
    let csrf = csrf_field(&mut account);
    let who = match &account.user {
        Some(user) => format!(
            "<form class=row method=post action=/logout>{csrf}<span>Hello, {}.</span>\
             <a href=/devices>Your devices</a> <button>Log out</button></form>",
            escape(user)
        ),
        None => format!(
            "<form class=row method=post action=/login>{csrf}\
             <input name=user placeholder=Name autocomplete=username> \
             <input name=password type=password placeholder='open sesame'> \
             <button>Log in</button></form>"
        ),
    };
    let items: String = cart
        .items
        .iter()
        .map(|item| format!("<li>{} × {}</li>", item.count, escape(&item.name)))
        .collect();
    page(
        "Shop",
        &format!(
            "{who}<h2>Your cart</h2><ul>{items}</ul>\
             <form class=row method=post action=/cart>{csrf}\
             <input name=item placeholder=Item required> <button>Add</button></form>"
        ),
    )
}

/// A page with the devices on which the user is logged in.
#[get("/devices")]
async fn devices(
    mut account: TypedSession<Account>,
    sessions: web::Data<Sessions<Account>>,
) -> Result<impl Responder, SessionError> {
    if account.user.is_none() {
        return Ok(see("/"));
    }
    let csrf = csrf_field(&mut account);
    let mine = Account::by_user(&account.user);
    let mut rows = String::new();
    let mut after = None;
    loop {
        let page = sessions.list(&mine, after, 50).await?;
        rows.extend(page.sessions.iter().map(|it| row(it, it.is_current(account.handle()), &csrf)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(page(
        "Your devices",
        &format!(
            "<p>You are logged in here:</p><ul class=devices>{rows}</ul>\
             <form class=row method=post action=/devices/others>{csrf}\
             <a href=/>Back to the shop</a> <button>Log out everywhere else</button></form>"
        ),
    ))
}

/// The field that protects a form in old browsers, which do not say where a form comes from. A
/// visitor without a session gets one here, because the token belongs to a session.
fn csrf_field(account: &mut TypedSession<Account>) -> String {
    format!("<input type=hidden name=csrf value={}>", account.csrf_token())
}

fn row(session: &StoredSession<Account>, is_current: bool, csrf: &str) -> String {
    // The public id names the session in the form. It cannot open the session.
    let end = match is_current {
        true => "<b>This device</b>".to_owned(),
        false => format!(
            "<form method=post action=/devices/end>{csrf}<input type=hidden name=id value={}>\
             <button>Log out</button></form>",
            session.public_id()
        ),
    };
    format!(
        "<li><div>{}<small>first seen {}, last seen {}</small></div>{end}</li>",
        escape(&session.device),
        ago(session.created_at()),
        ago(session.last_seen()),
    )
}

#[derive(Deserialize)]
struct Device {
    csrf: String,
    id: String,
}

#[post("/devices/end")]
async fn end_device(
    account: TypedSession<Account>,
    sessions: web::Data<Sessions<Account>>,
    device: web::Form<Device>,
) -> Result<impl Responder, SessionError> {
    account.verify_csrf(&device.csrf)?;
    let Ok(id) = device.id.parse::<PublicId>() else {
        return Ok(HttpResponse::BadRequest().body("This device does not exist.\n"));
    };
    // A forged form cannot destroy a session of another user.
    sessions.destroy(&Account::by_user(&account.user), id).await?;
    Ok(see("/devices"))
}

#[post("/devices/others")]
async fn destroy_others(
    account: TypedSession<Account>,
    sessions: web::Data<Sessions<Account>>,
    form: web::Form<Confirmed>,
) -> Result<impl Responder, SessionError> {
    account.verify_csrf(&form.csrf)?;
    sessions.destroy_others(&Account::by_user(&account.user), account.handle()).await?;
    Ok(see("/devices"))
}

#[derive(Deserialize)]
struct Credentials {
    csrf: String,
    user: String,
    password: String,
}

#[post("/login")]
async fn login(
    request: HttpRequest,
    mut account: TypedSession<Account>,
    sessions: web::Data<Sessions<Account>>,
    form: web::Form<Credentials>,
) -> Result<HttpResponse, SessionError> {
    account.verify_csrf(&form.csrf)?;
    if form.password != "open sesame" || form.user.is_empty() {
        return Ok(HttpResponse::build(StatusCode::FORBIDDEN).body("Wrong name or password.\n"));
    }
    // The cart stays in the session. `account.regenerate()` would drop it.
    account.set_user(Some(form.into_inner().user));
    account.set_device(device_name(&request));
    // A login counts once it is stored. So exactly as many remain of those at the same moment.
    account.save().await?;
    let of_user = Account::by_user(&account.user);
    let over = OverLimit::DestroyOldest;
    sessions.enforce_limit(&of_user, MAX_DEVICES, over, account.handle()).await?;
    Ok(see("/"))
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
    let mut answer = see("/");
    // Also delete what scripts have stored in the browser: it belongs to the user.
    answer.headers_mut().insert(
        header::HeaderName::from_static("clear-site-data"),
        header::HeaderValue::from_static("\"storage\""),
    );
    Ok(answer)
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
    // Several changes at once. Only fields that differ afterwards are stored.
    cart.modify(|cart| match cart.items.iter_mut().find(|item| item.name == name) {
        Some(item) => item.count += 1,
        None => cart.items.push(Item { name, count: 1 }),
    });
    Ok(see("/"))
}

fn see(path: &'static str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// A short name for the browser and its system, from the `User-Agent` header.
fn device_name(request: &HttpRequest) -> String {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.unwrap_or_default();
    let first_of = |names: &[&'static str]| names.iter().copied().find(|it| agent.contains(it));
    let browser = first_of(&["Firefox", "Edg", "Chrome", "Safari", "curl"]);
    let system = first_of(&["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"]);
    match (browser.map(|it| if it == "Edg" { "Edge" } else { it }), system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "An unknown device".to_owned(),
    }
}

fn ago(time: Timestamp) -> String {
    let minutes = Timestamp::from(SystemTime::now()).saturating_since(time).as_secs() / 60;
    match minutes {
        0 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        2..60 => format!("{minutes} minutes ago"),
        60..120 => "an hour ago".to_owned(),
        120..2_880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}

fn page(title: &str, body: &str) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    // Otherwise the back button shows the page after the user has logged out.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.content_type("text/html; charset=utf-8").body(format!(
        "<!doctype html><html lang=en><meta name=viewport content='width=device-width'>\
         <title>{title}</title><style>{STYLE}</style><main><h1>{title}</h1>{body}</main></html>"
    ))
}

const STYLE: &str = "\
    body { margin: 2rem 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #f4f4f1 } \
    main { max-width: 36rem; margin: auto; padding: 1.5rem 2rem 2rem; background: #fff; \
        border: 1px solid #ddd; border-radius: 8px } \
    h1 { margin: 0 0 1rem; font-size: 1.5rem } h2 { font-size: 1.1rem } \
    .row { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center } \
    .row span, .row a:first-child { margin-right: auto } \
    .devices { padding: 0; list-style: none } \
    .devices li { display: flex; justify-content: space-between; align-items: center; gap: 1rem; \
        padding: .75rem 0; border-top: 1px solid #eee } \
    .devices b { color: #2a6b2a; white-space: nowrap } \
    small { display: block; color: #666 } \
    input, button { padding: .35rem .7rem; font: inherit; border: 1px solid #bbb; border-radius: 5px } \
    button { background: #f0f0ec; cursor: pointer; white-space: nowrap } button:hover { background: #e4e4de }";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match env::var("PORT") {
        Ok(port) => {
            port.parse().map_err(|error| format!("PORT={port} is not a valid port: {error}"))?
        }
        Err(_) => 8080,
    };
    let store = MemoryStore::new();
    let accounts = web::Data::new(Sessions::<Account>::new(store.clone()));
    let sessions = SessionMiddleware::new(store);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(accounts.clone())
            .wrap(sessions.clone())
            .service((index, login, logout, add))
            .service((devices, end_device, destroy_others))
    })
    .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("Open http://{address} in a browser.");
    }
    server.run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_typed_session::testing::StoredSchema;

    use super::*;

    #[test]
    fn a_deploy_loses_no_session() {
        StoredSchema::at("login.session.json").of::<Account>().of::<Cart>().check();
    }
}
