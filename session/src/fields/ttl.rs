//! The stored form of a field with a `ttl`: its value ends while the session goes on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::time::Timestamp;

/// A value and its end, stored as `[until_unix_ms, value]`. Stores treat it as any other value.
pub(crate) struct Timed<'a> {
    /// The value exists before this time, and not from then on.
    pub(crate) until: Timestamp,
    pub(crate) value: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct StoredTimed<'a>(u64, #[serde(borrow)] &'a RawValue);

impl<'a> Timed<'a> {
    /// Reads JSON that [`to_json`](Self::to_json) wrote. Returns `None` for any other JSON, which
    /// has no end.
    pub(crate) fn parse(json: &'a RawValue) -> Option<Self> {
        let StoredTimed(until, value) = serde_json::from_str(json.get()).ok()?;
        Some(Self { until: Timestamp::from_unix_ms(until), value })
    }

    pub(crate) fn to_json(&self) -> Arc<RawValue> {
        to_raw_value(&StoredTimed(self.until.as_unix_ms(), self.value))
            .expect("a number and raw JSON always serialise")
            .into()
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal")
    }

    #[test]
    fn a_value_ends_at_its_end() {
        let timed = Timed { until: Timestamp::from_unix_ms(1_000), value: &json("true") };
        assert!(!timed.is_over(Timestamp::from_unix_ms(999)));
        assert!(timed.is_over(Timestamp::from_unix_ms(1_000)));
    }

    #[test]
    fn a_value_survives_its_json() {
        for value in ["null", "[1,2]", r#"{"a":[],"b":9007199254740993}"#, r#""\u0000""#] {
            for until in [0, 1, u64::MAX] {
                let value = json(value);
                let stored =
                    Timed { until: Timestamp::from_unix_ms(until), value: &value }.to_json();
                let read = Timed::parse(&stored).expect("its own JSON");
                assert_eq!((read.until.as_unix_ms(), read.value.get()), (until, value.get()));
            }
        }
    }

    #[test]
    fn other_json_has_no_end() {
        for text in [
            "null",
            "1",
            "\"text\"",
            "[]",
            "[1]",
            "[1,2,3]",
            "[-1,2]",
            "[1.5,2]",
            "[null,2]",
            "[\"1\",2]",
            "[18446744073709551616,2]",
            r#"{"0":1,"1":2}"#,
        ] {
            assert!(Timed::parse(&json(text)).is_none(), "{text}");
        }
    }
}
