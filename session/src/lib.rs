//! Sessions for Actix Web where the session is your own struct.

#[cfg(feature = "conformance")]
pub mod conformance;

mod config;
mod error;
mod expiry;
mod field;
mod handle;
mod id;
mod middleware;
mod number;
mod patch;
mod plan;
mod record;
mod store;
mod transport;
mod typed;

pub use actix_typed_session_derive::Session;
#[cfg(any(test, feature = "conformance"))]
pub use expiry::FakeClock;
pub use {
    config::SessionMiddlewareBuilder,
    error::{Cause, ConfigError, SessionError, StoreError, ValueError},
    expiry::{Clock, Limits, SystemClock, Timestamp},
    handle::{SessionHandle, Status},
    id::{InvalidSessionId, SessionId, StoreKey},
    middleware::{SessionMiddleware, SessionService},
    number::{Counter, Number},
    patch::{Change, NewExpiry, Patch, Refused},
    record::{FieldName, Grace, OldId, Record, RecordError},
    store::{
        Created, DeleteExpired, Durability, FileStore, FileStoreBuilder, MemoryStore,
        MemoryStoreBuilder, SessionStore, Updated,
    },
    transport::SameSite,
    typed::{FieldMut, Session, TypedSession},
};

/// What generated code uses. Not part of the public API: it changes together with the derive.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        field::{Field, FieldSchema, Schema, StoredDefault, StoredDeserialize, StoredSerialize},
        number::Counter,
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
