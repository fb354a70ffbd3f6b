//! Send queues. An event is encoded once per dialect into an arena; the queue of a connection holds spans of the arena
//! until they are flushed: at the end of the turn or, if deferred, with later output. Only bytes refused by the kernel
//! are copied, into `backlog.rs`. No code here touches a socket: flushing takes a `send` function.

mod queue;

use crate::limits::{ARENA, CHUNK, Limits, SHARED_SPANS, SPANS, VEC_GROWTH};
use crate::protocol::dialect::{Context, Dialect};
use crate::protocol::message;
use crate::protocol::{Audience, ConnId, Event, List, ListItem, Outbox};
use crate::server::backlog::{Backlogs, Piece};
use crate::server::stats::Queued;
use queue::{Due, NONE, SendQueue, Span};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// Entries that the list of deferred connections may hold beyond one per queue, before stale ones are dropped.
const MAX_DEFERRED: usize = 1024;

/// A span of an arena, copied whole: `piece` holds the text `start..end` of the arena of `dialect`.
#[derive(Debug)]
struct Copied {
    dialect: Dialect,
    start: u32,
    end: u32,
    piece: Piece,
}

/// The result of flushing a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The number of unsent bytes.
    Unsent(usize),
    /// The connection is broken.
    Broken,
}

/// The queues of all connections, and the arenas.
#[derive(Debug)]
pub struct SendQueues {
    queues: Vec<SendQueue>,
    /// By [`Dialect::index`]; empty after a flush, unless output is deferred.
    arenas: [Vec<u8>; Dialect::ALL.len()],
    spans: Vec<Span>,
    /// All connections with `due == Due::Now`, each once, in the order in which they became due.
    dirty: Vec<ConnId>,
    /// Contains all connections with `due == Due::Deferred`; other entries are stale.
    deferred: Vec<ConnId>,
    /// The number of queues with `due == Due::Deferred`; `waiting <= deferred.len()`.
    waiting: usize,
    /// Set when an arena, `spans` or `deferred` reaches its high-water mark, until the arenas are cleared.
    is_above_high_water: bool,
    /// The spans of the queue being flushed, oldest first.
    order: Vec<Span>,
    /// Bytes of several spans or pieces, gathered for one send.
    gather: Vec<u8>,
    backlogs: Backlogs,
    /// The last spans refused in this flush, for sharing their copies: `len <= SHARED_SPANS`, 0 between flushes.
    copied: VecDeque<Copied>,
    /// Half of a queue's limit: a queue with a backlog has room up to this many unsent bytes.
    half: usize,
    /// The high-water mark of an arena in bytes: `full <= half`, so that one arena fills at most half of a queue.
    full: usize,
    /// Maximum memory of all backlogs.
    total: usize,
    context: Context,
    /// Counts of queued lines, queued bytes and refusals.
    pub counted: Queued,
}

impl SendQueues {
    /// Maximum memory of one queue: itself, its backlog without text, four entries of lists, a span beyond [`SPANS`].
    pub const MAX_BYTES_PER_CONNECTION: usize = VEC_GROWTH
        * (size_of::<SendQueue>() + 4 * size_of::<ConnId>() + size_of::<Span>() + size_of::<Piece>())
        + Backlogs::MAX_BYTES_PER_CONNECTION;

    /// Returns the maximum of all other memory: backlog text and arenas, with a longest answer of `answer` bytes.
    #[must_use]
    pub fn max_bytes(limits: &Limits, answer: usize) -> usize {
        // No request begins while an arena is full, and only one dialect has lists as answers.
        let text = Dialect::ALL.len() * (ARENA + limits.max_sent_line()) + answer;
        let refused = limits.queue_total + text + VEC_GROWTH * SPANS * size_of::<Piece>();
        let queued = VEC_GROWTH * (text + 2 * SPANS * size_of::<Span>() + MAX_DEFERRED * size_of::<ConnId>());
        let gathered = VEC_GROWTH * (ARENA + answer.max(CHUNK).max(limits.max_sent_line()));
        refused + refused.div_ceil(CHUNK) * Backlogs::BYTES_PER_CHUNK + queued + gathered
    }

