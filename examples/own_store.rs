//! A custom session store that uses only the public API. Prove it with the test kit:
//! `cargo test --example own_store`.
//!
//! It keeps each session as bytes in a map, like a key-value database. [`Patch::apply_to`] and
//! [`Record::retire`] compute the new records. The store only makes each call atomic. This one uses
//! a lock; a database would use a transaction or a compare-and-swap.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_typed_session::{
    Clock, SessionMiddleware, StoreError, SystemClock, Timestamp,
    store::{
        CreateOutcome, DeleteExpired, Grace, LoadOptions, Patch, PatchError, Record, SessionStore,
        StoreKey, UpdateOutcome,
    },
};

type Bytes = BTreeMap<StoreKey, Vec<u8>>;

/// Sessions as bytes in a map.
struct MapStore {
    bytes: Mutex<Bytes>,
    clock: Arc<dyn Clock>,
}

impl MapStore {
    fn new(clock: impl Clock) -> Self {
        Self { bytes: Mutex::default(), clock: Arc::new(clock) }
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the live session of a key. An expired one is a miss, like an unknown one (law 1).
    fn read(&self, bytes: &Bytes, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let Some(found) = bytes.get(key) else { return Ok(None) };
        // The `?` turns damaged bytes into `StoreError::Damaged` (law 10).
        let record = Record::from_bytes(found)?;
        Ok(Some(record).filter(|record| !record.is_expired(self.clock.now())))
    }
}

impl SessionStore for MapStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let mut bytes = self.lock();
        // Law 2. Without this check, a bad id generator would give one user's session to another.
        if self.read(&bytes, key)?.is_some() {
            return Ok(CreateOutcome::Taken);
        }
        bytes.insert(*key, record.to_bytes());
        Ok(CreateOutcome::Stored)
    }

    async fn load(
        &self,
        key: &StoreKey,
        _: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.read(&self.lock(), key)
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        // One lock covers reading and writing: laws 3, 4 and 5.
        let mut bytes = self.lock();
        let Some(current) = self.read(&bytes, key)? else { return Ok(UpdateOutcome::Gone) };
        match patch.apply_to(&current) {
            Ok(record) => {
                bytes.insert(*key, record.to_bytes());
                Ok(UpdateOutcome::Applied { version: record.version() })
            }
            Err(refused) => Ok(UpdateOutcome::refused(refused, current)),
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let mut bytes = self.lock();
        match self.read(&bytes, key)? {
            Some(current) if !current.is_retired() => {
                // `extended_to` never shortens: law 8.
                bytes.insert(*key, current.extended_to(expires_at).to_bytes());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut bytes = self.lock();
        let mut there = false;
        // Law 7: if the session was renewed in the meantime, also destroy it under its new key.
        let mut next = Some(*key);
        while let Some(key) = next {
            let found = self.read(&bytes, &key)?;
            bytes.remove(&key);
            there |= found.is_some();
            next = found.and_then(|record| record.successor().copied());
        }
        Ok(there)
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let mut bytes = self.lock();
        let Some(current) = self.read(&bytes, old)? else { return Ok(UpdateOutcome::Gone) };
        let moved = match patch.apply_to(&current) {
            Ok(moved) => moved,
            // Law 12: the outcome of an earlier, equal call may have been lost.
            Err(PatchError::Retired) => {
                let moved = self.read(&bytes, new)?;
                return Ok(UpdateOutcome::repeated(&current, new, moved.as_ref()));
            }
            Err(refused) => return Ok(UpdateOutcome::refused(refused, current)),
        };
        if self.read(&bytes, new)?.is_some() {
            return Ok(UpdateOutcome::Taken);
        }
        // Store the new record first. A crash in between then loses nothing.
        bytes.insert(*new, moved.to_bytes());
        bytes.insert(*old, current.retire(grace, new).to_bytes());
        Ok(UpdateOutcome::Applied { version: moved.version() })
    }
}

impl DeleteExpired for MapStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut bytes = self.lock();
        let before = bytes.len();
        // Keep damaged sessions, so that an operator can examine them.
        bytes.retain(|_, found| {
            Record::from_bytes(found).map_or(true, |record| !record.is_expired(now))
        });
        Ok((before - bytes.len()) as u64)
    }
}

fn main() {
    let sessions = SessionMiddleware::new(MapStore::new(SystemClock));
    println!("{sessions:?}");
    println!("`cargo test --example own_store` holds the store to the laws.");
}

#[cfg(test)]
mod conformance {
    use std::time::Duration;

    use actix_typed_session::{
        FakeClock, store_conformance,
        testing::{Damage, Harness},
    };

    use super::*;

    #[derive(Default)]
    struct Map(FakeClock);

    impl Harness for Map {
        type Store = MapStore;

        async fn open(&self) -> MapStore {
            MapStore::new(self.0.clone())
        }

        fn now(&self) -> Timestamp {
            self.0.now()
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }
    }

    impl Damage for Map {
        async fn damage(&self, store: &MapStore, key: &StoreKey, bytes: &[u8]) {
            store.lock().insert(*key, bytes.to_vec());
        }
    }

    // The map does not survive the process, so the store does not claim `Reopen`.
    store_conformance!(Map::default(), DeleteExpired, Damage);
}
