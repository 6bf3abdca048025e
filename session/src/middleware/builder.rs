//! Sets up the middleware.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::HttpRequest;

use super::transform::SessionMiddleware;
use crate::{
    config::{Config, OnOutage},
    crypto::Key,
    error::ConfigError,
    id::SessionId,
    store::{Backend, Persistence},
    time::Clock,
    transport::{CookieSettings, HeaderSettings, SameSite, Signer, TrustedProxies, Unsecured},
};

impl SessionMiddleware {
    /// Sessions in this store, with settings of your own.
    pub fn builder(store: impl Backend) -> SessionMiddlewareBuilder {
        SessionMiddlewareBuilder::new(store)
    }
}

/// Sets up a [`SessionMiddleware`].
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SameSite, SessionMiddleware};
/// use std::time::Duration;
///
/// let sessions = SessionMiddleware::builder(MemoryStore::new())
///     .max_age(Duration::from_secs(30 * 60))
///     .cookie_name("__Host-shop")
///     .same_site(SameSite::Strict)
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[must_use = "`build` makes the middleware"]
pub struct SessionMiddlewareBuilder {
    config: Config,
    cookie: CookieSettings,
    /// Whether `Secure` follows the connection.
    follows_connection: bool,
    trusted_proxies: Vec<String>,
    header: Option<Header>,
    /// `None` is: ids are not signed.
    keys: Option<Vec<Key>>,
}

/// The header that may stand in for the cookie, as it was set.
enum Header {
    Bearer,
    Named(String),
}

impl SessionMiddlewareBuilder {
    pub(crate) fn new(store: impl Backend) -> Self {
        Self {
            config: Config::new(store),
            cookie: CookieSettings::default(),
            follows_connection: false,
            trusted_proxies: Vec::new(),
            header: None,
            keys: None,
        }
    }

    /// Makes the ids of new and renewed sessions. The default is [`SessionId::random`].
    ///
    /// It is called once for each request that extracts a session, whether the id is needed or not, and
    /// again only when a second one is. It must return a new, unguessable id each time; one that is in use, or that the
    /// client has sent, is refused with a 500.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionId, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .id_generator(|_request| SessionId::uuid())
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn id_generator(
        mut self,
        generator: impl Fn(&HttpRequest) -> SessionId + Send + Sync + 'static,
    ) -> Self {
        self.config.id_generator = Some(Box::new(generator));
        self
    }

