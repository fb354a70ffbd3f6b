//! The fuzz body for peers that speak by datagrams: any bytes from several addresses, a long time, and an operator on a
//! line of its own; what each is sent is held against what `dialects.md` says of every one of these datagrams.

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

/// Addresses in a story.
const ADDRESSES: usize = 5;

/// Bytes that all may send in one story, each datagram and line counted as some more.
const MAX_SENT: usize = 128 * KIB;
const COST: usize = 128;

/// What may be on its way before the server works: so much is done in one turn.
const MAX_PENDING: usize = 32;
const MAX_PENDING_BYTES: usize = 8 * KIB;

/// The deeds of a script; all other bytes are what is sent with the next deed.
mod deed {
    /// A datagram from the present address; those that follow come from the address of the next byte.
    pub const FROM: u8 = 0xF5;
    /// A datagram. It waits with others until the server works.
    pub const SEND: u8 = 0xF6;
    /// A datagram, and the server works.
    pub const RUN: u8 = 0xF7;
    /// The operator says it in the lobby.
    pub const SAY: u8 = 0xF8;
    /// The operator sends it to the user named before the first `:`.
    pub const TELL: u8 = 0xF9;
    /// The operator ends the connection of the one of this name.
    pub const KICK: u8 = 0xFA;
    /// The operator announces it.
    pub const ANNOUNCE: u8 = 0xFB;
    /// A datagram; then sends fail as often as the next byte says, in percent.
    pub const FAIL: u8 = 0xFC;
    /// A datagram; then five seconds pass, as often as the next byte says.
    pub const PASS: u8 = 0xFD;
    /// The last datagram once more, as often as the next byte says.
    pub const REPEAT: u8 = 0xFE;
    /// What the operator did last with words, as often as the next byte says.
    pub const AGAIN: u8 = 0xFF;
}

/// Whatever comes from whatever addresses:
///
/// - an address without a name is never sent more than three times the bytes that it sent, and one with a name at most
///   64 KiB behind its last datagram;
/// - every datagram that is sent is one message, not empty, valid UTF-8 without controls, at most 1024 bytes;
/// - each is sent exactly what `dialects.md` says, in order, where its allowance suffices and no send fails; some of it
///   otherwise. So a `C` or `Q` with a name that wasn't entered from its address has no effect, no source sends for another,
///   names are unique, and a line peer hears the same;
/// - of an address without a name nothing is kept;
/// - one that is silent for ten minutes is gone, to the millisecond, and its name is free; that of a kicked one is
///   after a minute;
/// - in the end all are gone, and the server is empty.
///
/// The input: bytes and the deeds of `deed` below.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_datagrams(data: &[u8]) {
    let mut script = Script::new(data);
    let mut story = Story::new();
    let mut slice = Vec::new();
    while let Some(byte) = script.byte() {
        if byte < deed::FROM {
            slice.push(byte);
        } else {
            story.act(byte, &std::mem::take(&mut slice), &mut script);
        }
    }
    story.end(&slice);
}

