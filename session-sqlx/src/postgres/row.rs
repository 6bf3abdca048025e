//! A record as a row, and a row as a record.

use std::{collections::BTreeMap, time::Duration};

use actix_typed_session::{
    PublicId, StoreError,
    store::{Record, StoreKey},
};
use serde_json::value::RawValue;
use sqlx::{
    Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::connection::failed;
use crate::columns::{self, ms};

pub(super) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The entry of the index for a value of a field, as a text.
pub(super) fn found_by(name: &str, json: &RawValue) -> String {
    hex(&columns::found_by(name, json))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole number that a statement has computed.
pub(super) fn count(row: &PgRow, column: usize) -> Result<i64, StoreError> {
    row.try_get(column).map_err(failed)
}

/// A map of names to texts as JSON.
pub(super) fn to_json<T: serde::Serialize>(map: &BTreeMap<&str, T>) -> String {
    serde_json::to_string(map).expect("texts always have JSON")
}

/// Binds the columns of a record as the statements number them: $1 to $11.
pub(super) fn bind<'q>(query: PgQuery<'q>, key: &StoreKey, record: &Record) -> PgQuery<'q> {
    let (limits, index) = (record.limits(), record.index());
    let indexed = index.into_iter().flat_map(|index| index.names()).map(str::to_owned);
    let found = record.indexed_fields().map(|(name, json)| found_by(name, json));
    let fields: BTreeMap<_, _> = record.fields().map(|(name, json)| (name, json.get())).collect();
    query
        .bind(key.as_bytes().to_vec())
        .bind(ms(record.created_at()))
        .bind(ms(record.expires_at()))
        .bind(record.version().cast_signed())
        .bind(limits.max_age.map(duration_ms))
        .bind(limits.persistent)
        .bind(limits.absolute_lifetime.map(duration_ms))
        .bind(index.map(|index| index.public_id().to_bytes().to_vec()))
        .bind(indexed.collect::<Vec<String>>())
        .bind(found.collect::<Vec<String>>())
        .bind(to_json(&fields))
}

/// Reads the key of a row.
pub(super) fn read_key(row: &PgRow) -> Result<StoreKey, StoreError> {
    let bytes: Vec<u8> = row.try_get("key").map_err(StoreError::damaged)?;
    let bytes = bytes.try_into().map_err(|_| StoreError::damaged("a key has 32 bytes"))?;
    Ok(StoreKey::from_bytes(bytes))
}

/// Reads the public id of a row. `None`: there is none, or it is damaged.
pub(super) fn read_public_id(row: &PgRow) -> Result<Option<PublicId>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get("public_id").map_err(StoreError::damaged)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(PublicId::from_bytes))
}

/// Reads a row, through the bytes of a record.
pub(super) fn read(row: &PgRow) -> Result<Record, StoreError> {
    Ok(Record::from_bytes(&record_bytes(row).map_err(StoreError::damaged)?)?)
}

fn record_bytes(row: &PgRow) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let number = |name: &str| row.try_get::<i64, _>(name);
    let mut text = format!(
        r#"{{"v":1,"created":{},"expires":{},"version":{}"#,
        number("created_at")?,
        number("expires_at")?,
        number("version")?.cast_unsigned()
    );
    for name in ["max_age", "absolute_lifetime"] {
        if let Some(limit) = row.try_get::<Option<i64>, _>(name)? {
            text += &format!(r#","{name}":{limit}"#);
        }
    }
    if let Some(persistent) = row.try_get::<Option<bool>, _>("persistent")? {
        text += &format!(r#","persistent":{persistent}"#);
    }
    if row.try_get("is_retired")? {
        let hex_of = |name: &str| {
            let bytes: Option<Vec<u8>> = row.try_get(name)?;
            Ok::<_, sqlx::Error>(bytes.map(|bytes| hex(&bytes)))
        };
        let successor = serde_json::to_string(&hex_of("successor")?)?;
        text += &format!(r#","retired":{{"successor":{successor}"#);
        if let Some(digest) = hex_of("successor_digest")? {
            text += &format!(r#","digest":"{digest}""#);
        }
        text.push('}');
    }
    if let Some(id) = row.try_get::<Option<Vec<u8>>, _>("public_id")? {
        let names = serde_json::to_string(&row.try_get::<Vec<String>, _>("indexed")?)?;
        text += &format!(r#","index":{{"public_id":"{}","names":{names}}}"#, hex(&id));
    }
    let fields: BTreeMap<String, String> = serde_json::from_str(row.try_get("fields")?)?;
    text += r#","fields":{"#;
    for (place, (name, json)) in fields.iter().enumerate() {
        // It must be one value, so that no text can change the fields around it.
        let json: &RawValue = serde_json::from_str(json)?;
        let comma = if place == 0 { "" } else { "," };
        text += &format!("{comma}{}:{}", serde_json::to_string(name)?, json.get());
    }
    text += "}}";
    Ok(text.into_bytes())
}
