//! The sessions of all users.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use super::{
    destroy_where::destroy_some,
    export::{ExportedSession, export},
    reader::SessionReader,
    report::Report,
    sessions::{MAX_ATTEMPTS, PAGE_SIZE, too_many_renewals},
    stored::StoredSession,
};
use crate::{
    error::SessionError,
    id::StoreKey,
    observe::{DestroyedBy, Events, Observer, Reporter, SessionStats},
    record::{PublicId, Record},
    store::{ErasedList, ErasedStore, ListAll, LoadOptions},
    time::{Clock, Timestamp},
    typed::Session,
};

/// Counts and destroys the stored sessions of all users, and of visitors who are not logged in.
///
/// Create it from a store that [can list its sessions](ListAll). It reads all of them, so use it in
/// jobs and tools, and not in a request. For the sessions of one user, use
/// [`Sessions`](crate::Sessions).
///
/// # Examples
/// ```
/// use actix_typed_session::{AllSessions, ListedSession, MemoryStore, Session, Timestamp};
///
/// #[derive(Session)]
/// struct Visitor {
///     user_id: Option<i64>,
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// // The passwords of all users were stolen at this time.
/// let leak = Timestamp::from_unix_ms(1_767_225_600_000);
/// let all = AllSessions::<Visitor>::new(MemoryStore::new());
/// let is_old = |session: &ListedSession<Visitor>| {
///     session.user_id.is_some() && session.created_at() < leak
/// };
/// let done = all.destroy_where(is_old).await?;
/// println!("{} sessions destroyed", done.destroyed);
/// # Ok::<(), actix_typed_session::SessionError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AllSessions<T> {
    store: Arc<dyn ErasedList>,
    reader: SessionReader<T>,
    events: Events,
}

/// What [`AllSessions::destroy_where`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DestroyedWhere {
    /// How many sessions were destroyed.
    pub destroyed: u64,
    /// How many could not be decided on and are left: damaged ones, those that a later release has
    /// written, and those that a `strict` struct cannot read.
    pub unreadable: u64,
}

impl<T: Session> AllSessions<T> {
    /// Creates an instance for the sessions in this store.
    pub fn new(store: impl ListAll) -> Self {
        Self { store: Arc::new(store), reader: SessionReader::default(), events: Events::default() }
    }

