//! The local cache of the Redis store: sessions in it are never older than the bound.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use actix_typed_session::{
    Clock as _, EncryptedStore, Key, RedisStore, SystemClock,
    observe::{Operation, SessionStats},
    store::{
        CreateOutcome, Grace, LoadOptions, OldIdReads, Patch, Record, SessionStore as _, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    concurrency,
    process::{key, value_patch},
    servers::{ClusterSetup, RedisServer, Server},
    wait::within,
};
use redis::Value;
use tokio::{task::JoinSet, time::sleep};

/// The bound in most tests: so long that entries do not end by themselves.
const LONG: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
const BYTES: usize = 4 << 20;

fn caching(url: &str, staleness: Duration) -> RedisStore {
    let store = RedisStore::builder(url).local_cache_bytes(BYTES).local_cache_staleness(staleness);
    store.build().expect("a good URL")
}

fn plain(url: &str) -> RedisStore {
    RedisStore::new(url).expect("a good URL")
}

/// Begins a session and reads it, so that it is in the cache.
async fn begin(store: &RedisStore, key: &StoreKey) {
    let now = SystemClock.now();
    let record = value_patch(1).apply_to(&Record::new(now, now.saturating_add(HOUR)));
    let record = record.expect("a new record takes a patch");
    assert_eq!(store.create(key, &record).await.expect("an answer"), CreateOutcome::Stored);
    assert!(store.load(key, &LoadOptions::default()).await.expect("an answer").is_some());
    assert!(store.load_cached(key).is_some());
}

fn value(record: Option<Record>) -> Option<u64> {
    record.map(|record| record.field("a").expect("a field").get().parse().expect("a number"))
}

/// Waits until the cache has what is expected, soon after another process changed it.
async fn becomes(store: &RedisStore, key: &StoreKey, expected: Option<u64>) {
    let start = Instant::now();
    while value(store.load_cached(key)) != expected {
        assert!(start.elapsed() < Duration::from_secs(10), "the server's word does not arrive");
        sleep(Duration::from_millis(1)).await;
    }
}

async fn update(store: &RedisStore, key: &StoreKey, value: u64) {
    let updated = store.update(key, &value_patch(value)).await.expect("an answer");
    assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
}

const SERVERS: [Server; 3] = [Server::Redis, Server::Redis62, Server::Valkey];

#[tokio::test]
async fn what_is_at_hand_is_opened() {
    let redis = RedisServer::start(Server::Redis);
    let inner = caching(&redis.url(), LONG);
    let store = EncryptedStore::new(inner, [Key::generate()]).expect("there is a key");
    let now = SystemClock.now();
    let record = value_patch(7).apply_to(&Record::new(now, now.saturating_add(HOUR)));
    let record = record.expect("a new record takes a patch");
    assert_eq!(store.create(&key(0), &record).await.expect("an answer"), CreateOutcome::Stored);
    store.load(&key(0), &LoadOptions::default()).await.expect("an answer");
    let sealed = store.inner().load_cached(&key(0)).expect("it was read");
    assert_ne!(sealed.field("a").map(|json| json.get()), Some("7"));
    assert_eq!(value(store.load_cached(&key(0))), Some(7));
}

#[tokio::test]
async fn what_others_change_destroy_or_renew_is_forgotten() {
    for server in SERVERS {
        let redis = RedisServer::start(server);
        let (ours, theirs) = (caching(&redis.url(), LONG), plain(&redis.url()));
        for n in 0..3 {
            begin(&ours, &key(n)).await;
        }
        update(&theirs, &key(0), 2).await;
        becomes(&ours, &key(0), None).await;
        assert_eq!(
            value(ours.load(&key(0), &LoadOptions::default()).await.expect("an answer")),
            Some(2)
        );
        assert_eq!(value(ours.load_cached(&key(0))), Some(2), "it is at hand again");

        assert!(theirs.destroy(&key(1)).await.expect("an answer"));
        becomes(&ours, &key(1), None).await;

        let grace = Grace::new(SystemClock.now().saturating_add(HOUR), OldIdReads::Nothing);
        let moved = theirs.rotate(&key(2), &key(3), &Patch::default(), grace).await;
        assert!(matches!(moved, Ok(UpdateOutcome::Applied { .. })), "{moved:?}");
        becomes(&ours, &key(2), None).await;
    }
}

