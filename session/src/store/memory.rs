//! Sessions in this process's memory.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::BuildHasherDefault,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hashlink::LruCache;
use serde_json::value::RawValue;
use tracing::warn;

use super::{
    capabilities::{DeleteExpired, FindByIndex, Found},
    index_pages::{IndexEntry, page},
    session_store::{Created, SessionStore, Updated},
    sweeper::Sweeper,
};
use crate::{
    error::StoreError,
    id::{KeyHasher, StoreKey},
    record::{Grace, Patch, PublicId, Record},
    time::{Clock, SystemClock, Timestamp},
};

/// Keeps sessions in this process's memory: fast, gone with the process, unknown to other processes.
///
/// It holds a bounded number of sessions (100 000 unless told otherwise). When it is full, the session
/// that was used least recently makes room. Expired sessions are freed by a background thread.
///
/// Clones are handles to the same sessions. Make one store, outside the closure that builds the
/// `App`; one made inside would be one per worker, and the sessions of one worker would be unknown to
/// the others.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SessionMiddleware};
///
/// let sessions = SessionMiddleware::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    sessions: Arc<Sessions>,
    _sweeper: Option<Arc<Sweeper>>,
}

impl MemoryStore {
    /// A store for up to 100 000 sessions.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A store with settings of your own.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: 100_000,
            sweep_interval: Some(Duration::from_secs(60)),
            clock: Arc::new(SystemClock),
        }
    }

    /// The number of sessions held, including expired ones that are not yet freed.
    pub fn len(&self) -> usize {
        self.sessions.count.load(Ordering::Relaxed)
    }

    /// Whether no session is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.sessions.capacity)
            .finish_non_exhaustive()
    }
}

/// Sets up a [`MemoryStore`].
///
/// # Examples
/// ```
/// use actix_typed_session::MemoryStore;
///
/// let store = MemoryStore::builder().capacity(1_000_000).build();
/// assert!(store.is_empty());
/// ```
#[must_use = "`build` makes the store"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    sweep_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// The most sessions that are held. The default is 100 000; zero counts as one.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions.max(1);
        self
    }

    /// How often expired sessions are freed. The default is every minute; with `None` they are freed
    /// only when they are asked for or make room for others.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// What tells the time. The default is the operating system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the store.
    pub fn build(self) -> MemoryStore {
        let sessions = Arc::new(Sessions {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            values: Values::default(),
            count: AtomicUsize::new(0),
            capacity: self.capacity,
            clock: self.clock,
            uses: AtomicU64::new(0),
            has_evicted: AtomicBool::new(false),
        });
        let sweeper = self.sweep_interval.and_then(|interval| {
            let sweep = |sessions: &Sessions| {
                sessions.delete_expired();
            };
            Sweeper::start(&sessions, interval, sweep)
                .inspect_err(|error| {
                    warn!("expired sessions are freed only when they are asked for: {error}");
                })
                .ok()
                .map(Arc::new)
        });
        MemoryStore { sessions, _sweeper: sweeper }
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder")
            .field("capacity", &self.capacity)
            .field("sweep_interval", &self.sweep_interval)
            .finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    const IMMEDIATE: bool = true;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        Ok(self.sessions.create(key, record))
    }

    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        Ok(self.sessions.with_live(key, |entry| entry.record.clone()))
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let updated = self.sessions.with_live(key, |entry| {
            let before = patch.moves(&entry.record).then(|| entry.record.clone());
            match patch.apply_in_place(&mut entry.record) {
                Ok(()) => {
                    if let Some(before) = &before {
                        self.sessions
                            .values
                            .change(Some((key, before)), Some((key, &entry.record)));
                    }
                    Updated::Applied { version: entry.record.version() }
                }
                Err(refused) => Updated::refused(refused, entry.record.clone()),
            }
        });
        Ok(updated.unwrap_or(Updated::Gone))
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let touched = self.sessions.with_live(key, |entry| {
            let live = !entry.record.is_retired();
            if live {
                entry.record = entry.record.clone().extended_to(expires_at);
            }
            live
        });
        Ok(touched.unwrap_or(false))
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut there = false;
        let mut next = Some(*key);
        while let Some(key) = next {
            let removed = self.sessions.remove(&key);
            there |= removed.is_some();
            next = removed.and_then(|record| record.successor().copied());
        }
        Ok(there)
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        Ok(self.sessions.rotate(old, new, patch, grace))
    }
}

