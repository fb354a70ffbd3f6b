//! Checks the end of a world. Each client must have received, in order and once, what follows from the history, its own
//! requests and the direct messages of the others. Missing output must have a reason.

use crate::actor::{Actor, Request};
use crate::answers;
use crate::history::{self, Entry, Event, LOBBY, ROOMS, Rooms};
use crate::seen::Seen;
use crate::world::{Clients, World};
use redpoll::limits::MAX_SHORT_MESSAGE;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::{Fault, PeerNo, Sim};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the output of each client is checked against.
pub struct Checker<'h> {
    pub clients: &'h Clients,
    pub history: Vec<Entry<'h>>,
    /// Every room sends presence, so the history determines the members of each room.
    pub presence_is_complete: bool,
    /// The room of each numbered message in the history.
    pub messages: BTreeMap<(&'h str, usize), usize>,
    /// By recipient and sender, the numbers of the direct messages received.
    pub delivered: BTreeMap<(&'h str, &'h str), Vec<usize>>,
    rooms: Rooms<'h>,
}

/// The output that one client has received, parsed.
pub struct Received<'h> {
    /// Complete lines, without the final line.
    pub lines: Vec<&'h str>,
    /// The last line, if it is one that closes a connection.
    pub final_line: Option<&'h str>,
    /// It was closed before the end, and the history doesn't contain it.
    pub is_unreported: bool,
    /// Some of its requests may be unread.
    pub is_unread: bool,
}

/// The codes and answers that close a connection.
const FINAL_LINES: [&str; 7] = [
    "+bye",
    "!kicked ",
    "!too-slow ",
    "!shutting-down ",
    "!register-timeout ",
    "!server-full ",
    "!too-many-connections ",
];

/// Checks a world after its end.
pub fn check(mut world: World) -> Seen {
    let mut seen = Seen::default();
    let mut clients = world.clients;
    let stopped = clients.stopped.is_some();
    if stopped {
        assert_eq!(world.sim.running(), Running::Done, "the server has stopped");
    }
    mark_missed_output(&mut clients);
    let checker = Checker::new(&clients);
    check_history(&checker);
    let mut memberships: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for actor in &clients.actors {
        if let Some(rooms) = checker.check(actor, &mut seen) {
            memberships.insert(actor.name(), rooms);
        }
    }
    seen.note_world(&clients, &world.done);
    if !stopped {
        check_memberships(&checker, &mut world.sim, &memberships);
        close_all(&clients, &mut world.sim);
    }
    check_empty(&mut world.sim);
    seen
}

/// Marks the clients that may have missed output, besides those already marked in the run.
fn mark_missed_output(clients: &mut Clients) {
    let (stopped, history) = (clients.stopped.is_some(), history::read(&clients.history));
    let rooms = Rooms::after(&history);
    let presence_is_complete = clients.config.presence_is_complete();
    for actor in &mut clients.actors {
        let slow = format!("* {} left (too slow)\n", actor.name());
        let may_be_slow = actor.has_stalled || clients.config.may_block_sends();
        // A client in no room is closed without presence. A client that is leaving already causes no second presence.
        let unreported =
            actor.closed.is_some() && (stopped || actor.leaving.is_some() && clients.config.is_tight());
        let is_closed =
            |entry: &Entry<'_>| matches!(entry.event, Event::Closed { user, .. } if user == actor.name());
        let is_reported =
            presence_is_complete && rooms.has_membership(actor.name()) || history.iter().any(is_closed);
        let vanished = actor.closed.is_some() && !is_reported;
        let has_line = actor.received.ends_with(b"!too-slow what was sent to you was not read\n");
        actor.may_miss_output |= actor.broken
            || may_be_slow
                && (has_line
                    || clients.history.contains(&slow)
                    || vanished
                    || unreported && clients.config.is_tight());
    }
}

