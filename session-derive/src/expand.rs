//! From a checked struct to code. Nothing can fail here.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Generics, WhereClause, parse_quote, parse_quote_spanned,
    visit::{self, Visit},
};

use crate::model::{Field, Merge, Model, Stored};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let generics = Parameters::new(model);
    let accessors = accessors(model, &generics);
    let glue = glue(model, &generics);
    let session = session(model, &generics);
    quote! { #accessors #glue #session }
}

/// The generics of the struct, with what the generated code needs of them.
struct Parameters {
    /// For definitions: whatever is in a session outlives the request.
    owned: Generics,
    /// For code that reads and writes fields: also that generic fields can be stored.
    stored: Generics,
}

impl Parameters {
    fn new(model: &Model) -> Self {
        let mut owned = model.generics.clone();
        let names: Vec<Ident> =
            owned.type_params().map(|parameter| parameter.ident.clone()).collect();
        if !names.is_empty() {
            let clause = owned.make_where_clause();
            clause.predicates.extend(
                names.iter().map::<syn::WherePredicate, _>(|name| parse_quote!(#name: 'static)),
            );
        }
        let mut stored = owned.clone();
        for field in &model.fields {
            if mentions(&field.ty, &names) {
                bound(stored.make_where_clause(), field);
            }
        }
        Self { owned, stored }
    }
}

/// Adds what a generic field's type must be able to do.
fn bound(clause: &mut WhereClause, field: &Field) {
    let (ty, span) = (&field.ty, field.type_span());
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    match &field.stored {
        None => {}
        Some(Stored { merge: Merge::LastWrite, .. }) => clause.predicates.push(
            parse_quote_spanned!(span=> #ty: #private::StoredSerialize + #private::StoredDeserialize),
        ),
        Some(Stored { merge: Merge::Add, .. }) => {
            clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::Counter));
        }
    }
    if field.default.is_none() {
        clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::StoredDefault));
    }
}

/// Whether a type depends on a type parameter.
fn mentions(ty: &syn::Type, names: &[Ident]) -> bool {
    struct Search<'a> {
        names: &'a [Ident],
        found: bool,
    }

    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_ident(&mut self, ident: &'ast Ident) {
            self.found |= self.names.contains(ident);
        }

        fn visit_type(&mut self, ty: &'ast syn::Type) {
            visit::visit_type(self, ty);
        }
    }

    let mut search = Search { names, found: false };
    search.visit_type(ty);
    search.found
}

/// The generated struct and its methods.
fn accessors(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, vis, accessors, .. } = model;
    let doc = format!("The accessors of the session [`{ident}`].");
    let parameters = &generics.owned;
    let (_, ty, clause) = generics.owned.split_for_impl();
    let definition = quote! {
        #vis struct #accessors #parameters(
            ::actix_typed_session::__private::Tracked<#ident #ty>
        ) #clause;
    };
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let constants = model
        .fields
        .iter()
        .enumerate()
        .filter_map(|(index, field)| constant(field, index, &quote!(#ident #ty)));
    let methods = model.fields.iter().enumerate().map(|(index, field)| methods(field, index));
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub)]
        #definition

        #[allow(dead_code, unreachable_pub, private_interfaces)]
        #[automatically_derived]
        impl #impl_generics #accessors #ty #clause {
            #(#constants)*
            #(#methods)*
        }
    }
}

fn constant_name(index: usize) -> Ident {
    format_ident!("__SESSION_FIELD_{index}")
}

