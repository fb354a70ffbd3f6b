//! The fuzz body for the whole server: several connections, any bytes in any slices, peers that stall, half-close and
//! break, time that passes; every line that any of them hears is held against what all of them sent (`judge.rs`).

mod judge;

use super::person::{From, Person};
use super::script::Script;
use crate::{Faults, Sim};
use bstr::ByteSlice;
use redpoll::limits::{KIB, Limits, MAX_SHORT_MESSAGE, MAX_SILENCE, MIN_MAX_LINE, MIN_QUEUE};
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Voices that a script can speak with; each is one connection at a time.
const VOICES: usize = 6;

/// Connections in one story. One more than the server takes, and a few for peers that reconnect.
const MAX_PEOPLE: usize = 12;

/// What all may send together in one story, a line counted as some bytes more: enough to fill the queue of one that
/// doesn't read eight times over, and no more, so that stories are quickly told.
const MAX_SENT: usize = 32 * KIB;

/// What a line counts besides its bytes.
const LINE_COST: usize = 32;

/// First bytes of a script by which all queues together may hold little, and nothing goes wrong: a connection that doesn't read may
/// be closed at any time, and no other.
const TIGHT: RangeInclusive<u8> = 0xC0..=0xF4;

/// What they may hold then: the chunks of one queue and a few.
const TIGHT_TOTAL: usize = 4 * MIN_QUEUE;

/// The deeds of a script. All are bytes that UTF-8 never holds, so that a script can be read, and cut anywhere by a
/// fuzzer that knows nothing of it; all other bytes are what the present voice sends, slice by slice between deeds.
mod deed {
    /// So many milliseconds pass as the next byte says. UTF-8 never holds this one either.
    pub const PAUSE: u8 = 0xC1;
    /// The voice of the next byte speaks from here on; it connects if it hasn't, by the door that the byte says too.
    pub const SPEAK: u8 = 0xF5;
    /// That voice connects anew; its former connection stays as it is.
    pub const CONNECT: u8 = 0xF6;
    /// One turn.
    pub const TURN: u8 = 0xF7;
    /// Turns until there is nothing to do.
    pub const RUN: u8 = 0xF8;
    /// The voice reads no more: the kernel takes eight times the next byte for it, no more.
    pub const STALL: u8 = 0xF9;
    /// It reads again.
    pub const READ: u8 = 0xFA;
    /// It ends its stream.
    pub const END: u8 = 0xFB;
    /// It is gone.
    pub const RESET: u8 = 0xFC;
    /// A quarter of a second passes, as often as the next byte says.
    pub const PASS: u8 = 0xFD;
    /// The last slice once more, as often as the next byte says.
    pub const REPEAT: u8 = 0xFE;
    /// The server is asked to stop.
    pub const STOP: u8 = 0xFF;
}

/// Whatever the connections send and do:
///
/// - nothing panics, the reactor's invariants hold after each deed, queues are within their limit;
/// - all that is heard is valid UTF-8 without controls, in lines within the limit that the protocol's grammar knows;
///   a stream ends within a line only if its connection broke, or it was dropped while it didn't read;
/// - no line is forged or invented: a message or presence with a name stems from a connection that claimed that
///   name, and sent these words to this listener or a room that it entered, and not before what was already heard of
///   it, and is heard at most once;
/// - no request is lost: pings, calls for help, lines too long and lines with NUL are each answered once, in order, all
///   of them where the connection was left in peace;
/// - no direct message is queued behind more than half of a queue;
/// - what the server says last is the last thing that is heard;
/// - what the tutorials' clients hear is what the table of `dialects.md` knows, at most 1024 bytes each; those of the classic
///   one hear no chatter;
/// - the operators' commands are answered at their listener alone, and an announcement or a reason stems from
///   one of them; the server stops only if it was asked to;
/// - in the end, when all read and end their streams, all are closed and the server holds nothing.
///
/// The input: a byte that is 0 for a world without faults or else their seed, where it is a deed lines may be longer, and
/// where it begins a character of UTF-8 queues together may hold little and nothing goes wrong; then bytes and the deeds of
/// `deed` below.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_session(data: &[u8]) {
    let mut script = Script::new(data);
    let mut story = Story::new(script.byte().unwrap_or(0));
    let mut slice = Vec::new();
    while let Some(byte) = script.byte() {
        if byte < deed::SPEAK && byte != deed::PAUSE {
            slice.push(byte);
            continue;
        }
        if !slice.is_empty() {
            story.send(&slice);
            story.last = std::mem::take(&mut slice);
        }
        story.act(byte, &mut script);
        story.check();
        if story.sim.running() == Running::Done {
            break;
        }
    }
    story.send(&slice);
    story.end();
}

