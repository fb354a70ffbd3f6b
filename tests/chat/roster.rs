//! Which names, rooms and commands are offered to complete a line.

use redpoll::client::roster::{Completion, Roster};

/// alice, Alicia and bob are here, and there are the lobby and dev.
fn some() -> Roster {
    let mut roster = Roster::default();
    for nick in ["bob", "alice", "Alicia"] {
        roster.add_nick(nick);
    }
    for room in ["lobby", "dev"] {
        roster.add_room(room);
    }
    roster
}

/// The whole line after each of its completions.
fn completed(roster: &Roster, head: &str) -> Vec<String> {
    let Completion { start, candidates } = roster.complete(head);
    candidates.iter().map(|candidate| format!("{}{candidate}", &head[..start])).collect()
}

#[test]
fn tab_knows_names_rooms_and_commands() {
    let roster = some();
    for (head, lines) in [
        ("@b", vec!["@bob:"]),
        ("@ALI", vec!["@alice:", "@Alicia:"]),
        ("@alice,b", vec!["@alice,bob:"]),
        ("@bob:al", vec![]),
        ("@nobody", vec![]),
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
fn who_left_is_not_offered() {
    let mut roster = some();
    roster.remove_nick("BOB");
    assert_eq!(completed(&roster, "@b"), [""; 0]);
    roster.forget_nicks();
    assert_eq!(completed(&roster, "@"), [""; 0]);
    assert_eq!(completed(&roster, "&d"), ["&dev"]);
}

#[test]
fn what_is_no_name_is_not_offered() {
    let mut roster = Roster::default();
    for odd in ["a:b", "a,b", "@a", "", "a b", &"a".repeat(33)] {
        roster.add_nick(odd);
        roster.add_room(odd);
    }
    assert_eq!((completed(&roster, "@"), completed(&roster, "&")), (vec![], vec![]));
}
