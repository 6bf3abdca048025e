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
            // In a box, because the future of each call would have room for it.
            Self::Cluster(cluster) => Box::pin(cluster.call(key, command, retry)).await,
        }
    }

    /// Sends an idempotent command to a master, by its number. `None`: there are fewer masters.
    pub(crate) async fn call_master(
        &self,
        number: usize,
        command: &Command,
    ) -> Result<Option<CallReply>, CallError> {
        let call = ServerCall { command, retry: Retry::Idempotent, is_asking: false };
        match self {
            Self::Server(node) if number == 0 => node.call(&call).await.map(Some),
            Self::Server(_) => Ok(None),
            Self::Cluster(cluster) => match cluster.masters().await?.get(number) {
                Some(node) => node.call(&call).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// Which slots each master serves now, as a text. Empty without a cluster.
    pub(crate) async fn slots(&self) -> Result<String, CallError> {
        match self {
            Self::Server(_) => Ok(String::new()),
            Self::Cluster(cluster) => cluster.slots_now().await,
        }
    }
}
