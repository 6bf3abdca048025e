//! What the derive knows about a session struct and its fields.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::record::Record;

/// What the derive knows about a session struct.
#[derive(Debug)]
pub struct Schema {
    /// The struct's name, for messages.
    pub type_name: &'static str,
    /// The cookie of the middleware that this struct belongs to; `None` is the innermost one.
    pub cookie: Option<&'static str>,
    /// A stored value that does not decode is an error of the extraction.
    pub strict: bool,
    /// The names under which its fields are stored, aliases too.
    pub names: &'static [&'static str],
    /// Those of its `privilege` fields.
    pub privileges: &'static [&'static str],
}

/// What the derive knows about a stored field.
#[derive(Debug)]
pub struct FieldSchema {
    /// The field's name in the struct, for messages.
    pub name: &'static str,
    /// Its name in the store.
    pub stored: &'static str,
    /// Names it had in the store before; read when `stored` is absent, removed by the next write.
    pub aliases: &'static [&'static str],
    /// A value that does not decode resets this field alone.
    pub lenient: bool,
    /// How long a value lives after it was written; `None` is as long as the session. Stored with
    /// one is its end too.
    pub ttl: Option<Duration>,
    /// Sessions are found by its value.
    pub index: bool,
}

impl FieldSchema {
    /// The field's JSON in a record. A write removes the aliases, so what is left under one is the value.
    pub(crate) fn find<'a>(&self, record: &'a Record) -> Option<&'a RawValue> {
        record
            .field(self.stored)
            .or_else(|| self.aliases.iter().find_map(|alias| record.field(alias)))
    }
}
