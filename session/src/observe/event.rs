//! What happens to sessions.

use std::{fmt, net::SocketAddr, sync::Arc};

use actix_web::{
    HttpRequest,
    http::{
        Method, Uri,
        header::{HeaderValue, USER_AGENT},
    },
};

use super::{metric::Metric, operation::Operation};
use crate::{error::StoreError, record::PublicId};

/// Something that has happened to a session. An [`Observer`](super::Observer) gets it.
///
/// It has no session id, no key and no value, and its `Debug` output does not show the public id.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// What has happened.
    pub kind: EventKind<'a>,
    pub(super) request: Option<&'a EventRequest>,
    pub(super) public_id: Option<PublicId>,
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EventKind<'a> {
    /// A session began.
    Created,
    /// A session got a new id.
    Renewed(Renewal),
    /// A session was destroyed.
    Destroyed(DestroyedBy),
    /// The session of another program goes on here.
    Imported,
    /// The request's ids name no live session: expired, destroyed, malformed or made up. The
    /// visitor is a new one.
    UnknownId,
    /// The request has an id without a valid signature, where ids are signed. The visitor is a new
    /// one.
    SignatureRefused,
    /// A page of another origin may have caused the request, so it was refused.
    CrossOriginRefused,
    /// The form's CSRF token is not of this session.
    CsrfTokenRefused,
    /// A write could not be merged with the changes of other requests, so the request failed.
    ConflictGivenUp {
        /// The field whose merge rule is `reject`. `None`: every attempt met another change.
        field: Option<&'static str>,
    },
    /// A call of the store failed. This event has no request.
    StoreFailed {
        /// The call.
        operation: Operation,
        /// Why it failed. Print it with its whole chain of sources.
        error: &'a StoreError,
    },
}

/// Why a session got a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewal {
    /// A `privilege` field was changed, such as by a login.
    Privilege,
    /// The handler called [`renew`](crate::SessionHandle::renew).
    Renew,
    /// The handler called [`regenerate`](crate::SessionHandle::regenerate), which drops the data.
    Regenerate,
}

/// Who destroyed a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DestroyedBy {
    /// Its own request, by [`destroy`](crate::SessionHandle::destroy) or by
    /// [`regenerate`](crate::SessionHandle::regenerate) without new data.
    OwnRequest,
    /// Another one, a job or a tool, through [`Sessions`](crate::Sessions) or
    /// [`AllSessions`](crate::AllSessions).
    Sessions,
    /// [`enforce_limit`](crate::Sessions::enforce_limit), because the user has too many.
    Limit,
}

impl Event<'_> {
    /// Returns the name of the event in snake case, such as `signature_refused`, for log lines.
    pub fn name(&self) -> &'static str {
        match self.kind {
            EventKind::Created => "created",
            EventKind::Renewed(_) => "renewed",
            EventKind::Destroyed(_) => "destroyed",
            EventKind::Imported => "imported",
            EventKind::UnknownId => "unknown_id",
            EventKind::SignatureRefused => "signature_refused",
            EventKind::CrossOriginRefused => "cross_origin_refused",
            EventKind::CsrfTokenRefused => "csrf_token_refused",
            EventKind::ConflictGivenUp { .. } => "conflict_given_up",
            EventKind::StoreFailed { .. } => "store_failed",
        }
    }

    /// Returns the request that caused the event. `None`: a job or a tool did, through
    /// [`Sessions`](crate::Sessions), or a call of the store failed.
    ///
    /// [`destroy_others`](crate::Sessions::destroy_others) and
    /// [`enforce_limit`](crate::Sessions::enforce_limit) have the request of the handle that they
    /// are given, if its middleware has an observer too.
    pub fn request(&self) -> Option<&EventRequest> {
        self.request
    }

    /// Returns the public id of the session, if it has one: only sessions with an `index` field do.
    ///
    /// It does not give access to the session. It stays the same when the session id is renewed, so
    /// it connects the events of one session. In most laws it is personal data all the same.
    pub fn public_id(&self) -> Option<PublicId> {
        self.public_id
    }
}

impl fmt::Debug for Event<'_> {
    /// Omits the public id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl EventKind<'_> {
    /// The metric of the event. Failures of the store are counted per operation.
    pub(super) fn metric(&self) -> Option<Metric> {
        match self {
            Self::Created => Some(Metric::Created),
            Self::Renewed(_) => Some(Metric::Renewed),
            Self::Destroyed(_) => Some(Metric::Destroyed),
            Self::Imported => Some(Metric::Imported),
            Self::UnknownId => Some(Metric::UnknownIds),
            Self::SignatureRefused => Some(Metric::RefusedSignatures),
            Self::CrossOriginRefused => Some(Metric::RefusedCrossOrigin),
            Self::CsrfTokenRefused => Some(Metric::RefusedCsrfTokens),
            Self::ConflictGivenUp { .. } => Some(Metric::ConflictsGivenUp),
            Self::StoreFailed { .. } => None,
        }
    }
}

/// What an audit log needs of the request that caused an event. It has no cookie and no query.
#[derive(Clone)]
pub struct EventRequest {
    method: Method,
    uri: Uri,
    peer_addr: Option<SocketAddr>,
    real_ip: Option<Box<str>>,
    user_agent: Option<HeaderValue>,
}

/// The details of a request, for as many events as it has.
pub(crate) type RequestDetails = Arc<EventRequest>;

impl EventRequest {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let connection = request.connection_info();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer_addr: request.peer_addr(),
            real_ip: connection.realip_remote_addr().map(Into::into),
            user_agent: request.headers().get(USER_AGENT).cloned(),
        }
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Returns the address of the connection: the client's, or the proxy's if there is one. `None`:
    /// a Unix socket, or a test.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// Returns the client's address as a proxy says, from `Forwarded` or `X-Forwarded-For`. Without
    /// these headers, it is the connection's.
    ///
    /// **Clients can send these headers too.** Use it only behind a proxy that replaces them.
    pub fn realip_remote_addr(&self) -> Option<&str> {
        self.real_ip.as_deref()
    }

    /// Returns `User-Agent`, as far as it is visible ASCII. Clients can send any text.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_ref()?.to_str().ok()
    }
}

impl fmt::Debug for EventRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRequest")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}
