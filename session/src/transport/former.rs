//! The cookies that a site used before its settings changed.

use actix_web::http::header::{HeaderMap, HeaderValue};

use super::{
    cookie::CookieSettings,
    presented::Presented,
    sign::{Claim, Signer},
};
use crate::{crypto::Key, error::ConfigError};

/// A session cookie from before a change of the settings, whose sessions go on.
/// [`also_accept_cookie`](crate::SessionMiddlewareBuilder::also_accept_cookie) takes it.
///
/// What you do not set is as in the present cookie. A `__Host-` cookie has the path `/` and no
/// domain, because browsers accept no other.
///
/// # Examples
/// ```
/// use actix_typed_session::{FormerCookie, Key, MemoryStore, SessionMiddleware};
///
/// // It was unsigned, and for all hosts of the domain. Now it is signed, and for this host.
/// let sessions = SessionMiddleware::builder(MemoryStore::new())
///     .signing_keys([Key::generate()])
///     .also_accept_cookie(FormerCookie::new("sid").domain("example.com").unsigned())
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "give it to `also_accept_cookie`"]
pub struct FormerCookie {
    name: String,
    /// `None`: that of the present cookie.
    path: Option<String>,
    domain: Option<Option<String>>,
    /// The inner `None`: ids were not signed.
    keys: Option<Option<Vec<Key>>>,
}

impl FormerCookie {
    /// A cookie of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), path: None, domain: None, keys: None }
    }

    /// It had this path. Otherwise, browsers would keep it.
    ///
    /// Example: `FormerCookie::new("sid").path("/app")`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// It had this domain. Otherwise, browsers would keep it.
    ///
    /// Example: `FormerCookie::new("sid").domain("example.com")`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(Some(domain.into()));
        self
    }

    /// It had no domain: only the host that set it got it. Needed if the present cookie has one.
    ///
    /// Example: `.cookie_domain("example.com").also_accept_cookie(FormerCookie::new("sid")
    /// .host_only())`.
    pub fn host_only(mut self) -> Self {
        self.domain = Some(None);
        self
    }

    /// Its ids were signed with these keys. The order does not matter.
    ///
    /// Example: `FormerCookie::new("sid").signing_keys([old])`, if ids are not signed any more.
    pub fn signing_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys = Some(Some(keys.into_iter().collect()));
        self
    }

    /// Its ids were not signed, and now they are.
    ///
    /// As long as this is set, an id without a signature is looked up in the store.
    ///
    /// Example: `.signing_keys([key]).also_accept_cookie(FormerCookie::new("sid").unsigned())`.
    pub fn unsigned(mut self) -> Self {
        self.keys = Some(None);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it says how ids were signed.
    pub(crate) fn sets_signing(&self) -> bool {
        self.keys.is_some()
    }

    /// The settings of this cookie, where the present one has these settings and keys. `None`: it
    /// is the present one.
    pub(crate) fn beside(
        &self,
        present: &CookieSettings,
        keys: Option<&[Key]>,
    ) -> Result<Option<CookieSettings>, ConfigError> {
        let is_bound = CookieSettings::is_bound_to_host(&self.name);
        let (path, domain) = match is_bound {
            true => ("/".to_owned(), None),
            false => (present.path.clone(), present.domain.clone()),
        };
        let settings = CookieSettings {
            name: self.name.clone(),
            path: self.path.clone().unwrap_or(path),
            domain: self.domain.clone().unwrap_or(domain),
            formers: Vec::new(),
            signer: None,
            ..present.clone()
        };
        let mut settings = settings.checked()?;
        let own_keys = self.keys.as_ref().map_or(keys, Option::as_deref);
        if settings.is_same_as(present) && own_keys == keys {
            return Ok(None);
        }
        if let Some(keys) = own_keys {
            let signer = Signer::new(keys, &settings.name).ok_or(ConfigError::NoSigningKeys)?;
            settings.signer = Some(signer);
        }
        Ok(Some(settings))
    }
}

impl From<&str> for FormerCookie {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for FormerCookie {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

// What a present cookie does with its former ones.
impl CookieSettings {
    /// Whether browsers keep one of the two cookies in the place of the other (RFC 6265bis, 5.7).
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let domain = |cookie: &Self| {
            let domain = cookie.domain.as_ref()?;
            Some(domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase())
        };
        self.name == other.name && self.path == other.path && domain(self) == domain(other)
    }

    /// Also accepts another cookie.
    pub(crate) fn accept(&mut self, former: Self) {
        self.is_quoted |= former.name == self.name && !former.is_same_as(self);
        self.formers.push(former);
    }

    /// Finds the ids in a request. Those of the present cookie come first, because they win.
    #[cold]
    pub(super) fn find_with_formers(
        &self,
        headers: &HeaderMap,
        with_formers: bool,
        presented: &mut Presented,
        read: &mut dyn FnMut(&Self, &[u8]) -> Option<Claim>,
    ) {
        let named = |is_namesake: bool| {
            let formers = self.formers.iter().enumerate();
            formers.filter(move |(_, former)| (former.name == self.name) == is_namesake)
        };
        let mut own_values = Vec::new();
        self.each_value(headers, |value, is_quoted| {
            if is_quoted || !self.is_quoted {
                presented.add_cookie(|| {
                    let claim = self.is_own(value).then(|| read(self, value)).flatten();
                    own_values.extend(claim.is_some().then_some(value));
                    claim
                });
            }
        });
        if !with_formers {
            return;
        }
        self.each_value(headers, |value, is_quoted| {
            let is_marked = is_quoted && self.is_quoted;
            if !is_marked && !own_values.contains(&value) {
                presented.add_cookie(|| {
                    named(true).find_map(|(_, it)| read(it, value)).map(Claim::former)
                });
                named(true).for_each(|(place, _)| presented.add_former(place));
            }
        });
        for (place, former) in named(false) {
            former.each_value(headers, |value, _| {
                presented.add_value(|| read(former, value).map(Claim::former));
                presented.add_former(place);
            });
        }
    }

    /// Whether a value is not that of a former cookie. A signed id has the form of an unsigned one
    /// too.
    fn is_own(&self, value: &[u8]) -> bool {
        let has_signed = |former: &Self| former.signer.is_some() && former.read(value).is_some();
        self.signer.is_some() || !self.formers.iter().any(has_signed)
    }

    /// The id in a value from a header, which may be from before the settings were changed.
    pub(super) fn read_any(&self, value: &[u8]) -> Option<Claim> {
        let own = self.is_own(value).then(|| self.read(value)).flatten();
        let of_former = || self.formers.iter().find_map(|former| former.read(value));
        own.or_else(|| of_former().map(Claim::former))
    }

    /// What removes the former cookies that the client has sent. One that browsers keep in the
    /// place of the present one is replaced by that.
    pub(crate) fn former_removals(&self, presented: &Presented) -> Vec<HeaderValue> {
        let formers = presented.formers().filter_map(|place| self.formers.get(place));
        formers.filter(|it| !it.is_same_as(self)).map(Self::removal).collect()
    }
}
