//! What a request changed and asked for since its last save.

use std::{iter, mem, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    error::{SessionError, ValueError},
    fields::{AnyField, FieldSchema},
    record::{Index, Number, Patch, Record},
    time::Limits,
};

/// What the handler asked for. A later one in this list includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intent {
    #[default]
    Keep,
    /// A new id.
    Renew,
    /// A new id and a new, empty session.
    Regenerate,
    /// No session.
    Destroy,
}

impl Intent {
    /// Whether nothing of the stored session is left.
    pub(crate) fn ends_session(self) -> bool {
        matches!(self, Self::Regenerate | Self::Destroy)
    }
}

/// When the session's expiry is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TouchMode {
    /// When enough time has passed since it was last moved.
    #[default]
    WhenDue,
    /// At every opportunity: the handler called `touch()`.
    Now,
}

/// What the request changed and asked for since its last save: one layer above what is stored.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) intent: Intent,
    /// The changed fields and limits.
    pub(crate) patch: Patch,
    /// The changed fields that are merged by code of their type.
    pub(crate) merged: Vec<&'static dyn AnyField>,
    /// The fields whose latest value cannot be stored.
    pub(super) unstorable: Vec<(&'static str, ValueError)>,
    pub(crate) touch: TouchMode,
    /// Whether there must be a session although no field is written: the client got a token that is
    /// bound to its id.
    pub(crate) needs_session: bool,
}

impl Changes {
    /// Whether nothing would be lost without them. A touch is not a change.
    pub(crate) fn is_empty(&self) -> bool {
        self.patch.is_empty() && self.intent == Intent::Keep
    }

    /// Whether a field is changed, under one of its names.
    #[inline]
    pub(crate) fn changes_field(&self, field: &FieldSchema) -> bool {
        self.patch.names(field.stored) || field.aliases.iter().any(|alias| self.patch.names(alias))
    }

    /// The error of the first value that cannot be stored.
    pub(crate) fn encode_error(&self) -> Option<SessionError> {
        let (field, source) = self.unstorable.first()?;
        Some(SessionError::Encode { field, source: source.clone() })
    }

    /// Refuses a field's new value.
    pub(crate) fn refuse(&mut self, field: &FieldSchema, error: ValueError) {
        self.accept(field);
        self.unstorable.push((field.stored, error));
    }

    /// A field has a value again that can be stored.
    #[inline]
    pub(super) fn accept(&mut self, field: &FieldSchema) {
        if !self.unstorable.is_empty() {
            self.unstorable.retain(|(name, _)| *name != field.stored);
        }
    }

    /// Drops the change of the field that is stored under a name.
    pub(crate) fn drop_field(&mut self, name: &str) {
        self.patch.cancel(name);
        self.merged.retain(|field| field.schema().stored != name);
        self.unstorable.retain(|(field, _)| *field != name);
    }

    /// Drops the changed fields and limits. What was asked for stays.
    pub(crate) fn clear_fields(&mut self) {
        self.patch = Patch::default();
        self.merged.clear();
        self.unstorable.clear();
        self.needs_session = false;
    }

    /// Drops everything.
    #[inline]
    pub(crate) fn reset(&mut self) {
        if !self.patch.is_empty() || !self.unstorable.is_empty() {
            self.clear_fields();
        }
        self.intent = Intent::Keep;
        self.touch = TouchMode::WhenDue;
        self.needs_session = false;
    }

    /// Drops all that a failed request must not store. A `destroy()` stays.
    pub(crate) fn discard(&mut self) {
        self.clear_fields();
        if self.intent != Intent::Destroy {
            self.intent = Intent::Keep;
        }
    }

    /// Asks for something that ends the stored session. What was changed before is dropped.
    pub(crate) fn end_session(&mut self, intent: Intent) {
        self.intent = self.intent.max(intent);
        self.clear_fields();
    }

    /// Gives a field a value.
    pub(crate) fn set(
        &mut self,
        field: &'static dyn AnyField,
        json: Arc<RawValue>,
        below: Below<'_>,
    ) {
        self.patch.set(field.schema().stored.into(), json);
        self.changed(field, below);
    }

    /// Removes a field from what is stored.
    pub(crate) fn remove(&mut self, field: &'static dyn AnyField, below: Below<'_>) {
        self.patch.remove(field.schema().stored.into());
        self.changed(field, below);
    }

