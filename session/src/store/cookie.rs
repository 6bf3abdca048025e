//! Whole sessions, encrypted in the cookie.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::http::header::HeaderMap;
use futures_util::future::{Either, ready};

use super::{
    erased::{ErasedStore, StoreFuture},
    persistence::{
        Backend, CookieBackend, CookieChange, Persisted, Persistence, RequestStore, sealed,
    },
    session_store::{CreateOutcome, LoadOptions, UpdateOutcome},
};
use crate::{
    crypto::{Key, Keyring, Unopened},
    error::{ConfigError, StoreError},
    id::{SessionId, StoreKey},
    record::{Grace, Patch, Record},
    time::{Clock, Timestamp},
    transport::{Claim, CookieSettings, MOST_COOKIE_BYTES, Presented},
};

/// Keeps each session in its client's cookie, encrypted and authenticated (XChaCha20-Poly1305). The
/// server keeps nothing.
///
/// It suits small sessions of sites that have no place for state. The client can neither read nor
/// change the session, nor use it under another cookie's name. But the server cannot revoke a copy
/// of a cookie. So **this is not a [`SessionStore`](crate::store::SessionStore)**, and it can do
/// less:
///
/// - **`destroy()` cannot end copies of a session.** It removes the cookie from the client. An
///   earlier copy, made by malware or on a shared computer, stays valid until it expires: `max_age`
///   after its last use, and at the latest after `absolute_lifetime`. OWASP ASVS 5.0, 7.4.1, asks
///   that a logout ends the session. Use a store where a logout must be final, and short limits
///   here.
/// - **`renew()`, `regenerate()` and `privilege` fields give a new id, and the old cookie stays
///   valid** in the same way, with the session as it was.
/// - **Of concurrent requests, the last response replaces the whole session.** Each request has a
///   copy of the session, and the browser keeps one. Merge rules have nothing to merge with, so
///   concurrent additions do not add up.
/// - **A client can send an old copy again**, with the session as it was. A used voucher or a used
///   quota comes back. Keep such facts in your database.
/// - You cannot count or list the sessions, or end them from elsewhere.
///
/// Each change sets a new cookie. A request without a change sets no cookie, except to extend the
/// session after the [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval). So a
/// change after the head of the response is
/// [`SessionError::ResponseSent`](crate::SessionError::ResponseSent).
///
/// `max_age` and `absolute_lifetime` are encrypted with the session, and the server checks them.
/// `renewal_grace` and `on_outage` have no effect here.
///
/// # Size
///
/// Browsers keep 4 096 bytes of name, value and attributes (RFC 6265bis, 6.1), and silently drop a
/// larger cookie. If the cookie would be larger, the response is a 500 with
/// [`StoreError::CookieTooLarge`] in the log, and the client keeps the session as it was. The
/// fields can take about 2 800 bytes, with their names, as JSON.
///
/// # Keys
///
/// The first key encrypts, and all keys decrypt. A cookie gets the newest key when the session is
/// next changed or extended. To replace a key:
///
/// 1. Give the new key to every process as the *last*.
/// 2. Move it to the front in every process.
/// 3. Remove the old key after `absolute_lifetime`.
///
/// To log everybody out, remove the key at once: that ends every session that is encrypted with it.
///
/// # Rolling deploys
///
/// While two releases run, an older one may get a cookie that the later one wrote in a new format.
/// It leaves that cookie alone: the visitor reads as new, and what the request writes is dropped,
/// with one warning in the log. `save()` is
/// [`SessionError::LaterCookie`](crate::SessionError::LaterCookie). A login (a change of a
/// `privilege` field), `regenerate()` and `destroy()` replace or remove the cookie.
///
/// Applications that share a key and a cookie name can use each other's cookies.
///
/// # Examples
/// ```
/// use actix_typed_session::{CookieStore, Key, SessionMiddleware};
/// use std::time::Duration;
///
/// // In an application: `Key::from_base64(&std::env::var("SESSION_KEY")?)?`.
/// let key = Key::generate();
/// let sessions = SessionMiddleware::builder(CookieStore::new([key])?)
///     .max_age(Duration::from_secs(30 * 60))
///     .absolute_lifetime(Duration::from_secs(8 * 3600))
///     .build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CookieStore {
    keys: Arc<Keyring>,
}

