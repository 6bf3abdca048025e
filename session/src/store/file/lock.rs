//! Locks that exclude other threads and other processes.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use super::{
    access::Access,
    file_system::{Purpose, not_a_folder, open_directly, open_lock},
};

/// The name of a subfolder's lock.
pub(super) const LOCK_FILE: &str = ".lock";
/// The name of the sweep's lock, in the store's folder.
pub(super) const SWEEP_LOCK_FILE: &str = ".sweep";

/// A lock on a file. It is released when the file is closed, also when the process is killed.
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock of an existing subfolder.
    pub(super) fn of_subfolder(subfolder: &Path, access: Access) -> io::Result<Self> {
        let path = subfolder.join(LOCK_FILE);
        let file = match open_directly(&path, Purpose::Write) {
            Ok(file) => file,
            Err(_) if !fs::symlink_metadata(subfolder)?.is_dir() => return Err(not_a_folder()),
            Err(_) => access.open_lock(&path)?,
        };
        Self::wait_for(file)
    }

    /// Waits for the lock of an existing subfolder, and creates no file for it. `None`: it has
    /// none, or this process may not use it.
    pub(super) fn of_subfolder_if_there_is_one(subfolder: &Path) -> io::Result<Option<Self>> {
        if !fs::symlink_metadata(subfolder)?.is_dir() {
            return Err(not_a_folder());
        }
        let file = open_lock(&subfolder.join(LOCK_FILE), false).ok();
        file.map(Self::wait_for).transpose()
    }

    fn wait_for(file: File) -> io::Result<Self> {
        // A signal may interrupt the wait.
        while let Err(error) = file.lock() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(Self { _file: file })
    }

    /// Locks an open file; `None` if another thread or process has the lock.
    pub(super) fn try_lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
