//! The life of a connection, once for all engines and without I/O: how it is accepted, what is read of it and obeyed, how
//! it is throttled, what it is sent, and how it ends. [`Server`] joins the hub with what each connection needs; a **driver**
//! (the reactor, the engines with threads, the simulator) carries the bytes and calls it. The time is an argument.
//!
//! What a driver does, and what differs between drivers, is in docs/architecture.md, "Drivers".

pub mod admission;
pub mod backlog;
pub mod datagrams;
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
use crate::limits::{
    FAREWELLS, LAST_WORDS, LINGER_TIMEOUT, LOW_READ, Limits, MAX_SHORT, MAX_SILENCE, MIN_DRAIN,
    NOTICES_APART, READ, TOO_SLOW_AFTER,
};
use crate::protocol::frame::Frame;
use crate::protocol::name::Name;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Origin, Outbox, Refusal, Time, message};
use admission::{Admission, Verdict};
use datagrams::Datagrams;
use feed::{Bounds, Stop};
use input::{Input, read_at_once};
use peer::{Blocked, CloseMode, Phase, State};
use peers::Peers;
use rate_limit::{Rate, TokenBucket};
use send_queue::{Flushed, SendQueues};
use stats::Stats;
use std::time::Duration;
use timers::{Deadline, Timers};
use transport::{DatagramPath, Interest, Reading, Shutdown, Transport};

/// What differs between drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver {
    /// Bytes of a connection that may be left unsent; with more it is too slow at once.
    pub max_unsent: usize,
    /// The least time to flush a closing connection, whatever `--drain` says.
    pub min_drain: Duration,
    /// Presence may wait for the next flush. It can't where no turn is sure to follow.
    pub defers_presence: bool,
    /// The transport takes bytes before they are sent, so that a close must wait for them.
    pub sends_later: bool,
    /// A closed connection keeps its slot until [`Server::release`].
    pub releases: bool,
    /// Setting an interest is a system call, and counted.
    pub polls: bool,
}

impl Driver {
    /// The reactor: one thread, which polls.
    #[must_use]
    pub fn reactor(limits: &Limits) -> Driver {
        Driver {
            max_unsent: limits.hard_queue(),
            min_drain: MIN_DRAIN,
            defers_presence: true,
            sends_later: false,
            releases: false,
            polls: true,
        }
    }
}

/// A timer that has fired and is the driver's to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// No bytes have come for `--pause`: see [`Server::end_frame`].
    FrameTimeout,
    /// The bucket of a connection that is blocked by rate may have a token: see [`Server::unblock_rate`].
    Refill,
}

/// What became of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Bytes that were consumed, from the front.
    pub consumed: usize,
    /// Whether the rest still counts: the connection isn't closing.
    pub is_open: bool,
}

/// What never changes.
#[derive(Debug)]
struct Config {
    limits: Limits,
    rate: Rate,
    driver: Driver,
}

/// The time, and what is due by it besides timers.
#[derive(Debug, Default)]
struct Clock {
    now: Time,
    /// Deferred presence isn't flushed before.
    presence_at: Time,
}

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
    config: Config,
    hub: Hub,
    queues: SendQueues,
    peers: Peers,
    timers: Timers,
    input: Input,
    admission: Admission,
    datagrams: Datagrams,
    /// What is counted. Drivers count their system calls here.
    pub stats: Stats,
    clock: Clock,
    life: Life,
}

impl Server {
    /// The most memory that one connection takes in what is here alone; the rest has figures of its own.
    pub const MAX_BYTES_PER_CONNECTION: usize = Peers::MAX_BYTES_PER_CONNECTION;

    /// A server without connections.
    #[must_use]
    pub fn new(limits: Limits, driver: Driver) -> Server {
        Server {
            hub: Hub::new(&limits),
            queues: SendQueues::new(&limits),
            peers: Peers::default(),
            timers: Timers::default(),
            input: Input::default(),
            admission: Admission::new(&limits),
            datagrams: Datagrams::default(),
            stats: Stats::default(),
            clock: Clock::default(),
            life: Life::Serving,
            config: Config { rate: Rate::new(&limits), limits, driver },
        }
    }

    // The turn.

    /// Begins a turn at this time.
    pub fn begin(&mut self, now: Time) {
        self.clock.now = now;
        self.hub.set_now(now);
        self.stats.turns += 1;
    }

    /// Flushes what is due and closes what is to be closed, which makes other connections due, until neither is left.
    pub fn flush_and_reap(&mut self, transport: &mut impl Transport) {
        loop {
            self.flush(transport);
            if !self.peers.has_to_close() {
                break;
            }
            for (id, reason) in self.peers.take_to_close() {
                self.reap(id, reason, transport);
            }
        }
    }

