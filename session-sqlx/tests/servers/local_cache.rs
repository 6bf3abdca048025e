//! The local cache of `PostgresStore`: what others change is seen in time, and what this process
//! changes at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, EncryptedStore, Key, SystemClock, Timestamp,
    store::{
        Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_sqlx::{PostgresStore, PostgresStoreBuilder, SqlConfigError};
use actix_typed_session_tests::{
    concurrency,
    json::{add, record, set},
    postgres::PostgresServer,
    proxy::Proxy,
    wait::{until, within},
};
use sqlx::{PgPool, Postgres};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    database::{Database, Tables, key, new_table, pool, run},
    together::sessions_and_patches,
};

/// So long that no copy ends by itself in a test.
const LONG: Duration = Duration::from_secs(600);

fn builder(pool: PgPool, table: &str) -> PostgresStoreBuilder {
    PostgresStore::builder(pool).table(table).sweep_interval(None)
}

/// A store with a local cache, as in another process.
async fn caching(url: &str, table: &str, staleness: Duration) -> PostgresStore {
    let builder = builder(pool::<Postgres>(url, 8), table);
    let store = builder.local_cache_bytes(4 << 20).local_cache_staleness(staleness).build();
    let store = store.expect("the settings are valid");
    store.ensure_schema().await.expect("the server is up");
    until_used(&store, SystemClock.now()).await;
    store
}

fn shared_url() -> String {
    Postgres::url(None, Postgres::shared().address())
}

/// Two stores as in two processes, whose copies do not end by themselves.
async fn two_processes() -> [PostgresStore; 2] {
    let (url, table) = (shared_url(), new_table());
    [caching(&url, &table, LONG).await, caching(&url, &table, LONG).await]
}

/// Waits until a store uses its copies.
pub(crate) async fn until_used(store: &PostgresStore, now: Timestamp) {
    let probe = key(255);
    // A read finds out which connections are broken, and is repeated.
    assert!(load(store, &probe).await.is_none());
    store.create(&probe, &record(now, &[])).await.expect("the server is up");
    let used = async {
        while store.load_cached(&probe).is_none() {
            assert!(load(store, &probe).await.is_some());
            sleep(Duration::from_millis(1)).await;
        }
    };
    within("the store listens", used).await;
    assert!(store.destroy(&probe).await.expect("the server is up"));
}

async fn load(store: &PostgresStore, key: &StoreKey) -> Option<Record> {
    store.load(key, &LoadOptions::default()).await.expect("the server is up")
}

/// Begins a session and reads it, so that it is in the cache.
async fn begin(store: &PostgresStore, key: &StoreKey) {
    let new = record(SystemClock.now(), &[("n", "1")]);
    store.create(key, &new).await.expect("the server is up");
    assert!(load(store, key).await.is_some());
    assert_eq!(number(store.load_cached(key)), Some(1));
}

fn number(record: Option<Record>) -> Option<u64> {
    record.map(|record| record.field("n").expect("a field").get().parse().expect("a number"))
}

async fn write(store: &PostgresStore, key: &StoreKey, n: u64) {
    let patch = set(&[("n", &n.to_string())]);
    let updated = store.update(key, &patch).await.expect("the server is up");
    assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
}

/// Waits until a store has no copy of a session, because another process has changed it.
async fn dropped(store: &PostgresStore, key: &StoreKey) {
    until("the copy is dropped", || store.load_cached(key).is_none()).await;
}

async fn rotate(store: &PostgresStore, old: &StoreKey, new: &StoreKey) {
    let until = SystemClock.now().saturating_add(Duration::from_secs(3_600));
    let grace = Grace::new(until, OldIdReads::Snapshot);
    let rotated = store.rotate(old, new, &Patch::default(), grace).await.expect("up");
    assert!(matches!(rotated, UpdateOutcome::Applied { .. }), "{rotated:?}");
}

