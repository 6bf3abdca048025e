//! The list of all laws. The public names and the generated tests come from it.

/// Tests a store against every law; see [`testing`](crate::testing).
///
/// The first argument is an expression that makes a [`Harness`](crate::testing::Harness); each test
/// evaluates it once. The store's capabilities follow: `DeleteExpired`, `FindByIndex`, `ListAll`,
/// `Reopen`, `Damage`.
#[macro_export]
macro_rules! store_conformance {
    ($harness:expr $(, $capability:ident)* $(,)?) => {
        $crate::__store_laws! { __test_store_laws ($harness) SessionStore }
        $( $crate::__store_laws! { __test_store_laws ($harness) $capability } )*
    };
}

/// Every law by capability, then by the file in `laws/` that has its function.
///
/// It passes the laws of one capability to another macro of this file. A function that is missing
/// here is dead code, and a name without a function does not compile: the list is complete.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_laws {
    ($macro:ident $context:tt SessionStore) => {
        $crate::$macro! { $context
            load {
                load_of_an_unknown_key_is_none,
                load_returns_what_was_created_byte_for_byte,
                load_of_some_fields_has_them_and_reports_whether_it_is_whole,
                load_of_an_expired_session_is_none_from_that_moment,
                load_of_a_destroyed_session_is_none,
                sessions_do_not_see_each_other,
            }
            create {
                create_never_overwrites,
                create_takes_the_key_of_an_expired_session,
                concurrent_creates_of_one_key_store_one,
                create_stores_a_retired_record_as_it_is,
            }
            update {
                update_changes_the_named_fields_only,
                update_takes_many_and_large_fields,
                update_stores_limits_and_expiry,
                a_reset_keeps_nothing_of_the_old_session,
                concurrent_updates_of_different_fields_all_survive,
                a_patch_for_another_version_is_refused_as_a_whole,
                of_concurrent_writers_one_gets_each_version,
            }
            add {
                concurrent_additions_add_up,
                additions_start_from_the_given_number,
                additions_work_on_every_number,
            }
            gone {
                update_touch_and_rotate_of_a_gone_session_bring_nothing_back,
                update_touch_and_rotate_of_an_expired_session_bring_nothing_back,
                update_against_destroy_does_not_revive,
                touch_against_destroy_does_not_revive,
                rotate_against_destroy_does_not_revive,
            }
            touch {
                touch_only_extends,
                load_and_touch_extends_as_asked_or_not_at_all,
                load_and_touch_does_not_extend_a_retired_session,
                concurrent_touches_keep_the_latest,
            }
            destroy {
                destroy_is_idempotent_and_reports_whether_something_was_there,
                destroy_follows_renewals,
                destroy_through_a_hidden_old_key_ends_nothing_else,
            }
            rotate {
                rotate_never_overwrites,
                rotate_moves_the_session_and_retires_the_old_key,
                rotate_may_leave_nothing_to_read_under_the_old_key,
                a_retired_session_takes_no_change,
                a_retired_session_ends_with_its_grace_and_never_later_than_before,
                rotate_against_update_loses_no_reported_change,
                concurrent_rotates_have_one_winner,
                a_repeated_rotate_has_the_outcome_of_the_first,
                a_rotate_to_another_key_is_not_a_repetition,
                a_repeated_rotate_brings_nothing_back,
            }
            sequences { random_calls_agree_with_the_model, }
            interleavings { random_interleavings_keep_the_laws, }
        }
    };
    ($macro:ident $context:tt DeleteExpired) => {
        $crate::$macro! { $context
            delete_expired { delete_expired_deletes_expired_sessions_only, }
        }
    };
    ($macro:ident $context:tt FindByIndex) => {
        $crate::$macro! { $context
            index {
                a_session_is_found_after_create_update_and_rotate,
                a_session_that_lasts_longer_is_found_for_longer,
                a_session_is_found_by_each_of_its_indexed_fields,
                a_write_that_names_no_index_changes_it_too,
                a_session_is_found_by_every_kind_of_value,
                a_field_that_is_not_indexed_finds_nothing,
                a_session_is_not_found_by_a_former_value,
                a_destroyed_session_is_not_found,
                an_expired_session_is_not_found_and_a_touched_one_is,
                a_reset_session_is_found_by_its_new_values_only,
                a_refused_call_does_not_change_the_index,
            }
            index_pages {
                pages_have_every_session_once_and_in_order,
                pages_are_complete_while_sessions_come_go_and_move,
                a_session_is_found_at_any_moment_of_a_renewal,
                sessions_found_after_random_calls_are_those_stored,
                one_exclusive_action_runs_at_a_time,
            }
        }
    };
    ($macro:ident $context:tt ListAll) => {
        $crate::$macro! { $context
            list_all {
                every_record_is_listed_as_it_is_stored,
                a_destroyed_or_expired_session_is_not_listed,
                sessions_are_listed_while_others_come_go_and_change,
            }
        }
    };
    ($macro:ident $context:tt Reopen) => {
        $crate::$macro! { $context
            reopen { sessions_are_there_after_reopening, }
        }
    };
    ($macro:ident $context:tt Damage) => {
        $crate::$macro! { $context
            damage { damaged_bytes_harm_one_session, }
        }
    };
    ($macro:ident $context:tt $other:ident) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is not a capability; use DeleteExpired, FindByIndex, ListAll, Reopen or Damage",
        ));
    };
}

/// Generates a test for each law.
#[doc(hidden)]
#[macro_export]
macro_rules! __test_store_laws {
    (($harness:expr) $($file:ident { $($law:ident,)* })*) => {
        $($(
            #[test]
            fn $law() {
                $crate::testing::run($harness, $crate::testing::laws::$law)
            }
        )*)*
    };
}

/// Re-exports each law's function, where the generated tests find it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_store_laws {
    (() $($file:ident { $($law:ident,)* })*) => {
        $( pub use self::$file::{$($law),*}; )*
    };
}
