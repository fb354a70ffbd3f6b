//! The turn of the event loop: one driver of the [`Server`], over one poller. It waits, reads each ready connection once into
//! its one buffer, and accepts; what any of that means is decided by the server. Sockets and the clock are behind
//! [`Sockets`], which is real in `engine/` and simulated in tests, so nothing here touches either.

mod listeners;

use crate::limits::{
    ACCEPTS_PER_TURN, DATAGRAMS_PER_TURN, IDLE_AFTER, Limits, MAX_REJECTED, MAX_SHORT, READ,
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

/// What the reactor needs of the world besides what the server does. Connections are known by the ids that they are given
/// here; nothing blocks but [`Sockets::wait`].
pub trait Sockets: Transport {
    /// Waits until something is ready, or as long as `timeout` (`None`: for ever), and puts what is ready into `ready`;
    /// returns the time. A signal handler's interruption ends the wait early without an error.
    ///
    /// # Errors
    /// Where the poller itself fails, which ends the server.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<Time>;
    /// Accepts one connection as `id`, watched for reading from now on.
    ///
    /// # Errors
    /// Why there is none.
    fn accept(&mut self, listener: usize, id: ConnId) -> Result<PeerAddr, NotAccepted>;
    /// Accepts one connection though no descriptor is left, by spending one that is kept for this: sends it `line` as far
    /// as that can be done at once, and closes it.
    ///
    /// # Errors
    /// Where no connection waits, or even that descriptor is gone.
    fn reject(&mut self, listener: usize, line: &[u8]) -> io::Result<()>;
    /// Reads once, into the front of `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing; anything else ends the connection.
    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize>;
    /// Receives one datagram into the front of `buffer`; how many bytes, cut to it, and where from.
    ///
    /// # Errors
    /// `WouldBlock` where there is none; anything else means that there may be more.
    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, DatagramPath)>;
    /// Sets whether a listener is watched for connections.
    ///
    /// # Errors
    /// Where the poller refuses.
    fn set_listening(&mut self, listener: usize, on: bool) -> io::Result<()>;
    /// Reads once what was typed at the server's own terminal; 0 is the end of that.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Nothing has happened for a while: memory that isn't needed can go back to the system.
    fn trim(&mut self);
}

/// Why no connection was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// None waits.
    Nobody,
    /// One waited and has gone again, or can't be reached. Others may wait.
    Gone,
    /// The process or the system has no descriptor left.
    NoDescriptor,
    /// The system can't give it for another reason.
    Failed,
}

/// Something that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// A connection or a datagram waits at this listener.
    Listener(usize),
    /// The server is asked to stop.
    Stop,
    /// Something was typed at the server's own terminal.
    Console,
    /// A connection.
    Connection {
        /// Which.
        id: ConnId,
        /// It can be read.
        read: bool,
        /// It can be sent to.
        write: bool,
        /// Its stream has ended, whatever of it is still to be read.
        ended: bool,
        /// Both of its directions have ended, or it is broken.
        hangup: bool,
    },
}

/// Whether the server goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// There is more to do.
    On,
    /// It was asked to stop, and the last connection is closed.
    Done,
}

/// The server, and the sockets that it is driven over.
#[derive(Debug)]
pub struct Reactor<S> {
    sockets: S,
    server: Server,
    /// What is read is put here, behind what was kept of the connection.
    buffer: Vec<u8>,
    ready: Vec<Ready>,
    listeners: Listeners,
    now: Time,
    /// When something was last ready.
    active: Time,
    /// Buffers and arenas were given back, and nothing was ready since.
    is_idle: bool,
}

impl<S: Sockets> Reactor<S> {
    /// A server over these sockets, which listen already, each for one of `schemes`.
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

