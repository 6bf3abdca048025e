//! Encryption at rest, around any store.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::{sync::OwnedMutexGuard, time::timeout};

use super::{
    capabilities::{DeleteExpired, Ping},
    listing::{ListAll, ListCursor, ListPage},
    merge_locks::MergeLocks,
    session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};
use crate::{
    crypto::{Key, Keyring, Unopened, is_sealed},
    error::{BoxError, ConfigError, StoreError},
    id::StoreKey,
    record::{Change, Grace, Patch, PatchError, Record},
    time::Timestamp,
};

/// Keeps sessions in another store and encrypts the value of each field.
///
/// The cipher is XChaCha20-Poly1305, which also authenticates (OWASP ASVS 5.0, 11.3 and 14.2).
///
/// A reader of the store, its backups or its traffic sees no value. It sees how many sessions there
/// are, when they begin and end, the names of their fields, and the length of each value.
///
/// A value that was changed, or moved to another session or field, cannot be decrypted. Its session
/// is then [damaged](StoreError::Damaged): the user continues as a new visitor, and the log has the
/// reason. Encryption does not detect that an older value of the same field and session was put
/// back, or that a field was removed.
///
/// All laws of [`SessionStore`] hold. Each field takes about 60 bytes and 4/3 of its size.
///
/// There are two differences. It cannot find sessions by the value of a field
/// ([`FindByIndex`](crate::store::FindByIndex)). And no store can add to encrypted numbers, so an
/// update with an [addition](Change::Add) reads the field, and writes the sum if the session is
/// unchanged.
///
/// Clones are handles to the same store.
///
/// # Keys
///
/// The first key encrypts, and all keys decrypt. To replace a key without a pause:
///
/// 1. Give the new key to every process as the *last*.
/// 2. Move it to the front in every process.
/// 3. Remove the old key when no value is encrypted with it any more. That is so after the absolute
///    lifetime of the sessions at the latest.
///
/// A field gets the newest key when it is next written. All fields of a session get it when its id
/// is renewed. A value whose key was removed is damaged.
///
/// A process that lacks a key deletes and changes nothing: the stored session stays as it is, and
/// the log has an error. But its client reads as a new visitor and loses the cookie, so do not
/// leave out the first step. A value in the format of a later release makes the session
/// [unavailable](StoreError::Unavailable), and its client keeps the cookie.
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
    shared: Arc<EncryptedStoreInner<S>>,
    plain_values: PlainValues,
}

struct EncryptedStoreInner<S> {
    store: S,
    keys: Keyring,
    merge_locks: MergeLocks,
}

/// Whether to read stored values that are not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainValues {
    Refused,
    Accepted,
}

impl<S: SessionStore> EncryptedStore<S> {
    /// Creates a store that encrypts values with the first of these keys and keeps them in `store`.
    ///
    /// # Errors
    /// The list of keys is empty.
    pub fn new(store: S, keys: impl IntoIterator<Item = Key>) -> Result<Self, ConfigError> {
        let keys = Keyring::new(keys, "actix-typed-session: field of a stored session, 1")?;
        let shared = EncryptedStoreInner { store, keys, merge_locks: MergeLocks::default() };
        Ok(Self { shared: Arc::new(shared), plain_values: PlainValues::Refused })
    }

    /// Also reads plain values, from before the sessions were encrypted. All writes are encrypted.
    ///
    /// Use it to start encryption without ending the existing sessions. Remove it once those have
    /// ended: until then, an attacker who can write to the store can put plain values into a
    /// session.
    ///
    /// Defaults to off: a plain value is damaged.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{EncryptedStore, Key, MemoryStore};
    ///
    /// let store = EncryptedStore::new(MemoryStore::new(), [Key::generate()])?.accept_plain();
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    #[must_use = "it returns a new handle and does not change this one"]
    pub fn accept_plain(self) -> Self {
        Self { plain_values: PlainValues::Accepted, ..self }
    }

    /// Returns the store inside. Its values are encrypted.
    pub fn inner(&self) -> &S {
        &self.shared.store
    }
}

/// Whether a stored value of a field is one that an [`EncryptedStore`] has encrypted, such as in a
/// tool that shows what is stored.
///
/// # Examples
/// ```
/// use actix_typed_session::store::is_encrypted;
/// use serde_json::value::RawValue;
///
/// let plain = RawValue::from_string("\"tea\"".to_owned())?;
/// assert!(!is_encrypted(&plain));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn is_encrypted(json: &RawValue) -> bool {
    let text = json.get().strip_prefix(SEALED).and_then(|text| text.strip_suffix('"'));
    text.is_some_and(is_sealed)
}