impl CookieStore {
    /// Creates a store that encrypts sessions with the first of these keys.
    ///
    /// # Errors
    /// The list of keys is empty.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, ConfigError> {
        let keys = Keyring::new(keys, "actix-typed-session: session in a cookie, 1")?;
        Ok(Self { keys: Arc::new(keys) })
    }
}

impl fmt::Debug for CookieStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieStore").field("keys", &self.keys).finish()
    }
}

impl Backend for CookieStore {}

impl sealed::Sealed for CookieStore {
    fn into_persistence(self) -> Persisted {
        Persisted(Persistence::Client(Arc::new(self)))
    }
}

impl CookieBackend for CookieStore {
    fn open(
        &self,
        cookie: &Arc<CookieSettings>,
        clock: &Arc<dyn Clock>,
        headers: &HeaderMap,
        with_formers: bool,
    ) -> (Presented, Arc<dyn RequestStore>) {
        let mut sessions = Vec::new();
        let mut is_later = false;
        let read = |cookie: &CookieSettings, value: &[u8]| match self.read(cookie, value) {
            InCookie::Session(id, record) => {
                sessions.push(SealedSession::new(id.clone(), Some(record)));
                Some(Claim::new(id))
            }
            InCookie::LaterFormat => {
                is_later = true;
                None
            }
            InCookie::Nothing => None,
        };
        let mut presented = cookie.find_by(headers, with_formers, read);
        presented.is_later = is_later;
        let cookie_sessions = CookieSessions {
            cookie: Arc::clone(cookie),
            clock: Arc::clone(clock),
            keys: Arc::clone(&self.keys),
            sessions: Mutex::new(sessions),
        };
        (presented, Arc::new(cookie_sessions))
    }
}

/// What a cookie holds.
enum InCookie {
    Session(SessionId, Record),
    /// A session in a format that this release cannot read.
    LaterFormat,
    Nothing,
}

/// The formats that later releases may have. A higher number is another application's.
const FORMATS: RangeInclusive<u32> = 2..=99;

impl CookieStore {
    fn read(&self, cookie: &CookieSettings, value: &[u8]) -> InCookie {
        match self.keys.open(cookie.name.as_bytes(), value) {
            Ok(plain) => Record::from_compact_bytes(&plain)
                .and_then(|(id, record)| Some((SessionId::parse(id.as_bytes())?, record)))
                // One of our keys sealed it, so a release with another format of records did.
                .map_or(InCookie::LaterFormat, |(id, record)| InCookie::Session(id, record)),
            Err(Unopened::LaterFormat(format)) if FORMATS.contains(&format) => {
                InCookie::LaterFormat
            }
            Err(_) => InCookie::Nothing,
        }
    }
}

/// The sessions of one request: those from its cookies, and those for its response.
struct CookieSessions {
    cookie: Arc<CookieSettings>,
    clock: Arc<dyn Clock>,
    keys: Arc<Keyring>,
    sessions: Mutex<Vec<SealedSession>>,
}

/// A session in a cookie.
struct SealedSession {
    id: SessionId,
    key: StoreKey,
    /// `None` before it is created, and after it is destroyed.
    record: Option<Record>,
    /// The cookie's new value, if the record was changed.
    sealed: Option<String>,
}

impl SealedSession {
    fn new(id: SessionId, record: Option<Record>) -> Self {
        Self { key: StoreKey::from(&id), id, record, sealed: None }
    }
}

impl CookieSessions {
    fn lock(&self) -> MutexGuard<'_, Vec<SealedSession>> {
        // OK because no code that runs under the lock leaves a session half changed.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `action` with a session from the request, or one that `expect_id` has announced.
    fn with<R>(&self, key: &StoreKey, action: impl FnOnce(&mut SealedSession) -> R) -> Option<R> {
        self.lock().iter_mut().find(|session| session.key == *key).map(action)
    }

    /// Replaces a session's record, if the cookie is small enough for browsers.
    fn put(&self, session: &mut SealedSession, record: Record) -> Result<(), StoreError> {
        let plain = record.to_compact_bytes(session.id.as_str());
        let sealed = self.keys.seal(self.cookie.name.as_bytes(), &plain);
        let bytes = self.cookie.most_bytes(&sealed);
        if bytes > MOST_COOKIE_BYTES {
            return Err(StoreError::CookieTooLarge { bytes, limit: MOST_COOKIE_BYTES });
        }
        session.record = Some(record);
        session.sealed = Some(sealed);
        Ok(())
    }

