//! Reads a session struct from its fields.

use tracing::{error, warn};

use super::session::Session;
use crate::{
    error::{Chain, SessionError, ValueError},
    fields::{Field, Schema},
    request::Fields,
};

/// Reads the struct.
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
                "the stored value of `{}::{field}` does not decode, so the struct reads as fresh: \
                 {source}",
                schema.type_name,
            );
            Ok(T::fresh())
        }
    }
}

/// Hands the stored fields to generated code.
#[allow(missing_debug_implementations, reason = "only generated code sees one")]
pub struct FieldReader<'a> {
    fields: Fields<'a>,
    schema: &'static Schema,
}

impl FieldReader<'_> {
    /// The field's value: as stored, or its default if nothing is.
    pub fn field<T, F>(&mut self, field: &Field<T, F>) -> Result<F, FieldError> {
        let Some(json) = self.fields.read(field.schema) else { return Ok(field.fresh()) };
        match (field.decode)(&json) {
            Ok(value) => Ok(value),
            Err(error) if field.schema.lenient => {
                warn!(
                    "the stored value of `{}::{}` does not decode, so the field reads as fresh: {}",
                    self.schema.type_name,
                    field.schema.name,
                    ValueError::from(error),
                );
                Ok(field.fresh())
            }
            Err(error) => Err(FieldError { field: field.schema.name, source: error.into() }),
        }
    }
}

/// A stored value that does not decode.
#[derive(Debug)]
pub struct FieldError {
    field: &'static str,
    source: ValueError,
}
