//! What became of a session in a request.

use super::peek::Peek;
use crate::{id::SessionId, record::Record};

/// What became of a session in a request.
/// [`TestSession::outcome`](super::TestSession::outcome) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The visitor had no session, and has none now.
    NoSession,
    /// The visitor had no session, and got one.
    Began,
    /// The session goes on under its id.
    Kept,
    /// The session goes on under a new id: [`renew`](crate::SessionHandle::renew), or a `privilege`
    /// field was changed.
    Renewed,
    /// The session ended, and another one began:
    /// [`regenerate`](crate::SessionHandle::regenerate), or a write after
    /// [`destroy`](crate::SessionHandle::destroy).
    Regenerated,
    /// The session ended: [`destroy`](crate::SessionHandle::destroy), or it expired during the
    /// request.
    Destroyed,
}

/// A session as a test has seen it.
pub(super) struct Seen {
    id: Option<SessionId>,
    record: Record,
}

/// What became of the session in a request.
pub(super) struct Finished {
    pub(super) outcome: Outcome,
    /// What the session was before. `None` if the session is another one now.
    pub(super) before: Option<Record>,
    pub(super) after: Option<Record>,
}

impl Seen {
    pub(super) fn of(peek: &Peek) -> Option<Self> {
        Some(Self { record: peek.record()?, id: peek.handle().id().cloned() })
    }
}

impl Finished {
    pub(super) fn new(before: Option<Seen>, after: Option<Seen>, asked_to_end: bool) -> Self {
        let outcome = match (&before, &after) {
            (None, None) => Outcome::NoSession,
            (None, Some(_)) => Outcome::Began,
            (Some(_), None) => Outcome::Destroyed,
            (Some(before), Some(after)) if before.id == after.id => Outcome::Kept,
            (Some(_), Some(_)) if asked_to_end => Outcome::Regenerated,
            (Some(_), Some(_)) => Outcome::Renewed,
        };
        let before = before.filter(|_| outcome != Outcome::Regenerated);
        Self {
            outcome,
            before: before.map(|seen| seen.record),
            after: after.map(|seen| seen.record),
        }
    }
}
