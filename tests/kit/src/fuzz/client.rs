//! A client of a fuzzed session from its own side: its requests and messages, the answers that are due, and the output
//! that it has received. `grammar.rs` parses its input; no state comes from the server.

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

/// A client, from its own side.
pub(super) struct Client {
    pub scheme: Scheme,
    pub source: Source,
    max_line: usize,
    /// All input of a tutorial's client, in which the frame timeout ends messages; and the printable ASCII of it.
    sent: Vec<u8>,
    plain: Vec<u8>,
    /// Offsets in `sent` at which a message may begin: that of each slice, and those after each LF.
    starts: Vec<usize>,
    /// It was sent `NICKNAME`.
    pub prompted: bool,
    /// It has requested the server's stop, its figures.
    pub shutdown: bool,
    pub stats: bool,
    /// It may have been kicked: its output can also be the refusal of a name.
    pub maybe_kicked: bool,
    /// Input since the last LF; empty after a line has become too long.
    line: Vec<u8>,
    too_long: bool,
    /// The first line of the stream, which may begin with a byte order mark, has ended.
    is_past_first: bool,
    pub ended: bool,
    pub reset: bool,
    /// It doesn't read now, or didn't at some time.
    pub stalled: bool,
    pub has_stalled: bool,
    /// Time has passed while it didn't read: it may have been closed as too slow.
    pub may_be_closed: bool,
    /// It has quit; later input has no effect.
    pub quit: bool,
    /// All names that it has requested, as written and folded.
    pub names: BTreeSet<String>,
    pub keys: BTreeSet<String>,
    /// All rooms that it has requested to join, folded.
    pub rooms: BTreeSet<String>,
    /// All its messages, in order.
    pub messages: Vec<Message>,
    /// The answers that are due in order, whatever other clients do, and how many it has received.
    due: Vec<String>,
    answered: usize,
    /// Output since the last LF, and the lines and bytes of lines before.
    pub partial: Vec<u8>,
    pub lines: usize,
    pub bytes: usize,
    /// The range of its output that the server held when it last began to read again.
    pub backlog: Range<usize>,
    /// The final line that it has received.
    pub final_line: Option<String>,
    /// By index of the sender, the number of its messages up to the last one received.
    pub delivered: Vec<usize>,
}

/// The address of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Peer(PeerNo),
    Address(SocketAddr),
}

/// A message of a client; its text is made safe.
pub(super) struct Message {
    pub to: Recipients,
    pub text: String,
}

/// The recipients. All names are folded.
pub(super) enum Recipients {
    Users(Vec<String>),
    /// `None`: the current one.
    Room(Option<String>),
    /// The members of shared rooms.
    SharedRooms,
    /// All users, by an operator.
    All,
    /// The members of shared rooms, and the user that is kicked.
    Kicked,
}

impl Client {
    pub fn new(scheme: Scheme, source: Source, max_line: usize) -> Client {
        Client {
            scheme,
            source,
            max_line,
            sent: Vec::new(),
            plain: Vec::new(),
            starts: Vec::new(),
            prompted: false,
            shutdown: false,
            stats: false,
            maybe_kicked: false,
            line: Vec::new(),
            too_long: false,
            is_past_first: false,
            ended: false,
            reset: false,
            stalled: false,
            has_stalled: false,
            may_be_closed: false,
            quit: false,
            names: BTreeSet::new(),
            keys: BTreeSet::new(),
            rooms: BTreeSet::new(),
            messages: Vec::new(),
            due: Vec::new(),
            answered: 0,
            partial: Vec::new(),
            lines: 0,
            bytes: 0,
            backlog: 0..0,
            final_line: None,
            delivered: Vec::new(),
        }
    }

    /// Returns whether it uses the line protocol.
    pub fn uses_line_protocol(&self) -> bool {
        matches!(self.scheme, Scheme::Line | Scheme::Unix)
    }

    /// Returns whether it has, or may have, ever requested this name.
    pub fn claims(&self, name: &str) -> bool {
        let is_guest = || self.scheme == Scheme::Relay && name.starts_with("guest-");
        if self.uses_line_protocol() {
            self.names.contains(name)
        } else {
            self.sent.contains_str(name) || is_guest()
        }
    }

    /// Returns whether its input contains the ASCII of this text. A cut character is sent as another one.
    pub fn may_have_sent(&self, text: &str) -> bool {
        self.plain.contains_str(plain(text.as_bytes()).collect::<Vec<u8>>())
    }

    /// Returns whether it may have sent a message that begins with the ASCII of this text: without a name in front, or
    /// with a name in front that is equal to `name`.
    pub fn may_have_sent_as(&self, name: &str, text: &str) -> bool {
        let text: Vec<u8> = plain(text.as_bytes()).collect();
        let begins = |message: &[u8]| plain(message).take(text.len()).eq(text.iter().copied());
        // Mostly the name is written as it is shown, and folding is slow.
        let is_own = |nick: &[u8]| {
            let (nick, name) = (blankless(nick), name.as_bytes());
            nick == name || name::fold(nick).is_ok_and(|key| name::fold(name) == Ok(key))
        };
        self.starts.iter().any(|start| {
            let message = self.sent[*start..].split_str("\n").next().unwrap_or_default();
            match self.scheme {
                Scheme::Line | Scheme::Unix => false,
                Scheme::Classic => {
                    let text = message.strip_prefix(b"@").and_then(|message| message.split_once_str(":"));
                    text.is_some_and(|(_, text)| begins(text))
                }
                Scheme::Nickname | Scheme::Relay => {
                    let parts = message.split_once_str(":");
                    begins(message)
                        || parts.is_some_and(|(nick, text)| begins(blankless(text)) && is_own(nick))
                }
                Scheme::Udp => {
                    let rest = self.sent[*start..].strip_prefix(b"C ").map(blankless);
                    let parts = rest.and_then(|rest| rest.split_once_str(" "));
                    parts.is_some_and(|(nick, text)| begins(blankless(text)) && is_own(nick))
                }
            }
        })
    }

