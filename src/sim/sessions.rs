//! The fuzz body for the whole server: several connections, any bytes in any slices, peers that stall, half-close and
//! break, time that passes; every line that any of them hears is held against what all of them sent.

use super::grammar::{self, CLOSING, Heard, Notice};
use super::person::{Person, To};
use super::script::Script;
use super::{Faults, PeerNo, Sim};
use crate::limits::{KIB, Limits, MIN_MAX_LINE, MIN_QUEUE};
use crate::name;
use crate::reactor::Running;
use crate::text::is_safe;
use bstr::ByteSlice;
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
    /// The voice of the next byte speaks from here on; it connects if it hasn't.
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
/// - in the end, when all read and end their streams, all are closed and the server holds nothing.
///
/// The input: a byte that is 0 for a world without faults or else their seed, then bytes and the deeds of `deed` below.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_session(data: &[u8]) {
    let mut script = Script::new(data);
    let mut story = Story::new(script.byte().unwrap_or(0));
    let mut slice = Vec::new();
    while let Some(byte) = script.byte() {
        if byte < deed::SPEAK {
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
    people: Vec<Person>,
    /// Who has each voice, by their place among the people.
    voices: [Option<usize>; VOICES],
    voice: usize,
    /// The last slice that was sent.
    last: Vec<u8>,
    /// What may still be sent.
    budget: usize,
    stopped: bool,
    faulty: bool,
}

impl Story {
    fn new(seed: u8) -> Story {
        let limits = Limits {
            max_line: MIN_MAX_LINE,
            queue: MIN_QUEUE,
            max_connections: VOICES - 1,
            max_rooms: Some(4),
            max_rooms_per_connection: Some(3),
            quiet_above: Some(3),
            ..Limits::default()
        };
        let sim = match seed {
            0 => Sim::new(limits),
            seed => Sim::with_faults(limits, Faults::plenty(u64::from(seed))),
        };
        Story {
            sim,
            people: Vec::new(),
            voices: [None; VOICES],
            voice: 0,
            last: Vec::new(),
            budget: MAX_SENT,
            stopped: false,
            faulty: seed != 0,
        }
    }

    fn act(&mut self, deed: u8, script: &mut Script<'_>) {
        match deed {
            deed::SPEAK => {
                self.voice = script.below(VOICES);
                self.speaker();
            }
            deed::CONNECT => {
                self.voice = script.below(VOICES);
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
                self.people[at].reset = true;
                self.sim.reset(PeerNo(at));
            }
            deed::PASS => {
                let quarters = script.below(256) as u32;
                let overdue = self.people.iter_mut().filter(|person| person.stalled);
                overdue.for_each(|person| person.overdue = true);
                self.sim.pass(Duration::from_millis(250) * quarters);
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

    /// The place of who has the present voice, who connects if need be.
    fn speaker(&mut self) -> Option<usize> {
        if self.voices[self.voice].is_none() && self.people.len() < MAX_PEOPLE {
            self.voices[self.voice] = Some(self.people.len());
            let peer = self.sim.connect();
            assert_eq!(peer, PeerNo(self.people.len()));
            self.people.push(Person::default());
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
        self.sim.send(PeerNo(at), slice);
    }

    fn stall(&mut self, room: usize) {
        let Some(at) = self.speaker() else { return };
        (self.people[at].stalled, self.people[at].balked) = (true, true);
        self.sim.stall(PeerNo(at), room);
    }

    fn read(&mut self) {
        let Some(at) = self.speaker() else { return };
        self.listen(at);
        let id = self.sim.sockets().id(PeerNo(at));
        let unsent = id.map_or(0, |id| self.sim.reactor.unsent(id));
        let person = &mut self.people[at];
        let heard = person.bytes + person.hearing.len();
        person.backlog = heard..heard + unsent;
        person.stalled = false;
        self.sim.stall(PeerNo(at), usize::MAX);
    }

    fn end_stream(&mut self) {
        let Some(at) = self.speaker() else { return };
        if !std::mem::replace(&mut self.people[at].ended, true) {
            self.people[at].note_end();
            self.sim.end(PeerNo(at));
        }
    }

    /// What holds at all times.
    fn check(&mut self) {
        self.sim.reactor.invariants();
        for listener in 0..self.people.len() {
            self.listen(listener);
        }
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
        self.check();
        for (at, person) in std::mem::take(&mut self.people).into_iter().enumerate() {
            let accepted = self.sim.sockets().was_accepted(PeerNo(at));
            if accepted {
                assert!(self.sim.is_closed(PeerNo(at)), "{at} is not closed");
            }
            if accepted && !self.stopped && !person.reset && !person.overdue {
                person.assert_served(at);
            }
        }
        let reactor = &self.sim.reactor;
        assert_eq!((reactor.connections(), reactor.held_buffers()), (0, 0), "connections, held buffers");
        assert!(self.stopped || reactor.hub().registered() == 0, "who is gone is gone from the hub");
    }

    /// Takes what a person was sent, and judges each line of it.
    fn listen(&mut self, listener: usize) {
        let bytes = self.sim.take(PeerNo(listener));
        if bytes.is_empty() {
            return;
        }
        let mut hearing = std::mem::take(&mut self.people[listener].hearing);
        hearing.extend_from_slice(&bytes);
        let mut rest = &hearing[..];
        while let Some(end) = rest.find_byte(b'\n') {
            let line = std::str::from_utf8(&rest[..end]).expect("the server speaks UTF-8");
            assert!(end < 3 * MIN_MAX_LINE + 300, "too long for a line: {line:?}");
            assert!(line.chars().all(is_safe), "not safe to show: {line:?}");
            let heard = grammar::heard(line);
            assert!(heard.is_some(), "the protocol knows no {line:?}");
            heard.into_iter().for_each(|heard| self.judge(listener, line, heard));
            self.people[listener].bytes += end + 1;
            rest = &rest[end + 1..];
        }
        assert!(rest.len() < 3 * MIN_MAX_LINE + 300, "too long for a line");
        self.people[listener].hearing = rest.to_vec();
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
            Heard::Answer { .. } => {}
            Heard::Refused { code, .. } if CLOSING.contains(&code) => {
                assert!(code != "too-slow" || person.balked || self.faulty, "{listener} did read");
                person.farewell = Some(line.to_owned());
            }
            Heard::Refused { .. } => {}
            Heard::Notice(notice) => self.judge_notice(listener, notice),
            Heard::Direct { from, text } => {
                let person = &self.people[listener];
                person.assert_room_for_direct(listener, line);
                let to_me = |to: &To| matches!(to, To::People(keys) if keys.iter().any(|key| person.keys.contains(key)));
                let (by, passed) = self.source(listener, from, text, to_me);
                self.people[listener].pass(by, passed);
            }
            Heard::Said { room, from, text } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} never entered: {line:?}");
                let to_us = |to: &To| {
                    matches!(to, To::Room(None)) || matches!(to, To::Room(Some(key)) if *key == room)
                };
                let (by, passed) = self.source(listener, from, text, to_us);
                assert!(by != Some(listener), "{listener} hears itself: {line:?}");
                self.people[listener].pass(by, passed);
            }
        }
    }

    fn judge_notice(&mut self, listener: usize, notice: Notice<'_>) {
        let claims = |name: &str| self.people.iter().any(|person| person.names.contains(name));
        match notice {
            Notice::Connected | Notice::HowToBegin => {}
            Notice::Arrived { who } => assert!(claims(who), "nobody is {who}"),
            Notice::Joined { who, room } | Notice::Parted { who, room } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} was never in {room}");
                let mut people = self.people.iter();
                assert!(
                    people.any(|person| person.names.contains(who) && person.enters(&room)),
                    "{who}, {room}"
                );
            }
            Notice::Renamed { from, to } => {
                let mut people = self.people.iter();
                let renamed = people.any(|person| person.names.contains(from) && person.names.contains(to));
                assert!(renamed, "nobody is both {from} and {to}");
            }
            Notice::Gone { who, reason: None } => assert!(claims(who), "nobody is {who}"),
            Notice::Gone { who, reason: Some(reason) } => {
                let known = match reason {
                    "too slow" => self.faulty || self.people.iter().any(|person| person.balked),
                    "connection lost" => self.people.iter().any(|person| person.reset),
                    _ => false,
                };
                if known {
                    assert!(claims(who), "nobody is {who}");
                } else {
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
        text: &str,
        fits: impl Fn(&To) -> bool,
    ) -> (Option<usize>, usize) {
        let claimants: Vec<usize> =
            (0..self.people.len()).filter(|at| self.people[*at].names.contains(from)).collect();
        let said_by = |at: usize, passed: usize| {
            let mut said = self.people[at].said.iter().enumerate().skip(passed);
            said.find(|(_, said)| said.text == text && fits(&said.to)).map(|(place, _)| place + 1)
        };
        if let [only] = claimants[..] {
            let passed = self.people[listener].passed.get(only).copied().unwrap_or(0);
            let said = said_by(only, passed);
            assert!(said.is_some(), "{from} never said {text:?} to {listener} behind their line {passed}");
            return (Some(only), said.unwrap_or(passed));
        }
        assert!(
            claimants.into_iter().any(|at| said_by(at, 0).is_some()),
            "{from} never said {text:?} to {listener}"
        );
        (None, 0)
    }
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
