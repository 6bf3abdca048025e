//! Compares fields before and after a change, and records the difference.

use super::session::{Session, Visit};
use crate::{
    fields::{AnyField, Field, Snapshot, same_json},
    request::Fields,
};

/// Records a field's change, if `after` differs from `before`. `before` is `None` if it is not the
/// field's stored value: the caller did not look at it, or it does not decode. Then `after` is
/// compared to what is stored.
pub(super) fn record_change(
    fields: Fields<'_>,
    field: &'static dyn AnyField,
    before: Option<Snapshot>,
    after: Snapshot,
) {
    match (before, after) {
        // A default that cannot be stored, such as NaN, does no harm until it is written.
        (Some(Snapshot::Failed(_, Some(before))), Snapshot::Failed(_, Some(after)))
            if same_json(&before, &after) => {}
        (_, Snapshot::Failed(error, _)) => fields.refuse(field.schema(), error),
        (Some(Snapshot::Value(before)), Snapshot::Value(after)) if same_json(&before, &after) => {}
        (_, Snapshot::Value(after)) => fields.set(field, after),
        (Some(Snapshot::Sum(before)), Snapshot::Sum(after)) if before.is_same(after) => {}
        (before, Snapshot::Sum(after)) => {
            let shown = match before {
                Some(Snapshot::Sum(before)) => Some(before),
                // It was NaN or infinite.
                _ => None,
            };
            fields.set_sum(field, shown, after);
        }
    }
}

/// The value that a field had before it was written, unless the struct does not show what is
/// stored.
pub(super) fn shown(
    fields: Fields<'_>,
    field: &'static dyn AnyField,
    before: Snapshot,
) -> Option<Snapshot> {
    (!fields.hides(field.schema())).then_some(before)
}

/// Calls `change` with a struct, and records the fields that differ afterwards.
pub(crate) fn modify<T: Session, R>(
    value: &mut T,
    fields: Fields<'_>,
    change: impl FnOnce(&mut T) -> R,
) -> R {
    let mut before = Before { value, snapshots: Vec::new() };
    T::visit(&mut before);
    let before = before.snapshots.into_iter();
    let result = change(value);
    T::visit(&mut After { value, before, fields });
    result
}

/// Takes a snapshot of every field.
struct Before<'a, T> {
    value: &'a T,
    snapshots: Vec<Snapshot>,
}

impl<T> Visit<T> for Before<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        self.snapshots.push((field.snapshot)((field.get)(self.value)));
    }
}

/// Records every field that differs from its snapshot.
struct After<'a, T> {
    value: &'a T,
    before: std::vec::IntoIter<Snapshot>,
    fields: Fields<'a>,
}

impl<T> Visit<T> for After<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        let before = self.before.next();
        let after = (field.snapshot)((field.get)(self.value));
        record_change(self.fields, field, before, after);
    }
}
