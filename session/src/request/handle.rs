//! One request's session: what was stored, what the request changed, what it asked for.
//!
//! All extractors of a request share one [`Inner`]. Its state is borrowed for moments only, never
//! across an `await` and never while code of the user runs, so nothing that a handler does can find it
//! borrowed.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    future::poll_fn,
    iter, mem,
    ops::ControlFlow,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceRequest,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use serde_json::value::RawValue;
use tracing::{error, warn};

use super::{
    call::{Effect, Settled},
    csrf,
    merge::Merger,
    plan::{
        Call, Changes, CookieAction, Head, Impossible, Intent, TouchMode, plan, tolerates_outage,
    },
    state::{Base, Compared, State},
};
use crate::{
    config::{OnOutage, WorkerConfig},
    error::{Chain, SessionError, StoreError, ValueError},
    fields::{FieldSchema, MergedField, Schema, Snapshot, Timed, same_json},
    id::{SessionId, StoreKey},
    record::{Index, Number, PublicId, Record},
    store::{CookieChange, ErasedStore, Look, Persistence, Renewal, RequestStore},
    time::{Limits, Timestamp, whole_ms},
    transport::IdHeader,
    transport::{Claim, Connection, CookieSettings, HeaderSettings, IdChannel, Presented},
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
pub struct SessionHandle(Rc<Slot>);

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
                self.inner().ids.current()
            }
            Status::Regenerated | Status::Destroyed | Status::Gone | Status::Unavailable => None,
        }
    }

    /// Where the session stands.
    pub fn status(&self) -> Status {
        let state = self.inner().state.borrow();
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
        let mut state = self.inner().state.borrow_mut();
        if state.intent != Intent::Destroy {
            state.intent = Intent::Regenerate;
        }
        state.wanted = false;
        state.forget_changes();
    }

    /// Gives the session a new id at the end of the request, and keeps its data. Call it when the
    /// client's rights change.
    ///
    /// For a grace period (10 s by default), requests that still carry the old id read the session as
    /// it is now and change nothing.
    pub fn renew(&mut self) {
        let mut state = self.inner().state.borrow_mut();
        if state.intent == Intent::Keep {
            state.intent = Intent::Renew;
        }
    }

    /// Deletes the session from the store at the end of the request, and its cookie from the client.
    ///
    /// It is carried out whatever the response is. What the request writes afterwards begins a new
    /// session with a new id.
    pub fn destroy(&mut self) {
        let mut state = self.inner().state.borrow_mut();
        state.intent = Intent::Destroy;
        state.wanted = false;
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
        let _turn = self.inner().turn.lock().await;
        self.inner().settle_abandoned().await;
        let (key, was_unavailable) = match self.inner().state.borrow().stored {
            Base::Live { key, .. } | Base::Retired { key, .. } => (Some(key), false),
            Base::Nothing { .. } | Base::Gone => (None, false),
            Base::Unavailable { .. } => (None, true),
        };
        if was_unavailable {
            self.inner().look_up(None).await?;
        }
        let record = match key {
            Some(key) => Some((key, self.inner().load_record(key, None).await?)),
            None => None,
        };
        let mut state = self.inner().state.borrow_mut();
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
    /// [`SessionError::ResponseSent`] if the client would need a new cookie and the response has begun.
    /// [`SessionError::Encode`] if a value could not be serialised; nothing was stored.
    /// [`SessionError::Store`] if the store fails; the changes are kept for another try.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        let _turn = self.inner().turn.lock().await;
        self.inner().settle_abandoned().await;
        if let Some(error) = self.inner().state.borrow().encode_error() {
            return Err(error);
        }
        let inner = self.inner();
        match inner.carry_out(Changes::Kept, false, || inner.new_id(None)).await? {
            Fate::Stored => Ok(()),
            Fate::Lost => Err(SessionError::Gone),
        }
    }

    /// Extends the session at the end of the request, even if it was extended a moment ago.
    pub fn touch(&mut self) {
        self.inner().state.borrow_mut().touch = TouchMode::Now;
    }

    /// A token that proves to [`verify_csrf`](Self::verify_csrf) that a form was made for this session, against
    /// cross-site request forgery. Put it into a hidden field of each form that changes something, or into a header
    /// that a script of the page sends.
    ///
    /// It is bound to the session's id, and ends with it: what renews the id (login, logout,
    /// [`renew`](Self::renew)) must come first in a request that also makes a token. No two calls return the same
    /// text, so that a compressed page does not give it away; all are good until the id changes.
    ///
    /// A visitor who has no session gets one with this response, as if a field had been written: **a page with a
    /// token stores a session**. An error response (5xx) keeps nothing, so its forms do not work.
    ///
    /// This is the HMAC-based token of the [OWASP CSRF prevention cheat sheet] and of OWASP ASVS 5.0, 3.5.1. The cookie's
    /// `SameSite=Lax` is a defence of its own, but not against other hosts of one's own site. Clients that present
    /// their id in a header need no token.
    ///
    /// [OWASP CSRF prevention cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    ///
    /// # Panics
    /// When the operating system has no random numbers to give.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{SessionError, SessionHandle};
    /// use actix_web::{HttpResponse, Responder, web};
    ///
    /// async fn form(mut session: SessionHandle) -> impl Responder {
    ///     let token = session.csrf_token(); // letters, digits, `-` and `_`: it needs no escaping
    ///     HttpResponse::Ok().content_type("text/html").body(format!(
    ///         "<form method=post><input type=hidden name=csrf value={token}><button>Delete</button></form>"
    ///     ))
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Delete {
    ///     csrf: String,
    /// }
    ///
    /// async fn delete(
    ///     session: SessionHandle,
    ///     form: web::Form<Delete>,
    /// ) -> Result<impl Responder, SessionError> {
    ///     session.verify_csrf(&form.csrf)?;
    ///     Ok("deleted")
    /// }
    /// ```
    #[must_use = "the token belongs into the page"]
    pub fn csrf_token(&mut self) -> String {
        let inner = self.inner();
        let is_new = {
            let mut state = inner.state.borrow_mut();
            state.wanted = true;
            state.gets_a_new_id(&inner.config.privileges)
        };
        let id = if is_new {
            inner.reserve_id()
        } else {
            // While the store is away, the id that the client presents is what it has when the store is back.
            let presented = || inner.presented.claims().next().map(|claim| claim.id.clone());
            inner.ids.current().cloned().or_else(presented)
        };
        csrf::token(&id.unwrap_or_else(|| {
            warn!("a CSRF token is made for nobody: the client's id is an old one, or cannot be known yet");
            SessionId::random()
        }))
    }

    /// Checks that a form was made for this session: call it before doing what the form asks for.
    ///
    /// # Errors
    /// [`SessionError::Csrf`], which the client sees as a 403, if the text is not a [`csrf_token`](Self::csrf_token)
    /// of the session as the client presented it: it is another session's, or from before the id was renewed, or
    /// the client has no session.
    pub fn verify_csrf(&self, token: &str) -> Result<(), SessionError> {
        let inner = self.inner();
        let is_live = matches!(inner.state.borrow().stored, Base::Live { .. });
        match inner.ids.first() {
            Some(id) if is_live && csrf::is_of(token, id) => Ok(()),
            _ => Err(SessionError::Csrf),
        }
    }

    /// How long the session lives without a request that uses it.
    pub fn max_age(&self) -> Duration {
        self.inner().config.rules.lifetimes.max_age(&self.inner().state.borrow().limits())
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
        let limits = self.inner().state.borrow().limits();
        limits.persistent.unwrap_or(self.inner().config.rules.persistent)
    }

    /// Lets this session's cookie outlive the browser, or not: "remember me".
    pub fn set_persistent(&mut self, persistent: bool) {
        self.set_limits(|limits| limits.persistent = Some(persistent));
    }

    fn set_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        let mut state = self.inner().state.borrow_mut();
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
        let slot =
            Slot { config: Rc::clone(config), outer: OnceCell::new(), inner: OnceCell::new() };
        let handle = Self(Rc::new(slot));
        let mut extensions = request.extensions_mut();
        if let Some(Attached(outer)) = extensions.insert(Attached(handle.clone())) {
            let name = &config.cookie.name;
            if outer.and_outer().any(|handle| handle.0.config.cookie.name == *name) {
                extensions.insert(Attached(outer));
                return None;
            }
            handle.0.outer.get_or_init(|| outer);
        }
        Some(handle)
    }

    /// Takes the session off the request again, so that what is outside sees the outer one.
    pub(crate) fn detach(&self, request: &HttpRequest) {
        if let Some(outer) = self.0.outer.get() {
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
        if !handle.is_touched() {
            let config = &handle.0.config;
            let inner = handle.0.inner.get_or_init(|| Inner::new(config, request));
            // After the cell is set, because the generator may look for the session too.
            if let Some(generator) = &config.id_generator {
                let id = generator(request);
                inner.spare_id.replace(Some(id));
            }
        }
        Found::Handle(handle.clone())
    }

    fn and_outer(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |handle| handle.0.outer.get())
    }

    /// Reads the session from the store, once per request if it can be.
    pub(crate) async fn load(&self, schema: &'static Schema) -> Result<(), SessionError> {
        self.inner().load(schema).await
    }

    /// Reads the session, if it is at hand. Whether it has been read.
    ///
    /// Every extraction begins here, so here is learned what the struct says about its fields.
    pub(crate) fn load_now(&self, schema: &'static Schema) -> bool {
        self.inner().config.privileges.learn(schema);
        self.inner().load_now(schema)
    }

    /// Whether it is the stored session with this key and record, also if its id was renewed meanwhile.
    pub(crate) fn is(&self, key: &StoreKey, record: &Record) -> bool {
        let state = self.inner().state.borrow();
        let (Base::Live { key: own_key, record: own }
        | Base::Retired { key: own_key, record: own }) = &state.stored
        else {
            return false;
        };
        let id = |record: &Record| record.index().map(Index::public_id);
        own_key == key || id(own).is_some() && id(own) == id(record)
    }

    /// Whether an extractor asked for the session.
    pub(crate) fn is_touched(&self) -> bool {
        self.0.inner.get().is_some()
    }

    fn inner(&self) -> &Inner {
        self.0.inner.get().expect("a handle is only given out once this is set")
    }

    /// [`close`](Self::close), if the store need not be asked for it or answers at once; `None` if there is
    /// more to it.
    pub(crate) fn close_now(
        &self,
        request: Option<&HttpRequest>,
        status: StatusCode,
    ) -> Option<Closing> {
        let inner = self.inner();
        let state = inner.state.borrow();
        let changes = inner.changes(&state, status);
        if !state.is_simple() || changes == Changes::Discarded && !state.patch.is_empty() {
            return None;
        }
        let situation = state.situation(changes, &inner.config.privileges);
        let plan = plan(&situation, &inner.config.rules, inner.config.clock.now()).ok()?;
        if situation.merged || plan.loses_changes || !is_answered_now(&plan.call, inner.store()) {
            return None;
        }
        drop(state);
        if let Call::Nothing = plan.call {
            let mut state = inner.state.borrow_mut();
            state.tell(plan.cookie);
            return Some(inner.told(&mut state, None));
        }
        let is_the_last = self.is_the_last();
        inner.let_go(&plan.call, is_the_last);
        let effect = Effect::now(plan.call, inner.store());
        let mut state = inner.state.borrow_mut();
        if let Ok(Effect::Updated { .. }) = effect
            && is_the_last
        {
            // Nobody is left to whom anything else would matter.
            state.forget_changes();
            state.tell(plan.cookie);
            return Some(inner.told(&mut state, None));
        }
        let transaction = state.transaction(plan.cookie);
        let result = effect.map(|effect| match state.finish(transaction, effect, &inner.ids) {
            Settled::Fate(fate) => fate,
            Settled::Nothing | Settled::IdTaken => Fate::Stored,
        });
        drop(state);
        Some(inner.conclude(request, changes, result))
    }

    /// Carries out what the request asked for. `request` is gone if an inner middleware failed.
    pub(crate) async fn close(&self, request: Option<&HttpRequest>, status: StatusCode) -> Closing {
        let inner = self.inner();
        let _turn = inner.turn.lock().await;
        inner.settle_abandoned().await;
        let (changes, tolerates_outage) = {
            let state = inner.state.borrow();
            let changes = inner.changes(&state, status);
            let situation = state.situation(changes, &inner.config.privileges);
            (changes, tolerates_outage(&situation, &inner.config.rules))
        };
        let result = inner.carry_out(changes, self.is_the_last(), || inner.new_id(request)).await;
        match result {
            Err(SessionError::Store(StoreError::Unavailable(_))) if tolerates_outage => {
                warn!(
                    route = request.and_then(HttpRequest::match_pattern),
                    "what a request changed or extended is lost, because its session's store is not \
                     available",
                );
                inner.state.borrow_mut().forget_changes();
                inner.conclude(request, changes, Ok(Fate::Stored))
            }
            result => inner.conclude(request, changes, result),
        }
    }

    /// Whether nobody holds the session any more but the middleware and the request, so that nobody reads it
    /// again before it is closed; and who reads it later finds it by the id that the client came with.
    fn is_the_last(&self) -> bool {
        Rc::strong_count(&self.0) <= 2 && !self.inner().state.borrow().has_new_id
    }
}

