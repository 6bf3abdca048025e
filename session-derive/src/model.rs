//! A session struct that has been checked: what is in here cannot be wrong.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proc_macro2::Span;
use quote::format_ident;
use syn::{
    Attribute, Expr, ExprPath, GenericArgument, Generics, Ident, LitStr, PathArguments,
    PathSegment, Type, TypeFnPtr, TypeReference, TypeTraitObject, Visibility,
    ext::IdentExt as _,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::{
    duration, methods,
    parse::{DefaultValue, Errors, FieldAttributes, Input, InputField, Kind, closest},
    receiver::write_out_self,
};

pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) generics: Generics,
    pub(crate) kind: Kind,
    /// The name of the generated struct.
    pub(crate) accessors: Ident,
    pub(crate) cookie: Option<String>,
    pub(crate) strict: bool,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) default: Option<Expr>,
    pub(crate) stored: Option<Stored>,
    pub(crate) methods: Methods,
}

/// How a field is kept in the store.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) merge: Merge,
    pub(crate) privilege: bool,
    /// The name of the function that names a value of the field, if sessions are found by it.
    pub(crate) index: Option<Ident>,
    pub(crate) lenient: bool,
    /// How long a value lives after it was written.
    pub(crate) ttl: Option<Duration>,
}

/// What becomes of a field that two requests change at once.
pub(crate) enum Merge {
    LastWrite,
    Add,
    Max,
    Min,
    Union,
    Reject,
    With(ExprPath),
}

/// The names of a field's accessors; those that would clash are left out.
pub(crate) struct Methods {
    pub(crate) get: Option<Ident>,
    pub(crate) set: Option<Ident>,
    pub(crate) edit: Option<Ident>,
    pub(crate) take: Option<Ident>,
    pub(crate) add: Option<Ident>,
}

/// The most fields of a struct that can be indexed.
const MOST_INDEXED: usize = 4;

const MERGE_RULES: &[&str] = &["last_write", "add", "max", "min", "union", "reject"];

/// Checks a struct. What is wrong is reported and left out, so that the rest can still be generated.
pub(crate) fn check(mut input: Input, errors: &mut Errors) -> Model {
    write_out_self(&mut input);
    let namespace = input.attributes.namespace.filter(|name| is_name(name, errors));
    let accessors = input.attributes.fields.as_ref();
    let accessors = accessors.and_then(|name| accessors_name(name, &input.ident, errors));
    let accessors = accessors.unwrap_or_else(|| {
        format_ident!("{}Session", input.ident.unraw(), span = input.ident.span())
    });
    let cookie = input.attributes.cookie.filter(|name| is_cookie_name(name, errors));
    let mut names = Names {
        namespace,
        stored: StoredNames::default(),
        methods: MethodNames::new(),
        indexed: 0,
    };
    let fields = input
        .fields
        .into_iter()
        .map(|field| self::field(field, input.kind, &mut names, errors))
        .collect();
    Model {
        ident: input.ident,
        vis: input.vis,
        generics: input.generics,
        kind: input.kind,
        accessors,
        cookie: cookie.map(|name| name.value()),
        strict: input.attributes.strict.is_some(),
        fields,
    }
}

fn field(input: InputField, kind: Kind, names: &mut Names, errors: &mut Errors) -> Field {
    let InputField { ident, vis, ty, docs, attributes } = input;
    if let Type::TraitObject(_) | Type::ImplTrait(_) = &ty {
        errors.push(
            ty.span(),
            "a field has a type of known size; write that type instead of a trait, or `Box<dyn …>` in a field with `skip`",
        );
    }
    let mut stored = match (attributes.skip, reference(&ty)) {
        (Some(_), _) => {
            refuse_storage(&attributes, errors);
            None
        }
        // A struct with lifetimes has been reported, and its fields borrow by necessity.
        (None, Some(reference)) if kind == Kind::Session => {
            errors.push(
                reference,
                "a session owns its data; write `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
            );
            None
        }
        (None, _) => Some(stored(&ident, &attributes, names, errors)),
    };
    let accessor = attributes.accessor.as_ref();
    let accessor = accessor.and_then(|name| identifier(name, "user_name", errors));
    let base = accessor.as_ref().unwrap_or(&ident);
    if let Some(stored) = &mut stored {
        stored.index = index(base, &attributes, &stored.merge, names, errors);
    }
    let methods = Methods::new(base, &ident, &ty, stored.as_ref(), &mut names.methods, errors);
    let default = match attributes.default {
        None | Some(DefaultValue::Trait) => None,
        Some(DefaultValue::Expr(expr)) => Some(expr),
    };
    Field { ident, vis, ty, docs, default, stored, methods }
}

