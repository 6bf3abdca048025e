//! The attributes of a session struct and of its fields, as the derive generates them.

use std::time::Duration;

use serde_json::value::RawValue;

use super::adoption::Adoption;
use crate::record::Record;

/// A part of a session that a struct does not show, because a stored value does not decode.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unreadable {
    /// One field, which reads as its default.
    Field(&'static FieldSchema),
    /// All fields of a struct that reads as fresh, because the value of a privilege does not
    /// decode.
    Struct(&'static Schema),
}

impl Unreadable {
    /// Whether a field is a part of it.
    pub(crate) fn includes(self, field: &FieldSchema) -> bool {
        match self {
            Self::Field(hidden) => hidden.stored == field.stored,
            Self::Struct(schema) => schema.names.contains(&field.stored),
        }
    }

    /// Whether both are the same part.
    pub(crate) fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Field(one), Self::Field(other)) => one.stored == other.stored,
            (Self::Struct(one), Self::Struct(other)) => one.names == other.names,
            (Self::Field(_), Self::Struct(_)) | (Self::Struct(_), Self::Field(_)) => false,
        }
    }
}

/// The attributes of a session struct.
#[derive(Debug)]
pub struct Schema {
    /// The struct's name, for messages.
    pub type_name: &'static str,
    /// The cookie name of the struct's middleware. `None`: the innermost middleware.
    pub cookie: Option<&'static str>,
    /// Whether extraction fails if a stored value does not decode.
    pub strict: bool,
    /// The stored names of all fields, with their aliases.
    pub names: &'static [&'static str],
    /// The stored names of the `privilege` fields, with their aliases.
    pub privileges: &'static [&'static str],
    /// Takes the struct's fields over from a session of another program.
    pub adopt: fn(&mut Adoption),
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
    /// Whether a value that does not decode resets this field only, even if it is a privilege or
    /// the struct is strict.
    pub lenient: bool,
    /// How long a value lives after it was written. `None`: as long as the session. If it is set,
    /// the value is stored together with its end.
    pub ttl: Option<Duration>,
    /// Whether sessions can be found by the field's value.
    pub index: bool,
    /// Whether the value is a list of messages that are shown once.
    pub flash: bool,
}

/// What the source says of a stored field, for the check that a release reads what earlier ones
/// have stored. Only tests read it, so a program without them does not contain it.
#[derive(Debug)]
pub struct FieldDescription {
    /// The field's type.
    pub ty: &'static str,
    /// The merge rule: `add`, say, or `with` and the path of a function.
    pub merge: &'static str,
    /// The path of the module that writes and reads the field.
    pub with: Option<&'static str>,
    /// Whether a change renews the session's id.
    pub privilege: bool,
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
