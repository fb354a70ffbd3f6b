//! The counters of the server, and their names in `/stats`: docs/operations.md.

/// Counters of connections and input.
#[derive(Debug, Default)]
pub struct Stats {
    /// Turns of the reactor, or acquisitions of the lock by a thread.
    pub turns: u64,
    /// Messages received.
    pub lines_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Attempts to read from a connection or a datagram socket, a system call each.
    pub recv_calls: u64,
    /// Attempts to send to a connection, or a datagram.
    pub send_calls: u64,
    /// Attempts to accept a connection.
    pub accept_calls: u64,
    /// Changes of interest in a connection.
    pub watch_calls: u64,
    /// Datagrams that could not be sent at once, or exceeded the send credit.
    pub datagrams_dropped: u64,
}

/// Counters of the queues.
#[derive(Debug, Default)]
pub struct Queued {
    lines: u64,
    bytes: u64,
    /// Refusals by code: each code at most once, with a count of at least 1.
    refusals: Vec<(&'static str, u64)>,
}

impl Queued {
    /// Counts a refusal by its code.
    pub fn count_refusal(&mut self, code: &'static str) {
        match self.refusals.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.refusals.push((code, 1)),
        }
    }

    /// Counts queued lines and their total length in bytes.
    pub fn count(&mut self, lines: u64, bytes: u64) {
        self.lines += lines;
        self.bytes += bytes;
    }
}

/// Current values, as opposed to counters.
#[derive(Debug)]
pub struct Now {
    /// Registered connections.
    pub users: usize,
    /// Rooms, the lobby included.
    pub rooms: usize,
    /// Connections, closing ones included.
    pub connections: usize,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Memory of all backlogs, in bytes.
    pub queued_bytes: usize,
}

/// Returns all figures in the order of `/stats`, with their names.
#[must_use]
pub fn figures(now: &Now, stats: &Stats, queued: &Queued) -> Vec<(String, u64)> {
    let figures = [
        ("users", now.users as u64),
        ("rooms", now.rooms as u64),
        ("connections", now.connections as u64),
        ("uptime-seconds", now.uptime_seconds),
        ("turns", stats.turns),
        ("lines-in", stats.lines_in),
        ("lines-out", queued.lines),
        ("bytes-in", stats.bytes_in),
        ("bytes-out", queued.bytes),
        ("queued-bytes", now.queued_bytes as u64),
        ("recv-calls", stats.recv_calls),
        ("send-calls", stats.send_calls),
        ("accept-calls", stats.accept_calls),
        ("watch-calls", stats.watch_calls),
        ("datagrams-dropped", stats.datagrams_dropped),
    ];
    let refused = queued.refusals.iter().map(|(code, count)| (format!("refused-{code}"), *count));
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(refused).collect()
}
