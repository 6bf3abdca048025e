//! A stored session: raw JSON for each field, and facts about the session as a whole.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use litemap::LiteMap;
use serde_json::value::RawValue;

use super::{
    field_name::FieldName,
    index::{Index, PublicId},
};
use crate::{
    id::StoreKey,
    time::{Limits, Timestamp},
};

/// The fields of a session by name. Clones share them until one of them changes.
pub(crate) type FieldMap = Arc<LiteMap<FieldName, Arc<RawValue>>>;

/// A stored session.
///
/// Stores keep records and return them. Only a [`Patch`](crate::store::Patch) changes the content.
/// Cloning is cheap.
///
/// # Examples
/// ```
/// use actix_typed_session::{Timestamp, store::Record};
///
/// let now = Timestamp::from_unix_ms(1_000);
/// let record = Record::new(now, Timestamp::from_unix_ms(61_000));
/// assert_eq!(Record::from_bytes(&record.to_bytes())?.created_at(), now);
/// # Ok::<(), actix_typed_session::store::RecordError>(())
/// ```
#[derive(Clone)]
pub struct Record {
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) version: u64,
    pub(crate) limits: OwnLimits,
    pub(crate) retired: Option<Arc<Retired>>,
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) fields: FieldMap,
    /// Whether the record has all fields of the session.
    pub(crate) is_whole: bool,
}

/// The limits that a session has set for itself. Most sessions set none, so this is one word.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnLimits(Option<Box<Limits>>);

impl From<Limits> for OwnLimits {
    fn from(limits: Limits) -> Self {
        Self((limits != Limits::default()).then(|| Box::new(limits)))
    }
}

impl Deref for OwnLimits {
    type Target = Limits;

    #[inline]
    fn deref(&self) -> &Limits {
        const NONE: Limits = Limits { max_age: None, persistent: None, absolute_lifetime: None };
        self.0.as_deref().unwrap_or(&NONE)
    }
}

/// What a record has in addition when its id was renewed. It answers requests with the old id until
/// the grace period ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retired {
    /// Requests with the old id may read the old fields. If they destroy the old session, the
    /// renewed one is destroyed too.
    Readable { successor: StoreKey },
    /// Requests with the old id read nothing, and do not reach the renewed session. The digest only
    /// [recognises](StoreKey::digest) its key; `None` if the record was made for one request.
    Hidden { digest: Option<[u8; 16]> },
}

impl Record {
    /// A session without fields.
    pub fn new(created_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            created_at,
            expires_at,
            version: 0,
            limits: OwnLimits::default(),
            retired: None,
            index: None,
            fields: FieldMap::default(),
            is_whole: true,
        }
    }

    /// Marks the record as a part of the session. A store does that if
    /// [`load`](crate::store::SessionStore::load) left out fields that were not asked for.
    pub fn into_partial(self) -> Self {
        Self { is_whole: false, ..self }
    }

    /// Whether the record has all fields of the session.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// This whole session, but with the fields and the version of `part`, which was loaded earlier.
    ///
    /// The request keeps the values that it read first. With the older version the store notices
    /// that another request has changed the session since.
    pub(crate) fn completing(self, part: &Self, names: &[&'static str]) -> Self {
        if self.version == part.version || self.is_retired() {
            return self;
        }
        let mut fields = self.fields;
        let combined = Arc::make_mut(&mut fields);
        for name in names {
            match part.fields.get(*name) {
                Some(json) => combined.insert((*name).into(), Arc::clone(json)),
                None => combined.remove(*name),
            };
        }
        Self { version: part.version, fields, ..self }
    }

    /// When the session began. A renewal of the id does not change it.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the session ends unless a request extends it.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether the session has ended at the given time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The number of updates so far. A [`Patch`](crate::store::Patch) can expect a version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The limits that the session set for itself.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the session's id was renewed, so that this record only answers requests with the old
    /// id.
    pub fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// The key of the renewed session, if [`destroy`](crate::store::SessionStore::destroy) must end
    /// it too.
    pub fn successor(&self) -> Option<&StoreKey> {
        match self.retired.as_deref()? {
            Retired::Readable { successor } => Some(successor),
            Retired::Hidden { .. } => None,
        }
    }

    /// The [digest](StoreKey::digest) of the key of the renewed session, if the old id reads
    /// nothing.
    pub fn successor_digest(&self) -> Option<[u8; 16]> {
        match self.retired.as_deref()? {
            Retired::Readable { .. } => None,
            Retired::Hidden { digest } => *digest,
        }
    }

    /// Whether this is the retired record of a session that was renewed into this key.
    pub(crate) fn was_renewed_into(&self, key: &StoreKey) -> bool {
        match self.retired.as_deref() {
            None => false,
            Some(Retired::Readable { successor }) => successor == key,
            Some(Retired::Hidden { digest }) => *digest == Some(key.digest()),
        }
    }

    /// The JSON value of a field.
    pub fn field(&self, name: &str) -> Option<&RawValue> {
        self.fields.get(name).map(|json| &**json)
    }

    /// The fields and their JSON values, sorted by name.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(name, json)| (&**name, &**json))
    }

    /// Which fields are indexed. `None`: none.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_deref()
    }

    /// The public id. `None`: the session has no indexed field, so it never got one.
    pub fn public_id(&self) -> Option<PublicId> {
        self.index().map(Index::public_id)
    }

    /// About when the session was last used, computed from its expiry. `max_age` is that of the
    /// site. It counts if the session has not set its own.
    pub fn last_seen(&self, max_age: Duration) -> Timestamp {
        let max_age = self.limits().max_age.unwrap_or(max_age);
        let since_1970 = self.expires_at().saturating_since(Timestamp::default());
        let seen = Timestamp::default().saturating_add(since_1970.saturating_sub(max_age));
        seen.max(self.created_at())
    }

    /// The names and values that the session is found by: those of indexed fields whose value is
    /// not `null`. A [retired](Self::is_retired) record is not found by any.
    pub fn indexed_fields(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        let index = self.index().filter(|_| !self.is_retired());
        index.into_iter().flat_map(Index::names).filter_map(|name| {
            let json = self.field(name).filter(|json| json.get() != "null")?;
            Some((name, json))
        })
    }

    /// Whether the session is found by this value of this field.
    pub fn is_found_by(&self, name: &str, value: &RawValue) -> bool {
        self.indexed_fields().any(|(indexed, json)| indexed == name && json.get() == value.get())
    }

    /// The record with the later one of two expiries, its own and this one:
    /// [`touch`](crate::store::SessionStore::touch) stores it.
    pub fn extended_to(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = self.expires_at.max(expires_at);
        self
    }

    /// About how many bytes of memory the record uses on the heap.
    pub(crate) fn memory(&self) -> usize {
        /// The two reference counts of an `Arc`.
        const SHARED: usize = 16;
        let entry = |(name, json): (&FieldName, &Arc<RawValue>)| {
            let owned = if let FieldName::Owned(name) = name { name.capacity() } else { 0 };
            size_of::<(FieldName, Arc<RawValue>)>() + owned + SHARED + json.get().len()
        };
        SHARED + size_of_val(&*self.fields) + self.fields.iter().map(entry).sum::<usize>()
    }

    /// The record that [`rotate`](crate::store::SessionStore::rotate) leaves under the old key.
    ///
    /// It lives until the end of the grace period, and never longer than the session would have.
    pub fn retire(&self, grace: Grace, successor: &StoreKey) -> Self {
        let expires_at = self.expires_at.min(grace.until);
        match grace.old_id {
            OldIdReads::Snapshot => Self {
                expires_at,
                retired: Some(Arc::new(Retired::Readable { successor: *successor })),
                ..self.clone()
            },
            OldIdReads::Nothing => self.hidden(expires_at, Some(successor.digest())),
        }
    }

    /// A retired record without fields, index and successor.
    pub(crate) fn hidden(&self, expires_at: Timestamp, digest: Option<[u8; 16]>) -> Self {
        Self {
            expires_at,
            retired: Some(Arc::new(Retired::Hidden { digest })),
            index: None,
            fields: FieldMap::default(),
            ..self.clone()
        }
    }
}

