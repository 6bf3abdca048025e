//! A stored session: raw JSON per field, plus what must be known about the session as a whole.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use litemap::LiteMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::ValueError,
    expiry::{Limits, Timestamp, whole_ms},
    id::StoreKey,
    index::Index,
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

    /// The same, as the answer to [`load_fields`](crate::SessionStore::load_fields) of a store that has left
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

    /// The record as bytes, for stores that keep it in one piece: JSON with a format version.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&Wire {
            v: FORMAT,
            created: self.created_at.as_unix_ms(),
            expires: self.expires_at.as_unix_ms(),
            version: self.version,
            max_age: self.limits.max_age.map(whole_ms),
            persistent: self.limits.persistent,
            retired: self.retired.as_deref().map(|retired| WireRetired {
                successor: retired.successor.map(|key| key.to_hex()),
            }),
            index: self.index().map(|index| WireIndex {
                public_id: index.public_id().to_string(),
                names: index.names().map(str::to_owned).collect(),
            }),
            fields: WireFields(Arc::clone(&self.fields)),
        })
        .expect("numbers, names and raw JSON always serialise")
    }

    /// A session that is not retired, with its id, as a JSON list: in fewer bytes, where each one counts.
    #[cfg(feature = "sealed")]
    pub(crate) fn to_compact_bytes(&self, id: &str) -> Vec<u8> {
        let compact: Compact<&str> = (
            id,
            self.created_at.as_unix_ms(),
            self.expires_at.as_unix_ms(),
            self.version,
            self.limits.max_age.map(whole_ms),
            self.limits.persistent,
            WireFields(Arc::clone(&self.fields)),
        );
        serde_json::to_vec(&compact).expect("numbers, names and raw JSON always serialise")
    }

    /// Reads what [`to_compact_bytes`](Self::to_compact_bytes) wrote.
    #[cfg(feature = "sealed")]
    pub(crate) fn from_compact_bytes(bytes: &[u8]) -> Option<(String, Self)> {
        let (id, created, expires, version, max_age, persistent, fields) =
            serde_json::from_slice::<Compact<String>>(bytes).ok()?;
        let record = Self {
            version,
            limits: Limits { max_age: max_age.map(Duration::from_millis), persistent },
            fields: fields.0,
            ..Self::new(Timestamp::from_unix_ms(created), Timestamp::from_unix_ms(expires))
        };
        Some((id, record))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`RecordError::Version`] for the format of a later release, whose bytes must be left alone;
    /// [`RecordError::Damaged`] for anything else that is not a whole record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let wire = match serde_json::from_slice::<Wire>(bytes) {
            Ok(wire) => wire,
            Err(error) => {
                return Err(match serde_json::from_slice::<WireVersion>(bytes) {
                    Ok(WireVersion { v }) if v > FORMAT => RecordError::Version(v),
                    _ => RecordError::Damaged(error.into()),
                });
            }
        };
        let successor = |retired: WireRetired| match retired.successor {
            None => Ok(Retired { successor: None }),
            Some(hex) => StoreKey::from_hex(&hex)
                .map(|key| Retired { successor: Some(key) })
                .ok_or_else(|| {
                    RecordError::Damaged(
                        serde_json::Error::custom("the successor is no key").into(),
                    )
                }),
        };
        let index = |index: WireIndex| match index.public_id.parse() {
            Ok(public_id) => {
                Ok(Index::stored(public_id, index.names.into_iter().map(Cow::Owned).collect()))
            }
            Err(error) => Err(RecordError::Damaged(serde_json::Error::custom(error).into())),
        };
        Ok(Self {
            created_at: Timestamp::from_unix_ms(wire.created),
            expires_at: Timestamp::from_unix_ms(wire.expires),
            version: wire.version,
            limits: Limits {
                max_age: wire.max_age.map(Duration::from_millis),
                persistent: wire.persistent,
            },
            retired: wire.retired.map(successor).transpose()?.map(Arc::new),
            index: wire.index.map(index).transpose()?.map(Arc::new),
            fields: wire.fields.0,
            is_whole: true,
        })
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

/// The bytes are not a record that this release can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A later release wrote the record.
    #[error(
        "the record has format {0}, newer than this release's format {FORMAT}; run the release that wrote it"
    )]
    Version(u32),
    /// The bytes are cut off, or were never a record.
    #[error("the record is damaged")]
    Damaged(#[source] ValueError),
}

const FORMAT: u32 = 1;

#[derive(Deserialize)]
struct WireVersion {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(deserialize_with = "this_format")]
    v: u32,
    created: u64,
    expires: u64,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<WireRetired>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<WireIndex>,
    fields: WireFields,
}

/// The id; when the session was created, and when it ends; version; limits; fields. A session that is extended
/// takes no more bytes than before.
#[cfg(feature = "sealed")]
type Compact<Id> = (Id, u64, u64, u64, Option<u64>, Option<bool>, WireFields);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIndex {
    public_id: String,
    names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRetired {
    successor: Option<String>,
}

fn this_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        v => Err(D::Error::custom(format_args!("unknown record format {v}"))),
    }
}

