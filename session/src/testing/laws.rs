//! Every claim of the kit, one function each. They panic when the store breaks the law.

#![allow(missing_docs, reason = "a claim's name is its description")]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::{sync::Barrier, task::JoinSet};

use super::{Damage, Harness, Reopen};
use crate::{
    error::StoreError,
    id::{SessionId, StoreKey},
    record::{FieldName, Grace, Index, NewExpiry, Number, OldId, Patch, PublicId, Record, Refused},
    store::{Created, DeleteExpired, FindByIndex, Renewal, SessionStore, Updated},
    time::{Lifetimes, Limits, Timestamp},
};

/// How often two calls are let loose on each other.
const ROUNDS: u64 = 100;

/// A point in time, so many ticks from now.
fn ticks<H: Harness>(harness: &H, n: u32) -> Timestamp {
    harness.now().saturating_add(harness.tick() * n)
}

fn new_key() -> StoreKey {
    StoreKey::from(&SessionId::random())
}

/// A session that outlives the test.
fn record<H: Harness>(harness: &H) -> Record {
    Record::new(harness.now(), ticks(harness, 1_000))
}

fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).expect("the kit writes JSON").into()
}

fn set(fields: &[(&str, &str)]) -> Patch {
    let mut patch = Patch::default();
    for (name, text) in fields {
        patch.set(FieldName::Owned((*name).to_owned()), json(text));
    }
    patch
}

fn add(name: &'static str, by: i64) -> Patch {
    let mut patch = Patch::default();
    patch.add(name.into(), Number::Int(0), Number::Int(by));
    patch
}

fn with(record: &Record, patch: &Patch) -> Record {
    patch.apply_to(record).expect("the kit patches live records")
}

fn grace<H: Harness>(harness: &H, n: u32, old_id: OldId) -> Grace {
    Grace { until: ticks(harness, n), old_id }
}

/// All that can be seen of a record.
fn seen(record: &Record) -> String {
    let fields: Vec<String> =
        record.fields().map(|(name, json)| format!("{name:?}={}", json.get())).collect();
    format!(
        "created {:?}, expires {:?}, limits {:?}, retired {}, fields {}",
        record.created_at(),
        record.expires_at(),
        record.limits(),
        record.is_retired(),
        fields.join(" "),
    )
}

/// The answer of a store that does not fail.
async fn ok<T>(call: impl Future<Output = Result<T, StoreError>>) -> T {
    match call.await {
        Ok(answer) => answer,
        Err(error) => panic!("the store failed: {error} ({error:?})"),
    }
}

async fn create<S: SessionStore>(store: &S, key: &StoreKey, record: &Record) {
    let created = ok(store.create(key, record)).await;
    assert_eq!(created, Created::Stored, "`create` of a new key stores the session");
}

async fn load<S: SessionStore>(store: &S, key: &StoreKey) -> Record {
    ok(store.load(key)).await.expect("the session is there and has not expired")
}

async fn assert_gone<S: SessionStore>(store: &S, key: &StoreKey, why: &str) {
    let found = ok(store.load(key)).await;
    assert!(found.is_none(), "{why}, so `load` is `None`; it was {:?}", found.map(|r| seen(&r)));
}

fn field(record: &Record, name: &str) -> Option<String> {
    record.field(name).map(|json| json.get().to_owned())
}

#[track_caller]
fn assert_applied(updated: &Updated) -> u64 {
    match updated {
        Updated::Applied { version } => *version,
        other => panic!("the session is live, so the change is applied; the answer was {other:?}"),
    }
}

#[track_caller]
fn assert_reports_gone(updated: &Updated) {
    assert!(
        matches!(updated, Updated::Gone),
        "law 4: the session is gone, so the call reports that; the answer was {updated:?}"
    );
}

/// Starts tasks at the same moment and returns their answers in order.
async fn at_once<T: Send + 'static>(
    tasks: Vec<impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(tasks.len()));
    let mut set = JoinSet::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let barrier = Arc::clone(&barrier);
        set.spawn(async move {
            barrier.wait().await;
            (index, task.await)
        });
    }
    let mut answers: Vec<_> = set.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Starts two calls at the same moment.
async fn both<A: Send + 'static, B: Send + 'static>(
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let barrier = Arc::new(Barrier::new(2));
    let other = Arc::clone(&barrier);
    let a = tokio::spawn(async move {
        barrier.wait().await;
        a.await
    });
    let b = tokio::spawn(async move {
        other.wait().await;
        b.await
    });
    (a.await.expect("the call does not panic"), b.await.expect("the call does not panic"))
}

/// Lets one of two calls begin a little later, differently in each round: a scheduler left to itself may
/// run them in the same order every time.
async fn stagger(round: u64) {
    match round % 4 {
        0 => {}
        1 => tokio::task::yield_now().await,
        2 => {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        _ => tokio::time::sleep(Duration::from_millis(1)).await,
    }
}

// Law 1.

pub async fn load_of_an_unknown_key_is_none<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    assert_gone(&store, &new_key(), "law 1: nothing was ever stored under the key").await;
}

/// Values that stores have been seen to change: empty containers, large numbers, escapes, floats.
const VALUES: &[(&str, &str)] = &[
    ("empty list", "[]"),
    ("empty object", "{}"),
    ("nested empties", r#"{"a":[],"b":{},"c":[[],{}],"d":null}"#),
    ("2^53 + 1", "9007199254740993"),
    ("u64::MAX", "18446744073709551615"),
    ("i64::MIN", "-9223372036854775808"),
    ("float", "0.1"),
    ("small float", "1e-300"),
    ("integral float", "1.0"),
    ("null", "null"),
    ("false", "false"),
    ("empty string", r#""""#),
    ("escapes", r#""\u0000\n\"\\\/\ud83e\udd80""#),
    ("unicode", "\"Grüße, 世界 🦀\""),
    ("spaces", r#"{ "a" : [ 1 , 2 ] }"#),
    ("order", r#"{"z":1,"a":2}"#),
    ("näme 🦀", "1"),
    ("", "\"a field without a name\""),
    ("a.b:c/d*{e}'f\"g", "1"),
    ("__proto__", "1"),
    ("../../etc/passwd", "1"),
    ("1e400", "1e400"),
    ("lone surrogate", r#""\ud800""#),
    ("the same twice", r#"{"a":1,"a":2}"#),
];

pub async fn load_returns_what_was_created_byte_for_byte<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let mut patch = set(VALUES);
    let limits = Limits { max_age: Some(harness.tick() * 7), persistent: Some(true) };
    patch.set_limits(limits);
    let record = with(&record(&*harness), &patch);
    let key = new_key();
    create(&store, &key, &record).await;
    assert_eq!(seen(&load(&store, &key).await), seen(&record), "law 1: what was stored comes back");
}

pub async fn load_fields_has_what_is_wanted_and_says_if_that_is_all<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let mut patch = set(&[("a", "1"), ("b", "[2]"), ("@c", "3")]);
    patch.set_limits(Limits { max_age: Some(harness.tick() * 7), persistent: Some(true) });
    create(&store, &old, &with(&record(&*harness), &patch)).await;
    let look = async |key: &StoreKey, wanted: &[&str]| {
        let part = ok(store.load_fields(key, wanted)).await.expect("it is there");
        let whole = load(&store, key).await;
        assert!(whole.is_whole(), "`load` leaves out nothing");
        for name in wanted {
            assert_eq!(field(&part, name), field(&whole, name), "`{name}` is wanted");
        }
        for (name, json) in part.fields() {
            assert_eq!(Some(json.get()), whole.field(name).map(RawValue::get), "{name}");
        }
        if part.is_whole() {
            assert_eq!(part.fields().len(), whole.fields().len(), "it says that it is whole");
        }
        let bare = |record: &Record| {
            let mut record = record.clone();
            record.fields = Arc::default();
            seen(&record)
        };
        assert_eq!(bare(&part), bare(&whole), "what is no field is always there");
    };
    let wanted: [&[&str]; 4] = [&[], &["b"], &["zz", "@c"], &["a", "b", "@c"]];
    for wanted in wanted {
        look(&old, wanted).await;
    }
    ok(store.update(&old, &set(&[("b", "4")]))).await;
    look(&old, &["b"]).await;
    ok(store.rotate(&old, &new, &set(&[("a", "5")]), grace(&*harness, 50, OldId::ReadsSnapshot)))
        .await;
    look(&old, &["a"]).await;
    look(&new, &["a"]).await;
    ok(store.destroy(&new)).await;
    for key in [new, new_key()] {
        assert!(ok(store.load_fields(&key, &["a"])).await.is_none(), "law 1");
        assert!(ok(store.load_fields(&key, &[])).await.is_none(), "law 1");
    }
}

pub async fn load_of_an_expired_session_is_none_from_the_moment_on<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (one, two) = (new_key(), new_key());
    create(&store, &one, &Record::new(harness.now(), ticks(&*harness, 2))).await;
    create(&store, &two, &Record::new(harness.now(), ticks(&*harness, 20))).await;
    harness.advance(harness.tick()).await;
    load(&store, &one).await;
    harness.advance(harness.tick()).await;
    assert_gone(&store, &one, "law 1: `expires_at` is reached").await;
    load(&store, &two).await;
}

pub async fn load_of_a_destroyed_session_is_none<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &record(&*harness)).await;
    ok(store.destroy(&key)).await;
    assert_gone(&store, &key, "law 1: the session was destroyed").await;
}

pub async fn sessions_do_not_see_each_other<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let keys: Vec<StoreKey> = (0..50).map(|_| new_key()).collect();
    for (n, key) in keys.iter().enumerate() {
        create(&store, key, &with(&record(&*harness), &set(&[("n", &n.to_string())]))).await;
    }
    ok(store.destroy(&keys[0])).await;
    assert_applied(&ok(store.update(&keys[1], &set(&[("n", "-1")]))).await);
    for (n, key) in keys.iter().enumerate().skip(2) {
        assert_eq!(field(&load(&store, key).await, "n"), Some(n.to_string()));
    }
    let other = harness.open().await;
    assert_gone(&other, &keys[2], "another store was opened").await;
}

// Law 2.

pub async fn create_never_overwrites<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &with(&record(&*harness), &set(&[("owner", "1")]))).await;
    let intruder = with(&record(&*harness), &set(&[("owner", "2")]));
    let created = ok(store.create(&key, &intruder)).await;
    assert_eq!(created, Created::Taken, "law 2: `create` reports a taken key");
    assert_eq!(
        field(&load(&store, &key).await, "owner").as_deref(),
        Some("1"),
        "law 2: `create` never overwrites"
    );
}

