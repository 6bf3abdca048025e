//! What a request costs Redis: round trips and bytes, as the server counts them.

use std::time::Duration;

use actix_typed_session::{RedisStore, SessionMiddlewareBuilder};
use actix_typed_session_tests::{
    Client, concurrency,
    servers::{ClusterSetup, RedisServer, Server},
};
use redis::Value;

fn site(
    store: RedisStore,
    settings: impl FnOnce(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder,
) -> Client {
    concurrency::site(store).settings(settings).workers(1).start().client()
}

/// How often the servers were asked since the counts were set to zero. Commands inside a script are
/// not round trips, and the store sends only these commands outside of scripts.
fn round_trips(servers: &[RedisServer]) -> u64 {
    let commands = ["evalsha", "eval", "hgetall"];
    let calls = |server: &RedisServer| commands.map(|command| server.calls(command));
    servers.iter().flat_map(calls).sum()
}

fn reset(servers: &[RedisServer]) {
    for server in servers {
        assert_eq!(server.command(&["CONFIG", "RESETSTAT"]), Value::Okay);
    }
}

/// Loads all scripts into the servers, so that each call is made once.
async fn warm_up(browser: &Client) {
    let mut browser = browser.clone();
    let first =
        ["name=x", "name=y", "count", "count,name=z", "best=1", "touch", "renew", "destroy"];
    for steps in first.into_iter().chain(["name=x", "regenerate,name=y"]) {
        assert_eq!(browser.act(steps).await.status, 200);
    }
    browser.act("destroy").await;
}

/// Requests, and the round trips each may cost.
async fn assert_costs(browser: &Client, servers: &[RedisServer], rows: &[(&str, u64)]) {
    for (steps, expected) in rows {
        let mut browser = browser.clone();
        browser.act("name=begin,tag=a").await;
        // The clock ticks every 10 ms, and an extension to the same time would not be made.
        tokio::time::sleep(Duration::from_millis(25)).await;
        reset(servers);
        let path = if *steps == "plain" { "/plain".to_owned() } else { format!("/do/{steps}") };
        assert_eq!(browser.get(&path).await.status, 200);
        let cost = round_trips(servers);
        assert_eq!(cost, *expected, "round trips of `{steps}`");
        println!("{steps}: {cost} round trips");
    }
}

#[actix_web::test]
async fn a_request_costs_no_round_trip_more_than_it_must() {
    let redis = RedisServer::start(Server::Redis);
    let browser = site(RedisStore::new(&redis.url()).expect("a good URL"), |it| it);
    warm_up(&browser).await;
    assert_costs(
        &browser,
        std::slice::from_ref(&redis),
        &[
            ("plain", 0),
            ("read", 1),
            ("name=begin", 1),
            ("name=x", 2),
            ("count,name=x,tag=b,best=3", 2),
            ("touch", 2),
            ("renew", 2),
            ("user=7,name=x", 2),
            ("regenerate,name=x", 2),
            ("destroy", 2),
            ("destroy,name=bye", 3),
        ],
    )
    .await;
    // A visitor without a cookie is not looked up.
    reset(std::slice::from_ref(&redis));
    browser.clone().act("read").await;
    assert_eq!(round_trips(std::slice::from_ref(&redis)), 0);
}

#[actix_web::test]
async fn in_a_cluster_a_renewal_costs_three() {
    let cluster = ClusterSetup::start(Server::Redis);
    let urls = cluster.urls();
    let store = RedisStore::cluster(urls.iter().map(String::as_str)).build().expect("good URLs");
    let browser = site(store, |it| it);
    // Each node needs the scripts.
    for _ in 0..20 {
        warm_up(&browser).await;
    }
    assert_costs(
        &browser,
        &cluster.nodes,
        &[
            ("plain", 0),
            ("read", 1),
            ("name=x", 2),
            ("renew", 3),
            ("user=7,name=x", 3),
            ("regenerate,name=x", 3),
            ("destroy", 2),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_merge_costs_one_round_trip_more_for_each_conflict() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let site = concurrency::site(store).start();
    let mut browser = site.client();
    warm_up(&browser).await;
    browser.act("tag=a").await;
    let held = site.held(&browser, "gate,tag=b").await;
    browser.act("tag=c").await;
    reset(std::slice::from_ref(&redis));
    assert_eq!(site.release(held).await.status, 200);
    let evaluated = redis.info("commandstats", "cmdstat_evalsha").expect("two scripts");
    assert!(evaluated.starts_with("calls=2,"), "{evaluated}");
}

#[actix_web::test]
async fn a_site_that_touches_at_each_request_pays_no_second_round_trip_for_it() {
    assert_each_read_costs("calls=1,", false).await;
}

#[actix_web::test]
async fn a_persistent_cookie_that_lives_on_at_each_request_costs_a_second_round_trip() {
    // After the handler, the middleware must check that the id is still valid.
    assert_each_read_costs("calls=2,", true).await;
}

async fn assert_each_read_costs(calls: &str, is_persistent: bool) {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let mut browser =
        site(store, |it| it.touch_interval(Duration::ZERO).cookie_persistent(is_persistent));
    warm_up(&browser).await;
    redis.command(&["FLUSHALL"]);
    browser.act("name=x").await;
    let expiry = || {
        let keys = redis.command(&["KEYS", "session:*"]);
        let keys: Vec<String> = redis::from_redis_value(keys).expect("names");
        assert_eq!(keys.len(), 1, "one session is left");
        match redis.command(&["PEXPIRETIME", &keys[0]]) {
            Value::Int(at) => at,
            other => panic!("{other:?}"),
        }
    };
    browser.act("read").await;
    for _ in 0..3 {
        let before = expiry();
        actix_web::rt::time::sleep(Duration::from_millis(5)).await;
        reset(std::slice::from_ref(&redis));
        let response = browser.act("read").await;
        let evaluated = redis.info("commandstats", "cmdstat_evalsha").expect("scripts");
        assert!(evaluated.starts_with(calls), "{evaluated}");
        assert_eq!(response.set_cookie().is_some(), is_persistent, "a cookie with an end");
        assert!(expiry() > before);
    }
}

#[actix_web::test]
async fn writing_a_small_field_of_a_large_session_sends_less_than_300_bytes() {
    let redis = RedisServer::start(Server::Redis);
    let mut browser = site(RedisStore::new(&redis.url()).expect("a good URL"), |it| it);
    warm_up(&browser).await;
    browser.act(&format!("note={},name=begin", "x".repeat(8 * 1024))).await;
    let received = || -> u64 {
        let bytes = redis.info("stats", "total_net_input_bytes").expect("a number");
        bytes.parse().expect("a number")
    };
    // The bytes of the count itself.
    let (first, second) = (received(), received());
    let own = second - first;
    for (steps, most) in [("read", 90), ("name=small", 300), ("count", 300), ("best=42", 300)] {
        let before = received();
        assert_eq!(browser.act(steps).await.status, 200);
        let bytes = received() - before - own;
        println!("{steps}: {bytes} bytes into Redis");
        assert!(bytes <= most, "{steps}: {bytes} bytes");
    }
}
