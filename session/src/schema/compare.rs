//! Finds what a release would lose of what earlier releases have stored, or read differently.

use std::collections::BTreeMap;

use super::{
    declared::{Declared, StoredField, StoredStruct},
    json::Json,
    pairs::{Found, Pairs, session},
    sentences::{self, Subject},
    values,
};

/// Returns one sentence for each fault.
pub(super) fn compare(before: &BTreeMap<String, StoredStruct>, now: &[Declared]) -> Vec<String> {
    let pairs = Pairs::new(before, now);
    let mut findings = Vec::new();
    for (name, old) in before {
        match pairs.of(name) {
            Some(new) => compare_structs(old, new, &mut findings),
            None if old.fields.keys().any(|stored| pairs.find(name, stored).is_some()) => {}
            None if old.fields.is_empty() => {}
            None => {
                findings.push(sentences::struct_is_gone(name));
                continue;
            }
        }
        for (stored, field) in &old.fields {
            compare_names(&pairs, name, (stored, field), &mut findings);
        }
        for (stored, field) in &old.removed {
            if let Some(found) = pairs.find(name, stored) {
                reused(stored, field, found, &mut findings);
            }
        }
    }
    findings
}

/// Whether a default differs from the one of an earlier release.
pub(super) fn has_other_default(before: &BTreeMap<String, StoredStruct>, now: &[Declared]) -> bool {
    let pairs = Pairs::new(before, now);
    before.iter().any(|(name, old)| {
        old.fields.iter().any(|(stored, old)| {
            let found = pairs.find(name, stored);
            found.is_some_and(|found| match (&old.default, &found.field.default) {
                (Some(before), Some(now)) => is_other_default(old, found, (before, now)),
                _ => false,
            })
        })
    })
}

/// Returns one sentence for each fault of structs that share a session.
pub(super) fn clashes(now: &[Declared]) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, one) in now.iter().enumerate() {
        for other in now[index + 1..].iter().filter(|other| other.session() == one.session()) {
            if one.name == other.name {
                findings.push(sentences::same_name(&one.name));
                continue;
            }
            for (stored, field) in &one.stored.fields {
                let found = Found { of: one, stored, field };
                compare_sharing(found, other, &mut findings);
            }
        }
    }
    findings
}

fn compare_structs(old: &StoredStruct, new: &Declared, findings: &mut Vec<String>) {
    if session(old.cookie.as_deref()) != new.session() {
        findings.push(sentences::cookie(&new.name, old.cookie.as_deref(), &new.stored.cookie));
    }
    if old.strict != new.stored.strict {
        findings.push(sentences::strict(&new.name, new.stored.strict));
    }
}

/// Compares a field with those that read its name and its aliases.
fn compare_names(
    pairs: &Pairs<'_>,
    name: &str,
    (stored, old): (&str, &StoredField),
    findings: &mut Vec<String>,
) {
    let Some(found) = pairs.find(name, stored) else {
        let new = pairs.of(name).and_then(|new| renamed(pairs, (name, stored, old), new));
        let new = new.map(|new| (new, form(old, new).is_none()));
        findings.push(sentences::field_is_gone(name, stored, old, new));
        return;
    };
    findings.extend(compare_fields(old, found));
    for alias in &old.aliases {
        match pairs.find(name, alias) {
            None => findings.push(sentences::alias_is_gone(&Subject::of(found), alias)),
            Some(other) if other.stored == found.stored => {}
            Some(other) => findings.extend(compare_fields(old, other)),
        }
    }
}

/// Returns the field that has taken the place of one that is gone: it has the same name in the
/// struct or the same type, and is new.
fn renamed<'a>(
    pairs: &Pairs<'_>,
    (name, gone, old): (&str, &str, &StoredField),
    new: &'a Declared,
) -> Option<Found<'a>> {
    let known = pairs.fields_of(name)?;
    let is_new = |stored: &str, field: &StoredField| {
        !known.contains_key(stored) && !field.aliases.iter().any(|it| known.contains_key(it))
    };
    let new_fields = || new.stored.fields.iter().filter(|(stored, field)| is_new(stored, field));
    // Of two fields that are gone, each has another successor.
    let is_better_for_another = |field: &StoredField| {
        known.iter().any(|(stored, it)| {
            stored != gone && it.field == field.field && pairs.find(name, stored).is_none()
        })
    };
    let same_name = new_fields().find(|(_, field)| field.field == old.field);
    let same_type = || {
        new_fields().find(|(_, field)| {
            (&field.ty, &field.with) == (&old.ty, &old.with) && !is_better_for_another(field)
        })
    };
    let (stored, field) = same_name.or_else(same_type)?;
    Some(Found { of: new, stored, field })
}

