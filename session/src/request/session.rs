//! The session of one request, which all of its extractors share.
//!
//! Its state is borrowed for moments only, never across an `await` and never while code of the user
//! runs, so nothing that a handler does can find it borrowed.

use std::{
    cell::{Cell, OnceCell, RefCell},
    iter,
    rc::Rc,
    sync::Arc,
};

use actix_web::{HttpMessage as _, HttpRequest, dev::ServiceRequest};
use tracing::warn;

use super::{
    fields::Fields,
    foreign::Foreign,
    ids::Ids,
    state::{Head, State},
    turn::Turn,
};
use crate::{
    config::WorkerConfig,
    error::{Chain, SessionError},
    fields::Schema,
    id::{SessionId, StoreKey},
    observe::{EventKind, Events, Reporter, RequestDetails},
    record::{PublicId, Record},
    store::{ErasedStore, ObservedStore, Persistence, RequestStore},
    transport::{CookieSettings, CookieVariant, IdChannel, Presented},
};

/// The place of a session on a request.
pub(crate) struct RequestSession {
    config: Rc<WorkerConfig>,
    /// The session of a middleware around this one's.
    outer: OnceCell<Rc<Self>>,
    /// Empty until an extractor asks for the session, which most routes never do.
    active: OnceCell<ActiveSession>,
    /// Whether an extractor was refused, because a page of another origin may have caused the
    /// request.
    is_refused: Cell<bool>,
}

/// The innermost session of a request, in the request's extensions.
struct CurrentSession(Rc<RequestSession>);

/// Why a request has no such session.
pub(crate) enum NotFound {
    NoMiddleware,
    /// There are sessions, but none has the cookie.
    OtherCookies,
    /// A page of another origin may have caused the request.
    CrossOrigin,
}

impl RequestSession {
    /// Puts a session on a request. `None` if one with this cookie is there already: the middleware
    /// is wrapped twice, and the outer one does the work.
    pub(crate) fn attach(request: &ServiceRequest, config: &Rc<WorkerConfig>) -> Option<Rc<Self>> {
        let session = Rc::new(Self {
            config: Rc::clone(config),
            outer: OnceCell::new(),
            active: OnceCell::new(),
            is_refused: Cell::new(false),
        });
        let mut extensions = request.extensions_mut();
        if let Some(CurrentSession(outer)) = extensions.insert(CurrentSession(Rc::clone(&session)))
        {
            let name = &config.cookie.name;
            if outer.with_outer().any(|session| session.config.cookie.name == *name) {
                extensions.insert(CurrentSession(outer));
                return None;
            }
            session.outer.get_or_init(|| outer);
        }
        Some(session)
    }

    /// Takes the session off the request again, so that what is outside sees the outer one.
    pub(crate) fn detach(&self, request: &HttpRequest) {
        if let Some(outer) = self.outer.get() {
            request.extensions_mut().insert(CurrentSession(Rc::clone(outer)));
        }
    }

    /// The session of a request: that of the cookie that the struct names, or the innermost. It is
    /// active after this.
    pub(crate) fn find(request: &HttpRequest, schema: &Schema) -> Result<Rc<Self>, NotFound> {
        let innermost = Self::innermost(request).ok_or(NotFound::NoMiddleware)?;
        let found = match schema.cookie {
            None => {
                innermost.warn_if_ambiguous(schema);
                innermost
            }
            Some(name) => {
                let mut sessions = innermost.with_outer();
                let found = sessions.find(|session| session.config.cookie.is_called(name));
                Rc::clone(found.ok_or(NotFound::OtherCookies)?)
            }
        };
        found.activate(request)?;
        Ok(found)
    }

    /// The session that an extractor of this request has loaded for such a struct. `None` before
    /// that, and once the response is closed. It asks neither the store nor the client's ids.
    pub(crate) fn loaded(request: &HttpRequest, schema: &'static Schema) -> Option<Rc<Self>> {
        let innermost = Self::innermost(request)?;
        let mut sessions = innermost.with_outer();
        let session = Rc::clone(match schema.cookie {
            None => &innermost,
            Some(name) => sessions.find(|session| session.config.cookie.is_called(name))?,
        });
        session.active.get().is_some_and(|active| active.has_loaded(schema)).then_some(session)
    }

    /// The innermost session of a request.
    pub(crate) fn innermost(request: &HttpRequest) -> Option<Rc<Self>> {
        request.extensions().get::<CurrentSession>().map(|current| Rc::clone(&current.0))
    }

