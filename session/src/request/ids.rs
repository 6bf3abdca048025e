//! The ids that a request's session had.

use std::cell::OnceCell;

use crate::id::SessionId;

/// The ids of a request in the order in which the client had them; the last one counts. A list that
/// only grows, so that a reference to an id stays good.
#[derive(Default)]
pub(crate) struct Ids {
    id: OnceCell<Option<SessionId>>,
    later: OnceCell<Box<Self>>,
}

impl Ids {
    pub(crate) fn push(&self, id: Option<SessionId>) {
        let mut id = Some(id);
        let mut ids = self;
        ids.id.get_or_init(|| id.take().expect("taken at most once"));
        while id.is_some() {
            ids = ids.later.get_or_init(Box::default);
            ids.id.get_or_init(|| id.take().expect("taken at most once"));
        }
    }

    /// The id that the client came with, or the first that it got.
    pub(crate) fn first(&self) -> Option<&SessionId> {
        self.id.get()?.as_ref()
    }

    pub(crate) fn current(&self) -> Option<&SessionId> {
        let mut ids = self;
        while let Some(later) = ids.later.get() {
            ids = later;
        }
        ids.id.get()?.as_ref()
    }
}
