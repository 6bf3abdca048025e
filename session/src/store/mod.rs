//! The stores that keep sessions, and the types for authors of stores.
//!
//! To choose a store for your application, read
//! [getting started](crate::guide::getting_started). To write a store, implement [`SessionStore`],
//! and test it with [`store_conformance!`](crate::store_conformance). The guide
//! [explains each step](crate::guide::writing_a_store).

mod capabilities;
#[cfg(feature = "encryption")]
mod cookie;
mod copying;
#[cfg(feature = "encryption")]
mod encrypted;
mod erased;
#[cfg(feature = "file")]
mod file;
mod index_pages;
mod listing;
pub mod local_cache;
mod memory;
mod merge_locks;
mod moving;
mod observed;
mod persistence;
#[cfg(feature = "redis")]
mod redis;
mod session_store;
mod sweeper;
mod value_locks;

#[doc(inline)]
pub use crate::{
    id::{StoreKey, StoreKeyError},
    record::{
        Change, ExpiryChange, FieldName, Grace, Index, Number, OldIdReads, Patch, PatchError,
        Record, RecordError,
    },
    time::Limits,
};
#[cfg(feature = "encryption")]
pub use cookie::CookieStore;
#[cfg(feature = "encryption")]
pub use encrypted::{EncryptedStore, is_encrypted};
#[cfg(feature = "file")]
pub use file::{Durability, FileStore, FileStoreBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisCredentials, RedisStore, RedisStoreBuilder};
pub use {
    capabilities::{DeleteExpired, FindByIndex, IndexPage, Ping},
    copying::{Copied, copy_sessions, copy_sessions_with},
    listing::{ListAll, ListCursor, ListPage},
    memory::{MemoryStore, MemoryStoreBuilder},
    moving::MovingStore,
    persistence::Backend,
    session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};
pub(crate) use {
    erased::{ErasedIndex, ErasedList, ErasedStore, StoreFuture, not_immediate},
    merge_locks::MergeLocks,
    observed::ObservedStore,
    persistence::{CookieChange, CookieHolds, Persisted, Persistence, RequestStore},
    session_store::TouchRule,
};
