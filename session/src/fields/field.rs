//! One field of a session struct: what it is called in the store, how it is read and written.
//!
//! The derive emits one [`Field`] constant per field. It is the only place where the field's type
//! meets the traits it must implement, so a missing implementation is reported once, at the field.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use memchr::memchr2_iter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
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
            // Neither does what is nested deeper than serde_json reads.
            Ok(json) if may_hold_null(json.get()) || may_be_too_deep(json.get()) => {
                match F::decode_stored(&json) {
                    Ok(_) => Self::Value(json.into()),
                    Err(error) => Self::Failed(error.into()),
                }
            }
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

/// Whether it has so many brackets that they may lie in each other deeper than the 127 levels that serde_json reads.
fn may_be_too_deep(json: &str) -> bool {
    const MOST_LEVELS: usize = 127;
    json.len() > MOST_LEVELS && memchr2_iter(b'[', b'{', json.as_bytes()).nth(MOST_LEVELS).is_some()
}

fn decode_sum<F: Counter>(json: &RawValue) -> Result<F, serde_json::Error> {
    Number::parse(json).map(F::from_number)
}

/// Whether two JSON texts hold the same value.
///
/// Maps that iterate in random order write the same content in another order, at the same length. All else is the
/// same only if its text is: read as [`serde_json::Value`], numbers past 64 bits would equal their neighbours.
pub(crate) fn same_json(a: &RawValue, b: &RawValue) -> bool {
    /// What differs further down counts as changed. Each level is read once more, so a bound keeps what a client nests
    /// from costing much.
    const MOST_LEVELS: usize = 16;
    let (a, b) = (a.get(), b.get());
    a == b || a.len() == b.len() && a.contains('{') && same_but_for_order(a, b, MOST_LEVELS)
}

fn same_but_for_order(a: &str, b: &str, levels: usize) -> bool {
    fn both<'a, T: Deserialize<'a>>(a: &'a str, b: &'a str) -> Option<(T, T)> {
        Some((serde_json::from_str(a).ok()?, serde_json::from_str(b).ok()?))
    }

    if a == b {
        return true;
    }
    let Some(levels) = levels.checked_sub(1) else { return false };
    let same = |a: &RawValue, b: &RawValue| same_but_for_order(a.get(), b.get(), levels);
    if let Some((a, b)) = both::<BTreeMap<String, &RawValue>>(a, b) {
        a.len() == b.len() && a.iter().zip(&b).all(|((x, a), (y, b))| x == y && same(a, b))
    } else if let Some((a, b)) = both::<Vec<&RawValue>>(a, b) {
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
    } else {
        false
    }
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
        let nested = [r#"[{"a":{"x":[1],"y":2},"b":3}]"#, r#"[{"b":3,"a":{"y":2,"x":[1]}}]"#];
        assert!(same_json(&json(nested[0]), &json(nested[1])));
        assert!(!same_json(&json(nested[0]), &json(&nested[1].replace("[1]", "[2]"))));
    }

    #[test]
    fn what_no_reader_tells_apart_is_not_the_same() {
        let deep = |which: &str| format!("{}{which}{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
        for (a, b) in [
            (
                r#"{"a":340282366920938463463374607431768211455}"#,
                r#"{"a":340282366920938463463374607431768211454}"#,
            ),
            (r#"{"a":0.10000000000000001}"#, r#"{"a":0.10000000000000002}"#),
            (r#"{"a":1e400}"#, r#"{"a":2e400}"#),
            (r#"{"a":"\ud800x"}"#, r#"{"a":"\ud800y"}"#),
            (&deep("1"), &deep("2")),
        ] {
            assert!(!same_json(&json(a), &json(b)), "{a:.100} and {b:.100}");
            assert!(same_json(&json(a), &json(a)));
        }
    }

    #[test]
    fn a_value_that_is_nested_too_deep_to_be_read_fails_to_encode() {
        let nested = |levels| (0..levels).fold(serde_json::Value::from(1), |it, _| vec![it].into());
        assert!(matches!(Snapshot::value(&nested(127)), Snapshot::Value(_)));
        assert!(matches!(Snapshot::value(&nested(128)), Snapshot::Failed(_)));
        assert!(matches!(Snapshot::value(&vec![Vec::<u8>::new(); 1_000]), Snapshot::Value(_)));
    }

    #[test]
    fn a_value_that_would_not_read_back_fails_to_encode() {
        assert!(matches!(Snapshot::value(&f64::NAN), Snapshot::Failed(_)));
        assert!(matches!(Snapshot::value(&vec![1.0, f64::INFINITY]), Snapshot::Failed(_)));
        assert!(matches!(Snapshot::value(&None::<f64>), Snapshot::Value(_)));
    }
}
