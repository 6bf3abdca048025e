//! Law 8: `touch` and a load that touches only extend.

use std::{sync::Arc, time::Duration};

use super::{
    checks::{
        create, expect, expect_applied, expect_eq, load, load_and_touch, ok, try_load_and_touch,
    },
    concurrent::at_once,
    records::{FIELDS, grace, new_key, record, record_for, seen, set, ticks, with},
};
use crate::{
    record::{OldIdReads, Patch},
    store::{LoadOptions, SessionStore, TouchRule},
    testing::harness::Harness,
    time::{Lifetimes, Limits},
};

pub async fn touch_only_extends<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = with(&record_for(&harness, 40), &set(FIELDS));
    create(&store, &key, &before).await;
    let version = load(&store, &key).await.version();
    let later = ticks(&harness, 100);
    let there = "law 8: `touch` reports that the session was there";
    expect_eq(there, ok(store.touch(&key, later)).await, true);
    let touched = load(&store, &key).await;
    expect_eq(
        "law 8: `touch` changes only the expiry",
        seen(&touched),
        seen(&before.clone().extended_to(later)),
    );
    expect_eq("law 8: `touch` does not change the version", touched.version(), version);
    expect_eq(there, ok(store.touch(&key, ticks(&harness, 1))).await, true);
    expect_eq(
        "law 8: a touch to an earlier time does not shorten",
        load(&store, &key).await.expires_at(),
        later,
    );
    expect_applied(&ok(store.update(&key, &set(&[("a", "1")]))).await);
    expect_eq(
        "law 3: an update without an expiry keeps the touched one",
        load(&store, &key).await.expires_at(),
        later,
    );
}

pub async fn load_and_touch_extends_as_asked_or_not_at_all<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (tick, zero) = (harness.tick(), Duration::ZERO);
    // The session's own limits, then those of the middleware.
    for (own, own_absolute, idle, absolute, touch_interval) in [
        (None, None, 20, 100, Some(zero)),
        (None, None, 20, 100, None),
        (None, None, 20, 15, Some(zero)),
        (None, None, 20, 100, Some(tick * 11)),
        (None, None, 20, 100, Some(tick * 9)),
        (None, None, 5, 100, Some(zero)),
        (Some(30), None, 5, 100, Some(zero)),
        (Some(30), None, 20, 100, Some(zero)),
        (Some(30), None, 50, 100, Some(tick * 25)),
        (None, Some(15), 20, 100, Some(zero)),
        (None, Some(25), 20, 15, Some(zero)),
        (Some(200), Some(150), 20, 100, Some(zero)),
    ] {
        let lifetimes = Lifetimes { idle: tick * idle, absolute: tick * absolute, touch_interval };
        let touch = TouchRule { lifetimes, now: harness.now() };
        let options = LoadOptions::default().with_touch(touch);
        let mut patch = set(&[("a", "1")]);
        patch.set_limits(Limits {
            max_age: own.map(|own| tick * own),
            absolute_lifetime: own_absolute.map(|own| tick * own),
            ..Limits::default()
        });
        let record = with(&record_for(&harness, 10), &patch);
        let key = new_key();
        create(&store, &key, &record).await;
        let loaded = load_and_touch(&store, &key, &options).await;
        let extended = options.new_expiry(&record).unwrap_or(record.expires_at());
        expect(
            format_args!("law 8: a load that touches extends to {extended:?} or not at all"),
            [record.expires_at(), extended].contains(&loaded.expires_at()),
            &loaded,
        );
        expect_eq(
            "law 8: a load that touches returns what it has stored",
            seen(&loaded),
            seen(&load(&store, &key).await),
        );
        expect_eq(
            "law 8: a load that touches does not change the version",
            loaded.version(),
            record.version(),
        );
    }
    let gone = try_load_and_touch(&store, &new_key(), &always_worth_it(&harness)).await;
    expect_eq("law 4: a load that touches a gone session is `None`", gone.as_ref().map(seen), None);
}

pub async fn load_and_touch_does_not_extend_a_retired_session<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    create(&store, &old, &record(&harness)).await;
    // Shorter than what the load extends other sessions to.
    let grace = grace(&harness, 20, OldIdReads::Snapshot);
    ok(store.rotate(&old, &new, &Patch::default(), grace)).await;
    let loaded = load_and_touch(&store, &old, &always_worth_it(&harness)).await;
    let law = "law 4: a load that touches does not extend the grace of a retired session";
    expect_eq(law, loaded.expires_at(), grace.until);
    expect_eq(law, load(&store, &old).await.expires_at(), grace.until);
}

/// Returns options that extend every session that is not retired.
fn always_worth_it<H: Harness>(harness: &Arc<H>) -> LoadOptions<'static> {
    let lifetimes = Lifetimes {
        idle: harness.tick() * 50,
        absolute: harness.tick() * 500,
        touch_interval: Some(Duration::ZERO),
    };
    LoadOptions::default().with_touch(TouchRule { lifetimes, now: harness.now() })
}

pub async fn concurrent_touches_keep_the_latest<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&harness)).await;
    let start = ticks(&harness, 1_000);
    let touches = (0..8).map(|task: u64| {
        let store = Arc::clone(&store);
        async move {
            for n in (0..10).rev() {
                let later = start.saturating_add(Duration::from_millis(1 + n * 8 + task));
                let touched = ok(store.touch(&key, later)).await;
                expect_eq("law 8: `touch` reports that the session was there", touched, true);
            }
        }
    });
    at_once(touches.collect()).await;
    expect_eq(
        "law 8: after concurrent touches a session lives until the latest of their times",
        load(&*store, &key).await.expires_at(),
        start.saturating_add(Duration::from_millis(80)),
    );
}
