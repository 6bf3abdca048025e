//! Finds, destroys and changes sessions from outside a request.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::try_join_all;

use super::{
    index_key::IndexKey,
    reader::SessionReader,
    report::Report,
    stored::{SessionPage, StoredSession},
};
use crate::{
    error::{SessionError, StoreError},
    id::StoreKey,
    observe::{DestroyedBy, Events, Observer, Reporter, SessionStats},
    record::{PublicId, Record},
    request::{Changes, Merger, SessionHandle, broken_law},
    store::{ErasedIndex, FindByIndex, MergeLocks, ObservedStore, UpdateOutcome},
    time::Clock,
    typed::{Session, modify, read},
};

/// Lists, destroys and changes the stored sessions of the struct `T`, such as those of one user.
///
/// Create it from a store that [can find sessions](FindByIndex). It needs neither a middleware nor
/// a request, so it works in handlers, in background jobs and in command-line tools. Clones are
/// cheap and share the store.
///
/// A session that was destroyed is unknown from the next request on. A request that is using it
/// keeps its response, loses its changes, and sets no cookie.
///
/// OWASP ASVS 5.0 requires that users can end all their other sessions (7.4.3), and can see and end
/// each of them (7.5.2). Use [`destroy_others`](Self::destroy_others) for the first, and a page
/// with [`list`](Self::list) and [`destroy`](Self::destroy) for the second.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     MemoryStore, Session, SessionError, SessionMiddleware, Sessions, TypedSession,
/// };
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
///     let destroyed = sessions.destroy_others(&mine, session.handle()).await?;
///     Ok(format!("logged out of {destroyed} other sessions"))
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
    pub(super) store: Arc<dyn ErasedIndex>,
    pub(super) reporter: Option<Reporter>,
    observing: Observing,
    pub(super) reader: SessionReader<T>,
    merge_locks: Arc<MergeLocks>,
}

/// The store without its observers, and these, so that more can be added.
#[derive(Clone)]
struct Observing {
    store: Arc<dyn ErasedIndex>,
    events: Events,
}

/// How many sessions one call of the store returns at most.
pub(super) const PAGE_SIZE: usize = 100;
/// How often an operation starts again because sessions were renewed meanwhile.
pub(super) const MAX_ATTEMPTS: usize = 100;

impl<T: Session> Sessions<T> {
    /// Creates an instance for the sessions in this store.
    pub fn new(store: impl FindByIndex) -> Self {
        let store: Arc<dyn ErasedIndex> = Arc::new(store);
        Self {
            observing: Observing { store: Arc::clone(&store), events: Events::default() },
            store,
            reporter: None,
            reader: SessionReader::default(),
            merge_locks: Arc::default(),
        }
    }

