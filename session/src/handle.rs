//! One request's session: what was stored, what the request changed, what it asked for.
//!
//! All extractors of a request share one [`Inner`]. Its state is borrowed for moments only, never
//! across an `await` and never while code of the user runs, so nothing that a handler does can find it
//! borrowed.

use std::{
    cell::{OnceCell, RefCell},
    fmt,
    future::poll_fn,
    iter, mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceRequest,
    http::{StatusCode, header::HeaderValue},
};
use futures_util::{
    TryFutureExt as _,
    future::{self, BoxFuture, FutureExt as _},
};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::{
    config::WorkerConfig,
    error::{Chain, SessionError, StoreError, ValueError},
    expiry::{Limits, Timestamp, whole_ms},
    field::{FieldSchema, Snapshot, same_json},
    id::{SessionId, StoreKey},
    merge::MergedField,
    merger::Merger,
    number::Number,
    patch::Patch,
    plan::{
        Call, Changes, CookieAction, Head, Impossible, Intent, OnOutage, Plan, Situation, Stored,
        TouchMode, plan, tolerates_outage,
    },
    record::Record,
    store::{Created, ErasedStore, Renewal, Updated},
    transport::Presented,
};

/// The request's session without a struct: its id, its state, and everything that can be done to it as
/// a whole.
///
/// An extractor, as [`TypedSession`](crate::TypedSession) is, for code that does not know the
/// session's fields. All extractors of a request are handles to the same session.
///
/// # Examples
/// ```
/// use actix_typed_session::SessionHandle;
/// use actix_web::{HttpResponse, Responder};
///
/// async fn log_out(mut session: SessionHandle) -> impl Responder {
///     session.destroy();
///     HttpResponse::NoContent()
/// }
/// ```
#[derive(Clone)]
pub struct SessionHandle(Rc<Inner>);

/// Where a request's session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Nothing is stored for this client.
    New,
    /// The session is stored.
    Loaded,
    /// The session is stored and gets a new id at the end of the request.
    Renewed,
    /// The session ends with this request, and an empty one takes its place.
    Regenerated,
    /// The session ends, or has ended, with this request.
    Destroyed,
    /// The request carries an id that was renewed a moment ago; what it changes is not stored.
    Retired,
    /// The session was destroyed or renewed by another request, or expired, while this one held it.
    Gone,
    /// The store was not available, and [`OnOutage::Anonymous`] lets the request pass; what it changes is
    /// not stored.
    Unavailable,
}

impl SessionHandle {
    /// The id that the client has, or gets with this response. `None` if the client has no session,
    /// or loses it with this response.
    ///
    /// A new session has its id from the moment it is stored: at the end of the request, or when
    /// [`save`](Self::save) returns.
    pub fn id(&self) -> Option<&SessionId> {
        match self.status() {
            Status::New | Status::Loaded | Status::Renewed | Status::Retired => {
                self.0.ids.current()
            }
            Status::Regenerated | Status::Destroyed | Status::Gone | Status::Unavailable => None,
        }
    }

    /// Where the session stands.
    pub fn status(&self) -> Status {
        let state = self.0.state.borrow();
        match (&state.stored, state.intent) {
            (Base::Gone, _) => Status::Gone,
            (_, Intent::Destroy) => Status::Destroyed,
            (Base::Nothing { .. }, _) if state.destroyed => Status::Destroyed,
            (Base::Nothing { .. }, _) => Status::New,
            (Base::Retired { .. }, _) => Status::Retired,
            (Base::Unavailable { .. }, _) => Status::Unavailable,
            (Base::Live { .. }, Intent::Keep) => Status::Loaded,
            (Base::Live { .. }, Intent::Renew) => Status::Renewed,
            (Base::Live { .. }, Intent::Regenerate) => Status::Regenerated,
        }
    }

    /// Begins a new, empty session under a new id, and destroys the old one. Call it at login.
    ///
    /// The new session exists once something is written to it. For a grace period (10 s by default),
    /// requests that still carry the old id read as new visitors and change nothing.
    pub fn regenerate(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if state.intent != Intent::Destroy {
            state.intent = Intent::Regenerate;
        }
        state.forget_changes();
    }

    /// Gives the session a new id at the end of the request, and keeps its data. Call it when the
    /// client's rights change.
    ///
    /// For a grace period (10 s by default), requests that still carry the old id read the session as
    /// it is now and change nothing.
    pub fn renew(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if state.intent == Intent::Keep {
            state.intent = Intent::Renew;
        }
    }

