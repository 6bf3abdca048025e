//! Login at another site (OAuth 2.0, OpenID Connect). The answer is a `GET` that the provider's
//! page causes. `SameSite=Lax` lets the cookie come with it, so it has the visitor's session.
//!
//! If a provider answers with a form (`response_mode=form_post`), see the example `oauth`.

use actix_typed_session::{ReturnTo, SessionError, SessionId, TypedSession};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::{
    Shop,
    login::begin,
    pages::see,
    visitor::{Account, SignIn},
};

/// Sends the visitor to the provider.
pub async fn start(
    mut account: TypedSession<Account>,
    shop: Data<Shop>,
    next: ReturnTo,
) -> HttpResponse {
    let random = || SessionId::random().as_str().to_owned(); // 256 bits
    let (state, nonce) = (random(), random());
    let target = shop.provider.authorize_url(&state, &nonce);
    account.set_sign_in(Some(SignIn { state, nonce, next }));
    see(&target)
}

/// What the provider answers. Without a code, the user has refused.
#[derive(Deserialize)]
pub struct Answer {
    pub state: String,
    pub code: Option<String>,
}

pub async fn callback(
    mut account: TypedSession<Account>,
    request: HttpRequest,
    shop: Data<Shop>,
    answer: Query<Answer>,
) -> Result<HttpResponse, SessionError> {
    // It is good for one answer. Only the state shows that this visitor has begun the login.
    let sign_in = account.take_sign_in().filter(|sign_in| sign_in.state == answer.state);
    let Some(sign_in) = sign_in else {
        return Ok(HttpResponse::Forbidden().finish());
    };
    // In reality a request to the provider, and a check of the token's signature.
    let token = answer.code.as_ref().and_then(|code| shop.provider.exchange(code));
    // The nonce shows that the token was made for this login.
    let Some(token) = token.filter(|token| token.nonce == sign_in.nonce) else {
        account.warn("The provider has not logged you in.");
        return Ok(see("/login"));
    };
    let user = shop.users.of_provider(&token.subject);
    begin(&mut account, &shop, &request, user).await?;
    Ok(see(sign_in.next.or("/")))
}
