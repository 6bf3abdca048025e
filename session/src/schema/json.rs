//! JSON in a schema file: kept as text, because numbers may be larger than 64 bits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value without whitespace between its parts.
#[derive(Clone)]
pub(super) struct Json(Box<RawValue>);

impl Json {
    pub(super) fn new(json: &RawValue) -> Self {
        let text = json.get();
        let mut compact = String::with_capacity(text.len());
        let (mut is_string, mut is_escaped) = (false, false);
        for char in text.chars() {
            if is_string || !char.is_ascii_whitespace() {
                compact.push(char);
            }
            is_string ^= char == '"' && !is_escaped;
            is_escaped = is_string && char == '\\' && !is_escaped;
        }
        Self(RawValue::from_string(compact).expect("JSON without its whitespace is JSON"))
    }

    pub(super) fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// At most 200 characters.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST_CHARS: usize = 200;
        let text = self.0.get();
        match text.char_indices().nth(MOST_CHARS) {
            Some((end, _)) => write!(f, "`{}`…", &text[..end]),
            None => write!(f, "`{text}`"),
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|json| Self::new(&json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whitespace_between_parts_is_dropped() {
        for (text, expected) in [
            ("[ 1,\n 2 ]", "[1,2]"),
            (r#"{ "a b" : "c \" d\\" , "e":null}"#, r#"{"a b":"c \" d\\","e":null}"#),
            ("340282366920938463463374607431768211455", "340282366920938463463374607431768211455"),
        ] {
            let json = serde_json::from_str::<Json>(text).expect("JSON");
            assert_eq!(json.raw().get(), expected);
        }
    }
}
