//! The sessions that [`Sessions`](super::sessions::Sessions) returns, as they were when they were
//! read.

use std::{fmt, ops::Deref, time::Duration};

use crate::{
    id::StoreKey,
    record::{PublicId, Record},
    request::SessionHandle,
    time::Timestamp,
    typed::Session,
};

/// What [`enforce_limit`](super::sessions::Sessions::enforce_limit) does if a user has as many
/// sessions as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverLimit {
    /// Destroys the sessions that began first.
    DestroyOldest,
    /// Refuses the login with [`TooManySessions`](crate::SessionError::TooManySessions).
    Refuse,
}

/// A page of sessions that [`list`](super::sessions::Sessions::list) has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionPage<T: Session> {
    /// The sessions, in the order in which they began.
    pub sessions: Vec<StoredSession<T>>,
    /// The value of `after` with which [`list`](super::sessions::Sessions::list) returns the next
    /// page. `None`: this is the last page.
    pub next: Option<PublicId>,
}

/// A stored session, as it was when it was read. It derefs to the struct `T`, to read the fields.
///
/// # Examples
/// ```
/// use actix_typed_session::{Session, StoredSession};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(index)]
///     user_id: Option<i64>,
///     device: String,
/// }
///
/// fn line(session: &StoredSession<Visitor>) -> String {
///     format!("{}: {}, last seen {}", session.public_id(), session.device, session.last_seen())
/// }
/// ```
#[derive(Clone)]
pub struct StoredSession<T> {
    pub(super) key: StoreKey,
    pub(super) record: Record,
    pub(super) value: T,
    pub(super) max_age: Duration,
}

impl<T> StoredSession<T> {
    /// Returns the session's public id, which pages and tools may show. It does not give access to
    /// the session.
    pub fn public_id(&self) -> PublicId {
        self.record.public_id().expect("only sessions that are indexed are found")
    }

    /// Returns when the session began. A renewal of the id does not change it.
    pub fn created_at(&self) -> Timestamp {
        self.record.created_at()
    }

    /// Returns about when the session was last used.
    ///
    /// It is computed from the session's expiry, which not every use extends. The last use may
    /// therefore be later by up to one
    /// [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval), which defaults to 1/60
    /// of `max_age`, or 20 minutes. Once the end of the absolute lifetime is near, or if the
    /// session was [remembered](crate::SessionHandle::remember_for), the expiry says nothing about
    /// the last use. Then this is the earliest time that it can have been.
    pub fn last_seen(&self) -> Timestamp {
        self.record.last_seen(self.max_age)
    }

    /// Returns when the session expires if no request extends it.
    pub fn expires_at(&self) -> Timestamp {
        self.record.expires_at()
    }

    /// Whether this is the session of the request that `current` belongs to.
    pub fn is_current(&self, current: &SessionHandle) -> bool {
        current.active().is(&self.key, &self.record)
    }
}

impl<T> Deref for StoredSession<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Session> fmt::Debug for StoredSession<T> {
    /// Omits the fields, which are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(T::SCHEMA.type_name)
            .field("public_id", &self.public_id())
            .field("created_at", &self.created_at())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
