//! Seeded worlds: peers who register, chat, stall, shut their sending side, quit and vanish while reads are cut, sends
//! fall short, events come late and accepting fails. Whatever happens, at the end a simple model must agree with what
//! each of them has heard.
//!
//! The model rests on a witness, a peer that is in every room from the beginning, never speaks and always reads: what it
//! hears is the history of the server, in one order. From that history alone follows which room lines and notices
//! everybody else must have heard. What isn't history, answers and direct messages, is found by number: every request
//! is followed by a ping with its number.
//!
//! `REDPOLL_SEED=7 cargo test --test worlds` replays one world, `REDPOLL_SEEDS=10000` runs so many.
#![allow(clippy::panic, reason = "a test says by it what is wrong")]

use redpoll::limits::{KIB, Limits};
use redpoll::sim::rng::Rng;
use redpoll::sim::{Faults, PeerNo, Sim};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The rooms but the lobby; the witness makes them, so they are shown like this however others spell them.
const ROOMS: [&str; 3] = ["r1", "r2", "r3"];

/// The words that the requests below may have as names: of peers who are there, of some who have gone, of nobody.
const NICKS: [&str; 8] = ["n0", "n1", "N2", "n3", "n4", "n5", "n6", "nobody"];

#[test]
fn every_world_ends_as_the_model_says() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"));
    let seeds = match number("REDPOLL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REDPOLL_SEEDS").unwrap_or(300),
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let told = std::panic::catch_unwind(|| World::new(seed).live());
        match told {
            Ok(more) => seen.add(more),
            Err(_) => panic!("replay it by: REDPOLL_SEED={seed} cargo test --test worlds"),
        }
    }
    if seeds.end - seeds.start >= 100 {
        seen.everything();
    }
}

/// How often what these worlds are for has happened, so that none of it is lost unnoticed.
#[derive(Debug, Default)]
struct Seen {
    said: usize,
    direct: usize,
    full: usize,
    no_such_user: usize,
    too_slow: usize,
    lost: usize,
    half_closed: usize,
    quit: usize,
}

impl Seen {
    fn add(&mut self, more: Seen) {
        self.said += more.said;
        self.direct += more.direct;
        self.full += more.full;
        self.no_such_user += more.no_such_user;
        self.too_slow += more.too_slow;
        self.lost += more.lost;
        self.half_closed += more.half_closed;
        self.quit += more.quit;
    }

    fn everything(&self) {
        let Seen { said, direct, full, no_such_user, too_slow, lost, half_closed, quit } = *self;
        let least = [said, direct, full, no_such_user, too_slow, lost, half_closed, quit].into_iter().min();
        assert!(least > Some(10), "these worlds are too tame: {self:?}");
    }
}

/// A peer as its own side knows it.
struct Actor {
    peer: PeerNo,
    nick: String,
    /// What it has asked after registering, in this order; the index is the number of the ping behind it.
    asked: Vec<Asked>,
    fate: Fate,
    /// It isn't reading.
    stalled: bool,
    /// It has stopped reading at some time, and so may be too slow.
    has_stalled: bool,
    /// It may not have heard all that was said to it: it left without reading, was reset or dropped.
    cut_off: bool,
    /// All that it has heard.
    heard: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Still there.
    Here,
    /// It said `/quit`.
    Quit,
    /// It has shut its sending side.
    Ended,
    /// It has reset the connection.
    Vanished,
}