pub async fn create_takes_the_key_of_an_expired_session<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let old = Record::new(harness.now(), ticks(&*harness, 1));
    create(&store, &key, &with(&old, &set(&[("old", "1")]))).await;
    harness.advance(harness.tick()).await;
    create(&store, &key, &with(&record(&*harness), &set(&[("new", "2")]))).await;
    let found = load(&store, &key).await;
    assert_eq!(field(&found, "old"), None, "nothing of the expired session is left");
    assert_eq!(field(&found, "new").as_deref(), Some("2"));
}

pub async fn concurrent_creates_of_one_key_store_one<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for _ in 0..ROUNDS {
        let key = new_key();
        let creates = (0..4).map(|n: u32| {
            let store = Arc::clone(&store);
            let record = with(&record(&*harness), &set(&[("n", &n.to_string())]));
            async move { ok(store.create(&key, &record)).await }
        });
        let created = at_once(creates.collect()).await;
        let winners: Vec<usize> =
            (0..4).filter(|index| created[*index] == Created::Stored).collect();
        assert_eq!(winners.len(), 1, "law 2: one of the creates stores: {created:?}");
        assert_eq!(
            field(&load(&*store, &key).await, "n"),
            Some(winners[0].to_string()),
            "law 2: what is stored is what the one that reported it stored"
        );
    }
}

pub async fn rotate_never_overwrites<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (mine, yours) = (new_key(), new_key());
    create(&store, &mine, &with(&record(&*harness), &set(&[("owner", "1")]))).await;
    create(&store, &yours, &with(&record(&*harness), &set(&[("owner", "2")]))).await;
    let grace = grace(&*harness, 1, OldId::ReadsSnapshot);
    let updated = ok(store.rotate(&mine, &yours, &set(&[("extra", "1")]), grace)).await;
    assert!(matches!(updated, Updated::Taken), "law 2: `rotate` reports a taken key: {updated:?}");
    assert_eq!(field(&load(&store, &yours).await, "owner").as_deref(), Some("2"));
    let mine = load(&store, &mine).await;
    assert!(!mine.is_retired(), "law 2: nothing was changed");
    assert_eq!(field(&mine, "extra"), None, "law 2: nothing was changed");
}

// Law 3.

pub async fn update_changes_the_named_fields_only<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = with(&record(&*harness), &set(VALUES));
    create(&store, &key, &before).await;
    let mut patch = set(&[("set", "[1,2]"), ("float", "\"now a string\""), ("empty list", "[{}]")]);
    patch.remove("null".into());
    patch.remove("never there".into());
    patch.add("2^53 + 1".into(), Number::Int(0), Number::Int(-1));
    let version = assert_applied(&ok(store.update(&key, &patch)).await);
    let after = load(&store, &key).await;
    assert_eq!(seen(&after), seen(&with(&before, &patch)), "law 3: the patch and nothing but it");
    assert_eq!(after.version(), version, "`update` reports the new version");
    let again = assert_applied(&ok(store.update(&key, &Patch::default())).await);
    assert!(again > version, "each update is a new version");
}

pub async fn update_takes_many_and_large_fields<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = record(&*harness);
    create(&store, &key, &before).await;
    let mut patch = Patch::default();
    for n in 0..1_000 {
        patch.set(FieldName::Owned(format!("field {n}")), json(&format!("{{\"n\":{n}}}")));
    }
    patch.set("large".into(), json(&format!("\"{}\"", "x".repeat(300_000))));
    assert_applied(&ok(store.update(&key, &patch)).await);
    let after = load(&store, &key).await;
    assert!(seen(&after) == seen(&with(&before, &patch)), "law 3: the whole patch is applied");
}

pub async fn update_stores_limits_and_expiry<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let mut expected = record(&*harness);
    create(&store, &key, &expected).await;
    let mut limits =
        Limits { max_age: Some(Duration::from_millis(12_345)), persistent: Some(false) };
    for expiry in [
        NewExpiry::ExtendTo(ticks(&*harness, 2_000)),
        NewExpiry::ExtendTo(ticks(&*harness, 100)),
        NewExpiry::Set(ticks(&*harness, 50)),
    ] {
        let mut patch = set(&[("a", "1")]);
        patch.set_limits(limits);
        patch.set_expiry(expiry);
        assert_applied(&ok(store.update(&key, &patch)).await);
        expected = with(&expected, &patch);
        assert_eq!(seen(&load(&store, &key).await), seen(&expected), "law 3, after {expiry:?}");
        limits.persistent = None;
    }
    let mut patch = Patch::default();
    patch.set_expiry(NewExpiry::Set(ticks(&*harness, 1)));
    assert_applied(&ok(store.update(&key, &patch)).await);
    harness.advance(harness.tick()).await;
    assert_gone(&store, &key, "law 3: the expiry was set to an earlier time").await;
}

pub async fn update_that_begins_anew_keeps_nothing<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (key, new) = (new_key(), new_key());
    let mut first = set(VALUES);
    first.set_limits(Limits { max_age: None, persistent: Some(true) });
    let before = with(&record(&*harness), &first);
    create(&store, &key, &before).await;
    let mut patch = set(&[("new", "1")]);
    patch.begin_anew(harness.now());
    patch.set_expiry(NewExpiry::Set(ticks(&*harness, 500)));
    let expected = with(&before, &patch);
    let grace = grace(&*harness, 1, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&key, &new, &patch, grace)).await);
    assert_eq!(seen(&load(&store, &new).await), seen(&expected), "law 3: only what the patch sets");
    assert_applied(&ok(store.update(&new, &patch)).await);
    assert_eq!(seen(&load(&store, &new).await), seen(&expected), "law 3: only what the patch sets");
}

pub async fn concurrent_updates_of_different_fields_all_survive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&*harness)).await;
    let writers = (0..8).map(|writer: u32| {
        let store = Arc::clone(&store);
        async move {
            for n in 0..25 {
                let name = format!("{writer}/{n}");
                assert_applied(&ok(store.update(&key, &set(&[(&name, "1")]))).await);
            }
        }
    });
    at_once(writers.collect()).await;
    let count = load(&*store, &key).await.fields().len();
    assert_eq!(count, 200, "law 3: 8 writers wrote 25 different fields each, and none is lost");
}

// Law 4.

