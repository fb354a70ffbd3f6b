//! Bytes not yet sent, per connection. What the hub says stands once per dialect in an arena; a connection's queue holds
//! the spans of it that the connection hears, until they are flushed: at the end of the turn, or where they may wait,
//! together with what comes next. Only what the kernel refused is copied, into `backlog.rs`. Nothing here touches a socket:
//! flushing is given a `send`.

mod queue;

use crate::limits::{ARENA, CHUNK, GROWN, Limits, SHARED, SPANS};
use crate::protocol::dialect::{Context, Dialect};
use crate::protocol::message;
use crate::protocol::{Audience, ConnId, Event, List, ListItem, Outbox};
use crate::server::backlog::{Backlogs, Piece};
use crate::server::stats::Queued;
use queue::{Due, NONE, SendQueue, Span};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// So many places on the list of those who are due later are left to those who aren't any more, however few there are.
const MAX_DEFERRED: usize = 1024;

/// A span of an arena that stands in a chunk too, whole, however much of it one or the other was still sent.
#[derive(Debug)]
struct Kept {
    dialect: Dialect,
    start: u32,
    end: u32,
    piece: Piece,
}

/// What became of a connection's queue in a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// So many bytes are unsent.
    Unsent(usize),
    /// The connection can't be sent to any more.
    Broken,
}

/// The queues of all connections, and the arenas with what they hold.
#[derive(Debug)]
pub struct SendQueues {
    queues: Vec<SendQueue>,
    /// By [`Dialect::index`].
    arenas: [Vec<u8>; Dialect::ALL.len()],
    spans: Vec<Span>,
    /// Connections that are due now, each once, in the order in which they became so.
    dirty: Vec<ConnId>,
    /// Connections that became due later; some of them aren't any more.
    deferred: Vec<ConnId>,
    /// How many are.
    waiting: usize,
    /// True once an arena, the spans or the list of the patient hold so much that all should be flushed.
    is_above_high_water: bool,
    /// The spans of the queue that is flushed, in their order.
    order: Vec<Span>,
    /// Where several spans are put together for one send.
    gather: Vec<u8>,
    backlogs: Backlogs,
    /// Spans that were refused in this flush, the last ones: who is refused the same next shares them.
    kept: VecDeque<Kept>,
    half: usize,
    /// Bytes of an arena at which the queues are flushed: no queue can hold more of it than half of its limit.
    full: usize,
    /// Memory that backlogs may take.
    total: usize,
    context: Context,
    /// What is counted here.
    pub counted: Queued,
}

impl SendQueues {
    /// The most memory that the queue of one connection takes: itself, its backlog but for what is counted there, places on
    /// four lists, and of what is said a span that all hear behind the [`SPANS`] that are enough.
    pub const MAX_BYTES_PER_CONNECTION: usize = GROWN
        * (size_of::<SendQueue>() + 4 * size_of::<ConnId>() + size_of::<Span>() + size_of::<Piece>())
        + Backlogs::MAX_BYTES_PER_CONNECTION;

    /// The most memory that all of them together take besides, where the longest answer to one request has so many bytes:
    /// what is refused, and what is said until it is flushed.
    #[must_use]
    pub fn of_all(limits: &Limits, answer: usize) -> usize {
        // A request is begun as long as an arena isn't full, and only one dialect has answers that are lists.
        let text = Dialect::ALL.len() * (ARENA + limits.max_sent_line()) + answer;
        let refused = limits.queue_total + text + GROWN * SPANS * size_of::<Piece>();
        let said = GROWN * (text + 2 * SPANS * size_of::<Span>() + MAX_DEFERRED * size_of::<ConnId>());
        let gathered = GROWN * (ARENA + answer.max(CHUNK).max(limits.max_sent_line()));
        refused + refused.div_ceil(CHUNK) * Backlogs::BYTES_PER_CHUNK + said + gathered
    }

    /// No connections.
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

    /// What the form of an event depends on.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// What is spoken on a connection.
    #[must_use]
    pub fn dialect(&self, id: ConnId) -> Dialect {
        self.queues[id.index()].dialect
    }

    /// An empty queue for a new connection.
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

    /// Throws away all that is left for a connection that is gone.
    pub fn close(&mut self, id: ConnId) {
        self.set_due(id, Due::Never);
        let queue = &mut self.queues[id.index()];
        queue.discards_output = true;
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take() {
            self.backlogs.close(backlog);
        }
    }

    /// From now on nothing more is put into this queue. False if that was so already.
    pub fn discard_output(&mut self, id: ConnId) -> bool {
        !std::mem::replace(&mut self.queues[id.index()].discards_output, true)
    }

    /// Throws away all that is left for a connection but the rest of a line that is partly sent.
    pub fn forget(&mut self, id: ConnId) {
        let queue = &mut self.queues[id.index()];
        queue.drop_spans();
        if let Some(backlog) = queue.backlog.take_if(|_| !queue.mid_line) {
            self.backlogs.close(backlog);
        } else if let Some(backlog) = &queue.backlog {
            self.backlogs.keep_first_line(backlog);
        }
    }

    /// Frees what a connection's backlog holds, all but the rest of a line; where there is nothing else, that too.
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

    /// Whether what was sent ends within a line whose rest is gone: nothing more can be said.
    #[must_use]
    pub fn is_cut(&self, id: ConnId) -> bool {
        let queue = &self.queues[id.index()];
        queue.mid_line && queue.backlog.is_none()
    }

    /// Hears again: what is put into the queue next is the last.
    pub fn resume_output(&mut self, id: ConnId) {
        self.queues[id.index()].discards_output = false;
    }

