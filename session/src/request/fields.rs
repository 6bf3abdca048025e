//! The one reader and writer of fields: for requests, and for sessions that no request holds.

use std::{cell::RefCell, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tracing::warn;

use super::state::State;
use crate::{
    error::ValueError,
    fields::{AnyField, FieldSchema, Flash, Timed, Unreadable, same_json},
    record::{Index, Number, PublicId, Record},
    time::{Clock, Lifetimes, Timestamp},
};

/// The fields of a session: what is stored, overlaid with what was changed.
///
/// The state is never borrowed while a field's default is made, which is code of the user.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) state: &'a RefCell<State>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) lifetimes: &'a Lifetimes,
}

impl Fields<'_> {
    /// A field's JSON, if it has a value.
    #[inline]
    pub(crate) fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let json = self.state.borrow().read(field)?;
        if field.ttl.is_none() { Some(json) } else { self.read_timed(field, &json) }
    }

    /// The value in what is stored of a field with a `ttl`, unless it has ended.
    fn read_timed(&self, field: &FieldSchema, json: &RawValue) -> Option<Arc<RawValue>> {
        let Some(timed) = Timed::parse(json) else {
            warn!(
                event = "value_without_end",
                "the stored value of `{}` has no end, as if from before the field had a `ttl`, so it \
                 reads as absent",
                field.name,
            );
            return None;
        };
        (!timed.is_over(self.now())).then(|| timed.value.to_owned().into())
    }

    /// Records a field's new value.
    pub(crate) fn set(&self, field: &'static dyn AnyField, json: Arc<RawValue>) {
        let schema = field.schema();
        self.end_unreadable(schema);
        if let Some(ttl) = schema.ttl {
            return self.set_timed(field, ttl, &json);
        }
        if schema.index | schema.flash {
            return match schema.index {
                true => self.set_indexed(field, json),
                false => self.set_messages(field, &json),
            };
        }
        let below = self.state.borrow().below().find(schema);
        let is_same = match &below {
            Some(below) => same_json(below, &json),
            None => field.has_default(&json),
        };
        let mut state = self.state.borrow_mut();
        if is_same {
            state.changes.cancel(schema);
        } else {
            let (below, changes) = state.layers();
            changes.set(field, json, below);
        }
        state.bump();
    }

    /// As [`set`](Self::set), for an indexed field. A value by which the session is not found yet,
    /// as from before the field was indexed, is a change although it is equal.
    fn set_indexed(&self, field: &'static dyn AnyField, json: Arc<RawValue>) {
        let schema = field.schema();
        let (below, is_listed) = {
            let state = self.state.borrow();
            let below = state.below();
            (below.find(schema), below.is_listed(schema))
        };
        let is_default = field.has_default(&json);
        let is_same = match &below {
            Some(below) => is_listed && same_json(below, &json),
            None => is_default,
        };
        let mut state = self.state.borrow_mut();
        if is_same {
            state.changes.cancel(schema);
        } else if is_default && !field.is_merged() {
            // Absent reads the same, and keeps visitors without the value out of the index.
            let (below, changes) = state.layers();
            changes.remove(field, below);
        } else {
            let (below, changes) = state.layers();
            changes.set(field, json, below);
        }
        state.bump();
        self.index(&mut state, schema);
    }

    /// As [`set`](Self::set), for a field with `flash`. `list` is the messages without ids.
    fn set_messages(&self, field: &'static dyn AnyField, list: &RawValue) {
        let schema = field.schema();
        let mut state = self.state.borrow_mut();
        let (now, below) = (state.read(schema), state.below().find(schema));
        let messages = Flash::parse(now.as_deref()).with_messages(list).unwrap_or_default();
        let (is_empty, messages) = (messages.is_empty(), messages.to_json());
        let (layer, changes) = state.layers();
        match below {
            Some(below) if below.get() == messages.get() => changes.cancel(schema),
            None if is_empty => changes.cancel(schema),
            Some(_) if is_empty => changes.remove(field, layer),
            _ => changes.set(field, messages.into(), layer),
        }
        state.bump();
    }

    /// As [`set`](Self::set), for a field with a `ttl`. An equal value is a change, because it ends
    /// later.
    fn set_timed(&self, field: &'static dyn AnyField, ttl: Duration, json: &RawValue) {
        let schema = field.schema();
        let now = self.now();
        let is_default = field.has_default(json);
        let mut state = self.state.borrow_mut();
        state.bump();
        if !is_default {
            let timed = Timed { until: now.saturating_add(ttl), value: json }.to_json();
            let (below, changes) = state.layers();
            return changes.set(field, timed, below);
        }
        // A value without an end would come back with a release that has no `ttl`.
        let is_left = |json: &RawValue| !Timed::parse(json).is_some_and(|timed| timed.is_over(now));
        let (below, changes) = state.layers();
        if below.find(schema).is_some_and(|json| is_left(&json)) {
            changes.remove(field, below);
        } else {
            changes.cancel(schema);
        }
    }

    /// Records an addition to a field.
    pub(crate) fn add(&self, field: &'static dyn AnyField, by: Number) {
        if self.end_unreadable(field.schema()) {
            return self.replace_sum(field, field.default_number().saturating_add(by));
        }
        if by.is_zero() {
            return;
        }
        let changed_alias = self.state.borrow().changed_alias(field.schema());
        if let Some(sum) = changed_alias {
            let sum = Number::parse(&sum).unwrap_or_else(|_| field.default_number());
            return self.replace_sum(field, sum.saturating_add(by));
        }
        let below = self.state.borrow().below().find(field.schema());
        let from = below.and_then(|json| Number::parse(&json).ok());
        let from = from.unwrap_or_else(|| field.default_number());
        let mut state = self.state.borrow_mut();
        let (below, changes) = state.layers();
        changes.add(field, from, by, below);
        state.bump();
    }

    /// Records a new value of a field whose writes add up. `shown` is the value that the caller has
    /// seen before, if that was a number. If another struct has changed the field since, the
    /// difference to `shown` is added to that.
    pub(crate) fn set_sum(
        &self,
        field: &'static dyn AnyField,
        shown: Option<Number>,
        after: Number,
    ) {
        let schema = field.schema();
        if self.end_unreadable(schema) {
            return self.replace_sum(field, after);
        }
        let (below, now) = {
            let state = self.state.borrow();
            let is_changed = state.changes.changes_field(schema);
            (state.below().find(schema), is_changed.then(|| state.read(schema)).flatten())
        };
        let number = |json: &RawValue| Number::parse(json).ok();
        let from = match below.as_deref() {
            Some(json) => number(json),
            None => Some(field.default_number()),
        };
        let now = now.as_deref().map_or(from, number);
        let sum = match (shown, now) {
            (Some(shown), Some(now)) if !now.is_same(shown) => match field.reads_as(now) {
                Some(now) if !now.is_same(shown) => now.saturating_add(after.since(shown)),
                _ => after,
            },
            _ => after,
        };
        let mut state = self.state.borrow_mut();
        let (below, changes) = state.layers();
        changes.set_sum(field, from, sum, below);
        state.bump();
    }

    /// Remembers that a field has a value again that can be stored.
    pub(crate) fn accept(&self, field: &FieldSchema) {
        self.state.borrow_mut().changes.accept(field);
    }

    /// Stores a sum whatever was stored before.
    fn replace_sum(&self, field: &'static dyn AnyField, sum: Number) {
        let mut state = self.state.borrow_mut();
        let (below, changes) = state.layers();
        changes.set(field, sum.to_json().into(), below);
        state.bump();
    }

    /// Remembers that a part of what is stored is not shown, because a value does not decode.
    pub(crate) fn hide(&self, part: Unreadable) {
        self.state.borrow_mut().hide(part);
    }

    /// Whether the field has a stored value that is not shown.
    #[inline]
    pub(crate) fn hides(&self, field: &FieldSchema) -> bool {
        let state = self.state.borrow();
        state.unreadable.is_some() && state.hides(field)
    }

    /// Ends what is stored and not shown, before the first write of a field in it.
    #[inline]
    fn end_unreadable(&self, field: &FieldSchema) -> bool {
        self.hides(field) && self.state.borrow_mut().end_unreadable(field)
    }

    /// Remembers that a field's new value cannot be stored.
    pub(crate) fn refuse(&self, field: &FieldSchema, error: ValueError) {
        self.state.borrow_mut().changes.refuse(field, error);
    }

    /// Lets the session be found by the new value of an indexed field, if it is changed.
    fn index(&self, state: &mut State, field: &FieldSchema) {
        if !state.changes.patch.names(field.stored) {
            return;
        }
        let record = state.below().record;
        let known = record.and_then(Record::index).or(state.changes.patch.index());
        let public_id = known.map(Index::public_id).unwrap_or_else(|| {
            let created_at = record.map_or_else(|| self.clock.now(), Record::created_at);
            PublicId::beginning(created_at, self.lifetimes, &state.limits())
        });
        state.changes.patch.index_field(Index::new(public_id, field.stored.into()));
    }

    /// The time for values that end. It does not go back, so that no value that a request has seen
    /// end is there again.
    fn now(&self) -> Timestamp {
        let mut state = self.state.borrow_mut();
        state.latest = state.latest.max(self.clock.now());
        state.latest
    }
}
