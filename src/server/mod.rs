//! The life of a connection, once for all engines and without I/O: how it is accepted, what is read of it and obeyed, how
//! it is throttled, what it is sent, and how it ends. [`Server`] joins the hub with what each connection needs; a **driver**
//! (the reactor, the engines with threads, the simulator) carries the bytes and calls it. The time is an argument.
//!
//! What a driver does, and what differs between drivers, is in docs/architecture.md, "Drivers".

pub mod admission;
pub mod backlog;
pub mod connections;
pub mod datagrams;
pub mod driver;
pub mod feed;
pub mod input;
pub mod log_events;
pub mod peer;
pub mod peers;
pub mod pool;
pub mod rate_limit;
pub mod send_queue;
pub mod stats;
pub mod timers;
pub mod transport;

use crate::hub::{Effect, Hub, Next};
use crate::limits::{FAREWELLS, Limits, MAX_SHORT, MAX_SILENCE, READ};
use crate::protocol::name::Name;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Origin, Outbox, Refusal, Time};
use admission::Verdict;
use connections::Connections;
use driver::{Driver, Processed, Wake};
use feed::{Bounds, Stop};
use peer::{Blocked, CloseMode, Phase};
use peers::{Scheduled, Unsent};
use rate_limit::TokenBucket;
use timers::Deadline;
use transport::{DatagramPath, Transport};

/// How far the server is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// An operator wants it to stop.
    Asked,
    /// Since when, and how many connections were still owed something when their time was over.
    Stopping {
        since: Time,
        cut_off: usize,
    },
}

/// The server, but for what carries its bytes.
#[derive(Debug)]
pub struct Server {
    hub: Hub,
    /// What every connection has.
    pub connections: Connections,
    life: Life,
}

impl Server {
    /// A server without connections.
    #[must_use]
    pub fn new(limits: Limits, driver: Driver) -> Server {
        Server { hub: Hub::new(&limits), connections: Connections::new(limits, driver), life: Life::Serving }
    }

    /// Who is here.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    // The turn.

    /// Begins a turn at this time.
    pub fn begin(&mut self, now: Time) {
        self.connections.now = now;
        self.connections.stats.turns += 1;
        self.hub.set_now(now);
    }

    /// Acts on effects, and flushes every connection that is due by one send each.
    pub fn flush(&mut self, transport: &mut impl Transport) {
        // Nothing that an effect speaks of is closed yet: only what follows does that.
        self.act_on_effects(transport);
        self.connections.flush(transport);
    }

    /// Flushes what is due and closes what is to be closed, which makes other connections due, until neither is left.
    pub fn flush_and_reap(&mut self, transport: &mut impl Transport) {
        loop {
            self.flush(transport);
            if !self.connections.peers.has_to_close() {
                break;
            }
            for scheduled in self.connections.peers.take_to_close() {
                self.log_unsent(scheduled);
                self.reap(scheduled.id, scheduled.reason, transport);
            }
        }
    }

    fn log_unsent(&self, scheduled: Scheduled) {
        let number = self.connections.peers.number(scheduled.id);
        let nick = || self.hub.nick(scheduled.id).map(Name::shown);
        match scheduled.unsent {
            Unsent::NotAsked => {}
            Unsent::TooSlow(unsent) => log_events::too_slow(number, nick(), unsent),
            Unsent::Shed(unsent) => log_events::shed(number, nick(), unsent),
        }
    }

    /// Acts on the timers that are due, until one is the driver's to act on, which is returned; `None` once none is due.
    pub fn fire_timers(&mut self, transport: &mut impl Transport) -> Option<(Wake, ConnId)> {
        loop {
            // Before a timer is taken out: a flush cancels timers.
            self.flush_if_full(transport);
            let (what, id) = self.connections.timers.due(self.connections.now)?;
            let peer = &mut self.connections.peers[id];
            match what {
                Deadline::Register => {
                    peer.deadline = None;
                    self.end_unregistered(id);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.connections.close_slow(id, self.connections.queues.unsent(id));
                }
                Deadline::Drain | Deadline::Linger => {
                    peer.deadline = None;
                    if let Life::Stopping { cut_off, .. } = &mut self.life {
                        *cut_off += usize::from(what == Deadline::Drain);
                    }
                    self.connections.close_now(id, transport);
                }
                Deadline::FrameTimeout => {
                    peer.frame_timeout = None;
                    return Some((Wake::FrameTimeout, id));
                }
                Deadline::Silence => {
                    peer.deadline = None;
                    self.hub.leave(id, CloseReason::Silent, b"", &mut self.connections.queues);
                    self.act_on_effects(transport);
                    self.connections.close_now(id, transport);
                }
                Deadline::Refill => {
                    peer.refill = None;
                    return Some((Wake::Refill, id));
                }
                Deadline::HalfClose => {
                    peer.half_close = None;
                    self.hub.leave(id, CloseReason::EndOfStream, b"", &mut self.connections.queues);
                    self.connections.close(id, CloseMode::Linger);
                }
            }
        }
    }

