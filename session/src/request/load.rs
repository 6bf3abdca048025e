//! Loads the session that the client means.

use std::{ops::ControlFlow, sync::Arc};

use tracing::{error, warn};

use super::{loaded::Loaded, session::ActiveSession};
use crate::{
    config::OnOutage,
    error::{Chain, SessionError, StoreError},
    fields::Schema,
    id::StoreKey,
    observe::{EventKind, Events, Metric, Reporter},
    record::Record,
    store::{LoadOptions, TouchRule},
    transport::{Claim, IdChannel},
};

/// How many renewals an old id is followed through within the grace: a client that renews its id
/// again and again must not make its old ones costly to look up. An id that is older reads nothing.
const MAX_RENEWALS: usize = 16;

/// An id of the client's, and the session that it names.
type Hit<'a> = (&'a Claim, StoreKey, Record);

/// Keeps the better of two sessions: a live one is the best, and ends the search.
fn prefer_live<'a>(best: &mut Option<Hit<'a>>, hit: Hit<'a>) -> ControlFlow<()> {
    if hit.2.is_retired() {
        best.get_or_insert(hit);
        return ControlFlow::Continue(());
    }
    *best = Some(hit);
    ControlFlow::Break(())
}

impl ActiveSession {
    /// Loads the session for a struct, once per request if it can be.
    pub(crate) async fn load(&self, schema: &'static Schema) -> Result<(), SessionError> {
        self.config.rules.privileges.learn(schema);
        if self.presented.channel == IdChannel::Conflict {
            return Err(SessionError::ConflictingIds);
        }
        let _turn = self.turn.take().await;
        if self.is_loaded.get() {
            return match self.part_without(schema) {
                None => Ok(()),
                Some((key, part, first)) => self.load_rest(key, part, first).await,
            };
        }
        self.first.set(Some(schema));
        match self.look_up(self.fields_to_load(schema)).await {
            Err(SessionError::Store(error @ StoreError::Unavailable(_)))
                if self.config.rules.on_outage == OnOutage::Anonymous =>
            {
                warn!(event = "session_not_loaded", "a session is not loaded: {}", Chain(&error));
            }
            result => result?,
        }
        self.finish_loading(schema);
        Ok(())
    }

