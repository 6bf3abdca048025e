//! How the client carries its session id.

pub(crate) mod cookie;
pub(crate) mod header;
pub(crate) mod presented;
pub(crate) mod secure;
pub(crate) mod sign;

use actix_web::http::header::{HeaderName, HeaderValue};

#[cfg(feature = "sealed")]
pub(crate) use cookie::MOST_COOKIE_BYTES;
pub use cookie::SameSite;
pub(crate) use {
    cookie::CookieSettings,
    header::HeaderSettings,
    presented::{Carrier, Presented},
    secure::{TrustedProxies, Unsecured},
    sign::{Claim, Signer},
};

/// What a response tells the client about its id.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// In `Set-Cookie`.
    Cookie(HeaderValue),
    /// In a header that the client reads itself.
    Header(HeaderName, HeaderValue),
}
