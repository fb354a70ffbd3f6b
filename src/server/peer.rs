//! What the server knows of one connection, but for what it is still to be sent: see `send_queue/`. The rules by which its
//! state changes are here; what follows for others is decided in `mod.rs`.

use crate::protocol::frame::{Frame, LineFrame};
use crate::protocol::scheme::Language;
use crate::server::admission::AddressId;
use crate::server::pool::BufferId;
use crate::server::rate_limit::TokenBucket;
use crate::server::timers::{TimerId, Timers};
use crate::server::transport::{Interest, Reading};

/// One connection. There may be ten thousands: `tests/server/peer.rs` bounds its size.
#[derive(Debug)]
pub struct Peer {
    /// Where its messages end.
    pub frame: Frame,
    /// Phase, and what blocks it.
    pub state: State,
    /// What the transport was last told, packed.
    interest: u8,
    /// The low 48 bits of its number, which are all for 8,900 years of 1,000 connections a second.
    number: [u8; 6],
    /// Bytes that were read and not consumed: an unfinished message, or whole ones while the connection is blocked. In a
    /// connection that is blocked by rate, a message that a timeout has ended ends with END here. Only of drivers that
    /// leave input buffers to the server.
    pub input: Option<BufferId>,
    /// Until when to register, or in a closing phase to flush or to end the stream.
    pub deadline: Option<TimerId>,
    /// Until when the queue must be back within `--queue`.
    pub slow: Option<TimerId>,
    /// Until when bytes must come, or what was read is a message.
    pub frame_timeout: Option<TimerId>,
    /// While blocked by rate, where the driver doesn't sleep: when to look at the bucket again.
    pub refill: Option<TimerId>,
    /// The peer has ended its stream while blocked by rate: until when its input is processed.
    pub half_close: Option<TimerId>,
    /// What it may still ask.
    pub bucket: TokenBucket,
    /// Where it is counted as one of its address; `None` once it is closing.
    pub address: Option<AddressId>,
}

/// What is done with a connection. Until it is closing, it is in the hub's care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted; something else, such as a handshake, comes before it may speak.
    Opening,
    /// Read and obeyed, unless it is blocked.
    Open,
    /// Closing: what is queued is being flushed.
    Flushing(CloseMode),
    /// Closing: everything is flushed and our side is shut down; input is discarded until it ends.
    Lingering,
    /// Closed; the slot is kept until the driver releases it.
    Closed,
}

/// How a connection is closed once everything is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// Shut down our side, and discard input until the end of the stream.
    Linger,
    /// Shut down our side, then close.
    Shutdown,
    /// Close: the stream has been read to its end, or there is none.
    Immediate,
}

/// Why a connection in [`Phase::Open`] isn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked(u8);

impl Blocked {
    /// More than half of its own queue is unsent.
    pub const OUTPUT: Blocked = Blocked(1 << 3);
    /// Its bucket is empty.
    pub const RATE: Blocked = Blocked(1 << 4);
    // The next bit is for requests that something outside must answer first.
}

/// Phase, close mode, what blocks a connection, and whether it is runnable, in one byte: bits 0 to 2 are phase and mode, 3
/// to 5 what blocks it, 6 is set while it stands on the list of runnable connections. Bits 3 to 6 are 0 but in
/// [`Phase::Open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(u8);

impl State {
    const PHASE: u8 = 0b111;
    const BLOCKED: u8 = 0b111 << 3;
    const RUNNABLE: u8 = 1 << 6;

    /// A phase, nothing that blocks, and not runnable.
    #[must_use]
    pub const fn new(phase: Phase) -> State {
        State(match phase {
            Phase::Opening => 0,
            Phase::Open => 1,
            Phase::Flushing(CloseMode::Linger) => 2,
            Phase::Flushing(CloseMode::Shutdown) => 3,
            Phase::Flushing(CloseMode::Immediate) => 4,
            Phase::Lingering => 5,
            Phase::Closed => 6,
        })
    }

