//! Sessions of express-session.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_web::HttpRequest;
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use cookie::time::{OffsetDateTime, format_description::well_known::Rfc3339};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::{
    cookies::find_cookie,
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::Importer,
    stores::ForeignStore,
};
use crate::{crypto::Secret, error::StoreError};

/// Takes over the sessions of express-session. Needs the feature `import-express-session`.
///
/// The cookie is `connect.sid` unless the site has set another `name`. Its value is `s:`, the id, a
/// dot and the signature (HMAC-SHA256). An id without a valid signature is a new visitor.
///
/// The store is [`ForeignFiles`](super::ForeignFiles) for session-file-store,
/// [`ForeignRedis`](super::ForeignRedis) for connect-redis, `ForeignPostgres` of the package
/// `actix-typed-session-sqlx` for connect-pg-simple, or one of your own. What the modules encrypt
/// themselves, or write with another serializer than JSON, is not read.
///
/// Everything that the site has put into `req.session` is taken over, and what express-session and
/// its stores have put there is not (`cookie`, `__lastAccess`). A value of the passport module is
/// under `passport`, as `{"user":…}`.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     MemoryStore, Session, SessionMiddleware,
///     import::{ExpressSession, ForeignFiles},
/// };
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Session)]
/// struct Visitor {
///     /// `req.session.userId`
///     #[session(privilege, alias = "userId")]
///     user_id: Option<i64>,
///     /// `req.session.passport`
///     #[session(privilege)]
///     passport: Option<Passport>,
/// }
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// struct Passport {
///     user: String,
/// }
///
/// let old = ExpressSession::new(ForeignFiles::new("sessions"), ["new secret", "old secret"]);
/// let sessions = SessionMiddleware::builder(MemoryStore::new()).import(old).build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
pub struct ExpressSession<S> {
    store: S,
    secrets: Vec<Secret<Vec<u8>>>,
    cookie: ForeignCookie,
    ttl: Option<Duration>,
}

/// The cookie of express-session.
const COOKIE: &str = "connect.sid";
/// What signed values begin with.
const SIGNED: &[u8] = b"s:";
/// What express-session and session-file-store put into a session.
const BOOKKEEPING: [&str; 2] = ["cookie", "__lastAccess"];

impl<S: ForeignStore> ExpressSession<S> {
    /// Sessions in this store, whose ids one of these secrets has signed: the option `secret`.
    ///
    /// Without a secret, no session is taken over.
    pub fn new(store: S, secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let secrets = secrets.into_iter().map(|secret| Secret::new(secret.into())).collect();
        Self { store, secrets, cookie: ForeignCookie::new(COOKIE), ttl: None }
    }

    /// Sets the cookie: the options `name`, `cookie.path` and `cookie.domain`. Defaults to
    /// `connect.sid` with the path `/` and no domain.
    ///
    /// Example: `.cookie(ForeignCookie::new("sid").domain("example.com"))`.
    #[must_use = "it returns the importer"]
    pub fn cookie(self, cookie: ForeignCookie) -> Self {
        Self { cookie, ..self }
    }

    /// Sets how long a session lives after its last use: the option `ttl` of session-file-store.
    /// Defaults to an hour, which is that module's default too.
    ///
    /// It holds for sessions that session-file-store has written, and whose cookies have no
    /// `maxAge`. Redis ends those of connect-redis itself.
    ///
    /// Example: `.ttl(Duration::from_secs(24 * 3600))`.
    #[must_use = "it returns the importer"]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// The id in a cookie's value, if one of the secrets has signed it.
    fn verify(&self, value: &[u8]) -> Option<ForeignId> {
        let signed = value.strip_prefix(SIGNED)?;
        let dot = signed.iter().rposition(|byte| *byte == b'.')?;
        let (id, signature) = (&signed[..dot], &signed[dot + 1..]);
        let signature = UNPADDED.decode(signature).ok()?;
        let has_signed = |secret: &Secret<Vec<u8>>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose())
                .expect("HMAC takes keys of any length");
            mac.update(id);
            // Compares in constant time.
            mac.verify_slice(&signature).is_ok()
        };
        let is_valid = self.secrets.iter().any(has_signed);
        let id = std::str::from_utf8(id).ok().filter(|id| is_valid && !id.is_empty())?;
        Some(ForeignId::new(id))
    }
}

/// Base64 without padding, which Express removes.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD);