    /// Deletes the session from the store at the end of the request, and its cookie from the client.
    ///
    /// It is carried out whatever the response is. What the request writes afterwards begins a new
    /// session with a new id.
    pub fn destroy(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.intent = Intent::Destroy;
        state.forget_changes();
    }

    /// Reads the stored session again and drops what this request has changed but not saved.
    ///
    /// What [`destroy`](Self::destroy), [`regenerate`](Self::regenerate) and [`renew`](Self::renew)
    /// asked for stays asked for.
    ///
    /// # Errors
    /// [`SessionError::Gone`] if the session has ended; [`SessionError::Store`] if the store fails, in
    /// which case nothing is dropped.
    pub async fn reload(&mut self) -> Result<(), SessionError> {
        let _turn = self.0.turn.lock().await;
        self.0.settle_abandoned().await;
        let (key, was_unavailable) = match self.0.state.borrow().stored {
            Base::Live { key, .. } | Base::Retired { key, .. } => (Some(key), false),
            Base::Nothing { .. } | Base::Gone => (None, false),
            Base::Unavailable { .. } => (None, true),
        };
        if was_unavailable {
            self.0.look_up().await?;
        }
        let record = match key {
            Some(key) => Some((key, self.0.load_record(key).await?)),
            None => None,
        };
        let mut state = self.0.state.borrow_mut();
        state.forget_changes();
        if let Some((key, record)) = record {
            state.stored = record.map_or(Base::Gone, |record| Base::of(key, record));
        }
        if state.has_ended() { Err(SessionError::Gone) } else { Ok(()) }
    }

    /// Stores the changes now, instead of at the end of the request: for streaming bodies, for
    /// WebSockets, and for code that must know.
    ///
    /// When it returns, what was changed is stored and a server error later in the request does not
    /// take it back. If the future is dropped, the store call runs to its end all the same.
    ///
    /// # Errors
    /// [`SessionError::Gone`] if the session has ended meanwhile; nothing was stored.
    /// [`SessionError::Conflict`] if another request has changed a `merge = "reject"` field that this one
    /// changes; nothing was stored, and [`reload`](Self::reload) shows what is.
    /// [`SessionError::ResponseSent`] if the client would need a new id and the response has begun.
    /// [`SessionError::Encode`] if a value could not be serialised; nothing was stored.
    /// [`SessionError::Store`] if the store fails; the changes are kept for another try.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        let _turn = self.0.turn.lock().await;
        self.0.settle_abandoned().await;
        if let Some(error) = self.0.state.borrow().encode_error() {
            return Err(error);
        }
        match self.0.carry_out(Changes::Kept, || self.0.new_id(None)).await? {
            Fate::Stored => Ok(()),
            Fate::Lost => Err(SessionError::Gone),
        }
    }

    /// Extends the session at the end of the request, even if it was extended a moment ago.
    pub fn touch(&mut self) {
        self.0.state.borrow_mut().touch = TouchMode::Now;
    }

    /// How long the session lives without a request that uses it.
    pub fn max_age(&self) -> Duration {
        self.0.config.rules.lifetimes.max_age(&self.0.state.borrow().limits())
    }

    /// Lets this session live for another time without a request, now and from now on.
    ///
    /// Zero is [`destroy`](Self::destroy). The middleware's absolute lifetime still holds.
    pub fn set_max_age(&mut self, max_age: Duration) {
        if whole_ms(max_age) == 0 {
            self.destroy();
        } else {
            self.set_limits(|limits| limits.max_age = Some(max_age));
        }
    }

    /// Whether the session's cookie outlives the browser.
    pub fn is_persistent(&self) -> bool {
        let limits = self.0.state.borrow().limits();
        limits.persistent.unwrap_or(self.0.config.rules.persistent)
    }

    /// Lets this session's cookie outlive the browser, or not: "remember me".
    pub fn set_persistent(&mut self, persistent: bool) {
        self.set_limits(|limits| limits.persistent = Some(persistent));
    }

    fn set_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        let mut state = self.0.state.borrow_mut();
        let mut limits = state.limits();
        change(&mut limits);
        if state.stored_limits() == limits {
            state.patch.keep_limits();
        } else {
            state.patch.set_limits(limits);
        }
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.status()).finish()
    }
}