    /// The phase.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self.0 & State::PHASE {
            0 => Phase::Opening,
            1 => Phase::Open,
            2 => Phase::Flushing(CloseMode::Linger),
            3 => Phase::Flushing(CloseMode::Shutdown),
            4 => Phase::Flushing(CloseMode::Immediate),
            5 => Phase::Lingering,
            _ => Phase::Closed,
        }
    }

    /// Whether it is open and nothing keeps it from being read.
    #[must_use]
    pub fn is_readable(self) -> bool {
        self == State::new(Phase::Open)
    }

    /// Whether it has left the hub, or never was in it.
    #[must_use]
    pub fn is_closing(self) -> bool {
        self.0 & State::PHASE >= State::new(Phase::Flushing(CloseMode::Linger)).0
    }

    /// Whether the bytes that are sent now may be the last.
    #[must_use]
    pub fn is_flushing(self) -> bool {
        matches!(self.phase(), Phase::Flushing(_))
    }

    /// Whether it is open and blocked by this.
    #[must_use]
    pub fn is_blocked_by(self, reason: Blocked) -> bool {
        self.0 & reason.0 != 0
    }

    /// Whether it is open and blocked by anything.
    #[must_use]
    pub fn is_blocked(self) -> bool {
        self.0 & State::BLOCKED != 0
    }

    /// Whether it is to go on with its input in the next turn.
    #[must_use]
    pub fn is_runnable(self) -> bool {
        self.0 & State::RUNNABLE != 0
    }

    /// Blocks it.
    pub fn block(&mut self, reason: Blocked) {
        debug_assert_eq!(self.phase(), Phase::Open, "only an open connection is read");
        self.0 |= reason.0;
    }

    /// Makes it runnable; returns false where it was already.
    pub fn set_runnable(&mut self) -> bool {
        let was = self.is_runnable();
        self.0 |= State::RUNNABLE;
        !was
    }

    /// It is no longer blocked by this.
    pub fn unblock(&mut self, reason: Blocked) {
        self.0 &= !reason.0;
    }

    /// It is no longer runnable.
    pub fn clear_runnable(&mut self) {
        self.0 &= !State::RUNNABLE;
    }

    /// Blocks or unblocks an open connection by how much of its queue is unsent, in bytes; `half` is half of `--queue`.
    /// Returns true where it is to be put on the list of runnable connections: nothing blocks it any more.
    pub fn throttle(&mut self, unsent: usize, half: usize) -> bool {
        if unsent > half {
            self.block(Blocked::OUTPUT);
            return false;
        }
        let was_blocked = self.is_blocked_by(Blocked::OUTPUT);
        self.unblock(Blocked::OUTPUT);
        was_blocked && !self.is_blocked() && self.set_runnable()
    }
}

impl Peer {
    /// The connection of that number, of which nothing else is known yet.
    #[must_use]
    pub fn new(number: u64) -> Peer {
        let [number @ .., _, _] = number.to_le_bytes();
        Peer {
            number,
            frame: Frame::Line(LineFrame::default()),
            state: State::new(Phase::Opening),
            interest: Interest::BYTES.pack(),
            input: None,
            deadline: None,
            slow: None,
            frame_timeout: None,
            refill: None,
            half_close: None,
            bucket: TokenBucket::full(),
            address: None,
        }
    }

    /// It may speak from now on, and this is how.
    pub fn admit(&mut self, language: Language) {
        self.frame = language.frame();
        self.state = State::new(Phase::Open);
    }

    /// Its number: they count up from 1, and none is given twice.
    #[must_use]
    pub fn number(&self) -> u64 {
        let [a, b, c, d, e, f] = self.number;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// What the transport was last told.
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest::unpack(self.interest)
    }

    /// Notes what the transport is told; returns false where it was told so before.
    pub fn set_interest(&mut self, interest: Interest) -> bool {
        std::mem::replace(&mut self.interest, interest.pack()) != interest.pack()
    }

    /// Whether it is open and nothing about it depends on what is unsent.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.state.is_readable() && self.slow.is_none() && self.interest == Interest::BYTES.pack()
    }

    /// Takes back all that is armed for it.
    pub fn cancel_timers(&mut self, timers: &mut Timers) {
        let Peer { deadline, slow, frame_timeout, refill, half_close, .. } = self;
        let armed = [deadline, slow, frame_timeout, refill, half_close];
        armed.into_iter().filter_map(Option::take).for_each(|timer| timers.cancel(timer));
    }

    /// What of its stream it is to be watched for: bytes, unless it is blocked. Where the rate blocks it, that is its end
    /// alone, once, or bytes where a timeout ends messages, which has to be seen when it is, as long as more may be read
    /// ahead.
    #[must_use]
    pub fn reading(&self, may_read_ahead: bool) -> Reading {
        match self.state.phase() {
            Phase::Open if self.state.is_blocked_by(Blocked::OUTPUT) => Reading::Nothing,
            Phase::Open if self.state.is_blocked_by(Blocked::RATE) => match self.half_close {
                Some(_) => Reading::Nothing,
                None if self.frame.is_by_pause() && may_read_ahead => Reading::Bytes,
                None => Reading::End,
            },
            // A runnable connection is read in the next turn: two system calls would gain nothing.
            Phase::Open | Phase::Opening | Phase::Lingering => Reading::Bytes,
            Phase::Flushing(_) | Phase::Closed => Reading::Nothing,
        }
    }
}
