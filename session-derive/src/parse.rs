//! From syn's tree to attributes with spans. Mistakes are collected, and what is left is used.

use proc_macro2::{Span, TokenStream};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Generics, Ident, Lit, LitStr, Meta,
    Token, Type, Visibility, ext::IdentExt as _, meta::ParseNestedMeta, spanned::Spanned as _,
};

/// All mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Vec<Error>);

impl Errors {
    pub(crate) fn push(&mut self, span: Span, message: impl std::fmt::Display) {
        self.0.push(Error::new(span, message));
    }

    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.0.iter().map(Error::to_compile_error).collect()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// A struct with named fields.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) generics: Generics,
    pub(crate) attributes: StructAttributes,
    pub(crate) fields: Vec<InputField>,
}

#[derive(Default)]
pub(crate) struct StructAttributes {
    pub(crate) namespace: Option<LitStr>,
    pub(crate) fields: Option<LitStr>,
    pub(crate) strict: Option<Span>,
    pub(crate) cookie: Option<LitStr>,
}

pub(crate) struct InputField {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) attributes: FieldAttributes,
}

#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) default: Option<(Span, Option<Expr>)>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: Option<Span>,
    pub(crate) accessor: Option<LitStr>,
    pub(crate) merge: Option<LitStr>,
    pub(crate) privilege: Option<Span>,
    pub(crate) lenient: Option<Span>,
}

const STRUCT_ATTRIBUTES: &[&str] = &["namespace", "fields", "strict", "cookie"];
const FIELD_ATTRIBUTES: &[&str] =
    &["default", "rename", "alias", "skip", "accessor", "merge", "privilege", "lenient"];

/// Reads a struct. Returns nothing to go on with if it can be no session at all.
pub(crate) fn parse(input: DeriveInput) -> (Option<Input>, Errors) {
    let mut errors = Errors::default();
    let fields = match input.data {
        Data::Struct(data) => match data.fields {
            Fields::Named(fields) => Some(fields.named),
            Fields::Unnamed(fields) => {
                errors.push(
                    fields.span(),
                    "a session is a struct with named fields; write `struct Name { field: Type }`",
                );
                None
            }
            Fields::Unit => {
                errors.push(
                    input.ident.span(),
                    "a session is a struct with named fields; write `struct Name {}` for one without",
                );
                None
            }
        },
        Data::Enum(data) => {
            errors.push(
                data.enum_token.span,
                "a session is a struct; make this enum the type of one of its fields",
            );
            None
        }
        Data::Union(data) => {
            errors.push(data.union_token.span, "a session is a struct; a union cannot be stored");
            None
        }
    };
    for lifetime in input.generics.lifetimes() {
        errors.push(
            lifetime.lifetime.span(),
            "a session outlives the request and owns its data; use `String` for `&str` and `Vec<T>` \
             for `&[T]`",
        );
    }
    let attributes = struct_attributes(&input.attrs, &mut errors);
    let fields = fields.into_iter().flatten().map(|field| {
        let attributes = field_attributes(&field.attrs, &mut errors);
        InputField {
            ident: field.ident.expect("named fields have names"),
            vis: field.vis,
            ty: field.ty,
            docs: field.attrs.into_iter().filter(|attr| attr.path().is_ident("doc")).collect(),
            attributes,
        }
    });
    let fields: Vec<_> = fields.collect();
    let usable = errors.0.is_empty() || !fields.is_empty();
    let usable = usable && input.generics.lifetimes().next().is_none();
    let input = usable.then_some(Input {
        ident: input.ident,
        vis: input.vis,
        generics: input.generics,
        attributes,
        fields,
    });
    (input, errors)
}

fn struct_attributes(attributes: &[Attribute], errors: &mut Errors) -> StructAttributes {
    let mut found = StructAttributes::default();
    each(attributes, errors, |name, meta, errors| {
        match name {
            "namespace" => once(&mut found.namespace, string(meta, errors)?, meta, errors),
            "fields" => once(&mut found.fields, string(meta, errors)?, meta, errors),
            "cookie" => once(&mut found.cookie, string(meta, errors)?, meta, errors),
            "strict" => once(&mut found.strict, word(meta, errors)?, meta, errors),
            _ => unknown(meta, STRUCT_ATTRIBUTES, FIELD_ATTRIBUTES, "a field", errors)?,
        }
        Ok(())
    });
    found
}

