//! How the client carries its session id.

pub(crate) mod cookie;

#[cfg(feature = "sealed")]
pub(crate) use cookie::MOST_COOKIE_BYTES;
pub use cookie::SameSite;
pub(crate) use cookie::{CookieSettings, Presented};
