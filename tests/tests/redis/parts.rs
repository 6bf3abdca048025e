//! A struct that has a few fields of a large session gets these few out of Redis, and nobody notices but Redis.

use std::collections::BTreeSet;

use actix_typed_session::{
    RedisStore, Session, SessionError, SessionHandle, SessionMiddleware, TypedSession,
};
use actix_typed_session_log_watch as _;
use actix_typed_session_tests::{
    Browser, Gate, serve,
    servers::{RedisServer, Server},
};
use actix_web::{App, FromRequest as _, HttpRequest, web};

/// The few.
#[derive(Session)]
struct Few {
    count: u64,
    #[session(merge = "union")]
    tags: BTreeSet<String>,
}

/// One of the few, under a name of its own.
#[derive(Session)]
struct Renamed {
    #[session(alias = "count")]
    number: u64,
}

/// The many: what makes the session large, and one field of the few.
#[derive(Session)]
struct Many {
    count: u64,
    text: String,
    other: u64,
}

fn seen(few: &Few, many: &Many) -> String {
    let tags: Vec<_> = few.tags.iter().map(String::as_str).collect();
    format!("{} {} / {} {} {}", few.count, tags.join(","), many.count, many.text.len(), many.other)
}

async fn begin(mut session: TypedSession<Many>) -> &'static str {
    session.set_text("x".repeat(8 * 1024));
    "begun"
}

async fn read(session: TypedSession<Few>) -> String {
    session.count.to_string()
}

async fn read_renamed(session: TypedSession<Renamed>) -> String {
    session.number.to_string()
}

async fn write(mut session: TypedSession<Few>) -> String {
    session.set_count(session.count + 1);
    session.count.to_string()
}

async fn both(mut few: TypedSession<Few>, mut many: TypedSession<Many>) -> String {
    few.set_count(few.count + 1);
    many.set_other(many.other + 1);
    seen(&few, &many)
}

/// Reads the few, waits, and then reads the many too.
async fn one_after_the_other(
    mut few: TypedSession<Few>,
    gate: web::Data<Gate>,
    request: HttpRequest,
) -> Result<String, SessionError> {
    few.tags_mut().insert("first".to_owned());
    gate.pass().await;
    let mut many = TypedSession::<Many>::extract(&request).await?;
    many.set_other(many.other + 10);
    let again = TypedSession::<Few>::extract(&request).await?;
    Ok(format!("{} {:?}", seen(&again, &many), many.status()))
}

async fn tag(mut few: TypedSession<Few>) -> String {
    few.tags_mut().insert("second".to_owned());
    few.set_count(100);
    "tagged".to_owned()
}

async fn destroy(mut session: SessionHandle) -> &'static str {
    session.destroy();
    "destroyed"
}

struct Site {
    redis: RedisServer,
    browser: Browser,
    gate: Gate,
}

impl Site {
    /// A site whose worker knows how large the sessions are.
    async fn start() -> Self {
        let redis = RedisServer::start(Server::Redis);
        let sessions = SessionMiddleware::new(RedisStore::new(&redis.url()).expect("a good URL"));
        let gate = Gate::default();
        let data = web::Data::new(gate.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .route("/begin", web::get().to(begin))
                .route("/read", web::get().to(read))
                .route("/renamed", web::get().to(read_renamed))
                .route("/write", web::get().to(write))
                .route("/both", web::get().to(both))
                .route("/after", web::get().to(one_after_the_other))
                .route("/tag", web::get().to(tag))
                .route("/destroy", web::get().to(destroy))
                .wrap(sessions.clone())
        };
        let mut site = Self { redis, browser: Browser::new(serve!(app(), workers: 1)), gate };
        assert_eq!(site.get("/begin").await, "begun");
        assert_eq!(site.get("/write").await, "1");
        site
    }

    async fn get(&mut self, path: &str) -> String {
        self.browser.get(path).await.body
    }

