//! Sessions from outside a request.

mod index_key;
mod sessions;

pub use {
    index_key::{By, by},
    sessions::{OverLimit, Page, Sessions, StoredSession},
};