// Where a session comes from and where it goes, for the extractors and the middleware.
impl SessionHandle {
    /// Puts a session on a request. `None` if one with this cookie is there already: the middleware
    /// is wrapped twice, and the outer one does the work.
    pub(crate) fn attach(request: &ServiceRequest, config: &Rc<WorkerConfig>) -> Option<Self> {
        let mut extensions = request.extensions_mut();
        let outer = extensions.get::<Attached>().map(|attached| attached.0.clone());
        if let Some(outer) = &outer
            && outer.and_outer().any(|handle| handle.0.config.cookie.name == config.cookie.name)
        {
            return None;
        }
        let handle = Self(Rc::new(Inner {
            config: Rc::clone(config),
            outer,
            presented: OnceCell::new(),
            loaded: tokio::sync::OnceCell::new(),
            ids: Ids::default(),
            spare_id: RefCell::default(),
            state: RefCell::default(),
            turn: tokio::sync::Mutex::default(),
        }));
        extensions.insert(Attached(handle.clone()));
        Some(handle)
    }

    /// Takes the session off the request again, so that what is outside sees the outer one.
    pub(crate) fn detach(&self, request: &HttpRequest) {
        if let Some(outer) = &self.0.outer {
            request.extensions_mut().insert(Attached(outer.clone()));
        }
    }

    /// The session of a request: that of the named cookie, or the innermost.
    pub(crate) fn find(request: &HttpRequest, cookie: Option<&str>) -> Found {
        let Some(innermost) =
            request.extensions().get::<Attached>().map(|attached| attached.0.clone())
        else {
            return Found::NoMiddleware;
        };
        let found = match cookie {
            None => Some(&innermost),
            Some(name) => {
                innermost.and_outer().find(|handle| handle.0.config.cookie.is_called(name))
            }
        };
        let Some(handle) = found else { return Found::OtherCookies };
        let inner = &handle.0;
        if inner.presented.get().is_none() {
            inner.presented.get_or_init(|| inner.config.cookie.find(request.headers()));
            // After the cell is set, because the generator may look for the session too.
            if let Some(generator) = &inner.config.id_generator {
                let id = generator(request);
                inner.spare_id.replace(Some(id));
            }
        }
        Found::Handle(handle.clone())
    }

    fn and_outer(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |handle| handle.0.outer.as_ref())
    }

    /// Reads the session from the store, once per request.
    pub(crate) async fn load(&self) -> Result<(), SessionError> {
        self.0.loaded.get_or_try_init(|| self.0.load()).await?;
        Ok(())
    }

    /// Whether an extractor asked for the session.
    pub(crate) fn is_touched(&self) -> bool {
        self.0.presented.get().is_some()
    }

    /// Carries out what the request asked for. `request` is gone if an inner middleware failed.
    pub(crate) async fn close(&self, request: Option<&HttpRequest>, status: StatusCode) -> Closing {
        let inner = &self.0;
        let _turn = inner.turn.lock().await;
        inner.settle_abandoned().await;
        let encode_error = inner.state.borrow().encode_error();
        let changes = if encode_error.is_some()
            || (status.is_server_error() && !inner.config.save_on_server_error)
        {
            Changes::Discarded
        } else {
            Changes::Kept
        };
        let tolerates_outage =
            tolerates_outage(&inner.state.borrow().situation(changes), &inner.config.rules);
        let mut result = inner.carry_out(changes, || inner.new_id(request)).await;
        if let Ok(Fate::Lost) = result {
            warn_of_lost_changes(request.and_then(HttpRequest::match_pattern));
        }
        if tolerates_outage && let Err(SessionError::Store(StoreError::Unavailable(_))) = &result {
            warn!(
                route = request.and_then(HttpRequest::match_pattern),
                "what a request changed or extended is lost, because its session's store is not \
                 available",
            );
            inner.state.borrow_mut().forget_changes();
            result = Ok(Fate::Lost);
        }
        let mut state = inner.state.borrow_mut();
        state.head = Head::Sent;
        if changes == Changes::Discarded || result.is_err() {
            state.forget_changes();
            state.intent = Intent::Keep;
        }
        let cookie =
            match (mem::replace(&mut state.cookie, CookieAction::Keep), inner.ids.current()) {
                (CookieAction::Issue(age), Some(id)) => Some(inner.config.cookie.issue(id, age)),
                (CookieAction::Remove, _) => Some(inner.config.cookie.removal()),
                (CookieAction::Keep | CookieAction::Issue(_), _) => None,
            };
        Closing { cookie, error: encode_error.or(result.err()) }
    }
}

