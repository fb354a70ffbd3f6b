//! The fuzz body for the whole server: several connections with any bytes in any slices, that stall, half-close and
//! break while time passes. Each line that a client receives is checked against the input of all clients
//! (`checker.rs`).

mod checker;

use super::client::{Client, Source};
use super::script::Script;
use crate::{Faults, Sim};
use bstr::ByteSlice;
use redpoll::limits::{KIB, Limits, MAX_SHORT_MESSAGE, MAX_SILENCE, MIN_MAX_LINE, MIN_QUEUE};
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Slots of a script for clients; each holds one connection at a time.
const SLOTS: usize = 6;

/// Connections in one session: one more than the server takes, and some for clients that reconnect.
const MAX_CLIENTS: usize = 12;

/// Total input of all clients, with [`LINE_COST`] for each line: enough to fill eight times the queue of a client that
/// doesn't read, and no more, so that a session takes little time.
const MAX_SENT: usize = 32 * KIB;

/// The cost of a line in the total, besides its bytes.
const LINE_COST: usize = 32;

/// First bytes of a script that select a small `queue_total` and no faults: a connection that doesn't read may be
/// closed at any time, and no other.
const TIGHT: RangeInclusive<u8> = 0xC0..=0xF4;

/// That `queue_total`: the chunks of one queue and some more.
const TIGHT_TOTAL: usize = 4 * MIN_QUEUE;

/// The actions of a script. All are bytes that UTF-8 never holds, so that a script is readable, and a fuzzer can cut it
/// anywhere. All other bytes are the input of the current client, in slices between the actions.
mod action {
    /// The milliseconds of the next byte pass. UTF-8 never holds this byte either.
    pub const MILLISECONDS: u8 = 0xC1;
    /// The slot of the next byte is the current one; if it is empty, a client connects with the scheme of that byte.
    pub const SELECT: u8 = 0xF5;
    /// The same with a new connection; the former one stays open.
    pub const CONNECT: u8 = 0xF6;
    /// One turn.
    pub const TURN: u8 = 0xF7;
    /// Turns until there is nothing to do.
    pub const RUN: u8 = 0xF8;
    /// The client stops reading: its kernel takes eight times the next byte more.
    pub const STALL: u8 = 0xF9;
    /// The client reads again.
    pub const READ: u8 = 0xFA;
    /// The client ends its stream.
    pub const END: u8 = 0xFB;
    /// The client resets its connection.
    pub const RESET: u8 = 0xFC;
    /// A quarter of a second passes, as many times as the next byte says.
    pub const PASS: u8 = 0xFD;
    /// The last slice is sent again, as many times as the next byte says.
    pub const REPEAT: u8 = 0xFE;
    /// The server is asked to stop.
    pub const STOP: u8 = 0xFF;
}

/// For any input and actions of the clients:
///
/// - nothing panics, the reactor's invariants hold after each action, queues are within their limit;
/// - all output is valid UTF-8 without controls, in lines within the limit that the protocol's grammar has; a stream
///   ends within a line only if its connection broke, or was closed while it didn't read;
/// - no line is forged or invented: a message or presence with a name comes from a client that has requested that
///   name and has sent this text to the recipient or to a room that it joined. Each is received at most once and in
///   the order of its sender;
/// - no request is lost: pings, requests for help, lines too long and lines with NUL are each answered once, in order;
///   all of them, unless the connection was disturbed;
/// - no direct message is queued after more than half of a queue;
/// - a final line is the last output;
/// - the output to a tutorial's client is in the table of `dialects.md`, at most 1024 bytes per message; a classic
///   client receives no room lines;
/// - only clients of the operators' listener receive answers to its commands; an announcement or a kick's reason comes
///   from one of them; the server stops only on request;
/// - in the end, when all clients read and end their streams, all connections are closed and the server holds nothing.
///
/// The input: a byte that is 0 for no faults, or else the seed of the faults. If it is an action, lines may be
/// longer; if it begins a multi-byte UTF-8 character, `queue_total` is small and there are no faults. Then text and
/// the actions of `action`.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_session(data: &[u8]) {
    let mut script = Script::new(data);
    let mut session = Session::new(script.byte().unwrap_or(0));
    let mut slice = Vec::new();
    while let Some(byte) = script.byte() {
        if byte < action::SELECT && byte != action::MILLISECONDS {
            slice.push(byte);
            continue;
        }
        if !slice.is_empty() {
            session.send(&slice);
            session.last = std::mem::take(&mut slice);
        }
        session.act(byte, &mut script);
        session.check();
        if session.sim.running() == Running::Done {
            break;
        }
    }
    session.send(&slice);
    session.end();
}

