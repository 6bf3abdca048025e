//! The tables, and what each call does to them within a transaction.

use std::collections::BTreeSet;

use actix_typed_session::{
    PublicId, StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, IndexPage, ListCursor, ListPage, Patch, PatchError, Record, StoreKey,
        UpdateOutcome,
    },
};
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension as _, Params, Row};
use serde_json::value::RawValue;

use crate::{
    cleanup::Swept,
    config::check_version,
    values::{first_of, found_by, ms, place, purge_hour},
};

/// The version of the schema that this release makes and uses.
const VERSION: i64 = 1;

/// How many sessions one transaction of the clean-up looks at, so that other changes do not wait
/// for long.
const SWEPT_AT_ONCE: usize = 200;

/// The statements for the names of the tables.
#[derive(Debug)]
pub(super) struct Tables {
    schema: String,
    version: String,
    load: String,
    put: String,
    touch: String,
    delete: String,
    list: String,
    unlist: String,
    find: String,
    all: String,
    due: String,
    postpone: String,
}

/// Why a call failed.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Sqlite(error) => failed(error),
        }
    }
}

/// The error of a statement.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory,
        ) => StoreError::unavailable(error),
        _ => StoreError::internal(error),
    }
}

type Result<T> = std::result::Result<T, Failure>;