    /// Memory that backlogs take together, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.backlogs.memory()
    }

    fn is_overflowing(&self) -> bool {
        self.memory() > self.total
    }

    /// Where all backlogs together take more than they may, whoever holds most goes, and what it holds is freed at once:
    /// who they are, and how much that was. Each can be among them twice, first for all but the rest of a line.
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

    /// Whether nothing more is put into this queue: its connection is about to be closed.
    #[must_use]
    pub fn discards_output(&self, id: ConnId) -> bool {
        self.queues[id.index()].discards_output
    }

    /// Bytes that the kernel refused and has not taken since.
    #[must_use]
    pub fn unsent(&self, id: ConnId) -> usize {
        let queue = &self.queues[id.index()];
        queue.backlog.as_ref().map_or(0, |backlog| self.backlogs.unsent(backlog))
    }

    /// The kernel takes bytes of this connection again.
    pub fn mark_writable(&mut self, id: ConnId) {
        self.queues[id.index()].writable = true;
        self.mark_dirty(id);
    }

    /// Has the next flush look at this connection, even if there is nothing to send.
    pub fn mark_dirty(&mut self, id: ConnId) {
        self.make_due(id, Due::Now);
    }

    /// How many connections have nothing to be sent but what may wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Has the next flush send what may wait, too.
    pub fn promote_deferred(&mut self) {
        for index in 0..self.deferred.len() {
            let id = self.deferred[index];
            if self.queues[id.index()].due == Due::Deferred {
                self.make_due(id, Due::Now);
            }
        }
        self.deferred.clear();
    }

    /// Has a connection flushed then, unless that is to be sooner.
    fn make_due(&mut self, id: ConnId, due: Due) {
        if self.queues[id.index()].due < due {
            self.set_due(id, due);
            match due {
                Due::Now => self.dirty.push(id),
                Due::Deferred => {
                    self.deferred.push(id);
                    // Many were flushed since they stood there: they don't make it longer and longer.
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

    /// The dirty connection at that place in their order.
    #[must_use]
    pub fn dirty(&self, index: usize) -> Option<ConnId> {
        self.dirty.get(index).copied()
    }

    /// Flushes one dirty connection by at most one `send`, which is told whether the bytes are all that there are for it;
    /// what isn't taken goes to its backlog. While there is a backlog that the kernel refused, nothing is sent until
    /// [`SendQueues::mark_writable`]. At most `limit` bytes are sent, which end with a whole message; one message is sent
    /// even where it is longer.
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
            // The limit kept the rest back, not the kernel.
            self.queues[id.index()].writable = true;
            return Flushed::Unsent(self.unsent(id));
        }
        self.flush_backlog(id, limit, send)
    }

    /// Puts the spans of a queue, all but so many bytes at their front, into its backlog.
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

    /// Ends a flush in which every dirty connection was flushed: unless something waits, the arenas are empty again.
    pub fn end_flush(&mut self) {
        debug_assert!(self.dirty.iter().all(|id| self.queues[id.index()].is_empty()));
        self.dirty.clear();
        if self.waiting == 0 {
            self.deferred.clear();
            self.spans.clear();
            self.arenas.iter_mut().for_each(Vec::clear);
            self.is_above_high_water = false;
        }
        self.kept.drain(..).for_each(|kept| self.backlogs.let_go(kept.piece));
    }

    /// Gives memory back that nothing needs now.
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
            // What the limit keeps back may be sent next, without waiting for the kernel.
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

    /// Gives a connection a span of its dialect's arena to hear, by then; whether it hears it.
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

    /// Gives the same span to those at the front of an audience who speak this dialect; how many they are.
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
            // A busy room's members have heard what stands before it too, and this is all that is done for each: see
            // docs/performance.md.
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

    /// Writes an event down for a dialect; where it stands.
    fn encode(&mut self, dialect: Dialect, event: Event<'_>) -> (u32, u32) {
        let arena = &mut self.arenas[dialect.index()];
        let start = arena.len();
        dialect.encode(event, &self.context, arena);
        self.is_above_high_water |= arena.len() >= self.full;
        (start as u32, arena.len() as u32)
    }

    /// Checks what is always true of one queue.
    pub fn invariants(&self, id: ConnId) {
        let queue = &self.queues[id.index()];
        assert!(queue.earlier == NONE || !queue.is_empty(), "spans follow each other");
        assert!(queue.is_empty() || queue.due > Due::Never, "pending bytes are flushed some time");
        assert!(queue.backlog.is_none() == (self.unsent(id) == 0), "no empty backlog is kept");
    }

    /// Checks what is always true of them together, between turns.
    pub fn all_invariants(&self) {
        self.backlogs.invariants();
        assert!(self.kept.is_empty() && !self.is_overflowing());
        assert_eq!(self.waiting, self.queues.iter().filter(|queue| queue.due == Due::Deferred).count());
        assert!(self.waiting <= self.deferred.len());
    }
}

impl Kept {
    /// The piece that holds the text of a span: one that was kept lately, if it does.
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
        if kept.len() == SHARED
            && let Some(oldest) = kept.pop_front()
        {
            backlogs.let_go(oldest.piece);
        }
        let piece = backlogs.keep(span.text(arena));
        kept.push_back(Kept { dialect, start: span.start, end: span.end, piece });
        piece
    }
}

/// When what is told of is to be sent.
fn due(event: Event<'_>) -> Due {
    if event.may_wait() { Due::Deferred } else { Due::Now }
}

/// How many of these bytes may be sent at once: at most `limit`, up to the end of a message, but one message at least.
fn within(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    match message::whole(&bytes[..limit]) {
        0 => message::first(bytes),
        whole => whole,
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
            _ if queue.discards_output => false,
            None => true,
            // What stands behind a backlog in this turn will be refused too.
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
            // Not even written down where nobody else speaks that dialect.
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
