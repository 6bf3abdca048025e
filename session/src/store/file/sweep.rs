//! Deletes expired sessions, and files that killed processes left behind.

use std::{
    fs::{self, DirEntry, ReadDir},
    io,
    path::Path,
};

use super::{
    file_system::{TEMPORARY_PREFIX, failed, not_a_folder},
    folder::SessionFolder,
    lock::{FileLock, SWEEP_LOCK_FILE},
    reading::SessionFile,
    session_path::is_subfolder_name,
};
use crate::{error::StoreError, id::StoreKey, time::Timestamp};

impl SessionFolder {
    /// Deletes expired sessions, and files that killed processes left behind. Returns the number of
    /// sessions.
    pub(super) fn delete_expired(&self) -> Result<u64, StoreError> {
        self.check_writable()?;
        let subfolders = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed("read the folder", &self.path, error)),
        };
        // One process at a time is enough: it leaves no work for the others.
        let Some(_lock) = self.sweep_lock()? else { return Ok(0) };
        let mut deleted = 0;
        let mut first_error = None;
        for subfolder in subfolders {
            let subfolder =
                subfolder.map_err(|error| failed("read the folder", &self.path, error))?;
            let name = subfolder.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(TEMPORARY_PREFIX) {
                // `check` made the file, or `Access` the folder. If that still runs, it notices.
                let path = subfolder.path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            } else if is_subfolder_name(name) {
                // An error in one subfolder must not stop the sweep of the others.
                match self.delete_expired_in(name) {
                    Ok(more) => deleted += more,
                    Err(error) => drop(first_error.get_or_insert(error)),
                }
            }
        }
        let exists = |key: &StoreKey| self.session_path(key).file.exists();
        if let Err(error) = self.index().sweep(exists) {
            first_error.get_or_insert(error);
        }
        first_error.map_or(Ok(deleted), Err)
    }

    fn sweep_lock(&self) -> Result<Option<FileLock>, StoreError> {
        let path = self.path.join(SWEEP_LOCK_FILE);
        let file = self.access.open_lock(&path).map_err(|error| failed("open", &path, error))?;
        FileLock::try_lock(file).map_err(|error| failed("lock", &path, error))
    }

    fn delete_expired_in(&self, name: &str) -> Result<u64, StoreError> {
        let subfolder = self.path.join(name);
        let failed = |error| failed("read the folder", &subfolder, error);
        let entries = match read_subfolder(&subfolder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let now = self.clock.now();
        let mut deleted = 0;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            if file_name.starts_with(TEMPORARY_PREFIX) {
                // Its writer would have the lock. We have the lock, so it was left behind.
                let _lock = self.lock(&subfolder)?;
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
            } else if let Ok(key) = StoreKey::from_hex(&format!("{name}{file_name}"))
                && may_have_expired(&entry, now)
            {
                deleted += u64::from(self.delete_if_expired(&key, now)?);
            }
        }
        Ok(deleted)
    }

    fn delete_if_expired(&self, key: &StoreKey, now: Timestamp) -> Result<bool, StoreError> {
        let path = self.session_path(key);
        let _lock = self.lock(&path.subfolder)?;
        match self.read_file(&path) {
            Ok(SessionFile::Session(record, _)) if record.is_expired(now) => self.remove(&path),
            // Another call extended or replaced it meanwhile. Or it cannot be read: `load` reports
            // that.
            Ok(_) | Err(_) => Ok(false),
        }
    }
}

fn read_subfolder(subfolder: &Path) -> io::Result<ReadDir> {
    if !fs::symlink_metadata(subfolder)?.is_dir() {
        return Err(not_a_folder());
    }
    fs::read_dir(subfolder)
}

/// Whether the file's time is past. If so, the time in the record decides.
fn may_have_expired(entry: &DirEntry, now: Timestamp) -> bool {
    let touched = entry.metadata().and_then(|metadata| metadata.modified());
    !touched.is_ok_and(|touched| Timestamp::from(touched) > now)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        store::file::{
            fixture::{Fixture, HOUR, key},
            lock::LOCK_FILE,
        },
        time::Clock as _,
    };

    #[test]
    fn the_sweep_deletes_expired_sessions_and_left_over_files() {
        let it = Fixture::new();
        let expired = it.create(1);
        it.create(2);
        let later = it.clock.now().saturating_add(5 * HOUR);
        it.folder.touch(&key(2), later).expect("a live session");
        let subfolder = it.folder.session_path(&key(1)).subfolder;
        let left_behind = subfolder.join(".new-left-behind");
        let foreign = subfolder.join("README");
        fs::write(&left_behind, "half a ses").expect("a left-over");
        fs::write(&foreign, "mine").expect("a foreign file");
        it.clock.advance(HOUR);
        it.create(3);
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 1);
        assert!(!expired.exists() && !left_behind.exists());
        assert!(foreign.exists() && it.load(2).is_some() && it.load(3).is_some());
    }

    #[test]
    fn one_sweep_at_a_time() {
        let it = Fixture::new();
        it.create(1);
        it.clock.advance(HOUR);
        let lock = it.folder.sweep_lock().expect("a writable folder");
        assert!(lock.is_some());
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 0);
        drop(lock);
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 1);
    }

    #[test]
    fn an_error_in_one_subfolder_does_not_stop_the_sweep_of_others() {
        let it = Fixture::new();
        let files: Vec<PathBuf> = (1..=9).map(|n| it.create(n)).collect();
        fs::remove_dir_all(it.folder.session_path(&key(5)).subfolder).expect("a subfolder");
        fs::write(it.folder.session_path(&key(5)).subfolder, "in the way")
            .expect("a file in the way");
        it.block_lock(3);
        it.clock.advance(HOUR);
        assert!(it.folder.delete_expired().is_err(), "some are left");
        let left: Vec<bool> = files.iter().map(|file| file.exists()).collect();
        assert_eq!(left, [false, false, true, false, false, false, false, false, false]);
    }

    #[cfg(unix)]
    #[test]
    fn the_sweep_does_not_follow_a_planted_link() {
        let it = Fixture::new();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        fs::write(elsewhere.join(".new-mine"), "mine").expect("a file elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("00")).expect("a link");
        let expired = it.create(1);
        it.clock.advance(HOUR);
        drop(it.folder.delete_expired());
        assert!(!expired.exists());
        assert!(elsewhere.join(".new-mine").exists() && !elsewhere.join(LOCK_FILE).exists());
    }

    #[test]
    fn the_sweep_deletes_what_a_killed_check_left_behind() {
        let it = Fixture::new();
        let left_behind = it.folder.path.join(".new-left-behind");
        fs::write(&left_behind, "").expect("a left-over");
        let foreign = it.folder.path.join("README");
        fs::write(&foreign, "mine").expect("a foreign file");
        it.folder.delete_expired().expect("a readable folder");
        assert!(!left_behind.exists() && foreign.exists());
    }
}
