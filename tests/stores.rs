//! One store of each kind, on servers that all tests of a program share.

use std::{
    process,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_typed_session::{
    Durability, FakeClock, FileStore, FileStoreBuilder, MemoryStore, RedisStore, Timestamp,
    store::{Grace, LoadOptions, OldIdReads, Patch, Record, SessionStore, StoreKey},
};

use crate::{
    folder::lasting_folder,
    servers::{ClusterSetup, RedisServer, Server},
};

/// A prefix that no other test has.
pub fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}-{}-", process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// An empty store in memory, and its clock.
pub fn memory() -> (MemoryStore, FakeClock) {
    let clock = FakeClock::default();
    (MemoryStore::builder().clock(clock.clone()).build(), clock)
}

/// An empty file store.
pub fn files() -> FileStore {
    file_store().build().expect("a writable folder")
}

/// The same, and its clock.
pub fn files_and_clock() -> (FileStore, FakeClock) {
    let clock = FakeClock::default();
    (file_store().clock(clock.clone()).build().expect("a writable folder"), clock)
}

fn file_store() -> FileStoreBuilder {
    FileStore::builder(lasting_folder())
        // Tests do not cut the power.
        .durability(Durability::Process)
}

/// The URL of a Redis.
pub fn redis_url() -> String {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(|| RedisServer::start(Server::Redis)).url()
}

/// An empty store in a Redis.
pub fn redis() -> RedisStore {
    redis_with_prefix(&prefix())
}

/// A store in a Redis, of the sessions with this prefix.
pub fn redis_with_prefix(prefix: &str) -> RedisStore {
    RedisStore::builder(&redis_url()).prefix(prefix).build().expect("a good URL")
}

/// An empty store in a cluster.
pub fn redis_cluster() -> RedisStore {
    static CLUSTER: OnceLock<ClusterSetup> = OnceLock::new();
    let urls = CLUSTER.get_or_init(|| ClusterSetup::start(Server::Redis)).urls();
    let builder = RedisStore::cluster(urls.iter().map(String::as_str));
    builder.prefix(prefix()).build().expect("good URLs")
}

/// Makes a test of each claim, on each kind of store. A claim is an async function that takes a
/// [`Site<()>`](crate::Site). Time stands still, except on Redis; [`Site::pass`](crate::Site::pass)
/// lets it pass on all.
#[macro_export]
macro_rules! on_every_store {
    ($($claim:ident,)*) => {
        $crate::on_every_store!(settings = |builder| builder; $($claim,)*);
    };
    (settings = $settings:expr; $($claim:ident,)*) => {
        mod memory {
            use super::*;
            $crate::on!({
                let (store, clock) = $crate::stores::memory();
                $crate::concurrency::site(store).clock(clock).settings($settings).start()
            }; $($claim,)*);
        }

        mod file {
            use super::*;
            $crate::on!({
                let (store, clock) = $crate::stores::files_and_clock();
                $crate::concurrency::site(store).clock(clock).settings($settings).start()
            }; $($claim,)*);
        }

        mod redis {
            use super::*;
            $crate::on!({
                $crate::concurrency::site($crate::stores::redis()).settings($settings).start()
            }; $($claim,)*);
        }

        mod redis_cluster {
            use super::*;
            $crate::on!({
                $crate::concurrency::site($crate::stores::redis_cluster()).settings($settings).start()
            }; $($claim,)*);
        }
    };
}

/// A store with its clock, as [`with_every_store!`](crate::with_every_store) gives it to claims.
pub fn with_clock<S>((store, clock): (S, FakeClock)) -> (S, Option<FakeClock>) {
    (store, Some(clock))
}

/// Makes a test of each claim, on each kind of store. A claim is an async function that takes a
/// store and its clock. On Redis there is none, because time cannot stand still there.
#[macro_export]
macro_rules! with_every_store {
    ($($claim:ident,)*) => {
        mod memory {
            use super::*;
            $crate::with!($crate::stores::with_clock($crate::stores::memory()); $($claim,)*);
        }

        mod file {
            use super::*;
            $crate::with!($crate::stores::with_clock($crate::stores::files_and_clock()); $($claim,)*);
        }

        mod redis {
            use super::*;
            $crate::with!(($crate::stores::redis(), None); $($claim,)*);
        }

        mod redis_cluster {
            use super::*;
            $crate::with!(($crate::stores::redis_cluster(), None); $($claim,)*);
        }
    };
}

/// Makes a test of each claim, with one store and its clock.
#[macro_export]
macro_rules! with {
    ($store:expr; $($claim:ident,)*) => {
        $(
            #[::actix_web::test]
            async fn $claim() {
                let (store, clock) = $store;
                super::$claim(store, clock).await;
            }
        )*
    };
}

/// Makes a test of each claim, on one site.
#[macro_export]
macro_rules! on {
    ($site:expr; $($claim:ident,)*) => {
        $(
            #[::actix_web::test]
            async fn $claim() {
                super::$claim($site).await;
            }
        )*
    };
}

/// The calls of a store, and the bytes that the future of each takes.
pub fn sizes_of_calls(store: &impl SessionStore) -> [(&'static str, usize); 6] {
    let now = Timestamp::default();
    let (key, record) = (StoreKey::from_bytes([1; 32]), Record::new(now, now));
    let (patch, options) = (Patch::default(), LoadOptions::default());
    let grace = Grace::new(now, OldIdReads::Snapshot);
    [
        ("create", size_of_val(&store.create(&key, &record))),
        ("load", size_of_val(&store.load(&key, &options))),
        ("update", size_of_val(&store.update(&key, &patch))),
        ("touch", size_of_val(&store.touch(&key, now))),
        ("destroy", size_of_val(&store.destroy(&key))),
        ("rotate", size_of_val(&store.rotate(&key, &key, &patch, grace))),
    ]
}
