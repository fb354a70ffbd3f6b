//! The line protocol of protocol.md: what can be typed into `nc`. One table has a row for each command: its word, its
//! arguments, what `/help` says of it, and the request that it becomes. Which ranks may give it is in `command.rs`.

use super::{Context, encode_refusal, line, line_fmt, push_fmt, split, trim};
use crate::protocol::command::{Kind, May};
use crate::protocol::event::{Event, List, ListItem};
use crate::protocol::message;
use crate::protocol::name::MAX_BYTES as MAX_NAME_BYTES;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Meaning, Rank, Request, Scope};
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
    build: for<'a> fn(Arguments<'a>) -> Request<'a>,
}

const COMMANDS: [Command; 14] = [
    Command {
        word: "nick",
        kind: Kind::Rename,
        arity: Arity::Name,
        form: "/nick name",
        help: "/nick name  take another name",
        build: |given| Request::Rename { nick: given.name },
    },
    Command {
        word: "say",
        kind: Kind::Say,
        arity: Arity::Text,
        form: "/say text",
        help: "/say text  say it, whatever it begins with",
        build: |given| Request::Say { room: None, text: given.text },
    },
    Command {
        word: "msg",
        kind: Kind::Direct,
        arity: Arity::NameAndText,
        form: "/msg nick text",
        help: "/msg name text  as @name:text",
        build: |given| Request::Direct { to: given.name, text: given.text },
    },
    Command {
        word: "join",
        kind: Kind::Join,
        arity: Arity::Name,
        form: "/join room",
        help: "/join room  as &room",
        build: |given| Request::Join { room: given.name },
    },
    Command {
        word: "leave",
        kind: Kind::Leave,
        arity: Arity::OptionalName,
        form: "/leave [room]",
        help: "/leave [room]  leave it",
        build: |given| Request::Leave { room: Some(given.name).filter(|name| !name.is_empty()) },
    },
    Command {
        word: "who",
        kind: Kind::Who,
        arity: Arity::OptionalName,
        form: "/who [room]",
        help: "/who [room]  who is there; /who * who is anywhere",
        build: |given| {
            Request::Who(match given.name {
                none if none.is_empty() => Scope::Current,
                all if all == "*" => Scope::Everyone,
                room => Scope::Room(room),
            })
        },
    },
    Command {
        word: "rooms",
        kind: Kind::Rooms,
        arity: Arity::Nothing,
        form: "/rooms",
        help: "/rooms  which rooms there are",
        build: |_| Request::Rooms,
    },
    Command {
        word: "ping",
        kind: Kind::Ping,
        arity: Arity::OptionalText,
        form: "/ping [token]",
        help: "/ping [token]  answered by +pong token",
        build: |given| Request::Ping { token: given.text },
    },
    Command {
        word: "help",
        kind: Kind::Help,
        arity: Arity::Nothing,
        form: "/help",
        help: "/help  this",
        build: |_| Request::Help,
    },
    Command {
        word: "quit",
        kind: Kind::Quit,
        arity: Arity::OptionalText,
        form: "/quit [message]",
        help: "/quit [message]  leave the server",
        build: |given| Request::Quit { message: trim(given.text) },
    },
    Command {
        word: "announce",
        kind: Kind::Announce,
        arity: Arity::Text,
        form: "/announce text",
        help: "/announce text  tell everyone on the server",
        build: |given| Request::Announce { text: given.text },
    },
    Command {
        word: "kick",
        kind: Kind::Kick,
        arity: Arity::NameAndOptionalText,
        form: "/kick nick [reason]",
        help: "/kick name [reason]  end somebody's connection; the name is refused for a minute",
        build: |given| Request::Kick { nick: given.name, reason: given.text },
    },
    Command {
        word: "stats",
        kind: Kind::Stats,
        arity: Arity::Nothing,
        form: "/stats",
        help: "/stats  what the server counts",
        build: |_| Request::Stats,
    },
    Command {
        word: "shutdown",
        kind: Kind::Shutdown,
        arity: Arity::Nothing,
        form: "/shutdown",
        help: "/shutdown  stop the server",
        build: |_| Request::Shutdown,
    },
];

impl Command {
    fn is_for_operators(&self) -> bool {
        self.kind.rule().may == May::Operators
    }
}

/// What `/help` says of the forms that aren't commands, first.
const SIGILS_HELP: [&str; 5] = [
    "#name  take a name and enter the lobby",
    "@name:text  tell one person; @ann,bob:text several",
    "text  say it in the current room, at first the lobby",
    "&room  enter a room and make it the current one",
    "&room:text  say it in that room",
];

