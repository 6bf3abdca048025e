//! What can go wrong. Clients see only a status; the cause is for the log.

use std::{error::Error as StdError, fmt};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::error::Category;
use tracing::{debug, error};

/// A session could not be read or written.
///
/// As a response it is a status with an empty body. The cause is for the log: print the error with
/// its whole chain of [`source`](StdError::source)s.
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

/// A call of a store failed.
///
/// A session that is not in the store is not an error: the methods of
/// [`SessionStore`](crate::store::SessionStore) return that as a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, is full, or did not answer in time. The client gets a 503.
    #[error("the session store is not available")]
    Unavailable(#[source] BoxError),
    /// The stored bytes of this session cannot be read; other sessions can. The client gets a 500.
    #[error("the stored session is damaged")]
    Damaged(#[source] BoxError),
    /// The session would be larger than the store's limit. It stays as it was, and the client gets
    /// a 500.
    #[error(
        "the session takes {bytes} bytes and the store's limit is {limit}; \
         keep large data elsewhere and its key in the session, or raise the limit"
    )]
    TooLarge {
        /// The size of the session with the changes, in bytes.
        bytes: u64,
        /// The store's limit, in bytes.
        limit: u64,
    },
    /// The cookie that holds the session would be larger than browsers accept. The client keeps the
    /// old one and gets a 500.
    #[cfg(feature = "encryption")]
    #[error(
        "the cookie that holds the session would take {bytes} bytes and browsers take {limit}; \
         keep large data elsewhere and its key in the session, or use a store on the server"
    )]
    CookieTooLarge {
        /// The size of the cookie's name, value and attributes, in bytes.
        bytes: usize,
        /// The size that every browser accepts, in bytes (RFC 6265bis, 6.1).
        limit: usize,
    },
    /// The store failed through its own fault or its settings. The client gets a 500.
    #[error("the session store failed")]
    Internal(#[source] BoxError),
}

impl StoreError {
    /// An [`Unavailable`](Self::Unavailable) error: the store cannot be reached, is full, or did
    /// not answer in time.
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// A [`Damaged`](Self::Damaged) error: the stored bytes are not a session.
    pub fn damaged(cause: impl Into<BoxError>) -> Self {
        Self::Damaged(cause.into())
    }

    /// An [`Internal`](Self::Internal) error: the store failed through its own fault.
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::Internal(cause.into())
    }
}

/// A JSON value could not be read or written.
///
/// The message says what was expected and where. It never says what was found, because errors are
/// logged and session values are secrets.
#[derive(Clone, Debug)]
pub struct ValueError {
    problem: Problem,
    expected: Option<Box<str>>,
    column: usize,
}

#[derive(Clone, Copy, Debug)]
enum Problem {
    /// A text that does not decode.
    Text(Category),
    /// The value's `Serialize` failed.
    Serialize,
    /// A map with keys that JSON cannot have.
    MapKey,
    /// A value whose JSON does not decode.
    NotReadBack(Category),
    /// A value with more levels of nesting than serde_json reads.
    TooDeep,
    /// A value that reads back as another one.
    Altered,
    /// The same, because both are `null` in JSON.
    Null,
}

impl ValueError {
    /// The error of a value that has no JSON.
    pub(crate) fn unwritable(error: &serde_json::Error) -> Self {
        // The messages of serde_json, which has no codes.
        let problem = match error.to_string().as_str() {
            "key must be a string" | "float key must be finite (got NaN or +/-inf)" => {
                Problem::MapKey
            }
            _ => Problem::Serialize,
        };
        Self { problem, expected: None, column: 0 }
    }

