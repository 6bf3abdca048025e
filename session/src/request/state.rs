//! What a request knows of its session, and what it wants of it.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{
    changes::{Below, Changes, Intent},
    ids::Ids,
    in_flight::InFlight,
    loaded::Loaded,
    outcome::{CookieAction, SaveOutcome, StoreOutcome},
    taken::Taken,
};
use crate::{
    config::Privileges,
    fields::{FieldSchema, Unreadable},
    record::{Patch, Record},
    time::{Limits, Timestamp},
};

/// What a request knows of its session, and what it wants of it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) loaded: Loaded,
    /// What is being saved. A request reads it above what is loaded.
    pub(crate) in_flight: Option<Box<InFlight>>,
    /// What the request changed since its last save. It reads this above all else.
    pub(crate) changes: Changes,
    /// Whether the session was extended while it was loaded.
    pub(crate) touched_by_load: bool,
    /// The limits that the request has set. A session that the request begins has them, too.
    pub(crate) chosen_limits: Option<Box<Limits>>,
    /// The messages that the request has taken out of the store.
    #[expect(
        clippy::box_collection,
        reason = "seldom there, so it takes one word of each request"
    )]
    pub(crate) taken: Option<Box<Vec<Taken>>>,
    /// Whether the request does not extend the session, unless it asks for that.
    pub(crate) keeps_expiry: bool,
    /// Whether a key other than the first has signed the client's id.
    pub(crate) has_old_signature: bool,
    pub(crate) head: Head,
    /// What the head of the response does to the client's id.
    pub(crate) cookie: CookieAction,
    /// Whether `save` has carried out a `destroy`.
    pub(crate) was_destroyed: bool,
    /// Whether the request has asked to end the session that it came with.
    #[cfg(feature = "testing")]
    pub(crate) asked_to_end: bool,
    /// Whether the session has another id than the client came with.
    pub(crate) has_new_id: bool,
    /// Counts what changes the values of fields, so that structs extracted before notice it.
    pub(crate) generation: u64,
    /// The latest time at which a value with a `ttl` was looked at.
    pub(crate) latest: Timestamp,
    /// What is stored but not shown, because a value does not decode. The next write ends it.
    #[expect(
        clippy::box_collection,
        reason = "seldom there, so it takes one word of each request"
    )]
    pub(crate) unreadable: Option<Box<Vec<Unreadable>>>,
}

/// Whether a cookie can still be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Head {
    #[default]
    Open,
    Sent,
}

