//! Finds sessions by the value of an indexed field.

use serde_json::value::RawValue;
use tracing::warn;

use super::folder::SessionFolder;
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{PublicId, Record},
    store::{
        capabilities::IndexPage,
        index_pages::{IndexEntry, page},
    },
};

impl SessionFolder {
    pub(super) fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let index = self.index();
        let entries = |after, limit| index.entries(name, value, after, limit);
        let look = |(id, key): &IndexEntry| {
            let found = self.load_undamaged(key)?.filter(|record| {
                let public_id = record.public_id();
                public_id == Some(*id) && record.is_found_by(name, value)
            });
            if found.is_none() && !self.read_only {
                index.remove_stale(name, value, (*id, *key));
            }
            Ok(found)
        };
        page(after, limit, entries, look)
    }

    /// Loads a session. A damaged one is logged and is `None`, as it is for its visitor.
    fn load_undamaged(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        match self.load(key) {
            Err(StoreError::Damaged(error)) => {
                warn!(event = "session_not_listed", "a session is not listed: {}", Chain(&*error));
                Ok(None)
            }
            record => record,
        }
    }
}
