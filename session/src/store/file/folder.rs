//! The store's folder: reading, writing and locking of session files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(target_os = "linux")]
use super::at_once::AtOnce;
use super::{
    access::Access,
    content,
    damaged::{DAMAGED_FOLDER, DamagedFiles},
    durability::Durability,
    file_system::{failed, failed_at, sync_folder, to_system_time},
    index::IndexFolder,
    lock::{FileLock, LOCK_FILE},
    reading::{SessionFile, read_session},
    session_path::SessionPath,
    spare::Spare,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::Record,
    time::{Clock, SystemClock},
};

const READ_ONLY: &str = "the store is open for reading only";

/// The folder with the sessions. All its methods block.
pub(super) struct SessionFolder {
    pub(super) path: PathBuf,
    pub(super) access: Access,
    pub(super) durability: Durability,
    pub(super) max_record_bytes: u64,
    /// Whether nothing in the folder is changed.
    pub(super) read_only: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) damaged: DamagedFiles,
    #[cfg(target_os = "linux")]
    pub(super) at_once: AtOnce,
}

impl SessionFolder {
    /// A folder with the default settings. It need not exist yet. A relative path begins at the
    /// working directory of this moment.
    pub(super) fn new(path: PathBuf) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self {
            damaged: DamagedFiles::new(path.join(DAMAGED_FOLDER)),
            path,
            access: Access::default(),
            durability: Durability::default(),
            max_record_bytes: 1 << 20,
            read_only: false,
            clock: Arc::new(SystemClock),
            #[cfg(target_os = "linux")]
            at_once: AtOnce::default(),
        }
    }

    pub(super) fn session_path(&self, key: &StoreKey) -> SessionPath {
        SessionPath::new(&self.path, key)
    }

    pub(super) fn index(&self) -> IndexFolder {
        IndexFolder::new(&self.path, self.access, self.durability)
    }
}

// Locking.
impl SessionFolder {
    /// Refuses a change if the store is for reading only.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.read_only {
            return Err(StoreError::internal(READ_ONLY));
        }
        Ok(())
    }

    /// Locks a subfolder for writing, and creates it if it is missing.
    pub(super) fn lock(&self, subfolder: &Path) -> Result<FileLock, StoreError> {
        self.check_writable()?;
        let lock = || FileLock::of_subfolder(subfolder, self.access);
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_subfolder(subfolder).and_then(|()| lock())
            }
            result => result,
        }
        .map_err(|error| not_locked(subfolder, error))
    }

    /// Creates a subfolder, and the folder too if it is missing, so that they survive a power cut.
    fn create_subfolder(&self, subfolder: &Path) -> io::Result<()> {
        self.access.create_folder(subfolder)?;
        if self.durability != Durability::Process {
            sync_folder(&self.path)?;
            // If we may not open the parent, we did not create the folder in it.
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let _ = sync_folder(parent.unwrap_or(Path::new(".")));
        }
        Ok(())
    }

    /// Locks the subfolder of a session that may exist; `None` if the subfolder does not exist.
    pub(super) fn lock_if_exists(
        &self,
        path: &SessionPath,
    ) -> Result<Option<FileLock>, StoreError> {
        self.check_writable()?;
        match FileLock::of_subfolder(&path.subfolder, self.access) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_locked(&path.subfolder, error)),
        }
    }

    /// Locks one or two subfolders, in the order of their names, so that two calls cannot wait for
    /// each other.
    pub(super) fn lock_both(
        &self,
        a: &SessionPath,
        b: &SessionPath,
    ) -> Result<[Option<FileLock>; 2], StoreError> {
        let first = a.subfolder.as_path().min(&b.subfolder);
        let second = a.subfolder.as_path().max(&b.subfolder);
        let first_lock = self.lock(first)?;
        let second_lock = if first == second { None } else { Some(self.lock(second)?) };
        Ok([Some(first_lock), second_lock])
    }
}

fn not_locked(subfolder: &Path, error: io::Error) -> StoreError {
    failed_at("lock the folder", subfolder, &subfolder.join(LOCK_FILE), error)
}

// Reading.
impl SessionFolder {
    pub(super) fn read_file(&self, path: &SessionPath) -> Result<SessionFile, StoreError> {
        read_session(path, self.max_record_bytes)
    }

    /// Reads a session that has not expired. Moves a damaged file away, so the caller must have the
    /// lock of the subfolder.
    pub(super) fn read_locked(&self, path: &SessionPath) -> Result<Option<Record>, StoreError> {
        self.read_locked_file(path).map(|found| found.map(|(record, _)| record))
    }

