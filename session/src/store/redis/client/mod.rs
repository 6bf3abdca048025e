//! A client for Redis: connections, retries, and the nodes of a cluster.
//!
//! It moves commands and replies, and holds nothing that concerns sessions. ARCHITECTURE.md says
//! why it is hand-written, with the figures.

mod call;
mod certificates;
mod cluster;
mod connection;
mod connection_state;
mod credentials;
mod driver;
mod endpoint;
#[cfg(not(feature = "redis-tls"))]
mod no_tls;
mod node;
mod reconnecting;
mod resp;
mod target;
#[cfg(feature = "redis-tls")]
mod tls;
mod topology;
mod writer;

pub(super) use {
    call::{CallError, CallReply, Retry},
    certificates::Certificates,
    connection::WeakConnection,
    credentials::CredentialsSource,
    driver::{PushHandler, ReplyLimits},
    endpoint::Endpoint,
    node::ConnectionSettings,
    reconnecting::ConnectionLimits,
    resp::{Args, Command, Reply},
    target::ConnectTarget,
    topology::Topology,
};

pub use credentials::RedisCredentials;
