//! A struct with a few fields of a large session loads only these from Redis.

use std::collections::BTreeSet;

use actix_typed_session::{
    RedisStore, Session, SessionError, SessionHandle, SessionMiddleware, TypedSession,
};
use actix_typed_session_tests::{
    Client, Gate, Site,
    servers::{RedisServer, Server},
};
use actix_web::{FromRequest as _, HttpRequest, web};

/// The few.
#[derive(Session)]
struct Few {
    count: u64,
    #[session(merge = "union")]
    tags: BTreeSet<String>,
}

/// One of the few, under another name.
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

/// A site on a Redis, and the client that visits it.
struct Visit {
    redis: RedisServer,
    site: Site<()>,
    browser: Client,
}

impl Visit {
    /// A site whose worker has seen how large the sessions are.
    async fn start() -> Self {
        let redis = RedisServer::start(Server::Redis);
        let store = RedisStore::new(&redis.url()).expect("a good URL");
        let site = Site::unwatched(SessionMiddleware::builder(store))
            .route("/begin", begin)
            .route("/read", read)
            .route("/renamed", read_renamed)
            .route("/write", write)
            .route("/both", both)
            .route("/after", one_after_the_other)
            .route("/tag", tag)
            .route("/destroy", destroy)
            .workers(1)
            .start();
        let mut visit = Self { redis, browser: site.client(), site };
        assert_eq!(visit.get("/begin").await, "begun");
        assert_eq!(visit.get("/write").await, "1");
        visit
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
        self.redis.calls("hgetall")
    }
}

#[actix_web::test]
async fn one_field_of_a_large_session_moves_one_field() {
    let mut visit = Visit::start().await;
    let bytes =
        |visit: &Visit| (visit.stat("total_net_input_bytes"), visit.stat("total_net_output_bytes"));
    // The bytes of the count itself.
    let (first, second) = (bytes(&visit), bytes(&visit));
    let own = (second.0 - first.0, second.1 - first.1);
    for (path, most_in, most_out) in [("/read", 200, 200), ("/write", 350, 250)] {
        let before = bytes(&visit);
        visit.get(path).await;
        let after = bytes(&visit);
        let (into, out) = (after.0 - before.0 - own.0, after.1 - before.1 - own.1);
        println!("{path}: {into} bytes into Redis, {out} out");
        assert!(into <= most_in && out <= most_out, "{path}: {into} in, {out} out");
    }
    assert_eq!(visit.get("/read").await, "2");
}

#[actix_web::test]
async fn a_value_under_an_older_name_is_asked_for_too() {
    let mut visit = Visit::start().await;
    // The first time shows whether the session is large.
    assert_eq!(visit.get("/renamed").await, "1");
    let before = visit.whole_loads();
    for _ in 0..3 {
        assert_eq!(visit.get("/renamed").await, "1");
    }
    assert_eq!(visit.whole_loads(), before, "one field is enough");
}

#[actix_web::test]
async fn a_second_struct_costs_a_second_call_once() {
    let mut visit = Visit::start().await;
    let before = visit.whole_loads();
    assert_eq!(visit.get("/read").await, "1");
    assert_eq!(visit.whole_loads(), before, "the few are enough");
    for n in 2..5 {
        assert_eq!(visit.get("/both").await, format!("{n}  / {n} 8192 {}", n - 1));
        assert_eq!(visit.whole_loads(), before + n - 1);
    }
    let line = visit.redis.info("commandstats", "cmdstat_hmget").expect("scripts look with it too");
    assert_eq!(visit.get("/read").await, "4");
    assert_eq!(
        visit.redis.info("commandstats", "cmdstat_hmget"),
        Some(line),
        "and no part is read"
    );
}

#[actix_web::test]
async fn what_is_read_later_is_laid_under_what_was_read_first() {
    let mut visit = Visit::start().await;
    let mut other = visit.browser.clone();
    let held = visit.site.held_at(&visit.browser, "/after").await;
    assert_eq!(other.get("/tag").await.body, "tagged");
    let body = visit.site.release(held).await.body;
    assert_eq!(body, "1 first / 1 8192 10 Loaded", "the count is what it was");
    // The changes of both are there, also in the field that a merge function merges.
    assert_eq!(visit.get("/both").await, "101 first,second / 101 8192 11");
}

#[actix_web::test]
async fn a_session_destroyed_between_two_structs_stays_destroyed() {
    let visit = Visit::start().await;
    let mut other = visit.browser.clone();
    let held = visit.site.held_at(&visit.browser, "/after").await;
    assert_eq!(other.get("/destroy").await.body, "destroyed");
    let response = visit.site.release(held).await;
    assert_eq!(response.body, "0 first / 0 0 10 Gone");
    assert_eq!(response.set_cookie(), None);
    let mut late = visit.browser.clone();
    assert_eq!(late.get("/read").await.body, "0", "nothing was revived");
}
