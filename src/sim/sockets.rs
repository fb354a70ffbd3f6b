//! [`Sockets`] in memory: what peers send waits here, what the server sends is kept here. They check that the reactor
//! keeps its side of the bargain: no use of a closed connection, no id given twice.

use super::rng::Rng;
use crate::door::Door;
use crate::message::{ConnId, Origin};
use crate::reactor::{Interest, NotAccepted, Reading, Ready, Sockets};
use crate::timers::Time;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A peer: the how-manieth that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerNo(pub usize);

/// How often the world goes wrong, in percent of the calls.
#[derive(Debug, Clone)]
pub struct Faults {
    /// What decides.
    pub rng: Rng,
    /// A read gives only some of what is there.
    pub cut_reads: usize,
    /// A read gives nothing though something is there.
    pub empty_reads: usize,
    /// A send takes only some of what it is given.
    pub short_sends: usize,
    /// A send takes nothing though there is room.
    pub blocked_sends: usize,
    /// Something ready isn't reported this time.
    pub late: usize,
    /// Accepting fails for want of memory.
    pub accepts: usize,
    /// The same for want of descriptors.
    pub descriptors: usize,
}

impl Faults {
    /// Nothing goes wrong, but for what is set besides.
    #[must_use]
    pub fn none() -> Faults {
        let rng = Rng::new(0);
        Faults {
            rng,
            cut_reads: 0,
            empty_reads: 0,
            short_sends: 0,
            blocked_sends: 0,
            late: 0,
            accepts: 0,
            descriptors: 0,
        }
    }

    /// All kinds by which nobody is turned away, often enough to meet each other.
    #[must_use]
    pub fn plenty(seed: u64) -> Faults {
        Faults {
            rng: Rng::new(seed),
            cut_reads: 50,
            empty_reads: 10,
            short_sends: 30,
            blocked_sends: 10,
            late: 20,
            accepts: 5,
            descriptors: 0,
        }
    }
}