    /// The error of a value whose JSON does not decode.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        let message = error.to_string();
        if message.starts_with("recursion limit exceeded") {
            return Self { problem: Problem::TooDeep, expected: None, column: 0 };
        }
        let expected = expected(&message).map(Into::into);
        Self { problem: Problem::NotReadBack(error.classify()), expected, column: error.column() }
    }

    /// The error of a value whose JSON decodes to another value.
    pub(crate) fn altered() -> Self {
        Self { problem: Problem::Altered, expected: None, column: 0 }
    }

    /// The error of a value with a part that is `null` in JSON and reads back as `None`.
    pub(crate) fn null() -> Self {
        Self { problem: Problem::Null, expected: None, column: 0 }
    }
}

impl From<serde_json::Error> for ValueError {
    fn from(error: serde_json::Error) -> Self {
        let expected = expected(&error.to_string()).map(Into::into);
        Self { problem: Problem::Text(error.classify()), expected, column: error.column() }
    }
}

/// The description of the expected type at the end of one of serde's own messages.
///
/// The text before it may quote the value. A message that an application's type has written may
/// quote the value anywhere, so it yields `None`.
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
        let category = match self.problem {
            Problem::Text(category) => category,
            Problem::NotReadBack(category) => {
                f.write_str("it does not read back: ")?;
                category
            }
            Problem::Serialize => return f.write_str("its `Serialize` failed"),
            Problem::MapKey => {
                return f.write_str(
                    "a map has keys that JSON cannot have; use strings, numbers, characters, \
                     `bool` or enums without data as keys, or store the entries as a list of pairs \
                     with `#[session(with = …)]`",
                );
            }
            Problem::TooDeep => {
                return f
                    .write_str("it has more than 127 levels of nesting; store a flatter value");
            }
            Problem::Altered => {
                return f.write_str(
                    "it reads back as another value; make the type's `Serialize` and \
                     `Deserialize` agree",
                );
            }
            Problem::Null => {
                return f.write_str(
                    "a `Some` around NaN, an infinity, `()` or `None` would read back as `None`; \
                     use an enum with a variant for each case",
                );
            }
        };
        f.write_str(match category {
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
        if matches!(self.problem, Problem::NotReadBack(_)) {
            f.write_str(
                "; make the type's `Serialize` and `Deserialize` agree, for example with \
                 `#[serde(default)]` beside `skip_serializing_if`",
            )?;
        }
        Ok(())
    }
}

impl StdError for ValueError {}

