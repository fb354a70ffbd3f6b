//! The faults that the simulator injects: their weights, and counts of those that occurred. The simulated sockets ask
//! here at each call whether a fault occurs.

use crate::rng::Rng;
use std::fmt;

/// A fault of the kernel, or of the network of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A read returns only some of the available bytes.
    CutRead,
    /// A read returns nothing although bytes are available.
    EmptyRead,
    /// A send takes only some of its bytes.
    ShortSend,
    /// A send takes nothing although there is room.
    BlockedSend,
    /// A ready source isn't reported in this wait.
    Late,
    /// A connection is reported as readable and writable, and may be neither.
    Spurious,
    /// Ready sources are reported in another order.
    Shuffled,
    /// A read finds the connection reset; unread bytes are lost.
    ResetInRead,
    /// A send finds the connection reset; the kernel may have taken some of the bytes before.
    ResetInSend,
    /// The poller refuses a change of a connection's interest.
    Unwatched,
    /// Accept fails for lack of memory.
    NoMemory,
    /// Accept fails for lack of descriptors.
    NoDescriptor,
    /// Not even the descriptor reserved for rejecting is left.
    NoSpare,
    /// The peer has closed again before it is accepted.
    Aborted,
    /// The poller refuses to watch a listener again after its backoff. Removing one never fails: epoll_ctl(2) has no
    /// error for lack of memory there.
    StubbornListener,
    /// The server wakes up later than requested, by up to `MAX_LATENESS`.
    LateTimer,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 16] = [
        Fault::CutRead,
        Fault::EmptyRead,
        Fault::ShortSend,
        Fault::BlockedSend,
        Fault::Late,
        Fault::Spurious,
        Fault::Shuffled,
        Fault::ResetInRead,
        Fault::ResetInSend,
        Fault::Unwatched,
        Fault::NoMemory,
        Fault::NoDescriptor,
        Fault::NoSpare,
        Fault::Aborted,
        Fault::StubbornListener,
        Fault::LateTimer,
    ];
}

/// A weight for each fault: occurrences per 1,000 of the calls that can fail so.
#[derive(Clone)]
pub struct Faults {
    rng: Rng,
    weights: [u16; Fault::ALL.len()],
    met: [usize; Fault::ALL.len()],
}

impl Faults {
    /// Returns no faults; [`with`](Faults::with) adds some. The seed decides when they occur.
    #[must_use]
    pub fn none(seed: u64) -> Faults {
        Faults { rng: Rng::new(seed), weights: Default::default(), met: Default::default() }
    }

    /// Returns the faults that change no output, with weights that make them coincide.
    #[must_use]
    pub fn plenty(seed: u64) -> Faults {
        Faults::none(seed)
            .with(Fault::CutRead, 500)
            .with(Fault::EmptyRead, 100)
            .with(Fault::ShortSend, 300)
            .with(Fault::BlockedSend, 100)
            .with(Fault::Late, 200)
            .with(Fault::Spurious, 50)
            .with(Fault::Shuffled, 200)
            .with(Fault::NoMemory, 50)
    }

    /// Sets the weight of one fault, in occurrences per 1,000 calls.
    #[must_use]
    pub fn with(mut self, fault: Fault, weight: u16) -> Faults {
        self.weights[fault as usize] = weight;
        self
    }

    /// Returns the weight of a fault, in occurrences per 1,000 calls.
    #[must_use]
    pub fn weight(&self, fault: Fault) -> u16 {
        self.weights[fault as usize]
    }

    /// Returns how often a fault has occurred.
    #[must_use]
    pub fn met(&self, fault: Fault) -> usize {
        self.met[fault as usize]
    }

    /// Returns whether a fault occurs now, and counts it.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        let weight = usize::from(self.weights[fault as usize]);
        let happens = weight > 0 && self.rng.below(1000) < weight;
        self.met[fault as usize] += usize::from(happens);
        happens
    }

    /// Returns a number below `end`, for the details of a fault; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.below(end)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = Fault::ALL.iter().filter(|fault| self.weight(**fault) > 0);
        f.debug_map().entries(enabled.map(|fault| (fault, self.weight(*fault)))).finish()
    }
}
