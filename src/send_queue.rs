//! Bytes not yet sent, per connection. What the hub says in a turn stands once per dialect in an arena; a connection's
//! queue holds the spans of it that the connection hears, and is dirty until they are flushed. Only what the kernel
//! refused is copied, into the connection's own backlog. Nothing here touches a socket: flushing is given a `send`.

use crate::dialect::Dialect;
use crate::limits::{ARENA, Limits, SPANS};
use crate::message::{Audience, ConnId, Event, Outbox};
use crate::pool::{BufferId, Pool};
use bstr::ByteSlice;
use std::io::{self, ErrorKind};

/// No span: the end of a queue's list.
const NONE: u32 = u32::MAX;

/// A part of an arena that one connection hears, and where its next one stands in [`SendQueues::spans`].
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    next: u32,
}

/// What one connection has still to be sent.
#[derive(Debug)]
struct SendQueue {
    /// First and last of this turn's spans, or [`NONE`] both.
    first: u32,
    last: u32,
    /// Bytes in those spans.
    pending: u32,
    /// So many bytes at the front of the backlog are sent.
    sent: u32,
    /// What the kernel refused; never lent empty: `Some` means that there are unsent bytes.
    backlog: Option<BufferId>,
    dialect: Dialect,
    /// On the dirty list.
    dirty: bool,
    /// The kernel has room again: the next flush may send the backlog.
    writable: bool,
    /// What was sent last ended within a line.
    mid_line: bool,
    /// Says nothing more: what is put here is thrown away.
    deaf: bool,
}

/// What became of a connection's queue in a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// So many bytes are unsent.
    Unsent(usize),
    /// The connection can't be sent to any more.
    Broken,
}

/// The queues of all connections, and the arenas of the turn.
#[derive(Debug)]
pub struct SendQueues {
    queues: Vec<SendQueue>,
    /// By [`Dialect::index`].
    arenas: [Vec<u8>; Dialect::ALL.len()],
    spans: Vec<Span>,
    /// Connections that have pending spans or are to be looked at, each once, in the order in which they became so.
    dirty: Vec<ConnId>,
    /// True once an arena or a single queue holds so much that it should be flushed.
    brimming: bool,
    /// Where several spans are put together for one send.
    gather: Vec<u8>,
    backlogs: Pool,
    half: usize,
}

impl SendQueues {
    /// No connections.
    #[must_use]
    pub fn new(limits: &Limits) -> SendQueues {
        SendQueues {
            queues: Vec::new(),
            arenas: std::array::from_fn(|_| Vec::new()),
            spans: Vec::new(),
            dirty: Vec::new(),
            brimming: false,
            gather: Vec::new(),
            backlogs: Pool::default(),
            half: limits.half_queue(),
        }
    }

    /// An empty queue for a new connection.
    pub fn open(&mut self, id: ConnId, dialect: Dialect) {
        let fresh = || SendQueue {
            first: NONE,
            last: NONE,
            pending: 0,
            sent: 0,
            backlog: None,
            dialect,
            dirty: false,
            writable: false,
            mid_line: false,
            deaf: true,
        };
        if self.queues.len() <= id.index() {
            self.queues.resize_with(id.index() + 1, fresh);
        }
        debug_assert!(self.queues[id.index()].backlog.is_none() && !self.queues[id.index()].dirty);
        self.queues[id.index()] = SendQueue { deaf: false, ..fresh() };
    }

    /// Throws away all that is left for a connection that is gone.
    pub fn close(&mut self, id: ConnId) {
        let queue = &mut self.queues[id.index()];
        (queue.deaf, queue.dirty) = (true, false);
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take() {
            self.backlogs.give_back(backlog);
        }
    }

    /// From now on nothing more is put into this queue. False if that was so already.
    pub fn deafen(&mut self, id: ConnId) -> bool {
        !std::mem::replace(&mut self.queues[id.index()].deaf, true)
    }

    /// Whether nothing more is put into this queue.
    #[must_use]
    pub fn is_deaf(&self, id: ConnId) -> bool {
        self.queues[id.index()].deaf
    }

