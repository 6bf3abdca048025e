//! Sessions in this process's memory.

mod builder;
#[cfg(test)]
mod fixture;
mod shard;
mod shards;
mod store;
mod value_index;

pub use {builder::MemoryStoreBuilder, store::MemoryStore};
