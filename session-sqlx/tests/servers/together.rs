//! Calls that wait at the same time and run as one statement: each is as if it had run alone.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use actix_typed_session::{
    Clock as _, PublicId, StoreError, SystemClock,
    store::{
        ExpiryChange, FindByIndex as _, Grace, Index, LoadOptions, Number, OldIdReads, Patch,
        Record, SessionStore as _, StoreKey, UpdateOutcome,
    },
    testing::Harness as _,
};
use actix_typed_session_tests::{
    json::{add, json, record, set},
    proxy::Proxy,
};
use sqlx::{AssertSqlSafe, Pool, Postgres, pool::PoolOptions};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    costs::new_record,
    database::{Builder as _, Database, Tables, key, new_table, on_each_database},
};

/// Starts an update. Those that are started without a pause wait together.
fn update<D: Database>(
    store: &D::Store,
    key: StoreKey,
    patch: Patch,
) -> JoinHandle<Result<UpdateOutcome, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.update(&key, &patch).await })
}

async fn load<D: Database>(store: &D::Store, key: StoreKey) -> Option<Record> {
    store.load(&key, &LoadOptions::default()).await.expect("the server is up")
}

fn number(record: &Record) -> u64 {
    record.field("n").map_or(0, |json| json.get().parse().expect("a number"))
}

/// A store with these sessions, its pool and its table. One task sends what can run together,
/// because the pool has two connections.
async fn with_one_task<D: Database>(
    address: SocketAddr,
    sessions: u8,
    new: &Record,
) -> (D::Store, Pool<D>, String) {
    let options = PoolOptions::<D>::new().max_connections(2).test_before_acquire(false);
    let pool = options.connect_lazy(&D::url(None, address)).expect("a valid URL");
    let table = new_table();
    let builder = D::builder(pool.clone()).table(&table).sweep_interval(None);
    let store = builder.build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    for n in 1..=sessions {
        store.create(&key(n), new).await.expect("the server is up");
    }
    (store, pool, table)
}

async fn calls_that_wait_take_one_statement<D: Database>() {
    const CALLS: u8 = 20;
    let proxy = Proxy::to(D::shared().address());
    let (store, ..) = with_one_task::<D>(proxy.address(), CALLS, &new_record()).await;
    // On a busy machine, a connection may have gone back between two calls.
    let mut least = [u64::MAX; 2];
    for _ in 0..50 {
        let before = proxy.requests();
        let loads: Vec<_> = (1..=CALLS)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { load::<D>(&store, key(n)).await })
            })
            .collect();
        for call in loads {
            assert!(call.await.expect("no panic").is_some());
        }
        least[0] = least[0].min(proxy.requests() - before);
        let before = proxy.requests();
        let updates: Vec<_> =
            (0..CALLS).map(|_| update::<D>(&store, key(1), add("n", 1))).collect();
        for call in updates {
            call.await.expect("no panic").expect("the server is up");
        }
        least[1] = least[1].min(proxy.requests() - before);
    }
    assert!(least.iter().all(|requests| *requests <= 2), "{least:?}");
    let record = load::<D>(&store, key(1)).await.expect("it is there");
    assert_eq!(number(&record), u64::from(CALLS) * 50);
}

