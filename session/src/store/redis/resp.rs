//! The protocol: commands and replies as bytes (RESP3).

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

/// A command: its name and its arguments.
pub(super) struct Command(Words);

/// Words as they are sent.
pub(super) struct Words {
    count: usize,
    bytes: Vec<u8>,
}

impl Command {
    pub(super) fn new(name: &str) -> Self {
        Self(Words::default()).arg(name)
    }

    pub(super) fn arg(mut self, word: impl AsRef<[u8]>) -> Self {
        self.0.push(word);
        self
    }

    pub(super) fn args(mut self, words: &Words) -> Self {
        self.0.count += words.count;
        self.0.bytes.extend_from_slice(&words.bytes);
        self
    }

    /// Appends the command to what is to be sent.
    pub(super) fn write_to(&self, outgoing: &mut Vec<u8>) {
        write_length(outgoing, b'*', self.0.count);
        outgoing.extend_from_slice(&self.0.bytes);
    }
}

impl Default for Words {
    fn default() -> Self {
        // Enough for most commands.
        Self { count: 0, bytes: Vec::with_capacity(256) }
    }
}

impl Words {
    pub(super) fn push(&mut self, word: impl AsRef<[u8]>) {
        let word = word.as_ref();
        self.count += 1;
        write_length(&mut self.bytes, b'$', word.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(super) fn push_number(&mut self, number: u64) {
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
pub(super) enum Reply {
    Nothing,
    Int(i64),
    Text(Bytes),
    /// An array or a set, or the keys and values of a map one after the other.
    List(Vec<Self>),
    Refused(Refusal),
}

impl Reply {
    /// The text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            Self::Nothing | Self::Int(_) | Self::List(_) | Self::Refused(_) => None,
        }
    }

    /// Whether it is this text.
    pub(super) fn is_text(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

/// What the server has said why it did not do something.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("Redis says: {0}")]
pub(super) struct Refusal(String);

impl Refusal {
    /// The first word, which says what kind of error it is.
    pub(super) fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// Whether a word is there. Before Redis 7, the error of a command in a script stands within the
    /// script's own error.
    pub(super) fn says(&self, word: &str) -> bool {
        self.0.split([' ', ':', '-']).any(|part| part == word)
    }

    /// The node that another node says is to be asked: `MOVED 3999 127.0.0.1:6381`.
    pub(super) fn redirection(&self) -> Option<&str> {
        matches!(self.code(), "MOVED" | "ASK").then(|| self.0.split(' ').nth(2)).flatten()
    }
}

/// What the server sends.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// The reply to the next command.
    Reply(Reply),
    /// Something that nobody has asked for.
    Push(Vec<Reply>),
}

/// The bytes are not RESP3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the server sends is not the protocol of Redis")]
pub(super) struct Malformed;

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

/// Takes the next frame off the bytes that have come, if it has come as a whole.
pub(super) fn next_frame(incoming: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(length) = frame_length(incoming)? else { return Ok(None) };
    let frame = if length > COPIED {
        incoming.split_to(length).freeze()
    } else {
        // So that the buffer is free again for what comes next.
        let frame = Bytes::copy_from_slice(&incoming[..length]);
        incoming.advance(length);
        frame
    };
    let is_push = frame.first() == Some(&b'>');
    let reply = Parser { frame: &frame, at: 0 }.reply(0)?;
    Ok(Some(match reply {
        Reply::List(items) if is_push => Frame::Push(items),
        reply => Frame::Reply(reply),
    }))
}

/// Frames up to this length, in bytes, are copied out of the buffer.
const COPIED: usize = 4 * 1024;
/// How deep lists may stand in lists.
const DEPTH: usize = 16;

/// The length of the next frame, found without reading what is in it. `None` if it has not come as a whole.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    let mut missing: usize = 1;
    while missing > 0 {
        let Some((kind, line, next)) = line(bytes, at) else { return Ok(None) };
        at = next;
        missing -= 1;
        match kind {
            b'$' | b'=' | b'!' => {
                if let Some(length) = length(line)? {
                    at =
                        at.checked_add(length).and_then(|at| at.checked_add(2)).ok_or(Malformed)?;
                }
            }
            b'*' | b'~' | b'>' => missing += length(line)?.unwrap_or(0),
            b'%' => missing += length(line)?.unwrap_or(0).checked_mul(2).ok_or(Malformed)?,
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            _ => return Err(Malformed),
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// The kind and the text of the line that begins here, and where the next begins.
fn line(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr(b'\n', rest)?;
    let (kind, text) = rest[..end].split_first()?;
    Some((*kind, text.strip_suffix(b"\r").unwrap_or(text), at + end + 1))
}

/// A length; `None` is that of nothing.
fn length(text: &[u8]) -> Result<Option<usize>, Malformed> {
    let length = number(text)?;
    if length == -1 {
        return Ok(None);
    }
    usize::try_from(length).map(Some).map_err(|_| Malformed)
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let (digits, sign) = match text.strip_prefix(b"-") {
        None => (text, 1),
        Some(digits) => (digits, -1),
    };
    // With the sign from the start, because the smallest number has no positive counterpart.
    let number = digits.iter().try_fold(0_i64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(sign * i64::from(digit))
    });
    number.filter(|_| !digits.is_empty()).ok_or(Malformed)
}

/// Reads a frame that is there as a whole.
struct Parser<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Parser<'_> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Malformed> {
        let (kind, text, next) = line(self.frame, self.at).ok_or(Malformed)?;
        self.at = next;
        Ok(match kind {
            b':' => Reply::Int(number(text)?),
            b'$' | b'=' => match length(text)? {
                None => Reply::Nothing,
                Some(length) => Reply::Text(self.text(length)?),
            },
            b'!' => match length(text)? {
                None => return Err(Malformed),
                Some(length) => Reply::Refused(refusal(&self.text(length)?)),
            },
            b'-' => Reply::Refused(refusal(text)),
            b'_' => Reply::Nothing,
            b'*' | b'~' | b'>' => self.list(length(text)?, 1, depth)?,
            b'%' => self.list(length(text)?, 2, depth)?,
            b'+' | b'#' | b',' | b'(' => Reply::Text(self.frame.slice_ref(text)),
            _ => return Err(Malformed),
        })
    }

    fn text(&mut self, length: usize) -> Result<Bytes, Malformed> {
        let start = self.at;
        let end = start.checked_add(length).filter(|end| *end <= self.frame.len());
        let end = end.ok_or(Malformed)?;
        self.at = end + 2;
        Ok(self.frame.slice(start..end))
    }

    fn list(
        &mut self,
        length: Option<usize>,
        each: usize,
        depth: usize,
    ) -> Result<Reply, Malformed> {
        let Some(length) = length else { return Ok(Reply::Nothing) };
        if depth == DEPTH {
            return Err(Malformed);
        }
        // OK because the frame is here as a whole, and each item takes at least a byte of it.
        let items = (0..length * each).map(|_| self.reply(depth + 1));
        Ok(Reply::List(items.collect::<Result<_, _>>()?))
    }
}

fn refusal(text: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(text);
    // Servers that do not know a command quote its arguments, which may be keys, values or the password.
    let told = text.split(", with args beginning with").next().unwrap_or_default();
    Refusal(told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Frame>, Malformed> {
        next_frame(&mut BytesMut::from(text))
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
    fn a_command_is_an_array_of_its_words() {
        let mut bytes = Vec::new();
        Command::new("SET").arg("key").arg([b'\r', b'\n']).write_to(&mut bytes);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2\r\n\r\n\r\n");
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        assert_eq!(reply("+OK\r\n"), text("OK"));
        assert_eq!(reply(":-42\r\n"), Reply::Int(-42));
        assert_eq!(reply("$5\r\na\r\nbc\r\n"), text("a\r\nbc"));
        assert_eq!(reply("$0\r\n\r\n"), text(""));
        assert_eq!(reply("=7\r\ntxt:abc\r\n"), text("txt:abc"));
        assert_eq!(reply("#t\r\n"), text("t"));
        assert_eq!(reply(",1.5\r\n"), text("1.5"));
        for nothing in ["_\r\n", "$-1\r\n", "*-1\r\n"] {
            assert_eq!(reply(nothing), Reply::Nothing);
        }
        assert_eq!(
            reply("*2\r\n:1\r\n*1\r\n+a\r\n"),
            Reply::List(vec![Reply::Int(1), Reply::List(vec![text("a")])])
        );
        assert_eq!(reply("%1\r\n$1\r\nk\r\n$1\r\nv\r\n"), Reply::List(vec![text("k"), text("v")]));
        assert_eq!(reply("*0\r\n"), Reply::List(Vec::new()));
        let Reply::Refused(refusal) = reply("-MOVED 3999 ::1:6381\r\n") else { panic!("an error") };
        assert_eq!((refusal.code(), refusal.redirection()), ("MOVED", Some("::1:6381")));
        let Reply::Refused(refusal) = reply("!21\r\nSYNTAX invalid syntax\r\n") else {
            panic!("an error")
        };
        assert_eq!(refusal.code(), "SYNTAX");
        assert_eq!(
            read(">2\r\n+a\r\n_\r\n"),
            Ok(Some(Frame::Push(vec![text("a"), Reply::Nothing])))
        );
    }

    #[test]
    fn a_frame_is_read_once_it_is_there_as_a_whole_and_no_more_than_it() {
        let frame = "%2\r\n$1\r\na\r\n*2\r\n:1\r\n$3\r\nxyz\r\n+b\r\n_\r\n";
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), Ok(None), "{end}");
        }
        let mut bytes = BytesMut::from(format!("{frame}:7\r\n:8").as_str());
        assert!(matches!(next_frame(&mut bytes), Ok(Some(Frame::Reply(Reply::List(_))))));
        assert_eq!(next_frame(&mut bytes), Ok(Some(Frame::Reply(Reply::Int(7)))));
        assert_eq!(next_frame(&mut bytes), Ok(None));
        assert_eq!(&bytes[..], b":8");
    }

    #[test]
    fn a_refusal_does_not_tell_the_password_that_it_quotes() {
        // What Redis 5 says to a greeting.
        let quotes =
            "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `hunter2`, \r\n";
        let Reply::Refused(refusal) = reply(quotes) else { panic!("a refusal") };
        assert_eq!(refusal.to_string(), "Redis says: ERR unknown command `HELLO`");
        assert!(!format!("{refusal:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        let deep = "*1\r\n".repeat(100) + ":1\r\n";
        let huge = format!("*1\r\n${}\r\n", u64::MAX);
        for text in ["HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "$-2\r\n", ":\r\n", &deep, &huge] {
            assert_eq!(read(text), Err(Malformed), "{text:.20}");
        }
    }
}
