//! How ids travel between clients and the server.

mod cookie;
mod cross_origin;
mod former;
mod header;
mod presented;
mod refused;
mod response;
mod secure;
mod sign;

#[cfg(feature = "encryption")]
pub(crate) use cookie::MOST_COOKIE_BYTES;
pub(crate) use {
    cookie::CookieSettings,
    cross_origin::{CrossOriginRules, is_safe},
    header::HeaderSettings,
    presented::{IdChannel, Presented},
    response::IdHeader,
    secure::{CookieVariant, TrustedProxies, Unsecured},
    sign::{Claim, Signer},
};
pub use {cookie::SameSite, former::FormerCookie};
