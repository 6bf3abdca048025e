//! Sets up a memory store.

use std::{fmt, sync::Arc, time::Duration};

use tracing::warn;

use super::{shards::Shards, store::MemoryStore};
use crate::{
    store::sweeper::Sweeper,
    time::{Clock, SystemClock},
};

/// Sets up a [`MemoryStore`].
///
/// # Examples
/// ```
/// use actix_typed_session::MemoryStore;
///
/// let store = MemoryStore::builder().capacity(1_000_000).build();
/// assert!(store.is_empty());
/// ```
#[must_use = "`build` makes the store"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    sweep_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// Sets how many sessions the store holds. If it is full, a new session replaces the least
    /// recently used one. For example, `capacity(1_000_000)` suits a large site.
    ///
    /// Zero counts as one. Defaults to 100 000.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions.max(1);
        self
    }

    /// Sets how often a background thread frees expired sessions. For example,
    /// `sweep_interval(Some(Duration::from_secs(10)))` frees them sooner.
    ///
    /// `None`: never. An expired session is freed when a request asks for it, or when a new one
    /// needs its place.
    ///
    /// Defaults to 1 minute.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// Sets the clock that decides which sessions have expired. For example, a test passes a clock
    /// that it can move forward.
    ///
    /// Defaults to the clock of the operating system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the store.
    pub fn build(self) -> MemoryStore {
        let shards = Arc::new(Shards::new(self.capacity, self.clock));
        let sweeper = self.sweep_interval.and_then(|interval| {
            let sweep = |shards: &Shards| {
                shards.delete_expired();
            };
            Sweeper::start(&shards, interval, sweep)
                .inspect_err(|error| {
                    warn!(
                        event = "sweeper_not_started",
                        "expired sessions are freed only when a request asks for them: {error}"
                    );
                })
                .ok()
                .map(Arc::new)
        });
        MemoryStore { shards, _sweeper: sweeper }
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder")
            .field("capacity", &self.capacity)
            .field("sweep_interval", &self.sweep_interval)
            .finish_non_exhaustive()
    }
}

// These are here, and not in `store.rs`, because they need the builder.
impl MemoryStore {
    /// Creates a store with the default settings, for up to 100 000 sessions.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which changes the settings of a store.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: 100_000,
            sweep_interval: Some(Duration::from_secs(60)),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{
        store::memory::fixture::{HOUR, create},
        time::FakeClock,
    };

    #[test]
    fn expired_sessions_are_freed_in_the_background() {
        let clock = FakeClock::default();
        let store = MemoryStore::builder()
            .clock(clock.clone())
            .sweep_interval(Some(Duration::from_millis(1)))
            .build();
        (0..1_000).for_each(|n| create(&store, &clock, n));
        clock.advance(HOUR);
        for _ in 0..2_000 {
            if store.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{} expired sessions are still there after 10 s", store.len());
    }
}
