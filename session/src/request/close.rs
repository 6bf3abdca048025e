//! Saves the session: when asked to, and with the response.

use std::{cell::RefMut, future::poll_fn, mem, pin::pin, sync::Arc, task::Poll};

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use futures_util::future::FutureExt as _;
use tracing::{error, warn};

use super::{
    call::{StoreCaller, update_at_once},
    changes::{Changes, Intent, TouchMode},
    in_flight::{InFlight, StoreCall},
    loaded::Loaded,
    merge::Merger,
    outcome::{CookieAction, SaveOutcome, StoreOutcome},
    plan::{Call, Impossible, Plan, plan, tolerates_outage},
    report::Report,
    session::ActiveSession,
    state::{Head, State},
};
use crate::{
    error::{Chain, SessionError, StoreError},
    id::{SessionId, StoreKey},
    store::{CookieChange, not_immediate},
    transport::{HeaderSettings, IdChannel, IdHeader},
};

/// How often another id is tried when one is taken.
pub(super) const ID_ATTEMPTS: usize = 3;

/// How far a save is.
enum Saving {
    InFlight,
    /// `None`: the new id was taken.
    Finished(Option<SaveOutcome>),
}

/// What the response must say about the session.
#[derive(Debug)]
pub(crate) struct ResponseEffects {
    pub(crate) header: Option<IdHeader>,
    /// The request header that was looked at besides the cookie.
    pub(crate) vary_header: Option<HeaderName>,
    /// Why the response must be another than the handler's.
    pub(crate) error: Option<SessionError>,
}

impl ActiveSession {
    /// Stores the changes now.
    pub(crate) async fn save(&self) -> Result<(), SessionError> {
        let _turn = self.turn.take().await;
        self.finish_abandoned().await;
        if let Some(error) = self.state.borrow().changes.encode_error() {
            return Err(error);
        }
        let outcome = match self.store_changes(None).await {
            Err(error @ SessionError::ResponseSent) if self.is_destroyed() => {
                self.store_changes(None).await?;
                return Err(error);
            }
            outcome => outcome?,
        };
        match outcome {
            SaveOutcome::Stored => {
                self.state.borrow_mut().taken = None;
                Ok(())
            }
            SaveOutcome::Ended | SaveOutcome::Lost => Err(SessionError::Gone),
        }
    }

    /// Whether a `destroy()` is still to be carried out.
    fn is_destroyed(&self) -> bool {
        self.state.borrow().changes.intent == Intent::Destroy
    }

    /// Carries out what the request asked for. `request` is gone if an inner middleware failed.
    pub(crate) async fn close(
        &self,
        request: Option<&HttpRequest>,
        status: StatusCode,
    ) -> ResponseEffects {
        let _turn = self.turn.take().await;
        self.finish_abandoned().await;
        let encode_error = self.begin_close(status);
        let result = self.store_changes(request).await;
        self.finish_close(request, encode_error, result)
    }

    /// As [`close`](Self::close), by the same steps, where none of them waits: the store is
    /// immediate, or there is nothing to store. `None` if one would.
    ///
    /// Futures that are polled once would do, but those of a load and a close take 580 instructions
    /// more per request.
    pub(crate) fn close_at_once(
        &self,
        request: Option<&HttpRequest>,
        status: StatusCode,
    ) -> Option<ResponseEffects> {
        let may_wait = {
            let state = self.state.borrow();
            // An abandoned save that merges may be in flight in an immediate store, too.
            self.turn.is_taken()
                || state.in_flight.is_some()
                || state.is_merged()
                || self.foreign.get().is_some()
        };
        if may_wait {
            return None;
        }
        if !self.is_immediate() {
            // A request that has failed puts messages back.
            if status.is_server_error() {
                return None;
            }
            let (cookie, loses_changes) = self.plan_without_call()?;
            let encode_error = self.begin_close(status);
            let outcome = self.state.borrow_mut().finish_without_call(cookie, loses_changes);
            return Some(self.finish_close(request, encode_error, Ok(outcome)));
        }
        let encode_error = self.begin_close(status);
        for _ in 0..ID_ATTEMPTS {
            let result = match self.start_saving(request) {
                Ok(Saving::Finished(None)) => continue,
                Ok(Saving::Finished(Some(outcome))) => Ok(outcome),
                Ok(Saving::InFlight) => Err(not_immediate().into()),
                Err(error) => Err(error),
            };
            return Some(self.finish_close(request, encode_error, result));
        }
        Some(self.finish_close(request, encode_error, Err(SessionError::IdsTaken)))
    }

