//! Copies of sessions in the memory of this process, for stores on servers.
//!
//! A store that keeps copies returns them from [`load_cached`](super::SessionStore::load_cached).
//! This module takes care of the races. A record that was read before a change is not cached after
//! it, a change of this process updates the copy, and a change without a known outcome drops it.
//! The store decides how old a copy may be, and drops the copies of sessions that others change.
//!
//! # Examples
//! ```
//! use std::time::{Duration, Instant};
//!
//! use actix_typed_session::store::{Record, StoreKey, local_cache::LocalCache};
//!
//! /// Copies, each with the time at which the server was asked for it.
//! struct Copies(LocalCache<Instant>);
//!
//! impl Copies {
//!     /// For `load_cached`.
//!     fn get(&self, key: &StoreKey) -> Option<Record> {
//!         self.0.get(key, |asked_at| asked_at.elapsed() < Duration::from_millis(500))
//!     }
//!
//!     /// For `load`, with what asks the server.
//!     fn load(&self, key: &StoreKey, ask: impl FnOnce() -> Record) -> Record {
//!         let (reservation, asked_at) = (self.0.reserve(key), Instant::now());
//!         let record = ask();
//!         self.0.insert_if_unchanged(key, reservation, &record, asked_at);
//!         record
//!     }
//! }
//! ```

use std::{
    fmt,
    hash::BuildHasherDefault,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashlink::LruCache;

use crate::{
    id::{KeyHasher, StoreKey},
    record::{Patch, Record},
};

/// Copies of sessions, each with a `T` by which the store decides whether the copy may be used: the
/// time at which it was read, for example.
///
/// When the memory is full, the copies that were used least recently go first.
pub struct LocalCache<T> {
    /// The most that one shard may hold, in bytes.
    max_bytes: usize,
    shards: Box<[Mutex<CacheShard<T>>]>,
}

/// The number of shards. It is small, because a session must fit into one shard to be cached.
const SHARDS: usize = 16;

impl<T> LocalCache<T> {
    /// Creates a cache that takes about this many bytes of memory at most.
    ///
    /// A session that takes more than a sixteenth of it is not cached.
    pub fn new(max_bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { max_bytes: max_bytes / SHARDS, shards }
    }

    /// Returns the copy of a session, if there is one and it may be used. One that may not be used
    /// is dropped.
    pub fn get(&self, key: &StoreKey, may_be_used: impl FnOnce(&T) -> bool) -> Option<Record> {
        let mut shard = self.shard(key);
        let copy = shard.copies.get(key)?;
        if may_be_used(&copy.read) {
            return Some(copy.record.clone());
        }
        shard.remove(key);
        None
    }

    /// Permits caching of a record that the server is asked for after this call.
    pub fn reserve(&self, key: &StoreKey) -> Reservation {
        Reservation { generation: *self.shard(key).generation(key) }
    }

    /// Caches a record, unless the session has changed since the reservation. The record must have
    /// all fields.
    pub fn insert_if_unchanged(
        &self,
        key: &StoreKey,
        reservation: Reservation,
        record: &Record,
        read: T,
    ) {
        let mut shard = self.shard(key);
        if *shard.generation(key) == reservation.generation {
            shard.insert(key, record.clone(), read, self.max_bytes);
        }
    }

    /// Starts a change of a session by this process. Hold the result until the change is done.
    pub fn begin_change(&self, key: &StoreKey) -> PendingChange<'_, T> {
        let drops = *self.shard(key).drops(key);
        PendingChange { cache: self, key: *key, drops }
    }

    /// Drops the copy of a session, and voids the reservations and changes in progress for it: for
    /// a change by another process.
    pub fn remove(&self, key: &StoreKey) {
        let mut shard = self.shard(key);
        shard.void_reservations(key);
        let drops = shard.drops(key);
        *drops = drops.wrapping_add(1);
        shard.remove(key);
    }

    /// Drops all copies, and voids all reservations and changes in progress.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let shard = &mut *shard;
            let counters = shard.generations.iter_mut().chain(&mut shard.drops);
            counters.for_each(|count| *count = count.wrapping_add(1));
            shard.copies.clear();
            shard.bytes = 0;
        }
    }

    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, CacheShard<T>> {
        lock(&self.shards[usize::from(key.as_bytes()[0]) % SHARDS])
    }
}

impl<T> fmt::Debug for LocalCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCache").finish_non_exhaustive()
    }
}

/// The right to cache a record, valid until the session changes.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    generation: u32,
}

