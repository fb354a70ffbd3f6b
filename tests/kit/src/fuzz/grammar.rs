//! The line protocol's grammar in both directions, written from protocol.md alone: it parses lines to the server and
//! lines from the server. It is an oracle for the fuzz bodies: it shares no code with `dialect/`, and its order of
//! decisions is that of the page, not the fastest.

use bstr::{BStr, ByteSlice};
use redpoll::protocol::name::Name;
use redpoll::protocol::scheme::Scheme;
use redpoll::protocol::text::{is_safe, push_safe};
use redpoll::protocol::{Parsed, Rank, Refusal, Request, Scope};

/// A parsed line from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerLine<'a> {
    /// `+word details`.
    Answer { word: &'a str, details: &'a str },
    /// `!code details`.
    Refused { code: &'a str, details: &'a str },
    /// `* text`.
    Info(Info<'a>),
    /// `@from:text`.
    Direct { from: &'a str, text: &'a str },
    /// `&room:from:text`, or `from: text` in the lobby.
    Message { room: &'a str, from: &'a str, text: &'a str },
}

/// A line that begins with `* `: a greeting, presence or an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Info<'a> {
    Connected,
    Hint,
    Registered { user: &'a str },
    Closed { user: &'a str, reason: Option<&'a str> },
    Joined { user: &'a str, room: &'a str },
    Left { user: &'a str, room: &'a str },
    Renamed { from: &'a str, to: &'a str },
    Announced { text: &'a str },
}

/// Codes of the final lines that the server sends before it closes a connection.
pub(super) const CLOSING: [&str; 6] =
    ["server-full", "too-many-connections", "register-timeout", "too-slow", "kicked", "shutting-down"];

/// All other codes of refusals to a line.
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

/// Parses a line from the server, without its LF. `None` if the protocol has no such line.
pub(super) fn from_server(line: &str) -> Option<ServerLine<'_>> {
    let mut rest = line.chars();
    let first = rest.next()?;
    let rest = rest.as_str();
    match first {
        '+' => answer(rest),
        '!' => {
            let (code, details) = rest.split_once(' ').unwrap_or((rest, ""));
            let known = CODES.contains(&code) || CLOSING.contains(&code) || code == "no-accounts";
            known.then_some(ServerLine::Refused { code, details })
        }
        '*' => info(rest.strip_prefix(' ')?).map(ServerLine::Info),
        '@' => {
            let (from, text) = rest.split_once(':')?;
            (is_name(from) && !text.is_empty()).then_some(ServerLine::Direct { from, text })
        }
        '&' => {
            let (room, rest) = rest.split_once(':')?;
            let (from, text) = rest.split_once(':')?;
            let holds = is_name(room) && is_name(from) && !text.is_empty();
            holds.then_some(ServerLine::Message { room, from, text })
        }
        _ => {
            let (from, text) = line.split_once(": ")?;
            (is_name(from) && !text.is_empty()).then_some(ServerLine::Message { room: "lobby", from, text })
        }
    }
}

fn answer(rest: &str) -> Option<ServerLine<'_>> {
    let (word, details) = rest.split_once(' ').unwrap_or((rest, ""));
    let words: Vec<&str> = details.split(' ').collect();
    let holds = match (word, words.as_slice()) {
        ("pong" | "help", _) => true,
        ("bye", [""]) => true,
        ("nick" | "left", [name]) => is_name(name),
        ("room", [name, count]) => is_name(name) && is_count(count),
        ("who", [room, names @ ..]) => {
            is_room_or_all(room) && !names.is_empty() && names.iter().all(|name| is_name(name))
        }
        ("rooms", rooms) => rooms
            .iter()
            .all(|room| room.split_once(':').is_some_and(|(name, count)| is_name(name) && is_count(count))),
        ("end", ["who", room, count]) => is_room_or_all(room) && is_count(count),
        ("end", ["rooms", count]) => is_count(count),
        ("end", ["help"]) => true,
        ("announced", [count]) | ("end", ["stats", count]) => is_count(count),
        ("kicked", [name]) => is_name(name),
        ("stats", [key, count]) => !key.is_empty() && is_count(count),
        ("shutdown", [""]) => true,
        _ => false,
    };
    holds.then_some(ServerLine::Answer { word, details })
}

fn info(text: &str) -> Option<Info<'_>> {
    if text.starts_with("Say #name ") {
        return Some(Info::Hint);
    }
    if let Some(address) = text.strip_prefix("You are connected from ") {
        let holds = address == "unix" || address.parse::<std::net::SocketAddr>().is_ok();
        return holds.then_some(Info::Connected);
    }
    if let Some(text) = text.strip_prefix("administrator: ") {
        return (!text.is_empty()).then_some(Info::Announced { text });
    }
    let (user, what) = text.split_once(' ')?;
    let info = match what {
        "joined" => Info::Registered { user },
        "left" => Info::Closed { user, reason: None },
        _ => {
            if let Some(room) = what.strip_prefix("joined &") {
                is_name(room).then_some(Info::Joined { user, room })?
            } else if let Some(room) = what.strip_prefix("left &") {
                is_name(room).then_some(Info::Left { user, room })?
            } else if let Some(to) = what.strip_prefix("is now ") {
                is_name(to).then_some(Info::Renamed { from: user, to })?
            } else {
                let reason = what.strip_prefix("left (")?.strip_suffix(')')?;
                Info::Closed { user, reason: Some(reason) }
            }
        }
    };
    is_name(user).then_some(info)
}

