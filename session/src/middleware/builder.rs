//! The settings of the middleware.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::HttpRequest;

use super::transform::SessionMiddleware;
use crate::{
    config::{Config, OnOutage},
    crypto::Key,
    fields::Schema,
    id::SessionId,
    store::Backend,
    time::Clock,
    transport::{CookieSettings, FormerCookie, SameSite},
    typed::Session,
};

impl SessionMiddleware {
    /// Sessions in this store, with settings of your own.
    pub fn builder(store: impl Backend) -> SessionMiddlewareBuilder {
        SessionMiddlewareBuilder::new(store)
    }
}

/// Sets up a [`SessionMiddleware`]. [`SessionMiddleware::builder`] makes it.
///
/// Every setting has a default, which follows RFC 6265bis and OWASP ASVS 5.0.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SameSite, SessionMiddleware};
/// use std::time::Duration;
///
/// let sessions = SessionMiddleware::builder(MemoryStore::new())
///     .max_age(Duration::from_secs(30 * 60))
///     .cookie_name("__Host-shop")
///     .cookie_same_site(SameSite::Strict)
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[must_use = "call `build` to make the middleware"]
pub struct SessionMiddlewareBuilder {
    pub(super) config: Config,
    pub(super) cookie: CookieSettings,
    /// Whether `Secure` follows the connection.
    pub(super) follows_connection: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) trusted_origins: Vec<String>,
    pub(super) header: Option<Header>,
    /// `None`: ids are not signed.
    pub(super) keys: Option<Vec<Key>>,
    pub(super) formers: Vec<FormerCookie>,
    /// The structs that the middleware was given.
    pub(super) structs: Vec<&'static Schema>,
}