impl fmt::Debug for Record {
    /// Shows the names of the fields only, because their values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("version", &self.version)
            .field("limits", &*self.limits)
            .field("retired", &self.retired)
            .field("index", &self.index)
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// The grace period after a renewal, in which requests with the old id are still answered.
///
/// # Examples
/// ```
/// use actix_typed_session::{Timestamp, store::{Grace, OldIdReads}};
///
/// let grace = Grace::new(Timestamp::from_unix_ms(10_000), OldIdReads::Nothing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Grace {
    /// The end of the period. The old id is unknown from then on.
    pub until: Timestamp,
    /// What a request with the old id reads until then.
    pub old_id: OldIdReads,
}

impl Grace {
    /// A grace period that ends at `until`.
    pub fn new(until: Timestamp, old_id: OldIdReads) -> Self {
        Self { until, old_id }
    }
}

/// What a request with the old id reads during the grace period. It cannot write in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OldIdReads {
    /// The session as it was when its id was renewed.
    Snapshot,
    /// Nothing, like a visitor without a session: the renewal changed the session's privileges, or
    /// began a new session.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::super::{index::PublicId, patch::Patch};
    use super::*;

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    fn record() -> Record {
        let mut patch = Patch::default();
        patch.set("cart".into(), json("9007199254740993"));
        let new = Record::new(Timestamp::from_unix_ms(5), Timestamp::from_unix_ms(10));
        patch.apply_to(&new).expect("a live record takes a patch")
    }

    #[test]
    fn a_record_retired_by_a_privilege_keeps_nothing() {
        let grace = Grace { until: Timestamp::from_unix_ms(99), old_id: OldIdReads::Nothing };
        let mut indexed = record();
        indexed.index = Some(Index::new(PublicId::from_bytes([1; 14]), "n".into()).into());
        let retired = indexed.retire(grace, &StoreKey::from_bytes([7; 32]));
        assert_eq!(retired.fields().len(), 0);
        assert!(retired.index().is_none(), "it is not listed");
        assert_eq!(retired.successor(), None);
        assert_eq!(retired.expires_at(), Timestamp::from_unix_ms(10), "never longer than it had");
        assert!(retired.was_renewed_into(&StoreKey::from_bytes([7; 32])));
        assert!(!retired.was_renewed_into(&StoreKey::from_bytes([8; 32])));
    }

    #[test]
    fn an_absent_field_and_null_are_not_indexed() {
        let mut patch = Patch::default();
        patch.set("a".into(), json("1"));
        patch.set("b".into(), json("null"));
        patch.set("c".into(), json("2"));
        for name in ["a", "b", "absent"] {
            patch.index_field(Index::new(PublicId::from_bytes([1; 14]), name.into()));
        }
        let new = Record::new(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(5));
        let record = patch.apply_to(&new).expect("a live record takes a patch");
        let found: Vec<_> =
            record.indexed_fields().map(|(name, json)| (name, json.get())).collect();
        assert_eq!(found, [("a", "1")]);
        assert!(record.is_found_by("a", &json("1")) && !record.is_found_by("c", &json("2")));
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert!(!format!("{:?}", record()).contains("9007199254740993"));
    }
}
