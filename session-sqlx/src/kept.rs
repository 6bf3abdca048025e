//! Connections that calls have just used, for the next calls.
//!
//! The pool of sqlx tests a connection before it gives it out and when it takes it back. Each test
//! is a round trip, and together they take longer than most calls. So a connection stays here for a
//! moment after a call. The application's own queries need the pool too, so half of its connections
//! at most are here, and those that no call uses go back.

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
    connections: Vec<(PoolConnection<DB>, Instant)>,
    /// Whether a task gives them back.
    is_watched: bool,
}

impl<DB: Database> Kept<DB> {
    /// No connections yet, and `limit` at most.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { connections: Vec::new(), is_watched: false };
        Self { limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<DB>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that was used a moment ago.
    pub(crate) fn take(&self) -> Option<PoolConnection<DB>> {
        let (connection, used) = self.state().connections.pop()?;
        if used.elapsed() < KEPT_FOR {
            return Some(connection);
        }
        // Its runtime is busy, or has ended.
        give_back(connection);
        None
    }

    /// Keeps a connection that has answered, or gives it back to the pool.
    pub(crate) fn put(self: &Arc<Self>, connection: PoolConnection<DB>) {
        let mut state = self.state();
        if state.connections.len() >= self.limit {
            drop(state);
            return give_back(connection);
        }
        state.connections.push((connection, Instant::now()));
        if !state.is_watched {
            state.is_watched = true;
            drop(state);
            let watch = Watch(Arc::clone(self));
            tokio::spawn(async move { while watch.give_back_unused().await {} });
        }
    }

    /// Gives all connections back, because one was broken: the pool tests them.
    pub(crate) fn clear(&self) {
        let connections = std::mem::take(&mut self.state().connections);
        connections.into_iter().for_each(|(connection, _)| give_back(connection));
    }
}

impl<DB: Database> Drop for Kept<DB> {
    fn drop(&mut self) {
        self.clear();
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
        let mut unused = Vec::new();
        let mut state = self.0.state();
        let first_used = state.connections.iter().position(|(_, used)| used.elapsed() < KEPT_FOR);
        let first_used = first_used.unwrap_or(state.connections.len());
        unused.extend(state.connections.drain(..first_used));
        let is_left = !state.connections.is_empty();
        state.is_watched = is_left;
        drop(state);
        unused.into_iter().for_each(|(connection, _)| give_back(connection));
        is_left
    }
}

impl<DB: Database> Drop for Watch<DB> {
    fn drop(&mut self) {
        self.0.state().is_watched = false;
    }
}
