//! Example values of a field's type, made from its `Deserialize` alone.
//!
//! A check keeps the JSON of the examples in a file. A later release must read it. So a change deep
//! inside a type is found, although the type's name is the same.

mod deserializer;
mod probe;

pub(crate) use probe::{Examples, examples};
pub(super) use probe::{Probe, ProbeError};
