//! Copies of sessions in this process's memory, kept current by the server.
//!
//! The server reports each key that was read over a connection and then changed (Redis calls this
//! client-side caching). Reports and replies arrive in order. So a reply shows that every change
//! has arrived that was made before its command was sent. A copy may be used for a bounded time
//! after that. An unread cache sends nothing; a read sends a probe when the last reply is getting
//! old.
//!
//! A record that was read before a change must not be cached after it. So a reader takes a
//! [`Reservation`] before it asks the server, and any report about the key makes it void.

use std::{
    hash::BuildHasherDefault,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashlink::LruCache;

use super::{
    client::{PushHandler, Reply, WeakConnection},
    layout,
};
use crate::{
    id::{KeyHasher, StoreKey},
    record::{Patch, Record},
};

/// The copies of sessions.
pub(super) struct LocalCache {
    /// What all keys in Redis begin with.
    prefix: String,
    /// The bound on the age of a copy.
    staleness: Duration,
    /// The most that one shard may hold, in bytes.
    max_bytes: usize,
    shards: Box<[Mutex<CacheShard>]>,
}

/// The number of shards. It is small, because a session must fit into one shard to be cached.
const SHARDS: usize = 16;

impl LocalCache {
    pub(super) fn new(prefix: String, max_bytes: usize, staleness: Duration) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { prefix, staleness, max_bytes: max_bytes / SHARDS, shards }
    }

    /// The copy of a session, if there is one and it is fresh enough.
    pub(super) fn get(&self, key: &StoreKey) -> Option<Record> {
        let mut shard = self.shard(key);
        let cached = shard.sessions.get(key)?;
        if cached.connection.is_closed() {
            shard.remove(key);
            return None;
        }
        let name = || layout::session_key(&self.prefix, key);
        cached.connection.is_fresh(self.staleness, name).then(|| cached.record.clone())
    }

    /// Permits caching of a record that the server is asked for after this call.
    pub(super) fn reserve(&self, key: &StoreKey) -> Reservation {
        Reservation { generation: *self.shard(key).generation(key) }
    }

    /// Caches a record that was read over this connection, unless the session has changed since the
    /// reservation.
    pub(super) fn insert_if_unchanged(
        &self,
        key: &StoreKey,
        reservation: Reservation,
        record: &Record,
        connection: WeakConnection,
    ) {
        let mut shard = self.shard(key);
        if *shard.generation(key) == reservation.generation {
            shard.insert(key, record.clone(), connection, self.max_bytes);
        }
    }

    /// Starts a change of a session. Hold the result until the change is done.
    pub(super) fn begin_change(&self, key: &StoreKey) -> PendingChange<'_> {
        let drops = *self.shard(key).drops(key);
        PendingChange { cache: self, key: *key, drops }
    }

    /// Drops the copy of a session, and voids the reservations and changes in progress for it.
    pub(super) fn remove(&self, key: &StoreKey) {
        let mut shard = self.shard(key);
        shard.void_reservations(key);
        let drops = shard.drops(key);
        *drops = drops.wrapping_add(1);
        shard.remove(key);
    }

    fn remove_all(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let shard = &mut *shard;
            let counters = shard.generations.iter_mut().chain(&mut shard.drops);
            counters.for_each(|count| *count = count.wrapping_add(1));
            shard.sessions.clear();
            shard.bytes = 0;
        }
    }

    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, CacheShard> {
        lock(&self.shards[usize::from(key.as_bytes()[0]) % SHARDS])
    }
}

impl PushHandler for LocalCache {
    fn on_push(&self, items: &[Reply]) {
        let [kind, keys] = items else { return };
        if !kind.is_text("invalidate") {
            return;
        }
        match keys {
            Reply::List(names) => names.iter().for_each(|name| {
                let name = name.as_str().and_then(|name| name.strip_prefix(&*self.prefix));
                if let Some(key) = name.and_then(|name| layout::parse_key_name(name.as_bytes())) {
                    self.remove(&key);
                }
            }),
            // The database was flushed.
            _ => self.remove_all(),
        }
    }
}