    /// Creates the queues of no connections.
    #[must_use]
    pub fn new(limits: &Limits) -> SendQueues {
        SendQueues {
            queues: Vec::new(),
            arenas: std::array::from_fn(|_| Vec::new()),
            spans: Vec::new(),
            order: Vec::new(),
            dirty: Vec::new(),
            deferred: Vec::new(),
            waiting: 0,
            is_above_high_water: false,
            gather: Vec::new(),
            backlogs: Backlogs::default(),
            copied: VecDeque::new(),
            half: limits.half_queue(),
            full: limits.half_queue().min(ARENA),
            total: limits.queue_total,
            context: Context { max_line: limits.max_line },
            counted: Queued::default(),
        }
    }

    /// Returns what the encoding of an event depends on.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// Returns the dialect of a connection.
    #[must_use]
    pub fn dialect(&self, id: ConnId) -> Dialect {
        self.queues[id.index()].dialect
    }

    /// Opens an empty queue.
    pub fn open(&mut self, id: ConnId, dialect: Dialect) {
        let fresh = || SendQueue {
            start: NONE,
            end: NONE,
            earlier: NONE,
            backlog: None,
            dialect,
            due: Due::Never,
            writable: false,
            mid_line: false,
            discards_output: true,
        };
        if self.queues.len() <= id.index() {
            self.queues.resize_with(id.index() + 1, fresh);
        }
        debug_assert!(self.queues[id.index()].backlog.is_none() && self.queues[id.index()].due == Due::Never);
        self.queues[id.index()] = SendQueue { discards_output: false, ..fresh() };
    }

    /// Drops the output of a closed connection.
    pub fn close(&mut self, id: ConnId) {
        self.set_due(id, Due::Never);
        let queue = &mut self.queues[id.index()];
        queue.discards_output = true;
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take() {
            self.backlogs.close(backlog);
        }
    }

    /// Makes a queue discard further output; returns false if it did already.
    pub fn discard_output(&mut self, id: ConnId) -> bool {
        !std::mem::replace(&mut self.queues[id.index()].discards_output, true)
    }

    /// Drops the output of a connection, except for the remainder of a partly sent line.
    pub fn forget(&mut self, id: ConnId) {
        let queue = &mut self.queues[id.index()];
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take_if(|_| !queue.mid_line) {
            self.backlogs.close(backlog);
        } else if let Some(backlog) = &queue.backlog {
            self.backlogs.keep_first_line(backlog);
        }
    }

    /// Frees a backlog except for the remainder of a partly sent line, or all if only that remainder is left.
    fn shed(&mut self, id: ConnId) {
        let before = self.unsent(id);
        self.forget(id);
        if self.unsent(id) == before {
            self.queues[id.index()]
                .backlog
                .take()
                .into_iter()
                .for_each(|backlog| self.backlogs.close(backlog));
        }
    }

    /// Returns whether the remainder of a partly sent line was dropped, so that no line can follow.
    #[must_use]
    pub fn is_cut(&self, id: ConnId) -> bool {
        let queue = &self.queues[id.index()];
        queue.mid_line && queue.backlog.is_none()
    }

    /// Makes a queue accept output again, for the connection's last output.
    pub fn resume_output(&mut self, id: ConnId) {
        self.queues[id.index()].discards_output = false;
    }

