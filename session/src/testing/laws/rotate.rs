//! Laws 2, 3, 4 and 12 for `rotate`, which moves a session to a new key and retires the old one.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    checks::{
        create, expect, expect_applied, expect_eq, expect_gone, expect_reported_gone, load, ok,
        try_load,
    },
    concurrent::{ROUNDS, at_once, both, stagger},
    gone::expect_takes_no_change,
    records::{
        FIELDS, add, field, grace, json, new_key, record, record_for, seen, set, ticks, with,
    },
};
use crate::{
    id::StoreKey,
    record::{ExpiryChange, Grace, OldIdReads, Patch, Record},
    store::{CreateOutcome, SessionStore, UpdateOutcome},
    testing::harness::Harness,
};

pub async fn rotate_never_overwrites<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (mine, yours) = (new_key(), new_key());
    create(&store, &mine, &with(&record(&harness), &set(&[("owner", "1")]))).await;
    create(&store, &yours, &with(&record(&harness), &set(&[("owner", "2")]))).await;
    let grace = grace(&harness, 1, OldIdReads::Snapshot);
    let updated = ok(store.rotate(&mine, &yours, &set(&[("extra", "1")]), grace)).await;
    expect(
        "law 2: `rotate` to a taken key reports `UpdateOutcome::Taken`",
        matches!(updated, UpdateOutcome::Taken),
        &updated,
    );
    expect_eq(
        "law 2: `rotate` to a taken key leaves the session there as it was",
        field(&load(&store, &yours).await, "owner").as_deref(),
        Some("2"),
    );
    let mine = load(&store, &mine).await;
    let law = "law 2: `rotate` to a taken key leaves the old session as it was";
    expect_eq(law, mine.is_retired(), false);
    expect_eq(law, field(&mine, "extra"), None);
}

pub async fn rotate_moves_the_session_and_retires_the_old_key<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = with(&record(&harness), &set(FIELDS));
    create(&store, &old, &before).await;
    harness.advance(harness.tick()).await;
    let mut patch = set(&[("new", "1")]);
    patch.remove("null".into());
    patch.set_expiry(ExpiryChange::ExtendTo(ticks(&harness, 2_000)));
    let grace = grace(&harness, 10, OldIdReads::Snapshot);
    let version = expect_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
    let moved = load(&store, &new).await;
    expect_eq(
        "law 3: the new key has the old session, changed by the patch",
        seen(&moved),
        seen(&with(&before, &patch)),
    );
    expect_eq("law 6: `rotate` reports the new session's version", version, moved.version());
    let retired = load(&store, &old).await;
    expect_eq(
        "law 4: the old key has what `Record::retire` makes of the unchanged session",
        seen(&retired),
        seen(&before.retire(grace, &new)),
    );
    expect_eq(
        "law 7: the old key leads to the new one, so that `destroy` finds it",
        retired.successor(),
        Some(&new),
    );
}

pub async fn rotate_may_leave_nothing_to_read_under_the_old_key<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = with(&record(&harness), &set(FIELDS));
    create(&store, &old, &before).await;
    let grace = grace(&harness, 10, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
    let retired = load(&store, &old).await;
    expect_eq("law 4: `rotate` retires the old key", retired.is_retired(), true);
    expect_eq("law 4: an old key that reads nothing has no field", retired.fields().len(), 0);
    expect_eq(
        "law 4: an old key that reads nothing does not lead to the new one",
        retired.successor(),
        None,
    );
    expect_eq(
        "law 3: the new key has the session as it was",
        seen(&load(&store, &new).await),
        seen(&before),
    );
}

pub async fn a_retired_session_takes_no_change<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
        let (old, new) = (new_key(), new_key());
        create(&store, &old, &with(&record(&harness), &set(FIELDS))).await;
        let grace = grace(&harness, 10, old_id);
        expect_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
        let (retired, moved) = (seen(&load(&store, &old).await), seen(&load(&store, &new).await));
        expect_takes_no_change(&harness, &store, &old).await;
        expect_eq(
            "law 4: calls with the old key leave the retired session as it was",
            seen(&load(&store, &old).await),
            retired,
        );
        expect_eq(
            "law 4: calls with the old key leave the new session as it was",
            seen(&load(&store, &new).await),
            moved,
        );
        let created = ok(store.create(&old, &record(&harness))).await;
        expect_eq(
            "law 2: `create` reports that a retired key is taken",
            created,
            CreateOutcome::Taken,
        );
    }
}

