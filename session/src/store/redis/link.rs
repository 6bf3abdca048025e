//! One connection: made when it is needed, made anew when it is broken, and never waited for longer than
//! its limits say.
//!
//! No request waits through several attempts, and no write whose outcome is unknown is repeated.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture, FutureExt as _, Shared};
use rand::RngExt as _;
use tokio::time::{sleep, timeout};

use super::{
    cache::Cache,
    peer::{ConnectError, Peer},
    resp::{Command, Refusal, Reply},
    wire::{Lost, Wire},
};
use crate::error::Cause;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection.
    pub(super) connect: Duration,
    /// For the answer to a request.
    pub(super) answer: Duration,
}

/// Whether a request may be sent again when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is the same as once.
    Harmless,
    Never,
}

/// A reply, and the connection that it came over.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) wire: Wire,
}

/// Why a request has no answer, or the server's refusal.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server has refused it; nothing was done.
    Refused(Refusal),
    /// There is no connection.
    Unreachable(Cause),
    /// There is no reply.
    Lost(Lost),
}

/// Where connections lead.
pub(super) enum Target {
    Server(Peer),
    /// To the master of this name that the sentinels know.
    Master {
        sentinels: Vec<Peer>,
        name: String,
        node: Peer,
    },
}

/// A connection to a target. It belongs to the runtime on which it was made.
pub(super) struct Link {
    target: Arc<Target>,
    timeouts: Timeouts,
    cache: Option<Arc<Cache>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    latest: Option<Attempt>,
    /// How many attempts have failed one after the other, up to the latest but one.
    failures: u32,
}

/// A connection that is being made, or was.
type Attempt = Shared<BoxFuture<'static, Result<Wire, Failed>>>;

/// When an attempt that a request waits for has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Before,
    Now,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no connection to Redis")]
struct Failed {
    at: Instant,
    #[source]
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

/// No connection has come about in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Redis did not connect within {} ms", .0.as_millis())]
struct TooSlow(Duration);

/// The longest pause before another attempt to connect. A request waits for an attempt that begins after
/// it, so this is also how much later than the server the first request can be back.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

impl Link {
    /// If there is a cache, the server is asked to tell it what changes.
    pub(super) fn new(target: Arc<Target>, timeouts: Timeouts, cache: Option<Arc<Cache>>) -> Self {
        Self { target, timeouts, cache, state: Mutex::default() }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let first = self.call_once(request).await;
        let is_worth_another = match &first {
            Err(Failure::Lost(Lost::Unsent)) => true,
            // A connection that broke at once may have been broken for long.
            Err(Failure::Lost(Lost::Closed(_))) => request.repeat == Repeat::Harmless,
            // One that is silent costs the client no second wait.
            Err(Failure::Lost(Lost::TooSlow(_)) | Failure::Unreachable(_)) | Ok(_) => false,
            // What a replica has refused was not done. It was the master once.
            Err(Failure::Refused(refusal)) => refusal.code() == "READONLY",
        };
        if is_worth_another { self.call_once(request).await } else { first }
    }

    async fn call_once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let wire = self.wire().await?;
        let replies = wire.replies();
        match request.send(&wire).await {
            Ok(Reply::Refused(refusal)) => {
                if refusal.code() == "READONLY" {
                    wire.end();
                }
                Err(Failure::Refused(refusal))
            }
            Ok(reply) => Ok(Answer { reply, wire }),
            Err(lost) => {
                // Others may still get replies over a busy connection, but not over a dead one.
                if matches!(lost, Lost::TooSlow(_)) && wire.replies() == replies {
                    wire.end();
                }
                Err(Failure::Lost(lost))
            }
        }
    }

    async fn wire(&self) -> Result<Wire, Failure> {
        let wire = async {
            match self.attempt() {
                (attempt, Begun::Now) => attempt.await,
                // It may have begun before the server was back.
                (attempt, Begun::Before) => match attempt.await {
                    Ok(wire) => Ok(wire),
                    Err(_) => self.attempt().0.await,
                },
            }
        };
        let limit = self.timeouts.connect;
        match timeout(limit, wire).await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(failed)) => Err(Failure::Unreachable(Box::new(failed))),
            Err(_) => Err(Failure::Unreachable(Box::new(TooSlow(limit)))),
        }
    }

    /// The connection that is there or under way; a new one if there is none, or a broken one.
    fn attempt(&self) -> (Attempt, Begun) {
        // OK because nothing that runs under the lock leaves the state half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match state.latest.as_ref().map(Shared::peek) {
            Some(None) => None,
            Some(Some(Ok(wire))) if !wire.has_ended() => None,
            Some(Some(Err(failed))) => Some(pause(state.failures + 1, failed.at.elapsed())),
            Some(Some(Ok(_))) | None => Some(Duration::ZERO),
        };
        match (&state.latest, pause) {
            (Some(attempt), None) => (attempt.clone(), Begun::Before),
            (latest, pause) => {
                let has_failed = latest.as_ref().and_then(Shared::peek).is_some_and(Result::is_err);
                let attempt = self.start(pause.unwrap_or_default());
                state.failures = if has_failed { state.failures.saturating_add(1) } else { 0 };
                state.latest = Some(attempt.clone());
                (attempt, Begun::Now)
            }
        }
    }

    fn start(&self, pause: Duration) -> Attempt {
        let (target, timeouts) = (Arc::clone(&self.target), self.timeouts);
        let cache = self.cache.clone();
        let limit = timeouts.connect;
        let task = tokio::spawn(async move {
            sleep(pause).await;
            match timeout(limit, target.connect(timeouts.answer, cache)).await {
                Ok(Ok(wire)) => Ok(wire),
                Ok(Err(error)) => Err(Failed::new(Arc::new(error))),
                Err(_) => Err(Failed::new(Arc::new(TooSlow(limit)))),
            }
        });
        let attempt =
            async { task.await.unwrap_or_else(|error| Err(Failed::new(Arc::new(error)))) };
        attempt.boxed().shared()
    }
}

impl Failed {
    fn new(cause: Arc<dyn std::error::Error + Send + Sync>) -> Self {
        Self { at: Instant::now(), cause }
    }
}

/// How long to wait before the next attempt, so that many clients do not storm a server that comes back.
fn pause(failures: u32, since_failure: Duration) -> Duration {
    let longest = SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let pause = rand::rng().random_range(longest / 2..=longest);
    pause.saturating_sub(since_failure)
}

/// What is sent.
pub(super) struct Request<'a> {
    pub(super) command: &'a Command,
    pub(super) repeat: Repeat,
    /// Whether it goes to the node that a slot is moving to.
    pub(super) asking: bool,
}

impl Request<'_> {
    async fn send(&self, wire: &Wire) -> Result<Reply, Lost> {
        if self.asking {
            wire.send_all(&[&Command::new("ASKING"), self.command]).await
        } else {
            wire.send(self.command).await
        }
    }
}

impl Target {
    async fn connect(
        &self,
        limit: Duration,
        cache: Option<Arc<Cache>>,
    ) -> Result<Wire, ConnectError> {
        match self {
            Self::Server(peer) => peer.connect(limit, cache).await,
            Self::Master { sentinels, name, node } => {
                let masters = sentinels.iter().map(|sentinel| {
                    let cache = cache.clone();
                    async move {
                        let (host, port) = sentinel.master(name, limit).await?;
                        node.at(&host, port).connect_to_master(limit, cache).await
                    }
                    .boxed()
                });
                // All at once, because a sentinel that hangs must not stop the others.
                future::select_ok(masters).await.map(|(wire, _)| wire)
            }
        }
    }
}
