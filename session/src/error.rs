//! What can go wrong, and what the client gets to see of it: a status and nothing else.

use std::{error::Error as StdError, fmt};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::error::Category;

/// A session could not be read or written.
///
/// As a response it is opaque: a status and an empty body. The cause is for the log; print the whole
/// chain of [`source`](StdError::source)s.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No session middleware is wrapped around this route.
    #[error(
        "no session middleware around this route; add `.wrap(SessionMiddleware::new(store))` to the `App` or the scope"
    )]
    NoMiddleware,
    /// No session middleware with the struct's cookie is wrapped around this route.
    #[error(
        "`{type_name}` asks for the session cookie `{cookie}`, and no session middleware around this route has it; give one `.cookie_name(\"{cookie}\")` or change `#[session(cookie = …)]`"
    )]
    UnknownCookie {
        /// The struct that names the cookie.
        type_name: &'static str,
        /// The cookie's name.
        cookie: &'static str,
    },
    /// The store failed.
    #[error("the session store failed")]
    Store(#[from] StoreError),
    /// A stored value of a `strict` struct does not decode.
    #[error(
        "the stored value of `{type_name}::{field}` does not decode; change the type back, give the field another name with `rename`, or drop `strict`"
    )]
    Decode {
        /// The struct.
        type_name: &'static str,
        /// The field.
        field: &'static str,
        /// Where and why.
        source: ValueError,
    },
    /// A value has no JSON form, so it was not stored and neither was the rest of the request.
    #[error("the new value of the session field `{field}` cannot be stored")]
    Encode {
        /// The field's name in the store.
        field: &'static str,
        /// Where and why.
        source: ValueError,
    },
    /// The session was destroyed, renewed or expired while this request held it; its changes are lost.
    #[error("the session is gone: it was destroyed or renewed by another request, or has expired")]
    Gone,
    /// Another request has changed a field whose merge rule is `reject`; nothing of this request's changes is
    /// stored. The client gets a 409.
    #[error(
        "another request has changed the session field `{field}`, whose merge rule is `reject`; read the session again, or let the client repeat the request"
    )]
    Conflict {
        /// The field's name in the store.
        field: &'static str,
    },
    /// The change needs a new cookie, and the head of the response has left.
    #[error(
        "the response head has been sent, so the client cannot be given a new cookie; begin, renew or regenerate the session before the response, and make every change before it if the cookie holds the session"
    )]
    ResponseSent,
    /// The user has as many sessions as [`max_sessions`](crate::Sessions::max_sessions) allows. The client gets a
    /// 403.
    #[error(
        "the user has {limit} sessions already, and no more are allowed; end one of them first"
    )]
    TooManySessions {
        /// The most sessions that a user may have.
        limit: usize,
    },
    /// Every id that the generator made was taken, or came from the client.
    #[error(
        "the id generator returned ids that are in use or that the client has sent; it must return a new random id \
         each time"
    )]
    IdsTaken,
    /// The request's cookie and its header, or two of its headers, name different sessions. The client gets a 400.
    #[error(
        "the request presents the ids of different sessions, so it gets none; a client that sends the id in a header must not send a session cookie"
    )]
    ConflictingIds,
    /// The form was not made for this session, so perhaps another site has sent it. The client gets a 403.
    #[error(
        "the CSRF token is not of this session; put `csrf_token()` into the form, and let the client load the form again after its id was renewed"
    )]
    Csrf,
}

