//! One connection. Commands leave in the order of the calls, many at a time, and replies arrive in
//! the same order.

use std::{
    io,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{io::split, task::AbortHandle};

use super::{
    connection_state::{ConnectionState, ReplyError},
    driver::{Driver, PushHandler, ReplyLimits},
    resp::{Command, Reply},
    writer::{ByteStream, Writer},
};

/// A connection to a server. It closes when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct MultiplexedConnection(Arc<CloseOnDrop>);

impl MultiplexedConnection {
    /// Opens a connection over this stream. The driver runs as a task of the current runtime.
    ///
    /// A command fails when its reply takes longer than the limit, and the connection closes when
    /// a reply is larger.
    pub(super) fn new(
        stream: Box<dyn ByteStream>,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Self {
        let (reader, writer) = split(stream);
        let state = Arc::new(ConnectionState::new(Some(Writer::new(writer))));
        tokio::spawn(Driver::new(Arc::clone(&state), reader, limits, push_handler));
        Self(Arc::new(CloseOnDrop { state, renewal: OnceLock::new() }))
    }

    /// Sends a command and waits for the reply.
    pub(super) async fn send(&self, command: &Command) -> Result<Reply, ReplyError> {
        self.send_all(&[command]).await
    }

    /// Sends commands with nothing between them, and waits for the reply to the last one.
    pub(super) async fn send_all(&self, commands: &[&Command]) -> Result<Reply, ReplyError> {
        self.state().send(commands).await
    }

    /// A reference that does not keep the connection open.
    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(self.state()))
    }

    /// The number of replies that have arrived.
    pub(super) fn reply_count(&self) -> u64 {
        self.state().reply_count()
    }

    /// Whether the connection is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed()
    }

    /// Closes the connection, because the server is silent or is the wrong one. Pending commands
    /// fail.
    pub(super) fn close(&self) {
        self.state().close(io::Error::other("the connection was given up"));
    }

    /// Stops the task that keeps the connection signed in when the connection is dropped.
    pub(super) fn stop_with_it(&self, task: AbortHandle) {
        // OK because each connection has at most one such task.
        let _ = self.0.renewal.set(task);
    }

    fn state(&self) -> &Arc<ConnectionState> {
        &self.0.state
    }
}

/// What the clones of a connection share.
struct CloseOnDrop {
    state: Arc<ConnectionState>,
    /// The task that signs in again.
    renewal: OnceLock<AbortHandle>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.state.close(io::Error::other("the store was dropped"));
        if let Some(task) = self.renewal.get() {
            task.abort();
        }
    }
}

/// A connection that reports changes of what was read over it. It does not keep itself open.
#[derive(Clone)]
pub(crate) struct WeakConnection(Weak<ConnectionState>);

impl WeakConnection {
    /// A connection without a server, and a guard that keeps it open.
    #[cfg(test)]
    pub(crate) fn without_server() -> (Self, impl Sized) {
        let state = Arc::new(ConnectionState::new(None));
        (Self(Arc::downgrade(&state)), state)
    }

    /// Whether both are the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }

    /// Sends a command and waits for the reply.
    pub(super) async fn send(&self, command: &Command) -> Result<Reply, ReplyError> {
        let state = self.0.upgrade().ok_or(ReplyError::NotSent)?;
        state.send(&[command]).await
    }

    /// Whether every change has arrived that was made before now minus `staleness`. False if the
    /// connection is closed.
    ///
    /// When half of that time has passed without a reply, it sends a probe about the key of this
    /// name. Only the server that serves the key answers the probe.
    pub(crate) fn is_fresh(&self, staleness: Duration, key: impl FnOnce() -> String) -> bool {
        self.0.upgrade().is_some_and(|state| state.is_fresh(staleness, key))
    }
}
