//! [`Sockets`] in memory: they hold the peers' input until it is read, and the server's output. They assert the
//! reactor's part of the contract: no use of a closed connection, no id used twice at a time.

use super::faults::{Fault, Faults};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll::protocol::{ConnId, PeerAddr};
use redpoll::reactor::{NotAccepted, Ready, Sockets};
use redpoll::server::transport::{DatagramPath, Interest, Reading, Shutdown, Transport};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A peer, by the order of connecting from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerNo(pub usize);

/// Maximum delay of a wake-up with [`Fault::LateTimer`].
pub const MAX_LATENESS: Duration = Duration::from_secs(3);

/// Maximum number of consecutive turns without an effect on the sockets or the clock. The throttled remainder of one
/// read of short lines to peers that don't read takes fewer. A server that spins reaches it soon.
const MAX_IDLE_TURNS: usize = 1000;

/// A peer's side of a connection.
#[derive(Debug)]
pub struct SimPeer {
    /// Sent by the peer; the first `read` bytes are read: `read <= input.len()`.
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    /// Bytes sent with `last`, held until the stream ends or more follow.
    corked: Vec<u8>,
    /// All bytes sent with `last` were taken.
    sealed: bool,
    received: usize,
    /// Bytes that the kernel still takes before it blocks.
    room: usize,
    /// Maximum number of bytes that it takes between two waits; `room_now` is the remainder.
    window: usize,
    room_now: usize,
    /// No fault affects this peer.
    steady: bool,
    ended: bool,
    broken: bool,
    /// The listener that it connects to, and its address.
    listener: usize,
    address: IpAddr,
    /// The server's side: the connection and its state.
    id: Option<ConnId>,
    interest: Interest,
    shut: bool,
    closed: bool,
}

