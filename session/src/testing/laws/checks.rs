//! The calls and checks that every law uses. Each failure says the law, what the kit expected and
//! what the store did.

use std::{
    fmt::{Debug, Display},
    future::Future,
};

use super::records::seen;
use crate::{
    error::StoreError,
    id::StoreKey,
    record::Record,
    store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};

/// Fails if the store did something else than the law expects.
#[track_caller]
pub(super) fn expect_eq<A, E>(law: impl Display, actual: A, expected: E)
where
    A: Debug + PartialEq<E>,
    E: Debug,
{
    assert!(actual == expected, "{law}\n  expected: {expected:?}\n       got: {actual:?}");
}

/// Fails if `holds` is false. `got` describes what the store did.
#[track_caller]
pub(super) fn expect(law: impl Display, holds: bool, got: impl Debug) {
    assert!(holds, "{law}\n  expected: that this holds\n       got: {got:?}");
}

/// Returns the answer of a store that must not fail.
pub(super) async fn ok<T>(call: impl Future<Output = Result<T, StoreError>>) -> T {
    match call.await {
        Ok(answer) => answer,
        Err(error) => panic!(
            "all laws: a call of a working store succeeds\n  expected: an answer\n       got: \
             {error} ({error:?})"
        ),
    }
}

/// Stores a session under a key that is free.
pub(super) async fn create<S: SessionStore>(store: &S, key: &StoreKey, record: &Record) {
    let created = ok(store.create(key, record)).await;
    expect_eq("law 2: `create` stores a session under a free key", created, CreateOutcome::Stored);
}

/// Loads a session that must be there.
pub(super) async fn load<S: SessionStore>(store: &S, key: &StoreKey) -> Record {
    is_there(try_load(store, key).await)
}

/// Loads a session that may be gone.
pub(super) async fn try_load<S: SessionStore>(store: &S, key: &StoreKey) -> Option<Record> {
    ok(store.load(key, &LoadOptions::default())).await
}

/// Loads these fields of a session that must be there.
pub(super) async fn load_fields<S: SessionStore>(
    store: &S,
    key: &StoreKey,
    fields: &[&str],
) -> Record {
    is_there(try_load_fields(store, key, fields).await)
}

/// Loads these fields of a session that may be gone.
pub(super) async fn try_load_fields<S: SessionStore>(
    store: &S,
    key: &StoreKey,
    fields: &[&str],
) -> Option<Record> {
    ok(store.load(key, &LoadOptions::default().with_fields(fields))).await
}

/// Loads and touches a session that must be there.
pub(super) async fn load_and_touch<S: SessionStore>(
    store: &S,
    key: &StoreKey,
    options: &LoadOptions<'_>,
) -> Record {
    is_there(try_load_and_touch(store, key, options).await)
}

/// Loads and touches a session that may be gone.
pub(super) async fn try_load_and_touch<S: SessionStore>(
    store: &S,
    key: &StoreKey,
    options: &LoadOptions<'_>,
) -> Option<Record> {
    ok(store.load(key, options)).await
}

#[track_caller]
fn is_there(loaded: Option<Record>) -> Record {
    loaded.unwrap_or_else(|| {
        panic!(
            "law 1: a load returns a session that is stored and has not expired\n  expected: the \
             session\n       got: None"
        )
    })
}

/// Fails if the session can be loaded.
pub(super) async fn expect_gone<S: SessionStore>(law: impl Display, store: &S, key: &StoreKey) {
    let loaded = try_load(store, key).await.as_ref().map(seen);
    expect_eq(law, loaded, None);
}

/// Fails if the change was refused. Returns the record's version.
#[track_caller]
pub(super) fn expect_applied(updated: &UpdateOutcome) -> u64 {
    match updated {
        UpdateOutcome::Applied { version } => *version,
        other => panic!(
            "law 3: a change of a live session is applied\n  expected: Applied\n       got: \
             {other:?}"
        ),
    }
}

/// Fails if the call did not report that the session is gone.
#[track_caller]
pub(super) fn expect_reported_gone(updated: &UpdateOutcome) {
    expect(
        "law 4: a change of a session that is gone reports `UpdateOutcome::Gone`",
        matches!(updated, UpdateOutcome::Gone),
        updated,
    );
}
