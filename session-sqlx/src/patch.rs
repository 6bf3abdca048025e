//! The changes of a patch that one statement can make.

use actix_typed_session::store::{Change, ExpiryChange, Number, Patch};

use crate::values::ms;

/// The most additions that an update has a separate statement for.
pub(crate) const FEW_ADDITIONS: usize = 4;

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

    /// The additions, if they are few and of short whole numbers.
    pub(crate) fn short_adds(&self) -> Option<Vec<ShortAddition<'a>>> {
        if self.adds.len() > FEW_ADDITIONS {
            return None;
        }
        self.adds.iter().map(Addition::short).collect()
    }
}

/// The name of a field, the number that it counts as if it is absent, and the number to add.
pub(crate) type ShortAddition<'a> = (&'a str, i64, i64);

impl<'a> Addition<'a> {
    /// An addition of whole numbers with 18 digits at most.
    fn short(&self) -> Option<ShortAddition<'a>> {
        const LIMIT: i64 = 10_i64.pow(18);
        let number = |number: Number| match number {
            Number::Int(n) => i64::try_from(n).ok().filter(|n| (1 - LIMIT..LIMIT).contains(n)),
            _ => None,
        };
        Some((self.name, number(self.from)?, number(self.by)?))
    }
}

/// Whether an update can run together with those of other sessions.
pub(crate) fn can_run_together(patch: &Patch) -> bool {
    patch.expected_version().is_none()
        && PlainPatch::new(patch).is_some_and(|plain| plain.short_adds().is_some())
}

/// One patch in the place of these two, if there is one that can run together with others.
pub(crate) fn combined(first: &Patch, later: &Patch) -> Option<Patch> {
    let mut both = first.clone();
    (both.combine(later) && can_run_together(&both)).then_some(both)
}

/// The least that a patch makes the expiry, and what it makes the expiry.
pub(crate) fn expiry(patch: &Patch) -> (Option<i64>, Option<i64>) {
    match patch.expiry() {
        Some(ExpiryChange::ExtendTo(time)) => (Some(ms(time)), None),
        Some(ExpiryChange::Set(time)) => (None, Some(ms(time))),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use actix_typed_session::Timestamp;

    use super::*;

    #[test]
    fn what_one_statement_cannot_do_does_not_run_together() {
        let number = Number::from(1);
        let patch = |change: &dyn Fn(&mut Patch)| {
            let mut patch = Patch::default();
            change(&mut patch);
            patch
        };
        let five = |patch: &mut Patch| {
            for name in ["a", "b", "c", "d", "e"] {
                patch.add(name.into(), number, number);
            }
        };
        let long = Number::from(1_000_000_000_000_000_000);
        for (what, patch) in [
            ("five additions", patch(&five)),
            ("a float", patch(&|patch| patch.add("a".into(), number, Number::from(0.5)))),
            ("19 digits", patch(&|patch| patch.add("a".into(), number, long))),
            ("a default of 19 digits", patch(&|patch| patch.add("a".into(), long, number))),
            ("a version", patch(&|patch| patch.expect_version(1))),
            ("a reset", patch(&|patch| patch.reset(Timestamp::from_unix_ms(1)))),
            ("limits", patch(&|patch| patch.set_limits(Default::default()))),
        ] {
            assert!(!can_run_together(&patch), "{what}");
        }
    }

    #[test]
    fn patches_that_would_need_more_than_one_statement_are_not_combined() {
        let add = |names: &[&'static str]| {
            names.iter().fold(Patch::default(), |mut patch, name| {
                patch.add((*name).into(), Number::from(0), Number::from(1));
                patch
            })
        };
        assert!(combined(&add(&["a", "b"]), &add(&["c", "d"])).is_some());
        assert!(combined(&add(&["a", "b", "c"]), &add(&["c", "d"])).is_some());
        assert!(combined(&add(&["a", "b", "c"]), &add(&["d", "e"])).is_none());
    }
}
