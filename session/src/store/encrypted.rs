//! Encryption at rest, around any store.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::{sync::OwnedMutexGuard, time::timeout};

use super::{
    capabilities::DeleteExpired,
    merge_locks::MergeLocks,
    session_store::{Created, Renewal, SessionStore, Updated},
};
use crate::{
    crypto::{Key, Keyring, Unopened},
    error::{Cause, ConfigError, StoreError},
    id::StoreKey,
    record::{Change, Grace, Patch, Record, Refused},
    time::Timestamp,
};

/// Keeps sessions in another store, with the value of each field encrypted and authenticated
/// (XChaCha20-Poly1305; OWASP ASVS 5.0, 11.3 and 14.2).
///
/// Who reads the store, its backups or its traffic sees how many sessions there are, when they began and end,
/// and what their fields are called and how long they are, but no value. A value that was changed, or moved to
/// another session or another field, does not open: the session is
/// [damaged](StoreError::Damaged), its user goes on as a new visitor, and the log has the reason. What
/// encryption cannot notice is an older value of the same field of the same session that is put back, or a
/// field that is taken away.
///
/// It keeps all the laws of [`SessionStore`], for the price of about 60 bytes and 4/3 of the size per field.
/// It cannot find sessions by the value of a field ([`FindByIndex`](crate::FindByIndex)), and one call differs: an update with an [addition](Change::Add) reads the field first and then writes the sum,
/// if nobody has changed the session meanwhile, because no store adds to numbers that it cannot read.
///
/// Clones are handles to the same store.
///
/// # Keys
///
/// The first key seals and all of them open. To replace a key without a pause: give the new one to every
/// process as the *last*, then move it to the front everywhere, and take the old one away when nothing is
/// sealed with it any more, at the latest after the sessions' absolute lifetime. A field gets the newest key
/// when it is next written, and the whole session when its id is renewed. What is sealed with a key that was taken
/// away is damaged.
///
/// # Examples
/// ```
/// use actix_typed_session::{EncryptedStore, Key, MemoryStore, SessionMiddleware};
///
/// // In an application: `Key::from_base64(&std::env::var("SESSION_KEY")?)?`.
/// let key = Key::generate();
/// let sessions = SessionMiddleware::new(EncryptedStore::new(MemoryStore::new(), [key])?);
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
pub struct EncryptedStore<S> {
    shared: Arc<Shared<S>>,
    plain: Plain,
}

struct Shared<S> {
    store: S,
    keys: Keyring,
    merge_locks: MergeLocks,
}

/// What becomes of stored values that were never sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Refused,
    Accepted,
}

impl<S: SessionStore> EncryptedStore<S> {
    /// A store whose values are sealed with the first of these keys before they get into `store`.
    ///
    /// # Errors
    /// There is no key.
    pub fn new(store: S, keys: impl IntoIterator<Item = Key>) -> Result<Self, ConfigError> {
        let keys = Keyring::new(keys, "actix-typed-session: field of a stored session, 1")?;
        let shared = Shared { store, keys, merge_locks: MergeLocks::default() };
        Ok(Self { shared: Arc::new(shared), plain: Plain::Refused })
    }

    /// Reads values that were stored before there was encryption, too; what is written is sealed. Without it,
    /// they are damaged.
    ///
    /// It is for turning encryption on with the sessions there are. Take it away again once those have ended:
    /// until then, who can write to the store can put plain values of their own into a session.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{EncryptedStore, Key, MemoryStore};
    ///
    /// let store = EncryptedStore::new(MemoryStore::new(), [Key::generate()])?.accept_plain();
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    #[must_use = "it makes another handle; the one there is stays as it is"]
    pub fn accept_plain(self) -> Self {
        Self { plain: Plain::Accepted, ..self }
    }

    /// The store inside. What comes from it is sealed.
    pub fn inner(&self) -> &S {
        &self.shared.store
    }
}

impl<S> Clone for EncryptedStore<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), plain: self.plain }
    }
}

impl<S: fmt::Debug> fmt::Debug for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("store", &self.shared.store)
            .field("keys", &self.shared.keys)
            .field("plain", &self.plain)
            .finish()
    }
}

