//! The line protocol's grammar in both directions, read from protocol.md alone: what a line to the server means, and
//! what a line from it says. An oracle for the fuzz bodies; it shares no code with `dialect/` on purpose, and decides
//! in the order in which the page tells it rather than in the fastest.

use bstr::{BStr, ByteSlice};
use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::name::Name;
use redpoll::protocol::scheme::Scheme;
use redpoll::protocol::text::{is_safe, push_safe};
use redpoll::protocol::{Parsed, Rank, Refusal, Request, Scope};

/// A line from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// `+word details`.
    Answer { word: &'a str, details: &'a str },
    /// `!code details`.
    Refused { code: &'a str, details: &'a str },
    /// `* text`.
    Notice(Notice<'a>),
    /// `@from:text`.
    Direct { from: &'a str, text: &'a str },
    /// `&room:from:text`, or `from: text` where the room is the lobby.
    Said { room: &'a str, from: &'a str, text: &'a str },
}

/// A notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    Connected,
    HowToBegin,
    Arrived { who: &'a str },
    Gone { who: &'a str, reason: Option<&'a str> },
    Joined { who: &'a str, room: &'a str },
    Parted { who: &'a str, room: &'a str },
    Renamed { from: &'a str, to: &'a str },
    Announced { text: &'a str },
}

/// Codes that the server says last, before it closes a connection itself.
pub(super) const CLOSING: [&str; 6] =
    ["server-full", "too-many-connections", "register-timeout", "too-slow", "kicked", "shutting-down"];

/// All other codes that any line may be refused with.
const CODES: [&str; 17] = [
    "line-too-long",
    "bad-byte",
    "register-first",
    "unknown-command",
    "denied",
    "usage",
    "empty-text",
    "too-many-targets",
    "nick-invalid",
    "nick-reserved",
    "nick-taken",
    "room-invalid",
    "no-such-room",
    "not-in-room",
    "too-many-rooms",
    "no-such-user",
    "recipient-full",
];

/// What a line from the server, without its LF, says. `None` if the protocol knows no such line.
pub(super) fn heard(line: &str) -> Option<Heard<'_>> {
    let mut rest = line.chars();
    let first = rest.next()?;
    let rest = rest.as_str();
    match first {
        '+' => answer(rest),
        '!' => {
            let (code, details) = rest.split_once(' ').unwrap_or((rest, ""));
            let known = CODES.contains(&code) || CLOSING.contains(&code) || code == "no-accounts";
            known.then_some(Heard::Refused { code, details })
        }
        '*' => notice(rest.strip_prefix(' ')?).map(Heard::Notice),
        '@' => {
            let (from, text) = rest.split_once(':')?;
            (is_name(from) && !text.is_empty()).then_some(Heard::Direct { from, text })
        }
        '&' => {
            let (room, rest) = rest.split_once(':')?;
            let (from, text) = rest.split_once(':')?;
            let holds = is_name(room) && is_name(from) && !text.is_empty();
            holds.then_some(Heard::Said { room, from, text })
        }
        _ => {
            let (from, text) = line.split_once(": ")?;
            (is_name(from) && !text.is_empty()).then_some(Heard::Said { room: "lobby", from, text })
        }
    }
}

fn answer(rest: &str) -> Option<Heard<'_>> {
    let (word, details) = rest.split_once(' ').unwrap_or((rest, ""));
    let words: Vec<&str> = details.split(' ').collect();
    let holds = match (word, words.as_slice()) {
        ("pong" | "help", _) => true,
        ("bye", [""]) => true,
        ("nick" | "left", [name]) => is_name(name),
        ("room", [name, count]) => is_name(name) && is_count(count),
        ("who", [room, names @ ..]) => {
            is_whose(room) && !names.is_empty() && names.iter().all(|name| is_name(name))
        }
        ("rooms", rooms) => rooms
            .iter()
            .all(|room| room.split_once(':').is_some_and(|(name, count)| is_name(name) && is_count(count))),
        ("end", ["who", room, count]) => is_whose(room) && is_count(count),
        ("end", ["rooms", count]) => is_count(count),
        ("end", ["help"]) => true,
        ("announced", [count]) | ("end", ["stats", count]) => is_count(count),
        ("kicked", [name]) => is_name(name),
        ("stats", [key, count]) => !key.is_empty() && is_count(count),
        ("shutdown", [""]) => true,
        _ => false,
    };
    holds.then_some(Heard::Answer { word, details })
}

