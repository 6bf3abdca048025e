//! Attacks on sessions, by attackers with a copy, a cookie, a connection or the store.

mod cross_origin;
mod guards;
mod nesting;
mod no_id;
mod observed;
mod replay;
mod smuggling;
mod swapped;
