//! What only some stores can do.

use std::future::Future;

use serde_json::value::RawValue;

use super::session_store::SessionStore;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{PublicId, Record},
};

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
    note = "`MemoryStore`, `FileStore` and `RedisStore` can; a store of your own implements `actix_typed_session::store::FindByIndex`"
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
    ) -> impl Future<Output = Result<IndexPage, StoreError>> + Send;
}

/// What [`find`](FindByIndex::find) has found.
#[derive(Clone, Debug, Default)]
pub struct IndexPage {
    /// The sessions, in the order of their public ids.
    pub sessions: Vec<(StoreKey, Record)>,
    /// After which one to go on; `None` if there are no more.
    pub next: Option<PublicId>,
}
