//! What is behind the lock: the hub, the queues, and who is connected. Here stands what a read, a flush and a deadline mean,
//! as `reactor/` says it for the other engine. A slot is given back by its reader thread alone, which is its last user.

use super::connection::Input;
use super::link::Link;
use crate::engine::listener;
use crate::hub::{Effect, Hub, Next};
use crate::limits::{DISCARD, FAREWELLS, Limits, REST_AFTER, TOO_SLOW_AFTER};
use crate::protocol::Time;
use crate::protocol::name::Name;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Origin, Outbox, Refusal};
use crate::server::admission::{AddressId, Admission, TooMany};
use crate::server::feed::{self as session, Bounds, Stop};
use crate::server::log_events as journal;
use crate::server::rate_limit::{Allowance, Rate};
use crate::server::send_queue::{Flushed, SendQueues};
use crate::server::timers::{Deadline, TimerId, Timers};
use slab::Slab;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The hub, and all that must not change while it speaks. Between two holders of the lock nothing is dirty, nobody is
/// doomed, and every queue holds only what its link didn't take.
#[derive(Debug)]
pub(super) struct State {
    hub: Hub,
    queues: SendQueues,
    peers: Slab<Peer>,
    /// So many of them are not open.
    closing: usize,
    timers: Timers,
    limits: Limits,
    admission: Admission,
    rate: Rate,
    now: Time,
    doomed: Vec<(ConnId, Doom)>,
    /// Connections that an operator has ended.
    kicked: Vec<ConnId>,
    /// What was typed at the server's own terminal since the last LF.
    console: Vec<u8>,
    /// An operator wants the server to stop.
    asked_to_stop: bool,
    stopping: bool,
    /// Since when, and how many were still owed something when their time was over.
    stopping_since: Time,
    cut_off: usize,
    stop_by: Arc<OnceLock<Instant>>,
    /// When something was last read, and whether what was needed for it was given back since.
    active: Time,
    resting: bool,
    /// When the main thread looks at the deadlines next.
    looks_at: Time,
}

/// One connection, but for what its reader thread keeps for itself.
#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    phase: Phase,
    /// Until when to register, or in a closing phase to flush or to end the stream.
    deadline: Option<TimerId>,
    /// Until when its queue must be back within the limit.
    slow: Option<TimerId>,
    /// The address that it is counted for.
    address: Option<AddressId>,
    /// What it may still ask before it is held back.
    allowance: Allowance,
    /// Its reader sleeps until its queue has room, or it may ask again.
    waiting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Read and obeyed.
    Open,
    /// Closing: not everything is taken by its link.
    Flushing,
    /// Closing: everything is, and its input is thrown away until it ends.
    Discarding,
    /// Both directions are shut.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doom {
    /// It is broken, or was reset.
    Lost,
    /// It doesn't read what it is sent.
    TooSlow,
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// Read.
    Read,
    /// Wait until its own queue has room, then go on with what was read.
    Wait,
    /// Its allowance is used up: sleep so long, unless it is closed, then go on with what was read.
    Rest(Duration),
    /// Let others have the lock, then go on with what was read.
    Yield,
    /// Nothing that it reads counts any more.
    Leave,
}

/// How long the main thread may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// So long; `None` until somebody wakes it up.
    Upto(Option<Duration>),
    /// The server is to stop.
    Stop,
    /// The server was stopped, and nobody is left.
    Done,
}

impl State {
    pub fn new(limits: &Limits, stop_by: Arc<OnceLock<Instant>>) -> State {
        State {
            hub: Hub::new(limits),
            queues: SendQueues::new(limits),
            peers: Slab::new(),
            closing: 0,
            timers: Timers::default(),
            limits: limits.clone(),
            admission: Admission::new(limits),
            rate: Rate::new(limits),
            now: Time::default(),
            doomed: Vec::new(),
            kicked: Vec::new(),
            console: Vec::new(),
            asked_to_stop: false,
            stopping: false,
            stopping_since: Time::default(),
            cut_off: 0,
            stop_by,
            active: Time::default(),
            resting: false,
            looks_at: Time::default(),
        }
    }

    /// Somebody has the lock now.
    pub fn begin(&mut self, now: Time) {
        self.now = now;
        self.hub.set_now(now);
        let counters = &mut self.queues.counters;
        counters.turns += 1;
        counters.connections = self.peers.len() as u64;
        counters.uptime_seconds = now.0 / 1000;
    }

