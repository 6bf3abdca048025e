//! The index: which sessions are found by the values of their fields, and in which order.

use std::{fmt, str::FromStr};

use super::record::FieldName;
use crate::time::{Lifetimes, Timestamp};

/// The name of a session for pages and tools: it says where the session stands among those with the same
/// value, stays when the session's id is renewed, and opens nothing.
///
/// It is made when an indexed field is written for the first time, from the time and 64 random bits.
/// [`Sessions`](crate::Sessions) takes it together with [the value](By) under which the session is listed;
/// alone it names nothing, so a visitor who sends somebody else's reaches nobody else's session.
///
/// Ids are in the order in which the sessions began. A session keeps its own while it is used, changed or
/// renewed, so whoever goes from page to page sees each session once, whatever happens meanwhile.
///
/// # Examples
/// ```
/// use actix_typed_session::PublicId;
///
/// let id: PublicId = "01a0b1c2d3e40123456789abcdef".parse()?;
/// assert_eq!(id.to_string(), "01a0b1c2d3e40123456789abcdef");
/// # Ok::<(), actix_typed_session::InvalidPublicId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId {
    until: Timestamp,
    random: u64,
}

/// No store can tell a later time; it is the last millisecond of the year 9999.
const LAST: Timestamp = Timestamp::from_unix_ms(253_402_300_799_999);

impl PublicId {
    /// A new one, for a session that no use can extend beyond `until`. A store may forget then that the session
    /// is indexed.
    pub fn new(until: Timestamp) -> Self {
        Self { until: until.min(LAST), random: rand::random() }
    }

    /// That of a session begun at this time. It is good for twice as long as the session can live, so that
    /// sessions are still found if the absolute lifetime is raised.
    pub(crate) fn beginning(created_at: Timestamp, lifetimes: &Lifetimes) -> Self {
        Self::new(lifetimes.deadline(lifetimes.deadline(created_at)))
    }

    /// When the session has certainly ended.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// 14 bytes, in whose order ids are.
    pub fn to_bytes(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        // OK because no time is later than the year 9999.
        bytes[..6].copy_from_slice(&self.until.as_unix_ms().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&self.random.to_be_bytes());
        bytes
    }

    /// The id that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: [u8; 14]) -> Self {
        let [mut until, mut random] = [[0; 8]; 2];
        until[2..].copy_from_slice(&bytes[..6]);
        random.copy_from_slice(&bytes[6..]);
        let until = Timestamp::from_unix_ms(u64::from_be_bytes(until));
        Self { until: until.min(LAST), random: u64::from_be_bytes(random) }
    }

    /// The last id before this one, if there is one.
    pub(crate) fn predecessor(self) -> Option<Self> {
        match (self.random, self.until.as_unix_ms()) {
            (0, 0) => None,
            (0, until) => {
                Some(Self { until: Timestamp::from_unix_ms(until - 1), random: u64::MAX })
            }
            (random, _) => Some(Self { random: random - 1, ..self }),
        }
    }
}

impl fmt::Display for PublicId {
    /// 28 lower-case hexadecimal digits, in whose order ids are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}{:016x}", self.until.as_unix_ms(), self.random)
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({self})")
    }
}

impl FromStr for PublicId {
    type Err = InvalidPublicId;

    fn from_str(text: &str) -> Result<Self, InvalidPublicId> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 28 || !text.bytes().all(|byte| digit(&byte)) {
            return Err(InvalidPublicId);
        }
        let (until, random) = text.split_at(12);
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| InvalidPublicId);
        let until = Timestamp::from_unix_ms(number(until)?);
        if until > LAST {
            return Err(InvalidPublicId);
        }
        Ok(Self { until, random: number(random)? })
    }
}

/// The text is no [`PublicId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public id of a session has 28 characters, each of `0` to `9` or `a` to `f`")]
pub struct InvalidPublicId;

/// Which fields of a session are indexed, and its name for pages and tools. It is stored with the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    public_id: PublicId,
    names: Vec<FieldName>,
}

impl Index {
    /// The index of a session of which one field is indexed.
    ///
    /// # Panics
    /// The name has control characters; the derive does not let any such name through.
    pub fn new(public_id: PublicId, name: FieldName) -> Self {
        assert!(!name.chars().any(char::is_control), "the name of an indexed field is printable");
        Self { public_id, names: vec![name] }
    }

    /// As it was stored.
    pub(crate) fn stored(public_id: PublicId, names: Vec<FieldName>) -> Self {
        Self { public_id, names }
    }

    /// The session's name for pages and tools.
    pub fn public_id(&self) -> PublicId {
        self.public_id
    }

    /// The names, in the store, of the indexed fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Both fields are indexed. The session keeps its public id.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        let new = other.names.iter().filter(|name| !self.names.contains(name));
        both.names.extend(new.cloned());
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(until: u64, random: u64) -> PublicId {
        PublicId { until: Timestamp::from_unix_ms(until), random }
    }

    #[test]
    fn an_id_survives_its_text_and_its_bytes_and_both_keep_the_order() {
        let mut last = None;
        for id in
            [id(0, 0), id(0, 1), id(1, 0), id(255, u64::MAX), id(256, 0), id(LAST.as_unix_ms(), 7)]
        {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(PublicId::from_bytes(id.to_bytes()), id);
            assert!(id.predecessor().is_none_or(|before| before < id));
            let now = Some((id, id.to_string(), id.to_bytes()));
            assert!(last < now, "{id:?}");
            last = now;
        }
        assert_eq!(PublicId::new(Timestamp::from_unix_ms(u64::MAX)).until(), LAST);
        assert_eq!(id(1, 0).predecessor(), Some(id(0, u64::MAX)));
    }

    #[test]
    fn other_text_is_no_public_id() {
        let good = id(1_000_000, 7).to_string();
        let long = format!("{good}0");
        let upper = good.to_uppercase().replace('0', "A");
        let accents = "é".repeat(14);
        let late = "f".repeat(28);
        let plus = good.replacen('0', "+", 1);
        for bad in ["", "0", &good[1..], &long, &upper, &accents, &late, &plus] {
            assert_eq!(bad.parse::<PublicId>(), Err(InvalidPublicId), "{bad}");
        }
    }

    #[test]
    fn a_session_keeps_its_public_id_when_another_field_is_indexed() {
        let first = Index::new(id(1, 1), "a".into());
        let both = first.and(&Index::new(id(2, 2), "b".into())).and(&first);
        assert_eq!(both.public_id(), first.public_id());
        assert_eq!(both.names().collect::<Vec<_>>(), ["a", "b"]);
    }
}
