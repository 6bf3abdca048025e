//! Attacks on sessions, by who has a copy, a cookie, a connection or the store.

mod nesting;
mod no_id;
mod replay;
mod smuggling;
mod swapped;
