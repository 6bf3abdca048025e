//! Sessions in Redis or Valkey.
//!
//! `store` has the calls of the store and `index` the search. Both use `keyspace`, which runs
//! commands and `script`s on the keys of sessions and keeps the local cache current; `across_slots`
//! and `index_sets` are its parts for clusters and for indexed fields. `layout`, `encode` and
//! `decode` say how sessions are stored, and `client` talks to the servers.

mod across_slots;
mod builder;
mod client;
mod clock_check;
mod decode;
mod encode;
mod index;
mod index_lock;
mod index_sets;
mod keyspace;
mod layout;
mod list;
mod local_cache;
mod outage;
mod script;
mod store;
#[cfg(any(feature = "import-actix-session", feature = "import-express-session"))]
mod strings;
mod update_turns;

pub use {builder::RedisStoreBuilder, client::RedisCredentials, store::RedisStore};
