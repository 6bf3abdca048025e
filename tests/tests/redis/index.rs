//! The index in Redis: what it costs, how long it is kept, and how it recovers from a crash.

use std::time::{Duration, Instant};

use actix_typed_session::{
    Clock as _, PublicId, RedisStore, SessionId, SystemClock, Timestamp,
    store::{
        FindByIndex as _, Grace, Index, OldIdReads, Patch, Record, SessionStore, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    json::{json, set},
    servers::{RedisServer, Server},
    stores,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::Value;

const HOUR: Duration = Duration::from_secs(3600);

fn new_id() -> PublicId {
    PublicId::new(SystemClock.now(), HOUR * 24)
}

fn new_key() -> StoreKey {
    StoreKey::from(&SessionId::random())
}

fn patch(name: &'static str, text: &str, id: PublicId) -> Patch {
    let mut patch = set(&[(name, text)]);
    patch.index_field(Index::new(id, name.into()));
    patch
}

fn record() -> Record {
    let now = SystemClock.now();
    Record::new(now, now.saturating_add(HOUR))
}

fn grace() -> Grace {
    Grace::new(SystemClock.now().saturating_add(HOUR), OldIdReads::Nothing)
}

/// A new server, and a store with one session of user 7.
struct It {
    server: RedisServer,
    store: RedisStore,
    key: StoreKey,
    id: PublicId,
}

impl It {
    async fn start() -> Self {
        let server = RedisServer::start(Server::Redis);
        let store = RedisStore::new(&server.url()).expect("a good URL");
        let it = Self { server, store, key: new_key(), id: new_id() };
        it.create(&it.key, it.id).await;
        it
    }

    async fn create(&self, key: &StoreKey, id: PublicId) {
        let record = patch("user", "7", id).apply_to(&record()).expect("a live record");
        self.store.create(key, &record).await.expect("the server answers");
    }

    async fn found(&self) -> Vec<StoreKey> {
        let found = self.store.find("user", &json("7"), None, 100).await;
        found.expect("the server answers").sessions.into_iter().map(|(key, _)| key).collect()
    }

    /// The only set there is.
    fn set(&self) -> String {
        match self.server.command(&["KEYS", "session:@*"]) {
            Value::Array(names) => match &names[..] {
                [Value::BulkString(name)] => String::from_utf8(name.clone()).expect("a name"),
                other => panic!("one set: {other:?}"),
            },
            other => panic!("an array: {other:?}"),
        }
    }

    fn number(&self, command: &[&str]) -> i64 {
        match self.server.command(command) {
            Value::Int(number) => number,
            other => panic!("a number: {other:?}"),
        }
    }

    /// Puts a member into the set as if that had happened `age` seconds ago.
    fn plant(&self, id: PublicId, key: &StoreKey, age: u64) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let since = SystemClock.now().as_unix_ms() / 1_000 - age;
        let since = u32::try_from(since).expect("this century").to_be_bytes();
        let name = URL_SAFE_NO_PAD.encode(key.as_bytes());
        let member = hex(&id.to_bytes()) + &hex(name.as_bytes()) + &hex(&since);
        let script = "local member = string.gsub(ARGV[1], '..', function(byte) \
                      return string.char(tonumber(byte, 16)) end) \
                      return redis.call('ZADD', KEYS[1], 0, member)";
        assert_eq!(self.number(&["EVAL", script, "1", &self.set(), &member]), 1, "it is new");
    }

    fn members(&self) -> i64 {
        self.number(&["ZCARD", &self.set()])
    }
}

#[tokio::test]
async fn each_change_of_an_indexed_session_is_one_round_trip_and_a_page_is_two() {
    let it = It::start().await;
    let (mut key, mut scripts) = (it.key, 0);
    let mut once = |what: &str| {
        let now = it.server.calls("evalsha") + it.server.calls("eval");
        let spent = now - std::mem::replace(&mut scripts, now);
        assert_eq!(spent, 1, "{what}");
    };
    // The server refuses the hash of a new script once; then the store sends the text.
    for round in 0..2 {
        let mut step = |what| {
            if round == 1 {
                once(what)
            }
        };
        if round == 1 {
            it.server.command(&["CONFIG", "RESETSTAT"]);
        }
        it.create(&new_key(), new_id()).await;
        step("create");
        it.store.update(&key, &patch("user", "7", it.id)).await.expect("the server answers");
        step("update");
        let new = new_key();
        it.store.rotate(&key, &new, &Patch::default(), grace()).await.expect("an answer");
        key = new;
        step("rotate");
        let found = it.found().await.len();
        step("find");
        assert_eq!(it.server.calls("hgetall") as usize, if round == 1 { found } else { 2 });
    }
}

#[tokio::test]
async fn an_update_of_another_field_and_a_touch_do_not_touch_the_index() {
    let it = It::start().await;
    it.server.command(&["CONFIG", "RESETSTAT"]);
    let other = set(&[("views", "1")]);
    for _ in 0..10 {
        it.store.update(&it.key, &other).await.expect("the server answers");
        let later = SystemClock.now().saturating_add(HOUR * 2);
        assert!(it.store.touch(&it.key, later).await.expect("the server answers"));
    }
    for command in ["zadd", "zremrangebylex", "zrange"] {
        assert_eq!(it.server.calls(command), 0, "{command}");
    }
    assert_eq!(it.found().await, [it.key]);
}

#[tokio::test]
async fn the_index_is_kept_as_long_as_its_sessions_can_live_and_is_compact() {
    let it = It::start().await;
    let until = |id: PublicId| i64::try_from(id.until().as_unix_ms()).expect("this century");
    assert_eq!(it.number(&["PEXPIRETIME", &it.set()]), until(it.id));
    let longer = PublicId::new(SystemClock.now(), HOUR * 50);
    it.create(&new_key(), longer).await;
    it.create(&new_key(), new_id()).await;
    assert_eq!(it.number(&["PEXPIRETIME", &it.set()]), until(longer), "that of the last to end");
    let never = PublicId::new(SystemClock.now(), Duration::MAX);
    it.create(&new_key(), never).await;
    it.create(&new_key(), new_id()).await;
    assert_eq!(it.number(&["PEXPIRETIME", &it.set()]), until(never), "one may live for ever");
    let encoding = it.server.command(&["OBJECT", "ENCODING", &it.set()]);
    assert_eq!(encoding, Value::BulkString(b"listpack".to_vec()));
}

#[tokio::test]
async fn nothing_is_left_of_sessions_that_were_changed_renewed_and_ended() {
    let it = It::start().await;
    it.store.update(&it.key, &patch("user", "8", it.id)).await.expect("the server answers");
    assert_eq!(it.members(), 1, "the set of the old value is gone");
    it.store.update(&it.key, &patch("user", "7", it.id)).await.expect("the server answers");
    let new = new_key();
    it.store.rotate(&it.key, &new, &Patch::default(), grace()).await.expect("the server answers");
    assert_eq!(it.members(), 1, "the old key is not in the set");
    it.store.destroy(&new).await.expect("the server answers");
    it.store.destroy(&it.key).await.expect("the server answers");
    assert_eq!(it.number(&["DBSIZE"]), 0);
}

#[tokio::test]
async fn a_member_without_a_session_finds_nothing_and_goes_once_nobody_can_be_about_to_store_it() {
    let it = It::start().await;
    it.plant(new_id(), &new_key(), 1);
    assert_eq!(it.found().await, [it.key]);
    assert_eq!(it.members(), 2, "somebody may be about to store the session");
    it.plant(new_id(), &new_key(), 100);
    assert_eq!(it.found().await, [it.key]);
    assert_eq!(it.members(), 2);
    // A member whose session has another value.
    let other = new_key();
    let record = patch("user", "8", new_id()).apply_to(&record()).expect("a live record");
    it.store.create(&other, &record).await.expect("the server answers");
    it.store.update(&other, &patch("user", "7", new_id())).await.expect("the server answers");
    it.store.destroy(&other).await.expect("the server answers");
    assert_eq!(it.found().await, [it.key]);
}

#[tokio::test]
async fn members_whose_time_is_over_go_with_the_next_read_or_write() {
    let it = It::start().await;
    let past = PublicId::new(Timestamp::from_unix_ms(1), HOUR * 24);
    it.plant(past, &new_key(), 0);
    assert_eq!(it.members(), 2);
    it.found().await;
    assert_eq!(it.members(), 1);
    it.plant(past, &new_key(), 0);
    it.create(&new_key(), new_id()).await;
    assert_eq!(it.members(), 2);
}

#[tokio::test]
async fn members_whose_time_is_over_stay_few_behind_one_that_never_ends() {
    let it = It::start().await;
    it.plant(PublicId::new(Timestamp::default(), Duration::MAX), &new_key(), 1);
    for n in 1..=200 {
        it.plant(PublicId::new(Timestamp::from_unix_ms(n), HOUR * 24), &new_key(), 1);
        let login = patch("user", "7", it.id);
        it.store.update(&it.key, &login).await.expect("the server answers");
    }
    assert!(it.members() < 60, "{} members", it.members());
}

#[tokio::test]
async fn a_session_that_outlives_what_its_index_expects_is_still_found() {
    let it = It::start().await;
    let (key, id) = (new_key(), PublicId::new(Timestamp::from_unix_ms(1), HOUR * 24));
    // Its index entry is there, as before its time was over.
    let record = patch("user", "7", id).apply_to(&record()).expect("a live record");
    it.store.create(&key, &record).await.expect("the server answers");
    it.plant(id, &key, 100);
    assert_eq!(it.found().await, [key, it.key]);
    assert_eq!(it.members(), 2, "a read removes it only if the session is gone");
}

#[tokio::test]
async fn a_session_under_a_wrong_public_id_is_found_under_its_own_and_once() {
    let it = It::start().await;
    // As after two requests in a cluster that index a session for the first time at once.
    for age in [1, 100] {
        for wrong in [new_id(), PublicId::new(SystemClock.now(), Duration::MAX)] {
            it.plant(wrong, &it.key, age);
            assert_eq!(it.found().await, [it.key]);
        }
    }
    // The right one is missing.
    let set = it.set();
    let script = "local all = redis.call('ZRANGE', KEYS[1], 0, -1) \
                  for _, it in ipairs(all) do redis.call('ZREM', KEYS[1], it) end \
                  redis.call('ZADD', KEYS[1], 0, 'zzzzzz')";
    it.plant(new_id(), &it.key, 1);
    let own: String = it.id.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let forget = "local own = string.gsub(ARGV[1], '..', function(byte) \
                  return string.char(tonumber(byte, 16)) end) \
                  return redis.call('ZREMRANGEBYLEX', KEYS[1], '[' .. own, '[' .. own .. '\\255')";
    assert_eq!(it.number(&["EVAL", forget, "1", &set, &own]), 1);
    assert_eq!(it.found().await, [it.key], "it is put there again");
    // A member that does not parse is an error. Without it the list would be incomplete.
    it.server.command(&["EVAL", script, "1", &set]);
    assert!(it.store.find("user", &json("7"), None, 100).await.is_err());
}

#[tokio::test]
async fn requests_that_index_a_session_for_the_first_time_at_once_both_count() {
    for store in [stores::redis(), stores::redis_cluster()] {
        for _ in 0..30 {
            let key = new_key();
            store.create(&key, &record()).await.expect("the server answers");
            let (user, team) = (patch("user", "7", new_id()), patch("team", "1", new_id()));
            let (user, team) = tokio::join!(store.update(&key, &user), store.update(&key, &team));
            for updated in [user, team] {
                assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
            }
            for (name, text) in [("user", "7"), ("team", "1")] {
                let found = store.find(name, &json(text), None, 10).await;
                let found = found.expect("the server answers").sessions;
                assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "{name}");
            }
            store.destroy(&key).await.expect("the server answers");
        }
    }
}

