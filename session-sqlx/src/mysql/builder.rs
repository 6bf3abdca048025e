//! The settings of the store.

use sqlx::MySqlPool;

use super::{statements::Statements, store::MySqlStore};
use crate::config::{Settings, SqlConfigError, check_name, setters};

/// The settings of a [`MySqlStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct MySqlStoreBuilder {
    pool: MySqlPool,
    database: Option<String>,
    settings: Settings,
}

impl MySqlStoreBuilder {
    pub(super) fn new(pool: MySqlPool) -> Self {
        Self { pool, database: None, settings: Settings::default() }
    }

    /// Sets the database of the tables. It must exist. Defaults to the one of the pool's URL.
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    setters!();

    /// Builds the store. Nothing connects before the first call.
    ///
    /// # Errors
    /// A name is not valid, or a duration is zero.
    pub fn build(self) -> Result<MySqlStore, SqlConfigError> {
        self.database.iter().try_for_each(|name| check_name(name))?;
        self.settings.check()?;
        let statements = Statements::new(self.database.as_deref(), &self.settings.table);
        Ok(MySqlStore::build(self.pool, statements, self.settings))
    }
}
