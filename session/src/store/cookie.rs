//! Sessions sealed whole in the cookie.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::http::header::HeaderMap;
use futures_util::future::{Either, ready};

use super::{
    erased::{ErasedStore, StoreFuture},
    persistence::{
        Backend, CookieBackend, CookieChange, Persistence, RequestStore, Sessions, sealed,
    },
    session_store::{Created, LoadOptions, Updated},
};
use crate::{
    crypto::{Key, Keyring},
    error::{ConfigError, StoreError},
    id::{SessionId, StoreKey},
    record::{Grace, Patch, Record},
    time::{Clock, Timestamp},
    transport::{Claim, CookieSettings, MOST_COOKIE_BYTES, Presented},
};

/// Keeps each session in its client's cookie, encrypted and authenticated (XChaCha20-Poly1305), and nothing on the
/// server.
///
/// For small sessions of sites that have no place for state. The client cannot read the session, nor change it, nor
/// use it under another cookie's name. But a server that remembers nothing cannot take anything back, so **this is
/// not a [`SessionStore`](crate::SessionStore)**, and its sessions can do less:
///
/// - **`destroy()` cannot end a session that somebody has a copy of.** It removes the cookie from the
///   client. A copy that was made before, by malware or a shared computer, say, is good until it expires: `max_age`
///   after its last use, and after `absolute_lifetime` at the latest. OWASP ASVS 5.0, 7.4.1, asks for sessions
///   that a logout ends, so use a store where a logout must be final, and short limits here.
/// - **`renew()`, `regenerate()` and `privilege` fields give a new id, and the old cookie stays good** in the same
///   way, as the session was when it was sealed.
/// - **Of concurrent requests, the last response wins as a whole.** Each has a copy of the session, and the browser
///   keeps one. Merge rules have nothing to merge with, so additions of concurrent requests do not add up.
/// - **A copy can be sent again**, and then is the session as it was: a voucher that was used, or a quota that was used
///   up, comes back. Keep such facts in your database.
/// - There are no sessions to count, to list, or to end from elsewhere.
///
/// Every change is a new cookie, and a request that changes nothing sets none, except to extend the session as
/// [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval) says. So changes after the head of the
/// response are [`SessionError::ResponseSent`](crate::SessionError::ResponseSent). `max_age` and `absolute_lifetime`
/// are inside the seal and hold whatever the browser does. `renewal_grace` and `on_outage` have no meaning here.
///
/// # Size
///
/// Browsers keep 4 096 bytes of name, value and attributes (RFC 6265bis, 6.1), and drop a larger cookie without a
/// word. A response whose cookie would be larger is
/// a 500 with [`StoreError::CookieTooLarge`] in the log instead, and the client keeps the session as it was. About
/// 2 800 bytes are left for the fields with their names, as JSON.
///
/// # Keys
///
/// The first key seals and all of them open. A cookie gets the newest key when the session next changes or is
/// extended. To replace a key, give the new one to every process as the *last*, then move it to the front
/// everywhere, and take the old one away after `absolute_lifetime`. Taking a key away at once ends every session that is sealed
/// with it, which is the way to log everybody out.
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
    /// Sessions that are sealed with the first of these keys.
    ///
    /// # Errors
    /// There is no key.
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
    fn into_sessions(self) -> Sessions {
        Sessions(Persistence::Client(Arc::new(self)))
    }
}

impl CookieBackend for CookieStore {
    fn open(
        &self,
        cookie: &Arc<CookieSettings>,
        clock: &Arc<dyn Clock>,
        headers: &HeaderMap,
    ) -> (Presented, Arc<dyn RequestStore>) {
        let mut sessions = Vec::new();
        let presented = cookie.find_by(headers, |value| {
            let plain = self.keys.open(cookie.name.as_bytes(), value).ok()?;
            let (id, record) = Record::from_compact_bytes(&plain)?;
            let id = SessionId::parse(id.as_bytes())?;
            sessions.push(Session::new(id.clone(), Some(record)));
            Some(Claim { id, is_outdated: false })
        });
        let jar = Jar {
            cookie: Arc::clone(cookie),
            clock: Arc::clone(clock),
            keys: Arc::clone(&self.keys),
            sessions: Mutex::new(sessions),
        };
        (presented, Arc::new(jar))
    }
}

/// The sessions of one request: those that came with it, and those that go with its response.
struct Jar {
    cookie: Arc<CookieSettings>,
    clock: Arc<dyn Clock>,
    keys: Arc<Keyring>,
    sessions: Mutex<Vec<Session>>,
}

struct Session {
    id: SessionId,
    key: StoreKey,
    /// `None` if it has not begun, or has ended.
    record: Option<Record>,
    /// The record sealed, if it was changed.
    sealed: Option<String>,
}

