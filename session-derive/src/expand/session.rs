//! The implementation of the trait `Session`.

use std::iter;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;

use super::{
    constants::constant_name, description::description, generics::Parameters, quiet::quiet,
};
use crate::{
    check::model::{Field, Model, Stored},
    parse::input::Kind,
};

pub(super) fn session(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, generated, .. } = model;
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let (schema, description) = (schema(model), description(model));
    let Bodies { decode, fresh, visit } = match model.kind {
        Kind::Session => Bodies::of(model),
        Kind::Unfit => Bodies::stubs(),
    };
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::Session for #ident #ty #clause {
            type Fields = #generated #ty;

            const SCHEMA: &'static ::actix_typed_session::__private::Schema = &#schema;

            const DESCRIPTION: &'static [::actix_typed_session::__private::FieldDescription] =
                #description;

            fn decode(
                reader: &mut ::actix_typed_session::__private::FieldReader<'_>,
            ) -> ::core::result::Result<Self, ::actix_typed_session::__private::FieldError> {
                #decode
            }

            fn fresh() -> Self {
                #fresh
            }

            // The struct may have a parameter `V`.
            fn visit<__V: ::actix_typed_session::__private::Visit<Self>>(visitor: &mut __V) {
                #visit
            }
        }
    }
}

fn schema(model: &Model) -> TokenStream {
    let type_name = model.ident.unraw().to_string();
    let strict = model.strict;
    let cookie = match &model.cookie {
        Some(cookie) => quote!(::core::option::Option::Some(#cookie)),
        None => quote!(::core::option::Option::None),
    };
    let stored = || model.fields.iter().filter_map(|field| field.stored.as_ref());
    let all_names = |stored: &'_ Stored| {
        iter::once(&stored.name).chain(&stored.aliases).cloned().collect::<Vec<_>>()
    };
    let names = stored().flat_map(all_names);
    let privileges = stored().filter(|stored| stored.privilege).flat_map(all_names);
    quote! {
        ::actix_typed_session::__private::Schema {
            type_name: #type_name,
            cookie: #cookie,
            strict: #strict,
            names: &[#(#names),*],
            privileges: &[#(#privileges),*],
            adopt: ::actix_typed_session::__private::adopt::<Self>,
        }
    }
}

/// The bodies of the trait's functions.
struct Bodies {
    decode: TokenStream,
    fresh: TokenStream,
    visit: TokenStream,
}

impl Bodies {
    fn of(model: &Model) -> Self {
        let fields =
            || model.fields.iter().enumerate().map(|(index, field)| (field, constant_name(index)));
        let decoded = fields().map(|(Field { ident, stored, .. }, constant)| match stored {
            Some(_) => quote!(#ident: reader.field(&Self::#constant)?),
            None => quote!(#ident: Self::#constant()),
        });
        let fresh = fields().map(|(Field { ident, stored, .. }, constant)| match stored {
            Some(_) => quote!(#ident: Self::#constant.fresh()),
            None => quote!(#ident: Self::#constant()),
        });
        let visited = fields()
            .filter(|(field, _)| field.stored.is_some())
            .map(|(_, constant)| quote!(visitor.field(&Self::#constant);));
        Self {
            decode: quote!(::core::result::Result::Ok(Self { #(#decoded),* })),
            fresh: quote!(Self { #(#fresh),* }),
            visit: quote!(#(#visited)*),
        }
    }

    fn stubs() -> Self {
        let stub = || quote!(::core::unimplemented!());
        Self { decode: stub(), fresh: stub(), visit: stub() }
    }
}
