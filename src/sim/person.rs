//! A connection of a fuzzed session as its peer knows it: what it asked for, what it said, what it must be answered, and
//! how far it has heard. Read from the bytes that it sent by `grammar.rs`, not from anything the server did with them.

use super::grammar::{self, safe, targets};
use crate::limits::{MIN_MAX_LINE, MIN_QUEUE};
use crate::message::{Meaning, Rank, Request};
use crate::name;
use bstr::ByteSlice;
use std::collections::BTreeSet;
use std::ops::Range;

/// A connection, as its peer knows it.
#[derive(Default)]
pub(super) struct Person {
    /// What it has sent since the last LF; empty while the rest of a line too long goes by.
    line: Vec<u8>,
    too_long: bool,
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

/// Something that somebody said, made safe.
pub(super) struct Said {
    pub to: To,
    pub text: String,
}

/// To whom. All names are folded.
pub(super) enum To {
    People(Vec<String>),
    /// `None`: the current one, whichever that was.
    Room(Option<String>),
    /// Those who are left behind.
    Company,
}

impl Person {
    pub fn note_sent(&mut self, slice: &[u8]) {
        for piece in slice.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() > MIN_MAX_LINE && !self.too_long {
                self.too_long = true;
                self.owe(format!("!line-too-long {MIN_MAX_LINE}"));
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
        if std::mem::take(&mut self.too_long) || self.quit {
            return;
        }
        if line.contains(&0) {
            return self.owe("!bad-byte".to_owned());
        }
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        for rank in [Rank::Stranger, Rank::Member] {
            let meaning = grammar::meant(line, rank);
            // Who is registered is for the hub to say: what both ranks may ask is noted once, the rest in any case.
            if rank == Rank::Stranger || meaning != grammar::meant(line, Rank::Stranger) {
                self.note_meaning(meaning);
            }
        }
    }

    fn note_meaning(&mut self, meaning: Meaning<'_>) {
        let Meaning::Request(request) = meaning else { return };
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
            Request::Leave { .. } | Request::Who(_) | Request::Rooms => {}
            Request::Enter { .. }
            | Request::SayAs { .. }
            | Request::QuitAs { .. }
            | Request::Announce { .. }
            | Request::Kick { .. }
            | Request::Stats
            | Request::Shutdown => unreachable!("lines can't mean it to those who aren't operators"),
        }
    }

    pub fn enters(&self, room: &str) -> bool {
        room == "lobby" || self.rooms.contains(room)
    }

    /// One of the answers that don't depend on anyone else.
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
        let most = MIN_QUEUE / 2 + 3 * MIN_MAX_LINE + 300;
        let holds = !self.backlog.contains(&self.bytes) || place <= most;
        assert!(holds, "{line:?} stood behind {place} bytes that {at} hadn't read");
    }

    /// Notes how much of what somebody said has passed by.
    pub fn pass(&mut self, by: Option<usize>, passed: usize) {
        let Some(by) = by else { return };
        if self.passed.len() <= by {
            self.passed.resize(by + 1, 0);
        }
        self.passed[by] = passed;
    }

    /// Asserts that one who was left in peace has got whatever was due.
    pub fn assert_served(&self, at: usize) {
        assert!(self.hearing.is_empty(), "{at} was left in the middle of {:?}", self.hearing.as_bstr());
        match self.farewell.as_deref() {
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
