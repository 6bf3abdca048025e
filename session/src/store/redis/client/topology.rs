//! One server, the master that Sentinel names, or a cluster.

use std::sync::Arc;

use super::{
    call::{CallError, CallReply, Retry, ServerCall},
    cluster::Cluster,
    endpoint::Endpoint,
    node::{ConnectionSettings, Node},
    resp::Command,
    target::ConnectTarget,
};

/// The servers that hold the keys.
pub(crate) enum Topology {
    /// One server holds all keys.
    Server(Node),
    /// Each node holds the keys of its slots.
    Cluster(Arc<Cluster>),
}

impl Topology {
    /// One server, or the master that Sentinel names.
    pub(crate) fn server(target: ConnectTarget, settings: &ConnectionSettings) -> Self {
        Self::Server(Node::new(target, settings))
    }

    /// A cluster, some of whose nodes are at these endpoints. There must be at least one.
    pub(crate) fn cluster(seeds: Vec<Endpoint>, settings: ConnectionSettings) -> Self {
        Self::Cluster(Arc::new(Cluster::new(seeds, settings)))
    }

    /// Sends a command about one key and waits for its reply.
    pub(crate) async fn call(
        &self,
        key: &[u8],
        command: &Command,
        retry: Retry,
    ) -> Result<CallReply, CallError> {
        match self {
            Self::Server(node) => node.call(&ServerCall { command, retry, is_asking: false }).await,
            Self::Cluster(cluster) => cluster.call(key, command, retry).await,
        }
    }
}
