//! Pages of sessions, made of what an index has and of what is stored.

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

/// What a store's index has of a session.
pub(crate) type IndexEntry = (PublicId, StoreKey);

/// A page of sessions, made of what an index has and of what is stored. `entries` gives up to so many entries after
/// an id, in their order; `look` gives the session if it is to be found.
pub(crate) fn page(
    after: Option<PublicId>,
    limit: usize,
    entries: impl Fn(Option<PublicId>, usize) -> Result<Vec<IndexEntry>, StoreError>,
    look: impl Fn(&IndexEntry) -> Result<Option<Record>, StoreError>,
) -> Result<IndexPage, StoreError> {
    let mut page = Pages::new(after, limit);
    while let Some((after, wanted)) = page.wanted() {
        let listed = entries(after, wanted)?;
        let mut part = Part::new(&listed);
        while let Some(next) = part.next() {
            for entry in next {
                part.saw(entry, look(&entry)?);
            }
            if part.lacks_some() {
                part.look_again(&entries(after, part.entries_again())?);
            }
        }
        page.add(part, &listed, wanted);
    }
    Ok(page.found)
}

/// How many entries may have come between those of a part meanwhile.
const NEWS: usize = 64;

/// A part of a page. An entry whose session is not there leads to a second look at the index, because the
/// session's id may have been renewed a moment ago, and then it is there under another key.
pub(crate) struct Part {
    listed: usize,
    tried: BTreeSet<IndexEntry>,
    next: Vec<IndexEntry>,
    lacking: BTreeSet<PublicId>,
    seen: BTreeMap<PublicId, (StoreKey, Record)>,
}

impl Part {
    pub(crate) fn new(listed: &[IndexEntry]) -> Self {
        Self {
            listed: listed.len(),
            tried: BTreeSet::new(),
            next: listed.to_vec(),
            lacking: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The entries whose sessions are to be looked at next; `None` if the part is complete.
    pub(crate) fn next(&mut self) -> Option<Vec<IndexEntry>> {
        let next = mem::take(&mut self.next);
        self.tried.extend(&next);
        (!next.is_empty()).then_some(next)
    }

    /// Takes the session of an entry, if it is there.
    pub(crate) fn saw(&mut self, (id, key): IndexEntry, record: Option<Record>) {
        match record {
            Some(record) => drop(self.seen.entry(id).or_insert((key, record))),
            None => drop(self.lacking.insert(id)),
        }
    }

    /// Whether the index is to be looked at again.
    pub(crate) fn lacks_some(&self) -> bool {
        self.lacking.iter().any(|id| !self.seen.contains_key(id))
    }

    /// How many entries to ask for then.
    pub(crate) fn entries_again(&self) -> usize {
        self.listed + NEWS
    }

    /// Takes the entries that the index has now.
    pub(crate) fn look_again(&mut self, entries: &[IndexEntry]) {
        let is_next = |entry: &&IndexEntry| {
            self.lacking.contains(&entry.0)
                && !self.seen.contains_key(&entry.0)
                && !self.tried.contains(entry)
        };
        self.next = entries.iter().filter(is_next).copied().collect();
        self.lacking.clear();
    }
}

/// A page that is being filled.
pub(crate) struct Pages {
    pub(crate) found: IndexPage,
    limit: usize,
    after: Option<PublicId>,
    is_over: bool,
}

impl Pages {
    pub(crate) fn new(after: Option<PublicId>, limit: usize) -> Self {
        Self { found: IndexPage::default(), limit: limit.max(1), after, is_over: false }
    }

    /// After which entry to look on, and how many are wanted; `None` if the page is full or there are no more.
    pub(crate) fn wanted(&self) -> Option<(Option<PublicId>, usize)> {
        let missing = self.limit.saturating_sub(self.found.sessions.len()).min(AT_ONCE);
        (!self.is_over && missing > 0).then_some((self.after, missing))
    }

    /// Puts the sessions of a part on the page. It was made of these entries, of which so many were wanted.
    pub(crate) fn add(&mut self, part: Part, listed: &[IndexEntry], wanted: usize) {
        self.found.sessions.extend(part.seen.into_values());
        self.is_over = listed.len() < wanted;
        self.after = listed.last().map(|entry| entry.0).or(self.after);
        self.found.next = self.after.filter(|_| !self.is_over);
    }
}

/// The most entries that are asked for at a time, however large a page is.
const AT_ONCE: usize = 1_000;
