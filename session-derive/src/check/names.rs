//! Which strings are valid names, and which names are taken.

use std::collections::HashMap;

use proc_macro2::Span;
use syn::{Ident, LitStr, ext::IdentExt as _};

use crate::errors::Errors;

/// Checks that a string can be a name in the store.
pub(super) fn is_store_name(name: &LitStr, errors: &mut Errors) -> bool {
    let value = name.value();
    let problem = if value.is_empty() {
        "a name must not be empty"
    } else if value.chars().any(char::is_control) {
        "a name must not contain control characters"
    } else {
        return true;
    };
    errors.push(name.span(), format_args!("{problem}; write a name such as `\"views\"`"));
    false
}

/// Checks that a string can be the name of a cookie: a `token` of RFC 9110, section 5.6.2.
pub(super) fn is_cookie_name(name: &LitStr, errors: &mut Errors) -> bool {
    let value = name.value();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = !value.is_empty() && value.bytes().all(is_token);
    if !is_name {
        errors.push(
            name.span(),
            format_args!(
                "{value:?} is not a valid cookie name; use letters, digits and \
                 `!#$%&'*+-.^_`|~`, as in `\"admin\"`"
            ),
        );
    }
    is_name
}

/// Reads the name of the generated struct. `session` is the name of the session struct.
pub(super) fn generated_struct(
    name: &LitStr,
    session: &Ident,
    errors: &mut Errors,
) -> Option<Ident> {
    let ident = identifier(name, "VisitorSession", errors)?;
    if ident == *session {
        errors.push(
            name.span(),
            format_args!(
                "`{ident}` is the name of the session struct; choose another name for the \
                 generated struct, such as `\"{ident}Session\"`"
            ),
        );
        return None;
    }
    Some(ident)
}

/// Reads an identifier of Rust. `example` is one that fits.
pub(super) fn identifier(name: &LitStr, example: &str, errors: &mut Errors) -> Option<Ident> {
    let ident = name.parse().ok();
    if ident.is_none() {
        let value = name.value();
        let problem = match name.parse_with(Ident::parse_any) {
            Ok(_) => "is a keyword",
            Err(_) => "is not a valid identifier",
        };
        errors.push(
            name.span(),
            format_args!("{value:?} {problem}; write a name such as `{example:?}`"),
        );
    }
    ident
}

/// The names in the store, and the fields that have them.
#[derive(Default)]
pub(super) struct StoreNames(HashMap<String, Ident>);

/// A name in the store that a field asks for.
pub(super) struct Claim<'a> {
    pub(super) name: &'a str,
    pub(super) field: &'a Ident,
    /// Where a mistake is shown.
    pub(super) span: Span,
    /// What to do if the name is taken.
    pub(super) advice: &'a str,
}

impl StoreNames {
    /// Gives a name to a field, if it is free. Otherwise returns false and reports it.
    pub(super) fn take(&mut self, claim: &Claim<'_>, errors: &mut Errors) -> bool {
        let Claim { name, field, span, advice } = *claim;
        let Some(other) = self.0.get(name) else {
            self.0.insert(name.to_owned(), field.clone());
            return true;
        };
        let owner = match other == field {
            true => "this field".to_owned(),
            false => format!("the field `{other}`"),
        };
        errors.push(
            span,
            format_args!("the store name `{name}` is already used by {owner}; {advice}"),
        );
        false
    }
}
