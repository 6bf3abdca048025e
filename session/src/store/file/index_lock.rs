//! A lock per value of an indexed field, which excludes other processes.
//!
//! The file of the lock is `<store>/index/<first two digits of a hash of the value>/.lock`. So some
//! values share a lock, which only makes them wait for each other.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    file_system::{failed, not_a_folder},
    folder::SessionFolder,
    index::INDEX_FOLDER,
    lock::{FileLock, LOCK_FILE},
    store::FileStore,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    store::value_locks::{lock_key, lock_value},
};

/// How long to wait for another process. It holds a lock for a few calls only, unless it hangs.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// How often to look whether the lock is free. No thread waits for it, because the action needs
/// threads too.
const PAUSE: Duration = Duration::from_millis(2);

impl FileStore {
    /// Runs an action while no other process, and nothing else in this one, has the lock of a
    /// value.
    pub(super) async fn run_locked<T>(
        &self,
        value: &RawValue,
        action: impl Future<Output = T> + Send,
    ) -> Result<T, StoreError> {
        let key = lock_key(value);
        let _turn = lock_value(key).await;
        let start = Instant::now();
        let _lock = loop {
            if let Some(lock) = self.run(move |folder| folder.try_lock_value(&key)).await? {
                break lock;
            }
            if start.elapsed() > MAX_WAIT {
                let why = "another process has not released the lock of a value; is it stopped?";
                return Err(StoreError::unavailable(why));
            }
            sleep(PAUSE).await;
        };
        Ok(action.await)
    }
}

impl SessionFolder {
    /// Locks a value. `None`: another thread or process has the lock.
    pub(super) fn try_lock_value(&self, key: &StoreKey) -> Result<Option<FileLock>, StoreError> {
        self.check_writable()?;
        let index = self.path.join(INDEX_FOLDER);
        let folder = index.join(&key.to_hex()[..2]);
        let lock = || {
            // A link would lead out of the store.
            let is_link =
                |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir());
            if is_link(&index) || is_link(&folder) {
                return Err(not_a_folder());
            }
            self.access.create_folder(&folder)?;
            FileLock::try_lock(self.access.open_lock(&folder.join(LOCK_FILE))?)
        };
        lock().map_err(|error| failed("lock a value in the index", &index, error))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use super::*;
    use crate::store::file::fixture::{Fixture, json};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_action_waits_for_another_process_that_has_the_lock() {
        let it = Fixture::new();
        let store = FileStore::new(&it.folder.path).expect("a writable folder");
        let value = json("7");
        // A lock belongs to the open file, so this one is as good as another process.
        let lock = it.folder.try_lock_value(&lock_key(&value)).expect("a writable folder");
        let lock = lock.expect("it is free");
        let is_released = Arc::new(AtomicBool::new(false));
        let releasing = Arc::clone(&is_released);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            releasing.store(true, Ordering::SeqCst);
            drop(lock);
        });
        let seen = store.run_locked(&value, async move { is_released.load(Ordering::SeqCst) });
        assert!(seen.await.expect("a writable folder"), "it ran after the release");
        assert!(it.folder.try_lock_value(&lock_key(&value)).is_ok_and(|lock| lock.is_some()));
    }

    #[test]
    fn the_sweep_passes_over_locks() {
        let it = Fixture::new();
        let key = lock_key(&json("7"));
        let lock = it.folder.try_lock_value(&key).expect("a writable folder");
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 0);
        assert!(it.folder.try_lock_value(&key).expect("a writable folder").is_none());
        drop(lock);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_is_not_made_behind_a_planted_link() {
        let it = Fixture::new();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("index")).expect("a link");
        assert!(it.folder.try_lock_value(&lock_key(&json("7"))).is_err());
        assert_eq!(fs::read_dir(elsewhere).expect("the folder elsewhere").count(), 0);
    }
}
