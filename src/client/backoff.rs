//! Delays between attempts to reconnect. They grow, and are jittered so that the clients of a restarted server don't
//! reconnect all at once. There is no clock here; the caller waits.

use std::time::Duration;

/// The first delay, before jitter.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest delay, before jitter.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Delays that double from 1 s to 30 s before jitter. Jitter shortens each by up to a half.
#[derive(Debug)]
pub struct Backoff {
    /// The next delay before jitter; `FIRST_DELAY <= step <= MAX_DELAY`.
    step: Duration,
    rng: fastrand::Rng,
}

impl Backoff {
    /// Creates a backoff that takes its jitter from `rng`.
    #[must_use]
    pub fn new(rng: fastrand::Rng) -> Backoff {
        Backoff { step: FIRST_DELAY, rng }
    }

    /// Returns how long to wait before the next attempt, and doubles the delay after that.
    pub fn next_delay(&mut self) -> Duration {
        let half = self.step / 2;
        self.step = (self.step * 2).min(MAX_DELAY);
        half + half.mul_f64(self.rng.f64())
    }

    /// Returns whether the delay has reached its maximum.
    #[must_use]
    pub fn is_at_max(&self) -> bool {
        self.step == MAX_DELAY
    }

    /// Starts again at [`FIRST_DELAY`], after a success.
    pub fn reset(&mut self) {
        self.step = FIRST_DELAY;
    }
}