    /// The cookie, and whether changes are lost, where the request has changed nothing and need not
    /// extend the session either.
    fn plan_without_call(&self) -> Option<(CookieAction, bool)> {
        let state = self.state.borrow();
        if !state.changes.is_empty() {
            return None;
        }
        match plan(&state, &self.config.rules, self.config.clock.now()) {
            Ok(Plan { call: None, cookie, loses_changes }) => Some((cookie, loses_changes)),
            _ => None,
        }
    }

    /// Drops what a failed request must not store. Returns the error of a value that cannot be
    /// stored.
    #[inline]
    fn begin_close(&self, status: StatusCode) -> Option<SessionError> {
        let mut state = self.state.borrow_mut();
        let error = state.changes.encode_error();
        let has_failed = status.is_server_error() && !self.config.save_on_server_error;
        if has_failed || error.is_some() {
            state.changes.discard();
            state.chosen_limits = None;
            state.put_messages_back();
        }
        error
    }

    /// Says what the response must say, now that the store call has been made.
    #[inline]
    fn finish_close(
        &self,
        request: Option<&HttpRequest>,
        encode_error: Option<SessionError>,
        result: Result<SaveOutcome, SessionError>,
    ) -> ResponseEffects {
        let mut state = self.state.borrow_mut();
        let error = match result {
            Ok(SaveOutcome::Stored | SaveOutcome::Ended) => None,
            Ok(SaveOutcome::Lost) => {
                warn_of_lost_changes(request);
                None
            }
            Err(SessionError::Store(error)) if state.only_touches() => {
                state.changes = Changes::default();
                self.log_failed_touch(&error);
                None
            }
            Err(error) => {
                let is_tolerated = matches!(error, SessionError::Store(StoreError::Unavailable(_)))
                    && tolerates_outage(&state, &self.config.rules);
                state.changes = Changes::default();
                let is_dropped = self.log_if_dropped(&error);
                if is_tolerated {
                    warn!(
                        event = "changes_lost_in_outage",
                        route = request.and_then(HttpRequest::match_pattern),
                        "what a request changed or extended is lost, because its session's store is \
                         not available",
                    );
                }
                (!is_tolerated && !is_dropped).then_some(error)
            }
        };
        self.finish_response(&mut state, encode_error.or(error))
    }

    /// Logs that a session was not extended. The request has read what it wanted, so it does not
    /// fail. While the store takes no writes, every request would log this.
    #[cold]
    fn log_failed_touch(&self, error: &StoreError) {
        if self.config.touch_failures.is_due(self.config.clock.now()) {
            error!(event = "sessions_not_extended", "sessions are not extended: {}", Chain(error));
        }
    }

