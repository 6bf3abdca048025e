//! From syn's tree to attributes with spans. Mistakes are collected, and what is left is used.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, ExprPath, Fields, FieldsNamed, Generics,
    Ident, Lit, LitStr, MacroDelimiter, Meta, Token, Type, Visibility,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _, discouraged::Speculative as _},
    spanned::Spanned as _,
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

/// What the derive stands on.
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
    pub(crate) default: Option<DefaultValue>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: Option<Span>,
    pub(crate) accessor: Option<LitStr>,
    pub(crate) merge: Option<LitStr>,
    pub(crate) merge_with: Option<ExprPath>,
    pub(crate) privilege: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) lenient: Option<Span>,
    pub(crate) ttl: Option<LitStr>,
}

/// The value of an absent field.
pub(crate) enum DefaultValue {
    /// `default`: what `Default::default()` returns.
    Trait,
    /// `default = …`
    Expr(Expr),
}

const STRUCT_ATTRIBUTES: &[&str] = &["namespace", "fields", "strict", "cookie"];
const FIELD_ATTRIBUTES: &[&str] = &[
    "default",
    "rename",
    "alias",
    "skip",
    "accessor",
    "merge",
    "merge_with",
    "privilege",
    "index",
    "lenient",
    "ttl",
];

/// Reads what the derive stands on.
pub(crate) fn parse(input: DeriveInput) -> (Input, Errors) {
    let mut errors = Errors::default();
    let fields = named_fields(input.data, &input.ident, &mut errors);
    let mut kind = if fields.is_some() { Kind::Session } else { Kind::Unfit };
    for lifetime in input.generics.lifetimes() {
        kind = Kind::Unfit;
        errors.push(
            lifetime.lifetime.span(),
            format_args!(
                "a session outlives the request, so it cannot borrow; drop `{}` and own the data: \
                 `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
                lifetime.lifetime,
            ),
        );
    }
    let attributes = struct_attributes(&input.attrs, &mut errors);
    let fields = fields.into_iter().flat_map(|fields| fields.named).map(|field| InputField {
        attributes: field_attributes(&field.attrs, &mut errors),
        ident: field.ident.expect("named fields have names"),
        vis: field.vis,
        ty: field.ty,
        docs: field.attrs.into_iter().filter(|attr| attr.path().is_ident("doc")).collect(),
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

fn named_fields(data: Data, ident: &Ident, errors: &mut Errors) -> Option<FieldsNamed> {
    let (span, message) = match data {
        Data::Struct(data) => match data.fields {
            Fields::Named(fields) => return Some(fields),
            Fields::Unnamed(fields) => (
                fields.span(),
                format!(
                    "the fields of a session have names; write `struct {ident} {{ name: Type }}`"
                ),
            ),
            Fields::Unit => (
                ident.span(),
                format!(
                    "a session is a struct with named fields; write `struct {ident} {{}}` for one \
                     without any"
                ),
            ),
        },
        Data::Enum(data) => (
            data.enum_token.span,
            format!(
                "a session is a struct with named fields; make this enum the type of a field: \
                 `struct MySession {{ field: {ident} }}`"
            ),
        ),
        Data::Union(data) => (
            data.union_token.span,
            format!(
                "a session is a struct with named fields, and a union cannot be stored; write \
                 `struct {ident} {{ … }}`, and an enum for what has several forms"
            ),
        ),
    };
    errors.push(span, message);
    None
}

fn struct_attributes(attributes: &[Attribute], errors: &mut Errors) -> StructAttributes {
    let mut found = StructAttributes::default();
    for item in items(attributes, errors) {
        match &*item.name() {
            "namespace" => once(&mut found.namespace, &item, string, errors),
            "fields" => once(&mut found.fields, &item, string, errors),
            "strict" => once(&mut found.strict, &item, word, errors),
            "cookie" => once(&mut found.cookie, &item, string, errors),
            name if FIELD_ATTRIBUTES.contains(&name) => errors.push(
                item.span(),
                format_args!("`{name}` goes above a field, and not above the struct"),
            ),
            _ => unknown(&item, "of a struct", STRUCT_ATTRIBUTES, errors),
        }
    }
    found
}

fn field_attributes(attributes: &[Attribute], errors: &mut Errors) -> FieldAttributes {
    let mut found = FieldAttributes::default();
    for item in items(attributes, errors) {
        match &*item.name() {
            "default" => once(&mut found.default, &item, default, errors),
            "rename" => once(&mut found.rename, &item, string, errors),
            "alias" => found.aliases.extend(string(&item, errors)),
            "skip" => once(&mut found.skip, &item, word, errors),
            "accessor" => once(&mut found.accessor, &item, string, errors),
            "merge" => once(&mut found.merge, &item, string, errors),
            "merge_with" => once(&mut found.merge_with, &item, path, errors),
            "privilege" => once(&mut found.privilege, &item, word, errors),
            "index" => once(&mut found.index, &item, word, errors),
            "lenient" => once(&mut found.lenient, &item, word, errors),
            "ttl" => once(&mut found.ttl, &item, string, errors),
            name if STRUCT_ATTRIBUTES.contains(&name) => errors.push(
                item.span(),
                format_args!("`{name}` goes above the struct, and not above a field"),
            ),
            _ => unknown(&item, "of a field", FIELD_ATTRIBUTES, errors),
        }
    }
    found
}

/// One of the things inside `#[session(…)]`.
struct Item {
    ident: Ident,
    value: Value,
}

/// What follows an item's name.
enum Value {
    Nothing,
    Expr(Expr),
    /// Something that is not `= expression`, at this token.
    Other(Span),
}

impl Item {
    fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    fn span(&self) -> Span {
        self.ident.span()
    }
}

/// Reads everything inside all `#[session(…)]`.
fn items(attributes: &[Attribute], errors: &mut Errors) -> Vec<Item> {
    let mut items = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("session")) {
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
            meta => errors.push(meta.span(), "write attributes in round brackets: `#[session(…)]`"),
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
            errors.push(start, "an attribute begins with its name, as in `rename = \"…\"`");
            None
        }
    };
    if input.peek(Ident::peek_any) {
        errors.push(input.span(), "put a comma in front of this");
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

/// Goes on to the next comma.
fn skip_item(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _: Option<TokenTree> = input.parse().ok();
    }
}

fn once<T>(
    slot: &mut Option<T>,
    item: &Item,
    read: impl FnOnce(&Item, &mut Errors) -> Option<T>,
    errors: &mut Errors,
) {
    let value = read(item, errors);
    if slot.is_some() {
        errors.push(item.span(), format_args!("`{}` is there twice; keep one", item.name()));
    } else {
        *slot = value;
    }
}

/// The string in `name = "…"`.
fn string(item: &Item, errors: &mut Errors) -> Option<LitStr> {
    let (span, example) = match &item.value {
        Value::Expr(expr) => match ungroup(expr) {
            Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) if string.suffix().is_empty() => {
                return Some(string.clone());
            }
            Expr::Path(path) => (path.span(), path.path.get_ident().map(ToString::to_string)),
            expr => (expr.span(), None),
        },
        Value::Nothing => (item.span(), None),
        Value::Other(span) => (*span, None),
    };
    let name = item.name();
    let example = if name == "ttl" { "15m" } else { example.as_deref().unwrap_or("…") };
    errors.push(span, format_args!("`{name}` takes a string: write `{name} = \"{example}\"`"));
    None
}

/// The path in `name = path`.
fn path(item: &Item, errors: &mut Errors) -> Option<ExprPath> {
    let (span, example) = match &item.value {
        Value::Expr(expr) => match ungroup(expr) {
            Expr::Path(path) => return Some(path.clone()),
            Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => (string.span(), string.value()),
            expr => (expr.span(), "merge_carts".to_owned()),
        },
        Value::Nothing => (item.span(), "merge_carts".to_owned()),
        Value::Other(span) => (*span, "merge_carts".to_owned()),
    };
    let name = item.name();
    errors.push(
        span,
        format_args!("`{name}` takes the path of a function: write `{name} = {example}`"),
    );
    None
}

/// A name that stands alone.
fn word(item: &Item, errors: &mut Errors) -> Option<Span> {
    let span = match &item.value {
        Value::Nothing => return Some(item.span()),
        Value::Expr(expr) => expr.span(),
        Value::Other(span) => *span,
    };
    let name = item.name();
    errors.push(span, format_args!("`{name}` takes no value: write `{name}`, or leave it out"));
    Some(item.span())
}

fn default(item: &Item, errors: &mut Errors) -> Option<DefaultValue> {
    match &item.value {
        Value::Nothing => Some(DefaultValue::Trait),
        Value::Expr(expr) => Some(DefaultValue::Expr(expr.clone())),
        Value::Other(span) => {
            errors.push(*span, "`default` takes an expression: write `default = …`, or `default`");
            Some(DefaultValue::Trait)
        }
    }
}

/// An expression that comes out of a `macro_rules` macro stands in invisible brackets.
fn ungroup(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => ungroup(&group.expr),
        expr => expr,
    }
}

