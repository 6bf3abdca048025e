//! A record as bytes: the format of stores that keep each session in one piece.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use litemap::LiteMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    index::Index,
    record::{FieldMap, OwnLimits, Record, Retired},
};
use crate::{
    error::{StoreError, ValueError},
    id::{StoreKey, bytes_from_hex, hex_from_bytes},
    time::{Limits, Timestamp, whole_ms},
};

impl Record {
    /// The record as bytes, for stores that keep it in one piece: JSON with a format number.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&StoredRecord {
            v: FORMAT,
            created: self.created_at.as_unix_ms(),
            expires: self.expires_at.as_unix_ms(),
            version: self.version,
            max_age: self.limits.max_age.map(whole_ms),
            persistent: self.limits.persistent,
            absolute_lifetime: self.limits.absolute_lifetime.map(whole_ms),
            retired: self.retired.as_deref().map(StoredRetired::from),
            index: self.index().map(|index| StoredIndex {
                public_id: index.public_id().to_string(),
                names: index.names().map(str::to_owned).collect(),
            }),
            fields: StoredFields(Arc::clone(&self.fields)),
        })
        .expect("numbers, names and raw JSON always serialise")
    }

    /// A session and its id as a JSON list, for cookies, where each byte counts. The session must
    /// not be retired or indexed.
    #[cfg(feature = "encryption")]
    pub(crate) fn to_compact_bytes(&self, id: &str) -> Vec<u8> {
        let compact: CompactRecord<&str> = (
            id,
            self.created_at.as_unix_ms(),
            self.expires_at.as_unix_ms(),
            self.version,
            self.limits.max_age.map(whole_ms),
            self.limits.persistent,
            self.limits.absolute_lifetime.map(whole_ms),
            StoredFields(Arc::clone(&self.fields)),
        );
        serde_json::to_vec(&compact).expect("numbers, names and raw JSON always serialise")
    }

    /// Reads the bytes that [`to_compact_bytes`](Self::to_compact_bytes) wrote; `None` for others.
    #[cfg(feature = "encryption")]
    pub(crate) fn from_compact_bytes(bytes: &[u8]) -> Option<(String, Self)> {
        let (id, created, expires, version, max_age, persistent, absolute, fields) =
            serde_json::from_slice::<CompactRecord<String>>(bytes).ok()?;
        let record = Self {
            version,
            limits: OwnLimits::from(Limits {
                max_age: max_age.map(Duration::from_millis),
                persistent,
                absolute_lifetime: absolute.map(Duration::from_millis),
            }),
            fields: fields.0,
            ..Self::new(Timestamp::from_unix_ms(created), Timestamp::from_unix_ms(expires))
        };
        Some((id, record))
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`RecordError::Version`]: a later release wrote the record, so the store must not change it.
    /// [`RecordError::Damaged`]: the bytes are not a whole record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let stored = match serde_json::from_slice::<StoredRecord>(bytes) {
            Ok(stored) => stored,
            Err(error) => {
                return Err(match serde_json::from_slice::<StoredVersion>(bytes) {
                    Ok(StoredVersion { v }) if v > FORMAT => RecordError::Version(v),
                    _ => RecordError::Damaged(error.into()),
                });
            }
        };
        stored.into_record().map_err(|error| RecordError::Damaged(error.into()))
    }
}

/// The bytes are not a record that this release can read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A later release wrote the record.
    #[error(
        "the record has format {0}, which is newer than this release's format {FORMAT}; \
         run the release that wrote it"
    )]
    Version(u32),
    /// The bytes are cut off, changed, or were never a record.
    #[error("the record is damaged")]
    Damaged(#[source] ValueError),
}

const FORMAT: u32 = 1;