    /// As [`load`](Self::load), by the same steps, where none of them waits: the store is
    /// immediate, or has a copy. Returns whether the session is loaded.
    ///
    /// [`close_at_once`](Self::close_at_once) says why.
    pub(crate) fn load_at_once(&self, schema: &'static Schema) -> bool {
        let may_wait = self.turn.is_taken() || self.presented.channel == IdChannel::Conflict;
        if may_wait {
            return false;
        }
        self.config.rules.privileges.learn(schema);
        if self.is_loaded.get() {
            return self.part_without(schema).is_none();
        }
        let (options, touch) = self.load_options(self.fields_to_load(schema));
        let mut best = None;
        for claim in self.presented.claims() {
            if claim.is_former && best.is_some() {
                break;
            }
            let key = StoreKey::from(&claim.id);
            let Some(loaded) = self.store().load_at_once(&key, &options) else { return false };
            match self.usable(loaded, touch) {
                // Whether it may still be read takes another call.
                Ok(Some(record)) if record.successor().is_some() => return false,
                Ok(Some(record)) => {
                    if prefer_live(&mut best, (claim, key, record)).is_break() {
                        break;
                    }
                }
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        if best.is_none() && self.foreign.get().is_some() {
            return false;
        }
        self.first.set(Some(schema));
        self.set_loaded(best);
        self.finish_loading(schema);
        true
    }

    /// What follows when it is known what the client's ids name.
    #[inline]
    fn finish_loading(&self, schema: &'static Schema) {
        if !self.is_immediate()
            && let Some(whole) = self.state.borrow().loaded.record().filter(|it| it.is_whole)
        {
            self.config.learn(schema, whole);
        }
        self.is_loaded.set(true);
        if let Some(events) = &self.config.events {
            self.report_loaded(events);
        }
    }

    /// The fields to load when a struct is extracted. `None`: all of them.
    fn fields_to_load(&self, schema: &Schema) -> Option<&'static [&'static str]> {
        // A store in memory gains nothing by leaving fields out.
        if self.is_immediate() { None } else { self.config.fields_to_load(schema) }
    }

    /// Loads the rest of the session for another struct. What was loaded first stays as it is,
    /// because the request has seen it and may have changed it.
    async fn load_rest(
        &self,
        key: StoreKey,
        part: Record,
        first: &'static Schema,
    ) -> Result<(), SessionError> {
        self.config.was_joined(first);
        let whole = self.load_record(key, None).await?;
        self.state.borrow_mut().loaded = match whole {
            Some(whole) => Loaded::new(key, whole.completing(&part, first.names)),
            None => Loaded::Gone { key },
        };
        Ok(())
    }

    /// The part of the session that was loaded, if a struct needs more.
    pub(super) fn part_without(
        &self,
        schema: &Schema,
    ) -> Option<(StoreKey, Record, &'static Schema)> {
        let state = self.state.borrow();
        let (key, record) = state.loaded.held()?;
        let first = self.first.get()?;
        let is_enough =
            record.is_whole || schema.names.iter().all(|name| first.names.contains(name));
        (!is_enough).then(|| (*key, record.clone(), first))
    }

    /// Finds the session that the client means. If the store fails, it is not known.
    pub(super) async fn look_up(
        &self,
        fields: Option<&'static [&'static str]>,
    ) -> Result<(), SessionError> {
        let mut best = None;
        for claim in self.presented.claims() {
            // Not even if the present cookie has an id that was just renewed.
            if claim.is_former && best.is_some() {
                break;
            }
            let key = StoreKey::from(&claim.id);
            let (options, touch) = self.load_options(fields);
            let loaded = self.usable(self.store().load(key, options).await, touch);
            let record = match loaded.inspect_err(|_| self.set_unavailable(key))? {
                // In a box, so that the usual way does not carry what this seldom one needs.
                Some(record) if record.successor().is_some() => {
                    let view = Box::pin(self.old_id_view(record)).await;
                    view.inspect_err(|_| self.set_unavailable(key))?
                }
                Some(record) => record,
                None => continue,
            };
            if prefer_live(&mut best, (claim, key, record)).is_break() {
                break;
            }
        }
        if best.is_none() && self.foreign.get().is_some() {
            return Box::pin(self.import()).await;
        }
        self.set_loaded(best);
        Ok(())
    }

    /// The store failed, so what it has is not known.
    pub(super) fn set_unavailable(&self, key: StoreKey) {
        self.state.borrow_mut().loaded = Loaded::Unavailable { key };
    }

    /// Reads the stored session again, and drops what was changed but not saved.
    pub(crate) async fn reload(&self) -> Result<(), SessionError> {
        let _turn = self.turn.take().await;
        self.finish_abandoned().await;
        let key = match self.state.borrow().loaded {
            Loaded::Live { key, .. } | Loaded::Retired { key, .. } => Some(key),
            _ => None,
        };
        let is_unknown = matches!(self.state.borrow().loaded, Loaded::Unavailable { .. });
        if is_unknown {
            Box::pin(self.look_up(None)).await?;
        }
        let record = match key {
            Some(key) => Some((key, self.load_record(key, None).await?)),
            None => None,
        };
        let mut state = self.state.borrow_mut();
        state.changes.clear_fields();
        state.chosen_limits = None;
        state.unreadable = None;
        state.bump();
        if let Some((key, record)) = record {
            let gone = Loaded::Gone { key };
            state.loaded = record.map_or(gone, |record| Loaded::new(key, record));
        }
        if state.has_ended() { Err(SessionError::Gone) } else { Ok(()) }
    }

