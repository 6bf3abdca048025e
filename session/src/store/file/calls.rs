//! The calls of a session store, carried out in the folder.

use std::{fs::File, io, task::Poll};

use tracing::warn;

use super::{
    durability::Durability,
    file_system::{failed, to_system_time},
    folder::SessionFolder,
    index::index_entries,
    lock::FileLock,
    reading::SessionFile,
    session_path::SessionPath,
};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{Grace, Patch, PatchError, Record},
    store::session_store::{CreateOutcome, UpdateOutcome},
    time::Timestamp,
};

impl SessionFolder {
    pub(super) fn create(
        &self,
        key: &StoreKey,
        record: &Record,
    ) -> Result<CreateOutcome, StoreError> {
        let path = self.session_path(key);
        let _lock = self.lock(&path.subfolder)?;
        if self.read_locked(&path)?.is_some() {
            return Ok(CreateOutcome::Taken);
        }
        self.index().add(&index_entries(key, record))?;
        self.write(&path, record)?;
        Ok(CreateOutcome::Stored)
    }

    /// Loads a session if that need not wait. Pending: call `load` on a thread that may block.
    pub(super) fn load_at_once(&self, key: &StoreKey) -> Poll<Option<Record>> {
        #[cfg(target_os = "linux")]
        return match self.at_once.read(&self.session_path(key), self.max_record_bytes) {
            // `load` looks at it again.
            Poll::Ready(Some(record)) => match self.unexpired(record) {
                Some(record) => Poll::Ready(Some(record)),
                None => Poll::Pending,
            },
            found => found,
        };
        #[cfg(not(target_os = "linux"))]
        {
            let _ = key;
            Poll::Pending
        }
    }

