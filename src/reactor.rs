//! The turn of the event loop: who is read, flushed, reaped and accepted, and when. It decides everything and touches
//! nothing: sockets and the clock are behind [`Sockets`], which is real in `engine/` and simulated in `sim/`.

use crate::datagrams::{Datagrams, Source};
use crate::dialect::Dialect;
use crate::door::Door;
use crate::frame::Frame;
use crate::hub::{Hub, Next};
use crate::limits::{
    ACCEPTS_A_TURN, DATAGRAMS_A_TURN, DISCARD, FAREWELLS, Limits, MAX_LISTENER_PAUSE, MAX_SHORT, MAX_SILENCE,
    MIN_DRAIN, MIN_LISTENER_PAUSE, READ, REST_AFTER, TOO_SLOW_AFTER,
};
use crate::message::{ConnId, Event, Origin, Outbox, Rank, Refusal};
use crate::pool::{BufferId, Pool};
use crate::send_queue::{Flushed, SendQueues};
use crate::session::{self, Stop};
use crate::text::trim_blanks;
use crate::timers::{Deadline, Time, TimerId, Timers};
use bstr::ByteSlice;
use slab::Slab;
use std::io::{self, ErrorKind};
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
    /// `WouldBlock` where nobody waits; `ConnectionAborted` where one has gone again; anything else where the system
    /// can't give it to us, which calls for a pause.
    fn accept(&mut self, listener: usize, id: ConnId) -> io::Result<Origin>;
    /// Reads once, into the front of `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing; anything else ends the connection.
    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize>;
    /// Sends once, from the front of `bytes`.
    ///
    /// # Errors
    /// `WouldBlock` where the kernel has no room; anything else ends the connection.
    fn send(&mut self, id: ConnId, bytes: &[u8]) -> io::Result<usize>;
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
    /// Ends the sending side of a connection. That this fails where the peer is gone already changes nothing.
    fn shut(&mut self, id: ConnId);
    /// Closes a connection. Its id is free from now on.
    fn close(&mut self, id: ConnId);
    /// The time.
    fn now(&self) -> Time;
}

/// What a connection is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Bytes to read, or the end of the stream.
    pub read: bool,
    /// Room to send.
    pub write: bool,
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

/// The in-half of a connection; its out-half is in [`SendQueues`]. See `a_peer_is_small`.
#[derive(Debug)]
struct Peer {
    frame: Frame,
    dialect: Dialect,
    phase: Phase,
    /// What the sockets were last told.
    interest: Interest,
    /// Bytes that came and are not consumed: an unfinished line, or in [`Phase::Waiting`] whole ones too.
    held: Option<BufferId>,
    /// Until when to register, or in a closing phase to flush or to end the stream.
    deadline: Option<TimerId>,
    /// Until when its queue must be back within the limit.
    slow: Option<TimerId>,
    /// Until when something must come, or what is held is a message.
    pause: Option<TimerId>,
}

/// What is done with a connection. The first three are in the hub's care, the others have left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Read.
    Open,
    /// Not read while more than half of its own queue is unsent.
    Waiting,
    /// As `Waiting`, but its queue has room again: the next turn goes on with what is held.
    Resuming,
    /// Closing: being flushed. `ended`: its own stream has ended, so there will be nothing to discard.
    Flushing { ended: bool },
    /// Closing: everything is flushed and our side is shut; its input is thrown away until it ends.
    Discarding,
}

impl Phase {
    fn is_closing(self) -> bool {
        matches!(self, Phase::Flushing { .. } | Phase::Discarding)
    }
}

/// Why a connection ends that isn't asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doom {
    /// It is broken, or was reset.
    Lost,
    /// It doesn't read what it is sent.
    TooSlow,
}

/// A listener that the system refused a connection rests until then, and next time longer.
#[derive(Debug, Default)]
struct Rest {
    until: Option<Time>,
    pause: Duration,
}