#[tokio::test]
async fn what_another_process_changes_extends_destroys_or_renews_is_read_again() {
    let [ours, theirs] = two_processes().await;
    for n in 0..5 {
        begin(&ours, &key(n)).await;
    }
    write(&theirs, &key(0), 2).await;
    dropped(&ours, &key(0)).await;
    assert_eq!(number(load(&ours, &key(0)).await), Some(2));
    assert_eq!(number(ours.load_cached(&key(0))), Some(2), "it is cached again");

    let later = SystemClock.now().saturating_add(2 * Duration::from_secs(3_600));
    assert!(theirs.touch(&key(1), later).await.expect("the server is up"));
    dropped(&ours, &key(1)).await;
    assert_eq!(load(&ours, &key(1)).await.map(|record| record.expires_at()), Some(later));

    assert!(theirs.destroy(&key(2)).await.expect("the server is up"));
    dropped(&ours, &key(2)).await;
    assert!(load(&ours, &key(2)).await.is_none());

    rotate(&theirs, &key(3), &key(30)).await;
    dropped(&ours, &key(3)).await;
    assert!(load(&ours, &key(3)).await.is_some_and(|record| record.is_retired()));

    // A separate statement replaces a session that is reset.
    let mut reset = set(&[("n", "7")]);
    reset.reset(SystemClock.now());
    theirs.update(&key(4), &reset).await.expect("the server is up");
    dropped(&ours, &key(4)).await;
    assert_eq!(number(load(&ours, &key(4)).await), Some(7));
}

#[tokio::test]
async fn what_another_process_changes_together_is_read_again() {
    let [ours, theirs] = two_processes().await;
    for n in 0..200 {
        begin(&ours, &key(n)).await;
    }
    let mut updates = JoinSet::new();
    for n in 0..200 {
        let theirs = theirs.clone();
        updates.spawn(async move { write(&theirs, &key(n), 2).await });
    }
    updates.join_all().await;
    for n in 0..200 {
        dropped(&ours, &key(n)).await;
        assert_eq!(number(load(&ours, &key(n)).await), Some(2));
    }
}

#[tokio::test]
async fn what_a_destroyed_session_was_renewed_into_is_dropped_everywhere() {
    let [ours, theirs] = two_processes().await;
    // More keys than one report can hold.
    const RENEWALS: u8 = 150;
    begin(&ours, &key(0)).await;
    for n in 0..RENEWALS {
        rotate(&ours, &key(n), &key(n + 1)).await;
        assert!(ours.load_cached(&key(n)).is_none(), "the old key is another record now");
    }
    for n in 0..=RENEWALS {
        assert!(load(&ours, &key(n)).await.is_some());
        assert!(load(&theirs, &key(n)).await.is_some());
        assert!(ours.load_cached(&key(n)).is_some() && theirs.load_cached(&key(n)).is_some());
    }
    assert!(ours.destroy(&key(0)).await.expect("the server is up"));
    for n in 0..=RENEWALS {
        assert!(ours.load_cached(&key(n)).is_none(), "{n}");
        dropped(&theirs, &key(n)).await;
    }
}

#[tokio::test]
async fn what_this_process_changes_is_in_the_copy_at_once_and_costs_no_load() {
    let proxy = Proxy::to(Postgres::shared().address());
    let url = Postgres::url(None, proxy.address());
    let ours = caching(&url, &new_table(), LONG).await;
    begin(&ours, &key(0)).await;
    let before = proxy.requests();
    for n in 2..100 {
        write(&ours, &key(0), n).await;
        assert_eq!(number(ours.load_cached(&key(0))), Some(n));
    }
    let requests = proxy.requests() - before;
    // Each write is one, and a connection that goes back to the pool is tested.
    assert!((98..2 * 98 + 10).contains(&requests), "{requests}");
    assert_eq!(number(load(&ours, &key(0)).await), Some(99));
}

