//! From a checked struct to code. Nothing can fail here.

use std::iter;

use proc_macro2::{Delimiter, Group, Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Generics, Path, Type, WhereClause,
    ext::IdentExt as _,
    parse_quote, parse_quote_spanned,
    visit::{self, Visit},
};

use crate::{
    methods,
    model::{Field, Merge, Model, Stored},
    parse::Kind,
};

pub(crate) fn expand(model: &Model) -> TokenStream {
    let generics = Parameters::new(model);
    let constants = constants(model, &generics);
    let accessors = accessors(model, &generics);
    let glue = glue(model, &generics);
    let session = session(model, &generics);
    quote! { #constants #accessors #glue #session }
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
        let lifetimes: Vec<_> =
            owned.lifetimes().map(|parameter| parameter.lifetime.clone()).collect();
        if !owned.params.is_empty() {
            let clause = owned.make_where_clause();
            clause.predicates.extend(
                names.iter().map::<syn::WherePredicate, _>(|name| parse_quote!(#name: 'static)),
            );
            // A struct with lifetimes has been reported; this keeps the code that uses it quiet.
            clause.predicates.extend(
                lifetimes.iter().map::<syn::WherePredicate, _>(|name| parse_quote!(#name: 'static)),
            );
        }
        let mut stored = owned.clone();
        for field in model.fields.iter().filter(|_| model.kind == Kind::Session) {
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
        Some(Stored { merge: Merge::Add, .. }) => {
            clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::Counter));
        }
        Some(Stored { merge, .. }) => {
            let rule = match merge {
                Merge::Max | Merge::Min => Some(quote_spanned!(span=> + #private::Ordered)),
                Merge::Union => Some(quote_spanned!(span=> + ::actix_typed_session::Union)),
                Merge::LastWrite | Merge::Add | Merge::Reject | Merge::With(_) => None,
            };
            clause.predicates.push(parse_quote_spanned! {span=>
                #ty: #private::StoredSerialize + #private::StoredDeserialize #rule
            });
        }
    }
    if field.default.is_none() {
        clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::StoredDefault));
    }
}

/// Whether a type depends on a type parameter.
fn mentions(ty: &Type, names: &[Ident]) -> bool {
    struct Search<'a> {
        names: &'a [Ident],
        found: bool,
    }

    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_path(&mut self, path: &'ast Path) {
            self.found |=
                path.leading_colon.is_none() && self.names.contains(&path.segments[0].ident);
            visit::visit_path(self, path);
        }

        fn visit_macro(&mut self, _: &'ast syn::Macro) {
            // Nobody knows.
            self.found |= !self.names.is_empty();
        }
    }

    let mut search = Search { names, found: false };
    search.visit_type(ty);
    search.found
}

/// What generated code must not be warned about: it looks as the user's names and types make it look,
/// and nobody can change it.
fn quiet() -> TokenStream {
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

/// What is known about each field. It stands in an `impl` of the session struct itself, where `Self`
/// in a default means what its author meant, and it is the one place where the field's type must
/// fulfil its bounds, so a missing one is reported once, at the type.
fn constants(model: &Model, generics: &Parameters) -> Option<TokenStream> {
    if model.kind == Kind::Unfit || model.fields.is_empty() {
        return None;
    }
    let ident = &model.ident;
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let constants = model.fields.iter().enumerate().map(|(index, field)| constant(field, index));
    Some(quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics #ident #ty #clause {
            #(#constants)*
        }
    })
}

fn constant_name(index: usize) -> Ident {
    format_ident!("__SESSION_FIELD_{index}")
}