impl DeleteExpired for MemoryStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        Ok(self.sessions.delete_expired())
    }
}

impl FindByIndex for MemoryStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let sessions = &self.sessions;
        let entries = |after, limit| Ok(sessions.values.entries(name, value, after, limit));
        let look = |(_, key): &IndexEntry| {
            Ok(sessions.peek(key).filter(|record| record.is_found_by(name, value)))
        };
        page(after, limit, entries, look)
    }
}

const SHARDS: usize = 64;

/// The sessions, in shards that are locked one by one.
///
/// Each shard knows the order in which its own entries were used. The order over all shards follows
/// from the time of use of each shard's oldest entry, so the store evicts the least recently used of
/// all, and yet two requests seldom wait for the same lock.
struct Sessions {
    shards: Box<[Shard]>,
    values: Values,
    count: AtomicUsize,
    capacity: usize,
    clock: Arc<dyn Clock>,
    /// Counts how often entries were used.
    uses: AtomicU64,
    has_evicted: AtomicBool,
}

struct Shard {
    entries: Mutex<Entries>,
    /// [`Entry::used`] of the least recently used entry; `u64::MAX` if there is none.
    oldest: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        let entries = Entries::with_hasher(usize::MAX, BuildHasherDefault::default());
        Self { entries: Mutex::new(entries), oldest: AtomicU64::new(u64::MAX) }
    }
}

/// Which sessions are found by which value of which field.
///
/// Entries change while the shard of their session is locked, so they are always as the sessions are. No shard is
/// waited for while this is locked.
#[derive(Default)]
struct Values(Mutex<HashMap<String, BTreeSet<IndexEntry>>>);

impl Values {
    fn value(name: &str, json: &RawValue) -> String {
        // OK because the name of an indexed field has no line break.
        format!("{name}\n{}", json.get())
    }

    /// Takes a session out, and puts one in, in one step.
    fn change(&self, gone: Option<(&StoreKey, &Record)>, new: Option<(&StoreKey, &Record)>) {
        let [gone, new] = [gone, new].map(|session| {
            session.and_then(|(key, record)| Some(((record.index()?.public_id(), *key), record)))
        });
        if gone.is_none() && new.is_none() {
            return;
        }
        // OK because nothing that runs under the lock panics half way.
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((entry, record)) = gone {
            for (name, json) in record.indexed_fields() {
                let value = Self::value(name, json);
                if let Some(entries) = values.get_mut(&value) {
                    entries.remove(&entry);
                    if entries.is_empty() {
                        values.remove(&value);
                    }
                }
            }
        }
        if let Some((entry, record)) = new {
            for (name, json) in record.indexed_fields() {
                values.entry(Self::value(name, json)).or_default().insert(entry);
            }
        }
    }

    fn entries(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Vec<IndexEntry> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = values.get(&Self::value(name, value)) else { return Vec::new() };
        let after = match after {
            None => Bound::Unbounded,
            Some(id) => Bound::Excluded((id, StoreKey::from_bytes([u8::MAX; 32]))),
        };
        entries.range((after, Bound::Unbounded)).take(limit).copied().collect()
    }
}

type Entries = LruCache<StoreKey, Entry, BuildHasherDefault<KeyHasher>>;

struct Entry {
    record: Record,
    /// When the entry was last used, as [`Sessions::uses`] counts.
    used: u64,
}

