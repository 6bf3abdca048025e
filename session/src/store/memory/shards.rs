//! All sessions of a store, in shards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use serde_json::value::RawValue;
use tracing::warn;

use super::{
    shard::{LockedShard, MemorySession, MemoryShard},
    value_index::ValueIndex,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PatchError, PublicId, Record},
    store::{
        capabilities::IndexPage,
        index_pages::{IndexEntry, page},
        listing::{ListCursor, ListPage, first_keys},
        session_store::{CreateOutcome, UpdateOutcome},
    },
    time::{Clock, Timestamp},
};

const SHARDS: usize = 64;

/// The sessions, in shards with a lock each.
///
/// Each shard keeps its sessions in the order of their last use. The store numbers all uses, so the
/// shard with the lowest number has the least recently used session. So the store evicts the right
/// session, and yet two requests seldom wait for the same lock.
pub(super) struct Shards {
    shards: Box<[MemoryShard]>,
    index: ValueIndex,
    count: AtomicUsize,
    capacity: usize,
    clock: Arc<dyn Clock>,
    /// The number of the next use of a session.
    next_use: AtomicU64,
    has_evicted: AtomicBool,
}

impl Shards {
    pub(super) fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| MemoryShard::default()).collect(),
            index: ValueIndex::default(),
            count: AtomicUsize::new(0),
            capacity,
            clock,
            next_use: AtomicU64::new(0),
            has_evicted: AtomicBool::new(false),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether a session is held, expired or not. This does not count as a use.
    #[cfg(test)]
    pub(super) fn has(&self, key: &StoreKey) -> bool {
        self.lock(key).sessions.peek(key).is_some()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

// The calls of a session store.
impl Shards {
    pub(super) fn create(&self, key: &StoreKey, record: &Record) -> CreateOutcome {
        let now = self.clock.now();
        let mut shard = self.lock(key);
        if shard.peek_unexpired(key, now).is_some() {
            return CreateOutcome::Taken;
        }
        self.insert(&mut shard, key, record.clone());
        drop(shard);
        self.make_room();
        CreateOutcome::Stored
    }

    pub(super) fn load(&self, key: &StoreKey) -> Option<Record> {
        self.with_unexpired(key, |session| session.record.clone())
    }

    pub(super) fn update(&self, key: &StoreKey, patch: &Patch) -> UpdateOutcome {
        let updated = self.with_unexpired(key, |session| {
            let before = patch.moves(&session.record).then(|| session.record.clone());
            match patch.apply_in_place(&mut session.record) {
                Ok(()) => {
                    if let Some(before) = &before {
                        self.index.change(Some((key, before)), Some((key, &session.record)));
                    }
                    UpdateOutcome::Applied { version: session.record.version() }
                }
                Err(refused) => UpdateOutcome::refused(refused, session.record.clone()),
            }
        });
        updated.unwrap_or(UpdateOutcome::Gone)
    }

    pub(super) fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> bool {
        let touched = self.with_unexpired(key, |session| {
            let is_live = !session.record.is_retired();
            if is_live {
                session.record = session.record.clone().extended_to(expires_at);
            }
            is_live
        });
        touched.unwrap_or(false)
    }

    pub(super) fn destroy(&self, key: &StoreKey) -> bool {
        let mut was_there = false;
        let mut next = Some(*key);
        while let Some(key) = next {
            let removed = self.remove(&key);
            was_there |= removed.is_some();
            next = removed.and_then(|record| record.successor().copied());
        }
        was_there
    }

    pub(super) fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> UpdateOutcome {
        let now = self.clock.now();
        let mut shards = self.lock_both(old, new);
        let Some(current) = shards.of_old().peek_unexpired(old, now) else {
            return UpdateOutcome::Gone;
        };
        let moved = match patch.apply_to(current) {
            Ok(moved) => moved,
            Err(PatchError::Retired) => {
                let retired = current.clone();
                let moved = shards.of_new().peek_unexpired(new, now);
                return UpdateOutcome::repeated(&retired, new, moved);
            }
            Err(refused) => return UpdateOutcome::refused(refused, current.clone()),
        };
        let retired = current.retire(grace, new);
        let version = moved.version();
        if shards.of_new().peek_unexpired(new, now).is_some() {
            return UpdateOutcome::Taken;
        }
        // The new one first, so that the index has the session at any moment.
        self.insert(shards.of_new(), new, moved);
        self.insert(shards.of_old(), old, retired);
        drop(shards);
        self.make_room();
        UpdateOutcome::Applied { version }
    }

    pub(super) fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let entries = |after, limit| Ok(self.index.entries(name, value, after, limit));
        let look = |(_, key): &IndexEntry| {
            Ok(self.peek(key).filter(|record| record.is_found_by(name, value)))
        };
        page(after, limit, entries, look)
    }

    /// The sessions after a key, in the order of their shards and of the keys in each. This does
    /// not count as a use.
    pub(super) fn list(&self, after: Option<StoreKey>, limit: usize) -> ListPage {
        let now = self.clock.now();
        let mut page = ListPage::default();
        let first = after.as_ref().map_or(0, shard_number);
        for number in first..SHARDS {
            let shard = self.shards[number].lock();
            let keys = shard.sessions.iter().map(|(key, _)| *key);
            let wanted = limit - page.sessions.len();
            let keys = first_keys(keys, after.filter(|_| number == first), wanted);
            for key in &keys {
                let record = shard.peek_unexpired(key, now);
                page.sessions.extend(record.map(|record| (*key, record.clone())));
            }
            if keys.len() == wanted {
                page.next = keys.last().map(|key| ListCursor::from(*key));
                break;
            }
        }
        page
    }

    pub(super) fn delete_expired(&self) -> u64 {
        let now = self.clock.now();
        let mut deleted = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.sessions.len();
            shard.sessions.retain(|key, MemorySession { record, .. }| {
                let stays = !record.is_expired(now);
                if !stays {
                    self.index.change(Some((key, record)), None);
                }
                stays
            });
            deleted += before - shard.sessions.len();
            self.count.fetch_sub(before - shard.sessions.len(), Ordering::Relaxed);
        }
        deleted as u64
    }
}