/// See [`Dialect::parse`](super::Dialect::parse).
pub(super) fn parse(line: &[u8], rank: Rank) -> Meaning<'_> {
    let stranger = !rank.is_registered();
    let Some((&sigil, rest)) = line.split_first() else { return Meaning::Nothing };
    match sigil {
        b'#' if stranger => register(rest.as_bstr()),
        b'/' => command(rest.as_bstr(), rank),
        _ if stranger => Meaning::Refused(Refusal::RegisterFirst),
        b'#' => Meaning::Refused(Refusal::Usage("you have a name; /nick name takes another")),
        b'@' => direct(rest.as_bstr()),
        b'&' => room(rest.as_bstr()),
        _ => Meaning::Request(Request::Say { room: None, text: line.as_bstr() }),
    }
}

fn register(rest: &BStr) -> Meaning<'_> {
    let (nick, password) = match split(rest, b':') {
        Some((nick, password)) => (trim(nick), Some(password)),
        None => (trim(rest), None),
    };
    if nick.is_empty() {
        return Meaning::Refused(Refusal::Usage("#name"));
    }
    Meaning::Request(Request::Register { nick, password })
}

fn direct(rest: &BStr) -> Meaning<'_> {
    match split(rest, b':').map(|(to, text)| (trim(to), text)) {
        Some((to, text)) if !to.is_empty() => Meaning::Request(Request::Direct { to, text }),
        _ => Meaning::Refused(Refusal::Usage("@name:text")),
    }
}

fn room(rest: &BStr) -> Meaning<'_> {
    let (room, text) = match split(rest, b':') {
        Some((room, text)) => (trim(room), Some(text)),
        None => (trim(rest), None),
    };
    match text {
        _ if room.is_empty() => Meaning::Refused(Refusal::Usage("&room, or &room:text")),
        Some(text) => Meaning::Request(Request::Say { room: Some(room), text }),
        None => Meaning::Request(Request::Join { room }),
    }
}

fn command(rest: &BStr, rank: Rank) -> Meaning<'_> {
    let (word, arguments) = match rest.find_byteset(b" \t") {
        Some(at) => (&rest[..at], Some(rest[at + 1..].as_bstr())),
        None => (rest, None),
    };
    let command = COMMANDS.iter().find(|command| word.eq_ignore_ascii_case(command.word.as_bytes()));
    let may = command.is_some_and(|command| command.kind.rule().may.includes(rank));
    match command {
        None if rank.is_operator() => Meaning::Refused(Refusal::UnknownCommand(word.as_bstr())),
        _ if !rank.is_registered() && !may => Meaning::Refused(Refusal::RegisterFirst),
        None => Meaning::Refused(Refusal::UnknownCommand(word.as_bstr())),
        Some(_) if !may => Meaning::Refused(Refusal::Denied),
        Some(command) => match arguments_of(command.arity, arguments) {
            Some(arguments) => Meaning::Request((command.build)(arguments)),
            None => Meaning::Refused(Refusal::Usage(command.form)),
        },
    }
}

/// The arguments in what follows a command's word; `None` where the form is incomplete. `given` is `None` where nothing,
/// not even a blank, follows the word.
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

/// `:` and the greatest number.
const MAX_COUNT: usize = 1 + usize::MAX.ilog10() as usize + 1;

/// The most bytes of a line of a list besides its items: `+rooms ` is the longest word, or `+who `, the longest name of a
/// room and a blank.
const LIST_FRAME: usize = "+who ".len() + MAX_NAME_BYTES + " \n".len();

/// See [`Dialect::MAX_LISTED`](super::Dialect::MAX_LISTED).
pub(super) const MAX_LISTED: usize =
    MAX_NAME_BYTES + MAX_COUNT + " ".len() + "+rooms  \n".len() + MAX_NAME_BYTES;

