//! Whether a value that was read and written again has all that it had.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::record::Number;

/// Compares a stored value with what is stored after a release has read it.
///
/// A new member of an object is fine, and so is another order of a list or an object. A member with
/// a new name is the same if its value is.
///
/// # Errors
/// Where the value differs, and how.
pub(super) fn compare(before: &RawValue, after: &RawValue) -> Result<(), String> {
    compare_at("", before, after)
}

fn compare_at(path: &str, before: &RawValue, after: &RawValue) -> Result<(), String> {
    if before.get() == after.get() {
        return Ok(());
    }
    if let Some((before, after)) = both::<BTreeMap<String, &RawValue>>(before, after) {
        return compare_members(path, &before, after);
    }
    if let Some((before, after)) = both::<Vec<&RawValue>>(before, after) {
        return compare_items(path, &before, &after);
    }
    let is_same = match both::<String>(before, after) {
        Some((before, after)) => before == after,
        None => is_same_number(before, after),
    };
    if is_same {
        return Ok(());
    }
    let of = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
    Err(format!("`{}`{of} becomes `{}`", before.get(), after.get()))
}

fn both<'a, T: Deserialize<'a>>(a: &'a RawValue, b: &'a RawValue) -> Option<(T, T)> {
    Some((serde_json::from_str(a.get()).ok()?, serde_json::from_str(b.get()).ok()?))
}

fn is_same_number(a: &RawValue, b: &RawValue) -> bool {
    match (Number::parse(a), Number::parse(b)) {
        (Ok(a), Ok(b)) => a.is_same(b),
        _ => false,
    }
}

fn compare_members(
    path: &str,
    before: &BTreeMap<String, &RawValue>,
    mut after: BTreeMap<String, &RawValue>,
) -> Result<(), String> {
    let mut lost = Vec::new();
    for (name, value) in before {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match after.remove(name) {
            Some(other) => compare_at(&path, value, other)?,
            None => lost.push((path, value)),
        }
    }
    for (path, value) in lost {
        // What is left has a name that the value did not have.
        let renamed =
            after.iter().find(|(_, other)| compare_at("", value, other).is_ok()).map(|it| it.0);
        if let Some(name) = renamed.cloned() {
            after.remove(&name);
        } else if value.get() != "null" {
            return Err(format!("`{path}` is lost"));
        }
    }
    Ok(())
}

fn compare_items(path: &str, before: &[&RawValue], after: &[&RawValue]) -> Result<(), String> {
    if before.len() != after.len() {
        let of = if path.is_empty() { "a list".to_owned() } else { format!("`{path}`") };
        return Err(format!("{of} of {} becomes one of {}", before.len(), after.len()));
    }
    let in_order = before.iter().zip(after).enumerate().try_for_each(|(index, (before, after))| {
        compare_at(&format!("{path}[{index}]"), before, after)
    });
    let mut left = after.to_vec();
    let in_any_order = before.iter().all(|before| {
        let found = left.iter().position(|after| compare_at("", before, after).is_ok());
        found.map(|found| left.swap_remove(found)).is_some()
    });
    if in_any_order { Ok(()) } else { in_order }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(before: &str, after: &str) -> Result<(), String> {
        let [before, after] = [before, after]
            .map(|text| RawValue::from_string(text.to_owned()).expect("a JSON literal"));
        compare(&before, &after)
    }

    #[test]
    fn additions_and_another_order_lose_nothing() {
        for (before, after) in [
            ("1", "1"),
            ("7", "7.0"),
            (r#"{"a":1}"#, r#"{"b":2,"a":1}"#),
            (r#"[{"a":1},{"a":2}]"#, r#"[{"a":2,"b":[]},{"a":1,"b":[]}]"#),
            (r#"{"count":9}"#, r#"{"quantity":9,"note":null}"#),
            (r#"{"a":null}"#, "{}"),
            (r#""é""#, r#""\u00e9""#),
        ] {
            assert_eq!(compared(before, after), Ok(()), "{before} {after}");
        }
    }

    #[test]
    fn what_is_lost_is_named() {
        for (before, after, lost) in [
            ("1", "2", "`1` becomes `2`"),
            ("18446744073709551615", "1.8446744073709552e19", "becomes"),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1}}"#, "`a.c` is lost"),
            (r#"{"count":9}"#, r#"{"quantity":0}"#, "`count` is lost"),
            ("[1,1]", "[1]", "a list of 2 becomes one of 1"),
            (r#"{"a":[1,2]}"#, r#"{"a":[1,3]}"#, "`2` at `a[1]` becomes `3`"),
            ("null", "0", "`null` becomes `0`"),
            (r#""a""#, r#""A""#, "becomes"),
        ] {
            let found = compared(before, after).expect_err(before);
            assert!(found.contains(lost), "{found}");
        }
    }
}