impl<'h> Checker<'h> {
    fn new(clients: &'h Clients) -> Checker<'h> {
        let history = history::read(&clients.history);
        let mut messages = BTreeMap::new();
        for entry in &history {
            if let Event::Message { room, user, number } = entry.event {
                messages.insert((user, number), room);
            }
        }
        let rooms = Rooms::after(&history);
        let mut checker = Checker {
            clients,
            history,
            presence_is_complete: clients.config.presence_is_complete(),
            messages,
            delivered: BTreeMap::new(),
            rooms,
        };
        for actor in clients.actors.iter().filter(|actor| actor.nick.is_some()) {
            for (by, number) in checker.direct(actor) {
                checker.delivered.entry((actor.name(), by)).or_default().push(number);
            }
        }
        checker
    }

    /// Returns the direct messages that a client has received: sender and number.
    fn direct<'a>(&self, actor: &'a Actor) -> Vec<(&'a str, usize)> {
        let received = self.received(actor);
        let lines = received.lines.into_iter();
        let direct = lines.filter_map(|line| match (actor.scheme, line.strip_prefix('@')) {
            (Scheme::Classic, _) => history::by_and_number(line),
            (_, Some(line)) => Some(history::numbered(line).expect("every message has a number")),
            (_, None) => None,
        });
        direct.collect()
    }

