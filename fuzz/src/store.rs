//! A store that records its calls.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use actix_typed_session::{
    MemoryStore, StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};

use crate::Still;

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) sessions: MemoryStore,
    calls: Arc<Mutex<Calls>>,
}

/// The keys of the calls, in order.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) loaded: Vec<StoreKey>,
    pub(crate) written: Vec<StoreKey>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let sessions = MemoryStore::builder().sweep_interval(None).clock(Still).build();
        Self { sessions, calls: Arc::default() }
    }

    /// Returns the calls since the last time.
    pub(crate) fn take_calls(&self) -> Calls {
        mem::take(&mut self.calls.lock().expect("no thread panics while it holds the lock"))
    }

    fn note(&self, note: impl FnOnce(&mut Calls)) {
        note(&mut self.calls.lock().expect("no thread panics while it holds the lock"));
    }
}

/// The store as one that completes at once, or as one that the middleware must wait for.
pub(crate) struct Watched<const AT_ONCE: bool>(pub(crate) Store);

impl<const AT_ONCE: bool> SessionStore for Watched<AT_ONCE> {
    const IMMEDIATE: bool = AT_ONCE;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.0.note(|calls| calls.written.push(*key));
        self.0.sessions.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.0.note(|calls| calls.loaded.push(*key));
        self.0.sessions.load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.0.note(|calls| calls.written.push(*key));
        self.0.sessions.update(key, patch).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.0.note(|calls| calls.written.push(*key));
        self.0.sessions.touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.0.note(|calls| calls.written.push(*key));
        self.0.sessions.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.0.note(|calls| calls.written.extend([*old, *new]));
        self.0.sessions.rotate(old, new, patch, grace).await
    }
}