/// A change of a session in progress. When it is dropped, so is the copy of the session, because
/// the outcome of the change may be unknown.
#[must_use = "the copy is dropped with it"]
pub struct PendingChange<'a, T> {
    cache: &'a LocalCache<T>,
    key: StoreKey,
    /// The counter of the drops when the change began.
    drops: u32,
}

impl<T> PendingChange<'_, T> {
    /// The server has applied a patch, which stands for `count` patches and made this version.
    /// Updates the copy if the patch was applied to what it holds and `may_stay` agrees.
    ///
    /// Other changes of this process may have been applied meanwhile: the version shows whether the
    /// copy has them. If the copy was dropped meanwhile, nothing is cached, because another process
    /// may have changed the session after this change.
    pub fn applied(
        self,
        (patch, count): (&Patch, u64),
        version: u64,
        may_stay: impl FnOnce(&T) -> bool,
    ) {
        let mut shard = self.cache.shard(&self.key);
        let is_current = *shard.drops(&self.key) == self.drops;
        // A record that was read before the change must not be cached.
        shard.void_reservations(&self.key);
        if let Some(CachedSession { mut record, read, .. }) = shard.remove(&self.key)
            && is_current
            && may_stay(&read)
            && record.version().checked_add(count) == Some(version)
            && patch.apply_in_place(&mut record).is_ok()
        {
            record.version = version;
            shard.insert(&self.key, record, read, self.cache.max_bytes);
        }
        drop(shard);
        mem::forget(self);
    }
}

impl<T> Drop for PendingChange<'_, T> {
    fn drop(&mut self) {
        self.cache.remove(&self.key);
    }
}

impl<T> fmt::Debug for PendingChange<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingChange").finish_non_exhaustive()
    }
}

struct CacheShard<T> {
    copies: LruCache<StoreKey, CachedSession<T>, BuildHasherDefault<KeyHasher>>,
    /// The memory that the copies take.
    bytes: usize,
    /// How often the sessions of a group of keys have changed. Several keys share a counter, so a
    /// change may also void the reservation for another key.
    generations: Box<[u32]>,
    /// How often copies of a group of keys were dropped: because another process changed one, or
    /// because the outcome of one of our changes is unknown.
    drops: Box<[u32]>,
}

struct CachedSession<T> {
    record: Record,
    read: T,
    bytes: usize,
}

/// The number of groups of keys in a shard. Each has one of each kind of counter.
const GROUPS: usize = 1_024;

/// The memory of an entry beside the entry itself: its links, and its share of the table.
const OVERHEAD: usize = 48;

impl<T> Default for CacheShard<T> {
    fn default() -> Self {
        let copies = LruCache::with_hasher(usize::MAX, BuildHasherDefault::default());
        let counters = || [0; GROUPS].into();
        Self { copies, bytes: 0, generations: counters(), drops: counters() }
    }
}

impl<T> CacheShard<T> {
    fn generation(&mut self, key: &StoreKey) -> &mut u32 {
        &mut self.generations[group(key)]
    }

    fn drops(&mut self, key: &StoreKey) -> &mut u32 {
        &mut self.drops[group(key)]
    }

    fn void_reservations(&mut self, key: &StoreKey) {
        let generation = self.generation(key);
        *generation = generation.wrapping_add(1);
    }

    fn remove(&mut self, key: &StoreKey) -> Option<CachedSession<T>> {
        let copy = self.copies.remove(key)?;
        self.bytes -= copy.bytes;
        Some(copy)
    }

    fn insert(&mut self, key: &StoreKey, record: Record, read: T, max_bytes: usize) {
        self.remove(key);
        let bytes = size_of::<(StoreKey, CachedSession<T>)>() + OVERHEAD + record.memory();
        if bytes > max_bytes {
            return;
        }
        self.bytes += bytes;
        self.copies.insert(*key, CachedSession { record, read, bytes });
        while self.bytes > max_bytes {
            match self.copies.remove_lru() {
                Some((_, copy)) => self.bytes -= copy.bytes,
                None => break,
            }
        }
    }
}

/// The group of a key: which counters it shares with other keys.
fn group(key: &StoreKey) -> usize {
    let [_, high, low, ..] = *key.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % GROUPS
}

