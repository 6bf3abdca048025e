//! The application's secret keys, and what is sealed with them.

mod key;
#[cfg(feature = "sealed")]
mod sealing;

pub use key::{InvalidKey, Key};
#[cfg(feature = "sealed")]
pub(crate) use sealing::{Keyring, Unopened};
