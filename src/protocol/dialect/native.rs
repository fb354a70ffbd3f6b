//! The line protocol of protocol.md, for `nc` and other line clients. One table has a row for each command: its word,
//! its arguments, its help and the request that it becomes. Which ranks may make the request is in `command.rs`.

use super::sigil::{self, Start, split_name};
use super::{Context, encode_refusal, line, line_fmt, push_fmt, trim};
use crate::protocol::command::{Kind, May};
use crate::protocol::event::{Event, List, ListItem};
use crate::protocol::message;
use crate::protocol::name::MAX_BYTES as MAX_NAME_BYTES;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Parsed, Rank, Request, Scope};
use crate::protocol::text::{push_safe, trim_blanks_before};
use bstr::{BStr, ByteSlice};

/// Which arguments a command takes.
#[derive(Clone, Copy)]
enum Arity {
    /// None; what follows the word is ignored.
    Nothing,
    /// A name.
    Name,
    /// A name or nothing.
    OptionalName,
    /// A text, kept as it is; it may be empty, but one blank must follow the word.
    Text,
    /// A text, kept as it is, or nothing.
    OptionalText,
    /// A name and, after one blank, a text, kept as it is.
    NameAndText,
    /// A name and a text or nothing; blanks around the text are dropped.
    NameAndOptionalText,
}

/// The arguments of a command: empty where it has none.
struct Arguments<'a> {
    name: &'a BStr,
    text: &'a BStr,
}

struct Command {
    word: &'static str,
    kind: Kind,
    arity: Arity,
    /// Its form, as `!usage` shows it.
    form: &'static str,
    /// Its line of `/help`.
    help: &'static str,
    build: Build,
}

type Build = for<'a> fn(Arguments<'a>) -> Request<'a>;

/// Creates a row; `text` is its form and its help.
const fn command(
    word: &'static str,
    kind: Kind,
    arity: Arity,
    text: [&'static str; 2],
    build: Build,
) -> Command {
    let [form, help] = text;
    Command { word, kind, arity, form, help, build }
}

const COMMANDS: [Command; 14] = [
    command("nick", Kind::Rename, Arity::Name, ["/nick name", "/nick name  take another name"], |given| {
        Request::Rename { nick: given.name }
    }),
    command(
        "say",
        Kind::Say,
        Arity::Text,
        ["/say text", "/say text  say it, whatever it begins with"],
        |given| Request::Say { room: None, text: given.text },
    ),
    command(
        "msg",
        Kind::Direct,
        Arity::NameAndText,
        ["/msg nick text", "/msg name text  as @name:text"],
        |given| Request::Direct { to: given.name, text: given.text },
    ),
    command("join", Kind::Join, Arity::Name, ["/join room", "/join room  as &room"], |given| Request::Join {
        room: given.name,
    }),
    command(
        "leave",
        Kind::Leave,
        Arity::OptionalName,
        ["/leave [room]", "/leave [room]  leave it"],
        |given| Request::Leave { room: Some(given.name).filter(|name| !name.is_empty()) },
    ),
    command("who", Kind::Who, Arity::OptionalName, ["/who [room]", WHO_HELP], who),
    command("rooms", Kind::Rooms, Arity::Nothing, ["/rooms", "/rooms  which rooms there are"], |_| {
        Request::Rooms
    }),
    command("ping", Kind::Ping, Arity::OptionalText, ["/ping [token]", PING_HELP], |given| Request::Ping {
        token: given.text,
    }),
    command("help", Kind::Help, Arity::Nothing, ["/help", "/help  this"], |_| Request::Help),
    command("quit", Kind::Quit, Arity::OptionalText, ["/quit [message]", QUIT_HELP], |given| Request::Quit {
        message: trim(given.text),
    }),
    command("announce", Kind::Announce, Arity::Text, ["/announce text", ANNOUNCE_HELP], |given| {
        Request::Announce { text: given.text }
    }),
    command("kick", Kind::Kick, Arity::NameAndOptionalText, ["/kick nick [reason]", KICK_HELP], |given| {
        Request::Kick { nick: given.name, reason: given.text }
    }),
    command("stats", Kind::Stats, Arity::Nothing, ["/stats", "/stats  what the server counts"], |_| {
        Request::Stats
    }),
    command("shutdown", Kind::Shutdown, Arity::Nothing, ["/shutdown", "/shutdown  stop the server"], |_| {
        Request::Shutdown
    }),
];

const WHO_HELP: &str = "/who [room]  who is there; /who * who is anywhere";
const PING_HELP: &str = "/ping [token]  answered by +pong token";
const QUIT_HELP: &str = "/quit [message]  leave the server";
const ANNOUNCE_HELP: &str = "/announce text  tell everyone on the server";
const KICK_HELP: &str = "/kick name [reason]  end somebody's connection; the name is refused for a minute";

fn who(given: Arguments<'_>) -> Request<'_> {
    Request::Who(match given.name {
        none if none.is_empty() => Scope::Current,
        all if all == "*" => Scope::Everyone,
        room => Scope::Room(room),
    })
}

impl Command {
    fn is_for_operators(&self) -> bool {
        self.kind.rule().may == May::Operators
    }
}

/// The first lines of `/help`: the forms that aren't commands.
const SIGILS_HELP: [&str; 5] = [
    "#name  take a name and enter the lobby",
    "@name:text  tell one person; @ann,bob:text several",
    "text  say it in the current room, at first the lobby",
    "&room  enter a room and make it the current one",
    "&room:text  say it in that room",
];

/// See [`Dialect::parse`](super::Dialect::parse).
pub(super) fn parse(line: &[u8], rank: Rank) -> Parsed<'_> {
    let Some((&first, rest)) = line.split_first() else { return Parsed::Nothing };
    if !matches!(first, b' '..=b'~' | b'\t') {
        return parse_unusual(line, rank);
    }
    parse_from(first, rest, line, rank)
}

/// Parses a line that begins with another character than printable ASCII or TAB.
#[cold]
fn parse_unusual(line: &[u8], rank: Rank) -> Parsed<'_> {
    match sigil::start(line) {
        Start::Sigil(sigil, rest) => parse_from(sigil, rest, line, rank),
        Start::Hidden { hidden, sigil } => Parsed::Refused(Refusal::HiddenSigil(hidden, sigil)),
        Start::Text if rank.is_registered() => {
            Parsed::Request(Request::Say { room: None, text: line.as_bstr() })
        }
        Start::Text => Parsed::Refused(Refusal::RegisterFirst),
    }
}

