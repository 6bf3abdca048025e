//! Whether a release reads what earlier releases have stored. For tests: see
//! [`Session::check_stored_schema`](crate::Session::check_stored_schema).

mod check;
mod compare;
mod declared;
mod describe;
mod file;
mod json;
mod next;
mod pairs;
mod sentences;
mod values;

pub(crate) use {
    check::{Mode, check, check_and_print, faults},
    declared::Declared,
    describe::declared_field,
};
