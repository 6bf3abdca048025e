#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused,
    clippy::all
)]
#![deny(clippy::pedantic, clippy::nursery)]
//! A crate with every lint that people deny.

use actix_typed_session::Session;
use serde::{Deserialize, Serialize};

/// A session whose accessors are not called.
#[derive(Session, Debug)]
#[session(namespace = "shop", fields = "Accessors", cookie = "admin", strict)]
pub struct Visitor<T, const N: usize>
where
    T: Default,
{
    /// Documented.
    #[session(merge = "add", default = 10, privilege)]
    pub views: u64,
    #[session(rename = "u", alias = "user_id", alias = "uid", privilege)]
    pub(crate) user: Option<i64>,
    #[session(lenient, accessor = "basket")]
    cart: Vec<Item>,
    #[session(skip)]
    generic: Vec<T>,
    stored: T,
    #[session(skip, default = Some([0; N]))]
    array: Option<[u8; N]>,
    r#type: std::option::Option<String>,
}

/// A field's type.
#[derive(Serialize, Deserialize, Default, Debug)]
pub struct Item {
    /// Documented.
    pub name: String,
}

/// A session without fields.
#[derive(Session, Debug)]
pub struct Empty {}

fn main() {}
