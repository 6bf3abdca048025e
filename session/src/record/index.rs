//! The index: which fields a session is found by, and its id for pages and tools.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::field_name::FieldName;
use crate::time::{Lifetimes, Timestamp};

/// A session's id for pages and tools. It does not open the session.
///
/// The session gets it when an indexed field is written for the first time, from the time and 64
/// random bits, and keeps it when its secret id is renewed. Ids sort in the order in which the
/// sessions began, so a list that is read page by page shows each session once.
///
/// [`Sessions`](crate::Sessions) takes a public id together with the [value](crate::IndexKey) under
/// which the session is listed. So a visitor who sends the public id of another user's session
/// reaches nothing.
///
/// With serde it is its text.
///
/// # Examples
/// ```
/// use actix_typed_session::PublicId;
///
/// let id: PublicId = "01a0b1c2d3e40123456789abcdef".parse()?;
/// assert_eq!(id.to_string(), "01a0b1c2d3e40123456789abcdef");
/// assert_eq!(serde_json::to_string(&id)?, "\"01a0b1c2d3e40123456789abcdef\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId {
    until: Timestamp,
    random: u64,
}

/// Later times do not fit into the 48 bits that an id has for it, nor into the dates of databases.
const LAST: Timestamp = Timestamp::END_OF_9999;

impl PublicId {
    /// A new id for a session that ends at `until` at the latest. A store may remove the session
    /// from its index then. Times after the year 9999 become its end.
    pub fn new(until: Timestamp) -> Self {
        Self { until: until.min(LAST), random: rand::random() }
    }

    /// A new id for a session that begins at this time. Its `until` is two absolute lifetimes
    /// later, so that sessions are still found after the absolute lifetime is raised.
    pub(crate) fn beginning(created_at: Timestamp, lifetimes: &Lifetimes) -> Self {
        Self::new(lifetimes.deadline(lifetimes.deadline(created_at)))
    }

    /// The time at which the session has certainly ended.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The id as 14 bytes, which sort as the ids do.
    pub fn to_bytes(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        // OK because the end of the year 9999 fits into six bytes.
        bytes[..6].copy_from_slice(&self.until.as_unix_ms().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&self.random.to_be_bytes());
        bytes
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: [u8; 14]) -> Self {
        let [mut until, mut random] = [[0; 8]; 2];
        until[2..].copy_from_slice(&bytes[..6]);
        random.copy_from_slice(&bytes[6..]);
        let until = Timestamp::from_unix_ms(u64::from_be_bytes(until));
        Self { until: until.min(LAST), random: u64::from_be_bytes(random) }
    }

    /// The greatest id below this one, if there is one.
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
    /// 28 lower-case hexadecimal digits, which sort as the ids do.
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
    type Err = PublicIdError;

    fn from_str(text: &str) -> Result<Self, PublicIdError> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 28 || !text.bytes().all(|byte| digit(&byte)) {
            return Err(PublicIdError);
        }
        let (until, random) = text.split_at(12);
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| PublicIdError);
        let until = Timestamp::from_unix_ms(number(until)?);
        if until > LAST {
            return Err(PublicIdError);
        }
        Ok(Self { until, random: number(random)? })
    }
}

impl Serialize for PublicId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text is not a [`PublicId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is not the public id of a session, \
     which has 28 characters, each of `0` to `9` or `a` to `f`"
)]
#[non_exhaustive]
pub struct PublicIdError;

/// The public id of a session and the names of its indexed fields. It is stored with the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index {
    public_id: PublicId,
    names: Vec<FieldName>,
}

impl Index {
    /// The index of a session with one indexed field.
    ///
    /// # Panics
    /// The name has control characters. The derive refuses such names.
    pub fn new(public_id: PublicId, name: FieldName) -> Self {
        assert!(!name.chars().any(char::is_control), "the name of an indexed field is printable");
        Self { public_id, names: vec![name] }
    }

    /// An index that was read from a store.
    pub(crate) fn stored(public_id: PublicId, names: Vec<FieldName>) -> Self {
        Self { public_id, names }
    }

    /// The same fields of another session.
    pub(crate) fn with_public_id(&self, public_id: PublicId) -> Self {
        Self { public_id, names: self.names.clone() }
    }

    /// The session's id for pages and tools.
    pub fn public_id(&self) -> PublicId {
        self.public_id
    }

    /// The names of the indexed fields, as in the store.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// This index with the fields of another one. The public id stays.
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
            let json = serde_json::to_string(&id).expect("text always serialises");
            assert_eq!(serde_json::from_str(&json).ok(), Some(id));
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
    fn other_text_is_not_a_public_id() {
        let good = id(1_000_000, 7).to_string();
        let long = format!("{good}0");
        let upper = good.to_uppercase().replace('0', "A");
        let accents = "é".repeat(14);
        let late = "f".repeat(28);
        let plus = good.replacen('0', "+", 1);
        for bad in ["", "0", &good[1..], &long, &upper, &accents, &late, &plus] {
            assert_eq!(bad.parse::<PublicId>(), Err(PublicIdError), "{bad}");
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