impl<S> Clone for EncryptedStore<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), plain_values: self.plain_values }
    }
}

impl<S: fmt::Debug> fmt::Debug for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("store", &self.shared.store)
            .field("keys", &self.shared.keys)
            .field("plain_values", &self.plain_values)
            .finish()
    }
}

impl<S: SessionStore> SessionStore for EncryptedStore<S> {
    const IMMEDIATE: bool = S::IMMEDIATE;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.inner().create(key, &self.sealed_record(key, record)).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.opened(key, self.inner().load(key, options).await?)
    }

    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        // `load` says why a copy does not open.
        self.opened_record(key, self.inner().load_cached(key)?).ok()
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        // A session that begins from empty has no number to add to.
        if patch.reset_at().is_none() && !added_fields(patch).is_empty() {
            return self.add(key, patch).await;
        }
        match self.inner().update(key, &self.sealed_patch(key, patch, None)?).await? {
            UpdateOutcome::Conflict(current) => {
                self.opened_record(key, current).map(UpdateOutcome::Conflict)
            }
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
    ) -> Result<UpdateOutcome, StoreError> {
        if patch.reset_at().is_none() {
            return self.reseal(old, new, patch, grace).await;
        }
        let mut sealed = self.sealed_patch(new, patch, None)?;
        if let Some(basis) = patch.snapshot() {
            sealed.set_snapshot(self.sealed_record(old, basis));
        }
        match self.inner().rotate(old, new, &sealed, grace).await? {
            UpdateOutcome::Conflict(current) => {
                self.opened_record(old, current).map(UpdateOutcome::Conflict)
            }
            updated => Ok(updated),
        }
    }
}

impl<S: ListAll> ListAll for EncryptedStore<S> {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let found = self.inner().list(after, limit).await?;
        let mut page = ListPage::new(found.next);
        page.unreadable = found.unreadable;
        for (key, record) in found.sessions {
            match self.opened_record(&key, record) {
                Ok(record) => page.sessions.push((key, record)),
                // Whatever is wrong with it, other records may open.
                Err(error) => page.unreadable.push((key, error)),
            }
        }
        Ok(page)
    }
}

impl<S: Ping> Ping for EncryptedStore<S> {
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner().ping().await
    }
}

impl<S: DeleteExpired> DeleteExpired for EncryptedStore<S> {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.inner().delete_expired().await
    }
}

/// How long a call waits for its merge lock.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The fields that a patch adds to.
fn added_fields(patch: &Patch) -> Vec<&str> {
    let is_addition = |(_, change): &(_, &Change)| matches!(change, Change::Add { .. });
    patch.changes().filter(is_addition).map(|(name, _)| name).collect()
}

// Calls that read before they write. They write only to the version that they have read, and try
// again if it has changed meanwhile.
impl<S: SessionStore> EncryptedStore<S> {
    /// How often to try a write. A try fails only because another call has succeeded. In memory, a
    /// try is as fast as the calls that it competes with. In other stores, the calls of this
    /// process wait for each other, and only those of other processes compete.
    const ATTEMPTS: usize = if S::IMMEDIATE { 10_000 } else { 200 };

    /// Waits for the calls of this process that write to the same session. A store in memory need
    /// not wait.
    async fn merge_lock(&self, key: &StoreKey) -> Result<Option<OwnedMutexGuard<()>>, StoreError> {
        if S::IMMEDIATE {
            return Ok(None);
        }
        let lock = timeout(MAX_WAIT, self.shared.merge_locks.wait(key)).await;
        lock.map(Some).map_err(StoreError::unavailable)
    }

    /// Applies an update with additions.
    async fn add(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        let _lock = self.merge_lock(key).await?;
        let mut found = self
            .inner()
            .load(key, &LoadOptions::default().with_fields(&added_fields(patch)))
            .await?;
        for _ in 0..Self::ATTEMPTS {
            let Some(current) = found else { return Ok(UpdateOutcome::Gone) };
            match patch.apply_to(&current).err() {
                Some(PatchError::Retired) => return Ok(UpdateOutcome::Gone),
                // The caller gets the whole record.
                Some(PatchError::Stale) if !current.is_whole() => {
                    found = self.inner().load(key, &LoadOptions::default()).await?;
                    continue;
                }
                Some(PatchError::Stale) => {
                    return self.opened_record(key, current).map(UpdateOutcome::Conflict);
                }
                None => {}
            }
            let mut sealed = self.sealed_patch(key, patch, Some(&current))?;
            sealed.expect_version(current.version());
            found = match self.inner().update(key, &sealed).await? {
                UpdateOutcome::Conflict(newer) => Some(newer),
                updated => return Ok(updated),
            };
        }
        Err(contended())
    }

