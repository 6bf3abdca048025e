//! The session as the user's struct.

mod extract;
mod field_mut;
mod reader;
mod record;
mod session;
mod tracked;

pub use {
    extract::{Extraction, extract},
    field_mut::FieldMut,
    reader::{FieldError, FieldReader},
    session::{Accessors, Session, TypedSession, Visit},
    tracked::Tracked,
};
pub(crate) use {reader::read, record::modify};
