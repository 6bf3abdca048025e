//! How a statement runs: on which connection, and what happens if that breaks.

use std::time::Duration;

use actix_typed_session::StoreError;
use sqlx::{
    AssertSqlSafe, Error, Executor as _, PgConnection, Postgres, pool::PoolConnection,
    postgres::PgRow,
};
use tokio::time::sleep;

use super::{row::PgQuery, store::PostgresStore};

/// The SQLSTATE of a table that does not exist.
pub(super) const MISSING_TABLE: &str = "42P01";

/// When a statement is sent again after its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does no harm twice.
    Always,
    /// It may have been carried out, so it is not sent again.
    Never,
}

/// A connection that one call has taken from the pool.
///
/// If the call ends before the answer was read, at its time limit for example, the connection is
/// closed. The pool would wait for that answer, and the next call for the pool.
pub(super) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    has_answered: bool,
}

impl Lease {
    /// Runs statements without parameters, whose rows are not needed.
    pub(super) async fn execute(&mut self, statements: String) -> Result<(), Error> {
        let running = self.start().execute(sqlx::raw_sql(AssertSqlSafe(statements)));
        let result = running.await.map(|_| ());
        self.answered(&result);
        result
    }

    /// Makes the drop close the connection, because it is in a transaction. A successful statement
    /// ends that.
    pub(super) fn hold(&mut self) {
        self.has_answered = false;
    }

    async fn rows(&mut self, query: PgQuery<'_>) -> Result<Vec<PgRow>, Error> {
        let result = query.fetch_all(self.start()).await;
        self.answered(&result);
        result
    }

    fn start(&mut self) -> &mut PgConnection {
        self.has_answered = false;
        self.connection.as_mut().expect("it is there until the drop")
    }

    fn answered<T>(&mut self, result: &Result<T, Error>) {
        self.has_answered = match result {
            Ok(_) => true,
            Err(error) => error.as_database_error().is_some() && !is_broken(error),
        };
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take_if(|_| !self.has_answered) {
            // Without a farewell, which would wait for the server.
            drop(connection.detach());
        }
    }
}

impl PostgresStore {
    /// Takes a connection from the pool. After a successful statement it goes back there.
    pub(super) async fn connection(&self) -> Result<Lease, StoreError> {
        self.lease().await.map_err(failed)
    }

    async fn lease(&self) -> Result<Lease, Error> {
        let connection = self.0.pool.acquire().await?;
        Ok(Lease { connection: Some(connection), has_answered: true })
    }

    /// Runs a statement, and returns its first row.
    pub(super) async fn first<'q>(
        &self,
        statement: &'q str,
        repeat: Repeat,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.rows(statement, repeat, bind).await?.into_iter().next())
    }

    /// Runs a statement that always returns a row, and returns that.
    pub(super) async fn one<'q>(
        &self,
        statement: &'q str,
        repeat: Repeat,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<PgRow, StoreError> {
        self.first(statement, repeat, bind).await?.ok_or_else(no_row)
    }

    /// Runs a statement, and returns its rows.
    pub(super) async fn rows<'q>(
        &self,
        statement: &'q str,
        repeat: Repeat,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.try_rows(statement, repeat, bind).await.map_err(failed)
    }

    /// Runs a statement. It repeats the statement if the server has rolled it back in favour of
    /// another one, or if that does no harm and the connection was broken.
    pub(super) async fn try_rows<'q>(
        &self,
        statement: &'q str,
        repeat: Repeat,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, Error> {
        // After a restart of the server, every connection that was idle in the pool is broken.
        let mut broken = 0..self.0.pool.options().get_max_connections();
        loop {
            let mut lease = self.lease().await?;
            match lease.rows(bind(sqlx::query(AssertSqlSafe(statement)))).await {
                Err(error) if is_rolled_back(&error) => {
                    drop(lease);
                    sleep(Duration::from_millis(1)).await;
                }
                Err(error)
                    if repeat == Repeat::Always && is_broken(&error) && broken.next().is_some() => {
                }
                result => return result,
            }
        }
    }
}

pub(super) fn no_row() -> StoreError {
    StoreError::internal("PostgreSQL returned no row for a statement that always has one")
}

/// The SQLSTATE of an error of the server.
pub(super) fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the server has undone the statement because of a concurrent one (serialization failure,
/// deadlock).
fn is_rolled_back(error: &Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether a new connection may do better: this one is cut, its server goes down, or its server is
/// the primary no longer.
fn is_broken(error: &Error) -> bool {
    match code(error) {
        Some(code) => code.starts_with("08") || code.starts_with("57P") || code == "25006",
        None => matches!(error, Error::Io(_) | Error::Protocol(_) | Error::Tls(_)),
    }
}

/// The error of a statement. Values are not in it, because those of rows are secrets.
pub(super) fn failed(error: Error) -> StoreError {
    let Some(code) = code(&error) else { return StoreError::unavailable(error) };
    // Connections, resources, operators, the system, and a server that takes no writes.
    let is_outage =
        ["08", "53", "57", "58", "25", "55"].iter().any(|class| code.starts_with(class));
    let message = format!("PostgreSQL refused the statement with the error {code}");
    match code.as_str() {
        MISSING_TABLE => StoreError::internal(
            "the session table is missing; call `ensure_schema` or add `schema` to the migrations",
        ),
        "42501" => StoreError::internal(
            "the role lacks a privilege; grant SELECT, INSERT, UPDATE and DELETE on the session \
             table, and SELECT on the table of its version",
        ),
        _ if is_outage => StoreError::unavailable(message),
        _ => StoreError::internal(message),
    }
}
