//! Where the sessions of a middleware are: in a store, or with the client.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;

use crate::{
    config::{Config, Connection},
    id::SessionId,
    plan::CookieHolds,
    store::{ErasedStore, SessionStore},
    transport::Presented,
};

/// What a [`SessionMiddleware`](crate::SessionMiddleware) keeps sessions in: any [`SessionStore`], or, with the
/// feature `sealed`, a `CookieStore`.
///
/// Nobody implements it directly; implement [`SessionStore`].
pub trait Backend: sealed::Sealed {}

impl<S: SessionStore> Backend for S {}

impl<S: SessionStore> sealed::Sealed for S {
    fn into_sessions(self) -> Sessions {
        Sessions(Place::Store(Arc::new(self)))
    }
}

pub(crate) mod sealed {
    /// What only this library implements.
    pub trait Sealed {
        /// Where the sessions are.
        fn into_sessions(self) -> super::Sessions;
    }
}

/// Where the sessions are.
#[allow(missing_debug_implementations, reason = "nobody outside the library gets one")]
pub struct Sessions(pub(crate) Place);

#[cfg_attr(not(feature = "sealed"), expect(dead_code, reason = "only sealed cookies carry them"))]
pub(crate) enum Place {
    Store(Arc<dyn ErasedStore>),
    /// Each request brings its own along, and takes it back.
    Client(Arc<dyn Carrier>),
}

impl Place {
    pub(crate) fn cookie_holds(&self) -> CookieHolds {
        match self {
            Self::Store(_) => CookieHolds::Id,
            Self::Client(_) => CookieHolds::Session,
        }
    }
}

/// Reads the sessions that a request brings along.
pub(crate) trait Carrier: Send + Sync {
    fn open(
        &self,
        config: &Arc<Config>,
        connection: Connection,
        headers: &HeaderMap,
    ) -> (Presented, Arc<dyn Carried>);
}

/// The sessions that one request has brought along: its own store.
pub(crate) trait Carried: ErasedStore {
    /// Tells it an id before a session is created under it or gets it.
    fn expect_id(&self, id: &SessionId);
    /// What the client must be told of the session with this id.
    fn news(&self, id: &SessionId) -> News;
}

/// What the client must be told of the session that it has sent.
#[cfg_attr(not(feature = "sealed"), expect(dead_code, reason = "only sealed cookies carry them"))]
pub(crate) enum News {
    Nothing,
    /// The cookie's new value.
    Value(String),
    Ended,
}
