//! How a field is stored.

use std::time::Duration;

use proc_macro2::Span;
use quote::format_ident;
use syn::{Ident, LitStr, Type, ext::IdentExt as _, parse_quote};

use super::{
    duration,
    model::{Merge, Stored, With},
    names::{Claim, StoreNames, is_store_name},
    types::option,
};
use crate::{
    errors::Errors,
    parse::{spelling::closest, table::FieldAttributes},
};

/// The most fields of a struct that can be indexed.
const MAX_INDEXED: usize = 4;

const MERGE_RULES: &[&str] = &["last_write", "add", "max", "min", "union", "reject"];

/// What the stored fields of a struct share.
pub(super) struct Storage {
    pub(super) namespace: Option<LitStr>,
    pub(super) names: StoreNames,
    /// The number of indexed fields so far.
    pub(super) indexed: usize,
}

impl Storage {
    /// Checks a field. `base` is the name that the names of its accessors are made of.
    pub(super) fn field(
        &mut self,
        (ident, ty): (&Ident, &Type),
        base: &Ident,
        attributes: &FieldAttributes,
        errors: &mut Errors,
    ) -> Stored {
        Stored {
            name: self.name(ident, attributes, errors),
            aliases: self.aliases(ident, attributes, errors),
            with: with(ty, attributes, errors),
            merge: merge(attributes, errors),
            privilege: attributes.privilege.is_some(),
            lenient: attributes.lenient.is_some(),
            ttl: ttl(attributes, errors),
            index: attributes.index.map(|span| self.index(span, base, errors)),
        }
    }

    fn name(&mut self, field: &Ident, attributes: &FieldAttributes, errors: &mut Errors) -> String {
        let rename = attributes.rename.as_ref().filter(|name| is_store_name(name, errors));
        let (name, span, advice) = match rename {
            Some(rename) => (rename.value(), rename.span(), "choose another name"),
            None => (
                field.unraw().to_string(),
                field.span(),
                "choose another name with `#[session(rename = \"…\")]`",
            ),
        };
        let name = self.full_name(&name);
        self.names.take(&Claim { name: &name, field, span, advice }, errors);
        name
    }

    fn aliases(
        &mut self,
        field: &Ident,
        attributes: &FieldAttributes,
        errors: &mut Errors,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for alias in &attributes.aliases {
            // An alias names what is stored, which may be from before the namespace.
            let name = alias.value();
            let advice = "remove this alias";
            let claim = Claim { name: &name, field, span: alias.span(), advice };
            if is_store_name(alias, errors) && self.names.take(&claim, errors) {
                names.push(name);
            }
        }
        names
    }

    fn full_name(&self, name: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}.{name}", namespace.value()),
            None => name.to_owned(),
        }
    }

    /// Returns the name of the function for an indexed field.
    fn index(&mut self, span: Span, base: &Ident, errors: &mut Errors) -> Ident {
        self.indexed += 1;
        if self.indexed == MAX_INDEXED + 1 {
            errors.push(
                span,
                format_args!(
                    "a session can have at most {MAX_INDEXED} indexed fields, because each costs \
                     a write; keep `index` on fields such as the user or the tenant, and check \
                     the other fields of the sessions that are found"
                ),
            );
        }
        format_ident!("by_{}", base.unraw(), span = base.span())
    }
}

/// Returns what writes and reads the value, if not serde's traits do.
fn with(ty: &Type, attributes: &FieldAttributes, errors: &mut Errors) -> Option<With> {
    let Some(literal) = &attributes.with else {
        // The JSON of `Some(None)` would be the one of `None`.
        let inner = option(ty).filter(|inner| option(inner).is_some())?.clone();
        let module = parse_quote!(::actix_typed_session::__private::nested_option);
        return Some(With { module, inner: Some(inner) });
    };
    let module = literal.parse().ok();
    if module.is_none() {
        errors.push(
            literal.span(),
            format_args!(
                "{:?} is not a valid path; write the path of a module with the functions \
                 `serialize` and `deserialize`, such as `\"time::serde::rfc3339\"`",
                literal.value(),
            ),
        );
    }
    Some(With { module: module?, inner: None })
}

/// Returns how long a value lives.
fn ttl(attributes: &FieldAttributes, errors: &mut Errors) -> Option<Duration> {
    let literal = attributes.ttl.as_ref()?;
    duration::parse(&literal.value())
        .inspect_err(|problem| errors.push(literal.span(), problem))
        .ok()
}

fn merge(attributes: &FieldAttributes, errors: &mut Errors) -> Merge {
    if attributes.flash.is_some() {
        return Merge::Flash;
    }
    let rule = match (&attributes.merge, &attributes.merge_with) {
        (None, None) => return Merge::LastWrite,
        (None, Some(path)) => return Merge::With(path.clone()),
        (Some(rule), _) => rule,
    };
    match rule.value().as_str() {
        "last_write" => Merge::LastWrite,
        "add" => Merge::Add,
        "max" => Merge::Max,
        "min" => Merge::Min,
        "union" => Merge::Union,
        "reject" => Merge::Reject,
        other => {
            errors.push(
                rule.span(),
                format_args!("{other:?} is not a valid merge rule; write {}", rules_like(other)),
            );
            Merge::LastWrite
        }
    }
}

/// Returns the merge rule that is meant, or all of them.
fn rules_like(name: &str) -> String {
    match closest(name, MERGE_RULES.iter().copied()) {
        Some(rule) => format!("`merge = {rule:?}`"),
        None => {
            let rules: Vec<_> =
                MERGE_RULES.iter().map(|rule| format!("`merge = {rule:?}`")).collect();
            format!("{} or `merge_with = function`", rules.join(", "))
        }
    }
}
