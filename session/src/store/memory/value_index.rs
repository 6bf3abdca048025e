//! Which sessions have which value in an indexed field.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::value::RawValue;

use crate::{
    id::StoreKey,
    record::{PublicId, Record},
    store::index_pages::IndexEntry,
};

/// Finds sessions by the value of an indexed field.
///
/// An entry changes while the shard of its session is locked, so the index always agrees with the
/// sessions. A thread that has locked the index waits for no shard.
#[derive(Default)]
pub(super) struct ValueIndex(Mutex<HashMap<String, BTreeSet<IndexEntry>>>);

impl ValueIndex {
    /// Removes the entries of a session and adds those of another, in one step.
    pub(super) fn change(
        &self,
        removed: Option<(&StoreKey, &Record)>,
        added: Option<(&StoreKey, &Record)>,
    ) {
        let [removed, added] = [removed, added].map(|session| {
            session.and_then(|(key, record)| Some(((record.index()?.public_id(), *key), record)))
        });
        if removed.is_none() && added.is_none() {
            return;
        }
        let mut values = self.lock();
        if let Some((entry, record)) = removed {
            for (name, json) in record.indexed_fields() {
                let value = value_key(name, json);
                if let Some(entries) = values.get_mut(&value) {
                    entries.remove(&entry);
                    if entries.is_empty() {
                        values.remove(&value);
                    }
                }
            }
        }
        if let Some((entry, record)) = added {
            for (name, json) in record.indexed_fields() {
                values.entry(value_key(name, json)).or_default().insert(entry);
            }
        }
    }

    /// Returns the first entries of a value after an id, sorted by id.
    pub(super) fn entries(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Vec<IndexEntry> {
        let values = self.lock();
        let Some(entries) = values.get(&value_key(name, value)) else { return Vec::new() };
        let after = match after {
            None => Bound::Unbounded,
            Some(id) => Bound::Excluded((id, StoreKey::from_bytes([u8::MAX; 32]))),
        };
        entries.range((after, Bound::Unbounded)).take(limit).copied().collect()
    }

    /// The number of values with at least one session.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<IndexEntry>>> {
        // OK because no code that runs under the lock panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn value_key(name: &str, json: &RawValue) -> String {
    // OK because the name of an indexed field has no line break.
    format!("{name}\n{}", json.get())
}
