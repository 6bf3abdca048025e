//! Sessions of another program in the files of a folder.

use std::{fmt, path::PathBuf};

use super::{
    files::{blocking, delete_file, is_part_of_file_name, read_file},
    foreign::ForeignId,
    stores::ForeignStore,
};
use crate::error::StoreError;

/// Files in a folder, each called as its session's id and with an extension. The module
/// `session-file-store` of Express keeps sessions so.
///
/// # Examples
/// ```
/// use actix_typed_session::import::{ExpressSession, ForeignFiles};
///
/// let old = ExpressSession::new(ForeignFiles::new("sessions"), ["the secret"]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ForeignFiles {
    folder: PathBuf,
    extension: String,
}

impl ForeignFiles {
    /// The files in a folder, with the extension `.json`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), extension: ".json".to_owned() }
    }

    /// Sets what the names of files end with: the option `fileExtension`. Defaults to `.json`.
    ///
    /// Example: `.extension(".sess")`.
    #[must_use = "it returns the store"]
    pub fn extension(self, extension: impl Into<String>) -> Self {
        Self { extension: extension.into(), ..self }
    }

    fn path(&self, id: &ForeignId) -> Option<PathBuf> {
        let is_safe = is_part_of_file_name(id.as_str());
        is_safe.then(|| self.folder.join(format!("{}{}", id.as_str(), self.extension)))
    }
}

impl ForeignStore for ForeignFiles {
    async fn load(&self, id: &ForeignId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(path) = self.path(id) else { return Ok(None) };
        blocking(move || read_file(&path)).await
    }

    async fn delete(&self, id: &ForeignId) -> Result<(), StoreError> {
        let Some(path) = self.path(id) else { return Ok(()) };
        blocking(move || delete_file(&path)).await
    }
}

impl fmt::Debug for ForeignFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignFiles").field("folder", &self.folder).finish_non_exhaustive()
    }
}
