//! TAB completion of names, rooms and commands.

use redpoll::client::roster::{Completion, Roster};

/// A roster with the users alice, Alicia and bob, and the rooms lobby and dev.
fn sample_roster() -> Roster {
    let mut roster = Roster::default();
    for nick in ["bob", "alice", "Alicia"] {
        roster.add_nick(nick);
    }
    for room in ["lobby", "dev"] {
        roster.add_room(room);
    }
    roster
}

/// Returns the whole line after each completion.
fn completed(roster: &Roster, head: &str) -> Vec<String> {
    let Completion { start, candidates } = roster.complete(head);
    candidates.iter().map(|candidate| format!("{}{candidate}", &head[..start])).collect()
}

#[test]
fn completes_names_rooms_and_commands() {
    let roster = sample_roster();
    for (head, lines) in [
        ("@b", vec!["@bob:"]),
        ("@ALI", vec!["@alice:", "@Alicia:"]),
        ("@alice,b", vec!["@alice,bob:"]),
        ("@bob:al", vec![]),
        ("@x", vec![]),
        ("&de", vec!["&dev"]),
        ("&", vec!["&dev", "&lobby"]),
        ("&dev:x", vec![]),
        ("/jo", vec!["/join "]),
        ("/n", vec!["/nick "]),
        ("/join d", vec!["/join dev"]),
        ("/who ", vec!["/who dev", "/who lobby"]),
        ("/msg b", vec!["/msg bob "]),
        ("/nick b", vec![]),
        ("bo", vec!["bob: "]),
        ("hello bo", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(completed(&roster, head), lines, "{head}");
    }
}

#[test]
fn removed_users_are_not_completed() {
    let mut roster = sample_roster();
    roster.remove_nick("BOB");
    assert_eq!(completed(&roster, "@b"), [""; 0]);
    roster.clear_nicks();
    assert_eq!(completed(&roster, "@"), [""; 0]);
    assert_eq!(completed(&roster, "&d"), ["&dev"]);
}

#[test]
fn invalid_names_are_not_completed() {
    let mut roster = Roster::default();
    for odd in ["a:b", "a,b", "@a", "", "a b", &"a".repeat(33)] {
        roster.add_nick(odd);
        roster.add_room(odd);
    }
    assert_eq!((completed(&roster, "@"), completed(&roster, "&")), (vec![], vec![]));
}
