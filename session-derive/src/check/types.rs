//! What can be seen of a field's type without its definition.

use proc_macro2::Span;
use syn::{
    GenericArgument, PathArguments, PathSegment, Type, TypeFnPtr, TypeReference, TypeTraitObject,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// Returns where a value of this type borrows, if it does.
pub(super) fn reference(ty: &Type) -> Option<Span> {
    struct Search(Option<Span>);

    impl<'ast> Visit<'ast> for Search {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0.get_or_insert(reference.and_token.span());
        }

        fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
            // `PhantomData` holds no value.
            if segment.ident != "PhantomData" {
                visit::visit_path_segment(self, segment);
            }
        }

        fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {
            // A function that takes references holds none.
        }

        fn visit_type_trait_object(&mut self, _: &'ast TypeTraitObject) {
            // The same holds for `dyn Fn(&str)`.
        }
    }

    let mut search = Search(None);
    search.visit_type(ty);
    search.0
}

/// Returns the type in the brackets of a type that is written as the standard library's
/// `Option<…>`.
pub(super) fn option(ty: &Type) -> Option<&Type> {
    let path = match ty {
        Type::Path(path) => path,
        // A type that a `macro_rules` macro has passed on stands in invisible brackets.
        Type::Group(group) => return option(&group.elem),
        _ => return None,
    };
    let segments: Vec<_> = path.path.segments.iter().collect();
    let (last, modules) = segments.split_last()?;
    let modules: Vec<_> = modules.iter().map(|segment| segment.ident.to_string()).collect();
    let modules: Vec<_> = modules.iter().map(String::as_str).collect();
    let is_std = path.qself.is_none()
        && last.ident == "Option"
        && matches!(&*modules, [] | ["std" | "core", "option"]);
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if is_std && arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(option(&ty).is_some(), is);
        }
    }

    #[test]
    fn references_in_values_are_found() {
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
    }
}
