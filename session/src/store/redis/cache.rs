//! Sessions in this process's memory, each for as long as its server says when it changes.
//!
//! A server tells a connection once that a key has changed that was read over it (Redis calls it client-side
//! caching). It says so in order with its replies. So a reply to a command proves that whatever was changed before
//! that command was sent is known here, and a copy is good for a bounded time after the last such proof.
//! Nothing is sent while nobody reads; who reads when the last proof is getting old asks for another.
//!
//! A session that is being read while it is changed must not be kept as it was before. So whoever asks the server takes
//! a [`Glance`] first, and what is said about the key until the answer makes it void.

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

/// The sessions that are at hand.
pub(super) struct Cache {
    /// What the names of keys begin with.
    prefix: String,
    /// How old a proof may be that nothing has changed.
    staleness: Duration,
    /// How many bytes each shard may hold.
    room: usize,
    shards: Box<[Mutex<Shard>]>,
}

struct Shard {
    entries: LruCache<StoreKey, IndexEntry, BuildHasherDefault<KeyHasher>>,
    /// What the entries weigh.
    bytes: usize,
    /// How often something was said about the keys of each [`kind`].
    said: Box<[u32]>,
}

struct IndexEntry {
    record: Record,
    /// Who says when it changes.
    source: WeakConnection,
    bytes: usize,
}

/// What was said about a key before the server was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    said: u32,
}

/// A change of a session that is under way. What is at hand of it is forgotten in the end, also if it is never
/// known what became of the change.
pub(super) struct Changing<'a> {
    cache: &'a Cache,
    key: StoreKey,
    glance: Glance,
}

/// Few, because none keeps a session that is larger than its own share of the memory.
const SHARDS: usize = 16;
/// How many kinds of keys a shard tells apart.
const KINDS: usize = 1_024;

impl Cache {
    pub(super) fn new(prefix: String, bytes: usize, staleness: Duration) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { prefix, staleness, room: bytes / SHARDS, shards }
    }

    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        lock(shard)
    }

    /// The session of a key, if it is at hand.
    pub(super) fn get(&self, key: &StoreKey) -> Option<Record> {
        let mut shard = self.shard(key);
        let entry = shard.entries.get(key)?;
        if entry.source.is_closed() {
            shard.remove(key);
            return None;
        }
        let name = || layout::prefixed_key_name(&self.prefix, key);
        entry.source.is_fresh(self.staleness, name).then(|| entry.record.clone())
    }

    /// To be taken before the server is asked.
    pub(super) fn glance(&self, key: &StoreKey) -> Glance {
        Glance { said: self.shard(key).said[kind(key)] }
    }

    /// Keeps what the server has answered over a connection.
    pub(super) fn keep(
        &self,
        key: &StoreKey,
        glance: Glance,
        record: &Record,
        source: WeakConnection,
    ) {
        let mut shard = self.shard(key);
        if shard.said[kind(key)] == glance.said {
            shard.insert(key, record.clone(), source, self.room);
        }
    }

    /// To be held while a session is changed.
    pub(super) fn changing(&self, key: &StoreKey) -> Changing<'_> {
        Changing { cache: self, key: *key, glance: self.glance(key) }
    }

    /// Forgets a session.
    pub(super) fn forget(&self, key: &StoreKey) {
        let mut shard = self.shard(key);
        shard.say(key);
        shard.remove(key);
    }

    fn forget_all(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.said.iter_mut().for_each(|said| *said = said.wrapping_add(1));
            shard.entries.clear();
            shard.bytes = 0;
        }
    }
}

impl PushHandler for Cache {
    fn on_push(&self, said: &[Reply]) {
        let [what, keys] = said else { return };
        if !what.is_text("invalidate") {
            return;
        }
        match keys {
            Reply::List(names) => names.iter().for_each(|name| {
                let name = name.as_str().and_then(|name| name.strip_prefix(&*self.prefix));
                if let Some(key) = name.and_then(|name| layout::parse_key_name(name.as_bytes())) {
                    self.forget(&key);
                }
            }),
            // All of them: the database was emptied.
            _ => self.forget_all(),
        }
    }
}

impl Default for Shard {
    fn default() -> Self {
        let entries = LruCache::with_hasher(usize::MAX, BuildHasherDefault::default());
        Self { entries, bytes: 0, said: [0; KINDS].into() }
    }
}

