//! Whether the clock of this process agrees with that of Redis.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use crate::time::Timestamp;

/// A difference of this many milliseconds is not logged.
const TOLERANCE: u64 = 30_000;

/// Compares the clocks, and logs when they begin to differ.
#[derive(Debug, Default)]
pub(super) struct ClockCheck {
    differ: AtomicBool,
}

impl ClockCheck {
    /// Compares the time in this process with that of Redis a moment later.
    pub(super) fn compare(&self, own: Timestamp, redis: Timestamp) {
        let (own, redis) = (own.as_unix_ms(), redis.as_unix_ms());
        let difference = own.abs_diff(redis);
        let differ = difference > TOLERANCE;
        if self.differ.swap(differ, Ordering::Relaxed) || !differ {
            return;
        }
        let seconds = difference.saturating_add(500) / 1_000;
        if own < redis {
            warn!(
                event = "clock_behind",
                "the clock of this process is {seconds} s behind that of Redis, so sessions end \
                 that much too early; set both clocks, for example by NTP"
            );
        } else {
            warn!(
                event = "clock_ahead",
                "the clock of this process is {seconds} s ahead of that of Redis, so Redis keeps \
                 sessions that much longer than needed; set both clocks, for example by NTP"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_from_the_moment_that_they_are_half_a_minute_apart() {
        let clocks = ClockCheck::default();
        let at = Timestamp::from_unix_ms;
        let differ = |own, redis| {
            clocks.compare(at(own), at(redis));
            clocks.differ.load(Ordering::Relaxed)
        };
        assert!(!differ(100_000, 130_000) && !differ(100_000, 70_000));
        assert!(differ(100_000, 130_001) && differ(100_000, 69_999));
        assert!(!differ(100_000, 100_000), "they agree again");
    }
}
