//! The other site, which knows who the visitor is. In reality, somebody else runs it. Here it is
//! reached as `localhost`, which is another site than `127.0.0.1`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use actix_typed_session::SessionId;
use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Form, Query},
};
use maud::html;
use serde::Deserialize;

use crate::{
    Shop,
    pages::{document, hidden, see},
};

pub struct Provider {
    url: String,
    callback: String,
    tokens: Mutex<HashMap<String, IdToken>>,
}

/// Who has logged in.
pub struct IdToken {
    pub subject: String,
    pub nonce: String,
}

impl Provider {
    pub fn new(shop: SocketAddr) -> Self {
        Self {
            url: format!("http://localhost:{}/provider", shop.port()),
            callback: format!("http://{shop}/oauth/callback"),
            tokens: Mutex::default(),
        }
    }

    pub fn authorize_url(&self, state: &str, nonce: &str) -> String {
        format!("{}?state={state}&nonce={nonce}", self.url)
    }

    /// Makes a code for a user who agrees.
    pub fn issue(&self, subject: &str, nonce: &str) -> String {
        let code = SessionId::random().as_str().to_owned();
        let token = IdToken { subject: subject.to_owned(), nonce: nonce.to_owned() };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(code.clone(), token);
        code
    }

    /// The token for a code, once.
    pub fn exchange(&self, code: &str) -> Option<IdToken> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(code)
    }
}

#[derive(Deserialize)]
pub struct Authorize {
    pub state: String,
    pub nonce: String,
}

/// The page on which the user agrees.
pub async fn ask(query: Query<Authorize>) -> HttpResponse {
    let body = html! {
        h1 { "The provider" }
        form.card method="post" action="/provider" {
            p { "Plain Things wants to know who you are." }
            (hidden("state", &query.state)) (hidden("nonce", &query.nonce))
            button { "I am eve" }
        }
    };
    let mut response = HttpResponse::Ok();
    response.insert_header(header::ContentType::html());
    response.body(document("The provider", html! {}, body).into_string())
}

pub async fn agree(shop: Data<Shop>, form: Form<Authorize>) -> HttpResponse {
    let code = shop.provider.issue("eve", &form.nonce);
    see(&format!("{}?state={}&code={code}", shop.provider.callback, form.state))
}
