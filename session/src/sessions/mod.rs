//! Sessions from outside a request.

mod index_key;
mod sessions;
mod stored;

pub use {
    index_key::{By, by},
    sessions::Sessions,
    stored::{OverLimit, Page, StoredSession},
};
