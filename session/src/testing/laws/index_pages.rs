//! The capability `FindByIndex`: pages, and searches while sessions change.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    checks::{create, expect, expect_applied, expect_eq, load, ok},
    concurrent::{ROUNDS, at_once, both, joined, stagger},
    index_search::{find, find_in_pages},
    random::Random,
    records::{add, grace, json, new_key, record, set, set_indexed, ticks, with},
};
use crate::{
    id::StoreKey,
    record::{Index, OldIdReads, Patch, PublicId},
    store::{FindByIndex, SessionStore},
    testing::harness::Harness,
};

pub async fn pages_have_every_session_once_and_in_order<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let mut keys = BTreeSet::new();
    for n in 0..50 {
        let key = new_key();
        let mut patch = set(&[("user", "1")]);
        // Seven sessions each began at the same time, and a later one may end first.
        let lifetimes = [Duration::MAX, harness.tick() * 2_000, Duration::from_secs(1)];
        let id = PublicId::new(ticks(&harness, 50 - n / 7), lifetimes[n as usize % 3]);
        patch.index_field(Index::new(id, "user".into()));
        create(&store, &key, &with(&record(&harness), &patch)).await;
        keys.insert(key);
    }
    for limit in [1, 7, 50, 51, 1_000] {
        let sessions = find_in_pages(&store, "user", "1", limit).await;
        expect(
            format_args!("`FindByIndex` law 3: pages of {limit} are in the order of public ids"),
            sessions.is_sorted(),
            &sessions,
        );
        expect(
            format_args!("`FindByIndex` law 3: pages of {limit} are in the order of the beginning"),
            sessions.is_sorted_by_key(|(id, _)| id.began()),
            &sessions,
        );
        let listed: BTreeSet<StoreKey> = sessions.iter().map(|(_, key)| *key).collect();
        expect_eq(
            format_args!("`FindByIndex` law 3: pages of {limit} have every session once"),
            (sessions.len(), listed == keys),
            (50, true),
        );
    }
    let one = ok(store.find("user", &json("1"), None, 0)).await;
    expect_eq("`FindByIndex`: a limit of zero counts as one", one.sessions.len(), 1);
}

pub async fn pages_are_complete_while_sessions_come_go_and_move<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let mut keys = Vec::new();
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let key = new_key();
        let record = with(&record(&harness), &set_indexed(&harness, &[("user", "1")]));
        ids.extend(record.public_id());
        create(&*store, &key, &record).await;
        keys.push(key);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let changes = change_sessions(Arc::clone(&harness), Arc::clone(&store), keys, stop.clone());
    let changes = tokio::spawn(changes);
    for _ in 0..30 {
        let listed: Vec<PublicId> =
            find_in_pages(&*store, "user", "1", 4).await.into_iter().map(|(id, _)| id).collect();
        expect(
            "`FindByIndex` law 3: pages list each session once, in the order of public ids",
            listed.is_sorted_by(|a, b| a < b),
            &listed,
        );
        let missing: Vec<_> = ids.iter().filter(|id| !listed.contains(id)).collect();
        expect(
            "`FindByIndex` law 1: sessions that live all the time are found",
            missing.is_empty(),
            format_args!("pages without {missing:?}"),
        );
    }
    stop.store(true, Ordering::SeqCst);
    joined(changes.await);
}

/// Renews the sessions, and creates, changes and destroys others, until `stop` is true.
async fn change_sessions<H: Harness>(
    harness: Arc<H>,
    store: Arc<H::Store>,
    mut keys: Vec<StoreKey>,
    stop: Arc<AtomicBool>,
) {
    let mut random = Random::new(1);
    while !stop.load(Ordering::SeqCst) {
        let at = random.below(keys.len() as u64) as usize;
        let new = new_key();
        let grace = grace(&harness, 100, OldIdReads::Nothing);
        expect_applied(&ok(store.rotate(&keys[at], &new, &add("n", 1), grace)).await);
        keys[at] = new;
        let short_lived = new_key();
        let patch = set_indexed(&harness, &[("user", "1")]);
        create(&*store, &short_lived, &with(&record(&harness), &patch)).await;
        if random.below(8) == 0 {
            let patch = set_indexed(&harness, &[("user", "2")]);
            expect_applied(&ok(store.update(&short_lived, &patch)).await);
        }
        ok(store.destroy(&short_lived)).await;
        tokio::task::yield_now().await;
    }
}

