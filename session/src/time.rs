//! When a session ends: points in time, the clock that tells them, and the limits that apply.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point this many milliseconds after the Unix epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// The point this much later; the end of time when there is none.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(duration)))
    }

    /// How much later this point is than an earlier one; zero when it is not later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The milliseconds of a duration, as many as fit.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, whole_ms))
    }
}

/// Tells the time.
///
/// Every part that needs the time asks a clock, so that tests can hold it in their hands.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock, exact to a few milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A request looks at the clock three or four times. The time of the latest tick costs 5 ns, the exact one 30.
        #[cfg(all(target_os = "linux", feature = "file"))]
        {
            use rustix::time::{ClockId, clock_gettime};

            let now = clock_gettime(ClockId::RealtimeCoarse);
            let ms = now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000);
            // Times before 1970 become 1970.
            Timestamp(u64::try_from(ms).unwrap_or(0))
        }
        // `rustix` comes with the files.
        #[cfg(not(all(target_os = "linux", feature = "file")))]
        SystemTime::now().into()
    }
}

/// A clock that stands still until a test moves it. Clones show the same time.
///
/// # Examples
/// ```
/// use actix_typed_session::{Clock as _, FakeClock};
/// use std::time::Duration;
///
/// let clock = FakeClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().saturating_since(before), Duration::from_secs(60));
/// ```
#[cfg(any(test, feature = "conformance"))]
#[derive(Clone)]
pub struct FakeClock(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[cfg(any(test, feature = "conformance"))]
impl FakeClock {
    /// A clock that shows this time.
    pub fn new(now: Timestamp) -> Self {
        Self(std::sync::Arc::new(now.0.into()))
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(whole_ms(by), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "conformance"))]
impl Default for FakeClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp(1_767_225_600_000))
    }
}

#[cfg(any(test, feature = "conformance"))]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(any(test, feature = "conformance"))]
impl std::fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeClock({:?})", self.now())
    }
}

/// The limits that one session has set for itself; they are stored with it and outlive the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long the session lives without a request, instead of the middleware's `max_age`.
    pub max_age: Option<Duration>,
    /// Whether its cookie outlives the browser, instead of the middleware's `persistent`.
    pub persistent: Option<bool>,
}

/// The middleware's limits for every session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    /// The least that a touch must win before it is made; `None` is 1/60 of the idle time.
    pub(crate) touch_interval: Option<Duration>,
}

impl Lifetimes {
    pub(crate) fn max_age(&self, limits: &Limits) -> Duration {
        limits.max_age.unwrap_or(self.idle)
    }

    /// The point after which no request extends a session made at `created_at`.
    pub(crate) fn deadline(&self, created_at: Timestamp) -> Timestamp {
        created_at.saturating_add(self.absolute)
    }

    /// When a session that is used `now` expires.
    pub(crate) fn expires_at(
        &self,
        created_at: Timestamp,
        limits: &Limits,
        now: Timestamp,
    ) -> Timestamp {
        now.saturating_add(self.max_age(limits)).min(self.deadline(created_at))
    }

    /// Whether sessions are touched so often that it is worth to do it while they are loaded.
    pub(crate) fn touches_often(&self) -> bool {
        self.touch_interval.is_some_and(|interval| interval < self.idle / 60)
    }

    /// Whether an extension from `from` to `to` is worth a write.
    pub(crate) fn worth_touching(&self, limits: &Limits, from: Timestamp, to: Timestamp) -> bool {
        let interval = self.touch_interval.unwrap_or(self.max_age(limits) / 60);
        to > from && to.saturating_since(from) >= interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LIFETIMES: Lifetimes =
        Lifetimes { idle: HOUR, absolute: Duration::from_secs(10 * 3600), touch_interval: None };

    fn at(minutes: u64) -> Timestamp {
        Timestamp(minutes * 60_000)
    }

    #[test]
    fn the_system_clock_tells_the_time() {
        let exact = || Timestamp::from(SystemTime::now());
        let before = exact();
        let now = SystemClock.now();
        // A tick may be 10 ms long.
        assert!(now.saturating_add(Duration::from_millis(50)) >= before, "{now:?} {before:?}");
        assert!(now <= exact());
    }

    #[test]
    fn a_session_expires_an_idle_time_after_its_last_use() {
        let limits = Limits::default();
        assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(30)), at(90));
    }

    #[test]
    fn no_use_extends_a_session_past_its_absolute_lifetime() {
        let limits = Limits::default();
        assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(590)), at(600));
        assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(700)), at(600));
    }

    #[test]
    fn a_session_with_a_max_age_of_its_own_uses_that() {
        let limits = Limits { max_age: Some(2 * HOUR), ..Limits::default() };
        assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(30)), at(150));
    }

    #[test]
    fn a_touch_is_worth_a_sixtieth_of_the_idle_time() {
        let limits = Limits::default();
        assert!(!LIFETIMES.worth_touching(&limits, at(60), Timestamp(at(61).0 - 1)));
        assert!(LIFETIMES.worth_touching(&limits, at(60), at(61)));
    }

    #[test]
    fn a_touch_that_wins_nothing_is_not_made() {
        let eager = Lifetimes { touch_interval: Some(Duration::ZERO), ..LIFETIMES };
        assert!(!eager.worth_touching(&Limits::default(), at(60), at(60)));
        assert!(!eager.worth_touching(&Limits::default(), at(60), at(59)));
    }

    #[test]
    fn endless_durations_saturate() {
        let endless = Lifetimes { idle: Duration::MAX, absolute: Duration::MAX, ..LIFETIMES };
        assert_eq!(endless.expires_at(at(1), &Limits::default(), at(1)), Timestamp(u64::MAX));
    }
}