    fn received<'a>(&self, actor: &'a Actor) -> Received<'a> {
        let whole = actor.received.iter().rposition(|byte| *byte == b'\n').map_or(0, |lf| lf + 1);
        let text = std::str::from_utf8(&actor.received[..whole]).expect("the server sends UTF-8");
        let text = if actor.scheme == Scheme::Nickname {
            text.strip_prefix("NICKNAME").unwrap_or(text)
        } else {
            text
        };
        let is_prompt = actor.scheme == Scheme::Nickname && actor.received == b"NICKNAME";
        assert!(
            actor.may_miss_output || whole == actor.received.len() || is_prompt,
            "{} received an incomplete line",
            actor.name()
        );
        let mut lines: Vec<&str> = text.lines().collect();
        let is_last = |line: &str| FINAL_LINES.iter().any(|last| line.starts_with(last));
        let final_line = lines.pop_if(|line| is_last(line));
        assert!(
            !lines.iter().any(|line| is_last(line)),
            "{} received lines after a final line: {:?}",
            actor.name(),
            lines
        );
        let is_closed = actor.closed.is_some();
        let is_unreported = is_closed
            && !self
                .history
                .iter()
                .any(|entry| matches!(entry.event, Event::Closed { user, .. } if user == actor.name()));
        let was_ended = final_line.is_some_and(|line| line != "+bye");
        // After the end of its stream, a connection blocked by rate is handled for a limited time.
        let is_cut_short = actor.ended && actor.may_be_throttled(&self.clients.config.limits);
        let is_unread = actor.may_miss_output || was_ended || is_cut_short || self.clients.stopped.is_some();
        Received { lines, final_line, is_unreported, is_unread }
    }

    /// Checks one client. Returns its rooms according to its own answers, if all are known.
    fn check(&self, actor: &Actor, seen: &mut Seen) -> Option<BTreeSet<usize>> {
        let received = self.received(actor);
        let memberships = self.check_actor(actor, &received, seen);
        seen.note_received(&received);
        memberships
    }

    fn check_actor(
        &self,
        actor: &Actor,
        received: &Received<'_>,
        seen: &mut Seen,
    ) -> Option<BTreeSet<usize>> {
        if actor.accepted.is_none() {
            let no_descriptor = received.final_line.is_some_and(|line| line.starts_with("!server-full"))
                && self.clients.config.faults.met(Fault::NoDescriptor) > 0;
            assert!(
                received.lines.is_empty() && received.final_line.is_some() == no_descriptor,
                "{:?}",
                received.lines
            );
            let may_be_unaccepted = actor.broken || no_descriptor || self.clients.stopped.is_some();
            assert!(may_be_unaccepted, "{} was never accepted", actor.name());
            return None;
        }
        self.check_final_line(actor, received);
        if self.was_rejected(actor, received) {
            return None;
        }
        let registered = answers::check_registration(actor, received, self.clients)?;
        if self.presence_is_complete {
            self.check_close_reason(actor, seen);
            self.check_broadcasts(actor, received);
        }
        self.check_gaps(actor, received);
        self.check_direct(actor);
        if actor.scheme != Scheme::Line {
            self.check_tutorial(actor, received, seen);
            return None;
        }
        let rooms = answers::check(self, actor, &received.lines[registered..], received.is_unread, seen)?;
        (!received.is_unread && actor.closed.is_none()).then_some(rooms)
    }

    /// Whether the client was rejected, with a final line or without one; asserts that a limit was reached.
    fn was_rejected(&self, actor: &Actor, received: &Received<'_>) -> bool {
        let is_refusal =
            |line: &str| line.starts_with("!server-full") || line.starts_with("!too-many-connections");
        let has_line = received.final_line.is_some_and(is_refusal);
        let is_unknown = actor.scheme != Scheme::Relay || !self.messages.contains_key(&(actor.name(), 0));
        let is_silent = actor.received.is_empty() && !actor.may_miss_output && is_unknown;
        if !has_line && !is_silent {
            return false;
        }
        let before = self.clients.actors.iter().filter(|other| {
            other.accepted.is_some()
                && other.peer < actor.peer
                && other.closed.is_none_or(|at| Some(at) >= actor.accepted.map(|it| it.0))
        });
        let (limits, before): (_, Vec<&Actor>) = (&self.clients.config.limits, before.collect());
        // The witness is another connection.
        let is_full = before.len() + 1 >= limits.max_connections;
        let of_address = before.iter().filter(|other| other.is_limited).count();
        let is_too_many = actor.is_limited && limits.max_per_address.is_some_and(|max| of_address >= max);
        let may_be = match received.final_line {
            Some(line) if line.starts_with("!too-many") => is_too_many,
            _ => is_full,
        };
        assert!(may_be, "{:?} after {} connections", received.final_line, before.len());
        assert!(received.lines.is_empty(), "{:?}", received.lines);
        true
    }

    /// Asserts that the final line has a cause.
    fn check_final_line(&self, actor: &Actor, received: &Received<'_>) {
        let may_be_slow = actor.has_stalled || self.clients.config.may_block_sends();
        let kicked = self.history.iter().any(|entry| entry.event == Event::Kicked { user: actor.name() });
        let stopped = self.clients.stopped.is_some();
        let is_timely = |timeout| {
            let since = actor.accepted.map(|(since, _)| since + timeout);
            actor.closed.is_some_and(|closed| Some(closed) >= since)
        };
        let may = match received.final_line.map(|line| line.split(' ').next().unwrap_or(line)) {
            Some("+bye") => actor.quit,
            Some("!kicked") => {
                kicked && received.final_line.is_some_and(|line| line.starts_with("!kicked why-"))
            }
            Some("!too-slow") => may_be_slow,
            Some("!shutting-down") => stopped,
            Some("!register-timeout") => {
                let is_crowded = self.clients.actors.len() > self.clients.config.limits.max_unregistered();
                is_crowded || self.clients.config.limits.register_timeout.is_some_and(is_timely)
            }
            Some("!server-full" | "!too-many-connections") => true,
            Some(other) => panic!("{other} is no final line"),
            None => {
                let is_free = actor.closed.is_none() || actor.ended || actor.may_miss_output;
                let is_crowded = actor.received.is_empty();
                is_free || is_crowded
            }
        };
        assert!(may, "final line {:?} of {}, {actor:#?}", received.final_line, actor.name());
    }

    /// Asserts that its leaving was sent once, with the right close reason.
    fn check_close_reason(&self, actor: &Actor, seen: &mut Seen) {
        let mut reasons: Vec<&str> = Vec::new();
        let mut registered = false;
        for entry in &self.history {
            match entry.event {
                Event::Closed { user, reason } if user == actor.name() => reasons.push(reason),
                Event::Registered { user } if user == actor.name() => registered = true,
                _ => {}
            }
        }
        assert!(reasons.len() <= 1, "{} left more than once: {reasons:?}", actor.name());
        let Some(reason) = reasons.first() else {
            let is_due = actor.closed.is_some() && registered && self.clients.stopped.is_none();
            assert!(
                !is_due || !self.rooms.has_membership(actor.name()),
                "no presence for the leaving of {}",
                actor.name()
            );
            return;
        };
        let kicked = self.history.iter().any(|entry| entry.event == Event::Kicked { user: actor.name() });
        let may = match *reason {
            "see you" => actor.quit,
            "" => actor.ended,
            "connection lost" => actor.broken,
            "too slow" => actor.has_stalled || self.clients.config.may_block_sends(),
            reason => kicked && reason.starts_with("why-"),
        };
        assert!(registered && may, "{} left with close reason {reason:?}", actor.name());
        seen.note("close reason", if reason.starts_with("why-") { "kicked" } else { reason });
    }

    /// Asserts that it has received the room lines and presence of the history in order: all, or the first of them.
    fn check_broadcasts(&self, actor: &Actor, received: &Received<'_>) {
        if actor.scheme == Scheme::Classic {
            return;
        }
        let expected = self.expected(actor);
        let broadcasts: Vec<&str> =
            received.lines.iter().filter(|line| is_broadcast(actor.scheme, line)).copied().collect();
        let both = broadcasts.iter().zip(&expected);
        if let Some((line, due)) = both.clone().find(|(line, due)| *line != due) {
            panic!("{} received {line:?} instead of {due:?}", actor.name());
        }
        let common = both.count();
        assert!(
            broadcasts.len() <= expected.len(),
            "{} received in excess {:?}",
            actor.name(),
            &broadcasts[common..]
        );
        // A client in no room is closed without presence, and receives announcements until then.
        let is_missed = !received.is_unreported && !actor.may_miss_output && common < expected.len();
        assert!(!is_missed, "{} has not received {:?}", actor.name(), &expected[common..]);
    }

    /// Returns the lines of the history that it must receive, encoded for its scheme.
    fn expected(&self, actor: &Actor) -> Vec<String> {
        let nick = actor.name();
        let (mut rooms, mut expected, mut is_present) = (Rooms::default(), Vec::new(), false);
        let accepted = actor.accepted.map_or(usize::MAX, |(_, history)| history);
        for entry in &self.history {
            let event = entry.event;
            let is_own =
                matches!(event, Event::Registered { user } | Event::Message { user, .. } if user == nick);
            is_present |= matches!(event, Event::Registered { user } if user == nick);
            let is_line = actor.scheme == Scheme::Line;
            let receives = is_present && (rooms.receives(nick, event) || is_own && !is_line);
            let receives_lobby = actor.scheme == Scheme::Relay
                && entry.at >= accepted
                && matches!(event, Event::Message { room: LOBBY, .. });
            let is_over =
                matches!(event, Event::Closed { user, .. } | Event::Kicked { user } if user == nick);
            if is_over {
                break;
            }
            if receives || receives_lobby {
                expected.extend(shown(actor.scheme, entry));
            }
            rooms.follow(event);
        }
        expected
    }

    /// Asserts that the lines of each room, and announcements, have no gap from its joining to its leaving or to the
    /// end. This holds even if the history has incomplete presence.
    fn check_gaps(&self, actor: &Actor, received: &Received<'_>) {
        const ANNOUNCEMENTS: usize = ROOMS.len();
        let receives_own = matches!(actor.scheme, Scheme::Nickname | Scheme::Relay);
        let mut indices: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut ends = [0; ROOMS.len() + 1];
        let shown: Vec<(usize, String)> = self
            .history
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Message { user, .. } if user == actor.name() && !receives_own => None,
                Event::Message { room, .. } => Some((room, shown_message(actor.scheme, entry)?)),
                Event::Announced { .. } => Some((ANNOUNCEMENTS, shown(actor.scheme, entry)?)),
                _ => None,
            })
            .collect();
        for (channel, line) in &shown {
            indices.insert(line, (*channel, ends[*channel]));
            ends[*channel] += 1;
        }
        let mut next: [Option<usize>; ROOMS.len() + 1] = Default::default();
        for line in &received.lines {
            let left = line.strip_prefix("+left ").filter(|_| actor.scheme == Scheme::Line);
            if let Some(room) = left {
                next[history::room_of(room)] = None;
            }
            if let Some((channel, index)) = indices.get(line) {
                let due = next[*channel].unwrap_or(*index);
                assert_eq!(due, *index, "{} has a gap before {line:?}", actor.name());
                next[*channel] = Some(index + 1);
            }
        }
        if actor.may_miss_output
            || actor.closed.is_some() && self.clients.stopped.is_none()
            || !actor.may_send()
            || received.final_line.is_some_and(|line| !line.starts_with("!shutting-down"))
        {
            return;
        }
        let is_complete = next.iter().zip(ends).all(|(next, end)| next.is_none_or(|next| next == end));
        assert!(is_complete, "{} received up to {next:?} of {ends:?}", actor.name());
    }

    /// Asserts that the direct messages of each sender are in order, without repeats, and sent to this client.
    fn check_direct(&self, actor: &Actor) {
        for ((_, by), numbers) in
            self.delivered.range((actor.name(), "")..).take_while(|((to, _), _)| *to == actor.name())
        {
            let is_ordered = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(is_ordered, "{} received {numbers:?} of {by}", actor.name());
            let sender = self
                .clients
                .actors
                .iter()
                .find(|other| other.name() == *by)
                .expect("the sender is one of the actors");
            for number in numbers {
                match &sender.requests[*number] {
                    Request::Direct(to) if to.iter().any(|to| to.eq_ignore_ascii_case(actor.name())) => {}
                    other => panic!("{} received {by}'s {number}, which was {other:?}", actor.name()),
                }
            }
        }
    }

    /// Asserts that no request of a tutorial's client is lost. Its answers have no numbers, so they are counted.
    fn check_tutorial(&self, actor: &Actor, received: &Received<'_>, seen: &mut Seen) {
        if received.is_unread {
            return;
        }
        let refusals = received.lines.iter().filter(|line| line.starts_with('!')).count();
        let mut due = 0;
        for (number, request) in actor.requests.iter().enumerate() {
            match request {
                Request::Say(_) => {
                    assert!(
                        self.messages.contains_key(&(actor.name(), number)),
                        "{}'s {number} was lost",
                        actor.name()
                    );
                    seen.note("scheme", actor.scheme.name());
                }
                Request::Direct(to) => {
                    let names: BTreeSet<String> = to.iter().map(|name| name.to_lowercase()).collect();
                    let received = names.iter().filter(|name| self.has_received(name, actor, number)).count();
                    // Each naming causes a refusal. A client with `may_miss_output` may have received the message.
                    due += names.len() - received;
                    seen.note("scheme", actor.scheme.name());
                }
                Request::Refused(_) => due += 1,
                Request::Join(_) | Request::Leave(_) | Request::List => {}
            }
        }
        let is_exact = !self.clients.actors.iter().any(|other| other.may_miss_output);
        assert!(!is_exact || refusals >= due, "{} received {refusals} of {due} refusals", actor.name());
    }

    pub fn has_received(&self, name: &str, from: &Actor, number: usize) -> bool {
        self.delivered.get(&(name, from.name())).is_some_and(|numbers| numbers.binary_search(&number).is_ok())
    }
}