impl<S: ForeignStore> Importer for ExpressSession<S> {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        find_cookie(request, self.cookie.name(), |value| self.verify(value))
    }

    async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        let Some(json) = self.store.load(id).await? else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        parse(&json, self.ttl.unwrap_or(FILE_TTL), now)
    }

    async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
        self.store.delete(id).await
    }

    fn cookie(&self) -> Option<ForeignCookie> {
        Some(self.cookie.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for ExpressSession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressSession")
            .field("store", &self.store)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

/// How long session-file-store keeps a session that is not used.
const FILE_TTL: Duration = Duration::from_secs(3_600);

/// The `cookie` of a session.
#[derive(Default, Deserialize)]
struct CookieOfSession {
    /// In ms.
    #[serde(default, rename = "originalMaxAge")]
    max_age: Option<f64>,
    #[serde(default)]
    expires: Option<String>,
}

/// Reads a session. `ttl` is for those of session-file-store. `now` is in ms since 1970.
fn parse(json: &[u8], ttl: Duration, now: u128) -> Result<Option<ForeignSession>, StoreError> {
    let mut session = ForeignSession::from_json(json)?;
    let [cookie, last_access] = BOOKKEEPING.map(|name| session.remove(name));
    let cookie = cookie.as_deref().and_then(read::<CookieOfSession>).unwrap_or_default();
    let end_of_cookie = cookie.expires.and_then(|text| unix_ms(&text));
    let last_access = last_access.as_deref().and_then(read::<f64>);
    #[expect(clippy::cast_precision_loss, reason = "times in ms are far below 2^53")]
    let (now, ttl) = (now as f64, ttl.as_millis() as f64);
    let end_of_file =
        last_access.map(|it| it + cookie.max_age.filter(|it| *it > 0.0).unwrap_or(ttl));
    let is_expired = [end_of_cookie, end_of_file].into_iter().flatten().any(|end| end < now);
    Ok((!is_expired).then_some(session))
}

fn read<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

/// A date as JavaScript writes it, in ms since 1970.
fn unix_ms(text: &str) -> Option<f64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "times in ms are far below 2^53")]
    let ms = (date.unix_timestamp_nanos() / 1_000_000) as f64;
    Some(ms)
}

#[cfg(test)]
mod tests {
    use super::super::foreign_files::ForeignFiles;
    use super::*;

    /// `s:` and what Express has signed with "keyboard cat".
    fn verified(value: &str, secrets: &[&str]) -> Option<String> {
        let old = ExpressSession::new(ForeignFiles::new("x"), secrets.iter().copied());
        old.verify(value.as_bytes()).map(|id| id.as_str().to_owned())
    }

    fn signed(id: &str, secret: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
        mac.update(id.as_bytes());
        format!("s:{id}.{}", UNPADDED.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn an_id_counts_if_one_of_the_secrets_has_signed_it() {
        let value = signed("a.b", "old");
        assert_eq!(verified(&value, &["new", "old"]).as_deref(), Some("a.b"));
        assert_eq!(verified(&value, &["new"]), None);
        assert_eq!(verified(&value, &[]), None);
        assert_eq!(verified(&value[2..], &["old"]), None, "without the mark");
        assert_eq!(verified(&value.replace("s:a", "s:b"), &["old"]), None);
        assert_eq!(verified(&format!("{value}="), &["old"]), None);
        for bad in ["", "s:", "s:.", "s:a", "s:a.", "s:a.é", &signed("", "old")] {
            assert_eq!(verified(bad, &["old"]), None, "{bad}");
        }
    }

    fn parsed(json: &str) -> String {
        // An hour after 2026-01-01.
        match parse(json.as_bytes(), Duration::from_secs(60), 1_767_229_200_000) {
            Ok(Some(session)) => format!("{:?}", session.names().collect::<Vec<_>>()),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_session_ends_with_its_cookie_or_a_while_after_its_last_use() {
        for (json, session) in [
            (r#"{"cookie":{"originalMaxAge":null,"expires":null},"a":1}"#, "[\"a\"]"),
            (r#"{"cookie":{"expires":"2026-01-01T01:00:00.000Z"},"a":1}"#, "[\"a\"]"),
            (r#"{"cookie":{"expires":"2026-01-01T00:59:59.999Z"},"a":1}"#, "none"),
            (r#"{"__lastAccess":1767229140000,"a":1}"#, "[\"a\"]"),
            (r#"{"__lastAccess":1767229139999,"a":1}"#, "none"),
            (r#"{"cookie":{"originalMaxAge":7200000},"__lastAccess":1767225600000}"#, "[]"),
            (r#"{"cookie":{"originalMaxAge":1000},"__lastAccess":1767225600000}"#, "none"),
            (r#"{"cookie":{"originalMaxAge":false},"a":1}"#, "[\"a\"]"),
            (r#"{"cookie":7,"__lastAccess":"x","a":1}"#, "[\"a\"]"),
            ("[1]", "the stored session is damaged"),
        ] {
            assert_eq!(parsed(json), session, "{json}");
        }
    }
}
