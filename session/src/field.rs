//! One field of a session struct: what it is called in the store, how it is read and written.
//!
//! The derive emits one [`Field`] constant per field. It is the only place where the field's type
//! meets the traits it must implement, so a missing implementation is reported once, at the field.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use tracing::warn;

use crate::{
    error::ValueError,
    merge::{MergeError, MergeRule, MergedField, Ordered, Union, larger, smaller},
    number::{Counter, Number},
    record::Record,
};

/// What the derive knows about a session struct.
#[derive(Debug)]
pub struct Schema {
    /// The struct's name, for messages.
    pub type_name: &'static str,
    /// The cookie of the middleware that this struct belongs to; `None` is the innermost one.
    pub cookie: Option<&'static str>,
    /// A stored value that does not decode is an error of the extraction.
    pub strict: bool,
    /// The names under which its fields are stored, aliases too.
    pub names: &'static [&'static str],
    /// Those of its `privilege` fields.
    pub privileges: &'static [&'static str],
}

/// What the derive knows about a stored field.
#[derive(Debug)]
pub struct FieldSchema {
    /// The field's name in the struct, for messages.
    pub name: &'static str,
    /// Its name in the store.
    pub stored: &'static str,
    /// Names it had in the store before; read when `stored` is absent, removed by the next write.
    pub aliases: &'static [&'static str],
    /// A value that does not decode resets this field alone.
    pub lenient: bool,
    /// How long a value lives after it was written; `None` is as long as the session. Stored with
    /// one is its end too.
    pub ttl: Option<Duration>,
    /// Sessions are found by its value.
    pub index: bool,
}

impl FieldSchema {
    /// The field's JSON in a record. A write removes the aliases, so what is left under one is the value.
    pub(crate) fn find<'a>(&self, record: &'a Record) -> Option<&'a RawValue> {
        record
            .field(self.stored)
            .or_else(|| self.aliases.iter().find_map(|alias| record.field(alias)))
    }
}

/// A stored field of the session struct `T`.
pub struct Field<T: 'static, F: 'static> {
    pub(crate) schema: &'static FieldSchema,
    pub(crate) get: fn(&T) -> &F,
    pub(crate) get_mut: fn(&mut T) -> &mut F,
    pub(crate) default: fn() -> F,
    pub(crate) snapshot: fn(&F) -> Snapshot,
    pub(crate) decode: fn(&RawValue) -> Result<F, serde_json::Error>,
    rule: MergeRule<F>,
}

impl<T, F> Field<T, F> {
    /// A field whose last write wins.
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
            rule: MergeRule::Native,
        }
    }

    /// A field whose writes are recorded as differences and add up.
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
            rule: MergeRule::Native,
        }
    }

    /// The same field; of two concurrent values, the larger one stays.
    pub const fn max(self) -> Self
    where
        F: Ordered,
    {
        Self { rule: MergeRule::Merge(larger), ..self }
    }

    /// The same field; of two concurrent values, the smaller one stays.
    pub const fn min(self) -> Self
    where
        F: Ordered,
    {
        Self { rule: MergeRule::Merge(smaller), ..self }
    }

    /// The same field; what concurrent requests add and remove is added and removed.
    pub const fn union(self) -> Self
    where
        F: Union,
    {
        Self { rule: MergeRule::Merge(F::three_way), ..self }
    }

    /// The same field; the second of two concurrent requests fails.
    pub const fn reject(self) -> Self {
        Self { rule: MergeRule::Reject, ..self }
    }

    /// The same field; this function decides.
    pub const fn merge_with(self, merge: fn(base: &F, theirs: F, ours: F) -> F) -> Self {
        Self { rule: MergeRule::Merge(merge), ..self }
    }
}

impl<T, F> Field<T, F> {
    /// The value of a session that has none stored.
    pub fn fresh(&self) -> F {
        (self.default)()
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

impl<T, F> MergedField for Field<T, F> {
    fn schema(&self) -> &'static FieldSchema {
        self.schema
    }

    fn is_merged(&self) -> bool {
        !matches!(self.rule, MergeRule::Native)
    }

    fn merge(
        &self,
        base: Option<&RawValue>,
        theirs: Option<&RawValue>,
        ours: Option<&RawValue>,
    ) -> Result<Option<Arc<RawValue>>, MergeError> {
        let merge = match self.rule {
            MergeRule::Native => return Ok(None),
            MergeRule::Reject => return Err(MergeError::Rejected),
            MergeRule::Merge(merge) => merge,
        };
        let value = |json: Option<&RawValue>| match json.map(self.decode) {
            None => self.fresh(),
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                warn!(
                    "a stored value of `{}` does not decode, so it is merged as the default: {}",
                    self.schema.name,
                    ValueError::from(error),
                );
                self.fresh()
            }
        };
        let merged = merge(&value(base), value(theirs), value(ours));
        match (self.snapshot)(&merged) {
            Snapshot::Value(json) => Ok(Some(json)),
            Snapshot::Sum(number) => Ok(Some(number.to_json().into())),
            Snapshot::Failed(error) => Err(MergeError::Encode(error)),
        }
    }
}

