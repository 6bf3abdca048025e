//! Where a session's file is.

use std::path::{Path, PathBuf};

use crate::id::StoreKey;

/// The place of a session's file.
pub(super) struct SessionPath {
    pub(super) key: StoreKey,
    pub(super) subfolder: PathBuf,
    pub(super) file: PathBuf,
}

impl SessionPath {
    pub(super) fn new(folder: &Path, key: &StoreKey) -> Self {
        let name = key.to_hex();
        let subfolder = folder.join(&name[..2]);
        let file = subfolder.join(&name[2..]);
        Self { key: *key, subfolder, file }
    }
}

/// Whether a name in the store's folder is that of a subfolder with sessions.
pub(super) fn is_subfolder_name(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