/// The server, but for its sockets.
#[derive(Debug)]
pub struct Reactor<S> {
    sockets: S,
    hub: Hub,
    queues: SendQueues,
    peers: Slab<Peer>,
    timers: Timers,
    limits: Limits,
    /// When this turn began.
    now: Time,
    /// What is read stands here, behind what was held of the connection.
    scratch: Vec<u8>,
    held: Pool,
    ready: Vec<Ready>,
    /// What each listener is for.
    doors: Vec<Door>,
    datagrams: Datagrams,
    /// What was typed at the server's own terminal since the last LF.
    console: Vec<u8>,
    /// Listeners at which somebody knocks in this turn.
    knocking: Vec<usize>,
    resuming: Vec<ConnId>,
    /// Connections whose end was noticed in this turn; each once, since their queues are deaf from then on.
    doomed: Vec<(ConnId, Doom)>,
    rests: Vec<Rest>,
    stopping: bool,
    /// When something was last ready.
    active: Time,
    /// True once buffers and arenas were given back, until something is ready.
    resting: bool,
}

impl<S: Sockets> Reactor<S> {
    /// A server over these sockets, which listen already, each of them for one of `doors`.
    pub fn new(sockets: S, doors: Vec<Door>, limits: Limits) -> Self {
        let now = sockets.now();
        Reactor {
            sockets,
            hub: Hub::new(&limits),
            queues: SendQueues::new(&limits),
            peers: Slab::new(),
            timers: Timers::default(),
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
            rests: doors.iter().map(|_| Rest::default()).collect(),
            doors,
            stopping: false,
            active: now,
            resting: false,
        }
    }

    /// One turn: waits, reads whoever is ready once, keeps deadlines, flushes, reaps, and accepts last, so that no id
    /// is used again while something of its former owner is at hand.
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
        self.expire();
        if self.queues.take_stopping() {
            self.stop();
        }
        self.settle();
        self.accept();
        self.rest(!ready.is_empty());
        ready.clear();
        self.ready = ready;
        Ok(if self.stopping && self.peers.is_empty() { Running::Done } else { Running::On })
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

    /// Buffers that connections hold for what they sent.
    pub fn held_buffers(&self) -> usize {
        self.held.lent()
    }