/// A server and the people at it.
struct Story {
    sim: Sim,
    max_line: usize,
    /// How many of the people have connected; the others speak by datagrams.
    connected: usize,
    people: Vec<Person>,
    /// The client of each voice, by its index.
    voices: [Option<usize>; VOICES],
    voice: usize,
    /// The scheme of the next connection.
    door: usize,
    /// The last slice that was sent.
    last: Vec<u8>,
    /// What may still be sent.
    budget: usize,
    stopped: bool,
    faulty: bool,
    tight: bool,
}

impl Story {
    fn new(seed: u8) -> Story {
        let tight = TIGHT.contains(&seed);
        let faulty = seed != 0 && !tight;
        let max_line = if seed < deed::SPEAK { MIN_MAX_LINE } else { KIB };
        let limits = Limits {
            max_line,
            queue: MIN_QUEUE,
            queue_total: if tight { TIGHT_TOTAL } else { Limits::default().queue_total },
            max_connections: VOICES - 1,
            max_rooms: Some(4),
            max_rooms_per_connection: Some(3),
            quiet_above: Some(3),
            // What is judged is what is said, not when.
            rate: None,
            ..Limits::default()
        };
        let mut sim = Sim::with_schemes(limits, &Scheme::ALL);
        if faulty {
            sim.sockets().set_faults(Some(Faults::plenty(u64::from(seed))));
        }
        Story {
            sim,
            max_line,
            connected: 0,
            people: Vec::new(),
            voices: [None; VOICES],
            voice: 0,
            door: 0,
            last: Vec::new(),
            budget: MAX_SENT,
            stopped: false,
            faulty,
            tight,
        }
    }

    fn act(&mut self, deed: u8, script: &mut Script<'_>) {
        match deed {
            deed::SPEAK => {
                self.choose(script);
                self.speaker();
            }
            deed::CONNECT => {
                self.choose(script);
                if self.people.len() < MAX_PEOPLE {
                    self.voices[self.voice] = None;
                }
                self.speaker();
            }
            deed::TURN => self.sim.turn(),
            deed::RUN => {
                self.sim.run();
            }
            deed::STALL => self.stall(8 * script.below(256)),
            deed::READ => self.read(),
            deed::END => self.end_stream(),
            deed::RESET => {
                let Some(at) = self.speaker() else { return };
                if let From::Peer(peer) = self.people[at].from {
                    self.people[at].reset = true;
                    self.sim.reset(peer);
                }
            }
            deed::PASS => {
                let quarters = script.below(256) as u32;
                self.pass(Duration::from_millis(250) * quarters);
            }
            deed::PAUSE => {
                let millis = script.below(256) as u64;
                self.pass(Duration::from_millis(millis));
            }
            deed::REPEAT => {
                let slice = std::mem::take(&mut self.last);
                (0..script.below(256)).for_each(|_| self.send(&slice));
                self.last = slice;
            }
            deed::STOP => {
                self.stopped = true;
                self.sim.stop();
            }
            // Any other byte is sent.
            ..deed::SPEAK => {}
        }
    }

    fn choose(&mut self, script: &mut Script<'_>) {
        let choice = script.below(256);
        self.voice = choice % VOICES;
        self.door = choice / VOICES % Scheme::ALL.len();
    }

    fn pass(&mut self, time: Duration) {
        let overdue = self.people.iter_mut().filter(|person| person.stalled);
        overdue.for_each(|person| person.overdue = true);
        self.sim.pass(time);
    }

    /// Returns the index of the current voice's client, which connects if needed.
    fn speaker(&mut self) -> Option<usize> {
        if self.voices[self.voice].is_none() && self.people.len() < MAX_PEOPLE {
            self.voices[self.voice] = Some(self.people.len());
            let from = if Scheme::ALL[self.door] == Scheme::Udp {
                From::Address(SocketAddr::from(([127, 0, 0, 2], 40_000 + self.people.len() as u16)))
            } else {
                self.connected += 1;
                From::Peer(self.sim.connect_at(self.door))
            };
            self.people.push(Person::new(Scheme::ALL[self.door], from, self.max_line));
        }
        self.voices[self.voice]
    }

    fn send(&mut self, slice: &[u8]) {
        let cost = slice.len() + LINE_COST * slice.iter().filter(|byte| **byte == b'\n').count();
        let Some(at) = self.speaker() else { return };
        if slice.is_empty() || cost > self.budget || self.people[at].ended || self.people[at].reset {
            return;
        }
        self.budget -= cost;
        self.people[at].note_sent(slice);
        match self.people[at].from {
            From::Peer(peer) => self.sim.send(peer, slice),
            From::Address(address) => self.sim.send_datagram(udp(), address, slice),
        }
    }

