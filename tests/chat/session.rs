//! What one's own end of the talk knows, and what follows from a line heard or typed.

use redpoll::client::line::Line;
use redpoll::client::session::{NOT_CONNECTED, Session, TAKEN_TRIES, Then, Typed, Wants};

/// What follows from `line`: what is sent, and how it goes on.
fn hear(session: &mut Session, line: &str) -> (Vec<String>, Then) {
    let heard = session.hear(&Line::parse(line));
    (heard.send, heard.then)
}

fn shows(session: &mut Session, line: &str) -> bool {
    session.hear(&Line::parse(line)).show
}

/// alice is registered, and in the lobby.
fn alice() -> Session {
    let mut session = Session::new(Some("alice".to_owned()));
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    hear(&mut session, "+nick alice");
    hear(&mut session, "+room lobby 3");
    hear(&mut session, "+end who lobby 3");
    session
}

fn completes(session: &Session, head: &str) -> Vec<String> {
    session.roster().complete(head).candidates
}

#[test]
fn with_a_name_one_registers_at_once_and_asks_quietly_who_is_here() {
    let mut session = Session::new(Some("alice".to_owned()));
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    assert_eq!(session.wants(), Wants::Patience);
    assert_eq!(hear(&mut session, "+nick alice"), (vec![], Then::Settled));
    assert_eq!(session.wants(), Wants::Patience, "so that the first prompt knows the room");
    assert_eq!(hear(&mut session, "+room lobby 3"), (vec!["/who lobby".to_owned()], Then::GoOn));
    assert!(!shows(&mut session, "+who lobby alice bob carol"));
    assert!(!shows(&mut session, "+end who lobby 3"));
    assert_eq!(completes(&session, "@b"), ["bob:"]);
    assert_eq!((session.wants(), session.nick(), session.room()), (Wants::Line, "alice", Some("lobby")));
    assert!(shows(&mut session, "+who lobby alice bob carol"), "now it is the user who asked");
    assert!(shows(&mut session, "+end who lobby 3"));
}

#[test]
fn a_refused_name_is_asked_for_again() {
    let mut session = Session::new(None);
    assert_eq!(session.connected(), None);
    assert_eq!(session.wants(), Wants::Name);
    assert_eq!(session.choose(" root ").as_deref(), Some("#root"));
    assert_eq!(hear(&mut session, "!nick-reserved root"), (vec![], Then::GoOn));
    assert_eq!(session.wants(), Wants::Name);
    assert_eq!(session.choose("#alice").as_deref(), Some("#alice"));
    hear(&mut session, "+nick alice");
    hear(&mut session, "+room lobby 1");
    assert_eq!(session.wants(), Wants::Line);
}

#[test]
fn who_comes_goes_or_is_renamed_is_known() {
    let mut session = alice();
    hear(&mut session, "* bob joined");
    hear(&mut session, "* Carol joined &dev");
    hear(&mut session, "* bob is now robert");
    assert_eq!(completes(&session, "@"), ["Carol:", "robert:"]);
    hear(&mut session, "* Carol left &dev");
    hear(&mut session, "* robert left (too slow)");
    assert_eq!(completes(&session, "@"), ["Carol:"]);
    assert_eq!(completes(&session, "&d"), ["dev"]);
}

#[test]
fn the_current_room_follows_the_answers() {
    let mut session = alice();
    hear(&mut session, "+room Dev 1");
    assert_eq!(session.room(), Some("Dev"));
    hear(&mut session, "+left dev");
    assert_eq!((session.room(), session.prompt().as_str()), (Some("lobby"), "lobby> "));
    hear(&mut session, "+left lobby");
    assert_eq!((session.room(), session.prompt().as_str()), (None, "(in no room)> "));
}

#[test]
fn after_a_lost_connection_one_is_where_one_was() {
    let mut session = alice();
    hear(&mut session, "+room dev 2");
    hear(&mut session, "+room ops 2");
    hear(&mut session, "+room dev 2");
    session.lost();
    assert_eq!(session.typed("hi"), Typed::Keep(NOT_CONNECTED));
    assert_eq!(session.prompt(), "(not connected)> ");
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    assert_eq!(
        hear(&mut session, "+nick alice"),
        (vec!["&ops".to_owned(), "&dev".to_owned()], Then::Settled)
    );
    hear(&mut session, "+room lobby 1");
    session.lost();
    assert_eq!(session.connected().as_deref(), Some("#alice"), "lost again before all rooms answered");
    assert_eq!(hear(&mut session, "+nick alice").0, ["&ops", "&dev"]);
    for room in ["lobby", "ops", "dev"] {
        hear(&mut session, &format!("+room {room} 1"));
    }
    assert_eq!(session.room(), Some("dev"));
    session.lost();
    session.connected();
    assert_eq!(hear(&mut session, "+nick alice").0, ["&ops", "&dev"]);
}

#[test]
fn the_lobby_is_current_again_or_left_again_as_it_was() {
    let mut session = alice();
    hear(&mut session, "+room dev 2");
    hear(&mut session, "+room lobby 2");
    session.lost();
    session.connected();
    assert_eq!(hear(&mut session, "+nick alice").0, ["&dev", "&lobby"]);
    for room in ["lobby", "dev", "lobby"] {
        hear(&mut session, &format!("+room {room} 1"));
    }
    hear(&mut session, "+left lobby");
    hear(&mut session, "+room dev 2");
    session.lost();
    session.connected();
    assert_eq!(hear(&mut session, "+nick alice").0, ["&dev", "/leave lobby"]);
}

#[test]
fn a_name_still_held_by_the_lost_connection_is_asked_for_again() {
    let mut session = alice();
    for _ in 0..TAKEN_TRIES {
        session.lost();
        session.connected();
        assert_eq!(hear(&mut session, "!nick-taken alice").1, Then::TryAgain);
    }
    session.lost();
    session.connected();
    assert_eq!(hear(&mut session, "!nick-taken alice").1, Then::Rename);
    assert_eq!(session.wants(), Wants::Name);
}

#[test]
fn one_comes_back_with_the_newest_name_or_with_the_password() {
    let mut session = Session::new(Some("Alice:secret".to_owned()));
    session.connected();
    for (named, back) in [("alice", "#Alice:secret"), ("alicia", "#alicia")] {
        hear(&mut session, &format!("+nick {named}"));
        session.lost();
        assert_eq!(session.connected().as_deref(), Some(back));
    }
}

#[test]
fn who_is_kicked_does_not_come_back() {
    assert_eq!(hear(&mut alice(), "!kicked bob: spam").1, Then::End);
    assert_eq!(hear(&mut alice(), "!shutting-down").1, Then::GoOn);
}

#[test]
fn what_is_typed_is_sent_but_for_leaving_and_registering() {
    let session = alice();
    assert_eq!(session.typed(""), Typed::Nothing);
    for line in ["hi", "exit now", " quit it", "@bob:exit", "/who"] {
        assert_eq!(session.typed(line), Typed::Send(line));
    }
    for line in ["exit", "quit", " exit ", "/quit"] {
        assert_eq!(session.typed(line), Typed::Leave("/quit"));
    }
    assert_eq!(session.typed("/quit so long"), Typed::Leave("/quit so long"));
    assert!(matches!(session.typed("# a comment"), Typed::Keep(_)));
}