impl SimPeer {
    pub(super) fn send(&mut self, bytes: &[u8]) {
        assert!(!self.ended, "a peer that has ended its stream sends no more");
        if self.read == self.input.len() {
            self.input.clear();
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn reset(&mut self) {
        self.broken = true;
    }

    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// Limits the bytes that its kernel takes between two waits: it reads at a limited speed.
    pub fn set_window(&mut self, window: usize) {
        (self.window, self.room_now) = (window, window);
    }

    /// Exempts this peer from faults: it observes the others.
    pub fn make_steady(&mut self) {
        self.steady = true;
    }

    /// Returns whether the connection is reset, by the peer or by a fault.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns the bytes of output that its kernel has taken in all.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Discards what the peer has received and keeps the memory; returns the number of bytes.
    pub fn forget_output(&mut self) -> usize {
        let bytes = self.output.len();
        self.output.clear();
        bytes
    }

    fn uncork(&mut self) {
        self.output.append(&mut self.corked);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.shut || self.closed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn ready(&self) -> Option<Ready> {
        let id = self.id.filter(|_| !self.closed)?;
        let hangup = self.broken || (self.ended && self.shut);
        let bytes = self.read < self.input.len();
        let read = match self.interest.read {
            Reading::Bytes => bytes || self.ended,
            Reading::End => self.ended,
            Reading::Nothing => false,
        };
        let (read, ended) = (hangup || read, hangup || self.ended);
        let write = hangup || (self.interest.write && self.room > 0);
        (read || write).then_some(Ready::Connection { id, read, write, ended, hangup })
    }
}

/// The simulated sockets, clock and terminal.
#[derive(Debug, Default)]
pub struct SimSockets {
    peers: Vec<SimPeer>,
    /// The peer of each connection id.
    owners: Vec<Option<PeerNo>>,
    /// Peers before this one have been accepted.
    accepted: usize,
    /// All peers before this one are closed.
    closed_before: usize,
    schemes: Vec<Scheme>,
    /// By listener: the server watches it neither for connections nor for datagrams.
    unwatched: Vec<bool>,
    /// Datagrams on their way to the server: listener, source, bytes.
    datagrams_in: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    /// Datagrams that the server has sent.
    datagrams_out: Vec<(SocketAddr, Vec<u8>)>,
    /// Typed at the server's terminal and not yet read.
    console: Vec<u8>,
    /// Further events for the next wait.
    extra: Vec<Ready>,
    clock: Time,
    /// The clock doesn't advance beyond this.
    sleep_until: Time,
    asleep: bool,
    faults: Option<Faults>,
    /// Calls of `recv` and of `send` so far.
    pub calls: (usize, usize),
    /// Calls with an effect so far, and their number at the last wait.
    effects: usize,
    effects_before: usize,
    /// Consecutive waits without such a call.
    idle_turns: usize,
}

impl SimSockets {
    pub(super) fn new(schemes: &[Scheme]) -> SimSockets {
        SimSockets {
            schemes: schemes.to_vec(),
            unwatched: vec![false; schemes.len()],
            ..SimSockets::default()
        }
    }

    pub(super) fn push_datagram(&mut self, listener: usize, from: SocketAddr, bytes: &[u8]) {
        self.datagrams_in.push_back((listener, from, bytes.to_vec()));
    }

    pub(super) fn take_datagrams(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        let (matching, others) =
            std::mem::take(&mut self.datagrams_out).into_iter().partition(|(at, _)| *at == to);
        self.datagrams_out = others;
        let matching: Vec<(SocketAddr, Vec<u8>)> = matching;
        matching.into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(super) fn push_console(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }

    pub(super) fn connect(&mut self, listener: usize, address: IpAddr) -> PeerNo {
        self.peers.push(SimPeer {
            listener,
            address,
            input: Vec::new(),
            read: 0,
            output: Vec::new(),
            corked: Vec::new(),
            sealed: false,
            received: 0,
            room: usize::MAX,
            window: usize::MAX,
            room_now: usize::MAX,
            steady: false,
            ended: false,
            broken: false,
            id: None,
            interest: Interest::BYTES,
            shut: false,
            closed: false,
        });
        PeerNo(self.peers.len() - 1)
    }

    /// Returns the peer's side of a connection.
    pub fn peer(&mut self, peer: PeerNo) -> &mut SimPeer {
        &mut self.peers[peer.0]
    }

    /// Returns the connection of a peer after it is accepted and until it is closed.
    #[must_use]
    pub fn id(&self, peer: PeerNo) -> Option<ConnId> {
        self.peers[peer.0].id.filter(|_| !self.peers[peer.0].closed)
    }

    /// Returns whether a peer's connection was ever accepted.
    #[must_use]
    pub fn was_accepted(&self, peer: PeerNo) -> bool {
        self.peers[peer.0].id.is_some()
    }

    /// Sets the faults from now on; returns those before.
    pub fn set_faults(&mut self, faults: Option<Faults>) -> Option<Faults> {
        std::mem::replace(&mut self.faults, faults)
    }

    /// Returns the simulated time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock
    }

    pub(super) fn push_ready(&mut self, ready: Ready) {
        self.extra.push(ready);
    }

    pub(super) fn sleep_until(&mut self, wait: Duration) {
        self.sleep_until = self.clock + wait;
        self.asleep = false;
    }

    pub(super) fn oversleep(&mut self, time: Duration) {
        self.clock = self.clock + time;
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }

    fn happens(&mut self, fault: Fault) -> bool {
        self.faults.as_mut().is_some_and(|faults| faults.happens(fault))
    }

    /// Returns whether a fault occurs now for one peer; false if the peer is exempt.
    fn happens_to(&mut self, owner: usize, fault: Fault) -> bool {
        !self.peers[owner].steady && self.happens(fault)
    }

    /// Returns how many of these bytes are taken: all, or at least 1 if the fault occurs, in half of the cases up to
    /// the end of a line.
    fn some_of(&mut self, owner: usize, bytes: &[u8], fault: Fault) -> usize {
        let happens = self.happens_to(owner, fault);
        let Some(faults) = self.faults.as_mut().filter(|_| happens) else { return bytes.len() };
        let len = 1 + faults.below(bytes.len());
        let line = bytes[..len].iter().rposition(|byte| *byte == b'\n').map(|lf| lf + 1);
        line.filter(|_| faults.below(2) == 0).unwrap_or(len)
    }

    /// Returns whether the next connection to accept is at that listener.
    fn is_next(&self, listener: usize) -> bool {
        self.peers.get(self.accepted).is_some_and(|next| next.listener == listener)
    }

    /// Applies the faults of the poller to the ready events.
    fn inject_faults(&mut self, ready: &mut Vec<Ready>) {
        // A late event is reported again, but a signal is reported once.
        ready.retain(|ready| match ready {
            Ready::Stop => true,
            Ready::Connection { id, .. } => !self.happens_to(self.owner(*id).0, Fault::Late),
            Ready::Listener(_) | Ready::Console => !self.happens(Fault::Late),
        });
        if self.happens(Fault::Spurious) {
            let any = self.faults.as_mut().map_or(0, |faults| faults.below(self.owners.len()));
            let id = ConnId(any as u32);
            let is_reported =
                ready.iter().any(|ready| matches!(ready, Ready::Connection { id: of, .. } if *of == id));
            if !is_reported && self.owners.get(any).is_some_and(Option::is_some) {
                ready.push(Ready::Connection { id, read: true, write: true, ended: false, hangup: false });
            }
        }
        if self.happens(Fault::Shuffled)
            && let Some(faults) = &mut self.faults
        {
            (1..ready.len()).for_each(|last| ready.swap(last, faults.below(last + 1)));
        }
    }

    /// Asserts that the server doesn't spin.
    fn check_idle(&mut self) {
        self.idle_turns = if self.effects > self.effects_before { 0 } else { self.idle_turns + 1 };
        self.effects_before = self.effects;
        assert!(self.idle_turns < MAX_IDLE_TURNS, "the server spins");
    }

    fn owner(&self, id: ConnId) -> PeerNo {
        self.owners[id.index()].expect("the reactor uses open connections only")
    }
}

impl Transport for SimSockets {
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize> {
        self.calls.1 += 1;
        self.effects += 1;
        assert!(!bytes.is_empty(), "a send has bytes");
        let owner = self.owner(id).0;
        let peer = &self.peers[owner];
        assert!(!peer.shut && !peer.sealed, "nothing is sent after the last bytes or the shutdown");
        match bytes.len().min(peer.room).min(peer.room_now) {
            _ if peer.broken => Err(ErrorKind::BrokenPipe.into()),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.happens_to(owner, Fault::BlockedSend) => Err(ErrorKind::WouldBlock.into()),
            max => {
                let mut len = self.some_of(owner, &bytes[..max], Fault::ShortSend);
                let is_reset = self.happens_to(owner, Fault::ResetInSend);
                if is_reset {
                    len = self.faults.as_mut().map_or(len, |faults| faults.below(len));
                }
                let peer = &mut self.peers[owner];
                if peer.room != usize::MAX {
                    peer.room -= len;
                }
                if peer.window != usize::MAX {
                    peer.room_now -= len;
                }
                peer.received += len;
                peer.sealed = last && len == bytes.len();
                if last {
                    peer.corked.extend_from_slice(&bytes[..len]);
                } else {
                    peer.uncork();
                    peer.output.extend_from_slice(&bytes[..len]);
                }
                peer.broken |= is_reset;
                if is_reset { Err(ErrorKind::ConnectionReset.into()) } else { Ok(len) }
            }
        }
    }

    fn shutdown(&mut self, id: ConnId) -> Shutdown {
        let owner = self.owner(id).0;
        self.effects += 1;
        self.peers[owner].uncork();
        assert!(!std::mem::replace(&mut self.peers[owner].shut, true), "a stream is shut down once");
        Shutdown::Done
    }

    fn close(&mut self, id: ConnId) {
        let owner = self.owner(id).0;
        self.effects += 1;
        let peer = &mut self.peers[owner];
        // With unread input the kernel resets the connection, and the corked bytes are lost.
        if peer.read == peer.input.len() {
            peer.uncork();
        }
        peer.closed = true;
        self.owners[id.index()] = None;
    }

    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
        let owner = self.owner(id).0;
        assert_ne!(self.peers[owner].interest, interest, "no system call without a change");
        self.effects += 1;
        self.peers[owner].interest = interest;
        if self.happens_to(owner, Fault::Unwatched) {
            self.peers[owner].broken = true;
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr> {
        let PeerNo(owner) = self.owner(id);
        if self.schemes[self.peers[owner].listener] == Scheme::Unix {
            return Some(PeerAddr::Unix);
        }
        // Ports begin where the system's own would.
        let port = 50_001 + (owner % 10_000) as u16;
        Some(PeerAddr::Inet(SocketAddr::new(self.peers[owner].address, port)))
    }

    fn send_to(&mut self, path: DatagramPath, bytes: &[u8]) -> io::Result<()> {
        self.effects += 1;
        if self.happens(Fault::BlockedSend) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.datagrams_out.push((path.source, bytes.to_vec()));
        Ok(())
    }
}

impl Sockets for SimSockets {
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<Time> {
        self.check_idle();
        ready.append(&mut self.extra);
        // Peers are accepted in the order of connecting, across all listeners.
        if let Some(next) = self.peers.get(self.accepted)
            && !self.unwatched[next.listener]
        {
            ready.push(Ready::Listener(next.listener));
        }
        if let Some((listener, ..)) = self.datagrams_in.front()
            && !self.unwatched[*listener]
        {
            ready.push(Ready::Listener(*listener));
        }
        if !self.console.is_empty() {
            ready.push(Ready::Console);
        }
        while self.peers.get(self.closed_before).is_some_and(|peer| peer.closed) {
            self.closed_before += 1;
        }
        for peer in &mut self.peers[self.closed_before..self.accepted] {
            peer.room_now = peer.window;
            ready.extend(peer.ready());
        }
        if !ready.is_empty() {
            self.inject_faults(ready);
            return Ok(self.clock);
        }
        let wake = timeout.map(|timeout| self.clock + timeout);
        match wake {
            Some(wake) if wake <= self.sleep_until => {
                self.effects += usize::from(wake > self.clock);
                self.clock = wake;
                if timeout != Some(Duration::ZERO) && self.happens(Fault::LateTimer) {
                    let max = MAX_LATENESS.as_millis() as usize;
                    let late = self.faults.as_mut().map_or(0, |faults| faults.below(max));
                    self.clock = self.clock + Duration::from_millis(late as u64);
                }
            }
            _ => {
                self.clock = self.clock.max(self.sleep_until);
                self.asleep = true;
            }
        }
        Ok(self.clock)
    }

    fn accept(&mut self, listener: usize, id: ConnId) -> Result<PeerAddr, NotAccepted> {
        if !self.is_next(listener) {
            return Err(NotAccepted::Nobody);
        }
        self.effects += 1;
        if self.happens_to(self.accepted, Fault::NoMemory) {
            return Err(NotAccepted::Failed);
        }
        if self.happens_to(self.accepted, Fault::NoDescriptor) {
            return Err(NotAccepted::NoDescriptor);
        }
        if self.happens_to(self.accepted, Fault::Aborted) {
            let gone = &mut self.peers[self.accepted];
            (gone.broken, gone.closed) = (true, true);
            self.accepted += 1;
            return Err(NotAccepted::Gone);
        }
        if self.owners.len() <= id.index() {
            self.owners.resize(id.index() + 1, None);
        }
        assert!(self.owners[id.index()].is_none(), "an id is used twice at a time");
        self.owners[id.index()] = Some(PeerNo(self.accepted));
        self.peers[self.accepted].id = Some(id);
        self.accepted += 1;
        Ok(self.peer_addr(id).expect("it is open"))
    }

    fn reject(&mut self, listener: usize, line: &[u8]) -> io::Result<()> {
        if !self.is_next(listener) || self.happens_to(self.accepted, Fault::NoSpare) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let peer = &mut self.peers[self.accepted];
        peer.output.extend_from_slice(line);
        peer.closed = true;
        self.accepted += 1;
        Ok(())
    }

    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a kernel would return 0, the end of the stream");
        self.calls.0 += 1;
        self.effects += 1;
        let owner = self.owner(id).0;
        if self.happens_to(owner, Fault::ResetInRead) {
            self.peers[owner].broken = true;
        }
        let peer = &self.peers[owner];
        let available = peer.input.len() - peer.read;
        match available.min(buffer.len()) {
            _ if peer.broken => Err(ErrorKind::ConnectionReset.into()),
            0 if peer.ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.happens_to(owner, Fault::EmptyRead) => Err(ErrorKind::WouldBlock.into()),
            max => {
                let peer = &self.peers[owner];
                buffer[..max].copy_from_slice(&peer.input[peer.read..peer.read + max]);
                let len = self.some_of(owner, &buffer[..max], Fault::CutRead);
                self.peers[owner].read += len;
                Ok(len)
            }
        }
    }

    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, DatagramPath)> {
        if self.datagrams_in.front().is_none_or(|(to, ..)| *to != listener) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.effects += 1;
        let (_, source, bytes) = self.datagrams_in.remove(0).expect("a first datagram is there");
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok((len, DatagramPath { listener, source, local: None }))
    }

    fn set_listening(&mut self, listener: usize, on: bool) -> io::Result<()> {
        self.effects += 1;
        if on && self.happens(Fault::StubbornListener) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.unwatched[listener] = !on;
        Ok(())
    }

    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.effects += 1;
        let len = self.console.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.console[..len]);
        self.console.drain(..len);
        Ok(len)
    }

    fn trim(&mut self) {}
}
