//! Patches of several requests as one.

use super::{
    number::Number,
    patch::{Change, ExpiryChange, Patch},
};

impl Patch {
    /// Adds the changes of a later patch of the same session to these, if one patch can do what the
    /// two do one after the other. Returns whether it did.
    ///
    /// A store can combine the patches of requests that wait for the same session. The version of
    /// the record must grow by the number of patches.
    ///
    /// If both add to a field, the numbers must be whole and have 18 digits at most, and so must
    /// the stored number, which only the store knows. Otherwise the sum might be another one.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::store::{Change, Number, Patch};
    ///
    /// let mut patch = Patch::default();
    /// patch.add("views".into(), Number::Int(0), Number::Int(2));
    /// assert!(patch.combine(&patch.clone()));
    /// let (name, change) = patch.changes().next().expect("a change");
    /// assert!(matches!(change, Change::Add { by: Number::Int(4), .. }));
    /// ```
    pub fn combine(&mut self, later: &Self) -> bool {
        let expiry = match (self.expiry(), later.expiry()) {
            (None, expiry) | (expiry @ Some(ExpiryChange::ExtendTo(_)), None) => expiry,
            (Some(ExpiryChange::ExtendTo(one)), Some(ExpiryChange::ExtendTo(other))) => {
                Some(ExpiryChange::ExtendTo(one.max(other)))
            }
            // This patch may end the session, and then the later one does not find it.
            _ => return false,
        };
        let is_possible = [&*self, later].into_iter().all(Self::only_changes_fields)
            && later.changes().all(|(name, change)| self.takes(name, change));
        if is_possible {
            self.append(later.clone());
            if let Some(expiry) = expiry {
                self.set_expiry(expiry);
            }
        }
        is_possible
    }

    /// Whether the patch changes nothing but fields and the expiry, in any version.
    fn only_changes_fields(&self) -> bool {
        self.expected_version().is_none()
            && self.reset_at().is_none()
            && self.limits().is_none()
            && self.index().is_none()
    }

    /// Whether one change of a field can do what the one here and then this one do.
    fn takes(&self, name: &str, later: &Change) -> bool {
        let (Some(Change::Add { from, by }), Change::Add { from: other, by: more }) =
            (self.change(name), later)
        else {
            return true;
        };
        let sum = by.and(*more);
        // A sum of zero would not store the number that an absent field counts as.
        [*from, *by, *other, *more, sum].into_iter().all(Number::is_short) && !sum.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;

    use super::*;
    use crate::{
        record::{Index, PublicId, Record},
        time::Timestamp,
    };

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.into()).expect("JSON").into()
    }

    fn number(n: i64) -> Number {
        Number::from(n)
    }

    /// Patches of two fields and of the expiry.
    fn patches() -> Vec<Patch> {
        let mut all = vec![Patch::default()];
        for name in ["a", "b"] {
            let changes: [&dyn Fn(&mut Patch); 7] = [
                &|patch| patch.set(name.into(), json("5")),
                &|patch| patch.set(name.into(), json("\"text\"")),
                &|patch| patch.remove(name.into()),
                &|patch| patch.add(name.into(), number(10), number(1)),
                &|patch| patch.add(name.into(), number(20), number(-1)),
                &|patch| patch.add(name.into(), number(0), number(999_999_999_999_999_999)),
                &|patch| patch.add(name.into(), number(0), Number::Float(0.1)),
            ];
            for before in all.clone() {
                for change in changes {
                    let mut patch = before.clone();
                    change(&mut patch);
                    all.push(patch);
                }
            }
        }
        for (before, ms) in all.clone().into_iter().step_by(5).zip((1_001..).step_by(3)) {
            let time = Timestamp::from_unix_ms(ms);
            for expiry in [ExpiryChange::ExtendTo(time), ExpiryChange::Set(time)] {
                let mut patch = before.clone();
                patch.set_expiry(expiry);
                all.push(patch);
            }
        }
        all
    }

    #[test]
    fn a_combined_patch_does_what_the_two_do_one_after_the_other() {
        let (mut combined, mut refused) = (0, 0);
        let patches = patches();
        let at = Timestamp::from_unix_ms;
        let empty = Record::new(at(0), at(1_020));
        let is_short = |record: &Record| {
            let mut numbers = record.fields().filter_map(|(_, json)| Number::parse(json).ok());
            numbers.all(Number::is_short)
        };
        let records = patches.iter().step_by(7).filter_map(|patch| patch.apply_to(&empty).ok());
        let records: Vec<Record> = records.filter(is_short).collect();
        for first in &patches {
            for later in &patches {
                let mut both = first.clone();
                if !both.combine(later) {
                    refused += 1;
                    assert_eq!(format!("{both:?}"), format!("{first:?}"), "it is unchanged");
                    continue;
                }
                combined += 1;
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
        assert!(combined > 3_000 && refused > 1_000, "{combined}, {refused}");
    }

    #[test]
    fn patches_that_need_the_whole_record_are_not_combined() {
        let plain = Patch::default();
        let changes: [fn(&mut Patch); 4] = [
            |patch| patch.expect_version(1),
            |patch| patch.reset(Timestamp::from_unix_ms(1)),
            |patch| patch.set_limits(Default::default()),
            |patch| patch.index_field(Index::new(PublicId::from_bytes([1; 14]), "a".into())),
        ];
        for change in changes {
            let mut other = plain.clone();
            change(&mut other);
            assert!(!plain.clone().combine(&other));
            assert!(!other.combine(&plain));
        }
    }
}