// What the calls are made of.
impl Shards {
    fn lock(&self, key: &StoreKey) -> LockedShard<'_> {
        self.shards[shard_number(key)].lock()
    }

    /// Locks the shards of two keys, in the order of their numbers, so that two rotations cannot
    /// wait for each other.
    fn lock_both(&self, old: &StoreKey, new: &StoreKey) -> LockedPair<'_> {
        let (old, new) = (shard_number(old), shard_number(new));
        let first = self.shards[old.min(new)].lock();
        let second = (old != new).then(|| self.shards[old.max(new)].lock());
        LockedPair { first, second, is_old_first: old < new }
    }

    /// Uses a session that has not expired. Frees it if it has.
    fn with_unexpired<R>(
        &self,
        key: &StoreKey,
        action: impl FnOnce(&mut MemorySession) -> R,
    ) -> Option<R> {
        let now = self.clock.now();
        let mut shard = self.lock(key);
        let session = shard.sessions.get_mut(key)?;
        if session.record.is_expired(now) {
            if let Some(MemorySession { record, .. }) = shard.sessions.remove(key) {
                self.index.change(Some((key, &record)), None);
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        session.last_use = self.next_use();
        Some(action(session))
    }

    /// The record of a session that has not expired. This does not count as a use.
    fn peek(&self, key: &StoreKey) -> Option<Record> {
        let now = self.clock.now();
        self.lock(key).peek_unexpired(key, now).cloned()
    }

    fn insert(&self, shard: &mut LockedShard<'_>, key: &StoreKey, record: Record) {
        let indexed = record.index().is_some().then(|| record.clone());
        let session = MemorySession { record, last_use: self.next_use() };
        let before = shard.sessions.insert(*key, session).map(|session| session.record);
        if before.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        let with_key = |record| (key, record);
        self.index.change(before.as_ref().map(with_key), indexed.as_ref().map(with_key));
    }

    /// Removes a session. Returns its record, unless it has expired.
    fn remove(&self, key: &StoreKey) -> Option<Record> {
        let now = self.clock.now();
        let mut shard = self.lock(key);
        let removed = shard.sessions.remove(key)?;
        self.index.change(Some((key, &removed.record)), None);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(removed.record).filter(|record| !record.is_expired(now))
    }

    /// Removes the least recently used sessions while there are more than the capacity.
    fn make_room(&self) {
        while self.len() > self.capacity {
            let Some(shard) = self.shards.iter().min_by_key(|shard| shard.oldest()) else {
                return;
            };
            let mut shard = shard.lock();
            let Some((key, evicted)) = shard.sessions.remove_lru() else {
                // Another thread has emptied it meanwhile.
                continue;
            };
            self.index.change(Some((&key, &evicted.record)), None);
            self.count.fetch_sub(1, Ordering::Relaxed);
            if !evicted.record.is_expired(self.clock.now()) {
                self.warn_of_first_eviction();
            }
        }
    }

    fn warn_of_first_eviction(&self) {
        if !self.has_evicted.swap(true, Ordering::Relaxed) {
            warn!(
                event = "memory_store_full",
                "the memory store is full with {} sessions; from now on the least recently used \
                 ones end early; give it more `capacity`, or its sessions a shorter `max_age`",
                self.capacity,
            );
        }
    }

    fn next_use(&self) -> u64 {
        self.next_use.fetch_add(1, Ordering::Relaxed)
    }
}

fn shard_number(key: &StoreKey) -> usize {
    // OK because a key is a hash, so the values of its first byte are evenly spread.
    usize::from(key.as_bytes()[0]) % SHARDS
}

/// The locked shards of an old and a new key, which may be the same shard.
struct LockedPair<'a> {
    first: LockedShard<'a>,
    /// `None` if both keys are in the first.
    second: Option<LockedShard<'a>>,
    is_old_first: bool,
}

