//! What a field of a session promises: defaults, names, merge rules, privileges, and values that
//! end.

mod crossings;
mod merge;
mod privilege;
mod stored;
mod ttl;
mod unreadable;