    /// Takes a newcomer in, or tells it that it can't be; `None` where there is not even room for that.
    pub fn admit(&mut self, door: Scheme, from: Origin, link: Arc<Link>) -> Option<ConnId> {
        self.note_activity();
        let (others, operator) = (self.peers.len(), door.row().for_operators);
        let full = !operator && others - self.closing >= self.limits.max_connections;
        if full {
            journal::refused(from, Refusal::ServerFull.code());
        }
        if !operator && others >= self.limits.max_connections + FAREWELLS {
            return None;
        }
        let phase = Phase::Open;
        let allowance = if operator { Allowance::UNLIMITED } else { Allowance::full() };
        let peer = Peer { link, phase, deadline: None, slow: None, address: None, allowance, waiting: false };
        let id = ConnId(self.peers.insert(peer) as u32);
        self.queues.open(id, door.row().language.expect("it chats").dialect);
        if operator {
            self.hub.make_operator(id);
            self.queues.journal.operator(id);
        } else if full {
            self.turn_down(id, Refusal::ServerFull);
            return Some(id);
        } else {
            if let Origin::Inet(address) = from {
                match self.admission.admit(address.ip()) {
                    Ok(counted) => self.peers[id.index()].address = counted,
                    Err(TooMany) => {
                        journal::refused(from, Refusal::TooManyConnections.code());
                        self.turn_down(id, Refusal::TooManyConnections);
                        return Some(id);
                    }
                }
            }
            self.queues.journal.accepted(id, from, door.name());
            if door.row().hears_lobby {
                self.hub.make_listener(id);
            }
            self.await_registration(id);
        }
        self.queues.send(id, Event::Connected { from });
        Some(id)
    }

    /// Arms the time for a name. Without a limit of time too the nameless stand in line: where there are too many, whoever
    /// has waited longest goes.
    fn await_registration(&mut self, id: ConnId) {
        let until = self.limits.register_timeout.map_or(Time::NEVER, |wait| self.now + wait);
        self.peers[id.index()].deadline = Some(self.timers.arm(until, Deadline::Register, id));
        if self.timers.count(Deadline::Register) > self.limits.max_unregistered()
            && let Some(longest_waiting) = self.timers.first(Deadline::Register)
        {
            self.queues.journal.made_way(longest_waiting);
            self.end_nameless(longest_waiting);
        }
    }

    fn end_nameless(&mut self, id: ConnId) {
        self.hub.leave(id, CloseReason::RegisterTimeout, b"", &mut self.queues);
        self.turn_down(id, Refusal::RegisterTimeout);
    }

    /// Closes a connection that is told why.
    fn turn_down(&mut self, id: ConnId, why: Refusal<'_>) {
        self.queues.send(id, Event::Refused(why));
        self.close(id);
    }

    /// So many bytes have come: has the hub obey what of the input is whole, as far as it may be obeyed now.
    pub fn hear(&mut self, id: ConnId, input: &mut Input, fresh: usize) -> Onward {
        self.note_activity();
        self.queues.counters.bytes_in += fresh as u64;
        let mut brimming = false;
        while self.is_open(id) && !brimming {
            let State { hub, queues, peers, limits, rate, now, .. } = self;
            let allowance = &mut peers[id.index()].allowance;
            let bounds = Bounds { max_line: limits.max_line, tokens: allowance.left(*rate, *now) };
            let bytes = &input.buffer[..input.len];
            let fed = session::feed(hub, id, &mut input.frame, input.dialect, bytes, bounds, queues);
            allowance.spend(fed.cost, *rate, *now);
            queues.counters.lines_in += fed.messages;
            input.consume(fed.consumed);
            match fed.stop {
                Stop::Dry | Stop::Spent => break,
                Stop::Effects => self.act_on_effects(),
                Stop::Close => self.close(id),
                Stop::Full => {
                    brimming = fed.consumed > 0 && self.queues.wants_flush();
                    self.settle();
                    if !self.queues.has_room(id) {
                        break;
                    }
                }
            }
        }
        self.onward(id, brimming)
    }

    /// Nothing has come for a while: what is left may be a message.
    pub fn pause(&mut self, id: ConnId, input: &mut Input) -> Onward {
        self.note_activity();
        if self.is_open(id) {
            let State { hub, queues, .. } = self;
            let bytes = &input.buffer[..input.len];
            let next = session::pause(hub, id, &mut input.frame, input.dialect, bytes, queues);
            if let Some((next, cost)) = next {
                input.consume(input.len);
                self.peers[id.index()].allowance.spend(cost, self.rate, self.now);
                self.queues.counters.lines_in += 1;
                if next == Next::Close {
                    self.close(id);
                }
            }
        }
        self.onward(id, false)
    }

