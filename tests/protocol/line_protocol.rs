//! Lines of the line protocol and their requests: tests of `src/protocol/dialect/native.rs`.

use bstr::ByteSlice;
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::name::Name;
use redpoll::protocol::{Event, Parsed, Rank, Request, Scope};

fn member(line: &str) -> Parsed<'_> {
    Dialect::Native.parse(line.as_bytes(), Rank::Member)
}

fn request(line: &str) -> Request<'_> {
    match member(line) {
        Parsed::Request(request) => request,
        other => panic!("{line:?} is {other:?}"),
    }
}

fn refused(line: &str, rank: Rank) -> &'static str {
    match Dialect::Native.parse(line.as_bytes(), rank) {
        Parsed::Refused(refusal) => refusal.code(),
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
fn only_first_colon_separates() {
    assert_eq!(request("@bob:a:b"), direct("bob", "a:b"));
    assert_eq!(request("@ bob\t: x "), direct("bob", " x "));
    assert_eq!(request("@bob:@eve:no"), direct("bob", "@eve:no"));
    assert_eq!(request("@al,bob:hi"), direct("al,bob", "hi"));
    assert_eq!(request("@bob:"), direct("bob", ""));
    assert_eq!(request("&dev:/x"), say(Some("dev"), "/x"));
}

#[test]
fn leading_space_makes_text() {
    for text in [" /quit", " #x", " @bob:hi", "\t&dev", "plain", "+1", "!", "*"] {
        assert_eq!(request(text), say(None, text));
    }
    assert_eq!(member(""), Parsed::Nothing);
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
fn incomplete_form_is_refused_as_usage() {
    for line in
        ["@bob", "@", "@:hi", "&", "&:hi", "/nick", "/nick ", "/msg", "/msg bob", "/join", "/say", "#al"]
    {
        assert_eq!(refused(line, Rank::Member), "usage", "{line}");
    }
    assert_eq!(refused("#", Rank::Unregistered), "usage");
    assert_eq!(refused("# :secret", Rank::Unregistered), "usage");
}

#[test]
fn unregistered_must_register_first() {
    for line in ["hi", "@bob", "&dev", "/who", "/nosuch", "/announce", "/nick", " #al"] {
        assert_eq!(refused(line, Rank::Unregistered), "register-first", "{line}");
    }
    for line in ["/help", "/ping", "/quit", "#al", "#al:secret"] {
        assert!(
            matches!(Dialect::Native.parse(line.as_bytes(), Rank::Unregistered), Parsed::Request(_)),
            "{line}"
        );
    }
}

#[test]
fn operator_commands_are_denied_to_members() {
    for line in ["/announce", "/announce hi", "/kick", "/stats", "/shutdown now"] {
        assert_eq!(refused(line, Rank::Member), "denied", "{line}");
    }
    assert_eq!(refused("/usr/bin/env", Rank::Member), "unknown-command");
    assert_eq!(refused("/ help", Rank::Member), "unknown-command");
}

#[test]
fn reason_cannot_forge_a_line() {
    let mut out = Vec::new();
    let name = Name::new(b"al").unwrap();
    Dialect::Native.encode(
        Event::Gone { who: &name, reason: "x)\n* eve joined".into() },
        &Context { max_line: 4096 },
        &mut out,
    );
    assert_eq!(out.as_bstr(), "* al left (x)\u{FFFD}* eve joined)\n");
}

#[test]
fn full_width_sigils_mean_their_ascii_forms() {
    assert_eq!(request("＠bob：x"), direct("bob", "x"));
    assert_eq!(request("@bob：x:y"), direct("bob", "x:y"));
    assert_eq!(request("＠al，b:x"), direct("al，b", "x"));
    assert_eq!(request("／msg bob x"), direct("bob", "x"));
    assert_eq!(request("＆dev：x"), say(Some("dev"), "x"));
    assert_eq!(request("＆dev"), Request::Join { room: "dev".into() });
    let register = Parsed::Request(Request::Register { nick: "al".into(), password: Some("pw".into()) });
    assert_eq!(Dialect::Native.parse("＃al：pw".as_bytes(), Rank::Unregistered), register);
    // Other full-width characters are text.
    assert_eq!(request("！x"), say(None, "！x"));
    assert_eq!(request("hi ＠bob：x"), say(None, "hi ＠bob：x"));
}

/// Lines of `nc` after a key that it doesn't interpret, and of text copied from a page: a direct message was said aloud.
#[test]
fn hidden_sigils_are_refused() {
    let hidden = [
        "\x1B[A",
        "\x1B[1;5C",
        "\x08",
        "\u{200B}",
        "\u{2060}",
        "\u{A0}",
        "\u{FEFF}",
        "\x7F",
        "\u{85}",
        "\u{3000}",
        "\u{AD}",
        "\u{E0020}",
        "\x1BOA",
        "\x1B]0;title\x07",
        "\x1B]0;title\x1B\\",
        "\x1BM",
        "\u{200B}\x1B[A\x08",
        "\x1B",
        "\x1B[",
        "\x1BO",
        "\x1B]0;",
    ];
    for prefix in hidden {
        for sigil in ["#", "@", "&", "/", "＃", "＠", "＆", "／"] {
            let line = format!("{prefix}{sigil}bob:secret");
            // In a sequence that has begun, `#`, `&` and `/` are intermediate bytes (ECMA-48): `b` ends it.
            if prefix == "\x1B[" && "#&/".contains(sigil) {
                continue;
            }
            for rank in [Rank::Unregistered, Rank::Member] {
                let Parsed::Refused(refusal) = Dialect::Native.parse(line.as_bytes(), rank) else {
                    panic!("{line:?} is not refused");
                };
                assert_eq!(refusal.code(), "usage", "{line:?}");
            }
        }
    }
    // Text with such characters is text where no sigil follows, and where a blank precedes it.
    for text in
        ["\x1B[Ahi", "\u{200B}hi @bob", "\x08", "\x1B[A", " \u{200B}@bob:x", "\u{200B} @bob:x", "e\u{301}@x"]
    {
        assert_eq!(request(text), say(None, text));
    }
}

#[test]
fn refusal_of_a_hidden_sigil_names_both() {
    let mut out = Vec::new();
    let Parsed::Refused(refusal) = member("\u{200B}\x08@bob:x") else { panic!("it is refused") };
    Dialect::Native.encode(Event::Refused(refusal), &Context { max_line: 4096 }, &mut out);
    assert_eq!(out.as_bstr(), "!usage U+200B in front of @\n");
}

#[test]
fn sequences_of_any_kind_are_passed_over() {
    let many = "\u{1B}]\u{7}".repeat(1000) + "@bob:x";
    assert_eq!(refused(&many, Rank::Member), "usage");
    let many = "\u{1B}]\u{1B}\\".repeat(1000) + "hi";
    assert_eq!(request(&many), say(None, &many));
}
