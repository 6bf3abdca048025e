//! Where a connection leads: to one endpoint, or to the master that Sentinel names.

use std::sync::Arc;

use futures_util::future::{self, FutureExt as _};

use super::{
    connection::MultiplexedConnection,
    driver::{PushHandler, ReplyLimits},
    endpoint::{ConnectError, Endpoint},
};

/// Where connections lead.
pub(crate) enum ConnectTarget {
    /// To this server.
    Server(Endpoint),
    /// To the master that the sentinels know by this name.
    SentinelMaster {
        sentinels: Vec<Endpoint>,
        name: String,
        /// How to connect to the master; its address is ignored.
        node: Endpoint,
    },
}

impl ConnectTarget {
    pub(super) async fn connect(
        &self,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        match self {
            Self::Server(endpoint) => endpoint.connect(limits, push_handler).await,
            Self::SentinelMaster { sentinels, name, node } => {
                let masters = sentinels.iter().map(|sentinel| {
                    let push_handler = push_handler.clone();
                    async move {
                        let (host, port) = sentinel.master(name, limits).await?;
                        node.at(&host, port).connect_to_master(limits, push_handler).await
                    }
                    .boxed()
                });
                // All at once, because a sentinel that hangs must not stop the others.
                future::select_ok(masters).await.map(|(connection, _)| connection)
            }
        }
    }
}
