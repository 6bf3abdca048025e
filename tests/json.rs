//! JSON, and patches and records of it.

use std::{sync::Arc, time::Duration};

use actix_typed_session::{
    Timestamp,
    store::{Number, Patch, Record},
};
use serde_json::value::RawValue;

/// A JSON text.
pub fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).expect("the tests write JSON").into()
}

/// A patch that sets these fields to these JSON texts.
pub fn set(fields: &[(&str, &str)]) -> Patch {
    let mut patch = Patch::default();
    for (name, text) in fields {
        patch.set((*name).to_owned().into(), json(text));
    }
    patch
}

/// A patch that adds to a field, which is 0 if it is absent.
pub fn add(name: &'static str, by: i64) -> Patch {
    let mut patch = Patch::default();
    patch.add(name.into(), Number::Int(0), Number::from(by));
    patch
}

/// A record of an hour that has these fields.
pub fn record(now: Timestamp, fields: &[(&str, &str)]) -> Record {
    let new = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    set(fields).apply_to(&new).expect("a new record takes a patch")
}
