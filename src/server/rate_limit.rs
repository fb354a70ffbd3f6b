//! Token buckets. A peer without tokens is not read until it has one. A started message is always handled, and paid for
//! afterwards. `now` is always an argument: no code here reads a clock.

use crate::limits::{Limits, RATE_RECHECK};
use crate::protocol::{ConnId, Time};
use std::time::Duration;

/// Units per token: `--rate` tokens per second are as many units per millisecond, so that nothing is rounded.
const TOKEN: u64 = 1000;

/// The rate and the size of all buckets of a server.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Units per millisecond; 0: no limit.
    refill: u64,
    /// Units of a full bucket: at least one [`TOKEN`].
    full: u64,
}

impl Rate {
    /// Creates the rate that the limits set.
    #[must_use]
    pub fn new(limits: &Limits) -> Rate {
        Rate { refill: limits.rate.map_or(0, u64::from), full: u64::from(limits.burst.max(1)) * TOKEN }
    }

    /// Returns the time to the next check for tokens: at least one token's, at most a full bucket's, to lose none.
    #[must_use]
    pub fn wait(self) -> Duration {
        let time_of = |units: u64| Duration::from_millis(units.div_ceil(self.refill.max(1)));
        RATE_RECHECK.min(time_of(self.full)).max(time_of(TOKEN))
    }
}

/// A bucket from which tokens are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKey {
    /// The bucket of a connection, for its requests.
    Connection(ConnId),
    /// The bucket shared by all connections of this connection's address, for the cost of accepting one.
    Address(ConnId),
}

/// A token bucket: the time at which it is full, in units refilled since the server started. Bytes need no alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket([u8; 8]);

impl TokenBucket {
    /// A bucket without a limit: it is never full.
    pub const UNLIMITED: TokenBucket = TokenBucket(u64::MAX.to_ne_bytes());

    /// A full bucket.
    #[must_use]
    pub const fn full() -> TokenBucket {
        TokenBucket([0; 8])
    }

    /// Returns the number of whole tokens left; `u64::MAX` without a limit.
    #[must_use]
    pub fn left(self, rate: Rate, now: Time) -> u64 {
        if rate.refill == 0 || self == Self::UNLIMITED {
            return u64::MAX;
        }
        rate.full.saturating_sub(self.owed(rate, now)) / TOKEN
    }

    /// Takes tokens, even more than are left; refills pay the debt first.
    pub fn spend(&mut self, tokens: u64, rate: Rate, now: Time) {
        if rate.refill == 0 || *self == Self::UNLIMITED {
            return;
        }
        let owed = self.owed(rate, now).saturating_add(tokens.saturating_mul(TOKEN));
        // Stays below the value of `UNLIMITED` at any time.
        let full_at = refilled(rate, now).saturating_add(owed).min(u64::MAX - 1);
        *self = TokenBucket(full_at.to_ne_bytes());
    }

    /// Returns how many units the bucket lacks; more than `full` are a debt.
    fn owed(self, rate: Rate, now: Time) -> u64 {
        u64::from_ne_bytes(self.0).saturating_sub(refilled(rate, now))
    }
}

/// Returns the units refilled since the server started.
fn refilled(rate: Rate, now: Time) -> u64 {
    now.0.saturating_mul(rate.refill)
}
