//! Copies all sessions of a store to another one.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    listing::ListAll,
    session_store::{CreateOutcome, SessionStore},
};
use crate::error::StoreError;

/// How many records a page has.
const PAGE: usize = 500;
/// How many records are written at the same time.
const AT_ONCE: usize = 32;

/// What [`copy_sessions`] has done, or [`move_all`](crate::store::MovingStore::move_all). Records
/// of renewed ids count too if they are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// How many records were copied.
    pub copied: u64,
    /// How many were left as they are, because the other store has something under their key.
    pub present: u64,
    /// How many could not be read and were left out: damaged ones, and those that a later release
    /// has written. The log of the site says more about them.
    pub unreadable: u64,
}

/// Copies all sessions to another store, such as from files to a database. Clients keep their
/// cookies, and the sessions their ids, expiry and indexed fields.
///
/// Stop the site meanwhile, or let it answer without sessions. A change that is made during the
/// copy may be missing in the other store. If the site must go on, use a
/// [`MovingStore`](crate::store::MovingStore). What is there already is not overwritten, so you
/// can start a copy again that was cut off.
///
/// The values go as they are. For sessions in an `EncryptedStore`, pass that and not the store
/// inside, because a value can only be decrypted with the keys that encrypted it.
///
/// # Errors
/// A store failed. What was copied until then stays.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, store::copy_sessions};
///
/// # async fn copy() -> Result<(), actix_typed_session::StoreError> {
/// let (from, to) = (MemoryStore::new(), MemoryStore::new());
/// let done = copy_sessions(&from, &to).await?;
/// println!("{} copied, {} unreadable", done.copied, done.unreadable);
/// # Ok(())
/// # }
/// ```
pub async fn copy_sessions(
    from: &impl ListAll,
    to: &impl SessionStore,
) -> Result<Copied, StoreError> {
    copy_sessions_with(from, to, |_| {}).await
}

/// As [`copy_sessions`], and calls `progress` with what is done so far, again and again.
///
/// # Errors
/// As [`copy_sessions`].
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, store::copy_sessions_with};
///
/// # async fn copy() -> Result<(), actix_typed_session::StoreError> {
/// let (from, to) = (MemoryStore::new(), MemoryStore::new());
/// copy_sessions_with(&from, &to, |so_far| println!("{} copied", so_far.copied)).await?;
/// # Ok(())
/// # }
/// ```
pub async fn copy_sessions_with(
    from: &impl ListAll,
    to: &impl SessionStore,
    mut progress: impl FnMut(&Copied),
) -> Result<Copied, StoreError> {
    let (mut done, mut next) = (Copied::default(), None);
    loop {
        let page = from.list(next.as_ref(), PAGE).await?;
        done.unreadable += page.unreadable.len() as u64;
        let creates = page.sessions.iter().map(|(key, record)| to.create(key, record));
        let mut created = stream::iter(creates).buffer_unordered(AT_ONCE);
        while let Some(outcome) = created.try_next().await? {
            match outcome {
                CreateOutcome::Stored => done.copied += 1,
                CreateOutcome::Taken => done.present += 1,
            }
        }
        progress(&done);
        next = page.next;
        if next.is_none() {
            return Ok(done);
        }
    }
}