/// See [`Dialect::encode_list`](super::Dialect::encode_list). A line is no longer than those that a client may send, but
/// holds one item at least.
pub(super) fn encode_list<'n>(
    list: List<'_>,
    items: impl Iterator<Item = ListItem<'n>>,
    context: &Context,
    out: &mut Vec<u8>,
) -> usize {
    let most = context.max_line.saturating_sub(LIST_FRAME);
    let (mut lines, mut start) = (0, out.len());
    for item in items {
        let name = item.name.shown().as_bytes();
        let count = item.count.map_or(0, |_| MAX_COUNT);
        if lines > 0 && out.len() - start + " ".len() + name.len() + count <= most {
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

    fn member(line: &str) -> Meaning<'_> {
        parse(line.as_bytes(), Rank::Member)
    }

    fn request(line: &str) -> Request<'_> {
        match member(line) {
            Meaning::Request(request) => request,
            other => panic!("{line:?} is {other:?}"),
        }
    }

    fn refused(line: &str, rank: Rank) -> &'static str {
        match parse(line.as_bytes(), rank) {
            Meaning::Refused(refusal) => refusal.code(),
            other => panic!("{line:?} is {other:?}"),
        }
    }

    fn direct<'a>(to: &'a str, text: &'a str) -> Request<'a> {
        Request::Direct { to: to.into(), text: text.into() }
    }

    fn say<'a>(room: Option<&'a str>, text: &'a str) -> Request<'a> {
        Request::Say { room: room.map(Into::into), text: text.into() }
    }

    #[test]
    fn only_the_first_colon_separates_and_the_text_keeps_its_spaces() {
        assert_eq!(request("@bob:a:b"), direct("bob", "a:b"));
        assert_eq!(request("@ bob\t: x "), direct("bob", " x "));
        assert_eq!(request("@bob:@eve:no"), direct("bob", "@eve:no"));
        assert_eq!(request("@al,bob:hi"), direct("al,bob", "hi"));
        assert_eq!(request("@bob:"), direct("bob", ""));
        assert_eq!(request("&dev:/x"), say(Some("dev"), "/x"));
    }

    #[test]
    fn a_line_that_begins_with_a_space_is_text() {
        for text in [" /quit", " #x", " @bob:hi", "\t&dev", "plain", "+1", "!", "*"] {
            assert_eq!(request(text), say(None, text));
        }
        assert_eq!(member(""), Meaning::Nothing);
    }

    #[test]
    fn every_command_has_its_request() {
        let nick = "al".into();
        let room = "dev".into();
        let table: [(&str, Request); 18] = [
            ("/nick  al ", Request::Rename { nick }),
            ("/say  /x", say(None, " /x")),
            ("/msg  bob  hi", direct("bob", " hi")),
            ("/msg bob ", direct("bob", "")),
            ("/join dev", Request::Join { room }),
            ("& dev ", Request::Join { room }),
            ("/leave", Request::Leave { room: None }),
            ("/leave dev", Request::Leave { room: Some(room) }),
            ("/who", Request::Who(Scope::Current)),
            ("/who dev", Request::Who(Scope::Room(room))),
            ("/who *", Request::Who(Scope::Everyone)),
            ("/rooms", Request::Rooms),
            ("/ping", Request::Ping { token: "".into() }),
            ("/ping  a b", Request::Ping { token: " a b".into() }),
            ("/help me", Request::Help),
            ("/HELP", Request::Help),
            ("/quit", Request::Quit { message: "".into() }),
            ("/quit so long", Request::Quit { message: "so long".into() }),
        ];
        for (line, expected) in table {
            assert_eq!(request(line), expected, "{line}");
        }
    }

    #[test]
    fn an_incomplete_form_is_told_how_it_goes() {
        for line in
            ["@bob", "@", "@:hi", "&", "&:hi", "/nick", "/nick ", "/msg", "/msg bob", "/join", "/say", "#al"]
        {
            assert_eq!(refused(line, Rank::Member), "usage", "{line}");
        }
        assert_eq!(refused("#", Rank::Stranger), "usage");
        assert_eq!(refused("# :secret", Rank::Stranger), "usage");
    }

    #[test]
    fn strangers_are_told_to_register_before_anything_else() {
        for line in ["hi", "@bob", "&dev", "/who", "/nosuch", "/announce", "/nick", " #al"] {
            assert_eq!(refused(line, Rank::Stranger), "register-first", "{line}");
        }
        for line in ["/help", "/ping", "/quit", "#al", "#al:secret"] {
            assert!(matches!(parse(line.as_bytes(), Rank::Stranger), Meaning::Request(_)), "{line}");
        }
    }

    #[test]
    fn members_are_denied_what_operators_may_whatever_its_form() {
        for line in ["/announce", "/announce hi", "/kick", "/stats", "/shutdown now"] {
            assert_eq!(refused(line, Rank::Member), "denied", "{line}");
        }
        assert_eq!(refused("/usr/bin/env", Rank::Member), "unknown-command");
        assert_eq!(refused("/ help", Rank::Member), "unknown-command");
    }

    #[test]
    fn a_reason_cannot_forge_a_line() {
        let mut out = Vec::new();
        let who = crate::protocol::name::Name::new(b"al").unwrap();
        encode(Event::Gone { who: &who, reason: "x)\n* eve joined".into() }, &mut out);
        assert_eq!(out.as_bstr(), "* al left (x)\u{FFFD}* eve joined)\n");
    }

    #[test]
    fn help_names_every_command_that_people_may_give() {
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
