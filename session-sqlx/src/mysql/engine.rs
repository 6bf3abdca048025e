//! MySQL as an engine: how its statements run, and what its errors mean.

use actix_typed_session::StoreError;
use sqlx::{
    AssertSqlSafe, Error, Executor as _, MySql,
    mysql::{MySqlDatabaseError, MySqlQueryResult, MySqlRow},
};

use super::{row::MySqlQuery, store::Inner};
use crate::client::{Engine, Repeat};

/// A row with the key exists.
pub(super) const DUPLICATE: u16 = 1062;
/// A sum is beyond its type.
pub(super) const OUT_OF_RANGE: u16 = 1690;
/// A table does not exist.
pub(super) const MISSING_TABLE: u16 = 1146;

impl Engine for MySql {
    const TITLE: &'static str = "MySQL";

    /// A deadlock, a row that has changed since a snapshot (MariaDB), or a statement that must be
    /// prepared again.
    fn is_rolled_back(error: &Error) -> bool {
        matches!(code(error), Some(1213 | 1020 | 1615))
    }

    fn is_broken(error: &Error) -> bool {
        match code(error) {
            // A server that ends or takes no writes, and a connection that it has ended.
            Some(code) => matches!(code, 1053 | 1152 | 1290 | 1792 | 1836 | 1927 | 3032 | 4031),
            None => matches!(error, Error::Io(_) | Error::Protocol(_) | Error::Tls(_)),
        }
    }

    fn failed(error: Error) -> StoreError {
        let Some(code) = code(&error) else { return StoreError::unavailable(error) };
        let message = format!("MySQL refused the statement with the error {code}");
        match code {
            MISSING_TABLE => StoreError::internal(
                "the session tables are missing; call `ensure_schema` or add `schema` to the \
                 migrations",
            ),
            1045 => StoreError::internal("MySQL does not accept the user or the password"),
            // Access is denied to the database, the table, a column.
            1044 | 1142 | 1143 | 1227 => StoreError::internal(
                "the user lacks a privilege; grant SELECT, INSERT, UPDATE and DELETE on the \
                 session table and on the one of its index, and SELECT on the table of its version",
            ),
            _ if Self::is_broken(&error) || is_outage(code) => StoreError::unavailable(message),
            _ => StoreError::internal(message),
        }
    }
}

/// Whether the server lacks something that may come back: connections, memory, disk, time or a
/// quorum.
fn is_outage(code: u16) -> bool {
    matches!(
        code,
        1021 | 1037 | 1038 | 1040 | 1041 | 1047 | 1114 | 1158
            ..=1161 | 1203 | 1205 | 1206 | 1226 | 1317 | 1969 | 3024
    )
}

/// The number of an error of the server.
pub(super) fn code(error: &Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

impl Inner {
    /// Runs a statement, and returns its rows.
    pub(super) async fn rows(
        &self,
        statement: &str,
        bind: impl Fn(MySqlQuery) -> MySqlQuery,
    ) -> Result<Vec<MySqlRow>, StoreError> {
        self.try_rows(statement, bind).await.map_err(MySql::failed)
    }

    pub(super) async fn try_rows(
        &self,
        statement: &str,
        bind: impl Fn(MySqlQuery) -> MySqlQuery,
    ) -> Result<Vec<MySqlRow>, Error> {
        let rows = self.client.run(Repeat::Always, |connection| {
            connection.fetch_all(bind(sqlx::query(AssertSqlSafe(statement))))
        });
        rows.await
    }

    /// Runs a statement that changes rows.
    pub(super) async fn change(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(MySqlQuery) -> MySqlQuery,
    ) -> Result<MySqlQueryResult, StoreError> {
        self.try_change(statement, repeat, bind).await.map_err(MySql::failed)
    }

    pub(super) async fn try_change(
        &self,
        statement: &str,
        repeat: Repeat,
        bind: impl Fn(MySqlQuery) -> MySqlQuery,
    ) -> Result<MySqlQueryResult, Error> {
        let done = self.client.run(repeat, |connection| {
            connection.execute(bind(sqlx::query(AssertSqlSafe(statement))))
        });
        done.await
    }
}