/// A field that is not stored has no use for what only concerns the store.
fn refuse_storage(attributes: &FieldAttributes, errors: &mut Errors) {
    let names = [
        ("rename", attributes.rename.as_ref().map(LitStr::span)),
        ("alias", attributes.aliases.first().map(LitStr::span)),
        ("merge", attributes.merge.as_ref().map(LitStr::span)),
        ("merge_with", attributes.merge_with.as_ref().map(|path| path.span())),
        ("privilege", attributes.privilege),
        ("index", attributes.index),
        ("lenient", attributes.lenient),
        ("ttl", attributes.ttl.as_ref().map(LitStr::span)),
    ];
    for (name, span) in names {
        if let Some(span) = span {
            errors.push(
                span,
                format_args!("`{name}` has no meaning with `skip`, which keeps the field out of the store; drop one"),
            );
        }
    }
}

fn stored(
    ident: &Ident,
    attributes: &FieldAttributes,
    names: &mut Names,
    errors: &mut Errors,
) -> Stored {
    let full = |name: &str| match &names.namespace {
        Some(namespace) => format!("{}.{name}", namespace.value()),
        None => name.to_owned(),
    };
    let rename = attributes.rename.as_ref().filter(|name| is_name(name, errors));
    let (name, span, way_out) = match rename {
        Some(rename) => (full(&rename.value()), rename.span(), "choose another name"),
        None => (
            full(&ident.unraw().to_string()),
            ident.span(),
            "give this one another with `#[session(rename = \"…\")]`",
        ),
    };
    names.stored.take(&name, ident, span, way_out, errors);
    let mut aliases = Vec::new();
    for alias in &attributes.aliases {
        let name = full(&alias.value());
        if is_name(alias, errors)
            && names.stored.take(&name, ident, alias.span(), "drop this alias", errors)
        {
            aliases.push(name);
        }
    }
    let merge = merge(attributes, errors);
    Stored {
        name,
        aliases,
        ttl: ttl(attributes, &merge, errors),
        merge,
        privilege: attributes.privilege.is_some(),
        index: None,
        lenient: attributes.lenient.is_some(),
    }
}

/// How long a field's value lives.
fn ttl(attributes: &FieldAttributes, merge: &Merge, errors: &mut Errors) -> Option<Duration> {
    let literal = attributes.ttl.as_ref()?;
    let rule = match merge {
        Merge::LastWrite | Merge::Reject => None,
        Merge::With(path) => Some(path.span()),
        Merge::Add | Merge::Max | Merge::Min | Merge::Union => {
            attributes.merge.as_ref().map(LitStr::span)
        }
    };
    if let Some(rule) = rule {
        errors.push(
            rule,
            "values with a `ttl` cannot be merged, because each ends at a time of its own; write \
             `merge = \"last_write\"` or `merge = \"reject\"`, or drop `ttl`",
        );
        return None;
    }
    duration::parse(&literal.value())
        .inspect_err(|problem| errors.push(literal.span(), problem))
        .ok()
}

/// The name of the function for an indexed field.
fn index(
    base: &Ident,
    attributes: &FieldAttributes,
    merge: &Merge,
    names: &mut Names,
    errors: &mut Errors,
) -> Option<Ident> {
    let span = attributes.index?;
    if let Merge::Add = merge {
        errors.push(
            span,
            "a field whose value is known to the store alone cannot be indexed; drop `index` or `merge = \"add\"`",
        );
        return None;
    }
    if attributes.ttl.is_some() {
        errors.push(
            span,
            "a value that ends by itself cannot be indexed, because it would be found after its end; drop `index` or `ttl`",
        );
        return None;
    }
    names.indexed += 1;
    if names.indexed == MOST_INDEXED + 1 {
        errors.push(
            span,
            format_args!(
                "a session has at most {MOST_INDEXED} indexed fields, because each costs a write; \
                 index what whole users or tenants are found by, and look at the other fields of \
                 the sessions that are found"
            ),
        );
    }
    Some(format_ident!("by_{}", base.unraw(), span = base.span()))
}

