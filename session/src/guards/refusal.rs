//! What a client gets whose request is refused.

use std::fmt;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HeaderValue, LOCATION, WWW_AUTHENTICATE},
    },
};
use tracing::{debug, error};

use super::{
    navigation::is_navigation,
    return_to::{ReturnTo, with_return},
};
use crate::{error::SessionError, request::SessionHandle};

/// How a [`Rule`](super::Rule) refuses a request: a status, and perhaps a page for people.
///
/// # Examples
/// ```
/// use actix_typed_session::Refusal;
///
/// let not_an_admin = Refusal::forbidden();
/// let password_is_old = Refusal::unauthorized().or_page("/confirm-password");
/// let hidden_feature = Refusal::not_found();
/// ```
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    page: Page,
    /// The challenge for clients with bearer tokens.
    bearer: bool,
}

#[derive(Clone, Debug)]
enum Page {
    None,
    /// A page that sends the visitor back afterwards.
    Returning(String),
    /// A URL that is used as it is.
    Url(String),
    /// Where this request is sent to.
    Here(HeaderValue),
}

impl Refusal {
    /// 401: the client has to prove who it is.
    ///
    /// The response has `WWW-Authenticate: Bearer` if the middleware takes ids as
    /// [`bearer`](crate::SessionMiddlewareBuilder::bearer) tokens. Cookies have no such
    /// header.
    pub fn unauthorized() -> Self {
        Self::with_status(StatusCode::UNAUTHORIZED)
    }

    /// 403: the client is known, and may not do this.
    pub fn forbidden() -> Self {
        Self::with_status(StatusCode::FORBIDDEN)
    }

    /// 404: the client does not learn that there is something.
    pub fn not_found() -> Self {
        Self::with_status(StatusCode::NOT_FOUND)
    }

    /// Another status, such as 402. A status that is not an error (below 400) is replaced by a 403.
    pub fn with_status(status: StatusCode) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::FORBIDDEN };
        Self { status, page: Page::None, bearer: false }
    }

    /// Sends a person who opens a page in a browser to this page instead: 303 (See Other). All
    /// other requests get the status: those of scripts (`fetch`, `XMLHttpRequest`), of images, of
    /// WebSockets and of clients that present their id in a header.
    ///
    /// The browser says which request is which, in `Sec-Fetch-Mode`. Without that header, a request
    /// that accepts `text/html` and has no `X-Requested-With` opens a page.
    ///
    /// For `GET` and `HEAD`, the path that was asked for comes with it as the parameter `next`:
    /// `/login?next=%2Forders%3Fpage%3D2`. Take it with [`ReturnTo`], which accepts only paths of
    /// the own site. A request for that page itself gets the status, because a redirect would have
    /// no end.
    pub fn or_page(self, page: impl Into<String>) -> Self {
        Self { page: Page::Returning(page.into()), ..self }
    }

    /// As [`or_page`](Self::or_page), with a URL that is used as it is: without `next`, and at
    /// another site, for example.
    pub fn or_url(self, url: impl Into<String>) -> Self {
        Self { page: Page::Url(url.into()), ..self }
    }

    /// Returns the status of the response. It is 303 if this request is sent to a page.
    pub fn status(&self) -> StatusCode {
        match self.page {
            Page::Here(_) => StatusCode::SEE_OTHER,
            _ => self.status,
        }
    }

    /// Returns where this request is sent to: the `Location` of the response. `None` for a rule's
    /// own refusal, which does not know the request's kind.
    pub fn location(&self) -> Option<&str> {
        match &self.page {
            Page::Here(location) => location.to_str().ok(),
            _ => None,
        }
    }

    /// The refusal of this request.
    pub(super) fn answer_to(self, request: &HttpRequest, session: &SessionHandle) -> Self {
        let location = match &self.page {
            Page::Returning(page) if !is_page_itself(request, page, session) => {
                Some(with_return(page, &ReturnTo::here(request, session)))
            }
            Page::Url(url) => Some(url.clone()),
            _ => None,
        };
        let location = location.filter(|_| is_navigation(request) && !session.is_in_header());
        let page = match location.map(HeaderValue::try_from) {
            None => Page::None,
            Some(Ok(location)) => Page::Here(location),
            Some(Err(_)) => {
                error!(
                    event = "guard_page_invalid",
                    "a guard's page is not a valid `Location`, so the client gets a {}; \
                     percent-encode what you put into it",
                    self.status,
                );
                Page::None
            }
        };
        let bearer = self.status == StatusCode::UNAUTHORIZED && session.takes_bearer();
        Self { page, bearer, ..self }
    }
}

/// Whether the request asks for the page that it would be sent to.
fn is_page_itself(request: &HttpRequest, page: &str, session: &SessionHandle) -> bool {
    let path = page.split(['?', '#']).next().unwrap_or_default();
    let here = request.uri().path();
    path == here || path.strip_prefix(session.stripped_prefix()) == Some(here)
}

/// A [`Guarded`](super::Guarded) handler was not called.
///
/// As a response it is a status with an empty body; for a page, it is a redirect. Error pages of
/// [`ErrorHandlers`](actix_web::middleware::ErrorHandlers) apply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The session could not be extracted, so the rule could not be asked.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The rule has refused the request.
    #[error("a rule of the application has refused the request: {0}")]
    Refused(Refusal),
}

impl From<Refusal> for GuardError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status())
    }
}

impl ResponseError for GuardError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Session(error) => error.status_code(),
            Self::Refused(refusal) => refusal.status(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Session(error) => error.error_response(),
            Self::Refused(refusal) => refusal.response(),
        }
    }
}

impl Refusal {
    fn response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status());
        let headers = response.headers_mut();
        // It is about this request: the next one may pass, also at the same address.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Page::Here(location) = &self.page {
            headers.insert(LOCATION, location.clone());
        } else if self.bearer {
            // RFC 6750, 3: without an error code, which would say that the token names a session.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Logs why a handler is not called. What a client has caused is not a fault of the site.
pub(super) fn logged(error: GuardError) -> GuardError {
    match &error {
        GuardError::Session(error) => error.log(),
        GuardError::Refused(_) => debug!(event = "guard_refused", "{error}"),
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_always_an_error() {
        for (status, expected) in [(200, 403), (204, 403), (303, 403), (402, 402), (503, 503)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let refusal = Refusal::with_status(status).or_page("/login");
            assert_eq!(refusal.status().as_u16(), expected);
            assert_eq!(GuardError::from(refusal).error_response().status().as_u16(), expected);
        }
    }
}