/// The constant that knows everything about a stored field. It is the one place where the field's type
/// must fulfil its bounds, so a missing one is reported once, at the type.
fn constant(field: &Field, index: usize, this: &TokenStream) -> Option<TokenStream> {
    let Stored { name: stored, aliases, merge, privilege, lenient } = field.stored.as_ref()?;
    let (ident, ty, name) = (&field.ident, &field.ty, constant_name(index));
    let label = quote::ToTokens::to_token_stream(ident).to_string();
    let label = label.trim_start_matches("r#");
    let span = field.type_span();
    let constructor = match merge {
        Merge::LastWrite => {
            quote_spanned!(span=> ::actix_typed_session::__private::Field::<#this, #ty>::value)
        }
        Merge::Add => {
            quote_spanned!(span=> ::actix_typed_session::__private::Field::<#this, #ty>::sum)
        }
    };
    let default = default(field);
    Some(quote! {
        #[doc(hidden)]
        const #name: ::actix_typed_session::__private::Field<#this, #ty> = #constructor(
            &::actix_typed_session::__private::FieldSchema {
                name: #label,
                stored: #stored,
                aliases: &[#(#aliases),*],
                lenient: #lenient,
                privilege: #privilege,
            },
            |session| &session.#ident,
            |session| &mut session.#ident,
            || #default,
        );
    })
}

fn default(field: &Field) -> TokenStream {
    match &field.default {
        Some(default) => quote!(#default),
        None => {
            let (ty, span) = (&field.ty, field.type_span());
            quote_spanned! {span=>
                <#ty as ::actix_typed_session::__private::StoredDefault>::stored_default()
            }
        }
    }
}

fn methods(field: &Field, index: usize) -> TokenStream {
    let Field { ident, vis, ty, docs, methods, .. } = field;
    let constant = constant_name(index);
    let is_stored = field.stored.is_some();
    let get = methods.get.as_ref().map(|method| {
        let doc = format!("Reads `{ident}`.");
        let doc = if docs.is_empty() { quote!(#[doc = #doc]) } else { quote!(#(#docs)*) };
        quote! {
            #doc
            #vis fn #method(&self) -> &#ty {
                &self.0.#ident
            }
        }
    });
    let set = methods.set.as_ref().map(|method| {
        let doc = format!("Writes `{ident}`.");
        let body = if is_stored {
            quote!(self.0.set(&Self::#constant, value);)
        } else {
            quote!(*self.0.unsaved(|session| &mut session.#ident) = value;)
        };
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self, value: #ty) {
                #body
            }
        }
    });
    let edit = methods.edit.as_ref().map(|method| {
        let doc = format!("Lends `{ident}` out to be changed in place.");
        let body = if is_stored {
            quote!(self.0.edit(&Self::#constant))
        } else {
            quote!(self.0.edit_unsaved(|session| &mut session.#ident))
        };
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self) -> ::actix_typed_session::__private::FieldMut<'_, #ty> {
                #body
            }
        }
    });
    let take = methods.take.as_ref().map(|method| {
        let doc = format!("Takes the value of `{ident}` and leaves `None`.");
        let body = if is_stored {
            quote!(self.0.take(&Self::#constant))
        } else {
            quote!(self.0.unsaved(|session| &mut session.#ident).take())
        };
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self) -> #ty {
                #body
            }
        }
    });
    let add = methods.add.as_ref().map(|method| {
        let doc = format!("Adds to `{ident}`. What concurrent requests add adds up.");
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self, n: #ty) {
                self.0.add(&Self::#constant, n);
            }
        }
    });
    quote! { #get #set #edit #take #add }
}

/// What makes the generated struct a part of `TypedSession`.
fn glue(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, accessors, .. } = model;
    let (impl_generics, ty, clause) = generics.owned.split_for_impl();
    let (stored_generics, _, stored_clause) = generics.stored.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Deref for #accessors #ty #clause {
            type Target = #ident #ty;

            fn deref(&self) -> &#ident #ty {
                &self.0
            }
        }

        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Accessors<#ident #ty>
            for #accessors #ty #clause
        {
            fn new(tracked: ::actix_typed_session::__private::Tracked<#ident #ty>) -> Self {
                Self(tracked)
            }
        }

        #[automatically_derived]
        impl #stored_generics ::actix_typed_session::__private::FromRequest
            for #accessors #ty #stored_clause
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

        #[automatically_derived]
        impl #stored_generics ::actix_typed_session::__private::Debug
            for #accessors #ty #stored_clause
        {
            fn fmt(
                &self,
                formatter: &mut ::actix_typed_session::__private::Formatter<'_>,
            ) -> ::actix_typed_session::__private::FmtResult {
                ::actix_typed_session::__private::Debug::fmt(&self.0, formatter)
            }
        }

        ::actix_typed_session::__session_methods! {
            {
                #[allow(dead_code, unreachable_pub)]
                #[automatically_derived]
                impl #stored_generics #accessors #ty #stored_clause
            }
            #ident #ty
        }
    }
}

fn session(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, accessors, strict, .. } = model;
    let type_name = ident.to_string();
    let cookie = match &model.cookie {
        Some(cookie) => quote!(::core::option::Option::Some(#cookie)),
        None => quote!(::core::option::Option::None),
    };
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let turbofish = ty.as_turbofish();
    let constant = |index| {
        let name = constant_name(index);
        quote!(&#accessors #turbofish::#name)
    };
    let decoded = model.fields.iter().enumerate().map(|(index, field)| {
        let name = &field.ident;
        match field.stored {
            Some(_) => {
                let constant = constant(index);
                quote!(#name: reader.field(#constant)?)
            }
            None => {
                let default = default(field);
                quote!(#name: #default)
            }
        }
    });
    let fresh = model.fields.iter().enumerate().map(|(index, field)| {
        let name = &field.ident;
        match field.stored {
            Some(_) => {
                let constant = constant(index);
                quote!(#name: (#constant).fresh())
            }
            None => {
                let default = default(field);
                quote!(#name: #default)
            }
        }
    });
    let visited = model.fields.iter().enumerate().filter(|(_, field)| field.stored.is_some()).map(
        |(index, _)| {
            let constant = constant(index);
            quote!(visitor.field(#constant);)
        },
    );
    quote! {
        #[allow(unused_variables)]
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::Session for #ident #ty #clause {
            type Fields = #accessors #ty;

            const SCHEMA: &'static ::actix_typed_session::__private::Schema =
                &::actix_typed_session::__private::Schema {
                    type_name: #type_name,
                    cookie: #cookie,
                    strict: #strict,
                };

            fn decode(
                reader: &mut ::actix_typed_session::__private::FieldReader<'_>,
            ) -> ::core::result::Result<Self, ::actix_typed_session::__private::FieldError> {
                ::core::result::Result::Ok(Self { #(#decoded),* })
            }

            fn fresh() -> Self {
                Self { #(#fresh),* }
            }

            fn visit<V: ::actix_typed_session::__private::Visit<Self>>(visitor: &mut V) {
                #(#visited)*
            }
        }
    }
}