fn warn_of_lost_changes(route: Option<String>) {
    warn!(
        route,
        "the changes of a request are lost: its session was destroyed or renewed by another request, \
         or expired, while this one held it",
    );
}

/// What [`SessionHandle::find`] found.
pub(crate) enum Found {
    Handle(SessionHandle),
    OtherCookies,
    NoMiddleware,
}

/// What the response must say about the session.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) cookie: Option<HeaderValue>,
    /// Why the response must be another than the handler's.
    pub(crate) error: Option<SessionError>,
}

/// The innermost session of a request, in the request's extensions.
struct Attached(SessionHandle);

// Reading and writing fields, for `typed.rs`.
impl SessionHandle {
    /// A field's JSON: what is stored, overlaid with what this request changed.
    pub(crate) fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let state = self.0.state.borrow();
        let read = |name: &str| state.patch.read(state.record(), name);
        // A write removes the aliases, so what is left under one is the value.
        read(field.stored).or_else(|| field.aliases.iter().find_map(|alias| read(alias)))
    }

    /// Records a field's new value. `default` is what the field reads as when it is not stored.
    pub(crate) fn set(
        &self,
        field: &'static dyn MergedField,
        json: Arc<RawValue>,
        default: impl FnOnce() -> Snapshot,
    ) {
        let schema = field.schema();
        let stored = self.0.state.borrow().stored_json(schema);
        let same = match &stored {
            Some(stored) => same_json(stored, &json),
            None => matches!(default(), Snapshot::Value(default) if same_json(&default, &json)),
        };
        let mut state = self.0.state.borrow_mut();
        if same {
            state.cancel(schema);
        } else {
            state.patch.set(schema.stored.into(), json);
            state.changed(field);
        }
    }

    /// Records an addition to a field. `default` is what the field reads as when it is not stored.
    pub(crate) fn add(
        &self,
        field: &'static dyn MergedField,
        by: Number,
        default: impl FnOnce() -> Number,
    ) {
        if by.is_zero() {
            return;
        }
        let schema = field.schema();
        let stored = self.0.state.borrow().stored_json(schema);
        let from = stored.and_then(|json| Number::parse(&json).ok()).unwrap_or_else(default);
        let mut state = self.0.state.borrow_mut();
        state.patch.add(schema.stored.into(), from, by);
        if state.patch.names(schema.stored) {
            state.changed(field);
        } else {
            state.cancel(schema);
        }
    }

    /// Remembers that a value cannot be stored; the response becomes a 500.
    pub(crate) fn fail(&self, field: &'static FieldSchema, error: ValueError) {
        self.0.state.borrow_mut().failed.get_or_insert((field.stored, error));
    }
}

/// What the handles of a request share.
struct Inner {
    config: Rc<WorkerConfig>,
    outer: Option<SessionHandle>,
    presented: OnceCell<Presented>,
    loaded: tokio::sync::OnceCell<()>,
    ids: Ids,
    /// An id of the custom generator, made while the request is at hand.
    spare_id: RefCell<Option<SessionId>>,
    state: RefCell<State>,
    /// Held by whoever talks to the store, so that calls do not overtake each other.
    turn: tokio::sync::Mutex<()>,
}

/// What became of the request's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// All are stored, or there were none.
    Stored,
    /// The session has ended, and they with it.
    Lost,
}

/// How often another id is tried when one is taken.
const ID_ATTEMPTS: usize = 3;

impl Inner {
    async fn load(&self) -> Result<(), SessionError> {
        match self.look_up().await {
            Err(SessionError::Store(error @ StoreError::Unavailable(_)))
                if self.config.rules.on_outage == OnOutage::Anonymous =>
            {
                warn!("a session is not loaded: {}", Chain(&error));
                Ok(())
            }
            result => result,
        }
    }

    /// Finds the session that the client means. If the store fails, nobody knows.
    async fn look_up(&self) -> Result<(), SessionError> {
        let presented = self.presented.get().expect("a handle is only given out once this is set");
        for id in &presented.ids {
            let key = StoreKey::from(id);
            self.state.borrow_mut().stored = Base::Unavailable { key };
            if let Some(record) = self.load_record(key).await? {
                if !record.is_retired() || record.successor().is_some() {
                    self.ids.push(Some(id.clone()));
                }
                self.state.borrow_mut().stored = Base::of(key, record);
                return Ok(());
            }
        }
        self.state.borrow_mut().stored = Base::Nothing { unknown: presented.any };
        Ok(())
    }

