//! A store that tests the laws while sessions move to another store.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    PublicId, StoreError, Timestamp,
    store::{
        CreateOutcome, DeleteExpired, FindByIndex, Grace, IndexPage, ListAll, ListCursor, ListPage,
        LoadOptions, MovingStore, Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
    testing::Harness,
};
use serde_json::value::RawValue;

/// Which sessions the calls meet, and which processes make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Both stores are empty, and all processes move.
    Empty,
    /// Each session begins in the old store, and all processes move.
    AllInOld,
    /// No process moves yet.
    Ready,
    /// Each second call is that of a process that does not move yet, and so is each second key.
    BothPhases,
}

/// The stores of a move, used by the processes of a [`Scene`].
#[derive(Clone)]
pub struct Moving<Old, New> {
    scene: Scene,
    ready: MovingStore<Old, New>,
    moving: MovingStore<Old, New>,
    calls: Arc<AtomicUsize>,
    /// The keys of sessions that have been renewed or have ended.
    used: Arc<Mutex<HashSet<StoreKey>>>,
}

impl<Old: SessionStore + Clone, New: SessionStore + Clone> Moving<Old, New> {
    /// Uses both stores.
    pub fn new(scene: Scene, old: Old, new: New) -> Self {
        let ready = MovingStore::ready(old.clone(), new.clone());
        let moving = MovingStore::moving(old, new);
        Self { scene, ready, moving, calls: Arc::default(), used: Arc::default() }
    }

    /// Whether a process creates this session that does not move yet. Two processes never make the
    /// same id, and no id is made twice. A law that does so makes it in the new store. What a
    /// renewal leaves is where the session was.
    fn begins_in_old(&self, key: &StoreKey, record: &Record) -> bool {
        let is_new = !self.used.lock().expect("no panic with it").contains(key);
        match self.scene {
            Scene::Empty => false,
            Scene::Ready => true,
            Scene::AllInOld => is_new,
            Scene::BothPhases => {
                is_new && (record.is_retired() || key.as_bytes()[0].is_multiple_of(2))
            }
        }
    }

    /// The process that makes the next call.
    fn process(&self) -> &MovingStore<Old, New> {
        let is_second = self.calls.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        match self.scene {
            Scene::Ready => &self.ready,
            Scene::BothPhases if is_second => &self.ready,
            _ => &self.moving,
        }
    }
}

impl<Old: SessionStore + Clone, New: SessionStore + Clone> SessionStore for Moving<Old, New> {
    const IMMEDIATE: bool = Old::IMMEDIATE && New::IMMEDIATE;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let process = if self.begins_in_old(key, record) { &self.ready } else { &self.moving };
        process.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.process().load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.process().update(key, patch).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        self.process().touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.used.lock().expect("no panic with it").insert(*key);
        self.process().destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.used.lock().expect("no panic with it").insert(*new);
        self.process().rotate(old, new, patch, grace).await
    }
}

impl<Old, New> DeleteExpired for Moving<Old, New>
where
    Old: DeleteExpired + Clone,
    New: DeleteExpired + Clone,
{
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.process().delete_expired().await
    }
}

impl<Old: FindByIndex + Clone, New: FindByIndex + Clone> FindByIndex for Moving<Old, New> {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.process().find(name, value, after, limit).await
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        self.process().exclusively(value, action).await
    }
}

impl<Old: ListAll + Clone, New: ListAll + Clone> ListAll for Moving<Old, New> {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        self.process().list(after, limit).await
    }
}

/// Opens both stores with the harness of each. They share the clock of the new one.
#[derive(Debug)]
pub struct MovingHarness<Old, New> {
    /// Which sessions the calls meet.
    pub scene: Scene,
    /// Opens the old store.
    pub old: Old,
    /// Opens the new store.
    pub new: New,
}

impl<Old, New> Harness for MovingHarness<Old, New>
where
    Old: Harness<Store: Clone>,
    New: Harness<Store: Clone>,
{
    type Store = Moving<Old::Store, New::Store>;

    async fn open(&self) -> Self::Store {
        Moving::new(self.scene, self.old.open().await, self.new.open().await)
    }

    fn now(&self) -> Timestamp {
        self.new.now()
    }

    async fn advance(&self, by: Duration) {
        self.new.advance(by).await;
    }

    fn tick(&self) -> Duration {
        self.new.tick()
    }
}