/// A shard's entries, locked. Keeps [`Shard::oldest`] true when it lets go.
struct Locked<'a> {
    shard: &'a Shard,
    entries: MutexGuard<'a, Entries>,
}

impl Shard {
    fn lock(&self) -> Locked<'_> {
        // OK because no code that runs under the lock leaves an entry half changed.
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { shard: self, entries }
    }
}

impl Locked<'_> {
    fn oldest(&self) -> u64 {
        self.entries.iter().next().map_or(u64::MAX, |(_, entry)| entry.used)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.shard.oldest.store(self.oldest(), Ordering::Relaxed);
    }
}

impl Sessions {
    fn index(key: &StoreKey) -> usize {
        // OK because a key is a hash, so each byte of it spreads evenly.
        usize::from(key.as_bytes()[0]) % SHARDS
    }

    fn used_now(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Uses the entry of a key, if it has one that has not expired.
    fn with_live<R>(&self, key: &StoreKey, action: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let now = self.clock.now();
        let mut shard = self.shards[Self::index(key)].lock();
        let entry = shard.entries.get_mut(key)?;
        if entry.record.is_expired(now) {
            if let Some(Entry { record, .. }) = shard.entries.remove(key) {
                self.values.change(Some((key, &record)), None);
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        entry.used = self.used_now();
        Some(action(entry))
    }

    /// The session of a key that has not expired. This is no use of it.
    fn peek(&self, key: &StoreKey) -> Option<Record> {
        let now = self.clock.now();
        let shard = self.shards[Self::index(key)].lock();
        let record = &shard.entries.peek(key)?.record;
        (!record.is_expired(now)).then(|| record.clone())
    }

    fn create(&self, key: &StoreKey, record: &Record) -> Created {
        let now = self.clock.now();
        let mut shard = self.shards[Self::index(key)].lock();
        if shard.entries.peek(key).is_some_and(|entry| !entry.record.is_expired(now)) {
            return Created::Taken;
        }
        self.insert(&mut shard, key, record.clone());
        drop(shard);
        self.make_room();
        Created::Stored
    }

    fn insert(&self, shard: &mut Locked<'_>, key: &StoreKey, record: Record) {
        let indexed = record.index().is_some().then(|| record.clone());
        let entry = Entry { record, used: self.used_now() };
        let before = shard.entries.insert(*key, entry).map(|entry| entry.record);
        if before.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        let session = |record| (key, record);
        self.values.change(before.as_ref().map(session), indexed.as_ref().map(session));
    }

    fn remove(&self, key: &StoreKey) -> Option<Record> {
        let now = self.clock.now();
        let mut shard = self.shards[Self::index(key)].lock();
        let removed = shard.entries.remove(key)?;
        self.values.change(Some((key, &removed.record)), None);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(removed.record).filter(|record| !record.is_expired(now))
    }

    fn rotate(&self, old: &StoreKey, new: &StoreKey, patch: &Patch, grace: Grace) -> Updated {
        let now = self.clock.now();
        let (old_index, new_index) = (Self::index(old), Self::index(new));
        // In the order of their indexes, so that no two rotations wait for each other.
        let mut first = self.shards[old_index.min(new_index)].lock();
        let mut second =
            (old_index != new_index).then(|| self.shards[old_index.max(new_index)].lock());
        let (old_shard, new_shard) = match &mut second {
            None => (&mut first, None),
            Some(second) if old_index < new_index => (&mut first, Some(second)),
            Some(second) => (second, Some(&mut first)),
        };
        let Some(current) = old_shard
            .entries
            .peek(old)
            .map(|entry| &entry.record)
            .filter(|record| !record.is_expired(now))
        else {
            return Updated::Gone;
        };
        let moved = match patch.apply_to(current) {
            Ok(moved) => moved,
            Err(refused) => return Updated::refused(refused, current.clone()),
        };
        let retired = current.retire(grace, new);
        let version = moved.version();
        let is_taken = |shard: &Locked<'_>| {
            shard.entries.peek(new).is_some_and(|entry| !entry.record.is_expired(now))
        };
        if is_taken(new_shard.as_deref().unwrap_or(old_shard)) {
            return Updated::Taken;
        }
        // The new one first, so that the session is found at any moment.
        match new_shard {
            Some(new_shard) => self.insert(new_shard, new, moved),
            None => self.insert(old_shard, new, moved),
        }
        self.insert(old_shard, old, retired);
        drop(first);
        drop(second);
        self.make_room();
        Updated::Applied { version }
    }

    /// Removes the least recently used entries that are too many.
    fn make_room(&self) {
        while self.count.load(Ordering::Relaxed) > self.capacity {
            let Some(shard) =
                self.shards.iter().min_by_key(|shard| shard.oldest.load(Ordering::Relaxed))
            else {
                return;
            };
            let mut shard = shard.lock();
            let Some((key, evicted)) = shard.entries.remove_lru() else {
                // Another thread emptied it meanwhile.
                continue;
            };
            self.values.change(Some((&key, &evicted.record)), None);
            self.count.fetch_sub(1, Ordering::Relaxed);
            if !evicted.record.is_expired(self.clock.now())
                && !self.has_evicted.swap(true, Ordering::Relaxed)
            {
                warn!(
                    "the memory store is full with {} sessions; from now on the least recently used \
                     ones end early; give it more `capacity`, or its sessions a shorter `max_age`",
                    self.capacity,
                );
            }
        }
    }

    fn delete_expired(&self) -> u64 {
        let now = self.clock.now();
        let mut deleted = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.entries.len();
            shard.entries.retain(|key, Entry { record, .. }| {
                let stays = !record.is_expired(now);
                if !stays {
                    self.values.change(Some((key, record)), None);
                }
                stays
            });
            deleted += before - shard.entries.len();
            self.count.fetch_sub(before - shard.entries.len(), Ordering::Relaxed);
        }
        deleted as u64
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{record::Index, time::FakeClock};

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(n: u64) -> StoreKey {
        // The first byte chooses the shard.
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes[8..16].copy_from_slice(&n.to_le_bytes());
        StoreKey::from_bytes(bytes)
    }

    fn store(capacity: usize) -> (MemoryStore, FakeClock) {
        let clock = FakeClock::default();
        let builder = MemoryStore::builder().capacity(capacity).clock(clock.clone());
        (builder.sweep_interval(None).build(), clock)
    }

    fn record(clock: &FakeClock) -> Record {
        Record::new(clock.now(), clock.now().saturating_add(HOUR))
    }

    /// The future of a memory store is always ready.
    fn now<T>(future: impl Future<Output = Result<T, StoreError>>) -> T {
        future.now_or_never().expect("ready").expect("a memory store does not fail")
    }

    fn create(store: &MemoryStore, clock: &FakeClock, n: u64) {
        assert_eq!(now(SessionStore::create(store, &key(n), &record(clock))), Created::Stored);
    }

    fn there(store: &MemoryStore, n: u64) -> bool {
        store.sessions.shards[Sessions::index(&key(n))].lock().entries.peek(&key(n)).is_some()
    }

    #[test]
    fn the_least_recently_used_session_goes_first() {
        for capacity in [1, 3, 1_000] {
            let (store, clock) = store(capacity as usize);
            (0..capacity).for_each(|n| create(&store, &clock, n));
            // The first session is used once more, so the second is the oldest.
            assert!(now(store.load(&key(0))).is_some());
            create(&store, &clock, capacity);
            assert_eq!(store.len() as u64, capacity);
            assert!(there(&store, capacity), "a new session is never refused");
            assert_eq!(there(&store, 0), capacity > 1);
            assert_eq!(there(&store, 1), capacity == 1);
        }
    }

    #[test]
    fn sessions_go_in_the_order_of_their_use_over_all_shards() {
        let (store, clock) = store(500);
        (0..500).for_each(|n| create(&store, &clock, n));
        for n in 0..500 {
            create(&store, &clock, 500 + n);
            assert!(!there(&store, n) && there(&store, n + 1), "{n}");
        }
    }

    #[test]
    fn a_rotation_makes_room_too() {
        let (store, clock) = store(2);
        create(&store, &clock, 0);
        create(&store, &clock, 1);
        let grace =
            Grace { until: clock.now().saturating_add(HOUR), old_id: crate::OldId::ReadsSnapshot };
        let rotated = now(store.rotate(&key(1), &key(2), &Patch::default(), grace));
        assert!(matches!(rotated, Updated::Applied { .. }));
        assert_eq!(store.len(), 2);
        assert!(!there(&store, 0) && there(&store, 1) && there(&store, 2));
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
                        bytes[1..3].copy_from_slice(&n.to_le_bytes());
                        StoreKey::from_bytes(bytes)
                    });
                    store.sessions.create(&old, &record(&clock));
                    let grace = Grace { until, old_id: crate::OldId::ReadsNothing };
                    store.sessions.rotate(&old, &new, &Patch::default(), grace);
                }
                done.send(()).expect("the test waits");
            });
        }
        for _ in 0..2 {
            is_done.recv_timeout(Duration::from_secs(60)).expect("both come to an end");
        }
    }

    #[test]
    fn expired_sessions_are_freed_without_being_asked_for() {
        let clock = FakeClock::default();
        let store = MemoryStore::builder()
            .clock(clock.clone())
            .sweep_interval(Some(Duration::from_millis(1)))
            .build();
        (0..1_000).for_each(|n| create(&store, &clock, n));
        clock.advance(HOUR);
        for _ in 0..2_000 {
            if store.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{} expired sessions are still there after 10 s", store.len());
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
        assert!(now(store.load(&key(120))).is_some());
    }

    #[test]
    fn asking_for_an_expired_session_frees_it() {
        let (store, clock) = store(10);
        create(&store, &clock, 0);
        clock.advance(HOUR);
        assert!(now(store.load(&key(0))).is_none());
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
            store.sessions.shards.iter().map(|shard| shard.lock().entries.len()).sum();
        assert_eq!(there, store.len());
        assert!(there <= 100, "{there}");
    }

    fn indexed(user: u64, from: &Record) -> Record {
        let mut patch = Patch::default();
        let json = RawValue::from_string(user.to_string()).expect("a number is JSON");
        patch.set("user".into(), json.into());
        let id = PublicId::new(from.expires_at());
        patch.index_field(Index::new(id, "user".into()));
        patch.apply_to(from).expect("a live record takes a patch")
    }

    #[test]
    fn nothing_is_left_in_the_index_of_sessions_that_are_gone() {
        let (store, clock) = store(10);
        let record = || Record::new(clock.now(), clock.now().saturating_add(HOUR));
        let left = || store.sessions.values.0.lock().map(|values| values.len()).ok();
        // Evicted, replaced, destroyed, renewed, and expired: swept, asked for, overwritten.
        for n in 0..20 {
            store.sessions.create(&key(n), &indexed(n, &record()));
        }
        assert_eq!(left(), Some(10), "those that were evicted are in no index");
        for n in 10..20 {
            assert!(store.destroy(&key(n)).now_or_never().is_some());
        }
        assert_eq!(left(), Some(0));
        for n in 0..4 {
            store.sessions.create(&key(n), &indexed(n, &record()));
        }
        let grace =
            Grace { until: clock.now().saturating_add(HOUR), old_id: crate::OldId::ReadsSnapshot };
        store.sessions.rotate(&key(3), &key(4), &Patch::default(), grace);
        assert_eq!(left(), Some(4));
        clock.advance(HOUR);
        assert!(store.load(&key(0)).now_or_never().is_some());
        store.sessions.create(&key(1), &record());
        assert_eq!(left(), Some(2));
        store.sessions.delete_expired();
        assert_eq!(left(), Some(0));
    }
}
