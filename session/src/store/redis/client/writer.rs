//! The sending half of a connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, WriteHalf};

/// What a connection reads from and writes to.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Sends the queued commands of a connection.
pub(super) struct Writer {
    stream: WriteHalf<Box<dyn ByteStream>>,
    /// The bytes that are being sent.
    sending: Vec<u8>,
    /// How many bytes of `sending` are sent.
    sent: usize,
    is_flushed: bool,
}

/// The largest buffer that is kept for reuse, in bytes.
const KEPT_SIZE: usize = 64 * 1024;

impl Writer {
    pub(super) fn new(stream: WriteHalf<Box<dyn ByteStream>>) -> Self {
        Self { stream, sending: Vec::new(), sent: 0, is_flushed: true }
    }

    /// Sends what `take` puts into the empty buffer, until it returns false.
    pub(super) fn send(
        &mut self,
        take: impl Fn(&mut Vec<u8>) -> bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
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
            if !take(&mut self.sending) {
                break;
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
