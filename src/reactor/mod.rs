//! The turn of the event loop: who is read, flushed, reaped and accepted, and when. It decides everything and touches
//! nothing: sockets and the clock are behind [`Sockets`], which is real in `engine/` and simulated in `sim/`. The turn is
//! here; what it does at each step is in `reactor/`, a file for input, output, endings, newcomers and datagrams. What all of
//! it can hold is added up in [`memory`].

mod datagrams;
mod doorstep;
mod ending;
mod input;
mod output;
mod pace;
mod peer;

use crate::hub::Hub;
use crate::limits::{Limits, READ, REST_AFTER};
use crate::protocol::Time;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Origin};
use crate::server::admission::Admission;
use crate::server::datagrams::Datagrams;
use crate::server::log_events as journal;
use crate::server::pool::Pool;
use crate::server::rate_limit::Rate;
use crate::server::send_queue::SendQueues;
use crate::server::timers::{Deadline, Timers};
use peer::{Doom, Peer, Phase, Then};
use slab::Slab;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What the reactor needs of the world. Connections are known by the ids that the reactor gives them; nothing here
/// blocks but [`Sockets::wait`].
pub trait Sockets {
    /// Waits until something is ready, or as long as `timeout` (`None`: for ever), and puts what is ready into `ready`.
    /// A signal handler's interruption ends the wait early without an error.
    ///
    /// # Errors
    /// Where the poller itself fails, which ends the server.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;
    /// Accepts one connection as `id`, watched for reading from now on.
    ///
    /// # Errors
    /// Why there is none.
    fn accept(&mut self, listener: usize, id: ConnId) -> Result<Origin, NotAccepted>;
    /// Accepts one connection though no descriptor is left, by spending one that is kept for this: sends it `farewell`
    /// as far as that can be done at once, and closes it.
    ///
    /// # Errors
    /// Where nobody waits, or even that descriptor is gone.
    fn turn_away(&mut self, listener: usize, farewell: &[u8]) -> io::Result<()>;
    /// Reads once, into the front of `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing; anything else ends the connection.
    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize>;
    /// Sends once, from the front of `bytes`. Where they are the `last`, the kernel may keep them until our side is shut or
    /// the connection closed, which follows at once if it has taken them all.
    ///
    /// # Errors
    /// `WouldBlock` where the kernel has no room; anything else ends the connection.
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize>;
    /// Receives one datagram into the front of `buffer`; how many bytes, cut to it, and where from.
    ///
    /// # Errors
    /// `WouldBlock` where there is none; anything else means that there may be more.
    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// Sends one datagram.
    ///
    /// # Errors
    /// Where it can't be sent now; it is lost then.
    fn send_to(&mut self, listener: usize, to: SocketAddr, bytes: &[u8]) -> io::Result<()>;
    /// Reads once what was typed at the server's own terminal; 0 is the end of that.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// What the connection is watched for from now on. Hang-ups and errors are reported whatever it says.
    ///
    /// # Errors
    /// Where the poller refuses, which ends the connection.
    fn watch(&mut self, id: ConnId, interest: Interest) -> io::Result<()>;
    /// Whether the listener is watched for newcomers.
    ///
    /// # Errors
    /// Where the poller refuses.
    fn listen(&mut self, listener: usize, on: bool) -> io::Result<()>;
    /// Where a connection comes from; `None` where that can't be said any more.
    fn origin(&self, id: ConnId) -> Option<Origin>;
    /// Ends the sending side of a connection. That this fails where the peer is gone already changes nothing.
    fn shut(&mut self, id: ConnId);
    /// Closes a connection. Its id is free from now on.
    fn close(&mut self, id: ConnId);
    /// Nothing has happened for a while: what memory isn't needed any more can go back to the system.
    fn rest(&mut self);
    /// The time.
    fn now(&self) -> Time;
}

