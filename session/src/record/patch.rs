//! The changes of a request, which are all that is written back.

use std::{fmt, sync::Arc};

use litemap::LiteMap;
use serde_json::value::RawValue;

use super::{
    field_name::FieldName,
    index::{Index, PublicId},
    number::Number,
    record::Record,
};
use crate::time::{Limits, Timestamp};

/// The changes of one request, field by field.
///
/// A store applies the whole patch or nothing, and does not touch fields that the patch does not
/// name. [`apply_to`](Self::apply_to) defines what a patch means. A store that changes the session
/// inside a database cannot call it. Such a store does the same with [`changes`](Self::changes) and
/// the other getters.
///
/// # Examples
/// ```
/// use actix_typed_session::{Timestamp, store::{Number, Patch, Record}};
///
/// let record = Record::new(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(1_000));
/// let mut patch = Patch::default();
/// patch.add("views".into(), Number::Int(0), Number::Int(2));
/// let record = patch.apply_to(&record)?;
/// let record = patch.apply_to(&record)?;
/// assert_eq!(record.field("views").map(|json| json.get()), Some("4"));
/// # Ok::<(), actix_typed_session::store::PatchError>(())
/// ```
#[derive(Clone, Default)]
pub struct Patch {
    /// Shared between clones. `None`: no changes.
    changes: Option<Arc<LiteMap<FieldName, Change>>>,
    reset_at: Option<Timestamp>,
    expiry: Option<ExpiryChange>,
    limits: Option<Box<Limits>>,
    expected_version: Option<u64>,
    index: Option<Arc<Index>>,
    snapshot: Option<Box<Record>>,
}

/// What happens to one field.
#[derive(Clone)]
#[non_exhaustive]
pub enum Change {
    /// Gives the field this value.
    Set(Arc<RawValue>),
    /// Removes the field.
    Remove,
    /// Adds `by` to the field's number. A field that is absent or not a number counts as `from`.
    Add {
        /// The number that an absent field counts as.
        from: Number,
        /// The number to add.
        by: Number,
    },
}

/// What happens to the session's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpiryChange {
    /// Moves the expiry to this time if that is later, because the session was used.
    ExtendTo(Timestamp),
    /// Moves the expiry to exactly this time, because the session's limits were changed.
    Set(Timestamp),
}

/// Why a patch cannot be applied to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The session's id was renewed, and the old id cannot write. A store reports the session as
    /// gone.
    #[error("the session's id was renewed; write with the new id")]
    Retired,
    /// The patch expects another version of the record.
    #[error("another request changed the session; load it again and apply the changes to that")]
    Stale,
}

impl Patch {
    /// The record after the patch.
    ///
    /// # Errors
    /// The record is retired, or has another version than the patch expects.
    pub fn apply_to(&self, record: &Record) -> Result<Record, PatchError> {
        let mut record = record.clone();
        self.apply_in_place(&mut record)?;
        Ok(record)
    }

    /// As [`apply_to`](Self::apply_to), but changes the record. Its fields are copied only if it
    /// shares them with a clone.
    ///
    /// # Errors
    /// As [`apply_to`](Self::apply_to); the record is unchanged then.
    pub fn apply_in_place(&self, record: &mut Record) -> Result<(), PatchError> {
        if record.is_retired() {
            return Err(PatchError::Retired);
        }
        if self.expected_version.is_some_and(|version| version != record.version) {
            return Err(PatchError::Stale);
        }
        if let Some(created_at) = self.reset_at {
            let version = record.version;
            *record = Record { version, ..Record::new(created_at, record.expires_at) };
        }
        record.version = record.version.wrapping_add(1);
        match self.expiry {
            None => {}
            Some(ExpiryChange::ExtendTo(expires_at)) => {
                record.expires_at = record.expires_at.max(expires_at);
            }
            Some(ExpiryChange::Set(expires_at)) => record.expires_at = expires_at,
        }
        if let Some(limits) = &self.limits {
            record.limits = (**limits).into();
        }
        if let Some(index) = &self.index {
            record.index = Some(match &record.index {
                Some(before) => Arc::new(before.and(index)),
                None => Arc::clone(index),
            });
        }
        if self.changes_fields() {
            self.apply_changes(Arc::make_mut(&mut record.fields));
        }
        Ok(())
    }

    fn apply_changes(&self, fields: &mut LiteMap<FieldName, Arc<RawValue>>) {
        if fields.is_empty() {
            // A new session gets exactly the room that it needs.
            *fields = LiteMap::with_capacity(self.changes().count());
        }
        for (name, change) in self.changes.iter().flat_map(|changes| changes.iter()) {
            match (change.applied_to(fields.get(name)), fields.get_mut(name)) {
                (Some(json), Some(stored)) => *stored = json,
                (Some(json), None) => {
                    fields.insert(name.clone(), json);
                }
                (None, _) => {
                    fields.remove(name);
                }
            }
        }
    }

