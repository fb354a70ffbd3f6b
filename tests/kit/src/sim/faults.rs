//! What goes wrong in the simulated world, how often, and what has. One row a fault; the sockets ask here at each call
//! whether this is one of those times.

use crate::rng::Rng;
use std::fmt;

/// Something that a kernel may do to the server, or a network to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A read gives only some of what is there.
    CutRead,
    /// A read gives nothing though something is there.
    EmptyRead,
    /// A send takes only some of what it is given.
    ShortSend,
    /// A send takes nothing though there is room.
    BlockedSend,
    /// Something ready isn't reported this time.
    Late,
    /// A connection is said to be ready for everything, and isn't.
    Spurious,
    /// What is ready is reported in another order.
    Shuffled,
    /// A read finds the connection reset, whatever had come before.
    ResetInRead,
    /// A send finds it reset; the kernel may have taken some of the bytes before.
    ResetInSend,
    /// The poller doesn't take a change of what a connection is watched for.
    Unwatched,
    /// Accepting fails for want of memory.
    NoMemory,
    /// The same for want of descriptors.
    NoDescriptor,
    /// Not even the descriptor reserved for rejecting is left.
    NoSpare,
    /// The peer has closed again before it is accepted.
    Aborted,
    /// The poller doesn't take a listener back that was at rest. (It can always be told to forget one: epoll_ctl(2) has
    /// no error for want of memory there.)
    StubbornListener,
    /// The server wakes up later than it asked, by up to `MAX_LATENESS`.
    LateTimer,
}

impl Fault {
    /// All of them.
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

/// How often the world goes wrong, in a thousand of the calls that can; one weight for each fault.
#[derive(Clone)]
pub struct Faults {
    rng: Rng,
    weights: [u16; Fault::ALL.len()],
    met: [usize; Fault::ALL.len()],
}

impl Faults {
    /// Nothing goes wrong, but for what is set besides; the seed decides when.
    #[must_use]
    pub fn none(seed: u64) -> Faults {
        Faults { rng: Rng::new(seed), weights: Default::default(), met: Default::default() }
    }

    /// All that no peer notices, often enough to meet each other.
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

    /// The same but for this fault, which happens so many times in a thousand.
    #[must_use]
    pub fn with(mut self, fault: Fault, weight: u16) -> Faults {
        self.weights[fault as usize] = weight;
        self
    }

    /// How many times in a thousand it happens.
    #[must_use]
    pub fn weight(&self, fault: Fault) -> u16 {
        self.weights[fault as usize]
    }

    /// How often it has happened.
    #[must_use]
    pub fn met(&self, fault: Fault) -> usize {
        self.met[fault as usize]
    }

    /// Whether it happens now.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        let weight = usize::from(self.weights[fault as usize]);
        let happens = weight > 0 && self.rng.below(1000) < weight;
        self.met[fault as usize] += usize::from(happens);
        happens
    }

    /// A number below `end`, for how a fault happens; 0 where `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.below(end)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there_are = Fault::ALL.iter().filter(|fault| self.weight(**fault) > 0);
        f.debug_map().entries(there_are.map(|fault| (fault, self.weight(*fault)))).finish()
    }
}