impl ResponseError for SessionError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Store(StoreError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gone | Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::ConflictingIds => StatusCode::BAD_REQUEST,
            Self::Csrf => StatusCode::FORBIDDEN,
            Self::TooManySessions { .. } => StatusCode::FORBIDDEN,
            Self::NoMiddleware
            | Self::UnknownCookie { .. }
            | Self::Store(_)
            | Self::Decode { .. }
            | Self::Encode { .. }
            | Self::ResponseSent
            | Self::IdsTaken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// A store could not do what it was asked.
///
/// A session that is not there is not an error; the calls of [`SessionStore`](crate::SessionStore)
/// report it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, is full, or did not answer in time. The client gets a 503.
    #[error("the session store is not available")]
    Unavailable(#[source] Cause),
    /// What is stored under the key is not a session. Other sessions are not affected.
    #[error("the stored session is damaged")]
    Damaged(#[source] Cause),
    /// The session has grown past the store's limit; it is stored as it was before.
    #[error(
        "the session takes {bytes} bytes and the store's limit is {limit}; keep large data elsewhere and its key in the session, or raise the limit"
    )]
    TooLarge {
        /// The size that the session would have.
        bytes: u64,
        /// The store's limit.
        limit: u64,
    },
    /// The session has grown past what browsers take as a cookie; the client keeps it as it was before.
    #[cfg(feature = "sealed")]
    #[error(
        "the cookie that holds the session would take {bytes} bytes and browsers take {limit}; keep large data elsewhere and its key in the session, or use a store on the server"
    )]
    CookieTooLarge {
        /// The size of name, value and attributes.
        bytes: usize,
        /// What browsers take (RFC 6265bis, 6.1).
        limit: usize,
    },
    /// The store is at fault. The client gets a 500.
    #[error("the session store failed")]
    Internal(#[source] Cause),
}

impl StoreError {
    /// The store cannot be reached, is full, or did not answer in time.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// What is stored under the key is not a session.
    pub fn damaged(cause: impl Into<Cause>) -> Self {
        Self::Damaged(cause.into())
    }

    /// The store is at fault.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }
}

/// A JSON value could not be read or written.
///
/// It says what was expected and where, never what was found: session values are secrets, and errors
/// end in logs.
#[derive(Clone, Debug)]
pub struct ValueError {
    category: Category,
    expected: Option<Box<str>>,
    column: usize,
}

impl From<serde_json::Error> for ValueError {
    fn from(error: serde_json::Error) -> Self {
        let expected = expected(&error.to_string()).map(Into::into);
        Self { category: error.classify(), expected, column: error.column() }
    }
}

/// The type's own description at the end of a message that serde has made of a value that does not fit. All before it
/// may quote the value, and so may any part of a message that an application's type has made.
fn expected(message: &str) -> Option<&str> {
    const QUOTED: [&str; 5] =
        ["boolean `", "integer `", "floating point `", "character `", "string \""];
    const NAMED: [&str; 12] = [
        "byte array",
        "unit value",
        "null",
        "number",
        "Option value",
        "newtype struct",
        "sequence",
        "map",
        "enum",
        "unit variant",
        "newtype variant",
        "tuple variant",
    ];
    let (found, expected) = message.rsplit_once(", expected ")?;
    let is_quoted = |quote: char| found.ends_with(quote);
    let is_serdes = if let Some(value) =
        found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "))
    {
        let ends_as_it_began = |kind: &str| kind.chars().next_back().is_some_and(is_quoted);
        NAMED.contains(&value)
            || QUOTED.into_iter().any(|kind| value.starts_with(kind) && ends_as_it_began(kind))
    } else if let Some(length) = found.strip_prefix("invalid length ") {
        length.bytes().all(|b| b.is_ascii_digit())
    } else {
        (found.starts_with("unknown variant `") || found.starts_with("unknown field `"))
            && is_quoted('`')
    };
    if is_serdes { expected.split(" at line ").next() } else { None }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.category {
            Category::Data => "the value does not fit the type",
            Category::Syntax => "the text is not JSON",
            Category::Eof => "the JSON text is cut off",
            Category::Io => "the JSON text could not be read",
        })?;
        if let Some(expected) = &self.expected {
            write!(f, ": expected {expected}")?;
        }
        if self.column > 0 {
            write!(f, ", at byte {}", self.column)?;
        }
        Ok(())
    }
}

impl StdError for ValueError {}

