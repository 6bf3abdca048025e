//! A record as a row, and a row as a record.

use actix_typed_session::{
    PublicId, StoreError,
    store::{Record, StoreKey},
};
use sqlx::{
    MySql, Row as _,
    mysql::{MySqlArguments, MySqlRow},
    query::Query,
};

use crate::{
    columns::Columns,
    pages::SessionRow,
    values::{first_of, found_by, place, to_key},
};

pub(super) type MySqlQuery = Query<'static, MySql, MySqlArguments>;

/// Binds the key of a session.
pub(super) fn bind_key(query: MySqlQuery, key: &StoreKey) -> MySqlQuery {
    query.bind(key.as_bytes().to_vec())
}

/// Binds what the expiry becomes, and the least that it becomes.
pub(super) fn bind_expiry(
    query: MySqlQuery,
    (extend, set): (Option<i64>, Option<i64>),
) -> MySqlQuery {
    query.bind(set).bind(extend)
}

/// Binds the columns of a record after the expiry: from the version on.
pub(super) fn bind_rest(query: MySqlQuery, record: &Record) -> MySqlQuery {
    let columns = Columns::of(record);
    let indexed = record
        .index()
        .map(|_| serde_json::to_string(&columns.indexed).expect("texts always have JSON"));
    // A retired record is found by nothing.
    let index = record.index().filter(|_| !record.is_retired());
    let place = index.map(|index| place(index.public_id()).to_vec());
    query
        .bind(columns.version)
        .bind(columns.max_age)
        .bind(columns.persistent)
        .bind(columns.absolute_lifetime)
        .bind(columns.public_id)
        .bind(place)
        .bind(indexed)
        .bind(columns.fields)
}

impl SessionRow for MySqlRow {
    fn key(&self) -> Result<StoreKey, StoreError> {
        to_key(self.try_get("session_key").map_err(StoreError::damaged)?)
    }

    fn record(&self) -> Result<Record, StoreError> {
        columns(self).map_err(StoreError::damaged)?.to_record()
    }

    fn page_end(&self) -> Result<Option<PublicId>, StoreError> {
        let place: Vec<u8> = self.try_get("place").map_err(StoreError::damaged)?;
        Ok(place.try_into().ok().map(first_of))
    }
}

fn columns(row: &MySqlRow) -> Result<Columns, Box<dyn std::error::Error + Send + Sync>> {
    let indexed: Option<String> = row.try_get("indexed")?;
    Ok(Columns {
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        version: row.try_get("version")?,
        max_age: row.try_get("max_age")?,
        persistent: row.try_get("persistent")?,
        absolute_lifetime: row.try_get("absolute_lifetime")?,
        is_retired: row.try_get("is_retired")?,
        successor: row.try_get("successor")?,
        successor_digest: row.try_get("successor_digest")?,
        public_id: row.try_get("public_id")?,
        indexed: indexed.map_or_else(|| Ok(Vec::new()), |names| serde_json::from_str(&names))?,
        fields: row.try_get("fields")?,
    })
}

/// The entries under which a session is found, and its place in pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) entries: Vec<[u8; 16]>,
    pub(super) place: [u8; 12],
}

impl Entries {
    pub(super) fn of(record: &Record) -> Self {
        let Some(index) = record.index() else { return Self::default() };
        let mut entries: Vec<_> =
            record.indexed_fields().map(|(name, json)| found_by(name, json)).collect();
        entries.sort_unstable();
        Self { entries, place: place(index.public_id()) }
    }
}
