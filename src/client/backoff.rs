//! How long to wait before the next try: growing pauses, jittered so that a server which comes back isn't met by all
//! of its clients at once. No clock here; whoever asks does the waiting.

use std::time::Duration;

/// The first pause, before jitter.
pub const FIRST: Duration = Duration::from_secs(1);

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double from 1 s to 30 s, each between a half and the whole of its step.
#[derive(Debug)]
pub struct Backoff {
    /// The next pause before jitter; from FIRST to LONGEST.
    step: Duration,
    rng: fastrand::Rng,
}

impl Backoff {
    /// Pauses whose jitter comes from `rng`.
    #[must_use]
    pub fn new(rng: fastrand::Rng) -> Backoff {
        Backoff { step: FIRST, rng }
    }

    /// How long to wait now; the next time it is longer.
    pub fn pause(&mut self) -> Duration {
        let half = self.step / 2;
        self.step = (self.step * 2).min(LONGEST);
        half + half.mul_f64(self.rng.f64())
    }

    /// True once the pauses don't grow any more.
    #[must_use]
    pub fn is_longest(&self) -> bool {
        self.step == LONGEST
    }

    /// All is well again: the next pause is a short one.
    pub fn reset(&mut self) {
        self.step = FIRST;
    }
}
