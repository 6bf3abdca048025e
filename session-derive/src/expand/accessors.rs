//! The generated struct and the accessors of its fields.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::{constants::constant_name, generics::Parameters, quiet::quiet};
use crate::{
    check::model::{Field, Model},
    parse::input::Kind,
};

pub(super) fn accessors(model: &Model, generics: &Parameters) -> TokenStream {
    let Model { ident, vis, generated, .. } = model;
    let doc = format!("The accessors of the session [`{ident}`].");
    let quiet = quiet();
    let parameters = &generics.owned;
    let (_, ty, clause) = generics.owned.split_for_impl();
    let definition = quote! {
        #vis struct #generated #parameters(
            ::actix_typed_session::__private::Tracked<#ident #ty>
        ) #clause;
    };
    let (impl_generics, ty, clause) = generics.stored.split_for_impl();
    let session = ty.as_turbofish();
    let accessors = model.fields.iter().enumerate().map(|(index, field)| {
        let constant = constant_name(index);
        let constant = quote!(&#ident #session::#constant);
        FieldAccessors { field, kind: model.kind, constant }.all()
    });
    quote! {
        #[doc = #doc]
        #quiet
        #definition

        #quiet
        #[automatically_derived]
        impl #impl_generics #generated #ty #clause {
            #(#accessors)*
        }
    }
}

/// The accessors of one field.
struct FieldAccessors<'a> {
    field: &'a Field,
    kind: Kind,
    /// The path of the field's constant.
    constant: TokenStream,
}

impl FieldAccessors<'_> {
    fn all(&self) -> TokenStream {
        let names = &self.field.accessors;
        let get = names.get.as_ref().map(|name| self.get(name));
        let set = names.set.as_ref().map(|name| self.set(name));
        let edit = names.edit.as_ref().map(|name| self.edit(name));
        let take = names.take.as_ref().map(|name| self.take(name));
        let add = names.add.as_ref().map(|name| self.add(name));
        let messages = names.take_messages.as_ref().map(|name| self.take_messages(name));
        quote! { #get #set #edit #take #add #messages }
    }

    fn get(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, docs, .. } = self.field;
        let doc = format!("Reads `{ident}`.");
        let doc = if docs.is_empty() { quote!(#[doc = #doc]) } else { quote!(#(#docs)*) };
        let body = self.body(quote!(&self.#ident));
        quote! {
            #doc
            #vis fn #name(&self) -> &#ty {
                #body
            }
        }
    }

    fn set(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, stored, .. } = self.field;
        let constant = &self.constant;
        let doc = format!("Writes `{ident}`.");
        let body = self.body(match stored {
            Some(_) => quote!(self.0.set(#constant, value);),
            None => quote!(*self.0.unsaved(|session| &mut session.#ident) = value;),
        });
        quote! {
            #[doc = #doc]
            #vis fn #name(&mut self, value: #ty) {
                #body
            }
        }
    }

    fn edit(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, .. } = self.field;
        let doc = format!("Returns a guard through which `{ident}` is changed in place.");
        let body = self.body(self.guard());
        quote! {
            #[doc = #doc]
            #vis fn #name(&mut self) -> ::actix_typed_session::__private::FieldMut<'_, #ty> {
                #body
            }
        }
    }

    fn take(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, .. } = self.field;
        let doc = format!("Takes the value of `{ident}` and leaves `None`.");
        let guard = self.guard();
        // Not `Option::take`: the type may be the user's own `Option`.
        let body = self.body(quote!(::core::mem::take(&mut *#guard)));
        quote! {
            #[doc = #doc]
            #vis fn #name(&mut self) -> #ty {
                #body
            }
        }
    }

    fn add(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, .. } = self.field;
        let constant = &self.constant;
        let doc = format!("Adds to `{ident}`. Additions of concurrent requests add up.");
        let body = self.body(quote!(self.0.add(#constant, n);));
        quote! {
            #[doc = #doc]
            #vis fn #name(&mut self, n: #ty) {
                #body
            }
        }
    }

    fn take_messages(&self, name: &Ident) -> TokenStream {
        let Field { ident, vis, ty, .. } = self.field;
        let constant = &self.constant;
        let doc = format!(
            "Takes the messages of `{ident}` out of the session. Of several requests at once, one \
             gets each message."
        );
        let body = self.body(quote!(self.0.take_messages(#constant).await));
        quote! {
            #[doc = #doc]
            ///
            /// # Errors
            /// The store failed.
            #vis async fn #name(
                &mut self
            ) -> ::core::result::Result<#ty, ::actix_typed_session::SessionError> {
                #body
            }
        }
    }

    fn guard(&self) -> TokenStream {
        let Field { ident, stored, .. } = self.field;
        let constant = &self.constant;
        match stored {
            Some(_) => quote!(self.0.edit(#constant)),
            None => quote!(self.0.edit_unsaved(|session| &mut session.#ident)),
        }
    }

    /// Returns the body of an accessor: a stub if the item cannot be a session.
    fn body(&self, body: TokenStream) -> TokenStream {
        match self.kind {
            Kind::Session => body,
            Kind::Unfit => quote!(::core::unimplemented!()),
        }
    }
}