    async fn load_record(&self, key: StoreKey) -> Result<Option<Record>, SessionError> {
        let now = self.config.clock.now();
        let lifetimes = self.config.rules.lifetimes;
        let renewal = lifetimes.touches_often().then_some(Renewal { lifetimes, now });
        let record = match Arc::clone(&self.config.store).load(key, renewal).await {
            Ok(record) => record,
            Err(error @ StoreError::Damaged(_)) => {
                // The user's next request must not fail too, so this is a visitor without a session.
                error!("{}", Chain(&error));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let now = self.config.clock.now();
        let record = record.filter(|record| {
            !record.is_expired(now) && lifetimes.deadline(record.created_at()) > now
        });
        if let (Some(Renewal { now, .. }), Some(record)) = (renewal, &record) {
            let renewed = lifetimes.expires_at(record.created_at(), record.limits(), now);
            self.state.borrow_mut().touched_by_load |= record.expires_at() == renewed;
        }
        Ok(record)
    }

    /// An id for a new or renewed session; `None` if only the request could make one and it is gone.
    fn new_id(&self, request: Option<&HttpRequest>) -> Option<SessionId> {
        match (&self.config.id_generator, request) {
            (None, _) => Some(SessionId::random()),
            (Some(generator), request) => {
                let spare = self.spare_id.borrow_mut().take();
                spare.or_else(|| request.map(generator))
            }
        }
    }

    /// Plans, makes the store call, and takes over what it did. The caller has the turn.
    async fn carry_out(
        &self,
        changes: Changes,
        mut new_id: impl FnMut() -> Option<SessionId>,
    ) -> Result<Fate, SessionError> {
        for _ in 0..ID_ATTEMPTS {
            let now = self.config.clock.now();
            let (plan, merger) = {
                let state = self.state.borrow();
                let situation = state.situation(changes);
                // Only who needs it pays for it.
                let merger = state.record().filter(|_| situation.merged).map(|base| Merger {
                    base: base.clone(),
                    fields: state.merged.clone(),
                    config: Arc::clone(&self.config.0),
                });
                (plan(&situation, &self.config.rules, now), merger)
            };
            let plan = plan.map_err(|impossible| match impossible {
                Impossible::HeadSent => SessionError::ResponseSent,
                Impossible::Unavailable => StoreError::unavailable(
                    "the session could not be loaded when the request began",
                )
                .into(),
            })?;
            let cookie = plan.cookie;
            let call = Effect::of(plan, Arc::clone(&self.config.store), merger, || {
                new_id().ok_or(SessionError::IdsTaken)
            })?;
            self.state.borrow_mut().start(cookie, call);
            match self.settle().await? {
                Settled::Nothing => return Ok(Fate::Stored),
                Settled::Fate(fate) => return Ok(fate),
                Settled::IdTaken => {}
            }
        }
        Err(SessionError::IdsTaken)
    }

    /// Waits for the store call of a `save` whose future was dropped. If it fails, its changes are still
    /// there to be stored. The caller has the turn.
    async fn settle_abandoned(&self) {
        match self.settle().await {
            Ok(Settled::Fate(Fate::Lost)) => warn_of_lost_changes(None),
            Ok(_) => {}
            Err(error) => warn!("an abandoned save failed: {}", Chain(&error)),
        }
    }

    /// Waits for the store call that is under way, if one is, and takes over what it did. The caller
    /// has the turn.
    async fn settle(&self) -> Result<Settled, SessionError> {
        let answer = poll_fn(|context| {
            let Some(mut under_way) = self.state.borrow_mut().under_way.take() else {
                return Poll::Ready(None);
            };
            match under_way.answer.poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some((under_way.transaction, answer))),
                Poll::Pending => {
                    self.state.borrow_mut().under_way = Some(under_way);
                    Poll::Pending
                }
            }
        })
        .await;
        match answer {
            None => Ok(Settled::Nothing),
            Some((transaction, effect)) => {
                Ok(self.state.borrow_mut().finish(transaction, effect?, &self.ids))
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.head == Head::Sent && (!state.patch.is_empty() || state.intent != Intent::Keep) {
            warn!(
                "session changes made after the response were never stored; `save().await` stores \
                 them"
            );
        }
    }
}

struct State {
    stored: Base,
    intent: Intent,
    /// The changed fields and limits.
    patch: Patch,
    /// The stored names of `privilege` fields that were changed, and perhaps changed back.
    privileged: Vec<&'static str>,
    /// The fields with a merge rule of their own that were changed, and perhaps changed back.
    merged: Vec<&'static dyn MergedField>,
    touch: TouchMode,
    /// Whether the session was extended while it was loaded.
    touched_by_load: bool,
    head: Head,
    /// What the client must be told with the head.
    cookie: CookieAction,
    /// The first field whose new value cannot be stored.
    failed: Option<(&'static str, ValueError)>,
    /// Whether `save` has carried out a `destroy`.
    destroyed: bool,
    under_way: Option<UnderWay>,
}

/// What the store had when it was last asked.
enum Base {
    Nothing { unknown: bool },
    Live { key: StoreKey, record: Record },
    Retired { key: StoreKey, record: Record },
    Gone,
    Unavailable { key: StoreKey },
}

impl Base {
    fn of(key: StoreKey, record: Record) -> Self {
        if record.is_retired() { Self::Retired { key, record } } else { Self::Live { key, record } }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            stored: Base::Nothing { unknown: false },
            intent: Intent::Keep,
            patch: Patch::default(),
            privileged: Vec::new(),
            merged: Vec::new(),
            touch: TouchMode::WhenDue,
            touched_by_load: false,
            head: Head::Open,
            cookie: CookieAction::Keep,
            failed: None,
            destroyed: false,
            under_way: None,
        }
    }
}

impl State {
    /// What the request reads below its own changes.
    fn record(&self) -> Option<&Record> {
        match (&self.stored, self.intent) {
            (_, Intent::Regenerate | Intent::Destroy) => None,
            (Base::Live { record, .. } | Base::Retired { record, .. }, _) => Some(record),
            (Base::Nothing { .. } | Base::Gone | Base::Unavailable { .. }, _) => None,
        }
    }

    fn stored_json(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let fields = &self.record()?.fields;
        fields
            .get(field.stored)
            .or_else(|| field.aliases.iter().find_map(|alias| fields.get(*alias)))
            .cloned()
    }

    fn stored_limits(&self) -> Limits {
        self.record().map(|record| *record.limits()).unwrap_or_default()
    }

    fn limits(&self) -> Limits {
        self.patch.limits().copied().unwrap_or_else(|| self.stored_limits())
    }

    fn has_ended(&self) -> bool {
        match &self.stored {
            Base::Gone => true,
            Base::Nothing { .. } => self.destroyed,
            Base::Live { .. } | Base::Retired { .. } | Base::Unavailable { .. } => {
                self.intent == Intent::Destroy
            }
        }
    }

    fn encode_error(&self) -> Option<SessionError> {
        self.failed.clone().map(|(field, source)| SessionError::Encode { field, source })
    }

    /// A field has a new value in the patch.
    fn changed(&mut self, field: &'static dyn MergedField) {
        let schema = field.schema();
        for alias in schema.aliases {
            if self.record().is_some_and(|record| record.field(alias).is_some()) {
                self.patch.remove((*alias).into());
            }
        }
        if schema.privilege && !self.privileged.contains(&schema.stored) {
            self.privileged.push(schema.stored);
        }
        // Where two structs have a field of the same name, the one that wrote last decides.
        self.merged.retain(|other| other.schema().stored != schema.stored);
        if field.is_merged() {
            self.merged.push(field);
        }
    }

    /// A field has its stored value again.
    fn cancel(&mut self, field: &FieldSchema) {
        self.patch.cancel(field.stored);
        for alias in field.aliases {
            self.patch.cancel(alias);
        }
    }

    fn forget_changes(&mut self) {
        self.patch = Patch::default();
    }

    fn situation(&self, changes: Changes) -> Situation<'_> {
        Situation {
            stored: match &self.stored {
                Base::Nothing { unknown: false } => Stored::Nothing,
                Base::Nothing { unknown: true } => Stored::Unknown,
                Base::Live { key, record } => Stored::Live(*key, record),
                Base::Retired { key, record } => Stored::Retired(*key, record),
                Base::Gone => Stored::Gone,
                Base::Unavailable { key } => Stored::Unavailable(*key),
            },
            intent: self.intent,
            patch: &self.patch,
            elevated: self.privileged.iter().any(|name| self.patch.names(name)),
            merged: self.merged.iter().any(|field| self.patch.names(field.schema().stored)),
            touch: self.touch,
            touched_by_load: self.touched_by_load,
            changes,
            head: self.head,
        }
    }

    /// Puts a store call under way.
    fn start(
        &mut self,
        cookie: CookieAction,
        call: BoxFuture<'static, Result<Effect, SessionError>>,
    ) {
        let transaction = Transaction { cookie, patch: self.patch.clone(), intent: self.intent };
        self.under_way = Some(UnderWay { transaction, answer: RunToEnd::Here(call) });
    }

    /// Takes over what a store call has done.
    fn finish(&mut self, transaction: Transaction, effect: Effect, ids: &Ids) -> Settled {
        let Transaction { cookie, patch, intent } = transaction;
        match effect {
            Effect::Nothing => {}
            Effect::IdTaken => return Settled::IdTaken,
            Effect::Ended => {
                self.stored = Base::Nothing { unknown: false };
                self.destroyed = true;
                ids.push(None);
            }
            Effect::Gone => {
                self.stored = Base::Gone;
                self.forget_changes();
                return Settled::Fate(Fate::Lost);
            }
            Effect::GoneUntouched => {
                self.stored = Base::Gone;
                return Settled::Fate(Fate::Stored);
            }
            Effect::LostChanges => {
                self.forget_changes();
                self.intent = Intent::Keep;
                return Settled::Fate(Fate::Lost);
            }
            Effect::Began { id, key, record } => {
                self.stored = Base::Live { key, record };
                self.destroyed = false;
                ids.push(Some(id));
            }
            Effect::Updated { patch } => {
                if let Base::Live { record, .. } = &mut self.stored {
                    patch_snapshot(record, &patch);
                }
            }
            Effect::Renewed { id, key, patch } => {
                if let Base::Live { key: stored_key, record } = &mut self.stored {
                    patch_snapshot(record, &patch);
                    *stored_key = key;
                }
                ids.push(Some(id));
            }
            Effect::Touched(expires_at) => {
                if let Base::Live { record, .. } = &mut self.stored {
                    *record = record.clone().extended_to(expires_at);
                }
            }
        }
        self.patch.subtract(&patch);
        self.touch = TouchMode::WhenDue;
        self.touched_by_load = false;
        if self.intent == intent {
            self.intent = Intent::Keep;
        }
        if cookie != CookieAction::Keep {
            self.cookie = cookie;
        }
        Settled::Fate(Fate::Stored)
    }
}

/// Brings the request's copy of the record up to what it has stored itself. What other requests have
/// stored meanwhile is not in it; `reload` gets that.
fn patch_snapshot(record: &mut Record, patch: &Patch) {
    if let Ok(patched) = patch.apply_to(record) {
        *record = patched;
    }
}

/// A store call under way, and what it was made for.
struct UnderWay {
    transaction: Transaction,
    answer: RunToEnd<Result<Effect, SessionError>>,
}

struct Transaction {
    cookie: CookieAction,
    /// The request's changes when the call was made.
    patch: Patch,
    intent: Intent,
}

/// What a store call has done.
enum Effect {
    Nothing,
    IdTaken,
    /// The session has ended, as the request wanted.
    Ended,
    /// The session had ended before; the changes are lost.
    Gone,
    /// The session had ended before, and there were no changes.
    GoneUntouched,
    /// Nothing is written through an old id.
    LostChanges,
    Began {
        id: SessionId,
        key: StoreKey,
        record: Record,
    },
    Updated {
        patch: Patch,
    },
    Renewed {
        id: SessionId,
        key: StoreKey,
        patch: Patch,
    },
    Touched(Timestamp),
}

enum Settled {
    /// No call was under way.
    Nothing,
    Fate(Fate),
    /// The new id is another session's; nothing was done.
    IdTaken,
}

impl Effect {
    /// The store call of a plan. The future owns all it needs, so that it can outlive the request.
    fn of(
        plan: Plan,
        store: Arc<dyn ErasedStore>,
        merger: Option<Merger>,
        new_id: impl FnOnce() -> Result<SessionId, SessionError>,
    ) -> Result<BoxFuture<'static, Result<Self, SessionError>>, SessionError> {
        let new = || new_id().map(|id| (StoreKey::from(&id), id));
        Ok(match plan.call {
            Call::Nothing => {
                let effect = if plan.loses_changes { Self::LostChanges } else { Self::Nothing };
                future::ready(Ok(effect)).boxed()
            }
            Call::Create(record) => {
                let (key, id) = new()?;
                Self::begin(store, id, key, record).boxed()
            }
            Call::Update(key, patch) => async move {
                let call = |patch| Arc::clone(&store).update(key, patch);
                match Merger::write(merger, &key, &patch, call).await? {
                    Updated::Applied { .. } => Ok(Self::Updated { patch }),
                    Updated::Gone => Ok(Self::Gone),
                    Updated::Conflict(_) | Updated::Taken => Err(no_answer("update").into()),
                }
            }
            .boxed(),
            Call::Touch(key, expires_at) => async move {
                match store.touch(key, expires_at).await? {
                    true => Ok(Self::Touched(expires_at)),
                    false => Ok(Self::GoneUntouched),
                }
            }
            .boxed(),
            Call::Destroy(key) => {
                store.destroy(key).map_ok(|_| Self::Ended).map_err(SessionError::from).boxed()
            }
            Call::DestroyThenCreate(old, record) => {
                let (key, id) = new()?;
                async move {
                    Arc::clone(&store).destroy(old).await?;
                    Self::begin(store, id, key, record).await
                }
                .boxed()
            }
            Call::Rotate { key: old, patch, grace, anew } => {
                let (key, id) = new()?;
                async move {
                    let call = |patch| Arc::clone(&store).rotate(old, key, patch, grace);
                    match (Merger::write(merger, &old, &patch, call).await?, anew) {
                        (Updated::Applied { .. }, _) => Ok(Self::Renewed { id, key, patch }),
                        (Updated::Taken, _) => Ok(Self::IdTaken),
                        (Updated::Gone, None) => Ok(Self::Gone),
                        // The new session takes nothing from the old one, so it begins all the same.
                        (Updated::Gone, Some(anew)) => Self::begin(store, id, key, anew).await,
                        (Updated::Conflict(_), _) => Err(no_answer("rotate").into()),
                    }
                }
                .boxed()
            }
        })
    }

