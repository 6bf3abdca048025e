//! The changes of a patch that one statement can make.

use actix_typed_session::store::{Change, ExpiryChange, Number, Patch};

use crate::values::ms;

/// A patch that only changes fields and the expiry.
pub(crate) struct PlainPatch<'a> {
    /// Names and JSON texts.
    pub(crate) sets: Vec<(&'a str, &'a str)>,
    pub(crate) removes: Vec<&'a str>,
    pub(crate) adds: Vec<Addition<'a>>,
}

/// A number to add, and the number that an absent field counts as.
pub(crate) struct Addition<'a> {
    pub(crate) name: &'a str,
    pub(crate) by: Number,
    pub(crate) from: Number,
}

impl<'a> PlainPatch<'a> {
    /// `None`: the patch changes more, which needs the whole record.
    pub(crate) fn new(patch: &'a Patch) -> Option<Self> {
        if patch.index().is_some() || patch.limits().is_some() || patch.reset_at().is_some() {
            return None;
        }
        let mut plain = Self { sets: Vec::new(), removes: Vec::new(), adds: Vec::new() };
        for (name, change) in patch.changes() {
            match change {
                Change::Set(json) => plain.sets.push((name, json.get())),
                Change::Remove => plain.removes.push(name),
                Change::Add { from, by } => {
                    plain.adds.push(Addition { name, by: *by, from: *from });
                }
                _ => return None,
            }
        }
        Some(plain)
    }

    /// The names of all fields that it changes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        let sets = self.sets.iter().map(|(name, _)| *name);
        sets.chain(self.removes.iter().copied()).chain(self.adds.iter().map(|add| add.name))
    }
}

/// The least that a patch makes the expiry, and what it makes the expiry.
pub(crate) fn expiry(patch: &Patch) -> (Option<i64>, Option<i64>) {
    match patch.expiry() {
        Some(ExpiryChange::ExtendTo(time)) => (Some(ms(time)), None),
        Some(ExpiryChange::Set(time)) => (None, Some(ms(time))),
        _ => (None, None),
    }
}
