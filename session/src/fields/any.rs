//! A field of any struct and type.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use super::{
    merge::MergeError,
    schema::FieldSchema,
    snapshot::{Snapshot, same_json},
};
use crate::{error::ValueError, record::Number};

/// A field without its type, so that code which needs no more is compiled once and not for each
/// field.
pub(crate) trait AnyField: fmt::Debug + Send + Sync {
    fn schema(&self) -> &'static FieldSchema;

    /// The field's default.
    fn default(&self) -> Snapshot;

    /// Reads a stored value, and writes it again.
    fn rewrite(&self, json: &RawValue) -> Result<Snapshot, ValueError>;

    /// Whether the library merges the field, because the store cannot.
    fn is_merged(&self) -> bool;

    /// Returns the JSON to store when both requests have changed the field. `None`: store `ours`.
    fn merge(
        &self,
        base: Option<&RawValue>,
        theirs: Option<&RawValue>,
        ours: Option<&RawValue>,
    ) -> Result<Option<Arc<RawValue>>, MergeError>;
}

impl dyn AnyField + '_ {
    /// Whether this is the JSON of the field's default.
    pub(crate) fn has_default(&self, json: &RawValue) -> bool {
        matches!(self.default(), Snapshot::Value(default) if same_json(&default, json))
    }

    /// The default of a field whose writes add up.
    pub(crate) fn default_number(&self) -> Number {
        match self.default() {
            Snapshot::Sum(number) => number,
            Snapshot::Value(_) | Snapshot::Failed(..) => Number::Int(0),
        }
    }

    /// What a stored number reads as, if the field's writes add up: the nearest value of the
    /// field's type.
    pub(crate) fn reads_as(&self, stored: Number) -> Option<Number> {
        match self.rewrite(&stored.to_json()) {
            Ok(Snapshot::Sum(number)) => Some(number),
            _ => None,
        }
    }
}
