//! What a field of a session promises: defaults, names, merge rules, privileges, sums, values that
//! end, and values that the application writes itself.

mod crossings;
mod merge;
mod namespace;
mod privilege;
mod schema;
mod stored;
mod sums;
mod ttl;
mod unreadable;
mod values;
