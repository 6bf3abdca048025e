//! What the source says of the stored fields, for the check of a later release. Only tests read it.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::check::model::{Field, Merge, Model, Stored, With};

/// Generates the value of the constant `DESCRIPTION`: one item per stored field, in their order.
pub(super) fn description(model: &Model) -> TokenStream {
    let fields = model.fields.iter().filter_map(|field| Some((field, field.stored.as_ref()?)));
    let fields = fields.map(|(field, stored)| described(field, stored));
    quote!(&[#(#fields),*])
}

fn described(field: &Field, stored: &Stored) -> TokenStream {
    let ty = text(&field.ty);
    let privilege = stored.privilege;
    let merge = match &stored.merge {
        Merge::LastWrite => "last_write".to_owned(),
        Merge::Add => "add".to_owned(),
        Merge::Max => "max".to_owned(),
        Merge::Min => "min".to_owned(),
        Merge::Union => "union".to_owned(),
        Merge::Reject => "reject".to_owned(),
        Merge::Flash => "flash".to_owned(),
        Merge::With(function) => format!("with {}", text(function)),
    };
    let with = match &stored.with {
        Some(With { module, inner: None }) => {
            let module = text(module);
            quote!(::core::option::Option::Some(#module))
        }
        // The derive has chosen the module by the type.
        Some(With { inner: Some(_), .. }) | None => quote!(::core::option::Option::None),
    };
    quote! {
        ::actix_typed_session::__private::FieldDescription {
            ty: #ty,
            merge: #merge,
            with: #with,
            privilege: #privilege,
        }
    }
}

/// Returns source code as text that depends neither on its layout nor on the compiler's version.
/// Paths into the standard library are written as their last name.
fn text(code: &impl ToTokens) -> String {
    let mut pieces = Vec::new();
    flatten(code.to_token_stream(), &mut pieces);
    let mut text = String::new();
    for piece in without_std(pieces) {
        if matches!(piece.as_str(), ">" | "]") && text.ends_with(',') {
            text.pop();
        }
        let starts_word = |text: &str| text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let after_word = text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        // `dyn Fn`, `&'static str`, `u8 + Send`, `(u8, u8)`, `[u8; 4]`
        let is_apart = after_word && (starts_word(&piece) || piece.starts_with('\''))
            || text.ends_with([',', ';', '+', '='])
            || matches!(piece.as_str(), "+" | "=");
        if is_apart && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&piece);
    }
    text
}

/// Splits code into its words and signs. `::` is one sign.
fn flatten(code: TokenStream, pieces: &mut Vec<String>) {
    let mut is_joint = false;
    for token in code {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    // What a `macro_rules` macro has passed on.
                    Delimiter::None => ("", ""),
                };
                pieces.push(open.to_owned());
                flatten(group.stream(), pieces);
                pieces.push(close.to_owned());
                is_joint = false;
            }
            TokenTree::Punct(sign) => {
                let (last, sign_char) = (pieces.last_mut(), sign.as_char());
                match last {
                    Some(last) if is_joint && last == ":" && sign_char == ':' => last.push(':'),
                    Some(last) if is_joint && last == "-" && sign_char == '>' => last.push('>'),
                    _ => pieces.push(sign_char.to_string()),
                }
                is_joint = sign.spacing() == Spacing::Joint;
            }
            TokenTree::Ident(word) => {
                match pieces.last_mut() {
                    Some(quote) if quote == "'" => quote.push_str(&word.to_string()),
                    _ => pieces.push(word.to_string()),
                }
                is_joint = false;
            }
            TokenTree::Literal(literal) => {
                pieces.push(literal.to_string());
                is_joint = false;
            }
        }
    }
    pieces.retain(|piece| !piece.is_empty());
}

/// Replaces each path that begins with `std`, `core` or `alloc` by its last name.
fn without_std(pieces: Vec<String>) -> Vec<String> {
    let is_word = |piece: &String| piece.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut kept: Vec<String> = Vec::new();
    let mut rest = pieces.into_iter().peekable();
    while let Some(piece) = rest.next() {
        let root = kept.strip_suffix(&["::".to_owned()]);
        let is_first = match root {
            Some(before) => !before.last().is_some_and(|last| is_word(last) || last == ">"),
            None => true,
        };
        if !matches!(piece.as_str(), "std" | "core" | "alloc") || !is_first {
            kept.push(piece);
            continue;
        }
        if root.is_some() {
            kept.pop();
        }
        let mut last = piece;
        while rest.next_if(|sign| sign == "::").is_some() {
            match rest.next_if(is_word) {
                Some(word) => last = word,
                None => break,
            }
        }
        kept.push(last);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_a_type_and_the_path_to_the_standard_library_do_not_count() {
        for (source, expected) in [
            ("Vec < Item >", "Vec<Item>"),
            (
                "::std::vec::Vec<std :: option :: Option<core::time::Duration>>",
                "Vec<Option<Duration>>",
            ),
            ("Vec<\n    shop::Item,\n>", "Vec<shop::Item>"),
            ("my::std::Vec<u8>", "my::std::Vec<u8>"),
            ("Cow<'static, str>", "Cow<'static, str>"),
            ("&'static str", "&'static str"),
            ("[(u8,char);4]", "[(u8, char); 4]"),
            ("Box<dyn Fn(u8)->u8+Send>", "Box<dyn Fn(u8)->u8 + Send>"),
            ("<T as Shop>::Item", "<T as Shop>::Item"),
            ("r#type", "r#type"),
        ] {
            let code: TokenStream = source.parse().expect("Rust");
            assert_eq!(text(&code), expected);
        }
    }
}
