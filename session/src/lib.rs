//! Sessions for Actix Web where the session is your own struct.
//!
//! ```
//! use actix_typed_session::{MemoryStore, Session, SessionMiddleware, TypedSession};
//! use actix_web::{App, Responder, web};
//!
//! #[derive(Session)]
//! struct Visitor {
//!     #[session(merge = "add")]
//!     views: u64,
//! }
//!
//! async fn index(mut session: TypedSession<Visitor>) -> impl Responder {
//!     session.set_views(session.views + 1);
//!     format!("{} views", session.views)
//! }
//!
//! let sessions = SessionMiddleware::new(MemoryStore::new());
//! let app = App::new().wrap(sessions.clone()).route("/", web::get().to(index));
//! ```
//!
//! # Map
//!
//! | to | look at |
//! | --- | --- |
//! | begin | [the guide](guide::getting_started) |
//! | declare a session | [`derive(Session)`](derive@Session) and its attributes |
//! | use one in a handler | [`TypedSession`]; without a struct, [`SessionHandle`] |
//! | set up the cookie, the limits, the ids | [`SessionMiddleware::builder`] |
//! | serve API clients, sign ids, stand behind a proxy, protect forms | [clients](guide::clients) |
//! | choose a store | [`FileStore`], [`MemoryStore`], [`RedisStore`] |
//! | encrypt what is stored, or store nothing | [sealed sessions](guide::sealing) |
//! | know what is guaranteed, and when | [the semantics](guide::semantics) |
//! | know what concurrent requests get | [concurrent requests](guide::concurrent_requests) |
//! | know what browsers do with it | [browsers](guide::browsers) |
//! | list and end the sessions of a user | [`Sessions`] and [the guide](guide::sessions_of_a_user) |
//! | answer an auditor | [OWASP ASVS 5.0](guide::asvs), line by line |
//! | run it on Redis or Valkey | [Redis in production](guide::redis) |
//! | know which crates it brings | [dependencies](guide::dependencies) |
//! | write a store | [`SessionStore`] and [how to](guide::writing_a_store) |
//! | find what you know from elsewhere | [their call, ours](guide::coming_from) |
//!
//! # Features
//!
//! | feature | why it exists |
//! | --- | --- |
//! | `file` (on by default) | [`FileStore`], the default store; it brings the `rustix` and `tempfile` crates |
//! | `redis` | [`RedisStore`], for several processes or machines |
//! | `redis-tls` | `rediss:` URLs, for a Redis behind TLS; it brings `rustls` |
//! | `sealed` | encryption: [`EncryptedStore`] around any store, [`CookieStore`] without one; it brings the `chacha20poly1305` crate |
//! | `conformance` | tests: the laws of [`SessionStore`] for any store, a store that fails when told so, and a fake clock; none of it belongs into a server |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod crypto;
mod error;
mod fields;
pub mod guide;
mod id;
mod middleware;
mod record;
mod request;
mod sessions;
mod store;
#[cfg(feature = "conformance")]
pub mod testing;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub use testing as conformance;
mod time;
mod transport;
mod typed;

#[doc(inline)]
pub use actix_typed_session_derive::Session;
#[cfg(feature = "sealed")]
pub use store::{CookieStore, EncryptedStore};
#[cfg(feature = "file")]
pub use store::{Durability, FileStore, FileStoreBuilder};
#[cfg(feature = "redis")]
pub use store::{RedisStore, RedisStoreBuilder};
#[cfg(any(test, feature = "conformance"))]
pub use time::FakeClock;
pub use {
    config::OnOutage,
    crypto::{InvalidKey, Key},
    error::{Cause, ConfigError, SessionError, StoreError, ValueError},
    fields::Union,
    id::{InvalidSessionId, SessionId, StoreKey},
    middleware::{SessionFuture, SessionMiddleware, SessionMiddlewareBuilder, SessionService},
    record::{
        Change, Counter, FieldName, Grace, Index, InvalidPublicId, NewExpiry, Number, OldId, Patch,
        PublicId, Record, RecordError, Refused,
    },
    request::{SessionHandle, Status},
    sessions::{By, OverLimit, Page, Sessions, StoredSession},
    store::{
        Backend, Created, DeleteExpired, FindByIndex, Found, LoadOptions, MemoryStore,
        MemoryStoreBuilder, SessionStore, Updated,
    },
    time::{Clock, Limits, SystemClock, Timestamp},
    transport::SameSite,
    typed::{FieldMut, Session, TypedSession},
};

/// What generated code uses. Not part of the public API: it changes together with the derive.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        fields::{
            Field, FieldSchema, Ordered, Schema, StoredDefault, StoredDeserialize, StoredSerialize,
        },
        record::Counter,
        sessions::by,
        typed::{
            Accessors, Extraction, FieldError, FieldMut, FieldReader, Tracked, Visit, extract,
        },
    };
    pub use actix_web::{FromRequest, HttpRequest, dev::Payload};
    pub use std::{
        fmt::{Debug, Formatter, Result as FmtResult},
        ops::Deref,
    };
}

// What the tests log tells no secret. The published package has no watcher; see `watch_logs.rs`.
#[cfg(all(test, watch_logs))]
use actix_typed_session_log_watch as _;

/// The code of the README, as tests.
#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../README.md")]
struct Readme;
