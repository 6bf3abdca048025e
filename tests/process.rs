//! What `store_process` and the tests that start it agree on.

use actix_typed_session::store::{Patch, StoreKey};

use crate::json::set;

/// How many sessions `hammer` changes.
pub const SESSIONS: u64 = 6;

/// The key of a session.
pub fn key(session: u64) -> StoreKey {
    numbered(1, session, 0)
}

/// The n-th key that a session has when it is renewed again and again.
pub fn chain_key(round: u64, n: u64) -> StoreKey {
    numbered(2, round, n)
}

/// The key of a session that is destroyed at once.
pub fn doomed_key(round: u64, n: u64) -> StoreKey {
    numbered(3, round, n)
}

fn numbered(kind: u64, a: u64, b: u64) -> StoreKey {
    let mut bytes = [0; 32];
    // The first byte chooses the subfolder.
    bytes[0] = (kind * 83 + a * 31 + b * 7) as u8;
    for (place, number) in [kind, a, b].into_iter().enumerate() {
        bytes[8 * (place + 1)..8 * (place + 2)].copy_from_slice(&number.to_le_bytes());
    }
    StoreKey::from_bytes(bytes)
}

/// Sets fields that must always agree, the large one of changing size.
pub fn value_patch(value: u64) -> Patch {
    let padding = "x".repeat((value % 50 * 400) as usize);
    let number = value.to_string();
    set(&[("a", &number), ("m", &format!("\"{value}{padding}\"")), ("z", &number)])
}
