//! The turn of the event loop: a driver of the [`Server`] over one poller. It waits, reads each ready connection once
//! into its one buffer, and accepts; the server decides what all of that means. Sockets and the clock are behind
//! [`Sockets`], which is real in `engine/` and simulated in tests, so nothing here touches either.

mod listeners;

use crate::limits::{
    ACCEPTS_PER_TURN, DATAGRAMS_PER_TURN, IDLE_AFTER, Limits, MAX_REJECTED, MAX_SHORT_MESSAGE, READ,
};
use crate::protocol::scheme::{Scheme, Socket};
use crate::protocol::{ConnId, PeerAddr, Time};
use crate::server::Server;
use crate::server::driver::{Driver, Wake};
use crate::server::peer::{Blocked, Phase};
use crate::server::transport::{DatagramPath, Reading, Transport};
use listeners::Listeners;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// What the reactor needs of the system beyond [`Transport`]. Connections have the ids that they are given here; only
/// [`Sockets::wait`] blocks.
pub trait Sockets: Transport {
    /// Waits for at most `timeout` (`None`: for ever) until a source is ready, and adds the ready ones to `ready`;
    /// returns the time. An interruption by a signal handler ends the wait early without an error.
    ///
    /// # Errors
    /// If the poller itself fails, which ends the server.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<Time>;
    /// Accepts one connection as `id`, and watches it for reading.
    ///
    /// # Errors
    /// Why no connection was accepted.
    fn accept(&mut self, listener: usize, id: ConnId) -> Result<PeerAddr, NotAccepted>;
    /// Accepts one connection with the spare descriptor, where no other is left; sends it `line`, as far as the kernel
    /// accepts that at once, and closes it.
    ///
    /// # Errors
    /// If no connection waits, or the spare descriptor is gone.
    fn reject(&mut self, listener: usize, line: &[u8]) -> io::Result<()>;
    /// Reads once, into the front of `buffer`; returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if there is no input; any other error ends the connection.
    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize>;
    /// Receives one datagram, cut to `buffer`, into its front; returns its length in bytes and its path.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; after any other error there may be more.
    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, DatagramPath)>;
    /// Sets whether a listener is watched.
    ///
    /// # Errors
    /// If the poller refuses.
    fn set_listening(&mut self, listener: usize, on: bool) -> io::Result<()>;
    /// Reads once from the operator's terminal; returns the number of bytes, 0 at its end.
    ///
    /// # Errors
    /// `WouldBlock` if there is no input.
    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Returns unused memory to the system, in an idle server.
    fn trim(&mut self);
}

/// Why no connection was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// No connection waits.
    Nobody,
    /// The connection is gone already or can't be reached. Others may wait.
    Gone,
    /// The process or the system has no descriptor left.
    NoDescriptor,
    /// The system failed for another reason.
    Failed,
}

/// A source that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// A connection or a datagram waits at the listener with this index.
    Listener(usize),
    /// The server is asked to stop.
    Stop,
    /// The operator's terminal has input.
    Console,
    /// A connection.
    Connection {
        /// Its id.
        id: ConnId,
        /// It can be read.
        read: bool,
        /// It can be sent to.
        write: bool,
        /// Its stream has ended, with bytes still to be read or without.
        ended: bool,
        /// Both directions have ended, or it is broken.
        hangup: bool,
    },
}

/// Whether the server continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// The server runs.
    On,
    /// The server has stopped, and the last connection is closed.
    Done,
}

/// The server and its sockets.
#[derive(Debug)]
pub struct Reactor<S> {
    sockets: S,
    server: Server,
    /// The input of one connection: its saved input, then the bytes of one read.
    buffer: Vec<u8>,
    ready: Vec<Ready>,
    listeners: Listeners,
    now: Time,
    /// When a source was last ready.
    active: Time,
    /// Memory was trimmed, and no source was ready since.
    is_idle: bool,
}

