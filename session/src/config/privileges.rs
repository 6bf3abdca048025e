//! Which stored fields are privileges. A struct that declares one declares it for all other
//! structs.

use std::sync::OnceLock;

use crate::fields::Schema;

/// The stored names of the `privilege` fields of all structs that a middleware has seen.
///
/// A request can write such a field through another struct, which does not declare it as a
/// privilege. That must renew the session too. The list only grows, so workers read it without a
/// lock.
#[derive(Debug, Default)]
pub(crate) struct Privileges(OnceLock<(&'static str, Box<Self>)>);

impl Privileges {
    /// Knows no privileges yet.
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Adds the privileges of a struct.
    pub(crate) fn learn(&self, schema: &Schema) {
        for name in schema.privileges {
            let mut rest = self;
            loop {
                let (there, after) = rest.0.get_or_init(|| (name, Box::default()));
                if there == name {
                    break;
                }
                rest = after;
            }
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let (name, after) = rest.0.get()?;
            rest = after;
            Some(*name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(privileges: &'static [&'static str]) -> Schema {
        Schema {
            type_name: "S",
            cookie: None,
            strict: false,
            names: privileges,
            privileges,
            adopt: |_| {},
        }
    }

    #[test]
    fn each_name_is_learned_once() {
        let privileges = Privileges::default();
        for names in [&["user", "role"] as &[_], &[], &["role"], &["admin", "user"]] {
            privileges.learn(&schema(names));
        }
        assert_eq!(privileges.names().collect::<Vec<_>>(), ["user", "role", "admin"]);
    }
}
