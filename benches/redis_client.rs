//! What a reply costs the client: a load by this library's store, beside the same fields through
//! one connection of the `redis` crate, which returns them as a `Value` that is not decoded yet.
//!
//! `cargo run --release -p actix-typed-session-benches --all-features --bin redis_client`

use std::time::Duration;

use actix_typed_session::{
    RedisStore, SessionId,
    store::{LoadOptions, SessionStore as _, StoreKey},
};
use actix_typed_session_benches::{
    contestant::median, processor_time, rules::padding, site::record,
};
use actix_typed_session_tests::servers::{RedisServer, Server};
use futures_util::{StreamExt as _, stream};

const CALLERS: usize = 32;
const CALLS: usize = 40_000;
const ROUNDS: usize = 9;
/// The most fields that a load asks for.
const MOST: usize = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let redis = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&redis.url()).expect("a good URL");
    let key = StoreKey::from(&SessionId::random());
    store.create(&key, &record(MOST + 1)).await.expect("the server answers");
    let keys = redis.command(&["KEYS", "*"]);
    let [name]: [String; 1] = redis::from_redis_value(keys).expect("one key");
    let client = redis::Client::open(format!("{}?protocol=resp3", redis.url())).expect("a URL");
    let settings =
        redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(1)));
    let connection = client.get_multiplexed_async_connection_with_config(&settings).await;
    let connection = connection.expect("the server answers");

    println!("Microseconds of CPU time per call, medians of {ROUNDS} rounds, {CALLERS} callers\n");
    println!("| fields | the store, decoded | the `redis` crate, not decoded | ratio |");
    println!("| --- | --- | --- | --- |");
    for fields in [1, 2, 4, MOST] {
        let names: Vec<String> = padding(fields + 1).map(|(name, _)| name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let load = async || {
                let options = LoadOptions::default().with_fields(&names);
                let found = store.load(&key, &options).await.expect("the server answers");
                assert!(found.is_some());
            };
            ours.push(measure(load).await);
            let get = async || {
                let mut command = redis::cmd("HMGET");
                // What the store reads beside the fields.
                command.arg(&name).arg(&["@v", "@e", "@c", "@r", "@i"]).arg(&names);
                let mut connection = connection.clone();
                let found = connection.send_packed_command(&command).await;
                assert!(matches!(found, Ok(redis::Value::Array(_))));
            };
            theirs.push(measure(get).await);
        }
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
        let ratio = median(ratios.collect::<Vec<_>>());
        println!("| {fields} | {:.2} | {:.2} | {ratio:.2} |", median(ours), median(theirs));
    }
}

/// The CPU time of this process per call, in microseconds.
async fn measure(call: impl AsyncFn()) -> f64 {
    let before = processor_time();
    stream::iter(0..CALLS).for_each_concurrent(CALLERS, async |_| call().await).await;
    (processor_time() - before).as_secs_f64() * 1e6 / CALLS as f64
}
