//! Takes the fields of a struct over from a session of another program.

use super::session::{Session, Visit};
use crate::fields::{Adoption, Field};

/// Takes the fields of `T` over. A value that does not fit is left out, so the field reads as its
/// default. If a `privilege` field does not fit, all of them are left out.
pub fn adopt<T: Session>(adoption: &mut Adoption) {
    let mut adopt = Adopt { adoption, is_doubtful: false };
    T::visit(&mut adopt);
    if adopt.is_doubtful {
        adoption.drop_privileges(T::SCHEMA);
    }
}

struct Adopt<'a> {
    adoption: &'a mut Adoption,
    /// Whether a `privilege` field does not fit.
    is_doubtful: bool,
}

impl<T: Session> Visit<T> for Adopt<'_> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        let fits = self.adoption.field(T::SCHEMA, field);
        let is_privilege = T::SCHEMA.privileges.contains(&field.schema.stored);
        self.is_doubtful |= !fits && is_privilege && !field.schema.lenient;
    }
}
