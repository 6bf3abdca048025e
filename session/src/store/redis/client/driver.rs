//! The task that moves the bytes of one connection.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, ReadHalf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    connection_state::ConnectionState,
    resp::{Frame, FrameReader, Reply},
    writer::ByteStream,
};

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
    stream: ReadHalf<Box<dyn ByteStream>>,
    push_handler: Option<Arc<dyn PushHandler>>,
    /// How long a reply may take.
    reply_timeout: Duration,
    frames: FrameReader,
    /// Fires when the oldest command is overdue.
    timer: Pin<Box<Sleep>>,
    is_armed: bool,
}

/// How many bytes are read at a time.
const READ_SIZE: usize = 16 * 1024;

impl Driver {
    pub(super) fn new(
        state: Arc<ConnectionState>,
        stream: ReadHalf<Box<dyn ByteStream>>,
        limits: ReplyLimits,
        push_handler: Option<Arc<dyn PushHandler>>,
    ) -> Self {
        Self {
            state,
            stream,
            push_handler,
            reply_timeout: limits.time,
            frames: FrameReader::new(limits.bytes),
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
            Poll::Pending => match driver.state.send_queue(context) {
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