#[tokio::test]
async fn what_this_process_changes_is_known_at_once_and_still_heard_of_when_others_change_it() {
    for server in [Server::Redis, Server::Valkey] {
        let redis = RedisServer::start(server);
        let (ours, theirs) = (caching(&redis.url(), LONG), plain(&redis.url()));
        begin(&ours, &key(0)).await;
        redis.command(&["CONFIG", "RESETSTAT"]);
        for n in 2..100 {
            update(&ours, &key(0), n).await;
            assert_eq!(value(ours.load_cached(&key(0))), Some(n), "without asking the server");
        }
        assert_eq!(redis.calls("hgetall"), 0);
        update(&theirs, &key(0), 7).await;
        becomes(&ours, &key(0), None).await;
        ours.load(&key(0), &LoadOptions::default()).await.expect("an answer");
        // Also through the script for all other patches.
        let mut patch = value_patch(100);
        patch.remove("m".into());
        ours.update(&key(0), &patch).await.expect("an answer");
        let at_hand = ours.load_cached(&key(0)).expect("it is at hand");
        assert!(at_hand.field("m").is_none());
        let stored = theirs
            .load(&key(0), &LoadOptions::default())
            .await
            .expect("an answer")
            .expect("it is there");
        assert_eq!(at_hand.to_bytes(), stored.to_bytes());

        update(&theirs, &key(0), 200).await;
        becomes(&ours, &key(0), None).await;
    }
}

#[tokio::test]
async fn additions_of_this_process_that_overlap_keep_the_copy() {
    for server in [Server::Redis, Server::Valkey] {
        let redis = RedisServer::start(server);
        let (ours, theirs) = (caching(&redis.url(), LONG), plain(&redis.url()));
        begin(&ours, &key(0)).await;
        redis.command(&["CONFIG", "RESETSTAT"]);
        let mut additions = JoinSet::new();
        for _ in 0..32 {
            let store = ours.clone();
            additions.spawn(async move {
                let mut patch = Patch::default();
                patch.add("a".into(), 0.into(), 1.into());
                patch.add("sum".into(), 0.5.into(), 0.1.into());
                store.update(&key(0), &patch).await.expect("an answer")
            });
        }
        additions.join_all().await;
        let copy = ours.load_cached(&key(0)).expect("the additions kept the copy");
        assert_eq!(redis.calls("hgetall"), 0);
        let stored = theirs.load(&key(0), &LoadOptions::default()).await.expect("an answer");
        assert_eq!(copy.to_bytes(), stored.expect("it is there").to_bytes());
        assert_eq!(value(Some(copy)), Some(33));
    }
}

/// Redis 6.2 also reports to a client what its own scripts changed, so a change is read again.
#[tokio::test]
async fn on_an_old_redis_what_this_process_changes_is_never_read_as_it_was() {
    let redis = RedisServer::start(Server::Redis62);
    let ours = caching(&redis.url(), LONG);
    begin(&ours, &key(0)).await;
    for n in 2..200 {
        update(&ours, &key(0), n).await;
        let at_hand = value(ours.load_cached(&key(0)));
        assert!(at_hand.is_none_or(|at_hand| at_hand == n), "{at_hand:?} after {n}");
        assert_eq!(
            value(ours.load(&key(0), &LoadOptions::default()).await.expect("an answer")),
            Some(n)
        );
    }
}

