//! A client from its own side: the requests that it sends, encoded for its scheme, and the state of its connection.

use crate::history::{LOBBY, ROOMS};
use redpoll::limits::{Limits, MAX_TARGETS};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::PeerNo;
use redpoll_kit::rng::Rng;

/// Maximum number of clients that register.
pub const MAX_NAMED: usize = 10;

/// Names used in requests: of registered clients, of clients that have left, and one that is never registered.
const NICKS: [&str; MAX_NAMED + 1] = ["n0", "n1", "N2", "n3", "n4", "n5", "n6", "n7", "N8", "n9", "nobody"];

/// Lines that are refused before registration, each with the code of the refusal.
const REFUSED_UNREGISTERED: [(&str, &str); 9] = [
    ("hello", "register-first"),
    ("/who", "register-first"),
    ("#", "usage"),
    ("#-", "nick-invalid"),
    ("#root", "nick-reserved"),
    ("#Witness", "nick-taken"),
    ("#stranger:secret", "no-accounts"),
    ("a\0b", "bad-byte"),
    ("\0", "bad-byte"),
];

/// Lines that are refused after registration, each with the code of the refusal.
const REFUSED_REGISTERED: [(&str, &str); 16] = [
    ("/nosuch", "unknown-command"),
    ("/kick n0", "denied"),
    ("/announce hi", "denied"),
    ("@n1", "usage"),
    ("#again", "usage"),
    ("@n1:", "empty-text"),
    ("&lobby:", "empty-text"),
    ("/nick -", "nick-invalid"),
    ("/nick admin", "nick-reserved"),
    ("/nick witness", "nick-taken"),
    ("&-", "room-invalid"),
    ("&nowhere:hi", "no-such-room"),
    ("/leave nowhere", "no-such-room"),
    ("@nobody:a", "no-such-user"),
    ("hi\0", "bad-byte"),
    ("\0\0/quit", "bad-byte"),
];