/// Parses `line` by its sigil (or first character) and the `rest` after it. Inlined, so that the usual line costs no call.
#[inline(always)]
fn parse_from<'a>(sigil: u8, rest: &'a [u8], line: &'a [u8], rank: Rank) -> Parsed<'a> {
    let is_unregistered = !rank.is_registered();
    match sigil {
        b'#' if is_unregistered => register(rest.as_bstr()),
        b'/' => parse_command(rest.as_bstr(), rank),
        _ if is_unregistered => Parsed::Refused(Refusal::RegisterFirst),
        b'#' => Parsed::Refused(Refusal::Usage("you have a name; /nick name takes another")),
        b'@' => direct(rest.as_bstr()),
        b'&' => room(rest.as_bstr()),
        _ => Parsed::Request(Request::Say { room: None, text: line.as_bstr() }),
    }
}

fn register(rest: &BStr) -> Parsed<'_> {
    let (nick, password) = match split_name(rest) {
        Some((nick, password)) => (trim(nick), Some(password)),
        None => (trim(rest), None),
    };
    if nick.is_empty() {
        return Parsed::Refused(Refusal::Usage("#name"));
    }
    Parsed::Request(Request::Register { nick, password })
}

#[inline(always)]
fn direct(rest: &BStr) -> Parsed<'_> {
    match split_name(rest).map(|(to, text)| (trim(to), text)) {
        Some((to, text)) if !to.is_empty() => Parsed::Request(Request::Direct { to, text }),
        _ => Parsed::Refused(Refusal::Usage("@name:text")),
    }
}

fn room(rest: &BStr) -> Parsed<'_> {
    let (room, text) = match split_name(rest) {
        Some((room, text)) => (trim(room), Some(text)),
        None => (trim(rest), None),
    };
    match text {
        _ if room.is_empty() => Parsed::Refused(Refusal::Usage("&room, or &room:text")),
        Some(text) => Parsed::Request(Request::Say { room: Some(room), text }),
        None => Parsed::Request(Request::Join { room }),
    }
}

