//! What the file says after this release.

use std::collections::BTreeMap;

use super::{
    compare::reads_same,
    declared::{Declared, StoredField, StoredStruct},
    pairs::{Found, Pairs},
};

/// Returns the description of this release, with what it must know of earlier ones: the examples
/// that it still reads, and the names that it has removed.
pub(super) fn next(
    before: &BTreeMap<String, StoredStruct>,
    now: &[Declared],
) -> BTreeMap<String, StoredStruct> {
    let pairs = Pairs::new(before, now);
    let mut next: BTreeMap<String, StoredStruct> =
        now.iter().map(|declared| (declared.name.clone(), declared.stored.clone())).collect();
    for (name, old) in before {
        let removed = removed(&pairs, name, old);
        if !removed.is_empty() {
            let heir = pairs.of(name).map_or(name, |new| &new.name);
            let gone = || StoredStruct { cookie: old.cookie.clone(), ..StoredStruct::default() };
            next.entry(heir.clone()).or_insert_with(gone).removed.extend(removed);
        }
        for (stored, field) in &old.fields {
            if let Some(found) = pairs.find(name, stored) {
                let heir = next.get_mut(&found.of.name).expect("it is in this release");
                let heir = heir.fields.get_mut(found.stored).expect("it is in this release");
                inherit(heir, field, found);
            }
        }
    }
    next
}

/// The names that an earlier release has stored, and this one does not read.
fn removed(pairs: &Pairs<'_>, name: &str, old: &StoredStruct) -> BTreeMap<String, StoredField> {
    let mut removed = BTreeMap::new();
    for (stored, field) in old.removed.iter().chain(&old.fields) {
        for gone in std::iter::once(stored).chain(&field.aliases) {
            if pairs.find(name, gone).is_none() {
                let field = StoredField { aliases: Vec::new(), ..field.clone() };
                removed.insert(gone.clone(), field);
            }
        }
    }
    removed
}

/// Keeps the examples of earlier releases that the field still reads.
fn inherit(field: &mut StoredField, old: &StoredField, found: Found<'_>) {
    let readable = old.examples.iter().filter(|example| reads_same(found, example).is_ok());
    let mut examples: Vec<_> = readable.cloned().collect();
    for example in field.examples.drain(..) {
        if !examples.contains(&example) {
            examples.push(example);
        }
    }
    field.examples = examples;
    field.partial &= old.partial || old.form() != field.form();
}
