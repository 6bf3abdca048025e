//! Locks for calls of this process that must not run at the same time for one value of a field.

use std::sync::LazyLock;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::merge_locks::MergeLocks;
use crate::id::StoreKey;

/// The locks of all stores. Those of two stores may wait for each other, which does no harm.
static LOCKS: LazyLock<MergeLocks> = LazyLock::new(MergeLocks::default);

/// What names the lock of a value.
pub(crate) fn lock_key(value: &RawValue) -> StoreKey {
    StoreKey::from_bytes(Sha256::digest(value.get()).into())
}

/// Waits for the lock of a value. The lock is released when the guard is dropped.
pub(crate) async fn lock_value(key: StoreKey) -> OwnedMutexGuard<()> {
    LOCKS.wait(&key).await
}
