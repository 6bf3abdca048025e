//! Sessions from outside: those of a user, listed, ended and changed, in handlers, jobs and tools.

use std::{cell::RefCell, fmt, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::try_join_all;

use super::{
    index_key::IndexKey,
    stored::{OverLimit, SessionPage, StoredSession, public_id},
};
use crate::{
    config::DEFAULT_LIFETIMES,
    error::{SessionError, StoreError},
    id::StoreKey,
    record::{PublicId, Record},
    request::{Changes, Fields, Loaded, Merger, SessionHandle, State, broken_law},
    store::{ErasedIndex, FindByIndex, IndexPage, MergeLocks, UpdateOutcome},
    time::{Clock, Lifetimes, SystemClock},
    typed::{Session, modify, read},
};

/// The stored sessions of the struct `T`: those of a user can be listed, ended and changed.
///
/// Made from a store that [can find sessions](FindByIndex); it needs no middleware and no request. Clones are
/// cheap and share the store.
///
/// A session that is ended here is unknown from the next request on; a request that holds it right now keeps its
/// response, loses its changes, and sets no cookie. OWASP ASVS 5.0, 7.4.3 and 7.5.2 ask for what
/// [`destroy_others`](Self::destroy_others) and a page made of [`list`](Self::list) and [`destroy`](Self::destroy) do.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, Session, SessionError, SessionMiddleware, Sessions, TypedSession};
/// use actix_web::{App, Responder, web};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(privilege, index)]
///     user_id: Option<i64>,
/// }
///
/// async fn log_out_everywhere_else(
///     session: TypedSession<Visitor>,
///     sessions: web::Data<Sessions<Visitor>>,
/// ) -> Result<impl Responder, SessionError> {
///     let mine = Visitor::by_user_id(&session.user_id);
///     let ended = sessions.destroy_others(&mine, session.handle()).await?;
///     Ok(format!("{ended} other sessions have ended"))
/// }
///
/// let store = MemoryStore::new();
/// let sessions = web::Data::new(Sessions::<Visitor>::new(store.clone()));
/// let app = App::new()
///     .app_data(sessions)
///     .wrap(SessionMiddleware::new(store))
///     .route("/", web::post().to(log_out_everywhere_else));
/// ```
pub struct Sessions<T> {
    store: Arc<dyn ErasedIndex>,
    lifetimes: Lifetimes,
    clock: Arc<dyn Clock>,
    merge_locks: Arc<MergeLocks>,
    session: PhantomData<fn() -> T>,
}

/// How many sessions are asked for at a time.
const AT_ONCE: usize = 100;
/// How often one more look is taken at sessions that are renewed as fast as they are ended.
const LOOKS: usize = 100;

impl<T: Session> Sessions<T> {
    /// The sessions in this store.
    pub fn new(store: impl FindByIndex) -> Self {
        Self {
            store: Arc::new(store),
            lifetimes: DEFAULT_LIFETIMES,
            clock: Arc::new(SystemClock),
            merge_locks: Arc::default(),
            session: PhantomData,
        }
    }

    /// The middleware's [`max_age`](crate::SessionMiddlewareBuilder::max_age), from which follows when a session
    /// was [last seen](StoredSession::last_seen). The default is the same, 20 hours (72 000 000 ms).
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { lifetimes: Lifetimes { idle: max_age, ..self.lifetimes }, ..self }
    }

    /// Sets the clock by which the values of fields with a `ttl` end. Defaults to the operating
    /// system's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Up to `limit` sessions with this value, in the order in which they began, and those after `after` if
    /// that is given. A limit of zero counts as one.
    ///
    /// A session that lives from the first page to the last is on one of them, and on no second, whatever happens
    /// to it meanwhile. The default value of the field is in no index, so the page is empty.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{MemoryStore, Session, SessionError, Sessions};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64>, name: String }
    /// async fn names(sessions: &Sessions<Visitor>) -> Result<Vec<String>, SessionError> {
    ///     let of_user_7 = Visitor::by_user_id(&Some(7));
    ///     let mut names = Vec::new();
    ///     let mut after = None;
    ///     loop {
    ///         let page = sessions.list(&of_user_7, after, 50).await?;
    ///         names.extend(page.sessions.iter().map(|session| session.name.clone()));
    ///         after = page.next;
    ///         if after.is_none() {
    ///             return Ok(names);
    ///         }
    ///     }
    /// }
    /// # let sessions = Sessions::new(MemoryStore::new());
    /// # let names = tokio::runtime::Builder::new_current_thread().build()?.block_on(names(&sessions))?;
    /// # assert!(names.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SessionError::Store`] if the store fails. [`SessionError::Encode`] if the value cannot be stored.
    /// [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
    pub async fn list(
        &self,
        by: &IndexKey<T>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<SessionPage<T>, SessionError> {
        let found = self.find(by, after, limit).await?;
        let sessions = found.sessions.into_iter().map(|(key, record)| self.open(key, record));
        Ok(SessionPage { sessions: sessions.collect::<Result<_, _>>()?, next: found.next })
    }

    /// The session with this value and this public id; `None` if it has ended, or has another value.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn get(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
    ) -> Result<Option<StoredSession<T>>, SessionError> {
        let found = self.seek(by, id).await?;
        found.map(|(key, record)| self.open(key, record)).transpose()
    }

    /// Ends the session with this value and this public id. Reports whether it was there.
    ///
    /// That the value is asked for too keeps a visitor who sends the public id of somebody else's session from
    /// ending it: take the value from the visitor's own session, and the id from the form.
    ///
    /// # Errors
    /// [`SessionError::Store`] if the store fails; the session may still be there. [`SessionError::Encode`] if the
    /// value cannot be stored.
    pub async fn destroy(&self, by: &IndexKey<T>, id: PublicId) -> Result<bool, SessionError> {
        let mut ended = false;
        for _ in 0..LOOKS {
            // Once more after it was ended: it may have been renewed just before.
            let Some((key, _)) = self.seek(by, id).await? else { return Ok(ended) };
            ended |= Arc::clone(&self.store).destroy(key).await?;
        }
        Err(restless())
    }

    /// Ends all sessions with this value: after a change of the password, or when a user is locked out.
    /// Returns how many there were.
    ///
    /// A login that is under way at the same moment may come after it; lock the user out first.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); some may have ended.
    pub async fn destroy_all(&self, by: &IndexKey<T>) -> Result<u64, SessionError> {
        self.destroy_if(by, |_, _| true).await
    }

    /// Ends all sessions with this value but the request's own: "log out everywhere else". Returns how many
    /// there were.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); some may have ended.
    pub async fn destroy_others(
        &self,
        by: &IndexKey<T>,
        current: &SessionHandle,
    ) -> Result<u64, SessionError> {
        self.destroy_if(by, |key, record| !current.active().is(key, record)).await
    }

    /// Makes room for one session more, so that a user has at most so many; call it at login, before the field is
    /// written. The request's own session does not count, and is never ended. A limit of zero counts as one.
    /// Returns how many were ended.
    ///
    /// Logins at the very same moment do not see each other. Where that matters, store the login with
    /// [`save`](SessionHandle::save) and call this again afterwards.
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
    ///     let of_the_user = Visitor::by_user_id(&Some(user_id));
    ///     sessions.enforce_limit(&of_the_user, 3, OverLimit::DestroyOldest, session.handle()).await?;
    ///     session.set_user_id(Some(user_id));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SessionError::TooManySessions`] if there is no room and [`OverLimit::Refuse`] is given; else as
    /// [`destroy`](Self::destroy).
    pub async fn enforce_limit(
        &self,
        by: &IndexKey<T>,
        limit: usize,
        over: OverLimit,
        current: &SessionHandle,
    ) -> Result<u64, SessionError> {
        let mut others = Vec::new();
        let mut after = None;
        loop {
            let found = self.find(by, after, AT_ONCE).await?;
            let sessions = found.sessions.iter();
            let sessions = sessions.filter(|(key, record)| !current.active().is(key, record));
            others.extend(sessions.filter_map(|(_, record)| public_id(record)));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        let limit = limit.max(1);
        let excess = (others.len() + 1).saturating_sub(limit);
        if excess > 0 && over == OverLimit::Refuse {
            return Err(SessionError::TooManySessions { limit });
        }
        let mut ended = 0;
        for id in &others[..excess] {
            ended += u64::from(self.destroy(by, *id).await?);
        }
        Ok(ended)
    }

    /// Changes the session with this value and this public id, as [`modify`](crate::TypedSession#methods) does in a
    /// request: what has really changed is found by comparison, concurrent changes of other fields stay, and those
    /// of the same field meet by its merge rule. Returns what `change` has returned; `None` if the session
    /// has ended.
    ///
    /// The client is not there to be told a new id, so a change of a `privilege` field does not renew it.
    /// Requests that hold the session right now go on with what they have read.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if somebody else has changed a `merge = "reject"` field just now;
    /// [`SessionError::Encode`] if a value cannot be stored; else as [`list`](Self::list). Nothing was
    /// stored.
    pub async fn update<R>(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<Option<R>, SessionError> {
        let Some((mut key, base)) = self.seek(by, id).await? else { return Ok(None) };
        let (changes, result) = self.edit(key, &base, change)?;
        let mut patch = changes.patch;
        if patch.is_empty() {
            return Ok(Some(result));
        }
        let mut merged = changes.merged;
        merged.retain(|field| patch.names(field.schema().stored));
        if !merged.is_empty() {
            patch.expect_version(base.version());
        }
        for _ in 0..LOOKS {
            let call = |patch| Arc::clone(&self.store).update(key, patch);
            let updated = if merged.is_empty() {
                call(patch.clone()).await?
            } else {
                let merger = Merger {
                    base: base.clone(),
                    fields: merged.clone(),
                    locks: Arc::clone(&self.merge_locks),
                };
                merger.write(&key, &patch, call).await?
            };
            match updated {
                UpdateOutcome::Applied { .. } => return Ok(Some(result)),
                // It has ended, or its id was renewed.
                UpdateOutcome::Gone => match self.seek(by, id).await? {
                    Some((new, _)) if new != key => key = new,
                    _ => return Ok(None),
                },
                UpdateOutcome::Conflict(_) | UpdateOutcome::Taken => {
                    return Err(broken_law("update").into());
                }
            }
        }
        Err(restless())
    }

    /// What a change of a stored session comes to. It is read and written as in a request.
    fn edit<R>(
        &self,
        key: StoreKey,
        record: &Record,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<(Changes, R), SessionError> {
        let state = self.state(key, record.clone());
        let mut value: T = read(self.fields(&state))?;
        let result = modify(&mut value, self.fields(&state), change);
        let changes = state.into_inner().changes;
        match changes.encode_error() {
            Some(error) => Err(error),
            None => Ok((changes, result)),
        }
    }

    fn state(&self, key: StoreKey, record: Record) -> RefCell<State> {
        RefCell::new(State { loaded: Loaded::new(key, record), ..State::default() })
    }

    fn fields<'a>(&'a self, state: &'a RefCell<State>) -> Fields<'a> {
        Fields { state, clock: &*self.clock, lifetimes: &self.lifetimes }
    }

    async fn find(
        &self,
        by: &IndexKey<T>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, SessionError> {
        let Some(value) = by.value()? else { return Ok(IndexPage::default()) };
        let value = value.to_owned();
        Ok(Arc::clone(&self.store).find(by.name(), value, after, limit).await?)
    }

    async fn seek(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
    ) -> Result<Option<(StoreKey, Record)>, SessionError> {
        let mut found = self.find(by, id.predecessor(), 1).await?;
        Ok(found.sessions.pop().filter(|(_, record)| public_id(record) == Some(id)))
    }

    /// Ends the sessions with a value that are to be ended. Goes over all of them again until there is none left:
    /// some may have been renewed meanwhile.
    async fn destroy_if(
        &self,
        by: &IndexKey<T>,
        is_over: impl Fn(&StoreKey, &Record) -> bool,
    ) -> Result<u64, SessionError> {
        let mut ended = 0;
        for _ in 0..LOOKS {
            let mut after = None;
            let mut is_quiet = true;
            loop {
                let found = self.find(by, after, AT_ONCE).await?;
                let sessions = found.sessions.iter().filter(|(key, record)| is_over(key, record));
                let calls = sessions.map(|(key, _)| Arc::clone(&self.store).destroy(*key));
                let answers = try_join_all(calls).await?;
                is_quiet &= answers.is_empty();
                ended += answers.into_iter().map(u64::from).sum::<u64>();
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
            if is_quiet {
                return Ok(ended);
            }
        }
        Err(restless())
    }

    fn open(&self, key: StoreKey, record: Record) -> Result<StoredSession<T>, SessionError> {
        let value = read(self.fields(&self.state(key, record.clone())))?;
        Ok(StoredSession { key, record, value, max_age: self.lifetimes.idle })
    }
}

fn restless() -> SessionError {
    StoreError::unavailable("the sessions were renewed again and again while they were asked for")
        .into()
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            lifetimes: self.lifetimes,
            clock: Arc::clone(&self.clock),
            merge_locks: Arc::clone(&self.merge_locks),
            session: PhantomData,
        }
    }
}

impl<T: Session> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sessions").field(&T::SCHEMA.type_name).finish()
    }
}