/// What a source must be sent.
#[derive(Debug)]
enum Due {
    /// These words.
    Text(String),
    /// A refusal of this code.
    Refusal(&'static str),
    /// A refusal to an address without a name, if it takes at most so many bytes.
    Answer(&'static str, usize),
}

/// A source address, as it is known from the page.
#[derive(Debug, Default)]
struct Address {
    /// As written and folded.
    name: Option<(String, String)>,
    /// When its last datagram came, while it has a name.
    renew_credit: Time,
    /// What it has been due since the server last was at rest.
    due: Vec<Due>,
    /// It has sent something that is on its way.
    speaks: bool,
    /// Bytes that it was sent behind its last datagram.
    unasked: usize,
}

/// A server, addresses and an operator.
struct Story {
    sim: Sim,
    operator: PeerNo,
    /// What the operator is to hear.
    due: Vec<String>,
    addresses: [Address; ADDRESSES],
    /// Those with names, in the order in which they last spoke.
    order: Vec<usize>,
    kicked: Vec<(Time, String)>,
    present: usize,
    last: Vec<u8>,
    /// What the operator did last.
    done: (u8, Vec<u8>),
    pending: usize,
    pending_bytes: usize,
    failing: bool,
    budget: usize,
}

const OPERATOR: &str = "Olga";

impl Story {
    fn new() -> Story {
        // Above the rate datagrams are lost, and so nothing could be said of them.
        let limits = Limits { rate: None, ..Limits::default() };
        let mut sim = Sim::with_schemes(limits, &[Scheme::Unix, Scheme::Udp]);
        let operator = sim.connect();
        sim.send(operator, format!("#{OPERATOR}\n"));
        sim.run();
        sim.take(operator);
        Story {
            sim,
            operator,
            due: Vec::new(),
            addresses: Default::default(),
            order: Vec::new(),
            kicked: Vec::new(),
            present: 0,
            last: Vec::new(),
            done: (deed::SAY, Vec::new()),
            pending: 0,
            pending_bytes: 0,
            failing: false,
            budget: MAX_SENT,
        }
    }

    fn act(&mut self, deed: u8, slice: &[u8], script: &mut Script<'_>) {
        match deed {
            deed::SAY | deed::TELL | deed::KICK | deed::ANNOUNCE => {
                self.operate(deed, slice);
                self.done = (deed, slice.to_vec());
            }
            deed::AGAIN => {
                let (deed, slice) = self.done.clone();
                (0..script.below(256)).for_each(|_| self.operate(deed, &slice));
            }
            deed::REPEAT => {
                let last = self.last.clone();
                (0..script.below(256)).for_each(|_| self.send(&last));
            }
            // Only RUN sends a datagram of no bytes.
            _ if slice.is_empty() && deed != deed::RUN => {}
            _ => {
                self.send(slice);
                self.last = slice.to_vec();
            }
        }
        match deed {
            deed::SEND => {}
            deed::FROM => self.present = script.below(ADDRESSES),
            deed::RUN => self.run(),
            deed::FAIL => {
                let percent = script.below(96);
                self.run();
                self.failing = percent > 0;
                let faults = Faults::none(7).with(Fault::BlockedSend, 10 * percent as u16);
                self.sim.sockets().set_faults(self.failing.then_some(faults));
            }
            deed::PASS => {
                let time = Duration::from_secs(5) * script.below(256) as u32;
                self.pass(time);
            }
            _ => {}
        }
    }

    /// Whether so many bytes more may be sent.
    fn pays(&mut self, bytes: usize) -> bool {
        let left = self.budget.checked_sub(bytes + COST);
        left.into_iter().for_each(|left| self.budget = left);
        left.is_some()
    }

    /// A datagram from the present address.
    fn send(&mut self, datagram: &[u8]) {
        if !self.pays(datagram.len()) {
            return;
        }
        let at = self.present;
        if self.pending >= MAX_PENDING || self.pending_bytes >= MAX_PENDING_BYTES {
            self.run();
        }
        self.sim.send_datagram(1, source(at), datagram);
        self.pending += 1;
        let had_name = self.addresses[at].name.is_some();
        if had_name {
            self.speak(at);
        }
        self.mean(at, datagram);
        if self.addresses[at].name.is_some() {
            self.speak(at);
        } else if had_name {
            // Nothing counts that comes from an address in the turn in which it left.
            self.run();
        }
    }

    fn speak(&mut self, at: usize) {
        let now = self.sim.now();
        let address = &mut self.addresses[at];
        address.speaks = true;
        address.renew_credit = now;
        self.order.retain(|other| *other != at);
        self.order.push(at);
    }

    /// What a datagram brings about.
    fn mean(&mut self, at: usize, datagram: &[u8]) {
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
            b'L' => self.enter(at, rest, datagram.len()),
            b'Q' => {
                if self.owns(at, rest) {
                    self.go(at, "");
                    self.owe(at, Due::Text("EXIT".to_owned()));
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
                    self.tell_others(Some(at), &format!("{shown} : {}", safe(text)));
                }
            }
        }
    }

    fn enter(&mut self, at: usize, nick: &[u8], bytes: usize) {
        let now = self.sim.now();
        let Ok(name) = Name::new(nick) else { return self.refuse(at, "nick-invalid", bytes) };
        let (shown, key) = (name.shown().to_owned(), name.folded().to_owned());
        if name::is_reserved(&name) {
            return self.refuse(at, "nick-reserved", bytes);
        }
        let looks = Skeletons::of(&name);
        let clashes = |other: &str| {
            other == key
                || Name::new(other.as_bytes())
                    .is_ok_and(|other| looks.is_confusable_with(&Skeletons::of(&other)))
        };
        if self.kicked.iter().any(|(until, other)| *until > now && clashes(other)) {
            return self.refuse(at, "kicked", bytes);
        }
        let mut others = self.addresses.iter().enumerate().filter(|(other, _)| *other != at);
        let taken = others.any(|(_, address)| address.name.as_ref().is_some_and(|(_, key)| clashes(key)));
        if taken || clashes(&OPERATOR.to_lowercase()) {
            return self.owe(at, Due::Text("occupied".to_owned()));
        }
        self.owe(at, Due::Text("OK".to_owned()));
        match self.addresses[at].name.replace((shown.clone(), key)) {
            None => {
                self.due.push(format!("* {shown} joined"));
                self.tell_others(Some(at), &format!("Welcome {shown} to the chat room"));
            }
            Some((former, _)) if former != shown => {
                self.due.push(format!("* {former} is now {shown}"));
                self.tell_others(Some(at), &format!("{former} is now {shown}"));
            }
            Some(_) => {}
        }
    }

    /// The operator does something with words.
    fn operate(&mut self, deed: u8, words: &[u8]) {
        let words: Vec<u8> =
            words.iter().copied().filter(|byte| !b"\n\r\0".contains(byte)).take(KIB).collect();
        if words.is_empty() || !self.pays(words.len() * ADDRESSES) {
            return;
        }
        self.run();
        let mut line = Vec::new();
        match deed {
            deed::SAY => {
                line.extend_from_slice(b"/say ");
                self.tell_others(None, &format!("{OPERATOR} : {}", safe(&words)));
            }
            deed::ANNOUNCE => {
                line.extend_from_slice(b"/announce ");
                self.due.push(format!("* administrator: {}", safe(&words)));
                self.tell_others(None, &format!("administrator : {}", safe(&words)));
            }
            deed::TELL => {
                line.push(b'@');
                let Some((nick, text)) = words.split_once_str(":") else { return };
                if nick.contains(&b',') || text.is_empty() {
                    return;
                }
                let key = folded(nick);
                if key == OPERATOR.to_lowercase() {
                    self.due.push(format!("@{OPERATOR}:{}", safe(text)));
                } else if let Some(to) = self.holder(&key) {
                    self.owe(to, Due::Text(format!("@{OPERATOR}: {}", safe(text))));
                }
            }
            _ => {
                line.extend_from_slice(b"/kick ");
                let key = folded(&words);
                if words.contains(&b' ') || words.contains(&b'\t') || key == OPERATOR.to_lowercase() {
                    return;
                }
                if let Some(at) = self.holder(&key) {
                    self.owe(at, Due::Text("!kicked".to_owned()));
                    self.go(at, "kicked");
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
    fn go(&mut self, at: usize, reason: &str) {
        let Some((shown, _)) = self.addresses[at].name.take() else { return };
        self.order.retain(|other| *other != at);
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        self.due.push(format!("* {shown} left{reason}"));
        self.tell_others(None, &format!("{shown} exited the chat room"));
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
            Some(_) => self.owe(at, Due::Refusal(code)),
            None => self.owe(at, Due::Answer(code, bytes * AMPLIFICATION_LIMIT)),
        }
    }

    fn tell_others(&mut self, except: Option<usize>, text: &str) {
        for at in 0..ADDRESSES {
            if Some(at) != except && self.addresses[at].name.is_some() {
                self.owe(at, Due::Text(text.to_owned()));
            }
        }
    }

    fn owe(&mut self, at: usize, due: Due) {
        let due = match due {
            Due::Text(text) => Due::Text(cut(text)),
            due => due,
        };
        self.pending_bytes += due.most();
        self.addresses[at].due.push(due);
    }

    /// The server does all that is on its way, and each has got what it was due.
    fn run(&mut self) {
        self.sim.run();
        self.check();
    }

    /// Time passes, in which the silent go.
    fn pass(&mut self, time: Duration) {
        self.run();
        let end = self.sim.now() + time;
        while let Some(&at) = self.order.first()
            && self.addresses[at].renew_credit + MAX_SILENCE <= end
        {
            let until = self.addresses[at].renew_credit + MAX_SILENCE;
            let mut silent = Vec::new();
            let due = self.addresses.each_ref().map(|address| address.due.len());
            while let Some(&at) = self.order.first()
                && self.addresses[at].renew_credit + MAX_SILENCE == until
            {
                self.go(at, "silent");
                silent.push(at);
            }
            // A source that leaves at the same time receives nothing more.
            silent.into_iter().for_each(|at| self.addresses[at].due.truncate(due[at]));
        }
        self.sim.pass(time);
        self.check();
    }

    /// What holds whenever the server is at rest.
    fn check(&mut self) {
        (self.pending, self.pending_bytes) = (0, 0);
        self.sim.reactor().server().invariants();
        let heard = self.sim.lines(self.operator);
        let heard: Vec<&String> = heard.iter().filter(|line| !line.starts_with(['+', '!'])).collect();
        assert!(heard.iter().copied().eq(&self.due), "the operator heard {heard:?}, not {:?}", self.due);
        self.due.clear();
        for at in 0..ADDRESSES {
            let datagrams = self.sim.datagrams(source(at));
            self.addresses[at].hear(at, &datagrams, self.failing);
        }
        let names = self.addresses.iter().filter(|address| address.name.is_some()).count();
        assert_eq!(
            self.sim.reactor().server().connections.count().0,
            names + 1,
            "nothing is kept for strangers"
        );
        assert_eq!(self.sim.reactor().server().hub().registered(), names + 1, "names that are held");
    }

    fn end(mut self, slice: &[u8]) {
        if !slice.is_empty() {
            self.send(slice);
        }
        self.pass(MAX_SILENCE);
        assert!(self.addresses.iter().all(|address| address.name.is_none()), "the silent are gone");
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
    /// Judges what came against what was due.
    fn hear(&mut self, at: usize, datagrams: &[Vec<u8>], failing: bool) {
        let mut due = std::mem::take(&mut self.due).into_iter();
        if std::mem::take(&mut self.speaks) {
            self.unasked = 0;
        }
        for datagram in datagrams {
            let text = datagram.to_str().expect("the server speaks UTF-8");
            assert!(
                !text.is_empty() && text.len() <= MAX_SHORT_MESSAGE,
                "{} bytes in a datagram",
                text.len()
            );
            assert!(may_be_shown(text), "not safe to show: {text:?}");
            let next = due.find(|due| {
                let comes = due.is(text);
                assert!(
                    comes || failing || self.unasked + due.most() > MAX_UNSOLICITED || due.may_lack(),
                    "{at} was sent {text:?} where {due:?} is due"
                );
                comes
            });
            assert!(next.is_some(), "{at} was sent {text:?}, which wasn't due");
            let is_answer = next.is_some_and(|due| due.may_lack());
            self.unasked += if is_answer { 0 } else { text.len() };
            assert!(self.unasked <= MAX_UNSOLICITED, "{at} is sent too much unasked");
        }
        for due in due {
            let fits = self.unasked + due.most() <= MAX_UNSOLICITED;
            assert!(!fits || failing || due.may_lack(), "{at} still waits for {due:?}");
        }
    }
}

impl Due {
    fn is(&self, text: &str) -> bool {
        let has_code = |code: &str| text.strip_prefix('!').is_some_and(|rest| rest.starts_with(code));
        match self {
            Due::Text(due) => due == text,
            Due::Refusal(code) => has_code(code),
            Due::Answer(code, most) => has_code(code) && text.len() <= *most,
        }
    }

    /// Bytes that it takes at most.
    fn most(&self) -> usize {
        match self {
            Due::Text(text) => text.len(),
            Due::Refusal(_) | Due::Answer(..) => MAX_SHORT_MESSAGE,
        }
    }

    fn may_lack(&self) -> bool {
        matches!(self, Due::Answer(..))
    }
}

fn source(at: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000 + at as u16))
}

fn folded(nick: &[u8]) -> String {
    name::fold(blankless(nick)).map_or(String::new(), |key| key.into_owned())
}

/// As much of a message as a client of this dialect receives, with an LF that is not sent.
fn cut(text: String) -> String {
    let most = MAX_SHORT_MESSAGE - 1;
    if text.len() <= most {
        return text;
    }
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= most).last();
    text[..end.unwrap_or(0)].to_owned()
}