    /// Like [`read_locked`](Self::read_locked), and keeps the file open.
    pub(super) fn read_locked_file(
        &self,
        path: &SessionPath,
    ) -> Result<Option<(Record, File)>, StoreError> {
        match self.read_file(path)? {
            SessionFile::Session(record, file) => {
                Ok(self.unexpired(record).map(|record| (record, file)))
            }
            SessionFile::Missing => Ok(None),
            SessionFile::Damaged(cause) => {
                self.damaged.set_aside(path, self.access, cause).map_or(Ok(None), Err)
            }
        }
    }

    pub(super) fn unexpired(&self, record: Record) -> Option<Record> {
        (!record.is_expired(self.clock.now())).then_some(record)
    }
}

// Writing. The caller has the lock of the subfolder.
impl SessionFolder {
    /// Writes a session's file.
    pub(super) fn write(&self, path: &SessionPath, record: &Record) -> Result<(), StoreError> {
        self.replace(path, record)?;
        self.sync_if_at_once(path)
    }

    /// Replaces a session's file as a whole. After an error the file is as it was.
    pub(super) fn replace(&self, path: &SessionPath, record: &Record) -> Result<(), StoreError> {
        let bytes = record.to_bytes();
        if bytes.len() as u64 > self.max_record_bytes {
            return Err(StoreError::TooLarge {
                bytes: bytes.len() as u64,
                limit: self.max_record_bytes,
            });
        }
        let bytes = content::to_bytes(&path.key, bytes);
        let written = || -> io::Result<()> {
            let mut new = Spare::open(self.access, &path.subfolder)?;
            let time = to_system_time(record.expires_at());
            new.write(&bytes, time, self.durability != Durability::Process)?;
            new.put_at(self.access, &path.file)
        };
        written().map_err(|error| failed("write to the folder", &path.subfolder, error))
    }

    /// Removes a session's file. Reports whether it existed.
    pub(super) fn remove(&self, path: &SessionPath) -> Result<bool, StoreError> {
        match fs::remove_file(&path.file) {
            Ok(()) => self.sync_if_at_once(path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("delete from the folder", &path.subfolder, error)),
        }
    }

    /// Makes changes in a subfolder survive a power cut, if the store promises that at once.
    pub(super) fn sync_if_at_once(&self, path: &SessionPath) -> Result<(), StoreError> {
        match self.durability {
            Durability::Process | Durability::Power => Ok(()),
            Durability::PowerAtOnce => self.sync_subfolder(path),
        }
    }

    pub(super) fn sync_subfolder(&self, path: &SessionPath) -> Result<(), StoreError> {
        sync_folder(&path.subfolder)
            .map_err(|error| failed("sync the folder", &path.subfolder, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Patch,
        store::file::{
            fixture::{Fixture, key, mode, replace_by_link, replace_by_pipe},
            lock::LOCK_FILE,
        },
    };

    #[test]
    fn a_session_lives_in_a_subfolder_of_its_first_byte() {
        let it = Fixture::new();
        let file = it.create(0xab);
        assert!(file.ends_with(format!("sessions/ab/{}", "ab".repeat(31))), "{file:?}");
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_their_owners_only() {
        let it = Fixture::new();
        let file = it.create(1);
        fs::write(&file, "").expect("a file to damage");
        assert!(it.folder.load(&key(1)).is_err());
        let file = it.create(1);
        assert!(it.folder.delete_expired().is_ok());
        let subfolder = file.parent().expect("a subfolder");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&subfolder.join(LOCK_FILE)), 0o600);
        assert_eq!(mode(&it.folder.path.join(".sweep")), 0o600);
        assert_eq!(mode(subfolder), 0o700);
        assert_eq!(mode(&it.folder.path), 0o700);
        assert_eq!(mode(&it.folder.path.join("damaged")), 0o700);
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_written_through() {
        let it = Fixture::new();
        let secret = it.root.path().join("secret");
        fs::write(&secret, "secret").expect("a file elsewhere");
        let file = it.create(1);
        replace_by_link(&file, &secret);
        for result in [
            it.folder.update(&key(1), &Patch::default()).map(drop),
            it.folder.create(&key(1), &it.record()).map(drop),
        ] {
            drop(result);
        }
        assert_eq!(fs::read(&secret).expect("the file elsewhere"), b"secret");
    }

    #[cfg(unix)]
    #[test]
    fn a_subfolder_that_is_a_link_is_an_error_and_not_followed() {
        let it = Fixture::new();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("01")).expect("a link");
        assert!(matches!(it.folder.create(&key(1), &it.record()), Err(StoreError::Unavailable(_))));
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Unavailable(_))));
        assert_eq!(fs::read_dir(&elsewhere).expect("the folder elsewhere").count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_lock_does_not_block() {
        let it = Fixture::new();
        let file = it.create(1);
        let lock = file.parent().expect("a subfolder").join(LOCK_FILE);
        replace_by_pipe(&lock);
        assert!(matches!(it.folder.destroy(&key(1)), Err(StoreError::Unavailable(_))));
        assert!(it.load(1).is_some(), "reading needs no lock");
    }
}
