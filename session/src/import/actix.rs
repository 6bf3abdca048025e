//! Sessions of actix-session.

use std::fmt;

use actix_web::HttpRequest;
use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use tracing::warn;

use super::{
    cookies::find_cookie,
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::Importer,
    stores::ForeignStore,
};
use crate::{crypto::Secret, error::StoreError};

/// Takes over the sessions of actix-session 0.5 to 0.11, and of actix-identity. Needs the feature
/// `import-actix-session`.
///
/// The cookie is `id` unless the site has set another `cookie_name`. It is encrypted, which is the
/// default there, or [`signed`](Self::signed). One that does not open is a new visitor.
///
/// The store is [`ForeignRedis`](super::ForeignRedis) without a prefix for `RedisSessionStore`,
/// [`in_cookie`](Self::in_cookie) for `CookieSessionStore`, or one of your own. The server cannot
/// end a session that is in a cookie, so a stolen copy of such a cookie stays valid as long as
/// sessions are taken over.
///
/// A field takes the value that was inserted under its name. actix-identity has inserted
/// `actix_identity.user_id`, `actix_identity.logged_in_at` and `actix_identity.last_visited_at`.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, Session, SessionMiddleware, import::ActixSession};
///
/// #[derive(Session)]
/// struct Visitor {
///     /// `session.insert("cart", …)`
///     cart: Vec<String>,
///     /// `Identity::login(&extensions, user)`
///     #[session(privilege, alias = "actix_identity.user_id")]
///     user: Option<String>,
/// }
///
/// # let key = [7; 64];
/// // `key` is what `Key::from` got, or `key.master()`.
/// let old = ActixSession::in_cookie([key])?;
/// let sessions = SessionMiddleware::builder(MemoryStore::new()).import(old).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ActixSession<S> {
    store: S,
    keys: Vec<CookieKey>,
    cookie: ForeignCookie,
    security: Security,
}

/// How the cookie is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Private,
    Signed,
}

/// A key of the cookies of Actix Web.
struct CookieKey {
    signing: Secret<[u8; 32]>,
    cipher: Aes256Gcm,
}

/// The cookie of actix-session.
const COOKIE: &str = "id";
const NONCE_BYTES: usize = 12;
/// The characters of a signature.
const SIGNATURE_LEN: usize = 44;

impl ActixSession<InCookie> {
    /// Sessions in their clients' cookies: `CookieSessionStore`. See [`new`](Self::new) for the
    /// keys.
    ///
    /// # Errors
    /// A key has fewer than 64 bytes.
    pub fn in_cookie(
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, CookieKeyError> {
        Self::new(InCookie, keys)
    }
}

impl<S: ForeignStore> ActixSession<S> {
    /// Sessions in this store, whose cookies one of these keys has made. A key is what
    /// `actix_web::cookie::Key::from` got, or the `master()` of that key.
    ///
    /// # Errors
    /// A key has fewer than 64 bytes.
    ///
    /// # Examples
    /// ```no_run
    /// # #[cfg(feature = "redis")] {
    /// use actix_typed_session::{RedisStore, import::{ActixSession, ForeignRedis}};
    ///
    /// # let key = [7; 64];
    /// let redis = RedisStore::new("redis://127.0.0.1:6379")?;
    /// let old = ActixSession::new(ForeignRedis::new(redis, ""), [key])?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        store: S,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, CookieKeyError> {
        let keys = keys.into_iter().map(|key| CookieKey::new(key.as_ref()).ok_or(CookieKeyError));
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self { store, keys, cookie: ForeignCookie::new(COOKIE), security: Security::Private })
    }

    /// Sets that the cookie is signed and not encrypted: `CookieContentSecurity::Signed`.
    ///
    /// Example: `ActixSession::in_cookie([key])?.signed()`.
    #[must_use = "it returns the importer"]
    pub fn signed(self) -> Self {
        Self { security: Security::Signed, ..self }
    }

    /// Sets the cookie: `cookie_name`, `cookie_path` and `cookie_domain`. Defaults to `id` with the
    /// path `/` and no domain.
    ///
    /// Example: `.cookie(ForeignCookie::new("sid").domain("example.com"))`.
    #[must_use = "it returns the importer"]
    pub fn cookie(self, cookie: ForeignCookie) -> Self {
        Self { cookie, ..self }
    }

    /// The session's key in a cookie's value, if one of the keys has made it.
    fn open(&self, value: &[u8]) -> Option<ForeignId> {
        let name = self.cookie.name();
        let opened = self.keys.iter().find_map(|key| match self.security {
            Security::Private => key.decrypt(name, value),
            Security::Signed => key.verify(value),
        });
        opened.filter(|text| !text.is_empty()).map(ForeignId::new)
    }
}

