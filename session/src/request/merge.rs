//! Merges the changes of a request with what other requests have stored meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};

use crate::{
    error::{SessionError, StoreError},
    fields::{AnyField, MergeError, same_json},
    id::StoreKey,
    observe::{EventKind, Metric, Reporter},
    record::{Change, Patch, Record},
    store::{MergeLocks, StoreFuture, UpdateOutcome},
};

/// Writes a patch, and merges it if another request was faster.
pub(crate) struct Merger {
    /// The record that the request has read.
    pub(crate) base: Record,
    /// The changed fields that the library merges.
    pub(crate) fields: Vec<&'static dyn AnyField>,
    pub(crate) locks: Arc<MergeLocks>,
    /// Reports conflicts. `None`: that is not wanted.
    pub(crate) reporter: Option<Reporter>,
}

/// How often a request merges and tries to write, before it fails.
pub(super) const MERGE_ATTEMPTS: u32 = 50;
/// How many attempts follow each other without a pause. During a pause, the record that the store
/// has just returned becomes outdated, so an immediate attempt is the likeliest to succeed.
const ATTEMPTS_IN_A_ROW: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How long a request waits for the lock of its session.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

impl Merger {
    /// Makes the call with the patch. If the store has another version than the patch expects,
    /// merges the patch with that version and tries again.
    ///
    /// # Errors
    /// The store failed, a rule rejects the change, or all attempts found another version.
    pub(crate) async fn write(
        self,
        key: &StoreKey,
        patch: &Patch,
        call: impl Fn(Patch) -> StoreFuture<UpdateOutcome> + Send + Sync,
    ) -> Result<UpdateOutcome, SessionError> {
        match call(patch.clone()).await? {
            // Boxed, so that the future of a write without a conflict stays small.
            UpdateOutcome::Conflict(current) => {
                Box::pin(self.retry(key, patch, current, call)).await
            }
            updated => Ok(updated),
        }
    }

    async fn retry(
        self,
        key: &StoreKey,
        patch: &Patch,
        mut current: Record,
        call: impl Fn(Patch) -> StoreFuture<UpdateOutcome>,
    ) -> Result<UpdateOutcome, SessionError> {
        let _lock = lock(&self.locks, key).await.inspect_err(|_| self.report_given_up(None))?;
        for attempt in 1..=MERGE_ATTEMPTS {
            if let Some(reporter) = &self.reporter {
                reporter.count(Metric::Conflicts);
            }
            let merged = merge(patch, &self.fields, &self.base, &current).inspect_err(|error| {
                if let SessionError::Conflict { field } = error {
                    self.report_given_up(Some(field));
                }
            })?;
            current = match call(merged).await? {
                UpdateOutcome::Conflict(current) => current,
                updated => return Ok(updated),
            };
            if attempt % ATTEMPTS_IN_A_ROW == 0 {
                // A random pause, so that competing processes do not collide again.
                sleep(LONGEST_PAUSE.mul_f64(rand::random())).await;
            }
        }
        self.report_given_up(None);
        let why = "other requests changed the session in every attempt to merge the changes; \
                   try again";
        Err(StoreError::unavailable(why).into())
    }

    fn report_given_up(&self, field: Option<&'static str>) {
        if let Some(reporter) = &self.reporter {
            let public_id = self.base.public_id();
            reporter.report(EventKind::ConflictGivenUp { field }, public_id);
        }
    }
}

/// Waits for the lock of a session.
///
/// # Errors
/// Other requests hold the lock for too long.
pub(super) async fn lock(
    locks: &MergeLocks,
    key: &StoreKey,
) -> Result<OwnedMutexGuard<()>, StoreError> {
    timeout(LOCK_TIMEOUT, locks.wait(key)).await.map_err(StoreError::unavailable)
}

