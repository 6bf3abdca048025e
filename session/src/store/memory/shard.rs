//! A part of the sessions, with one lock.

use std::{
    hash::BuildHasherDefault,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hashlink::LruCache;

use crate::{
    id::{KeyHasher, StoreKey},
    record::Record,
    time::Timestamp,
};

/// A part of the sessions, in the order of their last use.
pub(super) struct MemoryShard {
    sessions: Mutex<LruSessions>,
    /// [`MemorySession::last_use`] of the least recently used session; `u64::MAX` without sessions.
    oldest: AtomicU64,
}

type LruSessions = LruCache<StoreKey, MemorySession, BuildHasherDefault<KeyHasher>>;

/// A session in memory.
pub(super) struct MemorySession {
    pub(super) record: Record,
    /// The number of the session's last use.
    pub(super) last_use: u64,
}

impl Default for MemoryShard {
    fn default() -> Self {
        let sessions = LruSessions::with_hasher(usize::MAX, BuildHasherDefault::default());
        Self { sessions: Mutex::new(sessions), oldest: AtomicU64::new(u64::MAX) }
    }
}

impl MemoryShard {
    pub(super) fn lock(&self) -> LockedShard<'_> {
        // OK because no code that runs under the lock leaves a session half changed.
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        LockedShard { shard: self, sessions }
    }

    /// The number of the last use of the least recently used session; `u64::MAX` without sessions.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::Relaxed)
    }
}

/// A locked shard. When it is dropped, it updates [`MemoryShard::oldest`].
pub(super) struct LockedShard<'a> {
    shard: &'a MemoryShard,
    pub(super) sessions: MutexGuard<'a, LruSessions>,
}

impl LockedShard<'_> {
    /// The record of a session that has not expired. This does not count as a use.
    pub(super) fn peek_unexpired(&self, key: &StoreKey, now: Timestamp) -> Option<&Record> {
        self.sessions
            .peek(key)
            .map(|session| &session.record)
            .filter(|record| !record.is_expired(now))
    }
}

impl Drop for LockedShard<'_> {
    fn drop(&mut self) {
        let oldest = self.sessions.iter().next().map_or(u64::MAX, |(_, session)| session.last_use);
        self.shard.oldest.store(oldest, Ordering::Relaxed);
    }
}
