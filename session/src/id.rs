//! The session's id, which only the client and this process know, and the key made from it, which is
//! all that a store ever sees.

use std::{fmt, hash::Hasher, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ctutils::CtEq as _;
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};

/// The secret that a client presents to get at its session.
///
/// Whoever knows the id holds the session, so it is compared in constant time, and it prints as
/// `SessionId(…)`; [`as_str`](Self::as_str) is the one way to see it.
///
/// # Examples
/// ```
/// use actix_typed_session::SessionId;
///
/// let id = SessionId::random();
/// assert_eq!(id.as_str().len(), 43);
/// assert_eq!(format!("{id:?}"), "SessionId(…)");
///
/// assert_eq!(SessionId::uuid().as_str().len(), 36);
/// ```
#[derive(Clone)]
pub struct SessionId(
    /// ASCII, as [`is_valid`](Self::is_valid) says.
    Arc<[u8]>,
);

impl SessionId {
    /// The fewest characters that an id may have: what 128 bits take in base64url
    /// (OWASP ASVS 5.0, 7.2.3).
    pub const MIN_LEN: usize = 22;
    /// The most characters that an id may have.
    pub const MAX_LEN: usize = 128;

    /// 256 bits from the operating system's generator, as 43 characters of base64url.
    ///
    /// # Panics
    /// When the operating system has no random numbers to give; an id that could be guessed would be
    /// worse.
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<32>()).into_bytes().into())
    }

    /// A version 4 UUID with hyphens, as Node's `uuid.v4()`.
    ///
    /// It has 122 random bits, six fewer than OWASP ASVS 5.0 (7.2.3) asks for; prefer
    /// [`random`](Self::random) unless something else needs the ids to be UUIDs.
    pub fn uuid() -> Self {
        // RFC 9562, 5.4: the version is 4, the variant is 0b10, and the rest is random.
        let random = u128::from_be_bytes(random_bytes()) & !(0xf << 76 | 0b11 << 62);
        let hex = format!("{:032x}", random | 4 << 76 | 0b10 << 62);
        let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Self(groups.join("-").into_bytes().into())
    }

    /// An id of your own making, for [`id_generator`](crate::SessionMiddlewareBuilder::id_generator).
    ///
    /// # Errors
    /// The text is shorter than [`MIN_LEN`](Self::MIN_LEN) or longer than
    /// [`MAX_LEN`](Self::MAX_LEN), or has a character other than `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `.`,
    /// `_` and `~`.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::SessionId;
    ///
    /// let id = SessionId::new(format!("eu1.{}", SessionId::random().as_str()))?;
    /// assert!(id.as_str().starts_with("eu1."));
    /// assert!(SessionId::new("too short").is_err());
    /// # Ok::<(), actix_typed_session::InvalidSessionId>(())
    /// ```
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSessionId> {
        Self::parse(text.into().as_bytes()).ok_or(InvalidSessionId)
    }

    /// Reads an id that a client sent.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::is_valid(bytes).then(|| Self(bytes.into()))
    }

    fn is_valid(bytes: &[u8]) -> bool {
        // In pieces that the compiler can look at as a whole: every request comes by here. The last one overlaps the one
        // before it.
        let (pieces, _) = bytes.as_chunks::<16>();
        (Self::MIN_LEN..=Self::MAX_LEN).contains(&bytes.len())
            && pieces.iter().chain(bytes.last_chunk()).all(are_unreserved)
    }

    /// The id itself. Keep it out of logs and pages.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ids are ASCII")
    }
}

/// Bytes from the operating system's generator.
fn random_bytes<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system's random number generator works");
    bytes
}

/// Whether these are characters that ids are made of, which are the `unreserved` ones of RFC 3986, 2.3.
fn are_unreserved(bytes: &[u8; 16]) -> bool {
    let is_unreserved = |byte: u8| {
        // Without an early end, because almost every one is.
        ((byte | 0x20).wrapping_sub(b'a') < 26)
            | (byte.wrapping_sub(b'0') < 10)
            | (byte == b'-')
            | (byte == b'.')
            | (byte == b'_')
            | (byte == b'~')
    };
    bytes.iter().fold(true, |all, byte| all & is_unreserved(*byte))
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// The text is not a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a session id has {min} to {max} characters, each a letter, a digit, `-`, `.`, `_` or `~`",
    min = SessionId::MIN_LEN,
    max = SessionId::MAX_LEN
)]
pub struct InvalidSessionId;

