//! The send queue of one connection, as plain data. `send_queue/mod.rs` appends to it and flushes it.

use crate::protocol::dialect::Dialect;
use crate::protocol::message;
use crate::server::backlog::BacklogId;

/// The index of no span: it ends a list of spans.
pub(super) const NONE: u32 = u32::MAX;

/// A part of an arena in the queue of one connection: `start < end <= arena.len()`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
    /// The index of the next older span of the queue in the shared list, or [`NONE`].
    pub earlier: u32,
    /// Bytes in this span and in all older spans of the queue.
    pub bytes: u32,
}

/// When a queue is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Nothing to flush: the queue has no spans.
    Never,
    /// With the next output that is due now, or when deferred output is flushed.
    Deferred,
    /// In the next flush.
    Now,
}

/// The unsent output of one connection. A line to a room updates the queue of each member, so queues are small, and
/// appending a span adjacent to the last one writes to no other memory.
#[derive(Debug)]
pub(super) struct SendQueue {
    /// The last span: `start < end`, or both are [`NONE`].
    pub start: u32,
    pub end: u32,
    /// The index of the next older span, or [`NONE`]; [`NONE`] if the queue is empty.
    pub earlier: u32,
    /// Unsent bytes, older than all spans; never empty.
    pub backlog: Option<BacklogId>,
    pub dialect: Dialect,
    pub due: Due,
    /// The kernel may have room: the next flush sends the backlog.
    pub writable: bool,
    /// The last bytes sent end within a line.
    pub mid_line: bool,
    /// Further output is dropped: the connection is about to be closed, or is closed.
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

    /// Returns the number of bytes in the spans.
    pub fn pending(&self, spans: &[Span]) -> u32 {
        self.end - self.start + spans.get(self.earlier as usize).map_or(0, |earlier| earlier.bytes)
    }

    /// Replaces the content of `order` by the spans, oldest first.
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
