//! Every bound of the server, each with the reason for its value. Flags set some of them (`cli.rs`); the rest are
//! constants here. No other file writes such a number down.

use crate::subnet::Subnet;
use std::time::Duration;

/// One KiB, in bytes.
pub const KIB: usize = 1024;

/// The limits that flags can set. [`Limits::default`] holds the defaults of design.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line, its CR and LF included. At least [`MIN_MAX_LINE`], at most [`MAX_MAX_LINE`].
    pub max_line: usize,
    /// Bytes for one connection that the kernel refused; more for [`TOO_SLOW_AFTER`], or [`TOO_SLOW_FACTOR`] times as
    /// many at once, and the connection is too slow.
    pub queue: usize,
    /// Memory in bytes for what kernels refused, of all connections together; above it the largest backlog goes.
    pub queue_total: usize,
    /// SO_SNDBUF in bytes, what a peer may owe in the kernel; `None` leaves the kernel's own.
    pub send_buffer: Option<usize>,
    /// Connections at a time, those that are closing not counted.
    pub max_connections: usize,
    /// Connections of one address, of one /64 where that is IPv6; `None` for no limit. Loopback has none.
    pub max_per_address: Option<usize>,
    /// Networks whose addresses have no such limit either.
    pub trusted: Vec<Subnet>,
    /// Lines a second that one connection's allowance is refilled by; `None` for no limit.
    pub rate: Option<u32>,
    /// Lines in a full allowance; at least 1.
    pub burst: u32,
    /// How long a connection may stay without a name; `None` for ever.
    pub register_timeout: Option<Duration>,
    /// Rooms in all, the lobby counted; `None` for no limit.
    pub max_rooms: Option<usize>,
    /// Rooms that one connection may be in; `None` for no limit.
    pub max_rooms_per_connection: Option<usize>,
    /// A room with more members than this tells no comings and goings, which would cost the square of its size;
    /// `None`: every room tells them.
    pub quiet_above: Option<usize>,
    /// How long a closing connection, or the whole server when it stops, may take to flush.
    pub drain: Duration,
    /// How long nothing comes before a message without LF counts as whole, in the tutorials' dialects.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_line: 4 * KIB,
            queue: 256 * KIB,
            queue_total: 64 * KIB * KIB,
            send_buffer: Some(128 * KIB),
            max_connections: 1024,
            max_per_address: Some(64),
            trusted: Vec::new(),
            rate: Some(20),
            burst: 200,
            register_timeout: Some(Duration::from_secs(60)),
            max_rooms: Some(1024),
            max_rooms_per_connection: Some(64),
            quiet_above: Some(256),
            drain: Duration::from_secs(5),
            pause: Duration::from_millis(50),
        }
    }
}

impl Limits {
    /// Bytes that may stand in a connection's queue before direct messages to it are refused and its own requests
    /// wait: half, so that rooms and notices have the rest.
    #[must_use]
    pub fn half_queue(&self) -> usize {
        self.queue / 2
    }

    /// Bytes in a connection's queue at which it is too slow at once. What it keeps even then, the rest of a line and the
    /// refusal, is always less, whatever the flags.
    #[must_use]
    pub fn hard_queue(&self) -> usize {
        self.queue.saturating_mul(TOO_SLOW_FACTOR).max(2 * self.max_sent_line())
    }

    /// Connections without a name at a time, so that silent ones can't keep out those who have one to give: a quarter
    /// of all, but 16 even where that is less.
    #[must_use]
    pub fn max_unregistered(&self) -> usize {
        (self.max_connections / 4).max(16)
    }

    /// Memory of what was read of all connections together and is not obeyed yet, above which each is read [`LOW_READ`]
    /// at a time, and nobody ahead: a quarter of what all queues may take. Whoever is above their rate, or waits for
    /// their own queue, may hold [`READ`] each, and there may be ten thousands of them.
    #[must_use]
    pub fn held_total(&self) -> usize {
        self.queue_total / 4
    }

    /// The most memory that what is held of so many connections takes: what all together may, the one read that passed
    /// that, and of each a line and a small read, with the room behind them.
    #[must_use]
    pub fn max_held(&self, connections: usize) -> usize {
        let behind = self.max_line + POOLED_BUFFER_BYTES;
        self.held_total() + READ + behind + connections.saturating_mul(LOW_READ + behind)
    }

    /// The most bytes of a line that the server sends: every byte of a line may become a three-byte U+FFFD, and two
    /// names of 128 bytes and some sigils may stand in front (protocol.md).
    #[must_use]
    pub fn max_sent_line(&self) -> usize {
        3 * self.max_line + 300
    }
}

