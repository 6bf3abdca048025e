//! The examples are the `[[example]]` entries of this package; run one with `cargo run --example counter`.
