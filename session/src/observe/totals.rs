//! What was counted until now.

use std::time::Duration;

use super::{
    histogram::{BOUNDS, Counted},
    metric::{METRICS, Metric},
    operation::{OPERATIONS, Operation},
};

/// What a [`SessionStats`](super::SessionStats) has counted since it was made.
///
/// No number ever shrinks. The numbers are read one after the other while requests go on, so two of
/// them may differ by the requests of that moment.
///
/// # Examples
/// ```
/// use actix_typed_session::observe::{Metric, Operation, SessionStats};
///
/// let totals = SessionStats::new().totals();
/// assert_eq!(totals.count(Metric::Created), 0);
/// assert_eq!(totals.calls(Operation::Load).count(), 0);
/// for metric in Metric::ALL {
///     println!("{}: {}", metric.name(), totals.count(*metric));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    pub(super) metrics: [u64; METRICS],
    pub(super) calls: [CallTotals; OPERATIONS],
}

/// The calls of one operation of the store: how many there were, and how long they took.
///
/// It has what a histogram of Prometheus or OpenTelemetry needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTotals(pub(super) Counted);

impl Totals {
    /// Returns a count.
    pub fn count(&self, metric: Metric) -> u64 {
        self.metrics[metric as usize]
    }

    /// Returns the calls of an operation.
    pub fn calls(&self, operation: Operation) -> &CallTotals {
        &self.calls[operation as usize]
    }

    /// Returns how many calls of the store failed.
    pub fn store_failures(&self) -> u64 {
        self.calls.iter().map(CallTotals::failures).sum()
    }
}

impl CallTotals {
    /// Returns how many calls ended, failed ones included. A call that the client did not wait for
    /// is not counted.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().sum()
    }

    /// Returns how many calls failed.
    pub fn failures(&self) -> u64 {
        self.0.failures
    }

    /// Returns how long all calls took together. Stores that answer at once, such as
    /// [`MemoryStore`](crate::MemoryStore), are counted without a time, because reading the clock
    /// would cost a part of the call.
    pub fn total_time(&self) -> Duration {
        Duration::from_nanos(self.0.nanoseconds)
    }

    /// Returns pairs of a bound and the number of calls that took at most so long.
    ///
    /// The bounds are fixed: 10 µs, 25 µs, 50 µs, 100 µs and so on to 10 s. Each number includes
    /// the one before it. [`count`](Self::count) is the number without a bound, `+Inf` in
    /// Prometheus.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut calls = 0;
        BOUNDS.into_iter().zip(self.0.buckets).map(move |(bound, more)| {
            calls += more;
            (bound, calls)
        })
    }
}
