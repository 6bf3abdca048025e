//! Files and folders, opened and created so that planted links and pipes do no harm.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::owner::Owner;
use crate::{error::StoreError, time::Timestamp};

/// Temporary files begin with this. The sweep deletes those that killed processes left behind.
pub(super) const TEMPORARY_PREFIX: &str = ".new-";

/// A file or folder could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`{owner}", .path.display())]
struct FileError {
    action: &'static str,
    path: PathBuf,
    owner: Owner,
    #[source]
    source: io::Error,
}

/// The store's error for an action on a file or folder that failed.
pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    failed_at(action, path, path, source)
}

/// The store's error for an action on a file or folder that failed because of another one.
pub(super) fn failed_at(
    action: &'static str,
    path: &Path,
    culprit: &Path,
    source: io::Error,
) -> StoreError {
    let owner = match source.kind() {
        io::ErrorKind::PermissionDenied => Owner::of(culprit),
        _ => Owner::default(),
    };
    StoreError::unavailable(FileError { action, path: path.to_owned(), owner, source })
}

/// The error for a link or a file in the place of a folder. A link could lead out of the store.
pub(super) fn not_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder")
}

/// The names of what is in a folder, except those that are not UTF-8.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // Other systems cannot open a folder, and sync it themselves.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// What an existing file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    /// A read that fails if the file can only be opened by waiting for a disk.
    ReadAtOnce,
    Write,
}

/// Opens an existing file with one system call.
///
/// # Errors
/// `NotFound`: the file or its folder is missing. Any other error may be due to this way of opening
/// it: the system may lack it, or the path may lead through a symbolic link.
#[cfg(target_os = "linux")]
pub(super) fn open_directly(path: &Path, purpose: Purpose) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    // A read must not write the time of the last access. That time is always before the
    // modification time, which is in the future, so the system would write it each time.
    let read = OFlags::RDONLY | OFlags::NOATIME;
    let (access, resolve) = match purpose {
        Purpose::Read => (read, ResolveFlags::empty()),
        Purpose::ReadAtOnce => (read, ResolveFlags::CACHED),
        Purpose::Write => (OFlags::WRONLY, ResolveFlags::empty()),
    };
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(openat2(CWD, path, flags, Mode::empty(), resolve | ResolveFlags::NO_SYMLINKS)?.into())
}

/// Opens an existing file with one system call, which this system lacks.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_directly(_: &Path, _: Purpose) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Opens a session's file for reading. Fails for a symbolic link.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Windows sets the time of a file only if it is open for writing.
    options.read(true).write(cfg!(windows));
    do_not_follow_or_wait(&mut options);
    options.open(path)
}

/// Opens the file of a lock. `create`: creates it for its owner only if it is missing.
pub(super) fn open_lock(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(create).truncate(false).write(true);
    do_not_follow_or_wait(&mut options);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes `open` fail for a symbolic link, and not wait for the other end of a pipe.
fn do_not_follow_or_wait(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// The modification time for an expiry. File systems limit the year, so a later expiry becomes the
/// year 2106.
pub(super) fn to_system_time(timestamp: Timestamp) -> SystemTime {
    const LATEST: Duration = Duration::from_secs(u32::MAX as u64 - 1);
    UNIX_EPOCH + Duration::from_millis(timestamp.as_unix_ms()).min(LATEST)
}
