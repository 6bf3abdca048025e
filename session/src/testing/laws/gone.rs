//! Law 4: no call brings a session back that is gone.

use std::sync::Arc;

use super::{
    checks::{create, expect_eq, expect_gone, expect_reported_gone, ok},
    concurrent::{ROUNDS, both, stagger},
    records::{grace, new_key, record, record_for, set, ticks},
};
use crate::{
    id::StoreKey,
    record::{OldIdReads, Patch},
    store::SessionStore,
    testing::harness::Harness,
};

/// Fails if `update`, `touch` or `rotate` finds a session under the key.
pub(super) async fn expect_takes_no_change<H: Harness>(
    harness: &Arc<H>,
    store: &H::Store,
    key: &StoreKey,
) {
    let new = new_key();
    let grace = grace(harness, 1, OldIdReads::Snapshot);
    expect_reported_gone(&ok(store.update(key, &set(&[("a", "1")]))).await);
    expect_reported_gone(&ok(store.update(key, &Patch::default())).await);
    let touched = ok(store.touch(key, ticks(harness, 5_000))).await;
    expect_eq("law 4: `touch` of a gone session reports false", touched, false);
    expect_reported_gone(&ok(store.rotate(key, &new, &set(&[("a", "1")]), grace)).await);
    expect_gone("law 4: `rotate` of a gone session stores nothing", store, &new).await;
}

pub async fn update_touch_and_rotate_of_a_gone_session_bring_nothing_back<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (never, destroyed) = (new_key(), new_key());
    create(&store, &destroyed, &record(&harness)).await;
    ok(store.destroy(&destroyed)).await;
    for key in [never, destroyed] {
        expect_takes_no_change(&harness, &store, &key).await;
        expect_gone("law 4: no call brings a gone session back", &store, &key).await;
    }
}

pub async fn update_touch_and_rotate_of_an_expired_session_bring_nothing_back<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    // Each call gets its own session, because the first one may make the store delete it.
    for call in 0..3 {
        let key = new_key();
        create(&store, &key, &record_for(&harness, 1)).await;
        harness.advance(harness.tick()).await;
        match call {
            0 => expect_reported_gone(&ok(store.update(&key, &set(&[("a", "1")]))).await),
            1 => {
                let touched = ok(store.touch(&key, ticks(&harness, 9))).await;
                expect_eq("law 4: `touch` of an expired session reports false", touched, false);
            }
            _ => {
                let grace = grace(&harness, 9, OldIdReads::Snapshot);
                let updated = ok(store.rotate(&key, &new_key(), &Patch::default(), grace)).await;
                expect_reported_gone(&updated);
            }
        }
        expect_gone("law 4: no call brings an expired session back", &store, &key).await;
    }
}

pub async fn update_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let key = new_key();
        create(&*store, &key, &record(&harness)).await;
        let (updating, destroying) = (Arc::clone(&store), Arc::clone(&store));
        let (_, destroyed) = both(
            async move {
                for n in 0..5 {
                    ok(updating.update(&key, &set(&[("n", &n.to_string())]))).await;
                }
            },
            async move {
                stagger(round).await;
                ok(destroying.destroy(&key)).await
            },
        )
        .await;
        expect_eq("law 7: `destroy` finds a session that is being updated", destroyed, true);
        expect_gone("law 4: an update does not bring a destroyed session back", &*store, &key)
            .await;
    }
}

pub async fn touch_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let key = new_key();
        create(&*store, &key, &record(&harness)).await;
        let (touching, destroying) = (Arc::clone(&store), Arc::clone(&store));
        let later = ticks(&harness, 5_000);
        both(
            async move {
                for _ in 0..5 {
                    ok(touching.touch(&key, later)).await;
                }
            },
            async move {
                stagger(round).await;
                ok(destroying.destroy(&key)).await
            },
        )
        .await;
        expect_gone("law 4: a touch does not bring a destroyed session back", &*store, &key).await;
    }
}

pub async fn rotate_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let (old, new) = (new_key(), new_key());
        create(&*store, &old, &record(&harness)).await;
        let (rotating, destroying) = (Arc::clone(&store), Arc::clone(&store));
        let grace = grace(&harness, 100, OldIdReads::Snapshot);
        both(
            async move { ok(rotating.rotate(&old, &new, &set(&[("a", "1")]), grace)).await },
            async move {
                stagger(round).await;
                ok(destroying.destroy(&old)).await
            },
        )
        .await;
        expect_gone("law 4: a renewal does not bring the old key back", &*store, &old).await;
        expect_gone(
            "laws 4 and 7: a concurrent renewal does not save a session from `destroy`",
            &*store,
            &new,
        )
        .await;
    }
}
