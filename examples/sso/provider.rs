//! The provider, which knows who the user is at all sites. In reality, somebody else runs it. Here
//! it is reached as `localhost`, which is another site than `127.0.0.1`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_typed_session::SessionId;
use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Form, Query},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode, get_current_timestamp,
    jwk::{Jwk, JwkSet},
};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::{
    document, see,
    tokens::{IdToken, LOGOUT_EVENT, LogoutToken},
};

pub const CLIENT: &str = "the-site";
const KEY_ID: &str = "2026";

pub struct Provider {
    pub issuer: String,
    site: SocketAddr,
    key: EncodingKey,
    codes: Mutex<HashMap<String, IdToken>>,
}

impl Provider {
    /// A provider with a new key.
    pub fn new(site: SocketAddr) -> Self {
        let issuer = format!("http://localhost:{}/provider", site.port());
        // RFC 8410: what comes before the 32 bytes of an Ed25519 key.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend(rand::random::<[u8; 32]>());
        Self { issuer, site, key: EncodingKey::from_ed_der(&der), codes: Mutex::default() }
    }

    /// The public keys.
    pub fn keys(&self) -> JwkSet {
        let key = Jwk::from_encoding_key(&self.key, Algorithm::EdDSA);
        let mut key = key.expect("it is an Ed25519 key");
        key.common.key_id = Some(KEY_ID.to_owned());
        JwkSet { keys: vec![key] }
    }

    /// Signs a token.
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KEY_ID.to_owned());
        encode(&header, claims, &self.key).expect("it is an Ed25519 key")
    }

    /// A logout token that names the user, the session, or both.
    pub fn logout_token(&self, sub: Option<&str>, sid: Option<&str>) -> LogoutToken {
        let now = get_current_timestamp();
        LogoutToken {
            iss: self.issuer.clone(),
            aud: CLIENT.to_owned(),
            iat: now,
            exp: now + 120,
            jti: random(),
            sub: sub.map(ToOwned::to_owned),
            sid: sid.map(ToOwned::to_owned),
            events: HashMap::from([(LOGOUT_EVENT.to_owned(), HashMap::new())]),
            nonce: None,
        }
    }

    /// Makes a code for a login, which the site can exchange once.
    fn issue(&self, user: &str, sid: &str, nonce: &str) -> String {
        let (code, now) = (random(), get_current_timestamp());
        let token = IdToken {
            iss: self.issuer.clone(),
            aud: CLIENT.to_owned(),
            exp: now + 120,
            sub: user.to_owned(),
            sid: sid.to_owned(),
            nonce: nonce.to_owned(),
        };
        self.codes().insert(code.clone(), token);
        code
    }

    fn codes(&self) -> MutexGuard<'_, HashMap<String, IdToken>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the site a logout token, from server to server.
    async fn log_out(&self, token: &LogoutToken) -> bool {
        let form = [("logout_token", self.sign(token))];
        let url = format!("http://{}/back-channel-logout", self.site);
        let sent = awc::Client::new().post(url).send_form(&form).await;
        sent.is_ok_and(|response| response.status().is_success())
    }
}

/// 256 random bits.
fn random() -> String {
    SessionId::random().as_str().to_owned()
}

#[derive(Deserialize)]
pub struct Authorize {
    state: String,
    nonce: String,
}

/// The page on which the user agrees. This provider believes what one says, and forgets it.
pub async fn ask(query: Query<Authorize>) -> HttpResponse {
    let form = |user: &str| -> Markup {
        html! {
            form method="post" action="/provider" {
                input type="hidden" name="state" value=(query.state);
                input type="hidden" name="nonce" value=(query.nonce);
                button name="user" value=(user) { "I am " (user) }
            }
        }
    };
    document("The provider", html! { (form("ann")) (form("bob")) })
}

#[derive(Deserialize)]
pub struct Agree {
    state: String,
    nonce: String,
    user: String,
}

pub async fn agree(provider: Data<Provider>, form: Form<Agree>) -> HttpResponse {
    let code = provider.issue(&form.user, &random(), &form.nonce);
    see(&format!("http://{}/callback?state={}&code={code}", provider.site, form.state))
}

#[derive(Deserialize)]
pub struct Exchange {
    code: String,
}

/// The site asks for the token of a code, from server to server.
pub async fn token(provider: Data<Provider>, form: Form<Exchange>) -> HttpResponse {
    match provider.codes().remove(&form.code) {
        Some(token) => HttpResponse::Ok().body(provider.sign(&token)),
        None => HttpResponse::BadRequest().finish(),
    }
}

#[derive(Deserialize)]
pub struct End {
    sub: Option<String>,
    sid: Option<String>,
}

/// The user logs out at the provider, in one session or in all.
pub async fn end(provider: Data<Provider>, form: Form<End>) -> HttpResponse {
    let token = provider.logout_token(form.sub.as_deref(), form.sid.as_deref());
    let text = match provider.log_out(&token).await {
        true => "You are logged out, here and at the site.",
        false => "The site did not answer. It will be asked again.",
    };
    let mut response = document("The provider", html! { (text) });
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
