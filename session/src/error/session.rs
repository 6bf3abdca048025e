//! What can go wrong with the session of a request.

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use tracing::{debug, error};

use super::{chain::Chain, store::StoreError, value::ValueError};

/// A session could not be read or written.
///
/// As a response it is a status with an empty body. The cause is for the log: print the error with
/// its whole chain of [`source`](std::error::Error::source)s.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The route has no session middleware. The client gets a 500.
    #[error(
        "this route has no session middleware; \
         add `.wrap(SessionMiddleware::new(store))` to the `App` or the scope"
    )]
    NoMiddleware,
    /// No session middleware of the route has the struct's cookie. The client gets a 500.
    #[error(
        "`{type_name}` uses the session cookie `{cookie}`, but no session middleware of this route \
         has it; set `.cookie_name(\"{cookie}\")` on one, or change `#[session(cookie = …)]`"
    )]
    UnknownCookie {
        /// The struct that names the cookie.
        type_name: &'static str,
        /// The cookie's name.
        cookie: &'static str,
    },
    /// The store failed. The client gets a 503 if the store is
    /// [unavailable](StoreError::Unavailable), else a 500.
    #[error("the session store failed")]
    Store(#[from] StoreError),
    /// A stored value of a `strict` struct does not decode. The client gets a 500.
    #[error(
        "the stored value of `{type_name}::{field}` does not decode; \
         change the type back, give the field another name with `rename`, or remove `strict`"
    )]
    Decode {
        /// The struct.
        type_name: &'static str,
        /// The field.
        field: &'static str,
        /// What does not fit, and where.
        source: ValueError,
    },
    /// A new value has no JSON, or would not read back from it. Nothing of the request is stored,
    /// and the client gets a 500.
    #[error("the new value of the session field `{field}` cannot be stored; set another value")]
    Encode {
        /// The field's name in the store.
        field: &'static str,
        /// Why it cannot be stored, and what to do.
        source: ValueError,
    },
    /// The session was destroyed, renewed or expired while this request used it. Its changes are
    /// lost, and the client gets a 409.
    #[error(
        "the session is gone: another request destroyed or renewed it, or it expired; \
         let the client repeat the request"
    )]
    Gone,
    /// Another request changed a field whose merge rule is `reject`. Nothing of this request is
    /// stored, and the client gets a 409.
    #[error(
        "another request changed the session field `{field}`, whose merge rule is `reject`; \
         read the session again, or let the client repeat the request"
    )]
    Conflict {
        /// The field's name in the store.
        field: &'static str,
    },
    /// The change needs a new cookie, but the response head has been sent.
    #[error(
        "the response head has been sent, so the client cannot get a new cookie; \
         begin, renew or regenerate the session before the response, \
         and make every change before it if the cookie holds the session"
    )]
    ResponseSent,
    /// The request would begin a session at a path that is not below the
    /// [`cookie_path`](crate::SessionMiddlewareBuilder::cookie_path). The browser did not send its
    /// cookie there, and a new cookie would replace the session below the path. The client gets a
    /// 500.
    #[error(
        "a session cannot begin at a path that is not below `cookie_path`, which is \
         `{cookie_path}`: browsers do not send the cookie there, and a new one would replace the \
         session below the path; move the route, set another `cookie_path`, or set \
         `stripped_prefix` if a proxy removes the start of the path"
    )]
    OutsideCookiePath {
        /// The setting.
        cookie_path: String,
    },
    /// A later release wrote the client's cookie, which a new session would replace. The client
    /// gets a 503.
    #[error(
        "a later release wrote the cookie that holds the client's session, so this one does not \
         replace it; let the client repeat the request once all processes run the later release"
    )]
    LaterCookie,
    /// The user has as many sessions as [`enforce_limit`](crate::Sessions::enforce_limit) allows.
    /// The client gets a 403.
    #[error("the user already has {limit} sessions, which is the limit; end one of them first")]
    TooManySessions {
        /// The most sessions that a user may have.
        limit: usize,
    },
    /// Every id from the generator was in use, or was sent by the client. The client gets a 500.
    #[error(
        "the id generator returned ids that are in use or that the client has sent; \
         make it return a new random id each time"
    )]
    IdsTaken,
    /// A request needs more new ids than the id generator made for it. The client gets a 500.
    #[error(
        "the ids that the id generator made for this request are used up; \
         renew or begin the session less often in one request, or at its end"
    )]
    IdsUsedUp,
    /// The request's cookie and header, or two of its headers, name different sessions. The client
    /// gets a 400.
    #[error(
        "the request presents the ids of different sessions; \
         a client that sends its id in a header must not send a session cookie"
    )]
    ConflictingIds,
    /// The form was not made for this session, so another site may have sent it. The client gets a
    /// 403.
    #[error(
        "the CSRF token does not belong to this session; put `csrf_token()` into the form, \
         and let the client load the form again after its session id was renewed"
    )]
    CsrfTokenMismatch,
    /// A page of another origin may have caused the request, which can change something or opens a
    /// WebSocket. The session is not loaded, and the client gets a 403.
    /// [The guide](crate::guide::csrf) has the rule.
    #[error(
        "a page of another origin may have caused this request: `Sec-Fetch-Site` is not \
         `same-origin`, or it is missing and `Origin` is not the request's host; \
         name pages of yours with `trusted_origins`, let the proxy keep `Host`, \
         or except requests that are protected otherwise with `allow_cross_origin_if`"
    )]
    CrossOrigin,
}

impl SessionError {
    /// Logs why the response is an error. What a client has caused is not a fault of the site.
    #[cold]
    pub(crate) fn log(&self) {
        if self.status_code().is_client_error() {
            debug!(event = "request_refused", "{}", Chain(self));
        } else {
            error!(event = "request_failed", "{}", Chain(self));
        }
    }
}

impl ResponseError for SessionError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Store(StoreError::Unavailable(_)) | Self::LaterCookie => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Gone | Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::ConflictingIds => StatusCode::BAD_REQUEST,
            Self::CsrfTokenMismatch | Self::CrossOrigin | Self::TooManySessions { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::NoMiddleware
            | Self::UnknownCookie { .. }
            | Self::Store(_)
            | Self::Decode { .. }
            | Self::Encode { .. }
            | Self::ResponseSent
            | Self::OutsideCookiePath { .. }
            | Self::IdsTaken
            | Self::IdsUsedUp => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_store_is_503_and_a_fault_of_ours_is_500() {
        let status = |error: SessionError| error.status_code().as_u16();
        assert_eq!(status(StoreError::unavailable("down").into()), 503);
        assert_eq!(status(StoreError::damaged("half").into()), 500);
        assert_eq!(status(SessionError::NoMiddleware), 500);
        assert_eq!(status(SessionError::Gone), 409);
        assert_eq!(status(SessionError::ConflictingIds), 400);
        assert_eq!(status(SessionError::CsrfTokenMismatch), 403);
        assert_eq!(status(SessionError::CrossOrigin), 403);
    }
}