/// What a store knows a session by: the SHA-256 of its id.
///
/// A stolen copy of the store opens no session, because no id can be computed from a key, and a key
/// that is presented as an id is hashed once more and found nowhere.
///
/// # Examples
/// ```
/// use actix_typed_session::{SessionId, StoreKey};
///
/// let id = SessionId::random();
/// let key = StoreKey::from(&id);
/// assert_eq!(key.to_hex().len(), 64);
/// assert_eq!(StoreKey::from_hex(&key.to_hex()), Some(key));
/// assert_eq!(format!("{key:?}"), "StoreKey(…)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key with these bytes, as read back from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 64 lower-case hexadecimal digits: safe as a file name, also where names ignore case.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(DIGITS[usize::from(digit)]))
            .collect()
    }

    /// The key that [`to_hex`](Self::to_hex) wrote, or `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl From<&SessionId> for StoreKey {
    fn from(id: &SessionId) -> Self {
        Self(Sha256::digest(&id.0).into())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

/// Takes a part of a key as its hash. OK because a key is a SHA-256 of what this process has made up, so
/// nobody chooses keys that collide.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not the first bytes, which choose the shard. What is shorter is the length of the key.
        if let Some(part) = bytes.get(8..16).and_then(|part| part.try_into().ok()) {
            self.0 = u64::from_ne_bytes(part);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_characters_of_an_id_make_one() {
        let long = "a".repeat(SessionId::MAX_LEN);
        for good in ["0123456789-._~ABCDEFabcdef", long.as_str()] {
            assert!(SessionId::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(SessionId::MAX_LEN + 1);
        for bad in [
            "",
            "short",
            "../../../../../../etc/passwd",
            "äbcdefghijklmnopqrstuvw",
            "a%20aaaaaaaaaaaaaaaaaaaaa",
            &too_long,
        ] {
            assert!(SessionId::new(bad).is_err(), "{bad}");
            assert!(SessionId::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(SessionId::parse(&[0xff; 30]).is_none());
        for byte in 0..=u8::MAX {
            let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            for place in 0..43 {
                let mut text = [b'a'; 43];
                text[place] = byte;
                assert_eq!(SessionId::parse(&text).is_some(), is_unreserved, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn ids_differ_and_equal_themselves() {
        let id = SessionId::random();
        assert_eq!(id, id.clone());
        assert_ne!(id, SessionId::random());
        assert_ne!(SessionId::uuid(), SessionId::uuid());
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        for _ in 0..64 {
            let id = SessionId::uuid();
            let groups: Vec<_> = id.as_str().split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
            assert!(id.as_str().chars().all(is_hex), "{}", id.as_str());
            assert_eq!(id.as_str().as_bytes()[14], b'4', "the version");
            assert!(b"89ab".contains(&id.as_str().as_bytes()[19]), "the variant");
        }
    }

    #[test]
    fn each_character_of_an_id_is_random() {
        let ids: Vec<_> = (0..64).map(|_| SessionId::random()).collect();
        for place in 0..ids[0].as_str().len() {
            let values: std::collections::BTreeSet<u8> =
                ids.iter().map(|id| id.as_str().as_bytes()[place]).collect();
            // Of 64 throws of a die with 64 sides, or 16 for the last one, so few differ once in many ages.
            assert!(values.len() > 5, "character {place}: {values:?}");
        }
    }

    #[test]
    fn a_key_is_the_sha_256_of_the_id() {
        let id = SessionId::new("a".repeat(32)).expect("32 letters are an id");
        assert_eq!(
            StoreKey::from(&id).to_hex(),
            "3ba3f5f43b92602683c19aee62a20342b084dd5971ddd33808d81a328879a547"
        );
    }

    #[test]
    fn hex_that_is_not_a_key_is_none() {
        for bad in [String::new(), "0".repeat(63), "0".repeat(65), "G".repeat(64), "A".repeat(64)] {
            assert_eq!(StoreKey::from_hex(&bad), None, "{bad}");
        }
    }
}