fn notice(text: &str) -> Option<Notice<'_>> {
    if text.starts_with("Say #name ") {
        return Some(Notice::HowToBegin);
    }
    if let Some(address) = text.strip_prefix("You are connected from ") {
        let holds = address == "unix" || address.parse::<std::net::SocketAddr>().is_ok();
        return holds.then_some(Notice::Connected);
    }
    if let Some(text) = text.strip_prefix("administrator: ") {
        return (!text.is_empty()).then_some(Notice::Announced { text });
    }
    let (who, what) = text.split_once(' ')?;
    let notice = match what {
        "joined" => Notice::Arrived { who },
        "left" => Notice::Gone { who, reason: None },
        _ => {
            if let Some(room) = what.strip_prefix("joined &") {
                is_name(room).then_some(Notice::Joined { who, room })?
            } else if let Some(room) = what.strip_prefix("left &") {
                is_name(room).then_some(Notice::Parted { who, room })?
            } else if let Some(to) = what.strip_prefix("is now ") {
                is_name(to).then_some(Notice::Renamed { from: who, to })?
            } else {
                let reason = what.strip_prefix("left (")?.strip_suffix(')')?;
                Notice::Gone { who, reason: Some(reason) }
            }
        }
    };
    is_name(who).then_some(notice)
}

fn is_name(text: &str) -> bool {
    Name::new(text.as_bytes()).is_ok()
}

fn is_whose(room: &str) -> bool {
    room == "*" || is_name(room)
}

fn is_count(text: &str) -> bool {
    text.parse::<usize>().is_ok()
}

/// What a line to the server, without its LF, means. The details of a refusal are for people; only its code counts.
pub(super) fn meant(line: &[u8], rank: Rank) -> Parsed<'_> {
    let stranger = !rank.is_registered();
    if let Some(refused) = hidden(line) {
        return refused;
    }
    // A full-width form is one character more than its ASCII form is, of three bytes.
    let wide =
        ["＃", "＠", "＆", "／"].iter().zip(b"#@&/").find(|(wide, _)| line.starts_with(wide.as_bytes()));
    let (first, line) = match wide {
        Some((wide, ascii)) => (Some(ascii), &line[wide.len() - 1..]),
        None => (line.first(), line),
    };
    let (head, text) = cut_name(line);
    let name = blankless(head.get(1..).unwrap_or_default());
    match (first, text) {
        (None, _) => Parsed::Nothing,
        (Some(b'/'), _) => commanded(&line[1..], rank),
        (Some(b'#'), password) if stranger && !name.is_empty() => {
            Parsed::Request(Request::Register { nick: name, password })
        }
        (Some(b'#'), _) => USAGE,
        _ if stranger => Parsed::Refused(Refusal::RegisterFirst),
        (Some(b'@' | b'&'), _) if name.is_empty() => USAGE,
        (Some(b'@'), Some(text)) => Parsed::Request(Request::Direct { to: name, text }),
        (Some(b'@'), None) => USAGE,
        (Some(b'&'), Some(text)) => Parsed::Request(Request::Say { room: Some(name), text }),
        (Some(b'&'), None) => Parsed::Request(Request::Join { room: name }),
        _ => Parsed::Request(Request::Say { room: None, text: line.as_bstr() }),
    }
}

const USAGE: Parsed<'static> = Parsed::Refused(Refusal::Usage(""));

/// The name and the text that `:` or its full-width form separates.
fn cut_name(line: &[u8]) -> (&BStr, Option<&BStr>) {
    let places = [":", "："].map(|colon| (line.find(colon), colon.len()));
    match places.into_iter().filter_map(|(at, len)| Some((at?, len))).min() {
        Some((at, len)) => (line[..at].as_bstr(), Some(line[at + len..].as_bstr())),
        None => (line.as_bstr(), None),
    }
}

/// The refusal of a line in which only characters that can't be seen precede a sigil. Escape sequences are not followed:
/// lines that hold ESC are the parser's to judge.
fn hidden(line: &[u8]) -> Option<Parsed<'_>> {
    if line.contains(&0x1B) {
        let parsed = Dialect::Native.parse(line, Rank::Member);
        return matches!(parsed, Parsed::Refused(Refusal::HiddenSigil(..))).then_some(USAGE);
    }
    let text = line.to_str_lossy();
    let unseen = |c: char| {
        let ignorable = ["\u{AD}\u{34F}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{3164}\u{FEFF}\u{FFA0}"];
        let ranges = [
            0x180B..=0x180F,
            0x200B..=0x200F,
            0x202A..=0x202E,
            0x2060..=0x206F,
            0xFE00..=0xFE0F,
            0xFFF0..=0xFFF8,
            0x1BCA0..=0x1BCA3,
            0x1D173..=0x1D17A,
            0xE0000..=0xE0FFF,
            0x61C..=0x61C,
        ];
        c.is_control() && c != '\t'
            || c.is_whitespace() && c != ' ' && c != '\t'
            || ignorable[0].contains(c)
            || ranges.iter().any(|range| range.contains(&u32::from(c)))
    };
    let seen = text.trim_start_matches(unseen);
    (seen.len() < text.len() && seen.starts_with(['#', '@', '&', '/', '＃', '＠', '＆', '／']))
        .then_some(USAGE)
}

