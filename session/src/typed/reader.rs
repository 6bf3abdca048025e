//! Reads the stored fields for generated code.

use tracing::warn;

use crate::{
    error::ValueError,
    fields::{Field, FieldSchema, Schema, Unreadable},
    request::Fields,
};

/// Reads the stored fields of a session for generated code.
#[allow(missing_debug_implementations, reason = "only generated code sees one")]
pub struct FieldReader<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) schema: &'static Schema,
    pub(super) warnings: Warnings,
}

/// Whether values that do not decode are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warnings {
    Logged,
    /// They were logged when the request read them first.
    Known,
}

impl FieldReader<'_> {
    /// Returns the field's stored value, or its default if none is stored or it does not decode.
    ///
    /// # Errors
    /// The stored value does not decode, and the struct is strict or the field is a privilege.
    pub fn field<T, F>(&mut self, field: &Field<T, F>) -> Result<F, FieldError> {
        let Some(json) = self.fields.read(field.schema) else { return Ok(field.fresh()) };
        match (field.decode)(&json) {
            Ok(value) => Ok(value),
            Err(error) => {
                self.unreadable(field.schema, error.into())?;
                Ok(field.fresh())
            }
        }
    }

    /// Decides what a value that does not decode means for the struct.
    #[cold]
    fn unreadable(
        &self,
        field: &'static FieldSchema,
        source: ValueError,
    ) -> Result<(), FieldError> {
        let is_privilege = self.schema.privileges.contains(&field.stored);
        if (self.schema.strict || is_privilege) && !field.lenient {
            return Err(FieldError { field: field.name, source });
        }
        if self.warnings == Warnings::Logged {
            warn!(
                event = "value_unreadable",
                "the stored value of `{}::{}` does not decode; the field reads as its default until \
                 it is written: {source}",
                self.schema.type_name,
                field.name,
            );
        }
        self.fields.hide(Unreadable::Field(field));
        Ok(())
    }
}

/// A stored value that does not decode.
#[derive(Debug)]
pub struct FieldError {
    pub(super) field: &'static str,
    pub(super) source: ValueError,
}
