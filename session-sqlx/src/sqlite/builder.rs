//! The settings of the store.

use std::path::{Path, PathBuf};

use super::store::SqliteStore;
use crate::config::{Settings, SqlConfigError, setters};

/// The settings of a [`SqliteStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    settings: Settings,
    must_exist: bool,
}

impl SqliteStoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), settings: Settings::default(), must_exist: false }
    }

    /// Sets whether a missing file is an error, such as in a tool that looks at the sessions of a
    /// site. With `true`, neither the file nor the tables are made. Defaults to `false`.
    pub fn must_exist(mut self, must_exist: bool) -> Self {
        self.must_exist = must_exist;
        self
    }

    setters!();

    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// A name is not valid, a duration is zero, or the file cannot be used. With
    /// [`must_exist`](Self::must_exist): the file or its tables are missing.
    pub fn build(self) -> Result<SqliteStore, SqlConfigError> {
        self.settings.check()?;
        let path = self.path;
        SqliteStore::open(&path, self.settings, self.must_exist)
            .map_err(|source| SqlConfigError::File { path, source })
    }
}
