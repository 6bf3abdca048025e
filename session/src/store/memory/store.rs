//! The store that applications use: a handle to the shards.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use super::shards::Shards;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PublicId, Record},
    store::{
        capabilities::{DeleteExpired, FindByIndex, IndexPage, Ping},
        listing::{ListAll, ListCursor, ListPage},
        session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
        sweeper::Sweeper,
    },
    time::Timestamp,
};

/// Keeps sessions in the memory of this process. It is fast, but its sessions end with the process,
/// and other processes do not see them.
///
/// It holds up to 100 000 sessions by default. If it is full, a new session replaces the least
/// recently used one. A background thread frees expired sessions.
///
/// Clones are handles to the same sessions. Create the store once, outside the closure that builds
/// the `App`. Inside, each worker would get a different store and miss the sessions of the others.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SessionMiddleware};
///
/// let sessions = SessionMiddleware::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    pub(super) shards: Arc<Shards>,
    pub(super) _sweeper: Option<Arc<Sweeper>>,
}

impl MemoryStore {
    /// Returns the number of sessions. Expired ones count until they are freed.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Returns whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.shards.capacity())
            .finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    const IMMEDIATE: bool = true;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        Ok(self.shards.create(key, record))
    }

    async fn load(
        &self,
        key: &StoreKey,
        _: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        Ok(self.shards.load(key))
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        Ok(self.shards.update(key, patch))
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.shards.touch(key, expires_at))
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        Ok(self.shards.destroy(key))
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        Ok(self.shards.rotate(old, new, patch, grace))
    }
}

impl DeleteExpired for MemoryStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        Ok(self.shards.delete_expired())
    }
}

impl FindByIndex for MemoryStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.shards.find(name, value, after, limit)
    }
}

impl ListAll for MemoryStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let after = after.map(ListCursor::as_key).transpose()?;
        Ok(self.shards.list(after, limit.max(1)))
    }
}

impl Ping for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
