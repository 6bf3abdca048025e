//! The public handle to a request's session, without its struct.

use std::{fmt, rc::Rc, time::Duration};

use tracing::warn;

use super::{
    changes::{Intent, TouchMode},
    csrf,
    fields::Fields,
    loaded::Loaded,
    session::{ActiveSession, RequestSession},
};
use crate::{
    error::SessionError,
    id::SessionId,
    time::{Limits, whole_ms},
    transport::{HeaderSettings, IdChannel},
};

/// Extracts the request's session without its fields: its id and status, and the methods that
/// change it as a whole.
///
/// Use it in code that needs no fields, such as a logout. In other handlers, use
/// [`TypedSession`](crate::TypedSession), which has most of these methods; its `handle()` returns
/// this type, for the others. All extractors of a request refer to the same session.
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
pub struct SessionHandle(Rc<RequestSession>);

/// The state of a request's session. [`SessionHandle::status`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The client has no stored session.
    New,
    /// The session is stored.
    Loaded,
    /// The session is stored, and gets a new id at the end of the request.
    Renewed,
    /// The request ends the session, and begins an empty one.
    Regenerated,
    /// The request ends the session, or has ended it.
    Destroyed,
    /// The client sent an id that another request has just renewed. Changes are not stored, except
    /// that a change of a `privilege` field or [`regenerate`](SessionHandle::regenerate) begins a
    /// new session.
    Retired,
    /// The session was destroyed, renewed or expired while this request used it.
    Gone,
    /// The store is unavailable, and [`OnOutage::Anonymous`](crate::OnOutage::Anonymous) lets the
    /// request continue. Changes are not stored.
    Unavailable,
}

impl SessionHandle {
    /// Returns the id that the client has after this response. `None`: the client has no session,
    /// or loses it with this response.
    ///
    /// A new session gets its id when it is stored: at the end of the request, or when
    /// [`save`](Self::save) returns.
    pub fn id(&self) -> Option<&SessionId> {
        match self.status() {
            Status::New | Status::Loaded | Status::Renewed | Status::Retired => {
                self.active().ids.current()
            }
            Status::Regenerated | Status::Destroyed | Status::Gone | Status::Unavailable => None,
        }
    }

    /// Returns the state of the session.
    pub fn status(&self) -> Status {
        let state = self.active().state.borrow();
        let in_flight = state.in_flight.as_ref().map(|in_flight| in_flight.changes.intent);
        match (&state.loaded, state.changes.intent.max(in_flight.unwrap_or_default())) {
            (Loaded::Gone { .. }, _) => Status::Gone,
            (_, Intent::Destroy) => Status::Destroyed,
            (Loaded::Nothing { .. }, _) if state.was_destroyed => Status::Destroyed,
            (Loaded::Nothing { .. }, _) => Status::New,
            (Loaded::Retired { .. }, Intent::Keep | Intent::Renew) => Status::Retired,
            (Loaded::Unavailable { .. } | Loaded::GivenAway { .. }, _) => Status::Unavailable,
            (Loaded::Live { .. }, Intent::Keep) => Status::Loaded,
            (Loaded::Live { .. }, Intent::Renew) => Status::Renewed,
            (Loaded::Live { .. } | Loaded::Retired { .. }, Intent::Regenerate) => {
                Status::Regenerated
            }
        }
    }

    /// Destroys the session and begins an empty one under a new id. Call it at a login that must
    /// not keep any data.
    ///
    /// The new session is stored once something is written to it. For a grace period of 10 s by
    /// default, requests with the old id read as new visitors and change nothing, except that
    /// another login begins a new session.
    pub fn regenerate(&mut self) {
        self.end_session(Intent::Regenerate);
    }

    /// Gives the session a new id at the end of the request, and keeps its data. Call it when the
    /// client's rights change. A change of a `privilege` field does it automatically.
    ///
    /// For a grace period of 10 s by default, requests with the old id read the session as it was
    /// before this request, and change nothing.
    pub fn renew(&mut self) {
        let changes = &mut self.active().state.borrow_mut().changes;
        changes.intent = changes.intent.max(Intent::Renew);
    }

    /// Deletes the session from the store at the end of the request, and its cookie from the
    /// client.
    ///
    /// This happens even if the response is an error. If the client has sent several session
    /// cookies, the sessions of all of them end. If the request writes afterwards, it begins a new
    /// session with a new id.
    pub fn destroy(&mut self) {
        self.end_session(Intent::Destroy);
    }

    fn end_session(&self, intent: Intent) {
        let mut state = self.active().state.borrow_mut();
        if let Loaded::Nothing { has_unknown_id } = &mut state.loaded {
            // Also that of a later release's cookie.
            *has_unknown_id |= self.active().presented.is_later;
        }
        #[cfg(feature = "testing")]
        {
            state.asked_to_end = true;
        }
        state.end_session(intent);
    }

