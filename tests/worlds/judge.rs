//! What must be so at the end of a world. Each peer has heard what follows from the history, its own requests and the
//! messages of the others, in order and once; what it hasn't heard is missing for a reason.

use crate::actor::{Actor, Asked};
use crate::answers;
use crate::history::{self, Entry, Event, LOBBY, ROOMS, Rooms};
use crate::seen::Seen;
use crate::world::{Crowd, World};
use redpoll::limits::MAX_SHORT;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::{Fault, PeerNo, Sim};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What everybody's case is judged by.
pub struct Case<'h> {
    pub crowd: &'h Crowd,
    pub history: Vec<Entry<'h>>,
    /// Rooms tell all comings and goings, so the history says who is where.
    pub is_told: bool,
    /// In which room each numbered request was said.
    pub said: BTreeMap<(&'h str, usize), usize>,
    /// The numbers of each sender's direct messages that each has got.
    pub got: BTreeMap<(&'h str, &'h str), Vec<usize>>,
    rooms: Rooms<'h>,
}

/// What one peer has heard, taken apart.
pub struct Heard<'h> {
    /// Whole lines, but for the farewell.
    pub lines: Vec<&'h str>,
    /// What the server said last, where that ends a connection.
    pub farewell: Option<&'h str>,
    /// It has gone before the end, in a way that nobody was told.
    pub is_untold: bool,
    /// Not all of its requests need have been read.
    pub is_unread: bool,
}

/// The codes and answers that end a connection.
const MAX_REJECTED: [&str; 7] = [
    "+bye",
    "!kicked ",
    "!too-slow ",
    "!shutting-down ",
    "!register-timeout ",
    "!server-full ",
    "!too-many-connections ",
];

/// Everything that must be so.
pub fn judge(mut world: World) -> Seen {
    let mut seen = Seen::default();
    let mut crowd = world.crowd;
    let stopped = crowd.stopped.is_some();
    if stopped {
        assert_eq!(world.sim.running(), Running::Done, "it was asked to stop, and long ago");
    }
    mark_the_deaf(&mut crowd);
    let case = Case::new(&crowd);
    check_history(&case);
    let mut memberships: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for actor in &crowd.actors {
        if let Some(rooms) = case.check(actor, &mut seen) {
            memberships.insert(actor.name(), rooms);
        }
    }
    seen.note_world(&crowd, &world.done);
    if !stopped {
        check_who_is_where(&case, &mut world.sim, &memberships);
        leave_all(&crowd, &mut world.sim);
    }
    check_nothing_is_left(&mut world.sim);
    seen
}

/// Who may have missed something, besides those that were seen to.
fn mark_the_deaf(crowd: &mut Crowd) {
    let (stopped, history) = (crowd.stopped.is_some(), history::read(&crowd.history));
    let rooms = Rooms::after(&history);
    let is_told = crowd.lot.tells_all();
    for actor in &mut crowd.actors {
        let slow = format!("* {} left (too slow)\n", actor.name());
        let may_be_slow = actor.has_stalled || crowd.lot.hinders_sending();
        // Who is in no room ends untold; and who is leaving already isn't told of again.
        let untold = actor.gone.is_some() && (stopped || actor.leaving.is_some() && crowd.lot.is_tight());
        let is_gone =
            |entry: &Entry<'_>| matches!(entry.event, Event::Gone { who, .. } if who == actor.name());
        let is_somewhere = is_told && rooms.has_seat(actor.name()) || history.iter().any(is_gone);
        let nowhere = actor.gone.is_some() && !is_somewhere;
        let told_so = actor.heard.ends_with(b"!too-slow what was sent to you was not read\n");
        actor.deaf |= actor.broken
            || may_be_slow
                && (told_so || crowd.history.contains(&slow) || nowhere || untold && crowd.lot.is_tight());
    }
}

impl<'h> Case<'h> {
    fn new(crowd: &'h Crowd) -> Case<'h> {
        let history = history::read(&crowd.history);
        let mut said = BTreeMap::new();
        for entry in &history {
            if let Event::Said { room, who, number } = entry.event {
                said.insert((who, number), room);
            }
        }
        let rooms = Rooms::after(&history);
        let mut case =
            Case { crowd, history, is_told: crowd.lot.tells_all(), said, got: BTreeMap::new(), rooms };
        for actor in crowd.actors.iter().filter(|actor| actor.nick.is_some()) {
            for (by, number) in case.direct(actor) {
                case.got.entry((actor.name(), by)).or_default().push(number);
            }
        }
        case
    }

    /// The direct messages that somebody has heard: of whom, which.
    fn direct<'a>(&self, actor: &'a Actor) -> Vec<(&'a str, usize)> {
        let heard = self.heard(actor);
        let lines = heard.lines.into_iter();
        let direct = lines.filter_map(|line| match (actor.door, line.strip_prefix('@')) {
            (Scheme::Classic, _) => history::by_and_number(line),
            (_, Some(line)) => Some(history::numbered(line).expect("every message has a number")),
            (_, None) => None,
        });
        direct.collect()
    }

