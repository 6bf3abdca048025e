//! The traits of the generated struct, and the methods that all such structs have.

use proc_macro2::TokenStream;
use quote::quote;

use super::{generics::Parameters, quiet::quiet};
use crate::{check::model::Model, methods};

pub(super) fn glue(model: &Model, generics: &Parameters) -> TokenStream {
    [
        deref(model, generics),
        constructor(model, generics),
        extractor(model, generics),
        debug(model, generics),
        methods(model, generics),
    ]
    .into_iter()
    .collect()
}

fn deref(Model { ident, generated, .. }: &Model, generics: &Parameters) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.owned.split_for_impl();
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Deref for #generated #ty #clause {
            type Target = #ident #ty;

            fn deref(&self) -> &#ident #ty {
                &self.0
            }
        }
    }
}

fn constructor(Model { ident, generated, .. }: &Model, generics: &Parameters) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.owned.split_for_impl();
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Accessors<#ident #ty>
            for #generated #ty #clause
        {
            fn new(tracked: ::actix_typed_session::__private::Tracked<#ident #ty>) -> Self {
                Self(tracked)
            }

            fn tracked(&self) -> &::actix_typed_session::__private::Tracked<#ident #ty> {
                &self.0
            }
        }
    }
}

fn extractor(Model { ident, generated, .. }: &Model, generics: &Parameters) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::FromRequest
            for #generated #ty #clause
        {
            type Error = ::actix_typed_session::SessionError;
            type Future = ::actix_typed_session::__private::Extraction<Self>;

            fn from_request(
                request: &::actix_typed_session::__private::HttpRequest,
                _: &mut ::actix_typed_session::__private::Payload,
            ) -> Self::Future {
                ::actix_typed_session::__private::extract::<#ident #ty>(request)
            }
        }
    }
}

fn debug(Model { generated, .. }: &Model, generics: &Parameters) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Debug for #generated #ty #clause {
            fn fmt(
                &self,
                formatter: &mut ::actix_typed_session::__private::Formatter<'_>,
            ) -> ::actix_typed_session::__private::FmtResult {
                ::actix_typed_session::__private::Debug::fmt(&self.0, formatter)
            }
        }
    }
}

fn methods(Model { ident, generated, .. }: &Model, generics: &Parameters) -> TokenStream {
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let methods = methods::code(&quote!(#ident #ty));
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics #generated #ty #clause {
            #methods
        }
    }
}