/// Asserts that each message in the history was requested, in the order of its sender.
fn check_history(checker: &Checker<'_>) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &checker.history {
        let Event::Message { user, number, .. } = entry.event else { continue };
        let before = last.insert(user, number);
        assert!(before < Some(number), "{user}'s {number} is sent after {before:?}");
        let sender = checker
            .clients
            .actors
            .iter()
            .find(|actor| actor.name() == user)
            .expect("the sender is one of the actors");
        assert!(
            matches!(sender.requests[number], Request::Say(_)),
            "{entry:?}, which was {:?}",
            sender.requests[number]
        );
    }
}

/// Asserts that the server's member lists agree with the model and with each client's own answers.
fn check_memberships(checker: &Checker<'_>, sim: &mut Sim, memberships: &BTreeMap<&str, BTreeSet<usize>>) {
    for (room, name) in ROOMS.iter().enumerate() {
        sim.send(checker.clients.witness, format!("/who {name}\n"));
        sim.run();
        let lines = sim.lines(checker.clients.witness);
        let start = format!("+who {name} ");
        let names =
            lines.iter().filter_map(|line| line.strip_prefix(&start)).flat_map(|names| names.split(' '));
        let names: BTreeSet<&str> = names.filter(|name| *name != "witness").collect();
        if checker.presence_is_complete {
            assert_eq!(names, checker.rooms.members(room).iter().copied().collect(), "members of {name}");
        }
        for (user, rooms) in memberships {
            assert_eq!(names.contains(user), rooms.contains(&room), "membership of {user} in {name}");
        }
    }
}

