//! Law 1: what `load` returns.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    checks::{
        create, expect, expect_applied, expect_eq, expect_gone, load, load_fields, ok,
        try_load_fields,
    },
    records::{FIELDS, field, grace, new_key, record, record_for, seen, set, with},
};
use crate::{
    id::StoreKey,
    record::{OldIdReads, Patch},
    store::SessionStore,
    testing::harness::Harness,
    time::Limits,
};

pub async fn load_of_an_unknown_key_is_none<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    expect_gone("law 1: `load` of a key that was never used is `None`", &store, &new_key()).await;
}

pub async fn load_returns_what_was_created_byte_for_byte<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let record = with(&record(&harness), &with_limits(&harness, FIELDS));
    let key = new_key();
    create(&store, &key, &record).await;
    let loaded = load(&store, &key).await;
    expect_eq("law 1: `load` returns what `create` stored", seen(&loaded), seen(&record));
}

pub async fn load_of_some_fields_has_them_and_reports_whether_it_is_whole<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let patch = with_limits(&harness, &[("a", "1"), ("b", "[2]"), ("@c", "3")]);
    create(&store, &old, &with(&record(&harness), &patch)).await;
    let wanted: [&[&str]; 4] = [&[], &["b"], &["zz", "@c"], &["a", "b", "@c"]];
    for wanted in wanted {
        expect_part_of_the_whole(&store, &old, wanted).await;
    }
    ok(store.update(&old, &set(&[("b", "4")]))).await;
    expect_part_of_the_whole(&store, &old, &["b"]).await;
    ok(store.rotate(&old, &new, &set(&[("a", "5")]), grace(&harness, 50, OldIdReads::Snapshot)))
        .await;
    expect_part_of_the_whole(&store, &old, &["a"]).await;
    expect_part_of_the_whole(&store, &new, &["a"]).await;
    ok(store.destroy(&new)).await;
    for key in [new, new_key()] {
        for wanted in [&["a"][..], &[]] {
            let part = try_load_fields(&store, &key, wanted).await.as_ref().map(seen);
            expect_eq("law 1: a load of some fields of a gone session is `None`", part, None);
        }
    }
}

fn with_limits<H: Harness>(harness: &Arc<H>, fields: &[(&str, &str)]) -> Patch {
    let mut patch = set(fields);
    patch.set_limits(Limits {
        max_age: Some(harness.tick() * 7),
        persistent: Some(true),
        absolute_lifetime: Some(harness.tick() * 9),
    });
    patch
}

async fn expect_part_of_the_whole<S: SessionStore>(store: &S, key: &StoreKey, wanted: &[&str]) {
    let part = load_fields(store, key, wanted).await;
    let whole = load(store, key).await;
    expect("law 1: `load` leaves out no field", whole.is_whole(), seen(&whole));
    for name in wanted {
        expect_eq(
            format_args!("law 1: a load that wants `{name}` has its value"),
            field(&part, name),
            field(&whole, name),
        );
    }
    for (name, json) in part.fields() {
        expect_eq(
            format_args!("law 1: a field that the load adds, `{name}`, has its stored value"),
            Some(json.get()),
            whole.field(name).map(RawValue::get),
        );
    }
    if part.is_whole() {
        expect_eq(
            "law 1: a record that reports to be whole has every field",
            part.fields().len(),
            whole.fields().len(),
        );
    }
    expect_eq(
        "law 1: a load of some fields has all that is not a field",
        seen(&part).apart_from_fields,
        seen(&whole).apart_from_fields,
    );
}

pub async fn load_of_an_expired_session_is_none_from_that_moment<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (one, two) = (new_key(), new_key());
    create(&store, &one, &record_for(&harness, 2)).await;
    create(&store, &two, &record_for(&harness, 20)).await;
    harness.advance(harness.tick()).await;
    load(&store, &one).await;
    harness.advance(harness.tick()).await;
    expect_gone("law 1: `load` is `None` once `expires_at` is reached", &store, &one).await;
    load(&store, &two).await;
}

pub async fn load_of_a_destroyed_session_is_none<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &record(&harness)).await;
    ok(store.destroy(&key)).await;
    expect_gone("law 1: `load` of a destroyed session is `None`", &store, &key).await;
}

pub async fn sessions_do_not_see_each_other<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let keys: Vec<StoreKey> = (0..50).map(|_| new_key()).collect();
    for (n, key) in keys.iter().enumerate() {
        create(&store, key, &with(&record(&harness), &set(&[("n", &n.to_string())]))).await;
    }
    ok(store.destroy(&keys[0])).await;
    expect_applied(&ok(store.update(&keys[1], &set(&[("n", "-1")]))).await);
    for (n, key) in keys.iter().enumerate().skip(2) {
        expect_eq(
            "law 1: changes of other sessions leave this one as it was",
            field(&load(&store, key).await, "n"),
            Some(n.to_string()),
        );
    }
    let other = harness.open().await;
    expect_gone("law 1: a store has no session of another store", &other, &keys[2]).await;
}
