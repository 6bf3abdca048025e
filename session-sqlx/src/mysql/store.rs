//! The store: what all handles share.

use std::{fmt, sync::Arc, time::Duration};

use actix_typed_session::StoreError;
use sqlx::{AssertSqlSafe, Executor as _, MySql, MySqlPool, Row as _, mysql::MySqlRow};
use tokio::time::timeout;

use super::{
    builder::MySqlStoreBuilder,
    engine::{MISSING_TABLE, code},
    row::MySqlQuery,
    schema::VERSION,
    statements::{SWEPT_AT_ONCE, Statements},
};
use crate::{
    batch::{Batches, Limits, loads::Loads, updates::Updates},
    cleanup::Swept,
    client::{Client, Engine as _, Repeat, Sweep, start_sweeping},
    config::{Settings, check_version},
    values::purge_hour,
};

/// Keeps sessions in MariaDB or MySQL 8: one row for each session. It is tested with MariaDB 10.11,
/// and not with MySQL.
///
/// It takes the application's own pool, and nothing connects before the first call. The tables must
/// exist: [`ensure_schema`](Self::ensure_schema) makes them, or your own migrations with the text
/// of [`schema`](Self::schema).
///
/// Each call is one statement, which is one round trip once the connection has prepared it. Two
/// more are the pool's, unless the store has used a connection in the last 20 milliseconds: [the
/// guide](crate::guide) says how to avoid the first one. These take more statements:
///
/// - one more to store a session with indexed fields, or to change one of them, and one more to
///   forget the value that it had before;
/// - one more for an update that resets the session, changes its limits or adds a floating-point
///   number, and two more for each time that others change the session meanwhile;
/// - one more for a renewal if another request has changed the session;
/// - three more to destroy a session by an old id, or one more if there is none.
///
/// Loads that wait at the same time share a statement, and so do updates of one session, see
/// [the guide](crate::guide#many-requests-at-the-same-time).
///
/// If the server is down or the pool has no free connection within the
/// [time limit](MySqlStoreBuilder::time_limit), clients get a 503. An update that may have been
/// carried out is never repeated. Loads and renewals are, because that does no harm.
///
/// The connections must be in the mode `autocommit`, which is the default.
///
/// A clone is a handle to the same store.
#[derive(Clone)]
pub struct MySqlStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) client: Client<MySql>,
    pub(super) statements: Statements,
    pub(super) loads: Batches<Loads<MySqlRow>>,
    pub(super) updates: Batches<Updates>,
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore").finish_non_exhaustive()
    }
}

impl MySqlStore {
    /// Creates a store with the default settings.
    pub fn new(pool: MySqlPool) -> Self {
        Self::builder(pool).build().expect("the default settings are valid")
    }

    /// Returns the settings of a store.
    pub fn builder(pool: MySqlPool) -> MySqlStoreBuilder {
        MySqlStoreBuilder::new(pool)
    }

    pub(super) fn build(pool: MySqlPool, statements: Statements, settings: Settings) -> Self {
        let connections = pool.options().get_max_connections();
        // A statement changes one session only, since it cannot return several versions.
        let alone = Limits { tasks: connections as usize, calls: 1 };
        Self(Arc::new(Inner {
            client: Client::new(pool, settings),
            statements,
            loads: Batches::new(Limits::together(connections)),
            updates: Batches::new(alone),
        }))
    }

    /// Returns the SQL text that makes the tables, for your own migrations. It can run repeatedly.
    pub fn schema(&self) -> &str {
        &self.0.statements.schema
    }

    /// Makes the tables if they are missing. It is safe if many processes do it at the same time.
    /// It takes at most 30 seconds, or the time limit of the store if that is longer.
    ///
    /// If the tables are missing, the user needs `CREATE` on the database. Otherwise it needs
    /// `SELECT`, `INSERT`, `UPDATE` and `DELETE` on `actix_session` and `actix_session_found`, and
    /// `SELECT` on `actix_session_version`.
    ///
    /// # Errors
    /// The server failed, the user lacks a privilege, or the tables have the schema of a later
    /// release.
    pub async fn ensure_schema(&self) -> Result<(), StoreError> {
        let limit = self.0.client.settings.time_limit.max(Duration::from_secs(30));
        timeout(limit, self.make_schema())
            .await
            .map_err(|_| StoreError::unavailable("the schema could not be made in time"))?
    }

