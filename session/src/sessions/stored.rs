//! Stored sessions, as they were when they were read.

use std::{fmt, ops::Deref, time::Duration};

use crate::{
    id::StoreKey,
    record::{Index, PublicId, Record},
    request::SessionHandle,
    time::Timestamp,
    typed::Session,
};

/// What becomes of a login when the user has as many sessions as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverLimit {
    /// The sessions that began first are ended.
    DestroyOldest,
    /// The login is refused.
    Refuse,
}

/// Some of the sessions with a value.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionPage<T: Session> {
    /// The sessions, in the order in which they began.
    pub sessions: Vec<StoredSession<T>>,
    /// What to give to [`list`](super::sessions::Sessions::list) for the next page; `None` if this is the last one.
    pub next: Option<PublicId>,
}

/// A stored session, as it was when it was read. Its fields are those of the struct: it derefs to `T`.
pub struct StoredSession<T> {
    pub(super) key: StoreKey,
    pub(super) record: Record,
    pub(super) value: T,
    pub(super) max_age: Duration,
}

impl<T> StoredSession<T> {
    /// The session's name for pages and tools. It opens nothing.
    pub fn public_id(&self) -> PublicId {
        public_id(&self.record).expect("only sessions that are indexed are found")
    }

    /// When the session began. A renewed id does not change it.
    pub fn created_at(&self) -> Timestamp {
        self.record.created_at()
    }

    /// About when the session was last used: that follows from its end, which is moved when a use is worth a
    /// write, so the last use may be up to a [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval)
    /// later (1/60 of `max_age`, 20 minutes by default).
    pub fn last_seen(&self) -> Timestamp {
        let max_age = self.record.limits().max_age.unwrap_or(self.max_age);
        let since_1970 = self.expires_at().saturating_since(Timestamp::default());
        let seen = Timestamp::default().saturating_add(since_1970.saturating_sub(max_age));
        seen.max(self.created_at())
    }

    /// When the session ends if no request extends it.
    pub fn expires_at(&self) -> Timestamp {
        self.record.expires_at()
    }

    /// Whether it is the request's own session.
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
    /// Without the fields, which are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(T::SCHEMA.type_name)
            .field("public_id", &self.public_id())
            .field("created_at", &self.created_at())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

pub(super) fn public_id(record: &Record) -> Option<PublicId> {
    record.index().map(Index::public_id)
}