    /// Sets the middleware's [`max_age`](crate::SessionMiddlewareBuilder::max_age), from which
    /// [`last_seen`](ListedSession::last_seen) is computed. Defaults to 20 hours (72 000 000 ms),
    /// as in the middleware.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { reader: self.reader.max_age(max_age), ..self }
    }

    /// Sets the clock that decides when values with a `ttl` end. Defaults to the system's clock.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { reader: self.reader.clock(clock), ..self }
    }

    /// Sets what counts the sessions that it destroys. Defaults to none. It can be that of the
    /// [middleware](crate::SessionMiddlewareBuilder::stats). Store calls are not counted.
    pub fn stats(mut self, stats: &SessionStats) -> Self {
        self.events.stats = Some(stats.clone());
        self
    }

    /// Adds an observer, which gets the sessions that it destroys, such as for an audit log.
    /// Defaults to none. Each call adds one.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.events.observers.push(Arc::new(observer));
        self
    }

    /// Returns about how many live sessions the store has. It reads all of them.
    ///
    /// Sessions that begin, end or are renewed meanwhile may be missing or count twice.
    ///
    /// # Errors
    /// [`SessionError::Store`] if the store fails.
    pub async fn count(&self) -> Result<u64, SessionError> {
        let (mut count, mut after) = (0, None);
        loop {
            let page = Arc::clone(&self.store).list(after, PAGE_SIZE).await?;
            count += page.sessions.iter().filter(|(_, record)| !record.is_retired()).count() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Destroys the sessions for which `is_unwanted` returns true.
    ///
    /// As in [`Sessions::destroy_where`](crate::Sessions::destroy_where), `is_unwanted` is asked
    /// once more about a session that a request has changed meanwhile.
    ///
    /// The store is read until no unwanted session is left in it, so at least twice if there are
    /// any. A session escapes only if a login renews its id during each of these reads.
    ///
    /// # Errors
    /// [`SessionError::Store`] if the store fails. Some sessions may be destroyed already.
    pub async fn destroy_where(
        &self,
        is_unwanted: impl Fn(&ListedSession<T>) -> bool,
    ) -> Result<DestroyedWhere, SessionError> {
        let decide = |key, record: &Record| Ok(is_unwanted(&self.open(key, record)?));
        let store: Arc<dyn ErasedStore> = self.store.clone();
        let reporter = Reporter::new(Arc::new(self.events.clone()));
        let report = Report::new(Some(reporter), DestroyedBy::Sessions);
        let mut done = DestroyedWhere::default();
        for attempt in 0..MAX_ATTEMPTS {
            let (mut after, mut ended, mut has_retired) = (None, 0, false);
            done.unreadable = 0;
            loop {
                let page = Arc::clone(&self.store).list(after, PAGE_SIZE).await?;
                done.unreadable += page.unreadable.len() as u64;
                has_retired |= page.sessions.iter().any(|(_, record)| record.is_retired());
                let live = self.live(page.sessions).await?;
                let decided = destroy_some(&store, live, &decide, &report).await?;
                done.unreadable += decided.undecided.len() as u64;
                ended += decided.destroyed;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            done.destroyed += ended;
            // A session that is renewed meanwhile may be listed under its old key only.
            let may_have_missed = ended > 0 || (attempt == 0 && has_retired);
            if !may_have_missed {
                return Ok(done);
            }
        }
        Err(too_many_renewals())
    }

    /// Returns the fields of the sessions for which `is_wanted` returns true, such as to give a
    /// user all data about them. [`Sessions::export`](crate::Sessions::export) is faster, and finds
    /// the sessions that are indexed.
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails, or has a session that cannot be read.
    /// - [`SessionError::Encode`] if a value cannot be written as JSON.
    /// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
    pub async fn export_where(
        &self,
        is_wanted: impl Fn(&ListedSession<T>) -> bool,
    ) -> Result<Vec<ExportedSession>, SessionError> {
        let (mut exported, mut after) = (Vec::new(), None);
        loop {
            let page = Arc::clone(&self.store).list(after, PAGE_SIZE).await?;
            if let Some((_, error)) = page.unreadable.into_iter().next() {
                return Err(error.into());
            }
            for (key, record) in self.live(page.sessions).await? {
                if is_wanted(&self.open(key, &record)?) {
                    exported.push((key, export(&self.reader, key, record)?));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // A session may be listed twice.
        exported.sort_by_key(|(key, _)| *key);
        exported.dedup_by_key(|(key, _)| *key);
        Ok(exported.into_iter().map(|(_, session)| session).collect())
    }

    /// Those of the listed sessions that are live, with what retired ones became.
    async fn live(
        &self,
        listed: Vec<(StoreKey, Record)>,
    ) -> Result<Vec<(StoreKey, Record)>, SessionError> {
        let mut live = Vec::with_capacity(listed.len());
        for (key, record) in listed {
            if !record.is_retired() {
                live.push((key, record));
            } else if let Some(key) = record.successor() {
                let options = LoadOptions::default();
                let renewed = Arc::clone(&self.store).load(*key, options).await?;
                let renewed = renewed.filter(|record| !record.is_retired());
                live.extend(renewed.map(|record| (*key, record)));
            }
        }
        Ok(live)
    }

    fn open(&self, key: StoreKey, record: &Record) -> Result<ListedSession<T>, SessionError> {
        self.reader.open(key, record.clone()).map(ListedSession)
    }
}

impl<T> Clone for AllSessions<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            reader: self.reader.clone(),
            events: self.events.clone(),
        }
    }
}

impl<T: Session> fmt::Debug for AllSessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AllSessions").field(&T::SCHEMA.type_name).finish()
    }
}

/// A session of any visitor, as it was when it was read. It derefs to the struct `T`, to read the
/// fields.
#[derive(Clone)]
pub struct ListedSession<T>(StoredSession<T>);

impl<T> ListedSession<T> {
    /// Returns the session's public id. `None`: it has no indexed field, so it never got one.
    pub fn public_id(&self) -> Option<PublicId> {
        self.0.record.public_id()
    }

    /// Returns when the session began. A renewal of the id does not change it.
    pub fn created_at(&self) -> Timestamp {
        self.0.created_at()
    }

    /// Returns about when the session was last used, as [`StoredSession::last_seen`] does.
    pub fn last_seen(&self) -> Timestamp {
        self.0.last_seen()
    }

    /// Returns when the session expires if no request extends it.
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at()
    }
}

impl<T> Deref for ListedSession<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Session> fmt::Debug for ListedSession<T> {
    /// Omits the fields, which are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(T::SCHEMA.type_name)
            .field("public_id", &self.public_id())
            .field("created_at", &self.created_at())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
