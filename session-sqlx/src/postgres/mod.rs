//! The store in PostgreSQL.

mod builder;
mod calls;
mod engine;
mod index;
mod row;
mod schema;
mod statements;
mod store;

pub use {builder::PostgresStoreBuilder, store::PostgresStore};