#[tokio::test]
async fn what_this_process_ends_is_not_at_hand_and_neither_is_what_it_was_renewed_into() {
    let redis = RedisServer::start(Server::Redis);
    let cluster = ClusterSetup::start(Server::Redis);
    let urls = cluster.urls();
    let clustered = RedisStore::cluster(urls.iter().map(String::as_str)).local_cache_bytes(BYTES);
    let clustered = clustered.local_cache_staleness(LONG).build().expect("good URLs");
    for store in [caching(&redis.url(), LONG), clustered] {
        begin(&store, &key(0)).await;
        let until = SystemClock.now().saturating_add(HOUR);
        for n in 0..3 {
            let grace = Grace::new(until, OldIdReads::Snapshot);
            let moved = store.rotate(&key(n), &key(n + 1), &Patch::default(), grace).await;
            assert!(matches!(moved, Ok(UpdateOutcome::Applied { .. })), "{moved:?}");
            assert!(store.load_cached(&key(n)).is_none(), "the old key is another record now");
        }
        for n in 0..4 {
            assert!(
                store.load(&key(n), &LoadOptions::default()).await.expect("an answer").is_some()
            );
            assert!(store.load_cached(&key(n)).is_some());
        }
        assert!(store.destroy(&key(0)).await.expect("an answer"));
        for n in 0..4 {
            assert!(store.load_cached(&key(n)).is_none(), "{n}");
        }
    }
}

#[tokio::test]
async fn what_is_read_while_it_is_changed_is_not_kept_as_it_was() {
    let redis = RedisServer::start(Server::Redis);
    let (ours, theirs) = (caching(&redis.url(), LONG), plain(&redis.url()));
    begin(&ours, &key(0)).await;
    for n in 10..2_000 {
        let (session, patch) = (key(0), value_patch(n));
        let read = async {
            tokio::task::yield_now().await;
            ours.load(&session, &LoadOptions::default()).await
        };
        let (read, written) = tokio::join!(read, theirs.update(&session, &patch));
        assert!(read.is_ok() && written.is_ok());
        // The server's message about the change arrives before the answer to this.
        ours.load(&key(1), &LoadOptions::default()).await.expect("an answer");
        let at_hand = value(ours.load_cached(&key(0)));
        assert!(at_hand.is_none_or(|at_hand| at_hand == n), "{at_hand:?} after {n}");
    }
}