    fn heard<'a>(&self, actor: &'a Actor) -> Heard<'a> {
        let whole = actor.heard.iter().rposition(|byte| *byte == b'\n').map_or(0, |lf| lf + 1);
        let text = std::str::from_utf8(&actor.heard[..whole]).expect("the server sends UTF-8");
        let text =
            if actor.door == Scheme::Nickname { text.strip_prefix("NICKNAME").unwrap_or(text) } else { text };
        let asked = actor.door == Scheme::Nickname && actor.heard == b"NICKNAME";
        assert!(actor.deaf || whole == actor.heard.len() || asked, "{} has heard half a line", actor.name());
        let mut lines: Vec<&str> = text.lines().collect();
        let is_last = |line: &str| MAX_REJECTED.iter().any(|last| line.starts_with(last));
        let farewell = lines.pop_if(|line| is_last(line));
        assert!(
            !lines.iter().any(|line| is_last(line)),
            "{} hears {:?} behind the last",
            actor.name(),
            lines
        );
        let is_gone = actor.gone.is_some();
        let is_untold = is_gone
            && !self
                .history
                .iter()
                .any(|entry| matches!(entry.event, Event::Gone { who, .. } if who == actor.name()));
        let was_ended = farewell.is_some_and(|line| line != "+bye");
        // Who has ended its stream while over its rate is read for a while only.
        let is_cut_short = actor.ended && actor.may_be_held_back(&self.crowd.lot.limits);
        let is_unread = actor.deaf || was_ended || is_cut_short || self.crowd.stopped.is_some();
        Heard { lines, farewell, is_untold, is_unread }
    }

    /// Judges one peer; the rooms that it is in by its own account, if that is known.
    fn check(&self, actor: &Actor, seen: &mut Seen) -> Option<BTreeSet<usize>> {
        let heard = self.heard(actor);
        let memberships = self.check_person(actor, &heard, seen);
        seen.note_heard(&heard);
        memberships
    }

    fn check_person(&self, actor: &Actor, heard: &Heard<'_>, seen: &mut Seen) -> Option<BTreeSet<usize>> {
        if actor.accepted.is_none() {
            let no_descriptor = heard.farewell.is_some_and(|line| line.starts_with("!server-full"))
                && self.crowd.lot.faults.met(Fault::NoDescriptor) > 0;
            assert!(heard.lines.is_empty() && heard.farewell.is_some() == no_descriptor, "{:?}", heard.lines);
            let why = actor.broken || no_descriptor || self.crowd.stopped.is_some();
            assert!(why, "{} was never let in", actor.name());
            return None;
        }
        self.check_farewell(actor, heard);
        if self.was_turned_away(actor, heard) {
            return None;
        }
        let registered = answers::check_beginning(actor, heard, self.crowd)?;
        if self.is_told {
            self.check_ending(actor, seen);
            self.check_told(actor, heard);
        }
        self.check_windows(actor, heard);
        self.check_direct(actor);
        if actor.door != Scheme::Line {
            self.check_tutorial(actor, heard, seen);
            return None;
        }
        let place = answers::check(self, actor, &heard.lines[registered..], heard.is_unread, seen)?;
        (!heard.is_unread && actor.gone.is_none()).then_some(place)
    }

    /// The server is full, or has turned so many away that it doesn't say so any more.
    fn was_turned_away(&self, actor: &Actor, heard: &Heard<'_>) -> bool {
        let is_refusal =
            |line: &str| line.starts_with("!server-full") || line.starts_with("!too-many-connections");
        let is_told = heard.farewell.is_some_and(is_refusal);
        let is_unknown = actor.door != Scheme::Relay || !self.said.contains_key(&(actor.name(), 0));
        let is_silent = actor.heard.is_empty() && !actor.deaf && is_unknown;
        if !is_told && !is_silent {
            return false;
        }
        let before = self.crowd.actors.iter().filter(|other| {
            other.accepted.is_some()
                && other.peer < actor.peer
                && other.gone.is_none_or(|at| Some(at) >= actor.accepted.map(|it| it.0))
        });
        let (limits, before): (_, Vec<&Actor>) = (&self.crowd.lot.limits, before.collect());
        // The witness is one more.
        let is_full = before.len() + 1 >= limits.max_connections;
        let of_address = before.iter().filter(|other| other.is_stranger).count();
        let is_too_many = actor.is_stranger && limits.max_per_address.is_some_and(|most| of_address >= most);
        let may_be = match heard.farewell {
            Some(line) if line.starts_with("!too-many") => is_too_many,
            _ => is_full,
        };
        assert!(may_be, "{:?}, where {} are here", heard.farewell, before.len());
        assert!(heard.lines.is_empty(), "{:?}", heard.lines);
        true
    }

    /// What the server said last is what it must have said last.
    fn check_farewell(&self, actor: &Actor, heard: &Heard<'_>) {
        let may_be_slow = actor.has_stalled || self.crowd.lot.hinders_sending();
        let kicked = self.history.iter().any(|entry| entry.event == Event::Kicked { who: actor.name() });
        let stopped = self.crowd.stopped.is_some();
        let is_timely = |timeout| {
            let since = actor.accepted.map(|(since, _)| since + timeout);
            actor.gone.is_some_and(|gone| Some(gone) >= since)
        };
        let may = match heard.farewell.map(|line| line.split(' ').next().unwrap_or(line)) {
            Some("+bye") => actor.quit,
            Some("!kicked") => kicked && heard.farewell.is_some_and(|line| line.starts_with("!kicked why-")),
            Some("!too-slow") => may_be_slow,
            Some("!shutting-down") => stopped,
            Some("!register-timeout") => {
                let is_crowded = self.crowd.actors.len() > self.crowd.lot.limits.max_unregistered();
                is_crowded || self.crowd.lot.limits.register_timeout.is_some_and(is_timely)
            }
            Some("!server-full" | "!too-many-connections") => true,
            Some(other) => panic!("{other} is no farewell"),
            None => {
                let is_free = actor.gone.is_none() || actor.ended || actor.deaf;
                let is_crowded = actor.heard.is_empty();
                is_free || is_crowded
            }
        };
        assert!(may, "{:?} is the last that {} hears, {actor:#?}", heard.farewell, actor.name());
    }

    /// The others are told of its ending once, and as it was.
    fn check_ending(&self, actor: &Actor, seen: &mut Seen) {
        let mut told: Vec<&str> = Vec::new();
        let mut registered = false;
        for entry in &self.history {
            match entry.event {
                Event::Gone { who, reason } if who == actor.name() => told.push(reason),
                Event::Arrived { who } if who == actor.name() => registered = true,
                _ => {}
            }
        }
        assert!(told.len() <= 1, "{} ended more than once: {told:?}", actor.name());
        let Some(reason) = told.first() else {
            let has_gone = actor.gone.is_some() && registered && self.crowd.stopped.is_none();
            assert!(
                !has_gone || !self.rooms.has_seat(actor.name()),
                "nobody was told that {} is gone",
                actor.name()
            );
            return;
        };
        let kicked = self.history.iter().any(|entry| entry.event == Event::Kicked { who: actor.name() });
        let may = match *reason {
            "see you" => actor.quit,
            "" => actor.ended,
            "connection lost" => actor.broken,
            "too slow" => actor.has_stalled || self.crowd.lot.hinders_sending(),
            reason => kicked && reason.starts_with("why-"),
        };
        assert!(registered && may, "{} has left for {reason:?}", actor.name());
        seen.note("ending", if reason.starts_with("why-") { "kicked" } else { reason });
    }

    /// It has heard the room lines and notices that follow from the history, in that order: all, or the first of them.
    fn check_told(&self, actor: &Actor, heard: &Heard<'_>) {
        if actor.door == Scheme::Classic {
            return;
        }
        let expected = self.expected(actor);
        let told: Vec<&str> = heard.lines.iter().filter(|line| is_told(actor.door, line)).copied().collect();
        let both = told.iter().zip(&expected);
        if let Some((got, meant)) = both.clone().find(|(got, meant)| *got != meant) {
            panic!("{} has heard {got:?}, not {meant:?}", actor.name());
        }
        let common = both.count();
        assert!(told.len() <= expected.len(), "{} has heard {:?}", actor.name(), &told[common..]);
        // Who ends in no room ends untold, and hears announcements as long as it is there.
        let is_missed = !heard.is_untold && !actor.deaf && common < expected.len();
        assert!(!is_missed, "{} has not heard {:?}", actor.name(), &expected[common..]);
    }

    /// What it must hear of the history, as its door shows it.
    fn expected(&self, actor: &Actor) -> Vec<String> {
        let nick = actor.name();
        let (mut rooms, mut expected, mut is_here) = (Rooms::default(), Vec::new(), false);
        let accepted = actor.accepted.map_or(usize::MAX, |(_, history)| history);
        for entry in &self.history {
            let is_own =
                matches!(entry.event, Event::Arrived { who } | Event::Said { who, .. } if who == nick);
            is_here |= matches!(entry.event, Event::Arrived { who } if who == nick);
            let is_line = actor.door == Scheme::Line;
            let hears = is_here && (rooms.hears(nick, entry.event) || is_own && !is_line);
            let listens = actor.door == Scheme::Relay
                && entry.at >= accepted
                && matches!(entry.event, Event::Said { room: LOBBY, .. });
            let is_over =
                matches!(entry.event, Event::Gone { who, .. } | Event::Kicked { who } if who == nick);
            if is_over {
                break;
            }
            if hears || listens {
                expected.extend(shown(actor.door, entry));
            }
            rooms.follow(entry.event);
        }
        expected
    }

    /// What it hears of each room, and of announcements, has no gap: it begins where it came in, and goes on to where it
    /// left, or to the end. That holds where the history doesn't say who came and went, too.
    fn check_windows(&self, actor: &Actor, heard: &Heard<'_>) {
        const ANNOUNCEMENTS: usize = ROOMS.len();
        let hears_itself = matches!(actor.door, Scheme::Nickname | Scheme::Relay);
        let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut ends = [0; ROOMS.len() + 1];
        let shown: Vec<(usize, String)> = self
            .history
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Said { who, .. } if who == actor.name() && !hears_itself => None,
                Event::Said { room, .. } => Some((room, shown_said(actor.door, entry)?)),
                Event::Announced { .. } => Some((ANNOUNCEMENTS, shown(actor.door, entry)?)),
                _ => None,
            })
            .collect();
        for (channel, line) in &shown {
            places.insert(line, (*channel, ends[*channel]));
            ends[*channel] += 1;
        }
        let mut next: [Option<usize>; ROOMS.len() + 1] = Default::default();
        for line in &heard.lines {
            let left = line.strip_prefix("+left ").filter(|_| actor.door == Scheme::Line);
            if let Some(room) = left {
                next[history::room_of(room)] = None;
            }
            if let Some((channel, place)) = places.get(line) {
                let due = next[*channel].unwrap_or(*place);
                assert_eq!(due, *place, "{} has a gap before {line:?}", actor.name());
                next[*channel] = Some(place + 1);
            }
        }
        if actor.deaf
            || actor.gone.is_some() && self.crowd.stopped.is_none()
            || !actor.speaks()
            || heard.farewell.is_some_and(|line| !line.starts_with("!shutting-down"))
        {
            return;
        }
        let kept = next.iter().zip(ends).all(|(next, end)| next.is_none_or(|next| next == end));
        assert!(kept, "{} has heard {next:?} of {ends:?}", actor.name());
    }

    /// Direct messages of one sender come in its order, each once, and each was sent to it.
    fn check_direct(&self, actor: &Actor) {
        for ((_, by), numbers) in
            self.got.range((actor.name(), "")..).take_while(|((to, _), _)| *to == actor.name())
        {
            let is_ordered = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(is_ordered, "{} gets {numbers:?} of {by}", actor.name());
            let sender =
                self.crowd.actors.iter().find(|other| other.name() == *by).expect("it is one of them");
            for number in numbers {
                match &sender.asked[*number] {
                    Asked::Direct(to) if to.iter().any(|to| to.eq_ignore_ascii_case(actor.name())) => {}
                    other => panic!("{} has heard {by}'s {number}, which was {other:?}", actor.name()),
                }
            }
        }
    }

    /// Nothing that a tutorial's client asked for is lost. Its requests have no numbers in its answers, so they are
    /// counted.
    fn check_tutorial(&self, actor: &Actor, heard: &Heard<'_>, seen: &mut Seen) {
        if heard.is_unread {
            return;
        }
        let refusals = heard.lines.iter().filter(|line| line.starts_with('!')).count();
        let mut earned = 0;
        for (number, asked) in actor.asked.iter().enumerate() {
            match asked {
                Asked::Say(_) => {
                    assert!(
                        self.said.contains_key(&(actor.name(), number)),
                        "{}'s {number} is lost",
                        actor.name()
                    );
                    seen.note("door", actor.door.name());
                }
                Asked::Direct(to) => {
                    let names: BTreeSet<String> = to.iter().map(|name| name.to_lowercase()).collect();
                    let got = names.iter().filter(|name| self.has_got(name, actor, number)).count();
                    // A name is refused as often as it is written; whoever is deaf may have got it.
                    earned += names.len() - got;
                    seen.note("door", actor.door.name());
                }
                Asked::Refused(_) => earned += 1,
                Asked::Join(_) | Asked::Leave(_) | Asked::List => {}
            }
        }
        let is_exact = !self.crowd.actors.iter().any(|other| other.deaf);
        assert!(!is_exact || refusals >= earned, "{} was refused {refusals} of {earned}", actor.name());
    }

    pub fn has_got(&self, name: &str, from: &Actor, number: usize) -> bool {
        self.got.get(&(name, from.name())).is_some_and(|numbers| numbers.binary_search(&number).is_ok())
    }
}

