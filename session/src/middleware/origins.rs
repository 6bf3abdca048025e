//! The settings that decide which pages may send requests.

use actix_web::HttpRequest;

use super::builder::SessionMiddlewareBuilder;
use crate::transport::CrossOriginRules;

impl SessionMiddlewareBuilder {
    /// Sets whether a request that a page of another origin may have caused is kept from the
    /// session (cross-site request forgery, OWASP ASVS 5.0, 3.5.1). Defaults to `true`.
    ///
    /// A request with another method than `GET`, `HEAD` or `OPTIONS`, and one that opens a
    /// WebSocket, can extract a session of the cookie only in these cases:
    ///
    /// - `Sec-Fetch-Site` is `same-origin` or `none`, or
    /// - `Sec-Fetch-Site` is missing, and `Origin` is the host and port that the request went to,
    ///   or
    /// - `Origin` is one of the [`trusted_origins`](Self::trusted_origins), or
    /// - both headers are missing: the client is not a browser.
    ///
    /// Otherwise, the extractor fails with
    /// [`SessionError::CrossOrigin`](crate::SessionError::CrossOrigin), a 403. That includes
    /// requests without a cookie, so that another site cannot log a visitor in. Sessions whose id
    /// comes in a header are not checked, because browsers do not add it on their own. No page
    /// needs a token.
    ///
    /// [The guide](crate::guide::csrf) says where the rule comes from, what old browsers do, and
    /// what a proxy must keep.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// // Every form has a token, which each handler verifies.
    /// let sessions =
    ///     SessionMiddleware::builder(MemoryStore::new()).cross_origin_protection(false).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn cross_origin_protection(mut self, is_on: bool) -> Self {
        self.config.cross_origin = is_on.then(CrossOriginRules::default);
        self
    }

    /// Sets other origins whose pages may send requests that change the session. Defaults to none:
    /// only pages of the site itself.
    ///
    /// An origin is a scheme, a host and perhaps a port, as browsers send it in `Origin`:
    /// `https://app.example.com`, `http://localhost:3000`, `capacitor://localhost`. Each one is
    /// written out; there are no wildcards. `build()` refuses text that is not an origin.
    ///
    /// The browser must send the cookie to such requests too, which
    /// [`cookie_same_site`](Self::cookie_same_site) decides. See
    /// [`cross_origin_protection`](Self::cross_origin_protection).
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .trusted_origins(["https://app.example.com"])
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn trusted_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trusted_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Chooses requests that pages of any origin may send. Defaults to none.
    ///
    /// Choose only routes that are protected otherwise: a webhook with a signature, or the answer
    /// of a login at another site, which has a `state` (OAuth) or is signed (SAML). See
    /// [`cross_origin_protection`](Self::cross_origin_protection).
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, SessionMiddleware};
    ///
    /// let sessions = SessionMiddleware::builder(MemoryStore::new())
    ///     .allow_cross_origin_if(|request| request.path() == "/saml/acs")
    ///     .build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn allow_cross_origin_if(
        mut self,
        is_chosen: impl Fn(&HttpRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.allows_cross_origin = Some(Box::new(is_chosen));
        self
    }
}
