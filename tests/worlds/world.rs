//! A world: a server, a witness and other clients, with actions by seed, until all output is delivered.

use crate::actor::{Actor, LastState, MAX_NAMED};
use crate::config::{Action, Config};
use redpoll::limits::{ARENA, MAX_REJECTED, MIN_DRAIN, TOO_SLOW_AFTER};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::rng::Rng;
use redpoll_kit::{PeerNo, Sim};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The schemes of the listeners. The witness connects to the second, so it is an operator.
const SCHEMES: [Scheme; 5] = [Scheme::Line, Scheme::Unix, Scheme::Classic, Scheme::Nickname, Scheme::Relay];
const UNIX: usize = 1;

/// The address to which `max_per_address` applies (RFC 5737).
const LIMITED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Maximum number of connections, including those that stay unregistered.
const MAX_ACTORS: usize = 40;

/// Maximum number of requests of all clients together, so that a world takes little time.
const MAX_REQUESTS: usize = 3000;

/// Longer than every wait of the server, except for UDP silence and for connections blocked by rate.
const LONG: Duration = Duration::from_secs(70);

/// Long enough to handle all requests of a client at the lowest rate.
const LONGEST: Duration = Duration::from_secs(3000);

/// A server and its clients.
pub struct World {
    pub sim: Sim,
    pub clients: Clients,
    rng: Rng,
    /// How often each action was performed.
    pub done: [usize; Action::ALL.len()],
    /// Commands sent by the operator, to number them.
    commands: usize,
    budget: usize,
}