async fn assert_takes_no_change<H: Harness>(harness: &H, store: &H::Store, key: &StoreKey) {
    let new = new_key();
    let grace = grace(harness, 1, OldId::ReadsSnapshot);
    assert_reports_gone(&ok(store.update(key, &set(&[("a", "1")]))).await);
    assert_reports_gone(&ok(store.update(key, &Patch::default())).await);
    assert!(!ok(store.touch(key, ticks(harness, 5_000))).await, "law 4: `touch` reports it");
    assert_reports_gone(&ok(store.rotate(key, &new, &set(&[("a", "1")]), grace)).await);
    assert_gone(store, &new, "law 4: `rotate` had nothing to move").await;
}

pub async fn update_touch_and_rotate_of_a_gone_session_bring_nothing_back<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (never, destroyed) = (new_key(), new_key());
    create(&store, &destroyed, &record(&*harness)).await;
    ok(store.destroy(&destroyed)).await;
    for key in [never, destroyed] {
        assert_takes_no_change(&*harness, &store, &key).await;
        assert_gone(&store, &key, "law 4: nothing brings it back").await;
    }
}

pub async fn update_touch_and_rotate_of_an_expired_session_bring_nothing_back<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    // A key for each call, since the first one may already make the store forget the session.
    for call in 0..3 {
        let key = new_key();
        create(&store, &key, &Record::new(harness.now(), ticks(&*harness, 1))).await;
        harness.advance(harness.tick()).await;
        match call {
            0 => assert_reports_gone(&ok(store.update(&key, &set(&[("a", "1")]))).await),
            1 => assert!(!ok(store.touch(&key, ticks(&*harness, 9))).await, "law 4"),
            _ => {
                let grace = grace(&*harness, 9, OldId::ReadsSnapshot);
                let updated = ok(store.rotate(&key, &new_key(), &Patch::default(), grace)).await;
                assert_reports_gone(&updated);
            }
        }
        assert_gone(&store, &key, "law 4: nothing brings an expired session back").await;
    }
}

pub async fn update_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let key = new_key();
        create(&*store, &key, &record(&*harness)).await;
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
        assert!(destroyed, "law 7: the session was there to be destroyed");
        assert_gone(&*store, &key, "law 4: destroyed stays destroyed, whatever was updated").await;
    }
}

pub async fn touch_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let key = new_key();
        create(&*store, &key, &record(&*harness)).await;
        let (touching, destroying) = (Arc::clone(&store), Arc::clone(&store));
        let later = ticks(&*harness, 5_000);
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
        assert_gone(&*store, &key, "law 4: destroyed stays destroyed, whatever was touched").await;
    }
}

pub async fn rotate_against_destroy_does_not_revive<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let (old, new) = (new_key(), new_key());
        create(&*store, &old, &record(&*harness)).await;
        let (rotating, destroying) = (Arc::clone(&store), Arc::clone(&store));
        let grace = grace(&*harness, 100, OldId::ReadsSnapshot);
        both(
            async move { ok(rotating.rotate(&old, &new, &set(&[("a", "1")]), grace)).await },
            async move {
                stagger(round).await;
                ok(destroying.destroy(&old)).await
            },
        )
        .await;
        assert_gone(&*store, &old, "law 4: the session was destroyed under its old key").await;
        assert_gone(&*store, &new, "laws 4 and 7: a renewal does not outrun a destroy").await;
    }
}

pub async fn rotate_against_update_loses_no_reported_change<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for round in 0..ROUNDS {
        let (old, new) = (new_key(), new_key());
        create(&*store, &old, &record(&*harness)).await;
        let (rotating, updating) = (Arc::clone(&store), Arc::clone(&store));
        let grace = grace(&*harness, 100, OldId::ReadsSnapshot);
        let (rotated, reported) = both(
            async move {
                stagger(round).await;
                ok(rotating.rotate(&old, &new, &set(&[("r", "1")]), grace)).await
            },
            async move {
                let mut reported = BTreeSet::new();
                for n in 0..5 {
                    let name = n.to_string();
                    match ok(updating.update(&old, &set(&[(&name, "1")]))).await {
                        Updated::Applied { .. } => assert!(reported.insert(name)),
                        Updated::Gone => {}
                        other => {
                            panic!("law 4: an update is applied or the session gone: {other:?}")
                        }
                    }
                }
                reported
            },
        )
        .await;
        assert_applied(&rotated);
        let moved = load(&*store, &new).await;
        let stored: BTreeSet<String> =
            moved.fields().map(|(name, _)| name.to_owned()).filter(|name| name != "r").collect();
        assert_eq!(
            stored, reported,
            "laws 3 and 4: an update before the renewal is in the new session, one after it is \
             reported as gone"
        );
        let old = load(&*store, &old).await;
        assert!(old.is_retired(), "law 4: no update brings the old key back");
    }
}

pub async fn concurrent_rotates_have_one_winner<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    for _ in 0..ROUNDS / 4 {
        let old = new_key();
        create(&*store, &old, &with(&record(&*harness), &add("n", 1))).await;
        let new: Vec<StoreKey> = (0..4).map(|_| new_key()).collect();
        let rotates = new.iter().map(|new| {
            let (store, new) = (Arc::clone(&store), *new);
            let grace = grace(&*harness, 100, OldId::ReadsSnapshot);
            async move { ok(store.rotate(&old, &new, &add("n", 1), grace)).await }
        });
        let updated = at_once(rotates.collect()).await;
        let mut winners = 0;
        for (new, updated) in new.iter().zip(&updated) {
            if matches!(updated, Updated::Applied { .. }) {
                winners += 1;
                assert_eq!(field(&load(&*store, new).await, "n").as_deref(), Some("2"));
            } else {
                assert_reports_gone(updated);
                assert_gone(&*store, new, "law 4: this renewal was refused").await;
            }
        }
        assert_eq!(winners, 1, "law 4: a session is renewed once: {updated:?}");
    }
}

pub async fn rotate_moves_the_session_and_retires_the_old_key<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = with(&record(&*harness), &set(VALUES));
    create(&store, &old, &before).await;
    harness.advance(harness.tick()).await;
    let mut patch = set(&[("new", "1")]);
    patch.remove("null".into());
    patch.set_expiry(NewExpiry::ExtendTo(ticks(&*harness, 2_000)));
    let grace = grace(&*harness, 10, OldId::ReadsSnapshot);
    let version = assert_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
    let moved = load(&store, &new).await;
    assert_eq!(
        seen(&moved),
        seen(&with(&before, &patch)),
        "the new session is the patched old one"
    );
    assert_eq!(moved.version(), version);
    let retired = load(&store, &old).await;
    assert_eq!(
        seen(&retired),
        seen(&before.retire(grace, &new)),
        "the old key has what `Record::retire` makes of the unchanged session"
    );
    assert_eq!(retired.successor(), Some(&new));
}

pub async fn rotate_may_leave_nothing_to_read_under_the_old_key<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = with(&record(&*harness), &set(VALUES));
    create(&store, &old, &before).await;
    let grace = grace(&*harness, 10, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
    let retired = load(&store, &old).await;
    assert!(retired.is_retired());
    assert_eq!(retired.fields().len(), 0, "the old key reads nothing");
    assert_eq!(retired.successor(), None, "the old key does not lead to the new one");
    assert_eq!(seen(&load(&store, &new).await), seen(&before));
}

pub async fn a_retired_session_takes_no_change<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    for old_id in [OldId::ReadsSnapshot, OldId::ReadsNothing] {
        let (old, new) = (new_key(), new_key());
        create(&store, &old, &with(&record(&*harness), &set(VALUES))).await;
        let grace = grace(&*harness, 10, old_id);
        assert_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
        let (retired, moved) = (seen(&load(&store, &old).await), seen(&load(&store, &new).await));
        assert_takes_no_change(&*harness, &store, &old).await;
        assert_eq!(seen(&load(&store, &old).await), retired, "law 4: the old key takes no change");
        assert_eq!(seen(&load(&store, &new).await), moved, "law 4: nor does it change the new one");
        let created = ok(store.create(&old, &record(&*harness))).await;
        assert_eq!(created, Created::Taken, "law 2: a retired key is taken");
    }
}

