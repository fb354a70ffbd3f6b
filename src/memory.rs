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
    pub held: usize,
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
            Hub::most_listed(rooms).saturating_mul(Dialect::MAX_LISTED) + limits.max_sent_line();
        let held = limits.most_held(1) - limits.most_held(0);
        let idle = GROWN * (Connections::MAX_BYTES_PER_CONNECTION + STREAM)
            + Hub::OF_ONE
            + SendQueues::OF_ONE
            + Admission::OF_ONE;
        let busy = Hub::of_seats(limits)?
            + Timers::OF_ONE
            + held
            + GROWN * size_of::<Vec<u8>>()
            + ALLOCATION
            + Datagrams::OF_ONE;
        let spare = POOLED_BUFFERS * (POOLED_BUFFER_BYTES + size_of::<Vec<u8>>() + ALLOCATION);
        Some(Memory {
            idle,
            busy,
            rooms: Hub::of_rooms(rooms),
            held: limits.most_held(0),
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
        each.saturating_add(self.rooms + self.held + self.queued + self.fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KIB;

    #[test]
    fn the_page_for_operators_says_what_comes_to_this() {
        let page = include_str!("../docs/operations.md");
        let kib = |bytes: usize| bytes.div_ceil(KIB);
        let mib = |bytes: usize| bytes.div_ceil(KIB * KIB);
        let default = (Limits::default(), 1024);
        let small = (Limits { queue: 64 * KIB, queue_total: 8 * KIB * KIB, ..Limits::default() }, 1000);
        let [default, small] = [default, small].map(|(limits, connections)| {
            let worst = Memory::at_worst(&limits, connections).unwrap();
            (worst, worst.of(connections))
        });
        for (what, [first, second]) in [
            ("each connection, idle", [default, small].map(|(worst, _)| format!("{} B", worst.idle))),
            ("each connection, busy", [default, small].map(|(worst, _)| format!("{} KiB", kib(worst.busy)))),
            ("rooms", [default, small].map(|(worst, _)| format!("{} KiB", kib(worst.rooms)))),
            ("held", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.held)))),
            ("queued and said", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.queued)))),
            ("fixed", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.fixed)))),
            ("the sum", [default, small].map(|(_, sum)| format!("{} MiB", mib(sum)))),
        ] {
            let figures = format!("| {first} | {second} |");
            let row = page.lines().find(|line| line.starts_with(&format!("| {what}")));
            assert!(row.is_some_and(|row| row.ends_with(&figures)), "{what}: {figures}");
        }
    }

    #[test]
    fn one_limit_of_rooms_is_enough_and_without_any_there_is_no_worst() {
        let of = |max_rooms, max_rooms_per_connection| {
            let limits = Limits { max_rooms, max_rooms_per_connection, ..Limits::default() };
            Memory::at_worst(&limits, 10).map(|worst| worst.of(10))
        };
        assert!(of(Some(1024), None).is_some() && of(None, Some(64)).is_some() && of(None, None).is_none());
        assert!(of(Some(8), Some(64)) < of(Some(1024), Some(64)));
    }
}
