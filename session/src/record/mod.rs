//! What is stored.

mod combine;
mod field_name;
mod format;
mod index;
mod number;
mod patch;
mod record;

#[cfg(feature = "redis")]
pub(crate) use record::{FieldMap, Retired};
pub use {
    field_name::FieldName,
    format::RecordError,
    index::{Index, PublicId, PublicIdError},
    number::{Counter, Number},
    patch::{Change, ExpiryChange, Patch, PatchError},
    record::{Grace, OldIdReads, Record},
};