    fn with_outer(self: &Rc<Self>) -> impl Iterator<Item = &Rc<Self>> {
        iter::successors(Some(self), |session| session.outer.get())
    }

    /// Warns once that a struct names no cookie where middlewares are nested: a login may be meant
    /// for the outer session.
    fn warn_if_ambiguous(self: &Rc<Self>, schema: &Schema) {
        if self.outer.get().is_none() || !self.config.has_warned.of_struct(schema.type_name) {
            return;
        }
        let names = self.with_outer().map(|session| &session.config.cookie.name);
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        warn!(
            event = "struct_ambiguous",
            "`{}` does not say which session it means, so it gets the innermost of those with the \
             cookies {}; name one with `#[session(cookie = \"…\")]` on the struct, and take a \
             `SessionHandle` from `handle()` of such a struct",
            schema.type_name,
            names.join(" and "),
        );
    }

    fn activate(&self, request: &HttpRequest) -> Result<(), NotFound> {
        if self.is_extracted() {
            return Ok(());
        }
        if self.config.refuses_cookie_of(request) && is_cookies(&self.config, request) {
            self.config.has_warned.of_cross_origin.call_once(|| {
                let error = SessionError::CrossOrigin;
                warn!(
                    event = "cross_origin_refused",
                    "a request gets a 403, and later ones are logged at `debug`: {error}"
                );
            });
            if let (Some(events), false) = (&self.config.events, self.is_refused.replace(true)) {
                let details = events.details_of(request);
                let reporter = Reporter::of_request(events, details.as_ref());
                reporter.report(EventKind::CrossOriginRefused, None);
            }
            return Err(NotFound::CrossOrigin);
        }
        let active = self.active.get_or_init(|| ActiveSession::new(&self.config, request));
        if let Some(events) = &self.config.events {
            active.begin_reports(events, request);
        }
        // After the cell is set, because the generator may look for the session too.
        if let Some(generator) = &self.config.id_generator {
            let ids = (0..GENERATED_IDS).map(|_| generator(request)).collect();
            active.spare_ids.replace(ids);
        }
        if let Some(import) = &self.config.import {
            active.identify(import, request);
        }
        if let Some(keeps_expiry) = &self.config.keeps_expiry {
            let keeps_expiry = keeps_expiry(request);
            active.state.borrow_mut().keeps_expiry = keeps_expiry;
        }
        Ok(())
    }

    /// Whether an extractor asked for the session.
    pub(crate) fn is_extracted(&self) -> bool {
        self.active.get().is_some()
    }

    #[inline]
    pub(crate) fn active(&self) -> &ActiveSession {
        self.active.get().expect("only sessions that an extractor asked for are used")
    }
}

/// Whether the session of a request is that of its cookie, also if it has none yet.
#[cold]
fn is_cookies(config: &WorkerConfig, request: &HttpRequest) -> bool {
    let (cookie, headers) = (config.cookie_on(config.connection_of(request)), request.headers());
    config.header.as_ref().is_none_or(|header| {
        let with_formers = config.counts_formers(cookie, request);
        let presented = cookie.find(headers, with_formers);
        let presented = presented.and_in_header(header.find(headers, cookie));
        presented.channel == IdChannel::Cookie
    })
}

/// For the fixtures of tests.
#[cfg(feature = "testing")]
impl RequestSession {
    /// Whether extractors asked for the session, and the last of them is dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.active.get().is_some_and(|active| active.handles.get() == 0)
    }

    /// Whether the request has asked to end the session that it came with.
    pub(crate) fn asked_to_end(&self) -> bool {
        self.active.get().is_some_and(|active| active.state.borrow().asked_to_end)
    }

    /// Lets the request read the session without extending it, not even when it is loaded.
    pub(crate) fn only_read(&self, request: &HttpRequest) {
        // A refused request reads nothing, and its extractors say why.
        if self.activate(request).is_ok() {
            self.active().state.borrow_mut().keeps_expiry = true;
        }
    }
}

/// What identifies the stored session that a request holds.
#[derive(Clone, Copy)]
pub(crate) struct HeldSession {
    key: StoreKey,
    public_id: Option<PublicId>,
}

impl HeldSession {
    pub(crate) fn of(state: &State) -> Option<Self> {
        let (key, record) = state.loaded.held()?;
        Some(Self { key: *key, public_id: record.public_id() })
    }

    /// Whether it is this session, also if its id was renewed meanwhile.
    pub(crate) fn is(&self, key: &StoreKey, record: &Record) -> bool {
        let public_ids = self.public_id.zip(record.public_id());
        self.key == *key || public_ids.is_some_and(|(own, other)| own.is_same_session(other))
    }
}

