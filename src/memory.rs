//! What the server can hold at worst: every part that a connection makes it keep, each bounded by a number of
//! `crate::limits`, added up. Each module says what one connection takes of it; here is the sum, and nothing else.
//! `tests/memory.rs` holds it against the process.

use crate::hub::Hub;
use crate::limits::{ALLOCATION, EVENTS, GROWN, Limits, POOLED_BUFFER_BYTES, POOLED_BUFFERS, READ, STREAM};
use crate::protocol::dialect::Dialect;
use crate::reactor::Ready;
use crate::server::admission::Admission;
use crate::server::connections::Connections;
use crate::server::datagrams::Datagrams;
use crate::server::send_queue::SendQueues;
use crate::server::timers::Timers;

/// Memory in bytes, the process's own unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What each connection takes that does nothing, with the longest name, in the lobby.
    pub idle: usize,
    /// What each takes besides at worst: in every room that it may be in, all its deadlines armed, a line and a read of it
    /// held, a peer by datagrams at the same time.
    pub busy: usize,
    /// What all rooms take, those in them aside.
    pub rooms: usize,
    /// What all connections hold together that can't be obeyed yet, besides what each may.
    pub input: usize,
    /// What is said until it is flushed, and what was refused by kernels, for all together.
    pub queued: usize,
    /// What is needed once: the buffer that is read into, spare buffers, reports, names of those who were kicked.
    pub fixed: usize,
    /// What a kernel that doubles `--send-buffer`, as Linux does, may hold of each connection to be sent; `None` where
    /// that is left to it. What it holds of what was received is its own affair.
    pub kernel: Option<usize>,
}

impl Memory {
    /// The worst that so many connections can do; `None` where no limit of rooms is set, so that they can make rooms without
    /// end.
    #[must_use]
    pub fn at_worst(limits: &Limits, connections: usize) -> Option<Memory> {
        let rooms = Hub::max_rooms(limits, connections)?;
        let longest_list =
            Hub::max_listed(rooms).saturating_mul(Dialect::MAX_LISTED) + limits.max_sent_line();
        let input = limits.max_input_total(1) - limits.max_input_total(0);
        let idle = GROWN * (Connections::MAX_BYTES_PER_CONNECTION + STREAM)
            + Hub::MAX_BYTES_PER_CONNECTION
            + SendQueues::MAX_BYTES_PER_CONNECTION
            + Admission::MAX_BYTES_PER_CONNECTION;
        let busy = Hub::of_seats(limits)?
            + Timers::MAX_BYTES_PER_CONNECTION
            + input
            + GROWN * size_of::<Vec<u8>>()
            + ALLOCATION
            + Datagrams::MAX_BYTES_PER_CONNECTION;
        let spare = POOLED_BUFFERS * (POOLED_BUFFER_BYTES + size_of::<Vec<u8>>() + ALLOCATION);
        Some(Memory {
            idle,
            busy,
            rooms: Hub::of_rooms(rooms),
            input: limits.max_input_total(0),
            queued: SendQueues::of_all(limits, longest_list),
            fixed: READ
                + 2 * limits.max_line
                + spare
                + GROWN * EVENTS * (size_of::<Ready>() + size_of::<[u64; 2]>())
                + Hub::OF_THE_KICKED,
            kernel: limits.send_buffer.map(|bytes| 2 * bytes),
        })
    }

    /// What the process holds for so many connections, besides what it needs when it is empty.
    #[must_use]
    pub fn of(&self, connections: usize) -> usize {
        let each = (self.idle + self.busy).saturating_mul(connections);
        each.saturating_add(self.rooms + self.input + self.queued + self.fixed)
    }
}
