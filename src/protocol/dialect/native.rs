//! The line protocol of protocol.md: what can be typed into `nc`. One table says which commands there are, who may
//! call them, how they go and what `/help` says of them.

use super::{encode_refusal, line, push_fmt, split, trim};
use crate::protocol::event::Event;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Meaning, Rank, Request, Scope};
use crate::protocol::text::trim_blanks_before;
use bstr::{BStr, ByteSlice};

/// Who may give a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    Anyone,
    Members,
    /// Members, and operators without a name.
    MembersAndOperators,
    Operators,
}

impl May {
    fn includes(self, rank: Rank) -> bool {
        match self {
            May::Anyone => true,
            May::Members => rank.is_registered(),
            May::MembersAndOperators => rank.is_registered() || rank.is_operator(),
            May::Operators => rank.is_operator(),
        }
    }
}

/// How a command's arguments become a request; `None` where the form is incomplete. `None` as argument: nothing, not
/// even a blank, follows the word.
type Build = for<'a> fn(Option<&'a BStr>) -> Option<Request<'a>>;

struct Command {
    word: &'static str,
    may: May,
    /// How it goes, as `!usage` says it.
    form: &'static str,
    build: Build,
}

const COMMANDS: [Command; 14] = [
    Command { word: "nick", may: May::Members, form: "/nick name", build: nick },
    Command { word: "say", may: May::Members, form: "/say text", build: say },
    Command { word: "msg", may: May::Members, form: "/msg nick text", build: msg },
    Command { word: "join", may: May::Members, form: "/join room", build: join },
    Command { word: "leave", may: May::Members, form: "/leave [room]", build: leave },
    Command { word: "who", may: May::MembersAndOperators, form: "/who [room]", build: who },
    Command { word: "rooms", may: May::MembersAndOperators, form: "/rooms", build: |_| Some(Request::Rooms) },
    Command { word: "ping", may: May::Anyone, form: "/ping [token]", build: ping },
    Command { word: "help", may: May::Anyone, form: "/help", build: |_| Some(Request::Help) },
    Command { word: "quit", may: May::Anyone, form: "/quit [message]", build: quit },
    Command { word: "announce", may: May::Operators, form: "/announce text", build: announce },
    Command { word: "kick", may: May::Operators, form: "/kick nick [reason]", build: kick },
    Command { word: "stats", may: May::Operators, form: "/stats", build: |_| Some(Request::Stats) },
    Command { word: "shutdown", may: May::Operators, form: "/shutdown", build: |_| Some(Request::Shutdown) },
];

/// What `/help` answers, one `+help` line each.
const HELP: [&str; 15] = [
    "#name  take a name and enter the lobby",
    "@name:text  tell one person; @ann,bob:text several",
    "text  say it in the current room, at first the lobby",
    "&room  enter a room and make it the current one",
    "&room:text  say it in that room",
    "/nick name  take another name",
    "/say text  say it, whatever it begins with",
    "/msg name text  as @name:text",
    "/join room  as &room",
    "/leave [room]  leave it",
    "/who [room]  who is there; /who * who is anywhere",
    "/rooms  which rooms there are",
    "/ping [token]  answered by +pong token",
    "/help  this",
    "/quit [message]  leave the server",
];

/// What it answers operators besides.
const OPERATORS_HELP: [&str; 4] = [
    "/announce text  tell everyone on the server",
    "/kick name [reason]  end somebody's connection; the name is refused for a minute",
    "/stats  what the server counts",
    "/shutdown  stop the server",
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
    let may = command.is_some_and(|command| command.may.includes(rank));
    match command {
        None if rank.is_operator() => Meaning::Refused(Refusal::UnknownCommand(word.as_bstr())),
        _ if !rank.is_registered() && !may => Meaning::Refused(Refusal::RegisterFirst),
        None => Meaning::Refused(Refusal::UnknownCommand(word.as_bstr())),
        Some(_) if !may => Meaning::Refused(Refusal::Denied),
        Some(command) => match (command.build)(arguments) {
            Some(request) => Meaning::Request(request),
            None => Meaning::Refused(Refusal::Usage(command.form)),
        },
    }
}

