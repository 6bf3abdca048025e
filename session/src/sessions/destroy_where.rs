//! Destroys the sessions for which a function of the application says so.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::{
    index_key::IndexKey,
    report::Report,
    sessions::{MAX_ATTEMPTS, PAGE_SIZE, Sessions, too_many_renewals},
    stored::StoredSession,
};
use crate::{
    error::SessionError,
    id::StoreKey,
    observe::DestroyedBy,
    record::{Patch, Record},
    request::broken_law,
    store::{ErasedStore, UpdateOutcome},
    typed::Session,
};

impl<T: Session> Sessions<T> {
    /// Destroys the sessions with this value for which `is_unwanted` returns true. Returns how many
    /// there were.
    ///
    /// `is_unwanted` sees each session as it is when it ends: if a request changes the session
    /// before that, it is asked once more about the changed one. A later expiry is not such a
    /// change. So `is_unwanted` may be called more than once with a session. What an open request
    /// has not stored yet is lost, as with [`destroy`](Self::destroy).
    ///
    /// A login that is in progress may finish after this call.
    ///
    /// [`AllSessions::destroy_where`](crate::AllSessions::destroy_where) does this for the sessions
    /// of all users.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{IndexKey, Session, SessionError, Sessions, Timestamp};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64>, device: String }
    /// async fn end_old_tvs(
    ///     sessions: &Sessions<Visitor>,
    ///     of_user: &IndexKey<Visitor>,
    ///     password_changed: Timestamp,
    /// ) -> Result<u64, SessionError> {
    ///     let is_unwanted = |session: &actix_typed_session::StoredSession<Visitor>| {
    ///         session.device == "tv" && session.created_at() < password_changed
    ///     };
    ///     sessions.destroy_where(of_user, is_unwanted).await
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails. Some sessions may be destroyed already.
    /// - [`SessionError::Encode`] if the key's value cannot be stored.
    /// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode. The
    ///   other sessions were decided on all the same.
    pub async fn destroy_where(
        &self,
        by: &IndexKey<T>,
        is_unwanted: impl Fn(&StoredSession<T>) -> bool,
    ) -> Result<u64, SessionError> {
        let decide = |key, record: &Record| {
            Ok(by.is_value_of(record) && is_unwanted(&self.reader.open(key, record.clone())?))
        };
        let store: Arc<dyn ErasedStore> = self.store.clone();
        let report = Report::new(self.reporter.clone(), DestroyedBy::Sessions);
        let mut all = 0;
        for _ in 0..MAX_ATTEMPTS {
            let (mut after, mut ended, mut undecided) = (None, 0, None);
            loop {
                let found = self.find(by, after, PAGE_SIZE).await?;
                let page = destroy_some(&store, found.sessions, &decide, &report).await?;
                ended += page.destroyed;
                undecided = undecided.or(page.undecided.into_iter().next());
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
            all += ended;
            // Look again after the calls: a session may have been renewed just before its own.
            if ended == 0 {
                return undecided.map_or(Ok(all), Err);
            }
        }
        Err(too_many_renewals())
    }
}

/// What became of some sessions.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) destroyed: u64,
    /// Why no decision could be made on others.
    pub(super) undecided: Vec<SessionError>,
}

/// Destroys those of these sessions for which `is_unwanted` returns true.
pub(super) async fn destroy_some(
    store: &Arc<dyn ErasedStore>,
    sessions: Vec<(StoreKey, Record)>,
    is_unwanted: &impl Fn(StoreKey, &Record) -> Result<bool, SessionError>,
    report: &Report,
) -> Result<Decided, SessionError> {
    let mut decided = Decided::default();
    let mut unwanted = Vec::new();
    for (key, record) in sessions {
        match is_unwanted(key, &record) {
            Ok(true) => unwanted.push(destroy_unchanged(store, key, record, is_unwanted, report)),
            Ok(false) => {}
            Err(error) => decided.undecided.push(error),
        }
    }
    let were_destroyed = try_join_all(unwanted).await?;
    decided.destroyed = were_destroyed.into_iter().map(u64::from).sum();
    Ok(decided)
}

/// Destroys a session while it is unwanted. Returns whether it was.
///
/// No store destroys a session only if it has a certain version, but each can change it then. So
/// this first empties the session, which ends it, and then destroys what is left. What a crash
/// leaves between the two is a session without any field.
async fn destroy_unchanged(
    store: &Arc<dyn ErasedStore>,
    key: StoreKey,
    mut record: Record,
    is_unwanted: &impl Fn(StoreKey, &Record) -> Result<bool, SessionError>,
    report: &Report,
) -> Result<bool, SessionError> {
    for _ in 0..MAX_ATTEMPTS {
        let mut empty = Patch::default();
        empty.reset(record.created_at());
        empty.expect_version(record.version());
        match Arc::clone(store).update(key, empty).await? {
            UpdateOutcome::Applied { .. } => {
                Arc::clone(store).destroy(key).await?;
                report.destroyed(&record);
                return Ok(true);
            }
            UpdateOutcome::Gone => return Ok(false),
            UpdateOutcome::Conflict(current) if !is_unwanted(key, &current)? => return Ok(false),
            UpdateOutcome::Conflict(current) => record = current,
            UpdateOutcome::Taken => return Err(broken_law("update").into()),
        }
    }
    Err(too_many_renewals())
}