    pub(super) fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let path = self.session_path(key);
        match self.read_file(&path)? {
            SessionFile::Session(record, file) => {
                #[cfg(target_os = "linux")]
                self.at_once.learn(&file);
                drop(file);
                match self.unexpired(record) {
                    None => self.load_again(&path),
                    found => Ok(found),
                }
            }
            SessionFile::Missing => Ok(None),
            SessionFile::Damaged(_) => self.load_again(&path),
        }
    }

    /// Loads a session that seems to be damaged or to have expired. Another call may have replaced
    /// and erased the file meanwhile. So it reads the file again, with the lock.
    fn load_again(&self, path: &SessionPath) -> Result<Option<Record>, StoreError> {
        let lock = match self.read_only {
            true => FileLock::of_subfolder_if_there_is_one(&path.subfolder).ok().flatten().map(Ok),
            false => Some(self.lock(&path.subfolder)),
        };
        match (self.read_file(path)?, lock) {
            (SessionFile::Session(record, _), _) => Ok(self.unexpired(record)),
            (SessionFile::Missing, _) => Ok(None),
            (SessionFile::Damaged(cause), _) if self.read_only => {
                Err(self.damaged.untouched(path, cause))
            }
            (SessionFile::Damaged(cause), Some(Err(error))) => {
                self.damaged.leave_in_place(path, cause, error.into()).map_or(Ok(None), Err)
            }
            (SessionFile::Damaged(cause), _) => {
                self.damaged.set_aside(path, self.access, cause).map_or(Ok(None), Err)
            }
        }
    }

    pub(super) fn update(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<UpdateOutcome, StoreError> {
        let path = self.session_path(key);
        let Some(_lock) = self.lock_if_exists(&path)? else { return Ok(UpdateOutcome::Gone) };
        let Some(current) = self.read_locked(&path)? else { return Ok(UpdateOutcome::Gone) };
        match patch.apply_to(&current) {
            Ok(record) if patch.moves(&current) => {
                let [before, after] = [&current, &record].map(|record| index_entries(key, record));
                self.index().add(&after)?;
                self.write(&path, &record)?;
                self.index().remove(before.difference(&after));
                Ok(UpdateOutcome::Applied { version: record.version() })
            }
            Ok(record) => {
                self.write(&path, &record)?;
                Ok(UpdateOutcome::Applied { version: record.version() })
            }
            Err(refused) => Ok(UpdateOutcome::refused(refused, current)),
        }
    }

    pub(super) fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let path = self.session_path(key);
        let Some(_lock) = self.lock_if_exists(&path)? else { return Ok(false) };
        let current = self.read_locked_file(&path)?.filter(|(record, _)| !record.is_retired());
        let Some((current, file)) = current else { return Ok(false) };
        if current.expires_at() < expires_at {
            match self.set_expiry(&file, expires_at) {
                Ok(()) => {}
                // Another user created the file, and only the owner may set its time.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.write(&path, &current.extended_to(expires_at))?;
                }
                Err(error) => return Err(failed("touch a file in", &path.subfolder, error)),
            }
        }
        Ok(true)
    }

    fn set_expiry(&self, file: &File, expires_at: Timestamp) -> io::Result<()> {
        file.set_modified(to_system_time(expires_at))?;
        match self.durability {
            Durability::Process | Durability::Power => Ok(()),
            Durability::PowerAtOnce => file.sync_all(),
        }
    }

    pub(super) fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut retired: Vec<StoreKey> = Vec::new();
        let mut was_there = false;
        let mut next = Some(*key);
        while let Some(key) = next.take() {
            let path = self.session_path(&key);
            let Some(_lock) = self.lock_if_exists(&path)? else { break };
            let live = match self.read_file(&path)? {
                SessionFile::Session(record, _) => self.unexpired(record),
                SessionFile::Missing => None,
                SessionFile::Damaged(cause) => {
                    // The session is gone, as the caller wants; the file is kept.
                    if let Some(error) = self.damaged.set_aside(&path, self.access, cause) {
                        warn!(event = "damaged_file_kept", "{}", Chain(&error));
                    }
                    break;
                }
            };
            was_there |= live.is_some();
            match live.as_ref().and_then(|record| record.successor().copied()) {
                // A second visit of the same key would be a circle of successors.
                Some(successor) if !retired.contains(&key) => {
                    retired.push(key);
                    next = Some(successor);
                }
                _ => {
                    self.remove(&path)?;
                    if let Some(record) = &live {
                        self.index().remove(&index_entries(&key, record));
                    }
                }
            }
        }
        self.remove_retired(&retired)?;
        Ok(was_there)
    }

    /// Removes retired records after their session, the last one first. If that fails or the
    /// process crashes, a second `destroy` still finds the way to the session.
    fn remove_retired(&self, retired: &[StoreKey]) -> Result<(), StoreError> {
        for key in retired.iter().rev() {
            let path = self.session_path(key);
            if let Some(_lock) = self.lock_if_exists(&path)? {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let (old_path, new_path) = (self.session_path(old), self.session_path(new));
        let _locks = self.lock_both(&old_path, &new_path)?;
        let Some(current) = self.read_locked(&old_path)? else { return Ok(UpdateOutcome::Gone) };
        let moved = match patch.apply_to(&current) {
            Ok(moved) => moved,
            Err(PatchError::Retired) => {
                let moved = self.read_locked(&new_path)?;
                return Ok(UpdateOutcome::repeated(&current, new, moved.as_ref()));
            }
            Err(refused) => return Ok(UpdateOutcome::refused(refused, current)),
        };
        if self.read_locked(&new_path)?.is_some() {
            return Ok(UpdateOutcome::Taken);
        }
        self.index().add(&index_entries(new, &moved))?;
        self.replace(&new_path, &moved)?;
        let retired = || {
            // After a power cut, the retired record must not be there without the new one.
            match self.durability {
                Durability::Process => {}
                Durability::Power | Durability::PowerAtOnce => self.sync_subfolder(&new_path)?,
            }
            self.replace(&old_path, &current.retire(grace, new))
        };
        if let Err(error) = retired() {
            // The caller keeps the old id, so the new record would never be used. If its removal
            // fails too, the first error is the one to report.
            drop(self.remove(&new_path));
            return Err(error);
        }
        self.index().remove(&index_entries(old, &current));
        self.sync_if_at_once(&old_path)?;
        Ok(UpdateOutcome::Applied { version: moved.version() })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        sync::Arc,
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use serde_json::value::RawValue;

    use super::*;
    use crate::{
        store::file::fixture::{Fixture, HOUR, key},
        time::Clock as _,
    };

    #[test]
    fn a_missing_file_is_a_miss() {
        let it = Fixture::new();
        assert!(it.load(1).is_none());
        it.create(1);
        assert!(it.load(2).is_none());
        assert!(!it.folder.destroy(&key(2)).expect("a miss is not an error"));
    }

    #[test]
    fn a_touch_changes_the_time_of_the_file_and_no_byte() {
        let it = Fixture::new();
        let file = it.create(1);
        let before = fs::read(&file).expect("the session's file");
        let later = it.clock.now().saturating_add(5 * HOUR);
        assert!(it.folder.touch(&key(1), later).expect("a live session"));
        assert_eq!(fs::read(&file).expect("the session's file"), before);
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(later));
        it.clock.advance(4 * HOUR);
        assert!(it.load(1).is_some());
        it.clock.advance(HOUR);
        assert!(it.load(1).is_none());
    }

    #[test]
    fn a_session_that_seems_to_have_expired_is_read_again_after_the_call_that_replaces_it() {
        let it = Fixture::new();
        let file = it.create(1);
        let set_time = |time: SystemTime| {
            let file = File::options().write(true).open(&file).expect("a session's file");
            file.set_modified(time).expect("our own file");
        };
        it.clock.advance(2 * HOUR);
        let lock = it.folder.lock(file.parent().expect("a subfolder")).expect("a writable folder");
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| it.folder.load(&key(1)).expect("a readable folder"));
            std::thread::sleep(Duration::from_millis(100));
            set_time(to_system_time(it.clock.now().saturating_add(HOUR)));
            drop(lock);
            assert!(loading.join().expect("no panic").is_some());
        });
    }

    #[test]
    fn a_write_after_a_touch_keeps_the_later_expiry() {
        let it = Fixture::new();
        it.create(1);
        let later = it.clock.now().saturating_add(5 * HOUR);
        assert!(it.folder.touch(&key(1), later).expect("a live session"));
        it.folder.update(&key(1), &Patch::default()).expect("a live session");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(later));
    }

    #[test]
    fn a_copy_that_lost_its_times_is_as_old_as_its_record() {
        let it = Fixture::new();
        let file = it.create(1);
        let bytes = fs::read(&file).expect("the session's file");
        fs::write(&file, bytes).expect("a restored file");
        File::options()
            .write(true)
            .open(&file)
            .and_then(|file| file.set_modified(UNIX_EPOCH))
            .expect("a restored file");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(it.record().expires_at()));
        assert!(matches!(it.folder.delete_expired(), Ok(0)));
        assert!(it.load(1).is_some(), "the sweep does not trust the file's time alone");
    }

    #[test]
    fn a_renewal_that_fails_half_way_leaves_the_old_session_alone() {
        let it = Fixture::new();
        // There is room for the session, and not for the name of its successor in the old record.
        let padding = "x".repeat(9_870);
        let mut patch = Patch::default();
        patch
            .set("a".into(), RawValue::from_string(format!("\"{padding}\"")).expect("JSON").into());
        let record = patch.apply_to(&it.record()).expect("a new record takes a patch");
        it.folder.create(&key(1), &record).expect("a writable folder");
        let grace = it.grace();
        let rotated = it.folder.rotate(&key(1), &key(2), &Patch::default(), grace);
        assert!(matches!(rotated, Err(StoreError::TooLarge { .. })), "{rotated:?}");
        assert!(it.load(1).is_some_and(|record| !record.is_retired()));
        assert!(it.load(2).is_none(), "no client has its id");
    }

    #[test]
    fn renewals_that_cross_do_not_wait_for_each_other() {
        let it = Fixture::new();
        let (done, is_done) = std::sync::mpsc::channel();
        for direction in [[1, 2], [2, 1]] {
            let folder = SessionFolder {
                clock: Arc::new(it.clock.clone()),
                durability: Durability::Process,
                ..SessionFolder::new(it.folder.path.clone())
            };
            let (done, record) = (done.clone(), it.record());
            let until = it.clock.now().saturating_add(HOUR);
            std::thread::spawn(move || {
                for n in 0..200 {
                    // The first byte chooses the subfolder.
                    let [old, new] = direction.map(|first| {
                        let mut bytes = [direction[0]; 32];
                        (bytes[0], bytes[1], bytes[2]) = (first, first, n);
                        StoreKey::from_bytes(bytes)
                    });
                    folder.create(&old, &record).expect("a writable folder");
                    let grace = Grace { until, old_id: crate::record::OldIdReads::Nothing };
                    folder.rotate(&old, &new, &Patch::default(), grace).expect("a writable folder");
                }
                done.send(()).expect("the test waits");
            });
        }
        for _ in 0..2 {
            is_done.recv_timeout(Duration::from_secs(60)).expect("both come to an end");
        }
    }

    #[test]
    fn an_endless_session_does_not_overflow_the_files_time() {
        let it = Fixture::new();
        let endless = Record::new(it.clock.now(), Timestamp::from_unix_ms(u64::MAX));
        it.folder.create(&key(1), &endless).expect("a writable folder");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(endless.expires_at()));
        assert!(
            it.folder.touch(&key(1), Timestamp::from_unix_ms(u64::MAX)).expect("a live session")
        );
    }

    #[test]
    fn a_later_releases_session_is_left_alone() {
        let it = Fixture::new();
        let file = it.create(1);
        fs::write(&file, br#"{"v":2}"#).expect("a later release's file");
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Unavailable(_))));
        assert!(it.folder.update(&key(1), &Patch::default()).is_err());
        it.clock.advance(100 * HOUR);
        it.folder.delete_expired().expect("a readable folder");
        assert_eq!(fs::read(&file).expect("the file"), br#"{"v":2}"#);
    }

    #[test]
    fn a_write_past_the_limit_leaves_the_session_as_it_was() {
        let it = Fixture::new();
        it.create(1);
        let mut patch = Patch::default();
        let large = serde_json::value::to_raw_value(&"x".repeat(10_000)).expect("a string");
        patch.set("large".into(), large.into());
        let error = it.folder.update(&key(1), &patch).expect_err("too large");
        assert!(matches!(error, StoreError::TooLarge { limit: 10_000, .. }), "{error:?}");
        assert_eq!(it.load(1).map(|record| record.version()), Some(0));
    }

    #[test]
    fn the_next_write_creates_a_vanished_folder_again() {
        let it = Fixture::new();
        it.create(1);
        fs::remove_dir_all(&it.folder.path).expect("the folder");
        assert!(it.load(1).is_none());
        assert!(matches!(it.folder.update(&key(1), &Patch::default()), Ok(UpdateOutcome::Gone)));
        assert_eq!(it.folder.delete_expired().expect("nothing to delete"), 0);
        it.create(1);
        assert!(it.load(1).is_some());
    }

    #[test]
    fn a_destruction_that_failed_half_way_can_be_repeated() {
        let it = Fixture::new();
        it.create(1);
        let grace = it.grace();
        let rotated = it.folder.rotate(&key(1), &key(2), &Patch::default(), grace);
        assert!(matches!(rotated, Ok(UpdateOutcome::Applied { .. })));
        let lock = it.block_lock(2);
        assert!(it.folder.destroy(&key(1)).is_err());
        fs::remove_dir(lock).expect("the folder in its place");
        assert!(it.folder.destroy(&key(1)).expect("a retired session"));
        assert!(it.load(1).is_none() && it.load(2).is_none());
    }

    #[test]
    fn records_that_name_each_other_as_successor_can_be_destroyed() {
        let it = Fixture::new();
        let grace = it.grace();
        for (n, successor) in [(1, 2), (2, 1)] {
            let retired = it.record().retire(grace, &key(successor));
            it.folder.create(&key(n), &retired).expect("a writable folder");
        }
        assert!(it.folder.destroy(&key(1)).expect("a retired session"));
        assert!(it.load(1).is_none() && it.load(2).is_none());
    }
}
