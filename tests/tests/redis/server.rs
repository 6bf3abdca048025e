//! The Redis store beyond the laws: how it keeps sessions, and how it reaches servers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, RedisCredentials, RedisStore, RedisStoreBuilder, SessionId, StoreError,
    SystemClock,
    store::{
        CreateOutcome, ExpiryChange, Grace, LoadOptions, Number, OldIdReads, Patch, Record,
        SessionStore as _, StoreKey, UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    concurrency, error_chain,
    json::{self, set},
    servers::{ClusterSetup, MASTER_NAME, RedisServer, SentinelSetup, Server},
    stores,
    twemproxy::Twemproxy,
    wait::until,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::Value;
use tokio::time::sleep;

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn key() -> StoreKey {
    StoreKey::from(&SessionId::random())
}

pub(super) fn name(prefix: &str, key: &StoreKey) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(key.as_bytes()))
}

fn record() -> Record {
    json::record(SystemClock.now(), &[("a", "[]")])
}

fn grace() -> Grace {
    let until = SystemClock.now().saturating_add(Duration::from_secs(10));
    Grace::new(until, OldIdReads::Snapshot)
}

/// The store works: it has the session that was created.
async fn assert_works(store: &RedisStore) {
    let key = key();
    assert_eq!(store.create(&key, &record()).await.expect("it works"), CreateOutcome::Stored);
    store.update(&key, &set(&[("b", "1")])).await.expect("it works");
    let found =
        store.load(&key, &LoadOptions::default()).await.expect("it works").expect("it is there");
    assert_eq!(found.fields().len(), 2);
    assert!(store.destroy(&key).await.expect("it works"));
}

fn build(builder: RedisStoreBuilder) -> RedisStore {
    builder.build().expect("good settings")
}

#[actix_web::test]
async fn a_slow_request_that_has_extended_the_session_never_overwrites_the_new_cookie() {
    let each_time = Duration::from_millis(1);
    let site = concurrency::site(stores::redis())
        .settings(|it| it.cookie_persistent(true).touch_interval(each_time))
        .start();
    for renewal in ["renew", "name=x,renew", "regenerate,name=x", "destroy"] {
        let browser = site.visitor("name=ann").await;
        sleep(Duration::from_millis(25)).await;
        let slow = site.held(&browser, "gate").await;
        browser.clone().act(renewal).await;
        let response = site.release(slow).await;
        assert_eq!(response.set_cookie(), None, "{renewal}");
    }
}

#[tokio::test]
async fn a_session_is_a_hash_with_a_field_for_each_field_and_it_always_expires() {
    let redis = RedisServer::start(Server::Redis);
    let store = build(RedisStore::builder(&redis.url()).prefix("shop:"));
    let (old, new) = (key(), key());
    let old_name = name("shop:", &old);
    let ttl = |name: &str| match redis.command(&["PEXPIRETIME", name]) {
        Value::Int(at) => at,
        other => panic!("{other:?}"),
    };

    let created = record();
    store.create(&old, &created).await.expect("it works");
    assert_eq!(redis.command(&["HGET", &old_name, "a"]), Value::BulkString(b"[]".to_vec()));
    assert_eq!(redis.command(&["HLEN", &old_name]), Value::Int(4));
    assert_eq!(ttl(&old_name), created.expires_at().as_unix_ms() as i64);

    // No call leaves a key without expiry.
    let later = created.expires_at().saturating_add(HOUR);
    let mut anew = set(&[("@odd", "1")]);
    anew.reset(SystemClock.now());
    store.update(&old, &anew).await.expect("it works");
    assert_eq!(ttl(&old_name), created.expires_at().as_unix_ms() as i64);
    assert_eq!(redis.command(&["HGET", &old_name, "@@odd"]), Value::BulkString(b"1".to_vec()));
    store.touch(&old, later).await.expect("it works");
    assert_eq!(ttl(&old_name), later.as_unix_ms() as i64);
    let mut shorter = Patch::default();
    shorter.set_expiry(ExpiryChange::Set(created.expires_at()));
    store.update(&old, &shorter).await.expect("it works");
    assert_eq!(ttl(&old_name), created.expires_at().as_unix_ms() as i64);
    let grace = grace();
    store.rotate(&old, &new, &Patch::default(), grace).await.expect("it works");
    assert_eq!(ttl(&old_name), grace.until.as_unix_ms() as i64);
    assert_eq!(ttl(&name("shop:", &new)), created.expires_at().as_unix_ms() as i64);

    // A time that is too late for Redis becomes the last that it accepts.
    let endless = Record::new(SystemClock.now(), later.saturating_add(Duration::MAX));
    store.create(&key(), &endless).await.expect("it works");
    let keys = redis.command(&["KEYS", "shop:*"]);
    let keys: Vec<String> = redis::from_redis_value(keys).expect("names");
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|name| ttl(name) > 0), "{keys:?}");
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_told_them_again() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    assert_works(&store).await;
    redis.command(&["SCRIPT", "FLUSH"]);
    assert_works(&store).await;
}