    /// Throws away all that is left for a connection but the rest of a line that is partly sent, and hears again: what
    /// is put into the queue next is the last.
    pub fn forget(&mut self, id: ConnId) {
        let queue = &mut self.queues[id.index()];
        queue.deaf = false;
        queue.drop_spans();
        let Some(backlog) = &queue.backlog else { return };
        let bytes = self.backlogs.buffer(backlog);
        bytes.drain(..queue.sent as usize);
        queue.sent = 0;
        let keep = if queue.mid_line { bytes.find_byte(b'\n').map_or(bytes.len(), |lf| lf + 1) } else { 0 };
        if keep > 0 {
            bytes.truncate(keep);
            bytes.shrink_to_fit();
        } else if let Some(backlog) = queue.backlog.take() {
            self.backlogs.give_back(backlog);
        }
    }

    /// Bytes that the kernel refused and has not taken since.
    #[must_use]
    pub fn unsent(&self, id: ConnId) -> usize {
        let queue = &self.queues[id.index()];
        queue.backlog.as_ref().map_or(0, |backlog| self.backlogs.bytes(backlog).len() - queue.sent as usize)
    }

    /// The kernel takes bytes of this connection again.
    pub fn mark_writable(&mut self, id: ConnId) {
        self.queues[id.index()].writable = true;
        self.mark_dirty(id);
    }

    /// Has the next flush look at this connection, even if there is nothing to send.
    pub fn mark_dirty(&mut self, id: ConnId) {
        let queue = &mut self.queues[id.index()];
        if !queue.dirty {
            queue.dirty = true;
            self.dirty.push(id);
        }
    }

    /// The dirty connection at that place in their order.
    #[must_use]
    pub fn dirty(&self, place: usize) -> Option<ConnId> {
        self.dirty.get(place).copied()
    }

