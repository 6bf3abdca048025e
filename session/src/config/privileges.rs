//! Which stored fields are privileges: every struct that says so says it for all structs that share the field.

use std::sync::OnceLock;

use crate::fields::Schema;

/// The stored names of the `privilege` fields of all structs that a middleware has met.
///
/// A request that writes such a field through another struct, which does not say that it is one, changes the
/// session's rights all the same. A list that only grows, so that no worker waits for another.
#[derive(Debug, Default)]
pub(crate) struct Privileges(OnceLock<(&'static str, Box<Self>)>);

impl Privileges {
    /// Knows no privileges yet.
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Learns the privileges of a struct.
    pub(crate) fn learn(&self, schema: &Schema) {
        for name in schema.privileges {
            let mut rest = self;
            loop {
                let (known, after) = rest.0.get_or_init(|| (name, Box::default()));
                if known == name {
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
        Schema { type_name: "S", cookie: None, strict: false, names: privileges, privileges }
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
