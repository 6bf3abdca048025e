//! The capabilities that only some stores have, as traits.

use std::future::Future;

use serde_json::value::RawValue;

use super::{
    session_store::SessionStore,
    value_locks::{lock_key, lock_value},
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{PublicId, Record},
};

/// Deletes expired sessions on request.
///
/// A store whose server deletes expired sessions automatically does not need it.
pub trait DeleteExpired: SessionStore {
    /// Deletes all expired sessions. Returns how many there were.
    ///
    /// # Errors
    /// Some expired sessions may be left.
    fn delete_expired(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// Says whether the store can be used now, such as for the readiness check of a load balancer.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, store::Ping as _};
/// use actix_web::{HttpResponse, web};
///
/// async fn ready(store: web::Data<MemoryStore>) -> HttpResponse {
///     match store.ping().await {
///         Ok(()) => HttpResponse::Ok().finish(),
///         Err(_) => HttpResponse::ServiceUnavailable().finish(),
///     }
/// }
/// ```
pub trait Ping: SessionStore {
    /// Asks the store for an answer, within the time limits of its calls. It reads and changes no
    /// session.
    ///
    /// # Errors
    /// The store cannot be used now.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Finds sessions by the values of their indexed fields, such as all sessions of a user.
///
/// Applications use it through [`Sessions`](crate::Sessions). [`Record::indexed_fields`] returns
/// the fields and values by which a session is found, and [`Record::is_found_by`] decides whether a
/// record matches.
///
/// # Laws
/// These are in addition to those of [`SessionStore`]:
///
/// 1. A session is found if it is live and has the value from the beginning of the call to its end.
///    That holds even if its id is renewed meanwhile.
/// 2. A session is not found if it is destroyed, expired or [retired](Record::is_retired), or if it
///    has another value.
/// 3. Pages are in the order of [public ids](PublicId). No two pages have the same session, and all
///    pages together have every session of law 1.
/// 4. After a crash at any point, no live session is hidden. Entries without a session disappear
///    without any help.
/// 5. Of the actions that [`exclusively`](Self::exclusively) runs with the same value, one runs at
///    a time.
///
/// A store that keeps its index apart from the sessions must therefore write the index first.
/// Before it returns a session for an entry, it must check the session itself.
///
/// Public ids are in the order in which the sessions began, not in that in which they end. A store
/// can remove an entry when its [`until`](PublicId::until) is over.
#[diagnostic::on_unimplemented(
    message = "the store `{Self}` cannot find sessions by their fields",
    label = "this store does not implement `FindByIndex`",
    note = "use `MemoryStore`, `FileStore` or `RedisStore`, or implement `actix_typed_session::store::FindByIndex` for `{Self}`"
)]
pub trait FindByIndex: SessionStore {
    /// Returns up to `limit` sessions whose field `name` is indexed and has this value.
    ///
    /// They are in the order of their public ids. If `after` is given, the page begins after this
    /// public id. A limit of 0 counts as 1.
    ///
    /// # Errors
    /// The store failed.
    fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> impl Future<Output = Result<IndexPage, StoreError>> + Send;

    /// Runs an action while no other action with this value runs.
    ///
    /// [`Sessions::enforce_limit`](crate::Sessions::enforce_limit) counts and destroys sessions in
    /// such an action, so that simultaneous logins of a user do not destroy each other. The action
    /// calls this store. It never calls `exclusively`.
    ///
    /// By default, actions of the same process wait for each other. A store that several processes
    /// use at the same time should make them wait too, with a lock that is free again after its
    /// owner has crashed. A store that wraps another one calls the other one's `exclusively`.
    ///
    /// # Errors
    /// The lock cannot be taken, or the action took longer than the lock can be held. The action
    /// may have been carried out in part.
    fn exclusively<T, A>(
        &self,
        value: &RawValue,
        action: A,
    ) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let key = lock_key(value);
        async move {
            let _lock = lock_value(key).await;
            Ok(action.await)
        }
    }
}

/// A page of sessions that [`find`](FindByIndex::find) has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IndexPage {
    /// The sessions with their keys, in the order of their public ids.
    pub sessions: Vec<(StoreKey, Record)>,
    /// The value of `after` for the next page. `None`: this is the last page.
    pub next: Option<PublicId>,
}

impl IndexPage {
    /// Creates a page of these sessions. `next` is the public id of the last one. `None`: there are
    /// no more sessions.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::store::IndexPage;
    ///
    /// let empty = IndexPage::new(Vec::new(), None);
    /// assert!(empty.sessions.is_empty());
    /// ```
    pub fn new(sessions: Vec<(StoreKey, Record)>, next: Option<PublicId>) -> Self {
        Self { sessions, next }
    }
}