/// Compares a field with the one that reads what it has stored.
fn compare_fields(old: &StoredField, found: Found<'_>) -> Vec<String> {
    let (subject, new) = (Subject::of(found), found.field);
    let mut findings = Vec::new();
    let form = form(old, found);
    let is_readable = form.is_none();
    findings.extend(form);
    if old.merge != new.merge {
        findings.push(sentences::merge(&subject, &old.merge, &new.merge));
    }
    if old.ttl != new.ttl {
        findings.push(sentences::ttl(&subject, new.ttl));
    }
    if old.privilege != new.privilege {
        findings.push(sentences::privilege(&subject, new.privilege));
    }
    if old.index != new.index {
        findings.push(sentences::index(&subject, new.index));
    }
    if old.lenient != new.lenient {
        findings.push(sentences::lenient(&subject, new.lenient));
    }
    if is_readable
        && let (Some(before), Some(now)) = (&old.default, &new.default)
        && is_other_default(old, found, (before, now))
    {
        findings.push(sentences::default(&subject, before, now));
    }
    findings
}

/// Compares how values are stored.
fn form(old: &StoredField, found: Found<'_>) -> Option<String> {
    let subject = Subject::of(found);
    let broken =
        old.examples.iter().find_map(|example| Some((example, reads_same(found, example).err()?)));
    if let Some((example, problem)) = broken {
        return Some(sentences::unreadable(&subject, old, example, &problem));
    }
    let is_other = old.form() != found.field.form();
    let is_unclear = old.partial || old.examples.is_empty();
    (is_other && is_unclear).then(|| sentences::other_type(&subject, old))
}

/// Whether a field reads an earlier example, and stores the same of it.
pub(super) fn reads_same(found: Found<'_>, example: &Json) -> Result<(), String> {
    let read = found.of.read.get(found.stored).expect("each field can be read");
    let after = read(example.raw()).map_err(|error| format!("does not decode: {error}"))?;
    values::compare(example.raw(), after.raw()).map_err(|loss| format!("is not kept: {loss}"))
}

/// Whether a session that stores nothing reads as another value than before.
fn is_other_default(old: &StoredField, found: Found<'_>, (before, now): (&Json, &Json)) -> bool {
    // An empty `String` and `None` mean the same where the type has changed.
    let is_empty = |json: &Json| matches!(json.raw().get(), "null" | "0" | "\"\"" | "[]" | "{}");
    if before == now || old.form() != found.field.form() && is_empty(before) && is_empty(now) {
        return false;
    }
    let read = found.of.read.get(found.stored).expect("each field can be read");
    !read(before.raw()).is_ok_and(|read| values::compare(read.raw(), now.raw()).is_ok())
}

/// Compares a field with one of an earlier release that had its name and was removed.
fn reused(stored: &str, old: &StoredField, found: Found<'_>, findings: &mut Vec<String>) {
    let subject = Subject::of(found);
    let is_other = old.merge != found.field.merge || old.ttl != found.field.ttl;
    if let Some(problem) = form(old, found) {
        findings.push(sentences::reused(&subject, stored, &problem));
    } else if is_other {
        let problem = "it had another `ttl` or merge rule.";
        findings.push(sentences::reused(&subject, stored, problem));
    }
}

