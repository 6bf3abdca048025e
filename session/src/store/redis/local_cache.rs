//! Copies of sessions in this process's memory, kept current by the server.
//!
//! The server reports each key that was read over a connection and then changed (Redis calls this
//! client-side caching). Reports and replies arrive in order. So a reply shows that every change
//! has arrived that was made before its command was sent. A copy may be used for a bounded time
//! after that. An unread cache sends nothing; a read sends a probe when the last reply is getting
//! old.

use std::time::Duration;

use super::{
    client::{PushHandler, Reply, WeakConnection},
    layout,
};
use crate::{
    id::StoreKey,
    record::{Patch, Record},
    store::local_cache::{LocalCache, PendingChange, Reservation},
};

/// The copies of sessions, each with the connection over which the server reports its next change.
pub(super) struct RedisCache {
    /// What all keys in Redis begin with.
    prefix: String,
    /// The bound on the age of a copy.
    staleness: Duration,
    copies: LocalCache<WeakConnection>,
}

impl RedisCache {
    pub(super) fn new(prefix: String, max_bytes: usize, staleness: Duration) -> Self {
        Self { prefix, staleness, copies: LocalCache::new(max_bytes) }
    }

    /// The copy of a session, if there is one and it is fresh enough.
    pub(super) fn get(&self, key: &StoreKey) -> Option<Record> {
        let name = || layout::session_key(&self.prefix, key);
        self.copies.get(key, |connection| connection.is_fresh(self.staleness, name))
    }

    /// Permits caching of a record that the server is asked for after this call.
    pub(super) fn reserve(&self, key: &StoreKey) -> Reservation {
        self.copies.reserve(key)
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
        self.copies.insert_if_unchanged(key, reservation, record, connection);
    }

    /// Starts a change of a session. Hold the result until the change is done.
    pub(super) fn begin_change(&self, key: &StoreKey) -> PendingChange<'_, WeakConnection> {
        self.copies.begin_change(key)
    }

    /// Drops the copy of a session.
    pub(super) fn remove(&self, key: &StoreKey) {
        self.copies.remove(key);
    }
}

/// The server has applied a patch, which stands for `count` patches and made this version, and now
/// reports the next change over this connection. The copy stays if it was read over the same one:
/// reports over another may be lost, such as that of a touch, which makes no version.
pub(super) fn applied(
    change: PendingChange<'_, WeakConnection>,
    patch: (&Patch, u64),
    version: u64,
    connection: &WeakConnection,
) {
    change.applied(patch, version, |read_over| read_over.is_same(connection));
}

impl PushHandler for RedisCache {
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
            _ => self.copies.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const KEY: StoreKey = StoreKey::from_bytes([7; 32]);

    /// A cache that has a copy of version 0, which was read over this connection.
    fn cache() -> (RedisCache, WeakConnection, impl Sized) {
        let (connection, open) = WeakConnection::without_server();
        let cache = RedisCache::new(String::new(), 1 << 20, Duration::MAX);
        let record = Record::new(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(1));
        cache.insert_if_unchanged(&KEY, cache.reserve(&KEY), &record, connection.clone());
        assert!(cache.get(&KEY).is_some());
        (cache, connection, open)
    }

    fn report(cache: &RedisCache, keys: Reply) {
        cache.on_push(&[Reply::Text("invalidate".into()), keys]);
    }

    #[test]
    fn a_change_keeps_the_copy_if_it_was_made_over_the_connection_of_the_read() {
        let (cache, connection, _open) = cache();
        applied(cache.begin_change(&KEY), (&Patch::default(), 1), 1, &connection);
        assert_eq!(cache.get(&KEY).map(|record| record.version()), Some(1));
        let (other, _other_open) = WeakConnection::without_server();
        applied(cache.begin_change(&KEY), (&Patch::default(), 1), 2, &other);
        assert!(cache.get(&KEY).is_none());
    }

    #[test]
    fn a_report_drops_the_copy_of_its_key_and_no_other() {
        let (cache, _connection, _open) = cache();
        let name = |key: &StoreKey| Reply::Text(layout::key_name(key).into());
        report(&cache, Reply::List(vec![name(&StoreKey::from_bytes([8; 32]))]));
        assert!(cache.get(&KEY).is_some());
        report(&cache, Reply::List(vec![name(&KEY)]));
        assert!(cache.get(&KEY).is_none());
    }

    #[test]
    fn a_report_without_keys_drops_all_copies() {
        let (cache, _connection, _open) = cache();
        report(&cache, Reply::Null);
        assert!(cache.get(&KEY).is_none());
    }

    #[test]
    fn a_closed_connection_drops_its_copies() {
        let (cache, _, open) = cache();
        drop(open);
        assert!(cache.get(&KEY).is_none());
    }
}
