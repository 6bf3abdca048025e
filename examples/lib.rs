//! The examples are the `[[example]]` entries of this package. Run one with
//! `cargo run --example counter`.
