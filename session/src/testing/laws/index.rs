//! The capability `FindByIndex`: which changes let a session be found.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    checks::{create, expect, expect_applied, expect_eq, expect_reported_gone, ok},
    index_search::{expect_found, find_in_pages},
    records::{FIELDS, grace, new_key, record, record_for, set, set_indexed, ticks, with},
};
use crate::{
    id::StoreKey,
    record::{ExpiryChange, Grace, OldIdReads, Patch, PublicId},
    store::{CreateOutcome, FindByIndex, SessionStore, UpdateOutcome},
    testing::harness::Harness,
};

pub async fn a_session_is_found_after_create_update_and_rotate<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let [created, updated, renewed] = [new_key(), new_key(), new_key()];
    create(&store, &created, &with(&record(&harness), &set_indexed(&harness, &[("user", "1")])))
        .await;
    expect_found(&store, "after `create`", ("user", "1"), &[created]).await;
    create(&store, &updated, &record(&harness)).await;
    expect_found(&store, "before the update", ("user", "2"), &[]).await;
    expect_applied(&ok(store.update(&updated, &set_indexed(&harness, &[("user", "2")]))).await);
    expect_found(&store, "after `update`", ("user", "2"), &[updated]).await;
    expect_applied(&ok(store.update(&updated, &set(&[("other", "1")]))).await);
    expect_found(&store, "after an update of another field", ("user", "2"), &[updated]).await;
    let grace = grace(&harness, 10, OldIdReads::Snapshot);
    expect_applied(&ok(store.rotate(&updated, &renewed, &Patch::default(), grace)).await);
    expect_found(&store, "after `rotate`", ("user", "2"), &[renewed]).await;
    let before = public_id(&store, "2").await;
    let again = new_key();
    let login = set_indexed(&harness, &[("user", "3")]);
    let hidden = Grace { old_id: OldIdReads::Nothing, ..grace };
    expect_applied(&ok(store.rotate(&renewed, &again, &login, hidden)).await);
    expect_found(&store, "after `rotate` changed the value", ("user", "2"), &[]).await;
    expect_found(&store, "after `rotate` changed the value", ("user", "3"), &[again]).await;
    expect_eq(
        "`FindByIndex`: a renewed session keeps its public id",
        public_id(&store, "3").await,
        before,
    );
    expect_found(&store, "after changes of another session", ("user", "1"), &[created]).await;
}

async fn public_id<S: FindByIndex>(store: &S, user: &str) -> Option<PublicId> {
    find_in_pages(store, "user", user, 1).await.first().map(|(id, _)| *id)
}

pub async fn a_session_that_lasts_longer_is_found_for_longer<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let [key, new] = [new_key(), new_key()];
    let first = set_indexed(&harness, &[("user", "1"), ("tenant", "2")]);
    create(&store, &key, &with(&record(&harness), &first)).await;
    let before = public_id(&store, "1").await.expect("it is found");
    let index = first.index().expect("it has an index");
    let lasts_for = |days: u32| {
        let lifetime = Duration::from_secs(24 * 3600) * days;
        let other = PublicId::new(before.began(), lifetime);
        let mut patch = set(&[("other", "1")]);
        patch.index_field(index.with_public_id(before.lasting(other)));
        patch
    };
    // Past a byte, and a day less than the day before.
    let days = [400, 600, 599];
    for (days, kept) in days.into_iter().zip([400, 600, 600]) {
        expect_applied(&ok(store.update(&key, &lasts_for(days))).await);
        for value in [("user", "1"), ("tenant", "2")] {
            expect_found(&store, "after it lasts longer", value, &[key]).await;
        }
        let id = public_id(&store, "1").await.expect("it is found");
        expect("`FindByIndex`: it is the same session", id.is_same_session(before), id);
        let until = before.began().saturating_add(Duration::from_secs(24 * 3600) * kept);
        expect_eq("`FindByIndex`: the index keeps the session for longer", id.until(), until);
    }
    let grace = grace(&harness, 10, OldIdReads::Snapshot);
    expect_applied(&ok(store.rotate(&key, &new, &lasts_for(700), grace)).await);
    expect_found(&store, "after a renewal that lasts longer", ("user", "1"), &[new]).await;
    let until = before.began().saturating_add(Duration::from_secs(24 * 3600) * 700);
    let id = public_id(&store, "1").await.expect("it is found");
    expect_eq("`FindByIndex`: so does a renewal", id.until(), until);
}

