//! Values of columns that all databases have.

use actix_typed_session::{PublicId, Timestamp};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// A time in milliseconds since 1970. Times beyond those of a signed integer are its last.
pub(crate) fn ms(time: Timestamp) -> i64 {
    i64::try_from(time.as_unix_ms()).unwrap_or(i64::MAX)
}

/// Where a session stands in pages. The last two bytes of an id may change.
pub(crate) fn place(id: PublicId) -> [u8; 12] {
    id.to_bytes()[..12].try_into().expect("12 of 14 bytes")
}

/// The entry of the index for a value of a field: a hash, so that it has a fixed size.
pub(crate) fn found_by(name: &str, json: &RawValue) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([b'\n']);
    hash.update(json.get());
    hash.finalize()[..16].try_into().expect("16 of 32 bytes")
}