    /// The changed fields and their changes, sorted by name.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &Change)> {
        let changes = self.changes.iter().flat_map(|changes| changes.iter());
        changes.map(|(name, change)| (&**name, change))
    }

    pub(super) fn change(&self, name: &str) -> Option<&Change> {
        self.changes.as_ref()?.get(name)
    }

    fn changes_mut(&mut self) -> &mut LiteMap<FieldName, Change> {
        Arc::make_mut(self.changes.get_or_insert_default())
    }

    /// The time at which the session starts over, if it does.
    ///
    /// Then the store removes all fields that the patch does not set, resets limits that it does
    /// not set, and records this time as the session's creation.
    pub fn reset_at(&self) -> Option<Timestamp> {
        self.reset_at
    }

    /// The change of the session's expiry, if there is one.
    pub fn expiry(&self) -> Option<ExpiryChange> {
        self.expiry
    }

    /// The session's new limits, if they change.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_deref()
    }

    /// The version that the record must have. `None`: any version.
    pub fn expected_version(&self) -> Option<u64> {
        self.expected_version
    }

    /// The session as the request has loaded it, if the patch is for
    /// [`rotate`](crate::store::SessionStore::rotate).
    ///
    /// It can save the store a load. It may be outdated, so the store must compare its version.
    pub fn snapshot(&self) -> Option<&Record> {
        self.snapshot.as_deref()
    }

    /// The changed fields that are indexed: the session is then [found](crate::store::FindByIndex)
    /// by their new values.
    ///
    /// The fields of the record that were indexed before still are. If the session has a
    /// [public id](Index::public_id), it keeps that. If this one differs only in that the session
    /// lives longer, the session keeps the longer of the two.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_deref()
    }

    /// Gives a field a value.
    pub fn set(&mut self, name: FieldName, json: Arc<RawValue>) {
        self.changes_mut().insert(name, Change::Set(json));
    }

    /// Removes a field.
    pub fn remove(&mut self, name: FieldName) {
        self.changes_mut().insert(name, Change::Remove);
    }

    /// Adds to a field's number. An absent field counts as `from`.
    ///
    /// Additions to the same field add up. If their sum is zero, the patch does not name the field.
    pub fn add(&mut self, name: FieldName, from: Number, by: Number) {
        let change = match self.change(&name) {
            None => Change::Add { from, by },
            Some(Change::Add { from, by: before }) => {
                Change::Add { from: *from, by: before.and(by) }
            }
            Some(Change::Set(json)) => {
                Change::Set(Number::parse(json).unwrap_or(from).saturating_add(by).to_json().into())
            }
            Some(Change::Remove) => Change::Set(from.saturating_add(by).to_json().into()),
        };
        match change {
            Change::Add { by, .. } if by.is_zero() => self.changes_mut().remove(&name),
            change => self.changes_mut().insert(name, change),
        };
    }

    /// Drops the change of a field.
    pub fn cancel(&mut self, name: &str) {
        if self.names(name) {
            self.changes_mut().remove(name);
        }
    }

    /// Starts the session over, as if it were created at this time. Nothing of the old one is kept.
    pub fn reset(&mut self, created_at: Timestamp) {
        self.reset_at = Some(created_at);
    }

    /// Changes when the session expires.
    pub fn set_expiry(&mut self, expiry: ExpiryChange) {
        self.expiry = Some(expiry);
    }

    /// Changes the session's own limits. Fractions of a millisecond are cut off.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = Some(limits.in_whole_ms().into());
    }

    /// Gives the store the session as the request has loaded it, see [`snapshot`](Self::snapshot).
    pub fn set_snapshot(&mut self, record: Record) {
        self.snapshot = Some(record.into());
    }

    /// This patch with `map` applied to each change of a field, without its index and its basis.
    #[cfg(feature = "encryption")]
    pub(crate) fn try_map<E>(
        &self,
        map: impl Fn(&str, &Change) -> Result<Change, E>,
    ) -> Result<Self, E> {
        let mut changes = LiteMap::with_capacity(self.changes().count());
        for (name, change) in self.changes.iter().flat_map(|changes| changes.iter()) {
            changes.insert(name.clone(), map(name, change)?);
        }
        let changes = (!changes.is_empty()).then(|| Arc::new(changes));
        Ok(Self { changes, index: None, snapshot: None, ..self.clone() })
    }

    /// Indexes a field, see [`index`](Self::index). The patch must also set or remove the field. An
    /// indexed field cannot be added to.
    pub fn index_field(&mut self, index: Index) {
        self.index = Some(match &self.index {
            Some(before) => Arc::new(before.and(&index)),
            None => Arc::new(index),
        });
    }

    /// Gives the indexed fields another session's public id.
    pub(crate) fn set_public_id(&mut self, id: PublicId) {
        if let Some(index) = &mut self.index {
            *index = Arc::new(index.with_public_id(id));
        }
    }

    /// Drops the change of the limits.
    pub(crate) fn keep_limits(&mut self) {
        self.limits = None;
    }

    /// Makes the patch fail unless the record has this version.
    pub fn expect_version(&mut self, version: u64) {
        self.expected_version = Some(version);
    }

    /// Whether the patch changes nothing.
    pub fn is_empty(&self) -> bool {
        !self.changes_fields()
            && self.reset_at.is_none()
            && self.expiry.is_none()
            && self.limits.is_none()
    }

    /// Whether the patch changes this field.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.change(name).is_some()
    }

    /// Whether the patch gives this field a value, whatever it was before.
    pub(crate) fn sets(&self, name: &str) -> bool {
        matches!(self.change(name), Some(Change::Set(_)))
    }

    /// Whether the patch may change the values that the session is found by.
    pub(crate) fn moves(&self, record: &Record) -> bool {
        let indexed = || record.index().into_iter().flat_map(Index::names);
        self.index.is_some()
            || record.index.is_some() && self.reset_at.is_some()
            || self.changes_fields() && indexed().any(|name| self.names(name))
    }

    pub(crate) fn changes_fields(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// What a field reads as when the changes are laid over `below`.
    pub(crate) fn overlay(
        &self,
        name: &str,
        below: impl FnOnce() -> Option<Arc<RawValue>>,
    ) -> Option<Arc<RawValue>> {
        match self.change(name) {
            None => below(),
            Some(change) => change.applied_to(below().as_ref()),
        }
    }

    /// What a field of the record reads as with the changes.
    pub(crate) fn read(&self, record: Option<&Record>, name: &str) -> Option<Arc<RawValue>> {
        self.overlay(name, || record?.fields.get(name).cloned())
    }

    /// Adds the changes of a later patch to these.
    pub(crate) fn append(&mut self, later: Self) {
        for (name, change) in later.changes.iter().flat_map(|changes| changes.iter()) {
            match change {
                Change::Add { from, by } => self.add(name.clone(), *from, *by),
                change => {
                    self.changes_mut().insert(name.clone(), change.clone());
                }
            }
        }
        self.limits = later.limits.or(self.limits.take());
        if let Some(index) = later.index {
            self.index_field((*index).clone());
        }
    }
}