/// A peer's side of a connection.
#[derive(Debug)]
pub struct SimPeer {
    /// Sent by the peer and not yet read; `read` bytes of it are.
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    /// Bytes that the kernel takes before it blocks.
    room: usize,
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

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Throws away what the peer has got, keeping the memory; how many bytes.
    pub fn forget_output(&mut self) -> usize {
        let bytes = self.output.len();
        self.output.clear();
        bytes
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
    /// Whose connection an id is.
    owners: Vec<Option<PeerNo>>,
    /// Peers before this one have been accepted.
    accepted: usize,
    /// Peers before this one are closed, every one of them.
    closed_before: usize,
    doors: Vec<Door>,
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
}

impl SimSockets {
    pub(super) fn new(doors: &[Door]) -> SimSockets {
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
            room: usize::MAX,
            ended: false,
            broken: false,
            id: None,
            interest: Interest { read: Reading::Bytes, write: false },
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
    pub(super) fn was_accepted(&self, peer: PeerNo) -> bool {
        self.peers[peer.0].id.is_some()
    }

    /// How often the world goes wrong from now on.
    pub fn set_faults(&mut self, faults: Option<Faults>) {
        self.faults = faults;
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

    fn chance(&mut self, percent: impl Fn(&Faults) -> usize) -> bool {
        self.faults.as_mut().is_some_and(|faults| {
            let percent = percent(faults);
            faults.rng.chance(percent)
        })
    }

    /// `len`, or some of it where the faults say so; at least 1.
    fn some_of(&mut self, len: usize, percent: impl Fn(&Faults) -> usize) -> usize {
        match self.chance(percent) {
            true => self.faults.as_mut().map_or(len, |faults| 1 + faults.rng.below(len)),
            false => len,
        }
    }

    /// Whether the next who is to be accepted knocks there.
    fn knocks(&self, listener: usize) -> bool {
        self.peers.get(self.accepted).is_some_and(|next| next.door == listener)
    }

    fn owner(&self, id: ConnId) -> PeerNo {
        self.owners[id.index()].expect("the reactor uses open connections only")
    }
}

impl Sockets for SimSockets {
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
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
        ready.extend(self.peers[self.closed_before..self.accepted].iter().filter_map(SimPeer::ready));
        if !ready.is_empty() {
            if self.faults.is_some() {
                // What is late comes again, but a signal comes once.
                ready.retain(|ready| *ready == Ready::Stop || !self.chance(|faults| faults.late));
            }
            return Ok(());
        }
        let wake = timeout.map(|timeout| self.clock + timeout);
        match wake {
            Some(wake) if wake <= self.sleep_until => self.clock = wake,
            _ => {
                self.clock = self.clock.max(self.sleep_until);
                self.asleep = true;
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize, id: ConnId) -> Result<Origin, NotAccepted> {
        if !self.knocks(listener) {
            return Err(NotAccepted::Nobody);
        }
        if self.chance(|faults| faults.accepts) {
            return Err(NotAccepted::Failed);
        }
        if self.chance(|faults| faults.descriptors) {
            return Err(NotAccepted::NoDescriptor);
        }
        if self.owners.len() <= id.index() {
            self.owners.resize(id.index() + 1, None);
        }
        assert!(self.owners[id.index()].is_none(), "an id is given away twice");
        self.owners[id.index()] = Some(PeerNo(self.accepted));
        self.peers[self.accepted].id = Some(id);
        self.accepted += 1;
        Ok(self.origin(id).expect("it is open"))
    }

    fn origin(&self, id: ConnId) -> Option<Origin> {
        let PeerNo(owner) = self.owner(id);
        if self.doors[self.peers[owner].door] == Door::Unix {
            return Some(Origin::Unix);
        }
        // Ports begin where the system's own would.
        let port = 50_001 + (owner % 10_000) as u16;
        Some(Origin::Inet(SocketAddr::new(self.peers[owner].address, port)))
    }

    fn turn_away(&mut self, listener: usize, farewell: &[u8]) -> io::Result<()> {
        if !self.knocks(listener) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let peer = &mut self.peers[self.accepted];
        peer.output.extend_from_slice(farewell);
        peer.closed = true;
        self.accepted += 1;
        Ok(())
    }

    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.0 += 1;
        let owner = self.owner(id).0;
        let peer = &self.peers[owner];
        let there = peer.input.len() - peer.read;
        match there.min(buffer.len()) {
            _ if peer.broken => Err(ErrorKind::ConnectionReset.into()),
            0 if peer.ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.chance(|faults| faults.empty_reads) => Err(ErrorKind::WouldBlock.into()),
            most => {
                let len = self.some_of(most, |faults| faults.cut_reads);
                let peer = &mut self.peers[owner];
                buffer[..len].copy_from_slice(&peer.input[peer.read..peer.read + len]);
                peer.read += len;
                Ok(len)
            }
        }
    }

    fn send(&mut self, id: ConnId, bytes: &[u8]) -> io::Result<usize> {
        self.calls.1 += 1;
        assert!(!bytes.is_empty(), "nothing is sent for nothing");
        let owner = self.owner(id).0;
        let peer = &self.peers[owner];
        assert!(!peer.shut, "nothing is sent behind the end of the stream");
        match bytes.len().min(peer.room) {
            _ if peer.broken => Err(ErrorKind::BrokenPipe.into()),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ if self.chance(|faults| faults.blocked_sends) => Err(ErrorKind::WouldBlock.into()),
            most => {
                let len = self.some_of(most, |faults| faults.short_sends);
                let peer = &mut self.peers[owner];
                if peer.room != usize::MAX {
                    peer.room -= len;
                }
                peer.output.extend_from_slice(&bytes[..len]);
                Ok(len)
            }
        }
    }

    fn watch(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
        let owner = self.owner(id).0;
        assert_ne!(self.peers[owner].interest, interest, "no system call to change nothing");
        self.peers[owner].interest = interest;
        Ok(())
    }

    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        if self.datagrams_in.front().is_none_or(|(door, ..)| *door != listener) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let (_, from, bytes) = self.datagrams_in.remove(0).expect("there is a first");
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok((len, from))
    }

    fn send_to(&mut self, _listener: usize, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        if self.chance(|faults| faults.blocked_sends) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.datagrams_out.push((to, bytes.to_vec()));
        Ok(())
    }

    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.console.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.console[..len]);
        self.console.drain(..len);
        Ok(len)
    }

    fn listen(&mut self, listener: usize, on: bool) -> io::Result<()> {
        self.deaf[listener] = !on;
        Ok(())
    }

    fn shut(&mut self, id: ConnId) {
        let owner = self.owner(id).0;
        assert!(!std::mem::replace(&mut self.peers[owner].shut, true), "one end is enough");
    }

    fn close(&mut self, id: ConnId) {
        let owner = self.owner(id).0;
        self.peers[owner].closed = true;
        self.owners[id.index()] = None;
    }

    fn rest(&mut self) {}

    fn now(&self) -> Time {
        self.clock
    }
}