    /// Acts on the timers that are due, until one is the driver's to act on, which is returned; `None` once none is due.
    pub fn fire_timers(&mut self, transport: &mut impl Transport) -> Option<(Wake, ConnId)> {
        loop {
            // Before a timer is taken out: a flush cancels timers.
            self.flush_if_full(transport);
            let (what, id) = self.timers.due(self.clock.now)?;
            let peer = &mut self.peers[id];
            match what {
                Deadline::Register => {
                    peer.deadline = None;
                    self.end_unregistered(id);
                }
                Deadline::TooSlow => {
                    peer.slow = None;
                    self.close_slow(id, self.queues.unsent(id));
                }
                Deadline::Drain | Deadline::Linger => {
                    peer.deadline = None;
                    if let Life::Stopping { cut_off, .. } = &mut self.life {
                        *cut_off += usize::from(what == Deadline::Drain);
                    }
                    self.close_now(id, transport);
                }
                Deadline::FrameTimeout => {
                    peer.frame_timeout = None;
                    return Some((Wake::FrameTimeout, id));
                }
                Deadline::Silence => {
                    peer.deadline = None;
                    self.hub.leave(id, CloseReason::Silent, b"", &mut self.queues);
                    self.close_now(id, transport);
                }
                Deadline::Refill => {
                    peer.refill = None;
                    return Some((Wake::Refill, id));
                }
                Deadline::HalfClose => {
                    peer.half_close = None;
                    self.hub.leave(id, CloseReason::EndOfStream, b"", &mut self.queues);
                    self.close(id, CloseMode::Linger);
                }
            }
        }
    }

