//! Where sessions are kept: the stores, and what the author of a store needs.
//!
//! Applications choose a store and read [the guide](crate::guide::getting_started). A store of your
//! own implements [`SessionStore`], whose laws [`store_conformance!`](crate::store_conformance) tests;
//! [how to](crate::guide::writing_a_store) has the steps.

mod capabilities;
#[cfg(feature = "encryption")]
mod cookie;
#[cfg(feature = "encryption")]
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

#[doc(inline)]
pub use crate::{
    id::StoreKey,
    record::{
        Change, ExpiryChange, FieldName, Grace, Index, Number, OldIdReads, Patch, PatchError,
        Record, RecordError,
    },
    time::Limits,
};
#[cfg(feature = "encryption")]
pub use cookie::CookieStore;
#[cfg(feature = "encryption")]
pub use encrypted::EncryptedStore;
#[cfg(feature = "file")]
pub use file::{Durability, FileStore, FileStoreBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub use {
    capabilities::{DeleteExpired, FindByIndex, IndexPage},
    memory::{MemoryStore, MemoryStoreBuilder},
    persistence::Backend,
    session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};
pub(crate) use {
    erased::{ErasedIndex, ErasedStore, StoreFuture},
    merge_locks::MergeLocks,
    persistence::{CookieChange, CookieHolds, Persisted, Persistence, RequestStore},
    session_store::TouchRule,
};