pub async fn a_retired_session_ends_with_its_grace_and_never_later_than_before<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (short, long) = (new_key(), new_key());
    create(&store, &short, &Record::new(harness.now(), ticks(&*harness, 1))).await;
    create(&store, &long, &record(&*harness)).await;
    let mut patch = Patch::default();
    patch.set_expiry(NewExpiry::ExtendTo(ticks(&*harness, 1_000)));
    let new = [new_key(), new_key()];
    for (old, new) in [short, long].iter().zip(&new) {
        let grace = grace(&*harness, 2, OldId::ReadsSnapshot);
        assert_applied(&ok(store.rotate(old, new, &patch, grace)).await);
    }
    harness.advance(harness.tick()).await;
    assert_gone(&store, &short, "the session would have ended by now, renewed or not").await;
    assert!(load(&store, &long).await.is_retired());
    harness.advance(harness.tick()).await;
    assert_gone(&store, &long, "the grace is over").await;
    for new in &new {
        load(&store, new).await;
    }
}

// Law 5.

pub async fn concurrent_additions_add_up<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&*harness)).await;
    let adders = (0..8).map(|_| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..50 {
                assert_applied(&ok(store.update(&key, &add("n", 1))).await);
            }
        }
    });
    at_once(adders.collect()).await;
    assert_eq!(
        field(&load(&*store, &key).await, "n").as_deref(),
        Some("400"),
        "law 5: 400 concurrent additions of 1 add 400"
    );
}

pub async fn additions_start_from_the_given_number<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let fields =
        set(&[("text", "\"x\""), ("float", "1.5"), ("max", "9223372036854775807"), ("n", "5")]);
    let before = with(&record(&*harness), &fields);
    create(&store, &key, &before).await;
    let mut patch = Patch::default();
    patch.add("absent".into(), Number::Int(10), Number::Int(-3));
    patch.add("text".into(), Number::Int(100), Number::Int(1));
    patch.add("float".into(), Number::Float(0.0), Number::Float(0.25));
    patch.add("max".into(), Number::Int(0), Number::Int(1));
    patch.add("n".into(), Number::Int(10), Number::Int(-7));
    assert_applied(&ok(store.update(&key, &patch)).await);
    assert_eq!(
        seen(&load(&store, &key).await),
        seen(&with(&before, &patch)),
        "law 5: what is absent or no number counts as `from`, and nothing overflows"
    );
}

// Law 6.

pub async fn additions_work_on_every_number<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &record(&*harness)).await;
    let stored = [
        "0",
        "-0",
        "7",
        "-7",
        "1.5",
        "-1.5e3",
        "1e3",
        "0.1",
        "1e308",
        "1e-7",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e400",
        "-1e400",
        "null",
        "true",
        "\"12\"",
        "[1]",
        "{}",
    ];
    let additions = [
        Number::Int(1),
        Number::Int(-1),
        Number::Int(i64::MAX),
        Number::Int(i64::MIN),
        Number::Float(0.1),
        Number::Float(-2.0),
        Number::Float(f64::MAX),
        Number::Float(1e-9),
    ];
    for text in stored {
        for by in additions {
            let mut patch = Patch::default();
            patch.add("n".into(), Number::Int(10), by);
            let start = set(&[("n", text)]);
            assert_applied(&ok(store.update(&key, &start)).await);
            let expected = with(&with(&record(&*harness), &start), &patch);
            assert_applied(&ok(store.update(&key, &patch)).await);
            let number = |record: &Record| record.field("n").and_then(|n| Number::parse(n).ok());
            assert_eq!(
                number(&load(&store, &key).await),
                number(&expected),
                "{text} and {by:?}, as `Patch::apply_to` adds them",
            );
        }
    }
}

pub async fn a_patch_for_another_version_is_refused_as_a_whole<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (key, new) = (new_key(), new_key());
    create(&store, &key, &with(&record(&*harness), &set(&[("a", "1")]))).await;
    let before = load(&store, &key).await;
    let mut patch = set(&[("a", "2"), ("b", "1")]);
    patch.expect_version(before.version() + 1);
    let grace = grace(&*harness, 1, OldId::ReadsSnapshot);
    for updated in
        [ok(store.update(&key, &patch)).await, ok(store.rotate(&key, &new, &patch, grace)).await]
    {
        match updated {
            Updated::Conflict(current) => assert_eq!(
                (seen(&current), current.version()),
                (seen(&before), before.version()),
                "law 6: the current record comes back"
            ),
            other => panic!("law 6: the patch is for another version: {other:?}"),
        }
    }
    assert_eq!(seen(&load(&store, &key).await), seen(&before), "law 6: nothing was changed");
    assert_gone(&store, &new, "law 6: nothing was moved").await;
    patch.expect_version(before.version());
    assert_applied(&ok(store.update(&key, &patch)).await);
    assert_eq!(field(&load(&store, &key).await, "a").as_deref(), Some("2"));
}

pub async fn of_concurrent_writers_one_gets_each_version<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&*harness)).await;
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
                Updated::Applied { .. } => winners.push(writer),
                Updated::Conflict(current) => {
                    assert!(current.version() > version, "law 6: the current record comes back");
                }
                other => panic!("law 6: applied or a conflict: {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "law 6: one writer gets version {version}, round {round}");
        assert_eq!(
            field(&load(&*store, &key).await, "writer"),
            Some(winners[0].to_string()),
            "law 6: and what it wrote is there"
        );
    }
}

// Law 7.

pub async fn destroy_is_idempotent_and_says_whether_something_was_there<H: Harness>(
    harness: Arc<H>,
) {
    let store = harness.open().await;
    let (key, expired) = (new_key(), new_key());
    create(&store, &key, &record(&*harness)).await;
    create(&store, &expired, &Record::new(harness.now(), ticks(&*harness, 1))).await;
    assert!(ok(store.destroy(&key)).await, "law 7: the session was there");
    assert!(!ok(store.destroy(&key)).await, "law 7: now it is not");
    assert!(!ok(store.destroy(&new_key())).await, "law 7: it never was");
    harness.advance(harness.tick()).await;
    assert!(!ok(store.destroy(&expired)).await, "law 7: an expired session is not there");
}

pub async fn destroy_follows_renewals<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let keys: Vec<StoreKey> = (0..4).map(|_| new_key()).collect();
    create(&store, &keys[0], &record(&*harness)).await;
    for pair in keys.windows(2) {
        let grace = grace(&*harness, 10, OldId::ReadsSnapshot);
        assert_applied(&ok(store.rotate(&pair[0], &pair[1], &Patch::default(), grace)).await);
    }
    assert!(ok(store.destroy(&keys[0])).await, "law 7: something was there");
    for key in &keys {
        assert_gone(&store, key, "law 7: a logout that renewals overtook is still a logout").await;
    }
}

pub async fn destroy_through_a_hidden_old_key_ends_nothing_else<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    create(&store, &old, &record(&*harness)).await;
    let grace = grace(&*harness, 10, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&old, &new, &Patch::default(), grace)).await);
    ok(store.destroy(&old)).await;
    assert_gone(&store, &old, "law 7: it was destroyed").await;
    load(&store, &new).await;
}

// Law 8.

pub async fn touch_only_extends<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let before = with(&Record::new(harness.now(), ticks(&*harness, 4)), &set(VALUES));
    create(&store, &key, &before).await;
    let version = load(&store, &key).await.version();
    let later = ticks(&*harness, 10);
    assert!(ok(store.touch(&key, later)).await, "law 8: the session was there");
    let touched = load(&store, &key).await;
    assert_eq!(
        seen(&touched),
        seen(&before.clone().extended_to(later)),
        "law 8: nothing else changed"
    );
    assert_eq!(touched.version(), version, "law 8: a touch is no new version");
    assert!(ok(store.touch(&key, ticks(&*harness, 1))).await, "law 8: the session was there");
    assert_eq!(
        load(&store, &key).await.expires_at(),
        later,
        "law 8: an older touch never shortens"
    );
    assert_applied(&ok(store.update(&key, &set(&[("a", "1")]))).await);
    assert_eq!(load(&store, &key).await.expires_at(), later, "law 3: an update keeps the expiry");
}

