//! A field's value as JSON: writing, reading and comparing it.

use std::{collections::BTreeMap, sync::Arc};

use memchr::memchr2_iter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::ValueError,
    record::{Counter, Number},
};

/// A copy of a field's value, in the form in which it would be stored.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// The value's JSON.
    Value(Arc<RawValue>),
    /// The value of a field whose writes add up.
    Sum(Number),
    /// The value cannot be stored: it has no JSON, or its JSON would not read back.
    Failed(ValueError),
}

impl Snapshot {
    pub(crate) fn value<F: StoredSerialize + StoredDeserialize>(value: &F) -> Self {
        match value.encode_stored() {
            // serde_json writes NaN and the infinities as `null`, which then does not read back.
            // A value that is nested deeper than serde_json reads does not read back either. If one
            // were stored, the next request could not read the whole struct.
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

    pub(crate) fn sum<F: Counter>(value: &F) -> Self {
        match value.to_number().checked() {
            Ok(number) => Self::Sum(number),
            Err(error) => Self::Failed(error.into()),
        }
    }
}

fn may_hold_null(json: &str) -> bool {
    json.starts_with(['n', '[', '{']) && json.contains("null")
}

/// Whether the JSON has more opening brackets than serde_json reads levels of nesting.
fn may_be_too_deep(json: &str) -> bool {
    const MOST_LEVELS: usize = 127;
    json.len() > MOST_LEVELS && memchr2_iter(b'[', b'{', json.as_bytes()).nth(MOST_LEVELS).is_some()
}

pub(crate) fn decode_sum<F: Counter>(json: &RawValue) -> Result<F, serde_json::Error> {
    Number::parse(json).map(F::from_number)
}

/// Whether two JSON texts have the same value.
///
/// A map that iterates in random order writes the same content in another order, with the same
/// length. All other values are equal only if their texts are. As [`serde_json::Value`]s, different
/// numbers beyond 64 bits would be equal.
pub(crate) fn same_json(a: &RawValue, b: &RawValue) -> bool {
    /// The most levels of nesting that are compared regardless of order. Deeper differences count
    /// as changes. Each level is parsed once more, so the bound limits what a client's data costs.
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

/// Requires that a session field's type can be written to the store.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` cannot be stored because it does not implement `serde::Serialize`",
    label = "this field's type does not implement `Serialize`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or keep the field out of the store with `#[session(skip)]`"
)]
pub trait StoredSerialize {
    /// Returns the value's JSON.
    ///
    /// # Errors
    /// The value's `Serialize` failed.
    fn encode_stored(&self) -> Result<Box<RawValue>, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<F: Serialize> StoredSerialize for F {
    fn encode_stored(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(self)
    }
}

/// Requires that a session field's type can be read from the store.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` cannot be read back because it does not implement `serde::de::DeserializeOwned`",
    label = "this field's type does not implement `Deserialize` for owned data",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or keep the field out of the store with `#[session(skip)]`"
)]
pub trait StoredDeserialize: Sized {
    /// Reads a value from its JSON.
    ///
    /// # Errors
    /// The JSON does not decode as this type.
    fn decode_stored(json: &RawValue) -> Result<Self, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<F: DeserializeOwned> StoredDeserialize for F {
    fn decode_stored(json: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json.get())
    }
}

/// Requires that a session field has a value if none is stored.
#[diagnostic::on_unimplemented(
    message = "the session field type `{Self}` has no default value",
    label = "this field's type does not implement `Default`",
    note = "implement `Default` for `{Self}`, or add `#[session(default = …)]` with the value for sessions that store none"
)]
pub trait StoredDefault {
    /// Returns the value of a field that is not stored.
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
    fn texts_that_readers_may_confuse_are_not_the_same() {
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