/// All clients, and the state of the model.
pub struct Clients {
    pub config: Config,
    /// In every room from the beginning, and always reading: its input is the history.
    pub witness: PeerNo,
    pub history: String,
    pub actors: Vec<Actor>,
    /// Time when the server was asked to stop.
    pub stopped: Option<Time>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(!seed);
        let config = Config::draw(&mut rng);
        let mut sim = Sim::with_schemes(config.limits.clone(), &SCHEMES);
        let witness = sim.connect_at(UNIX);
        sim.sockets().peer(witness).make_steady();
        sim.send(witness, "#witness\n&r1\n&r2\n&r3\n");
        sim.run();
        sim.take(witness);
        sim.sockets().set_faults(Some(config.faults.clone()));
        let clients = Clients { config, witness, history: String::new(), actors: Vec::new(), stopped: None };
        let done = Default::default();
        World { sim, clients, rng, done, commands: 0, budget: MAX_REQUESTS }
    }

    /// Runs the world to its end, when all output is delivered.
    pub fn run(&mut self) {
        let mut steps = 40 + self.rng.below(120);
        while steps > 0 && self.sim.running() == Running::On {
            steps -= 1;
            let was_asked_to_stop = self.clients.stopped.is_some();
            self.step();
            if !was_asked_to_stop && self.clients.stopped.is_some() {
                steps = self.rng.below(12);
            }
            for _ in 0..self.rng.below(4) {
                if self.sim.running() == Running::On {
                    self.sim.turn();
                    self.clients.observe(&mut self.sim);
                }
            }
            self.clients.collect(&mut self.sim);
        }
        self.settle();
    }

    fn step(&mut self) {
        let action = match self.clients.config.action(&mut self.rng) {
            _ if !self.clients.actors.iter().any(|actor| actor.nick.is_some()) => Action::Register,
            action => action,
        };
        if self.perform(action) {
            self.done[action as usize] += 1;
        }
    }

    /// Performs the action if a client can; returns whether it did.
    fn perform(&mut self, action: Action) -> bool {
        match action {
            Action::Register => self.register(),
            Action::Connect => self.connect_unregistered(),
            Action::Request => self.request(1),
            Action::Flood => {
                let max = if self.rng.chance(5) { 1500 } else { 60 };
                let count = 1 + self.rng.below(max);
                self.request(count)
            }
            Action::Unterminated => self.send_unterminated(),
            Action::Stall => {
                let max = if self.rng.chance(70) { 2000 } else { 2 * self.clients.config.limits.queue };
                let room = self.rng.below(max);
                let Some(index) = self.pick(|actor| !actor.broken) else { return false };
                let actor = &mut self.clients.actors[index];
                (actor.stalled, actor.has_stalled) = (true, true);
                self.sim.stall(actor.peer, room);
                true
            }
            Action::Resume => {
                let Some(index) = self.pick(|actor| actor.stalled) else { return false };
                self.resume(index);
                true
            }
            Action::Pass => {
                let time = self.random_time();
                self.pass(time);
                true
            }
            Action::Oversleep => {
                let is_due = self.clients.actors.iter().any(|actor| actor.above.is_some());
                let time = if is_due { TOO_SLOW_AFTER } else { self.random_time() };
                self.sim.oversleep(time);
                if self.rng.chance(50) {
                    // The clients aren't suspended.
                    (0..self.clients.actors.len()).for_each(|index| self.resume(index));
                }
                true
            }
            Action::Quit => self.quit(),
            Action::End => {
                let Some(index) = self.pick(Actor::may_send) else { return false };
                self.end(index);
                true
            }
            Action::Reset => {
                // Prefer a client that is leaving.
                let leaver =
                    self.pick(|actor| !actor.broken && actor.closed.is_none() && actor.leaving.is_some());
                let leaver = leaver.filter(|_| self.rng.chance(50));
                let Some(index) = leaver.or_else(|| self.pick(|actor| !actor.broken)) else { return false };
                self.sim.reset(self.clients.actors[index].peer);
                true
            }
            Action::Kick => {
                // Prefer a client that doesn't read.
                let stalled = self.pick(|actor| actor.stalled && actor.nick.is_some());
                let stalled = stalled.map(|index| self.clients.actors[index].name().to_uppercase());
                let random = format!("N{}", self.rng.below(MAX_NAMED));
                let nick = stalled.filter(|_| self.rng.chance(50)).unwrap_or(random);
                self.send_as_operator(|number| format!("/kick {nick} why-{number}\n"))
            }
            Action::Announce => self.send_as_operator(|number| format!("/announce hear-{number}\n")),
            Action::Stop => self.stop(),
        }
    }

    /// Draws the index of a client for which `is` holds.
    fn pick(&mut self, is: impl Fn(&Actor) -> bool) -> Option<usize> {
        let found: Vec<usize> =
            (0..self.clients.actors.len()).filter(|index| is(&self.clients.actors[*index])).collect();
        (!found.is_empty()).then(|| found[self.rng.below(found.len())])
    }

    fn random_time(&mut self) -> Duration {
        let max = if self.rng.chance(10) { 100_000 } else { 3000 };
        Duration::from_millis(self.rng.below(max) as u64)
    }

    fn register(&mut self) -> bool {
        let named = self.clients.actors.iter().filter(|actor| actor.nick.is_some()).count();
        if named == MAX_NAMED || self.clients.actors.len() == MAX_ACTORS || self.clients.stopped.is_some() {
            return false;
        }
        let by_line = !self.rng.chance(self.clients.config.tutorials);
        let scheme = if by_line { 0 } else { 2 + self.rng.below(SCHEMES.len() - 2) };
        self.connect(scheme, Some(format!("n{named}")));
        true
    }

    fn connect(&mut self, scheme: usize, nick: Option<String>) {
        let is_limited = self.rng.chance(self.clients.config.limited);
        let address = if is_limited { LIMITED } else { Ipv4Addr::LOCALHOST };
        let peer = self.sim.connect_from(address.into(), scheme);
        self.sim.sockets().peer(peer).set_window(self.clients.config.window);
        let mut actor = Actor::new(peer, SCHEMES[scheme], is_limited, nick);
        let first = actor.first_input(&mut self.rng, &self.clients.config.limits);
        self.sim.send(peer, first);
        self.clients.actors.push(actor);
    }

    fn connect_unregistered(&mut self) -> bool {
        let left = MAX_ACTORS - self.clients.actors.len();
        if left == 0 || self.clients.stopped.is_some() {
            return false;
        }
        let count = if self.rng.chance(20) { MAX_REJECTED + 8 } else { 2 };
        (0..self.rng.below(count.min(left)) + 1).for_each(|_| self.connect(0, None));
        true
    }

    fn request(&mut self, count: usize) -> bool {
        let count = count.min(self.budget);
        let Some(index) = self.pick(|actor| actor.nick.is_some() && actor.may_send()) else { return false };
        self.budget -= count;
        let Clients { actors, config, .. } = &mut self.clients;
        let input: String =
            (0..count).map(|_| actors[index].request(&mut self.rng, &config.limits)).collect();
        self.sim.send(actors[index].peer, input);
        count > 0
    }

    /// Sends a message that only the frame timeout ends, at a time when no fault is injected.
    fn send_unterminated(&mut self) -> bool {
        let is_able =
            |actor: &Actor| matches!(actor.scheme, Scheme::Nickname | Scheme::Relay) && actor.may_send();
        // The read-ahead of a connection blocked by rate is bounded too.
        let rate = self.clients.config.limits.rate;
        let is_read = |actor: &Actor| actor.requests.len() < 20 || rate.is_none();
        let Some(index) = self.pick(|actor| is_able(actor) && !actor.stalled && is_read(actor)) else {
            return false;
        };
        if self.clients.stopped.is_some() {
            return false;
        }
        let faults = self.sim.sockets().set_faults(None);
        // A listener may be in backoff.
        self.pass(Duration::from_secs(1));
        // If the connection is blocked by rate, the server appends an LF.
        let message =
            self.clients.actors[index].chat_line(&mut self.rng, self.clients.config.limits.max_line - 1);
        self.sim.send(self.clients.actors[index].peer, message);
        let timeout = self.clients.config.limits.frame_timeout;
        self.pass(timeout);
        self.sim.sockets().set_faults(faults);
        true
    }

    /// Ends the stream of a client, sometimes after a last line without LF.
    fn end(&mut self, index: usize) {
        let Clients { actors, config, .. } = &mut self.clients;
        if actors[index].nick.is_some() && self.rng.chance(50) {
            let last = actors[index].request(&mut self.rng, &config.limits);
            self.sim.send(actors[index].peer, last.trim_end_matches('\n'));
        }
        actors[index].ended = true;
        self.sim.end(actors[index].peer);
        self.mark_leaving(index);
    }

    fn quit(&mut self) -> bool {
        let is_able =
            |actor: &Actor| actor.scheme == Scheme::Line && actor.nick.is_some() && actor.may_send();
        let Some(index) = self.pick(is_able) else { return false };
        self.clients.actors[index].quit = true;
        self.mark_leaving(index);
        self.sim.send(self.clients.actors[index].peer, "/quit see you\n&lobby:never\n");
        true
    }

    fn mark_leaving(&mut self, index: usize) {
        let now = self.sim.now();
        self.clients.actors[index].leaving.get_or_insert(now);
    }

    fn send_as_operator(&mut self, command: impl FnOnce(usize) -> String) -> bool {
        self.commands += 1;
        if self.clients.stopped.is_none() {
            self.sim.send(self.clients.witness, command(self.commands));
        }
        self.clients.stopped.is_none()
    }

    fn stop(&mut self) -> bool {
        if self.clients.stopped.is_some() {
            return false;
        }
        let now = self.sim.now();
        self.clients.stopped = Some(now);
        self.clients.actors.iter_mut().for_each(|actor| _ = actor.leaving.get_or_insert(now));
        if self.rng.chance(50) {
            self.sim.send(self.clients.witness, "/shutdown\n");
        } else {
            self.sim.stop();
        }
        true
    }

    fn resume(&mut self, index: usize) {
        self.sim.stall(self.clients.actors[index].peer, usize::MAX);
        self.clients.actors[index].stalled = false;
    }

    fn pass(&mut self, time: Duration) {
        let clients = &mut self.clients;
        self.sim.pass_watched(time, |sim| clients.observe(sim));
    }

    /// Stops the faults, lets all clients read and waits until the output is delivered. If the server was asked to
    /// stop, some stalled clients never read again.
    fn settle(&mut self) {
        if let Some(faults) = self.sim.sockets().set_faults(None) {
            self.clients.config.faults = faults;
        }
        for index in 0..self.clients.actors.len() {
            if self.clients.stopped.is_none() || self.rng.chance(50) {
                self.resume(index);
            }
        }
        let is_slow = self.clients.config.limits.rate.is_some();
        self.pass(if is_slow { LONGEST } else { LONG });
        self.clients.collect(&mut self.sim);
    }
}

