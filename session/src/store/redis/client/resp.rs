//! The protocol RESP3: commands and replies as bytes.

use std::mem;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

/// A command: its name and its arguments.
pub(crate) struct Command {
    args: Args,
    is_script: bool,
}

/// Arguments of a command, encoded as they are sent.
pub(crate) struct Args {
    count: usize,
    bytes: Vec<u8>,
}

impl Command {
    pub(crate) fn new(name: &str) -> Self {
        Self { args: Args::default(), is_script: matches!(name, "EVALSHA" | "EVAL") }.arg(name)
    }

    /// Whether it runs a script.
    pub(super) fn is_script(&self) -> bool {
        self.is_script
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.args.push(arg);
        self
    }

    pub(crate) fn args(mut self, args: &Args) -> Self {
        self.args.count += args.count;
        self.args.bytes.extend_from_slice(&args.bytes);
        self
    }

    /// Appends the encoded command to the bytes to send.
    pub(super) fn write_to(&self, outgoing: &mut Vec<u8>) {
        write_length(outgoing, b'*', self.args.count);
        outgoing.extend_from_slice(&self.args.bytes);
    }
}

impl Default for Args {
    fn default() -> Self {
        // Enough for most commands without a second allocation.
        Self { count: 0, bytes: Vec::with_capacity(256) }
    }
}

impl Args {
    pub(crate) fn push(&mut self, arg: impl AsRef<[u8]>) {
        let arg = arg.as_ref();
        self.count += 1;
        write_length(&mut self.bytes, b'$', arg.len());
        self.bytes.extend_from_slice(arg);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number));
    }
}

fn write_length(to: &mut Vec<u8>, kind: u8, length: usize) {
    to.push(kind);
    to.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Null,
    Int(i64),
    Text(Bytes),
    /// An array, a set, or a map as alternating keys and values.
    List(Vec<Self>),
    Error(ErrorReply),
}

impl Reply {
    /// The text; `None` for any other kind of reply.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            Self::Null | Self::Int(_) | Self::List(_) | Self::Error(_) => None,
        }
    }

    /// Whether the reply is this text.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

/// The error that a server replied with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("Redis replied: {0}")]
pub(crate) struct ErrorReply(String);

impl ErrorReply {
    /// The first word: the kind of error.
    pub(crate) fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// Whether the message has this word. Before Redis 7, the error of a command in a script is
    /// quoted in the middle of the script's error.
    pub(crate) fn contains_word(&self, word: &str) -> bool {
        self.0.split([' ', ':', '-']).any(|part| part == word)
    }

    /// The node to ask instead, from `MOVED 3999 127.0.0.1:6381` or `ASK …`.
    pub(super) fn redirection(&self) -> Option<&str> {
        matches!(self.code(), "MOVED" | "ASK").then(|| self.0.split(' ').nth(2)).flatten()
    }
}

/// One message from the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// The reply to the next command.
    Reply(Reply),
    /// A message without a command.
    Push(Vec<Reply>),
}

/// Why the received bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    /// The bytes are not valid RESP3.
    #[error("the server does not speak the protocol of Redis")]
    Invalid,
    /// A frame is longer than this many bytes.
    #[error("the server sends a reply of more than {0} bytes, the limit of `max_reply_bytes`")]
    TooLong(usize),
}

impl From<ProtocolError> for std::io::Error {
    fn from(error: ProtocolError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Divides the received bytes into frames.
pub(super) struct FrameReader {
    pub(super) incoming: BytesMut,
    /// The most bytes that a frame may have.
    max_bytes: usize,
    /// How much of the next frame is complete: this many bytes.
    at: usize,
    /// How many items follow those bytes until the frame is complete.
    missing: usize,
}

/// The longest frame that is copied out of the buffer, in bytes.
const MAX_COPIED: usize = 4 * 1024;
/// How deep lists may be nested.
const MAX_DEPTH: usize = 16;
/// How many bytes an item takes at least: its kind and a line break.
const MIN_ITEM: usize = 2;

impl FrameReader {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { incoming: BytesMut::new(), max_bytes, at: 0, missing: 1 }
    }

    /// Takes the next frame. `None`: it is not complete yet.
    ///
    /// # Errors
    /// The bytes are not valid, or the frame is longer than the limit. That shows before the bytes
    /// past the limit have arrived.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
        if !self.is_complete()? {
            let is_too_long = self.incoming.len() > self.max_bytes;
            return if is_too_long { Err(self.too_long()) } else { Ok(None) };
        }
        let length = mem::take(&mut self.at);
        self.missing = 1;
        let frame = if length > MAX_COPIED {
            self.incoming.split_to(length).freeze()
        } else {
            // A copy, so that the buffer is free for the next frame.
            let frame = Bytes::copy_from_slice(&self.incoming[..length]);
            self.incoming.advance(length);
            frame
        };
        let is_push = frame.first() == Some(&b'>');
        let reply = Parser { frame: &frame, at: 0 }.reply(0)?;
        Ok(Some(match reply {
            Reply::List(items) if is_push => Frame::Push(items),
            reply => Frame::Reply(reply),
        }))
    }

