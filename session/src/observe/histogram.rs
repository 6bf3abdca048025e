//! How long calls take, in buckets with fixed bounds.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// The upper bounds of the buckets, bounds included. Longer calls are in one more bucket.
pub(super) const BOUNDS: [Duration; 19] = [
    us(10),
    us(25),
    us(50),
    us(100),
    us(250),
    us(500),
    us(1_000),
    us(2_500),
    us(5_000),
    us(10_000),
    us(25_000),
    us(50_000),
    us(100_000),
    us(250_000),
    us(500_000),
    us(1_000_000),
    us(2_500_000),
    us(5_000_000),
    us(10_000_000),
];

/// How many buckets there are, with that of the longest calls.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// The calls of one operation.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// How many calls are in each bucket. Together they are all calls.
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
    failures: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) buckets: [u64; BUCKETS],
    pub(super) nanoseconds: u64,
    pub(super) failures: u64,
}

impl Histogram {
    /// Counts a call.
    pub(super) fn record(&self, time: Duration, is_failure: bool) {
        let bucket = BOUNDS.iter().position(|bound| time <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        if !time.is_zero() {
            // OK because 64 bits hold 584 years.
            self.nanoseconds.fetch_add(time.as_nanos() as u64, Relaxed);
        }
        if is_failure {
            self.failures.fetch_add(1, Relaxed);
        }
    }

    /// Adds what was counted to a sum.
    pub(super) fn add_to(&self, sum: &mut Counted) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        sum.nanoseconds += self.nanoseconds.load(Relaxed);
        sum.failures += self.failures.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of(time: Duration) -> usize {
        let histogram = Histogram::default();
        histogram.record(time, false);
        let mut sum = Counted::default();
        histogram.add_to(&mut sum);
        sum.buckets.iter().position(|calls| *calls == 1).expect("it is counted")
    }

    #[test]
    fn bounds_ascend_and_belong_to_the_bucket_below() {
        assert!(BOUNDS.is_sorted_by(|one, other| one < other));
        for (place, bound) in BOUNDS.into_iter().enumerate() {
            assert_eq!(bucket_of(bound), place);
            assert_eq!(bucket_of(bound + Duration::from_nanos(1)), place + 1);
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BOUNDS.len());
    }

    #[test]
    fn times_and_failures_add_up() {
        let histogram = Histogram::default();
        for (time, is_failure) in [(us(3), false), (us(4), true), (Duration::ZERO, true)] {
            histogram.record(time, is_failure);
        }
        let mut sum = Counted::default();
        histogram.add_to(&mut sum);
        histogram.add_to(&mut sum);
        assert_eq!((sum.buckets[0], sum.nanoseconds, sum.failures), (6, 14_000, 4));
    }
}