impl Session {
    fn new(id: SessionId, record: Option<Record>) -> Self {
        Self { key: StoreKey::from(&id), id, record, sealed: None }
    }
}

impl Jar {
    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        // OK because nothing that runs under the lock leaves a session half changed.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a session that came along or was announced.
    fn with<R>(&self, key: &StoreKey, action: impl FnOnce(&mut Session) -> R) -> Option<R> {
        self.lock().iter_mut().find(|session| session.key == *key).map(action)
    }

    /// Gives a session another record, if the client can take it.
    fn put(&self, session: &mut Session, record: Record) -> Result<(), StoreError> {
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

    fn record(&self, key: &StoreKey) -> Option<Record> {
        self.with(key, |session| self.live(session).cloned()).flatten()
    }

    /// The session's record, unless it has expired by now.
    fn live<'a>(&self, session: &'a Session) -> Option<&'a Record> {
        let now = self.clock.now();
        session.record.as_ref().filter(|record| !record.is_expired(now))
    }

    fn create_now(&self, key: &StoreKey, record: Record) -> Result<Created, StoreError> {
        self.with(key, |session| match session.record {
            Some(_) => Ok(Created::Taken),
            None => self.put(session, record).map(|()| Created::Stored),
        })
        .unwrap_or_else(|| Err(unexpected_id()))
    }

    fn patch(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        self.with(key, |session| {
            let Some(record) = self.live(session) else { return Ok(Updated::Gone) };
            match patch.apply_to(record) {
                Err(refused) => Ok(Updated::refused(refused, record.clone())),
                Ok(patched) => {
                    let version = patched.version();
                    self.put(session, patched).map(|()| Updated::Applied { version })
                }
            }
        })
        .unwrap_or(Ok(Updated::Gone))
    }

    fn touch_now(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.with(key, |session| match self.live(session).cloned() {
            None => Ok(false),
            Some(record) => self.put(session, record.extended_to(expires_at)).map(|()| true),
        })
        .unwrap_or(Ok(false))
    }

    fn end(&self, key: &StoreKey) -> bool {
        self.with(key, |session| {
            session.sealed = None;
            session.record.take().is_some()
        })
        .unwrap_or(false)
    }

    /// The old session is not kept for late requests: whoever has its cookie reads that.
    fn rotate_now(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
    ) -> Result<Updated, StoreError> {
        let Some(record) = self.record(old) else { return Ok(Updated::Gone) };
        let moved = match patch.apply_to(&record) {
            Err(refused) => return Ok(Updated::refused(refused, record)),
            Ok(moved) => moved,
        };
        let version = moved.version();
        match self.create_now(new, moved)? {
            Created::Taken => Ok(Updated::Taken),
            Created::Stored => {
                self.end(old);
                Ok(Updated::Applied { version })
            }
        }
    }
}

fn unexpected_id() -> StoreError {
    StoreError::internal("a session was to begin under an id that was not announced")
}

impl RequestStore for Jar {
    fn expect_id(&self, id: &SessionId) {
        let mut sessions = self.lock();
        if sessions.iter().all(|session| session.id != *id) {
            sessions.push(Session::new(id.clone(), None));
        }
    }

    fn cookie_change(&self, id: &SessionId) -> CookieChange {
        let sessions = self.lock();
        match sessions.iter().find(|session| session.id == *id) {
            Some(Session { record: Some(_), sealed: Some(sealed), .. }) => {
                CookieChange::Value(sealed.clone())
            }
            Some(Session { record: Some(_), .. }) => CookieChange::Nothing,
            Some(_) | None => CookieChange::Ended,
        }
    }
}

impl ErasedStore for Jar {
    fn create(self: Arc<Self>, key: StoreKey, record: Record) -> StoreFuture<Created> {
        Either::Left(ready(self.create_now(&key, record)))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn load(self: Arc<Self>, key: StoreKey, _: LoadOptions) -> StoreFuture<Option<Record>> {
        Either::Left(ready(Ok(self.record(&key))))
    }

    fn update(self: Arc<Self>, key: StoreKey, patch: Patch) -> StoreFuture<Updated> {
        Either::Left(ready(self.patch(&key, &patch)))
    }

    fn touch(self: Arc<Self>, key: StoreKey, expires_at: Timestamp) -> StoreFuture<bool> {
        Either::Left(ready(self.touch_now(&key, expires_at)))
    }

    fn destroy(self: Arc<Self>, key: StoreKey) -> StoreFuture<bool> {
        Either::Left(ready(Ok(self.end(&key))))
    }

    fn rotate(
        self: Arc<Self>,
        old: StoreKey,
        new: StoreKey,
        patch: Patch,
        _: Grace,
    ) -> StoreFuture<Updated> {
        Either::Left(ready(self.rotate_now(&old, &new, &patch)))
    }
}
