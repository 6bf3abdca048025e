//! The site: its session, the login at the provider, and the logout that the provider sends.

use actix_typed_session::{Session, SessionError, SessionId, Sessions, TypedSession};
use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Form, Query},
};
use maud::html;
use serde::{Deserialize, Serialize};

use crate::{
    document, see,
    tokens::{LogoutToken, Verifier},
};

/// The session of a visitor. Both ids are those of the provider, and sessions are found by them.
#[derive(Session)]
pub struct Visitor {
    #[session(privilege, index)]
    pub sub: Option<String>,
    #[session(privilege, index)]
    pub sid: Option<String>,
    /// A login that has begun.
    pub sign_in: Option<SignIn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignIn {
    state: String,
    nonce: String,
}

/// What the site knows of its provider.
pub struct Sso {
    pub sessions: Sessions<Visitor>,
    pub verifier: Verifier,
    pub issuer: String,
}

pub async fn index(visitor: TypedSession<Visitor>, sso: Data<Sso>) -> HttpResponse {
    let end = format!("{}/end", sso.issuer);
    let body = match (&visitor.sub, &visitor.sid) {
        (Some(sub), Some(sid)) => html! {
            p { "Hello, " (sub) "." }
            form method="post" action=(end) {
                button name="sid" value=(sid) { "Log out at the provider" }
            }
            form method="post" action=(end) {
                button name="sub" value=(sub) { "Log out on all devices" }
            }
        },
        _ => html! { a href="/login" { "Log in" } },
    };
    document("The site", body)
}

/// Sends the visitor to the provider.
pub async fn log_in(mut visitor: TypedSession<Visitor>, sso: Data<Sso>) -> HttpResponse {
    let random = || SessionId::random().as_str().to_owned(); // 256 bits
    let (state, nonce) = (random(), random());
    let target = format!("{}?state={state}&nonce={nonce}", sso.issuer);
    visitor.set_sign_in(Some(SignIn { state, nonce }));
    see(&target)
}

#[derive(Deserialize)]
pub struct Answer {
    state: String,
    code: String,
}

/// What the provider answers. Only the state shows that this visitor has begun the login.
pub async fn callback(
    mut visitor: TypedSession<Visitor>,
    sso: Data<Sso>,
    answer: Query<Answer>,
) -> HttpResponse {
    let sign_in = visitor.take_sign_in().filter(|sign_in| sign_in.state == answer.state);
    let Some(SignIn { nonce, .. }) = sign_in else {
        return HttpResponse::Forbidden().body("this login did not begin here");
    };
    let Some(token) = exchange(&sso.issuer, &answer.code).await else {
        return HttpResponse::BadGateway().body("the provider did not answer");
    };
    match sso.verifier.id_token(&token, &nonce) {
        Ok(token) => {
            visitor.set_sub(Some(token.sub));
            visitor.set_sid(Some(token.sid)); // one renewal of the id for both
            see("/")
        }
        Err(_) => HttpResponse::Forbidden().body("the provider has not logged you in"),
    }
}

/// Asks the provider for the token of a code, from server to server.
async fn exchange(issuer: &str, code: &str) -> Option<String> {
    let request = awc::Client::new().post(format!("{issuer}/token"));
    let mut response = request.send_form(&[("code", code)]).await.ok()?;
    let body = response.status().is_success().then(|| response.body())?;
    String::from_utf8(body.await.ok()?.to_vec()).ok()
}

#[derive(Deserialize)]
pub struct Logout {
    logout_token: String,
}

/// The provider says that a user has logged out. It comes without a cookie, so it extracts no
/// session, and only the signature shows who sends it.
///
/// If the store fails, the response is a 503, and the provider may send the token once more.
pub async fn back_channel_logout(
    sso: Data<Sso>,
    form: Form<Logout>,
) -> Result<HttpResponse, SessionError> {
    let mut response = match sso.verifier.logout_token(&form.logout_token) {
        Ok(token) => {
            end_sessions(&sso, &token).await.inspect_err(|_| sso.verifier.expect_again(&token))?;
            HttpResponse::Ok()
        }
        Err(refused) => {
            eprintln!("a logout token is refused: {refused}");
            HttpResponse::BadRequest()
        }
    };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

/// Ends the session that the token names, or all of its user.
async fn end_sessions(sso: &Sso, token: &LogoutToken) -> Result<u64, SessionError> {
    if token.sid.is_some() {
        sso.sessions.destroy_all(&Visitor::by_sid(&token.sid)).await
    } else {
        sso.sessions.destroy_all(&Visitor::by_sub(&token.sub)).await
    }
}
