//! Values that have no JSON, or do not read back from it.

use std::{error::Error, fmt};

use serde_json::error::Category;

/// A JSON value could not be read or written.
///
/// The message says what was expected and where. It never says what was found, because errors are
/// logged and session values are secrets.
#[derive(Clone, Debug)]
pub struct ValueError {
    problem: Problem,
    expected: Option<Box<str>>,
    column: usize,
}

#[derive(Clone, Copy, Debug)]
enum Problem {
    /// A text that does not decode.
    Text(Category),
    /// The value's `Serialize` failed.
    Serialize,
    /// A map with keys that JSON cannot have.
    MapKey,
    /// A value whose JSON does not decode.
    NotReadBack(Category),
    /// A value with more levels of nesting than serde_json reads.
    TooDeep,
    /// A value that reads back as another one.
    Altered,
    /// The same, because both are `null` in JSON.
    Null,
}

impl ValueError {
    /// The error of a value that has no JSON.
    pub(crate) fn unwritable(error: &serde_json::Error) -> Self {
        // The messages of serde_json, which has no codes.
        let problem = match error.to_string().as_str() {
            "key must be a string" | "float key must be finite (got NaN or +/-inf)" => {
                Problem::MapKey
            }
            _ => Problem::Serialize,
        };
        Self { problem, expected: None, column: 0 }
    }

    /// The error of a value whose JSON does not decode.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        let message = error.to_string();
        if message.starts_with("recursion limit exceeded") {
            return Self { problem: Problem::TooDeep, expected: None, column: 0 };
        }
        let expected = expected(&message).map(Into::into);
        Self { problem: Problem::NotReadBack(error.classify()), expected, column: error.column() }
    }

    /// The error of a value whose JSON decodes to another value.
    pub(crate) fn altered() -> Self {
        Self { problem: Problem::Altered, expected: None, column: 0 }
    }

    /// The error of a value with a part that is `null` in JSON and reads back as `None`.
    pub(crate) fn null() -> Self {
        Self { problem: Problem::Null, expected: None, column: 0 }
    }
}

impl From<serde_json::Error> for ValueError {
    fn from(error: serde_json::Error) -> Self {
        let expected = expected(&error.to_string()).map(Into::into);
        Self { problem: Problem::Text(error.classify()), expected, column: error.column() }
    }
}

/// The description of the expected type at the end of one of serde's own messages.
///
/// The text before it may quote the value. A message that an application's type has written may
/// quote the value anywhere, so it yields `None`.
fn expected(message: &str) -> Option<&str> {
    const QUOTED: [&str; 5] =
        ["boolean `", "integer `", "floating point `", "character `", "string \""];
    const NAMED: [&str; 12] = [
        "byte array",
        "unit value",
        "null",
        "number",
        "Option value",
        "newtype struct",
        "sequence",
        "map",
        "enum",
        "unit variant",
        "newtype variant",
        "tuple variant",
    ];
    let (found, expected) = message.rsplit_once(", expected ")?;
    let is_quoted = |quote: char| found.ends_with(quote);
    let is_serdes = if let Some(value) =
        found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "))
    {
        let ends_as_it_began = |kind: &str| kind.chars().next_back().is_some_and(is_quoted);
        NAMED.contains(&value)
            || QUOTED.into_iter().any(|kind| value.starts_with(kind) && ends_as_it_began(kind))
    } else if let Some(length) = found.strip_prefix("invalid length ") {
        length.bytes().all(|b| b.is_ascii_digit())
    } else {
        (found.starts_with("unknown variant `") || found.starts_with("unknown field `"))
            && is_quoted('`')
    };
    if is_serdes { expected.split(" at line ").next() } else { None }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let category = match self.problem {
            Problem::Text(category) => category,
            Problem::NotReadBack(category) => {
                f.write_str("it does not read back: ")?;
                category
            }
            Problem::Serialize => return f.write_str("its `Serialize` failed"),
            Problem::MapKey => {
                return f.write_str(
                    "a map has keys that JSON cannot have; use strings, numbers, characters, \
                     `bool` or enums without data as keys, or store the entries as a list of pairs \
                     with `#[session(with = …)]`",
                );
            }
            Problem::TooDeep => {
                return f
                    .write_str("it has more than 127 levels of nesting; store a flatter value");
            }
            Problem::Altered => {
                return f.write_str(
                    "it reads back as another value; make the type's `Serialize` and \
                     `Deserialize` agree",
                );
            }
            Problem::Null => {
                return f.write_str(
                    "a `Some` around NaN, an infinity, `()` or `None` would read back as `None`; \
                     use an enum with a variant for each case",
                );
            }
        };
        f.write_str(match category {
            Category::Data => "the value does not fit the type",
            Category::Syntax => "the text is not JSON",
            Category::Eof => "the JSON text is cut off",
            Category::Io => "the JSON text could not be read",
        })?;
        if let Some(expected) = &self.expected {
            write!(f, ": expected {expected}")?;
        }
        if self.column > 0 {
            write!(f, ", at byte {}", self.column)?;
        }
        if matches!(self.problem, Problem::NotReadBack(_)) {
            f.write_str(
                "; make the type's `Serialize` and `Deserialize` agree, for example with \
                 `#[serde(default)]` beside `skip_serializing_if`",
            )?;
        }
        Ok(())
    }
}

impl Error for ValueError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_error_shows_the_type_and_not_the_value() {
        let unfit = |text| ValueError::from(serde_json::from_str::<u8>(text).expect_err("unfit"));
        let text = unfit(r#""hunter2, expected nothing""#).to_string();
        assert_eq!(text, "the value does not fit the type: expected u8, at byte 27");
        assert!(!format!("{:?}", unfit("\"hunter2\"")).contains("hunter2"));
        assert!(!unfit("4711").to_string().contains("4711"));
    }

    #[test]
    fn only_serdes_own_words_about_a_type_are_shown() {
        for (message, shown) in [
            ("invalid type: string \"a, expected b\", expected u8 at line 1 column 2", Some("u8")),
            ("invalid type: null, expected a map", Some("a map")),
            ("invalid value: integer `300`, expected u8", Some("u8")),
            ("invalid length 2, expected a tuple of size 3", Some("a tuple of size 3")),
            ("unknown variant `a`, expected `One` or `Other`", Some("`One` or `Other`")),
            ("unknown field `a`, expected `v`", Some("`v`")),
            ("`hunter2` is no password", None),
            ("`you, expected hunter2` is no password", None),
            ("invalid value: you, expected hunter2", None),
            ("invalid length of you, expected hunter2", None),
            ("unknown variant you, expected hunter2", None),
            ("missing field `v`", None),
        ] {
            assert_eq!(expected(message), shown, "{message}");
        }
    }
}
