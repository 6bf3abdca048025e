//! The store in MySQL or MariaDB.

mod builder;
mod calls;
mod engine;
mod index;
mod row;
mod schema;
mod statements;
mod store;
mod together;

pub use {builder::MySqlStoreBuilder, store::MySqlStore};