    /// Whether the next frame is complete. It continues where the last call stopped, so that a list
    /// that arrives in many pieces is scanned only once.
    fn is_complete(&mut self) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let Some((kind, line, next)) = line(&self.incoming, self.at) else { return Ok(false) };
            let (bytes, items) = match kind {
                // With the line break after it.
                b'$' | b'=' | b'!' => (length(line)?.map_or(0, |length| length + 2), 0),
                b'*' | b'~' | b'>' => (0, length(line)?.unwrap_or(0)),
                b'%' => (0, length(line)?.unwrap_or(0).saturating_mul(2)),
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => (0, 0),
                _ => return Err(ProtocolError::Invalid),
            };
            let end = next.saturating_add(bytes);
            let missing = (self.missing - 1).saturating_add(items);
            if end.saturating_add(missing.saturating_mul(MIN_ITEM)) > self.max_bytes {
                return Err(self.too_long());
            }
            if end > self.incoming.len() {
                return Ok(false);
            }
            (self.at, self.missing) = (end, missing);
        }
        Ok(true)
    }

    fn too_long(&self) -> ProtocolError {
        ProtocolError::TooLong(self.max_bytes)
    }
}

/// The kind and the text of the line at this offset, and the offset of the next line.
fn line(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr(b'\n', rest)?;
    let (kind, text) = rest[..end].split_first()?;
    Some((*kind, text.strip_suffix(b"\r").unwrap_or(text), at + end + 1))
}

/// A length. `None`: the null value, whose length is -1.
fn length(text: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let length = number(text)?;
    if length == -1 {
        return Ok(None);
    }
    usize::try_from(length).map(Some).map_err(|_| ProtocolError::Invalid)
}

fn number(text: &[u8]) -> Result<i64, ProtocolError> {
    let (digits, sign) = match text.strip_prefix(b"-") {
        None => (text, 1),
        Some(digits) => (digits, -1),
    };
    // The sign is applied to each digit, because `i64::MIN` has no positive counterpart.
    let number = digits.iter().try_fold(0_i64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(sign * i64::from(digit))
    });
    number.filter(|_| !digits.is_empty()).ok_or(ProtocolError::Invalid)
}

/// Decodes a complete frame.
struct Parser<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Parser<'_> {
    fn reply(&mut self, depth: usize) -> Result<Reply, ProtocolError> {
        let (kind, text, next) = line(self.frame, self.at).ok_or(ProtocolError::Invalid)?;
        self.at = next;
        Ok(match kind {
            b':' => Reply::Int(number(text)?),
            b'$' | b'=' => match length(text)? {
                None => Reply::Null,
                Some(length) => Reply::Text(self.text(length)?),
            },
            b'!' => match length(text)? {
                None => return Err(ProtocolError::Invalid),
                Some(length) => Reply::Error(error_reply(&self.text(length)?)),
            },
            b'-' => Reply::Error(error_reply(text)),
            b'_' => Reply::Null,
            b'*' | b'~' | b'>' => self.list(length(text)?, 1, depth)?,
            b'%' => self.list(length(text)?, 2, depth)?,
            b'+' | b'#' | b',' | b'(' => Reply::Text(self.frame.slice_ref(text)),
            _ => return Err(ProtocolError::Invalid),
        })
    }

    fn text(&mut self, length: usize) -> Result<Bytes, ProtocolError> {
        let start = self.at;
        let end = start.checked_add(length).filter(|end| *end <= self.frame.len());
        let end = end.ok_or(ProtocolError::Invalid)?;
        self.at = end + 2;
        Ok(self.frame.slice(start..end))
    }

    fn list(
        &mut self,
        length: Option<usize>,
        each: usize,
        depth: usize,
    ) -> Result<Reply, ProtocolError> {
        let Some(length) = length else { return Ok(Reply::Null) };
        if depth == MAX_DEPTH {
            return Err(ProtocolError::Invalid);
        }
        // OK because the frame is complete, and each item takes at least one byte of it.
        let items = (0..length * each).map(|_| self.reply(depth + 1));
        Ok(Reply::List(items.collect::<Result<_, _>>()?))
    }
}

