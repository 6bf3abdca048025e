//! Connections that calls have just used, for the next calls.
//!
//! The pool of sqlx tests a connection before it gives it out and when it takes it back. Each test
//! is a round trip. So several calls in a row use a connection before it goes back. Others wait for
//! the pool meanwhile: calls, and queries of the application. So half of its connections at most
//! are kept from it, in use or not, and each for a moment only.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Database, pool::PoolConnection};
use tokio::{runtime::Handle, time::sleep};

/// How long a connection waits for the next call. A server that was restarted in this time would
/// make that call fail.
const KEPT_FOR: Duration = Duration::from_millis(20);

/// How long a connection serves calls before it goes back to the pool.
const SERVES_FOR: Duration = Duration::from_millis(200);

/// Connections of a pool, the one that was used last at the end.
pub(crate) struct Kept<DB: Database> {
    limit: usize,
    state: Mutex<State<DB>>,
}

struct State<DB: Database> {
    unused: Vec<Unused<DB>>,
    /// How many are kept from the pool: those that are unused, and those that calls use.
    count: usize,
    /// Whether a task gives them back.
    is_watched: bool,
}

struct Unused<DB: Database> {
    connection: PoolConnection<DB>,
    /// When the pool has given it out.
    since: Instant,
    /// When a call has used it last.
    used: Instant,
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
        let Unused { connection, since, used } = state.unused.pop()?;
        drop(state);
        let place = Place { kept: Arc::clone(self), since };
        if used.elapsed() < KEPT_FOR {
            return Some((connection, place));
        }
        // Its runtime is busy, or has ended.
        give_back(connection);
        None
    }

    /// A place for a connection that the pool has just given out, if there is one.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place<DB>> {
        let mut state = self.state();
        let is_free = state.count < self.limit;
        state.count += usize::from(is_free);
        is_free.then(|| Place { kept: Arc::clone(self), since: Instant::now() })
    }

    /// Gives all unused connections back, because one was broken: the pool tests them.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        let unused = std::mem::take(&mut state.unused);
        state.count -= unused.len();
        drop(state);
        unused.into_iter().for_each(|unused| give_back(unused.connection));
    }
}

impl<DB: Database> Drop for Kept<DB> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The right to keep one connection. It ends with the drop.
pub(crate) struct Place<DB: Database> {
    kept: Arc<Kept<DB>>,
    /// When the pool has given the connection out.
    since: Instant,
}

impl<DB: Database> Place<DB> {
    /// Keeps a connection that has answered for the next call, or gives it back to the pool.
    pub(crate) fn put(self, connection: PoolConnection<DB>) {
        if self.since.elapsed() >= SERVES_FOR {
            return give_back(connection);
        }
        let mut state = self.kept.state();
        state.unused.push(Unused { connection, since: self.since, used: Instant::now() });
        // That of the connection. The drop ends this one.
        state.count += 1;
        if !state.is_watched {
            state.is_watched = true;
            let watch = Watch(Arc::clone(&self.kept));
            drop(state);
            tokio::spawn(async move { while watch.give_back_old().await {} });
        }
    }
}

impl<DB: Database> Drop for Place<DB> {
    fn drop(&mut self) {
        self.kept.state().count -= 1;
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
    /// Gives back what no call uses in time. Returns false if nothing is left.
    async fn give_back_old(&self) -> bool {
        sleep(KEPT_FOR).await;
        let mut state = self.0.state();
        let is_old = |unused: &mut Unused<DB>| unused.used.elapsed() >= KEPT_FOR;
        let old: Vec<_> = state.unused.extract_if(.., is_old).collect();
        state.count -= old.len();
        let is_left = !state.unused.is_empty();
        state.is_watched = is_left;
        drop(state);
        old.into_iter().for_each(|unused| give_back(unused.connection));
        is_left
    }
}

impl<DB: Database> Drop for Watch<DB> {
    fn drop(&mut self) {
        self.0.state().is_watched = false;
    }
}
