//! The conformance kit on the Redis store, with every server it works with.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, RedisStore, RedisStoreBuilder, StoreKey, SystemClock, Timestamp,
    conformance::{Damage, Harness, Reopen},
    store_conformance,
};
use actix_typed_session_tests::servers::{ClusterSetup, RedisServer, Server};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::sleep;

/// A server that all tests of a module share, each store under a prefix of its own.
struct Shared {
    place: &'static Place,
    stores: AtomicUsize,
}

enum Place {
    Server(RedisServer),
    Cluster(ClusterSetup),
}

/// The number of the next store of this process.
static STORES: AtomicUsize = AtomicUsize::new(0);

impl Shared {
    fn new(place: &'static Place) -> Self {
        Self { place, stores: AtomicUsize::new(0) }
    }

    fn builder(&self) -> RedisStoreBuilder {
        match self.place {
            Place::Server(server) => RedisStore::builder(&server.url()),
            Place::Cluster(cluster) => {
                RedisStore::cluster(cluster.urls().iter().map(String::as_str))
            }
        }
    }
}

impl Harness for Shared {
    type Store = RedisStore;

    async fn open(&self) -> RedisStore {
        let number = STORES.fetch_add(1, Ordering::SeqCst);
        self.stores.store(number, Ordering::SeqCst);
        self.builder().prefix(format!("{number}:")).build().expect("a good URL")
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn advance(&self, by: Duration) {
        sleep(by).await;
    }

    fn tick(&self) -> Duration {
        Duration::from_millis(300)
    }
}

impl Reopen for Shared {
    async fn reopen(&self, store: RedisStore) -> RedisStore {
        drop(store);
        let number = self.stores.load(Ordering::SeqCst);
        self.builder().prefix(format!("{number}:")).build().expect("a good URL")
    }
}

impl Damage for Shared {
    async fn damage(&self, _: &RedisStore, key: &StoreKey, bytes: &[u8]) {
        let Place::Server(server) = self.place else { panic!("damage one server at a time") };
        let number = self.stores.load(Ordering::SeqCst);
        let name = format!("{number}:{}", URL_SAFE_NO_PAD.encode(key.as_bytes()));
        let client = redis::Client::open(server.url()).expect("a good URL");
        let mut connection = client.get_connection().expect("the server listens");
        let there: bool =
            redis::cmd("EXISTS").arg(&name).query(&mut connection).expect("an answer");
        assert!(there, "the kit damages what is there");
        let (): () =
            redis::cmd("SET").arg(&name).arg(bytes).query(&mut connection).expect("an answer");
    }
}

macro_rules! on {
    ($module:ident, $place:expr $(, $capability:ident)*) => {
        mod $module {
            use super::*;

            fn place() -> &'static Place {
                static PLACE: OnceLock<Place> = OnceLock::new();
                PLACE.get_or_init(|| $place)
            }

            store_conformance!(Shared::new(place()) $(, $capability)*);
        }
    };
}

on!(redis_7, Place::Server(RedisServer::start(Server::Redis)), FindByIndex, Reopen, Damage);
on!(redis_6_2, Place::Server(RedisServer::start(Server::Redis62)), FindByIndex);
on!(valkey, Place::Server(RedisServer::start(Server::Valkey)), FindByIndex);
on!(redis_7_cluster, Place::Cluster(ClusterSetup::start(Server::Redis)), FindByIndex, Reopen);
on!(valkey_cluster, Place::Cluster(ClusterSetup::start(Server::Valkey)), FindByIndex);
