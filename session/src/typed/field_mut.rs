//! A guard that changes a field in place.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    thread,
};

use super::record::{record_change, shown};
use crate::{
    fields::{AnyField, Snapshot},
    request::SessionHandle,
};

/// Changes a field in place. When the guard is dropped, it records the field if its value changed.
///
/// The accessor `cart_mut()` of a field `cart` returns it. Reading through it costs nothing. The
/// first mutable access encodes the value as JSON, to compare it later.
///
/// # Examples
/// ```
/// # use actix_typed_session::{Session, TypedSession};
/// # #[derive(Session)]
/// # struct Visitor { cart: Vec<String> }
/// # fn handler(mut session: TypedSession<Visitor>) {
/// session.cart_mut().push("apple".to_owned());
///
/// let mut cart = session.cart_mut();
/// cart.sort();
/// cart.dedup();
/// # }
/// ```
#[must_use = "a guard that is dropped at once changes nothing"]
pub struct FieldMut<'a, F: 'static> {
    pub(super) value: &'a mut F,
    pub(super) tracking: Option<Tracking<'a, F>>,
}

/// What a guard needs to record a change.
pub(super) struct Tracking<'a, F> {
    pub(super) handle: &'a SessionHandle,
    /// How many changes of the session the struct shows; see
    /// [`Tracked`](super::tracked::Tracked).
    pub(super) generation: &'a mut u64,
    pub(super) field: &'static dyn AnyField,
    pub(super) snapshot: fn(&F) -> Snapshot,
    /// The value before the first write.
    pub(super) before: Option<Snapshot>,
}

impl<F> Deref for FieldMut<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        self.value
    }
}

impl<F> DerefMut for FieldMut<'_, F> {
    fn deref_mut(&mut self) -> &mut F {
        if let Some(tracking) = &mut self.tracking {
            tracking.before.get_or_insert_with(|| (tracking.snapshot)(self.value));
        }
        self.value
    }
}

impl<F> Drop for FieldMut<'_, F> {
    fn drop(&mut self) {
        // A handler that panics stores nothing. If the value's `Serialize` panicked here as well,
        // the process would abort.
        if thread::panicking() {
            return;
        }
        if let Some(Tracking { handle, generation, field, snapshot, before: Some(before) }) =
            self.tracking.take()
        {
            let is_current = *generation == handle.generation();
            let after = snapshot(self.value);
            let before = shown(handle.fields(), field, before);
            record_change(handle.fields(), field, before, after);
            if is_current {
                *generation = handle.generation();
            }
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for FieldMut<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.value, f)
    }
}