pub async fn load_and_touch_extends_as_told_or_not_at_all<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (tick, zero) = (harness.tick(), Duration::ZERO);
    for (own, idle, absolute, touch_interval) in [
        (None, 20, 100, Some(zero)),
        (None, 20, 100, None),
        (None, 20, 15, Some(zero)),
        (None, 20, 100, Some(tick * 11)),
        (None, 20, 100, Some(tick * 9)),
        (None, 5, 100, Some(zero)),
        (Some(30), 5, 100, Some(zero)),
        (Some(30), 20, 100, Some(zero)),
    ] {
        let lifetimes = Lifetimes { idle: tick * idle, absolute: tick * absolute, touch_interval };
        let renewal = Renewal { lifetimes, now: harness.now() };
        let mut record = with(&record(&*harness), &set(&[("a", "1")]));
        record.expires_at = ticks(&*harness, 10);
        record.limits.max_age = own.map(|own| tick * own);
        let key = new_key();
        create(&store, &key, &record).await;
        let loaded = ok(store.load_and_touch(&key, &renewal)).await.expect("it is there");
        let told = renewal.expires_at(&record).unwrap_or(record.expires_at());
        assert!(
            [record.expires_at(), told].contains(&loaded.expires_at()),
            "{loaded:?} instead of {told:?}"
        );
        assert_eq!(seen(&loaded), seen(&load(&store, &key).await), "what it says is stored");
        assert_eq!(loaded.version(), record.version());
    }
    let gone = ok(store.load_and_touch(&new_key(), &often(&*harness))).await;
    assert!(gone.is_none(), "and nothing comes from nothing");
}

pub async fn load_and_touch_does_not_extend_a_retired_session<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    create(&store, &old, &record(&*harness)).await;
    let grace = grace(&*harness, 2, OldId::ReadsSnapshot);
    ok(store.rotate(&old, &new, &Patch::default(), grace)).await;
    let loaded = ok(store.load_and_touch(&old, &often(&*harness))).await.expect("it is there");
    assert_eq!(loaded.expires_at(), grace.until);
    assert_eq!(load(&store, &old).await.expires_at(), grace.until);
}

/// A renewal that is always worth it.
fn often<H: Harness>(harness: &H) -> Renewal {
    let lifetimes = Lifetimes {
        idle: harness.tick() * 50,
        absolute: harness.tick() * 500,
        touch_interval: Some(Duration::ZERO),
    };
    Renewal { lifetimes, now: harness.now() }
}

pub async fn concurrent_touches_keep_the_latest<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&*harness)).await;
    let base = ticks(&*harness, 1_000);
    let touches = (0..8).map(|task: u64| {
        let store = Arc::clone(&store);
        async move {
            for n in (0..10).rev() {
                let later = base.saturating_add(Duration::from_millis(1 + n * 8 + task));
                assert!(ok(store.touch(&key, later)).await);
            }
        }
    });
    at_once(touches.collect()).await;
    assert_eq!(
        load(&*store, &key).await.expires_at(),
        base.saturating_add(Duration::from_millis(80)),
        "law 8: of concurrent touches the latest time counts"
    );
}

// Law 9.

pub async fn sessions_are_there_after_reopening<H: Reopen>(harness: Arc<H>) {
    let mut store = harness.open().await;
    let (live, touched, destroyed, expired) = (new_key(), new_key(), new_key(), new_key());
    let (old, new) = (new_key(), new_key());
    let mut patch = set(VALUES);
    patch.set_limits(Limits { max_age: Some(harness.tick() * 3), persistent: None });
    create(&store, &live, &with(&record(&*harness), &patch)).await;
    for key in [touched, expired] {
        create(&store, &key, &Record::new(harness.now(), ticks(&*harness, 1))).await;
    }
    for key in [destroyed, old] {
        create(&store, &key, &record(&*harness)).await;
    }
    assert!(ok(store.touch(&touched, ticks(&*harness, 50))).await);
    ok(store.destroy(&destroyed)).await;
    let grace = grace(&*harness, 50, OldId::ReadsSnapshot);
    assert_applied(&ok(store.rotate(&old, &new, &add("n", 1), grace)).await);
    let keys = [live, touched, old, new];
    let mut before = Vec::new();
    for key in &keys {
        let record = load(&store, key).await;
        before.push((seen(&record), record.version(), record.successor().copied()));
    }
    harness.advance(harness.tick()).await;
    store = harness.reopen(store).await;
    for (key, before) in keys.iter().zip(&before) {
        let record = load(&store, key).await;
        let after = (seen(&record), record.version(), record.successor().copied());
        assert_eq!(&after, before, "law 9: what was stored is there after reopening");
    }
    for key in [destroyed, expired] {
        assert_gone(&store, &key, "law 9: what ended before reopening stays ended").await;
    }
}

// Law 10.

pub async fn damaged_bytes_harm_one_session<H: Damage>(harness: Arc<H>) {
    let store = harness.open().await;
    let half = record(&*harness).to_bytes();
    let half = &half[..half.len() / 2];
    let damages: [&[u8]; 4] = [b"", b"\0\0\0\0", b"{\"views\":1}", half];
    for bytes in damages {
        let (damaged, whole) = (new_key(), new_key());
        for key in [damaged, whole] {
            create(&store, &key, &with(&record(&*harness), &set(VALUES))).await;
        }
        harness.damage(&store, &damaged, bytes).await;
        match store.load(&damaged).await {
            Err(StoreError::Damaged(_)) => {}
            other => panic!("law 10: damaged bytes are a decode error, not {other:?}"),
        }
        load(&store, &whole).await;
        assert_applied(&ok(store.update(&whole, &set(&[("a", "1")]))).await);
    }
}

// Law 11.

pub async fn delete_expired_deletes_expired_sessions_only<H: Harness>(harness: Arc<H>)
where
    H::Store: DeleteExpired,
{
    let store = harness.open().await;
    assert_eq!(ok(store.delete_expired()).await, 0, "an empty store has nothing to delete");
    let (expired, live): (Vec<_>, Vec<_>) =
        ((0..30).map(|_| new_key()).collect(), (0..30).map(|_| new_key()).collect());
    for key in &expired {
        create(&store, key, &Record::new(harness.now(), ticks(&*harness, 1))).await;
    }
    for key in &live {
        create(&store, key, &Record::new(harness.now(), ticks(&*harness, 1))).await;
        assert!(ok(store.touch(key, ticks(&*harness, 100))).await);
    }
    harness.advance(harness.tick()).await;
    assert_eq!(ok(store.delete_expired()).await, 30, "each expired session is deleted and counted");
    assert_eq!(ok(store.delete_expired()).await, 0, "and only once");
    for key in &live {
        load(&store, key).await;
    }
    for key in &expired {
        assert_gone(&store, key, "it was deleted").await;
    }
}

// All laws at once.

/// A store as the laws describe it.
#[derive(Default)]
struct Model(BTreeMap<StoreKey, Record>);

impl Model {
    fn live(&self, key: &StoreKey, now: Timestamp) -> Option<&Record> {
        self.0.get(key).filter(|record| !record.is_expired(now))
    }

    /// Whether a session that is live ends before then.
    fn expires_before(&self, then: Timestamp, now: Timestamp) -> bool {
        let mut live = self.0.values().filter(|record| !record.is_expired(now));
        live.any(|record| record.is_expired(then))
    }

    fn change(&self, key: &StoreKey, patch: &Patch, now: Timestamp) -> Result<Record, &str> {
        let current = self.live(key, now).ok_or("gone")?;
        patch.apply_to(current).map_err(|refused| match refused {
            Refused::Retired => "gone",
            Refused::Stale => "conflict",
        })
    }

    fn destroy(&mut self, key: &StoreKey, now: Timestamp) -> bool {
        let Some(record) = self.0.remove(key).filter(|record| !record.is_expired(now)) else {
            return false;
        };
        if let Some(successor) = record.successor() {
            self.destroy(successor, now);
        }
        true
    }
}

/// Marsaglia's xorshift: the calls are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn patch<H: Harness>(&mut self, harness: &H) -> Patch {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut patch = Patch::default();
        for _ in 0..self.below(3) {
            let name = NAMES[self.below(3) as usize];
            let n = self.below(100) as i64 - 50;
            match self.below(4) {
                0 => patch.remove(name.into()),
                1 => patch.add(name.into(), Number::Int(7), Number::Int(n)),
                2 => patch.set(name.into(), json(&format!("[{n}]"))),
                _ => patch.set(name.into(), json(&n.to_string())),
            }
        }
        match self.below(8) {
            0 => patch.set_expiry(NewExpiry::ExtendTo(ticks(harness, self.below(20) as u32 + 1))),
            1 => patch.set_expiry(NewExpiry::Set(ticks(harness, self.below(9) as u32 + 2))),
            2 => patch.expect_version(self.below(4)),
            3 => patch.begin_anew(harness.now()),
            _ => {}
        }
        patch
    }
}

fn told(updated: &Updated) -> &str {
    match updated {
        Updated::Applied { .. } => "applied",
        Updated::Gone => "gone",
        Updated::Conflict(_) => "conflict",
        Updated::Taken => "taken",
    }
}