    fn stat(&self, name: &str) -> u64 {
        let number = self.redis.info("stats", name).expect("a number");
        number.parse().expect("a number")
    }

    /// How often Redis was asked for a whole session.
    fn whole_loads(&self) -> u64 {
        let line = self.redis.info("commandstats", "cmdstat_hgetall").unwrap_or_default();
        let calls = line.strip_prefix("calls=").and_then(|line| line.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number"))
    }
}

#[actix_web::test]
async fn one_field_of_a_large_session_moves_one_field() {
    let mut site = Site::start().await;
    let bytes =
        |site: &Site| (site.stat("total_net_input_bytes"), site.stat("total_net_output_bytes"));
    // What counting itself costs.
    let (first, second) = (bytes(&site), bytes(&site));
    let own = (second.0 - first.0, second.1 - first.1);
    for (path, most_in, most_out) in [("/read", 200, 200), ("/write", 350, 250)] {
        let before = bytes(&site);
        site.get(path).await;
        let after = bytes(&site);
        let (into, out) = (after.0 - before.0 - own.0, after.1 - before.1 - own.1);
        println!("{path}: {into} bytes into Redis, {out} out");
        assert!(into <= most_in && out <= most_out, "{path}: {into} in, {out} out");
    }
    assert_eq!(site.get("/read").await, "2");
}

#[actix_web::test]
async fn a_value_under_an_older_name_is_asked_for_too() {
    let mut site = Site::start().await;
    // The first time shows whether the session is large.
    assert_eq!(site.get("/renamed").await, "1");
    let before = site.whole_loads();
    for _ in 0..3 {
        assert_eq!(site.get("/renamed").await, "1");
    }
    assert_eq!(site.whole_loads(), before, "one field is enough");
}

#[actix_web::test]
async fn a_second_struct_costs_a_second_call_once() {
    let mut site = Site::start().await;
    let before = site.whole_loads();
    assert_eq!(site.get("/read").await, "1");
    assert_eq!(site.whole_loads(), before, "the few are enough");
    for n in 2..5 {
        assert_eq!(site.get("/both").await, format!("{n}  / {} 8192 {}", n - 1, n - 1));
        assert_eq!(site.whole_loads(), before + n - 1);
    }
    let line = site.redis.info("commandstats", "cmdstat_hmget").expect("scripts look with it too");
    assert_eq!(site.get("/read").await, "4");
    assert_eq!(site.redis.info("commandstats", "cmdstat_hmget"), Some(line), "and no part is read");
}

#[actix_web::test]
async fn what_is_read_later_is_laid_under_what_was_read_first() {
    let mut site = Site::start().await;
    let mut other = site.browser.clone();
    let mut first = site.browser.clone();
    let held = actix_web::rt::spawn(async move { first.get("/after").await.body });
    site.gate.arrival().await;
    assert_eq!(other.get("/tag").await.body, "tagged");
    site.gate.open();
    let body = held.await.expect("an answer");
    assert_eq!(body, "1 first / 1 8192 10 Loaded", "the count is what it was");
    // What both have changed is there, also in the field that is merged by its type's code.
    assert_eq!(site.get("/both").await, "101 first,second / 100 8192 11");
}

#[actix_web::test]
async fn a_session_destroyed_between_two_structs_stays_destroyed() {
    let site = Site::start().await;
    let mut other = site.browser.clone();
    let mut first = site.browser.clone();
    let held = actix_web::rt::spawn(async move { first.get("/after").await });
    site.gate.arrival().await;
    assert_eq!(other.get("/destroy").await.body, "destroyed");
    site.gate.open();
    let response = held.await.expect("an answer");
    assert_eq!(response.body, "0 first / 0 0 10 Gone");
    assert_eq!(response.set_cookie(), None);
    let mut late = site.browser.clone();
    assert_eq!(late.get("/read").await.body, "0", "nothing was revived");
}