struct WireFields(Fields);

impl Serialize for WireFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, json)| (name, &**json)))
    }
}

impl<'de> Deserialize<'de> for WireFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = WireFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of session fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireFields, A::Error> {
                let mut fields = LiteMap::new();
                while let Some((name, json)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.insert(Cow::Owned(name), Arc::from(json)).is_some() {
                        return Err(A::Error::custom("a field is there twice"));
                    }
                }
                Ok(WireFields(Arc::new(fields)))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index::PublicId, patch::Patch};

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    fn record() -> Record {
        let mut patch = Patch::default();
        patch.set("views".into(), json("1"));
        patch.set("cart".into(), json(r#"{"a":[],"b":9007199254740993}"#));
        let new = Record::new(Timestamp::from_unix_ms(5), Timestamp::from_unix_ms(10));
        patch.apply_to(&new).expect("a live record takes a patch")
    }

    #[test]
    fn a_record_survives_its_bytes() {
        let mut record = record();
        record.limits = Limits { max_age: Some(Duration::from_millis(7)), persistent: Some(false) };
        let key = StoreKey::from_bytes([7; 32]);
        for old_id in [OldId::ReadsSnapshot, OldId::ReadsNothing] {
            let grace = Grace { until: Timestamp::from_unix_ms(8), old_id };
            for record in [record.clone(), record.retire(grace, &key)] {
                let read = Record::from_bytes(&record.to_bytes()).expect("its own bytes");
                assert_eq!(format!("{read:?}"), format!("{record:?}"));
                assert_eq!(read.to_bytes(), record.to_bytes());
            }
        }
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn a_record_survives_its_compact_bytes_and_they_are_fewer() {
        let mut record = record();
        for limits in [
            Limits::default(),
            Limits { max_age: Some(Duration::from_millis(7)), persistent: Some(false) },
        ] {
            record.limits = limits;
            let bytes = record.to_compact_bytes("id");
            assert!(bytes.len() < record.to_bytes().len());
            let (id, read) = Record::from_compact_bytes(&bytes).expect("its own bytes");
            assert_eq!(id, "id");
            assert_eq!(read.to_bytes(), record.to_bytes());
            for end in 0..bytes.len() {
                assert!(Record::from_compact_bytes(&bytes[..end]).is_none(), "{end}");
            }
        }
    }

    fn indexed_record() -> Record {
        let id = PublicId::new(Timestamp::from_unix_ms(99));
        let mut patch = Patch::default();
        for name in ["views", "cart"] {
            patch.index_field(Index::new(id, name.into()));
        }
        patch.apply_to(&record()).expect("a live record takes a patch")
    }

    #[test]
    fn what_is_indexed_survives_the_bytes() {
        let record = indexed_record();
        let read = Record::from_bytes(&record.to_bytes()).expect("its own bytes");
        assert!(record.index().is_some() && read.index() == record.index());
    }

    #[test]
    fn bytes_cut_off_anywhere_are_damaged() {
        let bytes = indexed_record().to_bytes();
        for end in 0..bytes.len() {
            let error = Record::from_bytes(&bytes[..end]).expect_err("a part of a record");
            assert!(matches!(error, RecordError::Damaged(_)), "{end}: {error:?}");
        }
    }

    #[test]
    fn foreign_bytes_are_damaged() {
        for bytes in [
            "".as_bytes(),
            b"{}",
            b"[]",
            b"\0\0\0\0",
            b"\xff\xfe",
            br#"{"cookie":{},"views":1}"#,
            br#"{"v":1,"created":1,"expires":2,"version":1,"fields":{"a":1,"a":2}}"#,
            br#"{"v":1,"created":1,"expires":2,"version":1,"fields":[1]}"#,
            br#"{"v":1,"created":1,"expires":2,"version":1,"retired":{"successor":"x"},"fields":{}}"#,
            br#"{"v":1,"created":-1,"expires":2,"version":1,"fields":{}}"#,
            br#"{"v":1,"created":1,"expires":2,"version":1,"index":{"public_id":"x","names":[]},"fields":{}}"#,
        ] {
            assert!(matches!(Record::from_bytes(bytes), Err(RecordError::Damaged(_))));
        }
    }

    #[test]
    fn a_later_format_is_not_damage() {
        let bytes = br#"{"v":2,"something":"else"}"#;
        assert!(matches!(Record::from_bytes(bytes), Err(RecordError::Version(2))));
    }

    #[test]
    fn deeply_nested_fields_are_kept_as_they_are() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let bytes =
            format!(r#"{{"v":1,"created":1,"expires":2,"version":1,"fields":{{"d":{deep}}}}}"#);
        let record =
            Record::from_bytes(bytes.as_bytes()).expect("raw values are not descended into");
        assert_eq!(record.field("d").map(|json| json.get().len()), Some(deep.len()));
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
    fn debug_output_shows_no_value() {
        assert!(!format!("{:?}", record()).contains("9007199254740993"));
    }
}
