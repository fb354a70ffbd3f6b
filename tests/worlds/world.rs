//! A world: a server, a witness, whoever else comes, and what they do by seed until it is calm.

use crate::actor::{Actor, MAX_NAMED, Parting};
use crate::lot::{Deed, Lot};
use redpoll::limits::{ARENA, MAX_REJECTED, MIN_DRAIN, TOO_SLOW_AFTER};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::rng::Rng;
use redpoll_kit::{PeerNo, Sim};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The doors; the witness comes by the second, and so is an operator.
const DOORS: [Scheme; 5] = [Scheme::Line, Scheme::Unix, Scheme::Classic, Scheme::Nickname, Scheme::Relay];
const UNIX: usize = 1;

/// Where those come from who are few or turned down (RFC 5737).
const STRANGE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Connections, at most: those that knock and stay nameless too.
const MAX_ACTORS: usize = 40;

/// Requests of all together: as many as are soon obeyed and judged.
const MAX_ASKED: usize = 3000;

/// As long as anything lasts that a server may wait for of itself, but for silence and those who ask too fast.
const LONG: Duration = Duration::from_secs(70);

/// Long enough for all that one may have asked in a world to be obeyed at the least rate.
const LONGEST: Duration = Duration::from_secs(3000);

/// A server and who is there.
pub struct World {
    pub sim: Sim,
    pub crowd: Crowd,
    rng: Rng,
    /// How often each deed was done.
    pub done: [usize; Deed::ALL.len()],
    /// Numbers what the operator says.
    said: usize,
    budget: usize,
}

