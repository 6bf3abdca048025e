//! What a store call has done, and what follows for the client.

use std::time::Duration;

use crate::{
    id::{SessionId, StoreKey},
    record::{ExpiryChange, Patch, Record},
    time::Timestamp,
};

/// What a store call has done.
#[derive(Debug)]
pub(crate) enum StoreOutcome {
    /// The new id is another session's. Nothing was done.
    IdTaken,
    /// The session was destroyed, as the request wanted.
    Destroyed,
    /// The session had ended before, and the changes are lost.
    Gone,
    /// The session had ended before, and there were no changes.
    GoneUnchanged,
    Created {
        id: SessionId,
        key: StoreKey,
        record: Record,
    },
    /// The changes are stored, and the expiry with them if it was to change.
    Updated(Option<ExpiryChange>),
    Renewed {
        id: SessionId,
        key: StoreKey,
        patch: Patch,
    },
    Touched(Timestamp),
}

/// What became of the request's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveOutcome {
    /// All are stored, or there were none.
    Stored,
    /// There were none, but the session has ended.
    Ended,
    /// The session has ended, and they are lost with it.
    Lost,
}

/// What a response does to the client's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CookieAction {
    #[default]
    Keep,
    /// Gives the client its id, to be kept for this long. `None`: until the browser is closed.
    Issue(Option<Duration>),
    /// Makes the client forget its id.
    Remove,
}
