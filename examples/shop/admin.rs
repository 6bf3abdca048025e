//! The page of administrators.

use actix_typed_session::{Guarded, SessionError};
use actix_web::{
    HttpResponse,
    web::{Data, Form},
};
use maud::html;
use serde::Deserialize;

use crate::{
    Shop,
    catalogue::euros,
    guards::{Admin, Sure},
    pages::{button, csrf, hidden, page, see},
    users::UserId,
    visitor::Account,
};

pub async fn show(
    mut account: Guarded<Admin>,
    shop: Data<Shop>,
) -> Result<HttpResponse, SessionError> {
    let (token, orders) = (csrf(&mut account), shop.orders.all());
    let body = html! {
        h2 { "Orders" }
        @if orders.is_empty() { p { "None yet." } } @else {
            ul.rows { @for order in &orders { li { span { (order.name) } (euros(order.cents)) } } }
        }
        h2 { "Users" }
        ul.rows {
            @for user in shop.users.list() {
                li {
                    span { (user.name) }
                    (button("/admin/log-out", "Log out everywhere", html! {
                        (token) (hidden("user", user.id))
                    }))
                }
            }
        }
    };
    page(&mut account, "Admin", body).await
}

#[derive(Deserialize)]
pub struct Target {
    pub csrf: String,
    pub user: UserId,
}

/// For administrators who have just given the password.
pub async fn log_out(
    mut account: Guarded<(Admin, Sure)>,
    shop: Data<Shop>,
    form: Form<Target>,
) -> Result<HttpResponse, SessionError> {
    account.verify_csrf(&form.csrf)?;
    let of_user = Account::by_user(&Some(form.user));
    let ended = shop.sessions.destroy_others(&of_user, account.handle()).await?;
    account.inform(format!("Devices logged out: {ended}."));
    Ok(see("/admin"))
}