impl<S: Sockets> Reactor<S> {
    /// Creates a server over `sockets`, which listen already. `schemes` are those of their listeners, by index.
    pub fn new(sockets: S, schemes: Vec<Scheme>, limits: Limits) -> Self {
        let driver = Driver::reactor(&limits);
        Reactor {
            sockets,
            server: Server::new(limits, driver),
            buffer: Vec::new(),
            ready: Vec::new(),
            listeners: Listeners::new(schemes),
            now: Time::default(),
            active: Time::default(),
            is_idle: false,
        }
    }

    /// Runs one turn: waits, reads each ready connection once, flushes, fires timers, reaps, and accepts last. New
    /// connections get ids only after all events of the wait are handled, so no event is for the former owner of an id.
    ///
    /// # Errors
    /// If the poller itself fails.
    pub fn turn(&mut self) -> io::Result<Running> {
        let mut ready = std::mem::take(&mut self.ready);
        self.now = self.sockets.wait(self.timeout(), &mut ready)?;
        self.server.begin(self.now);
        self.run_runnable();
        ready.iter().for_each(|ready| self.on_ready(*ready));
        self.receive_datagrams();
        // Before timers: a connection with room in its socket by now misses no deadline, however late the wait ended.
        self.server.flush(&mut self.sockets);
        self.fire_timers();
        if self.server.is_asked_to_stop() {
            self.stop();
        }
        self.server.flush_and_reap(&mut self.sockets);
        self.accept();
        self.trim_when_idle(!ready.is_empty());
        ready.clear();
        self.ready = ready;
        Ok(if self.server.is_done() { Running::Done } else { Running::On })
    }

    /// Returns how long to wait until the next deadline.
    fn timeout(&self) -> Option<Duration> {
        if self.server.connections.has_work() {
            return Some(Duration::ZERO);
        }
        let idle = (!self.is_idle).then(|| self.active + IDLE_AFTER);
        let due =
            self.server.connections.next_due().into_iter().chain(self.listeners.next_due()).chain(idle).min();
        due.map(|at| self.now.until(at))
    }

    fn on_ready(&mut self, ready: Ready) {
        match ready {
            Ready::Listener(listener) => self.listeners.note_ready(listener),
            Ready::Stop => self.stop(),
            Ready::Console => self.read_console(),
            Ready::Connection { id, read, write, ended, hangup } => {
                // A connection that is to be closed may have more saved input than leaves room for a read.
                let Some((state, interest)) = self.server.connections.active_state(id) else { return };
                if write && interest.write {
                    self.server.connections.writable(id);
                }
                if state.is_readable() {
                    if read {
                        self.read(id);
                    }
                    return;
                }
                match state.phase() {
                    Phase::Lingering if read => self.discard(id),
                    // A connection that isn't read only reports hang-ups, again and again until they are handled.
                    Phase::Open | Phase::Flushing(_) if hangup => self.server.connections.lost(id),
                    Phase::Open if read && interest.read == Reading::Bytes => self.read_ahead(id),
                    Phase::Open if ended && interest.read == Reading::End => {
                        self.server.connections.half_closed(id, &mut self.sockets);
                    }
                    _ => {}
                }
            }
        }
    }

    // Reading.

    /// Grows the buffer to hold an unfinished line and one read.
    fn make_room(&mut self) {
        self.buffer.resize(READ + self.server.connections.limits().max_line, 0);
    }

