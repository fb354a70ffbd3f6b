//! What the reactor knows of one connection, but for what it is still to be sent.

use super::Interest;
use crate::protocol::dialect::Dialect;
use crate::protocol::frame::Frame;
use crate::server::admission::AddressId;
use crate::server::pool::BufferId;
use crate::server::rate_limit::Allowance;
use crate::server::timers::TimerId;

/// The in-half of a connection; its out-half is in [`SendQueues`]. See `a_peer_is_small`.
#[derive(Debug)]
pub(super) struct Peer {
    pub frame: Frame,
    pub dialect: Dialect,
    pub phase: Phase,
    /// What the sockets were last told.
    pub interest: Interest,
    /// Bytes that came and are not consumed: an unfinished line, or where it isn't obeyed whole ones too. In
    /// [`Phase::Paused`] a message that has ended by a pause is ended by LF here.
    pub held: Option<BufferId>,
    /// Until when to register, or in a closing phase to flush or to end the stream.
    pub deadline: Option<TimerId>,
    /// Until when its queue must be back within the limit.
    pub slow: Option<TimerId>,
    /// Until when something must come, or what is held is a message.
    pub pause: Option<TimerId>,
    /// In [`Phase::Paused`]: until when.
    pub refill: Option<TimerId>,
    /// Its stream has ended, though what came before may not be read yet: until when it is.
    pub last_words: Option<TimerId>,
    /// What it may still ask.
    pub allowance: Allowance,
    /// Where it is counted as one of its address; nowhere once it is closing.
    pub address: Option<AddressId>,
}

/// What is done with a connection. The first four are in the hub's care, the others have left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Read.
    Open,
    /// Not read while more than half of its own queue is unsent.
    Waiting,
    /// Its queue has room again, or what it said has filled an arena: the next turn goes on with what is held.
    Resuming,
    /// Its allowance is used up: nothing that it says is obeyed until it is refilled. Nor is it read, unless its messages
    /// end by pauses, which have to be seen when they are.
    Paused,
    /// Closing: being flushed.
    Flushing { then: Then },
    /// Closing: everything is flushed and our side is shut; its input is thrown away until it ends.
    Discarding,
}

impl Phase {
    pub fn is_closing(self) -> bool {
        matches!(self, Phase::Flushing { .. } | Phase::Discarding)
    }
}

/// How a connection is closed once everything is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// With care: our side is shut, and what it still sends thrown away until it ends.
    Discard,
    /// Our side is shut, and nobody waits for the other.
    Shut,
    /// At once: its stream has been read to its end, or it has none.
    Close,
}

/// Why a connection ends that isn't asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doom {
    /// It is broken, or was reset.
    Lost,
    /// It doesn't read what it is sent.
    TooSlow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_small() {
        assert!(size_of::<Peer>() <= 48, "{}", size_of::<Peer>());
    }
}
