//! Where merging ends: a merge that never succeeds, and two structs with different rules.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_typed_session::{
    MemoryStore, Session, SessionHandle, StoreError, Timestamp, TypedSession,
    store::{
        CreateOutcome, Grace, LoadOptions, Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    Site,
    concurrency::{self, field},
};
use actix_web::{Responder, web::Data};
use serde_json::value::to_raw_value;

/// A store in which each session seems to have been changed by another request.
#[derive(Clone, Default)]
struct Restless {
    store: MemoryStore,
    updates: Arc<AtomicU64>,
}

impl SessionStore for Restless {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.store.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.store.load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.updates.fetch_add(1, Ordering::SeqCst);
        match (patch.expected_version(), self.store.load(key, &LoadOptions::default()).await?) {
            (Some(_), Some(current)) => Ok(UpdateOutcome::Conflict(current)),
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
    ) -> Result<UpdateOutcome, StoreError> {
        self.store.rotate(old, new, patch, grace).await
    }
}

#[actix_web::test]
async fn a_merge_that_never_gets_through_is_503_after_a_bounded_number_of_tries() {
    let store = Restless::default();
    let site = concurrency::site(store.clone()).start();
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

mod two_rules {
    use super::*;

    #[derive(Session)]
    pub(super) struct Best {
        #[session(merge = "max")]
        pub(super) points: u64,
    }

    #[derive(Session)]
    pub(super) struct Latest {
        pub(super) points: u64,
    }
}

/// Another request's change, while this one runs.
async fn meanwhile(store: &MemoryStore, session: &SessionHandle, points: u64) {
    let key = StoreKey::from(session.id().expect("the session is stored"));
    let mut patch = Patch::default();
    patch.set("points".into(), to_raw_value(&points).expect("a number").into());
    let updated = store.update(&key, &patch).await;
    assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
}

#[actix_web::test]
async fn of_two_structs_with_one_field_the_last_that_wrote_says_how_it_merges() {
    use two_rules::{Best, Latest};

    async fn begin(mut session: TypedSession<Latest>) -> impl Responder {
        session.set_points(1);
        "ok"
    }

    async fn best_last(
        (mut latest, mut best): (TypedSession<Latest>, TypedSession<Best>),
        handle: SessionHandle,
        store: Data<MemoryStore>,
    ) -> impl Responder {
        meanwhile(&store, &handle, 9).await;
        latest.set_points(3);
        best.set_points(4);
        "ok"
    }

    async fn latest_last(
        (mut latest, mut best): (TypedSession<Latest>, TypedSession<Best>),
        handle: SessionHandle,
        store: Data<MemoryStore>,
    ) -> impl Responder {
        meanwhile(&store, &handle, 99).await;
        best.set_points(14);
        latest.set_points(13);
        "ok"
    }

    let store = MemoryStore::new();
    let site = Site::new(store.clone())
        .data(store)
        .route("/begin", begin)
        .route("/best_last", best_last)
        .route("/latest_last", latest_last)
        .route("/read", async |session: TypedSession<Latest>| session.points.to_string())
        .start();
    let mut browser = site.client();
    browser.get("/begin").await;
    assert_eq!(browser.get("/best_last").await.status, 200);
    assert_eq!(browser.get("/read").await.body, "9");
    assert_eq!(browser.get("/latest_last").await.status, 200);
    assert_eq!(browser.get("/read").await.body, "13");
}
