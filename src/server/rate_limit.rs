//! How fast one peer may be: so many tokens at once, so many more each second. A peer that has none left is not read
//! until it has one again; what has begun is always finished, and paid for afterwards. `now` is an argument.

use crate::limits::{Limits, REFILL};
use crate::protocol::{ConnId, Time};
use std::time::Duration;

/// The unit in which tokens are counted: with it, `--rate` tokens a second are so many units a millisecond, and
/// nothing is ever rounded.
const TOKEN: u64 = 1000;

/// What all allowances of a server have in common.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Units a millisecond; 0: there is no limit.
    refill: u64,
    /// Units of a full allowance.
    full: u64,
}

impl Rate {
    /// That of these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Rate {
        Rate { refill: limits.rate.map_or(0, u64::from), full: u64::from(limits.burst.max(1)) * TOKEN }
    }

    /// How long a peer with nothing left is let wait before it is looked at again: as long as a token takes at least, and
    /// no longer than it takes to fill an allowance, so that nothing of the rate is lost.
    #[must_use]
    pub fn wait(self) -> Duration {
        let time_of = |units: u64| Duration::from_millis(units.div_ceil(self.refill.max(1)));
        REFILL.min(time_of(self.full)).max(time_of(TOKEN))
    }
}

/// Whose bucket pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKey {
    /// That of a connection, for what it asks once it may speak.
    Connection(ConnId),
    /// That of the address which this connection comes from, shared with all of its connections, for what it costs to
    /// take one in.
    Address(ConnId),
}

/// What one peer may still do: the point in time at which its allowance is full, in units that were given out until
/// then. One that is never full has no limit. Bytes, so that it fits in anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket([u8; 8]);

impl TokenBucket {
    /// For whom there is no limit.
    pub const UNLIMITED: TokenBucket = TokenBucket(u64::MAX.to_ne_bytes());

    /// A full one.
    #[must_use]
    pub const fn full() -> TokenBucket {
        TokenBucket([0; 8])
    }

    /// Tokens that are left.
    #[must_use]
    pub fn left(self, rate: Rate, now: Time) -> u64 {
        if rate.refill == 0 || self == Self::UNLIMITED {
            return u64::MAX;
        }
        rate.full.saturating_sub(self.owed(rate, now)) / TOKEN
    }

    /// Takes so many tokens, even more than are left: those must come again first.
    pub fn spend(&mut self, tokens: u64, rate: Rate, now: Time) {
        if rate.refill == 0 || *self == Self::UNLIMITED {
            return;
        }
        let owed = self.owed(rate, now).saturating_add(tokens.saturating_mul(TOKEN));
        // Below that of the unlimited, whatever the clock says.
        let full_at = given_out(rate, now).saturating_add(owed).min(u64::MAX - 1);
        *self = TokenBucket(full_at.to_ne_bytes());
    }

    /// Units that it lacks to be full.
    fn owed(self, rate: Rate, now: Time) -> u64 {
        u64::from_ne_bytes(self.0).saturating_sub(given_out(rate, now))
    }
}

/// Units that an allowance was given since the server started.
fn given_out(rate: Rate, now: Time) -> u64 {
    now.0.saturating_mul(rate.refill)
}
