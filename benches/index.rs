//! What the user index costs in Redis: memory for each session, and how long it takes to list and
//! to end the sessions of a user among very many.
//!
//! `cargo run --release -p actix-typed-session-benches --bin index [sessions] [sessions of one
//! user]`; the defaults are 1 000 000 and 10 000.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, PublicId, RedisStore, Session, SessionId, Sessions, SystemClock,
    store::{Index, LoadOptions, Patch, Record, SessionStore as _, StoreKey},
};
use actix_typed_session_tests::servers::{RedisServer, Server};
use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;

#[derive(Session)]
struct Visitor {
    #[session(index)]
    user_id: Option<u64>,
    #[session(merge = "add")]
    views: u64,
    theme: String,
}

/// The user with many sessions; all others have one each.
const BUSY: u64 = 0;
/// How long sessions live, and how long the index keeps them.
const MAX_AGE: Duration = Duration::from_secs(72_000);
const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let mut number = |default| match arguments.next() {
        Some(argument) => argument.parse().expect("a number of sessions"),
        None => default,
    };
    let (all, busy) = (number(1_000_000), number(10_000));
    assert!(0 < busy && busy <= all, "one user has some of all sessions");
    println!("{all} sessions, {busy} of them one user's\n");
    println!("| memory per session | bytes |\n| --- | --- |");
    let plain = fill(all, busy, Indexed::No).await;
    println!("| without an index | {} |", plain.bytes);
    let indexed = fill(all, busy, Indexed::Yes).await;
    println!("| with one indexed field | {} |\n", indexed.bytes);
    println!(
        "stored at {:.0} and {:.0} sessions/s\n\n| | ms |\n| --- | --- |",
        plain.per_second, indexed.per_second
    );
    let sessions = Sessions::<Visitor>::new(indexed.store);
    let one = Visitor::by_user_id(&Some(1));
    let many = Visitor::by_user_id(&Some(BUSY));
    let count = async |by, limit| {
        sessions.list(by, None, limit).await.expect("the server answers").sessions.len() as u64
    };
    // The first call connects.
    assert_eq!(count(&one, 10).await, u64::from(all > busy));
    timed("list the sessions of a user with one", 100, async || count(&one, 10).await).await;
    timed("list a page of 10 of the user with many", 100, async || count(&many, 10).await).await;
    timed("list a page of 100", 100, async || count(&many, 100).await).await;
    let middle = sessions.list(&many, None, usize::try_from(busy.div_ceil(2)).expect("small"));
    let middle = middle.await.expect("the server answers");
    let id = middle.sessions.last().expect("there are some").public_id();
    timed("get the one in the middle", 100, async || {
        sessions.get(&many, id).await.expect("the server answers").map(|it| it.views)
    })
    .await;
    timed("list all", 1, async || count(&many, usize::try_from(busy).expect("small")).await).await;
    let ended = timed("end all", 1, async || {
        sessions.destroy_all(&many).await.expect("the server answers")
    });
    assert_eq!(ended.await, busy);
    assert_eq!(count(&many, 10).await, 0);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexed {
    Yes,
    No,
}

struct Filled {
    /// Stops with this.
    _redis: RedisServer,
    store: RedisStore,
    bytes: u64,
    per_second: f64,
}

/// A server with this number of sessions.
async fn fill(all: u64, busy: u64, is_indexed: Indexed) -> Filled {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let used = || -> u64 {
        redis.info("memory", "used_memory").and_then(|used| used.parse().ok()).expect("a number")
    };
    store
        .load(&StoreKey::from(&SessionId::random()), &LoadOptions::default())
        .await
        .expect("the server answers");
    let (before, start) = (used(), Instant::now());
    let to = &store;
    stream::iter(0..all)
        .for_each_concurrent(64, async |n| {
            let record = record(if n < busy { BUSY } else { n - busy + 1 }, is_indexed);
            let key = StoreKey::from(&SessionId::random());
            to.create(&key, &record).await.expect("the server answers");
        })
        .await;
    let per_second = all as f64 / start.elapsed().as_secs_f64();
    Filled { bytes: (used() - before) / all, per_second, store, _redis: redis }
}

fn record(user: u64, is_indexed: Indexed) -> Record {
    let now = SystemClock.now();
    let json =
        |text: String| -> Arc<RawValue> { RawValue::from_string(text).expect("JSON").into() };
    let mut patch = Patch::default();
    patch.set("user_id".into(), json(user.to_string()));
    patch.set("views".into(), json("17".to_owned()));
    patch.set("theme".into(), json("\"dark\"".to_owned()));
    if is_indexed == Indexed::Yes {
        let id = PublicId::new(now, KEPT);
        patch.index_field(Index::new(id, "user_id".into()));
    }
    let new = Record::new(now, now.saturating_add(MAX_AGE));
    patch.apply_to(&new).expect("a live record takes a patch")
}

/// Measures a call, as the mean of several, and returns the last answer.
async fn timed<T>(what: &str, times: u32, call: impl AsyncFn() -> T) -> T {
    let start = Instant::now();
    for _ in 1..times {
        call().await;
    }
    let answer = call().await;
    println!("| {what} | {:.2} |", start.elapsed().as_secs_f64() * 1_000.0 / f64::from(times));
    answer
}
