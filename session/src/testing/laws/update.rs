//! Laws 3 and 6: `update` applies the whole patch, to the version that it expects, or nothing.

use std::{sync::Arc, time::Duration};

use super::{
    checks::{create, expect, expect_applied, expect_eq, expect_gone, load, ok},
    concurrent::{ROUNDS, at_once},
    records::{FIELDS, field, grace, json, new_key, record, seen, set, ticks, with},
};
use crate::{
    record::{ExpiryChange, FieldName, Number, OldIdReads, Patch},
    store::{SessionStore, UpdateOutcome},
    testing::harness::Harness,
    time::Limits,
};

pub async fn update_changes_the_named_fields_only<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = with(&record(&harness), &set(FIELDS));
    create(&store, &key, &before).await;
    let mut patch = set(&[("set", "[1,2]"), ("float", "\"now a string\""), ("empty list", "[{}]")]);
    patch.remove("null".into());
    patch.remove("never there".into());
    patch.add("2^53 + 1".into(), Number::Int(0), Number::Int(-1));
    let version = expect_applied(&ok(store.update(&key, &patch)).await);
    let after = load(&store, &key).await;
    expect_eq(
        "law 3: `update` changes the fields that the patch names and nothing else",
        seen(&after),
        seen(&with(&before, &patch)),
    );
    expect_eq("law 6: `update` reports the record's new version", version, after.version());
    let again = expect_applied(&ok(store.update(&key, &Patch::default())).await);
    expect(
        format_args!("law 6: each update makes a version that is later than {version}"),
        again > version,
        again,
    );
}

pub async fn update_takes_many_and_large_fields<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = record(&harness);
    create(&store, &key, &before).await;
    let mut patch = Patch::default();
    for n in 0..1_000 {
        patch.set(FieldName::Owned(format!("field {n}")), json(&format!("{{\"n\":{n}}}")));
    }
    patch.set("large".into(), json(&format!("\"{}\"", "x".repeat(300_000))));
    expect_applied(&ok(store.update(&key, &patch)).await);
    let after = load(&store, &key).await;
    // The message has the number of fields alone: the fields are too large to print.
    expect(
        "law 3: `update` applies all of a patch with 1 001 fields, one of them of 300 000 bytes",
        seen(&after) == seen(&with(&before, &patch)),
        format_args!("another record, with {} fields", after.fields().len()),
    );
}

pub async fn update_stores_limits_and_expiry<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let mut expected = record(&harness);
    create(&store, &key, &expected).await;
    let mut limits = Limits {
        max_age: Some(Duration::from_millis(12_345)),
        persistent: Some(false),
        absolute_lifetime: Some(Duration::from_millis(54_321)),
    };
    for expiry in [
        ExpiryChange::ExtendTo(ticks(&harness, 2_000)),
        ExpiryChange::ExtendTo(ticks(&harness, 100)),
        ExpiryChange::Set(ticks(&harness, 50)),
    ] {
        let mut patch = set(&[("a", "1")]);
        patch.set_limits(limits);
        patch.set_expiry(expiry);
        expect_applied(&ok(store.update(&key, &patch)).await);
        expected = with(&expected, &patch);
        expect_eq(
            format_args!("law 3: `update` stores the patch's limits and {expiry:?}"),
            seen(&load(&store, &key).await),
            seen(&expected),
        );
        limits.persistent = None;
        limits.absolute_lifetime = limits.absolute_lifetime.filter(|_| limits.max_age.is_some());
        limits.max_age = None;
    }
    let mut patch = Patch::default();
    patch.set_expiry(ExpiryChange::Set(ticks(&harness, 1)));
    expect_applied(&ok(store.update(&key, &patch)).await);
    harness.advance(harness.tick()).await;
    expect_gone("law 3: a session ends at the earlier time that `update` has set", &store, &key)
        .await;
}

