//! Structs with `derive(Session)`. The macro reports mistakes as errors and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../session-derive/src/check/mod.rs"]
mod check;
#[path = "../../session-derive/src/errors.rs"]
mod errors;
#[path = "../../session-derive/src/expand/mod.rs"]
mod expand;
#[path = "../../session-derive/src/methods.rs"]
mod methods;
#[path = "../../session-derive/src/parse/mod.rs"]
mod parse;

fuzz_target!(|text: &str| {
    let Ok(input) = syn::parse_str(text) else { return };
    let (input, mut errors) = parse::input::parse(input);
    let model = check::session::check(input, &mut errors);
    let tokens = expand::expand(&model);
    // For a struct without mistakes, the macro generates valid Rust.
    if errors.into_compile_errors().is_empty() {
        syn::parse2::<syn::File>(tokens).expect("the generated code is Rust");
    }
});