fn close_all(clients: &Clients, sim: &mut Sim) {
    assert_eq!(sim.reactor().server().connections.input().buffers(), 0, "idle connections hold no buffer");
    assert_eq!(sim.reactor().server().connections.queues().memory(), 0, "all queues are empty");
    let here: Vec<PeerNo> =
        clients.actors.iter().filter(|actor| !actor.ended).map(|actor| actor.peer).collect();
    here.into_iter().chain([clients.witness]).for_each(|peer| sim.end(peer));
    sim.run();
    sim.pass(Duration::from_secs(1));
}

/// Asserts that the server holds nothing after all clients have left.
fn check_empty(sim: &mut Sim) {
    let server = sim.reactor().server();
    assert_eq!(
        (server.connections.count().0, server.connections.input().buffers()),
        (0, 0),
        "connections, held buffers"
    );
    assert_eq!(
        (server.connections.queues().memory(), server.connections.armed()),
        (0, 0),
        "memory of queues, deadlines"
    );
    if sim.running() == Running::On {
        assert_eq!(server.hub().registered(), 0);
        let turns = sim.turns();
        sim.pass(Duration::from_secs(100_000));
        assert!(sim.turns() <= turns + 2, "the empty server wakes up for nothing");
    }
}

/// Whether a line is from the history, and not an answer or a direct message.
fn is_broadcast(scheme: Scheme, line: &str) -> bool {
    match scheme {
        Scheme::Line => {
            let is_greeting = line.starts_with("* You are connected") || line.starts_with("* Say #name");
            !line.starts_with(['+', '!', '@']) && !is_greeting
        }
        _ => !line.starts_with(['!', '@']) && line != "Connected to server!",
    }
}