    /// Its stream has ended: a last line without LF counts, then it leaves, and gets what is queued for it.
    pub fn end(&mut self, id: ConnId, input: &mut Input) -> Onward {
        self.note_activity();
        if self.is_open(id) {
            let State { hub, queues, .. } = self;
            let bytes = &input.buffer[..input.len];
            queues.counters.lines_in += u64::from(input.len > 0);
            match session::finish(hub, id, &mut input.frame, input.dialect, bytes, queues) {
                Next::Close => {}
                Next::Stay => hub.leave(id, CloseReason::EndOfStream, b"", queues),
            }
            self.close(id);
        }
        Onward::Leave
    }

    /// A connection is broken.
    pub fn lose(&mut self, id: ConnId) {
        self.note_activity();
        self.doom(id, Doom::Lost);
    }

    /// A writer has sent all that it was given.
    pub fn refill(&mut self, id: ConnId) {
        self.queues.mark_writable(id);
    }

    /// A writer has sent the last, and shut the sending side. What still comes is thrown away for a while: closing at once
    /// with input unread would make the kernel reset the connection and destroy the last lines.
    pub fn was_shut(&mut self, id: ConnId) {
        if self.peers[id.index()].phase == Phase::Flushing {
            self.forget_deadlines(id);
            let peer = &mut self.peers[id.index()];
            peer.phase = Phase::Discarding;
            peer.deadline = Some(self.timers.arm(self.now + DISCARD, Deadline::Discard, id));
        }
    }

    /// The last that is done with a connection, by its reader: its slot is free.
    pub fn remove(&mut self, id: ConnId) {
        if self.is_open(id) {
            self.hub.leave(id, CloseReason::Lost, b"", &mut self.queues);
            self.drop_now(id);
        }
        self.forget_deadlines(id);
        self.queues.close(id);
        self.peers.remove(id.index());
        self.closing -= 1;
    }

    /// One read of what is typed at the server's own terminal.
    pub fn hear_console(&mut self, bytes: &[u8]) {
        let State { hub, queues, console, limits, .. } = self;
        session::hear_console(hub, console, bytes, limits.max_line, queues);
    }

