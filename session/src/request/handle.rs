//! The request's session without its struct: what can be done to it as a whole.

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
pub struct SessionHandle(Rc<RequestSession>);

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
                self.active().ids.current()
            }
            Status::Regenerated | Status::Destroyed | Status::Gone | Status::Unavailable => None,
        }
    }

    /// Where the session stands.
    pub fn status(&self) -> Status {
        let state = self.active().state.borrow();
        let in_flight = state.in_flight.as_ref().map(|in_flight| in_flight.changes.intent);
        match (&state.loaded, state.changes.intent.max(in_flight.unwrap_or_default())) {
            (Loaded::Gone { .. }, _) => Status::Gone,
            (_, Intent::Destroy) => Status::Destroyed,
            (Loaded::Nothing { .. }, _) if state.was_destroyed => Status::Destroyed,
            (Loaded::Nothing { .. }, _) => Status::New,
            (Loaded::Retired { .. }, _) => Status::Retired,
            (Loaded::Unavailable { .. } | Loaded::GivenAway { .. }, _) => Status::Unavailable,
            (Loaded::Live { .. }, Intent::Keep) => Status::Loaded,
            (Loaded::Live { .. }, Intent::Renew) => Status::Renewed,
            (Loaded::Live { .. }, Intent::Regenerate) => Status::Regenerated,
        }
    }

    /// Begins a new, empty session under a new id, and destroys the old one. Call it at login.
    ///
    /// The new session exists once something is written to it. For a grace period (10 s by default),
    /// requests that still carry the old id read as new visitors and change nothing.
    pub fn regenerate(&mut self) {
        self.end_session(Intent::Regenerate);
    }

    /// Gives the session a new id at the end of the request, and keeps its data. Call it when the
    /// client's rights change.
    ///
    /// For a grace period (10 s by default), requests that still carry the old id read the session as
    /// it is now and change nothing.
    pub fn renew(&mut self) {
        let changes = &mut self.active().state.borrow_mut().changes;
        changes.intent = changes.intent.max(Intent::Renew);
    }

    /// Deletes the session from the store at the end of the request, and its cookie from the client.
    ///
    /// It is carried out whatever the response is. What the request writes afterwards begins a new
    /// session with a new id.
    pub fn destroy(&mut self) {
        self.end_session(Intent::Destroy);
    }

    fn end_session(&self, intent: Intent) {
        let mut state = self.active().state.borrow_mut();
        state.changes.end_session(intent);
        state.bump();
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
        self.active().reload().await
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
        self.active().save().await
    }

    /// Extends the session at the end of the request, even if it was extended a moment ago.
    pub fn touch(&mut self) {
        self.active().state.borrow_mut().changes.touch = TouchMode::Now;
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
        let active = self.active();
        let is_new = {
            let mut state = active.state.borrow_mut();
            state.changes.needs_session = true;
            state.gets_new_id(&active.config.rules.privileges)
        };
        let id = if is_new {
            active.reserve_id()
        } else {
            // While the store is away, the id that the client presents is what it has when the store is back.
            let presented = || active.presented.claims().next().map(|claim| claim.id.clone());
            active.ids.current().cloned().or_else(presented)
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
        let active = self.active();
        let is_live = matches!(active.state.borrow().loaded, Loaded::Live { .. });
        match active.ids.first() {
            Some(id) if is_live && csrf::is_of(token, id) => Ok(()),
            _ => Err(SessionError::Csrf),
        }
    }

    /// How long the session lives without a request that uses it.
    pub fn max_age(&self) -> Duration {
        self.active().config.rules.lifetimes.max_age(&self.active().state.borrow().limits())
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
        let limits = self.active().state.borrow().limits();
        limits.persistent.unwrap_or(self.active().config.rules.persistent)
    }

    /// Lets this session's cookie outlive the browser, or not: "remember me".
    pub fn set_persistent(&mut self, persistent: bool) {
        self.set_limits(|limits| limits.persistent = Some(persistent));
    }

    fn set_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        let mut state = self.active().state.borrow_mut();
        let mut limits = state.limits();
        change(&mut limits);
        state.set_limits(limits);
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.status()).finish()
    }
}

// The handles that an application holds are counted: while there is none, nothing reads the session.
impl SessionHandle {
    /// A handle to a session that is active.
    pub(crate) fn new(session: Rc<RequestSession>) -> Self {
        let handles = &session.active().handles;
        handles.set(handles.get() + 1);
        Self(session)
    }

    #[inline]
    pub(crate) fn active(&self) -> &ActiveSession {
        self.0.active()
    }

    /// Counts the changes of what the fields read as.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.active().state.borrow().generation
    }

    /// The fields of the session, for session structs.
    #[inline]
    pub(crate) fn fields(&self) -> Fields<'_> {
        self.active().fields()
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
