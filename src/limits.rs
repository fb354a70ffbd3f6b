//! Every bound of the server, with its unit and its reason. Flags set some of them (`cli.rs`); the others are constants
//! here. No other file contains such a number.

use crate::subnet::Subnet;
use std::time::Duration;

/// One KiB, in bytes.
pub const KIB: usize = 1024;

/// The limits that flags set. [`Limits::default`] holds the defaults of the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a line in bytes, its CR and LF included: [`MIN_MAX_LINE`] to [`MAX_MAX_LINE`].
    pub max_line: usize,
    /// Bytes that the kernel refused for one connection. A connection is too slow after [`TOO_SLOW_AFTER`] above this,
    /// or at once at [`TOO_SLOW_FACTOR`] times this.
    pub queue: usize,
    /// Maximum memory, in bytes over all connections, of what the kernel refused; above it the connection with the
    /// largest backlog is closed.
    pub queue_total: usize,
    /// SO_SNDBUF in bytes, the unacknowledged output of one connection in the kernel; `None`: the kernel's default.
    pub send_buffer: Option<usize>,
    /// Maximum connections at a time, those that are closing not counted.
    pub max_connections: usize,
    /// Maximum connections per address, for IPv6 per /64; `None`: unlimited. Loopback is exempt.
    pub max_per_address: Option<usize>,
    /// Networks that are exempt from `max_per_address` too.
    pub trusted: Vec<Subnet>,
    /// Refill of a connection's token bucket, in lines per second; `None`: unlimited.
    pub rate: Option<u32>,
    /// Capacity of the token bucket, in lines; at least 1.
    pub burst: u32,
    /// Maximum time that a connection may stay unregistered; `None`: unlimited.
    pub register_timeout: Option<Duration>,
    /// Maximum rooms, the lobby included; `None`: unlimited.
    pub max_rooms: Option<usize>,
    /// Maximum rooms that one connection may be in; `None`: unlimited.
    pub max_rooms_per_connection: Option<usize>,
    /// Maximum members of a room that sends presence, which costs the square of the members; `None`: unlimited.
    pub quiet_above: Option<usize>,
    /// Maximum time to flush a closing connection, or the whole server when it stops.
    pub drain: Duration,
    /// Frame timeout of the tutorials' dialects: time without input after which a message without LF is complete.
    pub frame_timeout: Duration,
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
            frame_timeout: Duration::from_millis(50),
        }
    }
}

impl Limits {
    /// Returns the bytes in a connection's queue above which direct messages to it are refused and its own requests
    /// wait: half of the queue, so that rooms and presence have the other half.
    #[must_use]
    pub fn half_queue(&self) -> usize {
        self.queue / 2
    }

    /// Returns the bytes in a connection's queue at which it is too slow at once. What it keeps even then, the
    /// remainder of a line and the refusal, is always less, whatever the flags.
    #[must_use]
    pub fn max_queue(&self) -> usize {
        self.queue.saturating_mul(TOO_SLOW_FACTOR).max(2 * self.max_sent_line())
    }

    /// Returns the maximum of unregistered connections, so that silent ones can't keep out others that would register:
    /// a quarter of all connections, but at least 16.
    #[must_use]
    pub fn max_unregistered(&self) -> usize {
        (self.max_connections / 4).max(16)
    }

    /// Returns the bytes of unhandled input of all connections above which each read is limited to [`LOW_READ`] and no
    /// connection is read ahead: a quarter of what all queues may take. A connection that is blocked by rate or by
    /// output may hold [`READ`] bytes, and there may be tens of thousands of them.
    #[must_use]
    pub fn max_read_ahead(&self) -> usize {
        self.queue_total / 4
    }

    /// Returns the maximum memory of unhandled input, in bytes: [`Limits::max_read_ahead`], the one read that passed it,
    /// and for each connection a line and a small read, with the spare capacity of its buffer.
    #[must_use]
    pub fn max_input_total(&self, connections: usize) -> usize {
        let per_buffer = self.max_line + POOLED_BUFFER_BYTES;
        self.max_read_ahead() + READ + per_buffer + connections.saturating_mul(LOW_READ + per_buffer)
    }

    /// Returns the maximum length of a line that the server sends, in bytes: every byte received may become a
    /// three-byte U+FFFD, after two names of 128 bytes and some sigils (protocol.md).
    #[must_use]
    pub fn max_sent_line(&self) -> usize {
        3 * self.max_line + 300
    }
}

