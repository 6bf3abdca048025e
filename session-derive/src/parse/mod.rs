//! What is written above the struct and its fields, and where.

pub(crate) mod attribute;
pub(crate) mod input;
mod serde;
pub(crate) mod spelling;
pub(crate) mod syntax;
pub(crate) mod table;
