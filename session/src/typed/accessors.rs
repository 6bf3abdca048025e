//! The methods that the generated accessors call.

use std::{fmt, mem, time::Duration};

use super::{
    decode::{read, read_again, read_loaded},
    field_mut::{FieldMut, Tracking},
    record::{modify, record_change, shown},
    session::{Session, Visit},
    tracked::Tracked,
};
use crate::{
    error::SessionError,
    fields::{Field, Snapshot},
    request::{SessionHandle, Status},
};

#[allow(missing_docs, reason = "most are documented where the generated structs call them")]
impl<T: Session> Tracked<T> {
    /// Reads the struct from a loaded session.
    ///
    /// # Errors
    /// [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
    pub(super) fn open(handle: SessionHandle) -> Result<Self, SessionError> {
        let value = read(handle.fields())?;
        let generation = handle.generation();
        Ok(Self { value, handle, generation })
    }

    /// Reads the struct from a session that the request has read before. `None` if the struct is
    /// `strict` and a stored value does not decode, which is logged already.
    pub(super) fn open_again(handle: SessionHandle) -> Option<Self> {
        let value = read_loaded(handle.fields())?;
        let generation = handle.generation();
        Some(Self { value, handle, generation })
    }

    /// Reads the stored fields again if another extractor changed them. Keeps the fields that are
    /// not stored.
    fn refresh(&mut self) {
        if !self.is_behind() {
            return;
        }
        self.set_current();
        let mut latest = read_again(self.handle.fields());
        T::visit(&mut Swap { one: &mut self.value, other: &mut latest });
    }

    /// Whether another extractor changed the session's fields.
    fn is_behind(&self) -> bool {
        self.generation != self.handle.generation()
    }

    /// Remembers that the struct shows all changes.
    fn set_current(&mut self) {
        self.generation = self.handle.generation();
    }

    /// Sets a field's value. Leaves the field unchanged if the value cannot be stored.
    pub fn set<F>(&mut self, field: &'static Field<T, F>, value: F) {
        let after = (field.snapshot)(&value);
        // A sum is recorded as the difference to the value in the struct, because the caller has
        // computed the new value from that one. Any other field is compared to what is stored.
        let before = match &after {
            Snapshot::Sum(_) => {
                shown(self.handle.fields(), field, (field.snapshot)((field.get)(&self.value)))
            }
            Snapshot::Value(_) | Snapshot::Failed(..) => None,
        };
        let is_behind = self.is_behind();
        if is_behind {
            self.refresh();
        }
        if !matches!(after, Snapshot::Failed(..)) {
            *(field.get_mut)(&mut self.value) = value;
        }
        let fields = self.handle.fields();
        if matches!(after, Snapshot::Sum(_)) {
            // An equal sum is not a change, so nothing else would.
            fields.accept(field.schema);
        }
        record_change(fields, field, before, after);
        if is_behind {
            // What it shows of a sum is the sum of all changes.
            self.refresh();
        }
        self.set_current();
    }

    /// Returns a guard to change a field in place.
    pub fn edit<F>(&mut self, field: &'static Field<T, F>) -> FieldMut<'_, F> {
        self.refresh();
        FieldMut {
            value: (field.get_mut)(&mut self.value),
            tracking: Some(Tracking {
                handle: &self.handle,
                generation: &mut self.generation,
                field,
                snapshot: field.snapshot,
                before: None,
            }),
        }
    }

    /// Adds to a field whose writes add up.
    pub fn add<F>(&mut self, field: &'static Field<T, F>, by: F) {
        self.refresh();
        let current = (field.get_mut)(&mut self.value);
        match ((field.snapshot)(current), (field.snapshot)(&by)) {
            (Snapshot::Sum(before), Snapshot::Sum(by)) => {
                if let Ok(sum) = (field.decode)(&before.saturating_add(by).to_json()) {
                    *current = sum;
                }
                self.handle.fields().add(field, by);
            }
            (Snapshot::Failed(error, _), _) | (_, Snapshot::Failed(error, _)) => {
                self.handle.fields().refuse(field.schema, error);
            }
            // The derive calls this for `add` fields only.
            (Snapshot::Value(_) | Snapshot::Sum(_), _) => {}
        }
        self.set_current();
    }

    /// Takes the messages of a field with `flash`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn take_messages<F>(
        &mut self,
        field: &'static Field<T, F>,
    ) -> Result<F, SessionError> {
        let taken = self.handle.active().take_messages(field).await?;
        self.refresh();
        *(field.get_mut)(&mut self.value) = field.fresh();
        // Those that do not decode were logged when the struct was read.
        Ok((field.decode)(&taken).unwrap_or_else(|_| field.fresh()))
    }

    /// Returns a reference to a field that is not stored.
    pub fn unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> &mut F {
        get_mut(&mut self.value)
    }

    /// Returns a guard to change a field that is not stored.
    pub fn edit_unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> FieldMut<'_, F> {
        FieldMut { value: get_mut(&mut self.value), tracking: None }
    }

    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    pub fn regenerate(&mut self) {
        self.handle.regenerate();
        self.value = T::fresh();
        self.set_current();
    }

    pub fn renew(&mut self) {
        self.handle.renew();
    }

    pub fn destroy(&mut self) {
        self.handle.destroy();
        self.value = T::fresh();
        self.set_current();
    }

    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.handle.reload().await?;
        self.value = read(self.handle.fields())?;
        self.set_current();
        Ok(())
    }

    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.handle.save().await
    }

    pub fn touch(&mut self) {
        self.handle.touch();
    }

    pub fn csrf_token(&mut self) -> String {
        self.handle.csrf_token()
    }

    pub fn set_max_age(&mut self, max_age: Duration) {
        self.handle.set_max_age(max_age);
        if self.handle.status() == Status::Destroyed {
            self.value = T::fresh();
            self.set_current();
        }
    }

    pub fn set_persistent(&mut self, persistent: bool) {
        self.handle.set_persistent(persistent);
    }

    pub fn modify<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.refresh();
        let result = modify(&mut self.value, self.handle.fields(), change);
        self.set_current();
        result
    }
}

impl<T: Session> fmt::Debug for Tracked<T> {
    /// Prints the struct's name and the status. The values are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(T::SCHEMA.type_name).field(&self.handle.status()).finish()
    }
}

/// Swaps the stored fields of two structs.
struct Swap<'a, T> {
    one: &'a mut T,
    other: &'a mut T,
}

impl<T> Visit<T> for Swap<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        mem::swap((field.get_mut)(self.one), (field.get_mut)(self.other));
    }
}
