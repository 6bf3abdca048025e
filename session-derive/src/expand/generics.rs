//! The generics of the session struct, with the bounds of generated code.

use proc_macro2::{Ident, Span};
use quote::quote_spanned;
use syn::{
    Generics, Path, Type, WhereClause, WherePredicate, parse_quote, parse_quote_spanned,
    visit::{self, Visit},
};

use crate::{
    check::model::{Field, Merge, Model, Stored, With},
    parse::input::Kind,
};

pub(super) struct Parameters {
    /// For definitions. A session outlives its request, so each parameter is `'static`.
    pub(super) owned: Generics,
    /// For code that reads and writes fields. Types of generic fields can also be stored.
    pub(super) stored: Generics,
}

impl Parameters {
    pub(super) fn new(model: &Model) -> Self {
        let mut owned = model.generics.clone();
        let names: Vec<Ident> =
            owned.type_params().map(|parameter| parameter.ident.clone()).collect();
        let lifetimes: Vec<_> =
            owned.lifetimes().map(|parameter| parameter.lifetime.clone()).collect();
        if !owned.params.is_empty() {
            let clause = owned.make_where_clause();
            clause
                .predicates
                .extend(names.iter().map::<WherePredicate, _>(|name| parse_quote!(#name: 'static)));
            // A struct with lifetimes has been reported. This avoids follow-up errors.
            clause.predicates.extend(
                lifetimes.iter().map::<WherePredicate, _>(|name| parse_quote!(#name: 'static)),
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

/// Adds the bounds of a generic field's type.
fn bound(clause: &mut WhereClause, field: &Field) {
    let (ty, span) = (&field.ty, field.type_span());
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    match &field.stored {
        None => {}
        Some(Stored { merge: Merge::Add, .. }) => {
            clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::Counter));
        }
        Some(Stored { merge, with, .. }) => {
            let rule = match merge {
                Merge::Max | Merge::Min => Some(quote_spanned!(span=> #private::Ordered)),
                Merge::Union => Some(quote_spanned!(span=> ::actix_typed_session::Union)),
                Merge::Flash => Some(quote_spanned!(span=> #private::Messages)),
                Merge::LastWrite | Merge::Add | Merge::Reject | Merge::With(_) => None,
            };
            clause.predicates.extend(
                rule.map::<WherePredicate, _>(|rule| parse_quote_spanned!(span=> #ty: #rule)),
            );
            clause.predicates.extend(stored_bound(ty, with.as_ref(), span));
        }
    }
    if field.default.is_none() {
        clause.predicates.push(parse_quote_spanned!(span=> #ty: #private::StoredDefault));
    }
}

/// Returns the bound for writing and reading the value.
fn stored_bound(ty: &Type, with: Option<&With>, span: Span) -> Option<WherePredicate> {
    let private = quote_spanned!(span=> ::actix_typed_session::__private);
    match with {
        None => Some(parse_quote_spanned! {span=>
            #ty: #private::StoredSerialize + #private::StoredDeserialize
        }),
        Some(With { inner: Some(inner), .. }) => Some(parse_quote_spanned! {span=>
            #inner: #private::StoredInner
        }),
        // The bounds of the module's functions are those that the struct has.
        Some(With { inner: None, .. }) => None,
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
            // A macro may expand to any of them.
            self.found |= !self.names.is_empty();
        }
    }

    let mut search = Search { names, found: false };
    search.visit_type(ty);
    search.found
}