    /// One turn: waits, reads each ready connection once, flushes, fires timers, reaps, and accepts last. Ids are given to
    /// new connections only after the events of this turn's wait, so that none of those is for a former owner.
    ///
    /// # Errors
    /// Where the poller itself fails.
    pub fn turn(&mut self) -> io::Result<Running> {
        let mut ready = std::mem::take(&mut self.ready);
        self.now = self.sockets.wait(self.timeout(), &mut ready)?;
        self.server.begin(self.now);
        self.run_runnable();
        ready.iter().for_each(|ready| self.on_ready(*ready));
        self.receive_datagrams();
        // Before timers: no connection misses a deadline whose socket has room by now, however late the wait ended.
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

    /// How long nothing may happen before something is due.
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
                // Of a connection that is to be closed, more may be kept than there is room to read behind.
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
                    // A connection that isn't read is told of by hang-ups alone. They come again and again until they
                    // are acted on.
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

    /// Room in the buffer for one read behind an unfinished line.
    fn make_room(&mut self) {
        self.buffer.resize(READ + self.server.connections.limits().max_line, 0);
    }

    /// One read of a connection, put behind what is kept of it. Where its bucket is empty, it isn't read.
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

    /// Has the server process what the buffer begins with, and keep the rest; returns whether the connection is open.
    fn process(&mut self, id: ConnId, len: usize) -> bool {
        let processed = self.server.process_input(id, &self.buffer[..len], &mut self.sockets);
        if processed.is_open {
            self.server.connections.save_input(id, &self.buffer[processed.consumed..len]);
        }
        processed.is_open
    }

    /// Goes on with connections that stopped in the turn before with input left.
    fn run_runnable(&mut self) {
        for id in self.server.connections.take_runnable() {
            if self.server.connections.resume(id) {
                self.continue_input(id);
            }
        }
    }

    /// Has the server process what is kept of a connection, and reads it again.
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

    /// One read of a connection that is blocked by rate, in which timeouts end messages.
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

    /// Throws away one read of a connection that lingers.
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

    /// One read of what is typed at the server's own terminal.
    fn read_console(&mut self) {
        self.make_room();
        if let Ok(bytes) = self.sockets.read_console(&mut self.buffer[..READ]) {
            self.server.console(&self.buffer[..bytes]);
        }
    }

    /// Reads datagrams where there are any, up to so many a turn; the poller reports the others again. After the events of
    /// connections, since one from a new source takes a slot.
    fn receive_datagrams(&mut self) {
        if self.listeners.are_quiet() {
            return;
        }
        for listener in self.listeners.take_ready(|socket| socket == Socket::Udp) {
            self.make_room();
            for _ in 0..DATAGRAMS_PER_TURN {
                self.server.connections.stats.recv_calls += 1;
                // One byte more than may be shows that it is too long.
                match self.sockets.recv_from(listener, &mut self.buffer[..=MAX_SHORT]) {
                    _ if self.server.is_stopping() => break,
                    Ok((bytes, path)) => {
                        self.server.datagram(path, &self.buffer[..bytes], &mut self.sockets);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // An answer to a source that is gone comes back as an error of the socket.
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

    /// No bytes have come for `--pause`: what is kept may be a message.
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

    /// Accepts the connections that wait, up to so many a turn at each listener; the poller reports the others again.
    fn accept(&mut self) {
        self.listeners.end_backoff(self.now, &mut self.sockets);
        if self.listeners.are_quiet() {
            return;
        }
        for listener in self.listeners.take_ready(|_| true).into_iter().rev() {
            // So many each: one listener that is flooded shuts no other, the operators' above all.
            for _ in 0..ACCEPTS_PER_TURN {
                if self.server.is_stopping() || !self.accept_one(listener) {
                    break;
                }
            }
        }
    }

    /// Accepts a connection; returns whether another may wait.
    fn accept_one(&mut self, listener: usize) -> bool {
        let id = self.server.connections.vacant();
        self.server.connections.stats.accept_calls += 1;
        match self.sockets.accept(listener, id) {
            Ok(from) => {
                self.listeners.note_accepted(listener);
                self.server.connections.open(id);
                self.server.admit(id, self.listeners.scheme(listener), from, &mut self.sockets);
                // Many may be rejected in one turn: those that close shall not fill the house.
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

    /// There are no descriptors left: some of the connections that wait are told so, as many as where the server is full.
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

    /// Gives memory back once nothing has happened for a while; then there is nothing left to wake up for.
    fn trim_when_idle(&mut self, is_active: bool) {
        if is_active {
            (self.active, self.is_idle) = (self.now, false);
        } else if !self.is_idle && self.active + IDLE_AFTER <= self.now {
            self.is_idle = true;
            self.buffer = Vec::new();
            self.server.trim();
            // What was counted and not written is said now: nothing else would wake the server up for it.
            log::logger().flush();
            self.sockets.trim();
        }
    }

    // To look into.

    /// The world outside, for a test that simulates it.
    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }
}
