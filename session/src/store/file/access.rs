//! Which users may use the store's files and folders.

use std::{
    fs::{self, DirBuilder, File},
    io,
    path::Path,
};

use tempfile::{NamedTempFile, TempDir};

use super::file_system::{TEMPORARY_PREFIX, open_lock};

/// Which users may use the store's files and folders.
///
/// What is shared is created under another name, and renamed once its mode is right. So another
/// process never finds it with the mode that the umask gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Access {
    /// Their owner: files have the mode 0600, folders 0700.
    #[default]
    Owner,
    /// The group of the store's folder too: files have the mode 0660. Folders have the mode 2770,
    /// so that what is created in them gets their group.
    Group,
}

/// How often to create a folder.
const ATTEMPTS: usize = 3;

/// The modes of shared files and folders.
pub(super) const SHARED_FILE: u32 = 0o660;
pub(super) const SHARED_FOLDER: u32 = 0o2770;

impl Access {
    /// Creates the store's folder, and the folders above it. Existing ones keep their modes.
    pub(super) fn create_root(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Owner => create_own_folder(path),
            Self::Group => create_shared_folder(path, false),
        }
    }

    /// Creates a folder of the store, and the missing folders above it.
    pub(super) fn create_folder(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Owner => create_own_folder(path),
            Self::Group => create_shared_folder(path, true),
        }
    }

    /// Opens the file of a lock, and creates it if it is missing.
    pub(super) fn open_lock(self, path: &Path) -> io::Result<File> {
        if self == Self::Owner {
            return open_lock(path, true);
        }
        match open_lock(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().expect("a lock lies in a folder");
                let new = self.temporary_file(folder)?;
                match new.persist_noclobber(path) {
                    Ok(file) => Ok(file),
                    // Another process has created it meanwhile.
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                        open_lock(path, false)
                    }
                    Err(error) => Err(error.error),
                }
            }
            opened => opened,
        }
    }

    /// Creates a file in a folder, which is renamed later, or else deleted.
    pub(super) fn temporary_file(self, folder: &Path) -> io::Result<NamedTempFile> {
        let file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
        match self {
            Self::Owner => {}
            Self::Group => share_file(file.as_file(), group(folder)?)?,
        }
        Ok(file)
    }

    /// Creates a folder in a folder, which is deleted unless it is kept.
    pub(super) fn temporary_folder(self, prefix: &str, folder: &Path) -> io::Result<TempDir> {
        let new = tempfile::Builder::new().prefix(prefix).tempdir_in(folder)?;
        match self {
            Self::Owner => {}
            Self::Group => share(new.path(), group(folder)?, SHARED_FOLDER)?,
        }
        Ok(new)
    }
}

/// Creates a folder that only its owner can use, and the missing folders above it.
fn create_own_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// `in_store`: the folder gets the group of the folder above it.
fn create_shared_folder(path: &Path, in_store: bool) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if !parent.is_dir() {
        create_shared_folder(parent, in_store)?;
    }
    // The sweep of another process may delete the new folder before it is renamed.
    for _ in 1..ATTEMPTS {
        match create_shared_folder_in(parent, path, in_store) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent.is_dir() => {}
            created => return created,
        }
    }
    create_shared_folder_in(parent, path, in_store)
}

fn create_shared_folder_in(parent: &Path, path: &Path, in_store: bool) -> io::Result<()> {
    let new = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir_in(parent)?;
    let group_of = if in_store { parent } else { new.path() };
    share(new.path(), group(group_of)?, SHARED_FOLDER)?;
    match fs::rename(new.path(), path) {
        Ok(()) => {
            // It has another name now, so there is nothing to delete.
            let _ = new.keep();
            Ok(())
        }
        Err(_) if path.is_dir() => Ok(()),
        // Another call has created it meanwhile, and has deleted it again.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(io::ErrorKind::AlreadyExists.into())
        }
        Err(error) => Err(error),
    }
}

/// The group of a file or folder.
fn group(path: &Path) -> io::Result<u32> {
    #[cfg(unix)]
    return Ok(std::os::unix::fs::MetadataExt::gid(&fs::metadata(path)?));
    #[cfg(not(unix))]
    return fs::metadata(path).map(|_| 0);
}

/// Gives a new file to a group. The umask has no effect on the mode.
fn share_file(file: &File, group: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

        if file.metadata()?.gid() != group {
            fchown(file, None, Some(group))?;
        }
        file.set_permissions(fs::Permissions::from_mode(SHARED_FILE))?;
    }
    #[cfg(not(unix))]
    let _ = (file, group, SHARED_FILE);
    Ok(())
}

/// Gives a file or folder of this process to a group. The umask has no effect on the mode.
pub(super) fn share(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

        if fs::symlink_metadata(path)?.gid() != group {
            chown(path, None, Some(group))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = (path, group, mode);
    Ok(())
}
