//! The session as the user's struct.

mod tracked;

pub use tracked::{
    Accessors, Extraction, FieldError, FieldMut, FieldReader, Session, Tracked, TypedSession,
    Visit, extract,
};
pub(crate) use tracked::{Sink, Source, modify, read};
