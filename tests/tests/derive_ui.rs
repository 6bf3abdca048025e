//! What the derive accepts, and what it says to what it does not.

#[test]
fn the_derive_accepts_what_can_be_a_session() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn each_mistake_is_explained_where_it_was_made() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}
