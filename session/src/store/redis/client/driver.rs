//! The task that moves the bytes of one connection.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    connection_state::ConnectionState,
    resp::{Frame, FrameReader, Reply},
};

/// What a connection reads from and writes to.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Receives what a server sends without being asked.
///
/// A connection with a handler turns on client tracking: the server reports each key that was read
/// over the connection and then changed.
pub(crate) trait PushHandler: Send + Sync {
    /// Called with the items of one push message, in order with the replies.
    fn on_push(&self, items: &[Reply]);
}

/// How long a reply may take, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyLimits {
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
}

/// Sends the queued commands, and hands the replies to their callers.
pub(super) struct Driver {
    state: Arc<ConnectionState>,
    stream: Box<dyn ByteStream>,
    push_handler: Option<Arc<dyn PushHandler>>,
    /// How long a reply may take.
    reply_timeout: Duration,
    frames: FrameReader,
    /// The bytes that are being sent.
    sending: Vec<u8>,
    /// How many bytes of `sending` are sent.
    sent: usize,
    is_flushed: bool,
    /// Fires when the oldest command is overdue.
    timer: Pin<Box<Sleep>>,
    is_armed: bool,
}

/// How many bytes are read at a time.
const READ_SIZE: usize = 16 * 1024;
/// The largest send buffer that is kept for reuse, in bytes.
const KEPT_SIZE: usize = 64 * 1024;

impl Driver {
    pub(super) fn new(
        state: Arc<ConnectionState>,
        stream: Box<dyn ByteStream>,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Self {
        Self {
            state,
            stream,
            push_handler,
            reply_timeout: limits.time,
            frames: FrameReader::new(limits.bytes),
            sending: Vec::new(),
            sent: 0,
            is_flushed: true,
            timer: Box::pin(sleep_until(Instant::now())),
            is_armed: false,
        }
    }

    /// Reads until the connection ends, and returns why.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            self.frames.incoming.reserve(READ_SIZE);
            match ready!(pin!(self.stream.read_buf(&mut self.frames.incoming)).poll(context)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
            if let Err(error) = self.handle_frames() {
                return Poll::Ready(error);
            }
        }
    }

    /// Handles the frames that have arrived.
    fn handle_frames(&mut self) -> io::Result<()> {
        while let Some(frame) = self.frames.next()? {
            match frame {
                Frame::Reply(reply) => {
                    let Some(pending) = self.state.take_pending() else {
                        return Err(io::Error::other("Redis sent a reply to no command"));
                    };
                    if self.push_handler.is_some() && !matches!(reply, Reply::Error(_)) {
                        self.state.confirm(pending.sent_at);
                    }
                    pending.complete(Ok(reply));
                }
                Frame::Push(items) => {
                    if let Some(handler) = &self.push_handler {
                        handler.on_push(&items);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the queued bytes.
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
            self.sending.shrink_to(KEPT_SIZE);
            if !self.state.take_outgoing(&mut self.sending) {
                break;
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Fails the overdue commands. Most replies arrive in time, so the timer is set for the oldest
    /// command only and not for each one.
    fn expire(&mut self, context: &mut Context<'_>) {
        loop {
            if self.is_armed && self.timer.as_mut().poll(context).is_pending() {
                return;
            }
            let Some(due) = self.state.expire_overdue(self.reply_timeout) else {
                self.is_armed = false;
                return;
            };
            self.timer.as_mut().reset(due);
            self.is_armed = true;
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Registered before the queue is read, so that no later command goes unnoticed.
        self.state.driver.register(context.waker());
        if self.state.is_closed() {
            return Poll::Ready(());
        }
        let driver = &mut *self;
        // Replies come before timeouts: a reply that waited for this busy thread is not late.
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
        driver.state.close(cause);
        Poll::Ready(())
    }
}