/// Merges the changes that a request has made to `base` with the record `current`, which is stored
/// now. `fields` are the changed fields that the library merges.
///
/// # Errors
/// A rule rejects the change, or a merged value cannot be stored.
pub(crate) fn merge(
    patch: &Patch,
    fields: &[&'static dyn AnyField],
    base: &Record,
    current: &Record,
) -> Result<Patch, SessionError> {
    let mut merged = patch.clone();
    merged.expect_version(current.version());
    merged.set_snapshot(current.clone());
    let changes = patch.changes().filter_map(|(name, change)| {
        let ours = match change {
            Change::Set(ours) => Some(&**ours),
            Change::Remove => None,
            Change::Add { .. } => return None,
        };
        fields.iter().find(|field| field.schema().stored == name).map(|field| (*field, ours))
    });
    for (field, ours) in changes {
        let schema = field.schema();
        let (base, theirs) = (schema.find(base), schema.find(current));
        let they_changed_it = match (base, theirs) {
            (Some(base), Some(theirs)) => !same_json(base, theirs),
            (base, theirs) => base.is_some() != theirs.is_some(),
        };
        if they_changed_it {
            let value = field.merge(base, theirs, ours).map_err(|error| match error {
                MergeError::Rejected => SessionError::Conflict { field: schema.stored },
                MergeError::Encode(source) => SessionError::Encode { field: schema.stored, source },
            })?;
            if let Some(value) = value {
                merged.set(schema.stored.into(), value);
            }
            for alias in schema.aliases.iter().filter(|alias| current.field(alias).is_some()) {
                merged.remove((*alias).into());
            }
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::value::RawValue;

    use super::*;
    use crate::{
        fields::{Field, FieldSchema},
        time::Timestamp,
    };

    struct Visitor<F>(F);

    static SCHEMA: FieldSchema = FieldSchema {
        name: "f",
        stored: "f",
        aliases: &["old"],
        lenient: false,
        ttl: None,
        index: false,
        flash: false,
    };

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    fn record(name: &'static str, text: Option<&str>) -> Record {
        let mut patch = Patch::default();
        if let Some(text) = text {
            patch.set(name.into(), json(text));
        }
        let now = Timestamp::from_unix_ms(0);
        let new = Record::new(now, Timestamp::from_unix_ms(1));
        patch.apply_to(&new).expect("a live record takes a patch")
    }

    fn field<F>(default: fn() -> F) -> Field<Visitor<F>, F>
    where
        F: serde::Serialize + serde::de::DeserializeOwned + 'static,
    {
        Field::value(&SCHEMA, |it| &it.0, |it| &mut it.0, default)
    }

    /// Returns what is stored after a merge of three values.
    fn merged(
        field: &'static dyn AnyField,
        base: Option<&str>,
        theirs: Option<&str>,
        ours: &str,
    ) -> Result<String, SessionError> {
        let mut patch = Patch::default();
        patch.set("f".into(), json(ours));
        patch.set("other".into(), json("1"));
        let (base, current) = (record("f", base), record("f", theirs));
        let merged = merge(&patch, &[field], &base, &current)?;
        assert_eq!(merged.expected_version(), Some(current.version()));
        let stored = merged.apply_to(&current).expect("it expects this version");
        assert!(stored.field("other").is_some(), "fields of other rules are kept");
        Ok(stored.field("f").expect("it was set").get().to_owned())
    }

    #[test]
    fn the_larger_or_the_smaller_value_stays() {
        static MAX: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 5).max();
        static MIN: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 5).min();
        for (theirs, ours, max, min) in
            [("7", "9", "9", "7"), ("9", "7", "9", "7"), ("-3", "-2", "-2", "-3")]
        {
            assert_eq!(merged(&MAX, Some("1"), Some(theirs), ours).ok().as_deref(), Some(max));
            assert_eq!(merged(&MIN, Some("1"), Some(theirs), ours).ok().as_deref(), Some(min));
        }
        // A value that is absent or not a number counts as the default.
        for theirs in [None, Some("\"text\"")] {
            assert_eq!(merged(&MAX, Some("1"), theirs, "2").ok().as_deref(), Some("5"));
            assert_eq!(merged(&MIN, Some("1"), theirs, "2").ok().as_deref(), Some("2"));
        }
    }

    #[test]
    fn a_value_that_only_one_request_changed_is_written() {
        static MAX: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0).max();
        static REJECT: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0).reject();
        for base in [None, Some("9")] {
            assert_eq!(merged(&MAX, base, base, "3").ok().as_deref(), Some("3"));
            assert_eq!(merged(&REJECT, base, base, "3").ok().as_deref(), Some("3"));
        }
    }

    #[test]
    fn a_rejected_change_names_the_field() {
        static REJECT: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0).reject();
        for theirs in [None, Some("2")] {
            let refused = merged(&REJECT, Some("1"), theirs, "3");
            assert!(matches!(refused, Err(SessionError::Conflict { field: "f" })), "{refused:?}");
        }
    }

    #[test]
    fn a_removal_is_rejected_as_any_other_change_is() {
        static REJECT: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0).reject();
        let mut patch = Patch::default();
        patch.remove("f".into());
        let base = record("f", Some("1"));
        for theirs in [None, Some("2")] {
            let refused = merge(&patch, &[&REJECT], &base, &record("f", theirs));
            assert!(matches!(refused, Err(SessionError::Conflict { field: "f" })), "{refused:?}");
        }
        let current = record("f", Some("1"));
        let merged = merge(&patch, &[&REJECT], &base, &current).expect("no other change");
        assert!(merged.apply_to(&current).expect("this version").field("f").is_none());
    }

    #[test]
    fn a_union_honours_additions_and_removals_of_both() {
        static SET: Field<Visitor<BTreeSet<u8>>, BTreeSet<u8>> =
            Field::<Visitor<BTreeSet<u8>>, BTreeSet<u8>>::value(
                &SCHEMA,
                |it| &it.0,
                |it| &mut it.0,
                BTreeSet::new,
            )
            .union();
        for (base, theirs, ours, both) in [
            ("[1,2,3]", "[2,3,4]", "[1,3,5]", "[3,4,5]"),
            ("[]", "[1]", "[2]", "[1,2]"),
            ("[1]", "[]", "[1,2]", "[2]"),
            ("[1]", "[1,2]", "[]", "[2]"),
            ("[1,2]", "[]", "[2]", "[]"),
        ] {
            assert_eq!(merged(&SET, Some(base), Some(theirs), ours).ok().as_deref(), Some(both));
        }
        assert_eq!(merged(&SET, None, Some("[1]"), "[2]").ok().as_deref(), Some("[1,2]"));
    }

    #[test]
    fn a_union_of_maps_keeps_the_changed_entries_of_both() {
        type Map = BTreeMap<String, u8>;
        static MAP: Field<Visitor<Map>, Map> =
            Field::<Visitor<Map>, Map>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, Map::new)
                .union();
        let both = merged(
            &MAP,
            Some(r#"{"a":1,"b":1,"c":1,"d":1}"#),
            Some(r#"{"a":2,"b":1,"d":2,"e":1}"#),
            r#"{"a":1,"b":3,"c":1,"d":3,"f":1}"#,
        );
        assert_eq!(both.ok().as_deref(), Some(r#"{"a":2,"b":3,"d":3,"e":1,"f":1}"#));
    }

    #[test]
    fn a_function_gets_the_value_that_both_have_read() {
        static SUM: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0)
                .merge_with(|base, theirs, ours| theirs + ours - base);
        assert_eq!(merged(&SUM, Some("10"), Some("12"), "15").ok().as_deref(), Some("17"));
    }

    #[test]
    fn a_merged_value_without_json_is_an_error() {
        static NAN: Field<Visitor<f64>, f64> =
            Field::<Visitor<f64>, f64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0.0)
                .merge_with(|_, _, _| f64::NAN);
        let failed = merged(&NAN, Some("1"), Some("2"), "3");
        assert!(matches!(failed, Err(SessionError::Encode { field: "f", .. })), "{failed:?}");
    }

    #[test]
    fn values_under_an_old_name_are_seen_and_removed() {
        static MAX: Field<Visitor<i64>, i64> =
            Field::<Visitor<i64>, i64>::value(&SCHEMA, |it| &it.0, |it| &mut it.0, || 0).max();
        let mut patch = Patch::default();
        patch.set("f".into(), json("3"));
        let current = record("old", Some("7"));
        let merged = merge(&patch, &[&MAX], &record("old", Some("1")), &current);
        let stored = merged.expect("it is merged").apply_to(&current).expect("this version");
        assert_eq!(stored.field("f").map(RawValue::get), Some("7"));
        assert!(stored.field("old").is_none());
        // The other request runs a release that has only the new name.
        let patch_of_ours = patch;
        let merged =
            merge(&patch_of_ours, &[&MAX], &record("old", Some("1")), &record("f", Some("1")));
        let stored = merged.expect("nothing to merge").apply_to(&record("f", Some("1")));
        assert_eq!(stored.expect("this version").field("f").map(RawValue::get), Some("3"));
    }

    #[test]
    fn fields_without_a_rule_are_left_to_the_store() {
        assert!(!field::<i64>(|| 0).is_merged());
        assert!(field::<i64>(|| 0).max().is_merged());
        assert!(field::<i64>(|| 0).reject().is_merged());
    }
}