    /// When something is due next, if nothing happens before.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        let presence = (self.queues.waiting() > 0).then_some(self.clock.presence_at);
        self.timers.next().into_iter().chain(presence).min()
    }

    /// Whether the next turn has something to do at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.queues.dirty(0).is_some() || self.peers.has_runnable()
    }

    /// Gives memory back that nothing needs now.
    pub fn trim(&mut self) {
        self.hub.trim();
        self.input.trim();
        self.queues.rest();
        self.timers.rest();
        self.admission.rest();
    }

    // Accept.

    /// The id that the next connection gets.
    #[must_use]
    pub fn vacant(&self) -> ConnId {
        self.peers.vacant()
    }

    /// Opens the vacant slot for a connection that was accepted, and gives it its number. It is told nothing and reads
    /// nothing until it is [admitted](Server::admit), so that a handshake can come between.
    pub fn open(&mut self, id: ConnId) {
        let opened = self.peers.open();
        debug_assert_eq!(opened, id, "a connection gets the vacant slot");
    }

    /// Admits an opened connection to a scheme, or tells it why not, as far as the limits allow.
    pub fn admit(&mut self, id: ConnId, scheme: Scheme, from: Origin, transport: &mut impl Transport) {
        let row = scheme.row();
        let Some(language) = row.language else { return self.close_now(id, transport) };
        self.peers[id].admit(language);
        self.queues.open(id, language.dialect);
        if row.for_operators {
            // No limits: it is open when it is needed most.
            self.peers[id].bucket = TokenBucket::UNLIMITED;
            self.hub.make_operator(id);
            log_events::operator(self.peers.number(id));
            return self.queues.send(id, Event::Connected { from });
        }
        let (others, closing) = (self.peers.len() - 1, self.peers.closing());
        match self.admission.verdict(others, closing, &self.config.limits, from) {
            Verdict::Admit(address) => self.peers[id].address = address,
            Verdict::Reject(why) => {
                log_events::refused(from, why.code());
                return self.reject(id, why);
            }
            Verdict::Drop(why) => {
                log_events::refused(from, why.code());
                return self.close_now(id, transport);
            }
        }
        log_events::accepted(self.peers.number(id), from, row.name);
        if row.hears_lobby {
            self.hub.make_listener(id);
        }
        // Not flushed now: it leaves together with the answer to what the peer has sent already.
        self.queues.send(id, Event::Connected { from });
        self.await_registration(id, transport);
    }

    /// Arms the time to register in. Without a limit of time unregistered connections stand in line too: where there are
    /// too many, the one that has waited longest is closed.
    fn await_registration(&mut self, id: ConnId, transport: &mut impl Transport) {
        let limits = &self.config.limits;
        let until = limits.register_timeout.map_or(Time::NEVER, |wait| self.clock.now + wait);
        self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Register, id));
        if self.timers.count(Deadline::Register) > limits.max_unregistered()
            && let Some(longest_waiting) = self.timers.first(Deadline::Register)
        {
            log_events::made_way(self.peers.number(longest_waiting));
            self.end_unregistered(longest_waiting);
            self.act_on_effects(transport);
        }
    }

    fn end_unregistered(&mut self, id: ConnId) {
        self.hub.leave(id, CloseReason::RegisterTimeout, b"", &mut self.queues);
        self.reject(id, Refusal::RegisterTimeout);
    }

    /// Closes a connection that is told why. It lingers only as long as few are closing: each would wait for the end of
    /// its stream, and there might be many.
    fn reject(&mut self, id: ConnId, why: Refusal<'_>) {
        self.queues.send(id, Event::Refused(why));
        let few = self.peers.closing() < FAREWELLS;
        self.close(id, if few { CloseMode::Linger } else { CloseMode::Shutdown });
    }

    /// The line that a connection is sent for which there is no descriptor or thread.
    #[must_use]
    pub fn final_line(&self, scheme: Scheme) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(language) = scheme.row().language {
            let context = self.queues.context();
            language.dialect.encode(Event::Refused(Refusal::ServerFull), &context, &mut line);
        }
        line
    }

    // Input.

    /// How many bytes of a connection to read at once; `None` where its bucket is empty, so that it is blocked from now on.
    /// To be asked of a connection that [is readable](Server::is_readable).
    pub fn read_limit(&mut self, id: ConnId, transport: &mut impl Transport) -> Option<usize> {
        match self.tokens(id) {
            0 => {
                self.block_by_rate(id, transport);
                None
            }
            _ if self.input.is_high(&self.config.limits) => Some(LOW_READ),
            tokens => Some(read_at_once(tokens)),
        }
    }

    /// Has the hub obey the messages at the front of `input`, as far as they are whole and may be obeyed now. What isn't
    /// consumed is the driver's to keep.
    pub fn process_input(&mut self, id: ConnId, input: &[u8], transport: &mut impl Transport) -> Processed {
        let mut consumed = 0;
        loop {
            let Server { hub, peers, queues, config, clock, stats, .. } = self;
            let peer = &mut peers[id];
            let tokens = peer.bucket.left(config.rate, clock.now);
            let bounds = Bounds { max_line: config.limits.max_line, tokens };
            let fed = feed::feed(hub, id, &mut peer.frame, peer.dialect, &input[consumed..], bounds, queues);
            peer.bucket.spend(fed.cost, config.rate, clock.now);
            consumed += fed.consumed;
            stats.lines_in += fed.messages;
            match fed.stop {
                Stop::Dry => break,
                Stop::Effects => self.act_on_effects(transport),
                Stop::Spent => {
                    self.block_by_rate(id, transport);
                    break;
                }
                Stop::Close => {
                    self.close(id, CloseMode::Linger);
                    return Processed { consumed, is_open: false };
                }
                Stop::Full => {
                    let is_full = fed.consumed > 0 && self.queues.wants_flush();
                    // Looked at even where nothing new is to be sent: its queue decides whether it is blocked.
                    self.queues.mark_dirty(id);
                    self.flush(transport);
                    // A connection that is to be closed stays open until it is reaped.
                    if !self.peers[id].state.is_readable() || !self.queues.has_room(id) {
                        break;
                    }
                    // The recipients are given a turn to take it: within one, a read's worth of short lines would make a
                    // whole room too slow, however fast it reads.
                    if is_full {
                        self.peers.make_runnable(id);
                        break;
                    }
                }
            }
        }
        self.note_registration(id);
        Processed { consumed, is_open: !self.peers[id].state.is_closing() }
    }

    /// The stream of a connection has ended: a last message without END counts, then it leaves, and gets what is queued
    /// for it.
    pub fn end_of_stream(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) {
        self.flush_if_full(transport);
        let Server { hub, peers, queues, stats, .. } = self;
        let peer = &mut peers[id];
        stats.lines_in += u64::from(!rest.is_empty());
        match feed::finish(hub, id, &mut peer.frame, peer.dialect, rest, queues) {
            Next::Close => {}
            Next::Stay => hub.leave(id, CloseReason::EndOfStream, b"", queues),
        }
        self.act_on_effects(transport);
        self.close(id, CloseMode::Immediate);
    }

    /// No bytes have come for `--pause`: what is left may be a message. Returns whether it was one, and is consumed.
    pub fn end_frame(&mut self, id: ConnId, rest: &[u8], transport: &mut impl Transport) -> Processed {
        let nothing = Processed { consumed: 0, is_open: true };
        let Server { hub, peers, queues, config, clock, stats, .. } = self;
        let peer = &mut peers[id];
        if !peer.state.is_readable() || queues.is_deaf(id) {
            return nothing;
        }
        let Some((next, cost)) = feed::pause(hub, id, &mut peer.frame, peer.dialect, rest, queues) else {
            return nothing;
        };
        peer.bucket.spend(cost, config.rate, clock.now);
        stats.lines_in += 1;
        self.act_on_effects(transport);
        if next == Next::Close {
            self.close(id, CloseMode::Linger);
            return Processed { consumed: rest.len(), is_open: false };
        }
        self.note_registration(id);
        Processed { consumed: rest.len(), is_open: true }
    }

    /// How long a driver waits for more bytes before [`Server::end_frame`], where that could end a message and so many
    /// bytes are left; `None`: for ever.
    #[must_use]
    pub fn frame_timeout(&self, id: ConnId, left: usize) -> Option<Duration> {
        self.peers[id].frame.awaits_pause(left).then_some(self.config.limits.pause)
    }

    /// A connection is broken.
    pub fn lost(&mut self, id: ConnId) {
        self.schedule_close(id, CloseReason::Lost);
    }

    /// What was typed at the server's own terminal.
    pub fn console(&mut self, bytes: &[u8]) {
        if !self.is_stopping() {
            let max_line = self.config.limits.max_line;
            feed::hear_console(&mut self.hub, &mut self.input.console, bytes, max_line, &mut self.queues);
        }
    }

    fn note_registration(&mut self, id: ConnId) {
        let peer = &mut self.peers[id];
        let until = peer.deadline.as_ref().map(|deadline| self.timers.look(deadline).0);
        if until == Some(Deadline::Register)
            && self.hub.rank(id).is_registered()
            && let Some(deadline) = peer.deadline.take()
        {
            self.timers.cancel(deadline);
        }
    }

    // Input buffers, for drivers that read all connections into one buffer.

    /// Keeps bytes of a connection that weren't consumed.
    pub fn save_input(&mut self, id: ConnId, bytes: &[u8]) {
        self.input.save(&mut self.peers[id], bytes);
    }

    /// Moves what is kept of a connection to the front of `buffer`; returns how many bytes.
    pub fn load_input(&mut self, id: ConnId, buffer: &mut Vec<u8>) -> usize {
        self.input.load(&mut self.peers[id], buffer)
    }

    /// Arms the frame timeout of a connection anew, where one could end a message.
    pub fn await_frame_end(&mut self, id: ConnId) {
        let wait = self.frame_timeout(id, self.input.len(&self.peers[id]));
        let peer = &mut self.peers[id];
        peer.frame_timeout.take().into_iter().for_each(|armed| self.timers.cancel(armed));
        peer.frame_timeout =
            wait.map(|wait| self.timers.arm(self.clock.now + wait, Deadline::FrameTimeout, id));
    }

    /// Whether a frame timeout goes on that was armed before its connection was blocked: not where the rest of a message
    /// has come since, or the driver hasn't read meanwhile.
    #[must_use]
    pub fn keeps_frame_timeout(&self, id: ConnId, was_read: bool) -> bool {
        let peer = &self.peers[id];
        peer.input.is_some() && peer.frame_timeout.is_some() && was_read
    }

    /// How many bytes of a connection that is blocked by rate may be read ahead; `None` where it may not. Only where a
    /// timeout ends messages are they read ahead at all.
    #[must_use]
    pub fn read_ahead_limit(&self, id: ConnId) -> Option<usize> {
        let peer = &self.peers[id];
        let is_wanted = peer.state.is_blocked_by(Blocked::RATE) && peer.interest.read == Reading::Bytes;
        is_wanted.then(|| match self.input.is_high(&self.config.limits) {
            true => 0,
            false => READ.saturating_sub(self.input.len(peer)),
        })
    }

    /// Keeps bytes that were read ahead.
    pub fn read_ahead(&mut self, id: ConnId, bytes: &[u8], transport: &mut impl Transport) {
        self.input.append(&mut self.peers[id], bytes);
        self.await_frame_end(id);
        self.update_interest(id, transport);
    }

    /// No bytes have come for `--pause` from a connection that is blocked by rate: if the last of its input are a message,
    /// END says so once they are processed. A message of exactly the greatest length is too long then, which is as near as
    /// that comes.
    pub fn end_frame_ahead(&mut self, id: ConnId, transport: &mut impl Transport) {
        let is_read = self.wanted_reading(id) == Reading::Bytes;
        let peer = &mut self.peers[id];
        // Where no more may be kept, it is the server that has paused.
        if peer.interest.read != Reading::Bytes {
            return;
        }
        if peer.input.is_none() {
            // The rest of a message too long may be over.
            peer.frame.pause(b"");
            return;
        }
        let unfinished = self.input.unfinished(peer);
        // Where no more is read, because no more may be kept or its end was seen, it is the server that has paused.
        if unfinished.is_empty() || !is_read {
            return;
        }
        if peer.frame.ends_by_pause(unfinished) {
            self.input.append(peer, &[message::END]);
            // That may have been the last byte that may be kept.
            self.update_interest(id, transport);
        } else {
            self.await_frame_end(id);
        }
    }

    /// The peer has ended its stream though its input isn't processed yet. It is processed for a while, and then the
    /// connection is closed. Without a name it stays among those that are closed first, and its time to register goes on.
    pub fn half_closed(&mut self, id: ConnId, transport: &mut impl Transport) {
        let half_close = self.timers.arm(self.clock.now + LAST_WORDS, Deadline::HalfClose, id);
        self.peers[id].half_close = Some(half_close);
        self.update_interest(id, transport);
    }

    // Throttle.

    /// Tokens that are left in the bucket of a connection.
    fn tokens(&self, id: ConnId) -> u64 {
        self.peers[id].bucket.left(self.config.rate, self.clock.now)
    }

    /// How long a connection that is blocked by rate waits before its bucket is looked at again. All wait equally long,
    /// whatever they owe.
    #[must_use]
    pub fn rate_timeout(&self) -> Duration {
        self.config.rate.wait()
    }

    /// Its bucket is empty: it isn't obeyed until there is a token.
    fn block_by_rate(&mut self, id: ConnId, transport: &mut impl Transport) {
        self.peers[id].state.block(Blocked::RATE);
        self.await_refill(id);
        self.update_interest(id, transport);
    }

    fn await_refill(&mut self, id: ConnId) {
        if self.config.driver.polls {
            let until = self.clock.now + self.rate_timeout();
            self.peers[id].refill = Some(self.timers.arm(until, Deadline::Refill, id));
        }
    }

    /// The time that a connection blocked by rate had to wait is over. Returns whether it may go on with its input; if not,
    /// it waits again.
    pub fn unblock_rate(&mut self, id: ConnId, transport: &mut impl Transport) -> bool {
        // A connection that is to be closed is closed before the turn is over.
        if self.queues.is_deaf(id) {
            self.await_refill(id);
            return false;
        }
        if self.tokens(id) == 0 {
            self.await_refill(id);
            // It may be read ahead again, or no more.
            self.update_interest(id, transport);
            return false;
        }
        self.peers[id].state.unblock(Blocked::RATE);
        true
    }

    /// Takes the list of connections that may be runnable.
    pub fn take_runnable(&mut self) -> Vec<ConnId> {
        self.peers.take_runnable()
    }

    /// Whether a connection on that list goes on with its input; it isn't runnable any more.
    pub fn resume(&mut self, id: ConnId) -> bool {
        // The slot may have another owner by now, which isn't runnable.
        let is_runnable = self.peers.get(id).is_some_and(|peer| peer.state.is_runnable());
        if is_runnable {
            self.peers[id].state.clear_runnable();
        }
        is_runnable
    }

    // Output.

    /// The transport has room again for a connection that it refused bytes of.
    pub fn writable(&mut self, id: ConnId) {
        self.queues.mark_writable(id);
    }

    /// Flushes every connection that is due by one send each.
    pub fn flush(&mut self, transport: &mut impl Transport) {
        // Nothing that an effect speaks of is closed yet: only what follows does that.
        self.act_on_effects(transport);
        self.flush_deferred();
        let mut index = 0;
        while let Some(id) = self.queues.dirty(index) {
            index += 1;
            // A connection that was dropped while dirty is gone without being flushed.
            let Some(peer) = self.peers.get(id) else { continue };
            if matches!(peer.frame, Frame::Datagram) {
                self.flush_datagrams(id, transport);
                continue;
            }
            let is_flushing = peer.state.is_flushing();
            let mut calls = 0;
            let flushed = self.queues.flush(id, usize::MAX, |bytes, all| {
                calls += 1;
                transport.send(id, bytes, all && is_flushing)
            });
            self.stats.send_calls += calls;
            self.flushed(id, flushed, transport);
        }
        self.queues.end_flush();
        self.shed();
    }

    /// Bounds what a turn holds where nothing is fed: many may leave in one turn, and many hear of each.
    fn flush_if_full(&mut self, transport: &mut impl Transport) {
        if self.queues.wants_flush() {
            self.flush(transport);
        }
    }

    /// Has connections flushed too that are sent nothing but presence, if they have waited long enough, or the arenas are
    /// needed, or the driver defers nothing.
    fn flush_deferred(&mut self) {
        let is_time = self.clock.presence_at <= self.clock.now
            || self.queues.wants_flush()
            || !self.config.driver.defers_presence;
        if self.queues.waiting() > 0 && is_time {
            self.queues.hurry();
            self.clock.presence_at = self.clock.now + NOTICES_APART;
        }
    }

    /// What a flush means for a connection: whether it is too slow, is read, goes on closing.
    fn flushed(&mut self, id: ConnId, flushed: Flushed, transport: &mut impl Transport) {
        let Flushed::Unsent(queued) = flushed else { return self.schedule_close(id, CloseReason::Lost) };
        let unsent = queued + transport.unsent(id);
        // Most connections by far: all is sent, and nothing was to be waited for.
        if unsent == 0 && self.peers[id].is_at_rest() {
            return;
        }
        self.note_unsent(id, unsent, transport);
    }

    /// What it means for a connection that so many of its bytes are unsent.
    fn note_unsent(&mut self, id: ConnId, unsent: usize, transport: &mut impl Transport) {
        let limits = &self.config.limits;
        let peer = &mut self.peers[id];
        match peer.state.phase() {
            Phase::Closed => return,
            _ if unsent > self.config.driver.max_unsent => return self.close_slow(id, unsent),
            Phase::Flushing(mode) if unsent == 0 => return self.finish(id, mode, transport),
            Phase::Flushing(_) | Phase::Lingering | Phase::Opening => {}
            Phase::Open => {
                if peer.state.throttle(unsent, limits.half_queue()) {
                    self.peers.list_runnable(id);
                }
            }
        }
        let peer = &mut self.peers[id];
        match &peer.slow {
            None if unsent > limits.queue && !peer.state.is_closing() => {
                let until = self.clock.now + TOO_SLOW_AFTER;
                peer.slow = Some(self.timers.arm(until, Deadline::TooSlow, id));
            }
            Some(_) if unsent <= limits.queue => {
                peer.slow.take().into_iter().for_each(|slow| self.timers.cancel(slow));
            }
            _ => {}
        }
        self.update_interest(id, transport);
    }

    /// Where all queues together are above their limit, the largest are closed. One that is told so and goes on closing may
    /// be among the largest again, and then is dropped.
    fn shed(&mut self) {
        for (id, unsent) in self.queues.make_room() {
            log_events::shed(self.peers.number(id), self.hub.nick(id).map(Name::shown), unsent);
            let is_closing = self.peers[id].state.is_closing();
            self.schedule_close(id, if is_closing { CloseReason::Lost } else { CloseReason::TooSlow });
        }
    }

    /// What a connection is to be watched for, of its peer's stream.
    fn wanted_reading(&self, id: ConnId) -> Reading {
        let peer = &self.peers[id];
        let may_read_ahead = || self.input.len(peer) < READ && !self.input.is_high(&self.config.limits);
        peer.reading(peer.state.is_blocked_by(Blocked::RATE) && may_read_ahead())
    }

    /// Tells the transport what the connection is to be watched for, if that has changed.
    pub fn update_interest(&mut self, id: ConnId, transport: &mut impl Transport) {
        let interest = Interest { read: self.wanted_reading(id), write: self.queues.unsent(id) > 0 };
        let peer = &mut self.peers[id];
        if interest != peer.interest {
            peer.interest = interest;
            self.stats.watch_calls += u64::from(self.config.driver.polls);
            if transport.set_interest(id, interest).is_err() {
                self.schedule_close(id, CloseReason::Lost);
            }
        }
    }

    // Close.

    /// Closes a connection before the turn is over that doesn't read what it is sent, of which this much is unsent.
    fn close_slow(&mut self, id: ConnId, unsent: usize) {
        if !self.queues.is_deaf(id) {
            log_events::too_slow(self.peers.number(id), self.hub.nick(id).map(Name::shown), unsent);
            self.schedule_close(id, CloseReason::TooSlow);
        }
    }

    /// Closes a connection before the turn is over. From now on it is sent nothing.
    fn schedule_close(&mut self, id: ConnId, reason: CloseReason) {
        if self.queues.deafen(id) {
            self.peers.list_to_close(id, reason);
        }
    }

    fn reap(&mut self, id: ConnId, reason: CloseReason, transport: &mut impl Transport) {
        self.flush_if_full(transport);
        // A deadline may have dropped it since. Its slot is still free: connections are accepted last.
        let Some(peer) = self.peers.get(id) else { return };
        let (phase, was_closing) = (peer.state.phase(), peer.state.is_closing());
        let can_be_told = phase != Phase::Lingering && phase != Phase::Closed && !self.queues.is_cut(id);
        match reason {
            _ if phase == Phase::Closed => {}
            CloseReason::Kicked => {
                self.queues.undeafen(id);
                if !was_closing {
                    self.close(id, CloseMode::Linger);
                }
            }
            CloseReason::TooSlow if can_be_told && self.config.driver.max_unsent > 0 => {
                self.queues.forget(id);
                self.queues.undeafen(id);
                self.queues.send(id, Event::Refused(Refusal::TooSlow));
                if !was_closing {
                    self.hub.leave(id, reason, b"", &mut self.queues);
                    self.close(id, CloseMode::Linger);
                }
            }
            _ => {
                if !was_closing {
                    self.hub.leave(id, reason, b"", &mut self.queues);
                }
                self.close_now(id, transport);
            }
        }
    }

    /// Begins to close a connection that has left the hub: what is queued is flushed, within the time for that.
    fn close(&mut self, id: ConnId, mode: CloseMode) {
        self.abandon(id);
        self.peers.set_phase(id, Phase::Flushing(mode));
        let drain = self.config.limits.drain.max(self.config.driver.min_drain);
        let until = self.clock.now + drain;
        self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Drain, id));
        self.queues.mark_dirty(id);
    }

    /// Everything is flushed. Closing at once with input unread would make the kernel reset the connection and destroy
    /// the last lines (RFC 2525 section 2.17); those that it was told to keep back for the end too, if our side isn't shut
    /// down before.
    fn finish(&mut self, id: ConnId, mode: CloseMode, transport: &mut impl Transport) {
        if mode == CloseMode::Immediate && !self.config.driver.sends_later {
            return self.close_now(id, transport);
        }
        if transport.shutdown(id) == Shutdown::Done {
            self.shutdown_done(id, transport);
        }
    }

    /// The sending side of a connection has ended, and everything was sent before.
    pub fn shutdown_done(&mut self, id: ConnId, transport: &mut impl Transport) {
        match self.peers[id].state.phase() {
            Phase::Flushing(CloseMode::Linger) => {
                self.peers[id].cancel_timers(&mut self.timers);
                self.peers.set_phase(id, Phase::Lingering);
                let until = self.clock.now + LINGER_TIMEOUT;
                self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Linger, id));
                self.update_interest(id, transport);
            }
            Phase::Flushing(_) => self.close_now(id, transport),
            Phase::Opening | Phase::Open | Phase::Lingering | Phase::Closed => {}
        }
    }

    /// Closes a connection that has left the hub, whatever is queued for it.
    pub fn close_now(&mut self, id: ConnId, transport: &mut impl Transport) {
        self.abandon(id);
        self.queues.close(id);
        if matches!(self.peers[id].frame, Frame::Datagram) {
            self.datagrams.remove(id);
            self.peers.remove(id);
            return;
        }
        self.peers.set_phase(id, Phase::Closed);
        transport.close(id);
        if !self.config.driver.releases {
            self.peers.remove(id);
        }
    }

    /// Frees the slot of a connection that the driver is done with, whatever became of it.
    pub fn release(&mut self, id: ConnId, transport: &mut impl Transport) {
        if self.peers[id].state.phase() == Phase::Open {
            self.hub.leave(id, CloseReason::Lost, b"", &mut self.queues);
            self.act_on_effects(transport);
        }
        if self.peers[id].state.phase() != Phase::Closed {
            self.close_now(id, transport);
        }
        self.peers.remove(id);
    }

    /// Gives back all that an open connection takes and a closing one doesn't.
    fn abandon(&mut self, id: ConnId) {
        let peer = &mut self.peers[id];
        peer.cancel_timers(&mut self.timers);
        self.input.discard(peer);
        peer.address.take().into_iter().for_each(|address| self.admission.leave(address));
    }

    /// Begins to stop: no connection is read any more, every one is told, and no leaving is. Returns false where it has
    /// begun already.
    pub fn stop(&mut self) -> bool {
        if self.is_stopping() {
            return false;
        }
        self.life = Life::Stopping { since: self.clock.now, cut_off: 0 };
        let open = self.peers.iter().filter(|(_, peer)| !peer.state.is_closing());
        for id in open.map(|(id, _)| id).collect::<Vec<_>>() {
            self.queues.send(id, Event::Refused(Refusal::ShuttingDown));
            self.close(id, CloseMode::Linger);
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
            Life::Stopping { since, cut_off } if self.peers.is_empty() => {
                log_events::stopped(since.until(self.clock.now), cut_off);
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
                    let from = match self.datagrams.address(id) {
                        Some(address) => Some(Origin::Inet(address)),
                        None => transport.peer_addr(id),
                    };
                    if let Some(nick) = self.hub.nick(id) {
                        log_events::registered(self.peers.number(id), from, nick.shown());
                    }
                }
                Effect::Left { id, name, reason, operator } => {
                    let operator = operator.map(|operator| self.peers.number(operator));
                    let nick = name.as_ref().map(Name::shown);
                    log_events::left(self.peers.number(id), nick, reason.word(), operator);
                }
                Effect::Announced { operator, count } => {
                    log_events::announced(self.peers.number(operator), count);
                }
                Effect::Close { id } => self.schedule_close(id, CloseReason::Kicked),
                Effect::Stats { to } => self.tell_stats(to),
                Effect::Stop { operator } => {
                    log_events::stopping(self.peers.number(operator));
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
            connections: self.peers.len(),
            uptime_seconds: self.clock.now.0 / 1000,
            queued_bytes: self.queues.memory(),
        };
        let figures = stats::figures(&now, &self.stats, &self.queues.counted);
        figures.iter().for_each(|(key, value)| self.queues.send(to, Event::Stat { key, value: *value }));
        self.queues.send(to, Event::EndStats { count: figures.len() });
    }

    // Datagrams.

    /// Processes one datagram. Its source gets a slot for as long as the answer takes, and keeps it once it has a name.
    pub fn datagram(&mut self, path: DatagramPath, bytes: &[u8], transport: &mut impl Transport) {
        self.stats.bytes_in += bytes.len() as u64;
        self.flush_if_full(transport);
        if self.datagrams.find(path).is_some_and(|id| self.peers[id].state.is_closing()) {
            // A peer that has just quit there is gone once that was flushed, and may come again.
            self.flush(transport);
        }
        if self.peers.has_to_close() {
            // A slot is given to a new source only once its former owner is reaped.
            self.flush_and_reap(transport);
        }
        let known = self.datagrams.find(path);
        let id = match known {
            Some(id) if self.tokens(id) == 0 => {
                self.stats.datagrams_dropped += 1;
                return;
            }
            Some(id) => id,
            None => match self.admit_source(path) {
                Some(id) => id,
                None => return,
            },
        };
        if known.is_some() {
            self.datagrams.spoke(id);
        } else {
            self.datagrams.add(id, path, bytes.len());
        }
        let Server { hub, peers, queues, config, clock, stats, .. } = self;
        let peer = &mut peers[id];
        if peer.state.is_closing() || queues.is_deaf(id) {
            return;
        }
        // What others hear of it is a line, which has its limit too.
        let max_line = MAX_SHORT.min(config.limits.max_line);
        let bounds = Bounds { max_line, tokens: peer.bucket.left(config.rate, clock.now) };
        let fed = feed::feed(hub, id, &mut peer.frame, peer.dialect, bytes, bounds, queues);
        peer.bucket.spend(fed.cost, config.rate, clock.now);
        stats.lines_in += fed.messages;
        let is_registered = hub.rank(id).is_registered();
        self.act_on_effects(transport);
        match (fed.stop, is_registered) {
            (Stop::Close, _) => self.close(id, CloseMode::Immediate),
            (_, true) => {
                self.datagrams.spoke(id);
                let peer = &mut self.peers[id];
                peer.cancel_timers(&mut self.timers);
                let until = self.clock.now + MAX_SILENCE;
                peer.deadline = Some(self.timers.arm(until, Deadline::Silence, id));
            }
            // It has no name, and so leaves nothing behind but what it is answered.
            (_, false) => self.close(id, CloseMode::Immediate),
        }
    }

    /// A slot for the peer of a datagram, unless there are too many.
    fn admit_source(&mut self, path: DatagramPath) -> Option<ConnId> {
        let (peers, limits) = (&self.peers, &self.config.limits);
        let address = self.admission.admit_source(peers.len() - peers.closing(), limits, path.source.ip())?;
        let language = Scheme::Udp.row().language?;
        let id = self.peers.open();
        self.peers[id].admit(language);
        self.peers[id].address = address;
        self.queues.open(id, language.dialect);
        Some(id)
    }

    /// Flushes a peer that gets datagrams: one for each message, without its END. What can't be sent now, or is more than
    /// the peer may be sent, is lost, and counted.
    fn flush_datagrams(&mut self, id: ConnId, transport: &mut impl Transport) {
        let Some(to) = self.datagrams.peer(id) else { return };
        let (mut dropped, mut calls) = (0, 0);
        self.queues.flush(id, usize::MAX, |bytes, _| {
            for datagram in message::each(bytes) {
                if to.may_get(datagram.len()) {
                    calls += 1;
                    dropped += u64::from(transport.send_to(to.path, datagram).is_err());
                } else {
                    dropped += 1;
                }
            }
            Ok(bytes.len())
        });
        self.stats.send_calls += calls;
        self.stats.datagrams_dropped += dropped;
        if self.peers[id].state.is_closing() {
            self.close_now(id, transport);
        }
    }

    // To look into.

    /// Who is here.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// How many connections there are, the closing ones included, and how many of them are closing.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        (self.peers.len(), self.peers.closing())
    }

    /// The phase of a connection; `None` where its slot is free.
    #[must_use]
    pub fn phase(&self, id: ConnId) -> Option<Phase> {
        self.peers.get(id).map(|peer| peer.state.phase())
    }

    /// State and interest of a connection; `None` where its slot is free, or it is to be closed before the turn is over.
    #[must_use]
    pub fn attending(&self, id: ConnId) -> Option<(State, Interest)> {
        let peer = self.peers.get(id)?;
        (!self.queues.is_deaf(id)).then_some((peer.state, peer.interest))
    }

    /// Whether a connection is open and may be read now.
    #[must_use]
    pub fn is_readable(&self, id: ConnId) -> bool {
        self.peers[id].state.is_readable() && !self.queues.is_deaf(id)
    }

    /// Whether a connection is open and blocked by this.
    #[must_use]
    pub fn is_blocked_by(&self, id: ConnId, reason: Blocked) -> bool {
        self.peers[id].state.is_blocked_by(reason)
    }

    /// Whether a connection is to be closed before the turn is over.
    #[must_use]
    pub fn is_to_close(&self, id: ConnId) -> bool {
        self.queues.is_deaf(id)
    }

    /// What the transport was last told to watch a connection for.
    #[must_use]
    pub fn interest(&self, id: ConnId) -> Interest {
        self.peers[id].interest
    }

    /// Whether less than half of a connection's queue is in use.
    #[must_use]
    pub fn has_room(&self, id: ConnId) -> bool {
        self.queues.has_room(id)
    }

    /// The queues of all connections.
    #[must_use]
    pub fn queues(&self) -> &SendQueues {
        &self.queues
    }

    /// The input buffers of all connections.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Bytes that are kept of a connection: what it sent and what is not obeyed yet.
    #[must_use]
    pub fn input_len(&self, id: ConnId) -> usize {
        self.input.len(&self.peers[id])
    }

    /// Timers that are armed.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.timers.armed()
    }

    /// Checks what is always true between turns; for tests and fuzzing.
    ///
    /// # Panics
    /// Where something isn't.
    pub fn invariants(&self) {
        let Config { limits, driver, .. } = &self.config;
        self.hub.invariants();
        self.queues.all_invariants();
        self.peers.invariants();
        assert!(!self.hub.has_effects(), "effects are acted on in the turn in which they came");
        assert!(self.input.memory() <= limits.most_held(self.peers.len()), "little is kept of all together");
        let counts = |id: ConnId, closing: bool| !closing && !self.hub.rank(id).is_operator();
        let open = self.peers.iter().filter(|(id, peer)| counts(*id, peer.state.is_closing()));
        assert!(open.count() <= limits.max_connections, "too many are open");
        for (id, peer) in self.peers.iter() {
            self.queues.invariants(id);
            let (state, unsent) = (peer.state, self.queues.unsent(id));
            assert!(unsent <= driver.max_unsent, "{unsent} bytes queued");
            assert_eq!(peer.interest.write, unsent > 0, "write interest is armed only while bytes remain");
            assert!(!state.is_closing() || !self.hub.rank(id).is_registered() || self.is_stopping());
            let max = if state.is_readable() { limits.max_line } else { READ + limits.max_line };
            assert_eq!(peer.refill.is_some(), driver.polls && state.is_blocked_by(Blocked::RATE));
            assert!(self.input.len(peer) <= max, "{} bytes of input are kept", self.input.len(peer));
        }
    }
}
