//! How drivers differ, and what the server returns to them. What drivers do: docs/architecture.md, "Drivers".

use crate::limits::{Limits, MIN_DRAIN};
use std::time::Duration;

/// The differences between drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver {
    /// Maximum unsent bytes of a connection; with more, it is too slow at once.
    pub max_unsent: usize,
    /// Minimum time to flush a closing connection, even if `--drain` is shorter.
    pub min_drain: Duration,
    /// Presence may wait for the next flush, since a turn is sure to follow.
    pub defers_presence: bool,
    /// The transport takes bytes before they are sent, so a close must wait for them.
    pub sends_later: bool,
    /// A closed connection keeps its slot until [`Server::release`](super::Server::release).
    pub releases: bool,
    /// Setting an interest is a system call and counted; the server arms a timer for each refill.
    pub polls: bool,
}

impl Driver {
    /// The reactor: one thread and a poller.
    #[must_use]
    pub fn reactor(limits: &Limits) -> Driver {
        Driver {
            max_unsent: limits.max_queue(),
            min_drain: MIN_DRAIN,
            defers_presence: true,
            sends_later: false,
            releases: false,
            polls: true,
        }
    }
}

/// A fired timer that the driver must handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A frame timeout: see [`Server::end_frame`](super::Server::end_frame).
    FrameTimeout,
    /// The bucket may have a token: see [`unblock_rate`](super::connections::Connections::unblock_rate).
    Refill,
}

/// The result of processing input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Bytes consumed from the front of the input.
    pub consumed: usize,
    /// The connection isn't closing; otherwise the remainder of its input is dropped.
    pub is_open: bool,
}