fn is_name(text: &str) -> bool {
    Name::new(text.as_bytes()).is_ok()
}

fn is_room_or_all(room: &str) -> bool {
    room == "*" || is_name(room)
}

fn is_count(text: &str) -> bool {
    text.parse::<usize>().is_ok()
}

/// Parses a line to the server, without its LF. Of a refusal only the code counts; its details are for users.
pub(super) fn to_server(line: &[u8], rank: Rank) -> Parsed<'_> {
    let is_unregistered = !rank.is_registered();
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
        (Some(b'/'), _) => command(&line[1..], rank),
        (Some(b'#'), password) if is_unregistered && !name.is_empty() => {
            Parsed::Request(Request::Register { nick: name, password })
        }
        (Some(b'#'), _) => USAGE,
        _ if is_unregistered => Parsed::Refused(Refusal::RegisterFirst),
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

const SIGILS: [char; 8] = ['#', '@', '&', '/', '＃', '＠', '＆', '／'];

/// Returns the refusal of a line in which only characters without a visible form and escape sequences precede a sigil.
fn hidden(line: &[u8]) -> Option<Parsed<'_>> {
    let chars: Vec<(usize, char)> = line.char_indices().map(|(start, end, c)| (end - start, c)).collect();
    let is_unseen = |c: char| {
        let single = "\u{AD}\u{34F}\u{61C}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{3164}\u{FEFF}\u{FFA0}";
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
        ];
        let is_blank = c == ' ' || c == '\t';
        !is_blank && (c.is_control() || c.is_whitespace())
            || single.contains(c)
            || ranges.iter().any(|range| range.contains(&u32::from(c)))
    };
    let mut at = 0;
    while at < chars.len() && is_unseen(chars[at].1) {
        at += 1;
        if chars[at - 1].1 == '\u{1B}' {
            match sequence_end(&chars[at..]) {
                Some(len) => at += len,
                None => return Some(USAGE),
            }
        }
    }
    (at > 0 && chars.get(at).is_some_and(|(_, c)| SIGILS.contains(c))).then_some(USAGE)
}

/// Returns the length of an escape sequence after ESC, in characters, of which each has its length in bytes; `None` if the
/// sequence makes the line a hidden request.
fn sequence_end(chars: &[(usize, char)]) -> Option<usize> {
    let is_sigil = |at: usize| SIGILS.contains(&chars[at].1);
    let is_wide = |at: usize| is_sigil(at) && !chars[at].1.is_ascii();
    let mut at = match chars.first() {
        Some((_, '[' | ']' | 'O')) => 1,
        _ => 0,
    };
    let ends = |at: usize| match chars[0].1 {
        '[' => matches!(chars[at].1, '@'..='~'),
        ']' => chars[at].1 == '\u{7}' || chars[at].1 == '\\' && chars[at - 1].1 == '\u{1B}',
        _ => true,
    };
    while at < chars.len() && !ends(at) {
        if is_wide(at) {
            return None;
        }
        at += 1;
    }
    match chars.get(at) {
        Some(_) if is_sigil(at) => None,
        Some((1, _)) => Some(at + 1),
        // The sequence ends with the first byte of a character, and the others are text.
        Some(_) => Some(chars.len()),
        None if (0..chars.len()).any(is_sigil) => None,
        None => Some(chars.len()),
    }
}