impl Tables {
    pub(super) fn new(table: &str) -> Self {
        let (t, found, version) = (table, format!("{table}_found"), format!("{table}_version"));
        Self {
            schema: format!(
                "CREATE TABLE IF NOT EXISTS {t} (
  key        BLOB    NOT NULL PRIMARY KEY,
  expires_at INTEGER NOT NULL,
  purge_hour INTEGER NOT NULL,
  record     BLOB    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS {t}_purge ON {t} (purge_hour);
CREATE TABLE IF NOT EXISTS {found} (
  entry BLOB NOT NULL,
  place BLOB NOT NULL,
  key   BLOB NOT NULL,
  PRIMARY KEY (entry, place, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {found}_key ON {found} (key);
CREATE TABLE IF NOT EXISTS {version} (version INTEGER PRIMARY KEY) STRICT;
INSERT OR IGNORE INTO {version} VALUES ({VERSION});"
            ),
            version: format!("SELECT max(version) FROM {version}"),
            load: format!("SELECT record, expires_at FROM {t} WHERE key = ?1 AND expires_at > ?2"),
            put: format!(
                "INSERT INTO {t} (key, expires_at, purge_hour, record) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, \
                 purge_hour = min(purge_hour, excluded.purge_hour), record = excluded.record"
            ),
            touch: format!("UPDATE {t} SET expires_at = ?2 WHERE key = ?1"),
            postpone: format!("UPDATE {t} SET purge_hour = ?2 WHERE key = ?1"),
            delete: format!("DELETE FROM {t} WHERE key = ?1"),
            list: format!("INSERT INTO {found} VALUES (?1, ?2, ?3)"),
            unlist: format!("DELETE FROM {found} WHERE key = ?1"),
            find: format!(
                "SELECT record, expires_at, s.key, place FROM {found} f JOIN {t} s USING (key) \
                 WHERE entry = ?1 AND place > ?2 AND expires_at > ?3 ORDER BY place LIMIT ?4"
            ),
            all: format!(
                "SELECT record, expires_at, key FROM {t} WHERE key > ?1 AND expires_at > ?2 \
                 ORDER BY key LIMIT ?3"
            ),
            due: format!(
                "SELECT key, expires_at FROM {t} WHERE purge_hour <= ?2 \
                 AND (expires_at <= ?1 OR expires_at / 3600000 + 1 > ?2) LIMIT {SWEPT_AT_ONCE}"
            ),
        }
    }

    /// Makes the tables if they are missing. The caller has begun a transaction.
    pub(super) fn make(&self, connection: &Connection) -> Result<()> {
        connection.execute_batch(&self.schema)?;
        let version: i64 = connection.query_row(&self.version, (), |row| row.get(0))?;
        Ok(check_version(version, VERSION)?)
    }

    /// Checks that the tables are there, and of a version that this release knows.
    pub(super) fn check(&self, connection: &Connection) -> Result<()> {
        let version = match connection.query_row(&self.version, (), |row| row.get(0)) {
            Err(rusqlite::Error::SqliteFailure(_, Some(message)))
                if message.starts_with("no such table") =>
            {
                let missing = "the file has no table of sessions with this name";
                return Err(StoreError::internal(missing).into());
            }
            version => version?,
        };
        Ok(check_version(version, VERSION)?)
    }

    pub(super) fn load(
        &self,
        connection: &Connection,
        key: &StoreKey,
        now: Timestamp,
    ) -> Result<Option<Record>> {
        let mut load = connection.prepare_cached(&self.load)?;
        let record = load.query_row((key.as_bytes(), ms(now)), |row| Ok(read(row)));
        record.optional()?.transpose()
    }

    pub(super) fn create(
        &self,
        connection: &Connection,
        key: &StoreKey,
        record: &Record,
        now: Timestamp,
    ) -> Result<CreateOutcome> {
        if self.is_live(connection, key, now)? {
            return Ok(CreateOutcome::Taken);
        }
        self.put(connection, key, record, None)?;
        Ok(CreateOutcome::Stored)
    }

    pub(super) fn update(
        &self,
        connection: &Connection,
        key: &StoreKey,
        patch: &Patch,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let Some(current) = self.load(connection, key, now)? else {
            return Ok(UpdateOutcome::Gone);
        };
        let record = match patch.apply_to(&current) {
            Ok(record) => record,
            Err(refused) => return Ok(UpdateOutcome::refused(refused, current)),
        };
        self.put(connection, key, &record, Some(&current))?;
        Ok(UpdateOutcome::Applied { version: record.version() })
    }

    pub(super) fn touch(
        &self,
        connection: &Connection,
        key: &StoreKey,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let Some(record) = self.load(connection, key, now)?.filter(|record| !record.is_retired())
        else {
            return Ok(false);
        };
        if record.expires_at() < expires_at {
            let until = ms(expires_at);
            self.execute(connection, &self.touch, (key.as_bytes(), until))?;
        }
        Ok(true)
    }

    /// Deletes the session, and the one that it was renewed to.
    pub(super) fn destroy(
        &self,
        connection: &Connection,
        key: &StoreKey,
        now: Timestamp,
    ) -> Result<bool> {
        let (mut next, mut was_there) = (Some(*key), false);
        while let Some(key) = next {
            next = match self.load(connection, &key, now) {
                Ok(None) => break,
                Ok(Some(record)) => record.successor().copied(),
                Err(Failure::Store(StoreError::Damaged(_))) => None,
                Err(failure) => return Err(failure),
            };
            was_there = true;
            self.delete(connection, key.as_bytes())?;
        }
        Ok(was_there)
    }

    pub(super) fn rotate(
        &self,
        connection: &Connection,
        (old, new): (&StoreKey, &StoreKey),
        patch: &Patch,
        grace: Grace,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let Some(current) = self.load(connection, old, now)? else {
            return Ok(UpdateOutcome::Gone);
        };
        let record = match patch.apply_to(&current) {
            Ok(record) => record,
            // Law 12: the outcome of an earlier, equal call may have been lost.
            Err(PatchError::Retired) => {
                let moved = self.load(connection, new, now)?;
                return Ok(UpdateOutcome::repeated(&current, new, moved.as_ref()));
            }
            Err(refused) => return Ok(UpdateOutcome::refused(refused, current)),
        };
        if self.is_live(connection, new, now)? {
            return Ok(UpdateOutcome::Taken);
        }
        self.put(connection, new, &record, None)?;
        self.put(connection, old, &current.retire(grace, new), Some(&current))?;
        Ok(UpdateOutcome::Applied { version: record.version() })
    }

    pub(super) fn find(
        &self,
        connection: &Connection,
        (name, value): (&str, &RawValue),
        after: Option<PublicId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<IndexPage> {
        let (mut sessions, mut last, limit) = (Vec::new(), None, limit.max(1));
        let after = after.map(|id| place(id).to_vec()).unwrap_or_default();
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut find = connection.prepare_cached(&self.find)?;
        let mut found = find.query((found_by(name, value), after, ms(now), rows))?;
        let mut count = 0;
        while let Some(row) = found.next()? {
            count += 1;
            if count > limit {
                return Ok(IndexPage::new(sessions, last));
            }
            let (key, place): ([u8; 32], [u8; 12]) = (row.get(2)?, row.get(3)?);
            last = Some(first_of(place));
            match read(row) {
                Ok(record) if record.is_found_by(name, value) => {
                    sessions.push((StoreKey::from_bytes(key), record));
                }
                Ok(_) | Err(Failure::Store(StoreError::Damaged(_))) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(IndexPage::new(sessions, None))
    }

    pub(super) fn list(
        &self,
        connection: &Connection,
        after: Option<StoreKey>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ListPage> {
        let after = after.map(|key| key.as_bytes().to_vec()).unwrap_or_default();
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut all = connection.prepare_cached(&self.all)?;
        let mut found = all.query((after, ms(now), rows))?;
        let (mut page, mut count, mut last) = (ListPage::default(), 0, None);
        while let Some(row) = found.next()? {
            let key = StoreKey::from_bytes(row.get(2)?);
            page.add(key, read(row).map(Some).map_err(StoreError::from))?;
            (count, last) = (count + 1, Some(key));
        }
        page.next = last.filter(|_| count == limit).map(ListCursor::from);
        Ok(page)
    }

    /// Looks at sessions whose hour has come, at most [`SWEPT_AT_ONCE`].
    pub(super) fn sweep(&self, connection: &Connection, now: Timestamp) -> Result<Swept> {
        let now = ms(now);
        let mut due = connection.prepare_cached(&self.due)?;
        let due = due.query_map((now, purge_hour(now)), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let due = due.collect::<std::result::Result<Vec<(Vec<u8>, i64)>, _>>()?;
        let mut sessions = 0;
        for (key, expires_at) in &due {
            if *expires_at <= now {
                self.delete(connection, key)?;
                sessions += 1;
            } else {
                self.execute(connection, &self.postpone, (key, purge_hour(*expires_at)))?;
            }
        }
        Ok(Swept { sessions, is_done: due.len() < SWEPT_AT_ONCE })
    }

    fn is_live(&self, connection: &Connection, key: &StoreKey, now: Timestamp) -> Result<bool> {
        Ok(connection.prepare_cached(&self.load)?.exists((key.as_bytes(), ms(now)))?)
    }

    /// Stores a record, with the index. `before`: what is known to be there.
    fn put(
        &self,
        connection: &Connection,
        key: &StoreKey,
        record: &Record,
        before: Option<&Record>,
    ) -> Result<()> {
        let until = ms(record.expires_at());
        let values = (key.as_bytes(), until, purge_hour(until), record.to_bytes());
        self.execute(connection, &self.put, values)?;
        let entries = entries(record);
        if before.is_some_and(|before| self::entries(before) == entries) {
            return Ok(());
        }
        self.execute(connection, &self.unlist, (key.as_bytes(),))?;
        for (entry, place) in entries {
            self.execute(connection, &self.list, (entry, place, key.as_bytes()))?;
        }
        Ok(())
    }

    fn delete(&self, connection: &Connection, key: &[u8]) -> Result<()> {
        self.execute(connection, &self.delete, (key,))?;
        self.execute(connection, &self.unlist, (key,))
    }

    fn execute(&self, connection: &Connection, sql: &str, values: impl Params) -> Result<()> {
        let mut statement: CachedStatement<'_> = connection.prepare_cached(sql)?;
        statement.execute(values)?;
        Ok(())
    }
}

/// Reads a record from its columns `record` and `expires_at`, which a touch changes alone.
fn read(row: &Row<'_>) -> Result<Record> {
    let bytes = row.get_ref(0)?.as_blob().map_err(StoreError::damaged)?;
    let record = Record::from_bytes(bytes).map_err(StoreError::from)?;
    let until = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
    Ok(record.extended_to(Timestamp::from_unix_ms(until)))
}

/// What a session is found by, and its place in pages.
fn entries(record: &Record) -> BTreeSet<([u8; 16], [u8; 12])> {
    let place = record.index().map(|index| place(index.public_id()));
    let entries = record.indexed_fields().map(|(name, json)| found_by(name, json));
    entries.filter_map(|entry| Some((entry, place?))).collect()
}
