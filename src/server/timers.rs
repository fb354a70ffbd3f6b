//! Timers. `now` is always an argument: no code here reads a clock. Arming, cancelling and finding the next timer take
//! constant time: all deadlines of one kind are equally far ahead, so each kind is a queue in the order of arming.

use crate::limits::VEC_GROWTH;
use crate::protocol::{ConnId, Time};
use slab::Slab;
use std::num::NonZeroU32;

/// The kinds of deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Deadline {
    /// The connection must have registered.
    Register,
    /// The queue must be within its limit again.
    TooSlow,
    /// The queue must be flushed.
    Drain,
    /// The peer must have ended its stream.
    Linger,
    /// Without further input, the bytes received form a message.
    FrameTimeout,
    /// The peer must have sent a datagram.
    Silence,
    /// The token bucket may have a token.
    Refill,
    /// The input of a stream that has ended must be processed.
    HalfClose,
}

const KINDS: usize = 8;

/// An armed timer. It is either cancelled with this id or fires, never both.
#[derive(Debug, PartialEq, Eq)]
pub struct TimerId(NonZeroU32);

impl TimerId {
    fn slot(&self) -> u32 {
        self.0.get() - 1
    }
}

#[derive(Debug)]
struct Armed {
    at: Time,
    id: ConnId,
    kind: Deadline,
    earlier: Option<u32>,
    later: Option<u32>,
}

/// A doubly linked queue of the timers of one kind, ordered by `Armed::at`.
#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    first: Option<u32>,
    last: Option<u32>,
    len: usize,
}

/// The timers of all connections.
#[derive(Debug, Default)]
pub struct Timers {
    armed: Slab<Armed>,
    lanes: [Lane; KINDS],
}

impl Timers {
    /// Maximum memory of one connection's timers: phase, queue, frame timeout, token bucket and half-close.
    pub const MAX_BYTES_PER_CONNECTION: usize = 5 * VEC_GROWTH * size_of::<Armed>();

    /// Arms a timer. In a kind without a fixed length, searches the position from the end of the queue.
    pub fn arm(&mut self, at: Time, kind: Deadline, id: ConnId) -> TimerId {
        let mut earlier = self.lanes[kind as usize].last;
        while let Some(slot) = earlier
            && self.armed[slot as usize].at > at
        {
            earlier = self.armed[slot as usize].earlier;
        }
        let later = match earlier {
            Some(slot) => self.armed[slot as usize].later,
            None => self.lanes[kind as usize].first,
        };
        let slot = self.armed.insert(Armed { at, id, kind, earlier, later }) as u32;
        *self.link_later(earlier, kind) = Some(slot);
        *self.link_earlier(later, kind) = Some(slot);
        self.lanes[kind as usize].len += 1;
        TimerId(NonZeroU32::MIN.saturating_add(slot))
    }

    /// Cancels a timer.
    #[expect(clippy::needless_pass_by_value, reason = "a timer is cancelled once")]
    pub fn cancel(&mut self, id: TimerId) {
        self.remove(id.slot());
    }

    /// Returns when the next timer is due; `None` if no timer will ever be due.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let firsts = self.lanes.iter().filter_map(|lane| lane.first);
        firsts.map(|slot| self.armed[slot as usize].at).min().filter(|at| *at < Time::NEVER)
    }

    /// Returns the kind of a timer and when it is due.
    #[must_use]
    pub fn get(&self, id: &TimerId) -> (Deadline, Time) {
        let armed = &self.armed[id.slot() as usize];
        (armed.kind, armed.at)
    }

    /// Returns the number of armed timers of a kind.
    #[must_use]
    pub fn count(&self, kind: Deadline) -> usize {
        self.lanes[kind as usize].len
    }

    /// Returns the connection of the first timer of a kind to be due; of equal ones, the first armed.
    #[must_use]
    pub fn first(&self, kind: Deadline) -> Option<ConnId> {
        self.lanes[kind as usize].first.map(|slot| self.armed[slot as usize].id)
    }

    /// Removes and returns the earliest timer if it is due at `now`.
    pub fn due(&mut self, now: Time) -> Option<(Deadline, ConnId)> {
        let firsts = self.lanes.iter().filter_map(|lane| lane.first);
        let slot = firsts.min_by_key(|slot| self.armed[*slot as usize].at)?;
        if self.armed[slot as usize].at > now {
            return None;
        }
        let armed = self.remove(slot);
        Some((armed.kind, armed.id))
    }

    /// Returns the number of armed timers.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        self.armed.shrink_to_fit();
    }

    fn remove(&mut self, slot: u32) -> Armed {
        let armed = self.armed.remove(slot as usize);
        *self.link_later(armed.earlier, armed.kind) = armed.later;
        *self.link_earlier(armed.later, armed.kind) = armed.earlier;
        self.lanes[armed.kind as usize].len -= 1;
        armed
    }

    /// Returns the link from `slot` to the later timer; without a slot, the link to the first timer.
    fn link_later(&mut self, slot: Option<u32>, kind: Deadline) -> &mut Option<u32> {
        match slot {
            Some(slot) => &mut self.armed[slot as usize].later,
            None => &mut self.lanes[kind as usize].first,
        }
    }

    /// Returns the link from `slot` to the earlier timer; without a slot, the link to the last timer.
    fn link_earlier(&mut self, slot: Option<u32>, kind: Deadline) -> &mut Option<u32> {
        match slot {
            Some(slot) => &mut self.armed[slot as usize].earlier,
            None => &mut self.lanes[kind as usize].last,
        }
    }
}
