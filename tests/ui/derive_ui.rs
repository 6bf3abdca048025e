//! What the derive says to those who make mistakes, and what it accepts.

use actix_typed_session_log_watch as _;

#[test]
fn mistakes_are_underlined_and_say_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

#[test]
fn correct_structs_compile_without_a_warning() {
    trybuild::TestCases::new().pass("pass/*.rs");
}