    /// Sets the middleware's [`max_age`](crate::SessionMiddlewareBuilder::max_age), from which
    /// [`last_seen`](StoredSession::last_seen) is computed. Defaults to 20 hours (72 000 000 ms),
    /// as in the middleware.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { reader: self.reader.max_age(max_age), ..self }
    }

    /// Sets the clock that decides when values with a `ttl` end. Defaults to the system's clock.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { reader: self.reader.clock(clock), ..self }
    }

    /// Sets what counts store calls and destroyed sessions. Defaults to none.
    ///
    /// It can be that of the [middleware](crate::SessionMiddlewareBuilder::stats), so that all
    /// calls are counted together.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{MemoryStore, Session, SessionMiddleware, Sessions};
    /// # use actix_typed_session::observe::SessionStats;
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64> }
    /// let (store, stats) = (MemoryStore::new(), SessionStats::new());
    /// let sessions = Sessions::<Visitor>::new(store.clone()).stats(&stats);
    /// let middleware = SessionMiddleware::builder(store).stats(&stats).build()?;
    /// # Ok::<(), actix_typed_session::ConfigError>(())
    /// ```
    pub fn stats(mut self, stats: &SessionStats) -> Self {
        self.observing.events.stats = Some(stats.clone());
        self.observed()
    }

    /// Adds an observer, which gets what happens to sessions through this instance: those that are
    /// destroyed, conflicts, and failures of the store. Defaults to none. Each call adds one.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{MemoryStore, Session, Sessions};
    /// use actix_typed_session::observe::{Event, EventKind, Observer};
    ///
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64> }
    /// struct Audit;
    ///
    /// impl Observer for Audit {
    ///     fn observe(&self, event: &Event<'_>) {
    ///         if let EventKind::Destroyed(by) = event.kind {
    ///             println!("a session was destroyed by {by:?}");
    ///         }
    ///     }
    /// }
    ///
    /// let sessions = Sessions::<Visitor>::new(MemoryStore::new()).observer(Audit);
    /// ```
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observing.events.observers.push(Arc::new(observer));
        self.observed()
    }

    fn observed(mut self) -> Self {
        let Observing { store, events } = &self.observing;
        let events = Arc::new(events.clone());
        self.store = Arc::new(ObservedStore::new(Arc::clone(store), Arc::clone(&events)));
        self.reporter = Some(Reporter::new(events));
        self
    }

    /// Returns a page of up to `limit` sessions with this value, in the order in which they began.
    ///
    /// For the first page, `after` is `None`; for each later page, it is [`SessionPage::next`] of
    /// the page before. A limit of 0 counts as 1. No index contains the field's default value, so a
    /// page for it is empty.
    ///
    /// A session that lives from the first page to the last is on exactly one of them, even if its
    /// id is renewed meanwhile, or a request moves the value from an `alias` to the field's new
    /// name.
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
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # let names = runtime.block_on(names(&sessions))?;
    /// # assert!(names.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails.
    /// - [`SessionError::Encode`] if the key's value cannot be stored.
    /// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
    pub async fn list(
        &self,
        by: &IndexKey<T>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<SessionPage<T>, SessionError> {
        let found = self.find(by, after, limit).await?;
        let sessions =
            found.sessions.into_iter().map(|(key, record)| self.reader.open(key, record));
        Ok(SessionPage { sessions: sessions.collect::<Result<_, _>>()?, next: found.next })
    }

    /// Returns the session with this value and this public id. `None`: it has ended, or its field
    /// has another value.
    ///
    /// # Errors
    /// The same as those of [`list`](Self::list).
    pub async fn get(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
    ) -> Result<Option<StoredSession<T>>, SessionError> {
        let found = self.seek(by, id).await?;
        found.map(|(key, record)| self.reader.open(key, record)).transpose()
    }

    /// Returns how many live sessions have this value.
    ///
    /// It reads all of them, page by page.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{Session, SessionError, Sessions};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64> }
    /// async fn is_online(sessions: &Sessions<Visitor>, user: i64) -> Result<bool, SessionError> {
    ///     Ok(sessions.count(&Visitor::by_user_id(&Some(user))).await? > 0)
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails.
    /// - [`SessionError::Encode`] if the key's value cannot be stored.
    pub async fn count(&self, by: &IndexKey<T>) -> Result<u64, SessionError> {
        let (mut count, mut after) = (0, None);
        loop {
            let found = self.find(by, after, PAGE_SIZE).await?;
            count += found.sessions.len() as u64;
            after = found.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Destroys the session with this value and this public id. Returns whether it existed.
    ///
    /// Take the value from the visitor's own session, and the public id from the form. Visitors can
    /// then destroy only their own sessions, even if they send the public id of another user's.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{PublicId, Session, SessionError, Sessions, TypedSession};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(privilege, index)] user_id: Option<i64> }
    /// async fn log_out_device(
    ///     session: &TypedSession<Visitor>,
    ///     sessions: &Sessions<Visitor>,
    ///     id_from_the_form: PublicId,
    /// ) -> Result<bool, SessionError> {
    ///     let mine = Visitor::by_user_id(&session.user_id);
    ///     sessions.destroy(&mine, id_from_the_form).await
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails. The session may still exist.
    /// - [`SessionError::Encode`] if the key's value cannot be stored.
    pub async fn destroy(&self, by: &IndexKey<T>, id: PublicId) -> Result<bool, SessionError> {
        self.destroy_one(by, id, Report::new(self.reporter.clone(), DestroyedBy::Sessions)).await
    }

    pub(super) async fn destroy_one(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
        report: Report,
    ) -> Result<bool, SessionError> {
        let mut was_there = false;
        for _ in 0..MAX_ATTEMPTS {
            // Look again after the call: the session may have been renewed just before it.
            let Some((key, record)) = self.seek(by, id).await? else { return Ok(was_there) };
            was_there |= self.destroy_record(key, &record, &report).await?;
        }
        Err(too_many_renewals())
    }

    /// Destroys a session, and reports it if it was there.
    async fn destroy_record(
        &self,
        key: StoreKey,
        record: &Record,
        report: &Report,
    ) -> Result<bool, StoreError> {
        let was_there = Arc::clone(&self.store).destroy(key).await?;
        if was_there {
            report.destroyed(record);
        }
        Ok(was_there)
    }

    /// Destroys all sessions with this value. Returns how many there were.
    ///
    /// Call it after a change of the password, or to lock a user out. A login that is in progress
    /// may finish after this call. To lock a user out, prevent new logins first.
    ///
    /// # Errors
    /// The same as those of [`destroy`](Self::destroy). Some sessions may be destroyed already.
    pub async fn destroy_all(&self, by: &IndexKey<T>) -> Result<u64, SessionError> {
        let report = Report::new(self.reporter.clone(), DestroyedBy::Sessions);
        self.destroy_if(by, report, |_, _| true).await
    }

    /// Destroys all sessions with this value except the request's own: "log out everywhere else".
    /// Returns how many there were.
    ///
    /// # Errors
    /// The same as those of [`destroy`](Self::destroy). Some sessions may be destroyed already.
    pub async fn destroy_others(
        &self,
        by: &IndexKey<T>,
        current: &SessionHandle,
    ) -> Result<u64, SessionError> {
        let reporter = self.reporter_of(current);
        let report = Report::new(reporter, DestroyedBy::Sessions);
        self.destroy_if(by, report, |key, record| !current.active().is(key, record)).await
    }

    /// Changes the session with this value and this public id. Returns what `change` has returned.
    /// `None`: the session has ended.
    ///
    /// It works as [`modify`](crate::TypedSession#methods) does in a request. It stores the fields
    /// that differ after `change`. Concurrent changes of other fields are kept, and concurrent
    /// changes of the same field follow its merge rule.
    ///
    /// A change of a `privilege` field does not renew the id here, because the client could not
    /// receive the new one. Requests that are using the session continue with the fields that they
    /// have read.
    ///
    /// # Examples
    /// ```
    /// # use actix_typed_session::{IndexKey, PublicId, Session, SessionError, Sessions};
    /// # #[derive(Session)]
    /// # struct Visitor { #[session(index)] user_id: Option<i64>, credit: u64 }
    /// async fn add_credit(
    ///     sessions: &Sessions<Visitor>,
    ///     of_user: &IndexKey<Visitor>,
    ///     id: PublicId,
    /// ) -> Result<Option<u64>, SessionError> {
    ///     let update = |visitor: &mut Visitor| {
    ///         visitor.credit += 5;
    ///         visitor.credit
    ///     };
    ///     sessions.update(of_user, id, update).await
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Conflict`] if a concurrent change wrote a `merge = "reject"` field that
    ///   this one changes. Nothing is stored.
    /// - [`SessionError::Encode`] if a value cannot be stored. Nothing is stored.
    /// - [`SessionError::Store`] if the store fails. It may have stored the change.
    /// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
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
        for _ in 0..MAX_ATTEMPTS {
            let call = |patch| Arc::clone(&self.store).update(key, patch);
            let updated = if merged.is_empty() {
                call(patch.clone()).await?
            } else {
                let merger = Merger {
                    base: base.clone(),
                    fields: merged.clone(),
                    locks: Arc::clone(&self.merge_locks),
                    reporter: self.reporter.clone(),
                };
                merger.write(&key, &patch, call).await?
            };
            match updated {
                UpdateOutcome::Applied { .. } => return Ok(Some(result)),
                // The session has ended, or its id was renewed.
                UpdateOutcome::Gone => match self.seek(by, id).await? {
                    Some((new, _)) if new != key => key = new,
                    _ => return Ok(None),
                },
                UpdateOutcome::Conflict(_) | UpdateOutcome::Taken => {
                    return Err(broken_law("update").into());
                }
            }
        }
        Err(too_many_renewals())
    }

    /// Calls `change` with a stored session, and returns what it changed. Fields are read and
    /// written as in a request.
    fn edit<R>(
        &self,
        key: StoreKey,
        record: &Record,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<(Changes, R), SessionError> {
        let state = SessionReader::<T>::state(key, record.clone());
        let mut value: T = read(self.reader.fields(&state))?;
        let result = modify(&mut value, self.reader.fields(&state), change);
        let changes = state.into_inner().changes;
        match changes.encode_error() {
            Some(error) => Err(error),
            None => Ok((changes, result)),
        }
    }

    /// What reports events that the request of `current` causes.
    pub(super) fn reporter_of(&self, current: &SessionHandle) -> Option<Reporter> {
        let reporter = self.reporter.as_ref()?;
        Some(reporter.caused_by(current.active().reporter()))
    }

    /// Destroys the sessions with this value for which `is_unwanted` is true. Repeats that until no
    /// such session is left, because some may have been renewed meanwhile.
    async fn destroy_if(
        &self,
        by: &IndexKey<T>,
        report: Report,
        is_unwanted: impl Fn(&StoreKey, &Record) -> bool,
    ) -> Result<u64, SessionError> {
        let mut destroyed = 0;
        for _ in 0..MAX_ATTEMPTS {
            let mut after = None;
            let mut found_any = false;
            loop {
                let found = self.find(by, after, PAGE_SIZE).await?;
                let unwanted =
                    found.sessions.iter().filter(|(key, record)| is_unwanted(key, record));
                let calls =
                    unwanted.map(|(key, record)| self.destroy_record(*key, record, &report));
                let were_there = try_join_all(calls).await?;
                found_any |= !were_there.is_empty();
                destroyed += were_there.into_iter().map(u64::from).sum::<u64>();
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
            if !found_any {
                return Ok(destroyed);
            }
        }
        Err(too_many_renewals())
    }
}

pub(super) fn too_many_renewals() -> SessionError {
    let why = "the ids of the sessions were renewed again and again during the call; try again";
    StoreError::unavailable(why).into()
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            reporter: self.reporter.clone(),
            observing: self.observing.clone(),
            reader: self.reader.clone(),
            merge_locks: Arc::clone(&self.merge_locks),
        }
    }
}

impl<T: Session> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sessions").field(&T::SCHEMA.type_name).finish()
    }
}