    /// Reads the stored session again, and drops the changes that this request has not saved.
    ///
    /// Calls of [`destroy`](Self::destroy), [`regenerate`](Self::regenerate) and
    /// [`renew`](Self::renew) remain in effect.
    ///
    /// # Errors
    /// - [`SessionError::Gone`] if the session has ended.
    /// - [`SessionError::Store`] if the store fails. No change is dropped.
    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.active().reload().await
    }

    /// Stores the changes now, instead of at the end of the request.
    ///
    /// Use it in streaming bodies and WebSockets, and before an action that requires stored
    /// changes. Once it returns `Ok`, the changes stay stored, even if the response is a 5xx. If
    /// the future is dropped, a store call that has begun still runs to its end.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, SessionError, TypedSession};
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     cart: Vec<String>,
    /// }
    ///
    /// async fn check_out(mut session: TypedSession<Visitor>) -> Result<String, SessionError> {
    ///     let cart = std::mem::take(&mut *session.cart_mut());
    ///     session.save().await?; // the cart is empty in the store when this returns
    ///     Ok(format!("{} items are yours", cart.len()))
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Gone`] if the session has ended meanwhile. Nothing is stored.
    /// - [`SessionError::Conflict`] if another request has changed a `merge = "reject"` field that
    ///   this request changes. Nothing is stored. [`reload`](Self::reload) reads the stored value.
    /// - [`SessionError::ResponseSent`] if the client needs a new cookie, but the response head has
    ///   been sent. The change that needs the cookie is
    ///   [dropped](crate::guide::semantics#after-the-response-head), so that later saves work.
    /// - [`SessionError::Encode`] if a value cannot be stored. Nothing is stored, until the field
    ///   gets another value or the changes are dropped.
    /// - [`SessionError::Store`] if the store fails. The changes are kept for another try.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.active().save().await
    }

    /// Extends the session at the end of the request, even if it was extended shortly before. In a
    /// [WebSocket](crate::guide::websockets), [`save`](Self::save) does it, and fails with
    /// [`SessionError::Gone`] if the session has ended.
    ///
    /// Otherwise, a request extends the session only after a
    /// [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval).
    pub fn touch(&mut self) {
        self.active().state.borrow_mut().changes.touch = TouchMode::Now;
    }

    /// Does not extend the session with this request. Call it where a page asks for news on its
    /// own: otherwise, a tab that is left open keeps the session alive.
    ///
    /// What the request writes is stored, and [`touch`](Self::touch) extends the session all the
    /// same. If the middleware's
    /// [`touch_interval`](crate::SessionMiddlewareBuilder::touch_interval) is below 1/60 of
    /// `max_age`, the store has extended the session when it loaded it, before this call. Use
    /// [`keep_expiry_if`](crate::SessionMiddlewareBuilder::keep_expiry_if) there.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, TypedSession};
    /// use actix_web::Responder;
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     unread: u32,
    /// }
    ///
    /// async fn poll(session: TypedSession<Visitor>) -> impl Responder {
    ///     session.handle().keep_expiry();
    ///     session.unread.to_string()
    /// }
    /// ```
    pub fn keep_expiry(&self) {
        let mut state = self.active().state.borrow_mut();
        state.keeps_expiry = true;
        state.changes.touch = TouchMode::WhenDue;
    }

    /// Returns a token that protects a form against cross-site request forgery (CSRF), in addition
    /// to the [check of the origin](crate::guide::csrf). Old browsers need it.
    ///
    /// Put it into a hidden field of every form that changes something, or into a header that a
    /// script of the page sends. Check it with [`verify_csrf`](Self::verify_csrf).
    ///
    /// - The token is bound to the session's id, and is valid until the id changes. If a request
    ///   renews the id (login, logout, [`renew`](Self::renew)), it must do so before it makes a
    ///   token.
    /// - Every call returns another text, so that the size of a compressed page reveals nothing.
    ///   All tokens of an id are valid.
    /// - **A page with a token stores a session**: a visitor without one gets one with this
    ///   response, as if a field had been written. A 5xx response stores nothing, so the forms in
    ///   it do not work.
    /// - Clients that send their id in a header need no token.
    ///
    /// This is the HMAC-based token of the [OWASP CSRF prevention cheat sheet] and of OWASP ASVS
    /// 5.0, 3.5.1.
    ///
    /// [OWASP CSRF prevention cheat sheet]:
    ///     https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    ///
    /// # Panics
    /// If the operating system cannot provide random bytes.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{SessionError, SessionHandle};
    /// use actix_web::{HttpResponse, Responder, web};
    ///
    /// async fn form(mut session: SessionHandle) -> impl Responder {
    ///     let token = session.csrf_token(); // letters, digits, `-` and `_`: it needs no escaping
    ///     HttpResponse::Ok().content_type("text/html").body(format!(
    ///         "<form method=post><input type=hidden name=csrf value={token}>\
    ///          <button>Delete</button></form>"
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
    #[must_use = "put the token into the page"]
    pub fn csrf_token(&mut self) -> String {
        let active = self.active();
        let (is_new, is_old) = {
            let mut state = active.state.borrow_mut();
            state.changes.needs_session = true;
            let is_old = matches!(state.loaded, Loaded::Retired { .. });
            (state.gets_new_id(&active.config.rules.privileges), is_old)
        };
        let id = if is_new {
            active.reserve_id()
        } else if is_old {
            None
        } else {
            // While the store is unavailable, assume that the client's session still exists: then
            // the token is valid once the store is back.
            let presented = || active.presented.claims().next().map(|claim| claim.id.clone());
            active.ids.current().cloned().or_else(presented)
        };
        csrf::token(&id.unwrap_or_else(|| {
            warn!(
                event = "csrf_token_useless",
                "a CSRF token will not be valid: the client sent an old id, or its new id is not \
                 known yet"
            );
            SessionId::random()
        }))
    }

    /// Checks that a form comes from a page of this session. Call it before you change anything.
    ///
    /// # Errors
    /// [`SessionError::CsrfTokenMismatch`], which the client gets as a 403, if the text is not a
    /// [`csrf_token`](Self::csrf_token) for the id that the client has sent. The token is of
    /// another session, it was made before the id was renewed, or the client has no session.
    pub fn verify_csrf(&self, token: &str) -> Result<(), SessionError> {
        let active = self.active();
        let is_live = matches!(active.state.borrow().loaded, Loaded::Live { .. });
        match active.ids.first() {
            Some(id) if is_live && csrf::is_of(token, id) => Ok(()),
            _ => {
                active.report_csrf_token();
                Err(SessionError::CsrfTokenMismatch)
            }
        }
    }

    /// Remembers the client for this long from now: "remember me". The cookie outlives the browser,
    /// and the session ends when the time is over, used or not. Call it at the login.
    ///
    /// It sets three things that the session stores, so they also apply to later requests:
    /// [`set_persistent(true)`](Self::set_persistent), [`set_max_age`](Self::set_max_age) and an
    /// absolute lifetime that begins now. A session that
    /// [`regenerate`](Self::regenerate) begins in this request gets them, whichever is called
    /// first. A duration of less than 1 ms destroys the session, as [`destroy`](Self::destroy)
    /// does.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, TypedSession};
    /// use actix_web::{HttpResponse, Responder, web};
    /// use std::time::Duration;
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     #[session(privilege)]
    ///     user_id: Option<i64>,
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login {
    ///     #[serde(default)]
    ///     remember_me: bool,
    /// }
    ///
    /// async fn log_in(
    ///     mut session: TypedSession<Visitor>,
    ///     login: web::Form<Login>,
    /// ) -> impl Responder {
    ///     session.set_user_id(Some(7));
    ///     if login.remember_me {
    ///         session.handle().remember_for(Duration::from_secs(90 * 24 * 3600)); // 90 days
    ///     }
    ///     HttpResponse::NoContent()
    /// }
    /// ```
    pub fn remember_for(&self, duration: Duration) {
        let limits = Limits {
            max_age: Some(duration),
            persistent: Some(true),
            absolute_lifetime: Some(duration),
        };
        self.set_limits(limits, self.age());
    }

    /// Returns how long the session lives from now on if no request uses it: its `max_age`, or what
    /// is left of its absolute lifetime, if that is less.
    ///
    /// The `max_age` defaults to the middleware's
    /// [`max_age`](crate::SessionMiddlewareBuilder::max_age), which is 20 hours unless it is set.
    pub fn max_age(&self) -> Duration {
        let (active, age) = (self.active(), self.age());
        let (lifetimes, limits) = (&active.config.rules.lifetimes, active.state.borrow().limits());
        lifetimes.max_age(&limits).min(lifetimes.absolute(&limits).saturating_sub(age))
    }

    /// Sets how long this session lives without a request that uses it. The session stores it, so
    /// it also applies to later requests. So does a session that [`regenerate`](Self::regenerate)
    /// begins in this request.
    ///
    /// The session still ends with its [`absolute_lifetime`](Self::absolute_lifetime). A `max_age`
    /// of less than 1 ms destroys the session, as [`destroy`](Self::destroy) does.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::SessionHandle;
    /// use std::time::Duration;
    ///
    /// fn stay_logged_in(session: &mut SessionHandle) {
    ///     session.set_max_age(Duration::from_secs(14 * 24 * 3600)); // two weeks
    ///     session.set_persistent(true);
    /// }
    /// ```
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.set_limits(Limits { max_age: Some(max_age), ..Limits::default() }, Duration::ZERO);
    }

    /// Returns how long the session lives after it began, however often it is used. Defaults to the
    /// middleware's
    /// [`absolute_lifetime`](crate::SessionMiddlewareBuilder::absolute_lifetime), which is 30 days
    /// unless it is set.
    pub fn absolute_lifetime(&self) -> Duration {
        let limits = self.active().state.borrow().limits();
        self.active().config.rules.lifetimes.absolute(&limits)
    }

    /// Sets how long this session lives after it began, however often it is used. It can be more or
    /// less than the middleware's
    /// [`absolute_lifetime`](crate::SessionMiddlewareBuilder::absolute_lifetime). The session
    /// stores it, so it also applies to later requests. So does a session that
    /// [`regenerate`](Self::regenerate) begins in this request.
    ///
    /// Renewing the id does not begin a new session. [`remember_for`](Self::remember_for) sets a
    /// lifetime that begins now. A lifetime of less than 1 ms destroys the session, as
    /// [`destroy`](Self::destroy) does.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::SessionHandle;
    /// use std::time::Duration;
    ///
    /// /// Administrators log in every working day.
    /// fn limit_administrator(session: &SessionHandle) {
    ///     session.set_absolute_lifetime(Duration::from_secs(8 * 3600));
    /// }
    /// ```
    pub fn set_absolute_lifetime(&self, lifetime: Duration) {
        let limits = Limits { absolute_lifetime: Some(lifetime), ..Limits::default() };
        self.set_limits(limits, Duration::ZERO);
    }

    /// Whether the session's cookie outlives the browser. Defaults to the middleware's
    /// [`cookie_persistent`](crate::SessionMiddlewareBuilder::cookie_persistent).
    pub fn is_persistent(&self) -> bool {
        let limits = self.active().state.borrow().limits();
        limits.persistent.unwrap_or(self.active().config.rules.persistent)
    }

    /// Sets whether this session's cookie outlives the browser. The session stores it, so it also
    /// applies to later requests. So does a session that [`regenerate`](Self::regenerate) begins in
    /// this request.
    pub fn set_persistent(&mut self, persistent: bool) {
        let limits = Limits { persistent: Some(persistent), ..Limits::default() };
        self.set_limits(limits, Duration::ZERO);
    }

    /// Sets limits. The absolute lifetime begins when the session is `age` old.
    fn set_limits(&self, limits: Limits, age: Duration) {
        let durations = [limits.max_age, limits.absolute_lifetime];
        if durations.into_iter().flatten().any(|duration| whole_ms(duration) == 0) {
            self.end_session(Intent::Destroy);
        } else {
            self.active().state.borrow_mut().choose_limits(limits, age);
        }
    }

    /// How long ago the session began.
    fn age(&self) -> Duration {
        let created_at = self.active().state.borrow().created_at();
        let now = self.active().config.clock.now();
        created_at.map_or(Duration::ZERO, |created_at| now.saturating_since(created_at))
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.status()).finish()
    }
}