impl Clients {
    /// Updates the model after a turn.
    fn observe(&mut self, sim: &mut Sim) {
        let now = sim.now();
        let before = self.history.len();
        self.history += &String::from_utf8(sim.take(self.witness)).expect("the server sends UTF-8");
        let new_lines = self.history[before..].to_owned();
        for actor in &mut self.actors {
            let id = sim.sockets().id(actor.peer);
            let is_registered = id.is_some_and(|id| sim.reactor().server().hub().nick(id).is_some());
            if std::mem::replace(&mut actor.is_registered, is_registered) && !is_registered {
                let Actor { unsent, above, .. } = *actor;
                actor.last_state = Some(LastState { at: now, unsent, above, witnessed: new_lines.len() });
            }
        }
        for line in new_lines.lines() {
            if let Some(kicked) = line.strip_prefix("+kicked ") {
                let kicked = self.actors.iter_mut().find(|actor| actor.name() == kicked);
                kicked.into_iter().for_each(|actor| _ = actor.leaving.get_or_insert(now));
            } else if let Some(slow) = line.strip_suffix(" left (too slow)") {
                let slow = self.actors.iter().find(|actor| slow[2..] == *actor.name());
                let slow = slow.expect("the user is one of the actors");
                // A client that registered and left within one turn has no last state.
                let Actor { unsent, above, last_state, .. } = *slow;
                let now = LastState { at: now, unsent, above, witnessed: new_lines.len() };
                self.check_slow(slow, last_state.unwrap_or(now));
            }
        }
        self.check_limited(sim);
        let Clients { actors, config, history, stopped, .. } = self;
        for actor in actors.iter_mut().filter(|actor| actor.closed.is_none()) {
            actor.broken = sim.sockets().peer(actor.peer).is_broken();
            if actor.accepted.is_none() && sim.sockets().was_accepted(actor.peer) {
                actor.accepted = Some((now, history.len()));
            }
            if sim.is_closed(actor.peer) {
                actor.closed.get_or_insert(now);
            }
            observe(actor, config, stopped.is_some(), now, sim);
        }
    }

