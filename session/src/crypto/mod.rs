//! The application's secret keys, and what is sealed with them.

mod key;
mod random;
#[cfg(feature = "encryption")]
mod sealing;
mod secret;

pub use key::{Key, KeyError};
#[cfg(feature = "encryption")]
pub(crate) use sealing::{Keyring, Unopened, is_sealed};
pub(crate) use {random::random_bytes, secret::Secret};
