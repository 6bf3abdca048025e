//! A client for Redis: connections, retries, and the nodes of a cluster.
//!
//! It moves commands and replies, and holds nothing that concerns sessions. It is hand-written
//! because the connection of a client library cost a request 4 of the 8 µs that a look-up takes:
//! a tree of parsers, a copy of each text, channels, and a timer for each command.

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
