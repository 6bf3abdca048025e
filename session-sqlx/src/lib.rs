//! Sessions of [`actix_typed_session`] in the database that you already run.
//!
//! | feature | store |
//! | --- | --- |
//! | `postgres` (default) | [`PostgresStore`]: a table in PostgreSQL, through your pool of sqlx |
//! | `mysql` | [`MySqlStore`]: tables in MySQL or MariaDB, through your pool of sqlx |
//! | `sqlite` | [`SqliteStore`]: a file on this machine, with durable writes that share a sync |
//! | `import-express-session` | [`ForeignPostgres`]: takes over the sessions of connect-pg-simple |
//!
//! ```no_run
//! use actix_typed_session::SessionMiddleware;
//! use actix_typed_session_sqlx::PostgresStore;
//! use sqlx::PgPool;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = PgPool::connect("postgres://localhost/app").await?;
//! let store = PostgresStore::new(pool);
//! store.ensure_schema().await?;
//! let sessions = SessionMiddleware::new(store);
//! # Ok(())
//! # }
//! ```
//!
//! The [guide] covers the pool, privileges, PgBouncer, failures, clean-up and backup.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod batch;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod cleanup;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod client;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod columns;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod config;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod kept;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod log;
#[cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite"))]
#[doc = include_str!("guide.md")]
pub mod guide {}
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod next_record;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod pages;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod patch;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod values;

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use config::SqlConfigError;
#[cfg(feature = "mysql")]
pub use mysql::{MySqlStore, MySqlStoreBuilder};
#[cfg(feature = "import-express-session")]
#[cfg_attr(docsrs, doc(cfg(feature = "import-express-session")))]
pub use postgres::ForeignPostgres;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteStore, SqliteStoreBuilder};
