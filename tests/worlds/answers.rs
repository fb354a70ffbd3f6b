//! Checks the answers to one client: each request is answered in order, as far as the server has read them.

use crate::actor::{Actor, Request};
use crate::checker::{Checker, Received};
use crate::history::{LOBBY, ROOMS};
use crate::seen::Seen;
use crate::world::Clients;
use redpoll::protocol::scheme::Scheme;
use std::collections::{BTreeMap, BTreeSet};

/// The rooms of a client, according to its own answers.
struct Membership {
    rooms: BTreeSet<usize>,
    current: Option<usize>,
}

/// Checks the greeting, the refusals before registration, and the registration. Returns the number of these lines, or
/// `None` if the client isn't registered or hasn't received all of them.
pub fn check_registration(actor: &Actor, received: &Received<'_>, clients: &Clients) -> Option<usize> {
    let refused: Vec<String> = actor.refused.iter().map(|code| format!("!{code} ")).collect();
    let named = |start: &str| actor.nick.as_ref().map(|nick| format!("{start}{nick}"));
    let mut due: Vec<String> = match actor.scheme {
        Scheme::Line => vec!["* You are connected from 1".into(), "* Say #name".into()],
        Scheme::Classic => vec!["You are connected from:('1".into()],
        _ => vec![],
    };
    due.extend(refused);
    match actor.scheme {
        Scheme::Line => {
            due.extend(named("+nick "));
            due.extend(actor.nick.as_ref().map(|_| "+room lobby ".into()));
        }
        Scheme::Classic => due.extend(named("Your user detail saved as : ")),
        Scheme::Nickname => due.extend(actor.nick.as_ref().map(|nick| format!("{nick} joined!"))),
        _ => {}
    }
    for (line, due) in received.lines.iter().zip(&due) {
        assert!(line.starts_with(due), "{} received {line:?} instead of {due:?}", actor.name());
    }
    let is_all = received.lines.len() >= due.len();
    let may_be_cut = received.is_unread || actor.broken || clients.stopped.is_some();
    assert!(is_all || may_be_cut, "{} received only {:?} of {due:?}", actor.name(), received.lines);
    (is_all && actor.nick.is_some()).then_some(due.len())
}

/// Checks that the requests were answered in order: all of them, unless part of the input is unread. Returns the rooms
/// of the client at the end, or `None` if not all answers are known.
pub fn check(
    checker: &Checker<'_>,
    actor: &Actor,
    lines: &[&str],
    is_unread: bool,
    seen: &mut Seen,
) -> Option<BTreeSet<usize>> {
    let mut answers = lines.iter().filter(|line| line.starts_with(['+', '!'])).copied();
    let mut membership = Membership { rooms: BTreeSet::from([LOBBY]), current: Some(LOBBY) };
    for (number, request) in actor.requests.iter().enumerate() {
        let pong = format!("+pong {number}");
        let mut answer: Vec<&str> = Vec::new();
        loop {
            match answers.next() {
                Some(line) if line == pong => break,
                Some(line) => answer.push(line),
                None => {
                    assert!(is_unread, "{}: request {number} was not answered", actor.name());
                    return None;
                }
            }
        }
        let room = checker.messages.get(&(actor.name(), number)).copied();
        let expected = membership.apply(checker, actor, (number, request), &answer, seen);
        assert_eq!(room, expected, "room of {}'s {number}, answered by {answer:?}", actor.name());
    }
    assert_eq!(answers.next(), None, "{} received more answers than it sent requests", actor.name());
    Some(membership.rooms)
}

impl Membership {
    /// Checks the answer to one request and updates the rooms. Returns the room that must have received the message.
    fn apply(
        &mut self,
        checker: &Checker<'_>,
        actor: &Actor,
        (number, request): (usize, &Request),
        answer: &[&str],
        seen: &mut Seen,
    ) -> Option<usize> {
        let is = |expected: &str| {
            let holds = answer.len() == 1 && answer[0].to_lowercase().starts_with(expected);
            assert!(holds, "{}'s {number}, {request:?}: {answer:?} instead of {expected:?}", actor.name());
        };
        match request {
            Request::Say(room) => {
                let room = room.or(self.current).filter(|room| self.rooms.contains(room));
                match room {
                    Some(_) => assert!(answer.is_empty(), "{}'s {number}: {answer:?}", actor.name()),
                    None => is("!not-in-room"),
                }
                return room;
            }
            Request::Direct(to) => check_direct(checker, actor, (number, to), answer, seen),
            Request::Join(room) => {
                is(&format!("+room {} ", ROOMS[*room]));
                self.rooms.insert(*room);
                self.current = Some(*room);
            }
            Request::Leave(room) => {
                let was_in = self.rooms.remove(room);
                let word = if was_in { "+left" } else { "!not-in-room" };
                is(&format!("{word} {}", ROOMS[*room]));
                if self.current == Some(*room) {
                    self.current = self.rooms.get(&LOBBY).copied();
                }
            }
            Request::List => {
                let is_list = answer.last().is_some_and(|line| line.starts_with("+end "));
                assert!(is_list, "{}'s {number}: {answer:?}", actor.name());
            }
            Request::Refused("line-too-long") => {
                is(&format!("!line-too-long {}", checker.clients.config.limits.max_line))
            }
            Request::Refused(code) => is(&format!("!{code} ")),
        }
        None
    }
}

/// Checks that each recipient that reads has received the message, or that it was refused with the recipient's name.
fn check_direct(
    checker: &Checker<'_>,
    actor: &Actor,
    (number, to): (usize, &[&str]),
    answer: &[&str],
    seen: &mut Seen,
) {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    to.iter().for_each(|name| *names.entry(name.to_lowercase()).or_default() += 1);
    let mut refusals = 0;
    for (name, times) in &names {
        let refused = |code: &str| {
            let refusal = format!("!{code} {name}");
            answer.iter().filter(|line| line.eq_ignore_ascii_case(&refusal)).count()
        };
        let (full, absent) = (refused("recipient-full"), refused("no-such-user"));
        refusals += full + absent;
        // An absent or full recipient is refused each time that it is named.
        let is_whole = [(0, 0), (*times, 0), (0, *times)].contains(&(full, absent));
        let is_received = checker.has_received(name, actor, number);
        let other = checker.clients.actors.iter().find(|other| other.name() == name);
        // A queue may pass its half between two copies for the same name.
        let is_mixed = full < *times && absent == 0;
        assert!(is_whole || is_mixed, "{}'s {number} to {to:?}: {answer:?}", actor.name());
        assert!(
            !is_received || full + absent < *times,
            "{}'s {number} was refused and received",
            actor.name()
        );
        let reads = other.is_some_and(|other| !other.may_miss_output);
        assert!(!reads || is_received || full + absent > 0, "{}'s {number} to {name} was lost", actor.name());
        // A queue may pass its half and be sent within one turn. A broken recipient is full until it is reaped.
        let was_full = other.is_some_and(|other| other.peak > 0 || other.may_miss_output)
            || checker.clients.config.may_block_sends();
        assert!(full == 0 || was_full, "{name} was never full, but {}'s {number} was refused", actor.name());
        seen.note_times("direct", "received", usize::from(is_received));
    }
    assert_eq!(
        refusals,
        answer.len(),
        "unexpected answer to {}'s {number} to {to:?}: {answer:?}",
        actor.name()
    );
}