/// A server and its clients.
struct Session {
    sim: Sim,
    max_line: usize,
    /// Clients with a connection; the others use datagrams.
    connected: usize,
    clients: Vec<Client>,
    /// The index of the client in each slot.
    slots: [Option<usize>; SLOTS],
    slot: usize,
    /// The index in [`Scheme::ALL`] for the next connection.
    scheme: usize,
    /// The last slice that was sent.
    last: Vec<u8>,
    /// Bytes that may still be sent.
    budget: usize,
    stopped: bool,
    faulty: bool,
    tight: bool,
}

impl Session {
    fn new(seed: u8) -> Session {
        let tight = TIGHT.contains(&seed);
        let faulty = seed != 0 && !tight;
        let max_line = if seed < action::SELECT { MIN_MAX_LINE } else { KIB };
        let limits = Limits {
            max_line,
            queue: MIN_QUEUE,
            queue_total: if tight { TIGHT_TOTAL } else { Limits::default().queue_total },
            max_connections: SLOTS - 1,
            max_rooms: Some(4),
            max_rooms_per_connection: Some(3),
            quiet_above: Some(3),
            // The checks are about content, not time.
            rate: None,
            ..Limits::default()
        };
        let mut sim = Sim::with_schemes(limits, &Scheme::ALL);
        if faulty {
            sim.sockets().set_faults(Some(Faults::plenty(u64::from(seed))));
        }
        Session {
            sim,
            max_line,
            connected: 0,
            clients: Vec::new(),
            slots: [None; SLOTS],
            slot: 0,
            scheme: 0,
            last: Vec::new(),
            budget: MAX_SENT,
            stopped: false,
            faulty,
            tight,
        }
    }

    fn act(&mut self, action: u8, script: &mut Script<'_>) {
        match action {
            action::SELECT => {
                self.select(script);
                self.current();
            }
            action::CONNECT => {
                self.select(script);
                if self.clients.len() < MAX_CLIENTS {
                    self.slots[self.slot] = None;
                }
                self.current();
            }
            action::TURN => self.sim.turn(),
            action::RUN => {
                self.sim.run();
            }
            action::STALL => self.stall(8 * script.below(256)),
            action::READ => self.read(),
            action::END => self.end_stream(),
            action::RESET => {
                let Some(at) = self.current() else { return };
                if let Source::Peer(peer) = self.clients[at].source {
                    self.clients[at].reset = true;
                    self.sim.reset(peer);
                }
            }
            action::PASS => {
                let quarters = script.below(256) as u32;
                self.pass(Duration::from_millis(250) * quarters);
            }
            action::MILLISECONDS => {
                let millis = script.below(256) as u64;
                self.pass(Duration::from_millis(millis));
            }
            action::REPEAT => {
                let slice = std::mem::take(&mut self.last);
                (0..script.below(256)).for_each(|_| self.send(&slice));
                self.last = slice;
            }
            action::STOP => {
                self.stopped = true;
                self.sim.stop();
            }
            // Any other byte is sent.
            ..action::SELECT => {}
        }
    }

    fn select(&mut self, script: &mut Script<'_>) {
        let choice = script.below(256);
        self.slot = choice % SLOTS;
        self.scheme = choice / SLOTS % Scheme::ALL.len();
    }

    fn pass(&mut self, time: Duration) {
        let stalled = self.clients.iter_mut().filter(|client| client.stalled);
        stalled.for_each(|client| client.may_be_closed = true);
        self.sim.pass(time);
    }

    /// Returns the index of the client in the current slot, which connects if needed.
    fn current(&mut self) -> Option<usize> {
        if self.slots[self.slot].is_none() && self.clients.len() < MAX_CLIENTS {
            self.slots[self.slot] = Some(self.clients.len());
            let source = if Scheme::ALL[self.scheme] == Scheme::Udp {
                Source::Address(SocketAddr::from(([127, 0, 0, 2], 40_000 + self.clients.len() as u16)))
            } else {
                self.connected += 1;
                Source::Peer(self.sim.connect_at(self.scheme))
            };
            self.clients.push(Client::new(Scheme::ALL[self.scheme], source, self.max_line));
        }
        self.slots[self.slot]
    }

    fn send(&mut self, slice: &[u8]) {
        let cost = slice.len() + LINE_COST * slice.iter().filter(|byte| **byte == b'\n').count();
        let Some(at) = self.current() else { return };
        if slice.is_empty() || cost > self.budget || self.clients[at].ended || self.clients[at].reset {
            return;
        }
        self.budget -= cost;
        self.clients[at].note_sent(slice);
        match self.clients[at].source {
            Source::Peer(peer) => self.sim.send(peer, slice),
            Source::Address(address) => self.sim.send_datagram(udp(), address, slice),
        }
    }

