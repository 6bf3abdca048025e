//! Sessions for Actix Web where the session is your own struct.
//!
//! A session keeps data about a visitor between requests, such as the user's id or a shopping cart.
//! Two types do that:
//!
//! - [`SessionMiddleware`] wraps the application. It keeps the sessions in a store, and gives each
//!   client a cookie with a random id. It stores only the fields that a request changed.
//! - [`TypedSession`] gives a handler the session as a struct. Reading is field access. Writing is
//!   a call of a setter that [`derive(Session)`](derive@Session) generates, so every write is
//!   recorded.
//!
//! ```
//! use actix_typed_session::{MemoryStore, Session, SessionMiddleware, TypedSession};
//! use actix_web::{App, Responder, web};
//!
//! #[derive(Session)]
//! struct Visitor {
//!     #[session(merge = "add")] // concurrent increments add up
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
//! A route that does not extract a session makes no store call. A session that was never written is
//! not stored and sets no cookie.
//!
//! # Where to read on
//!
//! | to | read |
//! | --- | --- |
//! | start | [getting started](guide::getting_started) |
//! | declare a session | [`derive(Session)`](derive@Session) and its attributes |
//! | use a session in a handler | [`TypedSession`]; without its fields, [`SessionHandle`] |
//! | change a setting | [all settings](guide::settings); [`SessionMiddleware::builder`] |
//! | choose a store | [the stores](guide::getting_started#choose-a-store) |
//! | know what is stored, when, and what happens on errors | [semantics](guide::semantics) |
//! | know what concurrent requests do | [concurrent requests](guide::concurrent_requests) |
//! | know what browsers do with the cookie | [browsers](guide::browsers) |
//! | know which requests of other sites are refused | [cross-site requests](guide::csrf) |
//! | serve API clients, sign ids, use a proxy | [clients](guide::clients) |
//! | rename or move the cookie | [changing the cookie](guide::changing_the_cookie) |
//! | keep two sessions, log in with OAuth | [two sessions](guide::two_sessions) |
//! | let only some visitors use a handler | [`LoggedIn`], [`Guarded`]; [guide](guide::guards) |
//! | show a message once, on the next page | [flash messages](guide::flash_messages) |
//! | wrap the middlewares in the right order | [middlewares](guide::middlewares) |
//! | use sessions in WebSockets, in GraphQL | [WebSockets](guide::websockets), [GraphQL](guide::graphql) |
//! | change a struct while sessions are stored | [deploys](guide::deploys) |
//! | list, destroy and export a user's sessions | [`Sessions`]; [guide](guide::sessions_of_a_user) |
//! | destroy sessions of all users | [`AllSessions`]; [guide](guide::sessions_of_a_user) |
//! | list, end, check and copy sessions from a shell | [`typed-sessions`](guide::command_line) |
//! | test your site | [testing](guide::testing) |
//! | run on Redis or Valkey | [Redis in production](guide::redis) |
//! | encrypt sessions, or keep them in the cookie | [encrypted sessions](guide::sealing) |
//! | see numbers, keep an audit log, check health | [`observe`]; [guide](guide::observability) |
//! | show compliance | [OWASP ASVS 5.0](guide::asvs), line by line |
//! | know what a session costs | [speed](guide::speed) |
//! | know which crates come with it | [dependencies](guide::dependencies) |
//! | write a store | [`store::SessionStore`]; [guide](guide::writing_a_store) |
//! | move from another session library | [translated calls](guide::coming_from) |
//! | take over the sessions of your users | [`import`]; [guide](guide::switching) |
//! | move to another store | [`store::MovingStore`]; [guide](guide::moving) |
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `file` (enabled by default) | [`FileStore`]; adds the crates `rustix` and `tempfile` |
//! | `redis` | [`RedisStore`], for several processes or machines |
//! | `redis-tls` | [`RedisStore`] with TLS (`rediss:` URLs); adds the crate `rustls` |
//! | `encryption` | [`EncryptedStore`] and [`CookieStore`]; adds `chacha20poly1305` |
//! | `import-actix-session` | [`import`]s sessions of actix-session; adds `aes-gcm` |
//! | `import-express-session` | [`import`]s sessions of express-session |
//! | `import-synapps-session` | [`import`]s sessions of @synapps/session |
//! | `testing` | for tests: prepared sessions, a check of what releases store, laws of stores, a store that fails, a fake clock |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod crypto;
mod error;
mod fields;
mod guards;
pub mod guide;
mod id;
pub mod import;
mod middleware;
pub mod observe;
mod record;
mod request;
#[cfg(feature = "testing")]
mod schema;
mod sessions;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod transport;
mod typed;

#[doc(inline)]
pub use actix_typed_session_derive::Session;
#[cfg(feature = "encryption")]
pub use store::{CookieStore, EncryptedStore};
#[cfg(feature = "file")]
pub use store::{Durability, FileStore, FileStoreBuilder};
#[cfg(feature = "redis")]
pub use store::{RedisCredentials, RedisStore, RedisStoreBuilder};
#[cfg(any(test, feature = "testing"))]
pub use time::FakeClock;
pub use {
    config::OnOutage,
    crypto::{Key, KeyError},
    error::{BoxError, ConfigError, SessionError, StoreError, ValueError},
    fields::Union,
    guards::{GuardError, Guarded, LoggedIn, Login, LoginRule, Refusal, ReturnTo, Rule, require},
    id::{SessionId, SessionIdError},
    middleware::{SessionMiddleware, SessionMiddlewareBuilder},
    record::{Counter, PublicId, PublicIdError},
    request::{SessionHandle, Status},
    sessions::{
        AllSessions, DestroyedWhere, ExportedSession, IndexKey, ListedSession, OverLimit,
        SessionPage, Sessions, StoredSession,
    },
    store::{Backend, MemoryStore, MemoryStoreBuilder},
    time::{Clock, SystemClock, Timestamp},
    transport::{FormerCookie, SameSite},
    typed::{FieldMut, Session, TypedSession},
};

/// The items that generated code uses. They are not part of the public API, and change together
/// with the derive.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        fields::{
            Adoption, Field, FieldDescription, FieldSchema, Messages, Ordered, Schema,
            StoredDefault, StoredDeserialize, StoredInner, StoredSerialize, StoredWith,
            nested_option,
        },
        record::Counter,
        sessions::by,
        typed::{
            Accessors, Extraction, FieldError, FieldMut, FieldReader, Tracked, Visit, adopt,
            extract, loaded,
        },
    };
    pub use actix_web::{FromRequest, HttpRequest, dev::Payload};
    pub use serde::{Deserializer, Serializer};
    pub use std::{
        fmt::{Debug, Formatter, Result as FmtResult},
        ops::Deref,
    };
}

// Ends the test process if a log line contains a secret. The published package does not contain the
// watcher; see `watch_logs.rs`.
#[cfg(all(test, watch_logs))]
use actix_typed_session_log_watch as _;

/// Runs the code of the README as tests.
#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../README.md")]
struct Readme;
