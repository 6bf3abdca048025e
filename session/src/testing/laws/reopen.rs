//! Law 9, the part that needs no crash: sessions survive closing and opening the store.

use std::sync::Arc;

use super::{
    checks::{create, expect_applied, expect_eq, expect_gone, load, ok},
    records::{FIELDS, Seen, add, grace, new_key, record, record_for, seen, set, ticks, with},
};
use crate::{
    id::StoreKey, record::OldIdReads, store::SessionStore, testing::harness::Reopen, time::Limits,
};

pub async fn sessions_are_there_after_reopening<H: Reopen>(harness: Arc<H>) {
    let mut store = harness.open().await;
    let (live, touched, destroyed, expired) = (new_key(), new_key(), new_key(), new_key());
    let (old, new) = (new_key(), new_key());
    let mut patch = set(FIELDS);
    patch.set_limits(Limits {
        max_age: Some(harness.tick() * 3),
        persistent: None,
        ..Limits::default()
    });
    create(&store, &live, &with(&record(&harness), &patch)).await;
    for key in [touched, expired] {
        create(&store, &key, &record_for(&harness, 1)).await;
    }
    for key in [destroyed, old] {
        create(&store, &key, &record(&harness)).await;
    }
    let was_there = ok(store.touch(&touched, ticks(&harness, 50))).await;
    expect_eq("law 8: `touch` reports that the session was there", was_there, true);
    ok(store.destroy(&destroyed)).await;
    let grace = grace(&harness, 50, OldIdReads::Snapshot);
    expect_applied(&ok(store.rotate(&old, &new, &add("n", 1), grace)).await);
    let keys = [live, touched, old, new];
    let mut before = Vec::new();
    for key in &keys {
        before.push(stored(&store, key).await);
    }
    harness.advance(harness.tick()).await;
    store = harness.reopen(store).await;
    for (key, before) in keys.iter().zip(&before) {
        expect_eq(
            "law 9: a reopened store has the record, its version and its successor",
            &stored(&store, key).await,
            before,
        );
    }
    for key in [destroyed, expired] {
        expect_gone("law 9: what ended before reopening stays gone", &store, &key).await;
    }
}

async fn stored<S: SessionStore>(store: &S, key: &StoreKey) -> (Seen, u64, Option<StoreKey>) {
    let record = load(store, key).await;
    (seen(&record), record.version(), record.successor().copied())
}