#[tokio::test]
async fn stores_with_other_prefixes_and_databases_do_not_see_each_other() {
    let redis = RedisServer::start(Server::Redis);
    let one = build(RedisStore::builder(&redis.url()).prefix("one:"));
    let key = key();
    one.create(&key, &record()).await.expect("it works");
    for other in [
        RedisStore::builder(&redis.url()).prefix("two:"),
        RedisStore::builder(&redis.url()).prefix("one:").database(3),
        RedisStore::builder(&format!("{}/5", redis.url())).prefix("one:"),
    ] {
        let other = build(other);
        assert!(other.load(&key, &LoadOptions::default()).await.expect("it works").is_none());
        assert_works(&other).await;
        other.create(&key, &record()).await.expect("it works");
        assert!(other.destroy(&key).await.expect("it works"));
    }
    assert!(one.load(&key, &LoadOptions::default()).await.expect("it works").is_some());
    assert_eq!(redis.info("keyspace", "db3"), None, "nothing is left behind");
}

#[tokio::test]
async fn tls_is_checked_against_the_authority() {
    let (redis, authority) = RedisServer::start_tls(Server::Redis);
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rediss://{host}:{}", redis.port());
        let store = RedisStore::builder(&url).root_certificate(authority.clone());
        assert_works(&build(store)).await;
        // The authorities of the operating system did not sign it.
        let error = build(RedisStore::builder(&url)).load(&key(), &LoadOptions::default()).await;
        assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    }
    let (_, other_authority) = RedisServer::start_tls(Server::Redis);
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let store = build(RedisStore::builder(&url).root_certificate(other_authority));
    assert!(matches!(
        store.load(&key(), &LoadOptions::default()).await,
        Err(StoreError::Unavailable(_))
    ));
    let plain = RedisStore::new(&redis.url()).expect("a good URL");
    assert!(matches!(
        plain.load(&key(), &LoadOptions::default()).await,
        Err(StoreError::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    let (redis, authority, client) = RedisServer::start_mutual_tls(Server::Redis);
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let builder = || RedisStore::builder(&url).root_certificate(authority.clone());
    assert_works(&build(builder().client_certificate(&*client.certificate, &*client.key))).await;

    let without = build(builder()).load(&key(), &LoadOptions::default()).await;
    assert!(matches!(without, Err(StoreError::Unavailable(_))), "{without:?}");
    let (_, _, other) = RedisServer::start_mutual_tls(Server::Redis);
    let other_authority = build(builder().client_certificate(&*other.certificate, &*other.key));
    let refused = other_authority.load(&key(), &LoadOptions::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    for (certificate, key) in [
        (&*client.certificate, "no key"),
        ("no certificate", &*client.key),
        (&*client.certificate, &*other.key),
    ] {
        assert!(builder().client_certificate(certificate, key).build().is_err());
    }
}

#[tokio::test]
async fn a_socket_with_a_password_and_a_database_is_reached() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = folder.path().join("redis.sock").display().to_string();
    let redis = RedisServer::start_with(Server::Redis, &["--unixsocket", &path]);
    redis.command(&["CONFIG", "SET", "requirepass", "pass&word"]);
    let url = format!("redis+unix://{path}?db=3&pass=pass%26word");
    assert_works(&RedisStore::new(&url).expect("a good URL")).await;
    let without = RedisStore::new(&format!("redis+unix://{path}")).expect("a good URL");
    assert!(without.load(&key(), &LoadOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_local_cache_names_a_server_without_resp3_as_the_cause() {
    // As before Redis 6, which does not have the command.
    let redis = RedisServer::start_with(Server::Redis, &["--rename-command", "HELLO", ""]);
    let store = build(RedisStore::builder(&redis.url()).local_cache_bytes(1 << 20));
    let error = store.load(&key(), &LoadOptions::default()).await.map(drop).expect_err("no RESP3");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let said = error_chain(&error);
    assert!(said.contains("does not speak RESP3; a local cache needs Redis 6.2"), "{said}");
    assert!(said.contains("HELLO"), "{said}");
}

#[tokio::test]
async fn without_a_local_cache_a_server_without_resp3_is_enough() {
    let redis = RedisServer::start_with(Server::Redis, &["--rename-command", "HELLO", ""]);
    assert_works(&RedisStore::new(&format!("{}/1", redis.url())).expect("a good URL")).await;
    set_up_user(&redis, &[]);
    redis.command(&["ACL", "SETUSER", "default", ">general", "resetpass", ">general"]);
    for (user, password, works) in [
        ("sessions", "secret", true),
        ("sessions", "wrong", false),
        ("default", "general", true),
        ("default", "wrong", false),
    ] {
        let store = build(RedisStore::builder(&redis.url()).credentials(user, password));
        if works {
            assert_works(&store).await;
            continue;
        }
        let error = store.load(&key(), &LoadOptions::default()).await.expect_err("it is wrong");
        assert!(error_chain(&error).contains("WRONGPASS"), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_closes_connections_at_hello_is_enough() {
    let redis = RedisServer::start(Server::Redis);
    let proxy = Twemproxy::start(&redis);
    let store = RedisStore::new(&proxy.url()).expect("a good URL");
    assert_works(&store).await;
    let (old, new) = (key(), key());
    store.create(&old, &record()).await.expect("it works");
    assert!(store.touch(&old, SystemClock.now().saturating_add(HOUR * 2)).await.expect("it works"));
    store.rotate(&old, &new, &set(&[("a", "2")]), grace()).await.expect("it works");
    assert!(store.destroy(&new).await.expect("it works"));
}

/// Sets up the user `sessions` with the permissions that the guide names, and these.
fn set_up_user(redis: &RedisServer, more: &[&str]) {
    let permissions = include_str!("../../../session/src/guide/redis.md")
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER sessions on >secret "))
        .expect("the guide has a line that sets up the user");
    let mut command = vec!["ACL", "SETUSER", "sessions", "on", ">secret"];
    command.extend(permissions.split(' '));
    command.extend(more);
    assert_eq!(redis.command(&command), Value::Okay);
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_the_guide_says() {
    let redis = RedisServer::start(Server::Redis);
    set_up_user(&redis, &[]);
    redis.command(&["ACL", "SETUSER", "default", "off"]);

    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    let store = RedisStore::new(&url).expect("a good URL");
    assert_works(&store).await;
    let (old, new) = (key(), key());
    store.create(&old, &record()).await.expect("it may");
    let mut patch = set(&[("a", "1")]);
    patch.add("n".into(), Number::Int(0), Number::Int(1));
    patch.remove("a".into());
    store.update(&old, &patch).await.expect("it may");
    store.touch(&old, SystemClock.now().saturating_add(HOUR * 2)).await.expect("it may");
    store.rotate(&old, &new, &set(&[("a", "2")]), grace()).await.expect("it may");
    assert!(store.destroy(&old).await.expect("it may"));
    assert_works(&build(RedisStore::builder(&redis.url()).credentials("sessions", "secret"))).await;
    assert_works(&RedisStore::new(&format!("{url}/1")).expect("a good URL")).await;

    // The user must not reach other keys.
    let other = build(RedisStore::builder(&url).prefix("other:"));
    assert!(matches!(other.create(&key(), &record()).await, Err(StoreError::Internal(_))));
    let wrong = build(RedisStore::builder(&redis.url()).credentials("sessions", "wrong"));
    assert!(matches!(
        wrong.load(&key(), &LoadOptions::default()).await,
        Err(StoreError::Unavailable(_))
    ));
}

/// A user `sessions` with this password, and no other one.
fn set_password(redis: &RedisServer, password: &str) {
    let password = format!(">{password}");
    let user = ["ACL", "SETUSER", "sessions", "on", "resetpass", &password, "~session:*", "+@all"];
    assert_eq!(redis.command(&user), Value::Okay);
}

/// A store that signs in with the password of the moment, and how often it has asked for it.
fn with_provider(
    builder: RedisStoreBuilder,
    password: &Arc<Mutex<Result<&'static str, &'static str>>>,
    valid_for: Option<Duration>,
) -> (RedisStore, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, password) = (Arc::clone(&calls), Arc::clone(password));
    let store = build(builder.credentials_provider(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let password = *password.lock().expect("no thread panics with it");
        async move {
            let credentials = RedisCredentials::new("sessions", password?);
            Ok(match valid_for {
                Some(time) => credentials.valid_for(time),
                None => credentials,
            })
        }
    }));
    (store, calls)
}

#[tokio::test]
async fn each_connection_signs_in_with_the_password_of_its_moment() {
    let redis = RedisServer::start(Server::Redis);
    set_password(&redis, "first");
    let password = Arc::new(Mutex::new(Ok("first")));
    let (store, calls) = with_provider(RedisStore::builder(&redis.url()), &password, None);
    assert_works(&store).await;
    assert_works(&store).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "once for the connection");

    set_password(&redis, "second");
    *password.lock().expect("no thread panics with it") = Ok("second");
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    // A write could meet the connection that is just being closed.
    assert!(store.load(&key(), &LoadOptions::default()).await.expect("it works").is_none());
    assert_works(&store).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_signs_in_again_before_its_credentials_end() {
    let redis = RedisServer::start(Server::Redis);
    set_password(&redis, "first");
    let password = Arc::new(Mutex::new(Ok("first")));
    let valid_for = Some(Duration::from_millis(400));
    let builder = RedisStore::builder(&redis.url());
    let (store, calls) = with_provider(builder, &password, valid_for);
    assert_works(&store).await;
    let connections = redis.info("stats", "total_connections_received");
    set_password(&redis, "second");
    *password.lock().expect("no thread panics with it") = Ok("second");
    until("it signs in twice more", || calls.load(Ordering::SeqCst) >= 3).await;

    // A connection that does not sign in again ends with its user, as in the clouds.
    *password.lock().expect("no thread panics with it") = Err("the token service is away");
    let failing = calls.load(Ordering::SeqCst);
    until("it tries again", || calls.load(Ordering::SeqCst) >= failing + 2).await;
    assert_works(&store).await;
    let later = redis.info("stats", "total_connections_received");
    let ours = |count: Option<String>| count.expect("a count").parse::<u64>().expect("a number");
    // `INFO` and `ACL` come over connections of their own.
    assert_eq!(ours(later) - ours(connections), 2, "it is still the same connection");

    drop(store);
    let stopped = calls.load(Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(calls.load(Ordering::SeqCst), stopped, "a store that is dropped asks no more");
}

#[tokio::test]
async fn a_provider_that_fails_or_hangs_costs_its_requests_and_no_later_ones() {
    let redis = RedisServer::start(Server::Redis);
    set_password(&redis, "secret");
    let password = Arc::new(Mutex::new(Err("the token service is away")));
    let (store, _) = with_provider(RedisStore::builder(&redis.url()), &password, None);
    let error = store.load(&key(), &LoadOptions::default()).await.expect_err("no credentials");
    assert!(matches!(error, StoreError::Unavailable(_)));
    let said = error_chain(&error);
    assert!(said.contains("credentials_provider") && said.contains("service is away"), "{said}");
    *password.lock().expect("no thread panics with it") = Ok("secret");
    assert_works(&store).await;

    let hanging = RedisStore::builder(&redis.url())
        .connect_timeout(Duration::from_millis(200))
        .credentials_provider(std::future::pending);
    let start = Instant::now();
    let error = build(hanging).load(&key(), &LoadOptions::default()).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_session_with_a_damaged_version_is_not_changed_in_part() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let key = key();
    store.create(&key, &json::record(SystemClock.now(), &[("n", "1")])).await.expect("it works");
    let name = name("session:", &key);
    redis.command(&["HSET", &name, "@v", "x"]);
    let mut addition = Patch::default();
    addition.add("n".into(), Number::Int(0), Number::Int(1));
    let mut mixture = set(&[("a", "2")]);
    mixture.add("n".into(), Number::Int(0), Number::Int(1));
    for patch in [addition, mixture] {
        assert!(store.update(&key, &patch).await.is_err(), "{patch:?}");
        let fields = redis.command(&["HMGET", &name, "n", "a", "@v"]);
        let fields: [Option<String>; 3] = redis::from_redis_value(fields).expect("texts");
        let fields = fields.each_ref().map(Option::as_deref);
        assert_eq!(fields, [Some("1"), None, Some("x")], "{patch:?}");
    }
}

#[tokio::test]
async fn errors_show_neither_keys_nor_passwords() {
    let redis = RedisServer::start(Server::Redis);
    redis.command(&["ACL", "SETUSER", "sessions", "on", ">secret", "~other:*", "+@all"]);
    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    let forbidden = RedisStore::new(&url).expect("a good URL");
    let key = key();
    let mut errors = vec![
        forbidden.load(&key, &LoadOptions::default()).await.map(drop).expect_err("it is forbidden"),
    ];
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    redis.command(&["SET", &name("session:", &key), "no hash"]);
    errors.push(
        store.load(&key, &LoadOptions::default()).await.map(drop).expect_err("it is no hash"),
    );
    errors
        .push(store.update(&key, &set(&[("a", "1")])).await.map(drop).expect_err("it is no hash"));
    let wrong = build(RedisStore::builder(&redis.url()).credentials("sessions", "wrong-secret"));
    errors.push(
        wrong
            .load(&key, &LoadOptions::default())
            .await
            .map(drop)
            .expect_err("the password is wrong"),
    );
    for error in &errors {
        let shown = format!("{error:?} {error}");
        let key_text = name("", &key);
        for secret in [key_text.as_str(), "secret", &key.to_hex()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(matches!(errors[1], StoreError::Damaged(_)));
    assert!(matches!(errors[2], StoreError::Damaged(_)));
    for url in ["redis://:secret@", "http://secret@host", "secret"] {
        let error = RedisStore::new(url).map(drop).expect_err("no Redis URL");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    assert!(RedisStore::cluster([]).build().is_err(), "there must be a URL");
}

#[tokio::test]
async fn half_a_hash_is_damaged_and_a_later_format_is_not() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    for (field, value, damaged) in [
        ("a", "[1", true),
        ("@c", "yesterday", true),
        ("@c", "1 m-1", true),
        ("@c", "1 z of a later release", false),
        ("@r", "nobody", true),
        ("@z", "of a later release", false),
    ] {
        let key = key();
        store.create(&key, &record()).await.expect("it works");
        redis.command(&["HSET", &name("session:", &key), field, value]);
        match store.load(&key, &LoadOptions::default()).await {
            Err(StoreError::Damaged(_)) => assert!(damaged, "{field}"),
            Err(StoreError::Unavailable(_)) => assert!(!damaged, "{field}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    let key = key();
    store.create(&key, &record()).await.expect("it works");
    redis.command(&["HDEL", &name("session:", &key), "@v"]);
    assert!(matches!(store.load(&key, &LoadOptions::default()).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn sentinel_names_the_master_and_after_a_failover_the_new_one() {
    let mut setup = SentinelSetup::start();
    let urls = setup.urls();
    let store = RedisStore::sentinel(urls.iter().map(String::as_str), MASTER_NAME);
    let store = build(store);
    let key = key();
    store.create(&key, &record()).await.expect("it works");
    let master = setup.servers[0].port();
    assert!(setup.servers[0].info("keyspace", "db0").is_some());
    // One sentinel that hangs does not stop the store.
    setup.sentinels[0].pause();
    assert_works(&build(RedisStore::sentinel(urls.iter().map(String::as_str), MASTER_NAME))).await;
    setup.sentinels[0].resume();

    setup.servers[0].kill();
    assert!(matches!(
        store.load(&key, &LoadOptions::default()).await,
        Err(StoreError::Unavailable(_))
    ));
    let start = Instant::now();
    setup.wait_for_other_master(master);
    let agreed = start.elapsed();
    let mut found = store.load(&key, &LoadOptions::default()).await;
    while found.is_err() && start.elapsed() < agreed + Duration::from_secs(5) {
        sleep(Duration::from_millis(50)).await;
        found = store.load(&key, &LoadOptions::default()).await;
    }
    assert!(found.expect("the new master answers").is_some(), "and the replica had the session");
    assert_works(&store).await;
    let wrong = build(RedisStore::sentinel(urls.iter().map(String::as_str), "nobody"));
    assert!(matches!(
        wrong.load(&key, &LoadOptions::default()).await,
        Err(StoreError::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let [old, new] = [(); 2].map(|()| RedisServer::start(Server::Redis));
    let store = RedisStore::new(&old.url()).expect("a good URL");
    assert_works(&store).await;
    old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    let error = store.create(&key(), &record()).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "not our fault: {error:?}");
    old.command(&["REPLICAOF", "NO", "ONE"]);
    assert_works(&store).await;
}

fn node_of(cluster: &ClusterSetup, key: &StoreKey) -> usize {
    let name = name("session:", key);
    let found = |node: &RedisServer| node.command(&["EXISTS", &name]) == Value::Int(1);
    let try_found = |node: &RedisServer| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| found(node))).unwrap_or(false)
    };
    let place = cluster.nodes.iter().position(try_found);
    place.expect("one of the nodes has it")
}

#[tokio::test]
async fn one_node_is_enough_to_find_the_cluster() {
    let cluster = ClusterSetup::start(Server::Redis);
    for url in cluster.urls() {
        let store = build(RedisStore::cluster([url.as_str()]));
        for _ in 0..20 {
            assert_works(&store).await;
        }
    }
    let gone = "redis://127.0.0.1:1";
    let urls = cluster.urls();
    assert_works(&build(RedisStore::cluster([gone, urls[1].as_str()]))).await;
}

#[tokio::test]
async fn a_slot_that_moves_to_another_node_is_followed() {
    let cluster = ClusterSetup::start(Server::Redis);
    assert_a_move_is_followed(&cluster, |builder| builder).await;
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_when_the_nodes_do_not_name_their_hosts() {
    let cluster = ClusterSetup::start(Server::Redis);
    for node in &cluster.nodes {
        let set = ["CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint"];
        assert_eq!(node.command(&set), Value::Okay);
    }
    assert_a_move_is_followed(&cluster, |builder| builder).await;
}

#[tokio::test]
async fn an_acl_user_with_what_the_guide_says_follows_a_slot_that_moves() {
    let cluster = ClusterSetup::start(Server::Redis);
    for node in &cluster.nodes {
        set_up_user(node, &["+cluster|slots"]);
    }
    let user = |builder: RedisStoreBuilder| builder.credentials("sessions", "secret");
    assert_a_move_is_followed(&cluster, user).await;
}

#[tokio::test]
async fn an_acl_user_with_what_the_guide_says_works_behind_sentinel() {
    let mut setup = SentinelSetup::start();
    for server in &setup.servers {
        set_up_user(server, &["+role"]);
    }
    let urls = setup.urls();
    let store = RedisStore::sentinel(urls.iter().map(String::as_str), MASTER_NAME);
    let store = build(store.credentials("sessions", "secret"));
    let (old, new) = (key(), key());
    store.create(&old, &record()).await.expect("it may");
    store.rotate(&old, &new, &set(&[("a", "2")]), grace()).await.expect("it may");
    assert_works(&store).await;

    let master = setup.servers[0].port();
    setup.servers[0].kill();
    setup.wait_for_other_master(master);
    let start = Instant::now();
    let mut found = store.load(&new, &LoadOptions::default()).await;
    while found.is_err() && start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(50)).await;
        found = store.load(&new, &LoadOptions::default()).await;
    }
    assert!(found.expect("the new master answers").is_some(), "and the replica had the session");
    assert_works(&store).await;
}

async fn assert_a_move_is_followed(
    cluster: &ClusterSetup,
    settings: impl Fn(RedisStoreBuilder) -> RedisStoreBuilder,
) {
    let urls = cluster.urls();
    let store = build(settings(RedisStore::cluster(urls.iter().map(String::as_str))));
    let key = key();
    store.create(&key, &record()).await.expect("it works");
    let from = node_of(cluster, &key);
    let to = (from + 1) % 3;
    let name = name("session:", &key);
    let Value::Int(slot) = cluster.nodes[from].command(&["CLUSTER", "KEYSLOT", &name]) else {
        panic!("a slot is a number");
    };
    let slot = slot.to_string();
    let id = |node: usize| -> String {
        let id = cluster.nodes[node].command(&["CLUSTER", "MYID"]);
        redis::from_redis_value(id).expect("a text")
    };
    let (from_id, to_id) = (id(from), id(to));
    cluster.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    cluster.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = cluster.nodes[to].port().to_string();
    cluster.nodes[from].command(&["MIGRATE", "127.0.0.1", &port, &name, "0", "2000"]);
    // The session has moved and its slot has not: the old node answers ASK.
    for _ in 0..3 {
        let updated = store.update(&key, &set(&[("b", "1")])).await.expect("it is asked for");
        assert!(matches!(updated, UpdateOutcome::Applied { .. }));
    }
    for node in [to, from] {
        cluster.nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    // Now the old node answers MOVED.
    for _ in 0..3 {
        assert!(store.load(&key, &LoadOptions::default()).await.expect("it is followed").is_some());
    }
    assert!(store.destroy(&key).await.expect("it works"));
}

#[tokio::test]
async fn a_renewal_that_is_cut_in_two_loses_nothing_and_revives_nothing() {
    let mut cluster = ClusterSetup::start_persistent(Server::Redis);
    let urls = cluster.urls();
    let limits = Duration::from_millis(700);
    let store = RedisStore::cluster(urls.iter().map(String::as_str));
    let store = build(store.connect_timeout(limits).response_timeout(limits));
    let (old, new) = loop {
        let (old, new) = (key(), key());
        for key in [&old, &new] {
            store.create(key, &record()).await.expect("it works");
        }
        let places = (node_of(&cluster, &old), node_of(&cluster, &new));
        store.destroy(&new).await.expect("it works");
        if places.0 != places.1 {
            break (old, new);
        }
    };
    let place = node_of(&cluster, &old);
    let mut patch = set(&[("b", "2")]);
    patch.set_snapshot(
        store.load(&old, &LoadOptions::default()).await.expect("it works").expect("it is there"),
    );

    // The new record is stored, and the node of the old one is gone.
    cluster.nodes[place].kill();
    let rotated = store.rotate(&old, &new, &patch, grace()).await;
    assert!(matches!(rotated, Err(StoreError::Unavailable(_))), "{rotated:?}");
    cluster.nodes[place].restart();
    cluster.wait_until_whole();

    let found = store
        .load(&old, &LoadOptions::default())
        .await
        .expect("it works")
        .expect("nothing is lost");
    assert!(!found.is_retired() && found.field("b").is_none(), "the session is as it was");
    assert!(
        store.load(&new, &LoadOptions::default()).await.expect("it works").is_none(),
        "the new id leads nowhere"
    );
    let rotated = store.rotate(&old, &new, &patch, grace()).await.expect("it works");
    assert!(matches!(rotated, UpdateOutcome::Applied { .. }));
    assert!(store.destroy(&old).await.expect("it works"));
    assert!(
        store.load(&new, &LoadOptions::default()).await.expect("it works").is_none(),
        "nothing is revived"
    );
}

#[tokio::test]
async fn a_cluster_without_one_node_serves_the_sessions_of_the_others() {
    let mut cluster = ClusterSetup::start(Server::Redis);
    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let urls = cluster.urls();
    let store = build(RedisStore::cluster(urls.iter().map(String::as_str)));
    let mut keys: [Vec<StoreKey>; 3] = Default::default();
    for _ in 0..30 {
        let key = key();
        store.create(&key, &record()).await.expect("it works");
        keys[node_of(&cluster, &key)].push(key);
    }
    cluster.nodes[1].kill();
    let start = Instant::now();
    for key in &keys[1] {
        let found = store.load(key, &LoadOptions::default()).await;
        assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    }
    let each = start.elapsed() / u32::try_from(keys[1].len()).expect("few").max(1);
    assert!(each < Duration::from_millis(2_500), "{each:?}");
    for key in keys[0].iter().chain(&keys[2]) {
        assert!(
            store.load(key, &LoadOptions::default()).await.expect("its node is there").is_some()
        );
    }
    cluster.nodes[1].restart();
    cluster.wait_until_whole();
    assert_works(&store).await;
}

#[test]
fn calls_are_small_because_each_is_moved_several_times() {
    let store = RedisStore::new("redis://127.0.0.1").expect("a good URL");
    for (call, bytes) in stores::sizes_of_calls(&store) {
        assert!(bytes <= 1_500, "{call}: {bytes} bytes");
    }
}