/// Why no connection was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// Nobody waits.
    Nobody,
    /// Somebody waited and has gone again, or can't be reached. Others may wait.
    Gone,
    /// The process or the system has no descriptor left.
    NoDescriptor,
    /// The system can't give it to us for another reason.
    Failed,
}

/// What a connection is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// What it has to say.
    pub read: Reading,
    /// Room to send.
    pub write: bool,
}

/// What of a peer's stream a connection is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Bytes, or the end of the stream.
    Bytes,
    /// That the stream has ended, though what came before is not read. Where the system can't tell, that is seen once
    /// all is read.
    End,
    /// Neither.
    Nothing,
}

/// Something that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Somebody knocks at this listener.
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

/// A listener that the system refused a connection rests until then, and next time longer.
#[derive(Debug, Default)]
struct Rest {
    until: Option<Time>,
    pause: Duration,
}

/// Memory that each connection takes here: what is known of it, and places on three lists.
pub const OF_ONE: usize = size_of::<Peer>() + 2 * size_of::<ConnId>() + size_of::<(ConnId, Doom)>();

/// The server, but for its sockets.
#[derive(Debug)]
pub struct Reactor<S> {
    sockets: S,
    hub: Hub,
    queues: SendQueues,
    peers: Slab<Peer>,
    /// So many of them are in a closing phase.
    closing: usize,
    timers: Timers,
    limits: Limits,
    rate: Rate,
    admission: Admission,
    /// When this turn began.
    now: Time,
    /// What is read stands here, behind what was held of the connection.
    scratch: Vec<u8>,
    held: Pool,
    ready: Vec<Ready>,
    /// What each listener is for.
    doors: Vec<Scheme>,
    datagrams: Datagrams,
    /// What was typed at the server's own terminal since the last LF.
    console: Vec<u8>,
    /// Listeners at which somebody knocks in this turn.
    knocking: Vec<usize>,
    resuming: Vec<ConnId>,
    /// Connections whose end was noticed in this turn; each once, since their queues are deaf from then on.
    doomed: Vec<(ConnId, Doom)>,
    /// Connections that an operator has ended in this turn.
    kicked: Vec<ConnId>,
    is_asked_to_stop: bool,
    /// Whoever is sent nothing but notices isn't flushed before.
    notices_at: Time,
    rests: Vec<Rest>,
    stopping: bool,
    /// Since when, and how many were still owed something when their time was over.
    stopping_since: Time,
    cut_off: usize,
    /// When something was last ready.
    active: Time,
    /// True once buffers and arenas were given back, until something is ready.
    resting: bool,
}

impl<S: Sockets> Reactor<S> {
    /// A server over these sockets, which listen already, each of them for one of `doors`.
    pub fn new(sockets: S, doors: Vec<Scheme>, limits: Limits) -> Self {
        let now = sockets.now();
        Reactor {
            sockets,
            hub: Hub::new(&limits),
            queues: SendQueues::new(&limits),
            peers: Slab::new(),
            closing: 0,
            timers: Timers::default(),
            rate: Rate::new(&limits),
            admission: Admission::new(&limits),
            limits,
            now,
            scratch: Vec::new(),
            held: Pool::default(),
            ready: Vec::new(),
            datagrams: Datagrams::default(),
            console: Vec::new(),
            knocking: Vec::new(),
            resuming: Vec::new(),
            doomed: Vec::new(),
            kicked: Vec::new(),
            is_asked_to_stop: false,
            notices_at: now,
            rests: doors.iter().map(|_| Rest::default()).collect(),
            doors,
            stopping: false,
            stopping_since: now,
            cut_off: 0,
            active: now,
            resting: false,
        }
    }

