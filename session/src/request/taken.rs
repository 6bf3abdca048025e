//! Messages that a request has taken out of the store.

use serde_json::value::RawValue;

use crate::fields::AnyField;

/// Messages that the request has taken out of the store, to put them back if it fails.
pub(crate) struct Taken {
    pub(super) field: &'static dyn AnyField,
    pub(super) messages: Box<RawValue>,
}
