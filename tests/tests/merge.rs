//! A merge that cannot get through ends in 503, and not in a loop.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_typed_session::{
    Created, Grace, MemoryStore, Patch, Record, SessionStore, StoreError, StoreKey, Timestamp,
    Updated,
};
use actix_typed_session_tests::concurrency::{Site, field};

/// A store whose sessions have always been changed by somebody else.
#[derive(Clone, Default)]
struct Restless {
    store: MemoryStore,
    updates: Arc<AtomicU64>,
}

impl SessionStore for Restless {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        self.store.create(key, record).await
    }

    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.store.load(key).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        self.updates.fetch_add(1, Ordering::SeqCst);
        match (patch.expected_version(), self.store.load(key).await?) {
            (Some(_), Some(current)) => Ok(Updated::Conflict(current)),
            _ => self.store.update(key, patch).await,
        }
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
    ) -> Result<Updated, StoreError> {
        self.store.rotate(old, new, patch, grace).await
    }
}

#[actix_web::test]
async fn a_merge_that_never_gets_through_is_503_after_a_bounded_number_of_tries() {
    let store = Restless::default();
    let site = Site::on(store.clone());
    let mut browser = site.visitor("name=x").await;
    let response = browser.act("tag=a,name=y").await;
    assert_eq!((response.status, response.body.as_str()), (503, ""));
    let tries = store.updates.swap(0, Ordering::SeqCst);
    assert!((10..=100).contains(&tries), "{tries}");
    assert_eq!(field(&browser.act("read").await.body, "name"), "x", "nothing of it is stored");

    // Fields that the store merges itself never conflict.
    assert_eq!(browser.act("count,name=y").await.status, 200);
    assert_eq!(store.updates.load(Ordering::SeqCst), 1);
}
