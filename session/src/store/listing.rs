//! The capability to list all sessions, page by page.

use std::{fmt, future::Future};

use super::session_store::SessionStore;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Record, RecordError},
};

/// Lists all sessions, such as to copy them to another store.
///
/// # Laws
/// These are in addition to those of [`SessionStore`]:
///
/// 1. A session that is stored from the beginning of the first page to the end of the last is
///    listed. It may be listed more than once.
/// 2. A record is listed as [`load`](SessionStore::load) returns it. That includes
///    [retired](Record::is_retired) records. A destroyed or expired one is not listed.
/// 3. A record that cannot be read is reported, and hides no other.
///
/// A session whose id is renewed meanwhile may be listed under its old key only. The retired record
/// leads to its [successor](Record::successor), unless the old id reads nothing.
#[diagnostic::on_unimplemented(
    message = "the store `{Self}` cannot list its sessions",
    label = "this store does not implement `ListAll`",
    note = "implement `actix_typed_session::store::ListAll` for `{Self}`"
)]
pub trait ListAll: SessionStore {
    /// Returns the next page of about `limit` records. A page may have fewer or none, and is the
    /// last one only if it says so. A limit of 0 counts as 1.
    ///
    /// `after` is [`ListPage::next`] of the page before. `None`: the first page.
    ///
    /// # Errors
    /// The store failed, or what it has listed so far is no longer of use: begin with the first
    /// page.
    fn list(
        &self,
        after: Option<&ListCursor>,
        limit: usize,
    ) -> impl Future<Output = Result<ListPage, StoreError>> + Send;
}

/// A page of all records of a store.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ListPage {
    /// The records with their keys.
    pub sessions: Vec<(StoreKey, Record)>,
    /// The keys of records that cannot be read, and why:
    /// [`Damaged`](StoreError::Damaged), or [`Unavailable`](StoreError::Unavailable) if a later
    /// release has written it.
    pub unreadable: Vec<(StoreKey, StoreError)>,
    /// The value of `after` for the next page. `None`: this is the last page.
    pub next: Option<ListCursor>,
}

impl ListPage {
    /// Creates an empty page, which is the last one if `next` is `None`.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::store::ListPage;
    ///
    /// let page = ListPage::new(None);
    /// assert!(page.sessions.is_empty());
    /// ```
    pub fn new(next: Option<ListCursor>) -> Self {
        Self { next, ..Self::default() }
    }

    /// Adds what a read of a record has returned. `None`: it has gone.
    ///
    /// # Errors
    /// The error is one of the store, and not of this record.
    pub fn add(
        &mut self,
        key: StoreKey,
        read: Result<Option<Record>, StoreError>,
    ) -> Result<(), StoreError> {
        match read {
            Ok(record) => self.sessions.extend(record.map(|record| (key, record))),
            Err(error) if is_of_one_record(&error) => self.unreadable.push((key, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether other records can be read.
fn is_of_one_record(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged(_) => true,
        StoreError::Unavailable(cause) => cause.is::<RecordError>(),
        _ => false,
    }
}

/// Where a page of [`ListAll`] ended. Only the store that made it can read it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ListCursor(Box<[u8]>);

impl ListCursor {
    /// Creates a cursor from what the store needs to go on.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::store::ListCursor;
    ///
    /// let cursor = ListCursor::new(*b"page 2");
    /// assert_eq!(cursor.as_bytes(), b"page 2");
    /// ```
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes that the cursor was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the key that the cursor was made of.
    ///
    /// # Errors
    /// It was not made of a key.
    pub fn as_key(&self) -> Result<StoreKey, StoreError> {
        let bytes = self.0.as_ref().try_into();
        bytes.map(StoreKey::from_bytes).map_err(|_| other_store())
    }
}

/// The error for a cursor that this store has not made.
pub(crate) fn other_store() -> StoreError {
    StoreError::internal("the cursor is that of another store")
}

impl From<StoreKey> for ListCursor {
    fn from(key: StoreKey) -> Self {
        Self::new(*key.as_bytes())
    }
}

impl fmt::Debug for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may have a key.
        f.debug_struct("ListCursor").finish_non_exhaustive()
    }
}

/// The first keys after a key, in order.
pub(crate) fn first_keys(
    keys: impl Iterator<Item = StoreKey>,
    after: Option<StoreKey>,
    limit: usize,
) -> Vec<StoreKey> {
    let mut keys: Vec<StoreKey> =
        keys.filter(|key| after.is_none_or(|after| *key > after)).collect();
    if limit < keys.len() {
        keys.select_nth_unstable(limit);
        keys.truncate(limit);
    }
    keys.sort_unstable();
    keys
}
