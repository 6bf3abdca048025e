//! Writes what a request has changed over what other requests have stored meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};

use crate::{
    error::{SessionError, StoreError},
    id::StoreKey,
    merge::{MergedField, merge},
    patch::Patch,
    record::Record,
    store::{Answer, Updated},
};

/// What a request needs to merge its changes.
pub(crate) struct Merger {
    /// What it has read.
    pub(crate) base: Record,
    /// The fields that it has changed and that are merged.
    pub(crate) fields: Vec<&'static dyn MergedField>,
    pub(crate) turns: Arc<Turns>,
}

/// How often a change is laid over what is stored, and finds that it has changed once more.
const MERGE_ATTEMPTS: u32 = 50;
/// After how many of them a pause is made. Not after each: what the store has just told is out of date after
/// any pause, and another try at once is the likeliest to succeed.
const ATTEMPTS_IN_A_ROW: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

impl Merger {
    /// Makes the call with the patch. While another version than the patch expects is stored, merges the
    /// patch into that one and tries again.
    pub(crate) async fn write(
        merger: Option<Self>,
        key: &StoreKey,
        patch: &Patch,
        call: impl Fn(Patch) -> Answer<Updated>,
    ) -> Result<Updated, SessionError> {
        let (merger, mut current) = match (merger, call(patch.clone()).await?) {
            (Some(merger), Updated::Conflict(current)) => (merger, current),
            (_, updated) => return Ok(updated),
        };
        let turn = timeout(PATIENCE, merger.turns.wait(key)).await;
        let _turn = turn.map_err(StoreError::unavailable)?;
        for attempt in 1..=MERGE_ATTEMPTS {
            let merged = merge(patch, &merger.fields, &merger.base, &current)?;
            current = match call(merged).await? {
                Updated::Conflict(current) => current,
                updated => return Ok(updated),
            };
            if attempt % ATTEMPTS_IN_A_ROW == 0 {
                // Random, so that the processes that compete do not meet again.
                sleep(LONGEST_PAUSE.mul_f64(rand::random())).await;
            }
        }
        let why =
            "other requests changed the session again and again while this one merged its changes";
        Err(StoreError::unavailable(why).into())
    }
}

/// Turns for the requests of this process that merge into the same session: a queue for each session that is
/// contended for.
///
/// If all of them tried again at once, one would win each time, and with many of them an unlucky one would
/// lose again and again. In a queue each needs a try or two, and only those of other processes compete.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<StoreKey, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn. It ends when the answer is dropped.
    pub(crate) async fn wait(&self, key: &StoreKey) -> OwnedMutexGuard<()> {
        self.queue(key).lock_owned().await
    }

    fn queue(&self, key: &StoreKey) -> Arc<tokio::sync::Mutex<()>> {
        // OK because nothing that runs under the lock leaves the map half changed.
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // There are only as many as there are sessions in conflict right now.
        queues.retain(|_, queue| queue.strong_count() > 0);
        if let Some(queue) = queues.get(key).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::default();
        queues.insert(*key, Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_session_has_one_turn_and_another_has_its_own() {
        let turns = Turns::default();
        let [one, other] = [1, 2].map(|n| StoreKey::from_bytes([n; 32]));
        let turn = turns.wait(&one).now_or_never().expect("it is free");
        assert!(turns.wait(&one).now_or_never().is_none());
        let _other = turns.wait(&other).now_or_never().expect("it is another queue");
        drop(turn);
        let _turn = turns.wait(&one).now_or_never().expect("it is free again");
    }

    #[test]
    fn queues_that_nobody_stands_in_are_forgotten() {
        let turns = Turns::default();
        for n in 0..100 {
            drop(turns.wait(&StoreKey::from_bytes([n; 32])).now_or_never());
        }
        assert_eq!(turns.0.lock().map(|queues| queues.len()).ok(), Some(1));
    }
}