async fn each_of_many_updates_of_a_session_gets_its_own_version<D: Database>() {
    let store = Tables::<D>::new("read committed").with_session().await;
    let calls: Vec<_> = (0..200).map(|_| update::<D>(&store, key(1), add("n", 1))).collect();
    let mut versions = BTreeSet::new();
    for call in calls {
        match call.await.expect("no panic").expect("the server is up") {
            UpdateOutcome::Applied { version } => versions.insert(version),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(versions, (1..=200).collect());
}

/// Sessions of many kinds, and a change of each.
pub(crate) async fn sessions_and_patches<D: Database>(
    tables: &Tables<D>,
    store: &D::Store,
) -> Vec<Patch> {
    let later = tables.now().saturating_add(Duration::from_secs(90));
    let expire = |expiry| {
        let mut patch = set(&[("a", "1")]);
        patch.set_expiry(expiry);
        patch
    };
    let remove = |patch: &Patch, name: &'static str| {
        let mut patch = patch.clone();
        patch.remove(name.into());
        patch
    };
    let five = (b'a'..=b'e').fold(Patch::default(), |mut patch, name| {
        patch.add(char::from(name).to_string().into(), Number::Int(10), Number::Int(1));
        patch
    });
    let cases: Vec<(Record, Patch)> = [
        (&[("a", "1")][..], set(&[("a", "2"), ("b", "\"\\u0000\"")])),
        (&[("a", "1"), ("b", "2")], remove(&set(&[("a", "2")]), "b")),
        (&[], remove(&Patch::default(), "absent")),
        (&[("n", "5")], add("n", 3)),
        (&[], add("n", 3)),
        (&[("n", "\"text\"")], add("n", 3)),
        (&[("n", "999999999999999999")], add("n", 3)),
        (&[("n", "1000000000000000000")], add("n", 3)),
        (&[("n", "0.5")], add("n", 3)),
        (&[("a", "1")], remove(&add("n", 1), "a")),
        (&[("b", "7"), ("c", "null")], five),
        (&[("a", "1")], expire(ExpiryChange::ExtendTo(later))),
        (&[("a", "1")], expire(ExpiryChange::ExtendTo(tables.now()))),
        (&[("a", "1")], expire(ExpiryChange::Set(later))),
        (&[("\"quoted\" {name}", "1")], set(&[("\"quoted\" {name}", "2"), ("ü,null", "[]")])),
    ]
    .into_iter()
    .map(|(fields, patch)| (record(tables.now(), fields), patch))
    // It is found by the field, although the patch does not say so.
    .chain([(record(tables.now(), &[]), set(&[("user", "8")]))])
    .collect();
    for (n, (record, _)) in (1..).zip(&cases) {
        store.create(&key(n), record).await.expect("the server is up");
    }
    let found = u8::try_from(cases.len()).expect("few sessions");
    let mut index = set(&[("user", "7")]);
    index.index_field(Index::new(PublicId::from_bytes([3; 14]), "user".into()));
    store.update(&key(found), &index).await.expect("the server is up");
    // The next ones are retired, expired and not there.
    let retired = found + 1;
    let whole = record(tables.now(), &[("a", "1")]);
    store.create(&key(retired), &whole).await.expect("the server is up");
    let grace = Grace::new(later, OldIdReads::Snapshot);
    let new = key(200);
    store.rotate(&key(retired), &new, &Patch::default(), grace).await.expect("the server is up");
    let over = Record::new(tables.now(), tables.now().saturating_add(Duration::from_millis(1)));
    store.create(&key(retired + 1), &over).await.expect("the server is up");
    tables.advance(Duration::from_millis(1)).await;
    cases.into_iter().map(|(_, patch)| patch).chain([1, 2, 3].map(|_| add("n", 1))).collect()
}

async fn a_call_gets_the_same_whether_others_wait_with_it_or_not<D: Database>() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let tables = Tables::<D>::new(isolation);
        let store = tables.open().await;
        let patches = sessions_and_patches(&tables, &store).await;
        let keys: Vec<StoreKey> = (1..).take(patches.len()).map(key).collect();
        let mut before = Vec::new();
        for key in &keys {
            before.push(load::<D>(&store, *key).await);
        }
        let calls: Vec<_> = keys
            .iter()
            .zip(&patches)
            .map(|(key, patch)| update::<D>(&store, *key, patch.clone()))
            .collect();
        let mut outcomes = Vec::new();
        for call in calls {
            outcomes.push(call.await.expect("no panic").expect("the server is up"));
        }
        let found = store.find("user", &json("8"), None, 10).await.expect("the server is up");
        assert_eq!(found.sessions.len(), 1, "{isolation}");
        let loads: Vec<_> = keys
            .iter()
            .flat_map(|key| [None, Some("n"), None, Some("a")].map(|name| (*key, name)))
            .map(|(key, name)| {
                let store = store.clone();
                tokio::spawn(async move {
                    let names = name.as_slice();
                    let options = LoadOptions::default();
                    let options = if name.is_some() { options.with_fields(names) } else { options };
                    store.load(&key, &options).await.expect("the server is up")
                })
            })
            .collect();
        let mut after = Vec::new();
        for call in loads {
            after.push(call.await.expect("no panic"));
        }
        for (n, ((before, patch), outcome)) in
            before.iter().zip(&patches).zip(&outcomes).enumerate()
        {
            let expected = before.as_ref().and_then(|record| patch.apply_to(record).ok());
            let case = format!("{isolation}: {patch:?}, {outcome:?}");
            match (&expected, outcome) {
                (Some(record), UpdateOutcome::Applied { version }) => {
                    assert_eq!(*version, record.version(), "{case}");
                }
                (None, UpdateOutcome::Gone) => {}
                _ => panic!("{case}"),
            }
            let stored = &after[4 * n];
            let whole = expected.as_ref().or(before.as_ref());
            assert_eq!(fields(stored.as_ref()), fields(whole), "{case}");
            assert_eq!(
                stored.as_ref().map(Record::expires_at),
                whole.map(Record::expires_at),
                "{case}"
            );
            assert_eq!(fields(after[4 * n + 2].as_ref()), fields(whole), "{case}");
            for (place, name) in [(1, "n"), (3, "a")] {
                let part = after[4 * n + place].as_ref();
                assert_eq!(part.is_some(), whole.is_some(), "{case}");
                let value = |record: &Record| record.field(name).map(|json| json.get().to_owned());
                assert_eq!(part.and_then(value), whole.and_then(value), "{case}");
            }
        }
    }
}