// The application's handles are counted: while there is none, no code reads the session.
impl SessionHandle {
    /// Creates a handle to an active session.
    pub(crate) fn new(session: Rc<RequestSession>) -> Self {
        let handles = &session.active().handles;
        handles.set(handles.get() + 1);
        Self(session)
    }

    #[inline]
    pub(crate) fn active(&self) -> &ActiveSession {
        self.0.active()
    }

    /// Returns a number that changes whenever a field of the session may read differently.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.active().state.borrow().generation
    }

    /// Returns the reader and writer of the session's fields.
    #[inline]
    pub(crate) fn fields(&self) -> Fields<'_> {
        self.active().fields()
    }
}

// For guards, which answer a request that they refuse.
impl SessionHandle {
    /// Whether the client presents its id in a header.
    pub(crate) fn is_in_header(&self) -> bool {
        self.active().presented.channel == IdChannel::Header
    }

    /// Whether the middleware takes ids as bearer tokens.
    pub(crate) fn takes_bearer(&self) -> bool {
        self.active().config.header == Some(HeaderSettings::Bearer)
    }

    /// The start of paths that a proxy has removed.
    pub(crate) fn stripped_prefix(&self) -> &str {
        &self.active().config.stripped_prefix
    }
}

impl Clone for SessionHandle {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.0))
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let handles = &self.active().handles;
        handles.set(handles.get() - 1);
    }
}
