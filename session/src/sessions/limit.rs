//! Limits how many sessions a user has.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::try_join_all};
use serde_json::value::RawValue;

use super::{
    index_key::IndexKey,
    report::Report,
    sessions::{PAGE_SIZE, Sessions},
    stored::OverLimit,
};
use crate::{
    error::SessionError,
    id::StoreKey,
    observe::DestroyedBy,
    record::{PublicId, Record},
    request::{HeldSession, SessionHandle, Status},
    typed::Session,
};

impl<T: Session> Sessions<T> {
    /// Enforces that there are at most `limit` sessions with this value. Returns how many sessions
    /// were destroyed.
    ///
    /// Call it at login, and once more after the login is stored with
    /// [`save`](SessionHandle::save):
    ///
    /// - If the request's own session does not have the value yet, the call makes room for it, or
    ///   refuses the login. The session itself is not changed.
    /// - If it has the value, it is one of those that are counted. It is never destroyed, except if
    ///   it is refused.
    ///
    /// A limit of 0 counts as 1.
    ///
    /// # Simultaneous logins
    /// The second call is for logins at the same moment, which do not see each other before they
    /// are stored. With it, as many of them remain as are allowed, neither more nor fewer:
    ///
    /// - The calls for one value run [one at a time](crate::store::FindByIndex::exclusively), on
    ///   all servers that use the store.
    /// - Each call leaves at most `limit` sessions. It destroys only as many as are too many.
    /// - A session whose own call comes too late, because another login has destroyed it, destroys
    ///   nothing. Its call returns `Ok(0)`, and its client is a new visitor from the next request
    ///   on.
    ///
    /// Every login is stored before its second call. So the last call sees all of them. No clock
    /// decides how many remain; the order in which sessions began decides only which ones go.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{OverLimit, Session, SessionError, Sessions, TypedSession};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(privilege, index)] user_id: Option<i64> }
    /// async fn log_in(
    ///     session: &mut TypedSession<Visitor>,
    ///     sessions: &Sessions<Visitor>,
    ///     user_id: i64,
    /// ) -> Result<(), SessionError> {
    ///     let of_user = Visitor::by_user_id(&Some(user_id));
    ///     let over = OverLimit::DestroyOldest;
    ///     sessions.enforce_limit(&of_user, 3, over, session.handle()).await?;
    ///     session.set_user_id(Some(user_id));
    ///     session.save().await?;
    ///     sessions.enforce_limit(&of_user, 3, over, session.handle()).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SessionError::TooManySessions`] if there are too many and `over` is [`OverLimit::Refuse`].
    /// If the request's own session was stored with the value, it is destroyed. Otherwise the same
    /// as those of [`destroy`](Self::destroy).
    pub async fn enforce_limit(
        &self,
        by: &IndexKey<T>,
        limit: usize,
        over: OverLimit,
        current: &SessionHandle,
    ) -> Result<u64, SessionError> {
        // No index contains the default value. What a session that has ended writes is not stored.
        let Some(value) = by.value()? else { return Ok(0) };
        if current.status() == Status::Gone {
            return Ok(0);
        }
        let own = OwnSession::of(current, by, value);
        let report = Report::new(self.reporter_of(current), DestroyedBy::Limit);
        let limit = Limit { most: limit.max(1), over, report };
        let (sessions, by) = (self.clone(), by.clone());
        let action = async move { sessions.limit(&by, limit, &own).await };
        let enforced =
            Arc::clone(&self.store).exclusively(value.to_owned(), action.boxed()).await?;
        if matches!(enforced, Err(SessionError::TooManySessions { .. })) && own.has_value {
            // It is destroyed already. The client's cookie goes too, and later changes with it.
            current.clone().destroy();
        }
        enforced
    }

    /// Enforces the limit while no other call does.
    async fn limit(
        &self,
        by: &IndexKey<T>,
        limit: Limit,
        own: &OwnSession,
    ) -> Result<u64, SessionError> {
        let Limit { most, over, report } = limit;
        let (mine, others) = self.all_of(by, own).await?;
        if mine.is_none() && own.has_value {
            return Ok(0);
        }
        let excess = (others.len() + 1).saturating_sub(most);
        if excess > 0 && over == OverLimit::Refuse {
            if let Some(mine) = mine.filter(|_| own.has_value) {
                self.destroy_one(by, mine, report).await?;
            }
            return Err(SessionError::TooManySessions { limit: most });
        }
        let mut destroyed = 0;
        for ids in others[..excess].chunks(PAGE_SIZE) {
            let calls = ids.iter().map(|id| self.destroy_one(by, *id, report.clone()));
            let were_there = try_join_all(calls).await?;
            destroyed += were_there.into_iter().map(u64::from).sum::<u64>();
        }
        Ok(destroyed)
    }

    /// The public ids of the request's own session, and of all others in the order in which they
    /// began.
    async fn all_of(
        &self,
        by: &IndexKey<T>,
        own: &OwnSession,
    ) -> Result<(Option<PublicId>, Vec<PublicId>), SessionError> {
        let (mut mine, mut others) = (None, Vec::new());
        let mut after = None;
        loop {
            let found = self.find(by, after, PAGE_SIZE).await?;
            for (key, record) in &found.sessions {
                let id = record.public_id();
                if own.is(key, record) { mine = id } else { others.extend(id) }
            }
            after = found.next;
            if after.is_none() {
                return Ok((mine, others));
            }
        }
    }
}

/// How many sessions there may be, and what happens to more.
struct Limit {
    most: usize,
    over: OverLimit,
    report: Report,
}

/// The session of the request that enforces a limit.
#[derive(Clone, Copy, Default)]
struct OwnSession {
    held: Option<HeldSession>,
    /// Whether it is stored with the value, as far as the request can know.
    has_value: bool,
}

impl OwnSession {
    fn of<T>(current: &SessionHandle, by: &IndexKey<T>, value: &RawValue) -> Self {
        let goes_on = matches!(current.status(), Status::Loaded | Status::Renewed);
        let state = current.fields().state.borrow();
        let Some((_, record)) = state.loaded.held() else { return Self::default() };
        let is_listed = by.names().any(|name| record.is_found_by(name, value));
        Self {
            held: HeldSession::of(&state),
            has_value: goes_on && is_listed && by.is_value_of(record),
        }
    }

    fn is(&self, key: &StoreKey, record: &Record) -> bool {
        self.held.is_some_and(|held| held.is(key, record))
    }
}
