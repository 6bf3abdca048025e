//! How much memory a session takes in Redis, measured with 100 000 of them.
//!
//! `cargo run --release -p actix-typed-session-benches --bin redis_memory`

use std::{sync::Arc, time::Duration};

use actix_typed_session::{
    Clock as _, RedisStore, SessionId, SystemClock,
    store::{LoadOptions, Patch, Record, SessionStore as _, StoreKey},
};
use actix_typed_session_tests::servers::{RedisServer, Server};
use futures_util::{StreamExt as _, stream};
use serde_json::value::RawValue;

const SESSIONS: u64 = 100_000;

#[tokio::main]
async fn main() {
    println!("{SESSIONS} sessions each\n");
    println!("| session | fields | JSON, bytes | memory per session, bytes |");
    println!("| --- | --- | --- | --- |");
    for (name, fields, bytes) in [
        ("a counter", 1, 3),
        ("a user, a counter, a theme", 3, 8),
        ("ten small fields", 10, 12),
        ("ten fields of 100 bytes", 10, 100),
        ("50 fields of 160 bytes", 50, 160),
    ] {
        let used = measure(fields, bytes).await;
        println!("| {name} | {fields} | {} | {used} |", fields * bytes);
    }
}

/// The memory that Redis uses for each session with `fields` fields of `bytes` bytes.
async fn measure(fields: u64, bytes: u64) -> u64 {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let now = SystemClock.now();
    let mut patch = Patch::default();
    for n in 0..fields {
        let text = format!("\"{}\"", "x".repeat(usize::try_from(bytes - 2).expect("small")));
        let json: Arc<RawValue> = RawValue::from_string(text).expect("a JSON string").into();
        patch.set(format!("field{n}").into(), json);
    }
    let new = Record::new(now, now.saturating_add(Duration::from_secs(72_000)));
    let record = &patch.apply_to(&new).expect("a live record takes a patch");
    let used = || -> u64 {
        let used = redis.info("memory", "used_memory").expect("a number");
        used.parse().expect("a number")
    };
    store
        .load(&StoreKey::from(&SessionId::random()), &LoadOptions::default())
        .await
        .expect("the server answers");
    let before = used();
    let store = &store;
    stream::iter(0..SESSIONS)
        .for_each_concurrent(64, async |_| {
            let key = StoreKey::from(&SessionId::random());
            store.create(&key, record).await.expect("the server answers");
        })
        .await;
    (used() - before) / SESSIONS
}
