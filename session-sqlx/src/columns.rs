//! A record as the values of columns, and back.

use std::{collections::BTreeMap, error::Error, time::Duration};

use actix_typed_session::{StoreError, store::Record};
use serde_json::value::RawValue;

use crate::values::ms;

/// The values of the columns of a row that make a record.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) version: u64,
    pub(crate) max_age: Option<i64>,
    pub(crate) persistent: Option<bool>,
    pub(crate) absolute_lifetime: Option<i64>,
    pub(crate) is_retired: bool,
    pub(crate) successor: Option<Vec<u8>>,
    pub(crate) successor_digest: Option<Vec<u8>>,
    pub(crate) public_id: Option<Vec<u8>>,
    /// The names of the indexed fields.
    pub(crate) indexed: Vec<String>,
    /// The fields, as a JSON object of texts. Each text is the JSON of a field, so that the
    /// database cannot change it.
    pub(crate) fields: String,
}

impl Columns {
    pub(crate) fn of(record: &Record) -> Self {
        let (limits, index) = (record.limits(), record.index());
        let indexed = index.into_iter().flat_map(|index| index.names()).map(str::to_owned);
        let fields: BTreeMap<_, _> =
            record.fields().map(|(name, json)| (name, json.get())).collect();
        let (is_retired, successor, successor_digest) = retired(record);
        Self {
            created_at: ms(record.created_at()),
            expires_at: ms(record.expires_at()),
            version: record.version(),
            max_age: limits.max_age.map(duration_ms),
            persistent: limits.persistent,
            absolute_lifetime: limits.absolute_lifetime.map(duration_ms),
            public_id: index.map(|index| index.public_id().to_bytes().to_vec()),
            indexed: indexed.collect(),
            is_retired,
            successor,
            successor_digest,
            fields: to_json(&fields),
        }
    }

    /// Makes a record, through its bytes.
    pub(crate) fn to_record(&self) -> Result<Record, StoreError> {
        Ok(Record::from_bytes(&self.to_bytes().map_err(StoreError::damaged)?)?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let mut text = format!(
            r#"{{"v":1,"created":{},"expires":{},"version":{}"#,
            self.created_at, self.expires_at, self.version
        );
        let limits = [("max_age", self.max_age), ("absolute_lifetime", self.absolute_lifetime)];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                text += &format!(r#","{name}":{limit}"#);
            }
        }
        if let Some(persistent) = self.persistent {
            text += &format!(r#","persistent":{persistent}"#);
        }
        if self.is_retired {
            let successor = serde_json::to_string(&self.successor.as_deref().map(hex))?;
            text += &format!(r#","retired":{{"successor":{successor}"#);
            if let Some(digest) = &self.successor_digest {
                text += &format!(r#","digest":"{}""#, hex(digest));
            }
            text.push('}');
        }
        if let Some(id) = &self.public_id {
            let names = serde_json::to_string(&self.indexed)?;
            text += &format!(r#","index":{{"public_id":"{}","names":{names}}}"#, hex(id));
        }
        // `null`: the statement asked for a field that is not there.
        let fields: BTreeMap<String, Option<String>> = serde_json::from_str(&self.fields)?;
        let fields = fields.iter().filter_map(|(name, json)| Some((name, json.as_ref()?)));
        text += r#","fields":{"#;
        for (place, (name, json)) in fields.enumerate() {
            // It must be one value, so that no text can change the fields around it.
            let json: &RawValue = serde_json::from_str(json)?;
            let comma = if place == 0 { "" } else { "," };
            text += &format!("{comma}{}:{}", serde_json::to_string(name)?, json.get());
        }
        text += "}}";
        Ok(text.into_bytes())
    }
}

/// Whether a record is retired, the key of its successor, and the digest of that.
pub(crate) fn retired(record: &Record) -> (bool, Option<Vec<u8>>, Option<Vec<u8>>) {
    (
        record.is_retired(),
        record.successor().map(|key| key.as_bytes().to_vec()),
        record.successor_digest().map(|digest| digest.to_vec()),
    )
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A map of names to texts as JSON.
pub(crate) fn to_json<T: serde::Serialize>(map: &BTreeMap<&str, T>) -> String {
    serde_json::to_string(map).expect("texts always have JSON")
}