    fn stall(&mut self, room: usize) {
        let Some(at) = self.current() else { return };
        let Source::Peer(peer) = self.clients[at].source else { return };
        (self.clients[at].stalled, self.clients[at].has_stalled) = (true, true);
        self.clients[at].may_be_closed |= self.tight;
        self.sim.stall(peer, room);
    }

    fn read(&mut self) {
        let Some(at) = self.current() else { return };
        self.receive(at);
        let Source::Peer(peer) = self.clients[at].source else { return };
        let id = self.sim.sockets().id(peer);
        let unsent = id.map_or(0, |id| self.sim.reactor().server().connections.queues().unsent(id));
        let client = &mut self.clients[at];
        let received = client.bytes + client.partial.len();
        client.backlog = received..received + unsent;
        client.stalled = false;
        self.sim.stall(peer, usize::MAX);
    }

    fn end_stream(&mut self) {
        let Some(at) = self.current() else { return };
        let Source::Peer(peer) = self.clients[at].source else { return };
        if !std::mem::replace(&mut self.clients[at].ended, true) {
            self.clients[at].note_end();
            self.sim.end(peer);
        }
    }

    /// Asserts what holds at all times.
    fn check(&mut self) {
        self.sim.reactor().server().invariants();
        for recipient in 0..self.clients.len() {
            self.receive(recipient);
        }
        assert!(self.sim.running() == Running::On || self.was_stopped(), "no stop was requested");
    }

    fn was_stopped(&self) -> bool {
        self.stopped || self.clients.iter().any(|client| client.shutdown)
    }

    /// Lets all clients read and end their streams, and asserts that the server is empty.
    fn end(mut self) {
        self.check();
        for at in 0..self.clients.len() {
            self.slots[0] = Some(at);
            self.slot = 0;
            self.read();
            self.end_stream();
        }
        self.sim.pass(Duration::from_secs(20));
        if self.clients.len() > self.connected {
            self.sim.pass(MAX_SILENCE);
        }
        self.check();
        let stopped = self.was_stopped();
        for (at, client) in std::mem::take(&mut self.clients).into_iter().enumerate() {
            let Source::Peer(peer) = client.source else { continue };
            let accepted = self.sim.sockets().was_accepted(peer);
            if accepted {
                assert!(self.sim.is_closed(peer), "{at} is closed");
            }
            if accepted && !stopped && !client.reset && !client.may_be_closed {
                client.assert_complete(at);
            }
        }
        let server = self.sim.reactor().server();
        assert_eq!(
            (server.connections.count().0, server.connections.input().buffers()),
            (0, 0),
            "connections, held buffers"
        );
        assert!(stopped || server.hub().registered() == 0, "closed connections are not registered");
    }

    /// Takes the output to a client and checks each line.
    fn receive(&mut self, recipient: usize) {
        let peer = match self.clients[recipient].source {
            Source::Peer(peer) => peer,
            Source::Address(address) => {
                for datagram in self.sim.datagrams(address) {
                    assert!(datagram.len() <= MAX_SHORT_MESSAGE, "too long for a datagram");
                    self.check_bytes(recipient, &datagram);
                }
                return;
            }
        };
        let bytes = self.sim.take(peer);
        if bytes.is_empty() {
            return;
        }
        let max = self.max_line_to(recipient);
        let mut output = std::mem::take(&mut self.clients[recipient].partial);
        output.extend_from_slice(&bytes);
        let mut rest = &output[..];
        let client = &mut self.clients[recipient];
        if client.scheme == Scheme::Nickname
            && !client.prompted
            && let Some(after) = rest.strip_prefix(b"NICKNAME")
        {
            client.prompted = true;
            client.lines += 1;
            client.bytes += rest.len() - after.len();
            rest = after;
        }
        while let Some(end) = rest.find_byte(b'\n') {
            assert!(end < max, "too long for a line: {:?}", rest[..end].as_bstr());
            self.check_bytes(recipient, &rest[..end]);
            self.clients[recipient].bytes += end + 1;
            rest = &rest[end + 1..];
        }
        assert!(rest.len() < max, "too long for a line");
        self.clients[recipient].partial = rest.to_vec();
    }

    /// Returns the maximum bytes of a line to a client, its LF included.
    fn max_line_to(&self, recipient: usize) -> usize {
        if self.clients[recipient].uses_line_protocol() { 3 * self.max_line + 300 } else { MAX_SHORT_MESSAGE }
    }
}

/// Returns the index of the listener for datagrams.
fn udp() -> usize {
    Scheme::ALL.iter().position(|scheme| *scheme == Scheme::Udp).unwrap_or_default()
}