pub async fn a_session_is_found_by_each_of_its_indexed_fields<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    let first = set_indexed(&harness, &[("user_id", "1"), ("tenant", "\"a\"")]);
    create(&store, &key, &with(&record(&harness), &first)).await;
    // These names are contained in the names of other fields.
    expect_applied(&ok(store.update(&key, &set_indexed(&harness, &[("id", "2")]))).await);
    expect_applied(&ok(store.update(&key, &set_indexed(&harness, &[("@c", "3")]))).await);
    let values = [("user_id", "1"), ("tenant", "\"a\""), ("id", "2"), ("@c", "3")];
    for value in values {
        expect_found(&store, "with four indexed fields", value, &[key]).await;
    }
    let new = new_key();
    let grace = grace(&harness, 10, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&key, &new, &set(&[("other", "1")]), grace)).await);
    for value in values {
        expect_found(&store, "after a renewal with four indexed fields", value, &[new]).await;
    }
}

pub async fn a_write_that_names_no_index_changes_it_too<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    let first = set_indexed(&harness, &[("user", "1"), ("tenant", "1")]);
    create(&store, &key, &with(&record(&harness), &first)).await;
    // Another struct or an older release may have the field and not index it.
    expect_applied(&ok(store.update(&key, &set(&[("user", "2")]))).await);
    expect_found(&store, "after a plain `update`", ("user", "1"), &[]).await;
    expect_found(&store, "after a plain `update`", ("user", "2"), &[key]).await;
    let mut patch = set(&[("other", "1")]);
    patch.remove("user".into());
    expect_applied(&ok(store.update(&key, &patch)).await);
    expect_found(&store, "after the field was removed", ("user", "2"), &[]).await;
    let mut patch = set(&[("user", "3")]);
    patch.remove("absent".into());
    expect_applied(&ok(store.update(&key, &patch)).await);
    expect_found(&store, "after an `update` of several kinds", ("user", "3"), &[key]).await;
    expect_found(&store, "after updates of another field", ("tenant", "1"), &[key]).await;
    let new = new_key();
    let grace = grace(&harness, 10, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&key, &new, &set(&[("user", "4")]), grace)).await);
    expect_found(&store, "after a plain `rotate`", ("user", "3"), &[]).await;
    expect_found(&store, "after a plain `rotate`", ("user", "4"), &[new]).await;
}

pub async fn a_session_is_found_by_every_kind_of_value<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let values = FIELDS.iter().filter(|(_, text)| *text != "null");
    let values: BTreeSet<&str> = values.map(|(_, text)| *text).collect();
    let large = format!("\"{}\"", "x".repeat(10_000));
    let mut keys = Vec::new();
    for text in values.into_iter().chain([large.as_str()]) {
        let key = new_key();
        let patch = set_indexed(&harness, &[("näme 🦀", text)]);
        create(&store, &key, &with(&record(&harness), &patch)).await;
        keys.push((text, key));
    }
    for (text, key) in keys {
        expect_found(&store, "after `create` of many values", ("näme 🦀", text), &[key]).await;
    }
}

pub async fn a_field_that_is_not_indexed_finds_nothing<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &with(&record(&harness), &set(&[("user", "1")]))).await;
    expect_applied(&ok(store.update(&key, &set_indexed(&harness, &[("tenant", "null")]))).await);
    expect_found(&store, "without an index of the field", ("user", "1"), &[]).await;
    expect_found(&store, "with `null`, which no index has", ("tenant", "null"), &[]).await;
    expect_found(&store, "without the field", ("absent", "1"), &[]).await;
}

pub async fn a_session_is_not_found_by_a_former_value<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (key, other) = create_two_of_user_1(&harness, &store).await;
    expect_applied(&ok(store.update(&key, &set_indexed(&harness, &[("user", "2")]))).await);
    expect_found(&store, "after one of two sessions changed", ("user", "1"), &[other]).await;
    expect_found(&store, "after one of two sessions changed", ("user", "2"), &[key]).await;
    expect_applied(&ok(store.update(&key, &set_indexed(&harness, &[("user", "1")]))).await);
    expect_eq(
        "`FindByIndex` law 1: a session that has its former value again is found by it",
        find_in_pages(&store, "user", "1", 3).await.len(),
        2,
    );
    let mut logout = set_indexed(&harness, &[("user", "null")]);
    expect_applied(&ok(store.update(&key, &logout)).await);
    expect_found(&store, "after one became `null`", ("user", "1"), &[other]).await;
    logout.remove("user".into());
    expect_applied(&ok(store.update(&other, &logout)).await);
    expect_found(&store, "after the field was removed", ("user", "1"), &[]).await;
    expect_found(&store, "with `null`, which no index has", ("user", "null"), &[]).await;
}

