#![allow(missing_docs)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_typed_session::{
    Clock as _, RedisStore, StoreKey, SystemClock, Timestamp,
    conformance::{Damage, Harness, Reopen},
    store_conformance,
};

static N: AtomicUsize = AtomicUsize::new(0);

pub struct H(bool);

impl Harness for H {
    type Store = RedisStore;
    async fn open(&self) -> RedisStore {
        let n = N.fetch_add(1, Ordering::SeqCst);
        let prefix = format!("t{}-{n}:", std::process::id());
        if self.0 {
            RedisStore::cluster(["redis://127.0.0.1:17101"]).prefix(prefix).build().expect("url")
        } else {
            RedisStore::builder("redis://127.0.0.1:17001").prefix(prefix).build().expect("url")
        }
    }
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await
    }
    fn tick(&self) -> Duration {
        Duration::from_millis(300)
    }
}

mod standalone {
    use super::*;
    store_conformance!(H(false));
}
mod cluster {
    use super::*;
    store_conformance!(H(true));
}