/// The right to cache a record, valid until the session changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reservation {
    generation: u32,
}

/// A change of a session in progress. When it is dropped, so is the copy of the session, because
/// the outcome of the change may be unknown.
pub(super) struct PendingChange<'a> {
    cache: &'a LocalCache,
    key: StoreKey,
    /// The counter of the drops when the change began.
    drops: u32,
}

impl PendingChange<'_> {
    /// The server has applied a patch, which stands for `count` patches and made this version, and
    /// now reports the next change over this connection. Updates the copy if the patch was applied
    /// to what it holds.
    ///
    /// Other changes of this process may have been applied meanwhile: the version shows whether the
    /// copy has them. If the copy was dropped meanwhile, nothing is cached, because the server may
    /// have reported a change that is later than this one. The same holds if it was read over
    /// another connection: reports over that one may be lost, such as that of a touch, which makes
    /// no version.
    pub(super) fn applied(
        self,
        (patch, count): (&Patch, u64),
        version: u64,
        connection: WeakConnection,
    ) {
        let mut shard = self.cache.shard(&self.key);
        let is_current = *shard.drops(&self.key) == self.drops;
        // A record that was read before the change must not be cached.
        shard.void_reservations(&self.key);
        if let Some(CachedSession { mut record, connection: read_over, .. }) =
            shard.remove(&self.key)
            && is_current
            && read_over.is_same(&connection)
            && record.version().checked_add(count) == Some(version)
            && patch.apply_in_place(&mut record).is_ok()
        {
            record.version = version;
            shard.insert(&self.key, record, connection, self.cache.max_bytes);
        }
        drop(shard);
        mem::forget(self);
    }
}

impl Drop for PendingChange<'_> {
    fn drop(&mut self) {
        self.cache.remove(&self.key);
    }
}

struct CacheShard {
    sessions: LruCache<StoreKey, CachedSession, BuildHasherDefault<KeyHasher>>,
    /// The memory that the sessions take.
    bytes: usize,
    /// How often the sessions of a group of keys have changed. Several keys share a counter, so a
    /// change may also void the reservation for another key.
    generations: Box<[u32]>,
    /// How often copies of a group of keys were dropped: because the server reported a change, or
    /// because the outcome of one of ours is unknown.
    drops: Box<[u32]>,
}

struct CachedSession {
    record: Record,
    /// Where the server reports the next change.
    connection: WeakConnection,
    bytes: usize,
}

/// The number of groups of keys in a shard. Each has one of each kind of counter.
const GROUPS: usize = 1_024;

/// The memory of an entry beside the entry itself: its links, and its share of the table.
const OVERHEAD: usize = 48;

impl Default for CacheShard {
    fn default() -> Self {
        let sessions = LruCache::with_hasher(usize::MAX, BuildHasherDefault::default());
        let counters = || [0; GROUPS].into();
        Self { sessions, bytes: 0, generations: counters(), drops: counters() }
    }
}

impl CacheShard {
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

    fn remove(&mut self, key: &StoreKey) -> Option<CachedSession> {
        let cached = self.sessions.remove(key)?;
        self.bytes -= cached.bytes;
        Some(cached)
    }