/// Everything that was said was asked for, in each sender's order.
fn check_history(case: &Case<'_>) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &case.history {
        let Event::Said { who, number, .. } = entry.event else { continue };
        let before = last.insert(who, number);
        assert!(before < Some(number), "{who}'s {number} is said after {before:?}");
        let sender = case.crowd.actors.iter().find(|actor| actor.name() == who).expect("it is one of them");
        assert!(
            matches!(sender.asked[number], Asked::Say(_)),
            "{entry:?}, which was {:?}",
            sender.asked[number]
        );
    }
}

/// The server's own lists are those of the model, and of everybody's own answers.
fn check_who_is_where(case: &Case<'_>, sim: &mut Sim, memberships: &BTreeMap<&str, BTreeSet<usize>>) {
    for (room, name) in ROOMS.iter().enumerate() {
        sim.send(case.crowd.witness, format!("/who {name}\n"));
        sim.run();
        let lines = sim.lines(case.crowd.witness);
        let start = format!("+who {name} ");
        let names =
            lines.iter().filter_map(|line| line.strip_prefix(&start)).flat_map(|names| names.split(' '));
        let names: BTreeSet<&str> = names.filter(|name| *name != "witness").collect();
        if case.is_told {
            assert_eq!(names, case.rooms.members(room).iter().copied().collect(), "who is in {name}");
        }
        for (who, rooms) in memberships {
            assert_eq!(names.contains(who), rooms.contains(&room), "whether {who} is in {name}");
        }
    }
}

