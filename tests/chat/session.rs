//! The state of a session, and the effects of received and typed lines.

use redpoll::client::line::Line;
use redpoll::client::session::{Action, Awaiting, Input, MAX_TAKEN_RETRIES, NOT_CONNECTED, Session};

/// Returns the lines that `line` causes to be sent, and the action after it.
fn receive(session: &mut Session, line: &str) -> (Vec<String>, Action) {
    let effects = session.handle_line(&Line::parse(line));
    (effects.send, effects.action)
}

fn shows(session: &mut Session, line: &str) -> bool {
    session.handle_line(&Line::parse(line)).show
}

/// The session of alice, registered and in the lobby.
fn alice() -> Session {
    let mut session = Session::new(Some("alice".to_owned()));
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    receive(&mut session, "+nick alice");
    receive(&mut session, "+room lobby 3");
    receive(&mut session, "+end who lobby 3");
    session
}

fn completes(session: &Session, head: &str) -> Vec<String> {
    session.roster().complete(head).candidates
}

#[test]
fn registration_lists_members_without_showing() {
    let mut session = Session::new(Some("alice".to_owned()));
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    assert_eq!(session.awaiting(), Awaiting::Server);
    assert_eq!(receive(&mut session, "+nick alice"), (vec![], Action::ResetBackoff));
    assert_eq!(session.awaiting(), Awaiting::Server, "the first prompt needs the room");
    assert_eq!(receive(&mut session, "+room lobby 3"), (vec!["/who lobby".to_owned()], Action::Continue));
    assert!(!shows(&mut session, "+who lobby alice bob carol"));
    assert!(!shows(&mut session, "+end who lobby 3"));
    assert_eq!(completes(&session, "@b"), ["bob:"]);
    assert_eq!(
        (session.awaiting(), session.nick(), session.room()),
        (Awaiting::Line, "alice", Some("lobby"))
    );
    assert!(shows(&mut session, "+who lobby alice bob carol"), "this answer is to the user");
    assert!(shows(&mut session, "+end who lobby 3"));
}

#[test]
fn refused_name_is_asked_again() {
    let mut session = Session::new(None);
    assert_eq!(session.connected(), None);
    assert_eq!(session.awaiting(), Awaiting::Name);
    assert_eq!(session.choose_nick(" root ").as_deref(), Some("#root"));
    assert_eq!(receive(&mut session, "!nick-reserved root"), (vec![], Action::Continue));
    assert_eq!(session.awaiting(), Awaiting::Name);
    assert_eq!(session.choose_nick("#alice").as_deref(), Some("#alice"));
    receive(&mut session, "+nick alice");
    receive(&mut session, "+room lobby 1");
    assert_eq!(session.awaiting(), Awaiting::Line);
}

#[test]
fn presence_updates_the_roster() {
    let mut session = alice();
    receive(&mut session, "* bob joined");
    receive(&mut session, "* Carol joined &dev");
    receive(&mut session, "* bob is now robert");
    assert_eq!(completes(&session, "@"), ["Carol:", "robert:"]);
    receive(&mut session, "* Carol left &dev");
    receive(&mut session, "* robert left (too slow)");
    assert_eq!(completes(&session, "@"), ["Carol:"]);
    assert_eq!(completes(&session, "&d"), ["dev"]);
}

#[test]
fn answers_set_the_current_room() {
    let mut session = alice();
    receive(&mut session, "+room Dev 1");
    assert_eq!(session.room(), Some("Dev"));
    receive(&mut session, "+left dev");
    assert_eq!((session.room(), session.prompt().as_str()), (Some("lobby"), "lobby> "));
    receive(&mut session, "+left lobby");
    assert_eq!((session.room(), session.prompt().as_str()), (None, "(in no room)> "));
}

#[test]
fn reconnecting_restores_rooms() {
    let mut session = alice();
    receive(&mut session, "+room dev 2");
    receive(&mut session, "+room ops 2");
    receive(&mut session, "+room dev 2");
    session.lost();
    assert_eq!(session.handle_typed("hi"), Input::Reject(NOT_CONNECTED));
    assert_eq!(session.prompt(), "(not connected)> ");
    assert_eq!(session.connected().as_deref(), Some("#alice"));
    assert_eq!(
        receive(&mut session, "+nick alice"),
        (vec!["&ops".to_owned(), "&dev".to_owned()], Action::ResetBackoff)
    );
    receive(&mut session, "+room lobby 1");
    session.lost();
    assert_eq!(session.connected().as_deref(), Some("#alice"), "lost again before all rooms are joined");
    assert_eq!(receive(&mut session, "+nick alice").0, ["&ops", "&dev"]);
    for room in ["lobby", "ops", "dev"] {
        receive(&mut session, &format!("+room {room} 1"));
    }
    assert_eq!(session.room(), Some("dev"));
    session.lost();
    session.connected();
    assert_eq!(receive(&mut session, "+nick alice").0, ["&ops", "&dev"]);
}

#[test]
fn reconnecting_restores_the_lobby() {
    let mut session = alice();
    receive(&mut session, "+room dev 2");
    receive(&mut session, "+room lobby 2");
    session.lost();
    session.connected();
    assert_eq!(receive(&mut session, "+nick alice").0, ["&dev", "&lobby"]);
    for room in ["lobby", "dev", "lobby"] {
        receive(&mut session, &format!("+room {room} 1"));
    }
    receive(&mut session, "+left lobby");
    receive(&mut session, "+room dev 2");
    session.lost();
    session.connected();
    assert_eq!(receive(&mut session, "+nick alice").0, ["&dev", "/leave lobby"]);
}

#[test]
fn taken_name_is_retried_after_reconnecting() {
    let mut session = alice();
    for _ in 0..MAX_TAKEN_RETRIES {
        session.lost();
        session.connected();
        assert_eq!(receive(&mut session, "!nick-taken alice").1, Action::Reconnect);
    }
    session.lost();
    session.connected();
    assert_eq!(receive(&mut session, "!nick-taken alice").1, Action::AskName);
    assert_eq!(session.awaiting(), Awaiting::Name);
}

#[test]
fn reconnecting_uses_latest_name_or_password() {
    let mut session = Session::new(Some("Alice:secret".to_owned()));
    session.connected();
    for (nick, registration) in [("alice", "#Alice:secret"), ("alicia", "#alicia")] {
        receive(&mut session, &format!("+nick {nick}"));
        session.lost();
        assert_eq!(session.connected().as_deref(), Some(registration));
    }
}

#[test]
fn kicked_session_does_not_reconnect() {
    assert_eq!(receive(&mut alice(), "!kicked bob: spam").1, Action::Stop);
    assert_eq!(receive(&mut alice(), "!shutting-down").1, Action::Continue);
}

#[test]
fn typed_lines_are_classified() {
    let session = alice();
    assert_eq!(session.handle_typed(""), Input::Empty);
    for line in ["hi", "exit now", " quit it", "@bob:exit", "/who"] {
        assert_eq!(session.handle_typed(line), Input::Send(line));
    }
    for line in ["exit", "quit", " exit ", "/quit"] {
        assert_eq!(session.handle_typed(line), Input::Quit("/quit"));
    }
    assert_eq!(session.handle_typed("/quit so long"), Input::Quit("/quit so long"));
    assert!(matches!(session.handle_typed("# a comment"), Input::Reject(_)));
}
