//! What several callers get at the same time, and what numbers become.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    StoreError,
    store::{
        FindByIndex as _, Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore as _,
        UpdateOutcome,
    },
    testing::Harness as _,
};
use actix_typed_session_tests::json::{json, record, set};

use crate::database::{Builder as _, Database, Tables, key, on_each_database, pool};

async fn two_hundred_concurrent_increments_add_two_hundred<D: Database>() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let store = Tables::<D>::new(isolation).with_session().await;
        let mut patch = Patch::default();
        patch.add("n".into(), Number::Int(0), Number::Int(1));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let (store, patch) = (store.clone(), patch.clone());
                tokio::spawn(async move { store.update(&key(1), &patch).await })
            })
            .collect();
        for task in tasks {
            let outcome = task.await.expect("no panic").expect("the server is up");
            assert!(matches!(outcome, UpdateOutcome::Applied { .. }));
        }
        let record = store.load(&key(1), &Default::default()).await.expect("up").expect("there");
        assert_eq!(record.field("n").map(|json| json.get()), Some("200"), "{isolation}");
    }
}

/// What is stored, what is added, and what an absent field counts as.
const SUMS: &[(Option<&str>, Number, Number)] = &[
    (None, Number::Int(5), Number::Int(3)),
    (Some("1"), Number::Int(2), Number::Int(0)),
    (Some("-0"), Number::Int(2), Number::Int(0)),
    (Some("999999999999999999"), Number::Int(999_999_999_999_999_999), Number::Int(0)),
    (Some("-999999999999999999"), Number::Int(-999_999_999_999_999_999), Number::Int(0)),
    (Some("1000000000000000000"), Number::Int(1_000_000_000_000_000_000), Number::Int(0)),
    (None, Number::Int(1), Number::Int(1_000_000_000_000_000_000)),
    (Some("9223372036854775807"), Number::Int(1), Number::Int(0)),
    (Some("18446744073709551615"), Number::Int(1), Number::Int(0)),
    (Some("-9223372036854775808"), Number::Int(-1), Number::Int(0)),
    (Some("9007199254740993"), Number::Int(i128::MAX), Number::Int(0)),
    (Some("9007199254740993"), Number::Float(0.5), Number::Int(0)),
    (Some("18446744073709551616"), Number::Int(1), Number::Int(0)),
    (Some("99999999999999999999"), Number::Int(1), Number::Int(0)),
    (Some("0.1"), Number::Float(0.2), Number::Int(0)),
    (Some("0.5"), Number::Int(1), Number::Int(0)),
    (Some("0.5"), Number::Float(-0.5), Number::Int(0)),
    (Some("-0.0"), Number::Float(-0.0), Number::Int(0)),
    (Some("1E2"), Number::Int(1), Number::Int(0)),
    (Some("1e22"), Number::Float(1e7), Number::Int(0)),
    (Some("123456789012345.6"), Number::Float(1e15), Number::Int(0)),
    (Some("1e-7"), Number::Float(1e-9), Number::Int(0)),
    (Some("1e300"), Number::Float(1e299), Number::Int(0)),
    (Some("1.7976931348623157e308"), Number::Float(1.7976931348623157e308), Number::Int(0)),
    (Some("5e-324"), Number::Float(5e-324), Number::Int(0)),
    (Some("1e-400"), Number::Float(0.25), Number::Int(0)),
    (Some("null"), Number::Int(1), Number::Int(7)),
    (Some("\"12\""), Number::Int(1), Number::Int(7)),
    (Some("[]"), Number::Float(0.5), Number::Float(2.0)),
    (None, Number::Float(0.1), Number::Float(0.2)),
    (None, Number::Float(1e200), Number::Int(1)),
];

async fn sums_are_those_of_the_library<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let store = tables.open().await;
    for (n, (stored, by, from)) in SUMS.iter().enumerate() {
        let now = tables.now();
        let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
        let fields = set(&stored.map(|stored| ("n", stored)).into_iter().collect::<Vec<_>>());
        let record = fields.apply_to(&record).expect("a new record takes a patch");
        let key = key(u8::try_from(n).expect("few sums"));
        store.create(&key, &record).await.expect("the server is up");
        let mut patch = Patch::default();
        patch.add("n".into(), *from, *by);
        store.update(&key, &patch).await.expect("the server is up");
        let sum = store.load(&key, &Default::default()).await.expect("up").expect("there");
        let expected = patch.apply_to(&record).expect("a live record");
        let read = |record: &Record| {
            let number = Number::parse(record.field("n").expect("a sum")).expect("a number");
            // `==` does not tell zeros apart.
            format!("{number:?}")
        };
        assert_eq!(read(&sum), read(&expected), "{stored:?} + {by:?}");
    }
}

