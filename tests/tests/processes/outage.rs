//! What visitors see while Redis is stopped, hangs, is cut off, or comes back.

use std::time::{Duration, Instant};

use actix_typed_session::{
    MemoryStore, OnOutage, RedisStore,
    store::SessionStore,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{
    Client, Response, Site, concurrency,
    proxy::Proxy,
    servers::{ClusterSetup, RedisServer, Server},
    wait::{until, within},
};

/// The defaults, plus what a busy machine adds.
const CONNECT_LIMIT: Duration = Duration::from_millis(2_000 + 500);
const ANSWER_LIMIT: Duration = Duration::from_millis(1_000 + 500);

/// One worker, and so one connection to the store's server.
fn site(store: impl SessionStore, on_outage: OnOutage) -> Site<()> {
    concurrency::site(store).settings(|it| it.on_outage(on_outage)).workers(1).start()
}

fn on_redis(url: &str) -> Client {
    site(RedisStore::new(url).expect("a good URL"), OnOutage::FailClosed).client()
}

/// Sends a request, and returns how long it took.
async fn timed(browser: &mut Client, path: &str) -> (Response, Duration) {
    let start = Instant::now();
    let response = browser.get(path).await;
    (response, start.elapsed())
}

/// The request gets 503 in time, with nothing in it, and the client keeps its cookie.
async fn assert_unavailable(browser: &mut Client, limit: Duration) -> Duration {
    let (response, took) = timed(browser, "/do/count").await;
    assert_eq!((response.status, response.body.as_str()), (503, ""));
    assert_eq!(response.set_cookie(), None);
    assert!(took < limit, "503 after {took:?}");
    println!("503 after {} ms", took.as_millis());
    took
}

/// A route without a session works as always.
async fn assert_plain_is_untouched(browser: &mut Client) {
    let (response, took) = timed(browser, "/plain").await;
    assert_eq!(response.text(), "200 no session here");
    assert!(took < Duration::from_millis(500), "{took:?}");
}

fn count(response: &Response) -> &str {
    response.body.split(' ').next().expect("the first field")
}

#[actix_web::test]
async fn while_redis_is_stopped_sessions_are_503_and_the_first_request_after_it_is_back_works() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(Server::Redis, &persistent);
    let mut browser = on_redis(&redis.url());
    browser.act("count").await;
    for n in 2..6 {
        redis.kill();
        for _ in 0..5 {
            assert_unavailable(&mut browser, CONNECT_LIMIT).await;
            assert_plain_is_untouched(&mut browser).await;
        }
        redis.restart();
        let (response, took) = timed(&mut browser, "/do/count").await;
        assert_eq!(response.status, 200, "the first request after {took:?}");
        assert_eq!(count(&response), format!("count={n}"), "and the session is there");
        assert!(took < Duration::from_millis(1_000), "{took:?}");
        println!("the first good answer after {} ms", took.as_millis());
    }
}

#[actix_web::test]
async fn an_idle_site_does_not_notice_a_restart_of_redis() {
    let mut redis =
        RedisServer::start_with(Server::Redis, &["--appendonly", "yes", "--appendfsync", "always"]);
    let mut browser = on_redis(&redis.url());
    browser.act("count").await;
    redis.kill();
    redis.restart();
    assert_eq!(browser.act("count").await.status, 200);
}

#[actix_web::test]
async fn a_site_starts_while_redis_is_down() {
    let mut redis = RedisServer::start(Server::Redis);
    redis.kill();
    let mut browser = on_redis(&redis.url());
    assert_unavailable(&mut browser, CONNECT_LIMIT).await;
    redis.restart();
    assert_eq!(browser.act("count").await.status, 200);
}