    /// One turn: waits, reads whoever is ready once, flushes, keeps deadlines, reaps, and accepts last. Ids are
    /// given to new owners only behind the events of this turn's wait, so that none of those is for a former owner.
    ///
    /// # Errors
    /// Where the poller itself fails.
    pub fn turn(&mut self) -> io::Result<Running> {
        let mut ready = std::mem::take(&mut self.ready);
        self.sockets.wait(self.timeout(), &mut ready)?;
        self.now = self.sockets.now();
        self.hub.set_now(self.now);
        self.count_turn();
        self.resume();
        ready.iter().for_each(|ready| self.attend(*ready));
        self.receive_datagrams();
        // Before deadlines: nobody misses one whose socket has room by now, however late the server woke up.
        self.flush();
        self.expire();
        self.act_on_effects();
        if std::mem::take(&mut self.is_asked_to_stop) {
            self.stop();
        }
        self.settle();
        self.accept();
        self.rest(!ready.is_empty());
        ready.clear();
        self.ready = ready;
        if !self.stopping || !self.peers.is_empty() {
            return Ok(Running::On);
        }
        journal::stopped(self.stopping_since.until(self.now), self.cut_off);
        Ok(Running::Done)
    }

    /// The world outside, for whoever simulates it.
    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Who is here.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Connections, the closing ones included.
    pub fn connections(&self) -> usize {
        self.peers.len()
    }

    /// Bytes queued for a connection that the kernel refused.
    pub fn unsent(&self, id: ConnId) -> usize {
        self.queues.unsent(id)
    }

    /// Bytes that are held of a connection: what it sent and what is not obeyed yet.
    pub fn held(&self, id: ConnId) -> usize {
        self.held_bytes(id)
    }

    /// Memory for what kernels refused, of all connections together.
    pub fn unsent_memory(&self) -> usize {
        self.queues.memory()
    }

    /// Whether somebody is to be sent a notice that waits.
    pub fn has_notices(&self) -> bool {
        self.queues.waiting() > 0
    }

    /// Deadlines that are armed.
    pub fn deadlines(&self) -> usize {
        self.timers.armed()
    }

    /// Buffers that connections hold for what they sent.
    pub fn held_buffers(&self) -> usize {
        self.held.lent()
    }

    /// Memory of these buffers, in bytes.
    pub fn held_memory(&self) -> usize {
        self.held.memory()
    }

    /// Checks what is always true between turns; for tests and fuzzing.
    pub fn invariants(&self) {
        self.hub.invariants();
        self.queues.all_invariants();
        assert!(self.doomed.is_empty(), "whoever is doomed is reaped in the same turn");
        assert!(
            self.held.memory() <= self.limits.most_held(self.peers.len()),
            "little is held of all together"
        );
        assert_eq!(self.closing, self.peers.iter().filter(|(_, peer)| peer.phase.is_closing()).count());
        let counts = |(key, peer): &(usize, &Peer)| {
            !peer.phase.is_closing() && !self.hub.rank(ConnId(*key as u32)).is_operator()
        };
        assert!(self.peers.iter().filter(counts).count() <= self.limits.max_connections, "too many are open");
        for (key, peer) in &self.peers {
            let id = ConnId(key as u32);
            self.queues.invariants(id);
            let unsent = self.queues.unsent(id);
            assert!(unsent <= self.limits.hard_queue(), "{unsent} bytes queued");
            assert_eq!(peer.interest.write, unsent > 0, "write interest is armed only while bytes remain");
            assert!(!peer.phase.is_closing() || !self.hub.rank(id).is_registered() || self.stopping);
            let held = peer.held.as_ref().map_or(0, |held| self.held.bytes(held).len());
            let most = match peer.phase {
                Phase::Open => self.limits.max_line,
                _ => READ + self.limits.max_line,
            };
            assert_eq!(peer.refill.is_some(), peer.phase == Phase::Paused);
            assert!(held <= most, "{held} bytes held");
        }
    }

    /// How long nothing may happen before something is due.
    fn timeout(&self) -> Option<Duration> {
        if self.queues.dirty(0).is_some() || !self.resuming.is_empty() {
            return Some(Duration::ZERO);
        }
        let rests = self.rests.iter().filter_map(|rest| rest.until);
        let idle = (!self.resting).then(|| self.active + REST_AFTER);
        let notices = (self.queues.waiting() > 0).then_some(self.notices_at);
        let next = self.timers.next().into_iter().chain(rests).chain(idle).chain(notices).min();
        next.map(|at| self.now.until(at))
    }

