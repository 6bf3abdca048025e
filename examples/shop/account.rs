//! The user's own page.

use actix_typed_session::{Guarded, LoggedIn, SessionError};
use actix_web::{
    HttpResponse,
    web::{Data, Form},
};
use maud::html;
use serde::Deserialize;

use crate::{
    Shop, devices,
    guards::Sure,
    pages::{csrf, page, refuse, see},
    visitor::Account,
};

pub async fn show(
    mut account: LoggedIn<Account>,
    shop: Data<Shop>,
) -> Result<HttpResponse, SessionError> {
    let devices = devices::list(&account, &shop).await?;
    let title = format!("Hello, {}.", account.name);
    let body = html! {
        p { a href="/account/password" { "Change your password" } }
        (devices)
    };
    page(&mut account, &title, body).await
}

pub async fn password_form(mut account: Guarded<Sure>) -> Result<HttpResponse, SessionError> {
    let form = html! {
        form.card method="post" action="/account/password" {
            (csrf(&mut account))
            label {
                "New password"
                input name="password" type="password" autocomplete="new-password"
                    minlength="8" required;
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
    mut account: Guarded<Sure>,
    shop: Data<Shop>,
    form: Form<NewPassword>,
) -> Result<HttpResponse, SessionError> {
    account.verify_csrf(&form.csrf)?;
    if form.password.chars().count() < 8 {
        account.warn("A password has at least 8 characters.");
        return refuse(password_form(account)).await;
    }
    let user = *account.grant();
    shop.users.set_password(user, &form.password).await;
    // A thief who knew the old password is out.
    shop.sessions.destroy_others(&Account::by_user(&Some(user)), account.handle()).await?;
    account.inform("Your password is changed, and your other devices are logged out.");
    Ok(see("/account"))
}
