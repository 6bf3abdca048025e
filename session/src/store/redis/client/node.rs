//! A server and the connections to it, some for each runtime.

use std::sync::{
    Arc, PoisonError, RwLock, Weak,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future;
use tokio::runtime;

use super::{
    call::{CallError, CallReply, ServerCall},
    driver::PushHandler,
    reconnecting::{ConnectionLimits, ReconnectingConnection},
    target::ConnectTarget,
};

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    /// How many connections each runtime has to each server.
    pub(crate) connections: usize,
    pub(crate) limits: ConnectionLimits,
    pub(crate) push_handler: Option<Arc<dyn PushHandler>>,
}

/// A server and the connections to it.
///
/// Each runtime, that is each worker of Actix, has separate connections. So commands and replies
/// need not pass between threads, and no connection outlives the runtime that made it.
pub(crate) struct Node {
    target: Arc<ConnectTarget>,
    settings: ConnectionSettings,
    runtimes: RwLock<Vec<Arc<RuntimeConnections>>>,
}

impl Node {
    pub(crate) fn new(target: ConnectTarget, settings: &ConnectionSettings) -> Self {
        Self { target: Arc::new(target), settings: settings.clone(), runtimes: RwLock::default() }
    }

    /// The host of the server. `None`: it has no fixed one.
    pub(super) fn host(&self) -> Option<&Arc<str>> {
        match &*self.target {
            ConnectTarget::Server(endpoint) => endpoint.host(),
            ConnectTarget::SentinelMaster { .. } => None,
        }
    }

    /// Sends a command over the next connection of the current runtime.
    pub(super) async fn call(&self, call: &ServerCall<'_>) -> Result<CallReply, CallError> {
        let RuntimeConnections { connections, next, .. } = &*self.connections();
        let next = next.fetch_add(1, Ordering::Relaxed);
        connections[next % connections.len()].call(call).await
    }

    fn connections(&self) -> Arc<RuntimeConnections> {
        let current = runtime::Handle::current().id();
        let is_current = |of: &&Arc<RuntimeConnections>| of.runtime == current;
        let runtimes = self.runtimes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = runtimes.iter().find(is_current) {
            return Arc::clone(connections);
        }
        drop(runtimes);
        let mut runtimes = self.runtimes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = runtimes.iter().find(is_current) {
            return Arc::clone(connections);
        }
        runtimes.retain(|connections| connections.alive.strong_count() > 0);
        let connections = Arc::new(RuntimeConnections::new(&self.target, &self.settings));
        runtimes.push(Arc::clone(&connections));
        connections
    }
}

/// The connections of one runtime.
struct RuntimeConnections {
    runtime: runtime::Id,
    /// Dangling once the runtime has ended.
    alive: Weak<()>,
    connections: Vec<ReconnectingConnection>,
    /// Counts the calls, to use the connections in turn.
    next: AtomicUsize,
}

impl RuntimeConnections {
    /// Connections of the current runtime.
    fn new(target: &Arc<ConnectTarget>, settings: &ConnectionSettings) -> Self {
        let alive = Arc::new(());
        let weak = Arc::downgrade(&alive);
        tokio::spawn(async move {
            let _alive = alive;
            future::pending::<()>().await;
        });
        let connection = || {
            let push_handler = settings.push_handler.clone();
            ReconnectingConnection::new(Arc::clone(target), settings.limits, push_handler)
        };
        Self {
            runtime: runtime::Handle::current().id(),
            alive: weak,
            connections: (0..settings.connections).map(|_| connection()).collect(),
            next: AtomicUsize::new(0),
        }
    }
}
