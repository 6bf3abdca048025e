//! Bytes that an attacker must not be able to guess piece by piece.

use std::fmt;

use ctutils::CtEq as _;

/// Bytes that are compared in constant time and do not print.
///
/// A comparison that stops at the first difference takes longer the more of a guess is right, so an
/// attacker who measures it finds one byte after the other. `==` on secrets reads every byte, and
/// only their length shows. They have no order and no hash, so no map can look for one.
#[derive(Clone, Copy)]
pub(crate) struct Secret<B>(B);

impl<B: AsRef<[u8]>> Secret<B> {
    pub(crate) const fn new(bytes: B) -> Self {
        Self(bytes)
    }

    /// The bytes, to send them or to compute with them. Compare secrets with `==`, not their bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<A: AsRef<[u8]>, B: AsRef<[u8]>> PartialEq<Secret<B>> for Secret<A> {
    fn eq(&self, other: &Secret<B>) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl<B: AsRef<[u8]>> Eq for Secret<B> {}

impl<B> fmt::Debug for Secret<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_if_all_their_bytes_are() {
        let bytes = [7; 32];
        assert_eq!(Secret::new(bytes), Secret::new(bytes));
        assert_eq!(Secret::new(bytes), Secret::new(bytes.to_vec()), "whatever holds them");
        assert_eq!(Secret::new([0; 0]), Secret::new([]));
    }

    #[test]
    fn secrets_that_differ_in_one_bit_differ() {
        let bytes = [7_u8; 32];
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes;
                other[position] ^= 1 << bit;
                assert_ne!(Secret::new(bytes), Secret::new(other), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_secret_differs_from_its_beginning() {
        let bytes = [7_u8; 32];
        for end in 0..bytes.len() {
            assert_ne!(Secret::new(&bytes[..]), Secret::new(&bytes[..end]), "{end} bytes");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2")), "Secret(…)");
    }
}