fn fields(record: Option<&Record>) -> Vec<(String, String)> {
    let fields = record.into_iter().flat_map(Record::fields);
    fields.map(|(name, json)| (name.to_owned(), json.get().to_owned())).collect()
}

async fn two_processes_that_update_the_same_sessions_lose_nothing<D: Database>() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let tables = Tables::<D>::new(isolation);
        // Two pools are as good as two processes: they share nothing but the server.
        let stores = [tables.open().await, tables.open_again()];
        let new = record(tables.now(), &[]);
        let started = new.version();
        for n in 1..=10 {
            stores[0].create(&key(n), &new).await.expect("the server is up");
        }
        let mut calls = Vec::new();
        for n in (1..=10).chain((1..=10).rev()) {
            for store in &stores {
                calls.extend((0..5).map(|_| update::<D>(store, key(n), add("n", 1))));
            }
            tokio::task::yield_now().await;
        }
        for call in calls {
            let outcome = call.await.expect("no panic").expect("the server is up");
            assert!(matches!(outcome, UpdateOutcome::Applied { .. }), "{outcome:?}");
        }
        for n in 1..=10 {
            let record = load::<D>(&stores[0], key(n)).await.expect("it is there");
            assert_eq!((number(&record), record.version()), (20, 20 + started), "{isolation}");
        }
    }
}

async fn a_locked_session_makes_only_its_own_updates_wait<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let table = new_table();
    let store = tables.store(&table);
    D::ensure_schema(&store).await.expect("the server is up");
    for n in 1..=6 {
        store.create(&key(n), &record(tables.now(), &[])).await.expect("the server is up");
    }
    let pool = tables.pool();
    let mut blocker = pool.acquire().await.expect("the server is up");
    let begin = ["BEGIN".to_owned(), D::lock_row(&table, 1)].join("; ");
    D::run(&mut blocker, begin).await.expect("the row is there");
    let mut calls: Vec<_> = (1..=6).map(|n| update::<D>(&store, key(n), add("n", 1))).collect();
    let locked = calls.remove(0);
    for call in calls {
        let outcome = timeout(Duration::from_secs(10), call).await.expect("it does not wait");
        let outcome = outcome.expect("no panic").expect("the server is up");
        assert!(matches!(outcome, UpdateOutcome::Applied { .. }), "{outcome:?}");
    }
    let more: Vec<_> = (0..5).map(|_| update::<D>(&store, key(1), add("n", 1))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!locked.is_finished() && more.iter().all(|call| !call.is_finished()));
    D::run(&mut blocker, "COMMIT".into()).await.expect("the server is up");
    for call in more.into_iter().chain([locked]) {
        call.await.expect("no panic").expect("the server is up");
    }
    assert_eq!(number(&load::<D>(&store, key(1)).await.expect("it is there")), 6);
}

