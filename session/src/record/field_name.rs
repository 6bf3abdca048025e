//! The names of stored fields.

use std::borrow::Cow;

/// The name of a stored field. A name that is part of the program takes no memory per session.
pub type FieldName = Cow<'static, str>;