/// Who is there, and what is known of them.
pub struct Crowd {
    pub lot: Lot,
    /// In every room from the beginning, and always reading: what it hears is the history.
    pub witness: PeerNo,
    pub history: String,
    pub actors: Vec<Actor>,
    /// When the server was asked to stop.
    pub stopped: Option<Time>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(!seed);
        let lot = Lot::draw(&mut rng);
        let mut sim = Sim::with_doors(lot.limits.clone(), &DOORS);
        let witness = sim.connect_at(UNIX);
        sim.sockets().peer(witness).make_steady();
        sim.send(witness, "#witness\n&r1\n&r2\n&r3\n");
        sim.run();
        sim.take(witness);
        sim.sockets().set_faults(Some(lot.faults.clone()));
        let crowd = Crowd { lot, witness, history: String::new(), actors: Vec::new(), stopped: None };
        let done = Default::default();
        World { sim, crowd, rng, done, said: 0, budget: MAX_ASKED }
    }

    /// All that happens, to the end, when all is said.
    pub fn live(&mut self) {
        let mut steps = 40 + self.rng.below(120);
        while steps > 0 && self.sim.running() == Running::On {
            steps -= 1;
            let was_asked_to_stop = self.crowd.stopped.is_some();
            self.step();
            if !was_asked_to_stop && self.crowd.stopped.is_some() {
                steps = self.rng.below(12);
            }
            for _ in 0..self.rng.below(4) {
                if self.sim.running() == Running::On {
                    self.sim.turn();
                    self.crowd.observe(&mut self.sim);
                }
            }
            self.crowd.listen(&mut self.sim);
        }
        self.calm();
    }

    fn step(&mut self) {
        let deed = match self.crowd.lot.deed(&mut self.rng) {
            _ if !self.crowd.actors.iter().any(|actor| actor.nick.is_some()) => Deed::Arrive,
            deed => deed,
        };
        if self.act(deed) {
            self.done[deed as usize] += 1;
        }
    }

    /// Does it, if somebody can.
    fn act(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Arrive => self.arrive(),
            Deed::Knock => self.knock(),
            Deed::Ask => self.ask(1),
            Deed::Flood => {
                let most = if self.rng.chance(5) { 1500 } else { 60 };
                let count = 1 + self.rng.below(most);
                self.ask(count)
            }
            Deed::Mumble => self.mumble(),
            Deed::Stall => {
                let most = if self.rng.chance(70) { 2000 } else { 2 * self.crowd.lot.limits.queue };
                let room = self.rng.below(most);
                let Some(who) = self.one(|actor| !actor.broken) else { return false };
                let actor = &mut self.crowd.actors[who];
                (actor.stalled, actor.has_stalled) = (true, true);
                self.sim.stall(actor.peer, room);
                true
            }
            Deed::ReadOn => {
                let Some(who) = self.one(|actor| actor.stalled) else { return false };
                self.read_on(who);
                true
            }
            Deed::Pass => {
                let time = self.some_time();
                self.pass(time);
                true
            }
            Deed::Oversleep => {
                let is_due = self.crowd.actors.iter().any(|actor| actor.above.is_some());
                let time = if is_due { TOO_SLOW_AFTER } else { self.some_time() };
                self.sim.oversleep(time);
                if self.rng.chance(50) {
                    // The others don't sleep.
                    (0..self.crowd.actors.len()).for_each(|who| self.read_on(who));
                }
                true
            }
            Deed::Quit => self.quit(),
            Deed::End => {
                let Some(who) = self.one(Actor::speaks) else { return false };
                self.end(who);
                true
            }
            Deed::Reset => {
                // Rather somebody who is about to go.
                let leaver =
                    self.one(|actor| !actor.broken && actor.gone.is_none() && actor.leaving.is_some());
                let leaver = leaver.filter(|_| self.rng.chance(50));
                let Some(who) = leaver.or_else(|| self.one(|actor| !actor.broken)) else { return false };
                self.sim.reset(self.crowd.actors[who].peer);
                true
            }
            Deed::Kick => {
                // Rather somebody who doesn't read.
                let stalled = self.one(|actor| actor.stalled && actor.nick.is_some());
                let stalled = stalled.map(|who| self.crowd.actors[who].name().to_uppercase());
                let anybody = format!("N{}", self.rng.below(MAX_NAMED));
                let nick = stalled.filter(|_| self.rng.chance(50)).unwrap_or(anybody);
                self.operate(|number| format!("/kick {nick} why-{number}\n"))
            }
            Deed::Announce => self.operate(|number| format!("/announce hear-{number}\n")),
            Deed::Stop => self.stop(),
        }
    }

    /// Somebody of whom this is so.
    fn one(&mut self, is: impl Fn(&Actor) -> bool) -> Option<usize> {
        let some: Vec<usize> =
            (0..self.crowd.actors.len()).filter(|who| is(&self.crowd.actors[*who])).collect();
        (!some.is_empty()).then(|| some[self.rng.below(some.len())])
    }

    fn some_time(&mut self) -> Duration {
        let most = if self.rng.chance(10) { 100_000 } else { 3000 };
        Duration::from_millis(self.rng.below(most) as u64)
    }

    fn arrive(&mut self) -> bool {
        let named = self.crowd.actors.iter().filter(|actor| actor.nick.is_some()).count();
        if named == MAX_NAMED || self.crowd.actors.len() == MAX_ACTORS || self.crowd.stopped.is_some() {
            return false;
        }
        let by_line = !self.rng.chance(self.crowd.lot.tutorials);
        let door = if by_line { 0 } else { 2 + self.rng.below(DOORS.len() - 2) };
        self.connect(door, Some(format!("n{named}")));
        true
    }

    fn connect(&mut self, door: usize, nick: Option<String>) {
        let is_stranger = self.rng.chance(self.crowd.lot.strangers);
        let address = if is_stranger { STRANGE } else { Ipv4Addr::LOCALHOST };
        let peer = self.sim.connect_from(address.into(), door);
        self.sim.sockets().peer(peer).set_window(self.crowd.lot.window);
        let mut actor = Actor::new(peer, DOORS[door], is_stranger, nick);
        let first = actor.introduce(&mut self.rng, &self.crowd.lot.limits);
        self.sim.send(peer, first);
        self.crowd.actors.push(actor);
    }

    fn knock(&mut self) -> bool {
        let left = MAX_ACTORS - self.crowd.actors.len();
        if left == 0 || self.crowd.stopped.is_some() {
            return false;
        }
        let count = if self.rng.chance(20) { MAX_REJECTED + 8 } else { 2 };
        (0..self.rng.below(count.min(left)) + 1).for_each(|_| self.connect(0, None));
        true
    }

    fn ask(&mut self, count: usize) -> bool {
        let count = count.min(self.budget);
        let Some(who) = self.one(|actor| actor.nick.is_some() && actor.speaks()) else { return false };
        self.budget -= count;
        let Crowd { actors, lot, .. } = &mut self.crowd;
        let asked: String = (0..count).map(|_| actors[who].ask(&mut self.rng, &lot.limits)).collect();
        self.sim.send(actors[who].peer, asked);
        count > 0
    }

    /// A message that only a pause ends, at a moment when nothing else could.
    fn mumble(&mut self) -> bool {
        let speaks = |actor: &Actor| matches!(actor.door, Scheme::Nickname | Scheme::Relay) && actor.speaks();
        // What is held of one who is held back has an end too.
        let rate = self.crowd.lot.limits.rate;
        let is_read = |actor: &Actor| actor.asked.len() < 20 || rate.is_none();
        let Some(who) = self.one(|actor| speaks(actor) && !actor.stalled && is_read(actor)) else {
            return false;
        };
        if self.crowd.stopped.is_some() {
            return false;
        }
        let faults = self.sim.sockets().set_faults(None);
        // A listener may be at rest.
        self.pass(Duration::from_secs(1));
        // Where it is held back, LF is put behind it.
        let said = self.crowd.actors[who].say(&mut self.rng, self.crowd.lot.limits.max_line - 1);
        self.sim.send(self.crowd.actors[who].peer, said);
        let pause = self.crowd.lot.limits.pause;
        self.pass(pause);
        self.sim.sockets().set_faults(faults);
        true
    }

    /// The last line needs no LF.
    fn end(&mut self, who: usize) {
        let Crowd { actors, lot, .. } = &mut self.crowd;
        if actors[who].nick.is_some() && self.rng.chance(50) {
            let last = actors[who].ask(&mut self.rng, &lot.limits);
            self.sim.send(actors[who].peer, last.trim_end_matches('\n'));
        }
        actors[who].ended = true;
        self.sim.end(actors[who].peer);
        self.leaves(who);
    }

    fn quit(&mut self) -> bool {
        let is_able = |actor: &Actor| actor.door == Scheme::Line && actor.nick.is_some() && actor.speaks();
        let Some(who) = self.one(is_able) else { return false };
        self.crowd.actors[who].quit = true;
        self.leaves(who);
        self.sim.send(self.crowd.actors[who].peer, "/quit see you\n&lobby:never\n");
        true
    }

    fn leaves(&mut self, who: usize) {
        let now = self.sim.now();
        self.crowd.actors[who].leaving.get_or_insert(now);
    }

    fn operate(&mut self, command: impl FnOnce(usize) -> String) -> bool {
        self.said += 1;
        if self.crowd.stopped.is_none() {
            self.sim.send(self.crowd.witness, command(self.said));
        }
        self.crowd.stopped.is_none()
    }

    fn stop(&mut self) -> bool {
        if self.crowd.stopped.is_some() {
            return false;
        }
        let now = self.sim.now();
        self.crowd.stopped = Some(now);
        self.crowd.actors.iter_mut().for_each(|actor| _ = actor.leaving.get_or_insert(now));
        if self.rng.chance(50) {
            self.sim.send(self.crowd.witness, "/shutdown\n");
        } else {
            self.sim.stop();
        }
        true
    }

    fn read_on(&mut self, who: usize) {
        self.sim.stall(self.crowd.actors[who].peer, usize::MAX);
        self.crowd.actors[who].stalled = false;
    }

    fn pass(&mut self, time: Duration) {
        let crowd = &mut self.crowd;
        self.sim.pass_watched(time, |sim| crowd.observe(sim));
    }

    /// The faults stop, everybody reads, and what is still to come comes. Of those who have stopped reading before the
    /// server stops, some never do.
    fn calm(&mut self) {
        if let Some(faults) = self.sim.sockets().set_faults(None) {
            self.crowd.lot.faults = faults;
        }
        for who in 0..self.crowd.actors.len() {
            if self.crowd.stopped.is_none() || self.rng.chance(50) {
                self.read_on(who);
            }
        }
        let is_slow = self.crowd.lot.limits.rate.is_some();
        self.pass(if is_slow { LONGEST } else { LONG });
        self.crowd.listen(&mut self.sim);
    }
}