    /// Removes what is stored under these names, except what the request has changed.
    pub(crate) fn remove_stored(&mut self, names: &[&'static str], below: Below<'_>) {
        for name in names {
            if below.has(name) && !self.patch.names(name) {
                self.patch.remove((*name).into());
            }
        }
    }

    /// Adds to a field's number, which counts from `from` if it is absent.
    pub(crate) fn add(
        &mut self,
        field: &'static dyn AnyField,
        from: Number,
        by: Number,
        below: Below<'_>,
    ) {
        self.patch.add(field.schema().stored.into(), from, by);
        if self.patch.names(field.schema().stored) {
            self.changed(field, below);
            if self.patch.sets(field.schema().stored) {
                self.merged.push(field);
            }
        } else {
            self.cancel(field.schema());
        }
    }

    /// Gives a field whose writes add up the value `sum`. Without the changes it is `from`; `None`:
    /// what is stored is not a number.
    ///
    /// The change is an addition if that yields exactly this sum. Floating-point numbers round, so
    /// it may not. Then the change sets the sum, and the field's rule merges it with what other
    /// requests have stored meanwhile.
    pub(crate) fn set_sum(
        &mut self,
        field: &'static dyn AnyField,
        from: Option<Number>,
        sum: Number,
        below: Below<'_>,
    ) {
        if from.is_some_and(|from| from.is_same(sum)) {
            return self.cancel(field.schema());
        }
        let name = field.schema().stored;
        self.patch.cancel(name);
        let addition = from.map(|from| (from, sum.since(from)));
        let addition =
            addition.filter(|(from, by)| !by.is_zero() && from.saturating_add(*by).is_same(sum));
        match addition {
            Some((from, by)) => {
                self.patch.add(name.into(), from, by);
                self.changed(field, below);
            }
            None => {
                self.patch.set(name.into(), sum.to_json().into());
                self.changed(field, below);
                self.merged.push(field);
            }
        }
    }

    /// A field has its value from below again.
    pub(crate) fn cancel(&mut self, field: &FieldSchema) {
        self.patch.cancel(field.stored);
        for alias in field.aliases {
            self.patch.cancel(alias);
        }
        self.forget_merged(field.stored);
        self.accept(field);
    }

    #[inline]
    fn forget_merged(&mut self, name: &str) {
        if !self.merged.is_empty() {
            self.merged.retain(|other| other.schema().stored != name);
        }
    }

    #[inline]
    fn changed(&mut self, field: &'static dyn AnyField, below: Below<'_>) {
        let schema = field.schema();
        for alias in schema.aliases {
            if below.has(alias) {
                self.patch.remove((*alias).into());
            } else {
                // Another struct may have written it in this request.
                self.patch.cancel(alias);
            }
        }
        // Where two structs have a field of the same name, the one that wrote last decides.
        self.forget_merged(schema.stored);
        if field.is_merged() {
            self.merged.push(field);
        }
        self.accept(schema);
    }

    /// Puts changes that were not saved back below these, which are later.
    pub(crate) fn put_back(&mut self, earlier: Self) {
        let later = mem::replace(self, earlier);
        if later.intent.ends_session() {
            self.clear_fields();
        }
        self.intent = self.intent.max(later.intent);
        self.patch.append(later.patch);
        for field in later.merged {
            self.merged.retain(|other| other.schema().stored != field.schema().stored);
            self.merged.push(field);
        }
        self.unstorable.extend(later.unstorable);
        self.touch = self.touch.max(later.touch);
        self.needs_session |= later.needs_session;
    }
}

/// What a request reads below its changes: the stored record, and above it the changes that are
/// being saved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Below<'a> {
    pub(crate) record: Option<&'a Record>,
    pub(crate) in_flight: Option<&'a Patch>,
}

impl Below<'_> {
    /// The value under a stored name.
    #[inline]
    fn read(self, name: &str) -> Option<Arc<RawValue>> {
        match self.in_flight {
            Some(patch) => patch.read(self.record, name),
            None => self.record?.fields.get(name).cloned(),
        }
    }

    fn has(self, name: &str) -> bool {
        self.read(name).is_some()
    }

    /// Whether the session is found by the field's value under the name that has it.
    pub(crate) fn is_listed(self, field: &FieldSchema) -> bool {
        let stored = self.record.and_then(Record::index);
        let saving = self.in_flight.and_then(Patch::index);
        let name = iter::once(&field.stored).chain(field.aliases).find(|name| self.has(name));
        let mut names = stored.into_iter().chain(saving).flat_map(Index::names);
        name.is_none_or(|name| names.any(|indexed| indexed == *name))
    }

    /// The field's value, as it is stored.
    #[inline]
    pub(crate) fn find(self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        find(field, |name| self.read(name))
    }

    /// The field's value below the changes of `patch`, overlaid with them.
    pub(crate) fn find_overlaid(self, field: &FieldSchema, patch: &Patch) -> Option<Arc<RawValue>> {
        find(field, |name| patch.overlay(name, || self.read(name)))
    }

    /// The value under a stored name below the changes of `patch`, overlaid with them.
    pub(crate) fn find_overlaid_name(self, name: &str, patch: &Patch) -> Option<Arc<RawValue>> {
        patch.overlay(name, || self.read(name))
    }

    /// The session's own limits.
    pub(crate) fn limits(self) -> Limits {
        let saved = self.in_flight.and_then(Patch::limits).copied();
        saved.or_else(|| self.record.map(|record| *record.limits())).unwrap_or_default()
    }
}

/// A write removes the aliases, so what is left under one is the value.
#[inline]
fn find(
    field: &FieldSchema,
    read: impl Fn(&str) -> Option<Arc<RawValue>>,
) -> Option<Arc<RawValue>> {
    read(field.stored).or_else(|| field.aliases.iter().find_map(|alias| read(alias)))
}
