//! A store as the laws describe it: one call at a time, in memory, with the time as an argument.

use std::collections::BTreeMap;

use crate::{
    id::StoreKey,
    record::{Grace, Patch, PatchError, Record},
    store::{CreateOutcome, UpdateOutcome},
    time::Timestamp,
};

/// The sessions that a store must have.
#[derive(Default)]
pub(super) struct Model {
    records: BTreeMap<StoreKey, Record>,
}

/// What a store must answer to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Applied,
    Gone,
    Conflict,
    Taken,
}

impl From<&UpdateOutcome> for Answer {
    fn from(updated: &UpdateOutcome) -> Self {
        match updated {
            UpdateOutcome::Applied { .. } => Self::Applied,
            UpdateOutcome::Gone => Self::Gone,
            UpdateOutcome::Conflict(_) => Self::Conflict,
            UpdateOutcome::Taken => Self::Taken,
        }
    }
}

impl Model {
    pub(super) fn load(&self, key: &StoreKey, now: Timestamp) -> Option<&Record> {
        self.records.get(key).filter(|record| !record.is_expired(now))
    }

    pub(super) fn create(
        &mut self,
        key: StoreKey,
        record: Record,
        now: Timestamp,
    ) -> CreateOutcome {
        if self.load(&key, now).is_some() {
            return CreateOutcome::Taken;
        }
        self.records.insert(key, record);
        CreateOutcome::Stored
    }

    pub(super) fn update(&mut self, key: StoreKey, patch: &Patch, now: Timestamp) -> Answer {
        match self.patched(&key, patch, now) {
            Ok(record) => {
                self.records.insert(key, record);
                Answer::Applied
            }
            Err(refusal) => refusal,
        }
    }

    pub(super) fn touch(&mut self, key: StoreKey, expires_at: Timestamp, now: Timestamp) -> bool {
        let Some(record) = self.load(&key, now).filter(|record| !record.is_retired()) else {
            return false;
        };
        let touched = record.clone().extended_to(expires_at);
        self.records.insert(key, touched);
        true
    }

    pub(super) fn destroy(&mut self, key: &StoreKey, now: Timestamp) -> bool {
        let Some(record) = self.records.remove(key).filter(|record| !record.is_expired(now)) else {
            return false;
        };
        if let Some(successor) = record.successor() {
            self.destroy(successor, now);
        }
        true
    }

    pub(super) fn rotate(
        &mut self,
        (old, new): (StoreKey, StoreKey),
        patch: &Patch,
        grace: Grace,
        now: Timestamp,
    ) -> Answer {
        let moved = match self.patched(&old, patch, now) {
            Ok(_) if self.load(&new, now).is_some() => return Answer::Taken,
            Ok(moved) => moved,
            Err(_) if self.repeats(&old, &new, now) => return Answer::Applied,
            Err(refusal) => return refusal,
        };
        let retired = self.records[&old].retire(grace, &new);
        self.records.insert(old, retired);
        self.records.insert(new, moved);
        Answer::Applied
    }

    /// Law 12: whether the old key leads to a live session under the new one.
    fn repeats(&self, old: &StoreKey, new: &StoreKey, now: Timestamp) -> bool {
        self.load(old, now).is_some_and(|retired| retired.was_renewed_into(new))
            && self.load(new, now).is_some_and(|moved| !moved.is_retired())
    }

    fn patched(&self, key: &StoreKey, patch: &Patch, now: Timestamp) -> Result<Record, Answer> {
        let current = self.load(key, now).ok_or(Answer::Gone)?;
        patch.apply_to(current).map_err(|refused| match refused {
            PatchError::Retired => Answer::Gone,
            PatchError::Stale => Answer::Conflict,
        })
    }

    /// Returns whether a session that is live now has expired by `then`.
    pub(super) fn expires_before(&self, then: Timestamp, now: Timestamp) -> bool {
        let mut live = self.records.values().filter(|record| !record.is_expired(now));
        live.any(|record| record.is_expired(then))
    }
}
