//! Sessions that the module `connect-pg-simple` of Express keeps in PostgreSQL.

use std::{fmt, sync::Arc};

use actix_typed_session::{
    StoreError,
    import::{ForeignId, ForeignStore},
};
use sqlx::{Error, PgPool, Postgres, Row as _};

use super::engine::{MISSING_TABLE, code};
use crate::{
    client::{Client, Engine as _, Repeat},
    config::Settings,
};

/// The table in which the module `connect-pg-simple` of Express keeps sessions, to take them over
/// with [`ExpressSession`](actix_typed_session::import::ExpressSession). Needs the feature
/// `import-express-session`.
///
/// The role needs `SELECT` and `DELETE` on the table. A call takes 5 seconds at most.
///
/// # Examples
/// ```
/// use actix_typed_session::{Session, SessionMiddleware, import::ExpressSession};
/// use actix_typed_session_sqlx::{ForeignPostgres, PostgresStore};
/// use sqlx::postgres::PgPoolOptions;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPoolOptions::new().connect_lazy("postgres://localhost/shop")?;
/// let old = ExpressSession::new(ForeignPostgres::new(pool.clone()), ["the secret"]);
/// let sessions = SessionMiddleware::builder(PostgresStore::new(pool)).import(old).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ForeignPostgres {
    client: Arc<Client<Postgres>>,
    schema: Option<String>,
    table: String,
    time_zone: String,
}

impl ForeignPostgres {
    /// The table `session`, which is the module's default.
    pub fn new(pool: PgPool) -> Self {
        Self {
            client: Arc::new(Client::new(pool, Settings::default())),
            schema: None,
            table: "session".to_owned(),
            time_zone: "UTC".to_owned(),
        }
    }

    /// Sets the name of the table: the module's option `tableName`. Defaults to `session`.
    ///
    /// Example: `.table("user_sessions")`.
    #[must_use = "it returns the store"]
    pub fn table(self, name: impl Into<String>) -> Self {
        Self { table: name.into(), ..self }
    }

    /// Sets the schema of the table: the module's option `schemaName`. Defaults to the
    /// `search_path` of the connection.
    ///
    /// Example: `.schema("auth")`.
    #[must_use = "it returns the store"]
    pub fn schema(self, name: impl Into<String>) -> Self {
        Self { schema: Some(name.into()), ..self }
    }

    /// Sets the time zone of the connections of the old program, because the module stores times
    /// without one. It is what `SHOW timezone` answers there. Defaults to `UTC`.
    ///
    /// Example: `.time_zone("Europe/Berlin")`.
    #[must_use = "it returns the store"]
    pub fn time_zone(self, name: impl Into<String>) -> Self {
        Self { time_zone: name.into(), ..self }
    }

    /// The name of the table in a statement.
    fn table_name(&self) -> String {
        let names = self.schema.iter().chain([&self.table]);
        names.map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
    }
}

impl ForeignStore for ForeignPostgres {
    async fn load(&self, id: &ForeignId) -> Result<Option<Vec<u8>>, StoreError> {
        let load = format!(
            "SELECT sess::text FROM {} WHERE sid = $1 \
             AND expire::timestamp AT TIME ZONE $2 > to_timestamp($3::float8 / 1000)",
            self.table_name()
        );
        let now = self.client.now_ms();
        let rows = self.client.try_rows(&load, Repeat::Always, |query| {
            query.bind(id.as_str().to_owned()).bind(self.time_zone.clone()).bind(now)
        });
        let rows = self.client.within(async { rows.await.map_err(failed) }).await?;
        let json = rows.first().map(|row| row.try_get::<String, _>(0).map_err(StoreError::damaged));
        Ok(json.transpose()?.map(String::into_bytes))
    }

    async fn delete(&self, id: &ForeignId) -> Result<(), StoreError> {
        let delete = format!("DELETE FROM {} WHERE sid = $1", self.table_name());
        let rows = self
            .client
            .try_rows(&delete, Repeat::Always, |query| query.bind(id.as_str().to_owned()));
        self.client.within(async { rows.await.map_err(failed) }).await.map(drop)
    }
}

/// The error of a statement on the table of another program.
fn failed(error: Error) -> StoreError {
    match code(&error).as_deref() {
        Some(MISSING_TABLE) => StoreError::internal(
            "the table of connect-pg-simple is missing; name it with `table` and `schema`",
        ),
        Some("42501") => StoreError::internal(
            "the role lacks a privilege; grant SELECT and DELETE on the table of connect-pg-simple",
        ),
        Some("22023") => StoreError::internal(
            "the time zone is not valid; use a name that `SHOW timezone` answers",
        ),
        _ => Postgres::failed(error),
    }
}

impl fmt::Debug for ForeignPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignPostgres")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .field("time_zone", &self.time_zone)
            .finish_non_exhaustive()
    }
}
