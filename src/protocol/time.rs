//! Points in time, as values. Nothing here reads a clock: the time is always an argument.

use std::ops::Add;
use std::time::Duration;

/// A point in time: milliseconds since the server started, by a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub u64);

impl Time {
    /// A deadline that never expires.
    pub const NEVER: Time = Time(u64::MAX);

    /// Returns the time until `later`; zero if that is past.
    #[must_use]
    pub fn until(self, later: Time) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Rounded up to whole milliseconds, so that a deadline is never early.
    fn add(self, wait: Duration) -> Time {
        let part = u64::from(wait.subsec_nanos().div_ceil(1_000_000));
        Time(self.0.saturating_add(wait.as_secs().saturating_mul(1000).saturating_add(part)))
    }
}
