//! One field of a session struct: its name in the store, and how it is read and written.
//!
//! The derive generates one [`Field`] constant per field. Only this constant requires the traits
//! that the field's type must implement. So the compiler reports a missing one once, at the field.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;
use tracing::warn;

#[cfg(feature = "testing")]
use super::example::{Probe, ProbeError};
use super::{
    any::AnyField,
    flash::{self, Messages},
    merge::{MergeError, MergeRule, Ordered, Union, larger, merge_sums, smaller},
    schema::FieldSchema,
    snapshot::{Snapshot, StoredDeserialize, StoredSerialize, decode_sum},
    with::{self, StoredWith},
};
use crate::{error::ValueError, record::Counter};

/// A stored field of the session struct `T`.
pub struct Field<T: 'static, F: 'static> {
    pub(crate) schema: &'static FieldSchema,
    pub(crate) get: fn(&T) -> &F,
    pub(crate) get_mut: fn(&mut T) -> &mut F,
    pub(crate) default: fn() -> F,
    pub(crate) snapshot: fn(&F) -> Snapshot,
    pub(crate) decode: fn(&RawValue) -> Result<F, serde_json::Error>,
    /// Makes a value of the type, to see whether a later release reads such values.
    #[cfg(feature = "testing")]
    pub(crate) example: fn(&mut Probe) -> Result<F, ProbeError>,
    rule: MergeRule<F>,
}

impl<T, F> Field<T, F> {
    /// Returns a field whose last write wins.
    pub const fn value(
        schema: &'static FieldSchema,
        get: fn(&T) -> &F,
        get_mut: fn(&mut T) -> &mut F,
        default: fn() -> F,
    ) -> Self
    where
        F: StoredSerialize + StoredDeserialize,
    {
        Self {
            schema,
            get,
            get_mut,
            default,
            snapshot: Snapshot::value,
            decode: F::decode_stored,
            #[cfg(feature = "testing")]
            example: F::decode_example,
            rule: MergeRule::Native,
        }
    }

    /// Returns a field whose last write wins, and which functions of the struct write and read.
    pub const fn with<const FIELD: usize>(
        schema: &'static FieldSchema,
        get: fn(&T) -> &F,
        get_mut: fn(&mut T) -> &mut F,
        default: fn() -> F,
    ) -> Self
    where
        T: StoredWith<FIELD, Value = F>,
    {
        Self {
            schema,
            get,
            get_mut,
            default,
            snapshot: with::snapshot::<T, FIELD>,
            decode: with::decode::<T, FIELD>,
            #[cfg(feature = "testing")]
            example: with::example::<T, FIELD>,
            rule: MergeRule::Native,
        }
    }

    /// Returns a field whose writes are recorded as differences, which the store adds up.
    pub const fn sum(
        schema: &'static FieldSchema,
        get: fn(&T) -> &F,
        get_mut: fn(&mut T) -> &mut F,
        default: fn() -> F,
    ) -> Self
    where
        F: Counter,
    {
        Self {
            schema,
            get,
            get_mut,
            default,
            snapshot: Snapshot::sum,
            decode: decode_sum,
            #[cfg(feature = "testing")]
            example: |probe| Ok(F::from_number(probe.number())),
            rule: MergeRule::Sum,
        }
    }

    /// Returns a field whose value is a list of messages that are shown once.
    pub const fn flash(
        schema: &'static FieldSchema,
        get: fn(&T) -> &F,
        get_mut: fn(&mut T) -> &mut F,
        default: fn() -> F,
    ) -> Self
    where
        F: Messages + StoredSerialize + StoredDeserialize,
    {
        Self {
            schema,
            get,
            get_mut,
            default,
            snapshot: Snapshot::value,
            decode: flash::decode,
            #[cfg(feature = "testing")]
            example: F::decode_example,
            rule: MergeRule::Flash,
        }
    }

    /// Returns the field with the rule `max`: the larger of two concurrent values stays.
    pub const fn max(self) -> Self
    where
        F: Ordered,
    {
        Self { rule: MergeRule::Merge(larger), ..self }
    }

    /// Returns the field with the rule `min`: the smaller of two concurrent values stays.
    pub const fn min(self) -> Self
    where
        F: Ordered,
    {
        Self { rule: MergeRule::Merge(smaller), ..self }
    }

    /// Returns the field with the rule `union`: additions and removals of both requests count.
    pub const fn union(self) -> Self
    where
        F: Union,
    {
        Self { rule: MergeRule::Merge(F::three_way), ..self }
    }

    /// Returns the field with the rule `reject`: the later of two concurrent requests fails.
    pub const fn reject(self) -> Self {
        Self { rule: MergeRule::Reject, ..self }
    }

    /// Returns the field with a merge rule of the application: this function.
    pub const fn merge_with(self, merge: fn(base: &F, theirs: F, ours: F) -> F) -> Self {
        Self { rule: MergeRule::Merge(merge), ..self }
    }
}

impl<T, F> Field<T, F> {
    /// Returns the field's default: its value in a session that stores none.
    pub fn fresh(&self) -> F {
        (self.default)()
    }

    /// Reads the JSON of a snapshot. Stored messages also have ids.
    #[cfg(feature = "testing")]
    pub(crate) fn decode_snapshot(&self, json: &RawValue) -> Result<F, serde_json::Error> {
        match flash::Flash::default().with_messages(json).filter(|_| self.schema.flash) {
            Some(messages) => (self.decode)(&messages.to_json()),
            None => (self.decode)(json),
        }
    }
}

impl<T, F> fmt::Debug for Field<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("schema", &self.schema)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl<T, F> AnyField for Field<T, F> {
    fn schema(&self) -> &'static FieldSchema {
        self.schema
    }

    fn default(&self) -> Snapshot {
        (self.snapshot)(&self.fresh())
    }

    fn rewrite(&self, json: &RawValue) -> Result<Snapshot, ValueError> {
        Ok((self.snapshot)(&(self.decode)(json)?))
    }

    fn is_merged(&self) -> bool {
        !matches!(self.rule, MergeRule::Native | MergeRule::Sum)
    }

    fn merge(
        &self,
        base: Option<&RawValue>,
        theirs: Option<&RawValue>,
        ours: Option<&RawValue>,
    ) -> Result<Option<Arc<RawValue>>, MergeError> {
        let merge = match self.rule {
            MergeRule::Native => return Ok(None),
            MergeRule::Sum => {
                let default = (self as &dyn AnyField).default_number();
                let sum = merge_sums(base, theirs, ours, default);
                return Ok(Some(sum.to_json().into()));
            }
            MergeRule::Flash => return Ok(Some(flash::merge(base, theirs, ours).into())),
            MergeRule::Reject => return Err(MergeError::Rejected),
            MergeRule::Merge(merge) => merge,
        };
        let value = |json: Option<&RawValue>| match json.map(self.decode) {
            None => self.fresh(),
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                warn_of_unreadable(self.schema, error.into());
                self.fresh()
            }
        };
        let merged = merge(&value(base), value(theirs), value(ours));
        match (self.snapshot)(&merged) {
            Snapshot::Value(json) => Ok(Some(json)),
            Snapshot::Sum(number) => Ok(Some(number.to_json().into())),
            Snapshot::Failed(error, _) => Err(MergeError::Encode(error)),
        }
    }
}

fn warn_of_unreadable(field: &FieldSchema, error: ValueError) {
    warn!(
        event = "merged_value_unreadable",
        "a stored value of `{}` does not decode; it is merged as the default: {error}", field.name,
    );
}