/// Whether the store answers a call when it is made.
fn is_answered_now(call: &Call, store: &dyn ErasedStore) -> bool {
    match call {
        Call::Nothing => true,
        Call::Update(..) => store.is_immediate(),
        _ => false,
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
    pub(crate) answer: Option<IdHeader>,
    /// The header that was looked at besides the cookie.
    pub(crate) looked_at: Option<HeaderName>,
    /// Why the response must be another than the handler's.
    pub(crate) error: Option<SessionError>,
}

/// The innermost session of a request, in the request's extensions.
struct Attached(SessionHandle);

// Reading and writing fields, for `typed.rs`.
impl SessionHandle {
    /// A field's JSON: what is stored, overlaid with what this request changed.
    pub(crate) fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let json = {
            let state = self.inner().state.borrow();
            let read = |name: &str| state.patch.read(state.record(), name);
            // A write removes the aliases, so what is left under one is the value.
            read(field.stored).or_else(|| field.aliases.iter().find_map(|alias| read(alias)))?
        };
        if field.ttl.is_none() { Some(json) } else { self.read_timed(field, &json) }
    }

    /// The value in what is stored of a field with a `ttl`, unless it is over.
    fn read_timed(&self, field: &FieldSchema, json: &RawValue) -> Option<Arc<RawValue>> {
        let Some(timed) = Timed::parse(json) else {
            warn!(
                "the stored value of `{}` has no end, as if from before the field had a `ttl`, so it \
                 reads as absent",
                field.name,
            );
            return None;
        };
        (!timed.is_over(self.inner().now())).then(|| timed.value.to_owned().into())
    }

    /// Records a field's new value. `default` is what the field reads as when it is not stored.
    pub(crate) fn set(
        &self,
        field: &'static dyn MergedField,
        json: Arc<RawValue>,
        default: impl FnOnce() -> Snapshot,
    ) {
        let schema = field.schema();
        if let Some(ttl) = schema.ttl {
            return self.set_timed(field, ttl, &json, default);
        }
        let stored = self.inner().state.borrow().stored_json(schema);
        let is = Compared::new(schema, &json, stored.as_deref(), default);
        let config = &self.inner().config;
        let mut state = self.inner().state.borrow_mut();
        state.set(field, json, is);
        state.index(schema, |created_at| {
            let created_at = created_at.unwrap_or_else(|| config.clock.now());
            PublicId::beginning(created_at, &config.rules.lifetimes)
        });
    }

    /// As [`set`](Self::set), for a field with a `ttl`. An equal value is a change, because it ends later.
    fn set_timed(
        &self,
        field: &'static dyn MergedField,
        ttl: Duration,
        json: &RawValue,
        default: impl FnOnce() -> Snapshot,
    ) {
        let schema = field.schema();
        let now = self.inner().now();
        let is_default = matches!(default(), Snapshot::Value(default) if same_json(&default, json));
        let mut state = self.inner().state.borrow_mut();
        if !is_default {
            let timed = Timed { until: now.saturating_add(ttl), value: json };
            state.patch.set(schema.stored.into(), timed.to_json());
            state.changed(field);
            return;
        }
        // One without an end would come back with a release that knows no `ttl`.
        let is_left = |json: &RawValue| !Timed::parse(json).is_some_and(|timed| timed.is_over(now));
        if state.stored_json(schema).is_some_and(|json| is_left(&json)) {
            state.patch.remove(schema.stored.into());
            state.changed(field);
        } else {
            state.cancel(schema);
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
        let stored = self.inner().state.borrow().stored_json(field.schema());
        let from = stored.and_then(|json| Number::parse(&json).ok()).unwrap_or_else(default);
        self.inner().state.borrow_mut().add(field, from, by);
    }

    /// Remembers that a value cannot be stored; the response becomes a 500.
    pub(crate) fn fail(&self, field: &'static FieldSchema, error: ValueError) {
        self.inner().state.borrow_mut().failed.get_or_insert((field.stored, error));
    }
}

/// The place of a session on a request.
struct Slot {
    config: Rc<WorkerConfig>,
    /// The session of a middleware around this one's.
    outer: OnceCell<SessionHandle>,
    /// Empty until an extractor asks for the session, which most routes never do.
    inner: OnceCell<Inner>,
}

/// What the handles of a request share.
struct Inner {
    config: Rc<WorkerConfig>,
    connection: Connection,
    presented: Presented,
    /// The sessions themselves, if the client has sent them instead of ids.
    carried: Option<Arc<dyn RequestStore>>,
    loading: Cell<Loading>,
    /// The struct for which the session was read first; others may need more of it.
    first: Cell<Option<&'static Schema>>,
    ids: Ids,
    /// An id for a new or renewed session: made by the custom generator while the request is at hand, or because
    /// something had to be bound to it before.
    spare_id: RefCell<Option<SessionId>>,
    /// The latest time at which the request looked for values that end.
    latest: Cell<Timestamp>,
    state: RefCell<State>,
    /// Held by whoever talks to the store, so that calls do not overtake each other.
    turn: tokio::sync::Mutex<()>,
}

/// Whether the session was read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loading {
    NotBegun,
    /// It is being read, or that has failed.
    Begun,
    Done,
}

