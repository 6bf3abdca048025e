//! Takes the messages of a field with `flash` out of the session, so that one request shows them.

use std::{iter, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{loaded::Loaded, session::ActiveSession, state::State, taken::Taken};
use crate::{
    error::{SessionError, StoreError},
    fields::{Flash, MergedField},
    id::StoreKey,
    record::{Patch, Record},
    store::{CookieHolds, UpdateOutcome},
};

/// How often a request tries to take the messages, before it fails.
const ATTEMPTS: u32 = 50;
/// How long a request waits for the others that take messages of the same session.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

impl ActiveSession {
    /// Takes the messages that the request would show, and returns them as they were stored.
    ///
    /// Those that are stored are removed from the store before this returns, so that of several
    /// requests only one gets them. The other changes of this request stay unsaved.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn take_messages(
        &self,
        field: &'static dyn MergedField,
    ) -> Result<Box<RawValue>, SessionError> {
        let _turn = self.turn.take().await;
        self.finish_abandoned().await;
        let schema = field.schema();
        let (shown, stored, live) = {
            let state = self.state.borrow();
            let live = match &state.loaded {
                Loaded::Live { key, record } => Some((*key, record.clone())),
                _ => None,
            };
            (state.read(schema), state.below().find(schema), live)
        };
        let flash = |json| Flash::parse(json);
        // What the request has removed already, it has shown; what it has added is not stored yet.
        let removed = flash(stored.as_deref()).without(&flash(shown.as_deref()));
        let added = flash(shown.as_deref()).without(&flash(stored.as_deref()));
        let is_shown = !flash(stored.as_deref()).without(&removed).is_empty();
        let has_removed = !removed.is_empty();
        let in_cookie = self.config.rules.cookie_holds == CookieHolds::Session;
        let claimed = match live {
            Some(_) if is_shown && in_cookie => stored.as_deref().map(ToOwned::to_owned),
            Some((key, record)) if is_shown => self.claim(field, &key, record).await?,
            _ => None,
        };
        let claimed = Flash::parse(claimed.as_deref()).without(&removed);
        let taken = claimed.and(added).to_json();
        let mut state = self.state.borrow_mut();
        state.changes.cancel(schema);
        if is_shown && in_cookie || !is_shown && has_removed {
            // The response removes them.
            let (below, changes) = state.layers();
            changes.remove(field, below);
        }
        state.bump();
        Ok(taken)
    }

    /// Removes the stored messages from the store, and returns them. `record` is the session as the
    /// request has loaded it.
    async fn claim(
        &self,
        field: &'static dyn MergedField,
        key: &StoreKey,
        mut record: Record,
    ) -> Result<Option<Box<RawValue>>, SessionError> {
        let loaded = record.version();
        let mut lock = None;
        for _ in 0..ATTEMPTS {
            let found = field.schema().find(&record).map(ToOwned::to_owned);
            let mut removal = Patch::default();
            let names = iter::once(&field.schema().stored).chain(field.schema().aliases);
            names.for_each(|name| removal.remove((*name).into()));
            if Flash::parse(found.as_deref()).is_empty() {
                // Another request was faster.
                self.forget(&removal, None);
                return Ok(None);
            }
            let mut patch = removal.clone();
            patch.expect_version(record.version());
            match self.store().update(*key, patch).await? {
                UpdateOutcome::Applied { version } => {
                    let is_known = record.version() == loaded;
                    self.forget(&removal, is_known.then_some(version));
                    self.remember_taken(field, found.as_deref());
                    return Ok(found);
                }
                UpdateOutcome::Conflict(current) => record = current,
                UpdateOutcome::Gone | UpdateOutcome::Taken => return Ok(None),
            }
            if lock.is_none() {
                let wait = timeout(LOCK_TIMEOUT, self.config.merge_locks.wait(key)).await;
                lock = Some(wait.map_err(StoreError::unavailable)?);
            }
        }
        let why = "other requests changed the session in every attempt to take its messages; \
                   try again";
        Err(StoreError::unavailable(why).into())
    }

    /// Removes the messages from the request's copy of the session. Its version changes only if all
    /// that it has is of that version.
    fn forget(&self, removal: &Patch, version: Option<u64>) {
        let mut state = self.state.borrow_mut();
        if let Some(record) = state.loaded.live_record_mut()
            && let Ok(without) = removal.apply_to(record)
        {
            *record = Record { version: version.unwrap_or(record.version), ..without };
        }
    }

    fn remember_taken(&self, field: &'static dyn MergedField, messages: Option<&RawValue>) {
        let messages = messages.map(ToOwned::to_owned).unwrap_or_default();
        let mut state = self.state.borrow_mut();
        state.taken.get_or_insert_default().push(Taken { field, messages });
    }
}

impl State {
    /// Puts the messages that a failed request has taken back, so that the next one shows them.
    #[cold]
    pub(super) fn put_messages_back(&mut self) {
        for Taken { field, messages } in self.taken.take().into_iter().flat_map(|taken| *taken) {
            if !matches!(self.loaded, Loaded::Live { .. }) || self.changes.intent.ends_session() {
                continue;
            }
            let now = self.read(field.schema());
            let all = Flash::parse(Some(&messages)).and(Flash::parse(now.as_deref()));
            let (below, changes) = self.layers();
            changes.set(field, Arc::from(all.to_json()), below);
        }
    }
}
