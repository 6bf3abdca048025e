//! Single values of columns, which all databases have.

use actix_typed_session::{PublicId, Timestamp};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use actix_typed_session::{StoreError, store::StoreKey};
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

/// The hour at the end of which a session is surely expired. It is coarse, so that few touches
/// change the index of it.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(crate) fn purge_hour(until: i64) -> i64 {
    (until / 3_600_000 + 1).min(i32::MAX.into())
}

/// An id with this place.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(crate) fn first_of(place: [u8; 12]) -> PublicId {
    let mut bytes = [0; 14];
    bytes[..12].copy_from_slice(&place);
    PublicId::from_bytes(bytes)
}

/// The key that a column holds.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn to_key(bytes: Vec<u8>) -> Result<StoreKey, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::damaged("a key has 32 bytes"))?;
    Ok(StoreKey::from_bytes(bytes))
}