async fn create_two_of_user_1<H: Harness>(
    harness: &Arc<H>,
    store: &H::Store,
) -> (StoreKey, StoreKey) {
    let keys = (new_key(), new_key());
    for key in [keys.0, keys.1] {
        let patch = set_indexed(harness, &[("user", "1")]);
        create(store, &key, &with(&record(harness), &patch)).await;
    }
    keys
}

pub async fn a_destroyed_session_is_not_found<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (one, two) = create_two_of_user_1(&harness, &store).await;
    ok(store.destroy(&one)).await;
    expect_found(&store, "after one of two was destroyed", ("user", "1"), &[two]).await;
    let grace = grace(&harness, 10, OldIdReads::Snapshot);
    expect_applied(&ok(store.rotate(&two, &new_key(), &Patch::default(), grace)).await);
    ok(store.destroy(&two)).await;
    expect_found(&store, "after `destroy` followed a renewal", ("user", "1"), &[]).await;
}

pub async fn an_expired_session_is_not_found_and_a_touched_one_is<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (one, two) = (new_key(), new_key());
    for key in [one, two] {
        let patch = set_indexed(&harness, &[("user", "1")]);
        create(&store, &key, &with(&record_for(&harness, 3), &patch)).await;
    }
    let touched = ok(store.touch(&two, ticks(&harness, 500))).await;
    expect_eq("law 8: `touch` reports that the session was there", touched, true);
    harness.advance(harness.tick() * 3).await;
    expect_found(&store, "after one of two expired", ("user", "1"), &[two]).await;
    // The key of an expired session is free for another.
    let patch = set_indexed(&harness, &[("user", "2")]);
    create(&store, &one, &with(&record(&harness), &patch)).await;
    expect_found(&store, "after the expired one's key was reused", ("user", "1"), &[two]).await;
    expect_found(&store, "after the expired one's key was reused", ("user", "2"), &[one]).await;
}

pub async fn a_reset_session_is_found_by_its_new_values_only<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = set_indexed(&harness, &[("user", "1"), ("tenant", "1")]);
    create(&store, &old, &with(&record(&harness), &before)).await;
    let mut patch = set_indexed(&harness, &[("user", "2")]);
    patch.reset(harness.now());
    patch.set_expiry(ExpiryChange::Set(ticks(&harness, 900)));
    let grace = grace(&harness, 10, OldIdReads::Nothing);
    expect_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
    expect_found(&store, "after a reset", ("user", "1"), &[]).await;
    expect_found(&store, "after a reset", ("tenant", "1"), &[]).await;
    expect_found(&store, "after a reset", ("user", "2"), &[new]).await;
}

pub async fn a_refused_call_does_not_change_the_index<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (mine, gone) = (new_key(), new_key());
    let owner = set_indexed(&harness, &[("user", "1")]);
    create(&store, &mine, &with(&record(&harness), &owner)).await;
    let intruder = set_indexed(&harness, &[("user", "2")]);
    let created = ok(store.create(&mine, &with(&record(&harness), &intruder))).await;
    expect_eq("law 2: `create` reports a taken key", created, CreateOutcome::Taken);
    expect_reported_gone(&ok(store.update(&gone, &intruder)).await);
    let grace = grace(&harness, 10, OldIdReads::Snapshot);
    expect_reported_gone(&ok(store.rotate(&gone, &new_key(), &intruder, grace)).await);
    let mut stale = intruder.clone();
    stale.expect_version(4_711);
    let refused = ok(store.update(&mine, &stale)).await;
    expect(
        "law 6: a patch for another version is refused with `Conflict`",
        matches!(refused, UpdateOutcome::Conflict(_)),
        &refused,
    );
    expect_found(&store, "after refused calls", ("user", "2"), &[]).await;
    expect_found(&store, "after refused calls", ("user", "1"), &[mine]).await;
}
