//! What the requests of one worker share.

use std::{cell::RefCell, ops::Deref, sync::Arc};

use super::settings::Config;
use crate::{fields::Schema, record::Record};

/// One worker's way to the settings. Requests hold references to this, so that those on different cores
/// do not count references together.
pub(crate) struct WorkerConfig {
    pub(crate) shared: Arc<Config>,
    /// What is known of session structs by their names.
    habits: RefCell<Vec<(&'static str, Habit)>>,
}

/// What sessions of a struct are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// They hold much more than the struct has.
    Narrow,
    /// Another struct is extracted in the same request, so what the first one lacks is needed too.
    Joined,
}

/// The most fields that are asked for by name. Each name is sent with each request, so more would cost more
/// than they save.
const MOST_NAMES: usize = 8;
/// How many bytes of other fields make it worth to ask by name.
const WORTH: usize = 1_024;

impl WorkerConfig {
    pub(crate) fn new(shared: Arc<Config>) -> Self {
        Self { shared, habits: RefCell::default() }
    }

    /// The fields that are enough to ask the store for when a struct is extracted; `None` is all.
    pub(crate) fn enough_for(&self, schema: &Schema) -> Option<&'static [&'static str]> {
        let is_known = |(name, _): &&(_, _)| *name == schema.type_name;
        let habit = self.habits.borrow().iter().find(is_known).map(|(_, habit)| *habit);
        (habit == Some(Habit::Narrow)).then_some(schema.names)
    }

    /// Learns from a whole session whether its struct had been enough.
    pub(crate) fn learn(&self, schema: &Schema, whole: &Record) {
        let mut habits = self.habits.borrow_mut();
        if schema.names.len() > MOST_NAMES
            || habits.iter().any(|(name, _)| *name == schema.type_name)
        {
            return;
        }
        let others = whole.fields().filter(|(name, _)| !schema.names.contains(name));
        if others.map(|(name, json)| name.len() + json.get().len()).sum::<usize>() >= WORTH {
            habits.push((schema.type_name, Habit::Narrow));
        }
    }

    /// Learns that a request has extracted another struct after this one, which has cost it a second call.
    pub(crate) fn was_joined(&self, schema: &Schema) {
        for (name, habit) in self.habits.borrow_mut().iter_mut() {
            if *name == schema.type_name {
                *habit = Habit::Joined;
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
