//! The trait that every store implements, and its laws.

use std::future::Future;

use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PatchError, Record},
    time::{Lifetimes, Timestamp},
};

/// Keeps sessions.
///
/// The middleware talks to a store in six calls, each of which is one step that happens wholly or
/// not at all. What they promise is the same for every store; the `testing` feature has a test
/// for each of these laws:
///
/// 1. [`load`](Self::load) of an unknown, expired or destroyed key is `None`. A missing file or row
///    is a miss, not an error.
/// 2. [`create`](Self::create) never overwrites: a taken key is reported, and the caller tries another
///    id. The new key of [`rotate`](Self::rotate) likewise.
/// 3. [`update`](Self::update) applies the whole patch atomically, or nothing; fields that the patch
///    does not name are untouched.
/// 4. `update`, [`touch`](Self::touch) and `rotate` of a key that is gone report it and bring nothing
///    back, however the calls interleave. A [retired](Record::is_retired) record is gone to them.
/// 5. [`Change::Add`](crate::store::Change::Add) is atomic: N concurrent additions of 1 add N.
/// 6. A patch that [expects a version](Patch::expected_version) is applied only to that version;
///    otherwise the current record comes back.
/// 7. [`destroy`](Self::destroy) is idempotent and reports whether something was there. Destroying a
///    retired record destroys its [successor](Record::successor) too: a logout that a renewal overtook
///    is still a logout.
/// 8. `touch` only extends; a slower, older touch never shortens.
/// 9. After a crash at any point a record is the old one or the new one, never a mixture or half a file.
/// 10. Damaged bytes are a decode error for that key alone.
/// 11. A capability that the store lacks is absent from its type, not a run-time surprise. The
///     capabilities are traits of their own: [`DeleteExpired`], [`FindByIndex`].
pub trait SessionStore: Send + Sync + 'static {
    /// Whether every call is answered when its future is polled for the first time, because the sessions are
    /// in this process's memory. It saves the middleware what waiting would cost. The default is `false`.
    const IMMEDIATE: bool = false;

    /// Stores a new session.
    ///
    /// # Errors
    /// The session was not stored, or the store cannot tell.
    fn create(
        &self,
        key: &StoreKey,
        record: &Record,
    ) -> impl Future<Output = Result<CreateOutcome, StoreError>> + Send;

    /// Loads the session of a key. `None`: there is none that has not expired.
    ///
    /// [`options`](LoadOptions) say what the caller needs, and a store may ignore them:
    ///
    /// - Some fields may be enough. A store that keeps fields apart may leave out the others, and then
    ///   says so with [`Record::into_part`]; the middleware asks again when it needs them.
    /// - The session may be extended with the load, as far as [`LoadOptions::new_expiry`] says. A
    ///   store that can do both in one round trip should. The record says when it expires then.
    ///   Otherwise the touch follows at the end of the request.
    ///
    /// # Errors
    /// The store cannot say, or what it has is damaged.
    fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Returns the session of a key if this process has a copy and need not ask for it. The
    /// middleware tries this first where the load need not extend the session. Defaults to `None`.
    ///
    /// The copy may be older than what `load` would answer, by no more than the store documents.
    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        let _ = key;
        None
    }

    /// Changes a session in place.
    ///
    /// # Errors
    /// The patch was not applied, or the store cannot tell.
    fn update(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> impl Future<Output = Result<UpdateOutcome, StoreError>> + Send;

    /// Lets a session live until `expires_at`, if it would have ended before. Reports whether the
    /// session was there.
    ///
    /// # Errors
    /// The session was not extended, or the store cannot tell.
    fn touch(
        &self,
        key: &StoreKey,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends a session. Reports whether it was there.
    ///
    /// # Errors
    /// The session may still be there.
    fn destroy(&self, key: &StoreKey) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Moves a session, changed by `patch`, to a new key, and leaves what
    /// [`Record::retire`] makes of the unchanged one under the old key.
    ///
    /// The new record is stored before the old one is retired, so that a crash in between loses
    /// nothing.
    ///
    /// # Errors
    /// The session is still to be found under the old key; it may also be under the new one.
    fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> impl Future<Output = Result<UpdateOutcome, StoreError>> + Send;
}

/// What the caller of [`load`](SessionStore::load) needs. Defaults to all fields, and no later expiry.
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
    /// The same options; these fields are enough.
    #[must_use = "it returns other options"]
    pub fn with_fields(self, fields: &'a [&'a str]) -> Self {
        Self { fields: Some(fields), ..self }
    }

    /// The same options; the session is extended by this rule.
    #[must_use = "it returns other options"]
    pub(crate) fn with_touch(self, touch: TouchRule) -> Self {
        Self { touch: Some(touch), ..self }
    }

    /// The names of the fields that are enough. `None`: all fields are needed.
    pub fn fields(&self) -> Option<&'a [&'a str]> {
        self.fields
    }

    /// Until when the session is to live, if the load extends it: when the session would end so much
    /// earlier that the extension is worth a write. A retired record is not extended.
    pub fn new_expiry(&self, record: &Record) -> Option<Timestamp> {
        self.touch.and_then(|touch| touch.new_expiry(record))
    }

    /// The rule by which the session is extended.
    pub(crate) fn touch(&self) -> Option<TouchRule> {
        self.touch
    }
}

/// How a session that is used now is extended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TouchRule {
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
}

impl TouchRule {
    /// Until when a session is to live, if that is so much later than it would end that it is worth a
    /// write.
    fn new_expiry(&self, record: &Record) -> Option<Timestamp> {
        let (limits, created_at) = (record.limits(), record.created_at());
        let expires_at = self.lifetimes.expires_at(created_at, limits, self.now);
        let is_worth_it = self.lifetimes.worth_touching(limits, record.expires_at(), expires_at);
        (is_worth_it && !record.is_retired()).then_some(expires_at)
    }
}

/// What [`create`](SessionStore::create) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The session is stored.
    Stored,
    /// The key is in use; nothing was changed.
    Taken,
}

/// What [`update`](SessionStore::update) or [`rotate`](SessionStore::rotate) did.
#[derive(Clone, Debug)]
pub enum UpdateOutcome {
    /// The patch is applied, and the record has this version now.
    Applied {
        /// The record's version.
        version: u64,
    },
    /// The session is gone: destroyed, expired, retired, or never there.
    Gone,
    /// The patch expects another version. This is the current record.
    Conflict(Record),
    /// `rotate` only: the new key is in use; nothing was changed.
    Taken,
}

impl UpdateOutcome {
    /// The answer of a store whose current record refuses the patch.
    pub fn refused(refused: PatchError, current: Record) -> Self {
        match refused {
            // To a change, a retired record is gone: law 4.
            PatchError::Retired => Self::Gone,
            PatchError::Stale => Self::Conflict(current),
        }
    }
}