impl<S: ForeignStore> Importer for ActixSession<S> {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        find_cookie(request, self.cookie.name(), |value| self.open(value))
    }

    async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        self.store.load(id).await?.map(|json| parse(&json)).transpose()
    }

    async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
        self.store.delete(id).await
    }

    fn cookie(&self) -> Option<ForeignCookie> {
        Some(self.cookie.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for ActixSession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActixSession")
            .field("store", &self.store)
            .field("cookie", &self.cookie)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

impl CookieKey {
    /// The first half of a key signs, the second encrypts. `None`: it is too short.
    fn new(key: &[u8]) -> Option<Self> {
        let (signing, rest) = key.split_first_chunk::<32>()?;
        let (encryption, _) = rest.split_first_chunk::<32>()?;
        let cipher = Aes256Gcm::new(&(*encryption).into());
        Some(Self { signing: Secret::new(*signing), cipher })
    }

    fn decrypt(&self, name: &str, value: &[u8]) -> Option<String> {
        let sealed = STANDARD.decode(value).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()?;
        String::from_utf8(plain).ok()
    }

    fn verify(&self, value: &[u8]) -> Option<String> {
        let (signature, text) = value.split_first_chunk::<SIGNATURE_LEN>()?;
        let signature = STANDARD.decode(signature).ok()?;
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.signing.expose())
            .expect("HMAC takes keys of any length");
        mac.update(text);
        // Compares in constant time.
        mac.verify_slice(&signature).ok()?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
}

/// The sessions of `CookieSessionStore`, which are the content of their cookies.
/// [`ActixSession::in_cookie`] uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InCookie;

impl ForeignStore for InCookie {
    async fn load(&self, id: &ForeignId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(id.as_str().as_bytes().to_vec()))
    }

    async fn delete(&self, _: &ForeignId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The key of another program is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of actix-session has at least 64 bytes; pass what `Key::from` got, or `master()`")]
#[non_exhaustive]
pub struct CookieKeyError;

/// The format of releases after 0.11.
#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "v")]
    _version: u8,
    state: Box<RawValue>,
}

/// Reads a session: a map of JSON in strings, or a version and a map of JSON.
fn parse(json: &[u8]) -> Result<ForeignSession, StoreError> {
    if let Ok(Versioned { _version: 1, state }) = serde_json::from_slice(json)
        && let Ok(session) = ForeignSession::from_json(state.get().as_bytes())
    {
        return Ok(session);
    }
    let outer = ForeignSession::from_json(json)?;
    let is_text = |name: &str| outer.get(name).is_some_and(|json| json.get().starts_with('"'));
    if !outer.names().all(is_text) {
        return Ok(outer);
    }
    let mut session = ForeignSession::new();
    for name in outer.names() {
        let inner = outer.get(name).and_then(|it| serde_json::from_str::<String>(it.get()).ok());
        if inner.is_none_or(|inner| session.insert(name, inner).is_err()) {
            warn!(
                event = "value_not_imported",
                "`{}` is not taken over from the session of another program, because its value is \
                 not JSON",
                name.escape_debug(),
            );
        }
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> String {
        let session = parse(json.as_bytes()).expect("an object");
        let values = session.names().map(|name| {
            let json = session.get(name).expect("it is there");
            format!("{name}={}", json.get())
        });
        values.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_formats_are_read() {
        for (json, values) in [
            (r#"{"a":"1","b":"\"x\"","c":"[null]"}"#, r#"a=1 b="x" c=[null]"#),
            (r#"{"v":1,"state":{"a":1,"b":"x","c":[null]}}"#, r#"a=1 b="x" c=[null]"#),
            (r#"{"state":{"a":1},"v":1}"#, "a=1"),
            (r#"{"v":"1","state":"{\"a\":1}"}"#, r#"state={"a":1} v=1"#),
            (r#"{"a":1,"b":"x"}"#, r#"a=1 b="x""#),
            (r#"{"a":"1","b":"x","c":"{\"d\""}"#, "a=1"),
            ("{}", ""),
        ] {
            assert_eq!(parsed(json), values, "{json}");
        }
        assert!(parse(b"[1]").is_err() && parse(b"").is_err());
    }

    #[test]
    fn a_key_that_is_too_short_is_refused() {
        assert!(ActixSession::in_cookie([[7; 64]]).is_ok());
        assert!(ActixSession::in_cookie([[7; 65]]).is_ok());
        assert_eq!(ActixSession::in_cookie([[7; 63]]).err(), Some(CookieKeyError));
    }

    #[test]
    fn a_value_that_no_key_has_made_is_a_new_visitor() {
        let old = ActixSession::in_cookie([[7; 64]]).expect("a key");
        for old in [old, ActixSession::in_cookie([[7; 64]]).expect("a key").signed()] {
            for value in ["", "x", &"A".repeat(44), &"A".repeat(100), "é"] {
                assert_eq!(old.open(value.as_bytes()), None, "{value}");
            }
        }
    }
}
