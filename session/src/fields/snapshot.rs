//! A field's value as JSON: writing, reading and comparing it.

use std::{collections::BTreeMap, str, sync::Arc};

use memchr::memchr2_iter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

#[cfg(feature = "testing")]
use super::example::{Probe, ProbeError};
use super::nulls;
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
    /// The value cannot be stored: it has no JSON, or its JSON would not read back. With that JSON,
    /// if it has one.
    Failed(ValueError, Option<Arc<RawValue>>),
}

/// How a field's type becomes JSON and is read from it.
pub(crate) struct Codec<E, N, D> {
    pub(crate) encode: E,
    pub(crate) count_nulls: N,
    pub(crate) decode: D,
}

impl Snapshot {
    pub(crate) fn value<F: StoredSerialize + StoredDeserialize>(value: &F) -> Self {
        Self::checked(
            value,
            Codec {
                encode: F::encode_stored,
                count_nulls: F::count_nulls,
                decode: F::decode_stored,
            },
        )
    }

    /// Takes the copy, unless the value would not read back.
    pub(crate) fn checked<F>(
        value: &F,
        codec: Codec<
            impl Fn(&F) -> Result<Box<RawValue>, serde_json::Error>,
            impl Fn(&F) -> Result<nulls::Count, serde_json::Error>,
            impl Fn(&RawValue) -> Result<F, serde_json::Error>,
        >,
    ) -> Self {
        let json = match (codec.encode)(value) {
            Ok(json) => json,
            Err(error) => return Self::Failed(ValueError::unwritable(&error), None),
        };
        // In other cases, only a type whose `Serialize` and `Deserialize` do not agree does not
        // read back. Its author finds that out in a debug build.
        let is_doubtful = may_hold_null(json.get()) || may_be_too_deep(json.get());
        if is_doubtful || cfg!(debug_assertions) {
            match read_back(value, &json, &codec) {
                Ok(()) => Self::Value(json.into()),
                Err(error) => Self::Failed(error, Some(json.into())),
            }
        } else {
            Self::Value(json.into())
        }
    }

    pub(crate) fn sum<F: Counter>(value: &F) -> Self {
        match value.to_number().checked() {
            Ok(number) => Self::Sum(number),
            Err(error) => {
                let text = format!("\"{:?}\"", value.to_number());
                Self::Failed(error.into(), RawValue::from_string(text).ok().map(Into::into))
            }
        }
    }
}

/// Checks that a value reads back from its JSON.
///
/// serde_json writes NaN and the infinities as `null`, which a number does not read, and an
/// `Option` reads as `None`. A value that is nested deeper than serde_json reads does not read back
/// either.
fn read_back<F>(
    value: &F,
    json: &RawValue,
    codec: &Codec<
        impl Fn(&F) -> Result<Box<RawValue>, serde_json::Error>,
        impl Fn(&F) -> Result<nulls::Count, serde_json::Error>,
        impl Fn(&RawValue) -> Result<F, serde_json::Error>,
    >,
) -> Result<(), ValueError> {
    let read = (codec.decode)(json).map_err(|error| ValueError::unreadable(&error))?;
    let count = |value| (codec.count_nulls)(value).map_err(|error| ValueError::unwritable(&error));
    if may_hold_null(json.get()) && count(value)? != count(&read)? {
        return Err(ValueError::null());
    }
    if cfg!(debug_assertions) {
        let again = (codec.encode)(&read).map_err(|error| ValueError::unwritable(&error))?;
        if !same_content(json.get(), again.get()) {
            return Err(ValueError::altered());
        }
    }
    Ok(())
}

/// Whether two JSON texts have the same content in any order. The order of an array counts nothing
/// here, because a `HashSet` that was read back iterates in another.
fn same_content(a: &str, b: &str) -> bool {
    a == b || a.len() == b.len() && sorted(a) == sorted(b)
}

