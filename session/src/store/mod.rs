//! Where sessions are kept.

mod capabilities;
#[cfg(feature = "sealed")]
mod cookie;
#[cfg(feature = "sealed")]
mod encrypted;
mod erased;
#[cfg(feature = "file")]
mod file;
mod index_pages;
mod memory;
mod merge_locks;
mod persistence;
#[cfg(feature = "redis")]
mod redis;
mod session_store;
mod sweeper;

#[cfg(feature = "sealed")]
pub use cookie::CookieStore;
#[cfg(feature = "sealed")]
pub use encrypted::EncryptedStore;
#[cfg(feature = "file")]
pub use file::{Durability, FileStore, FileStoreBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub use {
    capabilities::{DeleteExpired, FindByIndex, Found},
    memory::{MemoryStore, MemoryStoreBuilder},
    persistence::Backend,
    session_store::{Created, LoadOptions, SessionStore, Updated},
};
pub(crate) use {
    erased::{ErasedIndex, ErasedStore, StoreFuture},
    merge_locks::MergeLocks,
    persistence::{CookieChange, CookieHolds, Persistence, RequestStore, Sessions},
    session_store::TouchRule,
};
