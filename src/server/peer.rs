//! The state of one connection and the rules of its changes, without output (`send_queue/`). The consequences for other
//! connections are in `mod.rs`.

use crate::protocol::frame::{Frame, LineFrame};
use crate::protocol::scheme::Language;
use crate::server::admission::AddressId;
use crate::server::pool::BufferId;
use crate::server::rate_limit::TokenBucket;
use crate::server::timers::{TimerId, Timers};
use crate::server::transport::{Interest, Reading};

/// One connection; a test bounds its size, since there may be tens of thousands.
#[derive(Debug)]
pub struct Peer {
    /// Finds the ends of its messages.
    pub frame: Frame,
    /// Phase, blocks and runnable flag.
    pub state: State,
    /// [`Interest::pack`] of the interest that was last set in the transport.
    interest: u8,
    /// The low 48 bits of its number, enough for 8,900 years of 1,000 connections per second.
    number: [u8; 6],
    /// Saved input, never empty: an unfinished message, or whole ones while blocked. While blocked by rate, END marks a
    /// message that a timeout has ended. `None` if the driver has input buffers of its own.
    pub input: Option<BufferId>,
    /// Register timeout, or silence of a registered datagram peer; in a closing phase, drain or linger timeout.
    pub deadline: Option<TimerId>,
    /// Armed while a flush leaves more than `--queue` unsent; `None` in a closing phase.
    pub slow: Option<TimerId>,
    /// Without input until it fires, the bytes received are a message. `None` if the frame has no timeout.
    pub frame_timeout: Option<TimerId>,
    /// The next check of the bucket: `Some` exactly while blocked by rate, if the driver polls.
    pub refill: Option<TimerId>,
    /// The half-close grace: armed once the stream ends while the connection is blocked by rate.
    pub half_close: Option<TimerId>,
    /// The token bucket of its requests; unlimited if its scheme is for operators.
    pub bucket: TokenBucket,
    /// `Some` while the connection counts under its address; `None` in a closing phase.
    pub address: Option<AddressId>,
}

/// The phase of a connection. In a closing phase it has left the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not admitted: a handshake may be in progress.
    Opening,
    /// Admitted; its input is read and handled unless it is blocked.
    Open,
    /// Closing: its queue is being flushed.
    Flushing(CloseMode),
    /// Closing: the sending side is shut down; input is discarded until the stream ends.
    Lingering,
    /// Closed; the slot is kept until the driver releases it.
    Closed,
}

/// How a connection is closed once its queue is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// Shut down the sending side, and discard input until the end of the stream.
    Linger,
    /// Shut down the sending side, then close.
    Shutdown,
    /// Close: the stream was read to its end, or there is none.
    Immediate,
}

/// Why a connection in [`Phase::Open`] isn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked(u8);

impl Blocked {
    /// More than half of `--queue` is unsent.
    pub const OUTPUT: Blocked = Blocked(1 << 3);
    /// Its bucket is empty.
    pub const RATE: Blocked = Blocked(1 << 4);
    // The next bit is reserved for requests that await an answer from outside.
}

/// Phase, close mode, blocks and the runnable flag in one byte: bits 0 to 2 are phase and mode, bits 3 to 5 blocks, bit
/// 6 is set while the connection is listed as runnable. Bits 3 to 6 are 0 outside of [`Phase::Open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(u8);

impl State {
    const PHASE: u8 = 0b111;
    const BLOCKED: u8 = 0b111 << 3;
    const RUNNABLE: u8 = 1 << 6;

    /// Creates the state of a phase, neither blocked nor runnable.
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

    /// Returns the phase.
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

    /// Returns whether the connection is open, not blocked and not runnable.
    #[must_use]
    pub fn is_readable(self) -> bool {
        self == State::new(Phase::Open)
    }

    /// Returns whether the connection has left the hub, or never was in it.
    #[must_use]
    pub fn is_closing(self) -> bool {
        self.0 & State::PHASE >= State::new(Phase::Flushing(CloseMode::Linger)).0
    }

    /// Returns whether the connection is flushed before its close, so that the bytes sent now may be the last.
    #[must_use]
    pub fn is_flushing(self) -> bool {
        matches!(self.phase(), Phase::Flushing(_))
    }

    /// Returns whether the connection is open and blocked by `reason`.
    #[must_use]
    pub fn is_blocked_by(self, reason: Blocked) -> bool {
        self.0 & reason.0 != 0
    }

    /// Returns whether the connection is open and blocked.
    #[must_use]
    pub fn is_blocked(self) -> bool {
        self.0 & State::BLOCKED != 0
    }

    /// Returns whether the connection is processed again in the next turn.
    #[must_use]
    pub fn is_runnable(self) -> bool {
        self.0 & State::RUNNABLE != 0
    }

    /// Adds a block.
    pub fn block(&mut self, reason: Blocked) {
        debug_assert_eq!(self.phase(), Phase::Open, "only an open connection is read");
        self.0 |= reason.0;
    }

    /// Makes the connection runnable; returns false if it was already.
    pub fn set_runnable(&mut self) -> bool {
        let was = self.is_runnable();
        self.0 |= State::RUNNABLE;
        !was
    }

    /// Removes a block.
    pub fn unblock(&mut self, reason: Blocked) {
        self.0 &= !reason.0;
    }

    /// Clears the runnable flag.
    pub fn clear_runnable(&mut self) {
        self.0 &= !State::RUNNABLE;
    }

    /// Blocks by output above `half` of `--queue`, else unblocks. Returns whether to list the connection as runnable.
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
    /// Creates the connection with a number, in [`Phase::Opening`].
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

    /// Opens the connection with the frame of its scheme.
    pub fn admit(&mut self, language: Language) {
        self.frame = language.frame();
        self.state = State::new(Phase::Open);
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        let [a, b, c, d, e, f] = self.number;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// Returns the interest that was last set in the transport.
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest::unpack(self.interest)
    }

    /// Sets the interest; returns false if it is unchanged.
    pub fn set_interest(&mut self, interest: Interest) -> bool {
        std::mem::replace(&mut self.interest, interest.pack()) != interest.pack()
    }

    /// Returns whether a flush that leaves no bytes unsent changes nothing in this state.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.state.is_readable() && self.slow.is_none() && self.interest == Interest::BYTES.pack()
    }

    /// Cancels all its timers.
    pub fn cancel_timers(&mut self, timers: &mut Timers) {
        let Peer { deadline, slow, frame_timeout, refill, half_close, .. } = self;
        let armed = [deadline, slow, frame_timeout, refill, half_close];
        armed.into_iter().filter_map(Option::take).for_each(|timer| timers.cancel(timer));
    }

    /// Returns what to watch of its stream: bytes, unless it is blocked. If blocked by rate, only the end; but bytes if
    /// it may be read ahead and has a frame timeout, since gaps in the input must be observed when they happen.
    #[must_use]
    pub fn reading(&self, may_read_ahead: bool) -> Reading {
        match self.state.phase() {
            Phase::Open if self.state.is_blocked_by(Blocked::OUTPUT) => Reading::Nothing,
            Phase::Open if self.state.is_blocked_by(Blocked::RATE) => match self.half_close {
                Some(_) => Reading::Nothing,
                None if self.frame.has_timeout() && may_read_ahead => Reading::Bytes,
                None => Reading::End,
            },
            // A runnable connection is read in the next turn: a change of interest would waste two system calls.
            Phase::Open | Phase::Opening | Phase::Lingering => Reading::Bytes,
            Phase::Flushing(_) | Phase::Closed => Reading::Nothing,
        }
    }
}
