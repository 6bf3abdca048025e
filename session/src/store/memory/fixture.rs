//! A store with a clock, for the tests of this store.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::store::MemoryStore;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::Record,
    store::session_store::{CreateOutcome, SessionStore},
    time::{Clock as _, FakeClock},
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn key(n: u64) -> StoreKey {
    // The first byte chooses the shard.
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..16].copy_from_slice(&n.to_le_bytes());
    StoreKey::from_bytes(bytes)
}

pub(super) fn store(capacity: usize) -> (MemoryStore, FakeClock) {
    let clock = FakeClock::default();
    let builder = MemoryStore::builder().capacity(capacity).clock(clock.clone());
    (builder.sweep_interval(None).build(), clock)
}

pub(super) fn record(clock: &FakeClock) -> Record {
    Record::new(clock.now(), clock.now().saturating_add(HOUR))
}

/// The result of a future, which is always ready in a memory store.
pub(super) fn now<T>(future: impl Future<Output = Result<T, StoreError>>) -> T {
    future.now_or_never().expect("ready").expect("a memory store does not fail")
}

pub(super) fn create(store: &MemoryStore, clock: &FakeClock, n: u64) {
    assert_eq!(now(SessionStore::create(store, &key(n), &record(clock))), CreateOutcome::Stored);
}

pub(super) fn is_there(store: &MemoryStore, n: u64) -> bool {
    store.shards.has(&key(n))
}
