//! Where the sessions of a middleware are: in a store, or with the client.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;

use super::{erased::ErasedStore, session_store::SessionStore};
use crate::{
    id::SessionId,
    time::Clock,
    transport::{CookieSettings, Presented},
};

/// What a [`SessionMiddleware`](crate::SessionMiddleware) keeps sessions in: any [`SessionStore`], or, with the
/// feature `sealed`, a `CookieStore`.
///
/// Nobody implements it directly; implement [`SessionStore`].
pub trait Backend: sealed::Sealed {}

impl<S: SessionStore> Backend for S {}

impl<S: SessionStore> sealed::Sealed for S {
    fn into_persistence(self) -> Persisted {
        Persisted(Persistence::Store(Arc::new(self)))
    }
}

pub(crate) mod sealed {
    /// What only this library implements.
    pub trait Sealed {
        /// Where the sessions are.
        fn into_persistence(self) -> super::Persisted;
    }
}

/// Where the sessions are.
#[allow(missing_debug_implementations, reason = "nobody outside the library gets one")]
pub struct Persisted(pub(crate) Persistence);

#[cfg_attr(
    not(feature = "encryption"),
    expect(dead_code, reason = "only sealed cookies carry them")
)]
pub(crate) enum Persistence {
    Store(Arc<dyn ErasedStore>),
    /// Each request brings its own along, and takes it back.
    Client(Arc<dyn CookieBackend>),
}

impl Persistence {
    pub(crate) fn cookie_holds(&self) -> CookieHolds {
        match self {
            Self::Store(_) => CookieHolds::Id,
            Self::Client(_) => CookieHolds::Session,
        }
    }
}

/// What the client's cookie is to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieHolds {
    /// The session is in a store, and the cookie has its id.
    Id,
    /// The session itself, so that each change is a new cookie.
    Session,
}

/// Reads the sessions that a request brings along.
pub(crate) trait CookieBackend: Send + Sync {
    fn open(
        &self,
        cookie: &Arc<CookieSettings>,
        clock: &Arc<dyn Clock>,
        headers: &HeaderMap,
    ) -> (Presented, Arc<dyn RequestStore>);
}

/// The sessions that one request has brought along: its own store.
pub(crate) trait RequestStore: ErasedStore {
    /// Tells it an id before a session is created under it or gets it.
    fn expect_id(&self, id: &SessionId);
    /// What the client must be told of the session with this id.
    fn cookie_change(&self, id: &SessionId) -> CookieChange;
}

/// What the client must be told of the session that it has sent.
#[cfg_attr(
    not(feature = "encryption"),
    expect(dead_code, reason = "only sealed cookies carry them")
)]
pub(crate) enum CookieChange {
    Nothing,
    /// The cookie's new value.
    Value(String),
    Ended,
}
