//! Settings that are not valid.

/// The settings of a middleware or a store are not valid, or contradict each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URLs or settings of a [`RedisStore`](crate::RedisStore) are not valid.
    #[cfg(feature = "redis")]
    #[error("the settings of the Redis store do not work")]
    Redis(#[source] super::store::BoxError),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_error_quotes_the_setting_and_says_what_is_valid() {
        assert_eq!(
            ConfigError::CookieName("a b".into()).to_string(),
            "`a b` is not a valid cookie name; use letters, digits and !#$%&'*+-.^_`|~"
        );
    }
}