fn field_attributes(attributes: &[Attribute], errors: &mut Errors) -> FieldAttributes {
    let mut found = FieldAttributes::default();
    each(attributes, errors, |name, meta, errors| {
        match name {
            "default" => {
                let default = Some((meta.path.span(), value(meta)?));
                once(&mut found.default, default, meta, errors);
            }
            "rename" => once(&mut found.rename, string(meta, errors)?, meta, errors),
            "alias" => found.aliases.extend(string(meta, errors)?),
            "skip" => once(&mut found.skip, word(meta, errors)?, meta, errors),
            "accessor" => once(&mut found.accessor, string(meta, errors)?, meta, errors),
            "merge" => once(&mut found.merge, string(meta, errors)?, meta, errors),
            "privilege" => once(&mut found.privilege, word(meta, errors)?, meta, errors),
            "lenient" => once(&mut found.lenient, word(meta, errors)?, meta, errors),
            _ => unknown(meta, FIELD_ATTRIBUTES, STRUCT_ATTRIBUTES, "the struct", errors)?,
        }
        Ok(())
    });
    found
}

/// Goes over everything inside `#[session(…)]`.
fn each(
    attributes: &[Attribute],
    errors: &mut Errors,
    mut read: impl FnMut(&str, &ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("session")) {
        if !matches!(attribute.meta, Meta::List(_)) {
            errors.push(attribute.span(), "write the attributes in brackets: `#[session(…)]`");
            continue;
        }
        let result = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(|ident| ident.unraw().to_string());
            read(&name.unwrap_or_default(), &meta, errors)
        });
        if let Err(error) = result {
            errors.0.push(error);
        }
    }
}

/// What follows `name =`, if anything does.
fn value(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<Expr>> {
    if meta.input.peek(Token![=]) { meta.value()?.parse().map(Some) } else { Ok(None) }
}

/// The string in `name = "…"`.
fn string(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<LitStr>> {
    match value(meta)? {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(string), .. })) => Ok(Some(string)),
        other => {
            let span = other.map_or(meta.path.span(), |other| other.span());
            let name = name(meta);
            errors.push(span, format_args!("`{name}` takes a string: `{name} = \"…\"`"));
            Ok(None)
        }
    }
}

/// A name that stands alone.
fn word(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<Span>> {
    if let Some(value) = value(meta)? {
        let name = name(meta);
        errors.push(value.span(), format_args!("`{name}` takes no value; write `{name}` alone"));
    }
    Ok(Some(meta.path.span()))
}

fn once<T>(
    slot: &mut Option<T>,
    value: Option<T>,
    meta: &ParseNestedMeta<'_>,
    errors: &mut Errors,
) {
    if slot.is_some() {
        errors.push(meta.path.span(), format_args!("`{}` is there twice; keep one", name(meta)));
    } else if value.is_some() {
        *slot = value;
    }
}

fn unknown(
    meta: &ParseNestedMeta<'_>,
    known: &[&str],
    elsewhere: &[&str],
    place: &str,
    errors: &mut Errors,
) -> syn::Result<()> {
    let name = name(meta);
    let message = if elsewhere.contains(&name.as_str()) {
        format!("`{name}` goes on {place}")
    } else {
        match closest(&name, known) {
            Some(known) => format!("`{name}` is no attribute here; did you mean `{known}`?"),
            None => format!("`{name}` is no attribute here; there are {}", list(known)),
        }
    };
    errors.push(meta.path.span(), message);
    // Past its value, so that the attributes after it are read too.
    if meta.input.peek(syn::token::Paren) {
        let content;
        syn::parenthesized!(content in meta.input);
        content.parse::<TokenStream>()?;
    } else {
        value(meta)?;
    }
    Ok(())
}

fn name(meta: &ParseNestedMeta<'_>) -> String {
    let path = &meta.path;
    path.get_ident()
        .map_or_else(|| quote::quote!(#path).to_string().replace(' ', ""), ToString::to_string)
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The known name that differs least, if that is no more than a slip or two.
pub(crate) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, known)| *distance * 3 <= known.len().max(3))
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(closest("privelege", FIELD_ATTRIBUTES), Some("privilege"));
        assert_eq!(closest("renamed", FIELD_ATTRIBUTES), Some("rename"));
        assert_eq!(closest("flatten", FIELD_ATTRIBUTES), None);
    }

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
                "`strict` is there twice; keep one",
                "`skip` goes on a field",
                "`unknown` is no attribute here; there are `namespace`, `fields`, `strict` and `cookie`",
                "`cookie` takes a string: `cookie = \"…\"`",
                "`rename` takes a string: `rename = \"…\"`",
                "`skip` takes no value; write `skip` alone",
                "`namespace` goes on the struct",
                "write the attributes in brackets: `#[session(…)]`",
            ]
        );
    }
}
