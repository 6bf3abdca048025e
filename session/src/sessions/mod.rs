//! Sessions from outside a request: finding, destroying and changing them.

mod index_key;
mod limit;
mod report;
mod search;
mod sessions;
mod stored;

pub use {
    index_key::{IndexKey, by},
    sessions::Sessions,
    stored::{OverLimit, SessionPage, StoredSession},
};
