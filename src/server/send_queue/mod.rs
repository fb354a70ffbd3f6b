//! Unsent output per connection. The hub's events are encoded once per dialect into an arena; the queue of a connection
//! holds spans of it until they are flushed, at the end of the turn or, if deferred, with later output. Only bytes that
//! the kernel refused are copied, into `backlog.rs`. Nothing here touches a socket: flushing takes a `send` function.

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

/// Stale entries that the list of deferred connections may hold, however few are deferred.
const MAX_DEFERRED: usize = 1024;

/// A whole span of an arena that was copied into a chunk.
#[derive(Debug)]
struct Kept {
    dialect: Dialect,
    start: u32,
    end: u32,
    piece: Piece,
}

/// The result of flushing a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// This many bytes are unsent.
    Unsent(usize),
    /// The connection is broken.
    Broken,
}

/// The queues of all connections, and the arenas.
#[derive(Debug)]
pub struct SendQueues {
    queues: Vec<SendQueue>,
    /// By [`Dialect::index`].
    arenas: [Vec<u8>; Dialect::ALL.len()],
    spans: Vec<Span>,
    /// Connections that are due now, each once, in the order in which they became due.
    dirty: Vec<ConnId>,
    /// Connections whose output was deferred; some entries are stale.
    deferred: Vec<ConnId>,
    /// The number of connections with deferred output alone.
    waiting: usize,
    /// True once an arena, the spans or the list of deferred connections is above its high-water mark.
    is_above_high_water: bool,
    /// The spans of the queue being flushed, in their order.
    order: Vec<Span>,
    /// Where several spans are gathered for one send.
    gather: Vec<u8>,
    backlogs: Backlogs,
    /// The last spans that were refused in this flush; later queues that are refused the same share their copy.
    kept: VecDeque<Kept>,
    half: usize,
    /// The high-water mark of an arena in bytes: no queue holds more of it than half of its limit.
    full: usize,
    /// Maximum memory of all backlogs.
    total: usize,
    context: Context,
    /// What is counted here.
    pub counted: Queued,
}

impl SendQueues {
    /// Maximum memory of the queue of one connection: itself, its backlog except for the text, its entries in four
    /// lists, and a span beyond the first [`SPANS`].
    pub const MAX_BYTES_PER_CONNECTION: usize = VEC_GROWTH
        * (size_of::<SendQueue>() + 4 * size_of::<ConnId>() + size_of::<Span>() + size_of::<Piece>())
        + Backlogs::MAX_BYTES_PER_CONNECTION;

