//! What the server counts, and by which names it tells that: `/stats` in docs/operations.md.

/// What the server counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections, the closing ones included.
    pub connections: u64,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Turns of the reactor.
    pub turns: u64,
    /// Messages that were read.
    pub lines_in: u64,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Attempts to read a connection or a datagram, a system call each.
    pub recv_calls: u64,
    /// Attempts to send to one, or a datagram.
    pub send_calls: u64,
    /// Attempts to accept somebody.
    pub accept_calls: u64,
    /// Changes of what a connection is watched for.
    pub watch_calls: u64,
    /// Datagrams that couldn't be sent at once, or were above what a silent peer may be sent.
    pub datagrams_dropped: u64,
    lines_out: u64,
    bytes_out: u64,
    /// By code, those that occurred.
    refusals: Vec<(&'static str, u64)>,
}

impl Counters {
    /// Counts a refusal by its code.
    pub fn count_refusal(&mut self, code: &'static str) {
        match self.refusals.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.refusals.push((code, 1)),
        }
    }

    /// Counts lines of so many bytes together that were put into queues.
    pub fn count_out(&mut self, lines: u64, bytes: u64) {
        self.lines_out += lines;
        self.bytes_out += bytes;
    }

    /// Tells all of it by the names that `/stats` shows, and that so many bytes are queued.
    pub fn figures(&self, queued: usize, tell: &mut dyn FnMut(&str, u64)) {
        let figures = [
            ("connections", self.connections),
            ("uptime-seconds", self.uptime_seconds),
            ("turns", self.turns),
            ("lines-in", self.lines_in),
            ("lines-out", self.lines_out),
            ("bytes-in", self.bytes_in),
            ("bytes-out", self.bytes_out),
            ("queued-bytes", queued as u64),
            ("recv-calls", self.recv_calls),
            ("send-calls", self.send_calls),
            ("accept-calls", self.accept_calls),
            ("watch-calls", self.watch_calls),
            ("datagrams-dropped", self.datagrams_dropped),
        ];
        figures.into_iter().for_each(|(key, value)| tell(key, value));
        for (code, count) in &self.refusals {
            tell(&format!("refused-{code}"), *count);
        }
    }
}