/// What made a store fail.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// The settings of a middleware or a store contradict each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A [`RedisStore`](crate::RedisStore) cannot be made from these URLs.
    #[cfg(feature = "redis")]
    #[error("the settings of the Redis store do not work")]
    Redis(#[source] Cause),
    /// There is no key to seal with.
    #[cfg(feature = "sealed")]
    #[error("sealing needs a key; give at least one, the one to seal with first")]
    NoSealingKey,
    /// The setting needs a store, and the sessions are sealed in the cookie.
    #[error(
        "`{0}` needs a store; a `CookieStore` keeps sessions in the cookie, which is sealed already"
    )]
    NeedsStore(&'static str),
    /// A time limit is zero.
    #[error("`{0}` must be longer than zero")]
    ZeroDuration(&'static str),
    /// The cookie's name is not a token of RFC 9110.
    #[error("`{0}` is no cookie name; use letters, digits and `!#$%&'*+-.^_`|~`")]
    CookieName(String),
    /// The path or the domain would break the `Set-Cookie` header.
    #[error("`{value}` is no cookie {attribute}")]
    CookieAttribute {
        /// `path` or `domain`.
        attribute: &'static str,
        /// What was given.
        value: String,
    },
    /// Browsers refuse a `__Host-` cookie with a `Domain` or with a `Path` other than `/`
    /// (RFC 6265bis, 4.1.3.2).
    #[error(
        "a `__Host-` cookie has no `Domain` and the `Path` `/`; give the cookie another name with `cookie_name`, such as `__Secure-session`"
    )]
    HostPrefix,
    /// Browsers refuse `SameSite=None` without `Secure`.
    #[error("`SameSite=None` needs `Secure`; set `cookie_secure(true)`")]
    SameSiteNoneInsecure,
    /// Browsers refuse `Partitioned` without `Secure`.
    #[error("`Partitioned` needs `Secure`; set `cookie_secure(true)`")]
    PartitionedInsecure,
    /// There is no key to sign with.
    #[error("`signing_keys` has no key; give it one, or leave it out and ids are not signed")]
    NoSigningKeys,
    /// The header cannot carry ids.
    #[error(
        "`{0}` is no header for session ids; choose one that HTTP does not use itself, such as `X-Session`, or `bearer()`"
    )]
    HeaderName(String),
    /// The proxies have no such address.
    #[error("`{0}` is neither an IP address nor a network such as `10.0.0.0/8`")]
    TrustedProxy(String),
}

/// Writes an error and everything that caused it on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
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
        assert_eq!(status(SessionError::Csrf), 403);
    }

    #[test]
    fn the_chain_names_every_cause() {
        let error = SessionError::from(StoreError::unavailable("connection refused"));
        assert_eq!(
            Chain(&error).to_string(),
            "the session store failed: the session store is not available: connection refused"
        );
    }

    #[test]
    fn a_value_error_tells_the_type_and_not_the_value() {
        let unfit = |text| ValueError::from(serde_json::from_str::<u8>(text).expect_err("unfit"));
        let text = unfit(r#""hunter2, expected nothing""#).to_string();
        assert_eq!(text, "the value does not fit the type: expected u8, at byte 27");
        assert!(!format!("{:?}", unfit("\"hunter2\"")).contains("hunter2"));
        assert!(!unfit("4711").to_string().contains("4711"));
    }

    #[test]
    fn only_what_serde_says_of_a_type_is_told() {
        for (message, told) in [
            ("invalid type: string \"a, expected b\", expected u8 at line 1 column 2", Some("u8")),
            ("invalid type: null, expected a map", Some("a map")),
            ("invalid value: integer `300`, expected u8", Some("u8")),
            ("invalid length 2, expected a tuple of size 3", Some("a tuple of size 3")),
            ("unknown variant `a`, expected `One` or `Other`", Some("`One` or `Other`")),
            ("unknown field `a`, expected `v`", Some("`v`")),
            ("`hunter2` is no password", None),
            ("`you, expected hunter2` is no password", None),
            ("invalid value: you, expected hunter2", None),
            ("invalid length of you, expected hunter2", None),
            ("unknown variant you, expected hunter2", None),
            ("missing field `v`", None),
        ] {
            assert_eq!(expected(message), told, "{message}");
        }
    }

    #[test]
    fn a_session_id_error_says_what_an_id_is() {
        assert_eq!(
            crate::id::InvalidSessionId.to_string(),
            "a session id has 22 to 128 characters, each a letter, a digit, `-`, `.`, `_` or `~`"
        );
    }
}