#[tokio::test]
async fn a_copy_is_what_is_stored_after_each_kind_of_change() {
    for together in [false, true] {
        let tables = Tables::<Postgres>::new("read committed");
        let table = tables.new_table().await;
        let store = tables.builder(&table).local_cache_bytes(4 << 20).local_cache_staleness(LONG);
        let store = store.build().expect("the settings are valid");
        until_used(&store, tables.clock.now()).await;
        let mut patches = sessions_and_patches(&tables, &store).await;
        for by in [0.1, 1e300] {
            let mut patch = add("other", 1);
            patch.add("n".into(), 0.5.into(), Number::from(by));
            patches.push(patch);
        }
        let keys: Vec<_> = (1..).take(patches.len()).map(key).collect();
        for key in &keys[keys.len() - 2..] {
            store.create(key, &record(tables.clock.now(), &[])).await.expect("the server is up");
        }
        let mut copies = 0;
        for key in &keys {
            load(&store, key).await;
        }
        let mut updates = JoinSet::new();
        for (key, patch) in keys.iter().copied().zip(patches) {
            let store = store.clone();
            updates.spawn(async move { drop(store.update(&key, &patch).await) });
            if !together {
                updates.join_next().await;
            }
        }
        updates.join_all().await;
        let fresh = tables.store(&table);
        for key in &keys {
            if let Some(copy) = store.load_cached(key) {
                copies += 1;
                let stored = load(&fresh, key).await.map(|record| record.to_bytes());
                assert_eq!(Some(copy.to_bytes()), stored, "{copy:?}");
            }
        }
        assert!(copies >= keys.len() / 2, "{copies} copies of {}", keys.len());
    }
}

