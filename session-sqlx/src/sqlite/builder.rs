//! The settings of the store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix_typed_session::Clock;

use super::store::SqliteStore;
use crate::config::{Settings, SqlConfigError};

/// The settings of a [`SqliteStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    settings: Settings,
}

impl SqliteStoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), settings: Settings::default() }
    }

    /// Sets the name of the table, if the file has other tables too. Defaults to `actix_session`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.settings.table = name.into();
        self
    }

    /// Sets how long a call may take, with the wait for other processes that write. After that the
    /// store is unavailable, and the client gets a 503. Defaults to 5 seconds.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = limit;
        self
    }

    /// Sets how often expired sessions are deleted. Each pause is between half and one and a half
    /// times as long, so that processes do not clean up at the same time. `None`: never. Defaults
    /// to 15 minutes.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.settings.sweep_interval = interval;
        self
    }

    /// Sets the clock that decides what is expired. Defaults to the clock of the operating system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// A name is not valid, a duration is zero, or the file cannot be used.
    pub fn build(self) -> Result<SqliteStore, SqlConfigError> {
        self.settings.check()?;
        let path = self.path;
        SqliteStore::open(&path, self.settings)
            .map_err(|source| SqlConfigError::File { path, source })
    }
}