    /// Applies a rotation that keeps the fields. All of them are encrypted for the new key.
    async fn reseal(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let _lock = self.merge_lock(old).await?;
        // The rotation checks the version in the end, so the request's snapshot saves a load.
        let known =
            patch.snapshot().filter(|basis| basis.is_whole() && patch.apply_to(basis).is_ok());
        let (mut basis, mut sealed_basis) = match known {
            Some(basis) => (basis.clone(), self.sealed_record(old, basis)),
            None => match self.inner().load(old, &LoadOptions::default()).await? {
                Some(sealed) => (self.opened_record(old, sealed.clone())?, sealed),
                None => return Ok(UpdateOutcome::Gone),
            },
        };
        for _ in 0..Self::ATTEMPTS {
            let moved = match patch.apply_to(&basis) {
                Ok(moved) => moved,
                // The store inside recognises the repetition of an earlier call.
                Err(PatchError::Retired) => {
                    return self.inner().rotate(old, new, &Patch::default(), grace).await;
                }
                Err(refused) => return Ok(UpdateOutcome::refused(refused, basis)),
            };
            let mut whole = patch.clone();
            for (name, json) in moved.fields.iter() {
                whole.set(name.clone(), Arc::clone(json));
            }
            let mut sealed = self.sealed_patch(new, &whole, None)?;
            sealed.expect_version(basis.version());
            sealed.set_snapshot(sealed_basis);
            (basis, sealed_basis) = match self.inner().rotate(old, new, &sealed, grace).await? {
                UpdateOutcome::Conflict(newer) => (self.opened_record(old, newer.clone())?, newer),
                updated => return Ok(updated),
            };
        }
        Err(contended())
    }
}

fn contended() -> StoreError {
    StoreError::unavailable("other requests changed the session at each of many attempts")
}

// Encryption and decryption.
impl<S: SessionStore> EncryptedStore<S> {
    /// Encrypts the values that a patch sets. An addition becomes the sum with the encrypted value
    /// in `current`.
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
        // A search cannot find encrypted values.
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
            .expect("a sealed value has no character that JSON escapes")
            .into()
    }

    fn opened_json(
        &self,
        key: &StoreKey,
        name: &str,
        json: &Arc<RawValue>,
    ) -> Result<Arc<RawValue>, StoreError> {
        let unopened = |cause: BoxError| FieldOpenError { field: name.to_owned(), cause };
        let text = json.get().strip_prefix(SEALED).and_then(|text| text.strip_suffix('"'));
        let Some(text) = text else {
            return match self.plain_values {
                PlainValues::Accepted => Ok(Arc::clone(json)),
                PlainValues::Refused => {
                    Err(StoreError::damaged(unopened(Unopened::NotSealed.into())))
                }
            };
        };
        let opened = self.shared.keys.open(&context(key, name), text.as_bytes());
        let plain = opened.map_err(|error| match error {
            // During a rolling deploy, the newer release can read it. So it is not damaged.
            Unopened::LaterFormat(_) => StoreError::unavailable(unopened(error.into())),
            _ => StoreError::damaged(unopened(error.into())),
        })?;
        let text = String::from_utf8(plain)
            .map_err(|error| StoreError::damaged(unopened(error.utf8_error().into())))?;
        // The error of serde_json may quote the value, so it is left out.
        RawValue::from_string(text)
            .map(Arc::from)
            .map_err(|_| StoreError::damaged(unopened("the decrypted value is not JSON".into())))
    }
}

/// The beginning of a sealed value. It is a JSON string, because some stores accept only JSON.
/// Plain strings hardly ever begin like this.
const SEALED: &str = "\"~";

/// The context that a value is bound to: its session and its field.
fn context(key: &StoreKey, name: &str) -> Vec<u8> {
    [key.as_bytes(), name.as_bytes()].concat()
}

/// A field's value cannot be decrypted.
#[derive(Debug, thiserror::Error)]
#[error("the stored value of the field `{field}` cannot be decrypted")]
struct FieldOpenError {
    field: String,
    #[source]
    cause: BoxError,
}
