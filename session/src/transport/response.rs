//! The response header that gives the client an id or removes it.

use actix_web::http::header::{HeaderName, HeaderValue};

/// A response header that gives the client an id or removes it.
#[derive(Clone, Debug)]
pub(crate) enum IdHeader {
    /// The value of `Set-Cookie`.
    Cookie(HeaderValue),
    /// Several of them: former cookies are removed, too.
    Cookies(Box<[HeaderValue]>),
    /// A header that the application's client reads.
    Header(HeaderName, HeaderValue),
}
