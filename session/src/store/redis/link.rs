//! One connection: made when it is needed, made anew when it is broken, and never waited for longer than
//! its limits say.
//!
//! The client library's connections that reconnect by themselves let a request wait through several
//! attempts, or repeat a write whose outcome is unknown. So what is used of it is the plain multiplexed
//! connection, which does neither.

use std::{
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture, FutureExt as _, Shared};
use rand::RngExt as _;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, PushInfo, PushKind, RedisError,
    RedisResult, TlsCertificates, Value, aio::MultiplexedConnection, cmd,
};
use tokio::time::{sleep, timeout};

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

/// Why a request has no answer, or the server's refusal.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server has refused it; nothing was done.
    Refused(RedisError),
    /// It was not sent.
    Unreachable(Cause),
    /// It was sent, and nobody knows what became of it.
    Unanswered(Cause),
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

/// A server, and how to speak with it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) info: ConnectionInfo,
    pub(super) tls: TlsCertificates,
}

/// A connection to a target. It belongs to the runtime on which it was made.
pub(super) struct Link {
    target: Arc<Target>,
    timeouts: Timeouts,
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

/// A connection that was made.
#[derive(Clone)]
struct Wire {
    connection: MultiplexedConnection,
    /// Whether it is of no use any more.
    broken: Arc<AtomicBool>,
    /// How many answers have come.
    answers: Arc<AtomicU64>,
}

/// No answer came in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Redis did not {what} within {} ms", .limit.as_millis())]
struct TooSlow {
    what: &'static str,
    limit: Duration,
}

/// The longest pause before another attempt to connect. A request waits for an attempt that begins after
/// it, so this is also how much later than the server the first request can be back.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// How long it takes at most to read an answer that has come.
const UNREAD: Duration = Duration::from_millis(10);

impl Link {
    pub(super) fn new(target: Arc<Target>, timeouts: Timeouts) -> Self {
        Self { target, timeouts, state: Mutex::default() }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(&self, request: &Request<'_>) -> Result<Value, Failure> {
        let first = self.call_once(request).await;
        // A connection that broke at once may have been broken for long. One that is silent costs the
        // client no second wait.
        match first {
            Err(Failure::Unanswered(cause))
                if request.repeat == Repeat::Harmless && !cause.is::<TooSlow>() =>
            {
                self.call_once(request).await
            }
            // What a replica has refused was not done. It was the master once.
            Err(Failure::Refused(error)) if error.code() == Some("READONLY") => {
                self.call_once(request).await
            }
            first => first,
        }
    }

    async fn call_once(&self, request: &Request<'_>) -> Result<Value, Failure> {
        let wire = self.wire().await?;
        let answers = wire.answers.load(Ordering::Relaxed);
        let mut answer = pin!(request.send(wire.connection.clone()));
        let in_time = match timeout(self.timeouts.answer, answer.as_mut()).await {
            Ok(answer) => Ok(answer),
            // This thread may have been busy with something else all the time, and the answer be here, unread.
            Err(_) => timeout(UNREAD, answer).await,
        };
        match in_time {
            Ok(Ok(value)) => {
                wire.answers.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            Ok(Err(error)) if error.is_unrecoverable_error() || error.is_io_error() => {
                wire.broken.store(true, Ordering::Relaxed);
                Err(Failure::Unanswered(Box::new(error)))
            }
            Ok(Err(error)) => {
                wire.answers.fetch_add(1, Ordering::Relaxed);
                if error.code() == Some("READONLY") {
                    wire.broken.store(true, Ordering::Relaxed);
                }
                Err(Failure::Refused(error))
            }
            Err(_) => {
                // Others may still get answers over a busy connection, but not over a dead one.
                if wire.answers.load(Ordering::Relaxed) == answers {
                    wire.broken.store(true, Ordering::Relaxed);
                }
                let what = "answer";
                Err(Failure::Unanswered(Box::new(TooSlow { what, limit: self.timeouts.answer })))
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
            Err(_) => Err(Failure::Unreachable(Box::new(TooSlow { what: "connect", limit }))),
        }
    }

    /// The connection that is there or under way; a new one if there is none, or a broken one.
    fn attempt(&self) -> (Attempt, Begun) {
        // OK because nothing that runs under the lock leaves the state half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match state.latest.as_ref().map(Shared::peek) {
            Some(None) => None,
            Some(Some(Ok(wire))) if !wire.broken.load(Ordering::Relaxed) => None,
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
        let (target, limit) = (Arc::clone(&self.target), self.timeouts.connect);
        let task = tokio::spawn(async move {
            sleep(pause).await;
            match timeout(limit, target.connect()).await {
                Ok(Ok(wire)) => Ok(wire),
                Ok(Err(error)) => Err(Failed::new(Arc::new(error))),
                Err(_) => Err(Failed::new(Arc::new(TooSlow { what: "connect", limit }))),
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
    pub(super) command: &'a Cmd,
    pub(super) repeat: Repeat,
    /// Whether it goes to the node that a slot is moving to.
    pub(super) asking: bool,
}

impl Request<'_> {
    async fn send(&self, mut connection: MultiplexedConnection) -> RedisResult<Value> {
        if !self.asking {
            return connection.send_packed_command(self.command).await?.extract_error();
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(cmd("ASKING")).add_command(self.command.clone());
        let answers = connection.send_packed_commands(&pipeline, 0, 2).await?;
        answers.into_iter().next_back().unwrap_or_default().extract_error()
    }
}

impl Target {
    async fn connect(&self) -> RedisResult<Wire> {
        match self {
            Self::Server(peer) => peer.connect().await,
            Self::Master { sentinels, name, node } => {
                let masters = sentinels.iter().map(|sentinel| {
                    async move { node.at(sentinel.master(name).await?).connect_to_master().await }
                        .boxed()
                });
                // All at once, because a sentinel that hangs must not stop the others.
                future::select_ok(masters).await.map(|(wire, _)| wire)
            }
        }
    }
}

impl Peer {
    /// The same way to speak, with another server.
    pub(super) fn at(&self, (host, port): (String, u16)) -> Self {
        use redis::ConnectionAddr::{Tcp, TcpTls, Unix};

        let address = match self.info.addr() {
            TcpTls { insecure, tls_params, .. } => {
                TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            Tcp(..) | Unix(_) | _ => Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(address), tls: self.tls.clone() }
    }

    async fn connect(&self) -> RedisResult<Wire> {
        let is_tls = matches!(self.info.addr(), redis::ConnectionAddr::TcpTls { .. });
        let client = if is_tls {
            choose_crypto();
            Client::build_with_tls(self.info.clone(), self.tls.clone())?
        } else {
            Client::open(self.info.clone())?
        };
        let broken = Arc::new(AtomicBool::new(false));
        let when_closed = Arc::clone(&broken);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1_000)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    when_closed.store(true, Ordering::Relaxed);
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Wire { connection, broken, answers: Arc::default() })
    }

    async fn connect_to_master(&self) -> RedisResult<Wire> {
        let mut wire = self.connect().await?;
        let role: Vec<Value> = cmd("ROLE").query_async(&mut wire.connection).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(wire),
            _ => Err(io::Error::other("the sentinels name a server that is no master").into()),
        }
    }

    /// Asks a sentinel for the master of this name.
    async fn master(&self, name: &str) -> RedisResult<(String, u16)> {
        let mut wire = self.connect().await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let address: Option<(String, u16)> = ask.query_async(&mut wire.connection).await?;
        address.ok_or_else(|| io::Error::other("the sentinel knows no master of this name").into())
    }
}

/// Lets rustls choose the cryptography of this crate if the application has chosen none.
fn choose_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // OK because it only fails if another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
