//! Sessions in this process's memory.

use std::{collections::HashMap, sync::Mutex};

use crate::{
    error::StoreError,
    expiry::{Clock, SystemClock, Timestamp},
    id::StoreKey,
    patch::{Patch, Refused},
    record::{Grace, Record},
    store::{Created, SessionStore, Updated},
};

/// Placeholder.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<StoreKey, Record>>);
/// Placeholder.
#[derive(Debug, Default)]
pub struct MemoryStoreBuilder;

impl MemoryStore {
    /// New.
    pub fn new() -> Self {
        Self::default()
    }
}

impl SessionStore for MemoryStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        let mut map = self.0.lock().unwrap();
        if map.contains_key(key) {
            return Ok(Created::Taken);
        }
        map.insert(*key, record.clone());
        Ok(Created::Stored)
    }
    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        Ok(self.0.lock().unwrap().get(key).filter(|r| !r.is_expired(SystemClock.now())).cloned())
    }
    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let mut map = self.0.lock().unwrap();
        let Some(record) = map.get_mut(key) else { return Ok(Updated::Gone) };
        match patch.apply_to(record) {
            Ok(new) => {
                *record = new;
                Ok(Updated::Applied { version: record.version() })
            }
            Err(Refused::Stale) => Ok(Updated::Conflict(record.clone())),
            Err(_) => Ok(Updated::Gone),
        }
    }
    async fn touch(&self, key: &StoreKey, at: Timestamp) -> Result<bool, StoreError> {
        let mut map = self.0.lock().unwrap();
        let Some(record) = map.get_mut(key) else { return Ok(false) };
        *record = record.clone().extended_to(at);
        Ok(true)
    }
    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        Ok(self.0.lock().unwrap().remove(key).is_some())
    }
    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        let mut map = self.0.lock().unwrap();
        let Some(record) = map.get(old).cloned() else { return Ok(Updated::Gone) };
        let Ok(moved) = patch.apply_to(&record) else { return Ok(Updated::Gone) };
        let version = moved.version();
        map.insert(*new, moved);
        map.insert(*old, record.retire(grace, new));
        Ok(Updated::Applied { version })
    }
}
