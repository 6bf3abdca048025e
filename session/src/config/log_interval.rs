//! Log lines that many requests would repeat.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Timestamp;

/// How often the same failure is logged.
const INTERVAL: Duration = Duration::from_secs(60);

/// Limits how often a line is logged: once a minute.
#[derive(Debug, Default)]
pub(crate) struct LogInterval {
    /// The time of the next line, in milliseconds since 1970.
    next: AtomicU64,
}

impl LogInterval {
    /// Whether the line is to be logged now. Of several requests at once, one logs it.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let due = self.next.load(Ordering::Relaxed);
        let next = now.saturating_add(INTERVAL).as_unix_ms();
        // A clock that was set back must not silence the log.
        let is_due = now.as_unix_ms() >= due || next < due;
        is_due
            && self.next.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_logged_once_a_minute() {
        let interval = LogInterval::default();
        let at = |seconds: u64| Timestamp::from_unix_ms(1_000_000_000 + seconds * 1_000);
        let logged = [0, 1, 59, 60, 61, 119, 120].map(|seconds| interval.is_due(at(seconds)));
        assert_eq!(logged, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_silence_the_log() {
        let interval = LogInterval::default();
        assert!(interval.is_due(Timestamp::from_unix_ms(1_000_000_000)));
        assert!(interval.is_due(Timestamp::from_unix_ms(1_000)));
    }
}
