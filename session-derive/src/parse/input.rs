//! The item that the derive stands on.

use syn::{
    Attribute, Data, DeriveInput, Fields, FieldsNamed, Generics, Ident, Type, Visibility,
    spanned::Spanned as _,
};

use super::{
    attribute, serde,
    table::{FieldAttributes, StructAttributes},
};
use crate::errors::Errors;

pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) generics: Generics,
    pub(crate) kind: Kind,
    pub(crate) attributes: StructAttributes,
    pub(crate) fields: Vec<InputField>,
}

/// Whether an item can be a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A struct with named fields that owns its data.
    Session,
    /// Anything else. It is reported, and stubs are generated for the code that uses it.
    Unfit,
}

pub(crate) struct InputField {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) attributes: FieldAttributes,
}

/// Reads the item and its attributes. Mistakes are collected, and the rest is used.
pub(crate) fn parse(input: DeriveInput) -> (Input, Errors) {
    let mut errors = Errors::default();
    let fields = named_fields(input.data, &input.ident, &mut errors);
    let mut kind = if fields.is_some() { Kind::Session } else { Kind::Unfit };
    for lifetime in input.generics.lifetimes() {
        kind = Kind::Unfit;
        errors.push(
            lifetime.lifetime.span(),
            format_args!(
                "a session outlives its request, so it cannot borrow; remove `{}` and own the \
                 data: `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
                lifetime.lifetime,
            ),
        );
    }
    let attributes = attribute::read(&input.attrs, &mut errors);
    serde::refuse(&input.attrs, serde::advice_for_struct, &mut errors);
    let fields = fields.into_iter().flat_map(|fields| fields.named).map(|field| {
        serde::refuse(&field.attrs, serde::advice_for_field, &mut errors);
        InputField {
            attributes: attribute::read(&field.attrs, &mut errors),
            ident: field.ident.expect("named fields have names"),
            vis: field.vis,
            ty: field.ty,
            docs: field.attrs.into_iter().filter(|attr| attr.path().is_ident("doc")).collect(),
        }
    });
    let fields = fields.collect();
    let input = Input {
        ident: input.ident,
        vis: input.vis,
        generics: input.generics,
        kind,
        attributes,
        fields,
    };
    (input, errors)
}

/// Returns the fields, or reports what the item is instead of a struct with named fields.
fn named_fields(data: Data, ident: &Ident, errors: &mut Errors) -> Option<FieldsNamed> {
    let (span, message) = match data {
        Data::Struct(data) => match data.fields {
            Fields::Named(fields) => return Some(fields),
            Fields::Unnamed(fields) => (
                fields.span(),
                format!("a session needs named fields; write `struct {ident} {{ name: Type }}`"),
            ),
            Fields::Unit => (
                ident.span(),
                format!(
                    "a session needs named fields; write `struct {ident} {{}}` for a session \
                     without any"
                ),
            ),
        },
        Data::Enum(data) => (
            data.enum_token.span,
            format!(
                "an enum cannot be a session; write a struct, and make the enum the type of a \
                 field: `struct MySession {{ field: {ident} }}`"
            ),
        ),
        Data::Union(data) => (
            data.union_token.span,
            format!(
                "a union cannot be a session, because it cannot be stored; write `struct {ident} \
                 {{ … }}`, and an enum for a field that has several forms"
            ),
        ),
    };
    errors.push(span, message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::attribute::OptionalExpr;

    #[test]
    fn all_mistakes_are_reported() {
        let (_, errors) = parse(syn::parse_quote! {
            #[session(strict, strict, skip, unknown(a, b), cookie = 1)]
            struct S {
                #[session(rename = a, skip = 1, namespace = "x")]
                a: u8,
                #[session]
                b: u8,
            }
        });
        assert_eq!(
            errors.messages(),
            [
                "`strict` is given twice; remove one",
                "`skip` is an attribute of a field, not of the struct; move it above a field",
                "`unknown` is not a valid session attribute of the struct; valid attributes are \
                 `namespace`, `fields`, `strict` and `cookie`",
                "`cookie` takes the name of a cookie, as a string; write `cookie = \"admin\"`",
                "`rename` takes a name for the store, as a string; write `rename = \"a\"`",
                "`skip` takes no value; write `skip`, or remove it",
                "`namespace` is an attribute of the struct, not of a field; move it above the \
                 struct",
                "attributes must stand in round brackets; write `#[session(…)]`",
            ]
        );
    }

    #[test]
    fn what_follows_a_mistake_is_read() {
        let (input, errors) = parse(syn::parse_quote! {
            struct S {
                #[session("x", rename: "y", default =, = 3, merge("add"), skip skip, lenient)]
                a: u8,
            }
        });
        assert_eq!(
            errors.messages(),
            [
                "an attribute must begin with its name; write it like `rename = \"uid\"`",
                "an attribute must begin with its name; write it like `rename = \"uid\"`",
                "a comma is missing; write one before this attribute",
                "`rename` takes a name for the store, as a string; write `rename = \"uid\"`",
                "`default` takes an expression; write `default = 100`, or `default`",
                "`merge` takes a merge rule, as a string; write `merge = \"add\"`",
                "`skip` is given twice; remove one",
            ]
        );
        assert!(input.fields[0].attributes.lenient.is_some());
    }

    #[test]
    fn a_default_is_any_expression() {
        let (input, errors) = parse(syn::parse_quote! {
            struct S {
                #[session(default = BTreeMap::<u8, u8>::new(), lenient)]
                a: u8,
                #[session(default = [1, 2], lenient)]
                b: u8,
                #[session(default = { let x = 1; x }, lenient)]
                c: u8,
                #[session(default = (|a, b| a + b)(1, 2), lenient)]
                d: u8,
                #[session(default = if true { 1 } else { 2 }, lenient)]
                e: u8,
            }
        });
        assert_eq!(errors.messages(), <[&str; 0]>::default());
        for field in &input.fields {
            assert!(matches!(field.attributes.default, Some(OptionalExpr::Given(_))));
            assert!(field.attributes.lenient.is_some());
        }
    }

    #[test]
    fn the_message_about_an_unfit_item_says_what_to_write() {
        for (input, advice) in [
            (syn::parse_quote! { enum E { A } }, "`struct MySession { field: E }`"),
            (syn::parse_quote! { union U { a: u8 } }, "`struct U { … }`"),
            (syn::parse_quote! { struct T(u8); }, "`struct T { name: Type }`"),
            (syn::parse_quote! { struct N; }, "`struct N {}`"),
            (syn::parse_quote! { struct L<'a> { a: &'a str } }, "`String` instead of `&str`"),
        ] {
            let (input, errors) = parse(input);
            assert!(input.kind == Kind::Unfit);
            assert_eq!(errors.messages().len(), 1);
            assert!(errors.messages()[0].contains(advice), "{:?}", errors.messages());
        }
    }
}
