//! The unsent output of one connection: spans of an arena in their order, and the backlog of bytes that the kernel has
//! refused. Plain data, which `send_queue/mod.rs` fills and empties.

use crate::protocol::dialect::Dialect;
use crate::protocol::message;
use crate::server::backlog::BacklogId;

/// No span: the end of a queue's list.
pub(super) const NONE: u32 = u32::MAX;

/// A part of an arena in the queue of one connection, with later spans after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
    /// The index of the span before it in the shared list, or [`NONE`].
    pub earlier: u32,
    /// Bytes in it and in all spans before it.
    pub bytes: u32,
}

/// When a queue is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// There is nothing to flush.
    Never,
    /// With the next output that is due now, or when deferred output is flushed.
    Deferred,
    /// In the next flush.
    Now,
}

/// The unsent output of one connection. A line to a room touches the queue of each member, so queues are small, and a
/// span next to the last one touches nothing else; a test checks the size.
#[derive(Debug)]
pub(super) struct SendQueue {
    /// The last span; both [`NONE`] without any.
    pub start: u32,
    pub end: u32,
    /// The span before the last, or [`NONE`].
    pub earlier: u32,
    /// What the kernel refused; never empty: `Some` means that there are unsent bytes.
    pub backlog: Option<BacklogId>,
    pub dialect: Dialect,
    pub due: Due,
    /// The kernel has room again: the next flush may send the backlog.
    pub writable: bool,
    /// The last bytes sent end within a line.
    pub mid_line: bool,
    /// Output is dropped.
    pub discards_output: bool,
}

impl Span {
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn text(self, arena: &[u8]) -> &[u8] {
        &arena[self.start as usize..self.end as usize]
    }
}

impl SendQueue {
    pub fn is_empty(&self) -> bool {
        self.start == NONE
    }

    /// Returns the bytes in its spans.
    pub fn pending(&self, spans: &[Span]) -> u32 {
        self.end - self.start + spans.get(self.earlier as usize).map_or(0, |earlier| earlier.bytes)
    }

    /// Writes its spans to `order`, oldest first.
    pub fn list(&self, spans: &[Span], order: &mut Vec<Span>) {
        order.clear();
        let mut next = Some(Span { start: self.start, end: self.end, earlier: self.earlier, bytes: 0 });
        while let Some(span) = next {
            order.push(span);
            next = spans.get(span.earlier as usize).copied();
        }
        order.reverse();
    }

    pub fn drop_spans(&mut self) {
        (self.start, self.end, self.earlier) = (NONE, NONE, NONE);
    }

    pub fn note_sent(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.mid_line = !message::is_whole(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_small() {
        assert!(size_of::<SendQueue>() <= 24, "{}", size_of::<SendQueue>());
    }
}