/// The least `--max-line`: a command and a name of 32 four-byte characters.
pub const MIN_MAX_LINE: usize = 128;
/// The greatest `--max-line`. An unfinished line is moved once per read, so a line of n bytes that arrives byte by
/// byte costs n²/2 bytes of copying; 64 KiB keeps that at what the reads themselves cost.
pub const MAX_MAX_LINE: usize = 64 * KIB;
/// The least `--queue`: a refusal and some lines of the usual length.
pub const MIN_QUEUE: usize = 8 * KIB;
/// The least `--send-buffer` that a kernel honours without rounding it up far.
pub const MIN_SEND_BUFFER: usize = 4 * KIB;
/// How many times `--queue` makes a connection too slow at once: a burst of 2 MiB to a peer that does read, but is
/// behind, passes; a flood doesn't.
pub const TOO_SLOW_FACTOR: usize = 8;
/// How long a queue may stay above `--queue`: a peer on a bad radio link recovers within it.
pub const TOO_SLOW_AFTER: Duration = Duration::from_secs(2);
/// Bytes of one read: large enough that a fast sender's system calls don't count, small enough that it doesn't
/// starve the rest of a turn.
pub const READ: usize = 64 * KIB;
/// Bytes of one read of a peer with a limited rate, at least: enough for the longest default line.
pub const LOW_READ: usize = 4 * KIB;
/// So many bytes more are read at once for each line that a peer may still send: a long line of a chat. What is read is
/// then about what may be obeyed, and little of it is held.
pub const READ_PER_TOKEN: usize = 64;
/// Bytes thrown away that cost as much as a line.
pub const DISCARDED_PER_TOKEN: usize = 4 * KIB;
/// How long a peer that is above its rate isn't read at a time, unless its whole allowance is back before that: it wakes
/// the server four times a second, however high the rate is.
pub const REFILL: Duration = Duration::from_millis(250);
/// How long a peer that is above its rate is read on after it has ended its stream, so that its name is free again.
pub const HALF_CLOSE_GRACE: Duration = Duration::from_secs(10);
/// Bytes of an arena at which the dirty connections are flushed and the turn goes on. It fits in a small second-level
/// cache, and it bounds what one turn holds in memory.
pub const ARENA: usize = 128 * KIB;
/// Bytes of a chunk in which refused text stands, or of a single text that is longer. One chunk is the most that a few
/// unsent bytes keep from being freed, and what is the same for many is kept once however small this is.
pub const CHUNK: usize = 16 * KIB;
/// Refused spans of a flush in which the next one that is refused is looked for: the rooms that two members hear by turns.
/// Few, since each look-up passes over them.
pub const SHARED: usize = 8;
/// How long at least between two flushes of those who are sent nothing but who came and went. Where people come and go all the
/// time, each notice would be a system call for everybody who hears it; nobody sees this wait, and the first isn't kept
/// waiting.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(10);
/// Spans of the arenas (16 bytes each) at which the dirty are flushed too. One span is one piece of text for one
/// connection: without this bound, short lines said by turns in two large rooms would make a thousand for every six
/// bytes of an arena.
pub const SPANS: usize = 32 * KIB;
/// How many times the members of a room its list may have places for: growing doubles it, and shrinking only at four times
/// what is needed keeps both constant in time on average.
pub const SLACK: usize = 4;
/// How many times what it holds a vector may have places for: growing doubles it.
pub const GROWN: usize = 2;
/// How many places a hash table may have for each entry: a power of two of which no more than 7/8 are used, so up to
/// 16/7 just after it has grown.
pub const TABLE: usize = 3;
/// The most bytes that an allocation takes besides what is asked for: a header, and rounding up to 16.
pub const ALLOCATION: usize = 24;
/// Bytes that the engine keeps for a connection besides its descriptor; see a test there.
pub const STREAM: usize = 8;
/// Events that one wait reports; the others come with the next.
pub const EVENTS: usize = 1024;
/// Connections accepted in one turn at one listener, so that a storm of them doesn't starve those who are in.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Connections above `--max-connections` that are told so and shut with care at a time; above these they are just
/// closed. Half of the descriptors kept back for such ([`SPARE_DESCRIPTORS`]).
pub const MAX_REJECTED: usize = 16;
/// Descriptors that `--max-connections` leaves free below the process's limit, besides the listeners.
pub const SPARE_DESCRIPTORS: usize = 32;
/// How long a closing connection's input is thrown away after everything was flushed, waiting for its end of stream:
/// closing a socket with unread input makes the kernel reset it, which destroys the last lines (RFC 2525 section 2.17).
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// The least time to flush a closing connection, whatever `--drain` says: one step of the clock, so that it isn't over
/// within the turn in which it began, before the kernel was given what it takes at once.
pub const MIN_DRAIN: Duration = Duration::from_millis(1);
/// How long the server stays without an event before it gives buffers and arenas back.
pub const IDLE_AFTER: Duration = Duration::from_secs(1);
/// The first pause of a listener whose `accept` failed for want of descriptors or memory; it doubles up to
/// [`MAX_ACCEPT_BACKOFF`].
pub const MIN_ACCEPT_BACKOFF: Duration = Duration::from_millis(10);
/// The longest pause of such a listener.
pub const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(1);
/// Bytes of one read by a thread of `--engine threads`. Each connection's thread has a buffer of its own for as long as it
/// lives, so it is less than [`READ`]; a pipelined batch of 64 lines of the usual length still comes with one read.
pub const THREAD_READ: usize = 16 * KIB;
/// Bytes of a thread's stack in those engines. Every story is told with half of it, in a build without optimisation too.
/// Only pages that were touched are held in memory.
pub const THREAD_STACK: usize = 64 * KIB;
/// Mappings that a thread takes of those that Linux lets a process have: its stack, a stack for signals, and a guard before
/// each. 16,360 threads were as many as 65,530 mappings held.
pub const MAPPINGS_PER_THREAD: usize = 4;
/// Bytes on their way to the writer thread of a connection in `--engine threads-queued`, half of `--queue` if that is less:
/// as much as one send of it is worth. Beside the connection's queue it may hold so many, and so many that are being sent.
pub const CHANNEL: usize = 64 * KIB;
/// The least time to flush a closing connection that has a writer thread, whatever `--drain` says: the thread must have had
/// its turn of the processor, on a loaded machine too.
pub const WRITER_GRACE: Duration = Duration::from_millis(100);
/// Buffers kept for reuse between turns; more are freed. What a hundred peers with cut lines need at once.
pub const POOLED_BUFFERS: usize = 128;
/// The largest buffer that is kept for reuse, and the most that one has room for beyond what it holds: the longest default
/// line. A few bytes of somebody else's may stand in it next, so it is no larger.
pub const POOLED_BUFFER_BYTES: usize = 4 * KIB;
/// Bytes of a message to or from the tutorials' clients: what they receive at once.
pub const MAX_SHORT: usize = KIB;
/// How often the end of a message by a pause is put off because a character isn't complete: bytes that are no UTF-8 wait
/// so much longer, no more.
pub const MAX_FRAME_TIMEOUTS: u8 = 4;
/// How long a peer that speaks by datagrams may be silent before it is taken as gone.
pub const MAX_SILENCE: Duration = Duration::from_secs(600);
/// How many times the bytes of its datagram a source without a name is sent at most: an answer to a forged address must
/// not pay (RFC 9000 section 8.1 has the same factor).
pub const AMPLIFICATION_LIMIT: usize = 3;
/// Bytes that a source with a name is sent after its last datagram.
pub const MAX_UNSOLICITED: usize = 64 * KIB;
/// Datagrams read from one listener in one turn.
pub const DATAGRAMS_PER_TURN: usize = 64;
/// How long the name of somebody who was kicked is refused.
pub const KICKED_FOR: Duration = Duration::from_secs(60);
/// Names that are refused at a time for that reason; the oldest is free again first.
pub const MAX_KICKED: usize = 1024;
/// Recipients of one direct message, as written.
pub const MAX_TARGETS: usize = 16;
/// Names that one `/who` tells; the true number follows in its last line.
pub const MAX_WHO: usize = 1000;
/// The longest `--spin`: a processor that is never left, as good as.
pub const MAX_SPIN: Duration = Duration::from_secs(1);
/// Lines of one kind that the log takes in a [`LOG_WINDOW`]: a busy evening passes whole, and a flood fills no disk. With
/// the longest lines of all kinds together that is less than a megabyte a second.
pub const LOG_LINES: u32 = 200;
/// How long such lines are counted; those beyond are told as a number once it is over.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Bytes of a line of the log: what a pipe that is writable takes without blocking (pipe(7), PIPE_BUF on Linux).
pub const LOG_LINE: usize = 4096;
/// Bytes of the message in it, before it is quoted; quoting at most doubles what is without control characters.
pub const LOG_TEXT: usize = KIB;
/// Bytes of each value in it: the longest name takes half of this. With three of them and the rest, a line keeps to
/// [`LOG_LINE`].
pub const LOG_VALUE: usize = 256;
/// Pending connections of a listener (listen(2)). A backlog of 5 costs whole seconds in a connect storm.
pub const BACKLOG: i32 = 1024;
/// Idle time before the kernel asks whether the peer is still there (tcp(7), TCP_KEEPIDLE).
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between such questions (TCP_KEEPINTVL).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered questions that end the connection (TCP_KEEPCNT). On Linux [`USER_TIMEOUT`] is sooner where it is set: an
/// idle dead peer goes with the first question unanswered, after 75 s.
pub const KEEPALIVE_RETRIES: u32 = 4;
/// How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT). A peer that is alive but reads nothing for so long
/// is ended by it too, once its receive buffer is full.
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);
