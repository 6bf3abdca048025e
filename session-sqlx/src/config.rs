//! What the settings of all stores have in common.

use std::time::Duration;

/// A setting of a store is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlConfigError {
    /// The name of the schema or of the table.
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

/// Accepts names that need no quotes in any database.
pub(crate) fn check_name(name: &str) -> Result<(), SqlConfigError> {
    let is_valid = (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_valid { Ok(()) } else { Err(SqlConfigError::Name(name.to_owned())) }
}

pub(crate) fn check_durations(
    time_limit: Duration,
    sweep_interval: Option<Duration>,
) -> Result<(), SqlConfigError> {
    if time_limit.is_zero() {
        return Err(SqlConfigError::ZeroDuration("time_limit"));
    }
    if sweep_interval.is_some_and(|interval| interval.is_zero()) {
        return Err(SqlConfigError::ZeroDuration("sweep_interval"));
    }
    Ok(())
}