fn commanded(line: &[u8], rank: Rank) -> Parsed<'_> {
    let (stranger, operator) = (!rank.is_registered(), rank.is_operator());
    let (word, arguments) = cut(line, b" \t");
    let name = arguments.map(|arguments| blankless(arguments)).filter(|name| !name.is_empty());
    let request = match word.to_ascii_lowercase().as_slice() {
        b"ping" => Some(Request::Ping { token: arguments.unwrap_or_default() }),
        b"help" => Some(Request::Help),
        b"quit" => Some(Request::Quit { message: name.unwrap_or_default() }),
        b"announce" if operator => arguments.map(|text| Request::Announce { text }),
        b"kick" if operator => name.map(|name| {
            let (nick, reason) = cut(name, b" \t");
            Request::Kick { nick, reason: blankless(reason.unwrap_or_default()) }
        }),
        b"stats" if operator => Some(Request::Stats),
        b"shutdown" if operator => Some(Request::Shutdown),
        b"who" | b"rooms" if operator => Some(listed(&word.to_ascii_lowercase(), name)),
        b"nick" | b"say" | b"msg" | b"join" | b"leave" if stranger => {
            return Parsed::Refused(Refusal::RegisterFirst);
        }
        _ if stranger && !operator => return Parsed::Refused(Refusal::RegisterFirst),
        b"nick" => name.map(|nick| Request::Rename { nick }),
        b"say" => arguments.map(|text| Request::Say { room: None, text }),
        b"msg" => {
            let blanks = arguments.unwrap_or_default().iter().take_while(|byte| is_blank(**byte)).count();
            match cut(&arguments.unwrap_or_default()[blanks..], b" \t") {
                (to, Some(text)) => Some(Request::Direct { to, text }),
                (_, None) => None,
            }
        }
        b"join" => name.map(|room| Request::Join { room }),
        b"leave" => Some(Request::Leave { room: name }),
        b"who" | b"rooms" => Some(listed(&word.to_ascii_lowercase(), name)),
        b"announce" | b"kick" | b"stats" | b"shutdown" => return Parsed::Refused(Refusal::Denied),
        _ => return Parsed::Refused(Refusal::UnknownCommand(word)),
    };
    request.map_or(USAGE, Parsed::Request)
}

fn listed<'a>(word: &[u8], name: Option<&'a BStr>) -> Request<'a> {
    match name {
        _ if word == b"rooms" => Request::Rooms,
        None => Request::Who(Scope::Current),
        Some(room) if room == "*" => Request::Who(Scope::Everyone),
        Some(room) => Request::Who(Scope::Room(room)),
    }
}

