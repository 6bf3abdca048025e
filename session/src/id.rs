//! The session's id, which only the client and this process see, and the key that stores see.

use std::{fmt, hash::Hasher, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::crypto::{Secret, random_bytes};

/// The secret that a client presents to get its session.
///
/// The id alone opens the session. So ids are compared in constant time and print as
/// `SessionId(…)`; only [`as_str`](Self::as_str) shows the text.
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
///
/// Ids have no hash and no order, because looking one up in a map takes longer the more of a guess
/// is right. Use its [`StoreKey`] as the key of a map:
///
/// ```
/// use actix_typed_session::{SessionId, store::StoreKey};
/// use std::collections::{BTreeSet, HashSet};
///
/// let key = StoreKey::from(&SessionId::random());
/// HashSet::new().insert(key);
/// BTreeSet::new().insert(key);
/// ```
///
/// ```compile_fail,E0599
/// use actix_typed_session::SessionId;
/// use std::collections::HashSet;
///
/// HashSet::new().insert(SessionId::random());
/// ```
///
/// ```compile_fail,E0277
/// use actix_typed_session::SessionId;
/// use std::collections::BTreeSet;
///
/// BTreeSet::new().insert(SessionId::random());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(
    /// ASCII, of the length and the characters that [`is_valid`](Self::is_valid) checks.
    Secret<Arc<[u8]>>,
);

impl SessionId {
    /// The fewest characters of an id: 128 bits in base64url (OWASP ASVS 5.0, 7.2.3).
    pub const MIN_LEN: usize = 22;
    /// The most characters of an id.
    pub const MAX_LEN: usize = 128;

    /// An id of 256 random bits, as 43 characters of base64url.
    ///
    /// # Panics
    /// The operating system has no random numbers. An id that can be guessed would be worse.
    pub fn random() -> Self {
        Self::from_valid(URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
    }

    /// A version 4 UUID with hyphens (RFC 9562, 5.4), as from Node's `uuid.v4()`.
    ///
    /// It has 122 random bits, six fewer than OWASP ASVS 5.0 (7.2.3) asks for. Prefer
    /// [`random`](Self::random) unless something else needs ids that are UUIDs.
    ///
    /// # Panics
    /// The operating system has no random numbers.
    pub fn uuid() -> Self {
        // The version is 4, the variant is 0b10, and the rest is random.
        let random = u128::from_be_bytes(random_bytes()) & !(0xf << 76 | 0b11 << 62);
        let hex = format!("{:032x}", random | 4 << 76 | 0b10 << 62);
        let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Self::from_valid(groups.join("-"))
    }

    /// An id with this text, for an
    /// [`id_generator`](crate::SessionMiddlewareBuilder::id_generator). The text must be impossible
    /// to guess: it needs at least 128 random bits.
    ///
    /// # Errors
    /// The text has fewer than [`MIN_LEN`](Self::MIN_LEN) or more than [`MAX_LEN`](Self::MAX_LEN)
    /// characters, or one that is not `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `.`, `_` or `~`.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::SessionId;
    ///
    /// let id = SessionId::new(format!("eu1.{}", SessionId::random().as_str()))?;
    /// assert!(id.as_str().starts_with("eu1."));
    /// assert!(SessionId::new("too short").is_err());
    /// # Ok::<(), actix_typed_session::SessionIdError>(())
    /// ```
    pub fn new(text: impl Into<String>) -> Result<Self, SessionIdError> {
        Self::parse(text.into().as_bytes()).ok_or(SessionIdError)
    }

    /// Reads an id that a client sent.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::is_valid(bytes).then(|| Self(Secret::new(bytes.into())))
    }

    fn from_valid(text: String) -> Self {
        debug_assert!(Self::is_valid(text.as_bytes()), "a generated id is an id");
        Self(Secret::new(text.into_bytes().into()))
    }

    /// Whether a text has the form of an id.
    pub(crate) fn is_valid(bytes: &[u8]) -> bool {
        // Every request runs this. The compiler turns the check of 16 bytes into vector
        // instructions. The last piece may overlap the one before it.
        let (pieces, _) = bytes.as_chunks::<16>();
        (Self::MIN_LEN..=Self::MAX_LEN).contains(&bytes.len())
            && pieces.iter().chain(bytes.last_chunk()).all(are_unreserved)
    }

