//! The names of the accessors.

use std::collections::{HashMap, HashSet};

use quote::format_ident;
use syn::{Ident, ext::IdentExt as _};

use super::model::Accessors;
use crate::{errors::Errors, methods};

/// The names of the generated struct's methods.
pub(super) struct AccessorNames {
    /// The names of the methods that every generated struct has.
    shared: HashSet<String>,
    /// The accessors, and the fields that have them.
    taken: HashMap<String, Ident>,
}

/// The accessors that a field asks for.
pub(super) struct Wanted<'a> {
    pub(super) field: &'a Ident,
    /// The name that the accessors' names are made of.
    pub(super) base: &'a Ident,
    pub(super) take: bool,
    pub(super) add: bool,
    pub(super) flash: bool,
}

impl AccessorNames {
    pub(super) fn new() -> Self {
        Self { shared: methods::names(), taken: HashMap::new() }
    }

    /// Gives a field its accessors. Names that are taken are left out, and the first is reported.
    pub(super) fn take(&mut self, wanted: &Wanted<'_>, errors: &mut Errors) -> Accessors {
        let &Wanted { field, base, take, add, flash } = wanted;
        let (bare, span) = (base.unraw(), base.span());
        let mut is_reported = false;
        let mut accessor = |ident: Ident| match self.take_one(&ident, field) {
            Ok(()) => Some(ident),
            Err(owner) => {
                if !is_reported {
                    is_reported = true;
                    errors.push(
                        span,
                        format_args!(
                            "the accessor `{ident}` of this field has the same name as {owner}; \
                             choose another name with `#[session(accessor = \"…\")]`",
                        ),
                    );
                }
                None
            }
        };
        Accessors {
            get: accessor(base.clone()),
            set: accessor(format_ident!("set_{bare}", span = span)),
            edit: accessor(format_ident!("{bare}_mut", span = span)),
            take: if take { accessor(format_ident!("take_{bare}", span = span)) } else { None },
            take_messages: if flash {
                accessor(format_ident!("take_{bare}", span = span))
            } else {
                None
            },
            add: if add { accessor(format_ident!("add_{bare}", span = span)) } else { None },
        }
    }

    /// Takes a name, or returns what has it.
    fn take_one(&mut self, accessor: &Ident, field: &Ident) -> Result<(), String> {
        let name = accessor.unraw().to_string();
        if self.shared.contains(&name) {
            return Err(format!("`TypedSession::{name}`"));
        }
        if let Some(other) = self.taken.get(&name) {
            return Err(format!("an accessor of the field `{other}`"));
        }
        self.taken.insert(name, field.clone());
        Ok(())
    }
}
