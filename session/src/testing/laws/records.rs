//! The sessions and changes that the laws store.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    id::{SessionId, StoreKey},
    record::{FieldName, Grace, Index, Number, OldIdReads, Patch, PublicId, Record},
    testing::harness::Harness,
    time::Timestamp,
};

/// Fields that stores have been seen to change: empty containers, large numbers, escapes, floats.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("empty list", "[]"),
    ("empty object", "{}"),
    ("nested empties", r#"{"a":[],"b":{},"c":[[],{}],"d":null}"#),
    ("2^53 + 1", "9007199254740993"),
    ("u64::MAX", "18446744073709551615"),
    ("i64::MIN", "-9223372036854775808"),
    ("float", "0.1"),
    ("small float", "1e-300"),
    ("integral float", "1.0"),
    ("null", "null"),
    ("false", "false"),
    ("empty string", r#""""#),
    ("escapes", r#""\u0000\n\"\\\/\ud83e\udd80""#),
    ("unicode", "\"Grüße, 世界 🦀\""),
    ("spaces", r#"{ "a" : [ 1 , 2 ] }"#),
    ("order", r#"{"z":1,"a":2}"#),
    ("näme 🦀", "1"),
    ("", "\"a field without a name\""),
    ("a.b:c/d*{e}'f\"g", "1"),
    ("__proto__", "1"),
    ("../../etc/passwd", "1"),
    ("1e400", "1e400"),
    ("lone surrogate", r#""\ud800""#),
    ("the same twice", r#"{"a":1,"a":2}"#),
];

/// Returns a key that no other call returns.
pub(super) fn new_key() -> StoreKey {
    StoreKey::from(&SessionId::random())
}

/// Returns the time `n` ticks from now.
pub(super) fn ticks<H: Harness>(harness: &Arc<H>, n: u32) -> Timestamp {
    harness.now().saturating_add(harness.tick() * n)
}

/// Returns a session that outlives the test.
pub(super) fn record<H: Harness>(harness: &Arc<H>) -> Record {
    record_for(harness, 1_000)
}

/// Returns a session that expires in `n` ticks.
pub(super) fn record_for<H: Harness>(harness: &Arc<H>, n: u32) -> Record {
    Record::new(harness.now(), ticks(harness, n))
}

pub(super) fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).expect("the kit writes JSON").into()
}

/// Returns a patch that sets these fields.
pub(super) fn set(fields: &[(&str, &str)]) -> Patch {
    let mut patch = Patch::default();
    for (name, text) in fields {
        patch.set(FieldName::Owned((*name).to_owned()), json(text));
    }
    patch
}

/// Returns a patch that sets these fields and indexes them.
pub(super) fn set_indexed<H: Harness>(harness: &Arc<H>, fields: &[(&str, &str)]) -> Patch {
    let mut patch = set(fields);
    let id = PublicId::new(harness.now(), harness.tick() * 2_000);
    for (name, _) in fields {
        patch.index_field(Index::new(id, FieldName::Owned((*name).to_owned())));
    }
    patch
}

/// Returns a patch that adds to a number; an absent one counts as 0.
pub(super) fn add(name: &'static str, by: i64) -> Patch {
    let mut patch = Patch::default();
    patch.add(name.into(), Number::Int(0), Number::from(by));
    patch
}

/// Returns what the store must have after the patch.
pub(super) fn with(record: &Record, patch: &Patch) -> Record {
    patch.apply_to(record).expect("the kit patches live records")
}

/// Returns a grace that ends in `n` ticks.
pub(super) fn grace<H: Harness>(harness: &Arc<H>, n: u32, old_id: OldIdReads) -> Grace {
    Grace { until: ticks(harness, n), old_id }
}

/// Returns a field's JSON.
pub(super) fn field(record: &Record, name: &str) -> Option<String> {
    record.field(name).map(|json| json.get().to_owned())
}

/// What a reader sees of a record, without its version: what the laws compare and print.
#[derive(PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) apart_from_fields: String,
    fields: Vec<String>,
}

pub(super) fn seen(record: &Record) -> Seen {
    let apart_from_fields = format!(
        "created {:?}, expires {:?}, limits {:?}, retired {}",
        record.created_at(),
        record.expires_at(),
        record.limits(),
        record.is_retired(),
    );
    let fields = record.fields().map(|(name, json)| format!("{name:?}={}", json.get())).collect();
    Seen { apart_from_fields, fields }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, fields {}", self.apart_from_fields, self.fields.join(" "))
    }
}