/// What became of the request's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All are stored, or there were none.
    Stored,
    /// The session has ended, and they with it.
    Lost,
}

const CARRIED: &str = "a request to sessions that travel with it has brought its own";

/// How often another id is tried when one is taken.
const ID_ATTEMPTS: usize = 3;

/// How many renewals an old id is followed through within the grace: a client that renews its id again and again must
/// not make its old ones costly to look up. One that is older reads nothing.
const MOST_RENEWALS: usize = 16;

/// An id of the client's, and what it leads to.
type Hit<'a> = (&'a Claim, StoreKey, Record);

/// Takes what an id leads to, if nothing as good was found before: a live session is the best, and ends the search.
fn take_better<'a>(best: &mut Option<Hit<'a>>, hit: Hit<'a>) -> ControlFlow<()> {
    if hit.2.is_retired() {
        best.get_or_insert(hit);
        return ControlFlow::Continue(());
    }
    *best = Some(hit);
    ControlFlow::Break(())
}

impl Inner {
    fn new(config: &Rc<WorkerConfig>, request: &HttpRequest) -> Self {
        let connection = config.connection_of(request);
        let (cookie, headers) = (config.cookie_on(connection), request.headers());
        let (presented, carried) = match (&config.sessions, &config.header) {
            (Persistence::Store(_), None) => (cookie.find(headers), None),
            (Persistence::Store(_), Some(header)) => {
                (cookie.find(headers).and_in_header(header.find(headers, cookie)), None)
            }
            (Persistence::Client(carrier), _) => {
                let (presented, carried) = carrier.open(cookie, &config.clock, headers);
                (presented, Some(carried))
            }
        };
        Self {
            config: Rc::clone(config),
            connection,
            presented,
            carried,
            loading: Cell::new(Loading::NotBegun),
            first: Cell::new(None),
            ids: Ids::default(),
            spare_id: RefCell::default(),
            latest: Cell::default(),
            state: RefCell::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The time for values that end. It does not go back, so that none comes to life again in a request that
    /// has seen it end.
    fn now(&self) -> Timestamp {
        let now = self.config.clock.now().max(self.latest.get());
        self.latest.set(now);
        now
    }

    /// The cookie of this request's connection.
    fn cookie(&self) -> &CookieSettings {
        self.config.cookie_on(self.connection)
    }

    /// What keeps this request's session.
    fn store(&self) -> &dyn ErasedStore {
        match (&self.config.sessions, &self.carried) {
            (Persistence::Store(store), _) => &**store,
            (Persistence::Client(_), carried) => &**carried.as_ref().expect(CARRIED),
        }
    }

    /// The same, for a call that may outlive the request.
    fn shared_store(&self) -> Arc<dyn ErasedStore> {
        match (&self.config.sessions, &self.carried) {
            (Persistence::Store(store), _) => Arc::clone(store),
            (Persistence::Client(_), carried) => {
                let carried: Arc<dyn RequestStore> = Arc::clone(carried.as_ref().expect(CARRIED));
                carried
            }
        }
    }

    async fn load(&self, schema: &'static Schema) -> Result<(), SessionError> {
        if self.presented.channel == IdChannel::Conflict {
            return Err(SessionError::ConflictingIds);
        }
        let _turn = self.turn.lock().await;
        if self.loading.get() == Loading::Done {
            return self.load_rest(schema).await;
        }
        self.loading.set(Loading::Begun);
        self.first.set(Some(schema));
        match self.look_up(self.config.enough_for(schema)).await {
            Err(SessionError::Store(error @ StoreError::Unavailable(_)))
                if self.config.rules.on_outage == OnOutage::Anonymous =>
            {
                warn!("a session is not loaded: {}", Chain(&error));
            }
            result => result?,
        }
        if let Some(whole) = self.state.borrow().record().filter(|record| record.is_whole) {
            self.config.learn(schema, whole);
        }
        self.loading.set(Loading::Done);
        Ok(())
    }

    /// The part of the session that was read, if that is not enough for a struct.
    fn lacking(&self, schema: &Schema) -> Option<(StoreKey, Record, &'static Schema)> {
        let state = self.state.borrow();
        let (Base::Live { key, record } | Base::Retired { key, record }) = &state.stored else {
            return None;
        };
        let first = self.first.get()?;
        let is_enough =
            record.is_whole || schema.names.iter().all(|name| first.names.contains(name));
        (!is_enough).then(|| (*key, record.clone(), first))
    }

    /// Reads the rest of the session for another struct. What is known of it stays as it was read first,
    /// because the request has seen it and may have changed it.
    async fn load_rest(&self, schema: &Schema) -> Result<(), SessionError> {
        let Some((key, part, first)) = self.lacking(schema) else { return Ok(()) };
        self.config.was_joined(first);
        let whole = self.load_record(key, None).await?;
        self.state.borrow_mut().stored = match whole {
            Some(whole) => Base::of(key, whole.completing(&part, first.names)),
            None => Base::Gone,
        };
        Ok(())
    }

    fn load_now(&self, schema: &'static Schema) -> bool {
        match self.loading.get() {
            Loading::Done => return self.lacking(schema).is_none(),
            Loading::Begun => return false,
            Loading::NotBegun => {}
        }
        if self.presented.channel == IdChannel::Conflict {
            return false;
        }
        let mut best = None;
        for claim in self.presented.claims() {
            let key = StoreKey::from(&claim.id);
            let Some(Ok(record)) = self.store().load_now(&key) else { return false };
            let Some(record) = record.and_then(|record| self.usable(record, None)) else {
                continue;
            };
            // Whether it may still be read is to be looked up.
            if record.successor().is_some() {
                return false;
            }
            if take_better(&mut best, (claim, key, record)).is_break() {
                break;
            }
        }
        self.found(best);
        self.loading.set(Loading::Done);
        true
    }

    /// Finds the session that the client means. If the store fails, nobody knows.
    async fn look_up(&self, enough: Option<&'static [&'static str]>) -> Result<(), SessionError> {
        let mut best = None;
        for claim in self.presented.claims() {
            let key = StoreKey::from(&claim.id);
            self.state.borrow_mut().stored = Base::Unavailable { key };
            let Some(record) = self.load_record(key, enough).await? else { continue };
            if take_better(&mut best, (claim, key, record)).is_break() {
                break;
            }
        }
        self.found(best);
        Ok(())
    }

    /// Takes over the session that the client's ids have led to.
    fn found(&self, found: Option<Hit<'_>>) {
        let mut state = self.state.borrow_mut();
        let Some((claim, key, record)) = found else {
            state.stored = Base::Nothing { unknown: self.presented.any };
            return;
        };
        if !record.is_retired() || record.successor().is_some() {
            self.ids.push(Some(claim.id.clone()));
        }
        state.stored = Base::of(key, record);
        state.outdated = claim.is_outdated;
    }

    /// The record of a key, of which these fields are enough; `None` is all.
    async fn load_record(
        &self,
        key: StoreKey,
        enough: Option<&'static [&'static str]>,
    ) -> Result<Option<Record>, SessionError> {
        let lifetimes = self.config.rules.lifetimes;
        let renewal =
            lifetimes.touches_often().then(|| Renewal { lifetimes, now: self.config.clock.now() });
        let look = match (renewal, enough) {
            (Some(renewal), _) => Look::AndTouch(renewal),
            (None, Some(names)) => Look::AtFields(names),
            (None, None) => Look::AtAll,
        };
        match self.load_undamaged(key, look).await?.and_then(|record| self.usable(record, renewal))
        {
            Some(record) if record.successor().is_some() => Ok(Some(self.readable(record).await?)),
            record => Ok(record),
        }
    }

