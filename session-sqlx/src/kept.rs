//! Connections that calls have just used, for the next calls.
//!
//! The pool of sqlx tests a connection before it gives it out and when it takes it back. Each test
//! is a round trip, and together they take longer than most calls. So a connection stays here for a
//! moment after a call. The application's own queries need the pool too, so half of its connections
//! at most are kept from it, in use or not. Those that no call uses go back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Database, pool::PoolConnection};
use tokio::{runtime::Handle, time::sleep};

/// How long a connection waits for the next call. A server that was restarted in this time would
/// make that call fail.
const KEPT_FOR: Duration = Duration::from_millis(20);

/// Connections of a pool, the one that was used last at the end.
pub(crate) struct Kept<DB: Database> {
    limit: usize,
    state: Mutex<State<DB>>,
}

struct State<DB: Database> {
    unused: Vec<(PoolConnection<DB>, Instant)>,
    /// How many are kept from the pool: those that are unused, and those that calls use.
    count: usize,
    /// Whether a task gives them back.
    is_watched: bool,
}

impl<DB: Database> Kept<DB> {
    /// No connections yet, and `limit` at most.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { unused: Vec::new(), count: 0, is_watched: false };
        Self { limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<DB>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that was used a moment ago.
    pub(crate) fn take(self: &Arc<Self>) -> Option<(PoolConnection<DB>, Place<DB>)> {
        let mut state = self.state();
        let (connection, used) = state.unused.pop()?;
        drop(state);
        let place = Place(Arc::clone(self));
        if used.elapsed() < KEPT_FOR {
            return Some((connection, place));
        }
        // Its runtime is busy, or has ended.
        give_back(connection);
        None
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place<DB>> {
        let mut state = self.state();
        let is_free = state.count < self.limit;
        state.count += usize::from(is_free);
        is_free.then(|| Place(Arc::clone(self)))
    }

    /// Gives all unused connections back, because one was broken: the pool tests them.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        let unused = std::mem::take(&mut state.unused);
        state.count -= unused.len();
        drop(state);
        unused.into_iter().for_each(|(connection, _)| give_back(connection));
    }
}

impl<DB: Database> Drop for Kept<DB> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The right to keep one connection. It ends with the drop.
pub(crate) struct Place<DB: Database>(Arc<Kept<DB>>);

impl<DB: Database> Place<DB> {
    /// Keeps a connection that has answered for the next call.
    pub(crate) fn put(self, connection: PoolConnection<DB>) {
        let mut state = self.0.state();
        state.unused.push((connection, Instant::now()));
        // That of the connection. The drop ends this one.
        state.count += 1;
        if !state.is_watched {
            state.is_watched = true;
            let watch = Watch(Arc::clone(&self.0));
            drop(state);
            tokio::spawn(async move { while watch.give_back_unused().await {} });
        }
    }
}

impl<DB: Database> Drop for Place<DB> {
    fn drop(&mut self) {
        self.0.state().count -= 1;
    }
}

/// Gives a connection back to its pool, which needs a runtime for that.
fn give_back<DB: Database>(connection: PoolConnection<DB>) {
    match Handle::try_current() {
        Ok(_) => drop(connection),
        Err(_) => drop(connection.detach()),
    }
}

/// The task that gives connections back. It ends when there are none, or with its runtime.
struct Watch<DB: Database>(Arc<Kept<DB>>);

impl<DB: Database> Watch<DB> {
    /// Gives back what was not used for a while. Returns false if nothing is left.
    async fn give_back_unused(&self) -> bool {
        sleep(KEPT_FOR).await;
        let mut state = self.0.state();
        let recent = state.unused.iter().position(|(_, used)| used.elapsed() < KEPT_FOR);
        let end = recent.unwrap_or(state.unused.len());
        let old: Vec<_> = state.unused.drain(..end).collect();
        state.count -= old.len();
        let is_left = !state.unused.is_empty();
        state.is_watched = is_left;
        drop(state);
        old.into_iter().for_each(|(connection, _)| give_back(connection));
        is_left
    }
}

impl<DB: Database> Drop for Watch<DB> {
    fn drop(&mut self) {
        self.0.state().is_watched = false;
    }
}
