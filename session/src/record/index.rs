//! The index: which fields a session is found by, and its id for pages and tools.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::field_name::FieldName;
use crate::{
    id::bytes_from_hex,
    time::{Lifetimes, Limits, Timestamp},
};

/// A session's id for pages and tools. It does not open the session.
///
/// The session gets it when an indexed field is written for the first time, and keeps it when its
/// secret id is renewed. It has the time at which the session began, 48 random bits, and for how
/// many days the index keeps the session. Ids sort by the first, whatever lifetimes the sessions
/// have. So they are in the order in which the sessions began, and a list that is read page by page
/// shows each session once.
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
    /// At most [`LAST`].
    began: Timestamp,
    random: [u8; 6],
    /// How long after that the session has certainly ended. [`FOR_EVER`]: it may live for ever.
    days: u16,
}

/// Later times do not fit into the 48 bits that an id has for it, nor into the dates of databases.
const LAST: Timestamp = Timestamp::END_OF_9999;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// As many days, or more.
const FOR_EVER: u16 = u16::MAX;

impl PublicId {
    /// A new id for a session that began at this time and lives for at most `lifetime`. A store may
    /// remove the session from its index after that, see [`until`](Self::until).
    ///
    /// The lifetime is rounded up to whole days. 65 535 days and more are without an end. Times
    /// after the year 9999 become its end.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{PublicId, Timestamp};
    /// use std::time::Duration;
    ///
    /// let began = Timestamp::from_unix_ms(1_767_225_600_000);
    /// let id = PublicId::new(began, Duration::from_secs(1));
    /// assert_eq!(id.began(), began);
    /// assert_eq!(id.until(), began.saturating_add(Duration::from_secs(24 * 3600)));
    /// ```
    pub fn new(began: Timestamp, lifetime: Duration) -> Self {
        let days = lifetime.as_nanos().div_ceil(DAY.as_nanos());
        let days = u16::try_from(days).unwrap_or(FOR_EVER);
        Self { began: began.min(LAST), random: rand::random(), days }
    }

    /// A new id for a session that begins at this time. The index keeps it for two absolute
    /// lifetimes, so that sessions are still found after the absolute lifetime is raised.
    pub(crate) fn beginning(created_at: Timestamp, lifetimes: &Lifetimes, limits: &Limits) -> Self {
        // The session may return to the middleware's lifetime.
        let longest = lifetimes.absolute.max(lifetimes.absolute(limits));
        Self::new(created_at, longest.saturating_mul(2))
    }

    /// The id of the same session, of which the index keeps it for at least as long as `other`.
    pub(crate) fn lasting(self, other: Self) -> Self {
        Self { days: self.days.max(other.days), ..self }
    }

    /// Whether both are ids of one session, which may differ in how long the index keeps it.
    pub fn is_same_session(self, other: Self) -> bool {
        (self.began, self.random) == (other.began, other.random)
    }

    /// The time at which the session began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// The time at which the session has certainly ended, under the settings that it began with.
    pub fn until(&self) -> Timestamp {
        match self.days {
            FOR_EVER => LAST,
            days => self.began.saturating_add(DAY * u32::from(days)).min(LAST),
        }
    }

    /// The id as 14 bytes, which sort as the ids do: six with the beginning in milliseconds since
    /// 1970, six random ones, and two with the lifetime in days.
    pub fn to_bytes(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        // OK because the end of the year 9999 fits into six bytes.
        bytes[..6].copy_from_slice(&self.began.as_unix_ms().to_be_bytes()[2..]);
        bytes[6..12].copy_from_slice(&self.random);
        bytes[12..].copy_from_slice(&self.days.to_be_bytes());
        bytes
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: [u8; 14]) -> Self {
        let (mut began, mut random) = ([0; 8], [0; 6]);
        began[2..].copy_from_slice(&bytes[..6]);
        random.copy_from_slice(&bytes[6..12]);
        let [.., high, low] = bytes;
        let began = Timestamp::from_unix_ms(u64::from_be_bytes(began));
        Self { began: began.min(LAST), random, days: u16::from_be_bytes([high, low]) }
    }

    /// The first id of the same session in the order of ids.
    pub(crate) fn shortest(self) -> Self {
        Self { days: 0, ..self }
    }

