//! Reads the stored fields for generated code.

use tracing::warn;

use crate::{
    error::ValueError,
    fields::{Field, Schema},
    request::Fields,
};

/// Reads the stored fields of a session for generated code.
#[allow(missing_debug_implementations, reason = "only generated code sees one")]
pub struct FieldReader<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) schema: &'static Schema,
}

impl FieldReader<'_> {
    /// Returns the field's stored value, or its default if none is stored.
    ///
    /// # Errors
    /// The stored value does not decode, and the field is not `lenient`.
    pub fn field<T, F>(&mut self, field: &Field<T, F>) -> Result<F, FieldError> {
        let Some(json) = self.fields.read(field.schema) else { return Ok(field.fresh()) };
        match (field.decode)(&json) {
            Ok(value) => Ok(value),
            Err(error) if field.schema.lenient => {
                warn!(
                    "the stored value of `{}::{}` does not decode; the field reads as fresh: {}",
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
    pub(super) field: &'static str,
    pub(super) source: ValueError,
}
