//! [`Sockets`] in memory: what peers send waits here, what the server sends is kept here. They check that the reactor
//! keeps its side of the bargain: no use of a closed connection, no id given twice.

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

/// A peer: the how-manieth that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerNo(pub usize);

/// How much later than it asked the server may wake up.
pub const MAX_LATENESS: Duration = Duration::from_secs(3);

/// Turns in a row in which the server does nothing to the world, and time doesn't pass: what one read holds back of short
/// lines to peers that don't read is as good as sent after fewer. A spinning turn reaches it soon.
const MAX_IDLE_TURNS: usize = 1000;

/// A peer's side of a connection.
#[derive(Debug)]
pub struct SimPeer {
    /// Sent by the peer and not yet read; `read` bytes of it are.
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    /// The last bytes of a stream, which wait for its end or for more.
    corked: Vec<u8>,
    /// All of the last was taken.
    sealed: bool,
    received: usize,
    /// Bytes that the kernel takes before it blocks.
    room: usize,
    /// Of those, what it takes between two waits; `room_now` is left of it.
    window: usize,
    room_now: usize,
    /// No fault is for this peer.
    steady: bool,
    ended: bool,
    broken: bool,
    /// Where it knocked, and where from.
    door: usize,
    address: IpAddr,
    /// The server's side: which connection it is, and how far it got.
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

    /// From now on its kernel takes at most so many bytes between two waits: it reads, but not at any speed.
    pub fn set_window(&mut self, window: usize) {
        (self.window, self.room_now) = (window, window);
    }

    /// From now on no fault is for this peer: it is there to watch.
    pub fn make_steady(&mut self) {
        self.steady = true;
    }

    /// Whether the connection is reset, by the peer or by a fault.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Bytes that it was sent and its kernel took, all in all.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Throws away what the peer has got, keeping the memory; how many bytes.
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

/// The simulated world.
#[derive(Debug, Default)]
pub struct SimSockets {
    peers: Vec<SimPeer>,
    /// The peer of each connection id.
    owners: Vec<Option<PeerNo>>,
    /// Peers before this one have been accepted.
    accepted: usize,
    /// Peers before this one are closed, every one of them.
    closed_before: usize,
    doors: Vec<Scheme>,
    /// By door: the server looks neither for newcomers nor for datagrams there.
    deaf: Vec<bool>,
    /// Datagrams on their way to the server: the door, where from, what.
    datagrams_in: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    /// Datagrams that the server has sent.
    datagrams_out: Vec<(SocketAddr, Vec<u8>)>,
    /// What was typed at the server's terminal and not yet read.
    console: Vec<u8>,
    /// What is reported next besides.
    extra: Vec<Ready>,
    clock: Time,
    /// The clock doesn't go further than this.
    sleep_until: Time,
    asleep: bool,
    faults: Option<Faults>,
    /// Calls of recv and of send so far.
    pub calls: (usize, usize),
    /// All calls that do something to the world so far, and how many there had been at the last wait.
    deeds: usize,
    deeds_before: usize,
    /// Waits since then.
    idle_turns: usize,
}

impl SimSockets {
    pub(super) fn new(doors: &[Scheme]) -> SimSockets {
        SimSockets { doors: doors.to_vec(), deaf: vec![false; doors.len()], ..SimSockets::default() }
    }

    pub(super) fn push_datagram(&mut self, door: usize, from: SocketAddr, bytes: &[u8]) {
        self.datagrams_in.push_back((door, from, bytes.to_vec()));
    }

