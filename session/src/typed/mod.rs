//! The session as a struct: the trait, the extractor and the accessors.

mod accessors;
mod adopt;
mod decode;
mod extract;
mod field_mut;
mod reader;
mod record;
mod session;
mod tracked;

#[cfg(feature = "testing")]
pub(crate) use session::declared;
pub use {
    adopt::adopt,
    extract::{Extraction, extract, loaded},
    field_mut::FieldMut,
    reader::{FieldError, FieldReader},
    session::{Accessors, Session, TypedSession, Visit},
    tracked::Tracked,
};
pub(crate) use {decode::read, record::modify, session::handle_of};
