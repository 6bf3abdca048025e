//! Reports what the store call of a request has done.

use super::{changes::Intent, state::State};
use crate::{
    config::Privileges,
    observe::{DestroyedBy, EventKind, Renewal, Reporter},
    record::{Index, Patch, PublicId, Record},
};

/// Reports what the store call of a request has done to its session, as soon as it is done.
pub(crate) struct Report {
    reporter: Reporter,
    renewal: Renewal,
    /// The public id of the session that the request had.
    public_id: Option<PublicId>,
}

impl Report {
    /// Takes what the report needs from the state, before its changes are saved.
    #[cold]
    pub(crate) fn new(reporter: Reporter, state: &State, privileges: &Privileges) -> Self {
        let renewal = match state.changes.intent {
            Intent::Regenerate => Renewal::Regenerate,
            _ if state.is_elevated(privileges) => Renewal::Privilege,
            _ => Renewal::Renew,
        };
        let public_id = state.loaded.record().and_then(Record::public_id);
        Self { reporter, renewal, public_id }
    }

    pub(crate) fn created(&self, record: &Record) {
        self.reporter.report(EventKind::Created, record.public_id());
    }

    /// The patch may give the session its first public id, or that of a new session.
    pub(crate) fn renewed(&self, patch: &Patch) {
        let before = self.public_id.filter(|_| self.renewal != Renewal::Regenerate);
        let public_id = patch.index().map(Index::public_id).or(before);
        self.reporter.report(EventKind::Renewed(self.renewal), public_id);
    }

    pub(crate) fn destroyed(&self) {
        self.reporter.report(EventKind::Destroyed(DestroyedBy::OwnRequest), self.public_id);
    }

    /// Another session that the client has presented, of which nothing is known.
    pub(crate) fn other_destroyed(&self) {
        self.reporter.report(EventKind::Destroyed(DestroyedBy::OwnRequest), None);
    }
}