async fn calls_that_are_cut_off_together_are_unavailable_and_no_update_is_repeated<D: Database>() {
    const SESSIONS: u8 = 10;
    let proxy = Proxy::to(D::shared().address());
    let (store, ..) = with_one_task::<D>(proxy.address(), SESSIONS, &new_record()).await;
    let all = || -> Vec<_> {
        let twice = (1..=SESSIONS).chain(1..=SESSIONS);
        twice.map(|n| update::<D>(&store, key(n), add("n", 1))).collect()
    };
    // They are prepared on the connection.
    for call in all() {
        call.await.expect("no panic").expect("the network works");
    }
    proxy.swallow_replies(true);
    let calls = all();
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.cut();
    proxy.swallow_replies(false);
    let mut applied = 0;
    for call in calls {
        match call.await.expect("no panic") {
            // It was sent after the cut.
            Ok(UpdateOutcome::Applied { .. }) => applied += 1,
            Err(StoreError::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(applied < 2 * SESSIONS, "some were cut off");
    for n in 1..=SESSIONS {
        let record = load::<D>(&store, key(n)).await.expect("it is there");
        assert!((2..=4).contains(&number(&record)), "each was made once, or not: {n}");
        assert_eq!(number(&record), record.version());
    }
}

on_each_database!(
    calls_that_wait_take_one_statement,
    each_of_many_updates_of_a_session_gets_its_own_version,
    a_call_gets_the_same_whether_others_wait_with_it_or_not,
    two_processes_that_update_the_same_sessions_lose_nothing,
    a_locked_session_makes_only_its_own_updates_wait,
    calls_that_are_cut_off_together_are_unavailable_and_no_update_is_repeated,
);

#[tokio::test]
async fn an_update_that_postgres_refuses_fails_alone() {
    const REFUSED_NAME: &str = "\0";
    let address = Postgres::shared().address();
    let (store, ..) = with_one_task::<Postgres>(address, 5, &new_record()).await;
    let calls: Vec<_> = (1..=5)
        .map(|n| {
            let name = if n == 3 { REFUSED_NAME } else { "n" };
            update::<Postgres>(&store, key(n), set(&[(name, "1")]))
        })
        .collect();
    for (n, call) in (1..).zip(calls) {
        match call.await.expect("no panic") {
            Ok(UpdateOutcome::Applied { .. }) => assert_ne!(n, 3),
            Err(StoreError::Internal(_)) => assert_eq!(n, 3),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn removed_fields_leave_nothing_in_postgres() {
    let new = record(SystemClock.now(), &[("a", "1"), ("b", "1")]);
    let address = Postgres::shared().address();
    let (store, pool, table) = with_one_task::<Postgres>(address, 5, &new).await;
    let mut patch = Patch::default();
    patch.remove("a".into());
    patch.remove("absent".into());
    let calls: Vec<_> =
        (1..=5).map(|n| update::<Postgres>(&store, key(n), patch.clone())).collect();
    for call in calls {
        call.await.expect("no panic").expect("the server is up");
    }
    let select = format!("SELECT DISTINCT fields::text FROM {table}");
    let left: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&pool).await.expect("the server is up");
    assert_eq!(left, [r#"{"b": "1"}"#]);
}
