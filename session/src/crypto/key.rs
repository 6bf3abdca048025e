//! The application's secret key.

use std::{fmt, str::FromStr};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{random::random_bytes, secret::Secret};

/// A secret key of 256 bits, for signing and encryption.
///
/// Make a key once with [`generate`](Self::generate). Keep its [`to_base64`](Self::to_base64) text
/// with the application's other secrets, and read it with [`from_base64`](Self::from_base64) or
/// `parse` when the application starts.
///
/// One key can serve every purpose. Each purpose uses a key that is derived from it with
/// HMAC-SHA256 (RFC 2104) of the purpose's name, so a value made for one purpose is useless for
/// another.
///
/// Settings that take several keys use the first one for new values and accept values of all of
/// them. To replace a key, put the new one first. Remove the old one when its values are no longer
/// in use.
///
/// # Examples
/// ```
/// use actix_typed_session::Key;
///
/// let text = Key::generate().to_base64();
/// let key = Key::from_base64(&text)?;
/// assert_eq!(key.to_base64(), text);
/// assert_eq!(format!("{key:?}"), "Key(…)");
/// # Ok::<(), actix_typed_session::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Secret<[u8; 32]>);

impl Key {
    /// A new random key.
    ///
    /// # Panics
    /// The operating system has no random numbers.
    pub fn generate() -> Self {
        Self::from_bytes(random_bytes())
    }

    /// The key with these bytes. They must be random; a password is not random enough.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Reads a key from base64. Either alphabet works, with or without padding, and so does white
    /// space around the text.
    ///
    /// # Errors
    /// The text is not the base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let text = text.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self::from_bytes).ok_or(KeyError)
    }

    /// The key as 43 characters of base64url. Keep it out of logs and repositories.
    pub fn to_base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose())
    }

    /// The key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl FromStr for Key {
    type Err = KeyError;

    /// As [`from_base64`](Self::from_base64).
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_base64(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not the base64 of 32 bytes; `Key::generate().to_base64()` makes a key")]
#[non_exhaustive]
pub struct KeyError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_either_alphabet() {
        let key = Key::from_bytes([0xfb; 32]);
        let standard = STANDARD_NO_PAD.encode([0xfb; 32]);
        for text in [key.to_base64(), standard.clone(), standard + "=\n"] {
            assert_eq!(Key::from_base64(&text), Ok(key.clone()), "{text}");
            assert_eq!(text.parse(), Ok(key.clone()), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_key_is_refused() {
        for text in ["", "secret", &"A".repeat(42), &"A".repeat(44), &"!".repeat(43)] {
            assert!(Key::from_base64(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_purpose_has_another_key() {
        let key = Key::generate();
        assert_eq!(key.derive("signing"), key.derive("signing"));
        assert_ne!(key.derive("signing"), key.derive("sealing"));
        assert_ne!(key.derive("signing"), Key::generate().derive("signing"));
    }
}
