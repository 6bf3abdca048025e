//! The sessions of a user: which there are, and how to end them.

use std::time::SystemTime;

use actix_typed_session::{
    LoggedIn, PublicId, SessionError, StoredSession, Timestamp, TypedSession,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Form},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    Shop,
    pages::{button, hidden, see},
    visitor::Account,
};

/// On how many devices a user can be logged in. One more login ends the oldest.
pub const MAX_DEVICES: usize = 5;

/// The list of devices, for the user's page. There are never more than fit on one page.
pub async fn list(account: &TypedSession<Account>, shop: &Shop) -> Result<Markup, SessionError> {
    let of_user = Account::by_user(&account.user);
    let devices = shop.sessions.list(&of_user, None, MAX_DEVICES).await?.sessions;
    Ok(html! {
        h2 { "Your devices" }
        ul.rows {
            @for device in &devices {
                li {
                    div {
                        (device.device)
                        small {
                            "first seen " (ago(device.created_at()))
                            ", last seen " (ago(device.last_seen()))
                        }
                    }
                    (end_button(device, device.is_current(account.handle())))
                }
            }
        }
        @if devices.len() > 1 {
            (button("/devices/end-others", "Log out everywhere else", html! {}))
        }
    })
}

/// The public id names the session in the form. It cannot open the session.
fn end_button(device: &StoredSession<Account>, is_current: bool) -> Markup {
    match is_current {
        true => html! { strong { "This device" } },
        false => button("/devices/end", "Log out this device", hidden("id", device.public_id())),
    }
}

#[derive(Deserialize)]
pub struct Device {
    pub id: String,
}

pub async fn end(
    mut account: LoggedIn<Account>,
    shop: Data<Shop>,
    form: Form<Device>,
) -> Result<HttpResponse, SessionError> {
    let Ok(id) = form.id.parse::<PublicId>() else {
        return Ok(HttpResponse::BadRequest().finish());
    };
    // Only a session of this user, whatever id the form has.
    shop.sessions.destroy(&Account::by_user(&account.user), id).await?;
    account.inform("The device is logged out.");
    Ok(see("/account"))
}

pub async fn end_others(
    mut account: LoggedIn<Account>,
    shop: Data<Shop>,
) -> Result<HttpResponse, SessionError> {
    shop.sessions.destroy_others(&Account::by_user(&account.user), account.handle()).await?;
    account.inform("All other devices are logged out.");
    Ok(see("/account"))
}

/// A short name for the browser and its system, from the `User-Agent` header.
pub fn device_name(request: &HttpRequest) -> String {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.unwrap_or_default();
    let first_of = |names: &[&'static str]| names.iter().copied().find(|it| agent.contains(it));
    let browser = first_of(&["Firefox", "Edg", "Chrome", "Safari", "curl"]);
    let system = first_of(&["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"]);
    match (browser.map(|it| if it == "Edg" { "Edge" } else { it }), system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "An unknown device".to_owned(),
    }
}

fn ago(time: Timestamp) -> String {
    let minutes = Timestamp::from(SystemTime::now()).saturating_since(time).as_secs() / 60;
    match minutes {
        0 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        2..60 => format!("{minutes} minutes ago"),
        60..120 => "an hour ago".to_owned(),
        120..2_880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}