    /// Bounds what a turn holds where nothing is fed: many may leave in one turn, and many hear of each.
    fn flush_if_full(&mut self, transport: &mut impl Transport) {
        if self.connections.queues.wants_flush() {
            self.flush(transport);
        }
    }

    /// Gives memory back that nothing needs now.
    pub fn trim(&mut self) {
        self.hub.trim();
        self.connections.trim();
    }

    // Accept.

    /// Admits an opened connection to a scheme, or tells it why not, as far as the limits allow.
    pub fn admit(&mut self, id: ConnId, scheme: Scheme, from: Origin, transport: &mut impl Transport) {
        let row = scheme.row();
        let Some(language) = row.language else { return self.connections.close_now(id, transport) };
        self.connections.peers[id].admit(language);
        self.connections.queues.open(id, language.dialect);
        if row.for_operators {
            // No limits: it is open when it is needed most.
            self.connections.peers[id].bucket = TokenBucket::UNLIMITED;
            self.hub.make_operator(id);
            log_events::operator(self.connections.peers.number(id));
            return self.connections.queues.send(id, Event::Connected { from });
        }
        let (others, closing) = (self.connections.peers.len() - 1, self.connections.peers.closing());
        match self.connections.admission.verdict(others, closing, &self.connections.limits, from) {
            Verdict::Admit(address) => self.connections.peers[id].address = address,
            Verdict::Reject(why) => {
                log_events::refused(from, why.code());
                return self.reject(id, why);
            }
            Verdict::Drop(why) => {
                log_events::refused(from, why.code());
                return self.connections.close_now(id, transport);
            }
        }
        log_events::accepted(self.connections.peers.number(id), from, row.name);
        if row.hears_lobby {
            self.hub.make_listener(id);
        }
        // Not flushed now: it leaves together with the answer to what the peer has sent already.
        self.connections.queues.send(id, Event::Connected { from });
        if let Some(longest_waiting) = self.connections.await_registration(id) {
            log_events::made_way(self.connections.peers.number(longest_waiting));
            self.end_unregistered(longest_waiting);
            self.act_on_effects(transport);
        }
    }

    fn end_unregistered(&mut self, id: ConnId) {
        self.hub.leave(id, CloseReason::RegisterTimeout, b"", &mut self.connections.queues);
        self.reject(id, Refusal::RegisterTimeout);
    }

    /// Closes a connection that is told why. It lingers only as long as few are closing: each would wait for the end of
    /// its stream, and there might be many.
    fn reject(&mut self, id: ConnId, why: Refusal<'_>) {
        self.connections.queues.send(id, Event::Refused(why));
        let few = self.connections.peers.closing() < FAREWELLS;
        self.connections.close(id, if few { CloseMode::Linger } else { CloseMode::Shutdown });
    }

    // Input.

    /// Has the hub obey the messages at the front of `input`, as far as they are whole and may be obeyed now. What isn't
    /// consumed is the driver's to keep.
    pub fn process_input(&mut self, id: ConnId, input: &[u8], transport: &mut impl Transport) -> Processed {
        let mut consumed = 0;
        loop {
            let Server { hub, connections, .. } = self;
            let Connections { peers, queues, limits, rate, now, stats, .. } = connections;
            let peer = &mut peers[id];
            let tokens = peer.bucket.left(*rate, *now);
            let bounds = Bounds { max_line: limits.max_line, tokens };
            let fed =
                feed::feed(hub, id, &mut peer.frame, queues.dialect(id), &input[consumed..], bounds, queues);
            peer.bucket.spend(fed.cost, *rate, *now);
            consumed += fed.consumed;
            stats.lines_in += fed.messages;
            match fed.stop {
                Stop::Dry => break,
                Stop::Effects => self.act_on_effects(transport),
                Stop::Spent => {
                    self.connections.block_by_rate(id, transport);
                    break;
                }
                Stop::Close => {
                    self.connections.close(id, CloseMode::Linger);
                    return Processed { consumed, is_open: false };
                }
                Stop::Full => {
                    let is_full = fed.consumed > 0 && self.connections.queues.wants_flush();
                    // Looked at even where nothing new is to be sent: its queue decides whether it is blocked.
                    self.connections.queues.mark_dirty(id);
                    self.flush(transport);
                    // A connection that is to be closed stays open until it is reaped.
                    if !self.connections.peers[id].state.is_readable()
                        || !self.connections.queues.has_room(id)
                    {
                        break;
                    }
                    // The recipients are given a turn to take it: within one, a read's worth of short lines would make a
                    // whole room too slow, however fast it reads.
                    if is_full {
                        self.connections.peers.make_runnable(id);
                        break;
                    }
                }
            }
        }
        self.note_registration(id);
        Processed { consumed, is_open: !self.connections.peers[id].state.is_closing() }
    }