/// A field's value at one moment, as it would be stored.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// The value's JSON.
    Value(Arc<RawValue>),
    /// The value of a field whose writes add up.
    Sum(Number),
    /// The value has no JSON that would read back.
    Failed(ValueError),
}

impl Snapshot {
    fn value<F: StoredSerialize + StoredDeserialize>(value: &F) -> Self {
        match value.encode_stored() {
            // serde_json writes NaN and the infinities as `null`, which then does not read back; a
            // value that would take the whole struct down at the next request must not be stored.
            Ok(json) if may_hold_null(json.get()) => match F::decode_stored(&json) {
                Ok(_) => Self::Value(json.into()),
                Err(error) => Self::Failed(error.into()),
            },
            Ok(json) => Self::Value(json.into()),
            Err(error) => Self::Failed(error.into()),
        }
    }

    fn sum<F: Counter>(value: &F) -> Self {
        match value.to_number().checked() {
            Ok(number) => Self::Sum(number),
            Err(error) => Self::Failed(error.into()),
        }
    }
}

fn may_hold_null(json: &str) -> bool {
    json.starts_with(['n', '[', '{']) && json.contains("null")
}

fn decode_sum<F: Counter>(json: &RawValue) -> Result<F, serde_json::Error> {
    Number::parse(json).map(F::from_number)
}

/// Whether two JSON texts hold the same value.
///
/// Maps that iterate in random order write the same content in another order, at the same length.
pub(crate) fn same_json(a: &RawValue, b: &RawValue) -> bool {
    let (a, b) = (a.get(), b.get());
    if a == b {
        return true;
    }
    a.len() == b.len()
        && a.contains('{')
        && serde_json::from_str::<serde_json::Value>(a).ok()
            == serde_json::from_str::<serde_json::Value>(b).ok()
}

/// What a session field's type needs so that it can be written to the store.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` cannot be stored: it does not implement `serde::Serialize`",
    label = "this field's type does not implement `Serialize`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or keep the field out of the store with `#[session(skip)]`"
)]
pub trait StoredSerialize {
    /// The value's JSON.
    fn encode_stored(&self) -> Result<Box<RawValue>, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<F: Serialize> StoredSerialize for F {
    fn encode_stored(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(self)
    }
}

/// What a session field's type needs so that it can be read from the store.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` cannot be read back: it does not implement `serde::de::DeserializeOwned`",
    label = "this field's type does not implement `Deserialize` for owned data",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or keep the field out of the store with `#[session(skip)]`"
)]
pub trait StoredDeserialize: Sized {
    /// The value of this JSON.
    fn decode_stored(json: &RawValue) -> Result<Self, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<F: DeserializeOwned> StoredDeserialize for F {
    fn decode_stored(json: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json.get())
    }
}

/// What a session field's type needs so that a session without a stored value can be read.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` has no default value",
    label = "this field's type does not implement `Default`",
    note = "implement `Default` for `{Self}`, or write `#[session(default = …)]` with the value of a session that has none stored"
)]
pub trait StoredDefault {
    /// The value of a field that is not stored.
    fn stored_default() -> Self;
}

#[diagnostic::do_not_recommend]
impl<F: Default> StoredDefault for F {
    fn stored_default() -> Self {
        F::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal")
    }

    #[test]
    fn maps_in_another_order_are_the_same_json() {
        assert!(same_json(&json(r#"{"a":1,"b":2}"#), &json(r#"{"b":2,"a":1}"#)));
        assert!(!same_json(&json(r#"{"a":1,"b":2}"#), &json(r#"{"b":1,"a":2}"#)));
        assert!(!same_json(&json("[1,2]"), &json("[2,1]")));
    }

    #[test]
    fn a_value_that_would_not_read_back_fails_to_encode() {
        assert!(matches!(Snapshot::value(&f64::NAN), Snapshot::Failed(_)));
        assert!(matches!(Snapshot::value(&vec![1.0, f64::INFINITY]), Snapshot::Failed(_)));
        assert!(matches!(Snapshot::value(&None::<f64>), Snapshot::Value(_)));
    }
}
