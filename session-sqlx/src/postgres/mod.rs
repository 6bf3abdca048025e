//! The store in PostgreSQL.

mod builder;
mod calls;
mod changes;
mod engine;
#[cfg(feature = "import-express-session")]
mod foreign;
mod index;
mod local_cache;
mod row;
mod schema;
mod statements;
mod store;
mod together;

#[cfg(feature = "import-express-session")]
pub use foreign::ForeignPostgres;
pub use {builder::PostgresStoreBuilder, store::PostgresStore};
