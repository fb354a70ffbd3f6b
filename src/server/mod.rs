//! The life of a connection without I/O, for all engines: accept, input, throttle, output, close. [`Server`] joins the
//! hub with the state of all connections. A **driver** (the reactor, the engines with threads, the simulator) carries
//! the bytes and calls [`Server`] with the time: see docs/architecture.md, "Drivers".

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

use crate::hub::{AfterRequest, Effect, Hub};
use crate::limits::{Limits, MAX_REJECTED, MAX_SHORT_MESSAGE, MAX_SILENCE, READ};
use crate::protocol::name::Name;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Outbox, PeerAddr, Refusal, Time};
use admission::Verdict;
use connections::Connections;
use driver::{Driver, Processed, Wake};
use feed::{Bounds, StopReason};
use peer::{Blocked, CloseMode, Phase};
use peers::{Scheduled, Unsent};
use rate_limit::TokenBucket;
use timers::Deadline;
use transport::{DatagramPath, Transport};

/// Whether the server serves or is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// An operator has asked for a stop, which has not begun.
    Asked,
    /// Stopping since `since`; the drain timeout has closed `cut_off` connections with unsent output.
    Stopping {
        since: Time,
        cut_off: usize,
    },
}

/// The server without I/O.
#[derive(Debug)]
pub struct Server {
    /// Between turns it has no effects.
    hub: Hub,
    /// The state of all connections.
    pub connections: Connections,
    life: Life,
}

impl Server {
    /// Creates a server without connections.
    #[must_use]
    pub fn new(limits: Limits, driver: Driver) -> Server {
        Server { hub: Hub::new(&limits), connections: Connections::new(limits, driver), life: Life::Serving }
    }

    /// Returns the hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    // The turn.

    /// Begins a turn at `now`.
    pub fn begin(&mut self, now: Time) {
        self.connections.now = now;
        self.connections.stats.turns += 1;
        self.hub.set_now(now);
    }

    /// Acts on effects, then flushes each connection that is due by one send.
    pub fn flush(&mut self, transport: &mut impl Transport) {
        // Before the flush, which may close connections that effects name.
        self.act_on_effects(transport);
        self.connections.flush(transport);
    }

    /// Flushes and closes the connections that are due until none is left: a close may make others due.
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

