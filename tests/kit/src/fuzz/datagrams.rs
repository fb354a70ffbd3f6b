//! The fuzz body for peers with datagrams: any bytes from several addresses, over a long time, and an operator on a
//! Unix socket. The output to each is checked against what `dialects.md` says of each datagram.

use super::grammar::{blankless, may_be_shown, safe};
use super::script::Script;
use crate::{Fault, Faults, PeerNo, Sim};
use bstr::ByteSlice;
use redpoll::limits::{
    AMPLIFICATION_LIMIT, KIB, KICKED_FOR, Limits, MAX_SHORT_MESSAGE, MAX_SILENCE, MAX_UNSOLICITED,
};
use redpoll::protocol::Time;
use redpoll::protocol::name::{self, Name, Skeletons};
use redpoll::protocol::scheme::Scheme;
use std::net::SocketAddr;
use std::time::Duration;

/// Number of source addresses.
const ADDRESSES: usize = 5;

/// Total input of all addresses and the operator, with `COST` for each datagram and line.
const MAX_SENT: usize = 128 * KIB;
const COST: usize = 128;

/// Maximum input before the server runs: as much as it handles in one turn.
const MAX_PENDING: usize = 32;
const MAX_PENDING_BYTES: usize = 8 * KIB;

/// The actions of a script; all other bytes are the input of the next action.
mod action {
    /// Sends a datagram from the current address; then the address of the next byte is the current one.
    pub const SELECT: u8 = 0xF5;
    /// Sends a datagram; the server doesn't run yet.
    pub const SEND: u8 = 0xF6;
    /// Sends a datagram, and the server runs.
    pub const RUN: u8 = 0xF7;
    /// The operator sends it to the lobby.
    pub const SAY: u8 = 0xF8;
    /// The operator sends it to the user named before the first `:`.
    pub const DIRECT: u8 = 0xF9;
    /// The operator kicks the user with this name.
    pub const KICK: u8 = 0xFA;
    /// The operator announces it.
    pub const ANNOUNCE: u8 = 0xFB;
    /// Sends a datagram; then sends fail with the percentage of the next byte.
    pub const FAIL: u8 = 0xFC;
    /// Sends a datagram; then five seconds pass, as many times as the next byte says.
    pub const PASS: u8 = 0xFD;
    /// Sends the last datagram again, as many times as the next byte says.
    pub const REPEAT: u8 = 0xFE;
    /// Repeats the operator's last command, as many times as the next byte says.
    pub const AGAIN: u8 = 0xFF;
}

/// For any datagrams from any addresses:
///
/// - an unregistered address is never sent more than three times the bytes that it has sent, and a registered one at
///   most 64 KiB after its last datagram;
/// - every datagram from the server is one message, not empty, valid UTF-8 without controls, at most 1024 bytes;
/// - each address is sent exactly what `dialects.md` says, in order, if its send credit suffices and no send fails; a
///   part of that otherwise. So a `C` or `Q` with a name of another address has no effect, no source sends for
///   another, names are unique, and a line peer receives the same;
/// - the server keeps no state for an unregistered address;
/// - an address that is silent for ten minutes is closed, to the millisecond, and its name is free; the name of a
///   kicked one is free after a minute;
/// - in the end all are closed, and the server is empty.
///
/// The input: bytes and the actions of `action`.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_datagrams(data: &[u8]) {
    let mut script = Script::new(data);
    let mut session = Session::new();
    let mut slice = Vec::new();
    while let Some(byte) = script.byte() {
        if byte < action::SELECT {
            slice.push(byte);
        } else {
            session.act(byte, &std::mem::take(&mut slice), &mut script);
        }
    }
    session.end(&slice);
}