impl Crowd {
    /// Looks at the server after a turn.
    fn observe(&mut self, sim: &mut Sim) {
        let now = sim.now();
        let before = self.history.len();
        self.history += &String::from_utf8(sim.take(self.witness)).expect("the server sends UTF-8");
        let news = self.history[before..].to_owned();
        for actor in &mut self.actors {
            let id = sim.sockets().id(actor.peer);
            let has_name = id.is_some_and(|id| sim.reactor().server().hub().nick(id).is_some());
            if std::mem::replace(&mut actor.has_name, has_name) && !has_name {
                let Actor { unsent, above, .. } = *actor;
                actor.parting = Some(Parting { at: now, unsent, above, news: news.len() });
            }
        }
        for line in news.lines() {
            if let Some(kicked) = line.strip_prefix("+kicked ") {
                let kicked = self.actors.iter_mut().find(|actor| actor.name() == kicked);
                kicked.into_iter().for_each(|actor| _ = actor.leaving.get_or_insert(now));
            } else if let Some(slow) = line.strip_suffix(" left (too slow)") {
                let slow = self.actors.iter().find(|actor| slow[2..] == *actor.name());
                let slow = slow.expect("it is one of them");
                // Whoever came and went within one turn was never seen with its name.
                let Actor { unsent, above, parting, .. } = *slow;
                let now = Parting { at: now, unsent, above, news: news.len() };
                self.check_slow(slow, parting.unwrap_or(now));
            }
        }
        self.check_strangers(sim);
        let Crowd { actors, lot, history, stopped, .. } = self;
        for actor in actors.iter_mut().filter(|actor| actor.gone.is_none()) {
            actor.broken = sim.sockets().peer(actor.peer).is_broken();
            if actor.accepted.is_none() && sim.sockets().was_accepted(actor.peer) {
                actor.accepted = Some((now, history.len()));
            }
            if sim.is_closed(actor.peer) {
                actor.gone.get_or_insert(now);
            }
            observe(actor, lot, stopped.is_some(), now, sim);
        }
    }

