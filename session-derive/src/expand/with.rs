//! Names the functions that write and read the fields with `with = "module"`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{generics::Parameters, quiet::quiet};
use crate::{
    check::model::{Field, Model, With},
    parse::input::Kind,
};

pub(super) fn with(model: &Model, generics: &Parameters) -> TokenStream {
    let fields = model.fields.iter().enumerate().filter(|_| model.kind == Kind::Session);
    let with = fields.filter_map(|(position, field)| {
        let with = field.stored.as_ref()?.with.as_ref()?;
        Some(functions(model, generics, (position, field), with))
    });
    with.collect()
}

/// Generates the functions of one field.
fn functions(
    Model { ident, .. }: &Model,
    generics: &Parameters,
    (position, field): (usize, &Field),
    With { module, .. }: &With,
) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let value = &field.ty;
    // A mistake in the module is shown at its path.
    let span = module.span();
    let serialize = quote_spanned!(span=> #module::serialize(value, serializer));
    let deserialize = quote_spanned!(span=> #module::deserialize(deserializer));
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::StoredWith<#position>
            for #ident #ty #clause
        {
            type Value = #value;

            // The struct may have a parameter `S` or `D`.
            fn serialize<__S: ::actix_typed_session::__private::Serializer>(
                value: &#value,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #serialize
            }

            fn deserialize<'__de, __D: ::actix_typed_session::__private::Deserializer<'__de>>(
                deserializer: __D,
            ) -> ::core::result::Result<#value, __D::Error> {
                #deserialize
            }
        }
    }
}