    /// Fires the timers that are due. Returns the first that the driver must handle; `None` when no timer is due.
    pub fn fire_timers(&mut self, transport: &mut impl Transport) -> Option<(Wake, ConnId)> {
        loop {
            // Before a timer is removed, because a flush cancels timers.
            self.flush_if_full(transport);
            let (deadline, id) = self.connections.timers.due(self.connections.now)?;
            let peer = &mut self.connections.peers[id];
            match deadline {
                Deadline::Register => {
                    peer.deadline = None;
                    self.end_unregistered(id);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.connections.too_slow(id, self.connections.queues.unsent(id));
                }
                Deadline::Drain | Deadline::Linger => {
                    peer.deadline = None;
                    if let Life::Stopping { cut_off, .. } = &mut self.life {
                        *cut_off += usize::from(deadline == Deadline::Drain);
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

    /// Flushes arenas above their high-water mark: one turn may close many connections, with presence for each.
    fn flush_if_full(&mut self, transport: &mut impl Transport) {
        if self.connections.queues.wants_flush() {
            self.flush(transport);
        }
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        self.hub.trim();
        self.connections.trim();
    }

    // Accept.

    /// Admits an opened connection to a scheme; rejects it with a reason if a limit is reached.
    pub fn admit(&mut self, id: ConnId, scheme: Scheme, from: PeerAddr, transport: &mut impl Transport) {
        let row = scheme.row();
        let Some(language) = row.language else { return self.connections.close_now(id, transport) };
        self.connections.peers[id].admit(language);
        self.connections.queues.open(id, language.dialect);
        if row.for_operators {
            // No limits: operators must be able to act under overload.
            self.connections.peers[id].bucket = TokenBucket::UNLIMITED;
            self.hub.make_operator(id);
            log_events::operator(self.connections.peers.number(id));
            return self.connections.queues.send(id, Event::Connected { from });
        }
        let (others, closing) = (self.connections.peers.count() - 1, self.connections.peers.closing());
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
        if row.observes_lobby {
            self.hub.make_observer(id);
        }
        // Not flushed now: it is sent together with the first answer.
        self.connections.queues.send(id, Event::Connected { from });
        if let Some(longest_waiting) = self.connections.await_registration(id) {
            log_events::evicted(self.connections.peers.number(longest_waiting));
            self.end_unregistered(longest_waiting);
            self.act_on_effects(transport);
        }
    }

    fn end_unregistered(&mut self, id: ConnId) {
        self.hub.leave(id, CloseReason::RegisterTimeout, b"", &mut self.connections.queues);
        self.reject(id, Refusal::RegisterTimeout);
    }

    /// Closes a connection with a reason. It lingers only if fewer than [`MAX_REJECTED`] connections are closing.
    fn reject(&mut self, id: ConnId, why: Refusal<'_>) {
        self.connections.queues.send(id, Event::Refused(why));
        let few = self.connections.peers.closing() < MAX_REJECTED;
        self.connections.close(id, if few { CloseMode::Linger } else { CloseMode::Shutdown });
    }

    // Input.

    /// Handles the whole messages of `input` while rate and queues allow; the driver keeps the unconsumed bytes.
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
                StopReason::Dry => break,
                StopReason::Effects => self.act_on_effects(transport),
                StopReason::Spent => {
                    self.connections.block_by_rate(id, transport);
                    break;
                }
                StopReason::Close => {
                    self.connections.close(id, CloseMode::Linger);
                    return Processed { consumed, is_open: false };
                }
                StopReason::Full => {
                    let is_full = fed.consumed > 0 && self.connections.queues.wants_flush();
                    // Marked even without new output: the flush decides whether the queue blocks the connection.
                    self.connections.queues.mark_dirty(id);
                    self.flush(transport);
                    // A connection to be closed stays open until it is reaped.
                    if !self.connections.peers[id].state.is_readable()
                        || !self.connections.queues.has_room(id)
                    {
                        break;
                    }
                    // Recipients need a turn to read: one read of short lines could make a whole room too slow.
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

    /// Handles the end of a stream: handles a last message without END, then closes the connection.
    pub fn end_of_stream(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) {
        self.flush_if_full(transport);
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, stats, .. } = connections;
        let peer = &mut peers[id];
        stats.lines_in += u64::from(!rest.is_empty());
        let after = feed::last(hub, id, queues.dialect(id), peer.frame.finish(rest), queues);
        // Before the connection leaves: the last message may have registered it.
        self.act_on_effects(transport);
        if !matches!(after, Some((AfterRequest::Close, _))) {
            self.hub.leave(id, CloseReason::EndOfStream, b"", &mut self.connections.queues);
        }
        self.connections.close(id, CloseMode::Immediate);
    }

    /// Handles a frame timeout: the remainder of the input is consumed if it is a message.
    pub fn end_frame(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) -> Processed {
        let nothing = Processed { consumed: 0, is_open: true };
        if !self.connections.is_readable(id) {
            return nothing;
        }
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, rate, now, stats, .. } = connections;
        let peer = &mut peers[id];
        let dialect = queues.dialect(id);
        let Some((next, cost)) = feed::last(hub, id, dialect, peer.frame.timeout(rest), queues) else {
            return nothing;
        };
        peer.bucket.spend(cost, *rate, *now);
        stats.lines_in += 1;
        self.act_on_effects(transport);
        if next == AfterRequest::Close {
            self.connections.close(id, CloseMode::Linger);
            return Processed { consumed: rest.len(), is_open: false };
        }
        self.note_registration(id);
        Processed { consumed: rest.len(), is_open: true }
    }

    /// Handles input from the server's own terminal, unless the server is stopping.
    pub fn console(&mut self, bytes: &[u8]) {
        if !self.is_stopping() {
            let Connections { input, queues, limits, .. } = &mut self.connections;
            feed::receive_console(&mut self.hub, &mut input.console, bytes, limits.max_line, queues);
        }
    }

    fn note_registration(&mut self, id: ConnId) {
        let peer = &mut self.connections.peers[id];
        let until = peer.deadline.as_ref().map(|deadline| self.connections.timers.get(deadline).0);
        if until == Some(Deadline::Register)
            && self.hub.rank(id).is_registered()
            && let Some(deadline) = peer.deadline.take()
        {
            self.connections.timers.cancel(deadline);
        }
    }

    /// Handles one datagram. An unregistered source has a slot only until its answer is flushed.
    pub fn datagram(&mut self, path: DatagramPath, bytes: &[u8], transport: &mut impl Transport) {
        self.connections.stats.bytes_in += bytes.len() as u64;
        self.flush_if_full(transport);
        if self
            .connections
            .datagrams
            .find(path)
            .is_some_and(|id| self.connections.peers[id].state.is_closing())
        {
            // The flush of its answer removes a peer that has quit; it may then register again.
            self.flush(transport);
        }
        if self.connections.peers.has_to_close() {
            // A slot is reused only after its former owner is reaped.
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
            self.connections.datagrams.renew_credit(id);
        } else {
            self.connections.datagrams.add(id, path, bytes.len());
        }
        let Server { hub, connections, .. } = self;
        let Connections { peers, queues, limits, rate, now, stats, .. } = connections;
        let peer = &mut peers[id];
        if peer.state.is_closing() || queues.discards_output(id) {
            return;
        }
        // Its recipients receive it as a line, so the limit of lines applies too.
        let max_line = MAX_SHORT_MESSAGE.min(limits.max_line);
        let bounds = Bounds { max_line, tokens: peer.bucket.left(*rate, *now) };
        let fed = feed::feed(hub, id, &mut peer.frame, queues.dialect(id), bytes, bounds, queues);
        peer.bucket.spend(fed.cost, *rate, *now);
        stats.lines_in += fed.messages;
        let is_registered = hub.rank(id).is_registered();
        self.act_on_effects(transport);
        match (fed.stop, is_registered) {
            (StopReason::Close, _) => self.connections.close(id, CloseMode::Immediate),
            (_, true) => {
                self.connections.datagrams.renew_credit(id);
                let peer = &mut self.connections.peers[id];
                peer.cancel_timers(&mut self.connections.timers);
                let until = self.connections.now + MAX_SILENCE;
                peer.deadline = Some(self.connections.timers.arm(until, Deadline::Silence, id));
            }
            // Unregistered: the slot is needed only for the answer.
            (_, false) => self.connections.close(id, CloseMode::Immediate),
        }
    }

    // Close.

    fn reap(&mut self, id: ConnId, reason: CloseReason, transport: &mut impl Transport) {
        self.flush_if_full(transport);
        // A timer may have closed it; its slot is then still free, since connections are accepted last.
        let Some(peer) = self.connections.peers.get(id) else { return };
        let (phase, was_closing) = (peer.state.phase(), peer.state.is_closing());
        let accepts_final_line =
            phase != Phase::Lingering && phase != Phase::Closed && !self.connections.queues.is_cut(id);
        match reason {
            _ if phase == Phase::Closed => {}
            CloseReason::Kicked => {
                self.connections.queues.resume_output(id);
                if !was_closing {
                    self.connections.close(id, CloseMode::Linger);
                }
            }
            CloseReason::TooSlow if accepts_final_line && self.connections.driver.max_unsent > 0 => {
                self.connections.queues.forget(id);
                self.connections.queues.resume_output(id);
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

    /// Frees the slot of a connection in any phase. The driver doesn't use the id after this call.
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

    /// Begins to stop: closes open connections with the reason, without presence. Returns false if begun already.
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

    /// Returns whether an operator has asked for a stop that hasn't begun.
    #[must_use]
    pub fn is_asked_to_stop(&self) -> bool {
        self.life == Life::Asked
    }

    /// Returns whether the server is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.life, Life::Stopping { .. })
    }

    /// Returns whether the server is stopping and has no connections left; if so, logs the stop.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self.life {
            Life::Stopping { since, cut_off } if self.connections.peers.count() == 0 => {
                log_events::stopped(since.until(self.connections.now), cut_off);
                true
            }
            _ => false,
        }
    }

    // Effects.

    /// Acts on the effects of the hub, before a connection that they name is closed: the log needs its address.
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
                        Some(address) => Some(PeerAddr::Inet(address)),
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
                Effect::Stats { to } => self.send_stats(to),
                Effect::Stop { operator } => {
                    log_events::stopping(self.connections.peers.number(operator));
                    if self.life == Life::Serving {
                        self.life = Life::Asked;
                    }
                }
            }
        }
    }

    fn send_stats(&mut self, to: ConnId) {
        let now = stats::Now {
            users: self.hub.registered(),
            rooms: self.hub.open_rooms(),
            connections: self.connections.peers.count(),
            uptime_seconds: self.connections.now.0 / 1000,
            queued_bytes: self.connections.queues.memory(),
        };
        let figures = stats::figures(&now, &self.connections.stats, &self.connections.queues.counted);
        figures
            .iter()
            .for_each(|(key, value)| self.connections.queues.send(to, Event::Stat { key, value: *value }));
        self.connections.queues.send(to, Event::EndStats { count: figures.len() });
    }

    /// Checks the invariants between turns; for tests and fuzzing.
    pub fn invariants(&self) {
        let Connections { limits, driver, peers, queues, input, .. } = &self.connections;
        self.hub.invariants();
        queues.all_invariants();
        peers.invariants();
        self.connections.admission.invariants();
        assert!(!self.hub.has_effects(), "no effect outlives its turn");
        assert!(input.memory() <= limits.max_input_total(peers.count()), "saved input is within its limit");
        let counts = |id: ConnId, closing: bool| !closing && !self.hub.rank(id).is_operator();
        let open = peers.iter().filter(|(id, peer)| counts(*id, peer.state.is_closing()));
        assert!(open.count() <= limits.max_connections, "too many open connections");
        for (id, peer) in peers.iter() {
            queues.invariants(id);
            let (state, unsent) = (peer.state, queues.unsent(id));
            assert!(unsent <= driver.max_unsent, "{unsent} bytes are unsent");
            assert_eq!(peer.interest().write, unsent > 0, "write interest is set while bytes are unsent");
            assert!(!state.is_closing() || !self.hub.rank(id).is_registered() || self.is_stopping());
            let max = if state.is_readable() { limits.max_line } else { READ + limits.max_line };
            assert_eq!(peer.refill.is_some(), driver.polls && state.is_blocked_by(Blocked::RATE));
            assert!(input.len(peer) <= max, "{} bytes of input are saved", input.len(peer));
        }
    }
}