/// How many ids the application's generator makes for a request. A request needs more than one if
/// it saves, destroys and saves again, or if an id is in use.
const GENERATED_IDS: usize = 4;

/// A session that an extractor asked for.
pub(crate) struct ActiveSession {
    pub(super) config: Rc<WorkerConfig>,
    connection: CookieVariant,
    pub(super) presented: Presented,
    /// Whether the request is at a path where browsers do not send the cookie.
    pub(super) is_outside_cookie_path: bool,
    /// The session of another program that the request brings.
    pub(super) foreign: OnceCell<Box<Foreign>>,
    /// The sessions themselves, if the client has sent them instead of ids.
    pub(super) request_store: Option<Arc<dyn RequestStore>>,
    /// Whether the session was loaded.
    pub(super) is_loaded: Cell<bool>,
    /// The struct for which the session was loaded first. Others may need more of it.
    pub(super) first: Cell<Option<&'static Schema>>,
    pub(super) ids: Ids,
    /// Ids for new and renewed sessions, the next one last: from the application's generator, which
    /// needs the request, or because something was bound to one before.
    spare_ids: RefCell<Vec<SessionId>>,
    pub(super) state: RefCell<State>,
    /// Held while the store is used, so that calls do not overtake each other.
    pub(super) turn: Turn,
    /// How many handles the application holds.
    pub(super) handles: Cell<usize>,
    /// What observers get of the request. Empty if there are none.
    pub(super) details: OnceCell<RequestDetails>,
    /// Whether the client has sent an id without a valid signature. It was reported.
    pub(super) has_refused_signature: Cell<bool>,
}

const NO_REQUEST_STORE: &str = "a request has a store where the client keeps the sessions";

impl ActiveSession {
    fn new(config: &Rc<WorkerConfig>, request: &HttpRequest) -> Self {
        let connection = config.connection_of(request);
        let (cookie, headers) = (config.cookie_on(connection), request.headers());
        let with_formers = config.counts_formers(cookie, request);
        let (presented, request_store) = match (&config.sessions, &config.header) {
            (Persistence::Store(_), None) => (cookie.find(headers, with_formers), None),
            (Persistence::Store(_), Some(header)) => {
                let in_cookie = cookie.find(headers, with_formers);
                (in_cookie.and_in_header(header.find(headers, cookie)), None)
            }
            (Persistence::Client(backend), _) => {
                let (presented, store) = backend.open(cookie, &config.clock, headers, with_formers);
                (presented, Some(store))
            }
        };
        // A client that has sent a cookie or a header does not go by the path.
        let is_outside_cookie_path = !presented.any
            && presented.channel == IdChannel::Cookie
            && !config.is_below_cookie_path(request);
        Self {
            config: Rc::clone(config),
            connection,
            presented,
            is_outside_cookie_path,
            foreign: OnceCell::new(),
            request_store,
            is_loaded: Cell::new(false),
            first: Cell::new(None),
            ids: Ids::default(),
            spare_ids: RefCell::default(),
            state: RefCell::default(),
            turn: Turn::default(),
            handles: Cell::new(0),
            details: OnceCell::new(),
            has_refused_signature: Cell::new(false),
        }
    }

    /// Begins to report what happens to the session. An id whose signature was refused is the first
    /// of that.
    #[cold]
    fn begin_reports(&self, events: &Arc<Events>, request: &HttpRequest) {
        if let Some(details) = events.details_of(request) {
            self.details.get_or_init(|| details);
        }
        let cookie = self.cookie();
        let with_formers = self.config.counts_formers(cookie, request);
        let header = self.config.header.as_ref();
        if self.presented.has_invalid()
            && cookie.has_refused(request.headers(), header, with_formers)
        {
            self.has_refused_signature.set(true);
            let reporter = Reporter::of_request(events, self.details.get());
            reporter.report(EventKind::SignatureRefused, None);
        }
    }

    /// Reports a form whose token was refused.
    #[cold]
    pub(super) fn report_csrf_token(&self) {
        if let Some(reporter) = self.reporter() {
            let held = HeldSession::of(&self.state.borrow());
            let public_id = held.and_then(|held| held.public_id);
            reporter.report(EventKind::CsrfTokenRefused, public_id);
        }
    }

    /// What reports the events of this request.
    pub(crate) fn reporter(&self) -> Option<Reporter> {
        let events = self.config.events.as_ref()?;
        Some(Reporter::of_request(events, self.details.get()))
    }

