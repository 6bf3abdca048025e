//! The settings of the store.

use std::path::{Path, PathBuf};

use super::store::SqliteStore;
use crate::config::{Settings, SqlConfigError, setters};

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

    setters!();

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
