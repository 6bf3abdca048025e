//! The settings of the store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix_typed_session::{Clock, SystemClock};

use super::store::SqliteStore;
use crate::config::{SqlConfigError, check_durations, check_name};

/// The settings of a [`SqliteStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    table: String,
    time_limit: Duration,
    sweep_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl SqliteStoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            table: "actix_session".into(),
            time_limit: Duration::from_secs(5),
            sweep_interval: Some(Duration::from_secs(15 * 60)),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the name of the table, if the file has other tables too. Defaults to `actix_session`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets how long a call may take, with the wait for other processes that write. After that the
    /// store is unavailable, and the client gets a 503. Defaults to 5 seconds.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets how often expired sessions are deleted. Each pause is between half and one and a half
    /// times as long, so that processes do not clean up at the same time. `None`: never. Defaults
    /// to 15 minutes.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// Sets the clock that decides what is expired. Defaults to the clock of the operating system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// A name is not valid, a duration is zero, or the file cannot be used.
    pub fn build(self) -> Result<SqliteStore, SqlConfigError> {
        check_name(&self.table)?;
        check_durations(self.time_limit, self.sweep_interval)?;
        let path = self.path;
        SqliteStore::open(&path, &self.table, self.clock, self.time_limit, self.sweep_interval)
            .map_err(|source| SqlConfigError::File { path, source })
    }
}