/// A message that a source must receive.
#[derive(Debug)]
enum Due {
    /// This text.
    Text(String),
    /// A refusal with this code.
    Refusal(&'static str),
    /// A refusal to an unregistered address, if it takes at most this number of bytes.
    Limited(&'static str, usize),
}

/// The modelled state of a source address.
#[derive(Debug, Default)]
struct Address {
    /// Its name as written and folded.
    name: Option<(String, String)>,
    /// Time of its last datagram while registered.
    last_datagram: Time,
    /// Messages due since the server was last idle.
    due: Vec<Due>,
    /// It has sent a datagram that the server hasn't handled.
    has_sent: bool,
    /// Bytes sent to it since its last datagram.
    unsolicited: usize,
}

/// A server, addresses and an operator.
struct Session {
    sim: Sim,
    operator: PeerNo,
    /// Lines due to the operator.
    due: Vec<String>,
    addresses: [Address; ADDRESSES],
    /// Registered addresses, in the order of their last datagrams.
    order: Vec<usize>,
    kicked: Vec<(Time, String)>,
    current: usize,
    last: Vec<u8>,
    /// The operator's last command.
    last_command: (u8, Vec<u8>),
    pending: usize,
    pending_bytes: usize,
    failing: bool,
    budget: usize,
}

const OPERATOR: &str = "Olga";

impl Session {
    fn new() -> Session {
        // Above the rate datagrams are dropped, so their effect would be unknown.
        let limits = Limits { rate: None, ..Limits::default() };
        let mut sim = Sim::with_schemes(limits, &[Scheme::Unix, Scheme::Udp]);
        let operator = sim.connect();
        sim.send(operator, format!("#{OPERATOR}\n"));
        sim.run();
        sim.take(operator);
        Session {
            sim,
            operator,
            due: Vec::new(),
            addresses: Default::default(),
            order: Vec::new(),
            kicked: Vec::new(),
            current: 0,
            last: Vec::new(),
            last_command: (action::SAY, Vec::new()),
            pending: 0,
            pending_bytes: 0,
            failing: false,
            budget: MAX_SENT,
        }
    }

    fn act(&mut self, action: u8, slice: &[u8], script: &mut Script<'_>) {
        match action {
            action::SAY | action::DIRECT | action::KICK | action::ANNOUNCE => {
                self.operate(action, slice);
                self.last_command = (action, slice.to_vec());
            }
            action::AGAIN => {
                let (action, slice) = self.last_command.clone();
                (0..script.below(256)).for_each(|_| self.operate(action, &slice));
            }
            action::REPEAT => {
                let last = self.last.clone();
                (0..script.below(256)).for_each(|_| self.send(&last));
            }
            // Only RUN sends a datagram of no bytes.
            _ if slice.is_empty() && action != action::RUN => {}
            _ => {
                self.send(slice);
                self.last = slice.to_vec();
            }
        }
        match action {
            action::SEND => {}
            action::SELECT => self.current = script.below(ADDRESSES),
            action::RUN => self.run(),
            action::FAIL => {
                let percent = script.below(96);
                self.run();
                self.failing = percent > 0;
                let faults = Faults::none(7).with(Fault::BlockedSend, 10 * percent as u16);
                self.sim.sockets().set_faults(self.failing.then_some(faults));
            }
            action::PASS => {
                let time = Duration::from_secs(5) * script.below(256) as u32;
                self.pass(time);
            }
            _ => {}
        }
    }

    /// Takes the cost of a datagram or line from the budget; returns false if that is too small.
    fn take_budget(&mut self, bytes: usize) -> bool {
        let left = self.budget.checked_sub(bytes + COST);
        left.into_iter().for_each(|left| self.budget = left);
        left.is_some()
    }

    /// Sends a datagram from the current address.
    fn send(&mut self, datagram: &[u8]) {
        if !self.take_budget(datagram.len()) {
            return;
        }
        let at = self.current;
        if self.pending >= MAX_PENDING || self.pending_bytes >= MAX_PENDING_BYTES {
            self.run();
        }
        self.sim.send_datagram(1, source(at), datagram);
        self.pending += 1;
        let was_registered = self.addresses[at].name.is_some();
        if was_registered {
            self.note_activity(at);
        }
        self.apply(at, datagram);
        if self.addresses[at].name.is_some() {
            self.note_activity(at);
        } else if was_registered {
            // Further datagrams in the turn in which an address left have no effect.
            self.run();
        }
    }

    fn note_activity(&mut self, at: usize) {
        let now = self.sim.now();
        let address = &mut self.addresses[at];
        address.has_sent = true;
        address.last_datagram = now;
        self.order.retain(|other| *other != at);
        self.order.push(at);
    }

    /// Applies a datagram to the model.
    fn apply(&mut self, at: usize, datagram: &[u8]) {
        let message = datagram.strip_suffix(b"\n").unwrap_or(datagram);
        if datagram.len() > MAX_SHORT_MESSAGE {
            return self.refuse(at, "line-too-long", datagram.len());
        }
        if message.contains(&0) {
            return self.refuse(at, "bad-byte", datagram.len());
        }
        let Some((b"L" | b"C" | b"Q", rest)) = message.split_once_str(" ") else { return };
        let rest = blankless(rest);
        match message[0] {
            b'L' => self.register(at, rest, datagram.len()),
            b'Q' => {
                if self.owns(at, rest) {
                    self.leave(at, "");
                    self.push_due(at, Due::Text("EXIT".to_owned()));
                }
            }
            _ => {
                let (nick, text) = rest.split_once_str(" ").unwrap_or((rest, b""));
                let text = blankless(text);
                if !self.owns(at, nick) {
                } else if text.is_empty() {
                    self.refuse(at, "empty-text", 0);
                } else {
                    let shown = self.addresses[at].name.clone().map_or_else(String::new, |(shown, _)| shown);
                    self.due.push(format!("{shown}: {}", safe(text)));
                    self.send_others(Some(at), &format!("{shown} : {}", safe(text)));
                }
            }
        }
    }

    fn register(&mut self, at: usize, nick: &[u8], bytes: usize) {
        let now = self.sim.now();
        let Ok(name) = Name::new(nick) else { return self.refuse(at, "nick-invalid", bytes) };
        let (shown, key) = (name.shown().to_owned(), name.folded().to_owned());
        if name::is_reserved(&name) {
            return self.refuse(at, "nick-reserved", bytes);
        }
        let skeletons = Skeletons::of(&name);
        let is_taken = |other: &str| {
            other == key
                || Name::new(other.as_bytes())
                    .is_ok_and(|other| skeletons.is_confusable_with(&Skeletons::of(&other)))
        };
        if self.kicked.iter().any(|(until, other)| *until > now && is_taken(other)) {
            return self.refuse(at, "kicked", bytes);
        }
        let mut others = self.addresses.iter().enumerate().filter(|(other, _)| *other != at);
        let taken = others.any(|(_, address)| address.name.as_ref().is_some_and(|(_, key)| is_taken(key)));
        if taken || is_taken(&OPERATOR.to_lowercase()) {
            return self.push_due(at, Due::Text("occupied".to_owned()));
        }
        self.push_due(at, Due::Text("OK".to_owned()));
        match self.addresses[at].name.replace((shown.clone(), key)) {
            None => {
                self.due.push(format!("* {shown} joined"));
                self.send_others(Some(at), &format!("Welcome {shown} to the chat room"));
            }
            Some((former, _)) if former != shown => {
                self.due.push(format!("* {former} is now {shown}"));
                self.send_others(Some(at), &format!("{former} is now {shown}"));
            }
            Some(_) => {}
        }
    }

    /// Sends a command as the operator and applies it to the model.
    fn operate(&mut self, action: u8, words: &[u8]) {
        let words: Vec<u8> =
            words.iter().copied().filter(|byte| !b"\n\r\0".contains(byte)).take(KIB).collect();
        if words.is_empty() || !self.take_budget(words.len() * ADDRESSES) {
            return;
        }
        self.run();
        let mut line = Vec::new();
        match action {
            action::SAY => {
                line.extend_from_slice(b"/say ");
                self.send_others(None, &format!("{OPERATOR} : {}", safe(&words)));
            }
            action::ANNOUNCE => {
                line.extend_from_slice(b"/announce ");
                self.due.push(format!("* administrator: {}", safe(&words)));
                self.send_others(None, &format!("administrator : {}", safe(&words)));
            }
            action::DIRECT => {
                line.push(b'@');
                let Some((nick, text)) = words.split_once_str(":") else { return };
                if nick.contains(&b',') || text.is_empty() {
                    return;
                }
                let key = folded(nick);
                if key == OPERATOR.to_lowercase() {
                    self.due.push(format!("@{OPERATOR}:{}", safe(text)));
                } else if let Some(to) = self.holder(&key) {
                    self.push_due(to, Due::Text(format!("@{OPERATOR}: {}", safe(text))));
                }
            }
            _ => {
                line.extend_from_slice(b"/kick ");
                let key = folded(&words);
                if words.contains(&b' ') || words.contains(&b'\t') || key == OPERATOR.to_lowercase() {
                    return;
                }
                if let Some(at) = self.holder(&key) {
                    self.push_due(at, Due::Text("!kicked".to_owned()));
                    self.leave(at, "kicked");
                    self.kicked.push((self.sim.now() + KICKED_FOR, key));
                }
            }
        }
        line.extend_from_slice(&words);
        line.push(b'\n');
        self.sim.send(self.operator, line);
        self.run();
    }

    /// Frees a name; the other users receive the leaving.
    fn leave(&mut self, at: usize, reason: &str) {
        let Some((shown, _)) = self.addresses[at].name.take() else { return };
        self.order.retain(|other| *other != at);
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        self.due.push(format!("* {shown} left{reason}"));
        self.send_others(None, &format!("{shown} exited the chat room"));
    }

    fn holder(&self, key: &str) -> Option<usize> {
        let holds = |address: &Address| address.name.as_ref().is_some_and(|(_, name)| name == key);
        self.addresses.iter().position(holds)
    }

    fn owns(&self, at: usize, nick: &[u8]) -> bool {
        self.holder(&folded(nick)) == Some(at)
    }

    fn refuse(&mut self, at: usize, code: &'static str, bytes: usize) {
        match self.addresses[at].name {
            Some(_) => self.push_due(at, Due::Refusal(code)),
            None => self.push_due(at, Due::Limited(code, bytes * AMPLIFICATION_LIMIT)),
        }
    }

    fn send_others(&mut self, except: Option<usize>, text: &str) {
        for at in 0..ADDRESSES {
            if Some(at) != except && self.addresses[at].name.is_some() {
                self.push_due(at, Due::Text(text.to_owned()));
            }
        }
    }

    fn push_due(&mut self, at: usize, due: Due) {
        let due = match due {
            Due::Text(text) => Due::Text(cut(text)),
            due => due,
        };
        self.pending_bytes += due.max_len();
        self.addresses[at].due.push(due);
    }

    /// Runs the server until it is idle, and checks that all messages due are received.
    fn run(&mut self) {
        self.sim.run();
        self.check();
    }

    /// Lets time pass, in which silent addresses are closed.
    fn pass(&mut self, time: Duration) {
        self.run();
        let end = self.sim.now() + time;
        while let Some(&at) = self.order.first()
            && self.addresses[at].last_datagram + MAX_SILENCE <= end
        {
            let until = self.addresses[at].last_datagram + MAX_SILENCE;
            let mut silent = Vec::new();
            let due = self.addresses.each_ref().map(|address| address.due.len());
            while let Some(&at) = self.order.first()
                && self.addresses[at].last_datagram + MAX_SILENCE == until
            {
                self.leave(at, "silent");
                silent.push(at);
            }
            // A source that leaves at the same time receives nothing more.
            silent.into_iter().for_each(|at| self.addresses[at].due.truncate(due[at]));
        }
        self.sim.pass(time);
        self.check();
    }

    /// Asserts what holds whenever the server is idle.
    fn check(&mut self) {
        (self.pending, self.pending_bytes) = (0, 0);
        self.sim.reactor().server().invariants();
        let received = self.sim.lines(self.operator);
        let received: Vec<&String> = received.iter().filter(|line| !line.starts_with(['+', '!'])).collect();
        assert!(
            received.iter().copied().eq(&self.due),
            "the operator received {received:?} instead of {:?}",
            self.due
        );
        self.due.clear();
        for at in 0..ADDRESSES {
            let datagrams = self.sim.datagrams(source(at));
            self.addresses[at].receive(at, &datagrams, self.failing);
        }
        let names = self.addresses.iter().filter(|address| address.name.is_some()).count();
        assert_eq!(
            self.sim.reactor().server().connections.count().0,
            names + 1,
            "no state for unregistered addresses"
        );
        assert_eq!(self.sim.reactor().server().hub().registered(), names + 1, "registered names");
    }

    fn end(mut self, slice: &[u8]) {
        if !slice.is_empty() {
            self.send(slice);
        }
        self.pass(MAX_SILENCE);
        assert!(self.addresses.iter().all(|address| address.name.is_none()), "silent addresses are closed");
        self.sim.end(self.operator);
        self.sim.pass(Duration::from_secs(2));
        let server = self.sim.reactor().server();
        assert_eq!(
            (server.connections.count().0, server.hub().registered(), server.connections.input().buffers()),
            (0, 0, 0)
        );
    }
}

impl Address {
    /// Checks the received datagrams against those due.
    fn receive(&mut self, at: usize, datagrams: &[Vec<u8>], failing: bool) {
        let mut due = std::mem::take(&mut self.due).into_iter();
        if std::mem::take(&mut self.has_sent) {
            self.unsolicited = 0;
        }
        for datagram in datagrams {
            let text = datagram.to_str().expect("the server sends UTF-8");
            assert!(
                !text.is_empty() && text.len() <= MAX_SHORT_MESSAGE,
                "{} bytes in a datagram",
                text.len()
            );
            assert!(may_be_shown(text), "not safe to show: {text:?}");
            let next = due.find(|due| {
                let is_next = due.is(text);
                assert!(
                    is_next
                        || failing
                        || self.unsolicited + due.max_len() > MAX_UNSOLICITED
                        || due.is_optional(),
                    "{at} received {text:?} instead of {due:?}"
                );
                is_next
            });
            assert!(next.is_some(), "{at} received {text:?}, which isn't due");
            let is_answer = next.is_some_and(|due| due.is_optional());
            self.unsolicited += if is_answer { 0 } else { text.len() };
            assert!(self.unsolicited <= MAX_UNSOLICITED, "{at} received too much unsolicited");
        }
        for due in due {
            let fits = self.unsolicited + due.max_len() <= MAX_UNSOLICITED;
            assert!(!fits || failing || due.is_optional(), "{at} hasn't received {due:?}");
        }
    }
}

impl Due {
    fn is(&self, text: &str) -> bool {
        let has_code = |code: &str| text.strip_prefix('!').is_some_and(|rest| rest.starts_with(code));
        match self {
            Due::Text(due) => due == text,
            Due::Refusal(code) => has_code(code),
            Due::Limited(code, max) => has_code(code) && text.len() <= *max,
        }
    }

    /// Returns its maximum number of bytes.
    fn max_len(&self) -> usize {
        match self {
            Due::Text(text) => text.len(),
            Due::Refusal(_) | Due::Limited(..) => MAX_SHORT_MESSAGE,
        }
    }

    fn is_optional(&self) -> bool {
        matches!(self, Due::Limited(..))
    }
}

fn source(at: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000 + at as u16))
}

fn folded(nick: &[u8]) -> String {
    name::fold(blankless(nick)).map_or(String::new(), |key| key.into_owned())
}

/// Cuts a message to the maximum of this dialect, which counts an LF that is not sent.
fn cut(text: String) -> String {
    let max = MAX_SHORT_MESSAGE - 1;
    if text.len() <= max {
        return text;
    }
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= max).last();
    text[..end.unwrap_or(0)].to_owned()
}