    /// The fields of the session, for session structs.
    #[inline]
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            state: &self.state,
            clock: &*self.config.clock,
            lifetimes: &self.config.rules.lifetimes,
        }
    }

    /// Whether the fields of a struct are loaded, and the response is still open.
    fn has_loaded(&self, schema: &'static Schema) -> bool {
        let is_open = self.is_loaded.get() && self.state.borrow().head == Head::Open;
        let has_loaded = is_open && self.part_without(schema).is_none();
        if has_loaded {
            self.config.rules.privileges.learn(schema);
        }
        has_loaded
    }

    /// The cookie of this request's connection.
    pub(super) fn cookie(&self) -> &CookieSettings {
        self.config.cookie_on(self.connection)
    }

    /// What keeps this request's session.
    #[inline]
    pub(super) fn store(&self) -> Arc<dyn ErasedStore> {
        match &self.config.sessions {
            Persistence::Store(store) => Arc::clone(store),
            Persistence::Client(_) => self.store_at_client(),
        }
    }

    #[cold]
    fn store_at_client(&self) -> Arc<dyn ErasedStore> {
        let store = Arc::clone(self.request_store.as_ref().expect(NO_REQUEST_STORE));
        match &self.config.events {
            None => store,
            Some(events) => Arc::new(ObservedStore::new(store, Arc::clone(events))),
        }
    }

    /// Whether every store call is answered when it is first polled.
    #[inline]
    pub(crate) fn is_immediate(&self) -> bool {
        self.config.is_immediate
    }

    /// Whether it is the stored session with this key and record, also if its id was renewed
    /// meanwhile.
    pub(crate) fn is(&self, key: &StoreKey, record: &Record) -> bool {
        HeldSession::of(&self.state.borrow()).is_some_and(|own| own.is(key, record))
    }

    /// Checks that a new session's cookie would replace none that this request cannot see.
    ///
    /// A login, or a request that ends the session of a later release's cookie, may replace it.
    pub(super) fn check_new_session(&self, state: &State) -> Result<(), SessionError> {
        if self.is_outside_cookie_path {
            let cookie_path = self.config.cookie.path.clone();
            return Err(SessionError::OutsideCookiePath { cookie_path });
        }
        let replaces =
            state.changes.intent.ends_session() || state.is_elevated(&self.config.rules.privileges);
        if self.presented.is_later && !replaces {
            return Err(SessionError::LaterCookie);
        }
        Ok(())
    }

    /// Logs once that changes are dropped, if this error means that. The response stays the
    /// handler's.
    pub(super) fn log_if_dropped(&self, error: &SessionError) -> bool {
        let warned = &self.config.has_warned;
        let once = match error {
            SessionError::OutsideCookiePath { .. } => &warned.of_cookie_path,
            SessionError::LaterCookie => &warned.of_later_cookies,
            _ => return false,
        };
        once.call_once(|| {
            warn!(event = "changes_dropped", "what requests write is dropped: {}", Chain(error))
        });
        true
    }

    /// The id that a new or renewed session is going to have. `None` if only the request could make
    /// one.
    pub(super) fn reserve_id(&self) -> Option<SessionId> {
        let mut spare = self.spare_ids.borrow_mut();
        if spare.is_empty() && self.config.id_generator.is_none() {
            spare.push(SessionId::random());
        }
        spare.last().cloned()
    }

    /// An id for a new or renewed session. `None` if it is one that the client has sent. Where the
    /// application has a generator, only the request can make more than were made for it.
    pub(super) fn new_id(
        &self,
        request: Option<&HttpRequest>,
    ) -> Result<Option<SessionId>, SessionError> {
        let spare = self.spare_ids.borrow_mut().pop();
        let made = spare.or_else(|| match &self.config.id_generator {
            None => Some(SessionId::random()),
            Some(generator) => request.map(generator),
        });
        let id = made.ok_or(SessionError::IdsUsedUp)?;
        // An attacker may have planted it at the client.
        if self.presented.claims().any(|claim| claim.id == id) {
            return Ok(None);
        }
        if let Some(store) = &self.request_store {
            store.expect_id(&id);
        }
        Ok(Some(id))
    }
}

impl Drop for ActiveSession {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.head == Head::Sent && !state.changes.is_empty() {
            warn!(
                event = "changes_never_stored",
                "session changes made after the response were never stored; `save().await` stores \
                 them"
            );
        }
    }
}
