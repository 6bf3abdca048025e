//! The header of a response that changes the client's id.

use actix_web::http::header::{HeaderName, HeaderValue};

/// What a response says about the client's id.
#[derive(Clone, Debug)]
pub(crate) enum IdHeader {
    /// In `Set-Cookie`.
    Cookie(HeaderValue),
    /// In a header that the client reads itself.
    Header(HeaderName, HeaderValue),
}
