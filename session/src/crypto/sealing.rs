//! Authenticated encryption with keys that rotate. This is the only file that uses the cipher.
//!
//! A sealed value is the text `1.`, followed by the base64url of these bytes:
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | the id of the key, from which the key cannot be computed |
//! | 24 | the nonce, random for each value |
//! | as many as the plain text | the ciphertext of XChaCha20-Poly1305 |
//! | 16 | its tag |
//!
//! Nonces of 192 bits can be chosen at random without a limit on their number
//! (draft-irtf-cfrg-xchacha, 2.1). So processes share only the keys.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};

use super::{key::Key, random::random_bytes};
use crate::error::ConfigError;

/// The keys of one purpose. The first one seals; all of them open.
pub(crate) struct Keyring {
    first: SealingKey,
    others: Vec<SealingKey>,
}

struct SealingKey {
    id: [u8; ID_BYTES],
    cipher: XChaCha20Poly1305,
}

const FORMAT: u32 = 1;
const PREFIX: &str = "1.";
const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;

impl Keyring {
    /// Derives the keys of a purpose. A value that is sealed for one purpose does not open for
    /// another.
    pub(crate) fn new(
        keys: impl IntoIterator<Item = Key>,
        purpose: &str,
    ) -> Result<Self, ConfigError> {
        let mut keys = keys.into_iter().map(|key| SealingKey::new(&key, purpose));
        let first = keys.next().ok_or(ConfigError::NoSealingKeys)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// Seals bytes so that they open only in the same context. The context is not part of the text.
    ///
    /// # Panics
    /// The operating system has no random numbers.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> String {
        let nonce = random_bytes::<NONCE_BYTES>();
        let key = &self.first;
        let payload = Payload { msg: plain, aad: context };
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a value in memory is shorter than the cipher's limit of 256 GiB");
        let mut text = String::from(PREFIX);
        URL_SAFE_NO_PAD.encode_string([&key.id, nonce.as_slice(), &sealed].concat(), &mut text);
        text
    }

    /// Opens a value that [`seal`](Self::seal) made with any of the keys.
    pub(crate) fn open(&self, context: &[u8], text: &[u8]) -> Result<Vec<u8>, Unopened> {
        let sealed = text.strip_prefix(PREFIX.as_bytes()).ok_or_else(|| foreign(text))?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened::NotSealed)?;
        let (id, sealed) = sealed.split_first_chunk::<ID_BYTES>().ok_or(Unopened::NotSealed)?;
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Unopened::NotSealed)?;
        let mut unopened = Unopened::UnknownKey;
        // Two keys with the same id are unlikely. Trying both loses no value if it happens.
        for key in self.keys().filter(|key| key.id == *id) {
            let payload = Payload { msg: sealed, aad: context };
            match key.cipher.decrypt(&XNonce::from(*nonce), payload) {
                Ok(plain) => return Ok(plain),
                Err(_) => unopened = Unopened::Changed,
            }
        }
        Err(unopened)
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Whether a text has the form of a sealed value, of this or a later format.
pub(crate) fn is_sealed(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let shortest = base64::encoded_len(ID_BYTES + NONCE_BYTES, false).unwrap_or(0);
    text.split_once('.').is_some_and(|(format, sealed)| {
        format.parse::<u32>().is_ok() && sealed.len() > shortest && sealed.bytes().all(is_base64url)
    })
}

/// Why a text without this release's prefix does not open.
///
/// A later format begins with its number and a dot. The number must be written exactly as a release
/// writes it: any other text would make its sender's requests fail again and again.
fn foreign(text: &[u8]) -> Unopened {
    let start = text.iter().position(|byte| *byte == b'.').map(|dot| &text[..dot]);
    let format = start
        .filter(|start| start.first().is_some_and(|first| matches!(first, b'1'..=b'9')))
        .and_then(|start| std::str::from_utf8(start).ok()?.parse::<u32>().ok());
    match format {
        Some(format) if format > FORMAT => Unopened::LaterFormat(format),
        _ => Unopened::NotSealed,
    }
}

impl SealingKey {
    fn new(key: &Key, purpose: &str) -> Self {
        let id = key.derive(&format!("{purpose}, id"));
        Self {
            id: *id.first_chunk().expect("a derived key is longer than an id"),
            cipher: XChaCha20Poly1305::new(&key.derive(purpose).into()),
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys().count())
    }
}

