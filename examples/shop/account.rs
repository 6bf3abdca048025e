//! The user's own page.

use actix_typed_session::SessionError;
use actix_web::{
    HttpResponse,
    web::{Data, Form},
};
use maud::html;
use serde::Deserialize;

use crate::{
    Shop, devices,
    guards::{LoggedIn, Sure},
    pages::{csrf, page, see},
    visitor::Account,
};

pub async fn show(user: LoggedIn, shop: Data<Shop>) -> Result<HttpResponse, SessionError> {
    let LoggedIn(mut account) = user;
    let devices = devices::list(&account, &shop).await?;
    let title = format!("Hello, {}.", account.name);
    let body = html! {
        p { a href="/account/password" { "Change your password" } }
        (devices)
    };
    page(&mut account, &title, body).await
}

pub async fn password_form(user: Sure) -> Result<HttpResponse, SessionError> {
    let Sure(mut account) = user;
    let form = html! {
        form.card method="post" action="/account/password" {
            (csrf(&mut account))
            label {
                "New password"
                input name="password" type="password" autocomplete="new-password" minlength="8" required;
            }
            button { "Change" }
        }
    };
    page(&mut account, "Your password", form).await
}

#[derive(Deserialize)]
pub struct NewPassword {
    pub csrf: String,
    pub password: String,
}

pub async fn change_password(
    user: Sure,
    shop: Data<Shop>,
    form: Form<NewPassword>,
) -> Result<HttpResponse, SessionError> {
    let Sure(mut account) = user;
    account.verify_csrf(&form.csrf)?;
    let Some(id) = account.user.filter(|_| form.password.chars().count() >= 8) else {
        account.warn("A password has at least 8 characters.");
        return Ok(see("/account/password"));
    };
    shop.users.set_password(id, &form.password).await;
    // A thief who knew the old password is out.
    shop.sessions.destroy_others(&Account::by_user(&Some(id)), account.handle()).await?;
    account.inform("Your password is changed, and your other devices are logged out.");
    Ok(see("/account"))
}
