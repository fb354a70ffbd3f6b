//! A connection of a fuzzed session as its peer knows it: what it asked for, what it said, what it must be answered, and
//! how far it has heard. Read from the bytes that it sent by `grammar.rs`, not from anything the server did with them.

use super::grammar::{self, blankless, safe, targets};
use crate::PeerNo;
use bstr::ByteSlice;
use redpoll::limits::MIN_QUEUE;
use redpoll::protocol::name;
use redpoll::protocol::scheme::Scheme;
use redpoll::protocol::{Parsed, Rank, Request};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;

/// A connection, as its peer knows it.
pub(super) struct Person {
    pub door: Scheme,
    pub from: From,
    max_line: usize,
    /// All that it has sent, if it came by a tutorial's door: where a message of it ends, time decides; and what of that
    /// is printable ASCII.
    sent: Vec<u8>,
    plain: Vec<u8>,
    /// Where a message of that may begin: with each slice, and behind each LF.
    starts: Vec<usize>,
    /// It was asked `NICKNAME`.
    pub asked: bool,
    /// It has asked for the server to stop, for its figures.
    pub shutdown: bool,
    pub stats: bool,
    /// It may have been kicked: what it heard can be read as the refusal of a name too.
    pub maybe_kicked: bool,
    /// What it has sent since the last LF; empty while the rest of a line too long goes by.
    line: Vec<u8>,
    too_long: bool,
    /// The first line of the stream, which may begin with a byte order mark, has ended.
    is_past_first: bool,
    pub ended: bool,
    pub reset: bool,
    /// It doesn't read now, or didn't at some time.
    pub stalled: bool,
    pub balked: bool,
    /// Time has passed while it didn't read: it may have been dropped.
    pub overdue: bool,
    /// It asked to go; what it sends afterwards means nothing.
    pub quit: bool,
    /// Names that it ever asked for, as written and folded.
    pub names: BTreeSet<String>,
    pub keys: BTreeSet<String>,
    /// Rooms that it ever asked to enter, folded.
    pub rooms: BTreeSet<String>,
    /// All that it said, in order.
    pub said: Vec<Said>,
    /// What it must be answered, whatever the others do, in order, and how much of that it was.
    due: Vec<String>,
    answered: usize,
    /// What it has heard of a line that isn't whole, and how many lines and bytes of lines before.
    pub hearing: Vec<u8>,
    pub lines: usize,
    pub bytes: usize,
    /// Which bytes of all that it hears were in the server's hands when it last began to read again.
    pub backlog: Range<usize>,
    /// The closing line that it heard.
    pub farewell: Option<String>,
    /// Of each person, by their place, how much of what they said has passed by.
    pub passed: Vec<usize>,
}

/// The address of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Peer(PeerNo),
    Address(SocketAddr),
}

/// A text that a client sent, made safe.
pub(super) struct Said {
    pub to: To,
    pub text: String,
}

/// The recipients. All names are folded.
pub(super) enum To {
    People(Vec<String>),
    /// `None`: the current one, whichever that was.
    Room(Option<String>),
    /// The members of shared rooms.
    Company,
    /// All users, by an operator.
    Everyone,
    /// The members of shared rooms, and the user that is kicked.
    Kicked,
}

impl Person {
    pub fn new(door: Scheme, from: From, max_line: usize) -> Person {
        Person {
            door,
            from,
            max_line,
            sent: Vec::new(),
            plain: Vec::new(),
            starts: Vec::new(),
            asked: false,
            shutdown: false,
            stats: false,
            maybe_kicked: false,
            line: Vec::new(),
            too_long: false,
            is_past_first: false,
            ended: false,
            reset: false,
            stalled: false,
            balked: false,
            overdue: false,
            quit: false,
            names: BTreeSet::new(),
            keys: BTreeSet::new(),
            rooms: BTreeSet::new(),
            said: Vec::new(),
            due: Vec::new(),
            answered: 0,
            hearing: Vec::new(),
            lines: 0,
            bytes: 0,
            backlog: 0..0,
            farewell: None,
            passed: Vec::new(),
        }
    }