fn command(line: &[u8], rank: Rank) -> Parsed<'_> {
    let (is_unregistered, is_operator) = (!rank.is_registered(), rank.is_operator());
    let (word, arguments) = cut(line, b" \t");
    let name = arguments.map(|arguments| blankless(arguments)).filter(|name| !name.is_empty());
    let request = match word.to_ascii_lowercase().as_slice() {
        b"ping" => Some(Request::Ping { token: arguments.unwrap_or_default() }),
        b"help" => Some(Request::Help),
        b"quit" => Some(Request::Quit { message: name.unwrap_or_default() }),
        b"announce" if is_operator => arguments.map(|text| Request::Announce { text }),
        b"kick" if is_operator => name.map(|name| {
            let (nick, reason) = cut(name, b" \t");
            Request::Kick { nick, reason: blankless(reason.unwrap_or_default()) }
        }),
        b"stats" if is_operator => Some(Request::Stats),
        b"shutdown" if is_operator => Some(Request::Shutdown),
        b"who" | b"rooms" if is_operator => Some(listed(&word.to_ascii_lowercase(), name)),
        b"nick" | b"say" | b"msg" | b"join" | b"leave" if is_unregistered => {
            return Parsed::Refused(Refusal::RegisterFirst);
        }
        _ if is_unregistered && !is_operator => return Parsed::Refused(Refusal::RegisterFirst),
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

/// Parses a message to a tutorial's client, without its LF, by the table of dialects.md for its scheme. `None` if the
/// table has no such message. To a classic client it may be any text, because it receives direct messages as texts
/// alone.
pub(super) fn to_tutorial(scheme: Scheme, line: &str) -> Option<ServerLine<'_>> {
    if let Some(rest) = line.strip_prefix('!') {
        let (code, details) = rest.split_once(' ').unwrap_or((rest, ""));
        let known = CODES.contains(&code) || CLOSING.contains(&code);
        return known.then_some(ServerLine::Refused { code, details });
    }
    let named = |user, info| is_name(user).then_some(ServerLine::Info(info));
    let renamed =
        |line: &'_ str| line.split_once(" is now ").is_some_and(|(from, to)| is_name(from) && is_name(to));
    let announced = match scheme {
        Scheme::Nickname => line.strip_prefix("Administrator message: "),
        Scheme::Udp => line.strip_prefix("administrator : "),
        _ => line.strip_prefix("administrator: "),
    };
    if let Some(text) = announced {
        return (!text.is_empty()).then_some(ServerLine::Info(Info::Announced { text }));
    }
    if let Some(direct) = line.strip_prefix('@')
        && scheme != Scheme::Classic
    {
        let (from, text) = direct.split_once(": ")?;
        return (is_name(from) && !text.is_empty()).then_some(ServerLine::Direct { from, text });
    }
    match scheme {
        Scheme::Classic => {
            if let Some(from) = line.strip_prefix("You are connected from:('") {
                let (ip, port) = from.strip_suffix(')')?.split_once("', ")?;
                let holds = ip.parse::<std::net::IpAddr>().is_ok() && port.parse::<u16>().is_ok();
                return holds.then_some(ServerLine::Info(Info::Connected));
            }
            let nick = line.strip_prefix("Your user detail saved as : ")?;
            return is_name(nick).then_some(ServerLine::Answer { word: "nick", details: nick });
        }
        Scheme::Nickname | Scheme::Udp if renamed(line) => {
            let (from, to) = line.split_once(" is now ")?;
            return Some(ServerLine::Info(Info::Renamed { from, to }));
        }
        Scheme::Nickname => {
            if line == "Connected to server!" {
                return Some(ServerLine::Answer { word: "room", details: "lobby 0" });
            }
            if let Some(user) = line.strip_suffix(" joined!").filter(|user| is_name(user)) {
                return named(user, Info::Registered { user });
            }
            if let Some(user) = line.strip_suffix(" left!").filter(|user| is_name(user)) {
                return named(user, Info::Closed { user, reason: None });
            }
        }
        Scheme::Udp => {
            match line {
                "OK" => return Some(ServerLine::Answer { word: "ok", details: "" }),
                "EXIT" => return Some(ServerLine::Answer { word: "exit", details: "" }),
                "occupied" => return Some(ServerLine::Refused { code: "nick-taken", details: "" }),
                _ => {}
            }
            if let Some(user) =
                line.strip_prefix("Welcome ").and_then(|user| user.strip_suffix(" to the chat room"))
            {
                return named(user, Info::Registered { user });
            }
            if let Some(user) = line.strip_suffix(" exited the chat room").filter(|user| is_name(user)) {
                return named(user, Info::Closed { user, reason: None });
            }
        }
        Scheme::Relay | Scheme::Line | Scheme::Unix => {}
    }
    let (from, text) = line.split_once(if scheme == Scheme::Udp { " : " } else { ": " })?;
    (is_name(from) && !text.is_empty()).then_some(ServerLine::Message { room: "lobby", from, text })
}

/// Returns the names in a list of recipients.
pub(super) fn targets(list: &BStr) -> impl Iterator<Item = &BStr> {
    list.split(|byte| *byte == b',').map(blankless)
}

/// Returns a text as it is sent to recipients.
pub(super) fn safe(text: &[u8]) -> String {
    let mut safe = Vec::new();
    push_safe(text, &mut safe);
    String::from_utf8(safe).expect("what is safe is UTF-8")
}

/// Returns whether a text may be shown unchanged. Most texts are printable ASCII, for which two comparisons per byte
/// are enough: a fuzzer traces each comparison.
pub(super) fn may_be_shown(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_safe)
}

/// Returns the parts before and after the first of these bytes.
fn cut<'a>(line: &'a [u8], at: &[u8]) -> (&'a BStr, Option<&'a BStr>) {
    match line.iter().position(|byte| at.contains(byte)) {
        Some(index) => (line[..index].as_bstr(), Some(line[index + 1..].as_bstr())),
        None => (line.as_bstr(), None),
    }
}

/// Returns the name without the blanks around it.
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
            assert!(from_server(line).is_some(), "{line}");
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
            assert_eq!(from_server(line), None, "{line}");
        }
    }
}