/// A request, as the model understands it.
#[derive(Debug, Clone)]
enum Asked {
    /// In this room, or in the current one.
    Say(Option<&'static str>),
    Direct(Vec<&'static str>),
    Join(&'static str),
    Leave(&'static str),
    /// Nothing that changes anything.
    Ask,
}

struct World {
    seed: u64,
    rng: Rng,
    sim: Sim,
    witness: PeerNo,
    history: String,
    actors: Vec<Actor>,
}

impl World {
    fn new(seed: u64) -> World {
        // In every other world peers are held back, and yet done with everything before those are who have ended.
        let rate = (seed % 2 == 1).then_some(200);
        let limits = Limits { queue: 8 * KIB, rate, burst: 10, ..Limits::default() };
        let mut sim = Sim::new(limits);
        let witness = sim.connect();
        sim.send(witness, "#witness\n&r1\n&r2\n&r3\n");
        sim.run();
        sim.take(witness);
        sim.sockets().set_faults(Some(Faults::plenty(seed)));
        World { seed, rng: Rng::new(!seed), sim, witness, history: String::new(), actors: Vec::new() }
    }

    fn live(mut self) -> Seen {
        let steps = 40 + self.rng.below(120);
        for _ in 0..steps {
            self.step();
            for _ in 0..self.rng.below(4) {
                self.sim.turn();
            }
            self.listen();
        }
        self.calm();
        self.judge()
    }

    /// Somebody does something.
    fn step(&mut self) {
        let here: Vec<usize> =
            (0..self.actors.len()).filter(|i| self.actors[*i].fate == Fate::Here).collect();
        if here.is_empty() || (self.actors.len() < 7 && self.rng.chance(10)) {
            return self.newcomer();
        }
        let who = here[self.rng.below(here.len())];
        match self.rng.below(100) {
            0..76 => self.ask(who),
            76..83 => self.flood(who),
            83..90 => {
                let room = self.rng.below(2000);
                self.sim.stall(self.actors[who].peer, room);
                (self.actors[who].stalled, self.actors[who].has_stalled) = (true, true);
            }
            90..93 => self.read_on(who),
            93..96 => {
                let time = Duration::from_millis(self.rng.below(3000) as u64);
                self.sim.pass(time);
            }
            96 => {
                self.sim.send(self.actors[who].peer, "/quit see you\n");
                self.actors[who].leave(Fate::Quit);
            }
            97 | 98 => {
                self.sim.end(self.actors[who].peer);
                self.actors[who].leave(Fate::Ended);
            }
            _ => {
                self.sim.reset(self.actors[who].peer);
                self.actors[who].leave(Fate::Vanished);
            }
        }
    }

    fn newcomer(&mut self) {
        let nick = format!("n{}", self.actors.len());
        let peer = self.sim.connect();
        self.sim.send(peer, format!("#{nick}\n"));
        self.actors.push(Actor {
            peer,
            nick,
            asked: Vec::new(),
            fate: Fate::Here,
            stalled: false,
            has_stalled: false,
            cut_off: false,
            heard: String::new(),
        });
    }

    fn ask(&mut self, who: usize) {
        let number = self.actors[who].asked.len();
        let most = if self.rng.chance(10) { 3000 } else { 80 };
        let filler = "x".repeat(self.rng.below(most));
        let text = format!("{}-{number} {filler}", self.actors[who].nick);
        let room = ROOMS[self.rng.below(ROOMS.len())];
        let spelled = if self.rng.chance(30) { room.to_uppercase() } else { room.into() };
        let (line, asked) = match self.rng.below(100) {
            0..25 => (text, Asked::Say(None)),
            25..45 => (format!("&{spelled}:{text}"), Asked::Say(Some(room))),
            45..50 => (format!("&lobby:{text}"), Asked::Say(Some("lobby"))),
            50..75 => {
                let count = 1 + self.rng.below(3);
                let to: Vec<_> = (0..count).map(|_| self.rng.pick(&NICKS)).collect();
                (format!("@{}:{text}", to.join(",")), Asked::Direct(to))
            }
            75..88 => (format!("&{spelled}"), Asked::Join(room)),
            88..94 => (format!("/leave {spelled}"), Asked::Leave(room)),
            94 => ("/leave lobby".into(), Asked::Leave("lobby")),
            95 => ("&lobby".into(), Asked::Join("lobby")),
            96 => ("/who *".into(), Asked::Ask),
            97 => ("/rooms".into(), Asked::Ask),
            98 => ("/nosuch".into(), Asked::Ask),
            _ => (format!("@n1:{}", "y".repeat(5000)), Asked::Ask),
        };
        let end = if self.rng.chance(20) { "\r\n" } else { "\n" };
        self.actors[who].asked.push(asked);
        self.sim.send(self.actors[who].peer, format!("{line}{end}/ping {number}{end}"));
    }

    fn flood(&mut self, who: usize) {
        for _ in 0..self.rng.below(60) {
            self.ask(who);
        }
    }

    fn read_on(&mut self, who: usize) {
        self.sim.stall(self.actors[who].peer, usize::MAX);
        self.actors[who].stalled = false;
    }

    /// Keeps what everybody has heard.
    fn listen(&mut self) {
        let text = |bytes| {
            String::from_utf8(bytes).expect("a send may end within a character, a read of ours may not")
        };
        self.history += &text(self.sim.take(self.witness));
        for actor in &mut self.actors {
            actor.heard += &text(self.sim.take(actor.peer));
        }
    }

    /// The faults stop, everybody reads, and what is still to come comes.
    fn calm(&mut self) {
        self.sim.sockets().set_faults(None);
        (0..self.actors.len()).for_each(|who| self.read_on(who));
        self.sim.pass(Duration::from_secs(10));
        self.listen();
    }

    /// Everything that must be so.
    fn judge(mut self) -> Seen {
        let mut seen = Seen::default();
        let history = std::mem::take(&mut self.history);
        let history: Vec<&str> = history.lines().collect();
        check_history(&history, &self.actors);
        let rooms = Rooms::after(&history);
        for actor in &mut self.actors {
            let too_slow = history.contains(&format!("* {} left (too slow)", actor.nick).as_str());
            // Who is in no room ends untold.
            actor.cut_off |= too_slow || (actor.has_stalled && !rooms.seat(&actor.nick));
        }
        for actor in &self.actors {
            actor.check(&history, &self.actors, &mut seen);
        }
        self.check_who_is_where(&history);
        self.check_nothing_is_left();
        seen
    }

    /// The server's own lists are those of the model.
    fn check_who_is_where(&mut self, history: &[&str]) {
        for (room, members) in &Rooms::after(history).members {
            self.sim.send(self.witness, format!("/who {room}\n"));
            self.sim.run();
            let lines = self.sim.lines(self.witness);
            let start = format!("+who {room} ");
            let names =
                lines.iter().filter_map(|line| line.strip_prefix(&start)).flat_map(|names| names.split(' '));
            let names: BTreeSet<&str> = names.filter(|name| *name != "witness").collect();
            assert_eq!(names, members.iter().map(String::as_str).collect(), "who is in {room}");
        }
    }

    /// Once all have left, nothing of them is.
    fn check_nothing_is_left(&mut self) {
        assert_eq!(self.sim.reactor().held_buffers(), 0, "idle connections hold no buffer");
        let here = self.actors.iter().filter(|actor| actor.fate == Fate::Here).map(|actor| actor.peer);
        let here: Vec<PeerNo> = here.chain([self.witness]).collect();
        here.into_iter().for_each(|peer| self.sim.end(peer));
        self.sim.run();
        self.sim.pass(Duration::from_secs(1));
        let reactor = self.sim.reactor();
        assert_eq!((reactor.connections(), reactor.hub().registered(), reactor.held_buffers()), (0, 0, 0));
        let turns = self.sim.turns();
        self.sim.pass(Duration::from_secs(100_000));
        assert!(self.sim.turns() <= turns + 2, "seed {}: the empty server wakes up for nothing", self.seed);
    }
}

/// Everything that was said was asked for, in each sender's order.
fn check_history(history: &[&str], all: &[Actor]) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, said) in history.iter().filter_map(|line| said_in(line)) {
        let (nick, number) = numbered(said).expect("what is said has a number");
        let before = last.insert(nick, number);
        assert!(before < Some(number), "{nick}'s {number} is said after {before:?}");
        let sender = all.iter().find(|actor| actor.nick == nick).expect("it is one of them");
        assert!(
            matches!(sender.asked[number], Asked::Say(_)),
            "{said}, which was {:?}",
            sender.asked[number]
        );
    }
}

impl Actor {
    fn leave(&mut self, fate: Fate) {
        self.fate = fate;
        // Who doesn't read is waited for only so long.
        self.cut_off = self.stalled || fate == Fate::Vanished;
    }

    fn check(&self, history: &[&str], all: &[Actor], seen: &mut Seen) {
        let mut heard: Vec<&str> = self.heard.lines().collect();
        if !self.heard.ends_with('\n') {
            assert!(self.cut_off, "{} has heard half a line", self.nick);
            heard.pop();
        }
        assert!(self.cut_off || heard.len() >= 4 && heard[2] == format!("+nick {}", self.nick), "{heard:?}");
        self.check_ending(history, seen);
        self.check_rooms(&heard, history);
        self.check_direct(&heard, all);
        self.check_answers(&heard, history, all, seen);
    }

    /// The others are told of its ending as it was.
    fn check_ending(&self, history: &[&str], seen: &mut Seen) {
        let start = format!("* {} left", self.nick);
        let told = |line: &&str| {
            line.strip_prefix(&start).filter(|reason| !reason.starts_with(" &")).map(str::to_owned)
        };
        let told: Vec<String> = history.iter().filter_map(told).collect();
        let registered = history.contains(&format!("* {} joined", self.nick).as_str());
        let expected = match self.fate {
            _ if !registered => vec![],
            _ if told.is_empty() && !Rooms::after(history).seat(&self.nick) => vec![],
            // Dropped before what it did next was read or noticed.
            _ if self.has_stalled && told == [" (too slow)"] => vec![" (too slow)"],
            Fate::Vanished => vec![" (connection lost)"],
            Fate::Here => vec![],
            Fate::Quit => vec![" (see you)"],
            Fate::Ended => vec![""],
        };
        assert_eq!(told, expected, "how {} ended, {:?}", self.nick, self.fate);
        assert!(registered || self.fate == Fate::Vanished, "{} was never let in", self.nick);
        seen.too_slow += usize::from(told.iter().any(|reason| reason == " (too slow)"));
        seen.lost += usize::from(told.iter().any(|reason| reason == " (connection lost)"));
        seen.half_closed += usize::from(self.fate == Fate::Ended);
        seen.quit += usize::from(self.fate == Fate::Quit);
    }

    /// It has heard the room lines and notices that follow from the history, in that order: all, or the first of them.
    fn check_rooms(&self, heard: &[&str], history: &[&str]) {
        let expected = Rooms::heard_by(&self.nick, history);
        let said = |line: &&&str| !matches!(line.as_bytes().first(), Some(b'+' | b'!' | b'@'));
        let told: Vec<&str> = heard.iter().filter(said).skip(2).copied().collect();
        let both = told.iter().zip(&expected);
        if let Some((got, meant)) = both.clone().find(|(got, meant)| got != meant) {
            panic!("{} has heard {got:?}, not {meant:?}", self.nick);
        }
        let missing = expected.len() - both.count();
        assert!(told.len() <= expected.len(), "{} has heard {:?}", self.nick, &told[expected.len()..]);
        assert!(missing == 0 || self.cut_off, "{} has not heard {:?}", self.nick, &expected[told.len()..]);
    }

    /// Direct messages of one sender come in its order, each once, and each was sent to it.
    fn check_direct(&self, heard: &[&str], all: &[Actor]) {
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for line in heard.iter().filter_map(|line| line.strip_prefix('@')) {
            let (nick, number) = numbered(line).expect("every message has a number");
            let before = last.insert(nick, number);
            assert!(before < Some(number), "{}: {nick}'s {number} comes after {before:?}", self.nick);
            let sender = all.iter().find(|actor| actor.nick == nick).expect("it is one of them");
            match &sender.asked[number] {
                Asked::Direct(to) => assert!(to.iter().any(|to| to.eq_ignore_ascii_case(&self.nick))),
                other => panic!("{} has heard @{line}, which was {other:?}", self.nick),
            }
        }
    }

    /// Every request was obeyed or refused, in order: as far as it was answered, and that is all where it has read to
    /// the end.
    fn check_answers(&self, heard: &[&str], history: &[&str], all: &[Actor], seen: &mut Seen) {
        let mut answers = heard
            .iter()
            .filter(|line| line.starts_with(['+', '!']))
            .copied()
            .skip_while(|line| !line.starts_with("+room"));
        let said: BTreeMap<(&str, usize), &str> = history
            .iter()
            .filter_map(|line| {
                let (room, said) = said_in(line)?;
                Some((numbered(said).expect("what is said has a number"), room))
            })
            .collect();
        answers.next();
        let mut at = Place { rooms: BTreeSet::from(["lobby"]), current: Some("lobby") };
        for (number, asked) in self.asked.iter().enumerate() {
            let pong = format!("+pong {number}");
            let mut answer: Vec<&str> = Vec::new();
            let answered = loop {
                match answers.next() {
                    Some(line) if line == pong => break true,
                    Some(line) => answer.push(line),
                    None => break false,
                }
            };
            if !answered {
                assert!(self.cut_off, "{}: number {number} was never answered", self.nick);
                return;
            }
            let place = said.get(&(self.nick.as_str(), number)).copied();
            match asked {
                Asked::Say(room) => {
                    let room = room.or(at.current).filter(|room| at.rooms.contains(room));
                    assert_eq!(place, room, "{}'s {number}, answered by {answer:?}", self.nick);
                    assert_eq!(answer.len(), usize::from(room.is_none()), "{answer:?}");
                    assert!(answer.iter().all(|line| line.starts_with("!not-in-room")), "{answer:?}");
                    seen.said += usize::from(room.is_some());
                    continue;
                }
                Asked::Direct(to) => self.check_told(number, to, &answer, all, seen),
                Asked::Join(room) => {
                    assert!(
                        answer.len() == 1 && answer[0].starts_with(&format!("+room {room} ")),
                        "{answer:?}"
                    );
                    at.rooms.insert(room);
                    at.current = Some(room);
                }
                Asked::Leave(room) => {
                    let was_in = at.rooms.remove(room);
                    let expected =
                        if was_in { format!("+left {room}") } else { format!("!not-in-room {room}") };
                    assert!(answer.len() == 1 && answer[0].eq_ignore_ascii_case(&expected), "{answer:?}");
                    if at.current == Some(room) {
                        at.current = at.rooms.get("lobby").copied();
                    }
                }
                Asked::Ask => assert!(!answer.is_empty(), "{}: nothing answers {number}", self.nick),
            }
            assert_eq!(place, None, "{}'s {number} was not to be said", self.nick);
        }
    }

    /// Each recipient who reads has got the message, or it was refused for that recipient by name.
    fn check_told(&self, number: usize, to: &[&str], answer: &[&str], all: &[Actor], seen: &mut Seen) {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        to.iter().for_each(|name| *names.entry(name.to_lowercase()).or_default() += 1);
        for (name, times) in &names {
            let refused = |code: &str| {
                let refusal = format!("!{code} {name}");
                answer.iter().filter(|line| line.eq_ignore_ascii_case(&refusal)).count()
            };
            let (full, nobody) = (refused("recipient-full"), refused("no-such-user"));
            let mut allowed = vec![(0, 0), (1, 0)];
            // Who is not there is refused each time.
            allowed.push((0, *times));
            assert!(allowed.contains(&(full, nobody)), "{}'s {number} to {to:?}: {answer:?}", self.nick);
            let got = all.iter().find(|actor| actor.nick == *name).filter(|actor| {
                let start = format!("@{}:{}-{number} ", self.nick, self.nick);
                actor.heard.lines().any(|line| line.starts_with(&start))
            });
            assert!(got.is_none() || full + nobody == 0, "{}'s {number} was refused and told", self.nick);
            let reads = all.iter().any(|actor| actor.nick == *name && !actor.cut_off);
            assert!(
                !reads || got.is_some() || full + nobody > 0,
                "{}'s {number} to {name} is lost",
                self.nick
            );
            seen.full += full;
            seen.no_such_user += nobody;
            seen.direct += usize::from(got.is_some());
        }
        let refusals = answer.iter().filter(|line| line.starts_with('!')).count();
        assert_eq!(refusals, answer.len(), "nothing else answers a direct message: {answer:?}");
    }
}

/// Where an actor is, as its own answers say.
struct Place {
    rooms: BTreeSet<&'static str>,
    current: Option<&'static str>,
}

/// Who is in which room, as the history says.
#[derive(Default)]
struct Rooms {
    members: BTreeMap<String, BTreeSet<String>>,
}

impl Rooms {
    /// The lines of the history that this nick's owner hears, as it hears them.
    fn heard_by<'h>(nick: &str, history: &[&'h str]) -> Vec<&'h str> {
        let mut rooms = Rooms::default();
        let mut heard = Vec::new();
        for line in history {
            if rooms.hears(nick, line) {
                heard.push(*line);
            }
            rooms.follow(line);
        }
        heard
    }

    fn after(history: &[&str]) -> Rooms {
        let mut rooms = Rooms::default();
        history.iter().for_each(|line| rooms.follow(line));
        rooms
    }

    fn seat(&self, nick: &str) -> bool {
        self.members.values().any(|members| members.contains(nick))
    }

    fn hears(&self, nick: &str, line: &str) -> bool {
        let is_in =
            |room: &str, nick: &str| self.members.get(room).is_some_and(|members| members.contains(nick));
        if let Some((room, said)) = said_in(line) {
            return is_in(room, nick) && !said.starts_with(&format!("{nick}:"));
        }
        match notice(line) {
            (who, _, _) if who == nick => false,
            (_, "joined", None) => is_in("lobby", nick),
            (_, _, Some(room)) => is_in(room, nick),
            // The witness shares a room with everyone who is in any; others only those of their own rooms.
            (who, _, None) => self.members.keys().any(|room| is_in(room, nick) && is_in(room, who)),
        }
    }

    fn follow(&mut self, line: &str) {
        if said_in(line).is_some() {
            return;
        }
        let (who, what, room) = notice(line);
        match what {
            "joined" => {
                self.members.entry(room.unwrap_or("lobby").into()).or_default().insert(who.into());
            }
            _ => {
                let rooms =
                    self.members.iter_mut().filter(|(name, _)| room.is_none_or(|room| room == **name));
                rooms.for_each(|(_, members)| {
                    members.remove(who);
                });
            }
        }
    }
}

/// Room and `nick:text`, of a line that is said.
fn said_in(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix('&') {
        Some(said) => said.split_once(':'),
        None if line.starts_with('*') => None,
        None => Some(("lobby", line)),
    }
}

/// Who, `joined` or `left`, and the room of a notice that names one.
fn notice(line: &str) -> (&str, &str, Option<&str>) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["*", who, what, room] if room.starts_with('&') => (who, what, room.strip_prefix('&')),
        ["*", who, what, ..] => (who, what, None),
        _ => panic!("{line:?} is no notice"),
    }
}

/// Nick and number of `nick:nick-12 xxx`, in the lobby with a blank behind the colon.
fn numbered(line: &str) -> Option<(&str, usize)> {
    let (nick, text) = line.split_once(':')?;
    let (by, number) = text.trim_start().split(' ').next()?.split_once('-')?;
    assert_eq!(nick, by, "{line:?} is told as somebody else's");
    Some((nick, number.parse().ok()?))
}
