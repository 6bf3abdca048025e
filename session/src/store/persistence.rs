//! Where a middleware keeps sessions: in a store, or in the client's cookie.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;

use super::{erased::ErasedStore, session_store::SessionStore};
use crate::{
    id::SessionId,
    time::Clock,
    transport::{CookieSettings, Presented},
};

/// Marks the types in which a [`SessionMiddleware`](crate::SessionMiddleware) can keep sessions:
/// any [`SessionStore`] and, with the feature `encryption`, `CookieStore`.
///
/// You cannot implement it. Implement [`SessionStore`] instead.
pub trait Backend: sealed::Sealed {}

impl<S: SessionStore> Backend for S {}

impl<S: SessionStore> sealed::Sealed for S {
    fn into_persistence(self) -> Persisted {
        Persisted(Persistence::Store(Arc::new(self)))
    }
}

pub(crate) mod sealed {
    /// Keeps other crates from implementing [`Backend`](super::Backend).
    pub trait Sealed {
        /// Converts a store into the form that the middleware uses.
        fn into_persistence(self) -> super::Persisted;
    }
}

/// Wraps a [`Persistence`], which is private, for the public trait.
#[allow(missing_debug_implementations, reason = "other crates cannot get a value")]
pub struct Persisted(pub(crate) Persistence);

/// Where a middleware keeps sessions.
#[cfg_attr(
    not(feature = "encryption"),
    expect(dead_code, reason = "only `CookieStore` keeps sessions with the client")
)]
pub(crate) enum Persistence {
    Store(Arc<dyn ErasedStore>),
    /// Each request carries its session, and the response carries it back.
    Client(Arc<dyn CookieBackend>),
}

impl Persistence {
    /// Whether every store call is answered when it is first polled.
    pub(crate) fn is_immediate(&self) -> bool {
        match self {
            Self::Store(store) => store.is_immediate(),
            Self::Client(_) => true,
        }
    }

    pub(crate) fn cookie_holds(&self) -> CookieHolds {
        match self {
            Self::Store(_) => CookieHolds::Id,
            Self::Client(_) => CookieHolds::Session,
        }
    }
}

/// What the client's cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieHolds {
    /// The id of a session in a store.
    Id,
    /// The session itself, so that every change needs a new cookie.
    Session,
}

/// Opens the sessions that a request carries in its cookies.
pub(crate) trait CookieBackend: Send + Sync {
    fn open(
        &self,
        cookie: &Arc<CookieSettings>,
        clock: &Arc<dyn Clock>,
        headers: &HeaderMap,
        with_formers: bool,
    ) -> (Presented, Arc<dyn RequestStore>);
}

/// A store of the sessions that one request carries in its cookies.
pub(crate) trait RequestStore: ErasedStore {
    /// Announces an id, before a session is created under it or moved to it.
    fn expect_id(&self, id: &SessionId);
    /// Returns what the response must do with the cookie of the session with this id.
    fn cookie_change(&self, id: &SessionId) -> CookieChange;
}

/// What the response must do with a cookie that holds a session.
#[cfg_attr(
    not(feature = "encryption"),
    expect(dead_code, reason = "only `CookieStore` keeps sessions in cookies")
)]
pub(crate) enum CookieChange {
    /// Leave the cookie as it is.
    Nothing,
    /// Set this value.
    Value(String),
    /// Remove the cookie.
    Ended,
}