/// The header that carries ids, before its name is checked.
pub(super) enum Header {
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
            trusted_origins: Vec::new(),
            header: None,
            keys: None,
            formers: Vec::new(),
            structs: Vec::new(),
        }
    }

    /// Sets the function that makes the ids of new and renewed sessions. Defaults to
    /// [`SessionId::random`], 256 random bits.
    ///
    /// The function is called for each request that extracts a session: as often as the request
    /// may need an id, because [`save`](crate::SessionHandle::save) has no request to call it with.
    /// It must return a new id each time that cannot be guessed, with at least 128 random bits
    /// (OWASP ASVS 5.0, 7.2.3). If it returns ids that are in use or that the client has sent, the
    /// client gets a 500.
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

    /// Sets how long a session lives after its last use (OWASP ASVS 5.0, 7.3.1). Defaults to 20
    /// hours (72 000 000 ms).
    ///
    /// A session can set [its own](crate::SessionHandle::set_max_age). No session lives longer than
    /// the [`absolute_lifetime`](Self::absolute_lifetime).
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    /// use std::time::Duration;
    ///
    /// // Visitors are logged out after half an hour without a request.
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .max_age(Duration::from_secs(30 * 60))
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.config.rules.lifetimes.idle = max_age;
        self
    }

    /// Sets how long a session lives at most, however often it is used (OWASP ASVS 5.0, 7.3.2).
    /// Defaults to 30 days (NIST SP 800-63B, 2.1.3).
    ///
    /// A session can set [its own](crate::SessionHandle::set_absolute_lifetime), for a
    /// ["remember me"](crate::SessionHandle::remember_for) checkbox.
    ///
    /// Example: with `.absolute_lifetime(Duration::from_secs(12 * 60 * 60))` everybody logs in
    /// again after twelve hours.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.rules.lifetimes.absolute = lifetime;
        self
    }

    /// Sets how far a request that only reads must move the session's end before the store is
    /// written. Defaults to 1/60 of the session's `max_age`, which is 20 minutes for 20 hours.
    ///
    /// A longer interval saves writes, but a session can then end that much earlier than `max_age`
    /// after its last use. It must be shorter than `max_age`. More than half of the `max_age` that
    /// a session has counts as half, so that a session that is used does not expire. With zero,
    /// every request writes. A persistent cookie is sent again with each such write.
    ///
    /// Example: `.touch_interval(Duration::from_secs(60))` writes at most once a minute for a
    /// session that is only read.
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.config.rules.lifetimes.touch_interval = Some(interval);
        self
    }

    /// Chooses requests that do not extend the session, such as those that a page makes on its own.
    /// Defaults to none: every request that extracts a session extends it when that is due.
    ///
    /// [`keep_expiry`](crate::SessionHandle::keep_expiry) does the same for one request, in its
    /// handler. [`touch`](crate::SessionHandle::touch) extends the session all the same.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .keep_expiry_if(|request| request.path().starts_with("/poll/"))
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn keep_expiry_if(
        mut self,
        is_chosen: impl Fn(&HttpRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.keeps_expiry = Some(Box::new(is_chosen));
        self
    }

    /// Names a session struct, so that its `privilege` fields are known before the first request.
    ///
    /// A change of a `privilege` field renews the session's id, whichever struct writes it. The
    /// middleware learns the fields of a struct when it is first extracted. Call this for every
    /// struct with `privilege` fields that shares them with other structs. Otherwise, a login
    /// through another struct right after a restart keeps the id.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, Session, SessionMiddleware};
    ///
    /// #[derive(Session)]
    /// struct Account {
    ///     #[session(privilege)]
    ///     user_id: Option<i64>,
    /// }
    ///
    /// #[derive(Session)]
    /// struct LoginForm {
    ///     user_id: Option<i64>, // the same field, without the mark
    ///     failures: u32,
    /// }
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).session::<Account>().build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn session<T: Session>(mut self) -> Self {
        self.config.rules.privileges.learn(T::SCHEMA);
        self.structs.push(T::SCHEMA);
        self
    }

    /// Sets how long requests with the old id are still answered after the id was renewed. Defaults
    /// to 10 seconds. Zero: the old id is unknown at once.
    ///
    /// A browser that sends several requests at once needs some seconds to use the new id. Requests
    /// with the old one cannot change the session and get no cookie.
    ///
    /// Example: `.renewal_grace(Duration::from_secs(30))`, for clients on slow networks.
    pub fn renewal_grace(mut self, grace: Duration) -> Self {
        self.config.rules.grace = grace;
        self
    }

    /// Sets the cookie's name. Defaults to `__Host-session`.
    ///
    /// Browsers accept a `__Host-` cookie only from the host itself and over TLS (RFC 6265bis,
    /// 4.1.3.2; OWASP ASVS 5.0, 3.3.3). Two applications on one host need two names. If the cookie
    /// is not [`Secure`](Self::cookie_secure), the prefixes `__Host-` and `__Secure-` are removed
    /// from the name.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_name("__Host-shop")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// Also accepts a cookie that the site used before, so that a change of the name, path, domain
    /// or signature logs no user out. Defaults to none. Each call adds one.
    ///
    /// A request whose session is found by the former cookie is answered with the present one, for
    /// the same session, and the former one is removed. The present one wins if the client has
    /// both. A name alone means that nothing else has changed; [`FormerCookie`] says what has. [The
    /// guide](crate::guide::changing_the_cookie) has each change, and how to deploy it.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_name("__Host-shop")
    ///     .also_accept_cookie("sid")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn also_accept_cookie(mut self, former: impl Into<FormerCookie>) -> Self {
        self.formers.push(former.into());
        self
    }

    /// Sets the path below which the browser sends the cookie. Defaults to `/`, every path.
    ///
    /// A path does not protect the cookie from other applications on the host. Browsers accept a
    /// `__Host-` cookie only with the path `/`, so another path needs another name.
    ///
    /// A path covers itself and what is below it (RFC 6265bis, 5.1.4): `/app` covers `/app`,
    /// `/app/` and `/app/x`, and not `/application`; `/app/` does not cover `/app`. Elsewhere,
    /// browsers do not send the cookie, so a request reads as a new visitor. **It cannot begin a
    /// session**, because the new cookie would replace the session below the path: what it writes
    /// is dropped, with one warning in the log, and `save()` is
    /// [`SessionError::OutsideCookiePath`](crate::SessionError::OutsideCookiePath). So the login
    /// page belongs below the path too. A proxy that removes the path needs
    /// [`stripped_prefix`](Self::stripped_prefix).
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_name("__Secure-admin")
    ///     .cookie_path("/admin")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// Sets the start of the public path that a proxy removes from it. Defaults to none.
    ///
    /// With [`cookie_path`](Self::cookie_path), the middleware must know the path that the browser
    /// sees. For example, nginx passes `/shop/cart` on as `/cart` with
    /// `location /shop/ { proxy_pass http://127.0.0.1:8080/; }`.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_name("__Secure-shop")
    ///     .cookie_path("/shop")
    ///     .stripped_prefix("/shop")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn stripped_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.stripped_prefix = prefix.into();
        self
    }

    /// Sets the domain whose hosts all get the cookie. Defaults to none: only the host that set the
    /// cookie gets it.
    ///
    /// Browsers refuse a `__Host-` cookie with a domain, so the cookie needs another name.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// // `shop.example.com` and `blog.example.com` share the session.
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_name("__Secure-session")
    ///     .cookie_domain("example.com")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// Sets whether the browser sends the cookie over HTTPS only (OWASP ASVS 5.0, 3.3.1). Defaults
    /// to `true`.
    ///
    /// Browsers and curl treat `http://localhost` and `http://127.0.0.1` as secure, so development
    /// needs no change. It replaces [`cookie_secure_auto`](Self::cookie_secure_auto).
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// // A site in a private network without TLS.
    /// let sessions =
    ///     SessionMiddleware::builder(MemoryStore::new()).cookie_secure(false).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_secure(mut self, secure: bool) -> Self {
        self.cookie.secure = secure;
        self.follows_connection = false;
        self
    }

    /// Makes the cookie `Secure` on connections with TLS only, for a site that is reached both with
    /// and without TLS. It replaces [`cookie_secure`](Self::cookie_secure).
    ///
    /// A connection has TLS if it ends in this server, or in one of the
    /// [`trusted_proxies`](Self::trusted_proxies) that says so. The client has **two cookies, and
    /// so two sessions**: `__Host-session` with TLS, and `session` without it, because browsers
    /// refuse the prefix without `Secure` (RFC 6265bis, 4.1.3). Each connection ignores the cookie
    /// of the other kind. So an attacker on an open network cannot plant an id for the connections
    /// with TLS.
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

    /// Sets the addresses (`127.0.0.1`, `::1`) and networks (`10.0.0.0/8`) of the proxies whose
    /// headers about the client's connection are trusted. Defaults to none.
    ///
    /// A proxy says in the last element of `X-Forwarded-Proto` or `Forwarded` (RFC 7239) whether
    /// the client's connection has TLS, for [`cookie_secure_auto`](Self::cookie_secure_auto). It
    /// says in `X-Forwarded-Host` or `Forwarded` which host the client has asked, for the
    /// [check of the origin](Self::cross_origin_protection). If it sends both headers, both must
    /// agree. The headers are ignored from any other address. A proxy on a Unix socket has no
    /// address; behind one, set `cookie_secure(true)` and
    /// [`trusted_origins`](Self::trusted_origins).
    ///
    /// Example: `.trusted_proxies(["127.0.0.1", "10.0.0.0/8"])`.
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trusted_proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the keys that sign the ids. An id without a valid signature is refused without a store
    /// call. Defaults to none: ids are not signed, because they cannot be guessed anyway.
    ///
    /// The first key signs; all of them verify. To replace a key, put the new one first, and remove
    /// the old one when the sessions from before have ended. A client with an id that an older key
    /// has signed gets it signed again, at the cost of one touch. The signature (HMAC-SHA256)
    /// covers the cookie's name, so it is not valid for another cookie.
    ///
    /// Ids that were issued **without a signature are refused**: turning this on logs all users
    /// out, unless [`also_accept_cookie`](Self::also_accept_cookie) accepts them.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Key, MemoryStore, SessionMiddleware};
    ///
    /// // In production from the application's secrets, the newest first.
    /// let keys = [Key::generate()];
    /// let sessions = SessionMiddleware::builder(MemoryStore::new()).signing_keys(keys).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn signing_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys = Some(keys.into_iter().collect());
        self
    }

    /// Accepts ids in `Authorization: Bearer <id>` too, for clients without cookies (RFC 6750,
    /// 2.1). Defaults to cookies only.
    ///
    /// A client gets its new or renewed id through the channel that it used:
    ///
    /// - A client with a bearer token gets the id in the response header `Session-Token`, and never
    ///   a cookie. If its session has ended, that header is empty. To begin a session, it sends
    ///   `Authorization: Bearer` without a token.
    /// - A client with a cookie gets a cookie, so a script cannot have the id sent to it in a
    ///   header.
    /// - A request whose cookie and header name different sessions gets a 400.
    ///
    /// Other schemes, JSON web tokens (RFC 7519), and bearer tokens that do not have the form of an
    /// id are ignored. Any other bearer token counts as an unknown id; if clients send such tokens
    /// for another purpose, use [`header`](Self::header).
    ///
    /// Responses with an id have `Cache-Control: no-store` (RFC 9111, 5.2.2.5). Browsers show
    /// `Session-Token` to scripts of other origins only if `Access-Control-Expose-Headers` names
    /// it. This replaces [`header`](Self::header).
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

    /// Accepts ids in a header of this name too, for clients without cookies. Defaults to cookies
    /// only.
    ///
    /// As [`bearer`](Self::bearer), but requests and responses carry the id in this one header. A
    /// client that wants to begin a session sends the header without a value. This replaces
    /// [`bearer`](Self::bearer).
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

    /// Sets when the browser sends the cookie with requests that come from other sites (RFC
    /// 6265bis, 5.6.7; OWASP ASVS 5.0, 3.3.2). Defaults to [`SameSite::Lax`].
    ///
    /// Example: with `.cookie_same_site(SameSite::Strict)` a visitor who follows a link from
    /// another site arrives without a session.
    pub fn cookie_same_site(mut self, same_site: SameSite) -> Self {
        self.cookie.same_site = same_site;
        self
    }

    /// Sets whether the browser hides the cookie from scripts (RFC 6265bis, 4.1.2.6; OWASP ASVS
    /// 5.0, 3.3.4). Defaults to `true`.
    ///
    /// Example: `.cookie_http_only(false)`, if the page's own script must read the cookie. A script
    /// that an attacker injects can read it too.
    pub fn cookie_http_only(mut self, http_only: bool) -> Self {
        self.cookie.http_only = http_only;
        self
    }

    /// Sets whether the browser keeps a separate cookie for each site that embeds this one (CHIPS).
    /// Defaults to `false`.
    ///
    /// A page that other sites embed needs it, together with [`SameSite::None`].
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SameSite, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .cookie_same_site(SameSite::None)
    ///     .cookie_partitioned(true)
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cookie_partitioned(mut self, partitioned: bool) -> Self {
        self.cookie.partitioned = partitioned;
        self
    }

    /// Sets whether the cookie outlives the browser. Defaults to `false`: the browser deletes it
    /// when it closes.
    ///
    /// A persistent cookie has a `Max-Age` that ends with the session. A session can
    /// [decide for itself](crate::SessionHandle::set_persistent).
    ///
    /// Example: with `.cookie_persistent(true)` visitors stay logged in when they close the
    /// browser.
    pub fn cookie_persistent(mut self, persistent: bool) -> Self {
        self.config.rules.persistent = persistent;
        self
    }

    /// Sets whether the changes of a request are stored if its response is a server error (5xx).
    /// Defaults to `false`.
    ///
    /// Example: `.save_on_server_error(true)` counts failed attempts in the session also if the
    /// handler answers with a 500.
    pub fn save_on_server_error(mut self, save: bool) -> Self {
        self.config.save_on_server_error = save;
        self
    }

    /// Sets what happens to requests while the store is not available. Defaults to
    /// [`OnOutage::FailClosed`]: requests that need the store get a 503.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, OnOutage, SessionMiddleware};
    ///
    /// // Visitors see the site as if they were logged out.
    /// let sessions =
    ///     SessionMiddleware::builder(MemoryStore::new()).on_outage(OnOutage::Anonymous).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn on_outage(mut self, on_outage: OnOutage) -> Self {
        self.config.rules.on_outage = on_outage;
        self
    }

    /// Sets the source of the current time. Defaults to [`SystemClock`](crate::SystemClock).
    ///
    /// Example: `.clock(FakeClock::default())` in a test (feature `testing`). Give the store
    /// the same clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.config.clock = Arc::new(clock);
        self
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