pub async fn a_retired_session_ends_with_its_grace_and_never_later_than_before<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (short, long) = (new_key(), new_key());
    create(&store, &short, &record_for(&harness, 1)).await;
    create(&store, &long, &record(&harness)).await;
    let mut patch = Patch::default();
    patch.set_expiry(ExpiryChange::ExtendTo(ticks(&harness, 1_000)));
    let new = [new_key(), new_key()];
    for (old, new) in [short, long].iter().zip(&new) {
        let grace = grace(&harness, 2, OldIdReads::Snapshot);
        expect_applied(&ok(store.rotate(old, new, &patch, grace)).await);
    }
    harness.advance(harness.tick()).await;
    expect_gone(
        "law 1: a retired session ends when it would have ended without the renewal",
        &store,
        &short,
    )
    .await;
    let long_retired = load(&store, &long).await.is_retired();
    expect_eq("law 4: a retired session stays until its grace ends", long_retired, true);
    harness.advance(harness.tick()).await;
    expect_gone("law 1: a retired session ends with its grace", &store, &long).await;
    for new in &new {
        load(&store, new).await;
    }
}

pub async fn rotate_against_update_loses_no_reported_change<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let (old, new) = (new_key(), new_key());
        create(&*store, &old, &record(&harness)).await;
        let (rotating, updating) = (Arc::clone(&store), Arc::clone(&store));
        let grace = grace(&harness, 100, OldIdReads::Snapshot);
        let (rotated, applied) = both(
            async move {
                stagger(round).await;
                ok(rotating.rotate(&old, &new, &set(&[("r", "1")]), grace)).await
            },
            async move { update_five_fields(&*updating, &old).await },
        )
        .await;
        expect_applied(&rotated);
        let moved = load(&*store, &new).await;
        let stored: BTreeSet<String> =
            moved.fields().map(|(name, _)| name.to_owned()).filter(|name| name != "r").collect();
        expect_eq(
            "laws 3 and 4: the renewed session has the updates that were reported as applied",
            stored,
            applied,
        );
        let retired = load(&*store, &old).await.is_retired();
        expect_eq("law 4: an update does not bring a retired key back", retired, true);
    }
}

/// Sets the fields `0` to `4`. Returns those that the store reported as applied.
async fn update_five_fields<S: SessionStore>(store: &S, key: &StoreKey) -> BTreeSet<String> {
    let mut applied = BTreeSet::new();
    for n in 0..5 {
        let name = n.to_string();
        match ok(store.update(key, &set(&[(&name, "1")]))).await {
            UpdateOutcome::Applied { .. } => assert!(applied.insert(name), "the names differ"),
            UpdateOutcome::Gone => {}
            other => panic!(
                "law 4: an update during a renewal is applied or finds the session gone\n  \
                 expected: Applied or Gone\n       got: {other:?}"
            ),
        }
    }
    applied
}

pub async fn concurrent_rotates_have_one_winner<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for _ in 0..ROUNDS / 4 {
        let old = new_key();
        create(&*store, &old, &with(&record(&harness), &add("n", 1))).await;
        let new: Vec<StoreKey> = (0..4).map(|_| new_key()).collect();
        let rotates = new.iter().map(|new| {
            let (store, new) = (Arc::clone(&store), *new);
            let grace = grace(&harness, 100, OldIdReads::Snapshot);
            async move { ok(store.rotate(&old, &new, &add("n", 1), grace)).await }
        });
        let updated = at_once(rotates.collect()).await;
        let mut winners = 0;
        for (new, updated) in new.iter().zip(&updated) {
            if matches!(updated, UpdateOutcome::Applied { .. }) {
                winners += 1;
                expect_eq(
                    "law 5: the patch of the renewal that won is applied once",
                    field(&load(&*store, new).await, "n").as_deref(),
                    Some("2"),
                );
            } else {
                expect_reported_gone(updated);
                expect_gone("law 4: a refused renewal stores nothing", &*store, new).await;
            }
        }
        expect_eq(
            format_args!("law 4: one of four renewals is applied; they reported {updated:?}"),
            winners,
            1,
        );
    }
}

