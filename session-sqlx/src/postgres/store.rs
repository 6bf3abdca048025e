//! The store: what all handles share, and how statements run.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_typed_session::{
    StoreError,
    store::{StoreKey, local_cache::PendingChange},
};
use sqlx::{PgPool, Postgres, Row as _, postgres::PgRow};
use tokio::time::timeout;

use super::{
    builder::PostgresStoreBuilder,
    engine::{MISSING_TABLE, code, no_row, run_all},
    local_cache::PgCache,
    row,
    schema::VERSION,
    statements::Statements,
};
use crate::{
    batch::{Batches, Limits, loads::Loads, updates::Updates},
    cleanup::Swept,
    client::{Client, Engine as _, Repeat, Sweep, start_sweeping},
    config::{Settings, check_version},
};

/// The advisory lock of all processes that make a schema.
const SCHEMA_LOCK: i64 = 7_166_475_920_117;

/// Keeps sessions in PostgreSQL 12 or later: one row for each session.
///
/// It takes the application's own pool, and nothing connects before the first call. The table must
/// exist: [`ensure_schema`](Self::ensure_schema) makes it, or your own migrations with the text of
/// [`schema`](Self::schema).
///
/// Each call is one statement, which is one round trip once the connection has prepared it. Two
/// more are the pool's, unless the store has used a connection in the last 20 milliseconds: [the
/// guide](crate::guide) says how to avoid the first one. An update that changes an indexed field,
/// resets the session or changes its limits takes two statements, and more if others change the
/// session at the same time. So does an addition to something that is not a number, to a whole
/// number of more than 18 digits, or to a floating-point number beyond 1e90. A renewal takes one
/// more if another request has changed the session.
///
/// Loads and updates that wait at the same time share a statement, see
/// [the guide](crate::guide#many-requests-at-the-same-time).
///
/// If the server is down or the pool has no free connection within the
/// [time limit](PostgresStoreBuilder::time_limit), clients get a 503. An update that may have been
/// carried out is never repeated. Loads and renewals are, because that does no harm.
///
/// Names of fields cannot have the character U+0000, which PostgreSQL refuses.
///
/// A clone is a handle to the same store.
#[derive(Clone)]
pub struct PostgresStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) client: Client<Postgres>,
    pub(super) statements: Statements,
    pub(super) cache: Option<PgCache>,
    pub(super) loads: Batches<Loads<PgRow>>,
    pub(super) updates: Batches<Updates>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Creates a store with the default settings.
    pub fn new(pool: PgPool) -> Self {
        Self::builder(pool).build().expect("the default settings are valid")
    }

    /// Returns the settings of a store.
    pub fn builder(pool: PgPool) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(pool)
    }

    pub(super) fn build(
        pool: PgPool,
        statements: Statements,
        cache: Option<PgCache>,
        settings: Settings,
    ) -> Self {
        let limits = Limits::together(pool.options().get_max_connections());
        Self(Arc::new(Inner {
            client: Client::new(pool, settings),
            statements,
            cache,
            loads: Batches::new(limits),
            updates: Batches::new(limits),
        }))
    }

    /// Returns the SQL text that makes the table, for your own migrations. It can run repeatedly.
    pub fn schema(&self) -> &str {
        &self.0.statements.schema
    }

    /// Makes the table if it is missing. It is safe if many processes do it at the same time: an
    /// advisory lock makes them wait for each other. It takes at most 30 seconds, or the time limit
    /// of the store if that is longer.
    ///
    /// If the table is missing, the role needs `CREATE` on the schema. Otherwise it needs `SELECT`,
    /// `INSERT`, `UPDATE` and `DELETE` on the table, and `SELECT` on the table of its version.
    ///
    /// # Errors
    /// The server failed, the role lacks a privilege, or the table has the schema of a later
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
        let mut lease = self.0.client.lease().await.map_err(Postgres::failed)?;
        let make = format!("BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK}); {}", self.schema());
        run_all(&mut lease, make).await?;
        run_all(&mut lease, "COMMIT".into()).await?;
        // The pool may have one connection only.
        drop(lease);
        self.has_schema().await.map(|_| ())
    }

    /// Whether the table is there. It needs no right to make tables.
    async fn has_schema(&self) -> Result<bool, StoreError> {
        let check = self.0.statements.check_version.as_str();
        let rows = match self.0.client.try_rows(check, Repeat::Always, |query| query).await {
            Err(error) if code(&error).is_some_and(|code| code == MISSING_TABLE) => {
                return Ok(false);
            }
            rows => rows.map_err(Postgres::failed)?,
        };
        let row = rows.first().ok_or_else(no_row)?;
        let version = row.try_get::<i32, _>(0).map_err(Postgres::failed)?;
        check_version(version.into(), VERSION.into())?;
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
        if let Some(cache) = &self.0.cache {
            cache.listen(self.0.client.pool());
        }
        self.0.client.within(call).await
    }
}

impl Inner {
    /// Hold the result while a session is changed: it drops the copy in the local cache.
    pub(super) fn begin_change(&self, key: &StoreKey) -> Option<PendingChange<'_, Instant>> {
        Some(self.cache.as_ref()?.begin_change(key))
    }
}

impl Sweep<Postgres> for Inner {
    fn client(&self) -> &Client<Postgres> {
        &self.client
    }

    async fn sweep_some(&self) -> Result<Swept, StoreError> {
        let now = self.client.now_ms();
        let batch =
            self.client.one(&self.statements.sweep, Repeat::Always, |query| query.bind(now));
        let row = batch.await?;
        let (gone, later) = (row::count(&row, 0)?, row::count(&row, 1)?);
        Ok(Swept { sessions: gone.cast_unsigned(), is_done: gone == 0 && later == 0 })
    }
}
