//! What a session struct declares: its fields, their types and their merge rules.

mod field;
mod merge;
mod schema;
mod snapshot;
mod ttl;

pub use {
    field::Field,
    merge::{Ordered, Union},
    schema::{FieldSchema, Schema},
    snapshot::{StoredDefault, StoredDeserialize, StoredSerialize},
};
pub(crate) use {
    merge::{MergeError, MergedField},
    schema::Unreadable,
    snapshot::{Snapshot, same_json},
    ttl::Timed,
};