/// Minimum `--max-line` in bytes: a command and a name of 32 four-byte characters.
pub const MIN_MAX_LINE: usize = 128;
/// Maximum `--max-line` in bytes. An unfinished line is moved once per read, so a line of n bytes that arrives byte by
/// byte costs n²/2 bytes of copying; 64 KiB keeps that at what the reads themselves cost.
pub const MAX_MAX_LINE: usize = 64 * KIB;
/// Minimum `--queue` in bytes: a refusal and some lines of the usual length.
pub const MIN_QUEUE: usize = 8 * KIB;
/// Minimum `--send-buffer` in bytes that a kernel honours without rounding it up far.
pub const MIN_SEND_BUFFER: usize = 4 * KIB;
/// Multiple of `--queue` at which a connection is too slow at once: a burst of 2 MiB to a peer that reads late passes,
/// a flood doesn't.
pub const TOO_SLOW_FACTOR: usize = 8;
/// Time that a queue may stay above `--queue`: a peer on a bad radio link recovers within it.
pub const TOO_SLOW_AFTER: Duration = Duration::from_secs(2);
/// Bytes of one read: large enough that a fast sender's system calls don't count, small enough not to starve a turn.
pub const READ: usize = 64 * KIB;
/// Minimum bytes of one read of a rate-limited peer: the longest default line.
pub const LOW_READ: usize = 4 * KIB;
/// Bytes of one read per token of the peer: a long line of chat. So about as much is read as may be handled.
pub const READ_PER_TOKEN: usize = 64;
/// Discarded bytes that cost one token, as a line does.
pub const DISCARDED_PER_TOKEN: usize = 4 * KIB;
/// Time for which a peer that is blocked by rate isn't read, unless its token bucket is full sooner: four wake-ups a
/// second, however high the rate is.
pub const RATE_RECHECK: Duration = Duration::from_millis(250);
/// Time for which input of a peer blocked by rate is handled after its end of stream; then its name becomes free.
pub const HALF_CLOSE_GRACE: Duration = Duration::from_secs(10);
/// High-water mark of an arena, in bytes: at it the dirty connections are flushed, and the turn goes on. It fits in a
/// small second-level cache, and it bounds the memory of one turn.
pub const ARENA: usize = 128 * KIB;
/// Bytes of a backlog chunk; a longer text has a chunk of its own length. A few unsent bytes keep at most one chunk
/// from being freed, and text for many connections is stored once however small this is.
pub const CHUNK: usize = 16 * KIB;
/// Refused spans that a flush keeps in order to share their text with the next one: messages of rooms that two members
/// receive by turns. Few, since each look-up scans them.
pub const SHARED_SPANS: usize = 8;
/// Minimum time between two flushes of queues that hold presence only. With constant joins and leaves, each event would
/// otherwise be a system call per recipient. The delay is not noticeable, and the first event has none.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(10);
/// Spans of the arenas (16 bytes each) at which the dirty connections are flushed too. One span is one piece of text
/// for one connection: without this bound, short lines that alternate between two large rooms would make a thousand
/// spans for every six bytes of an arena.
pub const SPANS: usize = 32 * KIB;
/// Maximum capacity of a room's member list, as a multiple of its members: growth doubles it, and shrinking only at
/// four times the need keeps both constant in time on average.
pub const SLACK: usize = 4;
/// Maximum capacity of a vector, as a multiple of its elements: growth doubles it.
pub const VEC_GROWTH: usize = 2;
/// Maximum slots of a hash table per entry: a power of two, at most 7/8 of them used, so up to 16/7 just after growth.
pub const TABLE: usize = 3;
/// Maximum bytes of an allocation besides what is requested: a header, and rounding up to 16.
pub const ALLOCATION_OVERHEAD: usize = 24;
/// Bytes that the engine keeps per connection besides its descriptor; a test there checks it.
pub const STREAM: usize = 8;
/// Maximum events that one wait reports; others come with the next.
pub const EVENTS: usize = 1024;
/// Maximum connections accepted per listener and turn, so that a connect storm doesn't starve open connections.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Maximum connections above `--max-connections` that are rejected with a final line and linger, at a time; others are
/// closed at once. Half of [`SPARE_DESCRIPTORS`], which are reserved for them.
pub const MAX_REJECTED: usize = 16;
/// Descriptors that `--max-connections` leaves free below the limit of the process, besides the listeners.
pub const SPARE_DESCRIPTORS: usize = 32;
/// Time for which a closing connection lingers: after the flush its input is discarded until its end of stream. Closing
/// a socket with unread input makes the kernel reset it, which destroys the last lines (RFC 2525 section 2.17).
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum time to flush a closing connection, whatever `--drain` is: one step of the clock, so that it doesn't end in
/// the turn in which it began, before the kernel was offered the bytes.
pub const MIN_DRAIN: Duration = Duration::from_millis(1);
/// Time without an event after which the server frees buffers and arenas.
pub const IDLE_AFTER: Duration = Duration::from_secs(1);
/// First backoff of a listener whose `accept` lacked descriptors or memory; it doubles up to [`MAX_ACCEPT_BACKOFF`].
pub const MIN_ACCEPT_BACKOFF: Duration = Duration::from_millis(10);
/// Maximum backoff of such a listener.
pub const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(1);
/// Bytes of one read by a thread of `--engine threads`. Each connection's thread keeps a buffer as long as it lives, so
/// it is less than [`READ`]; a pipelined batch of 64 lines of the usual length still comes with one read.
pub const THREAD_READ: usize = 16 * KIB;
/// Bytes of a thread's stack in those engines. All stories pass with half of it, in a build without optimisation too.
/// Only pages that were touched are held in memory.
pub const THREAD_STACK: usize = 64 * KIB;
/// Memory mappings per thread, of those that Linux allows a process: its stack, a stack for signals, and a guard before
/// each. Measured: 65,530 mappings were enough for 16,360 threads.
pub const MAPPINGS_PER_THREAD: usize = 4;
/// Bytes in the channel to the writer thread of a connection in `--engine threads-queued`, or half of `--queue` if that
/// is less: as much as one send is worth. Besides the queue, up to this much waits there, and as much again is being
/// sent.
pub const CHANNEL: usize = 64 * KIB;
/// Minimum time to flush a closing connection that has a writer thread, whatever `--drain` is: the thread must have
/// been scheduled once, on a loaded machine too.
pub const WRITER_GRACE: Duration = Duration::from_millis(100);
/// Maximum buffers kept for reuse between turns; others are freed. Enough for a hundred peers with partial lines.
pub const POOLED_BUFFERS: usize = 128;
/// Maximum bytes of a buffer that is kept for reuse, and of the spare capacity of one in use: the longest default line.
/// A few bytes of another connection may be stored in it next, so it is no larger.
pub const POOLED_BUFFER_BYTES: usize = 4 * KIB;
/// Maximum bytes of a message to or from the tutorials' clients: what they receive at once.
pub const MAX_SHORT_MESSAGE: usize = KIB;
/// Maximum number of times that a frame timeout is extended because a character is incomplete: so bytes that aren't
/// UTF-8 delay a message no longer.
pub const MAX_FRAME_TIMEOUTS: u8 = 4;
/// Time without a datagram after which a peer of the UDP dialect is removed.
pub const MAX_SILENCE: Duration = Duration::from_secs(600);
/// Maximum bytes sent to an unregistered UDP source, as a multiple of its datagram: an answer to a forged address must
/// not pay (RFC 9000 section 8.1 has the same factor).
pub const AMPLIFICATION_LIMIT: usize = 3;
/// Maximum bytes sent to a registered UDP source after its last datagram.
pub const MAX_UNSOLICITED: usize = 64 * KIB;
/// Maximum datagrams read per listener and turn.
pub const DATAGRAMS_PER_TURN: usize = 64;
/// Time for which the name of a kicked user is refused.
pub const KICKED_FOR: Duration = Duration::from_secs(60);
/// Maximum names that are refused at a time for that reason; the oldest is freed first.
pub const MAX_KICKED: usize = 1024;
/// Maximum recipients of one direct message, counted as written.
pub const MAX_TARGETS: usize = 16;
/// Maximum names in the answer to one `/who`; its last line has the true number.
pub const MAX_WHO: usize = 1000;
/// Maximum `--spin`: in effect, a processor that never sleeps.
pub const MAX_SPIN: Duration = Duration::from_secs(1);
/// Maximum log lines of one kind per [`LOG_WINDOW`]: a busy evening is logged whole, and a flood fills no disk. The
/// longest lines of all kinds together are less than a megabyte a second.
pub const LOG_LINES: u32 = 200;
/// Time over which such lines are counted; at its end, the number of dropped lines is logged.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Maximum bytes of a log line: what a writable pipe takes without blocking (pipe(7), PIPE_BUF on Linux).
pub const LOG_LINE: usize = 4096;
/// Maximum bytes of its message before quoting, which at most doubles text without control characters.
pub const LOG_TEXT: usize = KIB;
/// Maximum bytes of each value in it: twice the longest name. With three values, a line is within [`LOG_LINE`].
pub const LOG_VALUE: usize = 256;
/// Maximum pending connections of a listener (listen(2)). A backlog of 5 costs whole seconds in a connect storm.
pub const BACKLOG: i32 = 1024;
/// Idle time before the first keepalive probe (tcp(7), TCP_KEEPIDLE).
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between two probes (TCP_KEEPINTVL).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered probes that end the connection (TCP_KEEPCNT). On Linux [`USER_TIMEOUT`] is sooner where it is set: it
/// ends an idle dead peer at the first unanswered probe, after 75 s.
pub const KEEPALIVE_RETRIES: u32 = 4;
/// Maximum time that sent bytes may stay unacknowledged (TCP_USER_TIMEOUT). It also ends a peer that is alive but
/// doesn't read for this long, once its receive buffer is full.
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);