fn leave_all(crowd: &Crowd, sim: &mut Sim) {
    assert_eq!(sim.reactor().server().connections.input().buffers(), 0, "idle connections hold no buffer");
    assert_eq!(sim.reactor().server().connections.queues().memory(), 0, "everybody has read everything");
    let here: Vec<PeerNo> =
        crowd.actors.iter().filter(|actor| !actor.ended).map(|actor| actor.peer).collect();
    here.into_iter().chain([crowd.witness]).for_each(|peer| sim.end(peer));
    sim.run();
    sim.pass(Duration::from_secs(1));
}

/// Once all have left, nothing of them is.
fn check_nothing_is_left(sim: &mut Sim) {
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

/// Whether a line is of the history, and not an answer or a direct message.
fn is_told(door: Scheme, line: &str) -> bool {
    match door {
        Scheme::Line => {
            let is_greeting = line.starts_with("* You are connected") || line.starts_with("* Say #name");
            !line.starts_with(['+', '!', '@']) && !is_greeting
        }
        _ => !line.starts_with(['!', '@']) && line != "Connected to server!",
    }
}

/// How a door shows what happened, where it does.
fn shown(door: Scheme, entry: &Entry<'_>) -> Option<String> {
    match (door, entry.event) {
        (Scheme::Line, _) => Some(entry.line.to_owned()),
        (_, Event::Said { .. }) => shown_said(door, entry),
        (Scheme::Nickname, Event::Arrived { who }) => Some(format!("{who} joined!")),
        (Scheme::Nickname, Event::Gone { who, .. }) => Some(format!("{who} left!")),
        (Scheme::Nickname, Event::Announced { text }) => Some(format!("Administrator message: {text}")),
        (Scheme::Classic | Scheme::Relay, Event::Announced { text }) => {
            Some(format!("administrator: {text}"))
        }
        _ => None,
    }
}

fn shown_said(door: Scheme, entry: &Entry<'_>) -> Option<String> {
    let Event::Said { room, .. } = entry.event else { return None };
    match door {
        Scheme::Line => Some(entry.line.to_owned()),
        Scheme::Nickname | Scheme::Relay if room == LOBBY => {
            let most = (MAX_SHORT - 1).min(entry.line.len());
            let end = (0..=most).rev().find(|end| entry.line.is_char_boundary(*end))?;
            Some(entry.line[..end].to_owned())
        }
        _ => None,
    }
}
