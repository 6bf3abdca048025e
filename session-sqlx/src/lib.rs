//! Sessions of [`actix_typed_session`] in the database that you already run.
//!
//! | feature | store |
//! | --- | --- |
//! | `postgres` (default) | [`PostgresStore`]: a table in PostgreSQL, through your pool of sqlx |
//! | `sqlite` | [`SqliteStore`]: a file on this machine, with durable writes that share a sync |
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

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod config;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod log;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
#[doc = include_str!("guide.md")]
pub mod guide {}
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use config::SqlConfigError;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteStore, SqliteStoreBuilder};
