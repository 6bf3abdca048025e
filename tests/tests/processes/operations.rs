//! What visitors see, and what the log says, while operators work on Redis or its clock is wrong.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, FakeClock, RedisStore, SessionMiddlewareBuilder, SystemClock, Timestamp,
};
use actix_typed_session_tests::{
    Client, Response, Site, concurrency,
    log_watch::Log,
    servers::{ClusterSetup, MASTER_NAME, RedisServer, SentinelSetup, Server},
    site::REQUESTS,
    wait::{until, within},
};
use actix_web::rt;
use redis::Value;

fn site(
    store: RedisStore,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Site<()> {
    concurrency::site(store).settings(settings).workers(1).start()
}

fn site_on(redis: &RedisServer) -> Site<()> {
    site(RedisStore::new(&redis.url()).expect("a good URL"), |it| it)
}

fn count(response: &Response) -> u64 {
    concurrency::field(&response.body, "count").parse().expect("a number")
}

/// The request fails for now: nothing is stored, and the client keeps its cookie.
async fn assert_unavailable(browser: &Client, steps: &str) {
    let mut browser = browser.clone();
    let response = browser.act(steps).await;
    assert_eq!((response.status, response.body.as_str()), (503, ""), "{steps}");
    assert_eq!(response.set_cookie(), None, "{steps}");
}

/// How many increments were answered, and how many failed with a 503.
#[derive(Debug)]
struct Increments {
    answered: u64,
    failed: u64,
}

/// How many clients count at the same time.
const CLIENTS: u64 = 8;

/// Clients of one session count while something happens to Redis, and until they succeed again.
async fn count_during(browser: &Client, happens: impl Future<Output = ()>) -> Increments {
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut browser, is_over) = (browser.clone(), Arc::clone(&is_over));
            rt::spawn(async move {
                let mut done = Increments { answered: 0, failed: 0 };
                let mut is_last = false;
                while !is_last {
                    let was_over = is_over.load(Ordering::SeqCst);
                    let response = browser.act("count").await;
                    assert_eq!(response.set_cookie(), None, "no visitor is logged out");
                    match response.status {
                        200 => done.answered += 1,
                        503 => done.failed += 1,
                        other => panic!("{other}"),
                    }
                    is_last = was_over && response.status == 200;
                    rt::time::sleep(Duration::from_millis(2)).await;
                }
                done
            })
        })
        .collect();
    rt::time::sleep(Duration::from_millis(100)).await;
    happens.await;
    rt::time::sleep(Duration::from_millis(100)).await;
    is_over.store(true, Ordering::SeqCst);
    let mut sum = Increments { answered: 0, failed: 0 };
    for client in clients {
        let done = within("Redis works again", client).await.expect("no panic");
        (sum.answered, sum.failed) = (sum.answered + done.answered, sum.failed + done.failed);
    }
    sum
}

/// Every increment that was answered is there once, and of the others each at most once.
async fn assert_counted(browser: &Client, before: u64, done: &Increments) -> u64 {
    let found = count(&browser.clone().act("read").await) - before;
    println!("{done:?}, {found} are stored");
    assert!(found >= done.answered, "{found} of {done:?} are stored");
    assert!(found <= done.answered + done.failed, "{found} of {done:?} are stored");
    found
}

/// Sends a command from another thread, so that the test's clients go on.
async fn send(redis: &Arc<RedisServer>, command: &'static [&'static str]) {
    let redis = Arc::clone(redis);
    let sent = tokio::task::spawn_blocking(move || drop(redis.command(command)));
    sent.await.expect("the server answers");
}

#[actix_web::test]
async fn scripts_that_are_flushed_under_load_are_loaded_again_and_every_increment_counts() {
    let redis = Arc::new(RedisServer::start(Server::Redis));
    let browser = site_on(&redis).visitor("count").await;
    let done = count_during(&browser, async {
        for _ in 0..50 {
            send(&redis, &["SCRIPT", "FLUSH"]).await;
        }
    })
    .await;
    assert_eq!(done.failed, 0, "no visitor notices");
    assert_eq!(assert_counted(&browser, 1, &done).await, done.answered);
}

