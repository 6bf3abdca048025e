//! A login at another site (OAuth 2.0 or OpenID Connect with `response_mode=form_post`). It shows:
//!
//! - two sessions in one application: the visitor's, and a short one for the login
//! - a callback that comes as a form from another site, without the visitor's cookie, and the one
//!   exception from the rule that such forms are refused
//!
//! Run `cargo run --example oauth`, then open the printed address. The port is 8080; set `PORT` to
//! use another one. The provider is part of the program. It is reached as `localhost`, which is
//! another site than `127.0.0.1`.

use std::{collections::HashMap, env, error::Error, sync::Mutex, time::Duration};

use actix_typed_session::{
    MemoryStore, SameSite, Session, SessionId, SessionMiddleware, TypedSession,
};
use actix_web::{App, HttpResponse, HttpServer, Responder, get, http::header, post, web};
use serde::Deserialize;

/// The visitor's session. Its cookie has the safe defaults.
#[derive(Session)]
#[session(cookie = "session")]
struct Account {
    #[session(privilege)] // a change renews the session's id
    user: Option<String>,
    #[session(merge = "add")]
    visits: u64,
}

/// The session of one login. Its cookie comes with forms of other sites too.
#[derive(Session)]
#[session(cookie = "oauth")]
struct Login {
    /// The provider must send this back. Otherwise, somebody else began the login.
    state: Option<String>,
    /// Who has logged in, until the visitor's session knows it.
    #[session(privilege)]
    user: Option<String>,
}

#[get("/")]
async fn index(mut account: TypedSession<Account>) -> impl Responder {
    account.set_visits(account.visits + 1);
    let who = match &account.user {
        Some(user) => format!("Hello, {}.", escape(user)),
        None => "<a href=/oauth/start>Log in</a>".to_owned(),
    };
    page(&format!("{who} This is visit {}.", account.visits))
}

/// Sends the visitor to the provider.
#[get("/start")]
async fn start(mut login: TypedSession<Login>, provider: web::Data<Provider>) -> impl Responder {
    let state = SessionId::random().as_str().to_owned(); // 256 random bits
    let target = format!("{}?state={state}", provider.url);
    login.set_state(Some(state));
    see(&target)
}

#[derive(Deserialize)]
struct Answer {
    state: String,
    code: String,
}

/// The provider's form. The browser sends it without the visitor's cookie, so this must not write
/// to the visitor's session: that would begin another one in its place.
#[post("/callback")]
async fn callback(
    mut login: TypedSession<Login>,
    provider: web::Data<Provider>,
    answer: web::Form<Answer>,
) -> impl Responder {
    if login.state.as_ref() != Some(&answer.state) {
        return HttpResponse::Forbidden().body("this login did not begin here");
    }
    login.set_state(None); // it is good for one answer
    let Some(user) = provider.exchange(&answer.code) else {
        return HttpResponse::Forbidden().body("the provider does not know this code");
    };
    login.set_user(Some(user));
    see("/oauth/finish")
}

/// The browser follows the redirection with both cookies.
#[get("/finish")]
async fn finish(
    mut login: TypedSession<Login>,
    mut account: TypedSession<Account>,
) -> impl Responder {
    if let Some(user) = login.take_user() {
        account.set_user(Some(user));
    }
    login.destroy();
    see("/")
}

/// The other site. In reality, somebody else runs it, and `exchange` is a request to it.
struct Provider {
    url: String,
    callback: String,
    codes: Mutex<HashMap<String, String>>,
}

impl Provider {
    fn exchange(&self, code: &str) -> Option<String> {
        self.codes.lock().ok()?.remove(code)
    }
}

#[derive(Deserialize)]
struct Authorize {
    state: String,
}

/// The page on which the user agrees. Its form is the answer.
#[get("/provider")]
async fn provider_page(
    provider: web::Data<Provider>,
    query: web::Query<Authorize>,
) -> impl Responder {
    let code = SessionId::random().as_str().to_owned();
    if let Ok(mut codes) = provider.codes.lock() {
        codes.insert(code.clone(), "ann".to_owned());
    }
    page(&format!(
        "<form method=post action='{}'><input type=hidden name=state value='{}'>\
         <input type=hidden name=code value={code}><button>I am ann</button></form>",
        provider.callback,
        escape(&query.state),
    ))
}

fn page(body: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(format!("<!doctype html><title>Login</title>{body}"))
}

fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('\'', "&#39;").replace('"', "&quot;")
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    let provider = web::Data::new(Provider {
        url: format!("http://localhost:{}/provider", address.port()),
        callback: format!("http://{address}/oauth/callback"),
        codes: Mutex::default(),
    });
    let sessions = SessionMiddleware::new(MemoryStore::new());
    let logins = SessionMiddleware::builder(MemoryStore::new())
        .cookie_name("__Host-oauth")
        .cookie_same_site(SameSite::None)
        .allow_cross_origin_if(|request| request.path() == "/oauth/callback") // `state` protects it
        .max_age(Duration::from_secs(10 * 60))
        .absolute_lifetime(Duration::from_secs(10 * 60))
        .build()?;
    let server = HttpServer::new(move || {
        let oauth = web::scope("/oauth").wrap(logins.clone());
        App::new()
            .app_data(provider.clone())
            .service(oauth.service(start).service(callback).service(finish))
            .service(index)
            .service(provider_page)
            .wrap(sessions.clone())
    })
    .listen(listener)?;
    println!("Open http://{address} in a browser.");
    println!("The provider is at http://localhost:{}.", address.port());
    server.run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_typed_session::testing::StoredSchema;

    use super::*;

    #[test]
    fn a_deploy_loses_no_session() {
        StoredSchema::at("oauth.session.json").of::<Account>().of::<Login>().check();
    }
}