impl Change {
    /// The field's value after the change.
    pub(crate) fn applied_to(&self, stored: Option<&Arc<RawValue>>) -> Option<Arc<RawValue>> {
        match self {
            Self::Set(json) => Some(Arc::clone(json)),
            Self::Remove => None,
            Self::Add { from, by } => {
                let stored = stored.and_then(|json| Number::parse(json).ok());
                Some(stored.unwrap_or(*from).saturating_add(*by).to_json().into())
            }
        }
    }
}

impl fmt::Debug for Patch {
    /// Shows the names of the fields only, because their values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patch")
            .field("changes", &self.changes.as_deref())
            .field("reset_at", &self.reset_at)
            .field("expiry", &self.expiry)
            .field("limits", &self.limits)
            .field("expected_version", &self.expected_version)
            .field("index", &self.index)
            .finish()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set(…)",
            Self::Remove => "Remove",
            Self::Add { .. } => "Add(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
    const LATER: Timestamp = Timestamp::from_unix_ms(2_000);

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    fn record(fields: &[(&'static str, &str)]) -> Record {
        let mut patch = Patch::default();
        for (name, text) in fields {
            patch.set((*name).into(), json(text));
        }
        patch.apply_to(&Record::new(NOW, LATER)).expect("a live record takes a patch")
    }

    fn add(n: i64) -> Patch {
        let mut patch = Patch::default();
        patch.add("n".into(), Number::Int(10), Number::from(n));
        patch
    }

    fn read(patch: &Patch, record: &Record, name: &str) -> Option<String> {
        let after = patch.apply_to(record).expect("a live record takes a patch");
        let stored = after.field(name).map(|json| json.get().to_owned());
        let overlaid = patch.read(Some(record), name).map(|json| json.get().to_owned());
        assert_eq!(stored, overlaid, "what a request reads is what it stores");
        stored
    }

    #[test]
    fn fields_that_the_patch_does_not_name_are_untouched() {
        let mut patch = Patch::default();
        patch.set("a".into(), json("2"));
        let before = record(&[("a", "1"), ("b", "[]")]);
        assert_eq!(read(&patch, &before, "a").as_deref(), Some("2"));
        assert_eq!(read(&patch, &before, "b").as_deref(), Some("[]"));
        assert_eq!(
            before.field("a").map(RawValue::get),
            Some("1"),
            "the record itself is unchanged"
        );
    }

    #[test]
    fn a_removed_field_is_gone() {
        let mut patch = Patch::default();
        patch.remove("a".into());
        assert_eq!(read(&patch, &record(&[("a", "1")]), "a"), None);
    }

    #[test]
    fn an_absent_field_counts_from_its_default() {
        assert_eq!(read(&add(1), &record(&[]), "n").as_deref(), Some("11"));
        assert_eq!(read(&add(1), &record(&[("n", "5")]), "n").as_deref(), Some("6"));
        assert_eq!(read(&add(1), &record(&[("n", "\"five\"")]), "n").as_deref(), Some("11"));
    }

    #[test]
    fn additions_add_up_and_cancel_out() {
        let mut patch = add(2);
        patch.add("n".into(), Number::Int(10), Number::Int(3));
        assert_eq!(read(&patch, &record(&[("n", "5")]), "n").as_deref(), Some("10"));
        patch.add("n".into(), Number::Int(10), Number::Int(-5));
        assert!(patch.is_empty());
    }

    #[test]
    fn an_addition_to_a_value_set_before_sets_the_sum() {
        let mut patch = Patch::default();
        patch.set("n".into(), json("7"));
        patch.add("n".into(), Number::Int(10), Number::Int(1));
        assert_eq!(read(&patch, &record(&[("n", "100")]), "n").as_deref(), Some("8"));
    }

    #[test]
    fn a_session_that_starts_over_has_only_what_the_patch_sets() {
        let mut before = record(&[("a", "1"), ("n", "5")]);
        before.limits = Limits { persistent: Some(true), ..Limits::default() }.into();
        let mut patch = add(1);
        patch.reset(LATER);
        let after = patch.apply_to(&before).expect("a live record takes a patch");
        assert_eq!(after.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["n"]);
        assert_eq!(after.field("n").map(RawValue::get), Some("11"));
        assert_eq!(after.created_at(), LATER);
        assert_eq!(after.limits(), &Limits::default());
        assert!(after.version() > before.version());
    }

    #[test]
    fn each_patch_is_a_new_version() {
        let before = record(&[]);
        let after = add(1).apply_to(&before).expect("a live record takes a patch");
        assert_eq!(after.version(), before.version() + 1);
    }

    #[test]
    fn a_patch_for_another_version_is_refused() {
        let before = record(&[]);
        let mut patch = add(1);
        patch.expect_version(before.version() + 1);
        assert_eq!(patch.apply_to(&before).err(), Some(PatchError::Stale));
        patch.expect_version(before.version());
        assert!(patch.apply_to(&before).is_ok());
    }

    #[test]
    fn a_retired_record_refuses_patches() {
        use super::super::record::{Grace, OldIdReads};
        use crate::id::StoreKey;
        let grace = Grace { until: LATER, old_id: OldIdReads::Snapshot };
        let retired = record(&[]).retire(grace, &StoreKey::from_bytes([1; 32]));
        assert_eq!(add(1).apply_to(&retired).err(), Some(PatchError::Retired));
    }

    #[test]
    fn use_only_extends_and_new_limits_may_shorten() {
        let apply = |expiry| {
            let mut patch = Patch::default();
            patch.set_expiry(expiry);
            patch.apply_to(&record(&[])).expect("a live record takes a patch").expires_at()
        };
        assert_eq!(apply(ExpiryChange::ExtendTo(NOW)), LATER);
        assert_eq!(
            apply(ExpiryChange::ExtendTo(Timestamp::from_unix_ms(9_000))).as_unix_ms(),
            9_000
        );
        assert_eq!(apply(ExpiryChange::Set(NOW)), NOW);
    }

    #[test]
    fn a_later_patch_is_laid_over_an_earlier_one() {
        let mut earlier = add(2);
        earlier.set("a".into(), json("1"));
        earlier.set("b".into(), json("1"));
        earlier.set("c".into(), json("1"));
        let mut later = add(3);
        later.set("b".into(), json("2"));
        later.remove("c".into());
        let before = record(&[("n", "10"), ("c", "0")]);
        let one_by_one = later.apply_to(&earlier.apply_to(&before).expect("live")).expect("live");
        earlier.append(later);
        let at_once = earlier.apply_to(&before).expect("a live record takes a patch");
        let fields = |record: &Record| -> Vec<_> {
            record.fields().map(|(name, json)| (name.to_owned(), json.get().to_owned())).collect()
        };
        assert_eq!(fields(&at_once), fields(&one_by_one));
        assert_eq!(at_once.field("n").map(RawValue::get), Some("15"));
    }

    #[test]
    fn a_later_patch_that_undoes_an_addition_leaves_no_trace() {
        let mut patch = add(5);
        patch.append(add(-5));
        assert!(patch.is_empty());
    }
}
