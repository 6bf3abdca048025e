//! Builds pages of sessions from the entries of an index and the stored sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::capabilities::IndexPage;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{PublicId, Record},
};

/// A store's index entry for a session.
pub(crate) type IndexEntry = (PublicId, StoreKey);

/// Returns a page of sessions. `entries` returns up to a number of index entries after an id, in
/// their order. `load` returns the session of an entry, if the session is live and has the value.
pub(crate) fn page(
    after: Option<PublicId>,
    limit: usize,
    entries: impl Fn(Option<PublicId>, usize) -> Result<Vec<IndexEntry>, StoreError>,
    load: impl Fn(&IndexEntry) -> Result<Option<Record>, StoreError>,
) -> Result<IndexPage, StoreError> {
    let mut page = PageBuilder::new(after, limit);
    while let Some((after, wanted)) = page.wanted() {
        let listed = entries(after, wanted)?;
        let mut batch = EntryBatch::new(&listed);
        while let Some(next) = batch.next() {
            for entry in next {
                batch.add(entry, load(&entry)?);
            }
            if batch.has_missing() {
                batch.retry(&entries(after, batch.retry_limit())?);
            }
        }
        page.add(batch, &listed, wanted);
    }
    Ok(page.found)
}

/// How many new entries are expected at most between the entries of a batch when it is read again.
const MAX_NEW_ENTRIES: usize = 64;
/// How often an entry without a session is tried at most.
const MAX_TRIES: u8 = 2;

/// A batch of index entries and the sessions that were found for them.
///
/// If an entry has no session, its id may have been renewed just now, and the session is under
/// another key. So the index is read once more for such entries.
///
/// Each entry is tried up to twice. The index may have the entry of the new key before the session
/// is stored there, and the session may have left the old key when that is looked at. Then both are
/// in vain, but by now the new key has the session.
pub(crate) struct EntryBatch {
    listed: usize,
    /// How often each entry was tried.
    tried: BTreeMap<IndexEntry, u8>,
    next: Vec<IndexEntry>,
    missing: BTreeSet<PublicId>,
    found: BTreeMap<PublicId, (StoreKey, Record)>,
}

impl EntryBatch {
    pub(crate) fn new(listed: &[IndexEntry]) -> Self {
        Self {
            listed: listed.len(),
            tried: BTreeMap::new(),
            next: listed.to_vec(),
            missing: BTreeSet::new(),
            found: BTreeMap::new(),
        }
    }

    /// Returns the entries whose sessions must be loaded next. `None`: the batch is complete.
    pub(crate) fn next(&mut self) -> Option<Vec<IndexEntry>> {
        let next = mem::take(&mut self.next);
        for entry in &next {
            *self.tried.entry(*entry).or_default() += 1;
        }
        (!next.is_empty()).then_some(next)
    }

    /// Adds the session of an entry. `None`: the entry has no session.
    pub(crate) fn add(&mut self, (id, key): IndexEntry, record: Option<Record>) {
        match record {
            Some(record) => drop(self.found.entry(id).or_insert((key, record))),
            None => drop(self.missing.insert(id)),
        }
    }

    /// Whether an entry has no session, so that the index must be read again.
    pub(crate) fn has_missing(&self) -> bool {
        self.missing.iter().any(|id| !self.found.contains_key(id))
    }

    /// Returns how many entries to read then.
    pub(crate) fn retry_limit(&self) -> usize {
        self.listed + MAX_NEW_ENTRIES
    }

    /// Tries the missing sessions once more, with the entries that the index has now.
    pub(crate) fn retry(&mut self, entries: &[IndexEntry]) {
        let is_next = |entry: &&IndexEntry| {
            self.missing.contains(&entry.0)
                && !self.found.contains_key(&entry.0)
                && self.tried.get(entry).is_none_or(|times| *times < MAX_TRIES)
        };
        self.next = entries.iter().filter(is_next).copied().collect();
        self.missing.clear();
    }
}

/// Builds a page from batches of entries.
pub(crate) struct PageBuilder {
    pub(crate) found: IndexPage,
    limit: usize,
    after: Option<PublicId>,
    is_over: bool,
}

impl PageBuilder {
    pub(crate) fn new(after: Option<PublicId>, limit: usize) -> Self {
        Self { found: IndexPage::default(), limit: limit.max(1), after, is_over: false }
    }

    /// Returns after which entry the next batch begins, and how many entries to read. `None`: the
    /// page is full, or the index has no more entries.
    pub(crate) fn wanted(&self) -> Option<(Option<PublicId>, usize)> {
        let missing = self.limit.saturating_sub(self.found.sessions.len()).min(MAX_BATCH);
        (!self.is_over && missing > 0).then_some((self.after, missing))
    }

    /// Adds the sessions of a batch to the page. `listed` are its entries, of which `wanted` were
    /// asked for.
    pub(crate) fn add(&mut self, batch: EntryBatch, listed: &[IndexEntry], wanted: usize) {
        self.found.sessions.extend(batch.found.into_values());
        self.is_over = listed.len() < wanted;
        self.after = listed.last().map(|entry| entry.0).or(self.after);
        self.found.next = self.after.filter(|_| !self.is_over);
    }
}

/// The most entries of a batch, however large the page is.
const MAX_BATCH: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::time::Timestamp;

    fn id() -> PublicId {
        PublicId::from_bytes([1; 14])
    }

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 32])
    }

    fn session() -> Record {
        Record::new(Timestamp::default(), Timestamp::END_OF_9999)
    }

    #[test]
    fn a_session_is_found_that_moves_while_both_of_its_keys_are_looked_at() {
        for [old, new] in [[1, 2], [2, 1]] {
            let is_moved = Cell::new(false);
            let listed = |_, _| Ok(vec![(id(), key(old.min(new))), (id(), key(old.max(new)))]);
            let looked_at = RefCell::new(BTreeSet::new());
            // The new key is looked at before the session is there, the old one after that.
            let load = |entry: &IndexEntry| {
                let is_new = entry.1 == key(new);
                let has_session = is_new && is_moved.get();
                if looked_at.borrow_mut().insert(entry.1) && looked_at.borrow().len() == 2 {
                    is_moved.set(true);
                }
                Ok(has_session.then(session))
            };
            let page = page(None, 10, listed, load).expect("no call fails");
            assert_eq!(page.sessions.len(), 1, "from {old} to {new}");
            assert_eq!(page.sessions[0].0, key(new));
        }
    }

    #[test]
    fn an_entry_that_leads_nowhere_is_tried_twice() {
        let tries = Cell::new(0);
        let load = |_: &IndexEntry| {
            tries.set(tries.get() + 1);
            Ok(None)
        };
        let page = page(None, 10, |_, _| Ok(vec![(id(), key(1))]), load).expect("no call fails");
        assert!(page.sessions.is_empty() && page.next.is_none());
        assert_eq!(tries.get(), 2);
    }
}
