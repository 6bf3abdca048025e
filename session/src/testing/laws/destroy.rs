//! Law 7: `destroy` is idempotent and follows renewals.

use std::sync::Arc;

use super::{
    checks::{create, expect_applied, expect_eq, expect_gone, load, ok},
    records::{grace, new_key, record, record_for},
};
use crate::{
    id::StoreKey,
    record::{OldIdReads, Patch},
    store::SessionStore,
    testing::harness::Harness,
};

pub async fn destroy_is_idempotent_and_reports_whether_something_was_there<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (key, expired) = (new_key(), new_key());
    create(&store, &key, &record(&harness)).await;
    create(&store, &expired, &record_for(&harness, 1)).await;
    let destroy = async |key: &StoreKey| ok(store.destroy(key)).await;
    expect_eq("law 7: `destroy` of a live session reports true", destroy(&key).await, true);
    expect_eq("law 7: a second `destroy` reports false", destroy(&key).await, false);
    let unknown = destroy(&new_key()).await;
    expect_eq("law 7: `destroy` of an unknown key reports false", unknown, false);
    harness.advance(harness.tick()).await;
    let expired = destroy(&expired).await;
    expect_eq("law 7: `destroy` of an expired session reports false", expired, false);
}

pub async fn destroy_follows_renewals<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let keys: Vec<StoreKey> = (0..4).map(|_| new_key()).collect();
    create(&store, &keys[0], &record(&harness)).await;
    for pair in keys.windows(2) {
        let grace = grace(&harness, 10, OldIdReads::Snapshot);
        expect_applied(&ok(store.rotate(&pair[0], &pair[1], &Patch::default(), grace)).await);
    }
    let destroyed = ok(store.destroy(&keys[0])).await;
    expect_eq("law 7: `destroy` of a retired session reports true", destroyed, true);
    for key in &keys {
        expect_gone("law 7: `destroy` of a retired session ends its successors", &store, key).await;
    }
}

pub async fn destroy_through_a_hidden_old_key_ends_nothing_else<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    create(&store, &old, &record(&harness)).await;
    let grace = grace(&harness, 10, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
    ok(store.destroy(&old)).await;
    expect_gone("law 7: `destroy` ends a retired session", &store, &old).await;
    // An old key that reads nothing does not lead to the new session.
    load(&store, &new).await;
}
