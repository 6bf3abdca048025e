//! Checks the settings, and makes the middleware of them.

use std::sync::Arc;

use super::{
    builder::{Header, SessionMiddlewareBuilder},
    transform::SessionMiddleware,
};
use crate::{
    error::ConfigError,
    store::Persistence,
    transport::{CookieSettings, HeaderSettings, Signer, TrustedProxies, Unsecured},
};

impl SessionMiddlewareBuilder {
    /// Makes the middleware.
    ///
    /// # Errors
    /// A setting is not valid, two settings contradict each other, or browsers would refuse the
    /// cookie.
    pub fn build(self) -> Result<SessionMiddleware, ConfigError> {
        self.check_lifetimes()?;
        let mut config = self.config;
        let mut cookie = self.cookie.checked()?;
        if let Persistence::Client(_) = config.sessions {
            // A sealed cookie cannot be forged, so it needs no signature. Other headers cannot
            // carry it.
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
        let prefix = config.stripped_prefix.trim_end_matches('/');
        if !prefix.is_empty() && !prefix.starts_with('/') {
            let value = config.stripped_prefix;
            return Err(ConfigError::CookieAttribute { attribute: "path", value });
        }
        config.stripped_prefix.truncate(prefix.len());
        config.cookie = Arc::new(cookie);
        config.header = match self.header {
            None => None,
            Some(Header::Bearer) => Some(HeaderSettings::Bearer),
            Some(Header::Named(name)) => Some(HeaderSettings::named(&name)?),
        };
        Ok(SessionMiddleware::from(config))
    }

    fn check_lifetimes(&self) -> Result<(), ConfigError> {
        let lifetimes = &self.config.rules.lifetimes;
        let limits = [("max_age", lifetimes.idle), ("absolute_lifetime", lifetimes.absolute)];
        match limits.iter().find(|(_, duration)| duration.as_millis() == 0) {
            Some((name, _)) => Err(ConfigError::ZeroDuration(name)),
            None => Ok(()),
        }
    }
}
