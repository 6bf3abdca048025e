//! A session struct whose mistakes have been reported: code can be generated from it.

use std::time::Duration;

use proc_macro2::Span;
use syn::{Attribute, Expr, ExprPath, Generics, Ident, Type, Visibility, spanned::Spanned as _};

use crate::parse::input::Kind;

pub(crate) struct Model {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) generics: Generics,
    pub(crate) kind: Kind,
    /// The name of the generated struct.
    pub(crate) generated: Ident,
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
    /// None: the field is skipped, or cannot be stored.
    pub(crate) stored: Option<Stored>,
    pub(crate) accessors: Accessors,
}

impl Field {
    /// Returns where a mistake in the type is shown.
    pub(crate) fn type_span(&self) -> Span {
        self.ty.span()
    }
}

/// How a field is stored.
pub(crate) struct Stored {
    /// The name in the store.
    pub(crate) name: String,
    /// Names in the store under which the field is read too.
    pub(crate) aliases: Vec<String>,
    /// What writes and reads the value, if not serde's traits do.
    pub(crate) with: Option<With>,
    pub(crate) merge: Merge,
    pub(crate) privilege: bool,
    /// The name of the function that returns an index key. None: the field is not indexed.
    pub(crate) index: Option<Ident>,
    pub(crate) lenient: bool,
    /// How long a value lives after it was written.
    pub(crate) ttl: Option<Duration>,
}

/// The module that writes and reads a field's value.
pub(crate) struct With {
    pub(crate) module: ExprPath,
    /// A type whose own traits the module needs.
    pub(crate) inner: Option<Type>,
}

/// How the values of two requests that change a field at once are merged.
pub(crate) enum Merge {
    LastWrite,
    Add,
    Max,
    Min,
    Union,
    Reject,
    /// The value is a list of messages that are shown once.
    Flash,
    With(ExprPath),
}

/// The names of a field's accessors. None: the field has no such accessor, or its name is taken.
pub(crate) struct Accessors {
    pub(crate) get: Option<Ident>,
    pub(crate) set: Option<Ident>,
    pub(crate) edit: Option<Ident>,
    pub(crate) take: Option<Ident>,
    pub(crate) add: Option<Ident>,
    /// Takes the messages of a field with `flash`.
    pub(crate) take_messages: Option<Ident>,
}
