//! One connection: commands go out in the order of the calls, many at a time, and replies come back in
//! that order.
//!
//! A client library's connection was here before. It cost a request 4 of the 8 microseconds that a look-up
//! takes: a tree of parsers, a copy of each text, channels, and a timer for each command.

use std::{
    collections::VecDeque,
    io, mem,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    cache::Cache,
    resp::{Command, Frame, Reply, next_frame},
};

/// What a connection reads from and writes to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection. It ends with the last clone.
#[derive(Clone)]
pub(super) struct Wire(Arc<Handle>);

/// A connection that tells what changes, and that is not kept alive by those who rely on it.
#[derive(Clone)]
pub(super) struct Source(Weak<Shared>);

/// Why a command has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Lost {
    /// It was not sent.
    #[error("the connection to Redis has ended before the request was sent")]
    Unsent,
    /// The reply has not come in time.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// It was sent, perhaps in part, and the connection has ended.
    #[error("the connection to Redis has ended before the answer")]
    Closed(#[source] Arc<io::Error>),
}

impl Wire {
    /// Speaks over this stream, and lets the cache hear what the server says without being asked. The driver is a
    /// task of the current runtime.
    pub(super) fn new(stream: Box<dyn Stream>, limit: Duration, cache: Option<Arc<Cache>>) -> Self {
        let shared = Arc::new(Shared::new());
        tokio::spawn(Driver {
            shared: Arc::clone(&shared),
            stream,
            cache,
            limit,
            incoming: BytesMut::new(),
            sending: Vec::new(),
            sent: 0,
            is_flushed: true,
            timer: Box::pin(sleep_until(Instant::now())),
            is_armed: false,
        });
        Self(Arc::new(Handle(shared)))
    }

    /// Sends a command, and waits for the reply.
    pub(super) async fn send(&self, command: &Command) -> Result<Reply, Lost> {
        self.send_all(&[command]).await
    }

    /// Sends commands with nothing in between, and waits for the reply to the last.
    pub(super) async fn send_all(&self, commands: &[&Command]) -> Result<Reply, Lost> {
        let shared = &self.0.0;
        let (sender, receiver) = oneshot::channel();
        {
            let mut queue = shared.queue();
            if queue.end.is_some() {
                return Err(Lost::Unsent);
            }
            let sent_at = Instant::now();
            for command in commands {
                command.write_to(&mut queue.outgoing);
                queue.waiting.push_back(Waiting { answer: None, sent_at });
            }
            queue.unsent += commands.len();
            if let Some(last) = queue.waiting.back_mut() {
                last.answer = Some(sender);
            }
        }
        shared.driver.wake();
        receiver.await.unwrap_or(Err(Lost::Unsent))
    }

    /// For those who keep what was read over this connection.
    pub(super) fn source(&self) -> Source {
        Source(Arc::downgrade(&self.0.0))
    }

    /// How many replies have come.
    pub(super) fn replies(&self) -> u64 {
        self.0.0.queue().replies
    }

    /// Whether it is of no use any more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.0.queue().end.is_some()
    }

    /// Lets it be of no use any more, because the server answers no more, or is the wrong one.
    pub(super) fn end(&self) {
        self.0.0.end(io::Error::other("the connection was given up"));
    }
}

impl Source {
    /// A connection without a server, and what keeps it open.
    #[cfg(test)]
    pub(super) fn open() -> (Self, impl Sized) {
        let shared = Arc::new(Shared::new());
        (Self(Arc::downgrade(&shared)), shared)
    }

    /// Whether the connection is of no use any more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.upgrade().is_none_or(|shared| shared.proven.load(Ordering::Relaxed) == ENDED)
    }

    /// Whether all is known that was changed before now, less the given time. If the proof is getting old, asks for
    /// another, with a command that a server answers only if it answers for the key of that name.
    pub(super) fn is_proven(&self, staleness: Duration, name: impl FnOnce() -> String) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        let proven = shared.proven.load(Ordering::Relaxed);
        if proven == ENDED {
            return false;
        }
        let (now, staleness) = (shared.now(), micros(staleness));
        let age = now.saturating_sub(proven);
        if age > staleness / 2 {
            let asked = shared.asked.load(Ordering::Relaxed);
            if now.saturating_sub(asked) > staleness / 4
                && shared
                    .asked
                    .compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                shared.ask(&Command::new("EXISTS").arg(name()));
            }
        }
        age <= staleness
    }
}

/// What the clones share. The driver ends with it.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end(io::Error::other("the store is gone"));
    }
}

struct Shared {
    queue: Mutex<Queue>,
    driver: AtomicWaker,
    began: Instant,
    /// When the latest command was sent that the server has carried out, in microseconds since `began`: whatever was
    /// changed before that is known.
    proven: AtomicU64,
    /// When a proof was asked for, likewise.
    asked: AtomicU64,
}

/// [`Shared::proven`] of a connection that proves nothing any more.
const ENDED: u64 = u64::MAX;

#[derive(Default)]
struct Queue {
    /// The commands that are to be sent.
    outgoing: Vec<u8>,
    /// Who waits for the replies, in the order of the commands.
    waiting: VecDeque<Waiting>,
    /// How many of them, from the end, wait for what is still in `outgoing`.
    unsent: usize,
    replies: u64,
    /// Why the connection has ended.
    end: Option<Arc<io::Error>>,
}

struct Waiting {
    /// `None` if nobody wants the reply, or not any more.
    answer: Option<oneshot::Sender<Result<Reply, Lost>>>,
    sent_at: Instant,
}