    async fn load_undamaged(
        &self,
        key: StoreKey,
        look: Look,
    ) -> Result<Option<Record>, SessionError> {
        match self.shared_store().load(key, look).await {
            Ok(record) => Ok(record),
            Err(error @ StoreError::Damaged(_)) => {
                // The user's next request must not fail too, so this is a visitor without a session.
                error!("{}", Chain(&error));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What an old id still reads: the session as it was, but only as long as the session lives. After a logout, or
    /// where the id was renewed once more because of a `privilege` field, the old id reads nothing.
    async fn readable(&self, retired: Record) -> Result<Record, SessionError> {
        let mut next = retired.successor().copied();
        for _ in 0..MOST_RENEWALS {
            let Some(key) = next else { break };
            let successor = self.load_undamaged(key, Look::AtAll).await?;
            let successor = successor.and_then(|record| self.usable(record, None));
            if successor.as_ref().is_some_and(|record| !record.is_retired()) {
                return Ok(retired);
            }
            next = successor.and_then(|record| record.successor().copied());
        }
        let until = retired.expires_at();
        Ok(retired.hidden(until))
    }

    /// The record that the store has, unless its time is over; `renewal` is how the store was to extend it.
    fn usable(&self, record: Record, renewal: Option<Renewal>) -> Option<Record> {
        let now = self.config.clock.now();
        let lifetimes = self.config.rules.lifetimes;
        if record.is_expired(now) || lifetimes.deadline(record.created_at()) <= now {
            return None;
        }
        if let Some(Renewal { now, .. }) = renewal {
            let renewed = lifetimes.expires_at(record.created_at(), record.limits(), now);
            self.state.borrow_mut().touched_by_load |= record.expires_at() == renewed;
        }
        Some(record)
    }

    /// Whether the request's changes are kept.
    fn changes(&self, state: &State, status: StatusCode) -> Changes {
        let has_failed = status.is_server_error() && !self.config.save_on_server_error;
        if has_failed || state.failed.is_some() { Changes::Discarded } else { Changes::Kept }
    }

    /// Drops what the request has read of the session that the call changes, if nobody reads it again: the
    /// store can change its own copy in place then. Who asks for the session all the same reads it anew.
    fn let_go(&self, call: &Call, is_the_last: bool) {
        if let Call::Update(key, _) = call
            && is_the_last
        {
            self.state.borrow_mut().stored = Base::Unavailable { key: *key };
            self.loading.set(Loading::NotBegun);
        }
    }

    /// What the client is told, now that the store has been.
    fn conclude(
        &self,
        request: Option<&HttpRequest>,
        changes: Changes,
        result: Result<Fate, SessionError>,
    ) -> Closing {
        if let Ok(Fate::Lost) = result {
            warn_of_lost_changes(request.and_then(HttpRequest::match_pattern));
        }
        let mut state = self.state.borrow_mut();
        if changes == Changes::Discarded || result.is_err() {
            state.forget_changes();
            state.intent = Intent::Keep;
        }
        state.wanted = false;
        let error = state.encode_error().or(result.err());
        self.told(&mut state, error)
    }

    /// What goes out with the head of the response. After it, nothing can.
    fn told(&self, state: &mut State, error: Option<SessionError>) -> Closing {
        state.head = Head::Sent;
        let action = match mem::replace(&mut state.cookie, CookieAction::Keep) {
            // What `save` has stored may have ended since.
            CookieAction::Issue(_) if matches!(state.stored, Base::Gone) => CookieAction::Keep,
            action => action,
        };
        let header = self.config.header.as_ref();
        let answer = match (self.presented.channel, header) {
            // Most requests: there is nothing to tell.
            _ if action == CookieAction::Keep && self.carried.is_none() => None,
            (IdChannel::Header, Some(header)) => self.answer_in(header, action),
            (IdChannel::Cookie | IdChannel::Header, _) => {
                self.answer_in_cookie(action).map(IdHeader::Cookie)
            }
            (IdChannel::Conflict, _) => None,
        };
        Closing { answer, looked_at: header.map(|header| header.of_requests().clone()), error }
    }

    fn answer_in_cookie(&self, action: CookieAction) -> Option<HeaderValue> {
        let (cookie, id) = (self.cookie(), self.ids.current());
        if let (Some(carried), Some(id)) = (&self.carried, id) {
            return match (carried.news(id), action) {
                (CookieChange::Value(value), CookieAction::Issue(age)) => {
                    Some(cookie.issue_value(&value, age))
                }
                // Also if it has ended in a call that failed afterwards.
                (CookieChange::Ended, _) | (_, CookieAction::Remove) => Some(cookie.removal()),
                (CookieChange::Nothing | CookieChange::Value(_), _) => None,
            };
        }
        match (action, id) {
            (CookieAction::Issue(age), Some(id)) => Some(cookie.issue(id, age)),
            (CookieAction::Remove, _) => Some(cookie.removal()),
            (CookieAction::Keep | CookieAction::Issue(_), _) => None,
        }
    }

    /// How long an id is kept is the client's affair here, so it is told only what it does not know.
    fn answer_in(&self, header: &HeaderSettings, action: CookieAction) -> Option<IdHeader> {
        let (name, value) = match (action, self.ids.current()) {
            (CookieAction::Issue(_), Some(id)) if self.presented.is_up_to_date(id) => return None,
            (CookieAction::Issue(_), Some(id)) => header.issue(id, self.cookie()),
            (CookieAction::Remove, _) => header.removal(),
            (CookieAction::Keep | CookieAction::Issue(_), _) => return None,
        };
        Some(IdHeader::Header(name, value))
    }

    /// The id that a new or renewed session is going to have; `None` if only the request could make one.
    fn reserve_id(&self) -> Option<SessionId> {
        let mut spare = self.spare_id.borrow_mut();
        if spare.is_none() && self.config.id_generator.is_none() {
            *spare = Some(SessionId::random());
        }
        spare.clone()
    }

    /// An id for a new or renewed session; `None` if it is one that the client has sent. Only the request could make one
    /// where the application has a generator.
    fn new_id(&self, request: Option<&HttpRequest>) -> Result<Option<SessionId>, SessionError> {
        let made = self.spare_id.borrow_mut().take().or_else(|| match &self.config.id_generator {
            None => Some(SessionId::random()),
            Some(generator) => request.map(generator),
        });
        let id = made.ok_or(SessionError::IdsTaken)?;
        // Whoever has planted it at the client knows it.
        if self.presented.claims().any(|claim| claim.id == id) {
            return Ok(None);
        }
        if let Some(carried) = &self.carried {
            carried.expect_id(&id);
        }
        Ok(Some(id))
    }

    /// Plans, makes the store call, and takes over what it did. The caller has the turn.
    async fn carry_out(
        &self,
        changes: Changes,
        is_the_last: bool,
        mut new_id: impl FnMut() -> Result<Option<SessionId>, SessionError>,
    ) -> Result<Fate, SessionError> {
        for _ in 0..ID_ATTEMPTS {
            let now = self.config.clock.now();
            let (plan, merger) = {
                let state = self.state.borrow();
                let situation = state.situation(changes, &self.config.privileges);
                // Only who needs it pays for it.
                let merger = state.record().filter(|_| situation.merged).map(|base| Merger {
                    base: base.clone(),
                    fields: state.merged.clone(),
                    locks: Arc::clone(&self.config.merge_locks),
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
            self.let_go(&plan.call, is_the_last);
            let cookie = plan.cookie;
            let call = Effect::of(plan, self.shared_store(), merger, &mut new_id)?;
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
        let _leave = LeaveToItself(self);
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

/// Whoever waits for a store call may be dropped; the call goes on all the same.
struct LeaveToItself<'a>(&'a Inner);

impl Drop for LeaveToItself<'_> {
    fn drop(&mut self) {
        if let Some(under_way) = &mut self.0.state.borrow_mut().under_way {
            under_way.answer.leave();
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

/// The ids of a request in the order in which the client had them; the last one counts. A list that
/// only grows, so that a reference to an id stays good.
#[derive(Default)]
pub(crate) struct Ids {
    id: OnceCell<Option<SessionId>>,
    later: OnceCell<Box<Self>>,
}

impl Ids {
    pub(crate) fn push(&self, id: Option<SessionId>) {
        let mut id = Some(id);
        let mut ids = self;
        ids.id.get_or_init(|| id.take().expect("taken at most once"));
        while id.is_some() {
            ids = ids.later.get_or_init(Box::default);
            ids.id.get_or_init(|| id.take().expect("taken at most once"));
        }
    }

    /// The id that the client came with, or the first that it got.
    pub(crate) fn first(&self) -> Option<&SessionId> {
        self.id.get()?.as_ref()
    }

    pub(crate) fn current(&self) -> Option<&SessionId> {
        let mut ids = self;
        while let Some(later) = ids.later.get() {
            ids = later;
        }
        ids.id.get()?.as_ref()
    }
}
