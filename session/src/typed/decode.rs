//! Reads a session struct from its fields.

use tracing::{error, warn};

use super::{
    reader::{FieldError, FieldReader},
    session::Session,
};
use crate::{
    error::{Chain, SessionError},
    request::Fields,
};

/// Reads the struct. If a value does not decode, a struct that is not `strict` reads as fresh.
///
/// # Errors
/// [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
pub(crate) fn read<T: Session>(fields: Fields<'_>) -> Result<T, SessionError> {
    let schema = T::SCHEMA;
    match T::decode(&mut FieldReader { fields, schema }) {
        Ok(value) => Ok(value),
        Err(FieldError { field, source }) if schema.strict => {
            let error = SessionError::Decode { type_name: schema.type_name, field, source };
            error!("{}", Chain(&error));
            Err(error)
        }
        Err(FieldError { field, source }) => {
            warn!(
                "the stored value of `{}::{field}` does not decode; the struct reads as fresh: \
                 {source}",
                schema.type_name,
            );
            Ok(T::fresh())
        }
    }
}