/// What is shown to the clients of the tutorials: a message without its LF, as the table of dialects.md has it for this
/// door. `None` if it knows no such message; a classic client's may be anything, since it is told texts alone.
pub(super) fn shown(door: Scheme, line: &str) -> Option<Heard<'_>> {
    if let Some(rest) = line.strip_prefix('!') {
        let (code, details) = rest.split_once(' ').unwrap_or((rest, ""));
        let known = CODES.contains(&code) || CLOSING.contains(&code);
        return known.then_some(Heard::Refused { code, details });
    }
    let named = |who, notice| is_name(who).then_some(Heard::Notice(notice));
    let renamed =
        |line: &'_ str| line.split_once(" is now ").is_some_and(|(from, to)| is_name(from) && is_name(to));
    let announced = match door {
        Scheme::Nickname => line.strip_prefix("Administrator message: "),
        Scheme::Udp => line.strip_prefix("administrator : "),
        _ => line.strip_prefix("administrator: "),
    };
    if let Some(text) = announced {
        return (!text.is_empty()).then_some(Heard::Notice(Notice::Announced { text }));
    }
    if let Some(direct) = line.strip_prefix('@')
        && door != Scheme::Classic
    {
        let (from, text) = direct.split_once(": ")?;
        return (is_name(from) && !text.is_empty()).then_some(Heard::Direct { from, text });
    }
    match door {
        Scheme::Classic => {
            if let Some(from) = line.strip_prefix("You are connected from:('") {
                let (ip, port) = from.strip_suffix(')')?.split_once("', ")?;
                let holds = ip.parse::<std::net::IpAddr>().is_ok() && port.parse::<u16>().is_ok();
                return holds.then_some(Heard::Notice(Notice::Connected));
            }
            let nick = line.strip_prefix("Your user detail saved as : ")?;
            return is_name(nick).then_some(Heard::Answer { word: "nick", details: nick });
        }
        Scheme::Nickname | Scheme::Udp if renamed(line) => {
            let (from, to) = line.split_once(" is now ")?;
            return Some(Heard::Notice(Notice::Renamed { from, to }));
        }
        Scheme::Nickname => {
            if line == "Connected to server!" {
                return Some(Heard::Answer { word: "room", details: "lobby 0" });
            }
            if let Some(who) = line.strip_suffix(" joined!").filter(|who| is_name(who)) {
                return named(who, Notice::Arrived { who });
            }
            if let Some(who) = line.strip_suffix(" left!").filter(|who| is_name(who)) {
                return named(who, Notice::Gone { who, reason: None });
            }
        }
        Scheme::Udp => {
            match line {
                "OK" => return Some(Heard::Answer { word: "ok", details: "" }),
                "EXIT" => return Some(Heard::Answer { word: "exit", details: "" }),
                "occupied" => return Some(Heard::Refused { code: "nick-taken", details: "" }),
                _ => {}
            }
            if let Some(who) =
                line.strip_prefix("Welcome ").and_then(|who| who.strip_suffix(" to the chat room"))
            {
                return named(who, Notice::Arrived { who });
            }
            if let Some(who) = line.strip_suffix(" exited the chat room").filter(|who| is_name(who)) {
                return named(who, Notice::Gone { who, reason: None });
            }
        }
        Scheme::Relay | Scheme::Line | Scheme::Unix => {}
    }
    let (from, text) = line.split_once(if door == Scheme::Udp { " : " } else { ": " })?;
    (is_name(from) && !text.is_empty()).then_some(Heard::Said { room: "lobby", from, text })
}

/// The names in a list of recipients.
pub(super) fn targets(list: &BStr) -> impl Iterator<Item = &BStr> {
    list.split(|byte| *byte == b',').map(blankless)
}

/// A text as others hear it.
pub(super) fn safe(text: &[u8]) -> String {
    let mut safe = Vec::new();
    push_safe(text, &mut safe);
    String::from_utf8(safe).expect("what is safe is UTF-8")
}

/// Whether a text may be shown as it is. Most is printable ASCII, and told by two comparisons a byte, which a fuzzer
/// traces each.
pub(super) fn may_be_shown(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_safe)
}

/// What stands before and behind the first of these bytes.
fn cut<'a>(line: &'a [u8], at: &[u8]) -> (&'a BStr, Option<&'a BStr>) {
    match line.iter().position(|byte| at.contains(byte)) {
        Some(place) => (line[..place].as_bstr(), Some(line[place + 1..].as_bstr())),
        None => (line.as_bstr(), None),
    }
}

/// Without the blanks around it.
pub(super) fn blankless(mut name: &[u8]) -> &BStr {
    while let [first, rest @ ..] = name
        && is_blank(*first)
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && is_blank(*last)
    {
        name = rest;
    }
    name.as_bstr()
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_parsed() {
        for line in [
            "+nick alicia",
            "+room dev 5",
            "+left dev",
            "+who dev alice bob",
            "+who * alice",
            "+end who * 2",
            "+rooms lobby:12 dev:2",
            "+end rooms 2",
            "+pong",
            "+pong  a b",
            "+help /who",
            "+end help",
            "+bye",
            "!line-too-long 4096",
            "!recipient-full bob",
            "!too-slow",
            "* You are connected from 127.0.0.1:50123",
            "* You are connected from [::1]:50123",
            "* You are connected from unix",
            "* alice joined",
            "* alice left (left (too slow))",
            "* alice joined &lobby",
            "* alice left &dev",
            "* alice is now alicia",
            "@alice:hi",
            "&dev:alice:hi: there",
            "alice: hi",
        ] {
            assert!(heard(line).is_some(), "{line}");
        }
    }

    #[test]
    fn undocumented_forms_are_not_parsed() {
        for line in [
            "",
            "hi",
            "alice:hi",
            "+",
            "+what",
            "+nick a b",
            "+bye now",
            "+room dev",
            "+rooms",
            "!nonsense",
            "*alice joined",
            "* alice joined dev",
            "* alice eve joined",
            "* alice left (",
            "@:hi",
            "@alice",
            "@al ice:hi",
            "&dev:hi",
            "&dev::hi",
            "#dev",
            "é",
            "/x: y",
        ] {
            assert_eq!(heard(line), None, "{line}");
        }
    }
}
