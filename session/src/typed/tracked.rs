//! A session struct together with the session that its writes are recorded in.

use std::ops::Deref;

use crate::request::SessionHandle;

/// A session struct whose writes are recorded.
pub struct Tracked<T> {
    pub(super) value: T,
    pub(super) handle: SessionHandle,
    /// How many changes of the session's fields the struct shows. If the session has more, another
    /// extractor made them, and the struct is read again before its next change.
    pub(super) generation: u64,
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
