//! The trait that every store implements, with its laws and the types of its calls.

use std::future::Future;

use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PatchError, Record},
    time::{Lifetimes, Timestamp},
};

/// Stores sessions: in memory, in files, or in a database.
///
/// The middleware uses a store through six calls. Each call is one step: it happens completely or
/// not at all. To keep sessions in your own database, implement this trait; the guide
/// [shows how](crate::guide::writing_a_store).
///
/// # Laws
/// Every store obeys the same laws. The [test kit](crate::store_conformance) of the feature
/// `testing` tests them:
///
/// 1. [`load`](Self::load) returns `None` for a key that is unknown, expired or destroyed. A
///    missing file or row is not an error.
/// 2. [`create`](Self::create) never overwrites. It reports a key that is in use, and the caller
///    tries another id. The same is true of the new key of [`rotate`](Self::rotate).
/// 3. [`update`](Self::update) applies the whole patch atomically, or nothing. Fields that the
///    patch does not name stay as they are.
/// 4. `update`, [`touch`](Self::touch) and `rotate` report a key that is gone and bring nothing
///    back, however the calls interleave. For them, a [retired](Record::is_retired) record is gone.
/// 5. [`Change::Add`](crate::store::Change::Add) is atomic: N concurrent additions of 1 add N.
/// 6. A patch that [expects a version](Patch::expected_version) is applied only to that version.
///    Otherwise the call returns the current record.
/// 7. [`destroy`](Self::destroy) is idempotent and reports whether a session was there. If the
///    record is retired, its [successor](Record::successor) is destroyed too. So a logout also ends
///    a session whose id another request has just renewed.
/// 8. `touch` only extends. A slow touch with an earlier expiry never shortens the session's life.
/// 9. After a crash at any point, a record is the old one or the new one, never a mixture or half a
///    file.
/// 10. Damaged bytes are an error for their own key only.
/// 11. A store implements the trait of a capability only if it has the capability. The traits are
///     [`DeleteExpired`](crate::store::DeleteExpired) and
///     [`FindByIndex`](crate::store::FindByIndex).
/// 12. `rotate` may be repeated, because its outcome may have been lost on the way. A second call
///     with the same keys returns the outcome of the first and changes nothing, as long as the
///     retired record and the new session are there. For a call with another new key, the old
///     session is gone.
pub trait SessionStore: Send + Sync + 'static {
    /// Whether every call is ready when its future is first polled, because the sessions are in
    /// this process's memory. The middleware then avoids the cost of waiting. Defaults to `false`.
    const IMMEDIATE: bool = false;

    /// Stores a new session.
    ///
    /// # Errors
    /// The session was not stored, or the store cannot know whether it was.
    fn create(
        &self,
        key: &StoreKey,
        record: &Record,
    ) -> impl Future<Output = Result<CreateOutcome, StoreError>> + Send;

    /// Loads the session of a key. Returns `None` if the key is unknown, expired or destroyed.
    ///
    /// [`options`](LoadOptions) describe what the caller needs. A store may ignore them, or save
    /// work with them:
    ///
    /// - The caller may need only [some fields](LoadOptions::fields). A store that keeps fields
    ///   apart may leave out the others. It marks such a record with [`Record::into_partial`], and
    ///   the middleware loads the session again if it needs more.
    /// - The caller may want to extend the session, to [`LoadOptions::new_expiry`]. A store that
    ///   can load and extend in one round trip should do so, and return the record with its new
    ///   expiry. Otherwise the middleware calls `touch` at the end of the request.
    ///
    /// # Errors
    /// The store failed, or the stored bytes are damaged.
    fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Returns the session of a key from a cache in this process, without I/O. `None`: the cache
    /// does not have it. Defaults to `None`.
    ///
    /// The middleware tries it before `load` if the load need not extend the session. The copy may
    /// be older than what `load` would return. The store must document by how much at most.
    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        let _ = key;
        None
    }

    /// Applies a patch to a session.
    ///
    /// # Errors
    /// The patch was not applied, or the store cannot know whether it was.
    fn update(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> impl Future<Output = Result<UpdateOutcome, StoreError>> + Send;

    /// Extends a session to `expires_at`, unless it lives longer already. Returns whether the
    /// session was there.
    ///
    /// # Errors
    /// The session was not extended, or the store cannot know whether it was.
    fn touch(
        &self,
        key: &StoreKey,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes a session. Returns whether it was there.
    ///
    /// # Errors
    /// The session may still be there.
    fn destroy(&self, key: &StoreKey) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Moves a session to a new key and applies a patch to it there.
    ///
    /// Under the old key, the store leaves what [`Record::retire`] returns for the record before
    /// the patch. It must store the new record before it retires the old one, so that a crash in
    /// between loses nothing.
    ///
    /// If the old key has a retired record, the outcome is [`UpdateOutcome::repeated`]: a store on
    /// a network asks once more if the first answer does not arrive.
    ///
    /// # Errors
    /// The session is still under the old key. It may be under the new key as well. Or the store
    /// cannot know where it is.
    fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> impl Future<Output = Result<UpdateOutcome, StoreError>> + Send;
}

/// What the caller of [`load`](SessionStore::load) needs. Defaults to all fields, without an
/// extension.
///
/// # Examples
/// ```
/// use actix_typed_session::store::LoadOptions;
///
/// let options = LoadOptions::default().with_fields(&["views"]);
/// assert_eq!(options.fields(), Some(&["views"][..]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions<'a> {
    fields: Option<&'a [&'a str]>,
    touch: Option<TouchRule>,
}

