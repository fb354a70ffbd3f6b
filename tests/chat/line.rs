//! Parsing of lines from the server.

use redpoll::client::line::{Answer, Line, Presence, Refusal, is_name};
use redpoll::protocol::name::MAX_CHARS;

#[test]
fn first_byte_selects_the_form() {
    let message = |room, from, text| Line::Message { room, from, text };
    for (line, parsed) in [
        ("alice: hi: there", message(None, "alice", "hi: there")),
        ("&dev:bob:re: it", message(Some("dev"), "bob", "re: it")),
        ("@bob:psst", Line::Direct { from: "bob", text: "psst" }),
        ("@bob: :x", Line::Direct { from: "bob", text: " :x" }),
        ("+nick alice", Line::Answer(Answer::Nick("alice"))),
        ("+room dev 5", Line::Answer(Answer::Room("dev", "5"))),
        ("+left dev", Line::Answer(Answer::Left("dev"))),
        ("+who dev alice bob", Line::Answer(Answer::Who("dev", "alice bob"))),
        ("+end who dev 2", Line::Answer(Answer::EndWho("dev", "2"))),
        ("+rooms lobby:12 dev:2", Line::Answer(Answer::Rooms("lobby:12 dev:2"))),
        ("+end rooms 2", Line::Answer(Answer::EndRooms("2"))),
        ("+help &room", Line::Answer(Answer::Help("&room"))),
        ("+end help", Line::Answer(Answer::End)),
        ("+bye", Line::Answer(Answer::Bye)),
        ("+pong a b", Line::Answer(Answer::Other("pong", "a b"))),
        ("!no-such-user bob", Line::Refusal(Refusal { code: "no-such-user", details: "bob" })),
        ("!denied", Line::Refusal(Refusal { code: "denied", details: "" })),
        ("* alice joined", Line::Presence(Presence::Joined("alice", None))),
        ("* alice joined &dev", Line::Presence(Presence::Joined("alice", Some("dev")))),
        ("* alice left", Line::Presence(Presence::Disconnected("alice"))),
        ("* alice left (too slow)", Line::Presence(Presence::Disconnected("alice"))),
        ("* alice left &dev", Line::Presence(Presence::LeftRoom("alice", "dev"))),
        ("* alice is now alicia", Line::Presence(Presence::Renamed("alice", "alicia"))),
        ("* administrator: alice left", Line::Notice),
        ("* You are connected from 127.0.0.1:50123", Line::Notice),
    ] {
        assert_eq!(Line::parse(line), parsed, "{line}");
    }
}

#[test]
fn other_lines_are_kept_unchanged() {
    for line in ["", "hello", "@bob", "&dev:x", "&de v:bob:x", "*x", "two words: x", "@a b:x", ": x"] {
        assert_eq!(Line::parse(line), Line::Other(line), "{line}");
    }
}

#[test]
fn overlong_names_are_not_names() {
    let long = "a".repeat(MAX_CHARS + 1);
    assert!(is_name(&long[1..]) && !is_name(&long));
    for line in
        [format!("{long}: x"), format!("@{long}:x"), format!("&{long}:bob:x"), format!("&dev:{long}:x")]
    {
        assert_eq!(Line::parse(&line), Line::Other(&line));
    }
    let room = format!("+room {long} 1");
    assert_eq!(Line::parse(&room), Line::Answer(Answer::Other("room", &room[6..])));
}

#[test]
fn some_refusals_close_the_connection() {
    let refusal = |code| Refusal { code, details: "" };
    assert!(refusal("kicked").is_closing() && refusal("shutting-down").is_closing());
    assert!(!refusal("nick-taken").is_closing() && !refusal("recipient-full").is_closing());
}