impl<'a> LockedPair<'a> {
    fn of_old(&mut self) -> &mut LockedShard<'a> {
        match &mut self.second {
            Some(second) if !self.is_old_first => second,
            _ => &mut self.first,
        }
    }

    fn of_new(&mut self) -> &mut LockedShard<'a> {
        match &mut self.second {
            Some(second) if self.is_old_first => second,
            _ => &mut self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        record::{Index, OldIdReads},
        store::{
            capabilities::DeleteExpired as _,
            memory::fixture::{HOUR, create, is_there, key, now, record, store},
            session_store::{LoadOptions, SessionStore as _},
        },
    };

    #[test]
    fn the_least_recently_used_session_goes_first() {
        for capacity in [1, 3, 1_000] {
            let (store, clock) = store(capacity as usize);
            (0..capacity).for_each(|n| create(&store, &clock, n));
            // The first session is used once more, so the second is the oldest.
            assert!(now(store.load(&key(0), &LoadOptions::default())).is_some());
            create(&store, &clock, capacity);
            assert_eq!(store.len() as u64, capacity);
            assert!(is_there(&store, capacity), "a new session is never refused");
            assert_eq!(is_there(&store, 0), capacity > 1);
            assert_eq!(is_there(&store, 1), capacity == 1);
        }
    }

    #[test]
    fn sessions_go_in_the_order_of_their_use_over_all_shards() {
        let (store, clock) = store(500);
        (0..500).for_each(|n| create(&store, &clock, n));
        for n in 0..500 {
            create(&store, &clock, 500 + n);
            assert!(!is_there(&store, n) && is_there(&store, n + 1), "{n}");
        }
    }

    #[test]
    fn a_rotation_makes_room_too() {
        let (store, clock) = store(2);
        create(&store, &clock, 0);
        create(&store, &clock, 1);
        let grace = Grace { until: clock.now().saturating_add(HOUR), old_id: OldIdReads::Snapshot };
        let rotated = now(store.rotate(&key(1), &key(2), &Patch::default(), grace));
        assert!(matches!(rotated, UpdateOutcome::Applied { .. }));
        assert_eq!(store.len(), 2);
        assert!(!is_there(&store, 0) && is_there(&store, 1) && is_there(&store, 2));
    }

    #[test]
    fn renewals_that_cross_do_not_wait_for_each_other() {
        let (store, clock) = store(100_000);
        let until = clock.now().saturating_add(HOUR);
        let (done, is_done) = std::sync::mpsc::channel();
        for direction in [[1, 2], [2, 1]] {
            let (store, clock, done) = (store.clone(), clock.clone(), done.clone());
            thread::spawn(move || {
                for n in 0..5_000_u16 {
                    let [old, new] = direction.map(|shard| {
                        let mut bytes = [direction[0]; 32];
                        bytes[0] = shard;
                        // These are part of the hash.
                        bytes[8..10].copy_from_slice(&n.to_le_bytes());
                        StoreKey::from_bytes(bytes)
                    });
                    store.shards.create(&old, &record(&clock));
                    let grace = Grace { until, old_id: OldIdReads::Nothing };
                    store.shards.rotate(&old, &new, &Patch::default(), grace);
                }
                done.send(()).expect("the test waits");
            });
        }
        for _ in 0..2 {
            is_done.recv_timeout(Duration::from_secs(60)).expect("both come to an end");
        }
    }

    #[test]
    fn freeing_expired_sessions_keeps_the_others_and_counts_right() {
        let (store, clock) = store(10_000);
        (0..100).for_each(|n| create(&store, &clock, n));
        clock.advance(HOUR / 2);
        (100..150).for_each(|n| create(&store, &clock, n));
        clock.advance(HOUR / 2);
        assert_eq!(now(store.delete_expired()), 100);
        assert_eq!(store.len(), 50);
        assert_eq!(now(store.delete_expired()), 0);
        assert!(now(store.load(&key(120), &LoadOptions::default())).is_some());
    }

    #[test]
    fn a_load_of_an_expired_session_frees_it() {
        let (store, clock) = store(10);
        create(&store, &clock, 0);
        clock.advance(HOUR);
        assert!(now(store.load(&key(0), &LoadOptions::default())).is_none());
        assert!(store.is_empty());
    }

    #[test]
    fn the_bound_holds_while_threads_insert_and_remove() {
        let (store, clock) = store(100);
        thread::scope(|scope| {
            for t in 0..4 {
                let (store, clock) = (store.clone(), clock.clone());
                scope.spawn(move || {
                    for n in 0..5_000 {
                        create(&store, &clock, t * 1_000_000 + n);
                        if n % 3 == 0 {
                            now(store.destroy(&key(t * 1_000_000 + n)));
                        }
                    }
                });
            }
        });
        let there: usize =
            store.shards.shards.iter().map(|shard| shard.lock().sessions.len()).sum();
        assert_eq!(there, store.len());
        assert!(there <= 100, "{there}");
    }

    /// A record whose field `user` has this value and is indexed.
    fn indexed(user: u64, from: &Record) -> Record {
        let mut patch = Patch::default();
        let json = RawValue::from_string(user.to_string()).expect("a number is JSON");
        patch.set("user".into(), json.into());
        let id = PublicId::new(from.created_at(), HOUR);
        patch.index_field(Index::new(id, "user".into()));
        patch.apply_to(from).expect("a live record takes a patch")
    }

    #[test]
    fn the_index_has_no_entry_of_sessions_that_are_gone() {
        let (store, clock) = store(10);
        let record = || Record::new(clock.now(), clock.now().saturating_add(HOUR));
        let left = || store.shards.index.len();
        // Evicted, replaced, destroyed, renewed, and expired: swept, asked for, overwritten.
        for n in 0..20 {
            store.shards.create(&key(n), &indexed(n, &record()));
        }
        assert_eq!(left(), 10, "evicted sessions have left the index");
        for n in 10..20 {
            assert!(store.destroy(&key(n)).now_or_never().is_some());
        }
        assert_eq!(left(), 0);
        for n in 0..4 {
            store.shards.create(&key(n), &indexed(n, &record()));
        }
        let grace = Grace { until: clock.now().saturating_add(HOUR), old_id: OldIdReads::Snapshot };
        store.shards.rotate(&key(3), &key(4), &Patch::default(), grace);
        assert_eq!(left(), 4);
        clock.advance(HOUR);
        assert!(store.load(&key(0), &LoadOptions::default()).now_or_never().is_some());
        store.shards.create(&key(1), &record());
        assert_eq!(left(), 2);
        store.shards.delete_expired();
        assert_eq!(left(), 0);
    }
}
