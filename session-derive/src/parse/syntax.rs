//! The items inside `#[session(…)]`, before anything is known about their names.

use proc_macro2::{Span, TokenTree};
use syn::{
    Attribute, Expr, Ident, MacroDelimiter, Meta, Token,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _, discouraged::Speculative as _},
    spanned::Spanned as _,
};

use crate::errors::Errors;

/// One item: `skip`, or `rename = "uid"`.
pub(crate) struct Item {
    ident: Ident,
    pub(crate) value: Value,
}

/// What follows an item's name.
pub(crate) enum Value {
    Nothing,
    Expr(Expr),
    /// Something other than `= expression`, at this token.
    Other(Span),
}

impl Item {
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    pub(crate) fn span(&self) -> Span {
        self.ident.span()
    }

    /// Returns where a mistake in the value is shown.
    pub(crate) fn value_span(&self) -> Span {
        match &self.value {
            Value::Nothing => self.span(),
            Value::Expr(expr) => ungroup(expr).span(),
            Value::Other(span) => *span,
        }
    }

    /// Returns the value, if it is an expression.
    pub(crate) fn expr(&self) -> Option<&Expr> {
        match &self.value {
            Value::Expr(expr) => Some(ungroup(expr)),
            Value::Nothing | Value::Other(_) => None,
        }
    }
}

/// Reads everything inside all `#[session(…)]`.
pub(crate) fn items<'a>(
    attributes: impl IntoIterator<Item = &'a Attribute>,
    errors: &mut Errors,
) -> Vec<Item> {
    let attributes = attributes.into_iter();
    items_of(attributes.filter(|attribute| attribute.path().is_ident("session")), errors)
}

/// Reads everything inside these attributes.
pub(crate) fn items_of<'a>(
    attributes: impl IntoIterator<Item = &'a Attribute>,
    errors: &mut Errors,
) -> Vec<Item> {
    let mut items = Vec::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::List(list) if matches!(list.delimiter, MacroDelimiter::Paren(_)) => {
                let read = |input: ParseStream<'_>| {
                    while !input.is_empty() {
                        items.extend(item(input, errors));
                    }
                    Ok(())
                };
                read.parse2(list.tokens.clone()).expect("the tokens are read to the end");
            }
            meta => errors.push(
                meta.span(),
                "attributes must stand in round brackets; write `#[session(…)]`",
            ),
        }
    }
    items
}

/// Reads one item and the comma after it.
fn item(input: ParseStream<'_>, errors: &mut Errors) -> Option<Item> {
    let start = input.span();
    let item = match input.call(Ident::parse_any) {
        Ok(ident) => {
            let value = value(input);
            Some(Item { ident, value })
        }
        Err(_) => {
            skip_item(input);
            errors.push(
                start,
                "an attribute must begin with its name; write it like `rename = \"uid\"`",
            );
            None
        }
    };
    if input.peek(Ident::peek_any) {
        errors.push(input.span(), "a comma is missing; write one before this attribute");
    } else {
        let _: Option<Token![,]> = input.parse().ok();
    }
    item
}

fn value(input: ParseStream<'_>) -> Value {
    let start = input.span();
    let fork = input.fork();
    let value = match fork.parse::<Option<Token![=]>>() {
        Ok(Some(_)) => fork.parse().map(Value::Expr),
        _ => Ok(Value::Nothing),
    };
    match value {
        Ok(value) if fork.is_empty() || fork.peek(Token![,]) || fork.peek(Ident::peek_any) => {
            input.advance_to(&fork);
            value
        }
        _ => {
            skip_item(input);
            Value::Other(start)
        }
    }
}

/// Skips to the next comma.
fn skip_item(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _: Option<TokenTree> = input.parse().ok();
    }
}

/// Removes the invisible brackets around an expression that a `macro_rules` macro has passed on.
fn ungroup(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => ungroup(&group.expr),
        expr => expr,
    }
}
