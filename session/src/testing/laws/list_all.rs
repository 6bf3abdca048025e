//! The capability `ListAll`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    checks::{create, expect, expect_applied, expect_eq, ok},
    records::{FIELDS, grace, new_key, record, record_for, seen, set, with},
};
use crate::{
    id::StoreKey,
    record::{OldIdReads, Record},
    store::{ListAll, LoadOptions, SessionStore},
    testing::harness::Harness,
};

/// How many records a page has.
const LIMIT: usize = 7;
/// More pages than any store needs for the sessions of these laws.
const MOST_PAGES: usize = 10_000;

/// All records that the store lists.
async fn list<S: ListAll>(store: &S) -> BTreeMap<StoreKey, Record> {
    let (mut found, mut next) = (BTreeMap::new(), None);
    for _ in 0..MOST_PAGES {
        let page = ok(store.list(next.as_ref(), LIMIT)).await;
        expect("`ListAll`: whole records are readable", page.unreadable.is_empty(), &page);
        found.extend(page.sessions);
        next = page.next;
        if next.is_none() {
            return found;
        }
    }
    panic!("`ListAll`: the pages end\n  expected: a last page\n       got: {MOST_PAGES} pages");
}

pub async fn every_record_is_listed_as_it_is_stored<H: Harness>(harness: Arc<H>)
where
    H::Store: ListAll,
{
    let store = harness.open().await;
    expect("`ListAll`: an empty store lists nothing", list(&store).await.is_empty(), ());
    let mut keys = BTreeSet::new();
    for n in 0..40 {
        let key = new_key();
        let fields = if n == 0 { set(FIELDS) } else { set(&[("n", &n.to_string())]) };
        create(&store, &key, &with(&record(&harness), &fields)).await;
        keys.insert(key);
    }
    let old = keys.first().copied().unwrap_or_else(new_key);
    let new = new_key();
    expect_applied(
        &ok(store.rotate(&old, &new, &set(&[]), grace(&harness, 100, OldIdReads::Snapshot))).await,
    );
    keys.insert(new);
    let found = list(&store).await;
    let listed: BTreeSet<StoreKey> = found.keys().copied().collect();
    expect_eq("`ListAll`: each record is listed", listed, keys);
    for (key, record) in &found {
        let stored = ok(store.load(key, &LoadOptions::default())).await;
        expect_eq(
            "`ListAll`: a record is listed as it is stored",
            Some(seen(record)),
            stored.as_ref().map(seen),
        );
    }
}

pub async fn a_destroyed_or_expired_session_is_not_listed<H: Harness>(harness: Arc<H>)
where
    H::Store: ListAll,
{
    let store = harness.open().await;
    let [live, destroyed, expired] = [(); 3].map(|()| new_key());
    create(&store, &live, &record(&harness)).await;
    create(&store, &destroyed, &record(&harness)).await;
    create(&store, &expired, &record_for(&harness, 1)).await;
    ok(store.destroy(&destroyed)).await;
    harness.advance(harness.tick()).await;
    let found: Vec<_> = list(&store).await.into_keys().collect();
    expect_eq("`ListAll`: only what is live is listed", found, vec![live]);
}

pub async fn sessions_are_listed_while_others_come_go_and_change<H: Harness>(harness: Arc<H>)
where
    H::Store: ListAll,
{
    let store = Arc::new(harness.open().await);
    let stays: BTreeSet<StoreKey> = (0..60).map(|_| new_key()).collect();
    for key in &stays {
        create(&*store, key, &record(&harness)).await;
    }
    let (changing, keys) = (Arc::clone(&store), stays.clone());
    let new_record = record(&harness);
    let changes = tokio::spawn(async move {
        for (n, key) in keys.iter().cycle().take(120).enumerate() {
            expect_applied(&ok(changing.update(key, &set(&[("n", &n.to_string())]))).await);
            let other = new_key();
            create(&*changing, &other, &new_record).await;
            ok(changing.destroy(&other)).await;
        }
    });
    while !changes.is_finished() {
        let found = list(&*store).await;
        let missing = stays.iter().filter(|key| !found.contains_key(key)).count();
        expect_eq("`ListAll`: each session that stays is listed", missing, 0);
    }
    expect("the changes were made", changes.await.is_ok(), ());
}
