//! When a session ends: points in time, clocks, and the limits that apply.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// With serde it is the number of milliseconds, as in stored records; JavaScript reads it with
/// `new Date(ms)`. It displays as RFC 3339 in UTC.
///
/// # Examples
/// ```
/// use actix_typed_session::Timestamp;
/// use std::time::SystemTime;
///
/// let time = Timestamp::from_unix_ms(1_767_225_600_123);
/// assert_eq!(time.to_string(), "2026-01-01T00:00:00.123Z");
/// assert_eq!(Timestamp::from(SystemTime::from(time)), time);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last millisecond of the year 9999, which RFC 3339 and every platform can represent.
    pub(crate) const END_OF_9999: Self = Self(253_402_300_799_999);

    /// The point this many milliseconds after the Unix epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// The point this much later, or the latest `Timestamp` if the sum does not fit.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(duration)))
    }

    /// The time between an earlier point and this one; zero if this one is not later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The duration in whole milliseconds, as stores keep it.
fn in_whole_ms(duration: Duration) -> Duration {
    Duration::from_millis(whole_ms(duration))
}

/// The whole milliseconds of a duration, at most `u64::MAX`.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    // Cheaper than `as_millis`, which has 128 bits.
    duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis().into())
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, whole_ms))
    }
}

impl From<Timestamp> for SystemTime {
    /// Times that the platform cannot represent become the end of the year 9999.
    fn from(time: Timestamp) -> Self {
        let after_epoch = |time: Timestamp| Duration::from_millis(time.0);
        UNIX_EPOCH
            .checked_add(after_epoch(time))
            .unwrap_or_else(|| UNIX_EPOCH + after_epoch(Timestamp::END_OF_9999))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds. Years after 9999 have more than four digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MS_PER_DAY: u64 = 86_400_000;
        let (year, month, day) = civil_date(self.0 / MS_PER_DAY);
        let ms = self.0 % MS_PER_DAY;
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from the days since 1970-01-01.
///
/// Years begin in March here, so that the leap day is the last day of its year. The calendar
/// repeats every 400 years, which are 146 097 days. (Howard Hinnant's `civil_from_days`.)
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

/// A source of the current time.
///
/// Every part that needs the time asks its clock. The default is [`SystemClock`]; tests use
/// `FakeClock` (feature `testing`), which moves only when the test says so.
///
/// # Examples
/// ```
/// use actix_typed_session::{Clock, Timestamp};
/// use std::time::{Duration, SystemTime};
///
/// /// A clock that runs an hour ahead.
/// struct Ahead;
///
/// impl Clock for Ahead {
///     fn now(&self) -> Timestamp {
///         Timestamp::from(SystemTime::now()).saturating_add(Duration::from_secs(3_600))
///     }
/// }
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock, exact to a few milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A request reads the clock three or four times. The time of the latest tick takes 5 ns to
        // read, the exact time 30 ns.
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

/// A clock that stands still until a test moves it. Clones share one time.
///
/// It starts at 2026-01-01T00:00:00Z by default.
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
#[cfg(any(test, feature = "testing"))]
#[derive(Clone)]
pub struct FakeClock(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[cfg(any(test, feature = "testing"))]
impl FakeClock {
    /// A clock that stands at this time.
    pub fn new(now: Timestamp) -> Self {
        Self(std::sync::Arc::new(now.0.into()))
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(whole_ms(by), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "testing"))]
impl Default for FakeClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp(1_767_225_600_000))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(any(test, feature = "testing"))]
impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeClock({:?})", self.now())
    }
}

/// The limits that one session has set for itself. They are stored with the session.
///
/// # Examples
/// ```
/// use actix_typed_session::store::Limits;
///
/// let mut limits = Limits::default(); // those of the middleware
/// limits.persistent = Some(true);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// How long the session lives after its last use. `None`: the middleware's `max_age`.
    pub max_age: Option<Duration>,
    /// Whether the cookie outlives the browser. `None`: the middleware's `persistent`.
    pub persistent: Option<bool>,
    /// How long the session lives after it began, however often it is used. `None`: the
    /// middleware's `absolute_lifetime`.
    pub absolute_lifetime: Option<Duration>,
}

impl Limits {
    /// These limits, and the other ones where these say nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            max_age: self.max_age.or(other.max_age),
            persistent: self.persistent.or(other.persistent),
            absolute_lifetime: self.absolute_lifetime.or(other.absolute_lifetime),
        }
    }

    /// The limits as stores keep them: in whole milliseconds.
    pub(crate) fn in_whole_ms(self) -> Self {
        Self {
            max_age: self.max_age.map(in_whole_ms),
            absolute_lifetime: self.absolute_lifetime.map(in_whole_ms),
            ..self
        }
    }
}

/// The middleware's limits, which apply to every session that has not set its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// How long a session lives after its last use.
    pub(crate) idle: Duration,
    /// How long a session lives at most, however often it is used.
    pub(crate) absolute: Duration,
    /// The least extension that is worth a touch. `None`: 1/60 of the idle time. At most half of
    /// the idle time, or an active session would expire between two touches.
    pub(crate) touch_interval: Option<Duration>,
}

