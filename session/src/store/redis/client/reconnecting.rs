//! A connection that is made when it is needed, and made again after it broke.
//!
//! A request waits for at most one attempt to connect. A write whose outcome is unknown is not
//! repeated.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use rand::RngExt as _;
use tokio::time::{sleep, timeout};

use super::{
    call::{CallError, CallReply, Retry, ServerCall},
    connection::MultiplexedConnection,
    connection_state::ReplyError,
    driver::{PushHandler, ReplyLimits},
    resp::Reply,
    target::ConnectTarget,
};

/// What connections and replies may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// How long a call waits for a connection.
    pub(crate) connect: Duration,
    pub(crate) reply: ReplyLimits,
}

/// A connection to a target. It belongs to the runtime on which it was made.
pub(super) struct ReconnectingConnection {
    target: Arc<ConnectTarget>,
    limits: ConnectionLimits,
    push_handler: Option<Arc<dyn PushHandler>>,
    state: Mutex<ReconnectState>,
}

impl ReconnectingConnection {
    /// Nothing connects before the first call.
    pub(super) fn new(
        target: Arc<ConnectTarget>,
        limits: ConnectionLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Self {
        Self { target, limits, push_handler, state: Mutex::default() }
    }

    /// Sends a command and waits for its reply.
    pub(super) async fn call(&self, call: &ServerCall<'_>) -> Result<CallReply, CallError> {
        let first = self.call_once(call).await;
        let is_worth_another = match &first {
            Err(CallError::NoReply(ReplyError::NotSent)) => true,
            // The connection may have broken long before the command was sent.
            Err(CallError::NoReply(ReplyError::Closed(_))) => call.retry == Retry::Idempotent,
            // A silent server must not cost the client a second wait.
            Err(CallError::NoReply(ReplyError::Timeout(_)) | CallError::Unreachable(_)) | Ok(_) => {
                false
            }
            // A former master that is now a replica has refused the command and changed nothing.
            Err(CallError::Refused(error)) => error.code() == "READONLY",
        };
        if is_worth_another { self.call_once(call).await } else { first }
    }

    async fn call_once(&self, call: &ServerCall<'_>) -> Result<CallReply, CallError> {
        let connection = self.connection().await?;
        let reply_count = connection.reply_count();
        match call.send(&connection).await {
            Ok(Reply::Error(error)) => {
                if error.code() == "READONLY" {
                    connection.close();
                }
                Err(CallError::Refused(error))
            }
            Ok(reply) => Ok(CallReply { reply, connection }),
            Err(error) => {
                // A busy connection still delivers replies to other calls, a dead one does not.
                let is_dead = connection.reply_count() == reply_count;
                if matches!(error, ReplyError::Timeout(_)) && is_dead {
                    connection.close();
                }
                Err(CallError::NoReply(error))
            }
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, CallError> {
        match self.open_connection() {
            Some(connection) => Ok(connection),
            // In a box, because it is rare and the future of each call would have room for it.
            None => Box::pin(self.new_connection()).await,
        }
    }

    /// The latest connection, if it is open.
    fn open_connection(&self) -> Option<MultiplexedConnection> {
        match self.state().latest.as_ref()?.peek()? {
            Ok(connection) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        }
    }

    /// Waits for a connection.
    async fn new_connection(&self) -> Result<MultiplexedConnection, CallError> {
        let connection = async {
            match self.attempt() {
                (attempt, AttemptStart::Now) => attempt.await,
                // The earlier attempt may have started before the server was back.
                (attempt, AttemptStart::Earlier) => match attempt.await {
                    Ok(connection) => Ok(connection),
                    Err(_) => self.attempt().0.await,
                },
            }
        };
        let limit = self.limits.connect;
        match timeout(limit, connection).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(CallError::Unreachable(Box::new(error))),
            Err(_) => Err(CallError::Unreachable(Box::new(ConnectTimeoutError(limit)))),
        }
    }

    /// The current attempt; a new one if there is none, it failed, or its connection closed.
    fn attempt(&self) -> (ConnectAttempt, AttemptStart) {
        let mut state = self.state();
        let pause = match state.latest.as_ref().map(Shared::peek) {
            Some(None) => None,
            Some(Some(Ok(connection))) if !connection.is_closed() => None,
            Some(Some(Err(error))) => Some(pause(state.failures + 1, error.at.elapsed())),
            Some(Some(Ok(_))) | None => Some(Duration::ZERO),
        };
        match (&state.latest, pause) {
            (Some(attempt), None) => (attempt.clone(), AttemptStart::Earlier),
            (latest, pause) => {
                let has_failed = latest.as_ref().and_then(Shared::peek).is_some_and(Result::is_err);
                let attempt = self.start(pause.unwrap_or_default());
                state.failures = if has_failed { state.failures.saturating_add(1) } else { 0 };
                state.latest = Some(attempt.clone());
                (attempt, AttemptStart::Now)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, ReconnectState> {
        // OK because nothing that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an attempt after a pause.
    fn start(&self, pause: Duration) -> ConnectAttempt {
        let (target, limits) = (Arc::clone(&self.target), self.limits);
        let push_handler = self.push_handler.clone();
        let limit = limits.connect;
        let task = tokio::spawn(async move {
            sleep(pause).await;
            match timeout(limit, target.connect(limits.reply, push_handler)).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(AttemptError::new(Arc::new(error))),
                Err(_) => Err(AttemptError::new(Arc::new(ConnectTimeoutError(limit)))),
            }
        });
        let attempt =
            async { task.await.unwrap_or_else(|error| Err(AttemptError::new(Arc::new(error)))) };
        attempt.boxed().shared()
    }
}

#[derive(Default)]
struct ReconnectState {
    latest: Option<ConnectAttempt>,
    /// How many attempts in a row have failed, without the latest one.
    failures: u32,
}

/// An attempt to connect: pending, failed, or a connection.
type ConnectAttempt = Shared<BoxFuture<'static, Result<MultiplexedConnection, AttemptError>>>;

/// When an attempt started, seen from the call that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptStart {
    Earlier,
    Now,
}

/// Why an attempt failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot connect to Redis")]
struct AttemptError {
    at: Instant,
    #[source]
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl AttemptError {
    fn new(cause: Arc<dyn std::error::Error + Send + Sync>) -> Self {
        Self { at: Instant::now(), cause }
    }
}

/// There was no connection in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Redis did not connect within {} ms", .0.as_millis())]
struct ConnectTimeoutError(Duration);

/// The longest pause before another attempt. A request waits for the attempt after it, so the first
/// request can succeed this much later than the server is back.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The pause before the next attempt. It is random, so that many clients do not all connect at once
/// to a server that comes back.
fn pause(failures: u32, since_failure: Duration) -> Duration {
    let longest = SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let pause = rand::rng().random_range(longest / 2..=longest);
    pause.saturating_sub(since_failure)
}
