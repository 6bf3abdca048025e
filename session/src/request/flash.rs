//! Takes the messages of a field with `flash` out of the session, so that one request shows them.

use std::{iter, sync::Arc};

use serde_json::value::RawValue;

use super::{
    loaded::Loaded,
    merge::{MERGE_ATTEMPTS, lock},
    session::ActiveSession,
    state::State,
    taken::Taken,
};
use crate::{
    error::{SessionError, StoreError},
    fields::{AnyField, Flash},
    id::StoreKey,
    record::{Patch, Record},
    store::{CookieHolds, UpdateOutcome},
};

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
        field: &'static dyn AnyField,
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
        let [of_request, of_store] = [&shown, &stored].map(|json| Flash::parse(json.as_deref()));
        // What the request has removed already, it has shown; what it has added is not stored yet.
        let removed = of_store.clone().without(&of_request);
        let added = of_request.without(&of_store);
        let is_shown = !of_store.without(&removed).is_empty();
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
        if is_shown && in_cookie || !is_shown && !removed.is_empty() {
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
        field: &'static dyn AnyField,
        key: &StoreKey,
        mut record: Record,
    ) -> Result<Option<Box<RawValue>>, SessionError> {
        let loaded = record.version();
        let mut removal = Patch::default();
        let names = iter::once(&field.schema().stored).chain(field.schema().aliases);
        names.for_each(|name| removal.remove((*name).into()));
        let mut turn = None;
        for _ in 0..MERGE_ATTEMPTS {
            let found = field.schema().find(&record).map(ToOwned::to_owned);
            let Some(messages) = found.filter(|json| !Flash::parse(Some(json)).is_empty()) else {
                // Another request was faster.
                self.forget(&removal, None);
                return Ok(None);
            };
            let mut patch = removal.clone();
            patch.expect_version(record.version());
            match self.store().update(*key, patch).await? {
                UpdateOutcome::Applied { version } => {
                    let is_known = record.version() == loaded;
                    self.forget(&removal, is_known.then_some(version));
                    let taken = Taken { field, messages: messages.clone() };
                    self.state.borrow_mut().taken.get_or_insert_default().push(taken);
                    return Ok(Some(messages));
                }
                UpdateOutcome::Conflict(current) => record = current,
                UpdateOutcome::Gone | UpdateOutcome::Taken => return Ok(None),
            }
            if turn.is_none() {
                turn = Some(lock(&self.config.merge_locks, key).await?);
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