fn parse_command(rest: &BStr, rank: Rank) -> Parsed<'_> {
    let (word, arguments) = match rest.find_byteset(b" \t") {
        Some(at) => (&rest[..at], Some(rest[at + 1..].as_bstr())),
        None => (rest, None),
    };
    let command = COMMANDS.iter().find(|command| word.eq_ignore_ascii_case(command.word.as_bytes()));
    let may = command.is_some_and(|command| command.kind.rule().may.includes(rank));
    match command {
        None if rank.is_operator() => Parsed::Refused(Refusal::UnknownCommand(word.as_bstr())),
        _ if !rank.is_registered() && !may => Parsed::Refused(Refusal::RegisterFirst),
        None => Parsed::Refused(Refusal::UnknownCommand(word.as_bstr())),
        Some(_) if !may => Parsed::Refused(Refusal::Denied),
        Some(command) => match arguments_of(command.arity, arguments) {
            Some(arguments) => Parsed::Request((command.build)(arguments)),
            None => Parsed::Refused(Refusal::Usage(command.form)),
        },
    }
}

/// Parses the arguments of a command; `None` if the form is incomplete. `given` is what follows the word and one blank;
/// it is `None` if no blank follows the word.
fn arguments_of(arity: Arity, given: Option<&BStr>) -> Option<Arguments<'_>> {
    let nothing = BStr::new("");
    let name = given.map(trim).filter(|name| !name.is_empty());
    let (name, text) = match arity {
        Arity::Nothing => (nothing, nothing),
        Arity::Name => (name?, nothing),
        Arity::OptionalName => (name.unwrap_or_default(), nothing),
        Arity::Text => (nothing, given?),
        Arity::OptionalText => (nothing, given.unwrap_or_default()),
        Arity::NameAndText => {
            let given = trim_blanks_before(given?).as_bstr();
            let end = given.find_byteset(b" \t")?;
            (given[..end].as_bstr(), given[end + 1..].as_bstr())
        }
        Arity::NameAndOptionalText => {
            let given = name?;
            let end = given.find_byteset(b" \t").unwrap_or(given.len());
            (given[..end].as_bstr(), trim(given[end..].as_bstr()))
        }
    };
    Some(Arguments { name, text })
}

/// Bytes of `:` and the largest number.
const MAX_COUNT: usize = 1 + usize::MAX.ilog10() as usize + 1;

/// Maximum bytes of a line of a list besides its items: `+rooms `, or the longer `+who `, a room's name and a blank.
const LIST_FRAME: usize = "+who ".len() + MAX_NAME_BYTES + " \n".len();

/// See [`Dialect::MAX_LISTED`](super::Dialect::MAX_LISTED).
pub(super) const MAX_LISTED: usize =
    MAX_NAME_BYTES + MAX_COUNT + " ".len() + "+rooms  \n".len() + MAX_NAME_BYTES;

/// See [`Dialect::encode_list`](super::Dialect::encode_list). A line has at most `max_line` bytes, or one item alone.
pub(super) fn encode_list<'n>(
    list: List<'_>,
    items: impl Iterator<Item = ListItem<'n>>,
    context: &Context,
    out: &mut Vec<u8>,
) -> usize {
    let max = context.max_line.saturating_sub(LIST_FRAME);
    let (mut lines, mut start) = (0, out.len());
    for item in items {
        let name = item.name.shown().as_bytes();
        let count = item.count.map_or(0, |_| MAX_COUNT);
        if lines > 0 && out.len() - start + " ".len() + name.len() + count <= max {
            out.push(b' ');
        } else {
            if lines > 0 {
                message::end(out);
            }
            match list {
                List::Who { room } => push_fmt(out, format_args!("+who {room} ")),
                List::Rooms => out.extend_from_slice(b"+rooms "),
            }
            (lines, start) = (lines + 1, out.len());
        }
        out.extend_from_slice(name);
        if let Some(count) = item.count {
            push_fmt(out, format_args!(":{count}"));
        }
    }
    if lines > 0 {
        message::end(out);
    }
    lines
}

