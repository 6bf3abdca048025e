//! Sessions of another program: their ids, their content and their cookie.

use std::{collections::BTreeMap, fmt};

use serde_json::value::RawValue;

use crate::{
    crypto::Secret,
    error::{ConfigError, StoreError, ValueError},
    transport::CookieSettings,
};

/// What a request brings to find its session at another program: an id or, if that program keeps
/// whole sessions in cookies, the session itself.
///
/// It is a secret, so it prints as `ForeignId(…)`. Only [`as_str`](Self::as_str) shows the text.
///
/// # Examples
/// ```
/// use actix_typed_session::import::ForeignId;
///
/// let id = ForeignId::new("7e57d004-2b97-4e7a-b45f-5387367791cd");
/// assert_eq!(id.as_str().len(), 36);
/// assert_eq!(format!("{id:?}"), "ForeignId(…)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ForeignId(Secret<String>);

impl ForeignId {
    /// The id with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text.into()))
    }

    /// The text. Keep it out of logs and pages.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("it was made of a string")
    }
}

impl fmt::Debug for ForeignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignId(…)")
    }
}

/// The content of a session that another program has stored: JSON values by name.
///
/// # Examples
/// ```
/// use actix_typed_session::import::ForeignSession;
///
/// let mut session = ForeignSession::from_json(br#"{"user_id":7,"cookie":{"path":"/"}}"#)?;
/// session.remove("cookie");
/// assert_eq!(session.names().collect::<Vec<_>>(), ["user_id"]);
/// # Ok::<(), actix_typed_session::StoreError>(())
/// ```
#[derive(Clone, Default)]
pub struct ForeignSession(BTreeMap<String, Box<RawValue>>);

impl ForeignSession {
    /// A session without content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the text is not a JSON object.
    pub fn from_json(json: &[u8]) -> Result<Self, StoreError> {
        match serde_json::from_slice(json) {
            Ok(values) => Ok(Self(values)),
            Err(error) => Err(StoreError::damaged(ValueError::from(error))),
        }
    }

    /// Adds a value, which is JSON.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the text is not JSON. The session is unchanged.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        json: impl Into<String>,
    ) -> Result<(), StoreError> {
        match RawValue::from_string(json.into()) {
            Ok(json) => {
                self.0.insert(name.into(), json);
                Ok(())
            }
            Err(error) => Err(StoreError::damaged(ValueError::from(error))),
        }
    }

    /// Removes a value. Returns its JSON.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// The JSON of a value.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|json| &**json)
    }

    /// The names of all values, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn into_values(self) -> BTreeMap<String, Box<RawValue>> {
        self.0
    }
}

impl fmt::Debug for ForeignSession {
    /// Shows the names only, because the values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForeignSession").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// The cookie of another program, which is removed once its session was taken over.
///
/// Browsers remove a cookie only if path and domain are those that it was set with.
///
/// # Examples
/// ```
/// use actix_typed_session::import::ForeignCookie;
///
/// let cookie = ForeignCookie::new("sid").domain("example.com");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an importer returns it"]
pub struct ForeignCookie {
    name: String,
    path: String,
    domain: Option<String>,
}

impl ForeignCookie {
    /// A cookie of this name, with the path `/` and without a domain.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), path: "/".to_owned(), domain: None }
    }

    /// It had this path. Defaults to `/`.
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// It had this domain. Defaults to none: only the host that set it got it.
    pub fn domain(self, domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    #[cfg(any(feature = "import-actix-session", feature = "import-express-session"))]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cookie with the other attributes of the present one.
    pub(crate) fn beside(&self, present: &CookieSettings) -> CookieSettings {
        CookieSettings {
            name: self.name.clone(),
            path: self.path.clone(),
            domain: self.domain.clone(),
            signer: None,
            formers: Vec::new(),
            is_quoted: false,
            ..present.clone()
        }
    }

    /// Refuses what browsers would not accept.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.beside(&CookieSettings::default()).checked().map(drop)
    }
}
