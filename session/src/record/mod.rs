//! What is stored.

mod format;
mod index;
mod number;
mod patch;
mod record;

#[cfg(feature = "redis")]
pub(crate) use record::{Fields, Retired};
pub use {
    format::RecordError,
    index::{Index, InvalidPublicId, PublicId},
    number::{Counter, Number},
    patch::{Change, NewExpiry, Patch, Refused},
    record::{FieldName, Grace, OldId, Record},
};