    /// How long a session lives without a request that uses it. The default is 20 hours
    /// (72 000 000 ms).
    ///
    /// A session may set [one of its own](crate::SessionHandle::set_max_age).
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.config.rules.lifetimes.idle = max_age;
        self
    }

    /// How long a session lives however much it is used. The default is 30 days (NIST SP 800-63B,
    /// 2.1.3).
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.rules.lifetimes.absolute = lifetime;
        self
    }

    /// How much later a session must end before the store, and the client if its cookie is
    /// persistent, are told that it was used. The default is 1/60 of the session's maximal age.
    ///
    /// A longer interval saves writes; a session may end this much earlier than `max_age` after its
    /// last use.
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.config.rules.lifetimes.touch_interval = Some(interval);
        self
    }

    /// How long requests that still carry the old id are answered after a renewal. They change nothing
    /// and set no cookie. The default is 10 seconds; zero makes the old id unknown at once.
    pub fn renewal_grace(mut self, grace: Duration) -> Self {
        self.config.rules.grace = grace;
        self
    }

    /// The cookie's name. The default is `__Host-session`; without
    /// [`cookie_secure`](Self::cookie_secure) the prefix goes away by itself.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// The paths that the cookie is sent to. The default is `/`.
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// The domain whose hosts all get the cookie. The default is none: only the host that set it.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// Whether the cookie is sent over HTTPS only. The default is `true`; browsers and curl treat
    /// `http://localhost` and `http://127.0.0.1` as secure.
    pub fn cookie_secure(mut self, secure: bool) -> Self {
        self.cookie.secure = secure;
        self.follows_connection = false;
        self
    }

    /// Makes the cookie `Secure` on connections that are, for a site that answers both `https` and plain `http` on
    /// another name than `localhost`. It takes the place of [`cookie_secure`](Self::cookie_secure).
    ///
    /// A connection is secure if TLS ends in this server, or in one of the
    /// [`trusted_proxies`](Self::trusted_proxies), which then says so. The client has **two cookies, and so two
    /// sessions**: over TLS `__Host-session` with `Secure`, without TLS `session` (the name without its prefix, which
    /// browsers refuse without `Secure`: RFC 6265bis, 4.1.3). On a connection nobody looks at the other one's
    /// cookie, so what is planted on an open network is not taken over TLS.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_secure_auto()
    ///     .trusted_proxies(["127.0.0.1", "10.0.0.0/8"])
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_secure_auto(mut self) -> Self {
        self.cookie.secure = true;
        self.follows_connection = true;
        self
    }

    /// The addresses (`127.0.0.1`, `::1`) and networks (`10.0.0.0/8`) of the proxies that
    /// [`cookie_secure_auto`](Self::cookie_secure_auto) believes when they say that the client came over TLS. The
    /// default is none.
    ///
    /// They say it in `X-Forwarded-Proto` or in `Forwarded` (RFC 7239), in the last element, and if both are there, in
    /// both; from anybody else the headers mean nothing. A proxy that is connected through a Unix socket has no
    /// address: behind one, set `cookie_secure(true)`.
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trusted_proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Signs the ids that clients get, so that an id that is not from here is known without asking the store. The
    /// default is not to: ids cannot be guessed anyway, but looking for invented ones costs store calls.
    ///
    /// The first key signs, all of them verify. To replace a key, put the new one in front, and drop the old one
    /// once the sessions from before have ended: a client whose id an older key has signed gets it signed by the first
    /// one at the next request that uses its session, which costs one touch. The signature (HMAC-SHA256) is of the
    /// cookie's name too, so it is of no use to another cookie or to another application with the same key.
    ///
    /// Ids that were given out **unsigned are refused** as any forged one: those who are logged in when this is turned
    /// on log in once more.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Key, MemoryStore, SessionMiddleware};
    ///
    /// let keys = [Key::generate()]; // in truth from the application's secrets, the newest first
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).signing_keys(keys).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn signing_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys = Some(keys.into_iter().collect());
        self
    }

    /// Takes ids from `Authorization: Bearer <id>` too, for clients that keep no cookies. The default is not to.
    ///
    /// Each client is answered the way it came. One that has sent a bearer token gets a new or renewed id in the
    /// response header `Session-Token`, and never a cookie; if its session has ended, that header is there and empty.
    /// To begin a session, it sends `Authorization: Bearer` with nothing behind it. One that has sent a cookie gets
    /// a cookie, so that no script can have the id read out to it.
    ///
    /// Other schemes and JSON web tokens (RFC 7519) are left alone, as if they were not there; any other
    /// bearer token that names no session counts as an unknown id. Where foreign tokens without such a shape come along,
    /// use [`header`](Self::header). A request whose cookie names one session and whose header names another is refused
    /// with 400.
    ///
    /// Answers with an id are `Cache-Control: no-store` (RFC 9111, 5.2.2.5), and browsers show `Session-Token` to scripts of
    /// other origins only if `Access-Control-Expose-Headers` names it. This and [`header`](Self::header) exclude each
    /// other: the last one counts.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).bearer().build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn bearer(mut self) -> Self {
        self.header = Some(Header::Bearer);
        self
    }

    /// Takes ids from a header of this name too, for clients that keep no cookies. The default is not to.
    ///
    /// As [`bearer`](Self::bearer), but requests and answers have the id in this one header, and a client that wants
    /// a session sends it empty.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).header("X-Session").build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(Header::Named(name.into()));
        self
    }

    /// When the cookie is sent with requests that other sites cause. The default is
    /// [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookie.same_site = same_site;
        self
    }

    /// Whether scripts are kept from the cookie. The default is `true`.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.cookie.http_only = http_only;
        self
    }

    /// Whether the cookie is kept apart for each site that embeds this one (CHIPS). The default is
    /// `false`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.cookie.partitioned = partitioned;
        self
    }

    /// Whether the cookie outlives the browser. The default is `false`.
    ///
    /// A session may [decide for itself](crate::SessionHandle::set_persistent): "remember me".
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.config.rules.persistent = persistent;
        self
    }

    /// Whether the changes of a request are stored although its response is a server error (5xx). The
    /// default is `false`.
    pub fn save_on_server_error(mut self, save: bool) -> Self {
        self.config.save_on_server_error = save;
        self
    }

    /// What becomes of requests while the store is not available. The default is
    /// [`OnOutage::FailClosed`]: those that need it are answered with 503.
    pub fn on_outage(mut self, on_outage: OnOutage) -> Self {
        self.config.rules.on_outage = on_outage;
        self
    }

    /// What tells the time. The default is the operating system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.config.clock = Arc::new(clock);
        self
    }

    /// Makes the middleware.
    ///
    /// # Errors
    /// The settings contradict each other, or browsers would refuse the cookie.
    pub fn build(self) -> Result<SessionMiddleware, ConfigError> {
        let mut config = self.config;
        let lifetimes = &config.rules.lifetimes;
        for (name, duration) in
            [("max_age", lifetimes.idle), ("absolute_lifetime", lifetimes.absolute)]
        {
            if duration.as_millis() == 0 {
                return Err(ConfigError::ZeroDuration(name));
            }
        }
        let mut cookie = self.cookie.checked()?;
        if let Persistence::Client(_) = config.sessions {
            // A sealed cookie needs no signature, and is too long for other headers.
            let header = self.header.as_ref().map(|header| match header {
                Header::Bearer => "bearer",
                Header::Named(_) => "header",
            });
            if let Some(setting) = self.keys.as_ref().map(|_| "signing_keys").or(header) {
                return Err(ConfigError::NeedsStore(setting));
            }
        }
        let proxies = TrustedProxies::parse(self.trusted_proxies)?;
        if self.follows_connection {
            config.unsecured = Some(Unsecured::beside(&cookie, proxies)?);
        }
        if let Some(keys) = self.keys {
            let signer = |cookie: &CookieSettings| {
                Signer::new(&keys, &cookie.name).ok_or(ConfigError::NoSigningKeys)
            };
            cookie.signer = Some(signer(&cookie)?);
            if let Some(unsecured) = &mut config.unsecured {
                let signer = signer(&unsecured.cookie)?;
                Arc::make_mut(&mut unsecured.cookie).signer = Some(signer);
            }
        }
        config.cookie = Arc::new(cookie);
        config.header = match self.header {
            None => None,
            Some(Header::Bearer) => Some(HeaderSettings::Bearer),
            Some(Header::Named(name)) => Some(HeaderSettings::named(&name)?),
        };
        Ok(SessionMiddleware::from(config))
    }
}