/// Returns the entry encoded for a scheme; `None` if the scheme has no line for it.
fn shown(scheme: Scheme, entry: &Entry<'_>) -> Option<String> {
    match (scheme, entry.event) {
        (Scheme::Line, _) => Some(entry.line.to_owned()),
        (_, Event::Message { .. }) => shown_message(scheme, entry),
        (Scheme::Nickname, Event::Registered { user }) => Some(format!("{user} joined!")),
        (Scheme::Nickname, Event::Closed { user, .. }) => Some(format!("{user} left!")),
        (Scheme::Nickname, Event::Announced { text }) => Some(format!("Administrator message: {text}")),
        (Scheme::Classic | Scheme::Relay, Event::Announced { text }) => {
            Some(format!("administrator: {text}"))
        }
        _ => None,
    }
}

fn shown_message(scheme: Scheme, entry: &Entry<'_>) -> Option<String> {
    let Event::Message { room, .. } = entry.event else { return None };
    match scheme {
        Scheme::Line => Some(entry.line.to_owned()),
        Scheme::Nickname | Scheme::Relay if room == LOBBY => {
            let max = (MAX_SHORT_MESSAGE - 1).min(entry.line.len());
            let end = (0..=max).rev().find(|end| entry.line.is_char_boundary(*end))?;
            Some(entry.line[..end].to_owned())
        }
        _ => None,
    }
}
