//! Which struct and field of this release reads what a field of an earlier one has stored.

use std::collections::BTreeMap;

use super::declared::{Declared, StoredField, StoredStruct};

/// The structs of an earlier release and of this one.
pub(super) struct Pairs<'a> {
    before: &'a BTreeMap<String, StoredStruct>,
    now: &'a [Declared],
    by_name: BTreeMap<&'a str, &'a Declared>,
}

/// A field of this release.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) of: &'a Declared,
    /// The name in the store.
    pub(super) stored: &'a str,
    pub(super) field: &'a StoredField,
}

impl<'a> Pairs<'a> {
    /// Pairs structs by their names. Then a struct without a partner is paired with one that has a
    /// name in the store like it, or with the only other one.
    pub(super) fn new(before: &'a BTreeMap<String, StoredStruct>, now: &'a [Declared]) -> Self {
        let mut by_name: BTreeMap<&str, &Declared> = BTreeMap::new();
        for name in before.keys() {
            if let Some(same) = now.iter().find(|declared| declared.name == *name) {
                by_name.insert(name, same);
            }
        }
        for (name, stored) in before {
            if by_name.contains_key(name.as_str()) {
                continue;
            }
            let is_free = |declared: &&Declared| {
                !before.contains_key(&declared.name)
                    && !by_name.values().any(|taken| taken.name == declared.name)
            };
            let free: Vec<&Declared> = now.iter().filter(is_free).collect();
            let has_like = |declared: &&&Declared| {
                stored.fields.keys().any(|stored| declared.find(stored).is_some())
            };
            let is_only = before.len() == 1 && now.len() == 1 && !stored.fields.is_empty();
            let only = || is_only.then(|| free.first()).flatten();
            if let Some(renamed) = free.iter().find(has_like).or_else(only) {
                by_name.insert(name, renamed);
            }
        }
        Self { before, now, by_name }
    }

    /// The struct that has taken the place of an earlier one.
    pub(super) fn of(&self, name: &str) -> Option<&'a Declared> {
        self.by_name.get(name).copied()
    }

    /// The fields that a struct of an earlier release has stored.
    pub(super) fn fields_of(&self, name: &str) -> Option<&'a BTreeMap<String, StoredField>> {
        self.before.get(name).map(|old| &old.fields)
    }

    /// The field that reads what a struct of an earlier release has stored under a name. It may be
    /// in another struct of the same session.
    pub(super) fn find(&self, name: &str, stored: &str) -> Option<Found<'a>> {
        let partner = self.of(name);
        let session = match partner {
            Some(partner) => partner.session(),
            None => session(self.before.get(name)?.cookie.as_deref()),
        };
        let others = self.now.iter().filter(|other| other.session() == session);
        partner.into_iter().chain(others).find_map(|declared| declared.find(stored))
    }
}

impl Declared {
    /// The field that reads what is stored under a name.
    pub(super) fn find(&self, stored: &str) -> Option<Found<'_>> {
        let of = self;
        let fields = &self.stored.fields;
        let own = fields.get_key_value(stored);
        let has_alias =
            |(_, field): &(_, &StoredField)| field.aliases.iter().any(|it| it == stored);
        let found = own.or_else(|| fields.iter().find(has_alias));
        found.map(|(stored, field)| Found { of, stored, field })
    }

    /// Which session the struct is a part of: the cookie's name, without its prefix.
    pub(super) fn session(&self) -> Option<&str> {
        session(self.stored.cookie.as_deref())
    }
}

pub(super) fn session(cookie: Option<&str>) -> Option<&str> {
    cookie.map(|cookie| cookie.strip_prefix("__Host-").unwrap_or(cookie))
}
