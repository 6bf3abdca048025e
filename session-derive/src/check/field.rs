//! One field of a session struct.

use syn::{Type, spanned::Spanned as _};

use super::{
    accessors::{AccessorNames, Wanted},
    model::{Field, Merge, Stored},
    names::identifier,
    stored::Storage,
    types::{option, reference},
};
use crate::{
    errors::Errors,
    parse::{
        attribute::{OptionalExpr, check_conflicts},
        input::{InputField, Kind},
        table::FieldAttributes,
    },
};

/// What the fields of a struct share.
pub(super) struct Fields {
    pub(super) kind: Kind,
    pub(super) storage: Storage,
    pub(super) accessors: AccessorNames,
}

impl Fields {
    /// Checks a field.
    pub(super) fn field(&mut self, input: InputField, errors: &mut Errors) -> Field {
        let InputField { ident, vis, ty, docs, mut attributes } = input;
        if let Type::TraitObject(_) | Type::ImplTrait(_) = &ty {
            errors.push(
                ty.span(),
                "a trait is not a valid field type, because its size is unknown; write a concrete \
                 type, or `Box<dyn …>` in a field with `skip`",
            );
        }
        check_conflicts(&mut attributes, errors);
        let accessor = attributes.accessor.as_ref();
        let accessor = accessor.and_then(|name| identifier(name, "user_name", errors));
        let base = accessor.as_ref().unwrap_or(&ident);
        let stored = self.is_stored(&ty, &attributes, errors);
        let stored = stored.then(|| self.storage.field((&ident, &ty), base, &attributes, errors));
        let add = matches!(stored, Some(Stored { merge: Merge::Add, .. }));
        let flash = matches!(stored, Some(Stored { merge: Merge::Flash, .. }));
        let take = option(&ty).is_some() && !flash;
        let wanted = Wanted { field: &ident, base, take, add, flash };
        let accessors = self.accessors.take(&wanted, errors);
        let default = match attributes.default {
            None | Some(OptionalExpr::Absent(_)) => None,
            Some(OptionalExpr::Given(expr)) => Some(expr),
        };
        Field { ident, vis, ty, docs, default, stored, accessors }
    }

    /// Whether a field is stored. Reports a field that should be and cannot.
    fn is_stored(&self, ty: &Type, attributes: &FieldAttributes, errors: &mut Errors) -> bool {
        if attributes.skip.is_some() {
            return false;
        }
        // The fields of a struct with lifetimes borrow too, and the lifetimes have been reported.
        if let Some(reference) = reference(ty)
            && self.kind == Kind::Session
        {
            errors.push(
                reference,
                "a stored field cannot borrow; write `String` instead of `&str`, and `Vec<T>` \
                 instead of `&[T]`",
            );
            return false;
        }
        true
    }
}
