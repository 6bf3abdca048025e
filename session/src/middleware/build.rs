//! Checks the settings, and makes the middleware.

use std::sync::Arc;

use super::{
    builder::{Header, SessionMiddlewareBuilder},
    transform::SessionMiddleware,
};
use crate::{
    crypto::Key,
    error::ConfigError,
    fields::Schema,
    import::ForeignCookie,
    store::{ObservedStore, Persistence},
    transport::{
        CookieSettings, CrossOriginRules, FormerCookie, HeaderSettings, Signer, TrustedProxies,
        Unsecured,
    },
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
        check_structs(&self.structs, &cookie)?;
        if let Some(import) = &mut config.import {
            import.cookie.iter().try_for_each(ForeignCookie::check)?;
            import.structs = self.structs;
        }
        if let Persistence::Client(_) = config.sessions {
            // A sealed cookie cannot be forged, so it needs no signature. Other headers cannot
            // carry it.
            let header = self.header.as_ref().map(|header| match header {
                Header::Bearer => "bearer",
                Header::Named(_) => "header",
            });
            let former = self.formers.iter().find(|it| it.sets_signing());
            let former = former.map(|_| "signing_keys of a former cookie");
            let keys = self.keys.as_ref().map(|_| "signing_keys");
            if let Some(setting) = keys.or(header).or(former) {
                return Err(ConfigError::NeedsStore(setting));
            }
        }
        let proxies = TrustedProxies::parse(self.trusted_proxies)?;
        let rules = CrossOriginRules::new(self.trusted_origins, proxies.clone())?;
        config.cross_origin = config.cross_origin.map(|_| rules);
        if self.follows_connection {
            config.unsecured = Some(Unsecured::beside(&cookie, proxies)?);
        }
        if let Some(keys) = &self.keys {
            let signer = |cookie: &CookieSettings| {
                Signer::new(keys, &cookie.name).ok_or(ConfigError::NoSigningKeys)
            };
            cookie.signer = Some(signer(&cookie)?);
            if let Some(unsecured) = &mut config.unsecured {
                let signer = signer(&unsecured.cookie)?;
                Arc::make_mut(&mut unsecured.cookie).signer = Some(signer);
            }
        }
        accept_formers(
            &self.formers,
            self.keys.as_deref(),
            &mut cookie,
            config.unsecured.as_mut(),
        )?;
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
        if let (Some(events), Persistence::Store(store)) = (&config.events, &mut config.sessions) {
            *store = Arc::new(ObservedStore::new(Arc::clone(store), Arc::clone(events)));
        }
        Ok(SessionMiddleware::from(config))
    }

    fn check_lifetimes(&self) -> Result<(), ConfigError> {
        let lifetimes = &self.config.rules.lifetimes;
        let limits = [("max_age", lifetimes.idle), ("absolute_lifetime", lifetimes.absolute)];
        match limits.iter().find(|(_, duration)| duration.as_millis() == 0) {
            Some((name, _)) => Err(ConfigError::ZeroDuration(name)),
            None if lifetimes.touch_interval.is_some_and(|it| it >= lifetimes.idle) => {
                Err(ConfigError::TouchInterval)
            }
            None => Ok(()),
        }
    }
}

/// Adds the former cookies to the present one, on connections of each kind.
fn accept_formers(
    formers: &[FormerCookie],
    keys: Option<&[Key]>,
    cookie: &mut CookieSettings,
    unsecured: Option<&mut Unsecured>,
) -> Result<(), ConfigError> {
    let present = cookie.clone();
    for (place, former) in formers.iter().enumerate() {
        let error = || ConfigError::FormerCookie(former.name().to_owned());
        let settings = former.beside(&present, keys)?.ok_or_else(error)?;
        if formers[..place].contains(former) {
            return Err(error());
        }
        cookie.accept(settings);
    }
    let Some(unsecured) = unsecured.filter(|_| !formers.is_empty()) else { return Ok(()) };
    let plain = Arc::make_mut(&mut unsecured.cookie);
    let present = plain.clone();
    for former in formers {
        // Without its prefix, it may be the present one here.
        if let Some(settings) = former.beside(&present, keys)? {
            plain.accept(settings);
        }
    }
    Ok(())
}

/// Refuses structs that the middleware would never serve.
fn check_structs(structs: &[&Schema], cookie: &CookieSettings) -> Result<(), ConfigError> {
    for Schema { type_name, cookie: name, .. } in structs {
        if let Some(struct_cookie) = name.filter(|name| !cookie.is_called(name)) {
            let cookie = cookie.name.clone();
            return Err(ConfigError::OtherCookie { type_name, struct_cookie, cookie });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{store::MemoryStore, transport::SameSite};

    fn builder() -> SessionMiddlewareBuilder {
        SessionMiddleware::builder(MemoryStore::new())
    }

    #[test]
    fn max_age_defaults_to_72_000_000_ms() {
        assert_eq!(builder().config.rules.lifetimes.idle.as_millis(), 72_000_000);
    }

    #[test]
    fn the_other_times_default_to_30_days_and_10_seconds() {
        let rules = builder().config.rules;
        assert_eq!(rules.lifetimes.absolute, Duration::from_secs(30 * 24 * 60 * 60));
        assert_eq!(rules.grace, Duration::from_secs(10));
        assert_eq!(rules.lifetimes.touch_interval, None, "1/60 of the idle time");
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
    fn a_touch_interval_in_which_sessions_expire_is_refused() {
        let hour = Duration::from_secs(3600);
        for interval in [hour, hour * 2] {
            let builder = builder().max_age(hour).touch_interval(interval);
            assert!(matches!(builder.build(), Err(ConfigError::TouchInterval)));
        }
        assert!(builder().max_age(hour).touch_interval(hour / 2).build().is_ok());
        assert!(builder().touch_interval(hour / 2).max_age(hour).build().is_ok());
    }

    #[test]
    fn a_cookie_that_browsers_refuse_is_refused() {
        assert!(builder().cookie_domain("example.com").build().is_err());
        assert!(builder().cookie_domain("example.com").cookie_name("sid").build().is_ok());
        assert!(builder().cookie_same_site(SameSite::None).cookie_secure(false).build().is_err());
    }

    #[test]
    fn a_cookie_that_browsers_refuse_without_tls_is_refused() {
        for secure in [builder().cookie_secure_auto(), builder().cookie_secure(false)] {
            assert!(secure.cookie_same_site(SameSite::None).build().is_err());
        }
        assert!(builder().cookie_partitioned(true).cookie_secure_auto().build().is_err());
        assert!(builder().cookie_name("__Host-").cookie_secure_auto().build().is_err());
        assert!(builder().cookie_domain("example.com").cookie_secure_auto().build().is_err());
        assert!(builder().cookie_secure_auto().build().is_ok());
        let back =
            builder().cookie_secure_auto().cookie_secure(true).cookie_same_site(SameSite::None);
        assert!(back.build().is_ok());
    }

    #[cfg(feature = "encryption")]
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
        for is_on in [true, false] {
            let origins =
                builder().cross_origin_protection(is_on).trusted_origins(["shop.example"]);
            assert!(matches!(fails(origins), ConfigError::TrustedOrigin(_)));
        }
    }
}