#[tokio::test]
async fn reads_of_many_tasks_never_go_back_behind_what_this_process_has_written() {
    let redis = RedisServer::start(Server::Redis);
    let ours = caching(&redis.url(), LONG);
    begin(&ours, &key(0)).await;
    let (written, seen) = tokio::sync::watch::channel(1);
    let readers = (0..4).map(|_| {
        let (ours, mut seen) = (ours.clone(), seen.clone());
        tokio::spawn(async move {
            while seen.has_changed().is_ok() {
                let least = *seen.borrow_and_update();
                let read = match ours.load_cached(&key(0)) {
                    Some(record) => Some(record),
                    None => ours.load(&key(0), &LoadOptions::default()).await.expect("an answer"),
                };
                assert!(value(read).is_some_and(|read| read >= least), "older than {least}");
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for n in 2..1_000 {
        update(&ours, &key(0), n).await;
        written.send_replace(n);
    }
    drop(written);
    for reader in readers {
        reader.await.expect("no reader saw an older value");
    }
}

#[tokio::test]
async fn nothing_is_at_hand_after_the_connection_is_lost_or_the_database_is_emptied() {
    let mut redis = RedisServer::start(Server::Redis);
    let ours = caching(&redis.url(), LONG);
    begin(&ours, &key(0)).await;
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    becomes(&ours, &key(0), None).await;
    assert!(ours.load(&key(0), &LoadOptions::default()).await.expect("a new connection").is_some());
    assert!(ours.load_cached(&key(0)).is_some());

    redis.command(&["FLUSHALL"]);
    becomes(&ours, &key(0), None).await;

    begin(&ours, &key(1)).await;
    redis.kill();
    becomes(&ours, &key(1), None).await;
    redis.restart();
    assert!(ours.load(&key(1), &LoadOptions::default()).await.expect("a new connection").is_none());
}

#[tokio::test]
async fn what_a_server_that_hangs_has_said_is_good_for_the_bound_and_no_longer() {
    let bound = Duration::from_secs(1);
    let redis = RedisServer::start(Server::Redis);
    let ours = caching(&redis.url(), bound);
    begin(&ours, &key(0)).await;
    // While the server answers, the store asks for proofs in time.
    let start = Instant::now();
    while start.elapsed() < 2 * bound {
        assert!(ours.load_cached(&key(0)).is_some());
        sleep(Duration::from_millis(5)).await;
    }
    redis.pause();
    let paused = Instant::now();
    loop {
        let before = paused.elapsed();
        if ours.load_cached(&key(0)).is_none() {
            break;
        }
        assert!(before <= bound, "older than it may be");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(ours.load(&key(0), &LoadOptions::default()).await.is_err());
    redis.resume();
}

/// A node that has lost its cluster answers, but does not see what the others write.
#[tokio::test]
async fn a_server_that_refuses_to_answer_for_the_key_proves_nothing() {
    let bound = Duration::from_secs(1);
    let redis = RedisServer::start(Server::Redis);
    redis.command(&["ACL", "SETUSER", "sessions", "on", ">secret", "~*", "+@all"]);
    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    let ours = caching(&url, bound);
    begin(&ours, &key(0)).await;
    redis.command(&["ACL", "SETUSER", "sessions", "-exists"]);
    let start = Instant::now();
    while ours.load_cached(&key(0)).is_some() {
        assert!(start.elapsed() <= 5 * bound, "a refusal counts as a proof");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(ours.load(&key(0), &LoadOptions::default()).await.expect("an answer").is_some());
    assert!(ours.load_cached(&key(0)).is_some(), "the answer of a reading is one");
}

#[tokio::test]
async fn who_reads_sends_no_more_than_the_proofs_and_who_does_not_sends_nothing() {
    let bound = Duration::from_secs(1);
    let redis = RedisServer::start(Server::Redis);
    let ours = caching(&redis.url(), bound);
    begin(&ours, &key(0)).await;
    redis.command(&["CONFIG", "RESETSTAT"]);
    let start = Instant::now();
    let mut reads = 0;
    while start.elapsed() < 2 * bound {
        assert!(ours.load_cached(&key(0)).is_some());
        reads += 1;
        tokio::task::yield_now().await;
    }
    let proofs = redis.calls("exists");
    assert!(reads > 1_000 && (1..=8).contains(&proofs), "{reads} reads, {proofs} proofs");
    redis.command(&["CONFIG", "RESETSTAT"]);
    sleep(2 * bound).await;
    assert_eq!(redis.calls("exists"), 0);
}

#[tokio::test]
async fn the_memory_is_bounded_and_the_least_recently_used_go_first() {
    let redis = RedisServer::start(Server::Redis);
    let store =
        RedisStore::builder(&redis.url()).local_cache_bytes(BYTES).local_cache_staleness(LONG);
    let store = store.build().expect("a good URL");
    // Each takes about 20 KiB, so that two hundred fit.
    for n in 0..400 {
        let now = SystemClock.now();
        let record = value_patch(49).apply_to(&Record::new(now, now.saturating_add(HOUR)));
        store.create(&key(n), &record.expect("a new record")).await.expect("an answer");
        store.load(&key(n), &LoadOptions::default()).await.expect("an answer");
        assert!(store.load_cached(&key(n)).is_some(), "the newest is kept");
    }
    let at_hand = (0..400).filter(|n| store.load_cached(&key(*n)).is_some()).count();
    assert!((100..=210).contains(&at_hand), "{at_hand}");
    assert!(store.load_cached(&key(0)).is_none());
    // A session that would evict all others is not kept.
    let small =
        RedisStore::builder(&redis.url()).local_cache_bytes(256 << 10).build().expect("a good URL");
    small.load(&key(0), &LoadOptions::default()).await.expect("an answer");
    assert!(small.load_cached(&key(0)).is_none());
}

#[actix_web::test]
async fn requests_are_answered_from_memory_and_changes_go_to_the_server() {
    let redis = RedisServer::start(Server::Redis);
    let stats = SessionStats::new();
    let site = concurrency::site(caching(&redis.url(), LONG)).settings(|it| it.stats(&stats));
    let mut browser = site.start().client();
    assert_eq!(browser.act("name=a").await.status, 200);
    assert_eq!(browser.act("read").await.status, 200);
    redis.command(&["CONFIG", "RESETSTAT"]);
    for _ in 0..50 {
        assert_eq!(browser.act("read").await.status, 200);
    }
    assert_eq!(redis.calls("hgetall") + redis.calls("evalsha"), 0);
    let loads = stats.totals().calls(Operation::Load).count();
    assert_eq!(loads, 51, "a load from a copy is counted too");
    for n in 0..50 {
        assert_eq!(browser.act(&format!("name=n{n}")).await.status, 200);
    }
    assert_eq!(redis.calls("evalsha"), 50);
    concurrency::assert_logout_holds(browser).await;
}

#[tokio::test]
async fn an_acl_user_needs_one_more_permission_and_is_told_without_it() {
    let redis = RedisServer::start(Server::Redis);
    redis.command(&["ACL", "SETUSER", "sessions", "on", ">secret", "~*", "+@all", "-client"]);
    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    assert!(plain(&url).load(&key(0), &LoadOptions::default()).await.is_ok());
    let error = caching(&url, LONG)
        .load(&key(0), &LoadOptions::default())
        .await
        .expect_err("it may not be told of changes");
    let mut causes =
        std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
    assert!(causes.any(|cause| cause.to_string().contains("NOPERM")), "{error:?}");
    redis.command(&["ACL", "SETUSER", "sessions", "+client|tracking"]);
    begin(&caching(&url, LONG), &key(0)).await;
}

/// A child that dies with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // OK because it fails only if it is dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_another_process_destroys_is_refused_within_the_bound() {
    const SESSIONS: u64 = 1_000;
    let bound = Duration::from_millis(500);
    let redis = RedisServer::start(Server::Redis);
    let ours = caching(&redis.url(), bound);
    let mut child = Command::new(env!("CARGO_BIN_EXE_revoking_process"));
    child.args([&redis.url(), "session:"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process(child.spawn().expect("the binary was built"));
    let mut orders = process.0.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(process.0.stdout.take().expect("it is piped")).lines();
    let mut line = || lines.next().expect("the process runs").expect("a line");
    assert_eq!(line(), "ready");
    let mut late: Vec<i128> = Vec::new();
    for n in 0..SESSIONS {
        begin(&ours, &key(n)).await;
        writeln!(orders, "{n}").expect("the process reads");
        let refused = async {
            while ours.load_cached(&key(n)).is_some() {
                tokio::task::yield_now().await;
            }
        };
        within("the copy is dropped", refused).await;
        let refused = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970");
        assert!(ours.load(&key(n), &LoadOptions::default()).await.expect("an answer").is_none());
        let destroyed: i128 = line().parse().expect("a number");
        late.push(refused.as_micros() as i128 - destroyed);
    }
    late.sort_unstable();
    let (median, worst) = (late[late.len() / 2], late[late.len() - 1]);
    println!(
        "refused after `destroy` has returned elsewhere: median {median} us, worst {worst} us"
    );
    assert!(worst <= bound.as_micros() as i128, "{worst} us");
    assert_eq!(redis.command(&["PING"]), Value::SimpleString("PONG".into()));
}