fn merge(attributes: &FieldAttributes, errors: &mut Errors) -> Merge {
    let rule = match (&attributes.merge, &attributes.merge_with) {
        (None, None) => return Merge::LastWrite,
        (None, Some(path)) => return Merge::With(path.clone()),
        (Some(rule), None) => rule,
        (Some(rule), Some(_)) => {
            errors.push(
                rule.span(),
                "`merge` names a rule and `merge_with` a function; a field has one of them",
            );
            rule
        }
    };
    match rule.value().as_str() {
        "last_write" => Merge::LastWrite,
        "add" => Merge::Add,
        "max" => Merge::Max,
        "min" => Merge::Min,
        "union" => Merge::Union,
        "reject" => Merge::Reject,
        other => {
            let rules: Vec<_> = match closest(other, MERGE_RULES) {
                Some(rule) => vec![rule],
                None => MERGE_RULES.to_vec(),
            };
            let rules: Vec<_> = rules.iter().map(|rule| format!("`merge = {rule:?}`")).collect();
            let or_function = if rules.len() > 1 { " or `merge_with = function`" } else { "" };
            let rules = rules.join(", ") + or_function;
            errors.push(rule.span(), format_args!("{other:?} is no merge rule; write {rules}"));
            Merge::LastWrite
        }
    }
}

/// Whether a string can name something in the store or in a cookie header.
fn is_name(name: &LitStr, errors: &mut Errors) -> bool {
    let value = name.value();
    let problem = if value.is_empty() {
        "this name is empty"
    } else if value.chars().any(char::is_control) {
        "this name has control characters"
    } else {
        return true;
    };
    errors.push(name.span(), format_args!("{problem}; write one such as `\"views\"`"));
    false
}

/// Whether a string is a cookie's name: a `token` of RFC 9110, 5.6.2.
fn is_cookie_name(name: &LitStr, errors: &mut Errors) -> bool {
    let value = name.value();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = !value.is_empty() && value.bytes().all(is_token);
    if !is_name {
        errors.push(
            name.span(),
            format_args!(
                "{name:?} is no cookie name; write one of letters, digits and `!#$%&'*+-.^_`|~`, \
                 such as `\"admin\"`",
                name = value,
            ),
        );
    }
    is_name
}

fn accessors_name(name: &LitStr, session: &Ident, errors: &mut Errors) -> Option<Ident> {
    let ident = identifier(name, "VisitorSession", errors)?;
    if ident == *session {
        errors.push(
            name.span(),
            format_args!(
                "`{ident}` is the session itself; give the generated struct another name, such as \
                 `\"{ident}Session\"`"
            ),
        );
        return None;
    }
    Some(ident)
}

fn identifier(name: &LitStr, example: &str, errors: &mut Errors) -> Option<Ident> {
    let ident = name.parse().ok();
    if ident.is_none() {
        let value = name.value();
        let problem = match name.parse_with(Ident::parse_any) {
            Ok(_) => "is a keyword",
            Err(_) => "is no identifier",
        };
        errors.push(
            name.span(),
            format_args!("{value:?} {problem}; write a name such as `{example:?}`"),
        );
    }
    ident
}

/// The names that are taken already.
struct Names {
    namespace: Option<LitStr>,
    stored: StoredNames,
    methods: MethodNames,
    /// How many fields are indexed so far.
    indexed: usize,
}

/// The names in the store, and the fields that have them.
#[derive(Default)]
struct StoredNames(HashMap<String, Ident>);

impl StoredNames {
    /// Takes a name for a field, if it is free.
    fn take(
        &mut self,
        name: &str,
        field: &Ident,
        span: Span,
        way_out: &str,
        errors: &mut Errors,
    ) -> bool {
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
            format_args!("{owner} has the name `{name}` in the store already; {way_out}"),
        );
        false
    }
}

/// The names of generated methods.
struct MethodNames {
    /// Those that every generated struct has.
    shared: HashSet<String>,
    /// The accessors, and the fields that have them.
    accessors: HashMap<String, Ident>,
}

