//! Counts what happens to sessions.

use std::{
    array, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::available_parallelism,
    time::Duration,
};

use super::{
    histogram::{Counted, Histogram},
    metric::{METRICS, Metric},
    operation::{OPERATIONS, Operation},
    totals::{CallTotals, Totals},
};

/// Counts what happens to sessions, and how long the store takes. It is cheap to clone, and clones
/// count together.
///
/// Give it to [`SessionMiddlewareBuilder::stats`](crate::SessionMiddlewareBuilder::stats) and to
/// [`Sessions::stats`](crate::Sessions::stats), and read its [`totals`](Self::totals) where you
/// publish numbers. Several middlewares can share one.
///
/// Each thread counts in its own memory, so threads do not wait for each other. A request that
/// extracts no session counts nothing.
///
/// # Examples
/// ```
/// use actix_typed_session::{
///     MemoryStore, SessionMiddleware,
///     observe::{Metric, SessionStats},
/// };
///
/// let stats = SessionStats::new();
/// let sessions = SessionMiddleware::builder(MemoryStore::new()).stats(&stats).build()?;
/// // … requests …
/// assert_eq!(stats.totals().count(Metric::Created), 0);
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SessionStats(Arc<[Slot]>);

/// The numbers of some threads. It is larger than two cache lines, which processors load together,
/// so that no other thread's numbers are in them.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    metrics: [AtomicU64; METRICS],
    calls: [Histogram; OPERATIONS],
}

/// The most slots. More threads share them.
const MOST_SLOTS: usize = 64;

/// The number of the next thread that counts.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Relaxed);
}

impl SessionStats {
    /// Creates an instance that has counted nothing yet.
    pub fn new() -> Self {
        let threads = available_parallelism().map_or(1, usize::from);
        let slots = threads.next_power_of_two().min(MOST_SLOTS);
        Self((0..slots).map(|_| Slot::default()).collect())
    }

    /// Returns what was counted until now.
    pub fn totals(&self) -> Totals {
        let mut metrics = [0; METRICS];
        let mut calls = [Counted::default(); OPERATIONS];
        for slot in &*self.0 {
            for (sum, metric) in metrics.iter_mut().zip(&slot.metrics) {
                *sum += metric.load(Relaxed);
            }
            for (sum, histogram) in calls.iter_mut().zip(&slot.calls) {
                histogram.add_to(sum);
            }
        }
        Totals { metrics, calls: array::from_fn(|place| CallTotals(calls[place])) }
    }

    pub(super) fn count(&self, metric: Metric) {
        self.slot().metrics[metric as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn record(&self, operation: Operation, time: Duration, is_failure: bool) {
        self.slot().calls[operation as usize].record(time, is_failure);
    }

    fn slot(&self) -> &Slot {
        &self.0[THREAD.with(|thread| *thread) & (self.0.len() - 1)]
    }
}

impl Default for SessionStats {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SessionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionStats").field(&self.totals()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_all_threads_count_adds_up() {
        let stats = SessionStats::new();
        thread::scope(|scope| {
            for _ in 0..2 * MOST_SLOTS {
                scope.spawn(|| {
                    for _ in 0..100 {
                        stats.count(Metric::Loaded);
                        stats.clone().record(Operation::Load, Duration::from_micros(30), true);
                    }
                });
            }
        });
        let totals = stats.totals();
        let all = 2 * MOST_SLOTS as u64 * 100;
        assert_eq!((totals.count(Metric::Loaded), totals.count(Metric::Created)), (all, 0));
        let loads = totals.calls(Operation::Load);
        assert_eq!((loads.count(), loads.failures(), totals.store_failures()), (all, all, all));
        assert_eq!(loads.total_time(), Duration::from_micros(30 * all));
        let buckets: Vec<_> = loads.buckets().map(|(_, calls)| calls).collect();
        assert_eq!(buckets[..4], [0, 0, all, all]);
        assert_eq!(*totals.calls(Operation::Find), CallTotals::default());
    }

    #[test]
    fn no_two_slots_share_a_cache_line() {
        assert_eq!((size_of::<Slot>() % 128, align_of::<Slot>()), (0, 128));
    }
}
