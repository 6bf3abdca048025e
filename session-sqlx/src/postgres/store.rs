//! The store: what all handles share, and how statements run.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{StoreError, Timestamp};
use sqlx::{PgPool, Row as _};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    builder::PostgresStoreBuilder,
    connection::{MISSING_TABLE, Repeat, code, failed, no_row},
    row,
    schema::VERSION,
    statements::Statements,
};
use crate::{
    columns::ms,
    config::{Settings, check_version},
    log::not_swept,
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
/// more round trips are those of the pool: [the guide](crate::guide) says how to avoid the first
/// one. An update that changes an indexed field, resets the session or changes its limits takes two
/// statements, and more if others change the session at the same time. So does an addition to
/// something that is not a number, or to a floating-point number beyond 1e90. A renewal takes one
/// more if another request has changed the session.
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
    pub(super) pool: PgPool,
    pub(super) statements: Statements,
    pub(super) settings: Settings,
    is_sweeping: AtomicBool,
    /// Half of the pool's connections may hold or await an advisory lock. The other half is for the
    /// calls of those that hold one.
    pub(super) lock_permits: Semaphore,
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

    pub(super) fn build(pool: PgPool, statements: Statements, settings: Settings) -> Self {
        let half = pool.options().get_max_connections() / 2;
        Self(Arc::new(Inner {
            pool,
            statements,
            settings,
            is_sweeping: AtomicBool::new(false),
            lock_permits: Semaphore::new(half as usize),
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
        let limit = self.0.settings.time_limit.max(Duration::from_secs(30));
        timeout(limit, self.make_schema())
            .await
            .map_err(|_| StoreError::unavailable("the schema could not be made in time"))?
    }

    async fn make_schema(&self) -> Result<(), StoreError> {
        if self.has_schema().await? {
            return Ok(());
        }
        let mut connection = self.connection().await?;
        let make = format!("BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK}); {}", self.schema());
        connection.execute(make).await.map_err(failed)?;
        connection.execute("COMMIT".into()).await.map_err(failed)?;
        // The pool may have one connection only.
        drop(connection);
        self.has_schema().await.map(|_| ())
    }

    /// Whether the table is there. It needs no right to make tables.
    async fn has_schema(&self) -> Result<bool, StoreError> {
        let check = self.0.statements.check_version.as_str();
        let rows = match self.try_rows(check, Repeat::Always, |query| query).await {
            Err(error) if code(&error).is_some_and(|code| code == MISSING_TABLE) => {
                return Ok(false);
            }
            rows => rows.map_err(failed)?,
        };
        let row = rows.first().ok_or_else(no_row)?;
        let version = row.try_get::<i32, _>(0).map_err(failed)?;
        check_version(version.into(), VERSION.into())?;
        Ok(version > 0)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.settings.clock.now()
    }

    pub(super) fn now_ms(&self) -> i64 {
        ms(self.now())
    }

    /// Runs a call for as long as the time limit allows.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.start_sweeping();
        timeout(self.0.settings.time_limit, call).await.map_err(|_| {
            StoreError::unavailable("PostgreSQL did not answer within the time limit")
        })?
    }

    fn start_sweeping(&self) {
        if self.0.settings.sweep_interval.is_none() {
            return;
        }
        if self.0.is_sweeping.load(Ordering::Relaxed)
            || self.0.is_sweeping.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let sweeper = Sweeper(Arc::downgrade(&self.0));
        tokio::spawn(async move {
            // Not held during the pause, so that the task ends with the store.
            let pause = || sweeper.0.upgrade()?.settings.sweep_pause();
            while let Some(pause) = pause() {
                sleep(pause).await;
                let Some(inner) = sweeper.0.upgrade() else { break };
                if let Err(error) = Self(inner).sweep().await {
                    not_swept(&error);
                }
            }
        });
    }

    /// Deletes expired sessions in batches, so that no lock is held for long.
    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let mut sum = 0;
        loop {
            let now = self.now_ms();
            let batch = self.one(&self.0.statements.sweep, Repeat::Always, |it| it.bind(now));
            let row = timeout(self.0.settings.time_limit, batch)
                .await
                .map_err(|_| StoreError::unavailable("the clean-up took too long"))??;
            let deleted = row::count(&row, 0)?.cast_unsigned();
            sum += deleted;
            if deleted == 0 {
                return Ok(sum);
            }
        }
    }
}

/// Marks the store as swept for as long as the task lives. A task ends with its runtime, and the
/// next call of the store then starts another one.
struct Sweeper(Weak<Inner>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.is_sweeping.store(false, Ordering::Relaxed);
        }
    }
}
