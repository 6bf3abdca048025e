//! How the client carries its session id.

pub(crate) mod cookie;

pub use cookie::SameSite;
pub(crate) use cookie::{CookieSettings, Presented};
