//! Checks at the start that this process can use every folder of the store.
//!
//! A subfolder of another user would otherwise be found later: by the visitors whose sessions are
//! in it, and by them alone. The check looks at folders and locks, and not at session files.

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

use super::{
    access::{Access, SHARED_FILE, SHARED_FOLDER, share},
    damaged::DAMAGED_FOLDER,
    file_system::{failed, failed_at, names_in, not_a_folder, open_lock},
    folder::SessionFolder,
    index::INDEX_FOLDER,
    lock::{LOCK_FILE, SWEEP_LOCK_FILE},
    session_path::is_subfolder_name,
};
use crate::error::StoreError;

impl SessionFolder {
    /// Creates the folder if it is missing, and checks that this process can use all that is in
    /// it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.access
            .create_root(&self.path)
            .map_err(|error| match fs::symlink_metadata(&self.path) {
                Ok(_) if !self.path.is_dir() => not_a_folder(),
                _ => error,
            })
            .map_err(|error| failed("create the folder", &self.path, error))?;
        self.check_existing()
    }

    /// Checks a folder that may be missing, and creates nothing.
    pub(super) fn check_if_exists(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => self.check_existing(),
            Ok(_) => Err(failed("use the folder", &self.path, not_a_folder())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut above = self.path.ancestors().skip(1).filter(|path| path.exists());
                let above = above.next().unwrap_or(Path::new("."));
                check_permission(above)
                    .map_err(|error| failed_at("create the folder", &self.path, above, error))
            }
            Err(error) => Err(failed("use the folder", &self.path, error)),
        }
    }

    fn check_existing(&self) -> Result<(), StoreError> {
        self.check_folder(&self.path, true)?;
        self.check_lock(&self.path.join(SWEEP_LOCK_FILE))?;
        for name in names(&self.path)? {
            let path = self.path.join(&name);
            if is_subfolder_name(&name) {
                self.check_folder(&path, true)?;
                self.check_lock(&path.join(LOCK_FILE))?;
            } else if name == DAMAGED_FOLDER && path.is_dir() {
                self.check_folder(&path, true)?;
            }
        }
        self.check_index(&self.path.join(INDEX_FOLDER))
    }

    fn check_index(&self, index: &Path) -> Result<(), StoreError> {
        match fs::symlink_metadata(index) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => self.check_folder(index, true)?,
        }
        for first in names(index)?.iter().filter(|name| is_subfolder_name(name)) {
            let first = index.join(first);
            self.check_folder(&first, true)?;
            self.check_lock(&first.join(LOCK_FILE))?;
            // There may be one per user, so this does not write to them.
            for rest in names(&first)?.iter().filter(|name| !name.starts_with('.')) {
                self.check_folder(&first.join(rest), false)?;
            }
        }
        Ok(())
    }

    /// Checks that files can be created in a folder. `thorough`: creates one.
    fn check_folder(&self, path: &Path, thorough: bool) -> Result<(), StoreError> {
        let failed = |action| {
            // The name of a folder in the index is a hash of a value.
            let shown = if thorough { path } else { path.parent().unwrap_or(path) };
            move |error| failed_at(action, shown, path, error)
        };
        let is_root = path == self.path;
        let metadata = match if is_root { fs::metadata(path) } else { fs::symlink_metadata(path) } {
            // Another process has deleted the last entry of this value meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !thorough => return Ok(()),
            metadata => metadata.map_err(failed("use the folder"))?,
        };
        if !metadata.is_dir() {
            return Err(failed("use the folder")(not_a_folder()));
        }
        match self.access {
            Access::Group => {
                self.share_folder(path, &metadata).map_err(failed("share the folder"))?
            }
            Access::Owner if !is_root && is_shared_by_another(&metadata) => {
                return Err(failed("use the folder")(io::Error::other(
                    "it belongs to another user, who shares it with the group; \
                     set `share_with_group(true)` in this process too",
                )));
            }
            Access::Owner => {}
        }
        let checked = match thorough {
            true => self.access.temporary_file(path).map(drop),
            false if is_own(&metadata) => Ok(()),
            false => check_permission(path),
        };
        checked.map_err(failed("write to the folder"))
    }

    /// Gives the group of the store's folder a folder that does not have the mode yet, because it
    /// was created before the setting, or by hand.
    fn share_folder(&self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;

            let group = fs::metadata(&self.path)?.gid();
            let is_shared = metadata.gid() == group && metadata.mode() & 0o070 == 0o070;
            if is_shared {
                return Ok(());
            }
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                // Other files may be in the store's folder.
                let is_ours = path != self.path || entry.file_name() == SWEEP_LOCK_FILE;
                // Another call may have deleted it meanwhile.
                let Ok(metadata) = entry.metadata() else { continue };
                if is_ours && metadata.is_file() && is_of_this_user(&metadata) {
                    share(&entry.path(), group, SHARED_FILE)?;
                }
            }
            share(path, group, SHARED_FOLDER)?;
        }
        #[cfg(not(unix))]
        let _ = (path, metadata, SHARED_FILE, SHARED_FOLDER, share);
        Ok(())
    }

    fn check_lock(&self, path: &Path) -> Result<(), StoreError> {
        match open_lock(path, false) {
            Ok(lock) => {
                self.share_lock(path, &lock).map_err(|error| failed("share the lock", path, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("open the lock", path, error)),
        }
    }

    fn share_lock(&self, path: &Path, lock: &File) -> io::Result<()> {
        #[cfg(unix)]
        if self.access == Access::Group {
            use std::os::unix::fs::MetadataExt as _;

            let (metadata, group) = (lock.metadata()?, fs::metadata(&self.path)?.gid());
            if metadata.gid() != group || metadata.mode() & 0o060 != 0o060 {
                return share(path, group, SHARED_FILE);
            }
        }
        #[cfg(not(unix))]
        let _ = (path, lock);
        Ok(())
    }
}

fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    names_in(folder).map_err(|error| failed("read the folder", folder, error))
}

/// Whether this user owns a file or folder.
fn is_of_this_user(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::uid(metadata) == rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    return metadata.is_dir() || metadata.is_file();
}

/// Whether the mode lets this user, its owner, use a folder.
fn is_own(metadata: &Metadata) -> bool {
    is_of_this_user(metadata) && mode(metadata) & 0o700 == 0o700
}

/// Whether a folder is another user's, who shares it with a group.
fn is_shared_by_another(metadata: &Metadata) -> bool {
    !is_of_this_user(metadata) && mode(metadata) & 0o070 == 0o070
}

fn mode(metadata: &Metadata) -> u32 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::mode(metadata);
    #[cfg(not(unix))]
    return if metadata.permissions().readonly() { 0o500 } else { 0o700 };
}

/// Asks the system whether this process may create files in a folder.
fn check_permission(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::Access;
        let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(path, all)?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