impl<S: SessionStore> SessionStore for EncryptedStore<S> {
    const IMMEDIATE: bool = S::IMMEDIATE;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        self.inner().create(key, &self.sealed_record(key, record)).await
    }

    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.opened(key, self.inner().load(key).await?)
    }

    fn at_hand(&self, key: &StoreKey) -> Option<Record> {
        // What does not open is told by `load`.
        self.opened_record(key, self.inner().at_hand(key)?).ok()
    }

    async fn load_fields(
        &self,
        key: &StoreKey,
        fields: &[&str],
    ) -> Result<Option<Record>, StoreError> {
        self.opened(key, self.inner().load_fields(key, fields).await?)
    }

    async fn load_and_touch(
        &self,
        key: &StoreKey,
        renewal: &Renewal,
    ) -> Result<Option<Record>, StoreError> {
        self.opened(key, self.inner().load_and_touch(key, renewal).await?)
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        // A session that begins anew has nothing to add to.
        if patch.begins_anew().is_none() && !added(patch).is_empty() {
            return self.add(key, patch).await;
        }
        match self.inner().update(key, &self.sealed_patch(key, patch, None)?).await? {
            Updated::Conflict(current) => self.opened_record(key, current).map(Updated::Conflict),
            updated => Ok(updated),
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.inner().touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.inner().destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        if patch.begins_anew().is_none() {
            return self.reseal(old, new, patch, grace).await;
        }
        let mut sealed = self.sealed_patch(new, patch, None)?;
        if let Some(basis) = patch.basis() {
            sealed.set_basis(self.sealed_record(old, basis));
        }
        match self.inner().rotate(old, new, &sealed, grace).await? {
            Updated::Conflict(current) => self.opened_record(old, current).map(Updated::Conflict),
            updated => Ok(updated),
        }
    }
}

impl<S: DeleteExpired> DeleteExpired for EncryptedStore<S> {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.inner().delete_expired().await
    }
}

/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The fields that a patch adds to.
fn added(patch: &Patch) -> Vec<&str> {
    let is_addition = |(_, change): &(_, &Change)| matches!(change, Change::Add { .. });
    patch.changes().filter(is_addition).map(|(name, _)| name).collect()
}

// What must read before it writes. It writes to the version that it has read, and tries again if there is
// another by then.
impl<S: SessionStore> EncryptedStore<S> {
    /// How often a write is tried. Each time that one fails, another has succeeded. In memory a try takes no
    /// longer than what it competes with; elsewhere the calls of this process queue up, and only those of
    /// other processes compete.
    const ATTEMPTS: usize = if S::IMMEDIATE { 10_000 } else { 200 };

    /// Waits for the calls of this process that write to the same session. A store that answers at once does
    /// not wait.
    async fn turn(&self, key: &StoreKey) -> Result<Option<OwnedMutexGuard<()>>, StoreError> {
        if S::IMMEDIATE {
            return Ok(None);
        }
        let turn = timeout(PATIENCE, self.shared.merge_locks.wait(key)).await;
        turn.map(Some).map_err(StoreError::unavailable)
    }

    /// An update with additions.
    async fn add(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let _turn = self.turn(key).await?;
        let mut found = self.inner().load_fields(key, &added(patch)).await?;
        for _ in 0..Self::ATTEMPTS {
            let Some(current) = found else { return Ok(Updated::Gone) };
            match patch.apply_to(&current).err() {
                Some(Refused::Retired) => return Ok(Updated::Gone),
                // The caller gets the record as a whole.
                Some(Refused::Stale) if !current.is_whole() => {
                    found = self.inner().load(key).await?;
                    continue;
                }
                Some(Refused::Stale) => {
                    return self.opened_record(key, current).map(Updated::Conflict);
                }
                None => {}
            }
            let mut sealed = self.sealed_patch(key, patch, Some(&current))?;
            sealed.expect_version(current.version());
            found = match self.inner().update(key, &sealed).await? {
                Updated::Conflict(newer) => Some(newer),
                updated => return Ok(updated),
            };
        }
        Err(contended())
    }

    /// A rotation that keeps the fields: all of them get the new key's seal.
    async fn reseal(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        let _turn = self.turn(old).await?;
        // What the request has read is as good as what is there, if the version says so in the end.
        let known = patch.basis().filter(|basis| basis.is_whole() && patch.apply_to(basis).is_ok());
        let (mut basis, mut sealed_basis) = match known {
            Some(basis) => (basis.clone(), self.sealed_record(old, basis)),
            None => match self.inner().load(old).await? {
                Some(sealed) => (self.opened_record(old, sealed.clone())?, sealed),
                None => return Ok(Updated::Gone),
            },
        };
        for _ in 0..Self::ATTEMPTS {
            let moved = match patch.apply_to(&basis) {
                Ok(moved) => moved,
                Err(refused) => return Ok(Updated::refused(refused, basis)),
            };
            let mut whole = patch.clone();
            for (name, json) in moved.fields.iter() {
                whole.set(name.clone(), Arc::clone(json));
            }
            let mut sealed = self.sealed_patch(new, &whole, None)?;
            sealed.expect_version(basis.version());
            sealed.set_basis(sealed_basis);
            (basis, sealed_basis) = match self.inner().rotate(old, new, &sealed, grace).await? {
                Updated::Conflict(newer) => (self.opened_record(old, newer.clone())?, newer),
                updated => return Ok(updated),
            };
        }
        Err(contended())
    }
}

