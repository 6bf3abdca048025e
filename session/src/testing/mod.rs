//! For tests: prepared sessions for the tests of your site, a check of what its releases store, and
//! the laws of stores as tests.
//!
//! Enable the feature `testing` in your `[dev-dependencies]`.
//!
//! # Tests of your site
//!
//! | to test | use |
//! | --- | --- |
//! | a handler, without an app | [`TestSession`] |
//! | a request through your app and its middleware | [`TestSessions`], [`TestRequestExt`] |
//! | several requests of one client | [`TestClient`] |
//! | expiry | [`FakeClock`](crate::FakeClock), which the fixtures have as `clock()` |
//! | what a release would lose of stored sessions | [`StoredSchema`] |
//! | outages | [`FaultyStore`], which the fixtures have as `store()` |
//!
//! The guide has a test for [every case of a small shop](crate::guide::testing).
//!
//! # Tests of your store
//!
//! The laws of [`SessionStore`](crate::store::SessionStore) are tests that any store can run.
//! Describe how to open your store and how its time passes, then write one line:
//!
//! ```
//! use actix_typed_session::{
//!     Clock as _, FakeClock, MemoryStore, Timestamp, store_conformance, testing::Harness,
//! };
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct Memory(FakeClock);
//!
//! impl Harness for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn open(&self) -> MemoryStore {
//!         MemoryStore::builder().clock(self.0.clone()).build()
//!     }
//!
//!     fn now(&self) -> Timestamp {
//!         self.0.now()
//!     }
//!
//!     async fn advance(&self, by: Duration) {
//!         self.0.advance(by);
//!     }
//! }
//!
//! store_conformance!(Memory::default(), DeleteExpired, FindByIndex, ListAll);
//! ```
//!
//! The line generates one `#[test]` per claim, named after the claim. A failure names the law, what
//! the kit expected and what the store did. Use a separate module for each kind of store.
//!
//! Law 11 says that a store has only the capabilities that it can keep. Name them in the line:
//!
//! | capability | implemented by | proves |
//! | --- | --- | --- |
//! | [`DeleteExpired`](crate::store::DeleteExpired) | the store | only expired sessions are deleted |
//! | [`FindByIndex`](crate::store::FindByIndex) | the store | only sessions with the value are found |
//! | [`ListAll`](crate::store::ListAll) | the store | every record is listed, on pages |
//! | [`Reopen`] | the harness | law 9: sessions survive reopening the store |
//! | [`Damage`] | the harness | law 10: damaged bytes harm one session |
//!
//! Law 9 also covers crashes, and only a store's author can crash it. For an example, see the tests
//! of [`FileStore`](crate::FileStore): they kill a process in the middle of its writes.
//!
//! [`StoredSchema`] checks that a release reads what earlier ones have stored.
//!
//! [`FaultyStore`] tests code that uses a store: it injects errors and delays, and counts calls.

#[macro_use]
mod table;

mod faulty;
mod harness;
mod held_request;
mod jar;
#[doc(hidden)]
pub mod laws;
mod meanwhile;
mod outcome;
mod peek;
mod stored_schema;
mod test_client;
mod test_request;
mod test_session;
mod test_sessions;

#[doc(inline)]
pub use crate::observe::Operation;
#[doc(hidden)]
pub use harness::run;
pub use {
    faulty::{Fault, FaultyStore},
    harness::{Damage, Harness, Reopen},
    outcome::Outcome,
    stored_schema::StoredSchema,
    test_client::TestClient,
    test_request::{SessionRequest, TestRequestExt},
    test_session::TestSession,
    test_sessions::{MadeMiddleware, SessionSource, SessionValues, TestSessions},
};