impl Waiting {
    fn tell(self, answer: Result<Reply, Lost>) {
        if let Some(sender) = self.answer {
            // OK because it only fails if nobody waits any more.
            let _ = sender.send(answer);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Shared {
    fn new() -> Self {
        Self {
            queue: Mutex::default(),
            driver: AtomicWaker::new(),
            began: Instant::now(),
            proven: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    /// Microseconds since the connection began.
    fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }

    /// Sends a command whose reply nobody waits for.
    fn ask(&self, command: &Command) {
        let mut queue = self.queue();
        if queue.end.is_none() {
            command.write_to(&mut queue.outgoing);
            queue.waiting.push_back(Waiting { answer: None, sent_at: Instant::now() });
            queue.unsent += 1;
            drop(queue);
            self.driver.wake();
        }
    }

    /// The server has carried out a command that was sent at this time.
    fn prove(&self, sent_at: Instant) {
        let sent_at = micros(sent_at.saturating_duration_since(self.began));
        self.proven.fetch_max(sent_at, Ordering::Relaxed);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // OK because nothing that runs under the lock leaves the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, cause: io::Error) {
        let cause = Arc::new(cause);
        let mut queue = self.queue();
        if queue.end.is_some() {
            return;
        }
        queue.end = Some(Arc::clone(&cause));
        self.proven.store(ENDED, Ordering::Relaxed);
        queue.outgoing = Vec::new();
        let waiting = mem::take(&mut queue.waiting);
        let sent = waiting.len() - queue.unsent;
        drop(queue);
        for (index, waiting) in waiting.into_iter().enumerate() {
            let is_sent = index < sent;
            let lost = if is_sent { Lost::Closed(Arc::clone(&cause)) } else { Lost::Unsent };
            waiting.tell(Err(lost));
        }
        self.driver.wake();
    }
}

/// Moves the bytes.
struct Driver {
    shared: Arc<Shared>,
    stream: Box<dyn Stream>,
    cache: Option<Arc<Cache>>,
    /// How long a reply may take.
    limit: Duration,
    incoming: BytesMut,
    /// What is being sent, and how much of it was.
    sending: Vec<u8>,
    sent: usize,
    is_flushed: bool,
    /// Goes off when the oldest command is overdue.
    timer: Pin<Box<Sleep>>,
    is_armed: bool,
}

/// How much is read at a time.
const READ: usize = 16 * 1024;
/// The largest buffer that is kept for what is sent next.
const KEPT: usize = 64 * 1024;

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Before the queue is looked at, so that nothing put there later goes unnoticed.
        self.shared.driver.register(context.waker());
        if self.shared.queue().end.is_some() {
            return Poll::Ready(());
        }
        let driver = &mut *self;
        // Replies first: who is late because this thread was busy is not late.
        let cause = match driver.read(context) {
            Poll::Ready(cause) => cause,
            Poll::Pending => match driver.write(context) {
                Poll::Ready(Err(cause)) => cause,
                Poll::Ready(Ok(())) | Poll::Pending => {
                    driver.expire(context);
                    return Poll::Pending;
                }
            },
        };
        driver.shared.end(cause);
        Poll::Ready(())
    }
}

impl Driver {
    /// Reads what has come, until the connection ends.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            self.incoming.reserve(READ);
            match ready!(pin!(self.stream.read_buf(&mut self.incoming)).poll(context)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
            loop {
                match next_frame(&mut self.incoming) {
                    Ok(Some(Frame::Reply(reply))) => {
                        let mut queue = self.shared.queue();
                        queue.replies += 1;
                        let Some(waiting) = queue.waiting.pop_front() else {
                            drop(queue);
                            let why = "Redis has answered what was not asked";
                            return Poll::Ready(io::Error::other(why));
                        };
                        drop(queue);
                        if self.cache.is_some() && !matches!(reply, Reply::Refused(_)) {
                            self.shared.prove(waiting.sent_at);
                        }
                        waiting.tell(Ok(reply));
                    }
                    Ok(Some(Frame::Push(said))) => {
                        if let Some(cache) = &self.cache {
                            cache.hear(&said);
                        }
                    }
                    Ok(None) => break,
                    Err(malformed) => return Poll::Ready(malformed.into()),
                }
            }
        }
    }

    /// Sends what there is to send.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.sending.len() {
                let unsent = &self.sending[self.sent..];
                match ready!(Pin::new(&mut self.stream).poll_write(context, unsent)) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(sent) => self.sent += sent,
                    Err(error) => return Poll::Ready(Err(error)),
                }
                self.is_flushed = false;
            }
            self.sent = 0;
            self.sending.clear();
            self.sending.shrink_to(KEPT);
            let mut queue = self.shared.queue();
            if queue.outgoing.is_empty() {
                break;
            }
            mem::swap(&mut queue.outgoing, &mut self.sending);
            queue.unsent = 0;
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells those who have waited for too long. Most replies are there in time, so the timer is set once in a
    /// while and not for each command.
    fn expire(&mut self, context: &mut Context<'_>) {
        loop {
            if self.is_armed && self.timer.as_mut().poll(context).is_pending() {
                return;
            }
            let Some(due) = self.shared.queue().expire(self.limit) else {
                self.is_armed = false;
                return;
            };
            self.timer.as_mut().reset(due);
            self.is_armed = true;
        }
    }
}

impl Queue {
    /// Tells those who have waited for longer than the limit. Returns when the next will have.
    fn expire(&mut self, limit: Duration) -> Option<Instant> {
        let now = Instant::now();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.answer.is_some()) {
            let due = waiting.sent_at + limit;
            if due > now {
                return Some(due);
            }
            // The place stays, because the reply may still come.
            let late = Waiting { answer: waiting.answer.take(), sent_at: waiting.sent_at };
            late.tell(Err(Lost::TooSlow(limit)));
        }
        None
    }
}