impl<'a> LoadOptions<'a> {
    /// Sets the names of the fields that the caller needs. Defaults to all fields.
    #[must_use = "it returns the changed options"]
    pub fn with_fields(self, fields: &'a [&'a str]) -> Self {
        Self { fields: Some(fields), ..self }
    }

    /// Sets the rule by which the load extends the session. Defaults to no extension.
    #[must_use = "it returns the changed options"]
    pub(crate) fn with_touch(self, touch: TouchRule) -> Self {
        Self { touch: Some(touch), ..self }
    }

    /// Returns the names of the fields that the caller needs. `None`: all fields.
    pub fn fields(&self) -> Option<&'a [&'a str]> {
        self.fields
    }

    /// Returns the expiry to which the load should extend this record. `None`: do not extend it.
    ///
    /// It is `None` if the caller wants no extension, if the record is retired, or if the extension
    /// is too short to be worth a write.
    pub fn new_expiry(&self, record: &Record) -> Option<Timestamp> {
        self.touch.and_then(|touch| touch.new_expiry(record))
    }

    /// Returns the rule by which the load extends the session. `None`: no extension.
    pub(crate) fn touch(&self) -> Option<TouchRule> {
        self.touch
    }
}

/// The rule by which the use of a session at `now` extends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TouchRule {
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
}

impl TouchRule {
    /// Returns a record's new expiry, if it is late enough to be worth a write.
    fn new_expiry(&self, record: &Record) -> Option<Timestamp> {
        let (limits, created_at) = (record.limits(), record.created_at());
        let expires_at = self.lifetimes.expires_at(created_at, limits, self.now);
        let is_worth_it = self.lifetimes.worth_touching(limits, record.expires_at(), expires_at);
        (is_worth_it && !record.is_retired()).then_some(expires_at)
    }
}

/// What [`create`](SessionStore::create) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CreateOutcome {
    /// The session is stored.
    Stored,
    /// The key is in use, so nothing was changed.
    Taken,
}

/// What [`update`](SessionStore::update) or [`rotate`](SessionStore::rotate) did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UpdateOutcome {
    /// The patch was applied.
    Applied {
        /// The record's new version.
        version: u64,
    },
    /// The session is destroyed, expired or retired, or it never existed.
    Gone,
    /// The patch expects another version, so nothing was changed. This is the current record.
    Conflict(Record),
    /// `rotate` only: the new key is in use, so nothing was changed.
    Taken,
}

impl UpdateOutcome {
    /// Returns the outcome of a call whose patch the current record has refused.
    pub fn refused(refused: PatchError, current: Record) -> Self {
        match refused {
            // Law 4: for a change, a retired record is gone.
            PatchError::Retired => Self::Gone,
            PatchError::Stale => Self::Conflict(current),
        }
    }

    /// Returns the outcome of a `rotate` that finds a [retired](Record::is_retired) record under
    /// the old key. `moved` is what the store has under the new key.
    ///
    /// If `retired` was left by a `rotate` to the same new key, and the session is still there,
    /// this call repeats that one and has its outcome (law 12). Otherwise the old session is gone.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{SessionId, Timestamp};
    /// use actix_typed_session::store::{Grace, OldIdReads, Record, StoreKey, UpdateOutcome};
    ///
    /// let new = StoreKey::from(&SessionId::random());
    /// let record = Record::new(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(9_000));
    /// let grace = Grace::new(Timestamp::from_unix_ms(5_000), OldIdReads::Nothing);
    /// let retired = record.retire(grace, &new);
    ///
    /// let outcome = UpdateOutcome::repeated(&retired, &new, Some(&record));
    /// assert!(matches!(outcome, UpdateOutcome::Applied { version: 1 }));
    /// let other = StoreKey::from(&SessionId::random());
    /// let outcome = UpdateOutcome::repeated(&retired, &other, None);
    /// assert!(matches!(outcome, UpdateOutcome::Gone));
    /// ```
    pub fn repeated(retired: &Record, new: &StoreKey, moved: Option<&Record>) -> Self {
        let is_live = moved.is_some_and(|moved| !moved.is_retired());
        if is_live && retired.was_renewed_into(new) {
            // The retired record has the version from before the patch.
            Self::Applied { version: retired.version().wrapping_add(1) }
        } else {
            Self::Gone
        }
    }
}
