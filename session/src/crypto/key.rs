//! The application's secret keys.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use sha2::Sha256;

/// A secret of the application's, for signing and sealing: 256 bits.
///
/// Make one with [`generate`](Self::generate), keep its [`to_base64`](Self::to_base64) where the application keeps
/// its other secrets, and read it back with [`from_base64`](Self::from_base64) when it starts. One key may serve all purposes: what
/// each needs is derived from it with HMAC-SHA256 of the purpose's name (RFC 2104), so that a value made for one is of no use for
/// another.
///
/// Where several keys are taken, the first makes new values and all of them are accepted, so a key is replaced by
/// putting a new one in front, and dropping the old one once nothing made with it is in use.
///
/// # Examples
/// ```
/// use actix_typed_session::Key;
///
/// let text = Key::generate().to_base64();
/// let key = Key::from_base64(&text)?;
/// assert_eq!(key.to_base64(), text);
/// assert_eq!(format!("{key:?}"), "Key(…)");
/// # Ok::<(), actix_typed_session::InvalidKey>(())
/// ```
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// A new key from the operating system's generator.
    ///
    /// # Panics
    /// When the operating system has no random numbers to give.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut bytes)
            .expect("the operating system's random number generator works");
        Self(bytes)
    }

    /// The key with these bytes, which must be random: a password is no key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key that [`to_base64`](Self::to_base64) wrote, in either of the base64 alphabets, with or without padding.
    ///
    /// # Errors
    /// The text is not the base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(InvalidKey)
    }

    /// The key as 43 characters of base64url. Keep it out of logs and repositories.
    pub fn to_base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// A key that is good for one purpose only.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is the base64 of 32 random bytes; `Key::generate().to_base64()` makes one")]
pub struct InvalidKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_either_alphabet() {
        let key = Key::from_bytes([0xfb; 32]);
        let standard = STANDARD_NO_PAD.encode([0xfb; 32]);
        for text in [key.to_base64(), standard.clone(), standard + "=\n"] {
            assert_eq!(Key::from_base64(&text).map(|key| key.0), Ok([0xfb; 32]), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "secret", &"A".repeat(42), &"A".repeat(44), &"!".repeat(43)] {
            assert!(Key::from_base64(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let key = Key::generate();
        assert_eq!(key.derive("signing"), key.derive("signing"));
        assert_ne!(key.derive("signing"), key.derive("sealing"));
        assert_ne!(key.derive("signing"), Key::generate().derive("signing"));
    }
}