pub async fn random_calls_agree_with_the_model<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let mut model = Model::default();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let keys: Vec<StoreKey> = (0..4).map(|_| new_key()).collect();
    // A clock that has to be waited for lets fewer ticks pass.
    let tick_every = if harness.tick() < Duration::from_secs(60) { 400 } else { 20 };
    for step in 0..2_000 {
        let key = keys[random.below(4) as usize];
        // A clock that nobody holds goes on during a call, so none is made on the brink of an expiry.
        let brink = harness.tick() / 10;
        while model.expires_before(harness.now().saturating_add(brink), harness.now()) {
            harness.advance(brink).await;
        }
        let now = harness.now();
        let call = match random.below(tick_every) {
            0 => 99,
            _ => random.below(12),
        };
        match call {
            99 => harness.advance(harness.tick()).await,
            0 | 1 => {
                let lifetime = random.below(9) as u32 + 2;
                let record = Record::new(now, ticks(&*harness, lifetime));
                let created = ok(store.create(&key, &record)).await;
                let expected = match model.live(&key, now) {
                    Some(_) => Created::Taken,
                    None => {
                        model.0.insert(key, record);
                        Created::Stored
                    }
                };
                assert_eq!(created, expected, "step {step}: create");
            }
            2..=5 => {
                let patch = random.patch(&*harness);
                let updated = ok(store.update(&key, &patch)).await;
                let expected = model.change(&key, &patch, now).map_err(str::to_owned);
                let expected_answer = expected.as_ref().map_or_else(String::as_str, |_| "applied");
                assert_eq!(told(&updated), expected_answer, "step {step}: update");
                if let Ok(record) = expected {
                    model.0.insert(key, record);
                }
            }
            6 => {
                let later = ticks(&*harness, random.below(12) as u32);
                let touched = ok(store.touch(&key, later)).await;
                let live = model.live(&key, now).filter(|record| !record.is_retired()).cloned();
                assert_eq!(touched, live.is_some(), "step {step}: touch");
                if let Some(record) = live {
                    model.0.insert(key, record.extended_to(later));
                }
            }
            7 => {
                let destroyed = ok(store.destroy(&key)).await;
                assert_eq!(destroyed, model.destroy(&key, now), "step {step}: destroy");
            }
            8 | 9 => {
                let new = keys[random.below(4) as usize];
                if new == key {
                    continue;
                }
                let old_id = match random.below(2) {
                    0 => OldId::ReadsSnapshot,
                    _ => OldId::ReadsNothing,
                };
                let grace = grace(&*harness, random.below(4) as u32 + 1, old_id);
                let patch = random.patch(&*harness);
                let updated = ok(store.rotate(&key, &new, &patch, grace)).await;
                let expected = model.change(&key, &patch, now).map_err(str::to_owned);
                let expected_answer = match &expected {
                    Err(refused) => refused.as_str(),
                    Ok(_) if model.live(&new, now).is_some() => "taken",
                    Ok(_) => "applied",
                };
                assert_eq!(told(&updated), expected_answer, "step {step}: rotate");
                if let ("applied", Ok(moved)) = (expected_answer, &expected) {
                    let retired = model.0[&key].retire(grace, &new);
                    model.0.insert(key, retired);
                    model.0.insert(new, moved.clone());
                }
            }
            _ => {}
        }
        let (now, found) = (harness.now(), ok(store.load(&key)).await);
        assert_eq!(
            found.map(|record| (seen(&record), record.version())),
            model.live(&key, now).map(|record| (seen(record), record.version())),
            "step {step}: what is stored after call {call}"
        );
    }
}

/// One session that several tasks use at random, and what they were told.
struct Crowd<S> {
    store: S,
    /// The keys that the session has had; the last one is its key.
    keys: Mutex<Vec<StoreKey>>,
    /// How many additions were applied.
    added: AtomicU64,
    /// Whether a call that has destroyed the session has returned.
    ended: AtomicBool,
}

impl<S> Crowd<S> {
    fn key(&self) -> StoreKey {
        *self.keys.lock().expect("no task panics with it").last().expect("it begins with one")
    }
}

/// What one task does. Gives the last value of its own field that was applied.
async fn jostle<H: Harness>(
    harness: Arc<H>,
    crowd: Arc<Crowd<H::Store>>,
    task: usize,
    mut random: Random,
) -> Option<i64> {
    let own = ["own0", "own1", "own2", "own3", "own4", "own5"][task];
    let mut applied = None;
    for n in 0..15 {
        let had_ended = crowd.ended.load(Ordering::SeqCst);
        let key = crowd.key();
        let store = &crowd.store;
        // Only one task renews, so that it knows where the session is.
        let call = random.below(if task == 0 { 40 } else { 34 });
        let was_there = match call {
            0..10 => {
                let mut patch = add("n", 1);
                patch.set(own.into(), json(&n.to_string()));
                match ok(store.update(&key, &patch)).await {
                    Updated::Applied { .. } => {
                        crowd.added.fetch_add(1, Ordering::SeqCst);
                        applied = Some(n);
                        true
                    }
                    Updated::Gone => false,
                    other => panic!("nobody asked for a version: {other:?}"),
                }
            }
            10..18 => match ok(store.load(&key)).await {
                None => false,
                Some(record) => {
                    let mut patch = add("n", 1);
                    patch.expect_version(record.version());
                    let updated = ok(store.update(&key, &patch)).await;
                    match &updated {
                        Updated::Applied { version } => {
                            crowd.added.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(*version, record.version() + 1);
                        }
                        Updated::Conflict(current) => {
                            assert!(current.version() > record.version(), "versions only grow");
                        }
                        Updated::Gone => {}
                        Updated::Taken => panic!("`update` takes no new key"),
                    }
                    !record.is_retired()
                }
            },
            18..26 => ok(store.load(&key)).await.is_some_and(|record| !record.is_retired()),
            26..33 => ok(store.touch(&key, ticks(&*harness, 2_000 + n as u32))).await,
            // Seldom enough that many rounds end with a session.
            33 if random.below(6) > 0 => continue,
            33 => {
                let destroyed = ok(store.destroy(&key)).await;
                if destroyed {
                    crowd.ended.store(true, Ordering::SeqCst);
                }
                destroyed
            }
            _ => {
                let new = new_key();
                let grace = grace(&*harness, 500, OldId::ReadsSnapshot);
                match ok(store.rotate(&key, &new, &add("n", 1), grace)).await {
                    Updated::Applied { .. } => {
                        crowd.added.fetch_add(1, Ordering::SeqCst);
                        crowd.keys.lock().expect("no task panics with it").push(new);
                        true
                    }
                    Updated::Gone => false,
                    other => panic!("the key is new and no version is asked for: {other:?}"),
                }
            }
        };
        assert!(!(had_ended && was_there), "law 4: call {call} found a session that had ended");
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    applied
}

pub async fn random_interleavings_keep_the_laws<H: Harness>(harness: Arc<H>) {
    const TASKS: usize = 6;
    for round in 1..=40 {
        let crowd = Arc::new(Crowd {
            store: harness.open().await,
            keys: Mutex::new(vec![new_key()]),
            added: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        create(&crowd.store, &crowd.key(), &record(&*harness)).await;
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let random =
                Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(round * 31 + task as u64 + 1));
            let (harness, crowd) = (Arc::clone(&harness), Arc::clone(&crowd));
            tasks.spawn(async move { (task, jostle(harness, crowd, task, random).await) });
        }
        let mut applied = [None; TASKS];
        while let Some(result) = tasks.join_next().await {
            let (task, last) = result.expect("the task keeps the laws");
            applied[task] = last;
        }
        let keys = crowd.keys.lock().expect("all tasks have ended").clone();
        let mut live = Vec::new();
        for key in &keys {
            live.extend(ok(crowd.store.load(key)).await.filter(|record| !record.is_retired()));
        }
        if crowd.ended.load(Ordering::SeqCst) {
            assert!(live.is_empty(), "round {round}: a destroyed session stays destroyed");
            continue;
        }
        let [record] = &live[..] else {
            panic!("round {round}: a session is live under one key, and not {}", live.len());
        };
        let added = crowd.added.load(Ordering::SeqCst);
        assert_eq!(field(record, "n"), (added > 0).then(|| added.to_string()), "round {round}");
        for (task, last) in applied.iter().enumerate() {
            let stored = field(record, &format!("own{task}"));
            assert_eq!(stored, last.map(|n: i64| n.to_string()), "round {round}: task {task}");
        }
    }
}

// `FindByIndex`.

/// A patch that sets indexed fields.
fn indexed<H: Harness>(harness: &H, fields: &[(&str, &str)]) -> Patch {
    let mut patch = set(fields);
    let id = PublicId::new(ticks(harness, 2_000));
    for (name, _) in fields {
        patch.index_field(Index::new(id, FieldName::Owned((*name).to_owned())));
    }
    patch
}

/// The keys of the sessions with a value, page by page.
async fn found<S: FindByIndex>(store: &S, name: &str, text: &str) -> Vec<StoreKey> {
    pages(store, name, text, 3).await.into_iter().map(|(_, key)| key).collect()
}

async fn pages<S: FindByIndex>(
    store: &S,
    name: &str,
    text: &str,
    limit: usize,
) -> Vec<(PublicId, StoreKey)> {
    let mut sessions = Vec::new();
    let mut after = None;
    loop {
        let page = ok(store.find(name, &json(text), after, limit)).await;
        assert!(page.sessions.len() <= limit, "a page has no more than was asked for");
        for (key, record) in page.sessions {
            assert!(record.is_found_by(name, &json(text)), "only what has the value is found");
            let id = record.index().map(Index::public_id);
            sessions.push((id.expect("what is found is indexed"), key));
        }
        assert!(page.next.is_none() || page.next > after, "the next page is a later one");
        after = page.next;
        if after.is_none() {
            return sessions;
        }
    }
}

pub async fn a_session_is_found_after_create_update_and_rotate<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let [created, updated, renewed] = [new_key(), new_key(), new_key()];
    create(&store, &created, &with(&record(&*harness), &indexed(&*harness, &[("user", "1")])))
        .await;
    assert_eq!(found(&store, "user", "1").await, [created], "after `create`");
    create(&store, &updated, &record(&*harness)).await;
    assert_eq!(found(&store, "user", "2").await, []);
    assert_applied(&ok(store.update(&updated, &indexed(&*harness, &[("user", "2")]))).await);
    assert_eq!(found(&store, "user", "2").await, [updated], "after `update`");
    assert_applied(&ok(store.update(&updated, &set(&[("other", "1")]))).await);
    assert_eq!(found(&store, "user", "2").await, [updated], "after an update of another field");
    let grace = grace(&*harness, 10, OldId::ReadsSnapshot);
    assert_applied(&ok(store.rotate(&updated, &renewed, &Patch::default(), grace)).await);
    assert_eq!(
        found(&store, "user", "2").await,
        [renewed],
        "after `rotate`, under the new key only"
    );
    let id = |keys: Vec<(PublicId, StoreKey)>| keys[0].0;
    let before = id(pages(&store, "user", "2", 1).await);
    let again = new_key();
    let login = indexed(&*harness, &[("user", "3")]);
    let hidden = Grace { old_id: OldId::ReadsNothing, ..grace };
    assert_applied(&ok(store.rotate(&renewed, &again, &login, hidden)).await);
    assert_eq!(found(&store, "user", "2").await, [], "the patch of `rotate` has changed the value");
    assert_eq!(found(&store, "user", "3").await, [again]);
    assert_eq!(id(pages(&store, "user", "3", 1).await), before, "the session keeps its public id");
    assert_eq!(found(&store, "user", "1").await, [created], "other sessions are where they were");
}

