//! Login with a password, logout, and the password again before what could do harm.

use std::time::Duration;

use actix_typed_session::{OverLimit, SessionError, SessionHandle, TypedSession};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web::{Data, Form},
};
use maud::html;
use serde::Deserialize;

use crate::{
    Shop,
    devices::{MAX_DEVICES, device_name},
    guards::LoggedIn,
    pages::{page, see},
    users::User,
    visitor::{Account, AccountSession},
};

/// How long "remember me" lasts. Without it, a login ends with the browser, or after 20 hours.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

pub async fn form(mut account: TypedSession<Account>) -> Result<HttpResponse, SessionError> {
    let form = html! {
        form.card method="post" action="/login" {
            label { "Name" input name="name" autocomplete="username" required; }
            label {
                "Password"
                input name="password" type="password" autocomplete="current-password" required;
            }
            label.check { input name="remember" type="checkbox" value="true"; "Remember me" }
            button { "Log in" }
            a href="/oauth/start" { "Log in at the provider" }
        }
        p.hint { "Try ann, bob or root, with the password “open sesame”." }
    };
    page(&mut account, "Log in", form).await
}

#[derive(Deserialize)]
pub struct Credentials {
    pub name: String,
    pub password: String,
    #[serde(default)]
    pub remember: bool,
}

pub async fn log_in(
    mut account: TypedSession<Account>,
    request: HttpRequest,
    shop: Data<Shop>,
    form: Form<Credentials>,
) -> Result<HttpResponse, SessionError> {
    let Some(user) = shop.users.check(&form.name, &form.password).await else {
        account.warn("Wrong name or password.");
        return Ok(see("/login"));
    };
    if form.remember {
        account.handle().remember_for(REMEMBERED);
    }
    begin(&mut account, &shop, &request, user).await?;
    account.inform(format!("Welcome, {}.", account.name));
    Ok(see(&account.take_next().unwrap_or_else(|| "/".to_owned())))
}

/// Logs a user in. The cart stays in the session; `account.regenerate()` would drop it.
pub async fn begin(
    account: &mut AccountSession,
    shop: &Shop,
    request: &HttpRequest,
    user: User,
) -> Result<(), SessionError> {
    account.modify(|account| {
        account.user = Some(user.id);
        account.name = user.name;
        account.is_admin = user.is_admin;
        account.is_sure = true;
        account.device = device_name(request);
    });
    // A login counts once it is stored. So exactly as many remain of those at the same moment.
    account.save().await?;
    let of_user = Account::by_user(&account.user);
    let over = OverLimit::DestroyOldest;
    shop.sessions.enforce_limit(&of_user, MAX_DEVICES, over, account.handle()).await?;
    Ok(())
}

pub async fn log_out(mut session: SessionHandle) -> HttpResponse {
    session.destroy();
    let mut answer = see("/");
    // Also delete what scripts have stored in the browser: it belongs to the user.
    answer.headers_mut().insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"storage\""),
    );
    answer
}

pub async fn confirm_form(user: LoggedIn) -> Result<HttpResponse, SessionError> {
    let LoggedIn(mut account) = user;
    let form = html! {
        form.card method="post" action="/confirm" {
            p { "Please give your password once more. This is for something important." }
            label {
                "Password"
                input name="password" type="password" autocomplete="current-password" required;
            }
            button { "Confirm" }
        }
    };
    page(&mut account, "It is you, isn’t it?", form).await
}

#[derive(Deserialize)]
pub struct Password {
    pub password: String,
}

pub async fn confirm(
    user: LoggedIn,
    shop: Data<Shop>,
    form: Form<Password>,
) -> Result<HttpResponse, SessionError> {
    let LoggedIn(mut account) = user;
    if shop.users.check(&account.name, &form.password).await.is_none() {
        account.warn("Wrong password.");
        return Ok(see("/confirm"));
    }
    account.set_is_sure(true); // for five minutes, by its `ttl`
    Ok(see(&account.take_next().unwrap_or_else(|| "/account".to_owned())))
}