impl Methods {
    fn new(
        base: &Ident,
        field: &Ident,
        ty: &Type,
        stored: Option<&Stored>,
        names: &mut MethodNames,
        errors: &mut Errors,
    ) -> Self {
        let bare = base.unraw();
        let mut reported = false;
        let mut method = |ident: Ident| {
            let clash = names.clash(&ident, field);
            if let Some(clash) = &clash
                && !reported
            {
                reported = true;
                errors.push(
                    base.span(),
                    format_args!(
                        "the accessor `{ident}` of this field {clash}; give the field's accessors \
                         another name with `#[session(accessor = \"…\")]`",
                    ),
                );
            }
            clash.is_none().then_some(ident)
        };
        let sum = stored.is_some_and(|stored| matches!(stored.merge, Merge::Add));
        Self {
            get: method(base.clone()),
            set: method(format_ident!("set_{bare}", span = base.span())),
            edit: method(format_ident!("{bare}_mut", span = base.span())),
            take: is_option(ty)
                .then(|| method(format_ident!("take_{bare}", span = base.span())))
                .flatten(),
            add: sum.then(|| method(format_ident!("add_{bare}", span = base.span()))).flatten(),
        }
    }
}

impl MethodNames {
    fn new() -> Self {
        Self { shared: methods::names(), accessors: HashMap::new() }
    }

    /// Why a method cannot have this name; takes the name if it can.
    fn clash(&mut self, method: &Ident, field: &Ident) -> Option<String> {
        let name = method.unraw().to_string();
        if self.shared.contains(&name) {
            return Some(format!("would be hidden by `TypedSession::{name}`"));
        }
        if let Some(other) = self.accessors.get(&name) {
            return Some(format!("is also an accessor of the field `{other}`"));
        }
        self.accessors.insert(name, field.clone());
        None
    }
}

/// Where a value of this type borrows.
fn reference(ty: &Type) -> Option<Span> {
    struct Search(Option<Span>);

    impl<'ast> Visit<'ast> for Search {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0.get_or_insert(reference.and_token.span());
        }

        fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
            // OK because it holds no value.
            if segment.ident != "PhantomData" {
                visit::visit_path_segment(self, segment);
            }
        }

        fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {
            // OK because a function that takes references holds none.
        }

        fn visit_type_trait_object(&mut self, _: &'ast TypeTraitObject) {
            // OK for the same reason.
        }
    }

    let mut search = Search(None);
    search.visit_type(ty);
    search.0
}

/// Whether a type is written as the standard library's `Option<…>`.
fn is_option(ty: &Type) -> bool {
    let path = match ty {
        Type::Path(path) => path,
        // A type that comes out of a `macro_rules` macro stands in invisible brackets.
        Type::Group(group) => return is_option(&group.elem),
        _ => return false,
    };
    if path.qself.is_some() {
        return false;
    }
    let segments: Vec<_> = path.path.segments.iter().collect();
    let Some((last, modules)) = segments.split_last() else { return false };
    let modules: Vec<_> = modules.iter().map(|segment| segment.ident.to_string()).collect();
    let modules: Vec<_> = modules.iter().map(String::as_str).collect();
    last.ident == "Option"
        && matches!(&*modules, [] | ["std" | "core", "option"])
        && matches!(
            &last.arguments,
            PathArguments::AngleBracketed(arguments)
                if matches!(arguments.args.first(), Some(GenericArgument::Type(_)))
                    && arguments.args.len() == 1
        )
}

