//! Signatures of ids: an id that this application did not issue is refused without a store call.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{crypto::Key, id::SessionId};

/// Signs ids for one cookie, and verifies the signed ids that clients send.
///
/// A signed id is `<id>.<MAC>`. The MAC is the HMAC-SHA256 (RFC 2104) of `<cookie's name>=<id>`, as
/// 43 characters of base64url. It covers the name so that the value is not valid in another cookie,
/// or in another application with the same keys.
#[derive(Clone)]
pub(crate) struct Signer {
    current: Hmac<Sha256>,
    /// Ids that these keys have signed are still accepted.
    older: Vec<Hmac<Sha256>>,
}

/// An id that a client presents, whose signature is valid if ids are signed.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) id: SessionId,
    /// Whether an older key has signed the id, or a former cookie has it, so that the client should
    /// get it again.
    pub(crate) is_outdated: bool,
    /// Whether it comes from a former cookie. It counts only if the present one names no session.
    pub(crate) is_former: bool,
}

impl Claim {
    /// An id in the form that the client would get today.
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, is_outdated: false, is_former: false }
    }

    /// The same id, in a former cookie.
    pub(crate) fn former(self) -> Self {
        Self { is_outdated: true, is_former: true, ..self }
    }
}

/// The characters of a MAC.
const MAC_LEN: usize = 43;
/// Stands between an id and its MAC. Ids may contain it; a MAC cannot.
const SEPARATOR: u8 = b'.';

impl Signer {
    /// The first key signs; all of them verify. `None`: the list is empty.
    pub(crate) fn new(keys: &[Key], cookie: &str) -> Option<Self> {
        let mut macs = keys.iter().map(|key| {
            let mut mac = Hmac::new_from_slice(&key.derive("session id signature"))
                .expect("HMAC takes keys of any length");
            mac.update(cookie.as_bytes());
            // A cookie's name cannot contain `=`, so the text has one meaning.
            mac.update(b"=");
            mac
        });
        Some(Self { current: macs.next()?, older: macs.collect() })
    }

    pub(crate) fn sign(&self, id: &SessionId) -> String {
        let mut mac = self.current.clone();
        mac.update(id.as_str().as_bytes());
        let mut signed = String::with_capacity(id.as_str().len() + 1 + MAC_LEN);
        signed.push_str(id.as_str());
        signed.push(char::from(SEPARATOR));
        URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut signed);
        signed
    }

    /// Whether a text has the form of a signed id.
    pub(crate) fn may_be_signed(text: &[u8]) -> bool {
        let id = text.len().checked_sub(MAC_LEN + 1).map(|split| text.split_at(split));
        id.is_some_and(|(id, mac)| mac[0] == SEPARATOR && SessionId::is_valid(id))
    }

    /// The id in the value, if one of the keys has signed it.
    pub(crate) fn verify(&self, value: &[u8]) -> Option<Claim> {
        let split = value.len().checked_sub(MAC_LEN + 1)?;
        let (id, mac) = value.split_at(split);
        let mac = mac.strip_prefix(&[SEPARATOR])?;
        let id = SessionId::parse(id)?;
        // The decoder accepts one text for the same bytes, so each id has one valid signed value.
        let mut bytes = [0; MAC_LEN];
        let length = URL_SAFE_NO_PAD.decode_slice(mac, &mut bytes).ok()?;
        let mac = &bytes[..length];
        let has_signed = |key: &Hmac<Sha256>| {
            let mut expected = key.clone();
            expected.update(id.as_str().as_bytes());
            // Compares in constant time.
            expected.verify_slice(mac).is_ok()
        };
        if has_signed(&self.current) {
            Some(Claim::new(id))
        } else if self.older.iter().any(has_signed) {
            Some(Claim { is_outdated: true, ..Claim::new(id) })
        } else {
            None
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::new("eu.1.0123456789abcdefghijklm").expect("an id")
    }

    fn signer(keys: &[u8], cookie: &str) -> Signer {
        let keys: Vec<_> = keys.iter().map(|byte| Key::from_bytes([*byte; 32])).collect();
        Signer::new(&keys, cookie).expect("there are keys")
    }

    #[test]
    fn a_signed_id_verifies_also_if_it_contains_separators() {
        let signed = signer(&[1], "sid").sign(&id());
        assert_eq!(signed.len(), id().as_str().len() + 44);
        let claim = signer(&[1], "sid").verify(signed.as_bytes()).expect("it is ours");
        assert_eq!((claim.id, claim.is_outdated), (id(), false));
    }

    #[test]
    fn no_bit_of_a_signed_id_can_be_another() {
        let signer = signer(&[1, 2], "sid");
        let signed = signer.sign(&id()).into_bytes();
        for position in 0..signed.len() {
            for bit in 0..8 {
                let mut tampered = signed.clone();
                tampered[position] ^= 1 << bit;
                assert!(signer.verify(&tampered).is_none(), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_value_that_is_cut_off_or_longer_is_refused() {
        let signer = signer(&[1], "sid");
        let signed = signer.sign(&id());
        for end in 0..signed.len() {
            assert!(signer.verify(&signed.as_bytes()[..end]).is_none(), "the first {end} bytes");
            assert!(end == 0 || signer.verify(&signed.as_bytes()[end..]).is_none(), "from {end}");
        }
        for longer in [format!("{signed}="), format!("{signed}A"), format!("{signed}.")] {
            assert!(signer.verify(longer.as_bytes()).is_none(), "{longer}");
        }
        assert!(signer.verify("a".repeat(1_000_000).as_bytes()).is_none());
    }

    #[test]
    fn an_unsigned_id_and_one_of_another_key_or_cookie_are_refused() {
        let signer = signer(&[1], "sid");
        assert!(signer.verify(id().as_str().as_bytes()).is_none());
        for other in [self::signer(&[2], "sid"), self::signer(&[1], "sie"), self::signer(&[1], "s")]
        {
            assert!(signer.verify(other.sign(&id()).as_bytes()).is_none());
        }
        // An empty MAC, and one of zeros.
        let id = id();
        assert!(signer.verify(format!("{}.", id.as_str()).as_bytes()).is_none());
        assert!(signer.verify(format!("{}.{}", id.as_str(), "A".repeat(43)).as_bytes()).is_none());
    }

    #[test]
    fn every_key_verifies_and_the_first_one_signs() {
        let (old, new) = (signer(&[1], "sid"), signer(&[2, 1], "sid"));
        let claim = new.verify(old.sign(&id()).as_bytes()).expect("an older key counts");
        assert!(claim.is_outdated);
        let claim = new.verify(new.sign(&id()).as_bytes()).expect("the first key counts");
        assert!(!claim.is_outdated);
        assert!(old.verify(new.sign(&id()).as_bytes()).is_none(), "the old key did not sign it");
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", signer(&[1], "sid")), "Signer(…)");
    }
}
