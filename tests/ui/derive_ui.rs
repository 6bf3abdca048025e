//! What the derive says to those who make mistakes. `examples/` has what it accepts: those structs
//! compile without a warning of rustc or Clippy.

use actix_typed_session_log_watch as _;

#[test]
fn mistakes_are_underlined_and_say_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