    pub(super) fn take_datagrams(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        let (theirs, others) =
            std::mem::take(&mut self.datagrams_out).into_iter().partition(|(at, _)| *at == to);
        self.datagrams_out = others;
        let theirs: Vec<(SocketAddr, Vec<u8>)> = theirs;
        theirs.into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(super) fn push_console(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }

    pub(super) fn connect(&mut self, door: usize, address: IpAddr) -> PeerNo {
        self.peers.push(SimPeer {
            door,
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

    /// The peer's side of a connection.
    pub fn peer(&mut self, peer: PeerNo) -> &mut SimPeer {
        &mut self.peers[peer.0]
    }

    /// The connection that a peer has, once it is accepted.
    #[must_use]
    pub fn id(&self, peer: PeerNo) -> Option<ConnId> {
        self.peers[peer.0].id.filter(|_| !self.peers[peer.0].closed)
    }

    /// Whether a peer's connection was ever accepted.
    #[must_use]
    pub fn was_accepted(&self, peer: PeerNo) -> bool {
        self.peers[peer.0].id.is_some()
    }

    /// How often the world goes wrong from now on; how often it did before.
    pub fn set_faults(&mut self, faults: Option<Faults>) -> Option<Faults> {
        std::mem::replace(&mut self.faults, faults)
    }

    /// The time.
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

    /// The same, where it would be for this peer.
    fn happens_to(&mut self, owner: usize, fault: Fault) -> bool {
        !self.peers[owner].steady && self.happens(fault)
    }

    /// How many of these bytes are taken: all, or some where the fault happens, at least 1; as often as not up to where a
    /// line ends.
    fn some_of(&mut self, owner: usize, bytes: &[u8], fault: Fault) -> usize {
        let happens = self.happens_to(owner, fault);
        let Some(faults) = self.faults.as_mut().filter(|_| happens) else { return bytes.len() };
        let len = 1 + faults.below(bytes.len());
        let line = bytes[..len].iter().rposition(|byte| *byte == b'\n').map(|lf| lf + 1);
        line.filter(|_| faults.below(2) == 0).unwrap_or(len)
    }

    /// Returns whether the next connection to accept is at that listener.
    fn knocks(&self, listener: usize) -> bool {
        self.peers.get(self.accepted).is_some_and(|next| next.door == listener)
    }

    /// What the poller makes of what is ready.
    fn garble(&mut self, ready: &mut Vec<Ready>) {
        // What is late comes again, but a signal comes once.
        ready.retain(|ready| match ready {
            Ready::Stop => true,
            Ready::Connection { id, .. } => !self.happens_to(self.owner(*id).0, Fault::Late),
            Ready::Listener(_) | Ready::Console => !self.happens(Fault::Late),
        });
        if self.happens(Fault::Spurious) {
            let any = self.faults.as_mut().map_or(0, |faults| faults.below(self.owners.len()));
            let id = ConnId(any as u32);
            let is_told =
                ready.iter().any(|ready| matches!(ready, Ready::Connection { id: of, .. } if *of == id));
            if !is_told && self.owners.get(any).is_some_and(Option::is_some) {
                ready.push(Ready::Connection { id, read: true, write: true, ended: false, hangup: false });
            }
        }
        if self.happens(Fault::Shuffled)
            && let Some(faults) = &mut self.faults
        {
            (1..ready.len()).for_each(|last| ready.swap(last, faults.below(last + 1)));
        }
    }

    /// Asserts that the server doesn't turn round and round.
    fn check_idle(&mut self) {
        self.idle_turns = if self.deeds > self.deeds_before { 0 } else { self.idle_turns + 1 };
        self.deeds_before = self.deeds;
        assert!(self.idle_turns < MAX_IDLE_TURNS, "the server spins");
    }

    fn owner(&self, id: ConnId) -> PeerNo {
        self.owners[id.index()].expect("the reactor uses open connections only")
    }
}

impl Transport for SimSockets {
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize> {
        self.calls.1 += 1;
        self.deeds += 1;
        assert!(!bytes.is_empty(), "nothing is sent for nothing");
        let owner = self.owner(id).0;
        let peer = &self.peers[owner];
        assert!(!peer.shut && !peer.sealed, "nothing is sent behind the last, or the end of the stream");
        match bytes.len().min(peer.room).min(peer.room_now) {
            _ if peer.broken => Err(ErrorKind::BrokenPipe.into()),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.happens_to(owner, Fault::BlockedSend) => Err(ErrorKind::WouldBlock.into()),
            most => {
                let mut len = self.some_of(owner, &bytes[..most], Fault::ShortSend);
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
        self.deeds += 1;
        self.peers[owner].uncork();
        assert!(!std::mem::replace(&mut self.peers[owner].shut, true), "one end is enough");
        Shutdown::Done
    }

    fn close(&mut self, id: ConnId) {
        let owner = self.owner(id).0;
        self.deeds += 1;
        let peer = &mut self.peers[owner];
        // With input unread the kernel resets the connection, and what it has kept back is gone.
        if peer.read == peer.input.len() {
            peer.uncork();
        }
        peer.closed = true;
        self.owners[id.index()] = None;
    }

    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
        let owner = self.owner(id).0;
        assert_ne!(self.peers[owner].interest, interest, "no system call to change nothing");
        self.deeds += 1;
        self.peers[owner].interest = interest;
        if self.happens_to(owner, Fault::Unwatched) {
            self.peers[owner].broken = true;
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr> {
        let PeerNo(owner) = self.owner(id);
        if self.doors[self.peers[owner].door] == Scheme::Unix {
            return Some(PeerAddr::Unix);
        }
        // Ports begin where the system's own would.
        let port = 50_001 + (owner % 10_000) as u16;
        Some(PeerAddr::Inet(SocketAddr::new(self.peers[owner].address, port)))
    }

    fn send_to(&mut self, path: DatagramPath, bytes: &[u8]) -> io::Result<()> {
        self.deeds += 1;
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
        // Peers are accepted in the order in which they knocked, wherever that was.
        if let Some(next) = self.peers.get(self.accepted)
            && !self.deaf[next.door]
        {
            ready.push(Ready::Listener(next.door));
        }
        if let Some((door, ..)) = self.datagrams_in.front()
            && !self.deaf[*door]
        {
            ready.push(Ready::Listener(*door));
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
            self.garble(ready);
            return Ok(self.clock);
        }
        let wake = timeout.map(|timeout| self.clock + timeout);
        match wake {
            Some(wake) if wake <= self.sleep_until => {
                self.deeds += usize::from(wake > self.clock);
                self.clock = wake;
                if timeout != Some(Duration::ZERO) && self.happens(Fault::LateTimer) {
                    let most = MAX_LATENESS.as_millis() as usize;
                    let late = self.faults.as_mut().map_or(0, |faults| faults.below(most));
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
        if !self.knocks(listener) {
            return Err(NotAccepted::Nobody);
        }
        self.deeds += 1;
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
        assert!(self.owners[id.index()].is_none(), "an id is given away twice");
        self.owners[id.index()] = Some(PeerNo(self.accepted));
        self.peers[self.accepted].id = Some(id);
        self.accepted += 1;
        Ok(self.peer_addr(id).expect("it is open"))
    }

    fn reject(&mut self, listener: usize, line: &[u8]) -> io::Result<()> {
        if !self.knocks(listener) || self.happens_to(self.accepted, Fault::NoSpare) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let peer = &mut self.peers[self.accepted];
        peer.output.extend_from_slice(line);
        peer.closed = true;
        self.accepted += 1;
        Ok(())
    }

    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a kernel answers by 0, which would be the end of the stream");
        self.calls.0 += 1;
        self.deeds += 1;
        let owner = self.owner(id).0;
        if self.happens_to(owner, Fault::ResetInRead) {
            self.peers[owner].broken = true;
        }
        let peer = &self.peers[owner];
        let there = peer.input.len() - peer.read;
        match there.min(buffer.len()) {
            _ if peer.broken => Err(ErrorKind::ConnectionReset.into()),
            0 if peer.ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.happens_to(owner, Fault::EmptyRead) => Err(ErrorKind::WouldBlock.into()),
            most => {
                let peer = &self.peers[owner];
                buffer[..most].copy_from_slice(&peer.input[peer.read..peer.read + most]);
                let len = self.some_of(owner, &buffer[..most], Fault::CutRead);
                self.peers[owner].read += len;
                Ok(len)
            }
        }
    }

    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, DatagramPath)> {
        if self.datagrams_in.front().is_none_or(|(door, ..)| *door != listener) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.deeds += 1;
        let (_, source, bytes) = self.datagrams_in.remove(0).expect("there is a first");
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok((len, DatagramPath { listener, source, local: None }))
    }

    fn set_listening(&mut self, listener: usize, on: bool) -> io::Result<()> {
        self.deeds += 1;
        if on && self.happens(Fault::StubbornListener) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.deaf[listener] = !on;
        Ok(())
    }

    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deeds += 1;
        let len = self.console.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.console[..len]);
        self.console.drain(..len);
        Ok(len)
    }

    fn trim(&mut self) {}
}
