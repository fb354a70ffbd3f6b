//! What somebody is answered: every request in order, each by what it calls for, as far as the server read them.

use crate::actor::{Actor, Asked};
use crate::history::{LOBBY, ROOMS};
use crate::judge::{Case, Heard};
use crate::seen::Seen;
use crate::world::Crowd;
use redpoll::protocol::scheme::Scheme;
use std::collections::{BTreeMap, BTreeSet};

/// Where somebody is, as its own answers say.
struct Place {
    rooms: BTreeSet<usize>,
    current: Option<usize>,
}

/// The greeting, what was refused before there was a name, and the name. How many lines that were; `None` where it has
/// no name, or has not heard so far.
pub fn check_beginning(actor: &Actor, heard: &Heard<'_>, crowd: &Crowd) -> Option<usize> {
    let earned: Vec<String> = actor.earned.iter().map(|code| format!("!{code} ")).collect();
    let named = |start: &str| actor.nick.as_ref().map(|nick| format!("{start}{nick}"));
    let mut due: Vec<String> = match actor.door {
        Scheme::Line => vec!["* You are connected from 1".into(), "* Say #name".into()],
        Scheme::Classic => vec!["You are connected from:('1".into()],
        _ => vec![],
    };
    due.extend(earned);
    match actor.door {
        Scheme::Line => {
            due.extend(named("+nick "));
            due.extend(actor.nick.as_ref().map(|_| "+room lobby ".into()));
        }
        Scheme::Classic => due.extend(named("Your user detail saved as : ")),
        Scheme::Nickname => due.extend(actor.nick.as_ref().map(|nick| format!("{nick} joined!"))),
        _ => {}
    }
    for (line, due) in heard.lines.iter().zip(&due) {
        assert!(line.starts_with(due), "{} hears {line:?} where {due:?} is due", actor.name());
    }
    let is_all = heard.lines.len() >= due.len();
    let why = heard.is_unread || actor.broken || crowd.stopped.is_some();
    assert!(is_all || why, "{} has only heard {:?} of {due:?}", actor.name(), heard.lines);
    (is_all && actor.nick.is_some()).then_some(due.len())
}

/// Every request was obeyed or refused, in order: as far as it was read, and all of them where it was read to the end.
/// The rooms in which that leaves somebody, if all is known.
pub fn check(
    case: &Case<'_>,
    actor: &Actor,
    lines: &[&str],
    is_unread: bool,
    seen: &mut Seen,
) -> Option<BTreeSet<usize>> {
    let mut answers = lines.iter().filter(|line| line.starts_with(['+', '!'])).copied();
    let mut at = Place { rooms: BTreeSet::from([LOBBY]), current: Some(LOBBY) };
    for (number, asked) in actor.asked.iter().enumerate() {
        let pong = format!("+pong {number}");
        let mut answer: Vec<&str> = Vec::new();
        loop {
            match answers.next() {
                Some(line) if line == pong => break,
                Some(line) => answer.push(line),
                None => {
                    assert!(is_unread, "{}: number {number} was never answered", actor.name());
                    return None;
                }
            }
        }
        let place = case.said.get(&(actor.name(), number)).copied();
        let said = at.obey(case, actor, (number, asked), &answer, seen);
        assert_eq!(place, said, "where {}'s {number} was said, answered by {answer:?}", actor.name());
    }
    assert_eq!(answers.next(), None, "{} is answered more than it asked", actor.name());
    Some(at.rooms)
}

impl Place {
    /// Checks the answer to one request, and where it leaves the sender; in which room it must have been said.
    fn obey(
        &mut self,
        case: &Case<'_>,
        actor: &Actor,
        (number, asked): (usize, &Asked),
        answer: &[&str],
        seen: &mut Seen,
    ) -> Option<usize> {
        let is = |expected: &str| {
            let holds = answer.len() == 1 && answer[0].to_lowercase().starts_with(expected);
            assert!(holds, "{}'s {number}, {asked:?}: {answer:?} for {expected:?}", actor.name());
        };
        match asked {
            Asked::Say(room) => {
                let room = room.or(self.current).filter(|room| self.rooms.contains(room));
                match room {
                    Some(_) => assert!(answer.is_empty(), "{}'s {number}: {answer:?}", actor.name()),
                    None => is("!not-in-room"),
                }
                return room;
            }
            Asked::Direct(to) => check_told(case, actor, (number, to), answer, seen),
            Asked::Join(room) => {
                is(&format!("+room {} ", ROOMS[*room]));
                self.rooms.insert(*room);
                self.current = Some(*room);
            }
            Asked::Leave(room) => {
                let was_in = self.rooms.remove(room);
                let word = if was_in { "+left" } else { "!not-in-room" };
                is(&format!("{word} {}", ROOMS[*room]));
                if self.current == Some(*room) {
                    self.current = self.rooms.get(&LOBBY).copied();
                }
            }
            Asked::List => {
                let is_list = answer.last().is_some_and(|line| line.starts_with("+end "));
                assert!(is_list, "{}'s {number}: {answer:?}", actor.name());
            }
            Asked::Refused("line-too-long") => {
                is(&format!("!line-too-long {}", case.crowd.lot.limits.max_line))
            }
            Asked::Refused(code) => is(&format!("!{code} ")),
        }
        None
    }
}

/// Each recipient who reads has got the message, or it was refused for that recipient by name.
fn check_told(
    case: &Case<'_>,
    actor: &Actor,
    (number, to): (usize, &[&str]),
    answer: &[&str],
    seen: &mut Seen,
) {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    to.iter().for_each(|name| *names.entry(name.to_lowercase()).or_default() += 1);
    let mut told = 0;
    for (name, times) in &names {
        let refused = |code: &str| {
            let refusal = format!("!{code} {name}");
            answer.iter().filter(|line| line.eq_ignore_ascii_case(&refusal)).count()
        };
        let (full, nobody) = (refused("recipient-full"), refused("no-such-user"));
        told += full + nobody;
        // Who isn't there, or has no room, is refused each time.
        let is_whole = [(0, 0), (*times, 0), (0, *times)].contains(&(full, nobody));
        let got = case.has_got(name, actor, number);
        let other = case.crowd.actors.iter().find(|other| other.name() == name);
        // A queue may pass its half between two of the same name.
        let is_mixed = full < *times && nobody == 0;
        assert!(is_whole || is_mixed, "{}'s {number} to {to:?}: {answer:?}", actor.name());
        assert!(!got || full + nobody < *times, "{}'s {number} was refused and told", actor.name());
        let reads = other.is_some_and(|other| !other.deaf);
        assert!(!reads || got || full + nobody > 0, "{}'s {number} to {name} is lost", actor.name());
        // What passes its half within a turn may be taken in the same; and who is broken has no room until it is reaped.
        let was_full =
            other.is_some_and(|other| other.peak > 0 || other.deaf) || case.crowd.lot.hinders_sending();
        assert!(full == 0 || was_full, "{name} was never full, as {}'s {number} is told", actor.name());
        seen.note_times("direct", "told", usize::from(got));
    }
    assert_eq!(told, answer.len(), "nothing else answers {}'s {number} to {to:?}: {answer:?}", actor.name());
}