    /// Asked to stop: nobody is read any more, everybody is told, and nobody's leaving is.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.stopping_since = self.now;
        let open = self.peers.iter().filter(|(_, peer)| peer.phase == Phase::Open);
        let open: Vec<ConnId> = open.map(|(key, _)| ConnId(key as u32)).collect();
        for id in open {
            self.queues.send(id, Event::Refused(Refusal::ShuttingDown));
            self.close(id);
        }
    }

    /// Keeps the deadlines that are due, and gives memory back once nothing has happened for a while.
    pub fn expire(&mut self) {
        while let Some((what, id)) = self.timers.due(self.now) {
            let peer = &mut self.peers[id.index()];
            match what {
                Deadline::Register => {
                    peer.deadline = None;
                    self.end_nameless(id);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.doom_slow(id, self.queues.unsent(id));
                }
                Deadline::Drain | Deadline::Discard => {
                    peer.deadline = None;
                    self.cut_off += usize::from(self.stopping && what == Deadline::Drain);
                    self.drop_now(id);
                }
                // A reader keeps its own pauses and rests, and there are no datagrams.
                Deadline::Pause | Deadline::Silence | Deadline::Refill | Deadline::LastWords => {}
            }
        }
        if !self.resting && self.active + REST_AFTER <= self.now {
            self.resting = true;
            self.queues.rest();
            self.timers.rest();
            // What was counted and not written is said now: nothing else would wake us up for it.
            log::logger().flush();
        }
    }

    /// What the main thread does next.
    pub fn sleep(&mut self) -> Sleep {
        if self.stopping && self.peers.is_empty() {
            journal::stopped(self.stopping_since.until(self.now), self.cut_off);
            return Sleep::Done;
        }
        if !self.stopping && (self.asked_to_stop || self.stop_by.get().is_some()) {
            return Sleep::Stop;
        }
        let next = self.due();
        self.looks_at = next.unwrap_or(Time(u64::MAX));
        Sleep::Upto(next.map(|at| self.now.until(at)))
    }

    /// Whether the main thread would oversleep; said once.
    pub fn is_due_sooner(&mut self) -> bool {
        let due = self.due().unwrap_or(Time(u64::MAX));
        let sooner = due < self.looks_at;
        self.looks_at = self.looks_at.min(due);
        sooner
    }

    /// Whether a connection is still obeyed, so that its reader has something to wait for. It is told if that ends.
    pub fn rests(&mut self, id: ConnId) -> bool {
        let rests = self.is_open(id);
        self.peers[id.index()].waiting = rests;
        rests
    }

    /// Whether a connection's reader has nothing to do until its own queue has room. If so, it is told.
    pub fn waits_for_room(&mut self, id: ConnId) -> bool {
        let waits = self.is_open(id) && !self.queues.has_room(id);
        self.peers[id.index()].waiting = waits;
        waits
    }

    /// Flushes the dirty and reaps the doomed, whose going makes others dirty, until neither is left.
    pub fn settle(&mut self) {
        loop {
            self.flush();
            let kicked = self.close_kicked();
            let doomed = std::mem::take(&mut self.doomed);
            if doomed.is_empty() && !kicked {
                break;
            }
            doomed.into_iter().for_each(|(id, doom)| self.reap(id, doom));
        }
    }

    /// When the main thread is needed.
    fn due(&self) -> Option<Time> {
        let to_stop = self.asked_to_stop && !self.stopping || self.stopping && self.peers.is_empty();
        let idle = (!self.resting).then(|| self.active + REST_AFTER);
        to_stop.then_some(Time(0)).into_iter().chain(self.timers.next()).chain(idle).min()
    }

    fn is_open(&self, id: ConnId) -> bool {
        self.peers[id.index()].phase == Phase::Open && !self.queues.is_deaf(id)
    }

    fn note_activity(&mut self) {
        (self.active, self.resting) = (self.now, false);
    }

    /// What a reader does next, once what it said is out.
    fn onward(&mut self, id: ConnId, brimming: bool) -> Onward {
        self.settle();
        if !self.is_open(id) {
            return Onward::Leave;
        }
        if self.hub.rank(id).is_registered() {
            let registered = self.peers[id.index()].deadline.take();
            registered.into_iter().for_each(|deadline| self.timers.cancel(deadline));
        }
        match self.queues.has_room(id) {
            false => Onward::Wait,
            true if self.peers[id.index()].allowance.left(self.rate, self.now) == 0 => {
                Onward::Rest(self.rate.wait())
            }
            true if brimming => Onward::Yield,
            true => Onward::Read,
        }
    }

    fn act_on_effects(&mut self) {
        while let Some(effect) = self.hub.next_effect() {
            match effect {
                Effect::Registered { id } => {
                    let from = listener::origin(&self.peers[id.index()].link.socket).ok();
                    if let Some(nick) = self.hub.nick(id) {
                        self.queues.journal.registered(id, from, nick.shown());
                    }
                }
                Effect::Left { id, name, reason, operator } => {
                    let nick = name.as_ref().map(Name::shown);
                    self.queues.journal.left(id, nick, reason.word(), operator);
                }
                Effect::Announced { operator, count } => self.queues.journal.announced(operator, count),
                Effect::Close { id } => {
                    if self.queues.deafen(id) {
                        self.kicked.push(id);
                    }
                }
                Effect::Stats { to } => {
                    let mut figures: Vec<(String, u64)> = vec![
                        ("users".into(), self.hub.registered() as u64),
                        ("rooms".into(), self.hub.rooms_open() as u64),
                    ];
                    self.queues.figures(&mut |key, value| figures.push((key.to_owned(), value)));
                    figures
                        .iter()
                        .for_each(|(key, value)| self.queues.send(to, Event::Stat { key, value: *value }));
                    self.queues.send(to, Event::EndStats { count: figures.len() });
                }
                Effect::Stop { operator } => {
                    self.queues.journal.stopping(operator);
                    self.asked_to_stop = true;
                }
            }
        }
    }

    fn flush(&mut self) {
        self.act_on_effects();
        // Nothing waits: the next to have the lock may come much later.
        self.queues.hurry();
        let mut place = 0;
        while let Some(id) = self.queues.dirty(place) {
            place += 1;
            let link = &self.peers[id.index()].link;
            let stop_by = self.stop_by.get().copied();
            let flushed = self.queues.flush(id, |bytes, _| link.send(bytes, stop_by));
            self.flushed(id, flushed);
        }
        self.queues.end_flush();
        self.make_room();
    }

    /// Where all queues together are above their limit, whoever holds most goes.
    fn make_room(&mut self) {
        for (id, unsent) in self.queues.make_room() {
            self.queues.journal.shed(id, self.hub.nick(id).map(Name::shown), unsent);
            let open = self.peers[id.index()].phase == Phase::Open;
            self.doom(id, if open { Doom::TooSlow } else { Doom::Lost });
        }
    }

    /// What a flush means for the connection: whether it is too slow, is read, goes on closing.
    fn flushed(&mut self, id: ConnId, flushed: Flushed) {
        let Flushed::Unsent(unsent) = flushed else { return self.doom(id, Doom::Lost) };
        let peer = &mut self.peers[id.index()];
        match peer.phase {
            Phase::Discarding | Phase::Gone => return,
            _ if unsent > peer.link.most_unsent(&self.limits) => return self.doom_slow(id, unsent),
            Phase::Flushing if unsent == 0 => {
                if peer.link.finish() {
                    self.was_shut(id);
                }
                return;
            }
            Phase::Flushing => return,
            Phase::Open => {}
        }
        match &peer.slow {
            None if unsent > self.limits.queue => {
                peer.slow = Some(self.timers.arm(self.now + TOO_SLOW_AFTER, Deadline::TooSlow, id));
            }
            Some(_) if unsent <= self.limits.queue => {
                peer.slow.take().into_iter().for_each(|slow| self.timers.cancel(slow));
            }
            _ => {}
        }
        if unsent <= self.limits.half_queue() {
            peer.rouse();
        }
    }

    /// Marks a connection for reaping that doesn't read what it is sent, of which this much is unsent.
    fn doom_slow(&mut self, id: ConnId, unsent: usize) {
        if !self.queues.is_deaf(id) {
            self.queues.journal.too_slow(id, self.hub.nick(id).map(Name::shown), unsent);
            self.doom(id, Doom::TooSlow);
        }
    }

    /// Marks a connection for reaping. From now on it hears nothing.
    fn doom(&mut self, id: ConnId, doom: Doom) {
        if self.queues.deafen(id) {
            self.doomed.push((id, doom));
        }
    }

    fn reap(&mut self, id: ConnId, doom: Doom) {
        if self.queues.wants_flush() {
            self.flush();
        }
        let peer = &self.peers[id.index()];
        let open = peer.phase == Phase::Open;
        let can_be_told = peer.link.most_unsent(&self.limits) > 0 && peer.phase != Phase::Discarding;
        if open && !self.stopping {
            let how = if doom == Doom::TooSlow { CloseReason::TooSlow } else { CloseReason::Lost };
            self.hub.leave(id, how, b"", &mut self.queues);
        }
        if doom == Doom::Lost || !can_be_told || self.queues.is_cut(id) {
            return self.drop_now(id);
        }
        self.queues.forget(id);
        self.queues.undeafen(id);
        self.queues.send(id, Event::Refused(Refusal::TooSlow));
        if open {
            self.close(id);
        }
    }

    /// Closes those whom the hub has shown the door; whether there were any.
    fn close_kicked(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.kicked.pop() {
            self.queues.undeafen(id);
            any = true;
            if self.peers[id.index()].phase == Phase::Open {
                self.close(id);
            }
        }
        any
    }

    /// Begins to close a connection that has left the hub: what is queued is flushed, within the time for that.
    fn close(&mut self, id: ConnId) {
        self.leave_phase_open(id, Phase::Flushing);
        let drain = self.peers[id.index()].link.drain(&self.limits);
        let deadline = self.timers.arm(self.now + drain, Deadline::Drain, id);
        self.peers[id.index()].deadline = Some(deadline);
        self.queues.mark_dirty(id);
    }

    /// Ends a connection that has left the hub, whatever is queued for it. Its reader wakes up by that and removes it.
    fn drop_now(&mut self, id: ConnId) {
        self.leave_phase_open(id, Phase::Gone);
        self.queues.close(id);
        self.peers[id.index()].link.break_off();
    }

    fn leave_phase_open(&mut self, id: ConnId, phase: Phase) {
        self.forget_deadlines(id);
        let peer = &mut self.peers[id.index()];
        self.closing += usize::from(peer.phase == Phase::Open);
        peer.phase = phase;
        peer.rouse();
        peer.address.take().into_iter().for_each(|address| self.admission.leave(address));
    }

    fn forget_deadlines(&mut self, id: ConnId) {
        let peer = &mut self.peers[id.index()];
        for timer in [peer.deadline.take(), peer.slow.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }
}

impl Peer {
    /// Has its reader go on, if it waits.
    fn rouse(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.link.room.notify_one();
        }
    }
}