fn nick(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Rename { nick: name(arguments)? })
}

fn say(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Say { room: None, text: arguments? })
}

fn msg(arguments: Option<&BStr>) -> Option<Request<'_>> {
    let arguments = trim_blanks_before(arguments?).as_bstr();
    let end = arguments.find_byteset(b" \t")?;
    Some(Request::Direct { to: arguments[..end].as_bstr(), text: arguments[end + 1..].as_bstr() })
}

fn join(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Join { room: name(arguments)? })
}

fn leave(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Leave { room: name(arguments) })
}

fn who(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Who(match name(arguments) {
        None => Scope::Current,
        Some(all) if all == "*" => Scope::Everyone,
        Some(room) => Scope::Room(room),
    }))
}

fn ping(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Ping { token: arguments.unwrap_or_default() })
}

fn quit(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Quit { message: trim(arguments.unwrap_or_default()) })
}

fn announce(arguments: Option<&BStr>) -> Option<Request<'_>> {
    Some(Request::Announce { text: arguments? })
}

fn kick(arguments: Option<&BStr>) -> Option<Request<'_>> {
    let arguments = name(arguments)?;
    let end = arguments.find_byteset(b" \t").unwrap_or(arguments.len());
    Some(Request::Kick { nick: arguments[..end].as_bstr(), reason: trim(arguments[end..].as_bstr()) })
}

/// The arguments as one name; `None` where there is none.
fn name(arguments: Option<&BStr>) -> Option<&BStr> {
    arguments.map(trim).filter(|name| !name.is_empty())
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
            push_fmt(
                out,
                format_args!("* You are connected from {from}\n* Say #name to take a name, /help for help\n"),
            );
        }
        Event::Named { nick } => line(out, &["+nick ", nick.shown()], b""),
        Event::Entered { room, members } => push_fmt(out, format_args!("+room {} {members}\n", room.shown())),
        Event::Left { room } => line(out, &["+left ", room.shown()], b""),
        Event::Who { room, names } => line(out, &["+who ", room, " ", names], b""),
        Event::EndWho { room, count } => push_fmt(out, format_args!("+end who {room} {count}\n")),
        Event::Rooms { rooms } => line(out, &["+rooms ", rooms], b""),
        Event::EndRooms { count } => push_fmt(out, format_args!("+end rooms {count}\n")),
        Event::Pong { token } if token.is_empty() => line(out, &["+pong"], b""),
        Event::Pong { token } => line(out, &["+pong "], token),
        Event::Help { operator } => {
            let more: &[&str] = if operator { &OPERATORS_HELP } else { &[] };
            HELP.iter().chain(more).for_each(|help| line(out, &["+help ", help], b""));
            line(out, &["+end help"], b"");
        }
        Event::Bye => line(out, &["+bye"], b""),
        Event::Announced { count } => push_fmt(out, format_args!("+announced {count}\n")),
        Event::Kicked { who } => line(out, &["+kicked ", who.shown()], b""),
        Event::Stat { key, value } => push_fmt(out, format_args!("+stats {key} {value}\n")),
        Event::EndStats { count } => push_fmt(out, format_args!("+end stats {count}\n")),
        Event::Shutdown => line(out, &["+shutdown"], b""),
        Event::Announcement { text } => line(out, &["* administrator: "], text),
        Event::Arrived { who } => line(out, &["* ", who.shown(), " joined"], b""),
        Event::Gone { who, reason } if reason.is_empty() => line(out, &["* ", who.shown(), " left"], b""),
        Event::Gone { who, reason } => {
            line(out, &["* ", who.shown(), " left ("], reason);
            out.pop();
            out.extend_from_slice(b")\n");
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
        for command in COMMANDS.iter().filter(|command| command.may != May::Operators) {
            assert!(
                HELP.iter().any(|help| help.starts_with(&format!("/{}", command.word))),
                "{}",
                command.word
            );
        }
    }
}