    pub fn note_sent(&mut self, slice: &[u8]) {
        if !self.uses_line_protocol() {
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
                self.push_due(format!("!line-too-long {}", self.max_line));
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

    fn push_due(&mut self, answer: String) {
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
            return self.push_due("!bad-byte".to_owned());
        }
        let mark = if is_first { "\u{FEFF}" } else { "" };
        let line = line.strip_prefix(mark.as_bytes()).unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let ranks = match self.scheme {
            Scheme::Unix => [Rank::Operator { registered: false }, Rank::Operator { registered: true }],
            _ => [Rank::Unregistered, Rank::Member],
        };
        for rank in ranks {
            let parsed = grammar::to_server(line, rank);
            // Only the hub knows the rank: an equal result of both ranks is noted once, other results both.
            if rank == ranks[0] || parsed != grammar::to_server(line, ranks[0]) {
                self.note_parsed(parsed);
            }
        }
    }

    fn note_parsed(&mut self, parsed: Parsed<'_>) {
        let Parsed::Request(request) = parsed else { return };
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
                let to = Recipients::Users(keys.collect());
                self.messages.push(Message { to, text: safe(text) });
            }
            Request::Say { room: None, text } => {
                self.messages.push(Message { to: Recipients::Room(None), text: safe(text) })
            }
            Request::Say { room: Some(room), text } => {
                if let Ok(key) = name::fold(room) {
                    self.messages
                        .push(Message { to: Recipients::Room(Some(key.into_owned())), text: safe(text) });
                }
            }
            Request::Quit { message } => {
                self.messages.push(Message { to: Recipients::SharedRooms, text: safe(message) });
                self.quit = true;
            }
            Request::Ping { token } if token.is_empty() => self.push_due("+pong".to_owned()),
            Request::Ping { token } => self.push_due(format!("+pong {}", safe(token))),
            Request::Help => self.push_due("+end help".to_owned()),
            Request::Announce { text } => {
                self.messages.push(Message { to: Recipients::All, text: safe(text) })
            }
            Request::Kick { reason, .. } => {
                self.messages.push(Message { to: Recipients::Kicked, text: safe(reason) })
            }
            Request::Stats => self.stats = true,
            Request::Shutdown => self.shutdown = true,
            Request::Leave { .. } | Request::Who(_) | Request::Rooms => {}
            Request::Enter { .. } | Request::SayAs { .. } | Request::QuitAs { .. } => {
                unreachable!("no line is parsed to it")
            }
        }
    }

    pub fn has_joined(&self, room: &str) -> bool {
        room == "lobby" || self.rooms.contains(room)
    }

    /// Asserts that an answer that depends on no other client is the next one due.
    pub fn check_answer(&mut self, at: usize, line: &str) {
        let due = self.due.get(self.answered).map_or("nothing", String::as_str);
        let rest = line.strip_prefix(due);
        let holds = rest.is_some_and(|rest| rest.is_empty() || due == "!bad-byte");
        assert!(holds, "{at} received {line:?} instead of {due:?}");
        self.answered += 1;
    }

    /// Asserts that the direct message received now was queued after at most half of a queue, and the one line that may
    /// pass the half.
    pub fn assert_room_for_direct(&self, at: usize, line: &str) {
        let unread = self.bytes.saturating_sub(self.backlog.start);
        let max = MIN_QUEUE / 2 + 3 * self.max_line + 300;
        let holds = !self.backlog.contains(&self.bytes) || unread <= max;
        assert!(holds, "{line:?} was queued after {unread} bytes unread by {at}");
    }

    /// Notes how many messages of a sender are delivered.
    pub fn note_delivered(&mut self, by: Option<usize>, count: usize) {
        let Some(by) = by else { return };
        if self.delivered.len() <= by {
            self.delivered.resize(by + 1, 0);
        }
        self.delivered[by] = count;
    }

    /// Asserts that an undisturbed client has received all that is due.
    pub fn assert_complete(&self, at: usize) {
        assert!(self.partial.is_empty(), "{at} received an incomplete line: {:?}", self.partial.as_bstr());
        match self.final_line.as_deref() {
            None if self.maybe_kicked || !self.uses_line_protocol() => {}
            Some("+bye") | None => {
                assert_eq!(
                    self.answered,
                    self.due.len(),
                    "{at} hasn't received {:?}",
                    self.due.get(self.answered)
                );
                assert_eq!(self.quit, self.final_line.is_some(), "{at} receives +bye if it quits");
            }
            Some(_) => {}
        }
    }
}

/// Printable ASCII.
fn plain(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().copied().filter(|byte| matches!(byte, b' '..=b'~'))
}
