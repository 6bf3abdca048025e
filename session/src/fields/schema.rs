//! The attributes of a session struct and of its fields, as the derive generates them.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::record::Record;

/// The attributes of a session struct.
#[derive(Debug)]
pub struct Schema {
    /// The struct's name, for messages.
    pub type_name: &'static str,
    /// The cookie name of the struct's middleware. `None`: the only middleware.
    pub cookie: Option<&'static str>,
    /// Whether extraction fails if a stored value does not decode.
    pub strict: bool,
    /// The stored names of all fields, with their aliases.
    pub names: &'static [&'static str],
    /// The stored names of the `privilege` fields, with their aliases.
    pub privileges: &'static [&'static str],
}

/// The attributes of a stored field.
#[derive(Debug)]
pub struct FieldSchema {
    /// The field's name in the struct, for messages.
    pub name: &'static str,
    /// The field's name in the store.
    pub stored: &'static str,
    /// The field's former names in the store. They are read if `stored` is absent, and the next
    /// write removes them.
    pub aliases: &'static [&'static str],
    /// Whether a value that does not decode resets this field only, not the whole struct.
    pub lenient: bool,
    /// How long a value lives after it was written. `None`: as long as the session. If it is set,
    /// the value is stored together with its end.
    pub ttl: Option<Duration>,
    /// Whether sessions can be found by the field's value.
    pub index: bool,
}

impl FieldSchema {
    /// Returns the field's JSON in a record. A write removes the aliases, so an alias that is left
    /// has the current value.
    pub(crate) fn find<'a>(&self, record: &'a Record) -> Option<&'a RawValue> {
        record
            .field(self.stored)
            .or_else(|| self.aliases.iter().find_map(|alias| record.field(alias)))
    }
}