fn lock<T>(shard: &Mutex<CacheShard<T>>) -> MutexGuard<'_, CacheShard<T>> {
    // OK because nothing that runs under the lock leaves an entry half changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const KEY: StoreKey = StoreKey::from_bytes([7; 32]);

    fn record(version: u64) -> Record {
        let mut record = Record::new(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(1));
        record.version = version;
        record
    }

    /// A cache that has a copy of version 1.
    fn cache() -> LocalCache<()> {
        let cache = LocalCache::new(1 << 20);
        insert(&cache, cache.reserve(&KEY), 1);
        assert_eq!(version(&cache), Some(1));
        cache
    }

    fn insert(cache: &LocalCache<()>, reservation: Reservation, version: u64) {
        cache.insert_if_unchanged(&KEY, reservation, &record(version), ());
    }

    fn version(cache: &LocalCache<()>) -> Option<u64> {
        cache.get(&KEY, |()| true).map(|record| record.version())
    }

    /// The server has applied patches, and now the session has this version.
    fn applied(change: PendingChange<'_, ()>, count: u64, version: u64) {
        change.applied((&Patch::default(), count), version, |()| true);
    }

    #[test]
    fn a_copy_that_may_not_be_used_is_dropped() {
        let cache = cache();
        assert!(cache.get(&KEY, |()| false).is_none());
        assert_eq!(version(&cache), None);
        assert_eq!(lock(&cache.shards[7]).bytes, 0, "and nothing is held");
    }

    #[test]
    fn a_change_of_the_cached_version_updates_the_copy_if_it_may_stay() {
        let cache = cache();
        applied(cache.begin_change(&KEY), 1, 2);
        assert_eq!(version(&cache), Some(2));
        cache.begin_change(&KEY).applied((&Patch::default(), 1), 3, |()| false);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_of_another_version_than_the_cached_one_drops_the_copy() {
        let cache = cache();
        applied(cache.begin_change(&KEY), 1, 3);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_patch_that_stands_for_several_updates_the_copy() {
        let cache = cache();
        applied(cache.begin_change(&KEY), 3, 4);
        assert_eq!(version(&cache), Some(4));
        applied(cache.begin_change(&KEY), 2, 5);
        assert_eq!(version(&cache), None, "one of them was applied to another version");
    }

    #[test]
    fn changes_of_this_process_that_overlap_update_the_copy() {
        let cache = cache();
        let (first, second) = (cache.begin_change(&KEY), cache.begin_change(&KEY));
        applied(first, 1, 2);
        applied(second, 1, 3);
        assert_eq!(version(&cache), Some(3));
    }

    #[test]
    fn a_change_that_overlaps_one_without_an_answer_caches_nothing() {
        let cache = cache();
        let (lost, answered) = (cache.begin_change(&KEY), cache.begin_change(&KEY));
        drop(lost);
        insert(&cache, cache.reserve(&KEY), 1);
        applied(answered, 1, 2);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_that_another_process_has_overtaken_drops_the_copy() {
        for change_by_another in [|cache: &LocalCache<()>| cache.remove(&KEY), LocalCache::clear] {
            let cache = cache();
            let change = cache.begin_change(&KEY);
            change_by_another(&cache);
            insert(&cache, cache.reserve(&KEY), 1);
            applied(change, 1, 2);
            assert_eq!(version(&cache), None);
        }
    }

    #[test]
    fn a_change_without_an_answer_drops_the_copy() {
        let cache = cache();
        drop(cache.begin_change(&KEY));
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_record_that_was_read_before_a_change_is_not_cached_after_it() {
        let cache = cache();
        let reservation = cache.reserve(&KEY);
        applied(cache.begin_change(&KEY), 1, 2);
        insert(&cache, reservation, 1);
        assert_eq!(version(&cache), Some(2));
        for change_by_another in [|cache: &LocalCache<()>| cache.remove(&KEY), LocalCache::clear] {
            let reservation = cache.reserve(&KEY);
            change_by_another(&cache);
            insert(&cache, reservation, 2);
            assert_eq!(version(&cache), None);
        }
    }

    #[test]
    fn the_memory_is_bounded_and_what_was_used_least_recently_goes_first() {
        let cache = LocalCache::new(SHARDS * 1_000);
        let key = |n: u8| {
            let mut bytes = [0; 32];
            bytes[9] = n;
            StoreKey::from_bytes(bytes)
        };
        let used = |n: u8| cache.get(&key(n), |()| true).is_some();
        for n in 0..100 {
            cache.insert_if_unchanged(&key(n), cache.reserve(&key(n)), &record(1), ());
            assert!(used(n) && (n == 0 || used(0)), "{n} was used a moment ago, and 0 each time");
        }
        let kept = (0..100).filter(|n| used(*n)).count();
        assert!((2..20).contains(&kept), "{kept}");
        assert!(lock(&cache.shards[0]).bytes <= 1_000);
    }
}