/// Compares a field with the field of another struct that has one of its names.
fn compare_sharing(one: Found<'_>, other: &Declared, findings: &mut Vec<String>) {
    let names =
        || std::iter::once(one.stored).chain(one.field.aliases.iter().map(|it| it.as_str()));
    let Some(found) = names().find_map(|name| other.find(name)) else { return };
    let subjects = (&Subject::of(one), &Subject::of(found));
    if one.stored != found.stored {
        return findings.push(sentences::shared_alias(subjects));
    }
    let (a, b) = (one.field, found.field);
    let unreadable = |reader: Found<'_>, writer: &StoredField| {
        writer.examples.iter().find_map(|example| {
            let problem = reads_same(reader, example).err()?;
            Some(format!("{example} {problem}"))
        })
    };
    let differences = [
        unreadable(found, a).or_else(|| unreadable(one, b)),
        (a.merge != b.merge)
            .then(|| format!("the merge rules are `{}` and `{}`", a.merge, b.merge)),
        (a.ttl != b.ttl).then(|| "only one of them has a `ttl`".to_owned()),
        (a.index != b.index).then(|| "only one of them is an `index`".to_owned()),
    ];
    for difference in differences.into_iter().flatten() {
        findings.push(sentences::shared(subjects, one.stored, &difference));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A struct of the fields, as JSON. A field reads what begins like its example.
    fn declared(name: &str, stored: &Value) -> Declared {
        let stored: StoredStruct = serde_json::from_value(stored.clone()).expect("a struct");
        let read = stored.fields.iter().map(|(name, field)| {
            let kind = field.examples.first().map(|example| example.raw().get()[..1].to_owned());
            let read = move |json: &serde_json::value::RawValue| match &kind {
                Some(kind) if !json.get().starts_with(kind) => Err("another type".to_owned()),
                _ => Ok(Json::new(json)),
            };
            (name.clone(), Box::new(read) as _)
        });
        let read = read.collect();
        Declared { name: name.to_owned(), stored, read, fresh: BTreeMap::new() }
    }

    fn findings(before: &Value, now: &Value) -> Vec<String> {
        let before = serde_json::from_value(before.clone()).expect("structs");
        let now = now.as_object().expect("structs");
        let now: Vec<_> = now.iter().map(|(name, stored)| declared(name, stored)).collect();
        compare(&before, &now)
    }

    /// A field of the type `u8`, with these members.
    fn field(name: &str, changes: Value) -> Value {
        let mut field = json!({
            "field": name, "type": "u8", "merge": "last_write", "default": 0, "examples": [255],
        });
        let members = changes.as_object().expect("members").clone();
        field.as_object_mut().expect("an object").extend(members);
        field
    }

    fn fields(fields: Value) -> Value {
        json!({ "Visitor": { "fields": fields } })
    }

    #[test]
    fn each_change_of_a_field_has_its_sentence() {
        let table: &[(Value, Value, &[&str])] = &[
            (json!({}), json!({}), &[]),
            (json!({ "type": "u8" }), json!({ "type": "u16" }), &[]),
            (
                json!({ "partial": true }),
                json!({ "type": "u16" }),
                &["The type of `Visitor::a` was `u8` and is `u16`, and no example shows"],
            ),
            (
                json!({}),
                json!({ "type": "String", "examples": ["x"], "default": "" }),
                &["`Visitor::a` does not read what an earlier release has stored: its type was"],
            ),
            (
                json!({}),
                json!({ "examples": [{ "x": 1 }] }),
                &["`Visitor::a` does not read what an earlier release has stored: the type"],
            ),
            (
                json!({ "with": "module" }),
                json!({ "with": "other", "examples": ["x"] }),
                &["`Visitor::a` does not read what an earlier release has stored: its type was"],
            ),
            (json!({}), json!({ "merge": "add" }), &["The merge rule of `Visitor::a` was"]),
            (json!({ "merge": "max" }), json!({ "merge": "min" }), &["The merge rule"]),
            (json!({}), json!({ "ttl": true }), &["`Visitor::a` has a `ttl` now"]),
            (json!({ "ttl": true }), json!({}), &["`Visitor::a` has no `ttl` any more"]),
            (json!({ "privilege": true }), json!({}), &["`Visitor::a` is not a `privilege` any"]),
            (json!({}), json!({ "privilege": true }), &["`Visitor::a` is a `privilege` now"]),
            (json!({}), json!({ "index": true }), &["`Visitor::a` is an `index` now"]),
            (json!({ "index": true }), json!({}), &["`Visitor::a` is not an `index` any more"]),
            (json!({}), json!({ "lenient": true }), &["`Visitor::a` is `lenient` now"]),
            (json!({ "lenient": true }), json!({}), &["`Visitor::a` is not `lenient` any more"]),
            (json!({}), json!({ "default": 7 }), &["The default of `Visitor::a` was `0`"]),
            (json!({}), json!({ "aliases": ["b"] }), &[]),
            (json!({ "aliases": ["b"] }), json!({}), &["`Visitor::a` has lost its alias `b`"]),
        ];
        for (before, now, expected) in table {
            let found = findings(
                &fields(json!({ "a": field("a", before.clone()) })),
                &fields(json!({ "a": field("a", now.clone()) })),
            );
            assert_eq!(found.len(), expected.len(), "{before} {now} {found:#?}");
            for (found, expected) in found.iter().zip(*expected) {
                assert!(found.starts_with(expected), "{found}");
            }
        }
    }

    #[test]
    fn a_field_that_is_gone_may_have_a_new_name() {
        let plain = |name| field(name, json!({}));
        let before = fields(json!({ "a": plain("a"), "b": plain("b") }));
        let aliased = field("c", json!({ "aliases": ["a"] }));
        assert_eq!(findings(&before, &fields(json!({ "c": aliased, "b": plain("b") }))), [""; 0]);
        let found = findings(&before, &fields(json!({ "c": plain("c"), "b": plain("b") })));
        assert!(found[0].contains("`Visitor::c` is new and has the same type"), "{found:?}");
        assert!(found[0].contains(r#"`#[session(alias = "a")]`"#), "{found:?}");
        let found = findings(&before, &fields(json!({ "b": plain("b") })));
        assert!(found[0].starts_with("`Visitor::a` is gone"), "{found:?}");
        // A namespace: each field has its own successor.
        let found =
            findings(&before, &fields(json!({ "shop.a": plain("a"), "shop.b": plain("b") })));
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("`Visitor::a` is stored as `shop.a`"), "{found:?}");
        assert!(found[1].starts_with("`Visitor::b` is stored as `shop.b`"), "{found:?}");
        let text = field("a", json!({ "type": "String", "examples": ["x"] }));
        let found = findings(&before, &fields(json!({ "new": text, "b": plain("b") })));
        assert!(found[0].ends_with("stored as `a`, so they are lost."), "{found:?}");
    }

    #[test]
    fn structs_may_be_renamed_and_split_but_not_left_out() {
        let plain = |name| field(name, json!({}));
        let before = json!({ "Visitor": { "fields": { "a": plain("a"), "b": plain("b") } } });
        let (a, b) =
            (json!({ "fields": { "a": plain("a") } }), json!({ "fields": { "b": plain("b") } }));
        for now in [
            json!({ "Guest": { "fields": { "a": plain("a"), "b": plain("b") } } }),
            json!({ "Visitor": a, "B": b }),
            json!({ "A": a, "B": b }),
        ] {
            assert_eq!(findings(&before, &now), [""; 0], "{now}");
        }
        let other = json!({
            "Visitor": { "fields": { "a": plain("a") } },
            "B": { "cookie": "admin", "fields": { "b": plain("b") } },
        });
        assert_eq!(findings(&before, &other).len(), 1, "another session has other values");
        let two = json!({ "A": { "fields": {} }, "B": { "fields": {} } });
        assert!(findings(&before, &two)[0].starts_with("`Visitor` is not checked any more"));
    }

    #[test]
    fn changes_of_a_struct_have_a_sentence() {
        let of = |changes: Value| {
            let mut of = json!({ "fields": { "a": field("a", json!({})) } });
            of.as_object_mut().expect("an object").extend(changes.as_object().expect("").clone());
            json!({ "Visitor": of })
        };
        for (before, now, expected) in [
            (json!({}), json!({ "strict": true }), "`Visitor` is `strict` now"),
            (json!({ "strict": true }), json!({}), "`Visitor` is not `strict` any more"),
            (json!({ "cookie": "a" }), json!({ "cookie": "b" }), "`Visitor` was a part of the"),
            (json!({}), json!({ "cookie": "b" }), "`Visitor` was a part of the innermost"),
        ] {
            let found = findings(&of(before), &of(now));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(expected), "{found:?}");
        }
        let (short, long) = (json!({ "cookie": "a" }), json!({ "cookie": "__Host-a" }));
        assert_eq!(findings(&of(short), &of(long)), [""; 0]);
    }

    #[test]
    fn a_name_that_was_removed_is_not_used_for_another_type() {
        let removed = json!({ "a": field("a", json!({})) });
        let before = json!({ "Visitor": { "fields": {}, "removed": removed } });
        let same = fields(json!({ "a": field("a", json!({})) }));
        assert_eq!(findings(&before, &same), [""; 0]);
        for changes in [json!({ "examples": ["x"] }), json!({ "ttl": true })] {
            let found = findings(&before, &fields(json!({ "a": field("a", changes) })));
            assert!(
                found[0].starts_with("`Visitor::a` reads the name `a`, under which"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn structs_of_one_session_agree_on_a_name() {
        let with = |changes| json!({ "fields": { "a": field("a", changes) } });
        let clash =
            |one: Value, other: Value| clashes(&[declared("One", &one), declared("Other", &other)]);
        assert_eq!(clash(with(json!({})), with(json!({ "type": "u16" }))), [""; 0]);
        for changes in [
            json!({ "examples": ["x"] }),
            json!({ "merge": "add" }),
            json!({ "ttl": true }),
            json!({ "index": true }),
        ] {
            let found = clash(with(json!({})), with(changes));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("`One::a` and `Other::a` are both stored as `a`, but"));
        }
        let alias = json!({ "fields": { "b": field("b", json!({ "aliases": ["a"] })) } });
        assert!(clash(alias.clone(), with(json!({})))[0].contains("alias for one of them"));
        assert!(clash(with(json!({})), alias)[0].contains("alias for one of them"));
        let admin =
            json!({ "cookie": "admin", "fields": { "a": field("a", json!({ "ttl": true })) } });
        assert_eq!(clash(with(json!({})), admin), [""; 0]);
        assert_eq!(
            clashes(&[declared("A", &with(json!({}))), declared("A", &with(json!({})))]).len(),
            1
        );
    }
}
