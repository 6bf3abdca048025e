//! Locks for requests of this process that merge into the same session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::id::StoreKey;

/// Locks for requests of this process that merge into the same session, one for each such session.
///
/// Without it, all of them would try again at the same time. Only one would succeed each time, and
/// some could fail again and again. With it, each needs one or two tries, and competes only with
/// other processes.
#[derive(Debug, Default)]
pub(crate) struct MergeLocks(Mutex<HashMap<StoreKey, Weak<tokio::sync::Mutex<()>>>>);

impl MergeLocks {
    /// Waits for the lock of a session. The lock is released when the guard is dropped.
    pub(crate) async fn wait(&self, key: &StoreKey) -> OwnedMutexGuard<()> {
        self.lock_of(key).lock_owned().await
    }

    fn lock_of(&self, key: &StoreKey) -> Arc<tokio::sync::Mutex<()>> {
        // A poisoned lock is fine: no code under it leaves the map half changed.
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map is small: it has an entry only for each session that is in conflict now.
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(*key, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn each_session_has_its_own_lock() {
        let locks = MergeLocks::default();
        let [one, other] = [1, 2].map(|n| StoreKey::from_bytes([n; 32]));
        let lock = locks.wait(&one).now_or_never().expect("it is free");
        assert!(locks.wait(&one).now_or_never().is_none());
        let _other = locks.wait(&other).now_or_never().expect("the other session's lock is free");
        drop(lock);
        let _lock = locks.wait(&one).now_or_never().expect("it is free again");
    }

    #[test]
    fn locks_without_a_holder_are_removed() {
        let locks = MergeLocks::default();
        for n in 0..100 {
            drop(locks.wait(&StoreKey::from_bytes([n; 32])).now_or_never());
        }
        assert_eq!(locks.0.lock().map(|map| map.len()).ok(), Some(1));
    }
}
