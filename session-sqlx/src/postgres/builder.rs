//! The settings of the store.

use sqlx::PgPool;

use super::{statements::Statements, store::PostgresStore};
use crate::config::{Settings, SqlConfigError, check_name, setters};

/// The settings of a [`PostgresStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct PostgresStoreBuilder {
    pool: PgPool,
    schema: Option<String>,
    settings: Settings,
}

impl PostgresStoreBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, schema: None, settings: Settings::default() }
    }

    /// Sets the PostgreSQL schema of the table. It must exist. Defaults to the `search_path` of the
    /// connection.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    setters!();

    /// Builds the store. Nothing connects before the first call.
    ///
    /// # Errors
    /// A name is not valid, or a duration is zero.
    pub fn build(self) -> Result<PostgresStore, SqlConfigError> {
        self.schema.iter().try_for_each(|name| check_name(name))?;
        self.settings.check()?;
        let statements = Statements::new(self.schema.as_deref(), &self.settings.table);
        Ok(PostgresStore::build(self.pool, statements, self.settings))
    }
}