/// The JSON text with all members and items in order.
fn sorted(text: &str) -> String {
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let members =
            members.iter().map(|(name, value)| format!("{name:?}:{}", sorted(value.get())));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let mut items: Vec<_> = items.iter().map(|item| sorted(item.get())).collect();
        items.sort_unstable();
        format!("[{}]", items.join(","))
    } else {
        text.to_owned()
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

    /// Counts the parts of the value that JSON may confuse, because they are `null`.
    ///
    /// # Errors
    /// The value's `Serialize` failed.
    fn count_nulls(&self) -> Result<nulls::Count, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<F: Serialize> StoredSerialize for F {
    fn encode_stored(&self) -> Result<Box<RawValue>, serde_json::Error> {
        encode(self)
    }

    fn count_nulls(&self) -> Result<nulls::Count, serde_json::Error> {
        nulls::count(self)
    }
}

/// Encodes a value. serde_json begins with room for 128 bytes and gives back what it does not need,
/// which costs more than writing a small value in place.
fn encode<F: Serialize>(value: &F) -> Result<Box<RawValue>, serde_json::Error> {
    const SMALL: usize = 64;
    let mut buffer = [0; SMALL];
    let mut rest = &mut buffer[..];
    if serde_json::to_writer(&mut rest, value).is_ok() {
        let len = SMALL - rest.len();
        if let Ok(text) = str::from_utf8(&buffer[..len]) {
            return RawValue::from_string(text.to_owned());
        }
    }
    to_raw_value(value)
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

    /// Makes a value of this type.
    ///
    /// # Errors
    /// The type's `Deserialize` refuses the probe's data.
    #[cfg(feature = "testing")]
    fn decode_example(probe: &mut Probe) -> Result<Self, ProbeError>;
}

#[diagnostic::do_not_recommend]
impl<F: DeserializeOwned> StoredDeserialize for F {
    fn decode_stored(json: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json.get())
    }

    #[cfg(feature = "testing")]
    fn decode_example(probe: &mut Probe) -> Result<Self, ProbeError> {
        F::deserialize(probe)
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
        assert!(matches!(Snapshot::value(&nested(128)), Snapshot::Failed(..)));
        assert!(matches!(Snapshot::value(&vec![Vec::<u8>::new(); 1_000]), Snapshot::Value(_)));
    }

    #[test]
    fn a_value_that_would_not_read_back_fails_to_encode() {
        assert!(matches!(Snapshot::value(&f64::NAN), Snapshot::Failed(..)));
        assert!(matches!(Snapshot::value(&vec![1.0, f64::INFINITY]), Snapshot::Failed(..)));
        assert!(matches!(Snapshot::value(&None::<f64>), Snapshot::Value(_)));
    }

    fn failure<F: StoredSerialize + StoredDeserialize>(value: &F) -> String {
        match Snapshot::value(value) {
            Snapshot::Failed(error, _) => error.to_string(),
            stored => panic!("{stored:?}"),
        }
    }

    fn is_stored<F: StoredSerialize + StoredDeserialize>(value: &F) -> bool {
        matches!(Snapshot::value(value), Snapshot::Value(_))
    }

    #[test]
    fn a_some_that_would_read_back_as_none_fails_to_encode() {
        for failure in [
            failure(&Some(f64::NAN)),
            failure(&vec![Some(1.0), Some(f32::NEG_INFINITY)]),
            failure(&Some(None::<u8>)),
            failure(&Some(())),
            failure(&BTreeMap::from(
                [("a", Some(Some(None::<u8>)))].map(|(k, v)| (k.to_owned(), v)),
            )),
        ] {
            assert!(failure.starts_with("a `Some` around"), "{failure}");
        }
        assert!(is_stored(&None::<Option<u8>>) && is_stored(&Some(Some(1))) && is_stored(&()));
        assert!(
            is_stored(&vec![None, Some(1)]) && is_stored(&(None::<u8>, Some("null".to_owned())))
        );
    }

    #[test]
    fn a_type_that_reads_null_as_nan_keeps_its_nan() {
        #[derive(Serialize, Deserialize)]
        struct Score(#[serde(deserialize_with = "nan")] f64);

        fn nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
            Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
        }
        assert!(is_stored(&Score(f64::NAN)) && is_stored(&Score(1.5)));
    }

    #[test]
    fn keys_that_json_cannot_have_are_named() {
        use std::collections::HashMap;

        #[derive(Serialize, Deserialize, PartialEq, Eq, Hash)]
        enum Key {
            Plain,
            Data(u8),
        }
        for failure in [
            failure(&HashMap::from([((1_u8, 2_u8), 3)])),
            failure(&HashMap::from([(None::<u8>, 3)])),
            failure(&HashMap::from([(Key::Data(1), 3)])),
            failure(&HashMap::from([(vec![1], 3)])),
        ] {
            assert!(failure.starts_with("a map has keys that JSON cannot have"), "{failure}");
        }
        assert!(is_stored(&HashMap::from([(Key::Plain, 3)])));
        assert!(is_stored(&HashMap::from([(Some(u128::MAX), 3)])));
        assert!(is_stored(&HashMap::from([(i128::MIN, true)])));
        assert!(is_stored(&HashMap::from([(true, 1), (false, 0)])));
        assert!(is_stored(&HashMap::from([('\u{0}', ()), ('"', ()), ('é', ())])));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_type_that_does_not_round_trip_fails_in_a_debug_build() {
        #[derive(Serialize, Deserialize)]
        struct NoDefault {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            items: Vec<u8>,
        }
        #[derive(Serialize, Deserialize)]
        struct OtherDefault {
            #[serde(skip_serializing_if = "is_zero", default = "one")]
            count: u8,
        }
        fn is_zero(count: &u8) -> bool {
            *count == 0
        }
        fn one() -> u8 {
            1
        }
        let text = failure(&NoDefault { items: Vec::new() });
        assert!(text.starts_with("it does not read back: "), "{text}");
        assert!(is_stored(&NoDefault { items: vec![1] }));
        let text = failure(&OtherDefault { count: 0 });
        assert!(text.starts_with("it reads back as another value"), "{text}");
        assert!(is_stored(&OtherDefault { count: 2 }));
    }

    #[test]
    fn a_type_without_an_order_reads_back() {
        use std::collections::{BinaryHeap, HashMap, HashSet};

        for seed in 0..20_u32 {
            let set: HashSet<u32> = (seed..seed + 40).collect();
            let nested =
                HashMap::from([("a".to_owned(), vec![set.clone()]), ("b".to_owned(), vec![])]);
            assert!(is_stored(&set) && is_stored(&nested));
            assert!(is_stored(&(0..seed).rev().collect::<BinaryHeap<_>>()));
        }
    }
}
