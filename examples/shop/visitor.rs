//! What a session of the shop holds. Two structs share it, so that a handler names what it needs.

use std::collections::BTreeMap;

use actix_typed_session::{ReturnTo, Session};
use serde::{Deserialize, Serialize};

use crate::{catalogue::ProductId, users::UserId};

/// Who is logged in, and on which device.
#[derive(Session, Default)]
#[session(namespace = "account")]
pub struct Account {
    #[session(privilege)] // a change renews the session's id
    #[session(index)] // `Sessions` finds all sessions of a user
    pub user: Option<UserId>,
    pub name: String,
    #[session(privilege)]
    pub is_admin: bool,
    /// The password was given a moment ago.
    #[session(privilege, ttl = "5m")]
    pub is_sure: bool,
    /// The browser and its system.
    pub device: String,
    /// A login that has begun at the other site. Only one request can end it.
    #[session(ttl = "10m", merge = "reject")]
    pub sign_in: Option<SignIn>,
    #[session(flash)] // each is shown once
    pub notices: Vec<Notice>,
}

/// What the other site must send back, and the page to show then.
#[derive(Serialize, Deserialize)]
pub struct SignIn {
    pub state: String,
    pub nonce: String,
    pub next: ReturnTo,
}

/// A message for the next page.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub enum Notice {
    Good(String),
    Bad(String),
}

/// `TypedSession<Account>` is this type. These methods make handlers short.
impl AccountSession {
    pub fn inform(&mut self, text: impl Into<String>) {
        self.notices_mut().push(Notice::Good(text.into()));
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.notices_mut().push(Notice::Bad(text.into()));
    }
}

/// What the visitor wants to buy. Visitors have a cart before they log in.
#[derive(Session, Default)]
#[session(namespace = "cart")]
pub struct Cart {
    #[session(merge_with = both)]
    pub items: BTreeMap<ProductId, u32>,
    /// Counts the orders. Two that are sent at once would pay for one cart: the second gets a 409.
    #[session(merge = "reject")]
    pub orders: u32,
}

impl CartSession {
    pub fn put(&mut self, id: ProductId) {
        let mut items = self.items_mut();
        let count = items.entry(id).or_default();
        *count = count.saturating_add(1);
    }
}

/// Two tabs have changed the cart at once. What each of them has added and taken out counts.
fn both(
    base: &BTreeMap<ProductId, u32>,
    theirs: BTreeMap<ProductId, u32>,
    ours: BTreeMap<ProductId, u32>,
) -> BTreeMap<ProductId, u32> {
    let count = |items: &BTreeMap<_, _>, id| items.get(&id).copied().unwrap_or(0);
    let ids = theirs.keys().chain(ours.keys()).copied();
    let merged = ids.map(|id| {
        let sum = count(&theirs, id).saturating_add(count(&ours, id));
        (id, sum.saturating_sub(count(base, id)))
    });
    merged.filter(|(_, count)| *count > 0).collect()
}
