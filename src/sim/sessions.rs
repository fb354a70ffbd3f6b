//! The fuzz body for the whole server: several connections, any bytes in any slices, peers that stall, half-close and
//! break, time that passes; every line that any of them hears is held against what all of them sent.

use super::grammar::{self, CLOSING, Heard, Notice};
use super::person::{From, Person, To};
use super::script::Script;
use super::{Faults, Sim};
use crate::door::Door;
use crate::limits::{KIB, Limits, MAX_SHORT, MAX_SILENCE, MIN_MAX_LINE, MIN_QUEUE};
use crate::name;
use crate::reactor::Running;
use bstr::ByteSlice;
use std::net::SocketAddr;
use std::time::Duration;

/// Voices that a script can speak with; each is one connection at a time.
const VOICES: usize = 6;

/// Connections in one story. One more than the server takes, and a few for those who come back.
const MAX_PEOPLE: usize = 12;

/// What all may send together in one story, a line counted as some bytes more: enough to fill the queue of one who
/// doesn't read eight times over, and no more, so that stories are quickly told.
const MAX_SENT: usize = 32 * KIB;

/// What a line counts besides its bytes.
const LINE_COST: usize = 32;

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
/// - no line is forged or invented: a message or notice in somebody's name stems from a connection that claimed that
///   name, and sent these words to this listener or a room that it entered, and not before what was already heard of
///   it, and is heard at most once;
/// - no request is lost: pings, calls for help, lines too long and lines with NUL are each answered once, in order, all
///   of them where the connection was left in peace;
/// - no direct message is queued behind more than half of a queue;
/// - what the server says last is the last thing that is heard;
/// - what the tutorials' clients hear is what the table of `dialects.md` knows, at most 1024 bytes each; those of the classic
///   one hear no chatter;
/// - the operators' commands are answered to those who came by their door alone, and an announcement or a reason stems from
///   one of them; the server stops only if it was asked to;
/// - in the end, when all read and end their streams, all are closed and the server holds nothing.
///
/// The input: a byte that is 0 for a world without faults or else their seed, and where it is a deed lines may be longer;
/// then bytes and the deeds of `deed` below.
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
        if story.sim.running == Running::Done {
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
    /// Who has each voice, by their place among the people.
    voices: [Option<usize>; VOICES],
    voice: usize,
    /// By which door who connects comes in.
    door: usize,
    /// The last slice that was sent.
    last: Vec<u8>,
    /// What may still be sent.
    budget: usize,
    stopped: bool,
    faulty: bool,
}

