//! The table of all `#[session(…)]` attributes. It drives parsing, conflicts and messages.
//!
//! A new attribute touches these places:
//!
//! 1. here: a row, and a member of [`StructAttributes`] or [`FieldAttributes`] for its value;
//! 2. `check/model.rs` and the function beside it that checks the value and puts it into the model;
//! 3. the file of `expand/` whose code depends on it;
//! 4. `lib.rs`: a row of the documentation;
//! 5. `tests/ui`: what it accepts, and each of its messages.

use proc_macro2::Span;
use syn::{ExprPath, LitStr};

use super::attribute::{Conflict, OptionalExpr, Place, SessionAttribute, Slot};

/// The attributes above the struct.
#[derive(Default)]
pub(crate) struct StructAttributes {
    pub(crate) namespace: Option<LitStr>,
    pub(crate) fields: Option<LitStr>,
    pub(crate) strict: Option<Span>,
    pub(crate) cookie: Option<LitStr>,
}

impl Place for StructAttributes {
    const NAME: &'static str = "the struct";
    const TABLE: &'static [SessionAttribute<Self>] = &[
        SessionAttribute {
            name: "namespace",
            takes: "a prefix for the names in the store",
            example: "shop",
            slot: Slot::Text(|found| &mut found.namespace),
            conflicts: &[],
        },
        SessionAttribute {
            name: "fields",
            takes: "a name for the generated struct",
            example: "VisitorSession",
            slot: Slot::Text(|found| &mut found.fields),
            conflicts: &[],
        },
        SessionAttribute {
            name: "strict",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.strict),
            conflicts: &[],
        },
        SessionAttribute {
            name: "cookie",
            takes: "the name of a cookie",
            example: "admin",
            slot: Slot::Text(|found| &mut found.cookie),
            conflicts: &[],
        },
    ];
    type Elsewhere = FieldAttributes;
}

/// The attributes above one field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) default: Option<OptionalExpr>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: Option<Span>,
    pub(crate) accessor: Option<LitStr>,
    pub(crate) with: Option<LitStr>,
    pub(crate) merge: Option<LitStr>,
    pub(crate) merge_with: Option<ExprPath>,
    pub(crate) privilege: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) flash: Option<Span>,
    pub(crate) lenient: Option<Span>,
    pub(crate) ttl: Option<LitStr>,
}

impl Place for FieldAttributes {
    const NAME: &'static str = "a field";
    const TABLE: &'static [SessionAttribute<Self>] = &[
        SessionAttribute {
            name: "default",
            takes: "an expression",
            example: "100",
            slot: Slot::Expression(|found| &mut found.default),
            conflicts: &[],
        },
        SessionAttribute {
            name: "rename",
            takes: "a name for the store",
            example: "uid",
            slot: Slot::Text(|found| &mut found.rename),
            conflicts: &[NOT_STORED],
        },
        SessionAttribute {
            name: "alias",
            takes: "an earlier name in the store",
            example: "user",
            slot: Slot::Texts(|found| &mut found.aliases),
            conflicts: &[NOT_STORED],
        },
        SessionAttribute {
            name: "skip",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.skip),
            conflicts: &[],
        },
        SessionAttribute {
            name: "accessor",
            takes: "a name for the accessors",
            example: "user_name",
            slot: Slot::Text(|found| &mut found.accessor),
            conflicts: &[],
        },
        SessionAttribute {
            name: "with",
            takes: "the path of a module",
            example: "module",
            slot: Slot::Text(|found| &mut found.with),
            conflicts: &[
                NOT_STORED,
                Conflict {
                    with_values: &["add"],
                    ..Conflict::with("merge", "the store adds up plain numbers")
                },
            ],
        },
        SessionAttribute {
            name: "merge",
            takes: "a merge rule",
            example: "add",
            slot: Slot::Text(|found| &mut found.merge),
            conflicts: &[
                NOT_STORED,
                Conflict::with("merge_with", "a field has one merge rule"),
                Conflict { values: &["add", "max", "min", "union"], ..NOT_MERGED },
            ],
        },
        SessionAttribute {
            name: "merge_with",
            takes: "the path of a function",
            example: "merge_carts",
            slot: Slot::Function(|found| &mut found.merge_with),
            conflicts: &[NOT_STORED, NOT_MERGED],
        },
        SessionAttribute {
            name: "privilege",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.privilege),
            conflicts: &[NOT_STORED],
        },
        SessionAttribute {
            name: "index",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.index),
            conflicts: &[
                NOT_STORED,
                Conflict {
                    with_values: &["add"],
                    ..Conflict::with("merge", "only the store computes the sum")
                },
                Conflict::with("ttl", "a session would be found after the value has ended"),
            ],
        },
        SessionAttribute {
            name: "flash",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.flash),
            conflicts: &[
                NOT_STORED,
                Conflict::with("default", "a message would be shown that was not added"),
                Conflict::with("with", "the messages are stored with their ids"),
                Conflict::with("merge", "messages are merged by their ids"),
                Conflict::with("merge_with", "messages are merged by their ids"),
                Conflict::with("privilege", "each message would renew the session's id"),
                Conflict::with("index", "messages do not say whose session it is"),
                Conflict::with("ttl", "a message ends when it is shown"),
            ],
        },
        SessionAttribute {
            name: "lenient",
            takes: "no value",
            example: "",
            slot: Slot::Flag(|found| &mut found.lenient),
            conflicts: &[NOT_STORED],
        },
        SessionAttribute {
            name: "ttl",
            takes: "a time",
            example: "15m",
            slot: Slot::Time(|found| &mut found.ttl),
            conflicts: &[NOT_STORED],
        },
    ];
    type Elsewhere = StructAttributes;
}

/// For attributes that concern the store alone.
const NOT_STORED: Conflict = Conflict::with("skip", "a skipped field is not stored");

/// For rules that compute a value from two.
const NOT_MERGED: Conflict = Conflict {
    advice: "write `merge = \"last_write\"` or `merge = \"reject\"`, or remove `ttl`",
    ..Conflict::with("ttl", "each value ends at its own time")
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names<P: Place>() -> Vec<&'static str> {
        P::TABLE.iter().map(|attribute| attribute.name).collect()
    }

    fn assert_consistent<P: Place>() {
        let names: HashSet<_> = names::<P>().into_iter().collect();
        assert_eq!(names.len(), P::TABLE.len(), "each name stands once");
        for attribute in P::TABLE {
            for conflict in attribute.conflicts {
                assert!(names.contains(conflict.with), "{}: {}", attribute.name, conflict.with);
            }
        }
    }

    #[test]
    fn conflicts_are_with_attributes_of_the_same_place() {
        assert_consistent::<StructAttributes>();
        assert_consistent::<FieldAttributes>();
    }

    #[test]
    fn a_typo_is_recognised() {
        use crate::parse::spelling::closest;

        let closest = |name| closest(name, names::<FieldAttributes>());
        assert_eq!(closest("privelege"), Some("privilege"));
        assert_eq!(closest("renamed"), Some("rename"));
        assert_eq!(closest("flatten"), None);
        assert_eq!(closest("indx"), Some("index"));
        assert_eq!(closest("tll"), Some("ttl"));
        assert_eq!(closest("merge_width"), Some("merge_with"));
    }
}