    /// Takes over the session that the client's ids name.
    #[inline]
    pub(super) fn set_loaded(&self, found: Option<Hit<'_>>) {
        let mut state = self.state.borrow_mut();
        let Some((claim, key, record)) = found else {
            state.loaded = Loaded::Nothing {
                // The cookie of a later release is left alone.
                has_unknown_id: self.presented.any && !self.presented.is_later,
            };
            return;
        };
        if !record.is_retired() || record.successor().is_some() {
            self.ids.push(Some(claim.id.clone()));
        }
        state.loaded = Loaded::new(key, record);
        state.has_old_signature = claim.is_outdated;
        if let Some(foreign) = self.foreign.get() {
            foreign.goes_on_as_ours();
        }
    }

    /// Reports what the client's ids name. An imported session was reported before.
    #[cold]
    fn report_loaded(&self, events: &Arc<Events>) {
        let (is_imported, unknown_id) = {
            let state = self.state.borrow();
            match state.loaded {
                Loaded::Nothing { has_unknown_id } => (false, Some(has_unknown_id)),
                _ => (state.has_new_id, None),
            }
        };
        // Nothing is borrowed while an observer runs.
        match unknown_id {
            Some(true) if !self.has_refused_signature.get() => {
                let reporter = Reporter::of_request(events, self.details.get());
                reporter.report(EventKind::UnknownId, None);
            }
            None if !is_imported => events.count(Metric::Loaded),
            Some(_) | None => {}
        }
    }

    /// The record of a key, of which these fields are enough. `None`: all of them.
    pub(super) async fn load_record(
        &self,
        key: StoreKey,
        fields: Option<&'static [&'static str]>,
    ) -> Result<Option<Record>, SessionError> {
        let (options, touch) = self.load_options(fields);
        match self.usable(self.store().load(key, options).await, touch)? {
            Some(record) if record.successor().is_some() => {
                self.old_id_view(record).await.map(Some)
            }
            record => Ok(record),
        }
    }

    /// How a session is loaded, and how it is extended with that.
    #[inline]
    fn load_options(
        &self,
        fields: Option<&'static [&'static str]>,
    ) -> (LoadOptions<'static>, Option<TouchRule>) {
        let lifetimes = &self.config.rules.lifetimes;
        let mut options = LoadOptions::default();
        if let Some(fields) = fields {
            options = options.with_fields(fields);
        }
        if lifetimes.touches_often() && !self.state.borrow().keeps_expiry {
            let touch = TouchRule { lifetimes: *lifetimes, now: self.config.clock.now() };
            options = options.with_touch(touch);
        }
        (options, options.touch())
    }

    /// The record that the store has, unless it is damaged or its time is over. `touch` is how the
    /// store was to extend it.
    #[inline]
    fn usable(
        &self,
        loaded: Result<Option<Record>, StoreError>,
        touch: Option<TouchRule>,
    ) -> Result<Option<Record>, SessionError> {
        let record = match loaded {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Damaged(_)) => {
                // The user's next request must not fail too, so this is a visitor without a
                // session.
                log_damaged(&error);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let now = self.config.clock.now();
        let lifetimes = &self.config.rules.lifetimes;
        if record.is_expired(now) || lifetimes.deadline(record.created_at(), record.limits()) <= now
        {
            return Ok(None);
        }
        if let Some(TouchRule { now, .. }) = touch {
            let extended = lifetimes.expires_at(record.created_at(), record.limits(), now);
            self.state.borrow_mut().touched_by_load |= record.expires_at() == extended;
        }
        Ok(Some(record))
    }

    /// What an old id still reads: the session as it was, but only as long as the session lives.
    /// After a logout, or where the id was renewed once more because of a `privilege` field, the
    /// old id reads nothing.
    async fn old_id_view(&self, retired: Record) -> Result<Record, SessionError> {
        let mut next = retired.successor().copied();
        for _ in 0..MAX_RENEWALS {
            let Some(key) = next else { break };
            let successor = self.store().load(key, LoadOptions::default()).await;
            let successor = self.usable(successor, None)?;
            if successor.as_ref().is_some_and(|record| !record.is_retired()) {
                return Ok(retired);
            }
            next = successor.and_then(|record| record.successor().copied());
        }
        let until = retired.expires_at();
        Ok(retired.hidden(until, None))
    }
}

#[cold]
fn log_damaged(error: &StoreError) {
    error!(event = "session_damaged", "{}", Chain(error));
}