    async fn begin(
        store: Arc<dyn ErasedStore>,
        id: SessionId,
        key: StoreKey,
        record: Record,
    ) -> Result<Self, SessionError> {
        match store.create(key, record.clone()).await? {
            Created::Stored => Ok(Self::Began { id, key, record }),
            Created::Taken => Ok(Self::IdTaken),
        }
    }
}

/// The store breaks its laws.
fn no_answer(call: &str) -> StoreError {
    StoreError::internal(format!("the store gave `{call}` an answer that has no meaning for it"))
}

/// A future that runs to its end once it was polled, even if this is dropped: a store call that was
/// sent must not be cut off because the client has gone away.
enum RunToEnd<T> {
    Here(BoxFuture<'static, T>),
    Spawned(JoinHandle<T>),
}

impl<T: Send + 'static> RunToEnd<Result<T, SessionError>> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, SessionError>> {
        if let Self::Here(call) = self {
            // A store in memory is done at once and needs no task.
            if let Poll::Ready(answer) = call.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            let Ok(runtime) = tokio::runtime::Handle::try_current() else {
                return Poll::Pending;
            };
            let call = mem::replace(call, future::pending().boxed());
            *self = Self::Spawned(runtime.spawn(call));
        }
        match self {
            Self::Here(_) => Poll::Pending,
            Self::Spawned(task) => match Pin::new(task).poll(context) {
                Poll::Ready(Ok(answer)) => Poll::Ready(answer),
                Poll::Ready(Err(error)) => Poll::Ready(Err(StoreError::internal(error).into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

/// The ids of a request in the order in which the client had them; the last one counts. A list that
/// only grows, so that a reference to an id stays good.
#[derive(Default)]
struct Ids(OnceCell<Box<Link>>);

struct Link {
    id: Option<SessionId>,
    next: Ids,
}

impl Ids {
    fn push(&self, id: Option<SessionId>) {
        let mut ids = self;
        while let Some(link) = ids.0.get() {
            ids = &link.next;
        }
        ids.0.get_or_init(|| Box::new(Link { id, next: Self::default() }));
    }

    fn current(&self) -> Option<&SessionId> {
        let mut link = self.0.get()?;
        while let Some(next) = link.next.0.get() {
            link = next;
        }
        link.id.as_ref()
    }
}
