//! Who owns a file or folder, for errors about missing permissions.

use std::{fmt, fs, path::Path};

/// The owner of a file or folder that this process may not use, and the user of this process.
///
/// Empty: it has nothing to do with the owner.
#[derive(Debug, Default)]
pub(super) struct Owner(String);

impl Owner {
    /// The owner of what is in this place, or else of the folder above it that exists.
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        let mut existing = path.ancestors().filter_map(|path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            Some((path, fs::symlink_metadata(path).ok()?))
        });
        let Some((path, metadata)) = existing.next() else { return Self::default() };
        Self(format!(
            ", because `{}` has the owner {}, the group {} and the mode {:o}, and this process has \
             the user id {} and the group id {}; make this user the owner with `chown -R`, or let \
             the users share the folder with `share_with_group(true)` (see `FileStoreBuilder`)",
            path.display(),
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777,
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ))
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Self {
        Self::default()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
