//! One constant per field, which describes the field to the library.
//!
//! The constants stand in an `impl` of the session struct itself, where `Self` in a default means
//! what its author meant. Only there must the field's type fulfil its bounds, so a missing one is
//! reported once, at the type.

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;

use super::{generics::Parameters, quiet::quiet};
use crate::{
    check::model::{Field, Merge, Model, Stored},
    parse::input::Kind,
};

pub(super) fn constants(model: &Model, generics: &Parameters) -> Option<TokenStream> {
    if model.kind == Kind::Unfit || model.fields.is_empty() {
        return None;
    }
    let ident = &model.ident;
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let constants = model.fields.iter().enumerate().map(|(index, field)| {
        let name = constant_name(index);
        match &field.stored {
            Some(stored) => stored_field(field, stored, index),
            None => skipped_field(field, &name),
        }
    });
    Some(quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics #ident #ty #clause {
            #(#constants)*
        }
    })
}

/// Returns the name of a field's constant. `index` is the field's position in the struct.
pub(super) fn constant_name(index: usize) -> Ident {
    format_ident!("__SESSION_FIELD_{index}")
}

/// A skipped field's constant is its default.
fn skipped_field(field: &Field, name: &Ident) -> TokenStream {
    let (ty, default) = (&field.ty, default(field));
    quote! {
        #[doc(hidden)]
        const #name: fn() -> #ty = || #default;
    }
}

/// `position` is the field's position in the struct.
fn stored_field(field: &Field, stored: &Stored, position: usize) -> TokenStream {
    let name = constant_name(position);
    let Field { ident, ty, .. } = field;
    let span = field.type_span();
    let (schema, default) = (schema(field, stored), default(field));
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    let constructor = match (&stored.merge, &stored.with) {
        (Merge::Add, _) => quote_spanned!(span=> #private::Field::sum),
        (Merge::Flash, _) => quote_spanned!(span=> #private::Field::flash),
        (_, Some(_)) => quote_spanned!(span=> #private::Field::with::<#position>),
        (_, None) => quote_spanned!(span=> #private::Field::value),
    };
    // The call has the span of the type, where a missing bound is shown. Its arguments have not,
    // because then lints would look into them.
    let mut arguments = Group::new(
        Delimiter::Parenthesis,
        quote! {
            &#schema,
            |session| &session.#ident,
            |session| &mut session.#ident,
            || #default,
        },
    );
    arguments.set_span(span);
    let value = merged(field, &stored.merge, &quote!(#constructor #arguments));
    let index = stored.index.as_ref().map(|function| index_function(field, &name, function));
    quote! {
        #[doc(hidden)]
        const #name: ::actix_typed_session::__private::Field<Self, #ty> = #value;

        #index
    }
}

fn default(field: &Field) -> TokenStream {
    let (ty, span) = (&field.ty, field.type_span());
    match &field.default {
        Some(default) => quote!(#default),
        None => quote_spanned! {span=>
            <#ty as ::actix_typed_session::__private::StoredDefault>::stored_default()
        },
    }
}

fn schema(field: &Field, stored: &Stored) -> TokenStream {
    let label = field.ident.unraw().to_string();
    let Stored { name, aliases, lenient, index, .. } = stored;
    let is_indexed = index.is_some();
    let is_flash = matches!(stored.merge, Merge::Flash);
    let ttl = ttl(stored.ttl);
    quote! {
        ::actix_typed_session::__private::FieldSchema {
            name: #label,
            stored: #name,
            aliases: &[#(#aliases),*],
            lenient: #lenient,
            ttl: #ttl,
            index: #is_indexed,
            flash: #is_flash,
        }
    }
}

fn ttl(ttl: Option<Duration>) -> TokenStream {
    match ttl {
        None => quote!(::core::option::Option::None),
        Some(ttl) => {
            let ms = u64::try_from(ttl.as_millis()).expect("it was read as milliseconds");
            quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#ms)))
        }
    }
}

/// Adds the merge rule to a field. It calls a function instead of a method, because then a missing
/// bound is shown at the type.
fn merged(field: &Field, merge: &Merge, value: &TokenStream) -> TokenStream {
    let span = field.type_span();
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    let rule = match merge {
        Merge::LastWrite | Merge::Add | Merge::Flash => return value.clone(),
        Merge::Max => quote_spanned!(span=> #private::Field::max),
        Merge::Min => quote_spanned!(span=> #private::Field::min),
        Merge::Union => quote_spanned!(span=> #private::Field::union),
        Merge::Reject => quote_spanned!(span=> #private::Field::reject),
        Merge::With(function) => {
            let rule = quote_spanned!(span=> #private::Field::merge_with);
            return quote!(#rule(#value, #function));
        }
    };
    quote!(#rule(#value))
}

/// Generates the function that returns an index key.
fn index_function(field: &Field, constant: &Ident, function: &Ident) -> TokenStream {
    let Field { ident, vis, ty, .. } = field;
    let doc = format!("The sessions whose `{}` has this value.", ident.unraw());
    quote! {
        #[doc = #doc]
        #vis fn #function(value: &#ty) -> ::actix_typed_session::IndexKey<Self> {
            ::actix_typed_session::__private::by(&Self::#constant, value)
        }
    }
}