fn unknown(item: &Item, place: &str, known: &[&str], errors: &mut Errors) {
    let name = item.name();
    errors.push(
        item.span(),
        match closest(&name, known) {
            Some(known) => {
                format!("`{name}` is no session attribute {place}; did you mean `{known}`?")
            }
            None => format!("`{name}` is no session attribute {place}; there are {}", list(known)),
        },
    );
}

/// `` `a`, `b` and `c` ``.
fn list(names: &[&str]) -> String {
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

    fn messages(input: DeriveInput) -> Vec<String> {
        parse(input).1.messages()
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(closest("privelege", FIELD_ATTRIBUTES), Some("privilege"));
        assert_eq!(closest("renamed", FIELD_ATTRIBUTES), Some("rename"));
        assert_eq!(closest("flatten", FIELD_ATTRIBUTES), None);
        assert_eq!(closest("indx", FIELD_ATTRIBUTES), Some("index"));
        assert_eq!(closest("tll", FIELD_ATTRIBUTES), Some("ttl"));
        assert_eq!(closest("merge_width", FIELD_ATTRIBUTES), Some("merge_with"));
    }

    #[test]
    fn all_mistakes_are_reported() {
        let messages = messages(syn::parse_quote! {
            #[session(strict, strict, skip, unknown(a, b), cookie = 1)]
            struct S {
                #[session(rename = a, skip = 1, namespace = "x")]
                a: u8,
                #[session]
                b: u8,
            }
        });
        assert_eq!(
            messages,
            [
                "`strict` is there twice; keep one",
                "`skip` goes above a field, and not above the struct",
                "`unknown` is no session attribute of a struct; there are `namespace`, `fields`, \
                 `strict` and `cookie`",
                "`cookie` takes a string: write `cookie = \"…\"`",
                "`rename` takes a string: write `rename = \"a\"`",
                "`skip` takes no value: write `skip`, or leave it out",
                "`namespace` goes above the struct, and not above a field",
                "write attributes in round brackets: `#[session(…)]`",
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
                "an attribute begins with its name, as in `rename = \"…\"`",
                "an attribute begins with its name, as in `rename = \"…\"`",
                "put a comma in front of this",
                "`rename` takes a string: write `rename = \"…\"`",
                "`default` takes an expression: write `default = …`, or `default`",
                "`merge` takes a string: write `merge = \"…\"`",
                "`skip` is there twice; keep one",
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
            assert!(matches!(field.attributes.default, Some(DefaultValue::Expr(_))));
            assert!(field.attributes.lenient.is_some());
        }
    }

    #[test]
    fn what_is_no_struct_with_named_fields_is_told_what_to_write() {
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
