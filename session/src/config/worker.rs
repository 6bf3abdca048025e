//! The settings and hints that the requests of one worker share.

use std::{cell::RefCell, ops::Deref, sync::Arc};

use super::settings::Config;
use crate::{fields::Schema, record::Record};

/// The settings of one worker. Requests hold references to this instead of [`Config`], so that
/// requests on different cores do not share a reference count.
pub(crate) struct WorkerConfig {
    pub(crate) shared: Arc<Config>,
    /// The hints about session structs, by the names of the structs.
    hints: RefCell<Vec<(&'static str, FieldsHint)>>,
}

/// Which fields the extraction of a struct should load, learned from earlier sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldsHint {
    /// Load only the fields of the struct, because its sessions have much more data in others.
    Narrow,
    /// Load all fields, because the same request also extracts another struct.
    Joined,
}

/// The most fields that are loaded by name. Every call sends every name, so more names would cost
/// more than they save.
const MAX_NAMES: usize = 8;
/// The fewest bytes in other fields for which loading by name is faster.
const MIN_OTHER_BYTES: usize = 1_024;

impl WorkerConfig {
    pub(crate) fn new(shared: Arc<Config>) -> Self {
        Self { shared, hints: RefCell::default() }
    }

    /// Returns the fields to load when a struct is extracted. `None`: all fields.
    pub(crate) fn fields_to_load(&self, schema: &Schema) -> Option<&'static [&'static str]> {
        let is_known = |(name, _): &&(_, _)| *name == schema.type_name;
        let hint = self.hints.borrow().iter().find(is_known).map(|(_, hint)| *hint);
        (hint == Some(FieldsHint::Narrow)).then_some(schema.names)
    }

    /// Learns from a whole session whether it is better to load only the fields of a struct.
    pub(crate) fn learn(&self, schema: &Schema, whole: &Record) {
        let mut hints = self.hints.borrow_mut();
        if schema.names.len() > MAX_NAMES || hints.iter().any(|(name, _)| *name == schema.type_name)
        {
            return;
        }
        let others = whole.fields().filter(|(name, _)| !schema.names.contains(name));
        if others.map(|(name, json)| name.len() + json.get().len()).sum::<usize>()
            >= MIN_OTHER_BYTES
        {
            hints.push((schema.type_name, FieldsHint::Narrow));
        }
    }

    /// Learns that a request extracted another struct after this one, which cost a second call.
    pub(crate) fn was_joined(&self, schema: &Schema) {
        for (name, hint) in self.hints.borrow_mut().iter_mut() {
            if *name == schema.type_name {
                *hint = FieldsHint::Joined;
            }
        }
    }
}

impl Deref for WorkerConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.shared
    }
}
