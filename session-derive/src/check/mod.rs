//! What the attributes and types mean, from [`Input`](crate::parse::input::Input) to
//! [`Model`](model::Model).

mod accessors;
mod duration;
mod field;
pub(crate) mod model;
mod names;
mod self_type;
pub(crate) mod session;
mod stored;
mod types;