    /// The greatest id below this one, if there is one.
    pub(crate) fn predecessor(self) -> Option<Self> {
        let mut number = [0; 16];
        number[2..].copy_from_slice(&self.to_bytes());
        let before = u128::from_be_bytes(number).checked_sub(1)?.to_be_bytes();
        let [_, _, before @ ..] = before;
        Some(Self::from_bytes(before))
    }
}

impl fmt::Display for PublicId {
    /// 28 lower-case hexadecimal digits, which sort as the ids do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
        let bytes = bytes_from_hex(text).ok_or(PublicIdError)?;
        let id = Self::from_bytes(bytes);
        // A time after the year 9999 would read as another id.
        if id.to_bytes() == bytes { Ok(id) } else { Err(PublicIdError) }
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

    /// This index with the fields of another one. The public id stays, unless the other one is of
    /// the same session and lasts longer.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        if self.public_id.is_same_session(other.public_id) {
            both.public_id = self.public_id.lasting(other.public_id);
        }
        let new = other.names.iter().filter(|name| !self.names.contains(name));
        both.names.extend(new.cloned());
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(began: u64, random: u8, days: u16) -> PublicId {
        PublicId { began: Timestamp::from_unix_ms(began), random: [random; 6], days }
    }

    #[test]
    fn an_id_survives_its_text_and_its_bytes_and_both_keep_the_order() {
        let mut last = None;
        for id in [
            id(0, 0, 0),
            id(0, 0, 1),
            id(0, 1, 0),
            id(1, 0, 256),
            id(255, u8::MAX, u16::MAX),
            id(256, 0, 0),
            id(LAST.as_unix_ms(), 7, 60),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
            let json = serde_json::to_string(&id).expect("text always serialises");
            assert_eq!(serde_json::from_str(&json).ok(), Some(id));
            assert_eq!(PublicId::from_bytes(id.to_bytes()), id);
            assert!(id.predecessor().is_none_or(|before| before < id));
            let now = Some((id, id.to_string(), id.to_bytes()));
            assert!(last < now, "{id:?}");
            last = now;
        }
        let late = PublicId::new(Timestamp::from_unix_ms(u64::MAX), Duration::ZERO);
        assert_eq!((late.began(), late.until()), (LAST, LAST));
        assert_eq!(id(0, 0, 0).predecessor(), None);
        assert_eq!(id(1, 0, 0).predecessor(), Some(id(0, u8::MAX, u16::MAX)));
    }

    #[test]
    fn ids_sort_by_the_beginning_whatever_the_lifetimes_are() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let lifetimes =
            [hours(720), Duration::MAX, hours(1), Duration::ZERO, hours(20), hours(24 * 65_534)];
        let mut last = None;
        for n in 0..10_000_u64 {
            // Each lifetime comes before and after each other one.
            let absolute = lifetimes[(n * n % 31) as usize % lifetimes.len()];
            let settings = Lifetimes { idle: hours(1), absolute, touch_interval: None };
            let began = Timestamp::from_unix_ms(1_767_225_600_000 + n);
            let id = PublicId::beginning(began, &settings, &Limits::default());
            assert_eq!(id.began(), began);
            assert!(last < Some(id), "{n}: {absolute:?}");
            last = Some(id);
        }
    }

    #[test]
    fn an_index_keeps_a_session_for_twice_its_absolute_lifetime_at_least() {
        let began = Timestamp::from_unix_ms(1_767_225_600_000);
        let kept = |absolute| {
            let settings = Lifetimes { idle: DAY, absolute, touch_interval: None };
            PublicId::beginning(began, &settings, &Limits::default()).until()
        };
        assert_eq!(kept(DAY * 30), began.saturating_add(DAY * 60));
        assert_eq!(kept(Duration::from_secs(1)), began.saturating_add(DAY), "in whole days");
        assert_eq!(kept(DAY * 32_767), began.saturating_add(DAY * 65_534));
        for endless in [DAY * 32_768, DAY * 1_000_000, Duration::MAX] {
            assert_eq!(kept(endless), LAST);
        }
    }

    #[test]
    fn other_text_is_not_a_public_id() {
        let good = id(1_000_000, 7, 60).to_string();
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
        let first = Index::new(id(1, 1, 1), "a".into());
        let both = first.and(&Index::new(id(2, 2, 2), "b".into())).and(&first);
        assert_eq!(both.public_id(), first.public_id());
        assert_eq!(both.names().collect::<Vec<_>>(), ["a", "b"]);
    }
}
