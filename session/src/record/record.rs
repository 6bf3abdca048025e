//! A stored session: raw JSON per field, plus what must be known about the session as a whole.

use std::{borrow::Cow, fmt, sync::Arc};

use litemap::LiteMap;
use serde_json::value::RawValue;

use super::index::Index;
use crate::{
    id::StoreKey,
    time::{Limits, Timestamp},
};

/// The name of a stored field. Names known when the program was built cost no memory per session.
pub type FieldName = Cow<'static, str>;

/// The fields of a session by name. Clones share them until one of the clones is changed.
pub(crate) type Fields = Arc<LiteMap<FieldName, Arc<RawValue>>>;

/// A stored session.
///
/// Stores keep records and hand them back; what is inside changes through a
/// [`Patch`](crate::Patch) only. Clones are cheap.
///
/// # Examples
/// ```
/// use actix_typed_session::{Record, Timestamp};
///
/// let now = Timestamp::from_unix_ms(1_000);
/// let record = Record::new(now, Timestamp::from_unix_ms(61_000));
/// assert_eq!(Record::from_bytes(&record.to_bytes())?.created_at(), now);
/// # Ok::<(), actix_typed_session::RecordError>(())
/// ```
#[derive(Clone)]
pub struct Record {
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) version: u64,
    pub(crate) limits: Limits,
    pub(crate) retired: Option<Arc<Retired>>,
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) fields: Fields,
    /// Whether all fields of the session are there.
    pub(crate) is_whole: bool,
}

/// A record whose id was renewed, for as long as requests that still carry the old id are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    /// The session that the record was renewed into, if holders of the old id may know it: they read
    /// the old fields, and destroying the old session destroys the new one.
    pub(crate) successor: Option<StoreKey>,
}

impl Record {
    /// A session without fields.
    pub fn new(created_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            created_at,
            expires_at,
            version: 0,
            limits: Limits::default(),
            retired: None,
            index: None,
            fields: Fields::default(),
            is_whole: true,
        }
    }

    /// The same, as the answer to [`load`](crate::SessionStore::load) of a store that has left
    /// out fields that are not wanted.
    pub fn into_part(self) -> Self {
        Self { is_whole: false, ..self }
    }

    /// Whether all fields of the session are there.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The whole session, read later than `part` of it. What is in that part stays as it was read first, and
    /// so does the version, by which the store tells what was changed since.
    pub(crate) fn completing(self, part: &Self, names: &[&'static str]) -> Self {
        if self.version == part.version || self.is_retired() {
            return self;
        }
        let mut fields = self.fields;
        let known = Arc::make_mut(&mut fields);
        for name in names {
            match part.fields.get(*name) {
                Some(json) => known.insert((*name).into(), Arc::clone(json)),
                None => known.remove(*name),
            };
        }
        Self { version: part.version, fields, ..self }
    }

    /// When the session began. A renewed id does not change it.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the session ends if no request extends it.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether the session has ended by the given time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Counts the updates; a [`Patch`](crate::Patch) may expect one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The limits that the session set for itself.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the session's id was renewed, so that this record only answers late requests.
    pub fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// The session that this record was renewed into, if
    /// [`destroy`](crate::SessionStore::destroy) must end that one too.
    pub fn successor(&self) -> Option<&StoreKey> {
        self.retired.as_deref()?.successor.as_ref()
    }

    /// A field's JSON.
    pub fn field(&self, name: &str) -> Option<&RawValue> {
        self.fields.get(name).map(|json| &**json)
    }

    /// The fields in the order of their names.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(name, json)| (&**name, &**json))
    }

    /// Which fields are indexed; `None` if none is.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_deref()
    }

    /// The names and values under which the session is to be found: those of the indexed fields that have a
    /// value which is not `null`. A [retired](Self::is_retired) record is found under none.
    pub fn indexed_fields(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        let index = self.index().filter(|_| !self.is_retired());
        index.into_iter().flat_map(Index::names).filter_map(|name| {
            let json = self.field(name).filter(|json| json.get() != "null")?;
            Some((name, json))
        })
    }

    /// Whether the session is to be found under this value of this field.
    pub fn is_found_by(&self, name: &str, value: &RawValue) -> bool {
        self.indexed_fields().any(|(known, json)| known == name && json.get() == value.get())
    }

    /// The record with another expiry, if that is later: what
    /// [`touch`](crate::SessionStore::touch) stores.
    pub fn extended_to(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = self.expires_at.max(expires_at);
        self
    }

    /// About how many bytes of memory the record takes besides its own.
    #[cfg(feature = "redis")]
    pub(crate) fn memory(&self) -> usize {
        /// The counts in front of what is shared.
        const SHARED: usize = 16;
        let entry = |(name, json): (&FieldName, &Arc<RawValue>)| {
            let owned = if let Cow::Owned(name) = name { name.capacity() } else { 0 };
            size_of::<(FieldName, Arc<RawValue>)>() + owned + SHARED + json.get().len()
        };
        SHARED + size_of_val(&*self.fields) + self.fields.iter().map(entry).sum::<usize>()
    }

    /// What [`rotate`](crate::SessionStore::rotate) leaves under the old key.
    ///
    /// It lives until `grace` is over and never longer than the session would have.
    pub fn retire(&self, grace: Grace, successor: &StoreKey) -> Self {
        let expires_at = self.expires_at.min(grace.until);
        match grace.old_id {
            OldId::ReadsSnapshot => Self {
                expires_at,
                retired: Some(Arc::new(Retired { successor: Some(*successor) })),
                ..self.clone()
            },
            OldId::ReadsNothing => self.hidden(expires_at),
        }
    }

    /// A retired record that reads as nothing.
    pub(crate) fn hidden(&self, expires_at: Timestamp) -> Self {
        Self {
            expires_at,
            retired: Some(Arc::new(Retired { successor: None })),
            index: None,
            fields: Fields::default(),
            ..self.clone()
        }
    }
}

impl fmt::Debug for Record {
    /// Names only: the values are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("version", &self.version)
            .field("limits", &self.limits)
            .field("retired", &self.retired)
            .field("index", &self.index)
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// How long, and for what, an old id is still good after a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// The old id is unknown from here on.
    pub until: Timestamp,
    /// What a request with the old id finds until then.
    pub old_id: OldId,
}

/// What a request with an old id finds during the grace period. It can change nothing either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldId {
    /// The session as it was when its id was renewed.
    ReadsSnapshot,
    /// Nothing, as if it had no session: the renewal raised the session's privileges, or began
    /// a new session.
    ReadsNothing,
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
        let grace = Grace { until: Timestamp::from_unix_ms(99), old_id: OldId::ReadsNothing };
        let mut indexed = record();
        indexed.index =
            Some(Index::new(PublicId::new(Timestamp::from_unix_ms(99)), "n".into()).into());
        let retired = indexed.retire(grace, &StoreKey::from_bytes([7; 32]));
        assert_eq!(retired.fields().len(), 0);
        assert!(retired.index().is_none(), "nobody lists it");
        assert_eq!(retired.successor(), None);
        assert_eq!(retired.expires_at(), Timestamp::from_unix_ms(10), "never longer than it had");
    }

    #[test]
    fn an_absent_field_and_null_are_in_no_index() {
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