pub async fn a_repeated_rotate_has_the_outcome_of_the_first<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
        let (old, new) = (new_key(), new_key());
        let before = with(&record(&harness), &add("n", 1));
        create(&store, &old, &before).await;
        let grace = grace(&harness, 50, old_id);
        for patch in patches_that_show_a_repetition(&before) {
            let first = expect_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
            expect_repeated(&store, &old, &new, &patch, grace, first).await;
        }
        let version = load(&store, &new).await.version();
        let updated = expect_applied(&ok(store.update(&new, &set(&[("later", "1")]))).await);
        let patch = add("n", 1);
        let again = expect_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
        expect_eq("law 12: the outcome is that of the first call", again, version);
        let later = load(&store, &new).await;
        expect_eq("law 12: a repetition keeps later changes", later.version(), updated);
        expect_eq("law 12: a repetition adds nothing", field(&later, "n").as_deref(), Some("3"));
    }
}

/// Returns a patch that adds, and the same with the snapshot and the version that a request has.
fn patches_that_show_a_repetition(before: &Record) -> [Patch; 2] {
    let mut patch = add("n", 2);
    patch.set("set".into(), json("1"));
    let mut whole = patch.clone();
    whole.expect_version(before.version());
    whole.set_snapshot(before.clone());
    [whole, patch]
}

/// Fails unless the same `rotate` reports the version again and changes nothing.
async fn expect_repeated<S: SessionStore>(
    store: &S,
    old: &StoreKey,
    new: &StoreKey,
    patch: &Patch,
    grace: Grace,
    version: u64,
) {
    let both = async || [seen(&load(store, old).await), seen(&load(store, new).await)];
    let stored = both().await;
    for _ in 0..2 {
        let again = expect_applied(&ok(store.rotate(old, new, patch, grace)).await);
        expect_eq("law 12: a repeated `rotate` reports the same version", again, version);
        expect_eq("law 12: a repeated `rotate` changes nothing", &both().await, &stored);
    }
    let moved = load(store, new).await;
    expect_eq("law 12: a repeated `rotate` keeps the version", moved.version(), version);
    expect_eq("law 12: the patch is applied once", field(&moved, "n").as_deref(), Some("3"));
}

pub async fn a_rotate_to_another_key_is_not_a_repetition<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
        let (old, new, other) = (new_key(), new_key(), new_key());
        create(&store, &old, &record(&harness)).await;
        let grace = grace(&harness, 50, old_id);
        expect_applied(&ok(store.rotate(&old, &new, &add("n", 1), grace)).await);
        let moved = seen(&load(&store, &new).await);
        expect_reported_gone(&ok(store.rotate(&old, &other, &add("n", 1), grace)).await);
        expect_gone("law 12: a second new key gets nothing", &store, &other).await;
        let found = seen(&load(&store, &new).await);
        expect_eq("law 12: a call with a second new key changes nothing", found, moved);
    }
}

pub async fn a_repeated_rotate_brings_nothing_back<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    for old_id in [OldIdReads::Snapshot, OldIdReads::Nothing] {
        for ended in ["new", "old", "grace"] {
            let (old, new) = (new_key(), new_key());
            let before = with(&record(&harness), &add("n", 1));
            create(&store, &old, &before).await;
            let grace = grace(&harness, 2, old_id);
            let patches = patches_that_show_a_repetition(&before);
            expect_applied(&ok(store.rotate(&old, &new, &patches[0], grace)).await);
            match ended {
                "new" => ok(store.destroy(&new)).await,
                "old" => ok(store.destroy(&old)).await,
                _ => {
                    harness.advance(harness.tick() * 2).await;
                    true
                }
            };
            let stored = try_load(&store, &new).await.as_ref().map(seen);
            for patch in &patches {
                let again = ok(store.rotate(&old, &new, patch, grace)).await;
                expect(
                    format_args!("law 12: a repetition after the end of `{ended}` reports that"),
                    matches!(again, UpdateOutcome::Gone),
                    &again,
                );
                let found = try_load(&store, &new).await.as_ref().map(seen);
                expect_eq("laws 4 and 12: a repetition brings nothing back", &found, &stored);
            }
        }
    }
}
