//! The laws of stores on real servers of PostgreSQL and MariaDB, and what the schema promises.

mod browser;
mod calls;
mod copying;
mod costs;
mod database;
mod express;
mod failover;
mod kept;
mod laws;
mod local_cache;
mod moving;
mod mysql;
mod outage;
mod pgbouncer;
mod postgres;
mod processes;
mod schema;
mod site;
mod together;
