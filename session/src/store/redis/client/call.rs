//! One call to a server: what is sent, what comes back, and whether it may be sent twice.

use super::{
    connection::MultiplexedConnection,
    connection_state::ReplyError,
    resp::{Command, ErrorReply, Reply},
};
use crate::error::BoxError;

/// Whether a command may be sent again after its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Yes: running it twice has the same effect as running it once.
    Idempotent,
    /// No: running it twice could apply a change twice.
    Never,
}

/// A command for one server.
pub(super) struct ServerCall<'a> {
    pub(super) command: &'a Command,
    pub(super) retry: Retry,
    /// Whether `ASKING` goes ahead of it, because its slot is moving to this node.
    pub(super) is_asking: bool,
}

impl ServerCall<'_> {
    /// Sends the command over this connection and waits for the reply.
    pub(super) async fn send(
        &self,
        connection: &MultiplexedConnection,
    ) -> Result<Reply, ReplyError> {
        if !self.is_asking {
            return connection.send(self.command).await;
        }
        // In a box, because it is rare and the future of each call would have room for it.
        let asking = async || connection.send_all(&[&Command::new("ASKING"), self.command]).await;
        Box::pin(asking()).await
    }
}

/// A reply, and the connection that delivered it.
pub(crate) struct CallReply {
    pub(crate) reply: Reply,
    pub(crate) connection: MultiplexedConnection,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The server replied with an error and changed nothing.
    Refused(ErrorReply),
    /// Connecting to the server failed.
    Unreachable(BoxError),
    /// The connection was lost, or the reply took too long.
    NoReply(ReplyError),
}

impl CallError {
    /// Whether the server does not have the script that was called by its hash.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code() == "NOSCRIPT")
    }
}
