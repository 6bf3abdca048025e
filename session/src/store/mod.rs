//! Where sessions are kept: the trait that every store implements, and its laws.

use std::future::Future;

use serde_json::value::RawValue;

use crate::{
    error::StoreError,
    expiry::{Lifetimes, Timestamp},
    id::StoreKey,
    index::PublicId,
    patch::{Patch, Refused},
    record::{Grace, Record},
};

mod backend;
#[cfg(feature = "sealed")]
mod cookie;
#[cfg(feature = "sealed")]
mod encrypted;
mod erased;
#[cfg(feature = "file")]
mod file;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod sweeper;

pub use backend::Backend;
pub(crate) use backend::{Carried, News, Place, Sessions};
#[cfg(feature = "sealed")]
pub use cookie::CookieStore;
#[cfg(feature = "sealed")]
pub use encrypted::EncryptedStore;
pub(crate) use erased::{Answer, ErasedIndex, ErasedStore, Look};
#[cfg(feature = "file")]
pub use file::{Durability, FileStore, FileStoreBuilder};
pub use memory::{MemoryStore, MemoryStoreBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};

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

/// The capability to delete expired sessions when asked to.
///
/// A store whose server forgets expired sessions by itself does not need it.
pub trait DeleteExpired: SessionStore {
    /// Deletes every expired session. Returns how many there were.
    ///
    /// # Errors
    /// Some may be left.
    fn delete_expired(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// The capability to find sessions by the values of their indexed fields, such as all sessions of a user.
///
/// [`Sessions`](crate::Sessions) is what applications use it through. What [`Record::indexed_fields`] says of a
/// record is under what its session is found; [`Record::is_found_by`] is the meaning of "found". The laws,
/// besides those of [`SessionStore`]:
///
/// 1. A session that is live when the call begins and when it ends, and has the value all that time, is found, also
///    while it is renewed.
/// 2. A session that is destroyed, expired or [retired](Record::is_retired), or that has another value, is not
///    found.
/// 3. Pages are in the order of [public ids](PublicId), so none has a session twice, and all of them together
///    have every session of law 1.
/// 4. After a crash at any point no live session is hidden; what the index has too much goes away by itself.
///
/// So whoever keeps the index apart from the sessions writes into the index before the session, and looks at
/// the session before an entry is believed.
#[diagnostic::on_unimplemented(
    message = "the store `{Self}` cannot find sessions by what they hold",
    label = "this store does not implement `FindByIndex`",
    note = "`MemoryStore`, `FileStore` and `RedisStore` can; a store of your own implements `actix_typed_session::FindByIndex`"
)]
pub trait FindByIndex: SessionStore {
    /// Up to `limit` sessions whose field `name` is indexed and has this value: those after `after`, in the
    /// order of their public ids. A limit of zero counts as one.
    ///
    /// # Errors
    /// The store cannot tell.
    fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}

/// What [`find`](FindByIndex::find) has found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The sessions, in the order of their public ids.
    pub sessions: Vec<(StoreKey, Record)>,
    /// After which one to go on; `None` if there are no more.
    pub next: Option<PublicId>,
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