    fn insert(
        &mut self,
        key: &StoreKey,
        record: Record,
        connection: WeakConnection,
        max_bytes: usize,
    ) {
        self.remove(key);
        let bytes = size_of::<(StoreKey, CachedSession)>() + OVERHEAD + record.memory();
        if bytes > max_bytes {
            return;
        }
        self.bytes += bytes;
        self.sessions.insert(*key, CachedSession { record, connection, bytes });
        while self.bytes > max_bytes {
            match self.sessions.remove_lru() {
                Some((_, cached)) => self.bytes -= cached.bytes,
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

fn lock(shard: &Mutex<CacheShard>) -> MutexGuard<'_, CacheShard> {
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
    fn cache() -> (LocalCache, WeakConnection, impl Sized) {
        let (connection, open) = WeakConnection::without_server();
        let cache = LocalCache::new(String::new(), 1 << 20, Duration::MAX);
        cache.insert_if_unchanged(&KEY, cache.reserve(&KEY), &record(1), connection.clone());
        assert_eq!(version(&cache), Some(1));
        (cache, connection, open)
    }

    fn version(cache: &LocalCache) -> Option<u64> {
        cache.get(&KEY).map(|record| record.version())
    }

    fn report_a_change(cache: &LocalCache) {
        let name = Reply::Text(layout::key_name(&KEY).into());
        cache.on_push(&[Reply::Text("invalidate".into()), Reply::List(vec![name])]);
    }

    #[test]
    fn a_change_over_another_connection_than_the_read_drops_the_copy() {
        let (cache, connection, open) = cache();
        let (other, _other_open) = WeakConnection::without_server();
        cache.begin_change(&KEY).applied((&Patch::default(), 1), 2, other);
        assert_eq!(version(&cache), None);
        drop((connection, open));
    }

    #[test]
    fn a_change_of_the_cached_version_updates_the_copy() {
        let (cache, connection, _open) = cache();
        cache.begin_change(&KEY).applied((&Patch::default(), 1), 2, connection);
        assert_eq!(version(&cache), Some(2));
    }

    #[test]
    fn a_change_of_another_version_than_the_cached_one_drops_the_copy() {
        let (cache, connection, _open) = cache();
        cache.begin_change(&KEY).applied((&Patch::default(), 1), 3, connection);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_patch_that_stands_for_several_updates_the_copy() {
        let (cache, connection, _open) = cache();
        cache.begin_change(&KEY).applied((&Patch::default(), 3), 4, connection.clone());
        assert_eq!(version(&cache), Some(4));
        cache.begin_change(&KEY).applied((&Patch::default(), 2), 5, connection);
        assert_eq!(version(&cache), None, "one of them was applied to another version");
    }

    #[test]
    fn changes_of_this_process_that_overlap_update_the_copy() {
        let (cache, connection, _open) = cache();
        let (first, second) = (cache.begin_change(&KEY), cache.begin_change(&KEY));
        first.applied((&Patch::default(), 1), 2, connection.clone());
        second.applied((&Patch::default(), 1), 3, connection);
        assert_eq!(version(&cache), Some(3));
    }

    #[test]
    fn a_change_that_overlaps_one_without_an_answer_caches_nothing() {
        let (cache, connection, _open) = cache();
        let (lost, answered) = (cache.begin_change(&KEY), cache.begin_change(&KEY));
        drop(lost);
        cache.insert_if_unchanged(&KEY, cache.reserve(&KEY), &record(1), connection.clone());
        answered.applied((&Patch::default(), 1), 2, connection);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_that_another_process_has_overtaken_drops_the_copy() {
        let (cache, connection, _open) = cache();
        let change = cache.begin_change(&KEY);
        report_a_change(&cache);
        cache.insert_if_unchanged(&KEY, cache.reserve(&KEY), &record(1), connection.clone());
        change.applied((&Patch::default(), 1), 2, connection);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_without_an_answer_drops_the_copy() {
        let (cache, ..) = cache();
        drop(cache.begin_change(&KEY));
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_record_that_was_read_before_a_change_is_not_cached_after_it() {
        let (cache, connection, _open) = cache();
        let reservation = cache.reserve(&KEY);
        cache.begin_change(&KEY).applied((&Patch::default(), 1), 2, connection.clone());
        cache.insert_if_unchanged(&KEY, reservation, &record(1), connection);
        assert_eq!(version(&cache), Some(2));
    }

    #[test]
    fn a_closed_connection_drops_its_copies() {
        let (cache, _, open) = cache();
        drop(open);
        assert_eq!(version(&cache), None);
        assert_eq!(lock(&cache.shards[7]).bytes, 0, "and nothing is held");
    }
}
