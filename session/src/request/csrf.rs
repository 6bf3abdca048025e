//! CSRF tokens, which prove that a form comes from a page of this session.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{
    crypto::{Secret, random_bytes},
    id::SessionId,
};

/// The bytes of a session's secret.
const SECRET_LEN: usize = 32;
/// The bytes of a token: the mask and the masked secret.
const TOKEN_BYTES: usize = 2 * SECRET_LEN;
/// The characters of a token.
const TOKEN_LEN: usize = 86;

/// Makes a token for the session with this id.
///
/// Each token masks the secret with other random bytes. The size of a compressed page therefore
/// reveals nothing about the secret (the BREACH attack).
///
/// # Panics
/// If the operating system cannot provide random bytes.
pub(crate) fn token(id: &SessionId) -> String {
    let mask = random_bytes::<SECRET_LEN>();
    let mut bytes = [0; TOKEN_BYTES];
    bytes[..SECRET_LEN].copy_from_slice(&mask);
    for ((masked, mask), secret) in
        bytes[SECRET_LEN..].iter_mut().zip(mask).zip(secret(id).expose())
    {
        *masked = mask ^ secret;
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether the text is a token for the session with this id.
pub(crate) fn is_of(token: &str, id: &SessionId) -> bool {
    if token.len() != TOKEN_LEN {
        return false;
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
    let Some((mask, masked)) = bytes.split_at_checked(SECRET_LEN) else { return false };
    let unmasked: Vec<u8> = mask.iter().zip(masked).map(|(mask, masked)| mask ^ masked).collect();
    Secret::new(unmasked) == secret(id)
}

/// Returns the session's secret, an HMAC keyed with the id.
///
/// A page may contain it, because the id cannot be computed from it. An attacker with a copy of the
/// store cannot compute it, because stores see only the hash of the id.
fn secret(id: &SessionId) -> Secret<[u8; SECRET_LEN]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(id.as_str().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(b"actix-typed-session csrf token");
    Secret::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_for_its_session_only() {
        let (ann, eve) = (SessionId::random(), SessionId::random());
        assert!(is_of(&token(&ann), &ann));
        assert!(!is_of(&token(&ann), &eve));
        assert!(!is_of(&token(&eve), &ann));
    }

    /// A page may be served before an upgrade, and its form sent after it.
    #[test]
    fn a_token_is_the_masked_hmac_of_its_purpose_keyed_with_the_id() {
        let id = SessionId::new("a".repeat(32)).expect("32 letters are an id");
        let unmasked = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC\
                        ItJD0tTUzecoEJcJybw0EaEVl9qHxUD1yJGUEu_MrtA";
        assert!(is_of(unmasked, &id));
    }

    #[test]
    fn no_two_tokens_have_a_part_in_common() {
        let id = SessionId::random();
        let (one, two) = (token(&id), token(&id));
        assert_eq!(one.len(), TOKEN_LEN);
        assert_ne!(one[..TOKEN_LEN / 2], two[..TOKEN_LEN / 2], "the mask");
        assert_ne!(one[TOKEN_LEN / 2..], two[TOKEN_LEN / 2..], "the masked secret");
        assert!(is_of(&one, &id) && is_of(&two, &id));
    }

    #[test]
    fn a_token_with_a_changed_bit_is_refused() {
        let id = SessionId::random();
        let token = token(&id);
        for position in 0..token.len() {
            for bit in 0..7 {
                let mut tampered = token.clone().into_bytes();
                tampered[position] ^= 1 << bit;
                let tampered = String::from_utf8(tampered).expect("ASCII");
                assert!(!is_of(&tampered, &id), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn text_that_is_not_a_token_is_refused() {
        let id = SessionId::random();
        let token = token(&id);
        for end in 0..token.len() {
            assert!(!is_of(&token[..end], &id), "the first {end} characters");
            assert!(end == 0 || !is_of(&token[end..], &id), "from {end}");
        }
        let zeros = "A".repeat(TOKEN_LEN);
        let long = "A".repeat(1_000_000);
        for bad in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
            token.repeat(2),
            zeros,
            long,
            "ä".repeat(TOKEN_LEN / 2),
            id.as_str().to_owned(),
        ] {
            assert!(!is_of(&bad, &id), "{bad:.100}");
        }
    }
}