    /// Maximum memory of all queues together besides that, with `answer` bytes in the longest answer: the backlogs'
    /// text and the arenas.
    #[must_use]
    pub fn max_bytes(limits: &Limits, answer: usize) -> usize {
        // A request is started while no arena is full, and only one dialect has answers that are lists.
        let text = Dialect::ALL.len() * (ARENA + limits.max_sent_line()) + answer;
        let refused = limits.queue_total + text + VEC_GROWTH * SPANS * size_of::<Piece>();
        let said = VEC_GROWTH * (text + 2 * SPANS * size_of::<Span>() + MAX_DEFERRED * size_of::<ConnId>());
        let gathered = VEC_GROWTH * (ARENA + answer.max(CHUNK).max(limits.max_sent_line()));
        refused + refused.div_ceil(CHUNK) * Backlogs::BYTES_PER_CHUNK + said + gathered
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
            kept: VecDeque::new(),
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

    /// Drops the output of a connection that is gone.
    pub fn close(&mut self, id: ConnId) {
        self.set_due(id, Due::Never);
        let queue = &mut self.queues[id.index()];
        queue.discards_output = true;
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take() {
            self.backlogs.close(backlog);
        }
    }

    /// Has a queue discard further output; returns false if it does already.
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

    /// Frees the backlog of a connection, except for the remainder of a line; without one, the whole backlog.
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

    /// Returns whether the bytes sent end within a line whose remainder was dropped: no line can follow.
    #[must_use]
    pub fn is_cut(&self, id: ConnId) -> bool {
        let queue = &self.queues[id.index()];
        queue.mid_line && queue.backlog.is_none()
    }

    /// Accepts output again: what is put into the queue next is the last.
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

    /// While all backlogs take more than their limit, frees the largest; returns their connections and how much was
    /// freed. A connection may be listed twice, first for all but the remainder of a line.
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

    /// Returns whether the queue discards output: its connection is about to be closed.
    #[must_use]
    pub fn discards_output(&self, id: ConnId) -> bool {
        self.queues[id.index()].discards_output
    }

    /// Returns the bytes that the kernel has refused and not taken since.
    #[must_use]
    pub fn unsent(&self, id: ConnId) -> usize {
        let queue = &self.queues[id.index()];
        queue.backlog.as_ref().map_or(0, |backlog| self.backlogs.unsent(backlog))
    }

    /// Notes that the kernel has room for a connection again.
    pub fn mark_writable(&mut self, id: ConnId) {
        self.queues[id.index()].writable = true;
        self.mark_dirty(id);
    }

    /// Has the next flush include a connection, even without output.
    pub fn mark_dirty(&mut self, id: ConnId) {
        self.make_due(id, Due::Now);
    }

    /// Returns the number of connections with deferred output alone.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Has the next flush include deferred output.
    pub fn promote_deferred(&mut self) {
        for index in 0..self.deferred.len() {
            let id = self.deferred[index];
            if self.queues[id.index()].due == Due::Deferred {
                self.make_due(id, Due::Now);
            }
        }
        self.deferred.clear();
    }

    /// Sets when a connection is flushed, unless that is sooner already.
    fn make_due(&mut self, id: ConnId, due: Due) {
        if self.queues[id.index()].due < due {
            self.set_due(id, due);
            match due {
                Due::Now => self.dirty.push(id),
                Due::Deferred => {
                    self.deferred.push(id);
                    // Drops the stale entries, so that the list doesn't grow without end.
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

    /// Returns the dirty connection at an index of their order.
    #[must_use]
    pub fn dirty(&self, index: usize) -> Option<ConnId> {
        self.dirty.get(index).copied()
    }

    /// Flushes one dirty connection by at most one `send`, whose second argument tells whether these are all its bytes;
    /// the bytes not taken go to its backlog. While the kernel refuses its backlog, nothing is sent until
    /// [`SendQueues::mark_writable`]. At most `limit` bytes are sent, which end with a whole message; one message is
    /// sent even if it is longer.
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
            // The limit left the remainder, not the kernel.
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
            let piece =
                Kept::share(&mut self.kept, &mut self.backlogs, queue.dialect, span, arena).behind(taken);
            taken = 0;
            match &queue.backlog {
                Some(backlog) => self.backlogs.append(backlog, piece),
                None => queue.backlog = Some(self.backlogs.open(id, piece)),
            }
        }
        queue.drop_spans();
    }

    /// Ends a flush of all dirty connections: unless output is deferred, the arenas are empty again.
    pub fn end_flush(&mut self) {
        debug_assert!(self.dirty.iter().all(|id| self.queues[id.index()].is_empty()));
        self.dirty.clear();
        if self.waiting == 0 {
            self.deferred.clear();
            self.spans.clear();
            self.arenas.iter_mut().for_each(Vec::clear);
            self.is_above_high_water = false;
        }
        self.kept.drain(..).for_each(|kept| self.backlogs.release_piece(kept.piece));
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
            // The remainder after the limit may be sent next, without waiting for the kernel.
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

    /// Appends a span of the dialect's arena to a queue; returns whether the queue takes it.
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

    /// Appends the same span to the queues of an audience that have this dialect; returns their number.
    fn push_all(&mut self, to: Audience<'_>, dialect: Dialect, span: (u32, u32), due: Due) -> usize {
        const NOBODY: ConnId = ConnId(u32::MAX);
        let ((start, end), except) = (span, to.except.unwrap_or(NOBODY));
        let (mut told, mut heard) = (0, 0);
        for &member in to.members {
            let queue = &mut self.queues[member.index()];
            if queue.dialect != dialect {
                break;
            }
            told += 1;
            // In a busy room, the queue already ends where the span begins, and this is all that is done per member:
            // see docs/performance.md.
            if queue.end == start
                && queue.due >= due
                && !queue.discards_output
                && member != except
                && start < end
            {
                queue.end = end;
                heard += 1;
            } else if member != except {
                heard += u64::from(self.push(member, start, end, due));
            }
        }
        self.counted.count(heard, heard * u64::from(end - start));
        told
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
        assert!(queue.earlier == NONE || !queue.is_empty(), "spans follow each other");
        assert!(queue.is_empty() || queue.due > Due::Never, "pending bytes are flushed some time");
        assert!(queue.backlog.is_none() == (self.unsent(id) == 0), "no empty backlog is kept");
    }

    /// Checks the invariants of all queues, between turns.
    pub fn all_invariants(&self) {
        self.backlogs.invariants();
        assert!(self.kept.is_empty() && !self.is_overflowing());
        assert_eq!(self.waiting, self.queues.iter().filter(|queue| queue.due == Due::Deferred).count());
        assert!(self.waiting <= self.deferred.len());
    }
}

impl Kept {
    /// Returns a piece with the text of a span: a recent one if it has the same text.
    fn share(
        kept: &mut VecDeque<Kept>,
        backlogs: &mut Backlogs,
        dialect: Dialect,
        span: Span,
        arena: &[u8],
    ) -> Piece {
        let same = |kept: &&Kept| (kept.dialect, kept.start, kept.end) == (dialect, span.start, span.end);
        if let Some(kept) = kept.iter().rfind(same) {
            return kept.piece;
        }
        if kept.len() == SHARED_SPANS
            && let Some(oldest) = kept.pop_front()
        {
            backlogs.release_piece(oldest.piece);
        }
        let piece = backlogs.keep(span.text(arena));
        kept.push_back(Kept { dialect, start: span.start, end: span.end, piece });
        piece
    }
}

/// Returns when an event is to be sent.
fn due(event: Event<'_>) -> Due {
    if event.is_presence() { Due::Deferred } else { Due::Now }
}

/// Returns how many bytes may be sent at once: at most `limit`, up to the end of a message, but at least one message.
fn within(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    match message::whole(&bytes[..limit]) {
        0 => message::first(bytes),
        whole => whole,
    }
}

/// Returns how many bytes the kernel took; `None` on a failure.
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
            // The kernel will refuse what follows a backlog in this turn, too.
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
            // Not encoded if no other member has that dialect.
            if Some(*first) == to.except {
                rest = others;
                continue;
            }
            let dialect = self.queues[first.index()].dialect;
            let span = match written[dialect.index()] {
                Some(span) => span,
                None => *written[dialect.index()].insert(self.encode(dialect, event)),
            };
            let told = self.push_all(Audience { members: rest, ..to }, dialect, span, due(event));
            rest = &rest[told..];
        }
    }

    fn wants_flush(&self) -> bool {
        self.is_above_high_water
    }
}