    /// Asserts that at most `max_per_address` clients of the limited address are registered.
    fn check_limited(&self, sim: &mut Sim) {
        let Some(max) = self.config.limits.max_per_address else { return };
        let is_registered = |actor: &&Actor| {
            let id = sim.sockets().id(actor.peer);
            actor.is_limited && id.is_some_and(|id| sim.reactor().server().hub().nick(id).is_some())
        };
        let count = self.actors.iter().filter(is_registered).count();
        assert!(self.stopped.is_some() || count <= max, "{count} clients of one address are registered");
    }

    /// Asserts the cause of a close as too slow: for too long, at once, or because `queue_total` was reached.
    fn check_slow(&self, actor: &Actor, last_state: LastState) {
        let limits = &self.config.limits;
        let LastState { at, unsent, above, witnessed } = last_state;
        // If its socket has room by then, the server sends before it checks the time, however late that is.
        let had_room = !actor.stalled && !self.config.may_block_sends() && unsent <= ARENA;
        let for_long = above.is_some_and(|since| since + TOO_SLOW_AFTER <= at) && !had_room;
        // The output that didn't fit: what the witness received too; presence not yet sent to the witness; and output
        // for this client alone, which is zero if its queue was above the limit already, and bounded otherwise.
        let presence = limits.half_queue().min(ARENA) + limits.max_sent_line();
        let alone = if above.is_some() { 0 } else { 2 * (limits.queue + limits.max_sent_line()) };
        let at_once = unsent + witnessed + presence + alone > limits.max_queue();
        let may_be = actor.has_stalled || self.config.may_block_sends();
        let is_justified = may_be && (for_long || at_once || self.config.is_tight());
        assert!(is_justified, "{} was closed as too slow: {last_state:?}", actor.name());
    }

    /// Collects what each client has received.
    fn collect(&mut self, sim: &mut Sim) {
        self.actors.iter_mut().for_each(|actor| actor.received.append(&mut sim.take(actor.peer)));
    }
}

/// Updates one client after a turn and asserts what must hold at any time.
fn observe(actor: &mut Actor, config: &Config, stopped: bool, now: Time, sim: &mut Sim) {
    let drain = config.limits.drain.max(MIN_DRAIN);
    let may_block = actor.stalled || config.may_block_sends();
    if actor.leaving.is_some_and(|since| since + drain <= now) && may_block {
        actor.may_miss_output = true;
    }
    let Some(id) = sim.sockets().id(actor.peer) else { return };
    let unsent = sim.reactor().server().connections.queues().unsent(id);
    let is_registered = sim.reactor().server().hub().nick(id).is_some();
    let taken = sim.sockets().peer(actor.peer).received();
    let has_taken = taken > actor.taken;
    actor.peak = actor.peak.max(unsent);
    (actor.unsent, actor.taken) = (unsent, taken);
    if unsent > config.limits.queue && is_registered && !stopped {
        actor.above.get_or_insert(now);
        let since = *actor.stuck.get_or_insert(now);
        assert!(has_taken || now < since + TOO_SLOW_AFTER, "{} is too slow since {since:?}", actor.name());
        actor.stuck = actor.stuck.take_if(|_| !has_taken).or(Some(now));
    } else {
        (actor.above, actor.stuck) = (None, None);
    }
    let is_unregistered =
        !is_registered && actor.may_send() && actor.leaving.is_none() && actor.nick.is_none();
    if let (Some(timeout), Some((since, _)), true) =
        (config.limits.register_timeout, actor.accepted, is_unregistered)
    {
        let is_over = since + timeout <= now && !may_block;
        assert!(!is_over || sim.is_ended(actor.peer), "an unregistered connection outlived its timeout");
    }
}
