//! The laws of [`SessionStore`], as tests that any store can run.
//!
//! Enable the feature `conformance` in your `[dev-dependencies]`, say how your store is opened and how
//! time passes for it, and write one line:
//!
//! ```
//! use actix_typed_session::{
//!     Clock as _, FakeClock, MemoryStore, Timestamp, testing::Harness, store_conformance,
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
//! store_conformance!(Memory::default(), DeleteExpired, FindByIndex);
//! ```
//!
//! It generates one `#[test]` per claim, each named after the claim; a failure says which law is broken
//! and how. Put it in a module of its own, one for each kind of store.
//!
//! Law 11 says that a store has only the capabilities that it can keep, so they are named in the line:
//!
//! | capability | needs | proves |
//! | --- | --- | --- |
//! | `FindByIndex` | [`FindByIndex`](crate::FindByIndex) for the store | that sessions are found by what they hold, and by nothing else |
//! | `DeleteExpired` | [`DeleteExpired`](crate::DeleteExpired) for the store | that exactly the expired sessions are deleted |
//! | `Reopen` | [`Reopen`] for the harness | law 9: sessions are there after the store was closed and opened |
//! | `Damage` | [`Damage`] for the harness | law 10: damaged bytes harm one session |
//!
//! Law 9 speaks of crashes too; how to crash a store only its author knows. The tests of
//! [`FileStore`](crate::FileStore) kill a process in the middle of its writes and are an example.
//!
//! [`FaultyStore`] is for the tests of what uses a store: it fails, or is slow, when told so, and it
//! counts the calls.

mod faulty;
pub mod laws;

use std::{future::Future, sync::Arc, time::Duration};

pub use faulty::{Fault, FaultyStore, Operation};

use crate::{id::StoreKey, store::SessionStore, time::Timestamp};

/// How the kit gets at a store, and how time passes for it.
pub trait Harness: Send + Sync + 'static {
    /// The store.
    type Store: SessionStore;

    /// A store without sessions, apart from all others.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;

    /// The time on the store's clock.
    fn now(&self) -> Timestamp;

    /// Lets time pass: moves a [`FakeClock`](crate::FakeClock), or waits.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// The unit in which the kit lets time pass. An hour, for a fake clock; for a server with a clock of
    /// its own, a time that is long against the duration of a call and short to wait for, say 300 ms.
    fn tick(&self) -> Duration {
        Duration::from_secs(3600)
    }
}

/// The capability to close a store and open it again with all its sessions, as a restarted or a second
/// process does.
pub trait Reopen: Harness {
    /// Closes the store and opens it again.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Self::Store> + Send;
}

/// The capability to damage what is stored.
pub trait Damage: Harness {
    /// Puts these bytes in the place of the session's.
    fn damage(
        &self,
        store: &Self::Store,
        key: &StoreKey,
        bytes: &[u8],
    ) -> impl Future<Output = ()> + Send;
}

/// Runs one claim of [`laws`] on a runtime with several threads.
///
/// # Panics
/// The store breaks the law.
pub fn run<H, C>(harness: H, claim: impl FnOnce(Arc<H>) -> C)
where
    C: Future<Output = ()>,
{
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the system starts threads")
        .block_on(claim(Arc::new(harness)));
}

/// Tests a store against every law; see [`conformance`](crate::testing).
///
/// The first argument makes a `Harness`, once for each test. After it
/// stand the capabilities: `DeleteExpired`, `FindByIndex`, `Reopen`, `Damage`.
#[macro_export]
macro_rules! store_conformance {
    ($harness:expr $(, $capability:ident)* $(,)?) => {
        $crate::__store_conformance! { $harness;
            load_of_an_unknown_key_is_none,
            load_returns_what_was_created_byte_for_byte,
            load_fields_has_what_is_wanted_and_says_if_that_is_all,
            load_of_an_expired_session_is_none_from_the_moment_on,
            load_of_a_destroyed_session_is_none,
            sessions_do_not_see_each_other,
            create_never_overwrites,
            create_takes_the_key_of_an_expired_session,
            concurrent_creates_of_one_key_store_one,
            rotate_never_overwrites,
            update_changes_the_named_fields_only,
            update_takes_many_and_large_fields,
            update_stores_limits_and_expiry,
            update_that_begins_anew_keeps_nothing,
            concurrent_updates_of_different_fields_all_survive,
            update_touch_and_rotate_of_a_gone_session_bring_nothing_back,
            update_touch_and_rotate_of_an_expired_session_bring_nothing_back,
            update_against_destroy_does_not_revive,
            touch_against_destroy_does_not_revive,
            rotate_against_destroy_does_not_revive,
            rotate_against_update_loses_no_reported_change,
            concurrent_rotates_have_one_winner,
            rotate_moves_the_session_and_retires_the_old_key,
            rotate_may_leave_nothing_to_read_under_the_old_key,
            a_retired_session_takes_no_change,
            a_retired_session_ends_with_its_grace_and_never_later_than_before,
            concurrent_additions_add_up,
            additions_start_from_the_given_number,
            additions_work_on_every_number,
            a_patch_for_another_version_is_refused_as_a_whole,
            of_concurrent_writers_one_gets_each_version,
            destroy_is_idempotent_and_says_whether_something_was_there,
            destroy_follows_renewals,
            destroy_through_a_hidden_old_key_ends_nothing_else,
            touch_only_extends,
            load_and_touch_extends_as_told_or_not_at_all,
            load_and_touch_does_not_extend_a_retired_session,
            concurrent_touches_keep_the_latest,
            random_calls_agree_with_the_model,
            random_interleavings_keep_the_laws,
        }
        $( $crate::__store_capability! { $harness; $capability } )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_capability {
    ($harness:expr; DeleteExpired) => {
        $crate::__store_conformance! { $harness; delete_expired_deletes_expired_sessions_only, }
    };
    ($harness:expr; FindByIndex) => {
        $crate::__store_conformance! { $harness;
            a_session_is_found_after_create_update_and_rotate,
            a_session_is_found_by_each_of_its_indexed_fields,
            a_write_that_does_not_know_of_the_index_changes_it_too,
            a_session_is_found_by_every_kind_of_value,
            a_field_that_is_not_indexed_finds_nothing,
            a_changed_value_finds_no_longer,
            a_destroyed_session_is_not_found,
            an_expired_session_is_not_found_and_a_touched_one_is,
            a_session_begun_anew_is_found_by_its_new_values_only,
            a_refused_call_lets_nothing_be_found,
            pages_have_every_session_once_and_in_order,
            pages_are_complete_while_sessions_come_go_and_move,
            a_session_is_found_at_any_moment_of_a_renewal,
            what_is_found_after_random_calls_is_what_is_stored,
        }
    };
    ($harness:expr; Reopen) => {
        $crate::__store_conformance! { $harness; sessions_are_there_after_reopening, }
    };
    ($harness:expr; Damage) => {
        $crate::__store_conformance! { $harness; damaged_bytes_harm_one_session, }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_conformance {
    ($harness:expr; $($claim:ident,)*) => {
        $(
            #[test]
            fn $claim() {
                $crate::testing::run($harness, $crate::testing::laws::$claim)
            }
        )*
    };
}