fn error_reply(text: &[u8]) -> ErrorReply {
    let text = String::from_utf8_lossy(text);
    // For an unknown command, servers quote the arguments: keys, values or the password.
    let message = text.split(", with args beginning with").next().unwrap_or_default();
    ErrorReply(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16 << 20;

    fn reader(text: &str, max_bytes: usize) -> FrameReader {
        FrameReader { incoming: text.into(), ..FrameReader::new(max_bytes) }
    }

    fn read(text: &str) -> Result<Option<Frame>, ProtocolError> {
        reader(text, MAX).next()
    }

    fn reply(text: &str) -> Reply {
        match read(text) {
            Ok(Some(Frame::Reply(reply))) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn text(text: &'static str) -> Reply {
        Reply::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_command_is_an_array_of_its_arguments() {
        let mut bytes = Vec::new();
        Command::new("SET").arg("key").arg([b'\r', b'\n']).write_to(&mut bytes);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2\r\n\r\n\r\n");
    }

    #[test]
    fn every_kind_of_reply_is_decoded() {
        assert_eq!(reply("+OK\r\n"), text("OK"));
        assert_eq!(reply(":-42\r\n"), Reply::Int(-42));
        assert_eq!(reply("$5\r\na\r\nbc\r\n"), text("a\r\nbc"));
        assert_eq!(reply("$0\r\n\r\n"), text(""));
        assert_eq!(reply("=7\r\ntxt:abc\r\n"), text("txt:abc"));
        assert_eq!(reply("#t\r\n"), text("t"));
        assert_eq!(reply(",1.5\r\n"), text("1.5"));
        for null in ["_\r\n", "$-1\r\n", "*-1\r\n"] {
            assert_eq!(reply(null), Reply::Null);
        }
        assert_eq!(
            reply("*2\r\n:1\r\n*1\r\n+a\r\n"),
            Reply::List(vec![Reply::Int(1), Reply::List(vec![text("a")])])
        );
        assert_eq!(reply("%1\r\n$1\r\nk\r\n$1\r\nv\r\n"), Reply::List(vec![text("k"), text("v")]));
        assert_eq!(reply("*0\r\n"), Reply::List(Vec::new()));
        let Reply::Error(error) = reply("-MOVED 3999 ::1:6381\r\n") else { panic!("an error") };
        assert_eq!((error.code(), error.redirection()), ("MOVED", Some("::1:6381")));
        let Reply::Error(error) = reply("!21\r\nSYNTAX invalid syntax\r\n") else {
            panic!("an error")
        };
        assert_eq!(error.code(), "SYNTAX");
        assert_eq!(read(">2\r\n+a\r\n_\r\n"), Ok(Some(Frame::Push(vec![text("a"), Reply::Null]))));
    }

    #[test]
    fn a_frame_is_decoded_once_it_is_complete_and_nothing_after_it() {
        let frame = "%2\r\n$1\r\na\r\n*2\r\n:1\r\n$3\r\nxyz\r\n+b\r\n_\r\n";
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), Ok(None), "{end}");
        }
        let mut bytes = reader(&format!("{frame}:7\r\n:8"), MAX);
        assert!(matches!(bytes.next(), Ok(Some(Frame::Reply(Reply::List(_))))));
        assert_eq!(bytes.next(), Ok(Some(Frame::Reply(Reply::Int(7)))));
        assert_eq!(bytes.next(), Ok(None));
        assert_eq!(&bytes.incoming[..], b":8");
    }

    #[test]
    fn a_frame_may_arrive_in_pieces() {
        let frame = "%2\r\n$1\r\na\r\n*2\r\n:1\r\n$3\r\nxyz\r\n+b\r\n_\r\n";
        let whole = read(frame);
        let mut bytes = FrameReader::new(MAX);
        for (at, byte) in frame.bytes().enumerate() {
            bytes.incoming.extend_from_slice(&[byte]);
            let expected = if at + 1 == frame.len() { whole.clone() } else { Ok(None) };
            assert_eq!(bytes.next(), expected, "{at}");
        }
        assert!(matches!(whole, Ok(Some(_))));
    }

    #[test]
    fn an_error_reply_does_not_quote_the_password() {
        // The reply of Redis 5 to `HELLO`.
        let quoting =
            "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `hunter2`, \r\n";
        let Reply::Error(error) = reply(quoting) else { panic!("an error") };
        assert_eq!(error.to_string(), "Redis replied: ERR unknown command `HELLO`");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn bytes_of_another_protocol_are_an_error() {
        let deep = "*1\r\n".repeat(100) + ":1\r\n";
        let huge = format!("*1\r\n${}\r\n", u64::MAX);
        for text in ["HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "$-2\r\n", ":\r\n", &deep, &huge] {
            assert_eq!(read(text), Err(ProtocolError::Invalid), "{text:.20}");
        }
    }

    #[test]
    fn a_frame_is_refused_as_soon_as_it_declares_more_than_the_limit() {
        let most = i64::MAX;
        for text in [
            format!("${}\r\n", 400 << 20),
            format!("!{most}\r\n"),
            format!("*{most}\r\n"),
            format!("%{most}\r\n"),
            format!("*2\r\n*{most}\r\n"),
            format!("*{0}\r\n*{0}\r\n*{0}\r\n", most / 2),
            // Each text fits, both together do not.
            format!("*2\r\n$8\r\n12345678\r\n${}\r\n", MAX - 8),
        ] {
            assert_eq!(read(&text), Err(ProtocolError::TooLong(MAX)), "{text:.20}");
        }
        let endless = format!("+{}", "x".repeat(MAX));
        assert_eq!(read(&endless), Err(ProtocolError::TooLong(MAX)));
    }

    #[test]
    fn a_frame_of_the_limit_is_accepted() {
        let frame = "$5\r\nabcde\r\n";
        let read = |max| reader(frame, max).next().map(|frame| frame.is_some());
        assert_eq!(read(frame.len()), Ok(true));
        assert_eq!(read(frame.len() - 1), Err(ProtocolError::TooLong(frame.len() - 1)));
    }
}