#[tokio::test]
async fn a_cluster_forgets_the_entries_of_sessions_that_were_renewed_and_ended() {
    let store = stores::redis_cluster();
    let mut key = new_key();
    let record = patch("user", "7", new_id()).apply_to(&record()).expect("a live record");
    store.create(&key, &record).await.expect("the server answers");
    // Far more entries than the store looks at, if the old ones stayed.
    for _ in 0..200 {
        let new = new_key();
        store.rotate(&key, &new, &Patch::default(), grace()).await.expect("the server answers");
        key = new;
    }
    let found = store.find("user", &json("7"), None, 10).await.expect("the server answers");
    assert_eq!(found.sessions.len(), 1);
    assert!(store.destroy(&key).await.expect("the server answers"));
    let found = store.find("user", &json("7"), None, 10).await.expect("the server answers");
    assert!(found.sessions.is_empty() && found.next.is_none());
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_the_guide_says() {
    let it = It::start().await;
    it.plant(new_id(), &new_key(), 100);
    let guide = include_str!("../../../session/src/guide/redis.md");
    let lines: Vec<_> = guide.lines().filter(|line| line.starts_with("ACL SETUSER ")).collect();
    assert_eq!(lines.len(), 2, "one for sessions, one for the index: {lines:?}");
    for line in lines {
        let command: Vec<_> = line.split(' ').collect();
        assert_eq!(it.server.command(&command), Value::Okay);
    }
    let store = RedisStore::builder(&it.server.url()).credentials("sessions", "secret").build();
    let store = store.expect("good settings");
    let found = store.find("user", &json("7"), None, 10).await.expect("it may");
    assert_eq!(found.sessions.len(), 1, "and it may take out what leads nowhere");
    store.update(&it.key, &patch("user", "8", it.id)).await.expect("it may");
    let new = new_key();
    store.rotate(&it.key, &new, &Patch::default(), grace()).await.expect("it may");
    assert!(store.destroy(&new).await.expect("it may"));
    assert_eq!(store.exclusively(&json("7"), async { 1 }).await.expect("it may"), 1);
}

#[tokio::test]
async fn a_lock_waits_for_another_process_and_is_free_after_that_one_crashed() {
    let it = It::start().await;
    it.store.exclusively(&json("7"), async {}).await.expect("the server answers");
    assert_eq!(it.number(&["DBSIZE"]), 2, "the lock is released: a session and its set are left");
    // Another process that crashes 200 ms before its time is over.
    let server = it.server.url();
    let name = it.store.exclusively(&json("7"), async move { lock_of(&server) }).await;
    let name = name.expect("the server answers");
    assert_eq!(it.number(&["HSET", &name, "owner", "another"]), 1);
    assert_eq!(it.number(&["PEXPIRE", &name, "200"]), 1);
    let begun = Instant::now();
    it.store.exclusively(&json("7"), async {}).await.expect("the server answers");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert_eq!(it.number(&["DBSIZE"]), 2, "it is released again");
}

/// The key of the lock that is held now.
fn lock_of(url: &str) -> String {
    let client = redis::Client::open(url).expect("a good URL");
    let mut connection = client.get_connection().expect("the server runs");
    let names: Vec<String> =
        redis::cmd("KEYS").arg("session:@lock:*").query(&mut connection).expect("an answer");
    assert_eq!(names.len(), 1, "one lock: {names:?}");
    names[0].clone()
}

#[tokio::test]
async fn an_action_that_takes_longer_than_its_lock_is_given_up() {
    let it = It::start().await;
    let begun = Instant::now();
    let value = json("7");
    let ended = it.store.exclusively(&value, std::future::pending::<()>()).await;
    assert!(ended.is_err());
    assert!(begun.elapsed() < Duration::from_secs(9), "before another process has the lock");
}