#[actix_web::test]
async fn while_redis_hangs_nothing_hangs_with_it() {
    let redis = RedisServer::start(Server::Redis);
    let mut browser = on_redis(&redis.url());
    browser.act("count").await;
    for _ in 0..2 {
        redis.pause();
        let first = assert_unavailable(&mut browser, ANSWER_LIMIT).await;
        assert!(first > Duration::from_millis(900), "the answer is waited for: {first:?}");
        // The connection is closed, and a new one gets no answer either.
        let requests: Vec<_> = (0..20)
            .map(|_| {
                let mut browser = browser.clone();
                actix_web::rt::spawn(async move {
                    assert_unavailable(&mut browser, CONNECT_LIMIT).await;
                })
            })
            .collect();
        assert_plain_is_untouched(&mut browser).await;
        for request in requests {
            request.await.expect("503 in time");
        }
        redis.resume();
        let (response, took) = timed(&mut browser, "/do/count").await;
        assert_eq!(response.status, 200, "the first request after {took:?}");
        assert!(took < Duration::from_millis(1_000), "{took:?}");
        println!("the first good answer after {} ms", took.as_millis());
    }
}

#[actix_web::test]
async fn a_restart_under_load_loses_no_write_that_was_answered() {
    let persistent = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(Server::Redis, &persistent);
    let mut browser = on_redis(&redis.url());
    browser.act("name=x").await;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut browser = browser.clone();
            actix_web::rt::spawn(async move {
                let (mut stored, mut unknown) = (0_u64, 0_u64);
                for _ in 0..100 {
                    match browser.act("count").await.status {
                        200 => stored += 1,
                        503 => unknown += 1,
                        other => panic!("{other}"),
                    }
                }
                (stored, unknown)
            })
        })
        .collect();
    for _ in 0..3 {
        actix_web::rt::time::sleep(Duration::from_millis(150)).await;
        redis.kill();
        redis.restart();
    }
    let (mut stored, mut unknown) = (0, 0);
    for client in clients {
        let (s, u) = client.await.expect("it finishes");
        (stored, unknown) = (stored + s, unknown + u);
    }
    let response = browser.act("read").await;
    let found: u64 = count(&response).trim_start_matches("count=").parse().expect("a number");
    assert!(found >= stored, "{stored} writes were answered, and {found} are stored");
    assert!(found <= stored + unknown, "no write is repeated: {found} > {stored} + {unknown}");
}

#[actix_web::test]
async fn a_write_whose_answer_is_lost_is_not_repeated() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    let mut browser = on_redis(&proxy.url());
    // A server that has not seen a script yet refuses it at first.
    let mut another = browser.clone();
    for steps in ["count", "count", "best=1"] {
        assert_eq!(another.act(steps).await.status, 200);
    }
    browser.act("count").await;
    browser.act("count").await;
    for (n, steps) in [(3, "count"), (4, "count,best=1"), (5, "count,name=x")] {
        // The request is loaded over a good connection, and its write goes out over a bad one.
        let (steps, mut held) = (format!("sleep=300,{steps}"), browser.clone());
        let request = actix_web::rt::spawn(async move { held.act(&steps).await });
        actix_web::rt::time::sleep(Duration::from_millis(150)).await;
        proxy.swallow_replies(true);
        assert_eq!(request.await.expect("a response").status, 503);
        proxy.swallow_replies(false);
        proxy.cut();
        let response = browser.act("read").await;
        assert_eq!(count(&response), format!("count={n}"), "once, and not twice");
    }
}

#[actix_web::test]
async fn a_write_whose_connection_is_cut_is_not_repeated_and_a_read_is() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    let mut browser = on_redis(&proxy.url());
    browser.act("count").await;
    browser.act("count").await;
    for n in 3..6 {
        let mut held = browser.clone();
        let request = actix_web::rt::spawn(async move { held.act("sleep=300,count").await });
        actix_web::rt::time::sleep(Duration::from_millis(150)).await;
        proxy.swallow_replies(true);
        // The write has arrived, and its answer never will.
        actix_web::rt::time::sleep(Duration::from_millis(400)).await;
        proxy.swallow_replies(false);
        proxy.cut();
        assert_eq!(request.await.expect("a response").status, 503);
        assert_eq!(count(&browser.act("read").await), format!("count={n}"), "once, and not twice");

        proxy.swallow_replies(true);
        let mut reader = browser.clone();
        let request = actix_web::rt::spawn(async move { reader.act("read").await });
        actix_web::rt::time::sleep(Duration::from_millis(100)).await;
        proxy.swallow_replies(false);
        proxy.cut();
        assert_eq!(request.await.expect("a response").status, 200, "reading twice is harmless");
    }
}