    /// Whether it speaks the line protocol.
    pub fn speaks_lines(&self) -> bool {
        matches!(self.door, Scheme::Line | Scheme::Unix)
    }

    /// Whether it has ever asked for this name, or may have.
    pub fn claims(&self, name: &str) -> bool {
        let is_guest = || self.door == Scheme::Relay && name.starts_with("guest-");
        if self.speaks_lines() {
            self.names.contains(name)
        } else {
            self.sent.contains_str(name) || is_guest()
        }
    }

    /// Whether some of what it sent reads so, as far as that is ASCII: where a character was cut, it isn't the same.
    pub fn may_have_said(&self, text: &str) -> bool {
        self.plain.contains_str(plain(text.as_bytes()).collect::<Vec<u8>>())
    }

    /// Whether a message that it may have sent says this, or this and more, under that name: without the name in front
    /// if it is its own, or else with whatever stands there. As far as it is ASCII.
    pub fn may_have_said_as(&self, name: &str, text: &str) -> bool {
        let text: Vec<u8> = plain(text.as_bytes()).collect();
        let says = |message: &[u8]| plain(message).take(text.len()).eq(text.iter().copied());
        // Most often it is written as it is shown, and folding takes long.
        let is_own = |nick: &[u8]| {
            let (nick, name) = (blankless(nick), name.as_bytes());
            nick == name || name::fold(nick).is_ok_and(|key| name::fold(name) == Ok(key))
        };
        self.starts.iter().any(|start| {
            let message = self.sent[*start..].split_str("\n").next().unwrap_or_default();
            match self.door {
                Scheme::Line | Scheme::Unix => false,
                Scheme::Classic => {
                    let text = message.strip_prefix(b"@").and_then(|message| message.split_once_str(":"));
                    text.is_some_and(|(_, text)| says(text))
                }
                Scheme::Nickname | Scheme::Relay => {
                    let behind = message.split_once_str(":");
                    says(message) || behind.is_some_and(|(nick, text)| says(blankless(text)) && is_own(nick))
                }
                Scheme::Udp => {
                    let rest = self.sent[*start..].strip_prefix(b"C ").map(blankless);
                    let said = rest.and_then(|rest| rest.split_once_str(" "));
                    said.is_some_and(|(nick, text)| says(blankless(text)) && is_own(nick))
                }
            }
        })
    }

