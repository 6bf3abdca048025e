//! What a session takes over from one of another program.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::value::RawValue;
use tracing::warn;

use crate::{record::FieldName, time::Timestamp};

/// The fields of another program's session, while session structs take them over.
#[allow(missing_debug_implementations, reason = "only generated code sees one")]
pub struct Adoption {
    pub(super) foreign: BTreeMap<String, Box<RawValue>>,
    pub(super) now: Timestamp,
    pub(super) adopted: Adopted,
    /// The foreign names that a struct has.
    pub(super) known: BTreeSet<String>,
}

/// The fields of a session that begins with what another program has stored.
#[derive(Default)]
pub(crate) struct Adopted {
    pub(crate) fields: BTreeMap<FieldName, Arc<RawValue>>,
    /// The names of the fields that the session is found by.
    pub(crate) indexed: BTreeSet<&'static str>,
}

impl Adoption {
    /// Nothing is taken over yet.
    pub(crate) fn new(foreign: BTreeMap<String, Box<RawValue>>, now: Timestamp) -> Self {
        Self { foreign, now, adopted: Adopted::default(), known: BTreeSet::new() }
    }

    /// What was taken over. Fields that no struct has are kept as they are, for structs that are
    /// extracted later.
    pub(crate) fn finish(mut self) -> Adopted {
        for (name, json) in self.foreign {
            if self.known.contains(&name) {
                continue;
            }
            if name.is_empty() || name.chars().any(char::is_control) {
                warn!(
                    event = "value_not_imported",
                    "a field is not taken over from the session of another program, because its \
                     name is empty or has control characters"
                );
                continue;
            }
            self.adopted.fields.entry(name.into()).or_insert_with(|| json.into());
        }
        self.adopted
    }
}