impl Shard {
    /// Notes that something was said about a key.
    fn say(&mut self, key: &StoreKey) {
        let said = &mut self.said[kind(key)];
        *said = said.wrapping_add(1);
    }

    fn remove(&mut self, key: &StoreKey) -> Option<IndexEntry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn insert(&mut self, key: &StoreKey, record: Record, source: WeakConnection, room: usize) {
        self.remove(key);
        let bytes = size_of::<(StoreKey, IndexEntry)>() + OVERHEAD + record.memory();
        if bytes > room {
            return;
        }
        self.bytes += bytes;
        self.entries.insert(*key, IndexEntry { record, source, bytes });
        while self.bytes > room {
            match self.entries.remove_lru() {
                Some((_, entry)) => self.bytes -= entry.bytes,
                None => break,
            }
        }
    }
}

/// What an entry takes beside itself: its links, and its share of the table.
const OVERHEAD: usize = 48;

fn kind(key: &StoreKey) -> usize {
    let [_, high, low, ..] = *key.as_bytes();
    usize::from(u16::from_be_bytes([high, low])) % KINDS
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // OK because nothing that runs under the lock leaves an entry half changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changing<'_> {
    /// The server has applied a patch, which has made this version, and says from now on over this connection when
    /// the session changes again. If what is at hand is what the patch was applied to, the result is at hand.
    pub(super) fn applied(self, patch: &Patch, version: u64, source: WeakConnection) {
        let mut shard = self.cache.shard(&self.key);
        let is_known = shard.said[kind(&self.key)] == self.glance.said;
        // Whoever has read it before the change must not keep that.
        shard.say(&self.key);
        if let Some(IndexEntry { mut record, .. }) = shard.remove(&self.key)
            && is_known
            && record.version().checked_add(1) == Some(version)
            && patch.apply_in_place(&mut record).is_ok()
        {
            shard.insert(&self.key, record, source, self.cache.room);
        }
        drop(shard);
        mem::forget(self);
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.cache.forget(&self.key);
    }
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

    /// A cache that has a record of version 1 at hand.
    fn cache() -> (Cache, WeakConnection, impl Sized) {
        let (source, open) = WeakConnection::without_server();
        let cache = Cache::new(String::new(), 1 << 20, Duration::MAX);
        cache.keep(&KEY, cache.glance(&KEY), &record(1), source.clone());
        assert_eq!(version(&cache), Some(1));
        (cache, source, open)
    }

    fn version(cache: &Cache) -> Option<u64> {
        cache.get(&KEY).map(|record| record.version())
    }

    fn say_that_it_has_changed(cache: &Cache) {
        let name = Reply::Text(layout::key_name(&KEY).into());
        cache.on_push(&[Reply::Text("invalidate".into()), Reply::List(vec![name])]);
    }

    #[test]
    fn a_change_of_what_is_at_hand_is_at_hand() {
        let (cache, source, _open) = cache();
        cache.changing(&KEY).applied(&Patch::default(), 2, source);
        assert_eq!(version(&cache), Some(2));
    }

    #[test]
    fn a_change_of_something_else_than_what_is_at_hand_is_not() {
        let (cache, source, _open) = cache();
        cache.changing(&KEY).applied(&Patch::default(), 3, source);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_that_others_have_changed_again_is_not_at_hand() {
        let (cache, source, _open) = cache();
        let changing = cache.changing(&KEY);
        say_that_it_has_changed(&cache);
        cache.keep(&KEY, cache.glance(&KEY), &record(1), source.clone());
        changing.applied(&Patch::default(), 2, source);
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn a_change_without_an_answer_leaves_nothing_at_hand() {
        let (cache, ..) = cache();
        drop(cache.changing(&KEY));
        assert_eq!(version(&cache), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (cache, source, _open) = cache();
        let glance = cache.glance(&KEY);
        cache.changing(&KEY).applied(&Patch::default(), 2, source.clone());
        cache.keep(&KEY, glance, &record(1), source);
        assert_eq!(version(&cache), Some(2));
    }

    #[test]
    fn nothing_is_at_hand_once_the_connection_is_gone() {
        let (cache, _, open) = cache();
        drop(open);
        assert_eq!(version(&cache), None);
        assert_eq!(lock(&cache.shards[7]).bytes, 0, "and nothing is held");
    }
}