    fn load_record(&self, key: &StoreKey) -> Option<Record> {
        self.with(key, |session| self.unexpired(session).cloned()).flatten()
    }

    /// The session's record, unless it has expired.
    fn unexpired<'a>(&self, session: &'a SealedSession) -> Option<&'a Record> {
        let now = self.clock.now();
        session.record.as_ref().filter(|record| !record.is_expired(now))
    }

    fn create_record(&self, key: &StoreKey, record: Record) -> Result<CreateOutcome, StoreError> {
        self.with(key, |session| match session.record {
            Some(_) => Ok(CreateOutcome::Taken),
            None => self.put(session, record).map(|()| CreateOutcome::Stored),
        })
        .unwrap_or_else(|| Err(unexpected_id()))
    }

    fn update_record(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.with(key, |session| {
            let Some(record) = self.unexpired(session) else { return Ok(UpdateOutcome::Gone) };
            match patch.apply_to(record) {
                Err(refused) => Ok(UpdateOutcome::refused(refused, record.clone())),
                Ok(patched) => {
                    let version = patched.version();
                    self.put(session, patched).map(|()| UpdateOutcome::Applied { version })
                }
            }
        })
        .unwrap_or(Ok(UpdateOutcome::Gone))
    }

    fn touch_record(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.with(key, |session| match self.unexpired(session).cloned() {
            None => Ok(false),
            Some(record) => self.put(session, record.extended_to(expires_at)).map(|()| true),
        })
        .unwrap_or(Ok(false))
    }

    fn destroy_record(&self, key: &StoreKey) -> bool {
        self.with(key, |session| {
            session.sealed = None;
            session.record.take().is_some()
        })
        .unwrap_or(false)
    }

    /// Keeps no retired record for late requests: they have the old cookie and read the session
    /// from it.
    fn rotate_record(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
    ) -> Result<UpdateOutcome, StoreError> {
        let Some(record) = self.load_record(old) else { return Ok(UpdateOutcome::Gone) };
        let moved = match patch.apply_to(&record) {
            Err(refused) => return Ok(UpdateOutcome::refused(refused, record)),
            Ok(moved) => moved,
        };
        let version = moved.version();
        match self.create_record(new, moved)? {
            CreateOutcome::Taken => Ok(UpdateOutcome::Taken),
            CreateOutcome::Stored => {
                self.destroy_record(old);
                Ok(UpdateOutcome::Applied { version })
            }
        }
    }
}

fn unexpected_id() -> StoreError {
    StoreError::internal("a session was created with an id that `expect_id` has not announced")
}

impl RequestStore for CookieSessions {
    fn expect_id(&self, id: &SessionId) {
        let mut sessions = self.lock();
        if sessions.iter().all(|session| session.id != *id) {
            sessions.push(SealedSession::new(id.clone(), None));
        }
    }

    fn cookie_change(&self, id: &SessionId) -> CookieChange {
        let sessions = self.lock();
        match sessions.iter().find(|session| session.id == *id) {
            Some(SealedSession { record: Some(_), sealed: Some(sealed), .. }) => {
                CookieChange::Value(sealed.clone())
            }
            Some(SealedSession { record: Some(_), .. }) => CookieChange::Nothing,
            Some(_) | None => CookieChange::Ended,
        }
    }
}

impl ErasedStore for CookieSessions {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<CreateOutcome> {
        Either::Left(ready(self.create_record(&key, record)))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn load_at_once(
        &self,
        key: &StoreKey,
        _: &LoadOptions<'static>,
    ) -> Option<Result<Option<Record>, StoreError>> {
        Some(Ok(self.load_record(key)))
    }

    fn load(
        self: Arc<Self>,
        key: StoreKey,
        _: LoadOptions<'static>,
    ) -> StoreFuture<Option<Record>> {
        Either::Left(ready(Ok(self.load_record(&key))))
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<UpdateOutcome> {
        Either::Left(ready(self.update_record(&key, &patch)))
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool> {
        Either::Left(ready(self.touch_record(&key, expires_at)))
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool> {
        Either::Left(ready(Ok(self.destroy_record(&key))))
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        _: Grace,
    ) -> StoreFuture<UpdateOutcome> {
        Either::Left(ready(self.rotate_record(&old, &new, &patch)))
    }
}
