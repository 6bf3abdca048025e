//! The stores that need no server, and the kit that tests every store.

mod cookie;
mod encrypted;
mod files;
mod kit;
mod kit_index;
mod laws;
mod moving;
mod moving_steps;
mod values;