/// Why a sealed value does not open. The messages do not contain the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unopened {
    #[error("the value was never sealed, or it is cut off")]
    NotSealed,
    #[error(
        "the value is sealed in format {0}, which is newer than this release's format {FORMAT}; \
         run the release that wrote it"
    )]
    LaterFormat(u32),
    #[error(
        "the value is sealed with a key that is not among the given ones; \
         give that key too, as long as values are sealed with it"
    )]
    UnknownKey,
    #[error(
        "the value was changed after it was sealed, or copied from another place, so it is not used"
    )]
    Changed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring<const N: usize>(keys: [u8; N]) -> Keyring {
        let keys = keys.map(|byte| Key::from_bytes([byte; 32]));
        Keyring::new(keys, "test").expect("there is a key")
    }

    #[test]
    fn a_sealed_value_opens_in_the_same_context_only() {
        let keys = keyring([1]);
        for plain in [b"".as_slice(), b"1", &[7; 100_000]] {
            let text = keys.seal(b"here", plain);
            assert_eq!(keys.open(b"here", text.as_bytes()), Ok(plain.to_vec()));
            for context in [b"".as_slice(), b"there", b"here and there"] {
                assert_eq!(keys.open(context, text.as_bytes()), Err(Unopened::Changed));
            }
        }
    }

    #[test]
    fn a_value_that_another_program_has_sealed_opens() {
        // Sealed by a Python program written from the format and the drafts. The nonce is 0, 1, …
        // 23.
        let text = "1.2689dwABAgMEBQYHCAkKCwwNDg8QERITFBUWFz1NK6P0eu4vhVjN1v0StJBKxmHk5sM";
        assert_eq!(keyring([1]).open(b"here", text.as_bytes()), Ok(b"secret".to_vec()));
    }

    #[test]
    fn no_text_with_another_byte_opens() {
        let keys = keyring([1]);
        let text = keys.seal(b"here", b"secret").into_bytes();
        for place in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut other = text.clone();
                other[place] = byte;
                assert_eq!(keys.open(b"here", &other).is_ok(), other == text, "{place}: {byte}");
            }
        }
    }

    #[test]
    fn no_text_of_another_length_opens() {
        let keys = keyring([1]);
        let text = keys.seal(b"here", b"secret");
        for end in 0..text.len() {
            assert!(keys.open(b"here", &text.as_bytes()[..end]).is_err(), "{end}");
        }
        for more in ["A", "AAAA", "=", " ", "."] {
            assert!(keys.open(b"here", (text.clone() + more).as_bytes()).is_err(), "{more}");
        }
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        let keys = keyring([1]);
        assert_ne!(keys.seal(b"here", b"secret"), keys.seal(b"here", b"secret"));
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (before, both, after) = (keyring([1]), keyring([2, 1]), keyring([2]));
        let old = before.seal(b"", b"old");
        let new = both.seal(b"", b"new");
        assert_eq!(both.open(b"", old.as_bytes()), Ok(b"old".to_vec()));
        assert_eq!(after.open(b"", new.as_bytes()), Ok(b"new".to_vec()));
        assert_eq!(after.open(b"", old.as_bytes()), Err(Unopened::UnknownKey));
        assert_eq!(before.open(b"", new.as_bytes()), Err(Unopened::UnknownKey));
    }

    #[test]
    fn a_value_sealed_for_one_purpose_opens_for_no_other() {
        let key = Key::from_bytes([1; 32]);
        let other = Keyring::new([key], "another test").expect("there is a key");
        let text = keyring([1]).seal(b"", b"secret");
        assert_eq!(other.open(b"", text.as_bytes()), Err(Unopened::UnknownKey));
    }

    #[test]
    fn a_later_format_is_not_taken_for_a_value_that_was_never_sealed() {
        let keys = keyring([1]);
        let open = |text: &str| keys.open(b"", text.as_bytes());
        assert_eq!(open("2.AAAA"), Err(Unopened::LaterFormat(2)));
        for text in [
            "", "1", "2", ".", "0.AAAA", "01.AAAA", "-1.AAAA", "+2.AAAA", "02.AAAA", "secret",
            "1.", "1.AAAA",
        ] {
            assert_eq!(open(text), Err(Unopened::NotSealed), "{text}");
        }
    }

    #[test]
    fn a_keyring_without_keys_is_refused() {
        assert!(matches!(Keyring::new([], "test"), Err(ConfigError::NoSealingKeys)));
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", keyring([1, 2])), "Keyring(2 keys)");
    }
}