fn constant(field: &Field, index: usize) -> TokenStream {
    let Field { ident, vis, ty, .. } = field;
    let (name, span) = (constant_name(index), field.type_span());
    let default = match &field.default {
        Some(default) => quote!(#default),
        None => quote_spanned! {span=>
            <#ty as ::actix_typed_session::__private::StoredDefault>::stored_default()
        },
    };
    let Some(Stored { name: stored, aliases, merge, lenient, ttl, index, .. }) = &field.stored
    else {
        return quote! {
            #[doc(hidden)]
            const #name: fn() -> #ty = || #default;
        };
    };
    let label = ident.unraw().to_string();
    let ttl = match ttl {
        None => quote!(::core::option::Option::None),
        Some(ttl) => {
            let ms = u64::try_from(ttl.as_millis()).expect("it was read as milliseconds");
            quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#ms)))
        }
    };
    let is_indexed = index.is_some();
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    let constructor = match merge {
        Merge::Add => quote_spanned!(span=> #private::Field::sum),
        _ => quote_spanned!(span=> #private::Field::value),
    };
    // Functions and not methods, all at the type, where a bound that it misses is shown.
    let rule = match merge {
        Merge::LastWrite | Merge::Add => None,
        Merge::Max => Some(quote_spanned!(span=> #private::Field::max)),
        Merge::Min => Some(quote_spanned!(span=> #private::Field::min)),
        Merge::Union => Some(quote_spanned!(span=> #private::Field::union)),
        Merge::Reject => Some(quote_spanned!(span=> #private::Field::reject)),
        Merge::With(_) => Some(quote_spanned!(span=> #private::Field::merge_with)),
    };
    let function = match merge {
        Merge::With(path) => Some(quote!(, #path)),
        _ => None,
    };
    // The whole call stands at the type, and what is in it does not: lints would go into it there.
    let mut arguments = Group::new(
        Delimiter::Parenthesis,
        quote! {
            &::actix_typed_session::__private::FieldSchema {
                name: #label,
                stored: #stored,
                aliases: &[#(#aliases),*],
                lenient: #lenient,
                ttl: #ttl,
                index: #is_indexed,
            },
            |session| &session.#ident,
            |session| &mut session.#ident,
            || #default,
        },
    );
    arguments.set_span(span);
    let field = quote!(#constructor #arguments);
    let field = match rule {
        None => field,
        Some(rule) => quote!(#rule(#field #function)),
    };
    let by = index.as_ref().map(|method| {
        let doc = format!("The sessions whose `{label}` has this value.");
        quote! {
            #[doc = #doc]
            #vis fn #method(value: &#ty) -> ::actix_typed_session::By<Self> {
                ::actix_typed_session::__private::by(&Self::#name, value)
            }
        }
    });
    quote! {
        #[doc(hidden)]
        const #name: ::actix_typed_session::__private::Field<Self, #ty> = #field;

        #by
    }
}

/// The generated struct and its methods.
fn accessors(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, vis, accessors, .. } = model;
    let doc = format!("The accessors of the session [`{ident}`].");
    let quiet = quiet();
    let parameters = &generics.owned;
    let (_, ty, clause) = generics.owned.split_for_impl();
    let definition = quote! {
        #vis struct #accessors #parameters(
            ::actix_typed_session::__private::Tracked<#ident #ty>
        ) #clause;
    };
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let session = ty.as_turbofish();
    let methods = model.fields.iter().enumerate().map(|(index, field)| {
        let constant = constant_name(index);
        methods(field, model.kind, &quote!(&#ident #session::#constant))
    });
    quote! {
        #[doc = #doc]
        #quiet
        #definition

        #quiet
        #[automatically_derived]
        impl #impl_generics #accessors #ty #clause {
            #(#methods)*
        }
    }
}

fn methods(field: &Field, kind: Kind, constant: &TokenStream) -> TokenStream {
    let Field { ident, vis, ty, docs, methods, .. } = field;
    let is_stored = field.stored.is_some();
    let body = |body| match kind {
        Kind::Session => body,
        Kind::Unfit => quote!(::core::unimplemented!()),
    };
    let edit = match is_stored {
        true => quote!(self.0.edit(#constant)),
        false => quote!(self.0.edit_unsaved(|session| &mut session.#ident)),
    };
    let get = methods.get.as_ref().map(|method| {
        let doc = format!("Reads `{ident}`.");
        let doc = if docs.is_empty() { quote!(#[doc = #doc]) } else { quote!(#(#docs)*) };
        let body = body(quote!(&self.#ident));
        quote! {
            #doc
            #vis fn #method(&self) -> &#ty {
                #body
            }
        }
    });
    let set = methods.set.as_ref().map(|method| {
        let doc = format!("Writes `{ident}`.");
        let body = body(match is_stored {
            true => quote!(self.0.set(#constant, value);),
            false => quote!(*self.0.unsaved(|session| &mut session.#ident) = value;),
        });
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self, value: #ty) {
                #body
            }
        }
    });
    let mutable = methods.edit.as_ref().map(|method| {
        let doc = format!("Lends `{ident}` out to be changed in place.");
        let body = body(edit.clone());
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self) -> ::actix_typed_session::__private::FieldMut<'_, #ty> {
                #body
            }
        }
    });
    let take = methods.take.as_ref().map(|method| {
        let doc = format!("Takes the value of `{ident}` and leaves `None`.");
        // And not a method of `Option`: the type may be the user's own of that name.
        let body = body(quote!(::core::mem::take(&mut *#edit)));
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self) -> #ty {
                #body
            }
        }
    });
    let add = methods.add.as_ref().map(|method| {
        let doc = format!("Adds to `{ident}`. What concurrent requests add adds up.");
        let body = body(quote!(self.0.add(#constant, n);));
        quote! {
            #[doc = #doc]
            #vis fn #method(&mut self, n: #ty) {
                #body
            }
        }
    });
    quote! { #get #set #mutable #take #add }
}

/// What makes the generated struct a part of `TypedSession`.
fn glue(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, accessors, .. } = model;
    let quiet = quiet();
    let (impl_generics, ty, clause) = generics.owned.split_for_impl();
    let (stored_generics, _, stored_clause) = generics.stored.split_for_impl();
    let methods = methods::code(&quote!(#ident #ty));
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Deref for #accessors #ty #clause {
            type Target = #ident #ty;

            fn deref(&self) -> &#ident #ty {
                &self.0
            }
        }

        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::__private::Accessors<#ident #ty>
            for #accessors #ty #clause
        {
            fn new(tracked: ::actix_typed_session::__private::Tracked<#ident #ty>) -> Self {
                Self(tracked)
            }
        }

        #quiet
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

        #quiet
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

        #quiet
        #[automatically_derived]
        impl #stored_generics #accessors #ty #stored_clause {
            #methods
        }
    }
}

fn session(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, accessors, strict, .. } = model;
    let quiet = quiet();
    let type_name = ident.unraw().to_string();
    let cookie = match &model.cookie {
        Some(cookie) => quote!(::core::option::Option::Some(#cookie)),
        None => quote!(::core::option::Option::None),
    };
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let fields =
        || model.fields.iter().enumerate().map(|(index, field)| (field, constant_name(index)));
    let [decode, fresh, visit] = match model.kind {
        Kind::Session => {
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
            [
                quote!(::core::result::Result::Ok(Self { #(#decoded),* })),
                quote!(Self { #(#fresh),* }),
                quote!(#(#visited)*),
            ]
        }
        Kind::Unfit => [0; 3].map(|_| quote!(::core::unimplemented!())),
    };
    let stored = || model.fields.iter().filter_map(|field| field.stored.as_ref());
    let all_names = |stored: &'_ Stored| {
        iter::once(&stored.name).chain(&stored.aliases).cloned().collect::<Vec<_>>()
    };
    let names = stored().flat_map(all_names);
    let privileges = stored().filter(|stored| stored.privilege).flat_map(all_names);
    quote! {
        #quiet
        #[automatically_derived]
        impl #impl_generics ::actix_typed_session::Session for #ident #ty #clause {
            type Fields = #accessors #ty;

            const SCHEMA: &'static ::actix_typed_session::__private::Schema =
                &::actix_typed_session::__private::Schema {
                    type_name: #type_name,
                    cookie: #cookie,
                    strict: #strict,
                    names: &[#(#names),*],
                    privileges: &[#(#privileges),*],
                };

            fn decode(
                reader: &mut ::actix_typed_session::__private::FieldReader<'_>,
            ) -> ::core::result::Result<Self, ::actix_typed_session::__private::FieldError> {
                #decode
            }

            fn fresh() -> Self {
                #fresh
            }

            // The struct may have a parameter `V` of its own.
            fn visit<__V: ::actix_typed_session::__private::Visit<Self>>(visitor: &mut __V) {
                #visit
            }
        }
    }
}