impl State {
    /// What the request reads below its changes.
    #[inline]
    pub(crate) fn below(&self) -> Below<'_> {
        below(&self.loaded, self.in_flight.as_deref(), self.changes.intent)
    }

    /// What the request reads below its changes, and the changes.
    #[inline]
    pub(crate) fn layers(&mut self) -> (Below<'_>, &mut Changes) {
        let below = below(&self.loaded, self.in_flight.as_deref(), self.changes.intent);
        (below, &mut self.changes)
    }

    /// A field's JSON: what is stored, overlaid with what is being saved and what was changed.
    #[inline]
    pub(crate) fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        if !self.changes.patch.changes_fields() {
            return self.below().find(field);
        }
        self.below().find_overlaid(field, &self.changes.patch)
    }

    /// The value of a field if the request has written it under an alias, through another struct.
    pub(crate) fn changed_alias(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let patch = &self.changes.patch;
        let is_alias = !field.aliases.is_empty()
            && field.aliases.iter().any(|alias| patch.names(alias))
            && self.below().find_overlaid_name(field.stored, patch).is_none();
        is_alias.then(|| self.read(field)).flatten()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.changes.patch.limits().copied().unwrap_or_else(|| self.below().limits())
    }

    /// Changes the session's own limits. Where `chosen` is `None`, they stay. The absolute
    /// lifetime begins when the session is `age` old.
    pub(crate) fn choose_limits(&mut self, chosen: Limits, age: Duration) {
        let all = self.chosen_limits.get_or_insert_default();
        **all = chosen.or(**all);
        let absolute_lifetime =
            chosen.absolute_lifetime.map(|lifetime| lifetime.saturating_add(age));
        self.set_limits(Limits { absolute_lifetime, ..chosen }.or(self.limits()));
    }

    /// The limits of a session that the request begins.
    pub(crate) fn new_limits(&self) -> Limits {
        self.chosen_limits.as_deref().copied().unwrap_or_default()
    }

    /// Ends what the request reads. The limits that the request has set apply to the next session,
    /// except after a `destroy()`.
    pub(crate) fn end_session(&mut self, intent: Intent) {
        self.changes.end_session(intent);
        self.unreadable = None;
        if intent == Intent::Destroy {
            self.chosen_limits = None;
        }
        self.set_limits(self.new_limits());
        self.bump();
    }

    /// When the session began. `None`: it is still to begin.
    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.below().record.map(Record::created_at)
    }

    fn set_limits(&mut self, limits: Limits) {
        // Compared as the patch has them, which is how they are stored.
        self.changes.patch.set_limits(limits);
        if self.changes.patch.limits() == Some(&self.below().limits()) {
            self.changes.patch.keep_limits();
        }
    }

    /// Whether the session that the request held is over.
    pub(crate) fn has_ended(&self) -> bool {
        match self.loaded {
            Loaded::Gone { .. } => true,
            Loaded::Nothing { .. } => self.was_destroyed,
            _ => self.changes.intent == Intent::Destroy,
        }
    }

    /// Whether the request has read a session and has changed nothing, so that all it could store
    /// is a later expiry.
    pub(crate) fn only_touches(&self) -> bool {
        self.changes.is_empty()
            && matches!(self.loaded, Loaded::Live { .. } | Loaded::GivenAway { .. })
    }

    /// Whether a `privilege` field is changed.
    pub(crate) fn is_elevated(&self, privileges: &Privileges) -> bool {
        let patch = &self.changes.patch;
        patch.changes_fields() && privileges.names().any(|name| patch.names(name))
    }

    /// Whether the client gets a new id, if a session is needed or goes on.
    pub(crate) fn gets_new_id(&self, privileges: &Privileges) -> bool {
        let intent = self.changes.intent;
        match self.loaded {
            Loaded::Nothing { .. } => true,
            Loaded::Live { .. } => intent != Intent::Keep || self.is_elevated(privileges),
            Loaded::Unavailable { .. } | Loaded::GivenAway { .. } => intent == Intent::Destroy,
            Loaded::Retired { .. } | Loaded::Gone { .. } => {
                intent.ends_session() || self.is_elevated(privileges)
            }
        }
    }

    /// Whether a changed field is merged by code of its type, so that the change must meet the
    /// version that was read.
    #[inline]
    pub(crate) fn is_merged(&self) -> bool {
        self.changes.merged.iter().any(|field| self.changes.patch.names(field.schema().stored))
    }

    /// Remembers that a part of what is stored is not shown.
    pub(crate) fn hide(&mut self, part: Unreadable) {
        let parts = self.unreadable.get_or_insert_default();
        if !parts.iter().any(|known| known.is(part)) {
            parts.push(part);
        }
    }

    /// Whether the field has a stored value that is not shown.
    pub(crate) fn hides(&self, field: &FieldSchema) -> bool {
        self.unreadable.iter().flat_map(|parts| parts.iter()).any(|part| part.includes(field))
    }

    /// Ends what is stored and not shown, before the first write of a field in it. Returns whether
    /// there was something.
    pub(crate) fn end_unreadable(&mut self, field: &FieldSchema) -> bool {
        let below = below(&self.loaded, self.in_flight.as_deref(), self.changes.intent);
        let Some(parts) = self.unreadable.take() else { return false };
        let (ended, rest): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.includes(field));
        self.unreadable = (!rest.is_empty()).then(|| Box::new(rest));
        for part in &ended {
            // The write itself takes the place of a field alone.
            if let Unreadable::Struct(schema) = part {
                self.changes.remove_stored(schema.names, below);
            }
        }
        !ended.is_empty()
    }

    /// The values of fields are not what they were.
    pub(crate) fn bump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Takes over what a store call has done with the changes that it saved. `None` if the new id
    /// was taken: the changes are to be saved under another.
    pub(crate) fn finish(
        &mut self,
        saved: Changes,
        cookie: CookieAction,
        outcome: StoreOutcome,
        ids: &Ids,
    ) -> Option<SaveOutcome> {
        match outcome {
            StoreOutcome::IdTaken => {
                self.changes.put_back(saved);
                return None;
            }
            StoreOutcome::Destroyed => {
                self.loaded = Loaded::Nothing { has_unknown_id: false };
                self.was_destroyed = true;
                ids.push(None);
            }
            StoreOutcome::Gone => {
                self.loaded.set_gone();
                self.lose_changes();
                return Some(SaveOutcome::Lost);
            }
            StoreOutcome::GoneUnchanged => {
                self.loaded.set_gone();
                return Some(SaveOutcome::Ended);
            }
            StoreOutcome::Created { id, key, record } => {
                if self.loaded.held().is_some() {
                    // Nothing of the session that the request had loaded is in the new one.
                    self.bump();
                }
                self.loaded = Loaded::Live { key, record };
                self.was_destroyed = false;
                self.has_new_id = true;
                ids.push(Some(id));
            }
            StoreOutcome::Updated(expiry) => {
                if let Some(record) = self.loaded.live_record_mut() {
                    let mut patch = saved.patch;
                    expiry.into_iter().for_each(|expiry| patch.set_expiry(expiry));
                    apply(record, &patch);
                }
            }
            StoreOutcome::Renewed { id, key: new, patch } => {
                if let Loaded::Live { key, record } = &mut self.loaded {
                    apply(record, &patch);
                    *key = new;
                }
                self.has_new_id = true;
                ids.push(Some(id));
            }
            StoreOutcome::Touched(expires_at) => {
                if let Some(record) = self.loaded.live_record_mut() {
                    *record = record.clone().extended_to(expires_at);
                }
            }
        }
        self.touched_by_load = false;
        self.has_old_signature = false;
        self.set_cookie_action(cookie);
        Some(SaveOutcome::Stored)
    }

    /// Takes over a plan without a call.
    #[inline]
    pub(crate) fn finish_without_call(
        &mut self,
        cookie: CookieAction,
        loses_changes: bool,
    ) -> SaveOutcome {
        if loses_changes {
            self.lose_changes();
            return SaveOutcome::Lost;
        }
        self.changes.reset();
        self.touched_by_load = false;
        self.has_old_signature = false;
        self.set_cookie_action(cookie);
        if matches!(self.loaded, Loaded::Gone { .. }) {
            return SaveOutcome::Ended;
        }
        SaveOutcome::Stored
    }

    /// What was changed meanwhile is lost with the session, too. A `destroy()` stays.
    fn lose_changes(&mut self) {
        self.changes.discard();
        self.bump();
    }

    /// Remembers what the head of the response does to the client's id.
    pub(crate) fn set_cookie_action(&mut self, action: CookieAction) {
        if action != CookieAction::Keep {
            self.cookie = action;
        }
    }
}

#[inline]
fn below<'a>(loaded: &'a Loaded, in_flight: Option<&'a InFlight>, intent: Intent) -> Below<'a> {
    if intent.ends_session() {
        return Below::default();
    }
    let saving = in_flight.map(|in_flight| &in_flight.changes);
    let is_ended = saving.is_some_and(|changes| changes.intent.ends_session());
    Below {
        record: loaded.record().filter(|_| !is_ended),
        in_flight: saving.map(|changes| &changes.patch),
    }
}

/// Brings the request's copy of a record up to what the request has stored. What other requests
/// have stored meanwhile is not in it; `reload` gets that.
fn apply(record: &mut Record, patch: &Patch) {
    // A patch that does not fit changes nothing.
    let _ = patch.apply_in_place(record);
}
