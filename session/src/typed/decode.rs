//! Reads a session struct from its fields.

use tracing::{error, warn};

use super::{
    reader::{FieldError, FieldReader, Warnings},
    session::Session,
};
use crate::{
    error::{Chain, SessionError},
    fields::Unreadable,
    request::Fields,
};

/// Reads the struct. A field whose stored value does not decode reads as its default. If it is a
/// privilege, the whole struct reads as fresh: what the other fields say may not be the visitor's.
///
/// # Errors
/// [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
pub(crate) fn read<T: Session>(fields: Fields<'_>) -> Result<T, SessionError> {
    let schema = T::SCHEMA;
    match T::decode(&mut FieldReader { fields, schema, warnings: Warnings::Logged }) {
        Ok(value) => Ok(value),
        Err(FieldError { field, source }) if schema.strict => {
            let error = SessionError::Decode { type_name: schema.type_name, field, source };
            error!(event = "strict_value_unreadable", "{}", Chain(&error));
            Err(error)
        }
        Err(FieldError { field, source }) => {
            warn!(
                event = "privilege_unreadable",
                "the stored value of the privilege `{}::{field}` does not decode; the struct reads \
                 as fresh, and its first write drops what is stored of it: {source}",
                schema.type_name,
            );
            fields.hide(Unreadable::Struct(schema));
            Ok(T::fresh())
        }
    }
}

/// As [`read`], for a struct that the request has read before. It repeats no warning, and a value
/// that does not decode is not an error.
pub(super) fn read_again<T: Session>(fields: Fields<'_>) -> T {
    read_loaded(fields).unwrap_or_else(T::fresh)
}

/// As [`read_again`]. `None` if the struct is `strict` and a stored value does not decode.
pub(super) fn read_loaded<T: Session>(fields: Fields<'_>) -> Option<T> {
    let schema = T::SCHEMA;
    match T::decode(&mut FieldReader { fields, schema, warnings: Warnings::Known }) {
        Ok(value) => Some(value),
        Err(_) if schema.strict => None,
        Err(_) => {
            fields.hide(Unreadable::Struct(schema));
            Some(T::fresh())
        }
    }
}