pub async fn a_session_is_found_by_each_of_its_indexed_fields<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    let first = indexed(&*harness, &[("user_id", "1"), ("tenant", "\"a\"")]);
    create(&store, &key, &with(&record(&*harness), &first)).await;
    // Their names are parts of others.
    assert_applied(&ok(store.update(&key, &indexed(&*harness, &[("id", "2")]))).await);
    assert_applied(&ok(store.update(&key, &indexed(&*harness, &[("@c", "3")]))).await);
    for (name, text) in [("user_id", "1"), ("tenant", "\"a\""), ("id", "2"), ("@c", "3")] {
        assert_eq!(found(&store, name, text).await, [key], "{name}");
    }
    let new = new_key();
    let grace = grace(&*harness, 10, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&key, &new, &set(&[("other", "1")]), grace)).await);
    for (name, text) in [("user_id", "1"), ("tenant", "\"a\""), ("id", "2"), ("@c", "3")] {
        assert_eq!(found(&store, name, text).await, [new], "{name} after a renewal");
    }
}

pub async fn a_write_that_does_not_know_of_the_index_changes_it_too<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    let first = indexed(&*harness, &[("user", "1"), ("tenant", "1")]);
    create(&store, &key, &with(&record(&*harness), &first)).await;
    // As another struct, or an older release, that has the field and does not index it.
    assert_applied(&ok(store.update(&key, &set(&[("user", "2")]))).await);
    assert_eq!(found(&store, "user", "1").await, []);
    assert_eq!(found(&store, "user", "2").await, [key], "after a plain `update`");
    let mut patch = set(&[("other", "1")]);
    patch.remove("user".into());
    assert_applied(&ok(store.update(&key, &patch)).await);
    assert_eq!(found(&store, "user", "2").await, [], "after a removal");
    let mut patch = set(&[("user", "3")]);
    patch.remove("absent".into());
    assert_applied(&ok(store.update(&key, &patch)).await);
    assert_eq!(found(&store, "user", "3").await, [key], "after an `update` of several kinds");
    assert_eq!(found(&store, "tenant", "1").await, [key], "by what was not changed");
    let new = new_key();
    let grace = grace(&*harness, 10, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&key, &new, &set(&[("user", "4")]), grace)).await);
    assert_eq!(found(&store, "user", "3").await, []);
    assert_eq!(found(&store, "user", "4").await, [new], "after `rotate`");
}

pub async fn a_session_is_found_by_every_kind_of_value<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let values = VALUES.iter().filter(|(_, text)| *text != "null");
    let values: BTreeSet<&str> = values.map(|(_, text)| *text).collect();
    let large = format!("\"{}\"", "x".repeat(10_000));
    let mut keys = Vec::new();
    for text in values.into_iter().chain([large.as_str()]) {
        let key = new_key();
        create(&store, &key, &with(&record(&*harness), &indexed(&*harness, &[("näme 🦀", text)])))
            .await;
        keys.push((text, key));
    }
    for (text, key) in keys {
        assert_eq!(found(&store, "näme 🦀", text).await, [key], "{text:.40}");
    }
}

pub async fn a_field_that_is_not_indexed_finds_nothing<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &with(&record(&*harness), &set(&[("user", "1")]))).await;
    assert_applied(&ok(store.update(&key, &indexed(&*harness, &[("tenant", "null")]))).await);
    for (name, text) in [("user", "1"), ("tenant", "null"), ("absent", "1")] {
        assert_eq!(found(&store, name, text).await, [], "{name}");
    }
}

pub async fn a_changed_value_finds_no_longer<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (key, other) = (new_key(), new_key());
    for key in [key, other] {
        create(&store, &key, &with(&record(&*harness), &indexed(&*harness, &[("user", "1")])))
            .await;
    }
    assert_applied(&ok(store.update(&key, &indexed(&*harness, &[("user", "2")]))).await);
    assert_eq!(found(&store, "user", "1").await, [other]);
    assert_eq!(found(&store, "user", "2").await, [key]);
    assert_applied(&ok(store.update(&key, &indexed(&*harness, &[("user", "1")]))).await);
    assert_eq!(found(&store, "user", "1").await.len(), 2, "it has the value again");
    let mut logout = indexed(&*harness, &[("user", "null")]);
    assert_applied(&ok(store.update(&key, &logout)).await);
    assert_eq!(found(&store, "user", "1").await, [other], "`null` is in no index");
    logout.remove("user".into());
    assert_applied(&ok(store.update(&other, &logout)).await);
    assert_eq!(found(&store, "user", "1").await, [], "an absent field is in no index");
    assert_eq!(found(&store, "user", "null").await, []);
}

pub async fn a_destroyed_session_is_not_found<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (one, two, renewed) = (new_key(), new_key(), new_key());
    for key in [one, two] {
        create(&store, &key, &with(&record(&*harness), &indexed(&*harness, &[("user", "1")])))
            .await;
    }
    ok(store.destroy(&one)).await;
    assert_eq!(found(&store, "user", "1").await, [two]);
    let grace = grace(&*harness, 10, OldId::ReadsSnapshot);
    assert_applied(&ok(store.rotate(&two, &renewed, &Patch::default(), grace)).await);
    ok(store.destroy(&two)).await;
    assert_eq!(found(&store, "user", "1").await, [], "a renewal does not hide it from its end");
}