    /// The text of the id. Keep it out of logs and pages.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("ids are ASCII")
    }
}

/// Whether all bytes are the `unreserved` characters of RFC 3986, 2.3, of which ids consist.
fn are_unreserved(bytes: &[u8; 16]) -> bool {
    let is_unreserved = |byte: u8| {
        // `|` instead of `||`: without branches the check vectorises.
        ((byte | 0x20).wrapping_sub(b'a') < 26)
            | (byte.wrapping_sub(b'0') < 10)
            | (byte == b'-')
            | (byte == b'.')
            | (byte == b'_')
            | (byte == b'~')
    };
    bytes.iter().fold(true, |all, byte| all & is_unreserved(*byte))
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        Self::parse(text.as_bytes()).ok_or(SessionIdError)
    }
}

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
#[non_exhaustive]
pub struct SessionIdError;

/// The key under which a store keeps a session: the SHA-256 of the session's id.
///
/// A stolen copy of the store opens no session: ids cannot be computed from keys. A key that a
/// client presents as an id is hashed again, and no session has that hash.
///
/// # Examples
/// ```
/// use actix_typed_session::{SessionId, store::StoreKey};
///
/// let id = SessionId::random();
/// let key = StoreKey::from(&id);
/// assert_eq!(key.to_hex().len(), 64);
/// assert_eq!(StoreKey::from_hex(&key.to_hex()), Ok(key));
/// assert_eq!(format!("{key:?}"), "StoreKey(…)");
/// ```
// Keys need no comparison in constant time: an attacker who guesses an id cannot choose which bits
// of its hash are right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key with these bytes, as read back from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first 16 bytes of the key's SHA-256. By them a store recognises the key in a place where
    /// the key itself must not stand. The key cannot be computed from them.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{SessionId, store::StoreKey};
    ///
    /// let key = StoreKey::from(&SessionId::random());
    /// assert_eq!(key.digest(), StoreKey::from_bytes(*key.as_bytes()).digest());
    /// ```
    pub fn digest(&self) -> [u8; 16] {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        *hash.first_chunk().expect("a hash has more than 16 bytes")
    }

    /// The key as 64 lower-case hexadecimal digits, which are a safe file name on every system.
    pub fn to_hex(&self) -> String {
        hex_from_bytes(&self.0)
    }

    /// Reads the text that [`to_hex`](Self::to_hex) wrote.
    ///
    /// # Errors
    ///
    /// Fails if the text is not 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, StoreKeyError> {
        bytes_from_hex(text).map(Self).ok_or(StoreKeyError)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex_from_bytes(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The bytes that are written as lower-case hexadecimal digits; `None` if the text is not that.
pub(crate) fn bytes_from_hex<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != LEN || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; LEN];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(digit);
        *byte = high? << 4 | low?;
    }
    Some(bytes)
}

/// The text is not a [`StoreKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a store key is 64 lower-case hexadecimal digits")]
#[non_exhaustive]
pub struct StoreKeyError;

impl From<&SessionId> for StoreKey {
    #[inline]
    fn from(id: &SessionId) -> Self {
        Self(Sha256::digest(id.0.expose()).into())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

/// Uses a part of a [`StoreKey`] as its hash.
///
/// OK because a key is the SHA-256 of an id that this process generated, so an attacker cannot
/// choose keys that collide.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The first bytes choose the shard. A shorter input is the length of the key, which is
        // constant.
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
    fn a_session_id_error_says_what_an_id_is() {
        assert_eq!(
            SessionIdError.to_string(),
            "a session id has 22 to 128 characters, each a letter, a digit, `-`, `.`, `_` or `~`"
        );
    }

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
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
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
    fn an_id_does_not_print() {
        assert_eq!(format!("{:?}", SessionId::random()), "SessionId(…)");
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
            // Each character is one of 64, the last one of 16. Fewer than six different ones among
            // 64 ids are too unlikely to happen.
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
            assert_eq!(StoreKey::from_hex(&bad), Err(StoreKeyError), "{bad}");
        }
    }
}
