//! Attributes of serde. They would have no effect, so each is a mistake with a way out.
//!
//! A session struct is stored field by field, and never through its own `Serialize`. A field that
//! has `#[serde(skip)]` would be stored.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, spanned::Spanned as _};

use super::syntax::{Item, items_of};
use crate::errors::Errors;

/// Reports everything inside all `#[serde(…)]`. `advice` says what to do about an item.
pub(super) fn refuse(attributes: &[Attribute], advice: fn(&Item) -> String, errors: &mut Errors) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What is not well formed is reported by serde itself.
        let items = items_of([attribute], &mut Errors::default());
        if items.is_empty() {
            errors
                .push(attribute.span(), "attributes of serde do not change a session; remove this");
        }
        for item in items {
            errors.push(
                item.span(),
                format_args!(
                    "`#[serde({})]` does not change how a session is stored; {}. If other code \
                     serialises this struct, give that code a struct of its own",
                    item.name(),
                    advice(&item),
                ),
            );
        }
    }
}

/// Says what to do about an attribute above the struct.
pub(super) fn advice_for_struct(item: &Item) -> String {
    match item.name().as_str() {
        "rename_all" => {
            "write `#[session(rename = \"…\")]` above each field that is stored under \
                         another name"
        }
        "rename" => "remove it, because the name of the struct is not stored",
        "default" => {
            "write `#[session(default = …)]` above each field whose default is another \
                      than its type's"
        }
        "deny_unknown_fields" => "remove it, because unknown fields stay in the store",
        _ => "remove it",
    }
    .to_owned()
}

/// Says what to do about an attribute above a field.
pub(super) fn advice_for_field(item: &Item) -> String {
    let name = item.name();
    let text = text(item).map(LitStr::value);
    let text = text.as_deref();
    match name.as_str() {
        "skip" | "skip_serializing" | "skip_deserializing" => "write `#[session(skip)]`".to_owned(),
        "rename" => format!("write `#[session(rename = {:?})]`", text.unwrap_or("uid")),
        "alias" => format!("write `#[session(alias = {:?})]`", text.unwrap_or("user")),
        "default" => match text {
            Some(function) => format!("write `#[session(default = {function}())]`"),
            None => "write `#[session(default)]`".to_owned(),
        },
        "with" => format!("write `#[session(with = {:?})]`", text.unwrap_or("module")),
        "serialize_with" | "deserialize_with" => {
            "put both functions into a module, as `serialize` and `deserialize`, and write \
             `#[session(with = \"module\")]`"
                .to_owned()
        }
        "skip_serializing_if" => {
            "remove it, because a field that has its default is not stored".to_owned()
        }
        "flatten" => "remove it, and the value is stored as one field".to_owned(),
        "borrow" => "remove it, and own the data: `String` instead of `&str`".to_owned(),
        _ => "remove it, or write it in the definition of the field's type".to_owned(),
    }
}

/// Returns the string in `name = "…"`.
fn text(item: &Item) -> Option<&LitStr> {
    match item.expr()? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::input::parse;

    #[test]
    fn each_attribute_of_serde_names_the_one_to_write_instead() {
        let (_, errors) = parse(syn::parse_quote! {
            #[serde(rename_all = "camelCase", bound(serialize = "T: Copy"))]
            #[serde]
            struct S {
                #[serde(skip, rename(serialize = "a", deserialize = "b"))]
                a: u8,
                #[serde(default = "some::path", with = "module")]
                b: u8,
            }
        });
        let messages = errors.messages();
        let advice = [
            "`#[session(rename = \"…\")]`",
            "`#[serde(bound)]` does not change how a session is stored; remove it",
            "remove this",
            "`#[session(skip)]`",
            "`#[session(rename = \"uid\")]`",
            "`#[session(default = some::path())]`",
            "`#[session(with = \"module\")]`",
        ];
        assert_eq!(messages.len(), advice.len(), "{messages:#?}");
        for (message, advice) in messages.iter().zip(advice) {
            assert!(message.contains(advice), "{message}");
        }
    }
}