impl Field {
    /// Where a mistake about the type is shown.
    pub(crate) fn type_span(&self) -> Span {
        self.ty.span()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn messages(input: syn::DeriveInput) -> Vec<String> {
        let (input, mut errors) = parse(input);
        check(input, &mut errors);
        errors.messages()
    }

    #[test]
    fn names_in_the_store_must_differ() {
        let messages = messages(syn::parse_quote! {
            struct S {
                a: u8,
                #[session(rename = "a")]
                b: u8,
                #[session(alias = "b", alias = "a", alias = "c")]
                c: u8,
            }
        });
        assert_eq!(messages.len(), 3, "{messages:#?}");
        assert!(messages[0].starts_with("the field `a` has the name `a` in the store already"));
        assert!(messages[1].starts_with("the field `a` has the name `a` in the store already"));
        assert!(messages[2].starts_with("this field has the name `c` in the store already"));
    }

    #[test]
    fn a_namespace_keeps_names_apart_from_other_structs() {
        let (input, mut errors) = parse(syn::parse_quote! {
            #[session(namespace = "shop")]
            struct S { #[session(alias = "old")] r#type: u8 }
        });
        let model = check(input, &mut errors);
        let stored = model.fields[0].stored.as_ref().expect("a stored field");
        assert_eq!((stored.name.as_str(), stored.aliases[0].as_str()), ("shop.type", "shop.old"));
    }

    #[test]
    fn an_accessor_that_would_be_hidden_names_the_way_out() {
        for hidden in methods::names() {
            let ident = Ident::new(&hidden, Span::call_site());
            let found = messages(syn::parse_quote! { struct S { #ident: u8 } });
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].contains("TypedSession::"), "{found:#?}");
            assert!(found[0].contains("#[session(accessor = \"…\")]"), "{found:#?}");
            let way_out = messages(
                syn::parse_quote! { struct S { #[session(accessor = "other")] #ident: u8 } },
            );
            assert!(way_out.is_empty(), "{way_out:#?}");
        }
        assert!(
            messages(syn::parse_quote! { struct S { persistent: bool } })[0]
                .contains("set_persistent")
        );
    }

    #[test]
    fn generated_methods_must_differ() {
        let messages = messages(syn::parse_quote! {
            struct S { a: u8, set_a: u8, b: u8, b_mut: u8, c: Option<u8>, take_c: u8, d: u8, take_d: u8 }
        });
        assert_eq!(messages.len(), 3, "{messages:#?}");
    }

    #[test]
    fn only_the_standard_option_is_one() {
        for (ty, is) in [
            (syn::parse_quote!(Option<u8>), true),
            (syn::parse_quote!(::std::option::Option<u8>), true),
            (syn::parse_quote!(core::option::Option<Option<u8>>), true),
            (syn::parse_quote!(my::Option<u8>), false),
            (syn::parse_quote!(Option), false),
            (syn::parse_quote!(Option<u8, u8>), false),
            (syn::parse_quote!(Vec<Option<u8>>), false),
        ] {
            assert_eq!(is_option(&ty), is);
        }
    }

    #[test]
    fn a_stored_field_does_not_borrow() {
        for (ty, borrows) in [
            (syn::parse_quote!(&'static str), true),
            (syn::parse_quote!(Vec<Option<&'static str>>), true),
            (syn::parse_quote!((u8, [&'static u8; 2])), true),
            (syn::parse_quote!(Cow<'static, str>), false),
            (syn::parse_quote!(PhantomData<&'static str>), false),
            (syn::parse_quote!(Option<fn(&str) -> &str>), false),
            (syn::parse_quote!(Box<dyn Fn(&str)>), false),
        ] {
            assert_eq!(reference(&ty).is_some(), borrows);
        }
        let skipped = syn::parse_quote! { struct S { #[session(skip)] a: &'static str } };
        assert_eq!(messages(skipped), <[&str; 0]>::default());
    }

    #[test]
    fn the_type_of_a_field_is_no_trait() {
        let found = messages(syn::parse_quote! { struct S { a: dyn Fn(), b: u8 +, c: impl Copy } });
        assert_eq!(found.len(), 3, "{found:#?}");
        let boxed = syn::parse_quote! { struct S { #[session(skip)] a: Box<dyn Fn() + Send> } };
        assert_eq!(messages(boxed), <[&str; 0]>::default());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let messages = messages(syn::parse_quote! {
            #[session(namespace = "", fields = "1x", cookie = "a\n")]
            struct S {
                #[session(rename = "", accessor = "fn", merge = "ad")]
                a: u8,
                #[session(merge = "sometimes")]
                b: u8,
            }
        });
        assert_eq!(messages.len(), 7, "{messages:#?}");
    }

    #[test]
    fn at_most_four_fields_are_indexed_and_no_sum() {
        let four = messages(syn::parse_quote! {
            struct S {
                #[session(index)] a: u8, #[session(index)] b: u8, #[session(index)] c: u8,
                #[session(index, merge = "max")] d: u8,
            }
        });
        assert_eq!(four, <[&str; 0]>::default());
        let more = messages(syn::parse_quote! {
            struct S {
                #[session(index)] a: u8, #[session(index)] b: u8, #[session(index)] c: u8,
                #[session(index)] d: u8, #[session(index)] e: u8, #[session(index)] f: u8,
                #[session(index, merge = "add")] g: u8,
            }
        });
        assert_eq!(more.len(), 2, "{more:#?}");
        assert!(more[0].contains("at most 4") && more[1].contains("known to the store alone"));
    }

    #[test]
    fn a_field_that_is_not_stored_takes_no_store_attributes() {
        let messages = messages(syn::parse_quote! {
            struct S {
                #[session(
                    skip, rename = "x", alias = "y", merge = "add", privilege, index, lenient,
                    ttl = "1s"
                )]
                a: u8,
                #[session(skip, default = 3)]
                b: u8,
            }
        });
        assert_eq!(messages.len(), 7, "{messages:#?}");
    }
}