    /// Returns the memory of all backlogs, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.backlogs.memory()
    }

    fn is_overflowing(&self) -> bool {
        self.memory() > self.total
    }

    /// Frees the largest backlogs until all together are within their limit; returns their connections and their unsent
    /// bytes before. A connection may be listed twice, first for all but the remainder of a line.
    pub fn make_room(&mut self) -> Vec<(ConnId, usize)> {
        let mut shed = Vec::new();
        while self.is_overflowing() {
            for id in self.backlogs.largest_first() {
                if !self.is_overflowing() {
                    break;
                }
                shed.push((id, self.unsent(id)));
                self.shed(id);
            }
        }
        shed
    }

    /// Returns whether a queue discards output because its connection is about to be closed.
    #[must_use]
    pub fn discards_output(&self, id: ConnId) -> bool {
        self.queues[id.index()].discards_output
    }

    /// Returns the number of bytes in the backlog of a connection.
    #[must_use]
    pub fn unsent(&self, id: ConnId) -> usize {
        let queue = &self.queues[id.index()];
        queue.backlog.as_ref().map_or(0, |backlog| self.backlogs.unsent(backlog))
    }

    /// Marks a connection as writable: the kernel has room for its output again.
    pub fn mark_writable(&mut self, id: ConnId) {
        self.queues[id.index()].writable = true;
        self.mark_dirty(id);
    }

    /// Includes a connection in the next flush, even without output.
    pub fn mark_dirty(&mut self, id: ConnId) {
        self.make_due(id, Due::Now);
    }

    /// Returns the number of connections with only deferred output.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Includes deferred output in the next flush.
    pub fn promote_deferred(&mut self) {
        for index in 0..self.deferred.len() {
            let id = self.deferred[index];
            if self.queues[id.index()].due == Due::Deferred {
                self.make_due(id, Due::Now);
            }
        }
        self.deferred.clear();
    }

    /// Makes a connection due, unless it is due as soon already.
    fn make_due(&mut self, id: ConnId, due: Due) {
        if self.queues[id.index()].due < due {
            self.set_due(id, due);
            match due {
                Due::Now => self.dirty.push(id),
                Due::Deferred => {
                    self.deferred.push(id);
                    // A flush drops the stale entries, so that the list is bounded.
                    self.is_above_high_water |= self.deferred.len() >= self.queues.len() + MAX_DEFERRED;
                }
                Due::Never => {}
            }
        }
    }

    fn set_due(&mut self, id: ConnId, due: Due) {
        let former = std::mem::replace(&mut self.queues[id.index()].due, due);
        self.waiting -= usize::from(former == Due::Deferred);
        self.waiting += usize::from(due == Due::Deferred);
    }

    /// Returns the dirty connection at `index`, in the order in which they became due.
    #[must_use]
    pub fn dirty(&self, index: usize) -> Option<ConnId> {
        self.dirty.get(index).copied()
    }

    /// Flushes a dirty connection by at most one `send(bytes, all)`; `all` is true if these are all unsent bytes. Sends
    /// at most `limit` bytes, up to the end of a message, or one longer message. Bytes not taken go to the backlog; if
    /// the kernel refuses any, nothing is sent until [`SendQueues::mark_writable`].
    pub fn flush(
        &mut self,
        id: ConnId,
        limit: usize,
        mut send: impl FnMut(&[u8], bool) -> io::Result<usize>,
    ) -> Flushed {
        self.set_due(id, Due::Never);
        let queue = &mut self.queues[id.index()];
        let arena = &self.arenas[queue.dialect.index()];
        let bytes = if queue.is_empty() {
            &[]
        } else if queue.earlier == NONE {
            &arena[queue.start as usize..queue.end as usize]
        } else {
            queue.list(&self.spans, &mut self.order);
            self.gather.clear();
            self.order.iter().for_each(|span| self.gather.extend_from_slice(span.text(arena)));
            &self.gather[..]
        };
        let offered = within(bytes, limit);
        let taken = match &queue.backlog {
            _ if bytes.is_empty() => return self.flush_backlog(id, limit, send),
            Some(_) => 0,
            None => match taken(send(&bytes[..offered], offered == bytes.len())) {
                Some(taken) => taken,
                None => {
                    queue.drop_spans();
                    return Flushed::Broken;
                }
            },
        };
        queue.note_sent(&bytes[..taken]);
        if taken == bytes.len() {
            queue.drop_spans();
            return Flushed::Unsent(0);
        }
        queue.writable &= queue.backlog.is_some();
        self.refuse(id, taken);
        if taken > 0 && taken == offered {
            // The remainder is unsent because of the limit; the kernel has room.
            self.queues[id.index()].writable = true;
            return Flushed::Unsent(self.unsent(id));
        }
        self.flush_backlog(id, limit, send)
    }

    /// Moves the spans of a queue, without the first `taken` bytes, into its backlog.
    fn refuse(&mut self, id: ConnId, mut taken: usize) {
        let queue = &mut self.queues[id.index()];
        let arena = &self.arenas[queue.dialect.index()];
        queue.list(&self.spans, &mut self.order);
        for &span in &self.order {
            if taken >= span.len() {
                taken -= span.len();
                continue;
            }
            let piece = Copied::share(&mut self.copied, &mut self.backlogs, queue.dialect, span, arena)
                .without_front(taken);
            taken = 0;
            match &queue.backlog {
                Some(backlog) => self.backlogs.append(backlog, piece),
                None => queue.backlog = Some(self.backlogs.open(id, piece)),
            }
        }
        queue.drop_spans();
    }

    /// Ends a flush of all dirty connections: clears the arenas unless output is deferred.
    pub fn end_flush(&mut self) {
        debug_assert!(self.dirty.iter().all(|id| self.queues[id.index()].is_empty()));
        self.dirty.clear();
        if self.waiting == 0 {
            self.deferred.clear();
            self.spans.clear();
            self.arenas.iter_mut().for_each(Vec::clear);
            self.is_above_high_water = false;
        }
        self.copied.drain(..).for_each(|span| self.backlogs.release_piece(span.piece));
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        if self.dirty.is_empty() && self.waiting == 0 {
            self.arenas.iter_mut().for_each(|arena| *arena = Vec::new());
            (self.spans, self.order) = (Vec::new(), Vec::new());
            (self.dirty, self.deferred, self.gather) = (Vec::new(), Vec::new(), Vec::new());
        }
        self.backlogs.trim();
    }

    fn flush_backlog(
        &mut self,
        id: ConnId,
        limit: usize,
        mut send: impl FnMut(&[u8], bool) -> io::Result<usize>,
    ) -> Flushed {
        let queue = &mut self.queues[id.index()];
        let Some(backlog) = &queue.backlog else { return Flushed::Unsent(0) };
        if queue.writable {
            queue.writable = false;
            let front = self.backlogs.front(backlog, ARENA, &mut self.gather);
            let bytes = &front[..within(front, limit)];
            let all = bytes.len() == self.backlogs.unsent(backlog);
            let Some(taken) = taken(send(bytes, all)) else { return Flushed::Broken };
            // If only the limit was reached, the next flush may send without waiting for the kernel.
            queue.writable = taken == bytes.len() && bytes.len() < front.len();
            if taken > 0 {
                queue.mid_line = !message::is_whole(&bytes[..taken]);
            }
            self.backlogs.advance(backlog, taken);
        }
        let unsent = self.backlogs.unsent(backlog);
        if unsent == 0
            && let Some(backlog) = queue.backlog.take()
        {
            self.backlogs.close(backlog);
        }
        Flushed::Unsent(unsent)
    }

    /// Appends a span of its dialect's arena to a queue; returns false if the queue discards it or it is empty.
    fn push(&mut self, id: ConnId, start: u32, end: u32, due: Due) -> bool {
        let queue = &mut self.queues[id.index()];
        if queue.discards_output || start == end {
            return false;
        }
        if queue.is_empty() {
            queue.start = start;
        } else if queue.end != start {
            let bytes = queue.pending(&self.spans);
            let former = Span { start: queue.start, end: queue.end, earlier: queue.earlier, bytes };
            queue.earlier = self.spans.len() as u32;
            queue.start = start;
            self.spans.push(former);
            self.is_above_high_water |= self.spans.len() >= SPANS;
        }
        queue.end = end;
        self.make_due(id, due);
        true
    }

    /// Appends a span to the queues of the leading members with `dialect`; returns their number, `except` included.
    fn push_all(&mut self, to: Audience<'_>, dialect: Dialect, span: (u32, u32), due: Due) -> usize {
        const NO_MEMBER: ConnId = ConnId(u32::MAX);
        let ((start, end), except) = (span, to.except.unwrap_or(NO_MEMBER));
        let (mut passed, mut queued) = (0, 0);
        for &member in to.members {
            let queue = &mut self.queues[member.index()];
            if queue.dialect != dialect {
                break;
            }
            passed += 1;
            // The common case in a busy room: the span is adjacent to the last one (see docs/performance.md).
            if queue.end == start
                && queue.due >= due
                && !queue.discards_output
                && member != except
                && start < end
            {
                queue.end = end;
                queued += 1;
            } else if member != except {
                queued += u64::from(self.push(member, start, end, due));
            }
        }
        self.counted.count(queued, queued * u64::from(end - start));
        passed
    }

    /// Encodes an event into a dialect's arena; returns its start and end.
    fn encode(&mut self, dialect: Dialect, event: Event<'_>) -> (u32, u32) {
        let arena = &mut self.arenas[dialect.index()];
        let start = arena.len();
        dialect.encode(event, &self.context, arena);
        self.is_above_high_water |= arena.len() >= self.full;
        (start as u32, arena.len() as u32)
    }

    /// Checks the invariants of one queue.
    pub fn invariants(&self, id: ConnId) {
        let queue = &self.queues[id.index()];
        assert!(queue.earlier == NONE || !queue.is_empty(), "an empty queue has no earlier span");
        assert!(queue.is_empty() || queue.due > Due::Never, "a queue with spans is due");
        assert!(queue.backlog.is_none() == (self.unsent(id) == 0), "no backlog is empty");
    }

    /// Checks the invariants of all queues, between turns.
    pub fn all_invariants(&self) {
        self.backlogs.invariants();
        assert!(self.copied.is_empty() && !self.is_overflowing());
        assert_eq!(self.waiting, self.queues.iter().filter(|queue| queue.due == Due::Deferred).count());
        assert!(self.waiting <= self.deferred.len());
    }
}

