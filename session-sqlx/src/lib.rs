//! Sessions of [`actix_typed_session`] in the PostgreSQL database that you already run.
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

#[cfg(feature = "postgres")]
#[doc = include_str!("guide.md")]
pub mod guide {}
#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder, SqlConfigError};