pub async fn a_reset_keeps_nothing_of_the_old_session<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (key, new) = (new_key(), new_key());
    let mut first = set(FIELDS);
    first.set_limits(Limits {
        max_age: None,
        persistent: Some(true),
        absolute_lifetime: Some(harness.tick() * 9),
    });
    let before = with(&record(&harness), &first);
    create(&store, &key, &before).await;
    let mut patch = set(&[("new", "1")]);
    patch.reset(harness.now());
    patch.set_expiry(ExpiryChange::Set(ticks(&harness, 500)));
    let expected = seen(&with(&before, &patch));
    let grace = grace(&harness, 1, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&key, &new, &patch, grace)).await);
    expect_eq(
        "law 3: a reset by `rotate` leaves only what its patch sets",
        &seen(&load(&store, &new).await),
        &expected,
    );
    expect_applied(&ok(store.update(&new, &patch)).await);
    expect_eq(
        "law 3: a reset by `update` leaves only what its patch sets",
        &seen(&load(&store, &new).await),
        &expected,
    );
}

pub async fn concurrent_updates_of_different_fields_all_survive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&harness)).await;
    let writers = (0..8).map(|writer: u32| {
        let store = Arc::clone(&store);
        async move {
            for n in 0..25 {
                let name = format!("{writer}/{n}");
                expect_applied(&ok(store.update(&key, &set(&[(&name, "1")]))).await);
            }
        }
    });
    at_once(writers.collect()).await;
    expect_eq(
        "law 3: of 25 different fields from each of 8 concurrent writers none is lost",
        load(&*store, &key).await.fields().len(),
        200,
    );
}

pub async fn a_patch_for_another_version_is_refused_as_a_whole<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (key, new) = (new_key(), new_key());
    create(&store, &key, &with(&record(&harness), &set(&[("a", "1")]))).await;
    let before = load(&store, &key).await;
    let mut patch = set(&[("a", "2"), ("b", "1")]);
    patch.expect_version(before.version() + 1);
    let grace = grace(&harness, 1, OldIdReads::Snapshot);
    for updated in
        [ok(store.update(&key, &patch)).await, ok(store.rotate(&key, &new, &patch, grace)).await]
    {
        let UpdateOutcome::Conflict(current) = &updated else {
            panic!(
                "law 6: a patch for another version is refused\n  expected: Conflict\n       got: \
                 {updated:?}"
            );
        };
        expect_eq(
            "law 6: `Conflict` has the current record",
            (seen(current), current.version()),
            (seen(&before), before.version()),
        );
    }
    expect_eq(
        "law 6: a refused patch changes nothing",
        seen(&load(&store, &key).await),
        seen(&before),
    );
    expect_gone("law 6: a refused `rotate` moves nothing", &store, &new).await;
    patch.expect_version(before.version());
    expect_applied(&ok(store.update(&key, &patch)).await);
    expect_eq(
        "law 6: a patch for the current version is applied",
        field(&load(&store, &key).await, "a").as_deref(),
        Some("2"),
    );
}

pub async fn of_concurrent_writers_one_gets_each_version<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&harness)).await;
    for round in 0..ROUNDS / 4 {
        let version = load(&*store, &key).await.version();
        let writers = (0..4).map(|writer: u64| {
            let store = Arc::clone(&store);
            let mut patch = set(&[("writer", &writer.to_string())]);
            patch.expect_version(version);
            async move { ok(store.update(&key, &patch)).await }
        });
        let answers = at_once(writers.collect()).await;
        let mut winners = Vec::new();
        for (writer, answer) in answers.iter().enumerate() {
            match answer {
                UpdateOutcome::Applied { .. } => winners.push(writer),
                UpdateOutcome::Conflict(current) => expect(
                    format_args!("law 6: `Conflict` has a record that is later than {version}"),
                    current.version() > version,
                    current.version(),
                ),
                other => panic!(
                    "law 6: a patch with a version is applied or refused\n  expected: Applied or \
                     Conflict\n       got: {other:?}"
                ),
            }
        }
        expect_eq(
            format_args!("law 6: one of four writers gets version {version}, in round {round}"),
            winners.len(),
            1,
        );
        expect_eq(
            "law 6: the stored value is that of the writer whose patch was applied",
            field(&load(&*store, &key).await, "writer"),
            Some(winners[0].to_string()),
        );
    }
}