/// The error that made a store or a setting fail.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The settings of a middleware or a store are not valid, or contradict each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URLs or settings of a [`RedisStore`](crate::RedisStore) are not valid.
    #[cfg(feature = "redis")]
    #[error("the settings of the Redis store do not work")]
    Redis(#[source] BoxError),
    /// The list of keys to seal with is empty.
    #[cfg(feature = "encryption")]
    #[error("sealing needs a key; give at least one, and put the one that seals first")]
    NoSealingKeys,
    /// The setting needs a store, but the sessions are sealed in the cookie.
    #[error(
        "`{0}` needs a store, but a `CookieStore` keeps sessions in the cookie, which is sealed; \
         leave the setting out, or use a store on the server"
    )]
    NeedsStore(&'static str),
    /// A time limit is zero.
    #[error("`{0}` is zero; set a duration of at least 1 ms")]
    ZeroDuration(&'static str),
    /// Sessions would expire between two touches, although they are used.
    #[error(
        "`touch_interval` is not shorter than `max_age`, so sessions that are used would expire; \
         set a shorter interval, or leave the setting out"
    )]
    TouchInterval,
    /// A struct belongs to the session of another middleware.
    #[error(
        "`{type_name}` uses the session cookie `{struct_cookie}`, but this middleware's is \
         `{cookie}`; give the struct to the middleware whose cookie it names"
    )]
    OtherCookie {
        /// The struct.
        type_name: &'static str,
        /// The cookie that the struct names.
        struct_cookie: &'static str,
        /// The middleware's cookie.
        cookie: String,
    },
    /// The cookie's name is not a token (RFC 9110, 5.6.2).
    #[error("`{0}` is not a valid cookie name; use letters, digits and !#$%&'*+-.^_`|~")]
    CookieName(String),
    /// The path or the domain is not valid in a `Set-Cookie` header (RFC 6265bis, 4.1.1).
    #[error(
        "`{value}` is not a valid cookie {attribute}; write a path like `/app` or a domain like \
         `example.com`, in printable ASCII characters other than `;`"
    )]
    CookieAttribute {
        /// `path` or `domain`.
        attribute: &'static str,
        /// The value of the setting.
        value: String,
    },
    /// Browsers refuse a `__Host-` cookie that has a `Domain`, or a `Path` other than `/`
    /// (RFC 6265bis, 4.1.3.2).
    #[error(
        "browsers refuse a `__Host-` cookie that has a `Domain`, or a `Path` other than `/`; \
         give the cookie another name with `cookie_name`, such as `__Secure-session`"
    )]
    HostPrefix,
    /// A former cookie is the present one, or is named twice.
    #[error(
        "the former cookie `{0}` has the name, path, domain and keys of the present cookie, or of \
         another former one; say what was different, or leave it out"
    )]
    FormerCookie(String),
    /// Browsers refuse `SameSite=None` without `Secure` (RFC 6265bis, 5.7).
    #[error("`SameSite=None` needs `Secure`; set `cookie_secure(true)`")]
    SameSiteNoneNeedsSecure,
    /// Browsers refuse `Partitioned` without `Secure` (CHIPS).
    #[error("`Partitioned` needs `Secure`; set `cookie_secure(true)`")]
    PartitionedNeedsSecure,
    /// The list of keys to sign with is empty.
    #[error("`signing_keys` has no key; give at least one, or leave the setting out")]
    NoSigningKeys,
    /// The header cannot carry ids.
    #[error(
        "`{0}` cannot carry session ids; choose a header that HTTP does not use, \
         such as `X-Session`, or use `bearer()`"
    )]
    HeaderName(String),
    /// A trusted proxy is not an address or a network.
    #[error("`{0}` is not an IP address or a network; use the form `10.0.0.1` or `10.0.0.0/8`")]
    TrustedProxy(String),
    /// A trusted origin is not an origin (RFC 6454, 4).
    #[error(
        "`{0}` is not an origin; write a scheme, a host and perhaps a port, as in \
         `https://app.example.com` or `http://localhost:3000`, without a path and in ASCII"
    )]
    TrustedOrigin(String),
}

/// Displays an error and its whole chain of sources on one line.
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
        assert_eq!(status(SessionError::CsrfTokenMismatch), 403);
        assert_eq!(status(SessionError::CrossOrigin), 403);
    }

    #[test]
    fn a_config_error_quotes_the_setting_and_says_what_is_valid() {
        assert_eq!(
            ConfigError::CookieName("a b".into()).to_string(),
            "`a b` is not a valid cookie name; use letters, digits and !#$%&'*+-.^_`|~"
        );
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
    fn a_value_error_shows_the_type_and_not_the_value() {
        let unfit = |text| ValueError::from(serde_json::from_str::<u8>(text).expect_err("unfit"));
        let text = unfit(r#""hunter2, expected nothing""#).to_string();
        assert_eq!(text, "the value does not fit the type: expected u8, at byte 27");
        assert!(!format!("{:?}", unfit("\"hunter2\"")).contains("hunter2"));
        assert!(!unfit("4711").to_string().contains("4711"));
    }

    #[test]
    fn only_serdes_own_words_about_a_type_are_shown() {
        for (message, shown) in [
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
            assert_eq!(expected(message), shown, "{message}");
        }
    }

    #[test]
    fn a_session_id_error_says_what_an_id_is() {
        assert_eq!(
            crate::id::SessionIdError.to_string(),
            "a session id has 22 to 128 characters, each a letter, a digit, `-`, `.`, `_` or `~`"
        );
    }
}
