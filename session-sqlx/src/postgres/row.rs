//! A record as a row, and a row as a record.

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

use crate::{
    client::Engine as _,
    columns::{Columns, hex},
    pages::SessionRow,
    values::{self, to_key},
};

pub(super) type PgQuery = Query<'static, Postgres, PgArguments>;

/// The entry of the index for a value of a field, as a text.
pub(super) fn found_by(name: &str, json: &RawValue) -> String {
    hex(&values::found_by(name, json))
}

/// A whole number that a statement has computed.
pub(super) fn count(row: &PgRow, column: usize) -> Result<i64, StoreError> {
    row.try_get(column).map_err(Postgres::failed)
}

/// Keys that a statement has collected. `NULL` is none.
pub(super) fn keys(row: &PgRow, column: usize) -> Result<Vec<StoreKey>, StoreError> {
    let keys: Option<Vec<Vec<u8>>> = row.try_get(column).map_err(Postgres::failed)?;
    keys.into_iter().flatten().map(to_key).collect()
}

/// Binds the columns of a record as the statements number them: $1 to $11.
pub(super) fn bind(query: PgQuery, key: &StoreKey, record: &Record) -> PgQuery {
    let found = record.indexed_fields().map(|(name, json)| found_by(name, json));
    let columns = Columns::of(record);
    query
        .bind(key.as_bytes().to_vec())
        .bind(columns.created_at)
        .bind(columns.expires_at)
        .bind(columns.version.cast_signed())
        .bind(columns.max_age)
        .bind(columns.persistent)
        .bind(columns.absolute_lifetime)
        .bind(columns.public_id)
        .bind(columns.indexed)
        .bind(found.collect::<Vec<String>>())
        .bind(columns.fields)
}

impl SessionRow for PgRow {
    fn key(&self) -> Result<StoreKey, StoreError> {
        to_key(self.try_get("key").map_err(StoreError::damaged)?)
    }

    fn record(&self) -> Result<Record, StoreError> {
        columns(self).map_err(StoreError::damaged)?.to_record()
    }

    fn page_end(&self) -> Result<Option<PublicId>, StoreError> {
        let bytes: Option<Vec<u8>> = self.try_get("public_id").map_err(StoreError::damaged)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(PublicId::from_bytes))
    }
}

fn columns(row: &PgRow) -> Result<Columns, sqlx::Error> {
    Ok(Columns {
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        version: row.try_get::<i64, _>("version")?.cast_unsigned(),
        max_age: row.try_get("max_age")?,
        persistent: row.try_get("persistent")?,
        absolute_lifetime: row.try_get("absolute_lifetime")?,
        is_retired: row.try_get("is_retired")?,
        successor: row.try_get("successor")?,
        successor_digest: row.try_get("successor_digest")?,
        public_id: row.try_get("public_id")?,
        indexed: row.try_get("indexed")?,
        fields: row.try_get("fields")?,
    })
}
