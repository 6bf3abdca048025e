//! The settings of the store.

use std::{sync::Arc, time::Duration};

use actix_typed_session::{Clock, SystemClock};
use sqlx::PgPool;

use super::{statements::Statements, store::PostgresStore};
use crate::config::{SqlConfigError, check_durations, check_name};

/// The settings of a [`PostgresStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct PostgresStoreBuilder {
    pool: PgPool,
    schema: Option<String>,
    table: String,
    time_limit: Duration,
    sweep_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl PostgresStoreBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            schema: None,
            table: "actix_session".into(),
            time_limit: Duration::from_secs(5),
            sweep_interval: Some(Duration::from_secs(15 * 60)),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the PostgreSQL schema of the table. It must exist. Defaults to the `search_path` of the
    /// connection.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Sets the name of the table. Defaults to `actix_session`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets how long a call may take, with the wait for a connection. After that the store is
    /// unavailable, and the client gets a 503. Defaults to 5 seconds.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets how often expired sessions are deleted. Each pause is between half and one and a half
    /// times as long, so that processes do not clean up at the same time. `None`: never. Defaults
    /// to 15 minutes.
    ///
    /// The cleaning begins with the first call of the store, as a task of its runtime.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// Sets the clock that decides what is expired. Defaults to the clock of the operating system
    /// of this process, so processes need clocks that agree.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the store. Nothing connects before the first call.
    ///
    /// # Errors
    /// A name is not valid, or a duration is zero.
    pub fn build(self) -> Result<PostgresStore, SqlConfigError> {
        self.schema.iter().chain([&self.table]).try_for_each(|name| check_name(name))?;
        check_durations(self.time_limit, self.sweep_interval)?;
        let statements = Statements::new(self.schema.as_deref(), &self.table);
        let (limit, interval) = (self.time_limit, self.sweep_interval);
        Ok(PostgresStore::build(self.pool, statements, self.clock, limit, interval))
    }
}