impl Lifetimes {
    pub(crate) fn max_age(&self, limits: &Limits) -> Duration {
        limits.max_age.unwrap_or(self.idle)
    }

    pub(crate) fn absolute(&self, limits: &Limits) -> Duration {
        limits.absolute_lifetime.unwrap_or(self.absolute)
    }

    /// The end of the absolute lifetime of a session created at `created_at`.
    pub(crate) fn deadline(&self, created_at: Timestamp, limits: &Limits) -> Timestamp {
        created_at.saturating_add(self.absolute(limits))
    }

    /// When a session expires that is used at `now`.
    pub(crate) fn expires_at(
        &self,
        created_at: Timestamp,
        limits: &Limits,
        now: Timestamp,
    ) -> Timestamp {
        now.saturating_add(self.max_age(limits)).min(self.deadline(created_at, limits))
    }

    /// Whether touches are so frequent that one call should load and touch.
    pub(crate) fn touches_often(&self) -> bool {
        self.touch_interval.is_some_and(|interval| interval < self.idle / 60)
    }

    /// Whether moving the expiry from `from` to `to` is worth a write.
    pub(crate) fn worth_touching(&self, limits: &Limits, from: Timestamp, to: Timestamp) -> bool {
        let max_age = whole_ms(self.max_age(limits));
        let interval = match self.touch_interval {
            None => max_age / 60,
            Some(interval) => whole_ms(interval).min(max_age / 2),
        };
        to > from && to.0 - from.0 >= interval
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
    fn the_system_clock_shows_the_time() {
        let exact = || Timestamp::from(SystemTime::now());
        let before = exact();
        let now = SystemClock.now();
        // A tick lasts up to 10 ms.
        assert!(now.saturating_add(Duration::from_millis(50)) >= before, "{now:?} {before:?}");
        assert!(now <= exact());
    }

    #[test]
    fn a_time_displays_as_rfc_3339_in_utc() {
        // From `date -u -d @SECONDS +%FT%TZ`.
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_007, "2000-03-01T00:00:00.007Z"),
            (1_709_251_199_500, "2024-02-29T23:59:59.500Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "10000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
        assert!(Timestamp(u64::MAX).to_string().ends_with('Z'), "no sum overflows");
    }

    #[test]
    fn every_date_of_400_years_follows_the_one_before() {
        let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil_date(days), (year, month, day), "{days} days");
            let length = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn a_time_is_its_milliseconds_in_json() {
        let time = Timestamp(1_767_225_600_123);
        assert_eq!(serde_json::to_string(&time).ok().as_deref(), Some("1767225600123"));
        assert_eq!(serde_json::from_str(r"1767225600123").ok(), Some(time));
        assert!(serde_json::from_str::<Timestamp>("-1").is_err());
    }

    #[test]
    fn a_time_converts_to_the_systems_and_back() {
        for time in [Timestamp(0), Timestamp(1_767_225_600_123), Timestamp::END_OF_9999] {
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
        assert_eq!(Timestamp::from(UNIX_EPOCH - HOUR), Timestamp(0));
        let latest = SystemTime::from(Timestamp(u64::MAX));
        assert!(Timestamp::from(latest) >= Timestamp::END_OF_9999);
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
    fn a_session_that_has_set_its_max_age_uses_that() {
        let limits = Limits { max_age: Some(2 * HOUR), ..Limits::default() };
        assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(30)), at(150));
    }

    #[test]
    fn a_session_that_has_set_its_absolute_lifetime_uses_that() {
        for (own, end) in [(5 * HOUR, at(300)), (20 * HOUR, at(1_200))] {
            let limits = Limits {
                max_age: Some(30 * HOUR),
                absolute_lifetime: Some(own),
                ..Limits::default()
            };
            assert_eq!(LIFETIMES.expires_at(at(0), &limits, at(30)), end);
            assert_eq!(LIFETIMES.deadline(at(0), &limits), end);
        }
    }

    #[test]
    fn a_touch_is_worth_a_sixtieth_of_the_idle_time() {
        let limits = Limits::default();
        assert!(!LIFETIMES.worth_touching(&limits, at(60), Timestamp(at(61).0 - 1)));
        assert!(LIFETIMES.worth_touching(&limits, at(60), at(61)));
    }

    #[test]
    fn an_active_session_is_touched_at_least_twice_in_its_own_idle_time() {
        let seldom = Lifetimes { touch_interval: Some(2 * HOUR), ..LIFETIMES };
        for max_age in [None, Some(HOUR / 2), Some(Duration::from_secs(60)), Some(3 * HOUR)] {
            let limits = Limits { max_age, ..Limits::default() };
            let half = max_age.unwrap_or(HOUR) / 2;
            let to = at(60).saturating_add(half);
            assert!(seldom.worth_touching(&limits, at(60), to), "{max_age:?}");
        }
    }

    #[test]
    fn a_touch_that_extends_nothing_is_not_made() {
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
