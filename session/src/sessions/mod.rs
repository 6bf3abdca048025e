//! Sessions from outside a request: finding, destroying, changing and exporting them.

mod all;
mod destroy_where;
mod export;
mod index_key;
mod limit;
mod reader;
mod report;
mod search;
mod sessions;
mod stored;

pub use {
    all::{AllSessions, DestroyedWhere, ListedSession},
    export::ExportedSession,
    index_key::{IndexKey, by},
    sessions::Sessions,
    stored::{OverLimit, SessionPage, StoredSession},
};
