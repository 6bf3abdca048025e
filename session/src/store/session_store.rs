//! The trait that every store implements, and its laws.

use std::future::Future;

use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, Record, Refused},
    time::{Lifetimes, Timestamp},
};

/// Keeps sessions.
///
/// The middleware talks to a store in six calls, each of which is one step that happens wholly or
/// not at all. What they promise is the same for every store; the `conformance` feature has a test
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
/// 5. [`Change::Add`](crate::Change::Add) is atomic: N concurrent additions of 1 add N.
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
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// The session of a key, or `None` if there is none that has not expired.
    ///
    /// # Errors
    /// The store cannot tell, or what it has is damaged.
    fn load(
        &self,
        key: &StoreKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// The session of a key, if this process has it at hand and need not ask for it. The middleware asks for this
    /// first, and for [`load`](Self::load) only if it is `None`, which it is by default.
    ///
    /// What is at hand may be older than what `load` would answer, by no more than the store says.
    fn at_hand(&self, key: &StoreKey) -> Option<Record> {
        let _ = key;
        None
    }

    /// Loads a session of which these fields are wanted, and perhaps no others. A store that keeps fields apart
    /// may leave out the others, and then says so with [`Record::into_part`]; the middleware asks again
    /// when it needs them. The default loads all.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_fields(
        &self,
        key: &StoreKey,
        fields: &[&str],
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        let _ = fields;
        self.load(key)
    }

    /// Loads a session and lets it live as long as a [`touch`](Self::touch) after it would, if the renewal
    /// says that [it is worth it](Renewal::expires_at). The record says until when it lives now.
    ///
    /// The middleware calls it when touches are frequent. A store that can do both in one round trip
    /// should; the default only loads, and leaves the touch to the end of the request.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_and_touch(
        &self,
        key: &StoreKey,
        renewal: &Renewal,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        let _ = renewal;
        self.load(key)
    }

    /// Changes a session in place.
    ///
    /// # Errors
    /// The patch was not applied, or the store cannot tell.
    fn update(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> impl Future<Output = Result<Updated, StoreError>> + Send;

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
    ) -> impl Future<Output = Result<Updated, StoreError>> + Send;
}

/// How a session that is used now is extended.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
}

impl Renewal {
    /// Until when a session is to live, if that is so much later than it would end that it is worth a
    /// write.
    pub fn expires_at(&self, record: &Record) -> Option<Timestamp> {
        let (limits, created_at) = (record.limits(), record.created_at());
        let expires_at = self.lifetimes.expires_at(created_at, limits, self.now);
        let is_worth_it = self.lifetimes.worth_touching(limits, record.expires_at(), expires_at);
        (is_worth_it && !record.is_retired()).then_some(expires_at)
    }
}

/// How a session is loaded.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The fields that are enough. `None`: all of them.
    pub(crate) fields: Option<&'static [&'static str]>,
    /// How the session is extended with the load, if it is.
    pub(crate) touch: Option<Renewal>,
}

/// What [`create`](SessionStore::create) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The session is stored.
    Stored,
    /// The key is in use; nothing was changed.
    Taken,
}

/// What [`update`](SessionStore::update) or [`rotate`](SessionStore::rotate) did.
#[derive(Clone, Debug)]
pub enum Updated {
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

impl Updated {
    /// The answer of a store whose current record refuses the patch.
    pub fn refused(refused: Refused, current: Record) -> Self {
        match refused {
            // To a change, a retired record is gone: law 4.
            Refused::Retired => Self::Gone,
            Refused::Stale => Self::Conflict(current),
        }
    }
}
