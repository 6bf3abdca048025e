//! A lock per value of an indexed field, which excludes all processes.
//!
//! It is a key that expires after [`LEASE`], so a process that crashed blocks others for that long.
//! An action that does not end in half of that time is given up, so that it never runs beside that
//! of the next owner.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    client::{Args, Retry},
    decode::is_one,
    keyspace::Keyspace,
    layout, script,
};
use crate::{
    error::StoreError,
    store::value_locks::{lock_key, lock_value},
};

/// After this time a lock is free, even if its owner has not released it.
const LEASE: Duration = Duration::from_secs(10);
/// An action must end within this time after its lock was asked for.
const MAX_RUN: Duration = Duration::from_secs(5);
/// How long to wait for another owner.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// How long to wait before asking for the lock again: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

impl Keyspace {
    /// Runs an action while no other process, and nothing else in this one, has the lock of a
    /// value.
    pub(super) async fn run_locked<T>(
        &self,
        value: &RawValue,
        action: impl Future<Output = T> + Send,
    ) -> Result<T, StoreError> {
        let key = lock_key(value);
        let _turn = lock_value(key).await;
        let name = self.prefix.clone() + &layout::lock_key(&key);
        let owner = format!("{:032x}", rand::random::<u128>());
        let until = self.lock(&name, &owner).await? + MAX_RUN;
        let Ok(done) = timeout_at(until, action).await else {
            // A call that was sent may still be carried out, so the lock is not released.
            let why = "it took too long to enforce a limit; the server is slow";
            return Err(StoreError::unavailable(why));
        };
        let mut args = Args::default();
        args.push(&owner);
        // OK because the lock expires.
        let _ = self.run_on(&script::UNLOCK, &[&name], &args, Retry::Idempotent).await;
        Ok(done)
    }

    /// Waits for a lock and takes it. Returns a time before that.
    async fn lock(&self, name: &str, owner: &str) -> Result<Instant, StoreError> {
        let mut args = Args::default();
        args.push(owner);
        args.push_number(LEASE.as_millis() as u64);
        let start = Instant::now();
        let [mut pause, longest] = PAUSES;
        loop {
            let now = Instant::now();
            let reply = self.run_on(&script::LOCK, &[name], &args, Retry::Idempotent).await?.reply;
            if is_one(&reply)? {
                return Ok(now);
            }
            if start.elapsed() > MAX_WAIT {
                let why = "another process has not released the lock of a value";
                return Err(StoreError::unavailable(why));
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }
}