async fn patches_and_loads_of_any_number_of_fields_do_what_they_say<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let store = tables.open().await;
    for n in 1..=12 {
        let names: Vec<String> = (0..12).map(|place| format!("field \"{place}\"")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let before = record(tables.now(), &all[..6]);
        let key = key(n);
        store.create(&key, &before).await.expect("the server is up");
        let asked: Vec<&str> = names.iter().map(String::as_str).take(n.into()).collect();
        for additions in [0, 1, asked.len() / 2, asked.len()] {
            let mut patch = set(&all[..asked.len() - asked.len().min(additions)]);
            for (place, name) in names[..asked.len()].iter().rev().take(additions).enumerate() {
                let by = i128::try_from(place).expect("few");
                patch.add(name.clone().into(), Number::Int(10), Number::Int(by));
            }
            let whole = LoadOptions::default();
            let before = store.load(&key, &whole).await.expect("up").expect("there");
            store.update(&key, &patch).await.expect("the server is up");
            let expected = patch.apply_to(&before).expect("a live record");
            let after = store.load(&key, &whole).await.expect("up").expect("there");
            assert_eq!(fields(&after), fields(&expected), "{additions} of {n}");
            let options = LoadOptions::default().with_fields(&asked);
            let part = store.load(&key, &options).await.expect("up").expect("there");
            // Not every database leaves the others out.
            let [part, expected] = [&part, &expected].map(|record| {
                let mut fields = fields(record);
                fields.retain(|name, _| asked.contains(&&**name));
                fields
            });
            assert_eq!(part, expected, "{additions} of {n}");
        }
    }
}

fn fields(record: &Record) -> BTreeMap<String, String> {
    record.fields().map(|(name, json)| (name.to_owned(), json.get().to_owned())).collect()
}

async fn actions_with_one_value_wait_for_each_other_across_processes<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let stores = [tables.store("locked"), tables.store("locked")];
    D::ensure_schema(&stores[0]).await.expect("the server is up");
    let running = Arc::new(AtomicUsize::new(0));
    let value = json("7");
    // Two pools are as good as two processes: they share nothing but the server.
    let actions: Vec<_> = (0..20)
        .map(|n| {
            let store = stores[n % 2].clone();
            let (running, value) = (Arc::clone(&running), Arc::clone(&value));
            tokio::spawn(async move {
                let action = async move {
                    let others = running.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    others
                };
                store.exclusively(&value, action).await
            })
        })
        .collect();
    for action in actions {
        assert_eq!(action.await.expect("no panic").expect("the lock comes"), 0);
    }
}

async fn a_server_that_is_down_is_unavailable<D: Database>() {
    let nowhere = pool::<D>(&D::url(None, ([127, 0, 0, 1], 1).into()), 1);
    let limit = Duration::from_millis(200);
    let store = D::builder(nowhere).time_limit(limit).build().expect("valid");
    let error = store.load(&key(1), &Default::default()).await.expect_err("down");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

/// The old id leads to a session that another request is just renewing.
async fn a_session_destroyed_by_an_old_id_while_it_is_renewed_stays_destroyed<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let store = tables.store("renewed_meanwhile");
    D::ensure_schema(&store).await.expect("the server is up");
    let now = tables.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    store.create(&key(1), &record).await.expect("the server is up");
    let grace = Grace::new(record.expires_at(), OldIdReads::Snapshot);
    let rotate = |old: u8| {
        let store = store.clone();
        async move { store.rotate(&key(old), &key(old + 1), &Patch::default(), grace).await }
    };
    rotate(1).await.expect("the server is up");
    let pool = tables.pool();
    let mut blocker = pool.acquire().await.expect("the server is up");
    let begin = ["BEGIN".to_owned(), D::lock_row("renewed_meanwhile", 2)].join("; ");
    D::run(&mut blocker, begin).await.expect("the row is there");
    let renewal = tokio::spawn(rotate(2));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let destroyer = store.clone();
    let end = tokio::spawn(async move { destroyer.destroy(&key(1)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;

    D::run(&mut blocker, "COMMIT".into()).await.expect("the server is up");

    let renewed = renewal.await.expect("no panic").expect("the server is up");
    assert!(matches!(renewed, UpdateOutcome::Applied { .. }), "it came first: {renewed:?}");
    assert!(end.await.expect("no panic").expect("the server is up"));
    for n in 1..=3 {
        let left = store.load(&key(n), &Default::default()).await.expect("the server is up");
        assert!(left.is_none(), "{n}: {left:?}");
    }
}

on_each_database!(
    a_session_destroyed_by_an_old_id_while_it_is_renewed_stays_destroyed,
    two_hundred_concurrent_increments_add_two_hundred,
    sums_are_those_of_the_library,
    patches_and_loads_of_any_number_of_fields_do_what_they_say,
    actions_with_one_value_wait_for_each_other_across_processes,
    a_server_that_is_down_is_unavailable,
);