/// A short grace period, so that a test sees its end.
const GRACE: Duration = Duration::from_millis(2_500);

/// Waits until bytes come back through one of the proxies, which swallow them.
async fn until_swallowed(proxies: &[Proxy], before: u64) {
    until("a store call is made", || bytes_down(proxies) > before).await;
    actix_web::rt::time::sleep(Duration::from_millis(50)).await;
}

fn bytes_down(proxies: &[Proxy]) -> u64 {
    proxies.iter().map(Proxy::bytes_down).sum()
}

/// Logs in while the reply to one store call is lost. The visitor gets a new id, which still works
/// when the grace period of the old one is over.
async fn assert_login_goes_through(store: RedisStore, proxies: &[Proxy], cuts: bool) {
    let site = concurrency::site(store).settings(|it| it.renewal_grace(GRACE)).workers(1).start();
    for _ in 0..30 {
        // The worker connects to each node, and each node gets the scripts.
        let mut first = site.visitor("count").await;
        assert_eq!(first.act("count,user=7").await.status, 200);
    }
    let mut before = site.client();
    before.act("count").await;
    let (mut browser, swallowed) = (before.clone(), bytes_down(proxies));
    let held = site.held(&browser, "gate,count,user=7").await;
    let swallowed = bytes_down(proxies).max(swallowed);
    proxies.iter().for_each(|proxy| proxy.swallow_replies(true));
    let login = actix_web::rt::spawn(async move {
        site.gate.open();
        (held.finish().await, site)
    });
    until_swallowed(proxies, swallowed).await;
    proxies.iter().for_each(|proxy| proxy.swallow_replies(false));
    if cuts {
        proxies.iter().for_each(Proxy::cut);
    }

    let ((response, logged_in), _site) = within("the login", login).await.expect("a response");

    assert_eq!(response.status, 200, "the login goes through");
    assert!(response.set_cookie().is_some(), "with a new id");
    browser = logged_in;
    assert_ne!(browser.cookie(), before.cookie());
    let read = browser.act("read").await;
    assert!(read.body.starts_with("count=2 ") && read.body.ends_with(" user=7"), "{}", read.body);
    actix_web::rt::time::sleep(GRACE).await;
    assert_eq!(browser.act("read").await.body, read.body, "the new id lasts");
    assert!(before.act("read").await.removes_cookie(), "the old one does not");
}

#[actix_web::test]
async fn a_login_goes_through_when_the_reply_to_its_renewal_is_lost() {
    let redis = RedisServer::start(Server::Redis);
    let proxies = [Proxy::to(redis.address())];
    let store = RedisStore::builder(&proxies[0].url()).response_timeout(Duration::from_millis(400));
    let store = store.build().expect("good settings");
    for cuts in [true, false] {
        assert_login_goes_through(store.clone(), &proxies, cuts).await;
    }
}

#[actix_web::test]
async fn in_a_cluster_a_login_goes_through_when_the_reply_to_one_of_its_calls_is_lost() {
    let cluster = ClusterSetup::start(Server::Redis);
    let proxies = cluster.proxies();
    let urls = [0, 1, 2].map(|n| proxies[n].url());
    let store = RedisStore::cluster(urls.iter().map(String::as_str));
    let store = store.response_timeout(Duration::from_millis(400)).build().expect("good URLs");
    // Which call is the one depends on the nodes that the ids lead to.
    for cuts in [true, false, true, false, true, false] {
        assert_login_goes_through(store.clone(), &proxies, cuts).await;
    }
}

#[actix_web::test]
async fn a_cut_connection_is_made_anew() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    let mut browser = on_redis(&proxy.url());
    browser.act("count").await;
    for n in 2..12 {
        proxy.cut();
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(count(&browser.act("count").await), format!("count={n}"));
    }
    proxy.refuse(true);
    proxy.cut();
    assert_unavailable(&mut browser, CONNECT_LIMIT).await;
    proxy.refuse(false);
    assert_eq!(count(&browser.act("count").await), "count=12");
}

