//! What the settings of all stores have in common.

use std::{sync::Arc, time::Duration};

use actix_typed_session::{Clock, StoreError, SystemClock};

/// A setting of a store is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlConfigError {
    /// The name of the schema, the database or the table.
    #[error(
        "`{0}` is not a valid name; use 1 to 40 lower-case letters, digits and `_`, \
         and begin with a letter"
    )]
    Name(String),
    /// A duration is zero.
    #[error("`{0}` is zero; set a duration of at least 1 ms")]
    ZeroDuration(&'static str),
    /// The file of a [`SqliteStore`](crate::SqliteStore) cannot be used.
    #[cfg(feature = "sqlite")]
    #[error("`{}` cannot be used as the file of the sessions", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why it cannot be used.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The settings that all stores have.
pub(crate) struct Settings {
    pub(crate) table: String,
    /// How long a call may take.
    pub(crate) time_limit: Duration,
    /// `None`: expired sessions are not deleted.
    pub(crate) sweep_interval: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            table: "actix_session".into(),
            time_limit: Duration::from_secs(5),
            sweep_interval: Some(Duration::from_secs(15 * 60)),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SqlConfigError> {
        check_name(&self.table)?;
        if self.time_limit.is_zero() {
            return Err(SqlConfigError::ZeroDuration("time_limit"));
        }
        if self.sweep_interval.is_some_and(|interval| interval.is_zero()) {
            return Err(SqlConfigError::ZeroDuration("sweep_interval"));
        }
        Ok(())
    }

    /// The pause before the next clean-up: between half and one and a half intervals.
    pub(crate) fn sweep_pause(&self) -> Option<Duration> {
        Some(self.sweep_interval?.mul_f64(rand::random_range(0.5..1.5)))
    }
}

/// The setters of a builder with a field `settings: Settings`.
macro_rules! setters {
    () => {
        /// Sets the name of the table. Defaults to `actix_session`. Other tables of the store have
        /// names that begin with it.
        pub fn table(mut self, name: impl Into<String>) -> Self {
            self.settings.table = name.into();
            self
        }

        /// Sets how long a call may take, with the wait for a connection or for others that write.
        /// After that the store is unavailable, and the client gets a 503. Defaults to 5 seconds.
        pub fn time_limit(mut self, limit: std::time::Duration) -> Self {
            self.settings.time_limit = limit;
            self
        }

        /// Sets how often expired sessions are deleted. Each pause is between half and one and a
        /// half times as long, so that processes do not clean up at the same time. `None`: never.
        /// Defaults to 15 minutes.
        ///
        /// The cleaning begins with the first call of the store.
        pub fn sweep_interval(mut self, interval: Option<std::time::Duration>) -> Self {
            self.settings.sweep_interval = interval;
            self
        }

        /// Sets the clock that decides what is expired. Defaults to the clock of the operating
        /// system of this process, so processes need clocks that agree.
        pub fn clock(mut self, clock: impl actix_typed_session::Clock) -> Self {
            self.settings.clock = std::sync::Arc::new(clock);
            self
        }
    };
}
pub(crate) use setters;

/// Accepts a version of the schema that this release knows.
pub(crate) fn check_version(version: i64, known: i64) -> Result<(), StoreError> {
    if version <= known {
        return Ok(());
    }
    Err(StoreError::internal(format!(
        "the session table has version {version} of the schema, and this release knows {known}; \
         run the release that made it"
    )))
}

/// Accepts names that need no quotes in any database.
pub(crate) fn check_name(name: &str) -> Result<(), SqlConfigError> {
    let is_valid = (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_valid { Ok(()) } else { Err(SqlConfigError::Name(name.to_owned())) }
}
