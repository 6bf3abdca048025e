//! Queues for the requests that write to the same session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::id::StoreKey;

/// MergeLocks for the requests of this process that merge into the same session: a queue for each session that is
/// contended for.
///
/// If all of them tried again at once, one would win each time, and with many of them an unlucky one would
/// lose again and again. In a queue each needs a try or two, and only those of other processes compete.
#[derive(Debug, Default)]
pub(crate) struct MergeLocks(Mutex<HashMap<StoreKey, Weak<tokio::sync::Mutex<()>>>>);

impl MergeLocks {
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
        let turns = MergeLocks::default();
        let [one, other] = [1, 2].map(|n| StoreKey::from_bytes([n; 32]));
        let turn = turns.wait(&one).now_or_never().expect("it is free");
        assert!(turns.wait(&one).now_or_never().is_none());
        let _other = turns.wait(&other).now_or_never().expect("it is another queue");
        drop(turn);
        let _turn = turns.wait(&one).now_or_never().expect("it is free again");
    }

    #[test]
    fn queues_that_nobody_stands_in_are_forgotten() {
        let turns = MergeLocks::default();
        for n in 0..100 {
            drop(turns.wait(&StoreKey::from_bytes([n; 32])).now_or_never());
        }
        assert_eq!(turns.0.lock().map(|queues| queues.len()).ok(), Some(1));
    }
}
