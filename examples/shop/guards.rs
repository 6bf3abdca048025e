//! Extractors that say what a handler needs: `LoggedIn`, `Admin`, `Sure`.
//!
//! A page sends the visitor where it can be had, and remembers where they wanted to go. A program
//! gets a 401 or 403.

use std::{future::Future, pin::Pin};

use actix_typed_session::TypedSession;
use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::Payload,
    error::{ErrorForbidden, ErrorUnauthorized, InternalError},
    http::Method,
};

use crate::{pages::see, visitor::Account};

/// A user who is logged in.
pub struct LoggedIn(pub TypedSession<Account>);

/// A user who may do everything.
pub struct Admin(pub TypedSession<Account>);

/// A user who has just given the password.
pub struct Sure(pub TypedSession<Account>);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

impl FromRequest for LoggedIn {
    type Error = Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let account = TypedSession::<Account>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let mut account = account.await?;
            match account.user {
                Some(_) => Ok(Self(account)),
                None if is_api(&request) => Err(ErrorUnauthorized("")),
                None => {
                    account.warn("Please log in first.");
                    Err(first_to("/login", account, &request))
                }
            }
        })
    }
}

impl FromRequest for Admin {
    type Error = Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let user = LoggedIn::from_request(request, payload);
        Box::pin(async move {
            let LoggedIn(account) = user.await?;
            if account.is_admin { Ok(Self(account)) } else { Err(ErrorForbidden("")) }
        })
    }
}

impl FromRequest for Sure {
    type Error = Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let user = LoggedIn::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            match user.await? {
                LoggedIn(account) if account.is_sure => Ok(Self(account)),
                LoggedIn(account) => Err(first_to("/confirm", account, &request)),
            }
        })
    }
}

fn is_api(request: &HttpRequest) -> bool {
    request.path().starts_with("/api/")
}

/// A redirection to a page that must come first. A form cannot be sent again, so the visitor comes
/// back to the page with the form.
fn first_to(path: &str, mut account: TypedSession<Account>, request: &HttpRequest) -> Error {
    let form_page = match request.path() {
        "/checkout" => "/cart",
        path if path.starts_with("/admin") => "/admin",
        _ => "/account",
    };
    let next = if request.method() == Method::GET { request.path() } else { form_page };
    account.set_next(Some(next.to_owned()));
    InternalError::from_response("", see(path)).into()
}