impl Story {
    fn new(seed: u8) -> Story {
        let max_line = if seed < deed::SPEAK { MIN_MAX_LINE } else { KIB };
        let limits = Limits {
            max_line,
            queue: MIN_QUEUE,
            max_connections: VOICES - 1,
            max_rooms: Some(4),
            max_rooms_per_connection: Some(3),
            quiet_above: Some(3),
            // What is judged is what is said, not when.
            rate: None,
            ..Limits::default()
        };
        let mut sim = Sim::with_doors(limits, &Door::ALL);
        if seed != 0 {
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
            faulty: seed != 0,
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
        self.door = choice / VOICES % Door::ALL.len();
    }

    fn pass(&mut self, time: Duration) {
        let overdue = self.people.iter_mut().filter(|person| person.stalled);
        overdue.for_each(|person| person.overdue = true);
        self.sim.pass(time);
    }

    /// The place of who has the present voice, who connects if need be.
    fn speaker(&mut self) -> Option<usize> {
        if self.voices[self.voice].is_none() && self.people.len() < MAX_PEOPLE {
            self.voices[self.voice] = Some(self.people.len());
            let from = if Door::ALL[self.door] == Door::Udp {
                From::Address(SocketAddr::from(([127, 0, 0, 2], 40_000 + self.people.len() as u16)))
            } else {
                self.connected += 1;
                From::Peer(self.sim.connect_at(self.door))
            };
            self.people.push(Person::new(Door::ALL[self.door], from, self.max_line));
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
        self.sim.stall(peer, room);
    }

    fn read(&mut self) {
        let Some(at) = self.speaker() else { return };
        self.listen(at);
        let From::Peer(peer) = self.people[at].from else { return };
        let id = self.sim.sockets().id(peer);
        let unsent = id.map_or(0, |id| self.sim.reactor.unsent(id));
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
        self.sim.reactor.invariants();
        for listener in 0..self.people.len() {
            self.listen(listener);
        }
        assert!(self.sim.running == Running::On || self.was_stopped(), "nobody asked it to stop");
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
        let reactor = &self.sim.reactor;
        assert_eq!((reactor.connections(), reactor.held_buffers()), (0, 0), "connections, held buffers");
        assert!(stopped || reactor.hub().registered() == 0, "who is gone is gone from the hub");
    }

    /// Takes what a person was sent, and judges each line of it.
    fn listen(&mut self, listener: usize) {
        let peer = match self.people[listener].from {
            From::Peer(peer) => peer,
            From::Address(address) => {
                for datagram in self.sim.datagrams(address) {
                    assert!(datagram.len() <= MAX_SHORT, "too long for a datagram");
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
        if person.door == Door::Nickname
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

    /// Bytes of a line to somebody, its LF included.
    fn max_of(&self, listener: usize) -> usize {
        if self.people[listener].speaks_lines() { 3 * self.max_line + 300 } else { MAX_SHORT }
    }

    fn judge_bytes(&mut self, listener: usize, line: &[u8]) {
        let line = std::str::from_utf8(line).expect("the server speaks UTF-8");
        assert!(!line.is_empty(), "an empty message");
        assert!(grammar::may_be_shown(line), "not safe to show: {line:?}");
        let door = self.people[listener].door;
        if !self.people[listener].speaks_lines() {
            return self.judge_shown(listener, door, line);
        }
        let heard = grammar::heard(line);
        assert!(heard.is_some(), "the protocol knows no {line:?}");
        heard.into_iter().for_each(|heard| self.judge(listener, line, heard));
    }

    /// What a tutorial's client was sent.
    fn judge_shown(&mut self, listener: usize, door: Door, line: &str) {
        let heard = grammar::shown(door, line);
        let person = &mut self.people[listener];
        assert_eq!(person.farewell, None, "{listener} heard {line:?} behind the last line");
        person.lines += 1;
        let before = person.lines - 1;
        let is_closing = matches!(heard, Some(Heard::Refused { code, .. }) if CLOSING.contains(&code));
        match door {
            // Whatever another wrote to it is all of the line, and so may read like anything.
            Door::Classic if before > 0 && self.may_be_text(line) => {
                self.people[listener].assert_room_for_direct(listener, line);
                self.people[listener].maybe_kicked |= is_closing;
                return;
            }
            Door::Classic => assert!(
                is_closing || (before == 0) == matches!(heard, Some(Heard::Notice(Notice::Connected))),
                "{line:?} is line {before} to {listener}"
            ),
            Door::Nickname => assert!(is_closing || before > 0, "{line:?} is the first to {listener}"),
            _ => {}
        }
        assert!(heard.is_some(), "a {door:?} client knows no {line:?}");
        match heard {
            Some(Heard::Answer { word: "nick", details }) => {
                assert!(self.people[listener].claims(details), "{line:?}");
            }
            Some(Heard::Answer { word: "ok", .. }) => assert!(self.people[listener].may_have_said("L ")),
            Some(Heard::Answer { word: "exit", .. }) => assert!(self.people[listener].may_have_said("Q ")),
            Some(Heard::Answer { .. }) | None => {}
            Some(Heard::Refused { code: "denied" | "register-first", .. }) => {
                assert!(door == Door::Classic, "{line:?}: nobody can ask for that");
            }
            Some(Heard::Refused { code, details }) if is_closing => {
                let person = &mut self.people[listener];
                assert!(code != "too-slow" || person.balked || self.faulty, "{listener} did read");
                // A name that is refused for a while, to one who may go on; and one without a stream always may.
                let is_name = code == "kicked" && door == Door::Classic && !details.is_empty();
                let goes_on = door == Door::Udp || is_name && person.claims(details);
                if !goes_on {
                    person.farewell = Some(line.to_owned());
                }
            }
            Some(Heard::Refused { .. }) => {}
            Some(Heard::Notice(notice)) => self.judge_notice(listener, notice),
            Some(Heard::Direct { from, text }) => {
                self.people[listener].assert_room_for_direct(listener, line);
                let text = Text { text, cut: is_cut(line) };
                self.source(listener, from, text, |to| matches!(to, To::People(_)));
            }
            Some(Heard::Said { from, text, .. }) => {
                let text = Text { text, cut: is_cut(line) };
                let to_us = |to: &To| {
                    matches!(to, To::Room(None)) || matches!(to, To::Room(Some(key)) if key == "lobby")
                };
                let (by, _) = self.source(listener, from, text, to_us);
                assert!(door != Door::Udp || by != Some(listener), "{listener} hears itself: {line:?}");
            }
        }
        if let Some(Heard::Refused { code: "shutting-down", .. }) = heard {
            assert!(self.was_stopped(), "nobody asked it to stop");
        }
    }

    /// Whether somebody wrote this to one person.
    fn may_be_text(&self, line: &str) -> bool {
        let text = Text { text: line, cut: is_cut(line) };
        self.people.iter().any(|person| match person.door {
            Door::Line | Door::Unix => {
                person.said.iter().any(|said| matches!(said.to, To::People(_)) && text.is_of(&said.text))
            }
            Door::Classic => person.may_have_said_as("", line),
            Door::Nickname | Door::Relay | Door::Udp => false,
        })
    }

    fn judge(&mut self, listener: usize, line: &str, heard: Heard<'_>) {
        let person = &mut self.people[listener];
        assert_eq!(person.farewell, None, "{listener} heard {line:?} behind the last line");
        assert!(is_timely(person.lines, heard), "{line:?} is line {} to {listener}", person.lines);
        person.lines += 1;
        match heard {
            Heard::Answer { word: "pong", .. }
            | Heard::Answer { word: "end", details: "help" }
            | Heard::Refused { code: "line-too-long" | "bad-byte", .. } => person.answer(listener, line),
            Heard::Answer { word: "bye", .. } => {
                assert!(person.quit, "{listener} never asked to go");
                person.farewell = Some(line.to_owned());
            }
            Heard::Answer { word: "nick", details } => assert!(person.names.contains(details), "{line:?}"),
            Heard::Answer { word: "room", details } => {
                let room = details.split(' ').next().unwrap_or("");
                assert!(person.enters(&folded(room)), "{listener} never entered: {line:?}");
            }
            Heard::Answer { word: "announced" | "kicked" | "stats" | "shutdown", .. } => {
                assert!(person.door == Door::Unix, "{listener} is no operator: {line:?}");
                assert!(!line.starts_with("+shutdown") || person.shutdown, "{listener} never asked for it");
            }
            Heard::Answer { word: "end", details } if details.starts_with("stats ") => {
                assert!(person.door == Door::Unix && person.stats, "{listener} is no operator: {line:?}");
            }
            Heard::Answer { .. } => {}
            Heard::Refused { code: "denied", .. } => {
                assert!(person.door == Door::Line, "{listener} is an operator: {line:?}");
            }
            Heard::Refused { code: "kicked", details } if person.names.contains(details) => {
                // The name may be refused for a while, or that was the reason for ending the connection.
                person.maybe_kicked = true;
            }
            Heard::Refused { code, .. } if CLOSING.contains(&code) => {
                assert!(code != "too-slow" || person.balked || self.faulty, "{listener} did read");
                person.farewell = Some(line.to_owned());
                assert!(code != "shutting-down" || self.was_stopped(), "nobody asked it to stop");
            }
            Heard::Refused { .. } => {}
            Heard::Notice(notice) => self.judge_notice(listener, notice),
            Heard::Direct { from, text } => {
                let person = &self.people[listener];
                person.assert_room_for_direct(listener, line);
                let to_me = |to: &To| matches!(to, To::People(keys) if keys.iter().any(|key| person.keys.contains(key)));
                let text = Text { text, cut: false };
                let (by, passed) = self.source(listener, from, text, to_me);
                self.people[listener].pass(by, passed);
            }
            Heard::Said { room, from, text } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} never entered: {line:?}");
                let to_us = |to: &To| {
                    matches!(to, To::Room(None)) || matches!(to, To::Room(Some(key)) if *key == room)
                };
                let text = Text { text, cut: false };
                let (by, passed) = self.source(listener, from, text, to_us);
                assert!(by != Some(listener), "{listener} hears itself: {line:?}");
                self.people[listener].pass(by, passed);
            }
        }
    }

    fn judge_notice(&mut self, listener: usize, notice: Notice<'_>) {
        let claims = |name: &str| self.people.iter().any(|person| person.claims(name));
        let by_operators = |text: &str, fits: fn(&To) -> bool, cut: bool| {
            let mut said = self.people.iter().flat_map(|person| &person.said);
            said.any(|said| fits(&said.to) && Text { text, cut }.is_of(&said.text))
        };
        match notice {
            Notice::Connected | Notice::HowToBegin => {}
            Notice::Announced { text } => {
                let cut = !self.people[listener].speaks_lines() && text.len() + 32 > MAX_SHORT;
                let said = by_operators(text, |to| matches!(to, To::Everyone), cut);
                assert!(said, "no operator announced {text:?}");
            }
            Notice::Arrived { who } => assert!(claims(who), "nobody is {who}"),
            Notice::Joined { who, room } | Notice::Parted { who, room } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} was never in {room}");
                let mut people = self.people.iter();
                assert!(people.any(|person| person.claims(who) && person.enters(&room)), "{who}, {room}");
            }
            Notice::Renamed { from, to } => {
                let mut people = self.people.iter();
                let renamed = people.any(|person| person.claims(from) && person.claims(to));
                assert!(renamed, "nobody is both {from} and {to}");
            }
            Notice::Gone { who, reason: None } => assert!(claims(who), "nobody is {who}"),
            Notice::Gone { who, reason: Some(reason) } => {
                let known = match reason {
                    "too slow" => self.faulty || self.people.iter().any(|person| person.balked),
                    "connection lost" => self.people.iter().any(|person| person.reset),
                    "silent" => self.people.len() > self.connected,
                    "kicked" => by_operators("", |to| matches!(to, To::Kicked), false),
                    _ => by_operators(reason, |to| matches!(to, To::Kicked), false),
                };
                if known && claims(who) {
                    assert!(claims(who), "nobody is {who}");
                } else {
                    let reason = Text { text: reason, cut: false };
                    let (by, passed) = self.source(listener, who, reason, |to| matches!(to, To::Company));
                    self.people[listener].pass(by, passed);
                }
            }
        }
    }

    /// Who said `text` by the name of `from` to whom it `fits`, and how much of what they said that is. If several
    /// claimed the name, it may be any of them, and nothing is known of the order.
    fn source(
        &self,
        listener: usize,
        from: &str,
        text: Text<'_>,
        fits: impl Fn(&To) -> bool,
    ) -> (Option<usize>, usize) {
        let claimants: Vec<usize> =
            (0..self.people.len()).filter(|at| self.people[*at].claims(from)).collect();
        let said_by = |at: usize, passed: usize| {
            let mut said = self.people[at].said.iter().enumerate().skip(passed);
            said.find(|(_, said)| text.is_of(&said.text) && fits(&said.to)).map(|(place, _)| place + 1)
        };
        if let [only] = claimants[..]
            && self.people[only].speaks_lines()
        {
            let passed = self.people[listener].passed.get(only).copied().unwrap_or(0);
            let said = said_by(only, passed);
            assert!(
                said.is_some(),
                "{from} never said {:?} to {listener} behind their line {passed}",
                text.text
            );
            return (Some(only), said.unwrap_or(passed));
        }
        assert!(
            claimants.iter().any(|at| {
                let person = &self.people[*at];
                said_by(*at, 0).is_some() || person.may_have_said_as(from, text.text)
            }),
            "{from} never said {:?} to {listener}",
            text.text
        );
        (if let [only] = claimants[..] { Some(only) } else { None }, 0)
    }
}

/// What is heard of a text: all, or its beginning.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    cut: bool,
}

impl Text<'_> {
    fn is_of(self, said: &str) -> bool {
        said == self.text || self.cut && said.starts_with(self.text)
    }
}

/// Whether what a tutorial's client was sent may have been longer: there was no room for a character more.
fn is_cut(line: &str) -> bool {
    line.len() + "\n".len() + 3 >= MAX_SHORT
}

/// The door of datagrams.
fn udp() -> usize {
    Door::ALL.iter().position(|door| *door == Door::Udp).unwrap_or_default()
}

/// A newcomer is told first where it comes from, then how to begin, unless it is turned away.
fn is_timely(lines_before: usize, heard: Heard<'_>) -> bool {
    match heard {
        Heard::Notice(Notice::Connected) => lines_before == 0,
        Heard::Notice(Notice::HowToBegin) => lines_before == 1,
        Heard::Refused { code, .. } if CLOSING.contains(&code) => true,
        _ => lines_before > 1,
    }
}

fn folded(name: &str) -> String {
    name::fold(name.as_bytes()).map_or(String::new(), |key| key.into_owned())
}