#[actix_web::test]
async fn a_connection_that_swallows_everything_is_given_up() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    let mut browser = on_redis(&proxy.url());
    browser.act("count").await;
    proxy.hang(true);
    assert_unavailable(&mut browser, ANSWER_LIMIT).await;
    proxy.hang(false);
    assert_eq!(browser.act("read").await.status, 200);
    assert_eq!(proxy.connections(), 2, "the second one is the one that answers");
}

#[actix_web::test]
async fn a_slow_network_is_not_an_outage() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Proxy::to(redis.address());
    proxy.delay(Duration::from_millis(100));
    let mut browser = on_redis(&proxy.url());
    for n in 1..4 {
        assert_eq!(count(&browser.act("count").await), format!("count={n}"));
    }
    assert_eq!(proxy.connections(), 1);
}

#[actix_web::test]
async fn a_full_redis_is_503_and_not_500() {
    let limits = ["--maxmemory", "1", "--maxmemory-policy", "noeviction"];
    let redis = RedisServer::start_with(Server::Redis, &limits);
    let mut browser = on_redis(&redis.url());
    assert_unavailable(&mut browser, CONNECT_LIMIT).await;
}

// Anonymous.

#[actix_web::test]
async fn anonymous_visitors_are_served_while_redis_is_stopped() {
    let mut redis =
        RedisServer::start_with(Server::Redis, &["--appendonly", "yes", "--appendfsync", "always"]);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let mut browser = site(store, OnOutage::Anonymous).client();
    browser.act("count,name=x").await;
    let cookies = browser.cookies.clone();
    redis.kill();
    let (response, took) = timed(&mut browser, "/do/read").await;
    assert_eq!((response.status, count(&response)), (200, "count=0"), "like a new visitor");
    assert!(took < CONNECT_LIMIT, "{took:?}");
    assert_eq!(browser.act("count").await.status, 200, "whose changes are not kept");
    for lost in ["user=7", "renew", "regenerate", "destroy", "count,save"] {
        assert_eq!(browser.act(lost).await.status, 503, "{lost}");
    }
    assert_eq!(browser.cookies, cookies, "no cookie is set or removed");
    let (mut newcomer, before) = (browser.clone(), browser.clone());
    newcomer.cookies.clear();
    assert_eq!(newcomer.act("count").await.status, 200, "a first visit passes");
    assert!(newcomer.cookies.is_empty(), "and begins no session");
    redis.restart();
    let response = before.clone().act("read").await;
    assert_eq!(count(&response), "count=1", "the session is there again");
}

#[actix_web::test]
async fn an_anonymous_site_still_fails_for_what_must_not_be_lost() {
    let store = FaultyStore::new(MemoryStore::new());
    let site = site(store.clone(), OnOutage::Anonymous);
    let mut browser = site.client();
    browser.act("count").await;

    // A session that was loaded.
    store.inject(Operation::Update, Fault::ErrorBefore);
    assert_eq!(browser.act("count").await.status, 503);
    store.heal();

    // A touch that fails loses nothing yet.
    store.inject(Operation::Touch, Fault::ErrorBefore);
    assert_eq!(browser.act("touch").await.status, 200);
    store.heal();

    // A logout is tried anyway.
    store.inject(Operation::Load, Fault::ErrorBefore);
    assert!(browser.clone().act("destroy").await.removes_cookie());
    store.heal();
    assert!(browser.act("read").await.removes_cookie(), "it was carried out");

    // What could not be loaded can be loaded again.
    browser.act("count").await;
    store.inject(Operation::Load, Fault::ErrorBefore);
    let held = site.held(&browser, "gate,reload,count").await;
    store.heal();
    assert_eq!(count(&site.release(held).await), "count=2");
}

#[actix_web::test]
async fn failing_closed_is_the_default() {
    let store = FaultyStore::new(MemoryStore::new());
    let mut browser = site(store.clone(), OnOutage::default()).client();
    browser.act("count").await;
    for (operation, act) in
        [(Operation::Load, "read"), (Operation::Load, "count"), (Operation::Update, "count")]
    {
        store.inject(operation, Fault::ErrorBefore);
        assert_eq!(browser.act(act).await.status, 503, "{operation:?} {act}");
        store.heal();
    }
}