#[tokio::test]
async fn additions_of_this_process_that_overlap_keep_the_copy() {
    let [ours, theirs] = two_processes().await;
    begin(&ours, &key(0)).await;
    for _ in 0..20 {
        let mut additions = JoinSet::new();
        for _ in 0..32 {
            let store = ours.clone();
            additions.spawn(async move { store.update(&key(0), &add("n", 1)).await.expect("up") });
        }
        additions.join_all().await;
        assert!(ours.load_cached(&key(0)).is_some(), "the additions have kept it");
    }
    let copy = ours.load_cached(&key(0)).expect("it is cached");
    assert_eq!(Some(copy.to_bytes()), load(&theirs, &key(0)).await.map(|it| it.to_bytes()));
    assert_eq!(number(Some(copy)), Some(1 + 20 * 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_while_another_process_changes_it_is_not_kept_as_it_was() {
    let [ours, theirs] = two_processes().await;
    begin(&ours, &key(0)).await;
    for n in 10..500 {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let ours = ours.clone();
                tokio::spawn(async move { load(&ours, &key(0)).await })
            })
            .collect();
        write(&theirs, &key(0), n).await;
        for reader in readers {
            reader.await.expect("no panic");
        }
        // A copy from before the change goes when the report arrives. It would stay for `LONG`.
        until("no old copy is left", || {
            number(ours.load_cached(&key(0))).is_none_or(|read| read == n)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_many_tasks_never_go_back_behind_what_this_process_has_written() {
    let [ours, theirs] = two_processes().await;
    begin(&ours, &key(0)).await;
    let written = Arc::new(AtomicU64::new(1));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (ours, written) = (ours.clone(), Arc::clone(&written));
        readers.spawn(async move {
            loop {
                let least = written.load(Ordering::SeqCst);
                if least == u64::MAX {
                    break;
                }
                let read = match ours.load_cached(&key(0)) {
                    Some(record) => Some(record),
                    None => load(&ours, &key(0)).await,
                };
                assert!(number(read) >= Some(least), "older than {least}");
                tokio::task::yield_now().await;
            }
        });
    }
    for n in 2..500 {
        write(&ours, &key(0), n).await;
        written.store(n, Ordering::SeqCst);
        if n % 7 == 0 {
            // It drops our copy at any moment.
            theirs.update(&key(0), &set(&[("other", "1")])).await.expect("the server is up");
        }
    }
    written.store(u64::MAX, Ordering::SeqCst);
    readers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_another_process_destroys_is_refused_within_milliseconds() {
    const SESSIONS: usize = 500;
    let [ours, theirs] = two_processes().await;
    let mut late = Vec::new();
    for n in 0..SESSIONS {
        let key = StoreKey::from_bytes(std::array::from_fn(|place| (n >> (place % 2 * 8)) as u8));
        begin(&ours, &key).await;
        assert!(theirs.destroy(&key).await.expect("the server is up"));
        let start = Instant::now();
        let refused = async {
            while ours.load_cached(&key).is_some() {
                tokio::task::yield_now().await;
            }
        };
        within("the copy is dropped", refused).await;
        late.push(start.elapsed());
    }
    late.sort_unstable();
    let (median, worst) = (late[SESSIONS / 2], late[SESSIONS - 1]);
    println!("refused after `destroy` has returned elsewhere: median {median:?}, worst {worst:?}");
    assert!(median < Duration::from_millis(100), "{median:?}");
}

#[tokio::test]
async fn a_change_without_a_report_is_seen_after_the_bound() {
    let bound = Duration::from_secs(1);
    let (url, table) = (shared_url(), new_table());
    let ours = caching(&url, &table, bound).await;
    let silent = builder(pool::<Postgres>(&url, 2), &table).build().expect("valid settings");
    let start = Instant::now();
    begin(&ours, &key(0)).await;
    assert!(silent.destroy(&key(0)).await.expect("the server is up"));
    while ours.load_cached(&key(0)).is_some() {
        assert!(start.elapsed() <= bound + Duration::from_millis(200), "older than it may be");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(start.elapsed() >= bound, "it was read again before the bound");
    // A session that is written all the time is read again, too.
    begin(&ours, &key(1)).await;
    let start = Instant::now();
    let mut n = 1;
    while ours.load_cached(&key(1)).is_some() {
        assert!(start.elapsed() <= 2 * bound, "its writes have kept it");
        n += 1;
        write(&ours, &key(1), n).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_makes_no_copy_older_than_the_bound() {
    let bound = Duration::from_secs(1);
    let server = PostgresServer::start(Postgres::FAST);
    let ours = caching(&Postgres::url(None, server.address()), "hangs", bound).await;
    begin(&ours, &key(0)).await;
    server.pause();
    let start = Instant::now();
    while ours.load_cached(&key(0)).is_some() {
        assert!(start.elapsed() <= bound, "older than it may be");
        sleep(Duration::from_millis(1)).await;
    }
    server.resume();
    assert!(load(&ours, &key(0)).await.is_some());
}

#[tokio::test]
async fn no_copy_is_used_while_no_reports_arrive_and_none_from_before_is_used_after() {
    let server = PostgresServer::start(Postgres::FAST);
    let proxy = Proxy::to(server.address());
    let direct = Postgres::url(None, server.address());
    let ours = caching(&Postgres::url(None, proxy.address()), "cut", LONG).await;
    let theirs = caching(&direct, "cut", LONG).await;
    begin(&ours, &key(0)).await;
    begin(&ours, &key(1)).await;
    proxy.refuse(true);
    proxy.cut();
    dropped(&ours, &key(0)).await;
    write(&theirs, &key(0), 2).await;
    proxy.refuse(false);
    until_used(&ours, SystemClock.now()).await;
    assert!(ours.load_cached(&key(0)).is_none(), "its change was not reported");
    assert!(ours.load_cached(&key(1)).is_none(), "its change would not have been reported");
    assert_eq!(number(load(&ours, &key(0)).await), Some(2));
    write(&theirs, &key(0), 3).await;
    dropped(&ours, &key(0)).await;

    // The same if the server closes the connections.
    begin(&ours, &key(2)).await;
    run(&pool::<Postgres>(&direct, 1), Postgres::KILL_ALL).await;
    dropped(&ours, &key(2)).await;
    until_used(&ours, SystemClock.now()).await;
    begin(&ours, &key(3)).await;
    until_used(&theirs, SystemClock.now()).await;
    write(&theirs, &key(3), 2).await;
    dropped(&ours, &key(3)).await;
}

/// As behind a proxy that shares connections: the server takes reports, and the connection that
/// listens does not get them, because it is one to another database here.
#[tokio::test]
async fn no_copy_is_used_if_reports_are_taken_and_not_delivered() {
    let pool = pool::<Postgres>(&shared_url(), 1);
    let store = builder(pool.clone(), &new_table()).local_cache_bytes(4 << 20).build();
    let store = store.expect("the settings are valid");
    store.ensure_schema().await.expect("the server is up");
    // Its one connection stays as it is.
    pool.set_connect_options((*pool.connect_options()).clone().database("template1"));
    let new = record(SystemClock.now(), &[("n", "1")]);
    store.create(&key(0), &new).await.expect("the server is up");
    let start = Instant::now();
    // Longer than the store waits for its message.
    while start.elapsed() < Duration::from_secs(7) {
        assert!(load(&store, &key(0)).await.is_some());
        assert!(store.load_cached(&key(0)).is_none());
        sleep(Duration::from_millis(20)).await;
    }
}

/// The number of connections that listen.
async fn listeners(pool: &PgPool) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'";
    sqlx::query_scalar(count).fetch_one(pool).await.expect("the server is up")
}

#[tokio::test]
async fn the_connection_that_listens_ends_with_the_store_and_with_the_pool() {
    let server = PostgresServer::start(Postgres::FAST);
    let url = Postgres::url(None, server.address());
    let watching = pool::<Postgres>(&url, 1);
    let ends = async |what: &str| {
        let ended = async {
            while listeners(&watching).await > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within(what, ended).await;
    };
    let store = caching(&url, "ends", LONG).await;
    assert_eq!(listeners(&watching).await, 1);
    let clone = store.clone();
    drop(store);
    begin(&clone, &key(0)).await;
    drop(clone);
    ends("the store is dropped").await;

    let pool = pool::<Postgres>(&url, 2);
    let store = builder(pool.clone(), "ends").local_cache_bytes(4 << 20).build().expect("valid");
    until_used(&store, SystemClock.now()).await;
    assert_eq!(listeners(&watching).await, 1);
    within("the pool can be closed", pool.close()).await;
    ends("the pool is closed").await;
    assert!(store.load_cached(&key(0)).is_none());
    store.load(&key(0), &LoadOptions::default()).await.expect_err("the pool is closed");
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let pool = pool::<Postgres>(&shared_url(), 1);
    let store = builder(pool, &new_table()).local_cache_bytes(4 << 20).build().expect("valid");
    store.ensure_schema().await.expect("the server is up");
    until_used(&store, SystemClock.now()).await;
    begin(&store, &key(0)).await;
}

#[tokio::test]
async fn copies_of_an_encrypted_store_are_opened_when_they_are_read() {
    let inner = caching(&shared_url(), &new_table(), LONG).await;
    let store = EncryptedStore::new(inner, [Key::generate()]).expect("there is a key");
    let new = record(SystemClock.now(), &[("n", "7")]);
    store.create(&key(0), &new).await.expect("the server is up");
    store.load(&key(0), &LoadOptions::default()).await.expect("the server is up");
    let sealed = store.inner().load_cached(&key(0)).expect("it was read");
    assert_ne!(sealed.field("n").map(|json| json.get()), Some("7"));
    assert_eq!(number(store.load_cached(&key(0))), Some(7));
}

#[actix_web::test]
async fn requests_are_answered_from_memory_and_a_logout_holds_at_once() {
    let proxy = Proxy::to(Postgres::shared().address());
    let store = caching(&Postgres::url(None, proxy.address()), &new_table(), LONG).await;
    let mut browser = concurrency::site(store).start().client();
    assert_eq!(browser.act("name=a").await.status, 200);
    assert_eq!(browser.act("read").await.status, 200);
    // The connection goes back to the pool.
    sleep(Duration::from_millis(300)).await;
    let before = proxy.requests();
    for _ in 0..50 {
        assert_eq!(browser.act("read").await.status, 200);
    }
    assert_eq!(proxy.requests() - before, 0);
    concurrency::assert_logout_holds(browser).await;
}

#[tokio::test]
async fn a_bound_of_zero_is_refused() {
    let builder = builder(pool::<Postgres>(&shared_url(), 1), "t");
    let refused = builder.local_cache_staleness(Duration::ZERO).build();
    assert!(matches!(refused, Err(SqlConfigError::ZeroDuration("local_cache_staleness"))));
}
