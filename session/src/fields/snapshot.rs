//! A field's value as JSON: how it is written, read and compared.

use std::{collections::BTreeMap, sync::Arc};

use memchr::memchr2_iter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::ValueError,
    record::{Counter, Number},
};

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
    pub(crate) fn value<F: StoredSerialize + StoredDeserialize>(value: &F) -> Self {
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

/// Whether it has so many brackets that they may lie in each other deeper than the 127 levels that serde_json reads.
fn may_be_too_deep(json: &str) -> bool {
    const MOST_LEVELS: usize = 127;
    json.len() > MOST_LEVELS && memchr2_iter(b'[', b'{', json.as_bytes()).nth(MOST_LEVELS).is_some()
}

pub(crate) fn decode_sum<F: Counter>(json: &RawValue) -> Result<F, serde_json::Error> {
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
