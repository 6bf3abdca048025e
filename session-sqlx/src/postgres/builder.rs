//! The settings of the store.

use std::{sync::Arc, time::Duration};

use actix_typed_session::Clock;
use sqlx::PgPool;

use super::{statements::Statements, store::PostgresStore};
use crate::config::{Settings, SqlConfigError, check_name};

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

    /// Sets the name of the table. Defaults to `actix_session`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.settings.table = name.into();
        self
    }

    /// Sets how long a call may take, with the wait for a connection. After that the store is
    /// unavailable, and the client gets a 503. Defaults to 5 seconds.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = limit;
        self
    }

    /// Sets how often expired sessions are deleted. Each pause is between half and one and a half
    /// times as long, so that processes do not clean up at the same time. `None`: never. Defaults
    /// to 15 minutes.
    ///
    /// The cleaning begins with the first call of the store, as a task of its runtime.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.settings.sweep_interval = interval;
        self
    }

    /// Sets the clock that decides what is expired. Defaults to the clock of the operating system
    /// of this process, so processes need clocks that agree.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

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
