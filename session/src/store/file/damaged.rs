//! Files that are not valid sessions: moved to the folder `damaged`, and reported once.

use std::{
    collections::HashSet,
    fmt, fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use super::{access::Access, file_system::not_a_folder, session_path::SessionPath};
use crate::{
    error::{BoxError, Chain, StoreError},
    id::StoreKey,
};

/// The most damaged files that are remembered.
const MOST_REPORTED: usize = 1_000;

/// The name of the folder of damaged files, in the store's folder.
pub(super) const DAMAGED_FOLDER: &str = "damaged";

/// Keeps damaged files for an administrator.
pub(super) struct DamagedFiles {
    /// The folder `damaged`.
    folder: PathBuf,
    /// Files that could not be moved. Each of them is reported once.
    reported: Mutex<HashSet<StoreKey>>,
}

impl DamagedFiles {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, reported: Mutex::default() }
    }

    /// Moves a damaged file to the folder `damaged`. Returns the error to report; `None` if it was
    /// reported before. The caller has the lock of the subfolder.
    pub(super) fn set_aside(
        &self,
        path: &SessionPath,
        access: Access,
        cause: BoxError,
    ) -> Option<StoreError> {
        match self.move_aside(path, access) {
            Ok(kept) => {
                let folder = path.subfolder.clone();
                let error = DamagedFileError { folder, kept: Ok(kept), cause };
                Some(StoreError::damaged(error))
            }
            Err(error) => self.leave_in_place(path, cause, error.into()),
        }
    }

    fn move_aside(&self, path: &SessionPath, access: Access) -> io::Result<PathBuf> {
        access.create_folder(&self.folder)?;
        if !fs::symlink_metadata(&self.folder)?.is_dir() {
            return Err(not_a_folder());
        }
        // Each file gets a new folder, so that it overwrites no other.
        let folder = access.temporary_folder("session-", &self.folder)?;
        fs::rename(&path.file, folder.path().join("file"))?;
        Ok(folder.keep())
    }

    /// Returns the error for a damaged file that cannot be moved; `None` if it was reported before.
    pub(super) fn leave_in_place(
        &self,
        path: &SessionPath,
        cause: BoxError,
        why: BoxError,
    ) -> Option<StoreError> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MOST_REPORTED {
            reported.clear();
        }
        let folder = path.subfolder.clone();
        reported
            .insert(path.key)
            .then(|| StoreError::damaged(DamagedFileError { folder, kept: Err(why), cause }))
    }

    /// Returns the error for a damaged file that stays where it is, because the store is for
    /// reading only.
    pub(super) fn untouched(&self, path: &SessionPath, cause: BoxError) -> StoreError {
        StoreError::damaged(DamagedFileError {
            folder: path.subfolder.clone(),
            kept: Err("the store is open for reading only".into()),
            cause,
        })
    }
}

/// A file is not a valid session. The error names its folder, and not the file, because the file's
/// name is the session's key.
#[derive(Debug)]
struct DamagedFileError {
    folder: PathBuf,
    /// Where the file is now, or why it could not be moved.
    kept: Result<PathBuf, BoxError>,
    cause: BoxError,
}

impl fmt::Display for DamagedFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file in `{}` is not a valid session", self.folder.display())?;
        match &self.kept {
            Ok(kept) => write!(f, "; it is kept in `{}`", kept.display()),
            Err(why) => {
                let why = Chain(&**why);
                write!(f, "; it is ignored, and cannot be moved to the folder `damaged` ({why})")
            }
        }
    }
}

impl std::error::Error for DamagedFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::fixture::{Fixture, key, replace_by_link, replace_by_pipe};

    #[test]
    fn files_that_are_not_valid_sessions_are_reported_once_and_kept() {
        for (bytes, says) in [
            (b"".as_slice(), "cut off"),
            (b"{\"v\":1,\"created\":17", "cut off"),
            (b"{\"cookie\":{\"maxAge\":1},\"views\":1}", "does not fit"),
            (b"\0\0\0\0\0\0\0\0", "not JSON"),
            (&[b' '; 10_036], "larger than 10000 bytes"),
        ] {
            let it = Fixture::new();
            fs::write(it.create(1), bytes).expect("a file to damage");
            let text = it.load_damaged(1);
            assert!(text.contains(says), "{text}");
            assert_eq!(fs::read(&it.damaged()[0]).expect("the damaged file"), bytes);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let it = Fixture::new();
        let secret = it.root.path().join("secret");
        let other = it.create(2);
        fs::copy(&other, &secret).expect("a session elsewhere");
        let file = it.create(1);
        replace_by_link(&file, &secret);
        it.load_damaged(1);
        assert!(fs::symlink_metadata(&it.damaged()[0]).expect("the link").is_symlink());
        assert!(secret.exists());
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_reported() {
        let it = Fixture::new();
        let file = it.create(1);
        fs::remove_file(&file).expect("a session's file");
        fs::create_dir(&file).expect("a folder in its place");
        it.load_damaged(1);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_does_not_block() {
        let it = Fixture::new();
        let file = it.create(1);
        replace_by_pipe(&file);
        it.load_damaged(1);
    }

    #[test]
    fn damage_that_cannot_be_moved_aside_is_reported_once() {
        let it = Fixture::new();
        fs::write(it.create(1), "").expect("a file to damage");
        it.block_damaged_folder();
        let error = it.folder.load(&key(1)).expect_err("a damaged session");
        assert!(Chain(&error).to_string().contains("cannot be moved"), "{}", Chain(&error));
        assert!(it.load(1).is_none());
        it.create(1);
        assert!(it.load(1).is_some());
    }

    #[test]
    fn destroying_a_damaged_session_keeps_its_file() {
        let it = Fixture::new();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        assert!(!it.folder.destroy(&key(1)).expect("nothing to destroy"));
        assert_eq!(fs::read(&it.damaged()[0]).expect("the damaged file"), b"half a ses");
        // It cannot be moved aside: it stays where it is.
        let it = Fixture::new();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        it.block_damaged_folder();
        assert!(!it.folder.destroy(&key(1)).expect("nothing to destroy"));
        assert_eq!(fs::read(&file).expect("the damaged file"), b"half a ses");
    }

    #[test]
    fn damage_in_a_folder_that_cannot_be_locked_is_reported_once() {
        let it = Fixture::new();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        it.block_lock(1);
        let error = it.folder.load(&key(1)).expect_err("a damaged session");
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        assert!(it.load(1).is_none(), "after the report it is a miss");
        assert!(file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn damaged_files_do_not_leave_through_a_planted_link() {
        let it = Fixture::new();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("damaged")).expect("a link");
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Damaged(_))));
        assert_eq!(fs::read_dir(&elsewhere).expect("the folder elsewhere").count(), 0);
        assert!(file.exists());
    }
}
