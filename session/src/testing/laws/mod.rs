//! The laws, one function each. A function panics if the store breaks its law.
//!
//! They are public because the tests that [`store_conformance!`](crate::store_conformance)
//! generates call them from other crates. The list in `table.rs` names them all.

mod add;
mod checks;
mod concurrent;
mod create;
mod damage;
mod delete_expired;
mod destroy;
mod gone;
mod index;
mod index_pages;
mod index_search;
mod interleavings;
mod list_all;
mod load;
mod model;
mod random;
mod records;
mod reopen;
mod rotate;
mod sequences;
mod touch;
mod update;

__store_laws! { __export_store_laws () SessionStore }
__store_laws! { __export_store_laws () DeleteExpired }
__store_laws! { __export_store_laws () FindByIndex }
__store_laws! { __export_store_laws () ListAll }
__store_laws! { __export_store_laws () Reopen }
__store_laws! { __export_store_laws () Damage }