#[actix_web::test]
async fn connections_that_are_killed_under_load_cost_a_503_and_no_increment_that_was_answered() {
    let redis = Arc::new(RedisServer::start(Server::Redis));
    let browser = site_on(&redis).visitor("count").await;
    let log = Log::of_all_threads();
    let done = count_during(&browser, async {
        for _ in 0..20 {
            send(&redis, &["CLIENT", "KILL", "TYPE", "normal"]).await;
            rt::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_counted(&browser, 1, &done).await;
    if done.failed > 0 {
        assert!(log.text().contains("the connection to Redis closed"), "{}", log.text());
    }
}

#[actix_web::test]
async fn a_server_that_sleeps_costs_a_503_and_no_increment_that_was_answered() {
    let redis =
        Arc::new(RedisServer::start_with(Server::Redis, &["--enable-debug-command", "yes"]));
    let browser = site_on(&redis).visitor("count").await;
    let log = Log::of_all_threads();
    let start = Instant::now();
    let done = count_during(&browser, send(&redis, &["DEBUG", "SLEEP", "1.6"])).await;
    assert!(start.elapsed() < Duration::from_secs(6), "nothing hangs: {:?}", start.elapsed());
    assert_counted(&browser, 1, &done).await;
    assert!(done.failed > 0 && log.text().contains("within 1000 ms"), "{}", log.text());

    // Shorter than the time limit, so no visitor notices.
    let before = count(&browser.clone().act("read").await);
    let done = count_during(&browser, send(&redis, &["DEBUG", "SLEEP", "0.4"])).await;
    assert_eq!(done.failed, 0);
    assert_eq!(assert_counted(&browser, before, &done).await, done.answered);
}

#[actix_web::test]
async fn sessions_that_are_flushed_are_gone_as_after_a_logout() {
    let redis = RedisServer::start(Server::Redis);
    let site = site_on(&redis);
    let browser = site.visitor("count,user=7").await;
    let held = site.held(&browser, "gate,name=late").await;
    let log = Log::of_all_threads();

    redis.command(&["FLUSHALL"]);

    let response = site.release(held).await;
    assert_eq!((response.status, response.set_cookie()), (200, None), "its changes are lost");
    assert!(log.text().contains("the changes of a request are lost"), "{}", log.text());
    let response = browser.clone().act("read").await;
    assert_eq!((response.status, count(&response)), (200, 0), "a new visitor");
    assert!(response.removes_cookie());
    let mut again = browser.clone();
    assert_eq!(again.act("count,user=7").await.status, 200, "who can log in at once");
    assert_ne!(again.cookie(), browser.cookie(), "with a new id");
    assert_eq!(count(&again.act("count").await), 2);
}

#[actix_web::test]
async fn on_a_full_server_visitors_read_and_log_out_and_nothing_is_lost() {
    let redis = RedisServer::start(Server::Redis);
    let often = site(RedisStore::new(&redis.url()).expect("a good URL"), |it| {
        it.touch_interval(Duration::from_millis(1))
    });
    for site in [site_on(&redis), often] {
        let browser = site.visitor("count,name=x").await;
        let leaving = site.visitor("count").await;
        redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let log = Log::of_all_threads();
        rt::time::sleep(Duration::from_millis(25)).await;

        assert_eq!(count(&browser.clone().act("read").await), 1, "reads work");
        for steps in ["count", "name=y", "user=7", "renew"] {
            assert_unavailable(&browser, steps).await;
        }
        assert_unavailable(&site.client(), "count").await;
        assert!(leaving.clone().act("destroy").await.removes_cookie(), "logouts work");
        assert!(log.text().contains("OOM command not allowed"), "{}", log.text());

        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(count(&browser.clone().act("count").await), 2, "the session is as it was");
        assert!(leaving.clone().act("read").await.removes_cookie(), "the other is gone");
    }
}

#[actix_web::test]
async fn on_a_replica_visitors_read_and_nothing_is_lost() {
    let master = RedisServer::start(Server::Redis);
    let browser = site_on(&master).visitor("count").await;
    let port = master.port().to_string();
    let replica = RedisServer::start_with(Server::Redis, &["--replicaof", "127.0.0.1", &port]);
    until("it follows the master", || {
        replica.info("replication", "master_link_status").as_deref() == Some("up")
    })
    .await;
    let often = site(RedisStore::new(&replica.url()).expect("a good URL"), |it| {
        it.touch_interval(Duration::from_millis(1))
    });
    for site in [site_on(&replica), often] {
        let browser = Client { address: site.address, ..browser.clone() };
        let log = Log::of_all_threads();
        let response = browser.clone().act("read").await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "reads work");
        assert_eq!(count(&response), 1);
        for steps in ["count", "user=7", "renew", "destroy"] {
            assert_unavailable(&browser, steps).await;
        }
        assert_unavailable(&site.client(), "count").await;
        assert!(log.text().contains("READONLY"), "{}", log.text());
    }
    assert_eq!(count(&browser.clone().act("count").await), 2, "the session is as it was");
}

#[actix_web::test]
async fn a_failover_under_load_logs_no_visitor_out_and_loses_at_most_what_was_not_replicated() {
    let mut setup = SentinelSetup::start();
    let urls = setup.urls();
    let store = RedisStore::sentinel(urls.iter().map(String::as_str), MASTER_NAME);
    let browser = site(store.build().expect("good URLs"), |it| it).visitor("count,user=7").await;
    let log = Log::of_all_threads();
    let done = count_during(&browser, async {
        let old = setup.servers[0].port();
        setup.servers[0].kill();
        let waiting = tokio::task::spawn_blocking(move || {
            setup.wait_for_other_master(old);
            setup
        });
        // They run until the test ends.
        std::mem::forget(waiting.await.expect("a new master"));
    })
    .await;

    let response = browser.clone().act("read").await;
    let found = count(&response) - 1;
    println!("{done:?}, {found} are stored");
    assert!(response.body.ends_with(" user=7"), "{}", response.body);
    // The replica may lack what the master answered in its last moment.
    assert!(found + CLIENTS >= done.answered, "{found} of {done:?}");
    assert!(found <= done.answered + done.failed, "{found} of {done:?}");
    assert!(done.failed > 0 && log.text().contains("cannot connect to Redis"), "{}", log.text());
}

/// Moves the slot of a key to another node and back, as `redis-cli --cluster reshard` does.
struct MovingSlot {
    cluster: ClusterSetup,
    name: String,
    slot: String,
    ids: [String; 3],
}

impl MovingSlot {
    /// The slot of the only session.
    fn of_session(cluster: ClusterSetup) -> Self {
        let text = |value: Value| -> String { redis::from_redis_value(value).expect("a text") };
        let keys = |node: &RedisServer| -> Vec<String> {
            redis::from_redis_value(node.command(&["KEYS", "session:*"])).expect("names")
        };
        let name = cluster.nodes.iter().flat_map(keys).next().expect("a session");
        let Value::Int(slot) = cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", &name]) else {
            panic!("a slot is a number");
        };
        let ids = [0, 1, 2].map(|node| text(cluster.nodes[node].command(&["CLUSTER", "MYID"])));
        Self { cluster, name, slot: slot.to_string(), ids }
    }

    fn owner(&self) -> usize {
        let has = |node: &RedisServer| {
            let keys = node.command(&["CLUSTER", "COUNTKEYSINSLOT", &self.slot]);
            keys == Value::Int(1)
        };
        self.cluster.nodes.iter().position(has).expect("one of the nodes has it")
    }

    fn move_on(&self) {
        let from = self.owner();
        let to = (from + 1) % 3;
        let command = |node: usize, rest: &[&str]| {
            let command = [&["CLUSTER", "SETSLOT", &self.slot], rest].concat();
            assert_eq!(self.cluster.nodes[node].command(&command), Value::Okay);
        };
        command(to, &["IMPORTING", &self.ids[from]]);
        command(from, &["MIGRATING", &self.ids[to]]);
        std::thread::sleep(Duration::from_millis(5));
        let port = self.cluster.nodes[to].port().to_string();
        let migrate = ["MIGRATE", "127.0.0.1", &port, &self.name, "0", "2000"];
        assert_eq!(self.cluster.nodes[from].command(&migrate), Value::Okay);
        std::thread::sleep(Duration::from_millis(5));
        for node in [to, from, (to + 1) % 3] {
            command(node, &["NODE", &self.ids[to]]);
        }
    }
}

#[actix_web::test]
async fn a_slot_that_moves_under_load_loses_no_increment() {
    let cluster = ClusterSetup::start(Server::Redis);
    let urls = cluster.urls();
    let store = RedisStore::cluster(urls.iter().map(String::as_str)).build().expect("good URLs");
    let site = site(store, |it| it);
    let browser = site.visitor("count").await;
    let moving = MovingSlot::of_session(cluster);
    let log = Log::of_all_threads();
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let mover = std::thread::spawn(move || {
        let mut moves = 0;
        while !stop.load(Ordering::SeqCst) {
            moving.move_on();
            moves += 1;
            // The nodes need a moment to agree before a slot moves again.
            std::thread::sleep(Duration::from_millis(100));
        }
        (moves, moving)
    });
    const STORMS: usize = 5;
    let mut statuses = Vec::new();
    for _ in 0..STORMS {
        let responses = site.storm(&browser, |_| "/do/count".to_owned()).await;
        statuses.extend(responses.iter().map(|response| response.status));
    }
    is_over.store(true, Ordering::SeqCst);
    let (moves, _moving) = mover.join().expect("every move succeeds");
    let failed = statuses.iter().filter(|status| **status != 200).count();
    println!("{} increments during {moves} moves, {failed} failed", statuses.len());
    assert!(moves > 1, "it moved");
    assert_eq!(failed, 0, "{}", log.text());
    let found = count(&browser.clone().act("read").await) - 1;
    assert_eq!(found, (STORMS * REQUESTS) as u64, "each counts once");
}

/// How far the clock of the application is off.
const OFF: Duration = Duration::from_secs(31 * 60);

/// A site on Redis whose clock is off, and that clock.
fn site_off(
    redis: &RedisServer,
    now: Timestamp,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> (Site<()>, FakeClock) {
    let clock = FakeClock::new(now);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let site = concurrency::site(store).clock(clock.clone()).settings(settings).workers(1);
    (site.start(), clock)
}

fn behind() -> Timestamp {
    Timestamp::from_unix_ms(SystemClock.now().as_unix_ms() - OFF.as_millis() as u64)
}

fn ahead() -> Timestamp {
    SystemClock.now().saturating_add(OFF)
}

#[actix_web::test]
async fn a_clock_31_minutes_off_loses_no_session_no_login_and_no_write_and_is_logged() {
    let redis = RedisServer::start(Server::Redis);
    for (now, direction) in [(behind(), "behind"), (ahead(), "ahead of")] {
        let log = Log::of_all_threads();
        let (site, clock) = site_off(&redis, now, |it| it);
        let mut browser = site.visitor("count").await;
        let is_said = |seconds| {
            let said =
                format!("the clock of this process is {seconds} s {direction} that of Redis");
            log.text().contains(&said)
        };
        // The clock stands still while the session begins.
        assert!((1_855..1_865).any(is_said), "{}", log.text());
        for n in 2..5 {
            assert_eq!(count(&browser.act("count").await), n, "{direction}");
        }

        // A request that is under way while the user logs in keeps its hands off the new cookie.
        let held = site.held(&browser, "gate,name=late").await;
        let late = browser.clone();
        assert_eq!(browser.act("user=7").await.status, 200, "{direction}");
        let response = site.release(held).await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "{direction}");
        let response = late.clone().act("read").await;
        assert_eq!((response.status, response.set_cookie()), (200, None), "{direction}: the grace");

        clock.advance(Duration::from_secs(3600));
        let read = browser.act("count").await;
        assert_eq!(count(&read), 5, "{direction}");
        assert!(read.body.ends_with(" user=7"), "{direction}: {}", read.body);
        clock.advance(Duration::from_secs(20 * 3600));
        let read = browser.act("read").await;
        assert!(count(&read) == 0 && read.removes_cookie(), "{direction}: idle for 20 hours");
    }
}

#[actix_web::test]
async fn a_session_that_would_have_ended_by_the_clock_of_redis_is_refused_and_logged() {
    let redis = RedisServer::start(Server::Redis);
    let short = |it: SessionMiddlewareBuilder| it.max_age(Duration::from_secs(20 * 60));
    let log = Log::of_all_threads();
    let (site, _) = site_off(&redis, behind(), short);
    assert_unavailable(&site.client(), "count").await;
    assert!(log.text().contains("has ended by the clock of Redis"), "{}", log.text());

    // A session that is there already is not lost, and is not shortened either.
    let (site, _) = site_off(&redis, behind(), |it| it);
    let browser = site.visitor("count").await;
    assert_unavailable(&browser, "age=1200000").await;
    assert_eq!(count(&browser.clone().act("count").await), 2);

    // Ahead, it ends when the application says so.
    let (site, clock) = site_off(&redis, ahead(), short);
    let mut browser = site.visitor("count").await;
    clock.advance(Duration::from_secs(19 * 60));
    assert_eq!(count(&browser.act("count").await), 2);
    clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(count(&browser.act("read").await), 0);
}

#[actix_web::test]
async fn a_clock_that_is_a_few_seconds_off_is_not_mentioned() {
    let redis = RedisServer::start(Server::Redis);
    let now = SystemClock.now().saturating_add(Duration::from_secs(20));
    let log = Log::of_all_threads();
    site_off(&redis, now, |it| it).0.visitor("count").await;
    assert!(!log.text().contains("clock of this process is 20 s"), "{}", log.text());
}
