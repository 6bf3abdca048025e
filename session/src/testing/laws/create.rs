//! Law 2: `create` never overwrites.

use std::sync::Arc;

use super::{
    checks::{create, expect, expect_applied, expect_eq, load, ok},
    concurrent::{ROUNDS, at_once},
    records::{field, grace, new_key, record, record_for, seen, set, set_indexed, with},
};
use crate::{
    record::OldIdReads,
    store::{CreateOutcome, SessionStore, UpdateOutcome},
    testing::harness::Harness,
};

pub async fn create_never_overwrites<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &with(&record(&harness), &set(&[("owner", "1")]))).await;
    let intruder = with(&record(&harness), &set(&[("owner", "2")]));
    let created = ok(store.create(&key, &intruder)).await;
    expect_eq("law 2: `create` reports a taken key", created, CreateOutcome::Taken);
    expect_eq(
        "law 2: `create` with a taken key leaves the stored session as it was",
        field(&load(&store, &key).await, "owner").as_deref(),
        Some("1"),
    );
}

pub async fn create_takes_the_key_of_an_expired_session<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &with(&record_for(&harness, 1), &set(&[("old", "1")]))).await;
    harness.advance(harness.tick()).await;
    create(&store, &key, &with(&record(&harness), &set(&[("new", "2")]))).await;
    let loaded = load(&store, &key).await;
    expect_eq(
        "law 2: the new session has no field of the expired one",
        field(&loaded, "old"),
        None,
    );
    expect_eq(
        "law 2: the new session is stored under the key of the expired one",
        field(&loaded, "new").as_deref(),
        Some("2"),
    );
}

pub async fn concurrent_creates_of_one_key_store_one<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for _ in 0..ROUNDS {
        let key = new_key();
        let creates = (0..4).map(|n: u32| {
            let store = Arc::clone(&store);
            let record = with(&record(&harness), &set(&[("n", &n.to_string())]));
            async move { ok(store.create(&key, &record)).await }
        });
        let created = at_once(creates.collect()).await;
        let winners: Vec<usize> =
            (0..4).filter(|index| created[*index] == CreateOutcome::Stored).collect();
        expect_eq(
            format_args!("law 2: one of four concurrent creates stores; they reported {created:?}"),
            winners.len(),
            1,
        );
        expect_eq(
            "law 2: the session is that of the create that reported `Stored`",
            field(&load(&*store, &key).await, "n"),
            Some(winners[0].to_string()),
        );
    }
}

/// Such as when all sessions are copied to another store.
pub async fn create_stores_a_retired_record_as_it_is<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let whole = with(&record(&harness), &set_indexed(&harness, &[("user", "7")]));
    for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
        let (old, new) = (new_key(), new_key());
        let grace = grace(&harness, 100, old_id);
        let retired = whole.retire(grace, &new);
        create(&store, &old, &retired).await;
        create(&store, &new, &whole).await;
        let loaded = load(&store, &old).await;
        expect_eq("law 2: `create` stores a record as it is", seen(&loaded), seen(&retired));
        expect_eq(
            "law 2: a retired record leads where it has led",
            (loaded.successor().copied(), loaded.successor_digest()),
            (retired.successor().copied(), retired.successor_digest()),
        );
        let updated = ok(store.update(&old, &set(&[("a", "1")]))).await;
        let is_gone = matches!(updated, UpdateOutcome::Gone);
        expect("law 4: a retired record takes no change", is_gone, &updated);
        // A renewal whose answer was lost before the copy.
        let repeated = ok(store.rotate(&old, &new, &set(&[]), grace)).await;
        expect_applied(&repeated);
    }
}
