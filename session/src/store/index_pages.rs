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

/// A batch of index entries and the sessions that were found for them.
///
/// If an entry has no session, its id may have been renewed just now, and the session is under
/// another key. So the index is read once more for such entries.
pub(crate) struct EntryBatch {
    listed: usize,
    tried: BTreeSet<IndexEntry>,
    next: Vec<IndexEntry>,
    missing: BTreeSet<PublicId>,
    found: BTreeMap<PublicId, (StoreKey, Record)>,
}

impl EntryBatch {
    pub(crate) fn new(listed: &[IndexEntry]) -> Self {
        Self {
            listed: listed.len(),
            tried: BTreeSet::new(),
            next: listed.to_vec(),
            missing: BTreeSet::new(),
            found: BTreeMap::new(),
        }
    }

    /// Returns the entries whose sessions must be loaded next. `None`: the batch is complete.
    pub(crate) fn next(&mut self) -> Option<Vec<IndexEntry>> {
        let next = mem::take(&mut self.next);
        self.tried.extend(&next);
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
                && !self.tried.contains(entry)
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