    fn attend(&mut self, ready: Ready) {
        match ready {
            Ready::Listener(listener) => self.knocking.push(listener),
            Ready::Stop => self.stop(),
            Ready::Console => self.hear_console(),
            Ready::Connection { id, read, write, ended, hangup } => {
                let Some(peer) = self.peers.get(id.index()) else { return };
                // Who is doomed, or kicked, is seen to before the turn is over. It may hold more than there is room to
                // read behind.
                if self.queues.is_deaf(id) {
                    return;
                }
                if write && peer.interest.write {
                    self.queues.mark_writable(id);
                }
                match peer.phase {
                    Phase::Open if read => self.receive(id),
                    Phase::Discarding if read => self.discard(id),
                    // Who isn't read is told of by hang-ups alone. They come again and again until they are acted on.
                    Phase::Waiting | Phase::Paused | Phase::Resuming | Phase::Flushing { .. } if hangup => {
                        self.doom(id, Doom::Lost)
                    }
                    Phase::Paused if read && peer.interest.read == Reading::Bytes => self.receive_ahead(id),
                    Phase::Paused if ended && peer.interest.read == Reading::End => self.note_end(id),
                    _ => {}
                }
            }
        }
    }

    fn count_turn(&mut self) {
        let counters = &mut self.queues.counters;
        counters.turns += 1;
        counters.connections = self.peers.len() as u64;
        counters.uptime_seconds = self.now.0 / 1000;
    }

    fn expire(&mut self) {
        loop {
            // Before a deadline is taken out: a flush takes deadlines back.
            self.flush_if_brimming();
            let Some((what, id)) = self.timers.due(self.now) else { break };
            let peer = &mut self.peers[id.index()];
            match what {
                Deadline::Register => {
                    peer.deadline = None;
                    self.end_nameless(id);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.doom_slow(id, self.queues.unsent(id));
                }
                Deadline::Drain | Deadline::Discard => {
                    peer.deadline = None;
                    self.cut_off += usize::from(self.stopping && what == Deadline::Drain);
                    self.drop_now(id);
                }
                Deadline::Pause => {
                    peer.pause = None;
                    self.end_by_pause(id);
                }
                Deadline::Silence => {
                    peer.deadline = None;
                    self.hub.leave(id, CloseReason::Silent, b"", &mut self.queues);
                    self.drop_now(id);
                }
                Deadline::Refill => {
                    peer.refill = None;
                    self.refill(id);
                }
                Deadline::LastWords => {
                    peer.last_words = None;
                    self.hub.leave(id, CloseReason::EndOfStream, b"", &mut self.queues);
                    self.close(id, Then::Discard);
                }
            }
        }
    }

    /// Flushes the dirty and reaps the doomed, whose going makes others dirty, until neither is left.
    fn settle(&mut self) {
        loop {
            self.flush();
            let doomed = std::mem::take(&mut self.doomed);
            let kicked = self.close_kicked();
            if doomed.is_empty() && !kicked {
                break;
            }
            doomed.into_iter().for_each(|(id, doom)| self.reap(id, doom));
        }
    }

    /// Gives memory back once nothing has happened for a while; then there is nothing left to wake up for.
    fn rest(&mut self, active: bool) {
        if active {
            (self.active, self.resting) = (self.now, false);
        } else if !self.resting && self.active + REST_AFTER <= self.now {
            self.resting = true;
            self.scratch = Vec::new();
            self.held.rest();
            self.queues.rest();
            self.timers.rest();
            self.admission.rest();
            // What was counted and not written is said now: nothing else would wake us up for it.
            log::logger().flush();
            self.sockets.rest();
        }
    }
}
