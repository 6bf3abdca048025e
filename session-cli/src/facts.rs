//! What may be said of a session: when it began, its size, the names of its fields.

use std::time::Duration;

use actix_typed_session::{
    PublicId, Timestamp,
    store::{Record, StoreKey, is_encrypted},
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A session, without what opens it.
#[derive(Serialize)]
pub(crate) struct SessionFacts<'a> {
    /// What `show` and `destroy` find it by: the public id, or a digest of the key.
    pub(crate) id: String,
    pub(crate) public_id: Option<PublicId>,
    #[serde(serialize_with = "as_text")]
    pub(crate) began: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(crate) last_seen: Timestamp,
    #[serde(serialize_with = "as_text")]
    pub(crate) expires: Timestamp,
    /// Whether its cookie outlives the browser. `None`: the site's setting decides.
    pub(crate) persistent: Option<bool>,
    pub(crate) version: u64,
    pub(crate) bytes: usize,
    pub(crate) fields: Vec<FieldFacts<'a>>,
}

/// A field, without its value unless that is asked for.
#[derive(Serialize)]
pub(crate) struct FieldFacts<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: usize,
    pub(crate) indexed: bool,
    pub(crate) encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<&'a RawValue>,
}

/// Whether values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Hidden,
    Shown,
}

impl<'a> SessionFacts<'a> {
    pub(crate) fn of(
        key: &StoreKey,
        record: &'a Record,
        max_age: Duration,
        values: Values,
    ) -> Self {
        Self {
            id: id_of(key, record),
            public_id: record.public_id(),
            began: record.created_at(),
            last_seen: record.last_seen(max_age),
            expires: record.expires_at(),
            persistent: record.limits().persistent,
            version: record.version(),
            bytes: record.to_bytes().len(),
            fields: record.fields().map(|(name, json)| field(record, name, json, values)).collect(),
        }
    }
}

fn field<'a>(record: &Record, name: &'a str, json: &'a RawValue, values: Values) -> FieldFacts<'a> {
    let encrypted = is_encrypted(json);
    FieldFacts {
        name,
        bytes: json.get().len(),
        indexed: record.index().is_some_and(|index| index.names().any(|indexed| indexed == name)),
        encrypted,
        value: Some(json).filter(|_| values == Values::Shown && !encrypted),
    }
}

/// The id of a session in this program: its public id, or a digest of its key if it has none. The
/// key cannot be computed from the digest, and neither opens the session.
fn id_of(key: &StoreKey, record: &Record) -> String {
    record.public_id().map_or_else(|| hex(&key.digest()), |id| id.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
