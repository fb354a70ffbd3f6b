//! Somebody at the server, as its own side knows it: what it asks for, in the words of its door, and what became of it.

use crate::history::{LOBBY, ROOMS};
use redpoll::limits::{Limits, MAX_TARGETS};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::PeerNo;
use redpoll_kit::rng::Rng;

/// People with names, at most.
pub const MAX_NAMED: usize = 10;

/// The words that requests may have as names: of peers who are there, of some who have gone, of nobody.
const NICKS: [&str; MAX_NAMED + 1] = ["n0", "n1", "N2", "n3", "n4", "n5", "n6", "n7", "N8", "n9", "nobody"];

/// What is refused to strangers, and by which code.
const BEFORE_A_NAME: [(&str, &str); 9] = [
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

/// What is refused to members, and by which code.
const REFUSED: [(&str, &str); 16] = [
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

/// A request, as the model understands it.
#[derive(Debug, Clone)]
pub enum Asked {
    /// In this room, or in the current one.
    Say(Option<usize>),
    Direct(Vec<&'static str>),
    Join(usize),
    Leave(usize),
    /// Something that is answered, and changes nothing.
    List,
    /// Answered by this refusal alone.
    Refused(&'static str),
}

/// How somebody was who left, since others may hear of it a little later.
#[derive(Debug, Clone, Copy)]
pub struct Parting {
    pub at: Time,
    /// Bytes that its queue held after the turn before.
    pub unsent: usize,
    /// Since when its queue was above the limit.
    pub above: Option<Time>,
    /// Bytes that the witness heard in that turn.
    pub news: usize,
}

/// A peer.
#[derive(Debug)]
pub struct Actor {
    pub peer: PeerNo,
    pub door: Scheme,
    /// It comes from the address that has a limit.
    pub is_stranger: bool,
    /// Its name; `None` if it won't take one.
    pub nick: Option<String>,
    /// The codes of the refusals that it has earned before its name.
    pub earned: Vec<&'static str>,
    /// What it has asked for since, in this order. By the line protocol the index is the number of the ping behind it.
    pub asked: Vec<Asked>,
    /// It has said `/quit`.
    pub quit: bool,
    /// It has shut its sending side.
    pub ended: bool,
    /// It isn't reading.
    pub stalled: bool,
    /// It has stopped reading at some time, and so may be too slow.
    pub has_stalled: bool,
    /// Since when it is known that it will leave.
    pub leaving: Option<Time>,
    /// When it was accepted, and how much history there was.
    pub accepted: Option<(Time, usize)>,
    /// When the server ended it.
    pub gone: Option<Time>,
    /// Since when its queue is above the limit.
    pub above: Option<Time>,
    /// Since when it is, and nothing of it was taken.
    pub stuck: Option<Time>,
    /// Bytes that its queue held after the last turn.
    pub unsent: usize,
    /// It had a name then.
    pub has_name: bool,
    /// How it was in the turn in which it left.
    pub parting: Option<Parting>,
    /// Bytes that its kernel had taken by then.
    pub received: usize,
    /// The most bytes that its queue held between two turns.
    pub peak: usize,
    /// It may not have heard all that was meant for it, and that is its own fault, or the network's.
    pub deaf: bool,
    /// It is reset, by itself or by a fault.
    pub broken: bool,
    /// All that it has heard.
    pub heard: Vec<u8>,
}

impl Actor {
    pub fn new(peer: PeerNo, door: Scheme, is_stranger: bool, nick: Option<String>) -> Actor {
        Actor {
            peer,
            door,
            is_stranger,
            nick,
            earned: Vec::new(),
            asked: Vec::new(),
            quit: false,
            ended: false,
            stalled: false,
            has_stalled: false,
            leaving: None,
            accepted: None,
            gone: None,
            above: None,
            stuck: None,
            unsent: 0,
            has_name: false,
            parting: None,
            received: 0,
            peak: 0,
            deaf: false,
            broken: false,
            heard: Vec::new(),
        }
    }

    /// Its name, or none.
    pub fn name(&self) -> &str {
        self.nick.as_deref().unwrap_or("")
    }

    /// Whether it may still send.
    pub fn speaks(&self) -> bool {
        !self.quit && !self.ended
    }

    /// Whether all that it asks may be more than its allowance holds.
    pub fn may_be_held_back(&self, limits: &Limits) -> bool {
        /// What a request and the ping behind it cost at most: answers of several lines, or three times a line that is too
        /// long.
        const MOST: usize = 20;
        limits.rate.is_some() && (self.asked.len() + 1) * MOST > limits.burst as usize
    }

    /// What it sends first: some things that are refused, and its name.
    pub fn introduce(&mut self, rng: &mut Rng, limits: &Limits) -> String {
        let Some(nick) = self.nick.clone() else { return self.mutter(rng) };
        match self.door {
            Scheme::Line => format!("{}#{nick}\n", self.mutter(rng)),
            Scheme::Classic => format!("#{nick}\n"),
            Scheme::Nickname => format!("{nick}\n"),
            _ => self.say(rng, limits.max_line - 1) + "\n",
        }
    }

    fn mutter(&mut self, rng: &mut Rng) -> String {
        let mut said = String::new();
        for _ in 0..rng.below(3) {
            let (line, code) = BEFORE_A_NAME[rng.below(BEFORE_A_NAME.len())];
            self.earned.push(code);
            said += line;
            said += "\n";
        }
        said
    }

    /// Its next request, with what ends it.
    pub fn ask(&mut self, rng: &mut Rng, limits: &Limits) -> String {
        let end = if rng.chance(20) { "\r\n" } else { "\n" };
        match self.door {
            Scheme::Line => {
                let number = self.asked.len();
                let (line, asked) = self.line(rng, limits, limits.max_line - end.len());
                self.asked.push(asked);
                let blank = if rng.chance(5) { "\r\n\n" } else { "" };
                format!("{blank}{line}{end}/ping {number}{end}")
            }
            Scheme::Classic => self.ask_as_classic(rng, limits.max_line - end.len()) + end,
            _ => self.say(rng, limits.max_line - end.len()) + end,
        }
    }

    /// What a tutorial's client says that knows the lobby alone.
    pub fn say(&mut self, rng: &mut Rng, most: usize) -> String {
        let head = format!("{0}: {0}-{1} ", self.name(), self.asked.len());
        self.asked.push(Asked::Say(Some(LOBBY)));
        fill(rng, head, most.min(2000))
    }

    fn ask_as_classic(&mut self, rng: &mut Rng, most: usize) -> String {
        let number = self.asked.len();
        let (line, asked) = match rng.below(10) {
            0 => ("hello".to_owned(), Asked::Refused("usage")),
            1 => ("@n1:".to_owned(), Asked::Refused("empty-text")),
            _ => {
                let to = targets(rng);
                let head = format!("@{}:{}-{number} ", to.join(","), self.name());
                (fill(rng, head, most), Asked::Direct(to))
            }
        };
        self.asked.push(asked);
        line
    }

    /// One line of at most so many bytes, but where it is to be too long.
    fn line(&self, rng: &mut Rng, limits: &Limits, most: usize) -> (String, Asked) {
        let text = format!("{}-{} ", self.name(), self.asked.len());
        let room = 1 + rng.below(ROOMS.len() - 1);
        let spelled = if rng.chance(30) { ROOMS[room].to_uppercase() } else { ROOMS[room].into() };
        match rng.below(100) {
            0..25 => (fill(rng, text, most), Asked::Say(None)),
            25..43 => (fill(rng, format!("&{spelled}:{text}"), most), Asked::Say(Some(room))),
            43..48 => (fill(rng, format!("&lobby:{text}"), most), Asked::Say(Some(LOBBY))),
            48..70 => {
                let to = targets(rng);
                (fill(rng, format!("@{}:{text}", to.join(",")), most), Asked::Direct(to))
            }
            70..80 => (format!("&{spelled}"), Asked::Join(room)),
            80..85 => (format!("/leave {spelled}"), Asked::Leave(room)),
            85 => ("/leave lobby".into(), Asked::Leave(LOBBY)),
            86 => ("&lobby".into(), Asked::Join(LOBBY)),
            // The witness has made as many as some worlds may have; in the others it couldn't tell of more.
            87 if limits.max_rooms == Some(ROOMS.len()) => {
                ("&another".into(), Asked::Refused("too-many-rooms"))
            }
            87 | 88 => ("/who *".into(), Asked::List),
            89 => ("/rooms".into(), Asked::List),
            90 => ("/help".into(), Asked::List),
            91 => {
                let many = vec!["n1"; MAX_TARGETS + 1].join(",");
                (format!("@{many}:x"), Asked::Refused("too-many-targets"))
            }
            92..95 => {
                // Longer by one byte, or by much.
                let more = if rng.chance(50) { 1 } else { rng.below(3 * most) + 1 };
                let line = "@n1:".to_owned() + &"y".repeat(most + more - "@n1:".len());
                (line, Asked::Refused("line-too-long"))
            }
            _ => {
                let (line, code) = REFUSED[rng.below(REFUSED.len())];
                (line.into(), Asked::Refused(code))
            }
        }
    }
}

fn targets(rng: &mut Rng) -> Vec<&'static str> {
    (0..1 + rng.below(3)).map(|_| NICKS[rng.below(NICKS.len())]).collect()
}

/// `head` and something behind it: seldom much, now and then all that there may be.
fn fill(rng: &mut Rng, head: String, most: usize) -> String {
    let room = most - head.len();
    let len = match rng.below(20) {
        0 => room,
        1 | 2 => rng.below(room + 1),
        _ => rng.below(room.min(80) + 1),
    };
    match rng.below(20) {
        // What must be made safe, three bytes for each; and characters that a cut may fall into.
        0 => head + &"\u{7}".repeat(len),
        1 => head + &"\u{e9}".repeat(len / 2),
        _ => head + &"x".repeat(len),
    }
}