fn contended() -> StoreError {
    StoreError::unavailable("other requests changed the session again and again")
}

// Sealing and opening.
impl<S: SessionStore> EncryptedStore<S> {
    /// The patch with what it sets sealed. What it adds is added to what is sealed in `current`.
    fn sealed_patch(
        &self,
        key: &StoreKey,
        patch: &Patch,
        current: Option<&Record>,
    ) -> Result<Patch, StoreError> {
        patch.try_map(|name, change| {
            let stored = match change {
                Change::Add { .. } => current.and_then(|record| record.fields.get(name)),
                Change::Set(_) | Change::Remove => None,
            };
            let stored = stored.map(|json| self.opened_json(key, name, json)).transpose()?;
            Ok(match change.applied_to(stored.as_ref()) {
                Some(json) => Change::Set(self.sealed_json(key, name, &json)),
                None => Change::Remove,
            })
        })
    }

    fn sealed_record(&self, key: &StoreKey, record: &Record) -> Record {
        // Nobody finds a session by what is sealed.
        let mut record = Record { index: None, ..record.clone() };
        for (name, json) in Arc::make_mut(&mut record.fields).iter_mut() {
            *json = self.sealed_json(key, name, json);
        }
        record
    }

    fn opened(&self, key: &StoreKey, record: Option<Record>) -> Result<Option<Record>, StoreError> {
        record.map(|record| self.opened_record(key, record)).transpose()
    }

    fn opened_record(&self, key: &StoreKey, mut record: Record) -> Result<Record, StoreError> {
        for (name, json) in Arc::make_mut(&mut record.fields).iter_mut() {
            *json = self.opened_json(key, name, json)?;
        }
        Ok(record)
    }

    fn sealed_json(&self, key: &StoreKey, name: &str, json: &RawValue) -> Arc<RawValue> {
        let text = self.shared.keys.seal(&context(key, name), json.get().as_bytes());
        RawValue::from_string(format!("{SEALED}{text}\""))
            .expect("a sealed text has no character that JSON escapes")
            .into()
    }

    fn opened_json(
        &self,
        key: &StoreKey,
        name: &str,
        json: &Arc<RawValue>,
    ) -> Result<Arc<RawValue>, StoreError> {
        let unopened = |cause: Cause| Unreadable { field: name.to_owned(), cause };
        let text = json.get().strip_prefix(SEALED).and_then(|text| text.strip_suffix('"'));
        let Some(text) = text else {
            return match self.plain {
                Plain::Accepted => Ok(Arc::clone(json)),
                Plain::Refused => Err(StoreError::damaged(unopened(Unopened::NotSealed.into()))),
            };
        };
        let opened = self.shared.keys.open(&context(key, name), text.as_bytes());
        let plain = opened.map_err(|error| match error {
            // A rolling deploy: the newer release can read it, so it is not damage.
            Unopened::LaterFormat(_) => StoreError::unavailable(unopened(error.into())),
            _ => StoreError::damaged(unopened(error.into())),
        })?;
        let text = String::from_utf8(plain)
            .map_err(|error| StoreError::damaged(unopened(error.utf8_error().into())))?;
        // Without the cause, which may quote the value.
        RawValue::from_string(text)
            .map(Arc::from)
            .map_err(|_| StoreError::damaged(unopened("what is sealed is not JSON".into())))
    }
}

/// What a sealed value begins with. It is a JSON string, so stores that look at values take it; a plain string that
/// begins like this is not to be expected.
const SEALED: &str = "\"~";

/// The place of a value: no other session and no other field has the same.
fn context(key: &StoreKey, name: &str) -> Vec<u8> {
    [key.as_bytes(), name.as_bytes()].concat()
}

/// A field's value cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored value of the field `{field}` does not open")]
struct Unreadable {
    field: String,
    #[source]
    cause: Cause,
}
