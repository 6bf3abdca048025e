//! Structs with `derive(Session)`. The macro reports mistakes as errors and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../session-derive/src/duration.rs"]
mod duration;
#[path = "../../session-derive/src/expand.rs"]
mod expand;
#[path = "../../session-derive/src/model.rs"]
mod model;
#[path = "../../session-derive/src/parse.rs"]
mod parse;
#[path = "../../session-derive/src/receiver.rs"]
mod receiver;

fuzz_target!(|text: &str| {
    let Ok(input) = syn::parse_str(text) else { return };
    let (input, mut errors) = parse::parse(input);
    let model = model::check(input, &mut errors);
    let tokens = expand::expand(&model);
    // For a struct without mistakes, the macro generates valid Rust.
    if errors.into_compile_errors().is_empty() {
        syn::parse2::<syn::File>(tokens).expect("the generated code is Rust");
    }
});