    /// No more have a name of those from one address than may be connected from there.
    fn check_strangers(&self, sim: &mut Sim) {
        let Some(most) = self.lot.limits.max_per_address else { return };
        let has_name = |actor: &&Actor| {
            let id = sim.sockets().id(actor.peer);
            actor.is_stranger && id.is_some_and(|id| sim.reactor().server().hub().nick(id).is_some())
        };
        let here = self.actors.iter().filter(has_name).count();
        assert!(self.stopped.is_some() || here <= most, "{here} are here of one address");
    }

    /// Whoever was dropped for it was too slow: for so long, or at once, or there was no room for it.
    fn check_slow(&self, actor: &Actor, parting: Parting) {
        let limits = &self.lot.limits;
        let Parting { at, unsent, above, news } = parting;
        // Where there is room by then, one send comes before the end, however late that is.
        let had_room = !actor.stalled && !self.lot.hinders_sending() && unsent <= ARENA;
        let for_long = above.is_some_and(|since| since + TOO_SLOW_AFTER <= at) && !had_room;
        // It was refused what is news to the witness too, notices before the witness was sent them; and what was said to it
        // alone: of that nothing where so much is unsent already, else no more than this.
        let notices = limits.half_queue().min(ARENA) + limits.max_sent_line();
        let alone = if above.is_some() { 0 } else { 2 * (limits.queue + limits.max_sent_line()) };
        let at_once = unsent + news + notices + alone > limits.hard_queue();
        let may_be = actor.has_stalled || self.lot.hinders_sending();
        let is_justified = may_be && (for_long || at_once || self.lot.is_tight());
        assert!(is_justified, "{} was dropped: {parting:?}", actor.name());
    }

    /// Keeps what everybody has heard.
    fn listen(&mut self, sim: &mut Sim) {
        self.actors.iter_mut().for_each(|actor| actor.heard.append(&mut sim.take(actor.peer)));
    }
}

/// What must be so of somebody at any time.
fn observe(actor: &mut Actor, lot: &Lot, stopped: bool, now: Time, sim: &mut Sim) {
    let drain = lot.limits.drain.max(MIN_DRAIN);
    let is_hindered = actor.stalled || lot.hinders_sending();
    if actor.leaving.is_some_and(|since| since + drain <= now) && is_hindered {
        actor.deaf = true;
    }
    let Some(id) = sim.sockets().id(actor.peer) else { return };
    let unsent = sim.reactor().server().connections.queues().unsent(id);
    let is_registered = sim.reactor().server().hub().nick(id).is_some();
    let received = sim.sockets().peer(actor.peer).received();
    let has_received = received > actor.received;
    actor.peak = actor.peak.max(unsent);
    (actor.unsent, actor.received) = (unsent, received);
    if unsent > lot.limits.queue && is_registered && !stopped {
        actor.above.get_or_insert(now);
        let since = *actor.stuck.get_or_insert(now);
        assert!(has_received || now < since + TOO_SLOW_AFTER, "{} is too slow since {since:?}", actor.name());
        actor.stuck = actor.stuck.take_if(|_| !has_received).or(Some(now));
    } else {
        (actor.above, actor.stuck) = (None, None);
    }
    let is_stranger = !is_registered && actor.speaks() && actor.leaving.is_none() && actor.nick.is_none();
    if let (Some(timeout), Some((since, _)), true) =
        (lot.limits.register_timeout, actor.accepted, is_stranger)
    {
        let is_over = since + timeout <= now && !is_hindered;
        assert!(!is_over || sim.is_ended(actor.peer), "a stranger is still there");
    }
}
