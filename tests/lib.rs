//! What the tests share.
//!
//! - [`Site`]: an application with sessions on a real socket, whose store calls are counted
//! - [`Client`]: keeps cookies and sends them; [`ApiClient`] sends its id in a header
//! - [`steps`]: a handler that does what its path says, so that a test is one line per request
//! - [`Gate`]: where requests wait, so that a test decides what happens first
//! - [`error_chain`]: what an error and its sources say
//! - [`json`]: JSON, patches and records
//! - [`stores`], [`servers`], [`postgres`], [`mariadb`], [`twemproxy`]: a store of each kind, on
//!   servers that are started for the tests
//! - [`cached`]: a store with a local cache, as the middleware uses it
//! - [`moving`]: a store whose sessions move to another one
//! - [`folder`]: folders that are removed after the process, however it ends
//! - [`node`]: programs in Node.js
//! - [`wait`]: waits that end
//! - [`values`]: a session with a field of each kind, and values that must read back exactly
//! - [`log_watch`]: what the process logs; a line with a secret ends it

pub mod cached;
pub mod chromium;
pub mod client;
pub mod concurrency;
pub mod database;
mod errors;
pub mod examples;
pub mod folder;
mod gate;
pub mod json;
pub mod mariadb;
pub mod moving;
pub mod node;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod site;
pub mod steps;
pub mod stores;
pub mod twemproxy;
pub mod values;
pub mod wait;

/// Watches what the process logs, from before its first test on.
#[cfg(feature = "log-watch")]
pub use actix_typed_session_log_watch as log_watch;

pub use client::{ApiClient, Client, Response, exchange, get};
pub use errors::error_chain;
pub use gate::Gate;
pub use site::Site;
