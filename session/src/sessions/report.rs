//! Reports the sessions that are destroyed from outside.

use crate::{
    observe::{DestroyedBy, EventKind, Reporter},
    record::Record,
};

/// Reports the sessions that one call destroys.
#[derive(Clone)]
pub(super) struct Report {
    reporter: Option<Reporter>,
    by: DestroyedBy,
}

impl Report {
    pub(super) fn new(reporter: Option<Reporter>, by: DestroyedBy) -> Self {
        Self { reporter, by }
    }

    pub(super) fn destroyed(&self, record: &Record) {
        if let Some(reporter) = &self.reporter {
            reporter.report(EventKind::Destroyed(self.by), record.public_id());
        }
    }
}
