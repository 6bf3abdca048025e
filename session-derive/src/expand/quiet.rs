//! Lints that generated code switches off.

use proc_macro2::TokenStream;
use quote::quote;

/// Returns an attribute against warnings. Generated code follows the user's names and types, and
/// the user cannot change it.
pub(super) fn quiet() -> TokenStream {
    quote! {
        #[allow(
            clippy::all,
            clippy::nursery,
            clippy::pedantic,
            clippy::restriction,
            dead_code,
            non_camel_case_types,
            non_snake_case,
            private_bounds,
            private_interfaces,
            unreachable_pub,
            unused_variables
        )]
    }
}
