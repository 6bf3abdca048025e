//! PostgreSQL as an engine: how its statements run, and what its errors mean.

use actix_typed_session::StoreError;
use sqlx::{AssertSqlSafe, Error, Executor as _, Postgres, postgres::PgRow};

use super::row::PgQuery;
use crate::client::{Client, Engine, Lease, Repeat};

/// The SQLSTATE of a table that does not exist.
pub(super) const MISSING_TABLE: &str = "42P01";

impl Engine for Postgres {
    const TITLE: &'static str = "PostgreSQL";

    /// A serialization failure, or a deadlock.
    fn is_rolled_back(error: &Error) -> bool {
        matches!(code(error).as_deref(), Some("40001" | "40P01"))
    }

    fn is_broken(error: &Error) -> bool {
        match code(error) {
            Some(code) => code.starts_with("08") || code.starts_with("57P") || code == "25006",
            None => matches!(error, Error::Io(_) | Error::Protocol(_) | Error::Tls(_)),
        }
    }

    fn failed(error: Error) -> StoreError {
        let Some(code) = code(&error) else { return StoreError::unavailable(error) };
        // Connections, resources, operators, the system, and a server that takes no writes.
        let is_outage =
            ["08", "53", "57", "58", "25", "55"].iter().any(|class| code.starts_with(class));
        let message = format!("PostgreSQL refused the statement with the error {code}");
        match code.as_str() {
            MISSING_TABLE => StoreError::internal(
                "the session table is missing; call `ensure_schema` or add `schema` to the \
                 migrations",
            ),
            "42501" => StoreError::internal(
                "the role lacks a privilege; grant SELECT, INSERT, UPDATE and DELETE on the \
                 session table, and SELECT on the table of its version",
            ),
            _ if is_outage => StoreError::unavailable(message),
            _ => StoreError::internal(message),
        }
    }
}

/// The SQLSTATE of an error of the server.
pub(super) fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

pub(super) fn no_row() -> StoreError {
    StoreError::internal("PostgreSQL returned no row for a statement that always has one")
}

/// Runs statements without parameters, whose rows are not needed.
pub(super) async fn run_all(
    lease: &mut Lease<Postgres>,
    statements: String,
) -> Result<(), StoreError> {
    let all = lease.run(|connection| connection.execute(sqlx::raw_sql(AssertSqlSafe(statements))));
    let done = all.await;
    if done.is_err() {
        // The transaction that they have begun is still open.
        lease.hold();
    }
    done.map(|_| ()).map_err(Postgres::failed)
}

impl Client<Postgres> {
    /// Runs a statement, and returns its first row.
    pub(super) async fn first(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(PgQuery) -> PgQuery,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.rows(statement, repeat, bind).await?.into_iter().next())
    }

    /// Runs a statement that always returns a row, and returns that.
    pub(super) async fn one(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(PgQuery) -> PgQuery,
    ) -> Result<PgRow, StoreError> {
        self.first(statement, repeat, bind).await?.ok_or_else(no_row)
    }

    /// Runs a statement, and returns its rows.
    pub(super) async fn rows(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(PgQuery) -> PgQuery,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.try_rows(statement, repeat, bind).await.map_err(Postgres::failed)
    }

    pub(super) async fn try_rows(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(PgQuery) -> PgQuery,
    ) -> Result<Vec<PgRow>, Error> {
        let rows = self.run(repeat, |connection| {
            connection.fetch_all(bind(sqlx::query(AssertSqlSafe(statement))))
        });
        rows.await
    }
}
