//! The session struct as a whole.

use quote::format_ident;
use syn::ext::IdentExt as _;

use super::{
    accessors::AccessorNames,
    field::Fields,
    model::Model,
    names::{StoreNames, generated_struct, is_cookie_name, is_store_name},
    self_type::write_out_self,
    stored::Storage,
};
use crate::{errors::Errors, parse::input::Input};

/// Checks a struct. Mistakes are reported; code for the rest can be generated all the same.
pub(crate) fn check(mut input: Input, errors: &mut Errors) -> Model {
    write_out_self(&mut input);
    let Input { ident, vis, generics, kind, attributes, fields } = input;
    let namespace = attributes.namespace.filter(|name| is_store_name(name, errors));
    let generated = attributes.fields.and_then(|name| generated_struct(&name, &ident, errors));
    let generated =
        generated.unwrap_or_else(|| format_ident!("{}Session", ident.unraw(), span = ident.span()));
    let cookie = attributes.cookie.filter(|name| is_cookie_name(name, errors));
    let mut shared = Fields {
        kind,
        storage: Storage { namespace, names: StoreNames::default(), indexed: 0 },
        accessors: AccessorNames::new(),
    };
    let fields = fields.into_iter().map(|field| shared.field(field, errors)).collect();
    Model {
        ident,
        vis,
        generics,
        kind,
        generated,
        cookie: cookie.map(|name| name.value()),
        strict: attributes.strict.is_some(),
        fields,
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::Ident;

    use super::*;
    use crate::{methods, parse::input::parse};

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
        assert!(messages[0].starts_with("the store name `a` is already used by the field `a`"));
        assert!(messages[1].starts_with("the store name `a` is already used by the field `a`"));
        assert!(messages[2].starts_with("the store name `c` is already used by this field"));
    }

    #[test]
    fn a_namespace_keeps_names_apart_from_other_structs() {
        let (input, mut errors) = parse(syn::parse_quote! {
            #[session(namespace = "shop")]
            struct S { #[session(alias = "type", alias = "market.type")] r#type: u8 }
        });
        let model = check(input, &mut errors);
        let stored = model.fields[0].stored.as_ref().expect("a stored field");
        assert_eq!(stored.name, "shop.type");
        assert_eq!(stored.aliases, ["type", "market.type"], "an alias is a name in the store");
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
            struct S {
                a: u8, set_a: u8,
                b: u8, b_mut: u8,
                c: Option<u8>, take_c: u8,
                d: u8, take_d: u8,
            }
        });
        assert_eq!(messages.len(), 3, "{messages:#?}");
    }

    #[test]
    fn a_stored_field_does_not_borrow() {
        let stored = syn::parse_quote! { struct S { a: &'static str } };
        assert_eq!(messages(stored).len(), 1);
        let skipped = syn::parse_quote! { struct S { #[session(skip)] a: &'static str } };
        assert_eq!(messages(skipped), <[&str; 0]>::default());
    }

    #[test]
    fn the_type_of_a_field_is_not_a_trait() {
        let found = messages(syn::parse_quote! { struct S { a: dyn Fn(), b: u8 +, c: impl Copy } });
        assert_eq!(found.len(), 3, "{found:#?}");
        let boxed = syn::parse_quote! { struct S { #[session(skip)] a: Box<dyn Fn() + Send> } };
        assert_eq!(messages(boxed), <[&str; 0]>::default());
    }

    #[test]
    fn invalid_names_are_refused() {
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
        assert!(
            more[0].contains("at most 4") && more[1].contains("only the store computes the sum")
        );
    }

    #[test]
    fn a_field_that_is_not_stored_takes_no_store_attributes() {
        let messages = messages(syn::parse_quote! {
            struct S {
                #[session(
                    skip, rename = "x", alias = "y", merge = "add", privilege, index, lenient,
                    ttl = "1s", with = "module"
                )]
                a: u8,
                #[session(skip, default = 3)]
                b: u8,
            }
        });
        assert_eq!(messages.len(), 8, "{messages:#?}");
    }
}
