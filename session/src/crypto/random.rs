//! Random bytes for ids, keys, nonces and masks.

use rand::TryRng as _;

/// Bytes from the operating system's random number generator.
///
/// # Panics
/// The operating system has no random numbers. A value that can be guessed would be worse.
pub(crate) fn random_bytes<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system's random number generator works");
    bytes
}
