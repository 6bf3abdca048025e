//! Generated code is quiet, whatever its surroundings are strict about.

#![deny(
    warnings,
    future_incompatible,
    let_underscore,
    missing_debug_implementations,
    missing_docs,
    nonstandard_style,
    refining_impl_trait,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_crate_dependencies,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::cargo)]
#![deny(clippy::allow_attributes, clippy::allow_attributes_without_reason)]
#![deny(clippy::absolute_paths)]
#![forbid(unsafe_code)]
#![allow(clippy::cargo_common_metadata, clippy::multiple_crate_versions, reason = "not ours")]
#![allow(unused_crate_dependencies, reason = "not ours")]
#![allow(clippy::redundant_pub_crate, reason = "contradicts `unreachable_pub`")]

use actix_typed_session::{Session, TypedSession};

/// A session that is not used.
#[derive(Debug, Session)]
pub struct Public {
    /// Documented.
    ///
    /// # Examples
    /// In two paragraphs.
    #[session(merge = "add")]
    pub documented: u64,
    /** Documented otherwise. */
    pub(crate) option: Option<Vec<Option<u8>>>,
    #[doc = concat!("Documented ", "by a macro.")]
    pub boxed: Box<String>,
    #[doc(hidden)]
    pub hidden: (),
    /// Names that clippy has opinions about.
    pub into_inner: u8,
    /// The same.
    pub is_empty: bool,
    /// The same.
    pub len: usize,
    /// The same.
    pub to_string: String,
    /// The same.
    pub next: u8,
    /// The same.
    pub new: u8,
    /// The same.
    pub as_ref: u8,
    private: Private,
    #[session(skip)]
    scratch: Vec<u8>,
}

#[derive(Session)]
struct Private_ {
    a: u8,
}

/// Something private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Private;

#[derive(Session)]
#[expect(non_snake_case, non_camel_case_types, reason = "the point of it")]
struct odd_case {
    CamelCase: u8,
    mixedCase: u8,
}

/// A session with a deprecated field.
#[derive(Debug, Session)]
pub struct Deprecated {
    /// Old.
    #[deprecated = "use `new`"]
    pub old: u8,
    /// New.
    pub new: u8,
}

/// A session that is empty.
#[derive(Debug, Session)]
pub struct Empty {}

/// A generic session.
#[derive(Debug, Session)]
pub struct Generic<T: Clone> {
    /// Generic.
    pub value: Vec<T>,
    /// Not generic.
    pub other: u8,
}

mod inner {
    use actix_typed_session::Session;

    /// As visible as can be without being visible.
    #[derive(Session)]
    pub(crate) struct Restricted {
        pub(crate) a: u8,
        pub(super) b: u8,
        pub(in crate::inner) c: u8,
        d: u8,
    }
}

fn handler(session: &TypedSession<inner::Restricted>, public: &PublicSession) -> u64 {
    u64::from(session.a() + session.b()) + public.documented
}

#[expect(clippy::no_effect_underscore_binding, reason = "nothing calls them")]
fn main() {
    let _handler = handler;
    let _private = |_: TypedSession<Private_>, _: TypedSession<odd_case>| {};
}
