//! A store with a local cache, as the middleware uses it.

use std::sync::Arc;

use actix_typed_session::{
    Clock, StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};

/// A store whose loads are answered from its local cache if they can be. Within one process it must
/// keep the laws.
#[derive(Clone)]
pub struct ThroughCache<S> {
    store: S,
    clock: Arc<dyn Clock>,
}

impl<S> ThroughCache<S> {
    /// The store, and the clock that decides whether a copy is expired.
    pub fn new(store: S, clock: impl Clock) -> Self {
        Self { store, clock: Arc::new(clock) }
    }
}

impl<S: SessionStore> SessionStore for ThroughCache<S> {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.store.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let cached = self.store.load_cached(key);
        match cached.filter(|record| options.new_expiry(record).is_none()) {
            // The middleware also asks its own clock.
            Some(record) => Ok(Some(record).filter(|record| !record.is_expired(self.clock.now()))),
            None => self.store.load(key, options).await,
        }
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.store.update(key, patch).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.store.touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.store.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.store.rotate(old, new, patch, grace).await
    }
}
