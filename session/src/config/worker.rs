//! What the requests of one worker share.

use std::{cell::RefCell, ops::Deref, sync::Arc};

use super::settings::Config;
use crate::{fields::Schema, record::Record};

/// The settings as one worker sees them. Requests hold references to this, so that requests on
/// different cores do not share a reference count.
pub(crate) struct WorkerConfig {
    pub(crate) shared: Arc<Config>,
    /// What was learned about session structs, by their names.
    hints: RefCell<Vec<(&'static str, FieldsHint)>>,
}

/// What was learned about the sessions of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldsHint {
    /// They hold much more than the struct has.
    Narrow,
    /// Another struct is extracted in the same request, so the other fields are needed too.
    Joined,
}

/// The most fields that are asked for by name. Each name is sent with each call, so more names would
/// cost more than they save.
const MAX_NAMES: usize = 8;
/// From how many bytes of other fields on it pays to ask by name.
const MIN_OTHER_BYTES: usize = 1_024;

impl WorkerConfig {
    pub(crate) fn new(shared: Arc<Config>) -> Self {
        Self { shared, hints: RefCell::default() }
    }

    /// The fields to load when a struct is extracted. `None`: all of them.
    pub(crate) fn fields_to_load(&self, schema: &Schema) -> Option<&'static [&'static str]> {
        let is_known = |(name, _): &&(_, _)| *name == schema.type_name;
        let hint = self.hints.borrow().iter().find(is_known).map(|(_, hint)| *hint);
        (hint == Some(FieldsHint::Narrow)).then_some(schema.names)
    }

    /// Learns from a whole session whether the fields of a struct would have been enough.
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

    /// Learns that a request extracted another struct after this one, which cost it a second call.
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