    /// The stream of a connection has ended: a last message without END counts, then it leaves, and gets what is queued
    /// for it.
    pub fn end_of_stream(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) {
        self.flush_if_full(transport);
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, stats, .. } = connections;
        let peer = &mut peers[id];
        stats.lines_in += u64::from(!rest.is_empty());
        match feed::finish(hub, id, &mut peer.frame, queues.dialect(id), rest, queues) {
            Next::Close => {}
            Next::Stay => hub.leave(id, CloseReason::EndOfStream, b"", queues),
        }
        self.act_on_effects(transport);
        self.connections.close(id, CloseMode::Immediate);
    }

    /// No bytes have come for `--pause`: what is left may be a message. Returns whether it was one, and is consumed.
    pub fn end_frame(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) -> Processed {
        let nothing = Processed { consumed: 0, is_open: true };
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, rate, now, stats, .. } = connections;
        let peer = &mut peers[id];
        if !peer.state.is_readable() || queues.is_deaf(id) {
            return nothing;
        }
        let Some((next, cost)) = feed::pause(hub, id, &mut peer.frame, queues.dialect(id), rest, queues)
        else {
            return nothing;
        };
        peer.bucket.spend(cost, *rate, *now);
        stats.lines_in += 1;
        self.act_on_effects(transport);
        if next == Next::Close {
            self.connections.close(id, CloseMode::Linger);
            return Processed { consumed: rest.len(), is_open: false };
        }
        self.note_registration(id);
        Processed { consumed: rest.len(), is_open: true }
    }

    /// What was typed at the server's own terminal.
    pub fn console(&mut self, bytes: &[u8]) {
        if !self.is_stopping() {
            let max_line = self.connections.limits.max_line;
            feed::hear_console(
                &mut self.hub,
                &mut self.connections.input.console,
                bytes,
                max_line,
                &mut self.connections.queues,
            );
        }
    }

    fn note_registration(&mut self, id: ConnId) {
        let peer = &mut self.connections.peers[id];
        let until = peer.deadline.as_ref().map(|deadline| self.connections.timers.look(deadline).0);
        if until == Some(Deadline::Register)
            && self.hub.rank(id).is_registered()
            && let Some(deadline) = peer.deadline.take()
        {
            self.connections.timers.cancel(deadline);
        }
    }

    /// Processes one datagram. Its source gets a slot for as long as the answer takes, and keeps it once it has a name.
    pub fn datagram(&mut self, path: DatagramPath, bytes: &[u8], transport: &mut impl Transport) {
        self.connections.stats.bytes_in += bytes.len() as u64;
        self.flush_if_full(transport);
        if self
            .connections
            .datagrams
            .find(path)
            .is_some_and(|id| self.connections.peers[id].state.is_closing())
        {
            // A peer that has just quit there is gone once that was flushed, and may come again.
            self.flush(transport);
        }
        if self.connections.peers.has_to_close() {
            // A slot is given to a new source only once its former owner is reaped.
            self.flush_and_reap(transport);
        }
        let known = self.connections.datagrams.find(path);
        let id = match known {
            Some(id) if self.connections.tokens(id) == 0 => {
                self.connections.stats.datagrams_dropped += 1;
                return;
            }
            Some(id) => id,
            None => match self.connections.admit_source(path) {
                Some(id) => id,
                None => return,
            },
        };
        if known.is_some() {
            self.connections.datagrams.spoke(id);
        } else {
            self.connections.datagrams.add(id, path, bytes.len());
        }
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, limits, rate, now, stats, .. } = connections;
        let peer = &mut peers[id];
        if peer.state.is_closing() || queues.is_deaf(id) {
            return;
        }
        // What others hear of it is a line, which has its limit too.
        let max_line = MAX_SHORT.min(limits.max_line);
        let bounds = Bounds { max_line, tokens: peer.bucket.left(*rate, *now) };
        let fed = feed::feed(hub, id, &mut peer.frame, queues.dialect(id), bytes, bounds, queues);
        peer.bucket.spend(fed.cost, *rate, *now);
        stats.lines_in += fed.messages;
        let is_registered = hub.rank(id).is_registered();
        self.act_on_effects(transport);
        match (fed.stop, is_registered) {
            (Stop::Close, _) => self.connections.close(id, CloseMode::Immediate),
            (_, true) => {
                self.connections.datagrams.spoke(id);
                let peer = &mut self.connections.peers[id];
                peer.cancel_timers(&mut self.connections.timers);
                let until = self.connections.now + MAX_SILENCE;
                peer.deadline = Some(self.connections.timers.arm(until, Deadline::Silence, id));
            }
            // It has no name, and so leaves nothing behind but what it is answered.
            (_, false) => self.connections.close(id, CloseMode::Immediate),
        }
    }

    // Close.

    fn reap(&mut self, id: ConnId, reason: CloseReason, transport: &mut impl Transport) {
        self.flush_if_full(transport);
        // A deadline may have dropped it since. Its slot is still free: connections are accepted last.
        let Some(peer) = self.connections.peers.get(id) else { return };
        let (phase, was_closing) = (peer.state.phase(), peer.state.is_closing());
        let can_be_told =
            phase != Phase::Lingering && phase != Phase::Closed && !self.connections.queues.is_cut(id);
        match reason {
            _ if phase == Phase::Closed => {}
            CloseReason::Kicked => {
                self.connections.queues.undeafen(id);
                if !was_closing {
                    self.connections.close(id, CloseMode::Linger);
                }
            }
            CloseReason::TooSlow if can_be_told && self.connections.driver.max_unsent > 0 => {
                self.connections.queues.forget(id);
                self.connections.queues.undeafen(id);
                self.connections.queues.send(id, Event::Refused(Refusal::TooSlow));
                if !was_closing {
                    self.hub.leave(id, reason, b"", &mut self.connections.queues);
                    self.connections.close(id, CloseMode::Linger);
                }
            }
            _ => {
                if !was_closing {
                    self.hub.leave(id, reason, b"", &mut self.connections.queues);
                    self.act_on_effects(transport);
                }
                self.connections.close_now(id, transport);
            }
        }
    }

    /// Frees the slot of a connection that the driver is done with, whatever became of it.
    pub fn release(&mut self, id: ConnId, transport: &mut impl Transport) {
        if self.connections.peers[id].state.phase() == Phase::Open {
            self.hub.leave(id, CloseReason::Lost, b"", &mut self.connections.queues);
            self.act_on_effects(transport);
        }
        if self.connections.peers[id].state.phase() != Phase::Closed {
            self.connections.close_now(id, transport);
        }
        self.connections.peers.remove(id);
    }

    /// Begins to stop: no connection is read any more, every one is told, and no leaving is. Returns false where it has
    /// begun already.
    pub fn stop(&mut self) -> bool {
        if self.is_stopping() {
            return false;
        }
        self.life = Life::Stopping { since: self.connections.now, cut_off: 0 };
        let open = self.connections.peers.iter().filter(|(_, peer)| !peer.state.is_closing());
        for id in open.map(|(id, _)| id).collect::<Vec<_>>() {
            self.connections.queues.send(id, Event::Refused(Refusal::ShuttingDown));
            self.connections.close(id, CloseMode::Linger);
        }
        true
    }

    /// Whether an operator wants the server to stop, which hasn't begun yet.
    #[must_use]
    pub fn is_asked_to_stop(&self) -> bool {
        self.life == Life::Asked
    }

    /// Whether the server stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.life, Life::Stopping { .. })
    }

    /// Whether the server has stopped and its last connection is gone, which is logged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self.life {
            Life::Stopping { since, cut_off } if self.connections.peers.is_empty() => {
                log_events::stopped(since.until(self.connections.now), cut_off);
                true
            }
            _ => false,
        }
    }

    // Effects.

    /// Acts on what the hub has left to do. To be called before a connection is closed that it speaks of, so that the log
    /// can say where that came from.
    fn act_on_effects(&mut self, transport: &mut impl Transport) {
        if self.hub.has_effects() {
            self.act_on_all_effects(transport);
        }
    }

    #[cold]
    fn act_on_all_effects(&mut self, transport: &mut impl Transport) {
        while let Some(effect) = self.hub.next_effect() {
            match effect {
                Effect::Registered { id } => {
                    let from = match self.connections.datagrams.address(id) {
                        Some(address) => Some(Origin::Inet(address)),
                        None => transport.peer_addr(id),
                    };
                    if let Some(nick) = self.hub.nick(id) {
                        log_events::registered(self.connections.peers.number(id), from, nick.shown());
                    }
                }
                Effect::Left { id, name, reason, operator } => {
                    let operator = operator.map(|operator| self.connections.peers.number(operator));
                    let nick = name.as_ref().map(Name::shown);
                    log_events::left(self.connections.peers.number(id), nick, reason.word(), operator);
                }
                Effect::Announced { operator, count } => {
                    log_events::announced(self.connections.peers.number(operator), count);
                }
                Effect::Close { id } => self.connections.schedule_close(id, CloseReason::Kicked),
                Effect::Stats { to } => self.tell_stats(to),
                Effect::Stop { operator } => {
                    log_events::stopping(self.connections.peers.number(operator));
                    if self.life == Life::Serving {
                        self.life = Life::Asked;
                    }
                }
            }
        }
    }

    fn tell_stats(&mut self, to: ConnId) {
        let now = stats::Now {
            users: self.hub.registered(),
            rooms: self.hub.open_rooms(),
            connections: self.connections.peers.len(),
            uptime_seconds: self.connections.now.0 / 1000,
            queued_bytes: self.connections.queues.memory(),
        };
        let figures = stats::figures(&now, &self.connections.stats, &self.connections.queues.counted);
        figures
            .iter()
            .for_each(|(key, value)| self.connections.queues.send(to, Event::Stat { key, value: *value }));
        self.connections.queues.send(to, Event::EndStats { count: figures.len() });
    }

    /// Checks what is always true between turns; for tests and fuzzing.
    ///
    /// # Panics
    /// Where something isn't.
    pub fn invariants(&self) {
        let Connections { limits, driver, peers, queues, input, .. } = &self.connections;
        self.hub.invariants();
        queues.all_invariants();
        peers.invariants();
        assert!(!self.hub.has_effects(), "effects are acted on in the turn in which they came");
        assert!(input.memory() <= limits.most_held(peers.len()), "little is kept of all together");
        let counts = |id: ConnId, closing: bool| !closing && !self.hub.rank(id).is_operator();
        let open = peers.iter().filter(|(id, peer)| counts(*id, peer.state.is_closing()));
        assert!(open.count() <= limits.max_connections, "too many are open");
        for (id, peer) in peers.iter() {
            queues.invariants(id);
            let (state, unsent) = (peer.state, queues.unsent(id));
            assert!(unsent <= driver.max_unsent, "{unsent} bytes queued");
            assert_eq!(peer.interest().write, unsent > 0, "write interest is armed only while bytes remain");
            assert!(!state.is_closing() || !self.hub.rank(id).is_registered() || self.is_stopping());
            let max = if state.is_readable() { limits.max_line } else { READ + limits.max_line };
            assert_eq!(peer.refill.is_some(), driver.polls && state.is_blocked_by(Blocked::RATE));
            assert!(input.len(peer) <= max, "{} bytes of input are kept", input.len(peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate_limit::{BucketKey, Rate};
    use super::transport::{Interest, Reading, Shutdown};
    use super::*;
    use crate::limits::LINGER_TIMEOUT;
    use std::io::{self, ErrorKind};
    use std::time::Duration;

    /// A transport that keeps what it is sent, as long as there is room.
    #[derive(Default)]
    struct Fake {
        sent: Vec<String>,
        room: Vec<usize>,
        interest: Vec<Interest>,
        shut: Vec<ConnId>,
        closed: Vec<ConnId>,
        /// Shutdowns finish later, and so many bytes are taken and not passed on.
        is_late: bool,
        pending: usize,
    }

    impl Transport for Fake {
        fn send(&mut self, id: ConnId, bytes: &[u8], _last: bool) -> io::Result<usize> {
            let taken = bytes.len().min(self.room[id.index()]);
            self.room[id.index()] -= taken;
            self.sent[id.index()] += std::str::from_utf8(&bytes[..taken]).unwrap();
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        }

        fn shutdown(&mut self, id: ConnId) -> Shutdown {
            self.shut.push(id);
            if self.is_late { Shutdown::Later } else { Shutdown::Done }
        }

        fn close(&mut self, id: ConnId) {
            self.closed.push(id);
        }

        fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
            self.interest[id.index()] = interest;
            Ok(())
        }

        fn peer_addr(&self, _id: ConnId) -> Option<Origin> {
            None
        }

        fn send_to(&mut self, _path: DatagramPath, _bytes: &[u8]) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn unsent(&self, _id: ConnId) -> usize {
            self.pending
        }
    }

    struct World {
        server: Server,
        fake: Fake,
    }

    impl World {
        fn new(change: impl FnOnce(&mut Limits, &mut Driver)) -> World {
            let mut limits = Limits::default();
            let mut driver = Driver::reactor(&limits);
            change(&mut limits, &mut driver);
            World { server: Server::new(limits, driver), fake: Fake::default() }
        }

        fn connect(&mut self, scheme: Scheme) -> ConnId {
            let id = self.server.connections.vacant();
            if self.fake.sent.len() <= id.index() {
                self.fake.sent.resize(id.index() + 1, String::new());
                self.fake.room.resize(id.index() + 1, usize::MAX);
                self.fake.interest.resize(id.index() + 1, Interest::BYTES);
            }
            self.server.connections.open(id);
            let from = Origin::Inet(([127, 0, 0, 1], 50_000).into());
            self.server.admit(id, scheme, from, &mut self.fake);
            id
        }

        fn say(&mut self, id: ConnId, text: &str) -> Processed {
            let processed = self.server.process_input(id, text.as_bytes(), &mut self.fake);
            self.server.flush_and_reap(&mut self.fake);
            self.server.invariants();
            processed
        }

        fn at(&mut self, millis: u64) {
            self.server.begin(Time(millis));
            while self.server.fire_timers(&mut self.fake).is_some() {}
            self.server.flush_and_reap(&mut self.fake);
        }

        fn heard(&mut self, id: ConnId) -> String {
            std::mem::take(&mut self.fake.sent[id.index()])
        }

        fn phase(&self, id: ConnId) -> Option<Phase> {
            self.server.connections.phase(id)
        }
    }

    #[test]
    fn opened_connection_is_told_nothing_until_admitted() {
        let mut world = World::new(|_, _| {});
        let id = world.connect(Scheme::Line);
        let handshaking = world.server.connections.vacant();
        world.fake.sent.resize(2, String::new());
        world.server.connections.open(handshaking);
        world.at(0);
        assert!(world.heard(id).starts_with("* You are connected from 127.0.0.1:50000\n"));
        assert_eq!(
            (world.phase(handshaking), world.heard(handshaking)),
            (Some(Phase::Opening), String::new())
        );
        world.server.connections.close_now(handshaking, &mut world.fake);
        assert_eq!((world.phase(handshaking), &world.fake.closed[..]), (None, &[handshaking][..]));
    }

    #[test]
    fn quit_lingers_until_the_stream_ends_or_a_second_has_passed() {
        let mut world = World::new(|_, _| {});
        let id = world.connect(Scheme::Line);
        assert!(!world.say(id, "#al\n/quit\nnot obeyed\n").is_open);
        assert!(world.heard(id).ends_with("+bye\n"));
        assert_eq!((world.phase(id), &world.fake.shut[..]), (Some(Phase::Lingering), &[id][..]));
        world.at(LINGER_TIMEOUT.as_millis() as u64 - 1);
        assert_eq!(world.phase(id), Some(Phase::Lingering));
        world.at(LINGER_TIMEOUT.as_millis() as u64);
        assert_eq!((world.phase(id), &world.fake.closed[..]), (None, &[id][..]));
    }

    #[test]
    fn shutdown_that_finishes_later_is_waited_for() {
        let mut world = World::new(|_, driver| driver.sends_later = true);
        world.fake.is_late = true;
        let id = world.connect(Scheme::Line);
        world.server.end_of_stream(id, b"", &mut world.fake);
        world.at(0);
        assert_eq!(world.phase(id), Some(Phase::Flushing(CloseMode::Immediate)), "the transport still sends");
        world.server.connections.shutdown_done(id, &mut world.fake);
        assert_eq!((world.phase(id), &world.fake.closed[..]), (None, &[id][..]));
    }

    #[test]
    fn bytes_that_the_transport_holds_are_unsent() {
        let mut world = World::new(|_, _| {});
        let id = world.connect(Scheme::Line);
        world.fake.pending = 1;
        world.server.end_of_stream(id, b"", &mut world.fake);
        world.at(0);
        assert_eq!(world.phase(id), Some(Phase::Flushing(CloseMode::Immediate)));
        world.fake.pending = 0;
        world.server.connections.writable(id);
        world.at(0);
        assert_eq!(world.phase(id), None);
    }

    #[test]
    fn driver_that_releases_keeps_the_slot() {
        let mut world = World::new(|_, driver| driver.releases = true);
        let id = world.connect(Scheme::Line);
        world.say(id, "#al\n");
        world.server.connections.lost(id);
        world.at(0);
        assert_eq!((world.phase(id), &world.fake.closed[..]), (Some(Phase::Closed), &[id][..]));
        assert_eq!(world.server.hub().registered(), 0);
        let next = world.connect(Scheme::Line);
        assert_ne!(next, id);
        world.server.release(id, &mut world.fake);
        assert_eq!((world.phase(id), world.server.connections.vacant()), (None, id));
        world.server.release(next, &mut world.fake);
        assert_eq!(world.server.connections.count(), (0, 0));
    }

    #[test]
    fn driver_without_room_for_unsent_bytes_closes_at_once() {
        let mut world = World::new(|_, driver| driver.max_unsent = 0);
        let id = world.connect(Scheme::Line);
        world.fake.room[0] = 10;
        world.at(0);
        assert_eq!((world.phase(id), world.heard(id)), (None, "* You are ".into()));
    }

    #[test]
    fn unread_answers_block_their_asker() {
        let mut world = World::new(|limits, driver| {
            limits.rate = None;
            limits.queue = 8 * 1024;
            driver.max_unsent = limits.hard_queue();
        });
        let id = world.connect(Scheme::Line);
        world.say(id, "#al\n");
        world.fake.room[0] = 0;
        let asked = "/help\n".repeat(100);
        let processed = world.say(id, &asked);
        assert!(processed.is_open && processed.consumed < asked.len());
        assert!(world.server.connections.is_blocked_by(id, Blocked::OUTPUT));
        assert_eq!(world.fake.interest[0], Interest { read: Reading::Nothing, write: true });
        world.fake.room[0] = usize::MAX;
        world.server.connections.writable(id);
        world.at(0);
        assert_eq!(world.server.connections.take_runnable(), [id]);
        assert!(world.server.connections.resume(id) && world.server.connections.is_readable(id));
        assert_eq!(world.fake.interest[0], Interest::BYTES);
    }

    #[test]
    fn empty_bucket_blocks_until_a_token_is_back() {
        let mut world = World::new(|limits, _| (limits.rate, limits.burst) = (Some(1), 2));
        let id = world.connect(Scheme::Line);
        let processed = world.say(id, "#al\n/ping 1\n/ping 2\n");
        assert_eq!((processed.consumed, processed.is_open), ("#al\n/ping 1\n".len(), true));
        assert!(world.server.connections.is_blocked_by(id, Blocked::RATE));
        assert_eq!(world.fake.interest[0].read, Reading::End);
        let wait = world.server.connections.rate_timeout();
        assert_eq!(world.server.connections.next_due(), Some(Time(0) + wait));
        world.server.begin(Time(0) + wait);
        assert_eq!(world.server.fire_timers(&mut world.fake), Some((Wake::Refill, id)));
        assert!(world.server.connections.unblock_rate(id, &mut world.fake));
        assert!(world.say(id, "/ping 2\n").is_open);
        assert!(world.heard(id).ends_with("+pong 1\n+pong 2\n"));
    }

    #[test]
    fn connection_above_its_rate_is_not_read_ahead_while_its_queue_is_full() {
        let mut world = World::new(|limits, driver| {
            (limits.rate, limits.burst, limits.queue) = (Some(1), 2, 8 * 1024);
            driver.max_unsent = limits.hard_queue();
        });
        let (op, ann) = (world.connect(Scheme::Unix), world.connect(Scheme::Classic));
        world.say(ann, "#ann\n@ann:1\n@ann:2\n");
        assert_eq!(world.fake.interest[1], Interest::BYTES, "a pause has to be seen");
        world.fake.room[1] = 0;
        (0..10).for_each(|_| _ = world.say(op, &format!("/announce {}\n", "x".repeat(500))));
        assert_eq!(world.fake.interest[1], Interest { read: Reading::Nothing, write: true });
        let connections = &world.server.connections;
        assert!(
            connections.is_blocked_by(ann, Blocked::OUTPUT) && connections.is_blocked_by(ann, Blocked::RATE)
        );
        world.fake.room[1] = usize::MAX;
        world.server.connections.writable(ann);
        world.at(0);
        assert_eq!(world.fake.interest[1], Interest::BYTES, "it is read ahead again");
        assert!(!world.server.connections.resume(ann), "the rate still blocks it");
        world.fake.room[1] = 0;
        (0..10).for_each(|_| _ = world.say(op, &format!("/announce {}\n", "x".repeat(500))));
        let wait = world.server.connections.rate_timeout();
        world.server.begin(Time(0) + wait);
        assert_eq!(world.server.fire_timers(&mut world.fake), Some((Wake::Refill, ann)));
        assert!(!world.server.connections.unblock_rate(ann, &mut world.fake), "its queue still blocks it");
        world.fake.room[1] = usize::MAX;
        world.server.connections.writable(ann);
        world.server.flush_and_reap(&mut world.fake);
        assert!(world.server.connections.resume(ann) && world.server.connections.is_readable(ann));
    }

    #[test]
    fn presence_that_is_not_deferred_leaves_with_its_cause() {
        for defers_presence in [true, false] {
            let mut world = World::new(|_, driver| driver.defers_presence = defers_presence);
            let (al, bo) = (world.connect(Scheme::Line), world.connect(Scheme::Line));
            world.say(al, "#al\n");
            world.heard(al);
            world.say(bo, "#bo\n");
            let first = world.heard(al);
            world.say(bo, "/nick bob\n");
            let expected = if defers_presence { "* bo joined\n" } else { "* bo joined\n* bo is now bob\n" };
            assert_eq!(first + &world.heard(al), expected);
            world.at(Duration::from_secs(1).as_millis() as u64);
        }
    }

    #[test]
    fn connections_of_an_address_share_its_bucket() {
        let mut world = World::new(|_, _| {});
        let connect = |world: &mut World, address: [u8; 4]| {
            let id = world.server.connections.vacant();
            world.server.connections.open(id);
            world.server.admit(id, Scheme::Line, Origin::Inet((address, 1).into()), &mut world.fake);
            id
        };
        let [one, two, other] = [1, 1, 2].map(|last| connect(&mut world, [192, 0, 2, last]));
        let rate = Rate::new(&Limits::default());
        let connections = &mut world.server.connections;
        let mut left = |key| {
            connections.bucket(key).map(|bucket| {
                bucket.spend(1, rate, Time(0));
                bucket.left(rate, Time(0))
            })
        };
        assert_eq!(
            [one, two, other].map(|id| left(BucketKey::Address(id))),
            [Some(199), Some(198), Some(199)]
        );
        assert_eq!([one, two].map(|id| left(BucketKey::Connection(id))), [Some(199), Some(199)]);
        let local = world.connect(Scheme::Line);
        assert_eq!(world.server.connections.bucket(BucketKey::Address(local)), None);
    }

    #[test]
    fn kicked_connection_is_obeyed_no_more() {
        let mut world = World::new(|_, _| {});
        let (op, al) = (world.connect(Scheme::Unix), world.connect(Scheme::Line));
        world.say(al, "#al\n");
        world.heard(al);
        world.say(op, "/kick al enough\n");
        assert_eq!((world.heard(al), world.phase(al)), ("!kicked enough\n".into(), Some(Phase::Lingering)));
        assert!(world.heard(op).ends_with("+kicked al\n"));
    }

    #[test]
    fn stop_tells_every_connection_once() {
        let mut world = World::new(|_, _| {});
        let (op, al) = (world.connect(Scheme::Unix), world.connect(Scheme::Line));
        world.say(op, "/shutdown\n");
        assert!(world.server.is_asked_to_stop() && world.server.stop() && !world.server.stop());
        world.at(0);
        for id in [op, al] {
            assert!(world.heard(id).ends_with("!shutting-down the server stops\n"));
            world.server.connections.close_now(id, &mut world.fake);
        }
        assert!(world.server.is_done());
    }
}
