//! The store: what all handles share, and how statements run.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{Clock, StoreError, Timestamp};
use sqlx::{AssertSqlSafe, Error, PgPool, Row as _, postgres::PgRow};
use tokio::time::{sleep, timeout};

use super::{
    builder::PostgresStoreBuilder,
    row::{PgQuery, ms},
    schema::VERSION,
    statements::Statements,
};

/// Keeps sessions in PostgreSQL 12 or later: one row for each session.
///
/// It takes the application's own pool, and nothing connects before the first call. The table must
/// exist: [`ensure_schema`](Self::ensure_schema) makes it, or your own migrations with the text of
/// [`schema`](Self::schema).
///
/// Each call is one statement. An update that adds to a floating-point number, changes an indexed
/// field, resets the session or changes its limits takes two, and more if others change the session
/// at the same time. A renewal takes one more if another request has changed the session.
///
/// If the server is down or the pool has no free connection within the
/// [time limit](PostgresStoreBuilder::time_limit), clients get a 503. A statement that may have
/// been carried out is never repeated.
///
/// Names of fields cannot have the character U+0000, which PostgreSQL refuses.
///
/// A clone is a handle to the same store.
#[derive(Clone)]
pub struct PostgresStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pool: PgPool,
    pub(super) statements: Statements,
    clock: Arc<dyn Clock>,
    time_limit: Duration,
    sweep_interval: Option<Duration>,
    is_sweeping: AtomicBool,
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
        clock: Arc<dyn Clock>,
        time_limit: Duration,
        sweep_interval: Option<Duration>,
    ) -> Self {
        let is_sweeping = AtomicBool::new(false);
        let inner = Inner { pool, statements, clock, time_limit, sweep_interval, is_sweeping };
        Self(Arc::new(inner))
    }

    /// Returns the SQL text that makes the table, for your own migrations. It can run repeatedly.
    pub fn schema(&self) -> &str {
        &self.0.statements.schema
    }

    /// Makes the table if it is missing. It is safe if many processes do it at the same time: an
    /// advisory lock makes them wait for each other.
    ///
    /// The role needs `CREATE` on the schema. Later it needs only `SELECT`, `INSERT`, `UPDATE` and
    /// `DELETE` on the table.
    ///
    /// # Errors
    /// The server failed, or the table has the schema of a later release.
    pub async fn ensure_schema(&self) -> Result<(), StoreError> {
        let limit = self.0.time_limit.max(Duration::from_secs(30));
        timeout(limit, self.make_schema())
            .await
            .map_err(|_| StoreError::unavailable("the schema could not be made in time"))?
    }

    async fn make_schema(&self) -> Result<(), StoreError> {
        let mut transaction = self.0.pool.begin().await.map_err(failed)?;
        sqlx::query("SELECT pg_advisory_xact_lock(7166475920117)")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::raw_sql(AssertSqlSafe(self.schema()))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let query = sqlx::query(AssertSqlSafe(self.0.statements.check_version.as_str()));
        let row = query.fetch_one(&mut *transaction).await.map_err(failed)?;
        let version: i32 = row.try_get(0).map_err(failed)?;
        if version > VERSION {
            return Err(StoreError::internal(format!(
                "the session table has version {version} of the schema, and this release knows \
                 {VERSION}; run the release that made it"
            )));
        }
        transaction.commit().await.map_err(failed)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn now_ms(&self) -> i64 {
        ms(self.now())
    }

    /// Runs a statement, and returns its first row. It repeats the statement if the server has
    /// rolled it back in favour of another one.
    pub(super) async fn first<'q>(
        &self,
        statement: &'q str,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Option<PgRow>, StoreError> {
        loop {
            let query = bind(sqlx::query(AssertSqlSafe(statement)));
            match query.fetch_optional(&self.0.pool).await {
                Err(error) if is_rolled_back(&error) => sleep(Duration::from_millis(1)).await,
                result => return result.map_err(failed),
            }
        }
    }

    /// Runs a statement as [`first`](Self::first), and returns all rows.
    pub(super) async fn all<'q>(
        &self,
        statement: &'q str,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        loop {
            let query = bind(sqlx::query(AssertSqlSafe(statement)));
            match query.fetch_all(&self.0.pool).await {
                Err(error) if is_rolled_back(&error) => sleep(Duration::from_millis(1)).await,
                result => return result.map_err(failed),
            }
        }
    }

    /// Runs a statement as [`first`](Self::first), and returns how many rows it changed.
    pub(super) async fn count(&self, statement: &str, now: i64) -> Result<u64, StoreError> {
        loop {
            let query = sqlx::query(AssertSqlSafe(statement)).bind(now);
            match query.execute(&self.0.pool).await {
                Err(error) if is_rolled_back(&error) => sleep(Duration::from_millis(1)).await,
                result => return Ok(result.map_err(failed)?.rows_affected()),
            }
        }
    }

    /// Runs a call for as long as the time limit allows.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.start_sweeping();
        timeout(self.0.time_limit, call).await.map_err(|_| {
            StoreError::unavailable("PostgreSQL did not answer within the time limit")
        })?
    }

    fn start_sweeping(&self) {
        let Some(interval) = self.0.sweep_interval else { return };
        if self.0.is_sweeping.load(Ordering::Relaxed)
            || self.0.is_sweeping.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                sleep(interval.mul_f64(rand::random_range(0.5..1.5))).await;
                let Some(inner) = inner.upgrade() else { break };
                if let Err(error) = Self(inner).sweep().await {
                    tracing::warn!("expired sessions could not be deleted: {error}");
                }
            }
        });
    }

    /// Deletes expired sessions in batches, so that no lock is held for long.
    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let mut sum = 0;
        loop {
            let batch = self.count(&self.0.statements.sweep, self.now_ms());
            let deleted = timeout(self.0.time_limit, batch)
                .await
                .map_err(|_| StoreError::unavailable("the clean-up took too long"))??;
            sum += deleted;
            if deleted == 0 {
                return Ok(sum);
            }
        }
    }
}

/// Whether the server has undone the statement because of a concurrent one (SQLSTATE 40001, 40P01).
fn is_rolled_back(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// The error of a statement. Values are not in it, because those of rows are secrets.
pub(super) fn failed(error: Error) -> StoreError {
    let Some(database) = error.as_database_error() else { return StoreError::unavailable(error) };
    let code = database.code().unwrap_or_default().into_owned();
    // Connections, resources, operators, the system, and a primary that is read-only.
    let is_outage =
        ["08", "53", "57", "58", "25", "55"].iter().any(|class| code.starts_with(class));
    let message = format!("PostgreSQL refused the statement with the error {code}");
    match code.as_str() {
        "42P01" => StoreError::internal(
            "the session table is missing; call `ensure_schema` or add `schema` to the migrations",
        ),
        _ if is_outage => StoreError::unavailable(message),
        _ => StoreError::internal(message),
    }
}