pub async fn an_expired_session_is_not_found_and_a_touched_one_is<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (one, two) = (new_key(), new_key());
    for key in [one, two] {
        let record = Record::new(harness.now(), ticks(&*harness, 3));
        create(&store, &key, &with(&record, &indexed(&*harness, &[("user", "1")]))).await;
    }
    assert!(ok(store.touch(&two, ticks(&*harness, 500))).await);
    harness.advance(harness.tick() * 3).await;
    assert_eq!(found(&store, "user", "1").await, [two]);
    // The key of one that has expired is free for another.
    create(&store, &one, &with(&record(&*harness), &indexed(&*harness, &[("user", "2")]))).await;
    assert_eq!(found(&store, "user", "1").await, [two]);
    assert_eq!(found(&store, "user", "2").await, [one]);
}

pub async fn a_session_begun_anew_is_found_by_its_new_values_only<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (old, new) = (new_key(), new_key());
    let before = indexed(&*harness, &[("user", "1"), ("tenant", "1")]);
    create(&store, &old, &with(&record(&*harness), &before)).await;
    let mut patch = indexed(&*harness, &[("user", "2")]);
    patch.begin_anew(harness.now());
    patch.set_expiry(NewExpiry::Set(ticks(&*harness, 900)));
    let grace = grace(&*harness, 10, OldId::ReadsNothing);
    assert_applied(&ok(store.rotate(&old, &new, &patch, grace)).await);
    assert_eq!(found(&store, "user", "1").await, []);
    assert_eq!(found(&store, "tenant", "1").await, []);
    assert_eq!(found(&store, "user", "2").await, [new]);
}

pub async fn a_refused_call_lets_nothing_be_found<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let (mine, gone) = (new_key(), new_key());
    create(&store, &mine, &with(&record(&*harness), &indexed(&*harness, &[("user", "1")]))).await;
    let intruder = indexed(&*harness, &[("user", "2")]);
    let created = ok(store.create(&mine, &with(&record(&*harness), &intruder))).await;
    assert_eq!(created, Created::Taken);
    assert_reports_gone(&ok(store.update(&gone, &intruder)).await);
    let grace = grace(&*harness, 10, OldId::ReadsSnapshot);
    assert_reports_gone(&ok(store.rotate(&gone, &new_key(), &intruder, grace)).await);
    let mut stale = intruder.clone();
    stale.expect_version(4_711);
    let refused = ok(store.update(&mine, &stale)).await;
    assert!(matches!(refused, Updated::Conflict(_)), "{refused:?}");
    assert_eq!(found(&store, "user", "2").await, []);
    assert_eq!(found(&store, "user", "1").await, [mine], "and what there is stays");
}

pub async fn pages_have_every_session_once_and_in_order<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = harness.open().await;
    let mut keys = BTreeSet::new();
    for n in 0..50 {
        let key = new_key();
        let mut patch = set(&[("user", "1")]);
        // Some have begun at the same moment.
        let id = PublicId::new(ticks(&*harness, 2_000 - n / 7));
        patch.index_field(Index::new(id, "user".into()));
        create(&store, &key, &with(&record(&*harness), &patch)).await;
        keys.insert(key);
    }
    for limit in [1, 7, 50, 51, 1_000] {
        let sessions = pages(&store, "user", "1", limit).await;
        assert!(sessions.is_sorted(), "pages of {limit} are in order");
        let listed: BTreeSet<StoreKey> = sessions.iter().map(|(_, key)| *key).collect();
        assert_eq!(
            (sessions.len(), &listed),
            (50, &keys),
            "pages of {limit} have every session once"
        );
    }
    let one = ok(store.find("user", &json("1"), None, 0)).await;
    assert_eq!(one.sessions.len(), 1, "a limit of zero counts as one");
}

/// Renews, changes and ends sessions, and begins others, until the flag is set.
async fn stir<H: Harness>(
    harness: Arc<H>,
    store: Arc<H::Store>,
    mut keys: Vec<StoreKey>,
    stop: Arc<AtomicBool>,
) {
    let mut random = Random(0x0123_4567_89ab_cdef);
    while !stop.load(Ordering::SeqCst) {
        let at = random.below(keys.len() as u64) as usize;
        let new = new_key();
        let grace = grace(&*harness, 100, OldId::ReadsNothing);
        assert_applied(&ok(store.rotate(&keys[at], &new, &add("n", 1), grace)).await);
        keys[at] = new;
        let passer_by = new_key();
        let patch = indexed(&*harness, &[("user", "1")]);
        create(&*store, &passer_by, &with(&record(&*harness), &patch)).await;
        if random.below(8) == 0 {
            assert_applied(
                &ok(store.update(&passer_by, &indexed(&*harness, &[("user", "2")]))).await,
            );
        }
        ok(store.destroy(&passer_by)).await;
        tokio::task::yield_now().await;
    }
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
        let record = with(&record(&*harness), &indexed(&*harness, &[("user", "1")]));
        ids.extend(record.index().map(Index::public_id));
        create(&*store, &key, &record).await;
        keys.push(key);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stirring =
        tokio::spawn(stir(Arc::clone(&harness), Arc::clone(&store), keys, Arc::clone(&stop)));
    for _ in 0..30 {
        let listed: Vec<PublicId> =
            pages(&*store, "user", "1", 4).await.into_iter().map(|(id, _)| id).collect();
        assert!(listed.is_sorted_by(|a, b| a < b), "each session is listed once, and in order");
        let missing: Vec<_> = ids.iter().filter(|id| !listed.contains(id)).collect();
        assert!(missing.is_empty(), "sessions that lived all the time are missing: {missing:?}");
    }
    stop.store(true, Ordering::SeqCst);
    stirring.await.expect("the calls keep the laws");
}

pub async fn a_session_is_found_at_any_moment_of_a_renewal<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let mut key = new_key();
    create(&*store, &key, &with(&record(&*harness), &indexed(&*harness, &[("user", "1")]))).await;
    for round in 0..ROUNDS {
        let new = new_key();
        let grace = grace(&*harness, 100, OldId::ReadsNothing);
        let (renewing, looking) = (Arc::clone(&store), Arc::clone(&store));
        let (renewed, seen) = both(
            async move { ok(renewing.rotate(&key, &new, &Patch::default(), grace)).await },
            async move {
                stagger(round).await;
                found(&*looking, "user", "1").await
            },
        )
        .await;
        assert_applied(&renewed);
        assert_eq!(seen.len(), 1, "the session is found, once, in round {round}");
        key = new;
    }
}

pub async fn what_is_found_after_random_calls_is_what_is_stored<H: Harness>(harness: Arc<H>)
where
    H::Store: FindByIndex,
{
    let store = Arc::new(harness.open().await);
    let tasks = (1..=4).map(|seed| {
        let (harness, store) = (Arc::clone(&harness), Arc::clone(&store));
        async move {
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let mut keys: Vec<StoreKey> = Vec::new();
            for _ in 0..60 {
                let user = random.below(3).to_string();
                let user = if random.below(5) == 0 { "null" } else { &user };
                let patch = match random.below(3) {
                    0 => set(&[("other", "1")]),
                    _ => indexed(&*harness, &[("user", user)]),
                };
                let at = random.below(keys.len().max(1) as u64) as usize;
                match random.below(6) {
                    0 | 1 => {
                        let key = new_key();
                        create(&*store, &key, &with(&record(&*harness), &patch)).await;
                        keys.push(key);
                    }
                    _ if keys.is_empty() => {}
                    2 | 3 => drop(ok(store.update(&keys[at], &patch)).await),
                    4 => {
                        let new = new_key();
                        let grace = grace(&*harness, 100, OldId::ReadsSnapshot);
                        assert_applied(&ok(store.rotate(&keys[at], &new, &patch, grace)).await);
                        keys[at] = new;
                    }
                    _ => drop(ok(store.destroy(&keys.swap_remove(at))).await),
                }
            }
            keys
        }
    });
    let keys = at_once(tasks.collect()).await.concat();
    for user in 0..3 {
        let user = user.to_string();
        let mut expected = BTreeSet::new();
        for key in &keys {
            if load(&*store, key).await.is_found_by("user", &json(&user)) {
                expected.insert(*key);
            }
        }
        let found = found(&*store, "user", &user).await;
        assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected, "user {user}");
        assert_eq!(found.len(), expected.len(), "each session is found once");
    }
}