/// A request, as the model represents it.
#[derive(Debug, Clone)]
pub enum Request {
    /// A message to this room, or to the current one.
    Say(Option<usize>),
    Direct(Vec<&'static str>),
    Join(usize),
    Leave(usize),
    /// A request that is answered and changes nothing.
    List,
    /// A request with a refusal of this code as the only answer.
    Refused(&'static str),
}

/// The state of a client in the turn in which it left; others may receive its leaving in a later turn.
#[derive(Debug, Clone, Copy)]
pub struct LastState {
    pub at: Time,
    /// Bytes in its queue after the turn before.
    pub unsent: usize,
    /// Time since which its queue was above the limit.
    pub above: Option<Time>,
    /// Bytes that the witness received in that turn.
    pub witnessed: usize,
}

/// A client of the simulated server.
#[derive(Debug)]
pub struct Actor {
    pub peer: PeerNo,
    pub scheme: Scheme,
    /// It connects from the address to which `max_per_address` applies.
    pub is_limited: bool,
    /// Its nick; `None` if it never registers.
    pub nick: Option<String>,
    /// Codes of the refusals that are due before it registers.
    pub refused: Vec<&'static str>,
    /// Its requests after that, in order. In the line protocol the index is the number of the ping after the request.
    pub requests: Vec<Request>,
    /// It has sent `/quit`.
    pub quit: bool,
    /// It has shut down its sending side.
    pub ended: bool,
    /// It doesn't read at present.
    pub stalled: bool,
    /// It has stopped reading at least once, so it may be too slow.
    pub has_stalled: bool,
    /// Time since which it is known to leave.
    pub leaving: Option<Time>,
    /// Time when it was accepted, and bytes of history by then.
    pub accepted: Option<(Time, usize)>,
    /// Time when the server closed it.
    pub closed: Option<Time>,
    /// Time since which its queue is above the limit.
    pub above: Option<Time>,
    /// Time since which its queue is above the limit and its kernel has taken nothing.
    pub stuck: Option<Time>,
    /// Bytes in its queue after the last turn.
    pub unsent: usize,
    /// It was registered after the last turn.
    pub is_registered: bool,
    /// Its state in the turn in which it left.
    pub last_state: Option<LastState>,
    /// Bytes that its kernel had taken by the last turn.
    pub taken: usize,
    /// Maximum bytes in its queue between two turns.
    pub peak: usize,
    /// It may have missed output that was due, by its own fault or the network's.
    pub may_miss_output: bool,
    /// Its connection was reset, by itself or by a fault.
    pub broken: bool,
    /// All bytes that it has received.
    pub received: Vec<u8>,
}

impl Actor {
    pub fn new(peer: PeerNo, scheme: Scheme, is_limited: bool, nick: Option<String>) -> Actor {
        Actor {
            peer,
            scheme,
            is_limited,
            nick,
            refused: Vec::new(),
            requests: Vec::new(),
            quit: false,
            ended: false,
            stalled: false,
            has_stalled: false,
            leaving: None,
            accepted: None,
            closed: None,
            above: None,
            stuck: None,
            unsent: 0,
            is_registered: false,
            last_state: None,
            taken: 0,
            peak: 0,
            may_miss_output: false,
            broken: false,
            received: Vec::new(),
        }
    }

    /// Returns its nick, or an empty text.
    pub fn name(&self) -> &str {
        self.nick.as_deref().unwrap_or("")
    }

    /// Whether its sending side is open and it hasn't quit.
    pub fn may_send(&self) -> bool {
        !self.quit && !self.ended
    }

    /// Whether its requests may have cost more than the capacity of its token bucket.
    pub fn may_be_throttled(&self, limits: &Limits) -> bool {
        /// Maximum cost, in tokens, of a request and its ping: answers of several lines, or three times a line that is
        /// too long.
        const MAX_COST: usize = 20;
        limits.rate.is_some() && (self.requests.len() + 1) * MAX_COST > limits.burst as usize
    }

    /// Returns its first input: some lines that are refused, then its nick.
    pub fn first_input(&mut self, rng: &mut Rng, limits: &Limits) -> String {
        let Some(nick) = self.nick.clone() else { return self.refused_lines(rng) };
        match self.scheme {
            Scheme::Line => format!("{}#{nick}\n", self.refused_lines(rng)),
            Scheme::Classic => format!("#{nick}\n"),
            Scheme::Nickname => format!("{nick}\n"),
            _ => self.chat_line(rng, limits.max_line - 1) + "\n",
        }
    }

    fn refused_lines(&mut self, rng: &mut Rng) -> String {
        let mut input = String::new();
        for _ in 0..rng.below(3) {
            let (line, code) = REFUSED_UNREGISTERED[rng.below(REFUSED_UNREGISTERED.len())];
            self.refused.push(code);
            input += line;
            input += "\n";
        }
        input
    }

    /// Returns its next request with its line end.
    pub fn request(&mut self, rng: &mut Rng, limits: &Limits) -> String {
        let end = if rng.chance(20) { "\r\n" } else { "\n" };
        match self.scheme {
            Scheme::Line => {
                let number = self.requests.len();
                let (line, request) = self.line(rng, limits, limits.max_line - end.len());
                self.requests.push(request);
                let blank = if rng.chance(5) { "\r\n\n" } else { "" };
                format!("{blank}{line}{end}/ping {number}{end}")
            }
            Scheme::Classic => self.classic_request(rng, limits.max_line - end.len()) + end,
            _ => self.chat_line(rng, limits.max_line - end.len()) + end,
        }
    }

    /// Returns a message of a tutorial's client that knows only the lobby, at most `max` bytes.
    pub fn chat_line(&mut self, rng: &mut Rng, max: usize) -> String {
        let head = format!("{0}: {0}-{1} ", self.name(), self.requests.len());
        self.requests.push(Request::Say(Some(LOBBY)));
        fill(rng, head, max.min(2000))
    }

    fn classic_request(&mut self, rng: &mut Rng, max: usize) -> String {
        let number = self.requests.len();
        let (line, request) = match rng.below(10) {
            0 => ("hello".to_owned(), Request::Refused("usage")),
            1 => ("@n1:".to_owned(), Request::Refused("empty-text")),
            _ => {
                let to = targets(rng);
                let head = format!("@{}:{}-{number} ", to.join(","), self.name());
                (fill(rng, head, max), Request::Direct(to))
            }
        };
        self.requests.push(request);
        line
    }

    /// Returns one line of at most `max` bytes, except where the line is to be too long.
    fn line(&self, rng: &mut Rng, limits: &Limits, max: usize) -> (String, Request) {
        let text = format!("{}-{} ", self.name(), self.requests.len());
        let room = 1 + rng.below(ROOMS.len() - 1);
        let spelled = if rng.chance(30) { ROOMS[room].to_uppercase() } else { ROOMS[room].into() };
        match rng.below(100) {
            0..25 => (fill(rng, text, max), Request::Say(None)),
            25..43 => (fill(rng, format!("&{spelled}:{text}"), max), Request::Say(Some(room))),
            43..48 => (fill(rng, format!("&lobby:{text}"), max), Request::Say(Some(LOBBY))),
            48..70 => {
                let to = targets(rng);
                (fill(rng, format!("@{}:{text}", to.join(",")), max), Request::Direct(to))
            }
            70..80 => (format!("&{spelled}"), Request::Join(room)),
            80..85 => (format!("/leave {spelled}"), Request::Leave(room)),
            85 => ("/leave lobby".into(), Request::Leave(LOBBY)),
            86 => ("&lobby".into(), Request::Join(LOBBY)),
            // In these worlds the witness has created all rooms. In others a new room would be unknown to it.
            87 if limits.max_rooms == Some(ROOMS.len()) => {
                ("&another".into(), Request::Refused("too-many-rooms"))
            }
            87 | 88 => ("/who *".into(), Request::List),
            89 => ("/rooms".into(), Request::List),
            90 => ("/help".into(), Request::List),
            91 => {
                let many = vec!["n1"; MAX_TARGETS + 1].join(",");
                (format!("@{many}:x"), Request::Refused("too-many-targets"))
            }
            92..95 => {
                // Too long by one byte, or by many.
                let more = if rng.chance(50) { 1 } else { rng.below(3 * max) + 1 };
                let line = "@n1:".to_owned() + &"y".repeat(max + more - "@n1:".len());
                (line, Request::Refused("line-too-long"))
            }
            _ => {
                let (line, code) = REFUSED_REGISTERED[rng.below(REFUSED_REGISTERED.len())];
                (line.into(), Request::Refused(code))
            }
        }
    }
}

fn targets(rng: &mut Rng) -> Vec<&'static str> {
    (0..1 + rng.below(3)).map(|_| NICKS[rng.below(NICKS.len())]).collect()
}

/// Appends a text of random length to `head`: mostly short, sometimes up to `max` bytes in all.
fn fill(rng: &mut Rng, head: String, max: usize) -> String {
    let room = max - head.len();
    let len = match rng.below(20) {
        0 => room,
        1 | 2 => rng.below(room + 1),
        _ => rng.below(room.min(80) + 1),
    };
    match rng.below(20) {
        // Control bytes, each sent as three bytes; and characters that a cut may divide.
        0 => head + &"\u{7}".repeat(len),
        1 => head + &"\u{e9}".repeat(len / 2),
        _ => head + &"x".repeat(len),
    }
}