pub async fn a_session_is_found_at_any_moment_of_a_renewal<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let mut key = new_key();
    let patch = set_indexed(&harness, &[("user", "1")]);
    create(&*store, &key, &with(&record(&harness), &patch)).await;
    for round in 0..ROUNDS {
        let new = new_key();
        let grace = grace(&harness, 100, OldIdReads::Nothing);
        let (renewing, searching) = (Arc::clone(&store), Arc::clone(&store));
        let (renewed, found) = both(
            async move { ok(renewing.rotate(&key, &new, &Patch::default(), grace)).await },
            async move {
                stagger(round).await;
                find(&*searching, "user", "1").await
            },
        )
        .await;
        expect_applied(&renewed);
        expect_eq(
            format_args!(
                "`FindByIndex` laws 1 and 3: a session is found once while it is renewed; round \
                 {round}"
            ),
            found.len(),
            1,
        );
        key = new;
    }
}

pub async fn sessions_found_after_random_calls_are_those_stored<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let tasks = (1..=4)
        .map(|seed| make_random_calls(Arc::clone(&harness), Arc::clone(&store), Random::new(seed)));
    let keys = at_once(tasks.collect()).await.concat();
    for user in 0..3 {
        let user = user.to_string();
        let mut expected = BTreeSet::new();
        for key in &keys {
            if load(&*store, key).await.is_found_by("user", &json(&user)) {
                expected.insert(*key);
            }
        }
        let found = find(&*store, "user", &user).await;
        expect_eq(
            format_args!("`FindByIndex` law 3: sessions of user {user} are found once"),
            found.len(),
            expected.len(),
        );
        expect(
            format_args!("`FindByIndex` laws 1 and 2: the sessions of user {user} are found"),
            found.iter().copied().collect::<BTreeSet<_>>() == expected,
            "as many sessions, but others",
        );
    }
}

/// Makes 60 calls with sessions that no other task has. Returns the keys of those that are left.
async fn make_random_calls<H: Harness>(
    harness: Arc<H>,
    store: Arc<H::Store>,
    mut random: Random,
) -> Vec<StoreKey> {
    let mut keys: Vec<StoreKey> = Vec::new();
    for _ in 0..60 {
        let user = random.below(3).to_string();
        let user = if random.below(5) == 0 { "null" } else { &user };
        let patch = match random.below(3) {
            0 => set(&[("other", "1")]),
            _ => set_indexed(&harness, &[("user", user)]),
        };
        let at = random.below(keys.len().max(1) as u64) as usize;
        match random.below(6) {
            0 | 1 => {
                let key = new_key();
                create(&*store, &key, &with(&record(&harness), &patch)).await;
                keys.push(key);
            }
            _ if keys.is_empty() => {}
            2 | 3 => drop(ok(store.update(&keys[at], &patch)).await),
            4 => {
                let new = new_key();
                let grace = grace(&harness, 100, OldIdReads::Snapshot);
                expect_applied(&ok(store.rotate(&keys[at], &new, &patch, grace)).await);
                keys[at] = new;
            }
            _ => drop(ok(store.destroy(&keys.swap_remove(at))).await),
        }
    }
    keys
}

pub async fn one_exclusive_action_runs_at_a_time<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let running = Arc::new(AtomicUsize::new(0));
    let tasks = (0..12).map(|n| {
        let (store, calling, running) = (Arc::clone(&store), Arc::clone(&store), running.clone());
        let harness = Arc::clone(&harness);
        let action = async move {
            let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
            // The action calls the store, which must not wait for itself.
            let patch = set_indexed(&harness, &[("user", "1")]);
            let before = find(&*calling, "user", "1").await.len();
            create(&*calling, &new_key(), &with(&record(&harness), &patch)).await;
            tokio::task::yield_now().await;
            let after = find(&*calling, "user", "1").await.len();
            running.fetch_sub(1, Ordering::SeqCst);
            (at_once, after - before)
        };
        async move {
            stagger(n).await;
            ok(store.exclusively(&json("1"), action)).await
        }
    });
    for done in at_once(tasks.collect()).await {
        expect_eq("`FindByIndex` law 5: one exclusive action runs at a time", done, (1, 1));
    }
    let other = ok(store.exclusively(&json("1"), async { 7 })).await;
    expect_eq("`FindByIndex` law 5: the value is free after the actions", other, 7);
}
