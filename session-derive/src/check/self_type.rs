//! Writes out `Self`, which means another struct in the generated code.

use proc_macro2::Span;
use syn::{
    ExprPath, Generics, Ident, Path, QSelf, Type, TypePath, parse_quote,
    visit_mut::{self, VisitMut},
};

use crate::parse::input::Input;

/// Replaces `Self` by the struct's name in the bounds and field types of a struct.
pub(super) fn write_out_self(input: &mut Input) {
    let generics = input.generics.clone();
    let mut receiver = Receiver { ident: &input.ident, generics: &generics };
    receiver.visit_generics_mut(&mut input.generics);
    for field in &mut input.fields {
        receiver.visit_type_mut(&mut field.ty);
    }
}

struct Receiver<'a> {
    ident: &'a Ident,
    generics: &'a Generics,
}

impl Receiver<'_> {
    /// Returns the struct with its generic arguments.
    fn itself(&self, span: Span) -> Type {
        let mut ident = self.ident.clone();
        // Mistakes are shown where `Self` was written.
        ident.set_span(span.resolved_at(ident.span()));
        let (_, arguments, _) = self.generics.split_for_impl();
        parse_quote!(#ident #arguments)
    }

    /// Changes `Self::Item` to `<Visitor>::Item`.
    fn qualify(&self, qself: &mut Option<QSelf>, path: &mut Path) {
        if qself.is_some() || path.leading_colon.is_some() || path.segments[0].ident != "Self" {
            return;
        }
        let itself = self.itself(path.segments[0].ident.span());
        let rest = path.segments.iter().skip(1);
        let qualified: TypePath = parse_quote!(<#itself> #(::#rest)*);
        *qself = qualified.qself;
        *path = qualified.path;
    }
}

impl VisitMut for Receiver<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(TypePath { qself: None, path, .. }) = ty
            && path.is_ident("Self")
        {
            *ty = self.itself(path.segments[0].ident.span());
        } else {
            visit_mut::visit_type_mut(self, ty);
        }
    }

    fn visit_type_path_mut(&mut self, ty: &mut TypePath) {
        self.qualify(&mut ty.qself, &mut ty.path);
        visit_mut::visit_type_path_mut(self, ty);
    }

    fn visit_expr_path_mut(&mut self, expr: &mut ExprPath) {
        if expr.path.segments.len() > 1 {
            self.qualify(&mut expr.qself, &mut expr.path);
        }
        visit_mut::visit_expr_path_mut(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;
    use crate::parse::input::parse;

    #[test]
    fn self_is_the_struct_everywhere() {
        let (mut input, _) = parse(parse_quote! {
            struct S<T, const N: usize> where Self: From<T> {
                children: Vec<Self>,
                item: Self::Item,
                qualified: <Self as Trait<Self>>::Item,
                array: [u8; Self::LEN],
                function: fn(&Self) -> Self,
                other: module::Self_,
            }
        });
        write_out_self(&mut input);
        let expected: Input = parse(parse_quote! {
            struct S<T, const N: usize> where S<T, N>: From<T> {
                children: Vec<S<T, N> >,
                item: <S<T, N> >::Item,
                qualified: <S<T, N> as Trait<S<T, N> > >::Item,
                array: [u8; <S<T, N> >::LEN],
                function: fn(&S<T, N>) -> S<T, N>,
                other: module::Self_,
            }
        })
        .0;
        assert_eq!(text(&input.generics.where_clause), text(&expected.generics.where_clause));
        for (field, expected) in input.fields.iter().zip(&expected.fields) {
            assert_eq!(text(&field.ty), text(&expected.ty));
        }
    }

    fn text(tokens: &impl ToTokens) -> String {
        tokens.to_token_stream().to_string()
    }
}