    /// Plans, makes the store call, and takes over what it did. The caller has the turn.
    async fn store_changes(
        &self,
        request: Option<&HttpRequest>,
    ) -> Result<SaveOutcome, SessionError> {
        for _ in 0..ID_ATTEMPTS {
            let outcome = match self.start_saving(request)? {
                // In a box, so that a call that is ready at once does not carry what waits.
                Saving::InFlight => Box::pin(self.finish_in_flight()).await?,
                Saving::Finished(outcome) => outcome,
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
        Err(SessionError::IdsTaken)
    }

    /// Plans, and starts the store call. It is finished at once if there is nothing to do, or if
    /// the store is immediate.
    fn start_saving(&self, request: Option<&HttpRequest>) -> Result<Saving, SessionError> {
        let mut state = self.state.borrow_mut();
        let (call, cookie) = match plan(&state, &self.config.rules, self.config.clock.now()) {
            Ok(Plan { call: None, cookie, loses_changes }) => {
                let outcome = state.finish_without_call(cookie, loses_changes);
                return Ok(Saving::Finished(Some(outcome)));
            }
            Ok(Plan { call: Some(call), cookie, .. }) => (call, cookie),
            Err(Impossible::HeadSent) => {
                self.drop_what_needs_cookie(&mut state);
                return Err(SessionError::ResponseSent);
            }
            Err(Impossible::Unavailable) => {
                let why = "the session could not be loaded when the request began";
                return Err(StoreError::unavailable(why).into());
            }
        };
        if matches!(call, Call::Create(_)) {
            self.check_new_session(&state)?;
        }
        let merger = self.merger(&state);
        self.give_away(&mut state, &call);
        // A call that merges may wait for other requests.
        let is_ready = self.is_immediate() && merger.is_none();
        let call = match call {
            // The usual write: while the call is made, the changes can stay where they are.
            Call::Update(key, patch) if is_ready => {
                drop(state);
                let result = update_at_once(self.store(), key, patch);
                let mut state = self.state.borrow_mut();
                let is_given_away = matches!(state.loaded, Loaded::GivenAway { .. });
                if let (Ok(StoreOutcome::Updated(_)), true) = (&result, is_given_away) {
                    // The request keeps no copy, so there is nothing to update.
                    let outcome = state.finish_without_call(cookie, false);
                    return Ok(Saving::Finished(Some(outcome)));
                }
                let changes = mem::take(&mut state.changes);
                return self.finish(state, changes, cookie, result).map(Saving::Finished);
            }
            call => call,
        };
        let report = call.is_event().then(|| self.reporter()).flatten();
        let report = report.map(|it| Report::new(it, &state, &self.config.rules.privileges));
        let changes = mem::take(&mut state.changes);
        drop(state);
        // Not while the state is borrowed: a generator of ids is code of the user.
        let new_id = match call.needs_id().then(|| self.new_id(request)).transpose() {
            Ok(new_id) => new_id.flatten(),
            // The old session is destroyed, whatever becomes of the new one.
            Err(_) if matches!(call, Call::DestroyThenCreate(..)) => None,
            Err(error) => {
                self.state.borrow_mut().changes.put_back(changes);
                return Err(error);
            }
        };
        let others = match &call {
            Call::Destroy(key) | Call::DestroyThenCreate(key, _) => self.others_than(key),
            _ => Vec::new(),
        };
        let forget = self.forget_with(&changes);
        let caller = StoreCaller { store: self.store(), others, merger, new_id, report };
        if is_ready && forget.is_none() {
            let call = pin!(caller.carry_out(call));
            let result = call.now_or_never().unwrap_or_else(|| Err(not_immediate().into()));
            let state = self.state.borrow_mut();
            return self.finish(state, changes, cookie, result).map(Saving::Finished);
        }
        let call = caller.carry_out(call);
        let call = match forget {
            None => StoreCall::new(call),
            Some(forget) => StoreCall::new(forget.after(call)),
        };
        self.state.borrow_mut().in_flight = Some(Box::new(InFlight { changes, cookie, call }));
        Ok(Saving::InFlight)
    }

    /// The other sessions that the client has presented, which end together with the one that the
    /// request destroys. Otherwise, a logout would bring another one of them to light.
    #[cold]
    fn others_than(&self, key: &StoreKey) -> Vec<StoreKey> {
        let presented = self.presented.claims().map(|claim| StoreKey::from(&claim.id));
        presented.filter(|other| other != key).collect()
    }

    /// What merges the changed fields, if some are merged by code of their type.
    #[inline]
    fn merger(&self, state: &State) -> Option<Merger> {
        let base = state.loaded.record().filter(|_| state.is_merged())?;
        Some(Merger {
            base: base.clone(),
            fields: state.changes.merged.clone(),
            locks: Arc::clone(&self.config.merge_locks),
            reporter: self.reporter(),
        })
    }

    /// Gives the request's copy of the session away if nothing can read it before the request is
    /// closed, so that the store can change its own in place. An extractor that asks for the
    /// session after that loads it by the id that the client came with.
    #[inline]
    fn give_away(&self, state: &mut State, call: &Call) {
        if let Call::Update(key, _) = call
            && self.handles.get() == 0
            && !state.has_new_id
        {
            state.loaded = Loaded::GivenAway { key: *key };
            self.is_loaded.set(false);
        }
    }

    /// Takes over the result of a store call. After an error the changes are there to be saved
    /// again.
    fn finish(
        &self,
        mut state: RefMut<'_, State>,
        changes: Changes,
        cookie: CookieAction,
        result: Result<StoreOutcome, SessionError>,
    ) -> Result<Option<SaveOutcome>, SessionError> {
        match result {
            Ok(outcome) => Ok(state.finish(changes, cookie, outcome, &self.ids)),
            Err(error) => {
                state.changes.put_back(changes);
                Err(error)
            }
        }
    }

    /// Waits for the store call of a `save` whose future was dropped. The caller has the turn.
    pub(super) async fn finish_abandoned(&self) {
        if self.state.borrow().in_flight.is_none() {
            return;
        }
        // In a box, so that the usual way does not carry what this seldom one needs.
        match Box::pin(self.finish_in_flight()).await {
            Ok(Some(SaveOutcome::Lost)) => warn_of_lost_changes(None),
            Ok(_) => {}
            Err(error) => warn!(
                event = "abandoned_save_failed",
                "an abandoned save failed: {}",
                Chain(&error)
            ),
        }
    }

    /// Waits for the store call that is in flight, and takes over what it did. The caller has the
    /// turn. `None` if the new id was taken.
    async fn finish_in_flight(&self) -> Result<Option<SaveOutcome>, SessionError> {
        let _detach = DetachOnDrop(self);
        let finished = poll_fn(|context| {
            // Out of the state while it is polled: functions that merge fields are code of the
            // user.
            let Some(mut in_flight) = self.state.borrow_mut().in_flight.take() else {
                return Poll::Ready(None);
            };
            match in_flight.call.poll(context) {
                Poll::Ready(result) => Poll::Ready(Some((in_flight, result))),
                Poll::Pending => {
                    self.state.borrow_mut().in_flight = Some(in_flight);
                    Poll::Pending
                }
            }
        })
        .await;
        match finished {
            Some((in_flight, result)) => {
                let InFlight { changes, cookie, .. } = *in_flight;
                self.finish(self.state.borrow_mut(), changes, cookie, result)
            }
            None => Ok(Some(SaveOutcome::Stored)),
        }
    }

    /// Drops the changes that the client would need a cookie for, which cannot be sent any more.
    fn drop_what_needs_cookie(&self, state: &mut State) {
        let rules = &self.config.rules;
        let is_elevated = state.is_elevated(&rules.privileges);
        let changes = &mut state.changes;
        changes.needs_session = false;
        match changes.intent {
            Intent::Keep | Intent::Renew if is_elevated => {
                rules.privileges.names().for_each(|name| changes.drop_field(name));
            }
            Intent::Renew => {}
            Intent::Keep | Intent::Regenerate | Intent::Destroy => changes.clear_fields(),
        }
        if changes.intent == Intent::Renew {
            changes.intent = Intent::Keep;
        }
        if let Err(Impossible::HeadSent) = plan(state, rules, self.config.clock.now()) {
            // The cookie holds the session, so nothing of it can change any more.
            state.changes = Changes::default();
        }
        state.bump();
    }

    /// What goes out with the head of the response. Nothing can after it.
    fn finish_response(&self, state: &mut State, error: Option<SessionError>) -> ResponseEffects {
        state.changes.touch = TouchMode::WhenDue;
        state.changes.needs_session = false;
        state.head = Head::Sent;
        let action = match mem::take(&mut state.cookie) {
            // What `save` has stored may have ended since.
            CookieAction::Issue(_) if matches!(state.loaded, Loaded::Gone { .. }) => {
                CookieAction::Keep
            }
            action => action,
        };
        let header = self.config.header.as_ref();
        let mut id_header = match (self.presented.channel, header) {
            // Most requests: there is nothing to say.
            _ if action == CookieAction::Keep && self.request_store.is_none() => None,
            (IdChannel::Header, Some(header)) => self.header_for(header, action),
            (IdChannel::Cookie | IdChannel::Header, _) => {
                self.cookie_for(action).map(IdHeader::Cookie)
            }
            (IdChannel::Conflict, _) => None,
        };
        let vary_header = header.map(|header| header.of_requests().clone());
        if self.presented.has_formers() && self.removes_formers(state, action) {
            id_header = self.with_removals(id_header);
        }
        if let Some(foreign) = self.foreign.get() {
            id_header = self.with_foreign_removal(foreign, id_header);
        }
        ResponseEffects { header: id_header, vary_header, error }
    }

    /// Adds what removes the former cookies that the client has sent. The present cookie is last,
    /// for clients that do not tell it from a former one of its name.
    #[cold]
    fn with_removals(&self, id_header: Option<IdHeader>) -> Option<IdHeader> {
        let mut cookies = self.cookie().former_removals(&self.presented);
        if let Some(IdHeader::Cookie(cookie)) = id_header {
            cookies.push(cookie);
        }
        (!cookies.is_empty()).then(|| IdHeader::Cookies(cookies.into()))
    }

    /// Whether the client does not need its former cookies any more: it gets the present one or
    /// none, or it already has the present one.
    fn removes_formers(&self, state: &State, action: CookieAction) -> bool {
        let has_come_with =
            |id: &SessionId| self.presented.claims().any(|it| !it.is_former && it.id == *id);
        self.presented.channel == IdChannel::Cookie
            && match (action, &state.loaded) {
                (CookieAction::Issue(_) | CookieAction::Remove, _) => true,
                (CookieAction::Keep, Loaded::Live { .. } | Loaded::GivenAway { .. }) => {
                    self.ids.first().is_some_and(has_come_with)
                }
                (CookieAction::Keep, _) => false,
            }
    }

    fn cookie_for(&self, action: CookieAction) -> Option<HeaderValue> {
        let (cookie, id) = (self.cookie(), self.ids.current());
        if let (Some(store), Some(id)) = (&self.request_store, id) {
            return match (store.cookie_change(id), action) {
                (CookieChange::Value(value), CookieAction::Issue(age)) => {
                    Some(cookie.issue_value(&value, age))
                }
                // Also if it has ended in a call that failed afterwards.
                (CookieChange::Ended, _) | (_, CookieAction::Remove) => Some(cookie.removal()),
                (CookieChange::Nothing | CookieChange::Value(_), _) => None,
            };
        }
        match (action, id) {
            (CookieAction::Issue(age), Some(id)) => Some(cookie.issue(id, age)),
            // It sent former cookies only, with which there was no session.
            (CookieAction::Remove, _)
                if self.presented.has_formers()
                    && !self.presented.has_own
                    && self.ids.first().is_none() =>
            {
                None
            }
            (CookieAction::Remove, _) => Some(cookie.removal()),
            (CookieAction::Keep | CookieAction::Issue(_), _) => None,
        }
    }

    /// The client decides how long it keeps an id that it gets in a header, so the header goes out
    /// only if the client does not have the id yet.
    fn header_for(&self, header: &HeaderSettings, action: CookieAction) -> Option<IdHeader> {
        let (name, value) = match (action, self.ids.current()) {
            (CookieAction::Issue(_), Some(id)) if self.presented.is_up_to_date(id) => return None,
            (CookieAction::Issue(_), Some(id)) => header.issue(id, self.cookie()),
            (CookieAction::Remove, _) => header.removal(),
            (CookieAction::Keep | CookieAction::Issue(_), _) => return None,
        };
        Some(IdHeader::Header(name, value))
    }
}

fn warn_of_lost_changes(request: Option<&HttpRequest>) {
    warn!(
        event = "changes_lost",
        route = request.and_then(HttpRequest::match_pattern),
        "the changes of a request are lost: its session was destroyed or renewed by another request, \
         or expired, while this one held it",
    );
}

/// The future that waits for a store call may be dropped. The call goes on all the same.
struct DetachOnDrop<'a>(&'a ActiveSession);

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(in_flight) = &mut self.0.state.borrow_mut().in_flight {
            in_flight.call.detach();
        }
    }
}
