//! The store in a file of SQLite.

mod builder;
mod calls;
mod index;
mod readers;
mod store;
mod tables;
mod writer;

pub use {builder::SqliteStoreBuilder, store::SqliteStore};
