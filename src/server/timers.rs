//! Deadlines. `now` is always an argument: nothing here reads a clock. Arming, taking back and finding the next are
//! constant in time, because deadlines of one kind all lie equally far ahead and so stand in line in the order in
//! which they were armed.

use crate::limits::GROWN;
use crate::protocol::{ConnId, Time};
use slab::Slab;
use std::num::NonZeroU32;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Deadline {
    /// A name was to be given by then.
    Register,
    /// The queue was to be back within its limit by then.
    TooSlow,
    /// What is queued was to be flushed by then.
    Drain,
    /// The peer was to end its stream by then.
    Linger,
    /// If nothing has come until then, what has come is a message.
    FrameTimeout,
    /// A datagram was to come by then.
    Silence,
    /// By then a bucket may have a token.
    Refill,
    /// The input of a stream that has ended was to be processed by then.
    HalfClose,
}

const KINDS: usize = 8;

/// A deadline that is armed. Whoever holds it takes it back or is told when it is due, never both.
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
    who: ConnId,
    what: Deadline,
    before: Option<u32>,
    behind: Option<u32>,
}

/// A line of deadlines of one kind: `first` is due first.
#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    first: Option<u32>,
    last: Option<u32>,
    len: usize,
}

/// The deadlines of all connections.
#[derive(Debug, Default)]
pub struct Timers {
    armed: Slab<Armed>,
    lanes: [Lane; KINDS],
}

impl Timers {
    /// The most memory that the deadlines of one connection take: one to go by, and those of its queue, its pause, its
    /// allowance and its last words.
    pub const MAX_BYTES_PER_CONNECTION: usize = 5 * GROWN * size_of::<Armed>();

    /// Arms a deadline. Within a kind, each is due no sooner than those armed before it; one that is (a kind whose
    /// length is not fixed) takes its place in line by a search from the end.
    pub fn arm(&mut self, at: Time, what: Deadline, who: ConnId) -> TimerId {
        let mut before = self.lanes[what as usize].last;
        while let Some(slot) = before
            && self.armed[slot as usize].at > at
        {
            before = self.armed[slot as usize].before;
        }
        let behind = match before {
            Some(slot) => self.armed[slot as usize].behind,
            None => self.lanes[what as usize].first,
        };
        let slot = self.armed.insert(Armed { at, who, what, before, behind }) as u32;
        *self.link_behind(before, what) = Some(slot);
        *self.link_before(behind, what) = Some(slot);
        self.lanes[what as usize].len += 1;
        TimerId(NonZeroU32::MIN.saturating_add(slot))
    }

    /// Takes a deadline back.
    #[expect(clippy::needless_pass_by_value, reason = "a deadline is taken back once")]
    pub fn cancel(&mut self, id: TimerId) {
        self.remove(id.slot());
    }

    /// When the next deadline is due, if any ever is.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let firsts = self.lanes.iter().filter_map(|lane| lane.first);
        firsts.map(|slot| self.armed[slot as usize].at).min().filter(|at| *at < Time::NEVER)
    }

    /// What a deadline is for, and when it is due.
    #[must_use]
    pub fn get(&self, id: &TimerId) -> (Deadline, Time) {
        let armed = &self.armed[id.slot() as usize];
        (armed.what, armed.at)
    }

    /// How many deadlines of a kind are armed.
    #[must_use]
    pub fn count(&self, what: Deadline) -> usize {
        self.lanes[what as usize].len
    }

    /// Whose deadline of a kind is due first; of several at the same time, the one that was armed first.
    #[must_use]
    pub fn first(&self, what: Deadline) -> Option<ConnId> {
        self.lanes[what as usize].first.map(|slot| self.armed[slot as usize].who)
    }

    /// One deadline that is due, taken out.
    pub fn due(&mut self, now: Time) -> Option<(Deadline, ConnId)> {
        let firsts = self.lanes.iter().filter_map(|lane| lane.first);
        let slot = firsts.min_by_key(|slot| self.armed[*slot as usize].at)?;
        if self.armed[slot as usize].at > now {
            return None;
        }
        let armed = self.remove(slot);
        Some((armed.what, armed.who))
    }

    /// How many deadlines are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Gives memory back where nothing is armed.
    pub fn trim(&mut self) {
        self.armed.shrink_to_fit();
    }

    fn remove(&mut self, slot: u32) -> Armed {
        let armed = self.armed.remove(slot as usize);
        *self.link_behind(armed.before, armed.what) = armed.behind;
        *self.link_before(armed.behind, armed.what) = armed.before;
        self.lanes[armed.what as usize].len -= 1;
        armed
    }

    /// The link that leads backwards out of `slot`, or into the front of the lane.
    fn link_behind(&mut self, slot: Option<u32>, what: Deadline) -> &mut Option<u32> {
        match slot {
            Some(slot) => &mut self.armed[slot as usize].behind,
            None => &mut self.lanes[what as usize].first,
        }
    }

    /// The link that leads forwards out of `slot`, or into the end of the lane.
    fn link_before(&mut self, slot: Option<u32>, what: Deadline) -> &mut Option<u32> {
        match slot {
            Some(slot) => &mut self.armed[slot as usize].before,
            None => &mut self.lanes[what as usize].last,
        }
    }
}
