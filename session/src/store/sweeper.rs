//! The thread that frees expired sessions in the background.

use std::{
    io,
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// A background thread that sweeps a store. Dropping this ends the thread.
///
/// It is a thread and not a task, because it blocks. Also, it must not depend on the async runtime
/// that created the store, which may end earlier.
#[derive(Debug)]
pub(crate) struct Sweeper {
    // It sends nothing: the thread wakes when the sender is dropped.
    _stop: mpsc::Sender<()>,
}

impl Sweeper {
    /// Calls `sweep` once per interval, until the sweeper or its store is dropped.
    pub(crate) fn start<S: Send + Sync + 'static>(
        store: &Arc<S>,
        interval: Duration,
        sweep: fn(&S),
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let store: Weak<S> = Arc::downgrade(store);
        thread::Builder::new().name("session-sweeper".into()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let Some(store) = store.upgrade() else { break };
                sweep(&store);
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        for _ in 0..2_000 {
            if condition() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{what} did not happen within 10 s");
    }

    #[test]
    fn it_sweeps_repeatedly_until_it_is_dropped() {
        let store = Arc::new(AtomicUsize::new(0));
        let sweeper = Sweeper::start(&store, Duration::from_millis(1), |store| {
            store.fetch_add(1, Ordering::SeqCst);
        })
        .expect("a thread starts");
        wait_until("the third sweep", || store.load(Ordering::SeqCst) >= 3);
        let alive = Arc::downgrade(&store);
        drop(sweeper);
        drop(store);
        wait_until("the end of the thread", || alive.strong_count() == 0);
    }
}
