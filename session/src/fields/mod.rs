//! What a session struct declares: its fields, their types and their merge rules.

mod adopt;
mod adoption;
mod any;
#[cfg(feature = "testing")]
mod example;
mod field;
mod flash;
mod merge;
mod nulls;
mod schema;
mod snapshot;
mod ttl;
mod with;

#[cfg(feature = "testing")]
pub(crate) use example::{Examples, examples};
pub(crate) use {
    adoption::Adopted,
    any::AnyField,
    flash::Flash,
    merge::MergeError,
    schema::Unreadable,
    snapshot::{Snapshot, same_json},
    ttl::Timed,
};
pub use {
    adoption::Adoption,
    field::Field,
    flash::Messages,
    merge::{Ordered, Union},
    schema::{FieldDescription, FieldSchema, Schema},
    snapshot::{StoredDefault, StoredDeserialize, StoredSerialize},
    with::{StoredInner, StoredWith, nested_option},
};