#[derive(Deserialize)]
struct StoredVersion {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRecord {
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
    absolute_lifetime: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<StoredRetired>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<StoredIndex>,
    fields: StoredFields,
}

impl StoredRecord {
    fn into_record(self) -> Result<Record, serde_json::Error> {
        Ok(Record {
            created_at: Timestamp::from_unix_ms(self.created),
            expires_at: Timestamp::from_unix_ms(self.expires),
            version: self.version,
            limits: OwnLimits::from(Limits {
                max_age: self.max_age.map(Duration::from_millis),
                persistent: self.persistent,
                absolute_lifetime: self.absolute_lifetime.map(Duration::from_millis),
            }),
            retired: self.retired.map(StoredRetired::into_retired).transpose()?.map(Arc::new),
            index: self.index.map(StoredIndex::into_index).transpose()?.map(Arc::new),
            fields: self.fields.0,
            is_whole: true,
        })
    }
}

/// The id, when the session was created, when it ends, its version, its three limits, its fields.
/// The length does not change when the session is extended.
#[cfg(feature = "encryption")]
type CompactRecord<Id> = (Id, u64, u64, u64, Option<u64>, Option<bool>, Option<u64>, StoredFields);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredIndex {
    public_id: String,
    names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRetired {
    successor: Option<String>,
    /// The digest of the new key, if there is no successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl From<&Retired> for StoredRetired {
    fn from(retired: &Retired) -> Self {
        match retired {
            Retired::Readable { successor } => {
                Self { successor: Some(successor.to_hex()), digest: None }
            }
            Retired::Hidden { digest } => Self {
                successor: None,
                digest: digest.as_ref().map(|digest| hex_from_bytes(digest)),
            },
        }
    }
}

impl StoredIndex {
    fn into_index(self) -> Result<Index, serde_json::Error> {
        let public_id = self.public_id.parse().map_err(serde_json::Error::custom)?;
        Ok(Index::stored(public_id, self.names.into_iter().map(Cow::Owned).collect()))
    }
}

impl StoredRetired {
    fn into_retired(self) -> Result<Retired, serde_json::Error> {
        match (self.successor, self.digest) {
            (Some(hex), None) => {
                let successor = StoreKey::from_hex(&hex).map_err(serde_json::Error::custom)?;
                Ok(Retired::Readable { successor })
            }
            (None, Some(hex)) => match bytes_from_hex(&hex) {
                Some(digest) => Ok(Retired::Hidden { digest: Some(digest) }),
                None => Err(serde_json::Error::custom("the digest is not 32 hexadecimal digits")),
            },
            (None, None) => Ok(Retired::Hidden { digest: None }),
            (Some(_), Some(_)) => {
                Err(serde_json::Error::custom("a successor needs no digest beside it"))
            }
        }
    }
}

fn this_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        v => Err(D::Error::custom(format_args!("unknown record format {v}"))),
    }
}

struct StoredFields(FieldMap);

impl Serialize for StoredFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, json)| (name, &**json)))
    }
}

impl<'de> Deserialize<'de> for StoredFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = StoredFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of session fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StoredFields, A::Error> {
                let mut fields = LiteMap::new();
                while let Some((name, json)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.insert(Cow::Owned(name), Arc::from(json)).is_some() {
                        return Err(A::Error::custom("a field occurs twice"));
                    }
                }
                Ok(StoredFields(Arc::new(fields)))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Damaged(_) => Self::damaged(error),
            // Happens in a rolling deploy. The newer release can read it, so it is not damaged.
            RecordError::Version(_) => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        index::PublicId,
        patch::Patch,
        record::{Grace, OldIdReads},
    };
    use super::*;

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    fn limits() -> Limits {
        Limits {
            max_age: Some(Duration::from_millis(7)),
            persistent: Some(false),
            absolute_lifetime: Some(Duration::from_millis(8)),
        }
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
        record.limits = limits().into();
        let key = StoreKey::from_bytes([7; 32]);
        for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
            let grace = Grace { until: Timestamp::from_unix_ms(8), old_id };
            for record in [record.clone(), record.retire(grace, &key)] {
                let read = Record::from_bytes(&record.to_bytes()).expect("its own bytes");
                assert_eq!(format!("{read:?}"), format!("{record:?}"));
                assert_eq!(read.to_bytes(), record.to_bytes());
            }
        }
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn a_record_survives_its_compact_bytes_and_they_are_fewer() {
        let mut record = record();
        for limits in [Limits::default(), limits()] {
            record.limits = limits.into();
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
        let id = PublicId::new(Timestamp::from_unix_ms(99), Duration::from_secs(3_600));
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
            br#"{"v":1,"created":1,"expires":2,"version":1,"retired":{"successor":null,"digest":"x"},"fields":{}}"#,
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
}
