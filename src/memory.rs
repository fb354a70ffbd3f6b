//! The memory of the server in the worst case: the sum of all parts that connections make it hold, each bounded by a
//! number of `crate::limits`. Each module states its part per connection; here is only the sum, which `tests/memory.rs`
//! compares with the process.

use crate::hub::Hub;
use crate::limits::{
    ALLOCATION_OVERHEAD, EVENTS, Limits, POOLED_BUFFER_BYTES, POOLED_BUFFERS, READ, STREAM, VEC_GROWTH,
};
use crate::protocol::dialect::Dialect;
use crate::reactor::Ready;
use crate::server::admission::Admission;
use crate::server::connections::Connections;
use crate::server::datagrams::Datagrams;
use crate::server::send_queue::SendQueues;
use crate::server::timers::Timers;

/// Memory in bytes, of the process unless a field says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Each idle connection, with the longest name, in the lobby.
    pub idle: usize,
    /// What each adds in the worst case: it is in as many rooms as it may be, all its timers are armed, a line and a
    /// read of its input are held, and there is a datagram peer as well.
    pub busy: usize,
    /// All rooms, without their members.
    pub rooms: usize,
    /// Unprocessed input of all connections together, beyond what each may hold by itself.
    pub input: usize,
    /// Bytes until they are flushed, and bytes that kernels refused, for all connections together.
    pub queued: usize,
    /// Needed once: the read buffer, spare buffers, reports, names of kicked users.
    pub fixed: usize,
    /// The send buffer of each connection in a kernel that doubles `--send-buffer`, as Linux does; `None` where its
    /// size is left to the kernel, as the size of the receive buffer always is.
    pub kernel: Option<usize>,
}

impl Memory {
    /// Returns the worst case for `connections`; `None` if the number of rooms has no limit.
    #[must_use]
    pub fn at_worst(limits: &Limits, connections: usize) -> Option<Memory> {
        let rooms = Hub::max_rooms(limits, connections)?;
        let longest_list =
            Hub::max_listed(rooms).saturating_mul(Dialect::MAX_LISTED) + limits.max_sent_line();
        let input = limits.max_input_total(1) - limits.max_input_total(0);
        let idle = VEC_GROWTH * (Connections::MAX_BYTES_PER_CONNECTION + STREAM)
            + Hub::MAX_BYTES_PER_CONNECTION
            + SendQueues::MAX_BYTES_PER_CONNECTION
            + Admission::MAX_BYTES_PER_CONNECTION;
        let busy = Hub::max_membership_bytes(limits)?
            + Timers::MAX_BYTES_PER_CONNECTION
            + input
            + VEC_GROWTH * size_of::<Vec<u8>>()
            + ALLOCATION_OVERHEAD
            + Datagrams::MAX_BYTES_PER_CONNECTION;
        let spare = POOLED_BUFFERS * (POOLED_BUFFER_BYTES + size_of::<Vec<u8>>() + ALLOCATION_OVERHEAD);
        Some(Memory {
            idle,
            busy,
            rooms: Hub::max_room_bytes(rooms),
            input: limits.max_input_total(0),
            queued: SendQueues::max_bytes(limits, longest_list),
            fixed: READ
                + 2 * limits.max_line
                + spare
                + VEC_GROWTH * EVENTS * (size_of::<Ready>() + size_of::<[u64; 2]>())
                + Hub::MAX_BYTES_KICKED,
            kernel: limits.send_buffer.map(|bytes| 2 * bytes),
        })
    }

    /// Returns what the process holds for `connections`, beyond what it needs when it is empty.
    #[must_use]
    pub fn of(&self, connections: usize) -> usize {
        let each = (self.idle + self.busy).saturating_mul(connections);
        each.saturating_add(self.rooms + self.input + self.queued + self.fixed)
    }
}
