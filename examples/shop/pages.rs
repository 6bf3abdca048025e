//! How pages look: the frame of all pages, the pages of errors, and small parts of pages.

use actix_typed_session::{SessionError, TypedSession};
use actix_web::{
    HttpResponse,
    body::BoxBody,
    dev::ServiceResponse,
    http::{StatusCode, header},
    middleware::ErrorHandlerResponse,
};
use maud::{DOCTYPE, Markup, html};

use crate::visitor::{Account, Notice};

/// A page for this visitor, with the messages that they have not seen. The text in it is escaped.
pub async fn page(
    account: &mut TypedSession<Account>,
    title: &str,
    body: Markup,
) -> Result<HttpResponse, SessionError> {
    let notices = account.take_notices().await?;
    let body = html! {
        @for notice in &notices {
            @match notice {
                Notice::Good(text) => p.notice role="status" { (text) },
                Notice::Bad(text) => p.notice.bad role="alert" { (text) },
            }
        }
        h1 { (title) }
        (body)
    };
    let mut response = HttpResponse::Ok();
    // Otherwise the back button shows the page after the user has logged out.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header(header::ContentType::html());
    Ok(response.body(document(title, navigation(account), body).into_string()))
}

/// A whole document.
pub fn document(title: &str, navigation: Markup, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/shop.css";
            }
            body {
                header { a.brand href="/" { "Plain Things" } (navigation) }
                main { (body) }
            }
        }
    }
}

fn navigation(account: &TypedSession<Account>) -> Markup {
    html! {
        nav {
            a href="/cart" { "Cart" }
            @if account.is_admin { a href="/admin" { "Admin" } }
            @if account.user.is_some() {
                a href="/account" { (account.name) }
                (button("/logout", "Log out", html! {}))
            } @else {
                a href="/login" { "Log in" }
            }
        }
    }
}

/// A form that is one button. `fields` are its hidden inputs.
pub fn button(action: &str, label: &str, fields: Markup) -> Markup {
    html! { form method="post" action=(action) { (fields) button { (label) } } }
}

pub fn hidden(name: &str, value: impl ToString) -> Markup {
    html! { input type="hidden" name=(name) value=(value.to_string()); }
}

/// The field for `verify_csrf`. The middleware refuses forms of other sites anyway. This is for
/// browsers that are too old to say where a form comes from. It begins a session, so only forms
/// that could do harm have it.
pub fn csrf(account: &mut TypedSession<Account>) -> Markup {
    hidden("csrf", account.csrf_token())
}

/// An answer to a form.
pub fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// A form that was not filled in well, once more: the page of a form as an error.
pub async fn refuse(
    page: impl Future<Output = Result<HttpResponse, SessionError>>,
) -> Result<HttpResponse, SessionError> {
    let mut response = page.await?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// Gives an error a page, or JSON for programs. The headers stay, one of which may end a session.
pub fn error_page<B>(response: ServiceResponse<B>) -> actix_web::Result<ErrorHandlerResponse<B>> {
    let status = response.status();
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        // It has a page already, from `refuse`.
        return Ok(ErrorHandlerResponse::Response(response.map_into_left_body()));
    }
    let what = match status {
        StatusCode::BAD_REQUEST => "This form cannot be read.",
        StatusCode::UNAUTHORIZED => "Please log in first.",
        StatusCode::FORBIDDEN => "You may not do this.",
        StatusCode::NOT_FOUND => "There is nothing here.",
        StatusCode::CONFLICT => "Two windows have done this at once. Please look and try again.",
        status if status.is_server_error() => "Something broke on our side. Please try again.",
        _ => "This request is not understood.",
    };
    let (content_type, body) = if response.request().path().starts_with("/api/") {
        (header::ContentType::json(), format!("{{\"error\":\"{what}\"}}"))
    } else {
        let body =
            html! { h1 { (status.as_u16()) } p { (what) } a href="/" { "Back to the shop" } };
        (header::ContentType::html(), document("Error", html! {}, body).into_string())
    };
    let response = response.map_body(|head, _| {
        let content_type = header::TryIntoHeaderValue::try_into_value(content_type);
        head.headers_mut().insert(header::CONTENT_TYPE, content_type.expect("a media type"));
        BoxBody::new(body)
    });
    Ok(ErrorHandlerResponse::Response(response.map_into_right_body()))
}
