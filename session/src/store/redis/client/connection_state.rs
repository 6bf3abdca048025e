//! What a connection shares with its driver: commands to send, and callers that wait for replies.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::oneshot, time::Instant};

use super::{
    resp::{Command, Reply},
    writer::Writer,
};

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
    /// Sends the queue. `None`: the connection is closed.
    writer: Mutex<Option<Writer>>,
    /// Wakes the driver.
    pub(super) driver: AtomicWaker,
    /// How many replies have arrived.
    reply_count: AtomicU64,
    started_at: Instant,
    /// When the latest answered command was sent, in µs since `started_at`. The server has reported
    /// every change that it made before then.
    confirmed_at: AtomicU64,
    /// When the last probe was sent, in µs since `started_at`.
    probed_at: AtomicU64,
}

/// [`ConnectionState::confirmed_at`] of a closed connection.
const CLOSED: u64 = u64::MAX;

/// How many scripts may wait until the driver has its turn. More are sent at once, so that Redis
/// runs them while this thread goes on. Other commands cost Redis less than the sending.
const MAX_WAITING_SCRIPTS: usize = 8;

impl ConnectionState {
    /// An open connection. `None`: it sends nothing.
    pub(super) fn new(writer: Option<Writer>) -> Self {
        Self {
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            driver: AtomicWaker::new(),
            reply_count: AtomicU64::new(0),
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
        queue.unsent_scripts += commands.iter().filter(|command| command.is_script()).count();
        if let Some(last) = queue.pending.back_mut() {
            last.receiver = reply;
        }
        let is_due = queue.unsent_scripts > MAX_WAITING_SCRIPTS;
        drop(queue);
        if is_due {
            self.send_now();
        }
        self.driver.wake();
        Ok(())
    }

    /// Sends what can be sent without waiting. The driver sends the rest.
    fn send_now(&self) {
        // A writer that is locked is sending.
        let Ok(mut writer) = self.writer.try_lock() else { return };
        let sent = self.send_with(&mut writer, &mut Context::from_waker(Waker::noop()));
        drop(writer);
        if let Poll::Ready(Err(cause)) = sent {
            self.close(cause);
        }
    }

    /// Sends the queue.
    pub(super) fn send_queue(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_with(&mut self.writer(), context)
    }

    fn send_with(
        &self,
        writer: &mut Option<Writer>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match writer {
            Some(writer) => writer.send(|buffer| self.take_outgoing(buffer), context),
            None => Poll::Ready(Ok(())),
        }
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
        self.reply_count.fetch_add(1, Ordering::Relaxed);
        self.queue().pending.pop_front()
    }

    /// Swaps the queued bytes into an empty buffer. Returns whether there were any.
    fn take_outgoing(&self, buffer: &mut Vec<u8>) -> bool {
        let mut queue = self.queue();
        if queue.outgoing.is_empty() {
            return false;
        }
        mem::swap(&mut queue.outgoing, buffer);
        (queue.unsent, queue.unsent_scripts) = (0, 0);
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
        self.reply_count.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
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
        *self.writer() = None;
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

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // OK because a writer that has panicked has sent what it says.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// How many of them run a script.
    unsent_scripts: usize,
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex, split};

    use super::*;
    use crate::store::redis::client::writer::ByteStream;

    /// An open connection without a driver, and the server's side of it.
    fn connection(capacity: usize) -> (ConnectionState, DuplexStream) {
        let (stream, server) = duplex(capacity);
        let (_, writer) = split::<Box<dyn ByteStream>>(Box::new(stream));
        (ConnectionState::new(Some(Writer::new(writer))), server)
    }

    fn queue(connection: &ConnectionState, command: &str, number: usize) {
        let command = Command::new(command).arg(number.to_string());
        connection.queue_commands(&[&command], None).expect("it is open");
    }

    /// What the server has received meanwhile.
    fn received(server: &mut DuplexStream) -> String {
        let mut bytes = Vec::new();
        while let Some(Ok(1..)) = server.read_buf(&mut bytes).now_or_never() {}
        String::from_utf8(bytes).expect("text")
    }

    /// The bytes of a command.
    fn sent(command: &str, number: usize) -> String {
        format!("*2\r\n${}\r\n{command}\r\n$1\r\n{number}\r\n", command.len())
    }

    #[tokio::test]
    async fn many_scripts_are_sent_before_the_driver_has_its_turn() {
        let (connection, mut server) = connection(1 << 20);
        let mut expected = String::new();
        for number in 0..MAX_WAITING_SCRIPTS {
            queue(&connection, "HMGET", number);
            queue(&connection, "EVALSHA", number);
            expected += &(sent("HMGET", number) + &sent("EVALSHA", number));
        }
        assert_eq!(received(&mut server), "", "few wait for the driver");
        queue(&connection, "EVALSHA", 8);
        assert_eq!(received(&mut server), expected + &sent("EVALSHA", 8));
        queue(&connection, "EVALSHA", 9);
        assert_eq!(received(&mut server), "", "the next ones wait again");
    }

    #[tokio::test]
    async fn commands_that_cost_redis_little_wait_for_the_driver() {
        let (connection, mut server) = connection(1 << 20);
        (0..100).for_each(|_| queue(&connection, "HMGET", 0));
        assert_eq!(received(&mut server), "");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_at_once_is_sent_later_and_in_order() {
        let (connection, mut server) = connection(50);
        (0..10).for_each(|number| queue(&connection, "EVALSHA", number));
        let mut all = received(&mut server);
        assert_eq!(all.len(), 50);
        while connection.send_queue(&mut Context::from_waker(Waker::noop())).is_pending() {
            all += &received(&mut server);
        }
        all += &received(&mut server);
        assert_eq!(all, (0..10).map(|number| sent("EVALSHA", number)).collect::<String>());
    }

    #[tokio::test]
    async fn a_connection_that_cannot_send_at_once_is_closed() {
        let (connection, server) = connection(1 << 20);
        drop(server);
        (0..=MAX_WAITING_SCRIPTS).for_each(|number| queue(&connection, "EVALSHA", number));
        assert!(connection.is_closed());
        let after = connection.send(&[&Command::new("PING")]).await;
        assert!(matches!(after, Err(ReplyError::NotSent)), "{after:?}");
    }
}