    /// Checks what is always true between turns; for tests and fuzzing.
    pub fn invariants(&self) {
        self.hub.invariants();
        assert!(self.doomed.is_empty(), "whoever is doomed is reaped in the same turn");
        for (key, peer) in &self.peers {
            let id = ConnId(key as u32);
            self.queues.invariants(id);
            let unsent = self.queues.unsent(id);
            assert!(unsent <= self.limits.hard_queue(), "{unsent} bytes queued");
            assert_eq!(peer.interest.write, unsent > 0, "write interest is armed only while bytes remain");
            assert!(!peer.phase.is_closing() || self.hub.rank(id) == Rank::Stranger || self.stopping);
            let held = peer.held.as_ref().map_or(0, |held| self.held.bytes(held).len());
            let most =
                if peer.phase == Phase::Open { self.limits.max_line } else { READ + self.limits.max_line };
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
        let next = self.timers.next().into_iter().chain(rests).chain(idle).min();
        next.map(|at| self.now.until(at))
    }

    fn attend(&mut self, ready: Ready) {
        match ready {
            Ready::Listener(listener) if self.doors[listener] == Door::Udp => {
                self.receive_datagrams(listener)
            }
            Ready::Listener(listener) => self.knocking.push(listener),
            Ready::Stop => self.stop(),
            Ready::Console => self.hear_console(),
            Ready::Connection { id, read, write, hangup } => {
                let Some(peer) = self.peers.get(id.index()) else { return };
                if write && peer.interest.write {
                    self.queues.mark_writable(id);
                }
                match peer.phase {
                    // Doomed, or kicked in this turn: it is dealt with before the turn ends.
                    _ if self.queues.is_deaf(id) => {}
                    Phase::Open if read => self.receive(id),
                    Phase::Discarding if read => self.discard(id),
                    // Who isn't read is told of by hang-ups alone. They come again and again until they are acted on.
                    Phase::Waiting | Phase::Resuming | Phase::Flushing { .. } if hangup => {
                        self.doom(id, Doom::Lost)
                    }
                    _ => {}
                }
            }
        }
    }

    /// One read of a connection, put behind what is held of it.
    fn receive(&mut self, id: ConnId) {
        let kept = self.restore(id);
        self.scratch.resize(READ + self.limits.max_line, 0);
        match self.sockets.recv(id, &mut self.scratch[kept..kept + READ]) {
            Ok(0) => self.end(id, kept),
            Ok(bytes) => {
                self.queues.counters.bytes_in += bytes as u64;
                self.digest(id, kept + bytes);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.hold(id, 0, kept),
            Err(_) => self.doom(id, Doom::Lost),
        }
    }

    /// Has the hub obey what stands in the scratch buffer, as far as it is whole and may be obeyed now.
    fn digest(&mut self, id: ConnId, len: usize) {
        let mut start = 0;
        loop {
            let Reactor { hub, peers, queues, scratch, limits, .. } = self;
            let peer = &mut peers[id.index()];
            let input = &scratch[start..len];
            let fed = session::feed(hub, id, &mut peer.frame, peer.dialect, input, limits.max_line, queues);
            start += fed.consumed;
            queues.counters.lines_in += fed.messages;
            match fed.stop {
                Stop::Dry => break,
                Stop::Close => return self.close(id, false),
                Stop::Full => {
                    // Looked at even where nothing new is to be sent: its queue decides whether it waits.
                    self.queues.mark_dirty(id);
                    self.flush();
                    // Who is doomed stays open until it is reaped.
                    if self.peers[id.index()].phase != Phase::Open || !self.queues.has_room(id) {
                        break;
                    }
                }
            }
        }
        self.hold(id, start, len);
        self.await_pause(id, len - start);
        self.note_registration(id);
    }

    /// Arms the end of a message by a pause anew, if that is how this peer's messages end.
    fn await_pause(&mut self, id: ConnId, left: usize) {
        let peer = &mut self.peers[id.index()];
        if let Some(pause) = peer.pause.take() {
            self.timers.cancel(pause);
        }
        if peer.frame.awaits_pause(left) {
            peer.pause = Some(self.timers.arm(self.now + self.limits.pause, Deadline::Pause, id));
        }
    }

    /// Nothing has come for a while: what is held may be a message.
    fn end_by_pause(&mut self, id: ConnId) {
        let left = self.restore(id);
        let Reactor { hub, peers, queues, scratch, .. } = self;
        let peer = &mut peers[id.index()];
        if peer.phase == Phase::Open && !queues.is_deaf(id) {
            match session::pause(hub, id, &mut peer.frame, peer.dialect, &scratch[..left], queues) {
                Some(Next::Close) => return self.close(id, false),
                Some(Next::Stay) => {
                    self.queues.counters.lines_in += 1;
                    return self.note_registration(id);
                }
                None => {}
            }
        }
        self.hold(id, 0, left);
        self.await_pause(id, left);
    }

    /// Reads datagrams, up to so many a turn; the poller reports the others again.
    fn receive_datagrams(&mut self, listener: usize) {
        for _ in 0..DATAGRAMS_A_TURN {
            if self.stopping {
                return;
            }
            self.scratch.resize(READ + self.limits.max_line, 0);
            // One byte more than may be shows that it is too long.
            match self.sockets.recv_from(listener, &mut self.scratch[..=MAX_SHORT]) {
                Ok((bytes, from)) => self.attend_datagram((listener, from), bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // An answer of ours to a source that is gone comes back as an error of the socket.
                Err(_) => {}
            }
        }
    }

    /// One datagram, at the front of the scratch buffer.
    fn attend_datagram(&mut self, source: Source, bytes: usize) {
        self.queues.counters.bytes_in += bytes as u64;
        if self.queues.wants_flush() {
            self.flush();
        }
        let known = self.datagrams.find(source);
        let id = match known {
            Some(id) => id,
            None if self.peers.len() >= self.limits.max_connections => return,
            None => self.insert(Door::Udp),
        };
        if known.is_some() {
            self.datagrams.spoke(id);
        } else {
            self.datagrams.add(id, source, bytes);
        }
        let Reactor { hub, peers, queues, scratch, .. } = self;
        let peer = &mut peers[id.index()];
        if peer.phase.is_closing() || queues.is_deaf(id) {
            return;
        }
        // What others hear of it is a line, which has its limit too.
        let max = MAX_SHORT.min(self.limits.max_line);
        let fed = session::feed(hub, id, &mut peer.frame, peer.dialect, &scratch[..bytes], max, queues);
        queues.counters.lines_in += fed.messages;
        match (fed.stop, hub.rank(id).is_registered()) {
            (Stop::Close, _) => self.close(id, true),
            (_, true) => {
                self.datagrams.spoke(id);
                self.forget_deadlines(id);
                let silence = self.timers.arm(self.now + MAX_SILENCE, Deadline::Silence, id);
                self.peers[id.index()].deadline = Some(silence);
            }
            // It has no name, and so leaves nothing behind but what it is answered.
            (_, false) => self.close(id, true),
        }
    }

    /// Each line that is typed at the server's own terminal is told to everyone. One that is too long is told in parts.
    fn hear_console(&mut self) {
        self.scratch.resize(READ + self.limits.max_line, 0);
        let Ok(bytes) = self.sockets.read_console(&mut self.scratch[..READ]) else { return };
        for line in self.scratch[..bytes].split_inclusive(|byte| *byte == b'\n') {
            self.console.extend_from_slice(line);
            if self.console.ends_with(b"\n") || self.console.len() >= self.limits.max_line {
                let text = trim_blanks(self.console.trim_end_with(|c| c == '\n' || c == '\r'));
                if !text.is_empty() {
                    self.hub.announce(text, &mut self.queues);
                }
                self.console.clear();
            }
        }
    }

    fn count_turn(&mut self) {
        let counters = &mut self.queues.counters;
        counters.turns += 1;
        counters.connections = self.peers.len() as u64;
        counters.uptime_seconds = self.now.0 / 1000;
    }

    /// Its stream has ended: a last line without LF counts, then it leaves, and gets what is queued for it.
    fn end(&mut self, id: ConnId, len: usize) {
        let Reactor { hub, peers, queues, scratch, .. } = self;
        let peer = &mut peers[id.index()];
        match session::finish(hub, id, &mut peer.frame, peer.dialect, &scratch[..len], queues) {
            Next::Close => {}
            Next::Stay => hub.leave(id, b"", queues),
        }
        self.close(id, true);
    }

    /// Keeps a part of the scratch buffer for a connection until more comes.
    fn hold(&mut self, id: ConnId, start: usize, end: usize) {
        if start < end {
            self.peers[id.index()].held = Some(self.held.lend(&self.scratch[start..end]));
        }
    }

    /// Puts what is held of a connection into the front of the scratch buffer; how many bytes that are.
    fn restore(&mut self, id: ConnId) -> usize {
        let Some(held) = self.peers[id.index()].held.take() else { return 0 };
        let bytes = self.held.bytes(&held);
        let len = bytes.len();
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        self.scratch[..len].copy_from_slice(bytes);
        self.held.give_back(held);
        len
    }

    /// Goes on with those whose queues have room again.
    fn resume(&mut self) {
        for id in std::mem::take(&mut self.resuming) {
            // The slot may have another owner by now, who is not resuming.
            let Some(peer) = self.peers.get_mut(id.index()) else { continue };
            if peer.phase == Phase::Resuming {
                peer.phase = Phase::Open;
                let len = self.restore(id);
                self.digest(id, len);
                self.watch(id);
            }
        }
    }

    fn note_registration(&mut self, id: ConnId) {
        let peer = &mut self.peers[id.index()];
        if peer.deadline.is_some()
            && !peer.phase.is_closing()
            && self.hub.rank(id) == Rank::Member
            && let Some(deadline) = peer.deadline.take()
        {
            self.timers.cancel(deadline);
        }
    }

    /// Throws away one read of a connection that is shut.
    fn discard(&mut self, id: ConnId) {
        self.scratch.resize(READ + self.limits.max_line, 0);
        match self.sockets.recv(id, &mut self.scratch) {
            Ok(0) => self.drop_now(id),
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.drop_now(id),
            Ok(_) | Err(_) => {}
        }
    }

    fn expire(&mut self) {
        while let Some((what, id)) = self.timers.due(self.now) {
            let peer = &mut self.peers[id.index()];
            match what {
                Deadline::Register => {
                    peer.deadline = None;
                    self.hub.leave(id, b"", &mut self.queues);
                    self.queues.send(id, Event::Refused(Refusal::RegisterTimeout));
                    self.close(id, false);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.doom(id, Doom::TooSlow);
                }
                Deadline::Drain | Deadline::Discard => {
                    peer.deadline = None;
                    self.drop_now(id);
                }
                Deadline::Pause => {
                    peer.pause = None;
                    self.end_by_pause(id);
                }
                Deadline::Silence => {
                    peer.deadline = None;
                    self.hub.leave(id, b"silent", &mut self.queues);
                    self.drop_now(id);
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

    /// Closes those whom the hub has shown the door; whether there were any.
    fn close_kicked(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.queues.take_closing() {
            any = true;
            if self.peers.get(id.index()).is_some_and(|peer| !peer.phase.is_closing()) {
                self.close(id, false);
            }
        }
        any
    }

    fn flush(&mut self) {
        let mut place = 0;
        while let Some(id) = self.queues.dirty(place) {
            place += 1;
            // Whoever was dropped while dirty is gone without being flushed.
            match self.peers.get(id.index()).map(|peer| &peer.frame) {
                Some(Frame::Datagram) => self.flush_datagrams(id),
                Some(_) => {
                    let flushed = self.queues.flush(id, |bytes| self.sockets.send(id, bytes));
                    self.flushed(id, flushed);
                }
                None => {}
            }
        }
        self.queues.end_flush();
    }

    /// Flushes a peer that gets datagrams: one for each line. What can't be sent now, or is more than the peer may be
    /// sent, is lost, and counted.
    fn flush_datagrams(&mut self, id: ConnId) {
        let Some(to) = self.datagrams.peer(id) else { return };
        let (sockets, mut dropped) = (&mut self.sockets, 0);
        self.queues.flush(id, |bytes| {
            for datagram in bytes.lines() {
                let (listener, address) = to.source;
                if !to.may_get(datagram.len()) || sockets.send_to(listener, address, datagram).is_err() {
                    dropped += 1;
                }
            }
            Ok(bytes.len())
        });
        self.queues.counters.datagrams_dropped += dropped;
        if self.peers[id.index()].phase.is_closing() {
            self.drop_now(id);
        }
    }

    /// What a flush means for the connection: whether it is too slow, is read, goes on closing.
    fn flushed(&mut self, id: ConnId, flushed: Flushed) {
        let Flushed::Unsent(unsent) = flushed else { return self.doom(id, Doom::Lost) };
        let peer = &mut self.peers[id.index()];
        match peer.phase {
            _ if unsent > self.limits.hard_queue() => return self.doom(id, Doom::TooSlow),
            Phase::Flushing { ended } if unsent == 0 => return self.shut(id, ended),
            Phase::Flushing { .. } | Phase::Discarding => {}
            Phase::Open if unsent > self.limits.half_queue() => peer.phase = Phase::Waiting,
            Phase::Waiting if unsent <= self.limits.half_queue() => {
                peer.phase = Phase::Resuming;
                self.resuming.push(id);
            }
            Phase::Open | Phase::Waiting | Phase::Resuming => {}
        }
        match &peer.slow {
            None if unsent > self.limits.queue && !peer.phase.is_closing() => {
                peer.slow = Some(self.timers.arm(self.now + TOO_SLOW_AFTER, Deadline::TooSlow, id));
            }
            Some(_) if unsent <= self.limits.queue => {
                peer.slow.take().into_iter().for_each(|slow| self.timers.cancel(slow));
            }
            _ => {}
        }
        self.watch(id);
    }

    /// Tells the sockets what the connection is to be watched for, if that has changed.
    fn watch(&mut self, id: ConnId) {
        let peer = &mut self.peers[id.index()];
        let interest = Interest {
            read: matches!(peer.phase, Phase::Open | Phase::Discarding),
            write: self.queues.unsent(id) > 0,
        };
        if interest != peer.interest {
            peer.interest = interest;
            if self.sockets.watch(id, interest).is_err() {
                self.doom(id, Doom::Lost);
            }
        }
    }

    /// Marks a connection for reaping. From now on it hears nothing.
    fn doom(&mut self, id: ConnId, doom: Doom) {
        if self.queues.deafen(id) {
            self.doomed.push((id, doom));
        }
    }

    fn reap(&mut self, id: ConnId, doom: Doom) {
        // A deadline may have dropped it since. Its slot is still empty: newcomers are accepted last.
        let Some(peer) = self.peers.get(id.index()) else { return };
        match doom {
            Doom::TooSlow if peer.phase != Phase::Discarding => {
                let is_closing = peer.phase.is_closing();
                self.queues.forget(id);
                self.queues.send(id, Event::Refused(Refusal::TooSlow));
                if !is_closing {
                    self.hub.leave(id, b"too slow", &mut self.queues);
                    self.close(id, false);
                }
            }
            Doom::Lost | Doom::TooSlow => {
                if !self.stopping {
                    self.hub.leave(id, b"connection lost", &mut self.queues);
                }
                self.drop_now(id);
            }
        }
    }

    /// Begins to close a connection that has left the hub: what is queued is flushed, within the time for that.
    fn close(&mut self, id: ConnId, ended: bool) {
        self.forget_deadlines(id);
        let peer = &mut self.peers[id.index()];
        if let Some(held) = peer.held.take() {
            self.held.give_back(held);
        }
        peer.phase = Phase::Flushing { ended };
        let drain = self.limits.drain.max(MIN_DRAIN);
        peer.deadline = Some(self.timers.arm(self.now + drain, Deadline::Drain, id));
        self.queues.mark_dirty(id);
    }

    /// Everything is flushed: shuts our side, and waits a little for the other. Closing at once with input unread
    /// would make the kernel reset the connection and destroy the last lines.
    fn shut(&mut self, id: ConnId, ended: bool) {
        self.sockets.shut(id);
        if ended {
            return self.drop_now(id);
        }
        self.forget_deadlines(id);
        let peer = &mut self.peers[id.index()];
        peer.phase = Phase::Discarding;
        peer.deadline = Some(self.timers.arm(self.now + DISCARD, Deadline::Discard, id));
        self.watch(id);
    }

    /// Closes a connection that has left the hub, whatever is queued for it.
    fn drop_now(&mut self, id: ConnId) {
        self.forget_deadlines(id);
        self.queues.close(id);
        let peer = self.peers.remove(id.index());
        match peer.frame {
            Frame::Datagram => self.datagrams.remove(id),
            Frame::Line(_) | Frame::Pause(_) => self.sockets.close(id),
        }
        if let Some(held) = peer.held {
            self.held.give_back(held);
        }
    }

    fn forget_deadlines(&mut self, id: ConnId) {
        let peer = &mut self.peers[id.index()];
        for timer in [peer.deadline.take(), peer.slow.take(), peer.pause.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    /// Asked to stop: nobody is accepted or read any more, everybody is told, and nobody's leaving is.
    fn stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        for listener in 0..self.rests.len() {
            // A listener that stays in the poller would only wake us; we stop either way.
            let _ = self.sockets.listen(listener, false);
        }
        self.rests.clear();
        let open = self.peers.iter().filter(|(_, peer)| !peer.phase.is_closing());
        let open: Vec<ConnId> = open.map(|(key, _)| ConnId(key as u32)).collect();
        for id in open {
            self.queues.send(id, Event::Refused(Refusal::ShuttingDown));
            self.close(id, false);
        }
    }

    /// Accepts whoever knocks, up to so many a turn; the poller reports the others again.
    fn accept(&mut self) {
        self.wake_listeners();
        let mut left = ACCEPTS_A_TURN;
        while let Some(listener) = self.knocking.pop() {
            while left > 0 && !self.stopping {
                let slot = self.peers.vacant_key();
                let id = ConnId(slot as u32);
                match self.sockets.accept(listener, id) {
                    Ok(from) => {
                        self.rests[listener].pause = Duration::ZERO;
                        self.welcome(id, listener, from);
                    }
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.rest_listener(listener);
                        break;
                    }
                }
                left -= 1;
            }
        }
    }

    fn welcome(&mut self, id: ConnId, listener: usize, from: Origin) {
        let (door, others) = (self.doors[listener], self.peers.len());
        let made = self.insert(door);
        debug_assert_eq!(made, id);
        if door.is_for_operators() {
            // No limits: it is open when it is needed most.
            self.hub.make_operator(id);
            return self.queues.send(id, Event::Connected { from });
        }
        if others >= self.limits.max_connections + FAREWELLS {
            return self.drop_now(id);
        }
        if others >= self.limits.max_connections {
            self.queues.send(id, Event::Refused(Refusal::ServerFull));
            return self.close(id, false);
        }
        if door.hears_the_lobby() {
            self.hub.make_listener(id);
        }
        // Not flushed now: it leaves together with the answer to what the newcomer has sent already.
        self.queues.send(id, Event::Connected { from });
        let timeout = self.limits.register_timeout;
        let deadline = timeout.map(|wait| self.timers.arm(self.now + wait, Deadline::Register, id));
        self.peers[id.index()].deadline = deadline;
    }

    /// A new peer, of whom nothing is known but by which door it came.
    fn insert(&mut self, door: Door) -> ConnId {
        let id = ConnId(self.peers.insert(Peer {
            frame: door.frame(),
            dialect: door.dialect(),
            phase: Phase::Open,
            interest: Interest { read: true, write: false },
            held: None,
            deadline: None,
            slow: None,
            pause: None,
        }) as u32);
        self.queues.open(id, door.dialect());
        id
    }

    /// The system gave no connection though somebody knocks: not to be asked again and again.
    fn rest_listener(&mut self, listener: usize) {
        if self.sockets.listen(listener, false).is_ok() {
            let rest = &mut self.rests[listener];
            rest.pause = (rest.pause * 2).clamp(MIN_LISTENER_PAUSE, MAX_LISTENER_PAUSE);
            rest.until = Some(self.now + rest.pause);
        }
    }

    fn wake_listeners(&mut self) {
        for (listener, rest) in self.rests.iter_mut().enumerate() {
            if rest.until.is_some_and(|until| until <= self.now) {
                rest.until = None;
                self.knocking.push(listener);
                // Where this fails, the listener is asked once more after its pause.
                if self.sockets.listen(listener, true).is_err() {
                    rest.until = Some(self.now + rest.pause);
                }
            }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{KIB, MIN_MAX_LINE, MIN_QUEUE};
    use crate::sim::Sim;

    #[test]
    fn a_peer_is_small() {
        assert!(size_of::<Peer>() <= 32, "{}", size_of::<Peer>());
    }

    #[test]
    fn a_datagram_is_no_longer_than_a_line_may_be() {
        let limits = Limits { max_line: MIN_MAX_LINE, ..Limits::default() };
        let mut sim = Sim::with_doors(limits, &[Door::Line, Door::Udp]);
        let (bob, ming) = (sim.connect(), SocketAddr::from(([127, 0, 0, 1], 9)));
        sim.send(bob, "#bob\n");
        sim.send_datagram(1, ming, "L ming");
        sim.run();
        let _ = (sim.lines(bob), sim.datagrams(ming));
        sim.send_datagram(1, ming, format!("C ming {}", "\u{1}".repeat(MIN_MAX_LINE)));
        sim.send_datagram(1, ming, format!("C ming {}", "x".repeat(MIN_MAX_LINE - "C ming ".len())));
        sim.run();
        assert_eq!(sim.lines(bob), ["ming: ".to_owned() + &"x".repeat(MIN_MAX_LINE - "C ming ".len())]);
        assert_eq!(sim.datagrams(ming), [b"!line-too-long 128"]);
    }

    #[test]
    fn a_farewell_does_not_lift_a_queue_above_its_limit() {
        let mut sim = Sim::new(Limits { queue: MIN_QUEUE, ..Limits::default() });
        let (alice, bob) = (sim.connect(), sim.connect());
        sim.send(alice, "#alice\n");
        sim.send(bob, "#bob\n");
        sim.run();
        sim.take(bob);
        sim.stall(bob, 1);
        // All but full: 63 KiB in lines of 1 KiB, and one that leaves 7 bytes; the first byte is taken.
        let said = |bytes: usize| "x".repeat(bytes - "alice: \n".len()) + "\n";
        sim.send(alice, said(KIB).repeat(63) + &said(KIB - 6));
        sim.run();
        sim.stop();
        sim.run();
        sim.stall(bob, usize::MAX);
        sim.run();
        assert_eq!(
            sim.lines(bob),
            [
                "alice: ".to_owned() + said(KIB).trim_end(),
                "!too-slow what was sent to you was not read".into()
            ]
        );
    }
}
