//! What a connection shares with its driver: commands to send, and callers that wait for replies.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::oneshot, time::Instant};

use super::resp::{Command, Reply};

/// Why a command has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    /// The command was not sent.
    #[error("the connection to Redis closed before the request was sent")]
    NotSent,
    /// The reply did not arrive in time.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The command was sent, perhaps in part, and then the connection closed.
    #[error("the connection to Redis closed before the answer arrived")]
    Closed(#[source] Arc<io::Error>),
}

/// The state of a connection.
pub(super) struct ConnectionState {
    queue: Mutex<CommandQueue>,
    /// Wakes the driver.
    pub(super) driver: AtomicWaker,
    started_at: Instant,
    /// When the latest answered command was sent, in µs since `started_at`. The server has reported
    /// every change that it made before then.
    confirmed_at: AtomicU64,
    /// When the last probe was sent, in µs since `started_at`.
    probed_at: AtomicU64,
}

/// [`ConnectionState::confirmed_at`] of a closed connection.
const CLOSED: u64 = u64::MAX;

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            driver: AtomicWaker::new(),
            started_at: Instant::now(),
            confirmed_at: AtomicU64::new(0),
            probed_at: AtomicU64::new(0),
        }
    }

    /// Queues commands, and waits for the reply to the last one.
    pub(super) async fn send(&self, commands: &[&Command]) -> Result<Reply, ReplyError> {
        let (sender, receiver) = oneshot::channel();
        self.queue_commands(commands, Some(sender))?;
        receiver.await.unwrap_or(Err(ReplyError::NotSent))
    }

    fn queue_commands(
        &self,
        commands: &[&Command],
        reply: Option<ReplySender>,
    ) -> Result<(), ReplyError> {
        let mut queue = self.queue();
        if queue.close_cause.is_some() {
            return Err(ReplyError::NotSent);
        }
        let sent_at = Instant::now();
        for command in commands {
            command.write_to(&mut queue.outgoing);
            queue.pending.push_back(PendingReply { receiver: None, sent_at });
        }
        queue.unsent += commands.len();
        if let Some(last) = queue.pending.back_mut() {
            last.receiver = reply;
        }
        drop(queue);
        self.driver.wake();
        Ok(())
    }

    /// Whether every change has arrived that was made before now minus `staleness`.
    pub(super) fn is_fresh(&self, staleness: Duration, key: impl FnOnce() -> String) -> bool {
        let confirmed_at = self.confirmed_at.load(Ordering::Relaxed);
        if confirmed_at == CLOSED {
            return false;
        }
        let (now, staleness) = (self.now(), micros(staleness));
        let age = now.saturating_sub(confirmed_at);
        if age > staleness / 2 && self.claim_probe(now, staleness / 4) {
            // OK because a closed connection answers no probe.
            let _ = self.queue_commands(&[&Command::new("EXISTS").arg(key())], None);
        }
        age <= staleness
    }

    /// Whether a probe is due and this caller is the one to send it.
    fn claim_probe(&self, now: u64, interval: u64) -> bool {
        let last = self.probed_at.load(Ordering::Relaxed);
        now.saturating_sub(last) > interval
            && self
                .probed_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Notes that the server has answered a command that was sent at this time.
    pub(super) fn confirm(&self, sent_at: Instant) {
        let sent_at = micros(sent_at.saturating_duration_since(self.started_at));
        self.confirmed_at.fetch_max(sent_at, Ordering::Relaxed);
    }

    /// Microseconds since the connection started.
    fn now(&self) -> u64 {
        micros(self.started_at.elapsed())
    }

    /// The caller that waits for the next reply.
    pub(super) fn take_pending(&self) -> Option<PendingReply> {
        let mut queue = self.queue();
        queue.reply_count += 1;
        queue.pending.pop_front()
    }

    /// Swaps the queued bytes into an empty buffer. Returns whether there were any.
    pub(super) fn take_outgoing(&self, buffer: &mut Vec<u8>) -> bool {
        let mut queue = self.queue();
        if queue.outgoing.is_empty() {
            return false;
        }
        mem::swap(&mut queue.outgoing, buffer);
        queue.unsent = 0;
        true
    }

    /// Fails the commands that have waited longer than `reply_timeout`. Returns when the next one
    /// will be overdue.
    pub(super) fn expire_overdue(&self, reply_timeout: Duration) -> Option<Instant> {
        let mut queue = self.queue();
        let now = Instant::now();
        for pending in queue.pending.iter_mut().filter(|pending| pending.receiver.is_some()) {
            let due = pending.sent_at + reply_timeout;
            if due > now {
                return Some(due);
            }
            // The entry stays in the queue, because the reply may still arrive.
            let overdue =
                PendingReply { receiver: pending.receiver.take(), sent_at: pending.sent_at };
            overdue.complete(Err(ReplyError::Timeout(reply_timeout)));
        }
        None
    }

    pub(super) fn reply_count(&self) -> u64 {
        self.queue().reply_count
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue().close_cause.is_some()
    }

    /// [`is_closed`](Self::is_closed) without the lock.
    pub(super) fn reports_nothing(&self) -> bool {
        self.confirmed_at.load(Ordering::Relaxed) == CLOSED
    }

    /// Closes the connection. Pending commands fail.
    pub(super) fn close(&self, cause: io::Error) {
        let cause = Arc::new(cause);
        let mut queue = self.queue();
        if queue.close_cause.is_some() {
            return;
        }
        queue.close_cause = Some(Arc::clone(&cause));
        self.confirmed_at.store(CLOSED, Ordering::Relaxed);
        queue.outgoing = Vec::new();
        let pending = mem::take(&mut queue.pending);
        let sent = pending.len() - queue.unsent;
        drop(queue);
        for (index, pending) in pending.into_iter().enumerate() {
            let is_sent = index < sent;
            pending.complete(Err(match is_sent {
                true => ReplyError::Closed(Arc::clone(&cause)),
                false => ReplyError::NotSent,
            }));
        }
        self.driver.wake();
    }

    fn queue(&self) -> MutexGuard<'_, CommandQueue> {
        // OK because nothing that runs under the lock leaves the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct CommandQueue {
    /// The bytes of the commands that are not sent yet.
    outgoing: Vec<u8>,
    /// The commands without a reply, in the order in which they were queued.
    pending: VecDeque<PendingReply>,
    /// How many of `pending`, counted from the end, are still in `outgoing`.
    unsent: usize,
    /// How many replies have arrived.
    reply_count: u64,
    /// Why the connection closed; `None`: it is open.
    close_cause: Option<Arc<io::Error>>,
}

type ReplySender = oneshot::Sender<Result<Reply, ReplyError>>;

/// A command without a reply.
pub(super) struct PendingReply {
    /// `None`: no caller waits for the reply.
    receiver: Option<ReplySender>,
    pub(super) sent_at: Instant,
}

impl PendingReply {
    /// Hands the reply to the caller.
    pub(super) fn complete(self, reply: Result<Reply, ReplyError>) {
        if let Some(receiver) = self.receiver {
            // OK because it only fails if the caller has stopped waiting.
            let _ = receiver.send(reply);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