impl fmt::Debug for SessionMiddlewareBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMiddlewareBuilder")
            .field("rules", &self.config.rules)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn builder() -> SessionMiddlewareBuilder {
        SessionMiddleware::builder(MemoryStore::new())
    }

    #[test]
    fn max_age_defaults_to_72_000_000_ms() {
        assert_eq!(builder().config.rules.lifetimes.idle.as_millis(), 72_000_000);
    }

    #[test]
    fn zero_limits_are_refused() {
        for builder in
            [builder().max_age(Duration::ZERO), builder().absolute_lifetime(Duration::ZERO)]
        {
            assert!(matches!(builder.build(), Err(ConfigError::ZeroDuration(_))));
        }
        assert!(builder().renewal_grace(Duration::ZERO).build().is_ok());
        assert!(builder().touch_interval(Duration::ZERO).build().is_ok());
    }

    #[test]
    fn a_cookie_that_browsers_refuse_is_refused() {
        assert!(builder().cookie_domain("example.com").build().is_err());
        assert!(builder().cookie_domain("example.com").cookie_name("sid").build().is_ok());
        assert!(builder().same_site(SameSite::None).cookie_secure(false).build().is_err());
    }

    #[test]
    fn a_cookie_that_browsers_refuse_without_tls_is_refused() {
        for secure in [builder().cookie_secure_auto(), builder().cookie_secure(false)] {
            assert!(secure.same_site(SameSite::None).build().is_err());
        }
        assert!(builder().partitioned(true).cookie_secure_auto().build().is_err());
        assert!(builder().cookie_name("__Host-").cookie_secure_auto().build().is_err());
        assert!(builder().cookie_domain("example.com").cookie_secure_auto().build().is_err());
        assert!(builder().cookie_secure_auto().build().is_ok());
        let back = builder().cookie_secure_auto().cookie_secure(true).same_site(SameSite::None);
        assert!(back.build().is_ok());
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn settings_that_need_a_store_are_refused_without_one() {
        use crate::{crypto::Key, store::CookieStore};

        let store = || CookieStore::new([Key::generate()]).expect("there is a key");
        let builder = || SessionMiddleware::builder(store());
        for (refused, name) in [
            (builder().signing_keys([Key::generate()]), "signing_keys"),
            (builder().bearer(), "bearer"),
            (builder().header("X-Id"), "header"),
        ] {
            let refused = refused.build();
            assert!(matches!(refused, Err(ConfigError::NeedsStore(setting)) if setting == name));
        }
        assert!(builder().cookie_secure_auto().build().is_ok());
    }

    #[test]
    fn settings_of_the_transport_that_cannot_work_are_refused() {
        let fails =
            |builder: SessionMiddlewareBuilder| builder.build().expect_err("it cannot work");
        assert!(matches!(fails(builder().signing_keys([])), ConfigError::NoSigningKeys));
        assert!(matches!(fails(builder().header("a b")), ConfigError::HeaderName(_)));
        assert!(matches!(fails(builder().header("Cookie")), ConfigError::HeaderName(_)));
        let proxies = builder().cookie_secure_auto().trusted_proxies(["localhost"]);
        assert!(matches!(fails(proxies), ConfigError::TrustedProxy(_)));
    }
}
