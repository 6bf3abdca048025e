//! The real program, on a store of each kind.

mod arguments;
mod copying;
mod files;
mod fixture;
mod guide;
mod servers;