    /// Reads a connection once, after its saved input; not at all if its token bucket is empty.
    fn read(&mut self, id: ConnId) {
        let Some(limit) = self.server.connections.read_limit(id, &mut self.sockets) else { return };
        let kept = self.server.connections.load_input(id, &mut self.buffer);
        self.make_room();
        self.server.connections.stats.recv_calls += 1;
        match self.sockets.recv(id, &mut self.buffer[kept..kept + limit]) {
            Ok(0) => self.server.end_of_stream(id, &self.buffer[..kept], &mut self.sockets),
            Ok(bytes) => {
                self.server.connections.stats.bytes_in += bytes as u64;
                if self.process(id, kept + bytes) {
                    self.server.connections.await_frame_end(id);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.server.connections.save_input(id, &self.buffer[..kept]);
            }
            Err(_) => self.server.connections.lost(id),
        }
    }

    /// Has the server process the first `len` bytes and save the remainder; returns whether the connection is open.
    fn process(&mut self, id: ConnId, len: usize) -> bool {
        let processed = self.server.process_input(id, &self.buffer[..len], &mut self.sockets);
        if processed.is_open {
            self.server.connections.save_input(id, &self.buffer[processed.consumed..len]);
        }
        processed.is_open
    }

    /// Continues the runnable connections: those left with input by the last turn.
    fn run_runnable(&mut self) {
        for id in self.server.connections.take_runnable() {
            if self.server.connections.resume(id) {
                self.continue_input(id);
            }
        }
    }

    /// Has the server process the saved input of a connection, and updates its interest.
    fn continue_input(&mut self, id: ConnId) {
        let was_read = self.server.connections.interest(id).read == Reading::Bytes;
        let len = self.server.connections.load_input(id, &mut self.buffer);
        if !self.process(id, len) {
            return;
        }
        if !self.server.connections.keeps_frame_timeout(id, was_read) {
            self.server.connections.await_frame_end(id);
        }
        self.server.connections.update_interest(id, &mut self.sockets);
    }

    /// Reads once from a connection that is blocked by rate and has messages that end by timeout.
    fn read_ahead(&mut self, id: ConnId) {
        let limit = match self.server.connections.read_ahead_limit(id) {
            None => return,
            Some(0) => return self.server.connections.update_interest(id, &mut self.sockets),
            Some(limit) => limit,
        };
        self.make_room();
        self.server.connections.stats.recv_calls += 1;
        match self.sockets.recv(id, &mut self.buffer[..limit]) {
            Ok(0) => {
                self.server.connections.end_frame_ahead(id, &mut self.sockets);
                self.server.connections.half_closed(id, &mut self.sockets);
            }
            Ok(bytes) => {
                self.server.connections.stats.bytes_in += bytes as u64;
                self.server.connections.read_ahead(id, &self.buffer[..bytes], &mut self.sockets);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.server.connections.lost(id),
        }
    }

    /// Reads once from a lingering connection, and discards the bytes.
    fn discard(&mut self, id: ConnId) {
        self.make_room();
        self.server.connections.stats.recv_calls += 1;
        match self.sockets.recv(id, &mut self.buffer) {
            Ok(0) => self.server.connections.close_now(id, &mut self.sockets),
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                self.server.connections.close_now(id, &mut self.sockets);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Reads once from the operator's terminal.
    fn read_console(&mut self) {
        self.make_room();
        if let Ok(bytes) = self.sockets.read_console(&mut self.buffer[..READ]) {
            self.server.console(&self.buffer[..bytes]);
        }
    }

    /// Receives at most [`DATAGRAMS_PER_TURN`] per ready listener; the poller reports the others again. Runs after the
    /// events of connections, since a datagram from a new source takes a slot.
    fn receive_datagrams(&mut self) {
        if self.listeners.are_quiet() {
            return;
        }
        for listener in self.listeners.take_ready(|socket| socket == Socket::Udp) {
            self.make_room();
            for _ in 0..DATAGRAMS_PER_TURN {
                self.server.connections.stats.recv_calls += 1;
                // One byte above the maximum shows that a datagram is too long.
                match self.sockets.recv_from(listener, &mut self.buffer[..=MAX_SHORT_MESSAGE]) {
                    _ if self.server.is_stopping() => break,
                    Ok((bytes, path)) => {
                        self.server.datagram(path, &self.buffer[..bytes], &mut self.sockets);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A reply to a source that is gone is reported as an error of the socket.
                    Err(_) => {}
                }
            }
        }
    }

    // Timers.

    fn fire_timers(&mut self) {
        while let Some((wake, id)) = self.server.fire_timers(&mut self.sockets) {
            match wake {
                Wake::FrameTimeout => self.end_frame(id),
                Wake::Refill => {
                    if self.server.connections.unblock_rate(id, &mut self.sockets) {
                        self.continue_input(id);
                    }
                }
            }
        }
    }

    /// Ends a frame after `--pause` without bytes: the saved input may be a message.
    fn end_frame(&mut self, id: ConnId) {
        if self.server.connections.is_blocked_by(id, Blocked::RATE) {
            return self.server.connections.end_frame_ahead(id, &mut self.sockets);
        }
        let left = self.server.connections.load_input(id, &mut self.buffer);
        let processed = self.server.end_frame(id, &self.buffer[..left], &mut self.sockets);
        if processed.is_open && processed.consumed == 0 {
            self.server.connections.save_input(id, &self.buffer[..left]);
            self.server.connections.await_frame_end(id);
        }
    }

    // Accepting.

    /// Accepts at most [`ACCEPTS_PER_TURN`] connections per listener; the poller reports the others again.
    fn accept(&mut self) {
        self.listeners.end_backoff(self.now, &mut self.sockets);
        if self.listeners.are_quiet() {
            return;
        }
        for listener in self.listeners.take_ready(|_| true).into_iter().rev() {
            // The bound is per listener: a flood of one blocks no other, above all that of the operators.
            for _ in 0..ACCEPTS_PER_TURN {
                if self.server.is_stopping() || !self.accept_one(listener) {
                    break;
                }
            }
        }
    }

    /// Accepts one connection; returns whether another may wait.
    fn accept_one(&mut self, listener: usize) -> bool {
        let id = self.server.connections.vacant();
        self.server.connections.stats.accept_calls += 1;
        match self.sockets.accept(listener, id) {
            Ok(from) => {
                self.listeners.note_accepted(listener);
                self.server.connections.open(id);
                self.server.admit(id, self.listeners.scheme(listener), from, &mut self.sockets);
                // Many may be rejected in one turn: closing connections must not take all slots.
                if self.server.connections.count().1 > MAX_REJECTED {
                    self.server.flush_and_reap(&mut self.sockets);
                }
                return true;
            }
            Err(NotAccepted::Gone) => return true,
            Err(NotAccepted::Nobody) => return false,
            Err(NotAccepted::NoDescriptor) => self.reject(listener),
            Err(NotAccepted::Failed) => {}
        }
        self.listeners.back_off(listener, self.now, &mut self.sockets);
        false
    }

    /// Rejects at most [`MAX_REJECTED`] waiting connections where no descriptor is left, as where the server is full.
    fn reject(&mut self, listener: usize) {
        let line = self.server.connections.final_line(self.listeners.scheme(listener));
        for _ in 0..MAX_REJECTED {
            if self.sockets.reject(listener, &line).is_err() {
                break;
            }
        }
    }

    fn stop(&mut self) {
        if self.server.stop() {
            self.listeners.stop(&mut self.sockets);
        }
    }

    /// Trims memory after [`IDLE_AFTER`] without events; an idle server has nothing left to wake up for.
    fn trim_when_idle(&mut self, is_active: bool) {
        if is_active {
            (self.active, self.is_idle) = (self.now, false);
        } else if !self.is_idle && self.active + IDLE_AFTER <= self.now {
            self.is_idle = true;
            self.buffer = Vec::new();
            self.server.trim();
            // Counts of suppressed lines are logged now, since no timer would wake the server for them.
            log::logger().flush();
            self.sockets.trim();
        }
    }

    // Access for tests.

    /// Returns the sockets, for tests that simulate them.
    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Returns the server.
    pub fn server(&self) -> &Server {
        &self.server
    }
}
