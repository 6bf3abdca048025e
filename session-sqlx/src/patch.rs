//! The changes of a patch that one statement can make.

use std::sync::Arc;

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

/// A patch that changes a session as these two do one after the other, but counts as one change of
/// the version. Both can run together with others. `None`: no such patch can.
pub(crate) fn combined(first: &Patch, later: &Patch) -> Option<Patch> {
    let expiry = match (first.expiry(), later.expiry()) {
        (None, expiry) => expiry,
        (Some(ExpiryChange::ExtendTo(time)), None) => Some(ExpiryChange::ExtendTo(time)),
        (Some(ExpiryChange::ExtendTo(one)), Some(ExpiryChange::ExtendTo(other))) => {
            Some(ExpiryChange::ExtendTo(one.max(other)))
        }
        // The first one may end the session, and then the later one does not find it.
        _ => return None,
    };
    let mut both = first.clone();
    if let Some(expiry) = expiry {
        both.set_expiry(expiry);
    }
    for (name, change) in later.changes() {
        let field = name.to_owned().into();
        match change {
            Change::Set(json) => both.set(field, Arc::clone(json)),
            Change::Remove => both.remove(field),
            Change::Add { from, by } => both.add(field, *from, *by),
            _ => return None,
        }
        // A sum of zero would not be stored, although each addition stores its field.
        if !both.changes().any(|(changed, _)| changed == name) {
            return None;
        }
    }
    can_run_together(&both).then_some(both)
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
    use actix_typed_session::{Timestamp, store::Record};
    use serde_json::value::RawValue;

    use super::*;

    /// Patches of two fields: all that can run together, and some that cannot.
    fn patches() -> Vec<Patch> {
        let json = |text: &str| -> Arc<RawValue> {
            RawValue::from_string(text.into()).expect("JSON").into()
        };
        let number = |n: i64| Number::from(n);
        let mut all = vec![Patch::default()];
        for name in ["a", "b"] {
            let changes: [&dyn Fn(&mut Patch); 6] = [
                &|patch| patch.set(name.into(), json("5")),
                &|patch| patch.set(name.into(), json("\"text\"")),
                &|patch| patch.remove(name.into()),
                &|patch| patch.add(name.into(), number(10), number(1)),
                &|patch| patch.add(name.into(), number(20), number(-1)),
                &|patch| patch.add(name.into(), number(0), number(999_999_999_999_999_999)),
            ];
            for before in all.clone() {
                for change in changes {
                    let mut patch = before.clone();
                    change(&mut patch);
                    all.push(patch);
                }
            }
        }
        for (before, at) in all.clone().into_iter().step_by(5).zip((1..).step_by(3)) {
            let time = Timestamp::from_unix_ms(1_000 + at);
            for expiry in [ExpiryChange::ExtendTo(time), ExpiryChange::Set(time)] {
                let mut patch = before.clone();
                patch.set_expiry(expiry);
                all.push(patch);
            }
        }
        all
    }

    #[test]
    fn a_combined_patch_changes_a_session_as_the_two_do_one_after_the_other() {
        let (mut combinations, mut refused) = (0, 0);
        let patches = patches();
        let records: Vec<Record> = {
            let at = Timestamp::from_unix_ms;
            let empty = Record::new(at(0), at(1_020));
            let filled = patches.iter().step_by(7).filter(|patch| can_run_together(patch));
            filled.map(|patch| patch.apply_to(&empty).expect("a live record")).collect()
        };
        for first in patches.iter().filter(|patch| can_run_together(patch)) {
            for later in patches.iter().filter(|patch| can_run_together(patch)) {
                let Some(both) = combined(first, later) else {
                    refused += 1;
                    continue;
                };
                combinations += 1;
                assert!(can_run_together(&both));
                for record in &records {
                    let expected = first.apply_to(record).and_then(|it| later.apply_to(&it));
                    let (expected, record) =
                        (expected.expect("live"), both.apply_to(record).expect("live"));
                    assert_eq!(record.expires_at(), expected.expires_at());
                    let fields = |record: &Record| -> Vec<_> {
                        let fields = record.fields();
                        fields.map(|(name, json)| (name.to_owned(), json.to_string())).collect()
                    };
                    assert_eq!(fields(&record), fields(&expected), "{first:?} and {later:?}");
                    assert_eq!(record.version() + 1, expected.version());
                }
            }
        }
        assert!(combinations > 1_000 && refused > 100, "{combinations}, {refused}");
    }

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
}
