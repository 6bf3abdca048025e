//! A process that ends sessions on demand: `revoking_process REDIS_URL PREFIX`.
//!
//! For each number on its standard input it destroys the session of that number. Then it prints
//! when that was done, in microseconds since 1970.

use std::{
    env, io,
    time::{SystemTime, UNIX_EPOCH},
};

use actix_typed_session::{RedisStore, store::SessionStore as _};
use actix_typed_session_tests::process::key;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, url, prefix] = &arguments[..] else { panic!("revoking_process REDIS_URL PREFIX") };
    let store = RedisStore::builder(url).prefix(prefix).build().expect("a good URL");
    // Connects now, so that the first session does not wait for that.
    assert!(!store.destroy(&key(1_000_000)).await.expect("the server answers"));
    println!("ready");
    for line in io::stdin().lines() {
        let session = line.expect("a line").parse().expect("a number");
        assert!(store.destroy(&key(session)).await.expect("the server answers"));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        println!("{}", since.as_micros());
    }
}
