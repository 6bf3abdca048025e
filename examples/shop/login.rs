//! Login with a password, logout, and the password again before what could do harm.

use std::time::Duration;

use actix_typed_session::{
    LoggedIn, OverLimit, ReturnTo, SessionError, SessionHandle, TypedSession,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web::{Data, Form},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    Shop,
    devices::{MAX_DEVICES, device_name},
    pages::{hidden, page, refuse, see},
    users::User,
    visitor::{Account, AccountSession},
};

/// How long "remember me" lasts. Without it, a login ends with the browser, or after 20 hours.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

/// `next` is the page that a guard has refused. It is always a path of this site.
pub async fn form(
    mut account: TypedSession<Account>,
    next: ReturnTo,
) -> Result<HttpResponse, SessionError> {
    let form = html! {
        @if next.path().is_some() { p { "This page is for users. Please log in." } }
        form.card method="post" action="/login" {
            (hidden("next", &next))
            label { "Name" input name="name" autocomplete="username" required; }
            label {
                "Password"
                input name="password" type="password" autocomplete="current-password" required;
            }
            label.check { input name="remember" type="checkbox" value="true"; "Remember me" }
            button { "Log in" }
        }
        (at_the_provider(&next))
        p.hint { "Try ann, bob or root, with the password “open sesame”." }
    };
    page(&mut account, "Log in", form).await
}

fn at_the_provider(next: &ReturnTo) -> Markup {
    html! {
        form method="get" action="/oauth/start" {
            (hidden("next", next))
            button.quiet { "Log in at the provider" }
        }
    }
}

#[derive(Deserialize)]
pub struct Credentials {
    pub name: String,
    pub password: String,
    #[serde(default)]
    pub remember: bool,
    #[serde(default)]
    pub next: ReturnTo,
}

pub async fn log_in(
    mut account: TypedSession<Account>,
    request: HttpRequest,
    shop: Data<Shop>,
    login: Form<Credentials>,
) -> Result<HttpResponse, SessionError> {
    let login = login.into_inner();
    let Some(user) = shop.users.check(&login.name, &login.password).await else {
        account.warn("Wrong name or password.");
        return refuse(form(account, login.next)).await;
    };
    if login.remember {
        account.handle().remember_for(REMEMBERED);
    }
    begin(&mut account, &shop, &request, user).await?;
    Ok(see(login.next.or("/")))
}

/// Logs a user in. The visitor's cart stays in the session.
pub async fn begin(
    account: &mut AccountSession,
    shop: &Shop,
    request: &HttpRequest,
    user: User,
) -> Result<(), SessionError> {
    if account.user.is_some_and(|id| id != user.id) {
        account.regenerate(); // what belongs to another user does not stay
    }
    account.inform(format!("Welcome, {}.", user.name));
    account.set_user(Some(user.id));
    account.set_name(user.name);
    account.set_is_admin(user.is_admin);
    account.set_is_sure(true);
    account.set_device(device_name(request));
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

pub async fn confirm_form(
    mut account: LoggedIn<Account>,
    next: ReturnTo,
) -> Result<HttpResponse, SessionError> {
    let form = html! {
        form.card method="post" action="/confirm" {
            p { "Please give your password once more, because this is important." }
            (hidden("next", &next))
            label {
                "Password"
                input name="password" type="password" autocomplete="current-password" required;
            }
            button { "Confirm" }
        }
        (at_the_provider(&next))
    };
    page(&mut account, "Is it you?", form).await
}

#[derive(Deserialize)]
pub struct Confirmation {
    pub password: String,
    #[serde(default)]
    pub next: ReturnTo,
}

pub async fn confirm(
    mut account: LoggedIn<Account>,
    shop: Data<Shop>,
    form: Form<Confirmation>,
) -> Result<HttpResponse, SessionError> {
    if shop.users.check(&account.name, &form.password).await.is_none() {
        account.warn("Wrong password.");
        return refuse(confirm_form(account, form.into_inner().next)).await;
    }
    account.set_is_sure(true);
    Ok(see(form.next.or("/account")))
}