    fn stall(&mut self, room: usize) {
        let Some(at) = self.speaker() else { return };
        let From::Peer(peer) = self.people[at].from else { return };
        (self.people[at].stalled, self.people[at].balked) = (true, true);
        self.people[at].overdue |= self.tight;
        self.sim.stall(peer, room);
    }

    fn read(&mut self) {
        let Some(at) = self.speaker() else { return };
        self.listen(at);
        let From::Peer(peer) = self.people[at].from else { return };
        let id = self.sim.sockets().id(peer);
        let unsent = id.map_or(0, |id| self.sim.reactor().server().connections.queues().unsent(id));
        let person = &mut self.people[at];
        let heard = person.bytes + person.hearing.len();
        person.backlog = heard..heard + unsent;
        person.stalled = false;
        self.sim.stall(peer, usize::MAX);
    }

    fn end_stream(&mut self) {
        let Some(at) = self.speaker() else { return };
        let From::Peer(peer) = self.people[at].from else { return };
        if !std::mem::replace(&mut self.people[at].ended, true) {
            self.people[at].note_end();
            self.sim.end(peer);
        }
    }

    /// What holds at all times.
    fn check(&mut self) {
        self.sim.reactor().server().invariants();
        for listener in 0..self.people.len() {
            self.listen(listener);
        }
        assert!(self.sim.running() == Running::On || self.was_stopped(), "nobody asked it to stop");
    }

    fn was_stopped(&self) -> bool {
        self.stopped || self.people.iter().any(|person| person.shutdown)
    }

    /// All read all, and end; nothing must be left.
    fn end(mut self) {
        self.check();
        for at in 0..self.people.len() {
            self.voices[0] = Some(at);
            self.voice = 0;
            self.read();
            self.end_stream();
        }
        self.sim.pass(Duration::from_secs(20));
        if self.people.len() > self.connected {
            self.sim.pass(MAX_SILENCE);
        }
        self.check();
        let stopped = self.was_stopped();
        for (at, person) in std::mem::take(&mut self.people).into_iter().enumerate() {
            let From::Peer(peer) = person.from else { continue };
            let accepted = self.sim.sockets().was_accepted(peer);
            if accepted {
                assert!(self.sim.is_closed(peer), "{at} is not closed");
            }
            if accepted && !stopped && !person.reset && !person.overdue {
                person.assert_served(at);
            }
        }
        let server = self.sim.reactor().server();
        assert_eq!(
            (server.connections.count().0, server.connections.input().buffers()),
            (0, 0),
            "connections, held buffers"
        );
        assert!(stopped || server.hub().registered() == 0, "who is gone is gone from the hub");
    }

    /// Takes what a person was sent, and judges each line of it.
    fn listen(&mut self, listener: usize) {
        let peer = match self.people[listener].from {
            From::Peer(peer) => peer,
            From::Address(address) => {
                for datagram in self.sim.datagrams(address) {
                    assert!(datagram.len() <= MAX_SHORT_MESSAGE, "too long for a datagram");
                    self.judge_bytes(listener, &datagram);
                }
                return;
            }
        };
        let bytes = self.sim.take(peer);
        if bytes.is_empty() {
            return;
        }
        let most = self.max_of(listener);
        let mut hearing = std::mem::take(&mut self.people[listener].hearing);
        hearing.extend_from_slice(&bytes);
        let mut rest = &hearing[..];
        let person = &mut self.people[listener];
        if person.door == Scheme::Nickname
            && !person.asked
            && let Some(behind) = rest.strip_prefix(b"NICKNAME")
        {
            person.asked = true;
            person.lines += 1;
            person.bytes += rest.len() - behind.len();
            rest = behind;
        }
        while let Some(end) = rest.find_byte(b'\n') {
            assert!(end < most, "too long for a line: {:?}", rest[..end].as_bstr());
            self.judge_bytes(listener, &rest[..end]);
            self.people[listener].bytes += end + 1;
            rest = &rest[end + 1..];
        }
        assert!(rest.len() < most, "too long for a line");
        self.people[listener].hearing = rest.to_vec();
    }

    /// Returns the bytes of a line to a peer, its LF included.
    fn max_of(&self, listener: usize) -> usize {
        if self.people[listener].speaks_lines() { 3 * self.max_line + 300 } else { MAX_SHORT_MESSAGE }
    }
}

/// The door of datagrams.
fn udp() -> usize {
    Scheme::ALL.iter().position(|door| *door == Scheme::Udp).unwrap_or_default()
}
