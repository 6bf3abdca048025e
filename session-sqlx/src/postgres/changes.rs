//! How processes tell each other which sessions they have changed: with `NOTIFY`.

use actix_typed_session::store::StoreKey;
use rand::random;

/// What a store with a local cache sends with each change. The server sends it to all processes
/// that listen, this one included.
pub(super) struct Changes {
    channel: String,
    /// What the messages of this store begin with.
    sender: String,
}

/// What a message means for this store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// This store has sent it.
    Own,
    /// Others have changed these sessions.
    Changed(Vec<StoreKey>),
    /// Another program has sent it, or another release.
    Unknown,
}

/// The length of the sender and of a key in a message, in hexadecimal digits.
const SENDER: usize = 16;
const KEY: usize = 64;

impl Changes {
    pub(super) fn new(table: &str) -> Self {
        Self { channel: format!("{table}_changed"), sender: format!("{:016x}", random::<u64>()) }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// The statement that sends a message without keys.
    pub(super) fn hello(&self) -> String {
        format!("SELECT {}", self.notify("''"))
    }

    /// The expression that sends the keys, which is an expression for their hexadecimal digits. It
    /// sends them when the transaction commits. They must be fewer than 8 000 digits.
    pub(super) fn notify(&self, keys: &str) -> String {
        format!("pg_notify('{}', '{}' || {keys})", self.channel, self.sender)
    }

    pub(super) fn parse(&self, message: &str) -> Message {
        let Some((sender, mut rest)) = message.split_at_checked(SENDER) else {
            return Message::Unknown;
        };
        if sender == self.sender {
            return Message::Own;
        }
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let key = rest.split_at_checked(KEY);
            let Some((Ok(key), later)) = key.map(|(key, rest)| (StoreKey::from_hex(key), rest))
            else {
                return Message::Unknown;
            };
            keys.push(key);
            rest = later;
        }
        Message::Changed(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [StoreKey; 2] = [StoreKey::from_bytes([1; 32]), StoreKey::from_bytes([0xfe; 32])];

    fn message(sender: &Changes, keys: &[StoreKey]) -> String {
        keys.iter().fold(sender.sender.clone(), |message, key| message + &key.to_hex())
    }

    #[test]
    fn a_store_knows_its_own_messages_and_reads_those_of_others() {
        let (ours, theirs) = (Changes::new("t"), Changes::new("t"));
        assert_eq!(ours.parse(&message(&ours, &KEYS)), Message::Own);
        assert_eq!(ours.parse(&message(&theirs, &KEYS)), Message::Changed(KEYS.into()));
        assert_eq!(ours.parse(&message(&theirs, &[])), Message::Changed(vec![]));
    }

    #[test]
    fn a_message_that_no_store_has_sent_is_unknown() {
        let (ours, theirs) = (Changes::new("t"), Changes::new("t"));
        let good = message(&theirs, &KEYS);
        let upper = good.to_uppercase();
        for message in ["", "hello", "0123456789abcde\u{e9}", &good[1..], &upper] {
            assert_eq!(ours.parse(message), Message::Unknown, "{message}");
        }
    }
}