    pub fn note_sent(&mut self, slice: &[u8]) {
        if !self.speaks_lines() {
            self.starts.push(self.sent.len());
            let ends = slice.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            self.starts.extend(ends.map(|(end, _)| self.sent.len() + end + 1));
            self.plain.extend(plain(slice));
            return self.sent.extend_from_slice(slice);
        }
        for piece in slice.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() > self.max_line && !self.too_long {
                self.too_long = true;
                self.owe(format!("!line-too-long {}", self.max_line));
            }
            if piece.ends_with(b"\n") {
                self.line.pop();
                self.note_line();
            } else if self.too_long {
                self.line.clear();
            }
        }
    }

    pub fn note_end(&mut self) {
        if !self.line.is_empty() {
            self.note_line();
        }
    }

    fn owe(&mut self, answer: String) {
        if !self.quit {
            self.due.push(answer);
        }
    }

    fn note_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.is_past_first, true);
        if std::mem::take(&mut self.too_long) || self.quit {
            return;
        }
        if line.contains(&0) {
            return self.owe("!bad-byte".to_owned());
        }
        let mark = if is_first { "\u{FEFF}" } else { "" };
        let line = line.strip_prefix(mark.as_bytes()).unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let ranks = match self.door {
            Scheme::Unix => [Rank::Operator { registered: false }, Rank::Operator { registered: true }],
            _ => [Rank::Unregistered, Rank::Member],
        };
        for rank in ranks {
            let meaning = grammar::meant(line, rank);
            // Only the hub knows the rank: what both ranks may ask is noted once, the rest in any case.
            if rank == ranks[0] || meaning != grammar::meant(line, ranks[0]) {
                self.note_meaning(meaning);
            }
        }
    }

    fn note_meaning(&mut self, meaning: Parsed<'_>) {
        let Parsed::Request(request) = meaning else { return };
        match request {
            Request::Register { nick, .. } | Request::Rename { nick } => {
                if let (Ok(key), Ok(nick)) = (name::fold(nick), nick.to_str()) {
                    self.keys.insert(key.into_owned());
                    self.names.insert(nick.to_owned());
                }
            }
            Request::Join { room } => {
                self.rooms.extend(name::fold(room).ok().map(|key| key.into_owned()));
            }
            Request::Direct { to, text } => {
                let keys = targets(to).filter_map(|name| name::fold(name).ok()).map(|key| key.into_owned());
                let to = To::People(keys.collect());
                self.said.push(Said { to, text: safe(text) });
            }
            Request::Say { room: None, text } => {
                self.said.push(Said { to: To::Room(None), text: safe(text) })
            }
            Request::Say { room: Some(room), text } => {
                if let Ok(key) = name::fold(room) {
                    self.said.push(Said { to: To::Room(Some(key.into_owned())), text: safe(text) });
                }
            }
            Request::Quit { message } => {
                self.said.push(Said { to: To::Company, text: safe(message) });
                self.quit = true;
            }
            Request::Ping { token } if token.is_empty() => self.owe("+pong".to_owned()),
            Request::Ping { token } => self.owe(format!("+pong {}", safe(token))),
            Request::Help => self.owe("+end help".to_owned()),
            Request::Announce { text } => self.said.push(Said { to: To::Everyone, text: safe(text) }),
            Request::Kick { reason, .. } => self.said.push(Said { to: To::Kicked, text: safe(reason) }),
            Request::Stats => self.stats = true,
            Request::Shutdown => self.shutdown = true,
            Request::Leave { .. } | Request::Who(_) | Request::Rooms => {}
            Request::Enter { .. } | Request::SayAs { .. } | Request::QuitAs { .. } => {
                unreachable!("no line means it")
            }
        }
    }

    pub fn enters(&self, room: &str) -> bool {
        room == "lobby" || self.rooms.contains(room)
    }

    /// An answer that depends on no other client.
    pub fn answer(&mut self, at: usize, line: &str) {
        let due = self.due.get(self.answered).map_or("nothing", String::as_str);
        let rest = line.strip_prefix(due);
        let holds = rest.is_some_and(|rest| rest.is_empty() || due == "!bad-byte");
        assert!(holds, "{at} is answered {line:?} where {due:?} is due");
        self.answered += 1;
    }

    /// Asserts that the direct message that is heard now was not queued behind half of a queue, give or take the one
    /// line that passes it.
    pub fn assert_room_for_direct(&self, at: usize, line: &str) {
        let place = self.bytes.saturating_sub(self.backlog.start);
        let most = MIN_QUEUE / 2 + 3 * self.max_line + 300;
        let holds = !self.backlog.contains(&self.bytes) || place <= most;
        assert!(holds, "{line:?} stood behind {place} bytes that {at} hadn't read");
    }

    /// Notes how much of a client's input was delivered.
    pub fn pass(&mut self, by: Option<usize>, passed: usize) {
        let Some(by) = by else { return };
        if self.passed.len() <= by {
            self.passed.resize(by + 1, 0);
        }
        self.passed[by] = passed;
    }

    /// Asserts that an undisturbed client has received all that is due.
    pub fn assert_served(&self, at: usize) {
        assert!(self.hearing.is_empty(), "{at} was left in the middle of {:?}", self.hearing.as_bstr());
        match self.farewell.as_deref() {
            None if self.maybe_kicked || !self.speaks_lines() => {}
            Some("+bye") | None => {
                assert_eq!(
                    self.answered,
                    self.due.len(),
                    "{at} is still owed {:?}",
                    self.due.get(self.answered)
                );
                assert_eq!(self.quit, self.farewell.is_some(), "{at} is told +bye if it asks to go");
            }
            Some(_) => {}
        }
    }
}

/// Printable ASCII.
fn plain(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().copied().filter(|byte| matches!(byte, b' '..=b'~'))
}
