//! What the structs of a release store, and how the release reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::json::Json;

/// A struct of this release.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(super) stored: StoredStruct,
    /// How each field reads JSON, by the field's name in the store.
    pub(super) read: BTreeMap<String, Read>,
    /// The default of each field, evaluated again.
    pub(super) fresh: BTreeMap<String, Fresh>,
}

/// Reads JSON as a field's value, and writes that again.
pub(super) type Read = Box<dyn Fn(&RawValue) -> Result<Json, String>>;

pub(super) type Fresh = Box<dyn Fn() -> Option<Json>>;

/// What a struct stores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredStruct {
    /// The cookie that the struct names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cookie: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) strict: bool,
    /// By the name in the store.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, StoredField>,
    /// What earlier releases have stored, and sessions may still have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) removed: BTreeMap<String, StoredField>,
}

/// What a field stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredField {
    /// The name in the struct.
    pub(super) field: String,
    /// The type, as the source has it.
    #[serde(rename = "type")]
    pub(super) ty: String,
    /// The module that writes and reads the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) with: Option<String>,
    pub(super) merge: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) privilege: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) index: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) lenient: bool,
    /// Whether values are stored with their end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ttl: bool,
    /// What a session that stores nothing reads as. None: it differs from time to time.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Json>,
    /// Values that this release and earlier ones store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) examples: Vec<Json>,
    /// Whether the type has parts that the examples do not show.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) partial: bool,
}

impl StoredField {
    /// The type, and the module that stores it.
    pub(super) fn form(&self) -> String {
        match &self.with {
            Some(module) => format!("`{}` with `{module}`", self.ty),
            None => format!("`{}`", self.ty),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Reads `null` as a value.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
