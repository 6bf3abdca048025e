//! What can go wrong. Clients see only a status; the cause is for the log.

mod chain;
mod config;
mod session;
mod store;
mod value;

pub(crate) use chain::Chain;
pub use {
    config::ConfigError,
    session::SessionError,
    store::{BoxError, StoreError},
    value::ValueError,
};