    async fn make_schema(&self) -> Result<(), StoreError> {
        if self.has_schema().await? {
            return Ok(());
        }
        // Each statement is a transaction, and does nothing if its table exists.
        let make = self.0.client.run(Repeat::Always, |connection| {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(self.schema())))
        });
        make.await.map_err(MySql::failed)?;
        self.has_schema().await.map(|_| ())
    }

    /// Whether the tables are there. It needs no right to make tables.
    async fn has_schema(&self) -> Result<bool, StoreError> {
        let check = &self.0.statements.check_version;
        let rows = match self.0.try_rows(check, |query| query).await {
            Err(error) if code(&error) == Some(MISSING_TABLE) => return Ok(false),
            rows => rows.map_err(MySql::failed)?,
        };
        let version: i64 = match rows.first() {
            Some(row) => row.try_get(0).map_err(MySql::failed)?,
            None => 0,
        };
        check_version(version, VERSION.into())?;
        Ok(version > 0)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.0.client.now_ms()
    }

    /// Runs a call for as long as the time limit allows.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        start_sweeping(&self.0);
        self.0.client.within(call).await
    }
}

impl Sweep<MySql> for Inner {
    fn client(&self) -> &Client<MySql> {
        &self.client
    }

    async fn sweep_some(&self) -> Result<Swept, StoreError> {
        // They are read first: a change of a range would block new sessions in it.
        let (expired, extended) = self.due().await?;
        let is_done = match (expired.is_empty(), extended.is_empty()) {
            (true, true) => !self.sweep_entries().await?,
            _ => false,
        };
        let mut sessions = 0;
        if !expired.is_empty() {
            let now = self.client.now_ms();
            let delete = self.change(&self.statements.sweep, Repeat::Always, |query| {
                bind_keys(query.bind(now), &expired)
            });
            sessions = delete.await?.rows_affected();
        }
        if !extended.is_empty() {
            let postpone = self.change(&self.statements.postpone, Repeat::Always, |query| {
                bind_keys(query, &extended)
            });
            postpone.await?;
        }
        Ok(Swept { sessions, is_done })
    }
}

/// The keys of sessions.
type Keys = Vec<Vec<u8>>;

/// Binds keys to a statement that takes a fixed number of them, so the last one comes repeatedly.
fn bind_keys(query: MySqlQuery, keys: &Keys) -> MySqlQuery {
    let repeated = keys.iter().chain(keys.last().into_iter().cycle());
    repeated.take(SWEPT_AT_ONCE).fold(query, |query, key| query.bind(key.clone()))
}

impl Inner {
    /// The sessions that the clean-up has to look at: those that have expired, and those that were
    /// extended and are to be filed under a later hour.
    async fn due(&self) -> Result<(Keys, Keys), StoreError> {
        let now = self.client.now_ms();
        let this_hour = purge_hour(now);
        let due = self.rows(&self.statements.due, |query| {
            query.bind(now).bind(this_hour).bind(now).bind(this_hour)
        });
        let (mut expired, mut extended) = (Keys::new(), Keys::new());
        for row in due.await? {
            let key = row.try_get(0).map_err(StoreError::damaged)?;
            let is_over: bool = row.try_get(1).map_err(StoreError::damaged)?;
            if is_over { expired.push(key) } else { extended.push(key) }
        }
        Ok((expired, extended))
    }

    /// Deletes entries of the index that have no session any more. Returns whether there were some
    /// to look at.
    async fn sweep_entries(&self) -> Result<bool, StoreError> {
        let hour = self.client.now_ms() / 3_600_000;
        let renew = self.change(&self.statements.renew_entries, Repeat::Always, |query| {
            query.bind(hour).bind(hour)
        });
        let renewed = renew.await?.rows_affected();
        self.change(&self.statements.sweep_entries, Repeat::Always, |query| query).await?;
        Ok(renewed > 0)
    }
}