/// See [`Dialect::encode`](super::Dialect::encode).
pub(super) fn encode(event: Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Direct { from, text } => {
            out.push(b'@');
            out.extend_from_slice(from.shown().as_bytes());
            out.push(b':');
            line(out, &[], text);
        }
        Event::Said { room: None, from, text } => line(out, &[from.shown(), ": "], text),
        Event::Said { room: Some(room), from, text } => {
            line(out, &["&", room.shown(), ":", from.shown(), ":"], text)
        }
        Event::Connected { from } => {
            line_fmt(out, format_args!("* You are connected from {from}"));
            line(out, &["* Say #name to take a name, /help for help"], b"");
        }
        Event::Named { nick } => line(out, &["+nick ", nick.shown()], b""),
        Event::Entered { room, members } => line_fmt(out, format_args!("+room {} {members}", room.shown())),
        Event::Left { room } => line(out, &["+left ", room.shown()], b""),
        Event::EndWho { room, count } => line_fmt(out, format_args!("+end who {room} {count}")),
        Event::EndRooms { count } => line_fmt(out, format_args!("+end rooms {count}")),
        Event::Pong { token } if token.is_empty() => line(out, &["+pong"], b""),
        Event::Pong { token } => line(out, &["+pong "], token),
        Event::Help { operator } => {
            SIGILS_HELP.iter().for_each(|help| line(out, &["+help ", help], b""));
            let shown = COMMANDS.iter().filter(|command| operator || !command.is_for_operators());
            shown.for_each(|command| line(out, &["+help ", command.help], b""));
            line(out, &["+end help"], b"");
        }
        Event::Bye => line(out, &["+bye"], b""),
        Event::Announced { count } => line_fmt(out, format_args!("+announced {count}")),
        Event::Kicked { who } => line(out, &["+kicked ", who.shown()], b""),
        Event::Stat { key, value } => line_fmt(out, format_args!("+stats {key} {value}")),
        Event::EndStats { count } => line_fmt(out, format_args!("+end stats {count}")),
        Event::Shutdown => line(out, &["+shutdown"], b""),
        Event::Announcement { text } => line(out, &["* administrator: "], text),
        Event::Arrived { who } => line(out, &["* ", who.shown(), " joined"], b""),
        Event::Gone { who, reason } if reason.is_empty() => line(out, &["* ", who.shown(), " left"], b""),
        Event::Gone { who, reason } => {
            push_fmt(out, format_args!("* {} left (", who.shown()));
            push_safe(reason, out);
            line(out, &[")"], b"");
        }
        Event::Joined { who, room } => line(out, &["* ", who.shown(), " joined &", room.shown()], b""),
        Event::Parted { who, room } => line(out, &["* ", who.shown(), " left &", room.shown()], b""),
        Event::Renamed { from, to } => line(out, &["* ", from.shown(), " is now ", to.shown()], b""),
        Event::Refused(refusal) => encode_refusal(refusal, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_permitted_command() {
        for command in &COMMANDS {
            let named = format!("/{}", command.word);
            assert!(command.help.starts_with(&named) && command.form.starts_with(&named), "{named}");
            let request = (command.build)(Arguments { name: "x".into(), text: "y".into() });
            assert_eq!(request.kind(), command.kind, "{named}");
        }
    }

    #[test]
    fn list_is_packed_into_lines() {
        let names =
            ["ann", "bob", "carol"].map(|name| crate::protocol::name::Name::new(name.as_bytes()).unwrap());
        let items = || names.iter().map(|name| ListItem { name, count: None });
        for (room_for, expected) in [
            (0, "+who dev ann\n+who dev bob\n+who dev carol\n"),
            (7, "+who dev ann bob\n+who dev carol\n"),
            (13, "+who dev ann bob carol\n"),
        ] {
            let mut out = Vec::new();
            let context = Context { max_line: LIST_FRAME + room_for };
            let lines = encode_list(List::Who { room: "dev" }, items(), &context, &mut out);
            assert_eq!((out.as_bstr(), lines), (expected.into(), expected.lines().count()));
        }
        let mut out = Vec::new();
        assert_eq!(encode_list(List::Rooms, [].into_iter(), &Context { max_line: 128 }, &mut out), 0);
        assert!(out.is_empty());
    }
}