impl Copied {
    /// Returns a piece with the text of a span: a recent piece if the span is the same, or else a new one.
    fn share(
        copied: &mut VecDeque<Copied>,
        backlogs: &mut Backlogs,
        dialect: Dialect,
        span: Span,
        arena: &[u8],
    ) -> Piece {
        let same = |copy: &&Copied| (copy.dialect, copy.start, copy.end) == (dialect, span.start, span.end);
        if let Some(recent) = copied.iter().rfind(same) {
            return recent.piece;
        }
        if copied.len() == SHARED_SPANS
            && let Some(oldest) = copied.pop_front()
        {
            backlogs.release_piece(oldest.piece);
        }
        let piece = backlogs.keep(span.text(arena));
        copied.push_back(Copied { dialect, start: span.start, end: span.end, piece });
        piece
    }
}

/// Returns when an event is flushed: presence is deferred.
fn due(event: Event<'_>) -> Due {
    if event.is_presence() { Due::Deferred } else { Due::Now }
}

/// Returns how many bytes to send at once: at most `limit`, up to the end of a message, but at least one message.
fn within(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    match message::whole(&bytes[..limit]) {
        0 => message::first(bytes),
        whole => whole,
    }
}

/// Returns the number of bytes that the kernel took: 0 if it has no room, `None` if the connection is broken.
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
            _ if queue.discards_output => false,
            None => true,
            // The kernel also refuses output queued after a backlog in this turn.
            Some(_) => self.unsent(to) + queue.pending(&self.spans) as usize <= self.half,
        }
    }

    fn send(&mut self, to: ConnId, event: Event<'_>) {
        let (start, end) = self.encode(self.queues[to.index()].dialect, event);
        if let Event::Refused(refusal) = event {
            self.counted.count_refusal(refusal.code());
        }
        if self.push(to, start, end, due(event)) {
            self.counted.count(1, u64::from(end - start));
        }
    }

    fn send_list<'n>(
        &mut self,
        to: ConnId,
        list: List<'_>,
        items: impl Iterator<Item = ListItem<'n>>,
    ) -> usize {
        let dialect = self.queues[to.index()].dialect;
        let arena = &mut self.arenas[dialect.index()];
        let start = arena.len();
        let lines = dialect.encode_list(list, items, &self.context, arena);
        let end = arena.len();
        self.is_above_high_water |= end >= self.full;
        if self.push(to, start as u32, end as u32, Due::Now) {
            self.counted.count(lines as u64, (end - start) as u64);
        }
        lines
    }

    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>) {
        let mut written = [None; Dialect::ALL.len()];
        let mut rest = to.members;
        while let [first, others @ ..] = rest {
            // Skips the excepted member: no other member may have its dialect.
            if Some(*first) == to.except {
                rest = others;
                continue;
            }
            let dialect = self.queues[first.index()].dialect;
            let span = match written[dialect.index()] {
                Some(span) => span,
                None => *written[dialect.index()].insert(self.encode(dialect, event)),
            };
            let reached = self.push_all(Audience { members: rest, ..to }, dialect, span, due(event));
            rest = &rest[reached..];
        }
    }

    fn wants_flush(&self) -> bool {
        self.is_above_high_water
    }
}
