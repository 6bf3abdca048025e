//! Describes the structs of this release.

use std::{any, collections::BTreeMap};

use super::{
    declared::{Declared, Read, StoredField, StoredStruct},
    json::Json,
};
use crate::fields::{AnyField, Examples, Field, FieldDescription, Schema, Snapshot, examples};

impl Declared {
    /// Begins the description of the struct `T`.
    pub(crate) fn new<T>(schema: &Schema) -> Self {
        let name = any::type_name::<T>();
        let name =
            if name.contains('<') { without_paths(name) } else { schema.type_name.to_owned() };
        let stored = StoredStruct {
            cookie: schema.cookie.map(ToOwned::to_owned),
            strict: schema.strict,
            ..StoredStruct::default()
        };
        Self { name, stored, read: BTreeMap::new(), fresh: BTreeMap::new() }
    }
}

impl Declared {
    /// Forgets each default that is another one each time, such as the present time.
    pub(super) fn drop_changing_defaults(&mut self) {
        for (stored, field) in &mut self.stored.fields {
            if self.fresh.get(stored).is_some_and(|fresh| fresh() != field.default) {
                field.default = None;
            }
        }
    }
}

/// Adds a field. `samples` are values of the struct that the test has made.
pub(crate) fn declared_field<T, F>(
    declared: &mut Declared,
    field: &'static Field<T, F>,
    source: &FieldDescription,
    samples: &[T],
) {
    let Examples { values, is_complete } = examples(field.example);
    let json = |value: &F| stored_json((field.snapshot)(value));
    declared.add(DeclaredField {
        field,
        source,
        made: values.iter().map(json).collect(),
        is_complete,
        given: samples.iter().map(|sample| json((field.get)(sample))).collect(),
        read: Box::new(move |json| {
            let value = field.decode_snapshot(json).map_err(|error| error.to_string())?;
            let json = stored_json((field.snapshot)(&value));
            json.ok_or_else(|| "it cannot be stored again".to_owned())
        }),
    });
}

/// A field, and the JSON of values of it. `None`: the value cannot be stored.
struct DeclaredField<'a> {
    field: &'static dyn AnyField,
    source: &'a FieldDescription,
    /// The values that were made from the type.
    made: Vec<Option<Json>>,
    /// Whether they show all that a value may be.
    is_complete: bool,
    /// The values that the test has made.
    given: Vec<Option<Json>>,
    read: Read,
}

impl Declared {
    fn add(&mut self, declared: DeclaredField<'_>) {
        let DeclaredField { field, source, made, is_complete, given, read } = declared;
        let fresh = move || stored_json(field.default());
        let default = fresh();
        let is_whole = is_complete && made.iter().all(Option::is_some);
        let given: Vec<Json> =
            given.into_iter().flatten().filter(|json| Some(json) != default.as_ref()).collect();
        let partial = !is_whole && given.is_empty();
        let mut kept: Vec<Json> = Vec::new();
        for json in made.into_iter().flatten().chain(given) {
            if !kept.contains(&json) {
                kept.push(json);
            }
        }
        let schema = field.schema();
        let stored = StoredField {
            field: schema.name.to_owned(),
            ty: source.ty.to_owned(),
            with: source.with.map(ToOwned::to_owned),
            merge: source.merge.to_owned(),
            aliases: schema.aliases.iter().map(|&alias| alias.to_owned()).collect(),
            privilege: source.privilege,
            index: schema.index,
            lenient: schema.lenient,
            ttl: schema.ttl.is_some(),
            default,
            examples: kept,
            partial,
        };
        self.stored.fields.insert(schema.stored.to_owned(), stored);
        self.read.insert(schema.stored.to_owned(), read);
        self.fresh.insert(schema.stored.to_owned(), Box::new(fresh));
        self.drop_changing_defaults();
    }
}

/// The JSON of a value, if it can be stored.
fn stored_json(value: Snapshot) -> Option<Json> {
    match value {
        Snapshot::Value(json) => Some(Json::new(&json)),
        Snapshot::Sum(number) => Some(Json::new(&number.to_json())),
        Snapshot::Failed(..) => None,
    }
}

/// A type's name without the paths to it.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    for char in name.chars() {
        short.push(char);
        if short.ends_with("::") {
            let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
            let rest = short.trim_end_matches(is_path).len();
            short.truncate(rest);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_struct_is_named_with_its_parameters() {
        for (name, expected) in [
            ("shop::Cart<u8>", "Cart<u8>"),
            ("a::b::Cart<alloc::vec::Vec<(u8, shop::Item)>, 4>", "Cart<Vec<(u8, Item)>, 4>"),
            ("Cart<u8>", "Cart<u8>"),
        ] {
            assert_eq!(without_paths(name), expected);
        }
    }
}
