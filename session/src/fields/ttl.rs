//! A value that ends while its session goes on: what is stored of a field with a `ttl`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::time::Timestamp;

/// A value and its end, stored as `[until_unix_ms, value]`. Stores need not know.
pub(crate) struct Timed<'a> {
    /// The value is gone from here on.
    pub(crate) until: Timestamp,
    pub(crate) value: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a>(u64, #[serde(borrow)] &'a RawValue);

impl<'a> Timed<'a> {
    /// Reads what [`to_json`](Self::to_json) wrote. `None` for anything else, which has no end that anybody
    /// knows.
    pub(crate) fn parse(json: &'a RawValue) -> Option<Self> {
        let Wire(until, value) = serde_json::from_str(json.get()).ok()?;
        Some(Self { until: Timestamp::from_unix_ms(until), value })
    }

    pub(crate) fn to_json(&self) -> Arc<RawValue> {
        to_raw_value(&Wire(self.until.as_unix_ms(), self.value))
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
    fn anything_else_has_no_end() {
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