    /// Flushes one dirty connection by at most one `send`; what the kernel doesn't take goes to its backlog. While
    /// there is a backlog, nothing is sent until [`SendQueues::mark_writable`].
    pub fn flush(&mut self, id: ConnId, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> Flushed {
        let queue = &mut self.queues[id.index()];
        let arena = &self.arenas[queue.dialect.index()];
        queue.dirty = false;
        let bytes = match queue.one_span(&self.spans) {
            Some(span) => &arena[span.start as usize..span.end as usize],
            None => {
                self.gather.clear();
                let mut next = queue.first;
                while let Some(span) = self.spans.get(next as usize) {
                    self.gather.extend_from_slice(&arena[span.start as usize..span.end as usize]);
                    next = span.next;
                }
                &self.gather[..]
            }
        };
        queue.drop_spans();
        let taken = match &queue.backlog {
            Some(backlog) => {
                self.backlogs.buffer(backlog).extend_from_slice(bytes);
                return self.flush_backlog(id, send);
            }
            None if bytes.is_empty() => return Flushed::Unsent(0),
            None => match taken(send(bytes)) {
                Some(taken) => taken,
                None => return Flushed::Broken,
            },
        };
        queue.note_sent(&bytes[..taken]);
        if taken < bytes.len() {
            queue.writable = false;
            queue.backlog = Some(self.backlogs.lend(&bytes[taken..]));
        }
        Flushed::Unsent(bytes.len() - taken)
    }

    /// Ends a flush in which every dirty connection was flushed: the arenas are empty again.
    pub fn end_flush(&mut self) {
        debug_assert!(self.dirty.iter().all(|id| self.queues[id.index()].first == NONE));
        self.dirty.clear();
        self.spans.clear();
        self.arenas.iter_mut().for_each(Vec::clear);
        self.brimming = false;
    }

    /// Gives memory back that nothing needs now.
    pub fn rest(&mut self) {
        if self.dirty.is_empty() {
            self.arenas.iter_mut().for_each(|arena| *arena = Vec::new());
            (self.spans, self.dirty, self.gather) = (Vec::new(), Vec::new(), Vec::new());
        }
        self.backlogs.rest();
    }

    fn flush_backlog(&mut self, id: ConnId, mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> Flushed {
        let queue = &mut self.queues[id.index()];
        let Some(backlog) = &queue.backlog else { return Flushed::Unsent(0) };
        if queue.writable {
            queue.writable = false;
            let unsent = &self.backlogs.bytes(backlog)[queue.sent as usize..];
            let Some(taken) = taken(send(unsent)) else { return Flushed::Broken };
            if taken > 0 {
                queue.mid_line = unsent[taken - 1] != b'\n';
                queue.sent += taken as u32;
            }
        }
        let bytes = self.backlogs.buffer(backlog);
        let unsent = bytes.len() - queue.sent as usize;
        if unsent == 0 {
            queue.sent = 0;
            if let Some(backlog) = queue.backlog.take() {
                self.backlogs.give_back(backlog);
            }
        } else if queue.sent as usize >= unsent {
            bytes.drain(..queue.sent as usize);
            queue.sent = 0;
        }
        Flushed::Unsent(unsent)
    }

    /// Gives a connection a span of its dialect's arena to hear.
    fn push(&mut self, id: ConnId, start: usize, end: usize) {
        let (start, end) = (start as u32, end as u32);
        let queue = &mut self.queues[id.index()];
        if queue.deaf || start == end {
            return;
        }
        queue.pending += end - start;
        self.brimming |= queue.pending as usize > self.half;
        let place = self.spans.len() as u32;
        match self.spans.get_mut(queue.last as usize) {
            Some(last) if last.end == start => last.end = end,
            last => {
                match last {
                    Some(last) => last.next = place,
                    None => queue.first = place,
                }
                queue.last = place;
                self.spans.push(Span { start, end, next: NONE });
                self.brimming |= self.spans.len() >= SPANS;
            }
        }
        self.mark_dirty(id);
    }

    /// Writes an event down for a dialect; where it stands.
    fn encode(&mut self, dialect: Dialect, event: Event<'_>) -> (usize, usize) {
        let arena = &mut self.arenas[dialect.index()];
        let start = arena.len();
        dialect.encode(event, arena);
        self.brimming |= arena.len() >= ARENA;
        (start, arena.len())
    }

    /// Checks what is always true of one queue.
    pub fn invariants(&self, id: ConnId) {
        let queue = &self.queues[id.index()];
        assert_eq!(queue.first == NONE, queue.last == NONE);
        assert_eq!(queue.pending == 0, queue.first == NONE);
        assert!(queue.first == NONE || queue.dirty, "pending bytes are on the dirty list");
        assert!(queue.backlog.is_none() == (self.unsent(id) == 0), "no empty backlog is kept");
    }
}

impl SendQueue {
    fn drop_spans(&mut self) {
        (self.first, self.last, self.pending) = (NONE, NONE, 0);
    }

    fn one_span(&self, spans: &[Span]) -> Option<Span> {
        if self.first == self.last { spans.get(self.first as usize).copied() } else { None }
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
    }
}

/// How much the kernel took; `None` where it never will.
fn taken(sent: io::Result<usize>) -> Option<usize> {
    match sent {
        Ok(taken) => Some(taken),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

impl Outbox for SendQueues {
    fn has_room(&self, to: ConnId) -> bool {
        let queue = &self.queues[to.index()];
        match &queue.backlog {
            None => true,
            // What stands behind a backlog in this turn will be refused too.
            Some(_) => self.unsent(to) + queue.pending as usize <= self.half,
        }
    }

    fn send(&mut self, to: ConnId, event: Event<'_>) {
        let (start, end) = self.encode(self.queues[to.index()].dialect, event);
        self.push(to, start, end);
    }

    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>) {
        let mut encoded = [None; Dialect::ALL.len()];
        for &member in to.members {
            if Some(member) == to.except {
                continue;
            }
            let dialect = self.queues[member.index()].dialect;
            let (start, end) = match encoded[dialect.index()] {
                Some(span) => span,
                None => *encoded[dialect.index()].insert(self.encode(dialect, event)),
            };
            self.push(member, start, end);
        }
    }

    fn wants_flush(&self) -> bool {
        self.brimming
    }
}
