//! The state of all connections (slot, queue, timers, bucket, input) and its changes that don't need the hub. Requests,
//! names and presence are in `mod.rs`. Drivers call both.

use crate::limits::{
    HALF_CLOSE_GRACE, LINGER_TIMEOUT, LOW_READ, Limits, PRESENCE_INTERVAL, READ, TOO_SLOW_AFTER,
};
use crate::protocol::dialect::Dialect;
use crate::protocol::frame::Frame;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Outbox, Refusal, Time, message};
use crate::server::admission::Admission;
use crate::server::datagrams::Datagrams;
use crate::server::driver::Driver;
use crate::server::input::{Input, read_at_once};
use crate::server::peer::{Blocked, CloseMode, Phase, State};
use crate::server::peers::{Peers, Scheduled, Unsent};
use crate::server::rate_limit::{BucketKey, Rate, TokenBucket};
use crate::server::send_queue::{Flushed, SendQueues};
use crate::server::stats::Stats;
use crate::server::timers::{Deadline, Timers};
use crate::server::transport::{DatagramPath, Interest, Reading, Shutdown, Transport};
use std::time::Duration;

/// The state of all connections.
#[derive(Debug)]
pub struct Connections {
    pub(super) limits: Limits,
    pub(super) driver: Driver,
    pub(super) rate: Rate,
    pub(super) peers: Peers,
    pub(super) queues: SendQueues,
    pub(super) timers: Timers,
    pub(super) input: Input,
    pub(super) admission: Admission,
    pub(super) datagrams: Datagrams,
    /// Counters. Drivers count their system calls here.
    pub stats: Stats,
    /// The time of the current turn.
    pub(super) now: Time,
    /// Deferred presence is flushed from this time on; earlier only if the arenas are above their high-water mark.
    presence_at: Time,
}

impl Connections {
    /// Maximum memory of one connection in `peers`; the other parts have maxima of their own.
    pub const MAX_BYTES_PER_CONNECTION: usize = Peers::MAX_BYTES_PER_CONNECTION;

    /// Creates the state without connections.
    #[must_use]
    pub fn new(limits: Limits, driver: Driver) -> Connections {
        Connections {
            rate: Rate::new(&limits),
            peers: Peers::default(),
            queues: SendQueues::new(&limits),
            timers: Timers::default(),
            input: Input::default(),
            admission: Admission::new(&limits),
            datagrams: Datagrams::default(),
            stats: Stats::default(),
            now: Time::default(),
            presence_at: Time::default(),
            limits,
            driver,
        }
    }

    // Open and register.

    /// Returns the id of the next connection.
    #[must_use]
    pub fn vacant(&self) -> ConnId {
        self.peers.vacant()
    }

    /// Opens the vacant slot. Before [`Server::admit`](super::Server::admit), only a handshake is read and sent.
    pub fn open(&mut self, id: ConnId) {
        let opened = self.peers.open();
        debug_assert_eq!(opened, id, "a connection gets the vacant slot");
        self.queues.open(id, Dialect::Native);
    }

    /// Arms the register timeout, never due if disabled. Returns the longest waiting connection if too many wait.
    pub(super) fn await_registration(&mut self, id: ConnId) -> Option<ConnId> {
        let until = self.limits.register_timeout.map_or(Time::NEVER, |wait| self.now + wait);
        self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Register, id));
        let are_too_many = self.timers.count(Deadline::Register) > self.limits.max_unregistered();
        self.timers.first(Deadline::Register).filter(|_| are_too_many)
    }

    /// Returns the final line for a connection that is rejected for lack of a descriptor or thread.
    #[must_use]
    pub fn final_line(&self, scheme: Scheme) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(language) = scheme.row().language {
            let context = self.queues.context();
            language.dialect.encode(Event::Refused(Refusal::ServerFull), &context, &mut line);
        }
        line
    }

    /// Opens a slot for a source of datagrams; returns `None` if a limit is reached.
    pub(super) fn admit_source(&mut self, path: DatagramPath) -> Option<ConnId> {
        let (peers, limits) = (&self.peers, &self.limits);
        let address =
            self.admission.admit_source(peers.count() - peers.closing(), limits, path.source.ip())?;
        let language = Scheme::Udp.row().language?;
        let id = self.peers.open();
        self.peers[id].admit(language);
        self.peers[id].address = address;
        self.queues.open(id, language.dialect);
        Some(id)
    }

    // Input.

    /// Returns how many bytes of a readable connection to read at once; `None` if its empty bucket has blocked it.
    pub fn read_limit(&mut self, id: ConnId, transport: &mut impl Transport) -> Option<usize> {
        match self.tokens(id) {
            0 => {
                self.block_by_rate(id, transport);
                None
            }
            _ if self.input.is_high(&self.limits) => Some(LOW_READ),
            tokens => Some(read_at_once(tokens)),
        }
    }

    /// Returns how long `left` unprocessed bytes wait for [`end_frame`](super::Server::end_frame); `None`: for ever.
    #[must_use]
    pub fn frame_timeout(&self, id: ConnId, left: usize) -> Option<Duration> {
        self.peers[id].frame.awaits_timeout(left).then_some(self.limits.frame_timeout)
    }

    /// Schedules the close of a connection that the transport has lost.
    pub fn lost(&mut self, id: ConnId) {
        self.schedule_close(id, CloseReason::Lost);
    }

    /// Saves unconsumed input of a connection.
    pub fn save_input(&mut self, id: ConnId, bytes: &[u8]) {
        self.input.save(&mut self.peers[id], bytes);
    }

    /// Moves the saved input of a connection to the front of `buffer`; returns its length.
    pub fn load_input(&mut self, id: ConnId, buffer: &mut Vec<u8>) -> usize {
        self.input.load(&mut self.peers[id], buffer)
    }

    /// Rearms the frame timeout of a connection; only cancels it if none can end a message.
    pub fn await_frame_end(&mut self, id: ConnId) {
        let wait = self.frame_timeout(id, self.input.len(&self.peers[id]));
        let peer = &mut self.peers[id];
        peer.frame_timeout.take().into_iter().for_each(|armed| self.timers.cancel(armed));
        peer.frame_timeout = wait.map(|wait| self.timers.arm(self.now + wait, Deadline::FrameTimeout, id));
    }

    /// Returns whether an armed frame timeout continues after a block: input remains, and the driver has read ahead.
    #[must_use]
    pub fn keeps_frame_timeout(&self, id: ConnId, was_read: bool) -> bool {
        let peer = &self.peers[id];
        peer.input.is_some() && peer.frame_timeout.is_some() && was_read
    }

    /// Returns how many bytes to read ahead; `None` unless the connection is blocked by rate and has a frame timeout.
    #[must_use]
    pub fn read_ahead_limit(&self, id: ConnId) -> Option<usize> {
        let peer = &self.peers[id];
        let is_wanted = peer.state.is_blocked_by(Blocked::RATE) && peer.interest().read == Reading::Bytes;
        is_wanted.then(|| match self.input.is_high(&self.limits) {
            true => 0,
            false => READ.saturating_sub(self.input.len(peer)),
        })
    }

    /// Saves bytes that were read ahead.
    pub fn read_ahead(&mut self, id: ConnId, bytes: &[u8], transport: &mut impl Transport) {
        self.input.append(&mut self.peers[id], bytes);
        self.await_frame_end(id);
        self.update_interest(id, transport);
    }

    /// Handles a frame timeout of a connection blocked by rate: if its last bytes are a message, appends END to
    /// the saved input. A message of exactly the maximum length is then too long, a known inaccuracy.
    pub fn end_frame_ahead(&mut self, id: ConnId, transport: &mut impl Transport) {
        let is_read = self.wanted_reading(id) == Reading::Bytes;
        let peer = &mut self.peers[id];
        // The server itself stopped reading: no more may be saved.
        if peer.interest().read != Reading::Bytes {
            return;
        }
        if peer.input.is_none() {
            // The timeout may end the remainder of a message that is too long.
            peer.frame.timeout(b"");
            return;
        }
        let unfinished = self.input.unfinished(peer);
        // The server itself stops reading: no more may be saved, or the stream has ended.
        if unfinished.is_empty() || !is_read {
            return;
        }
        if peer.frame.ends_by_timeout(unfinished) {
            self.input.append(peer, &[message::END]);
            // END may have filled the buffer.
            self.update_interest(id, transport);
        } else {
            self.await_frame_end(id);
        }
    }

    /// Handles the end of a stream with unprocessed input. The input is processed for the half-close grace, then the
    /// connection is closed. An unregistered connection keeps its register timeout.
    pub fn half_closed(&mut self, id: ConnId, transport: &mut impl Transport) {
        let half_close = self.timers.arm(self.now + HALF_CLOSE_GRACE, Deadline::HalfClose, id);
        self.peers[id].half_close = Some(half_close);
        self.update_interest(id, transport);
    }

    // Throttle.

    /// Returns the tokens in the bucket of a connection.
    pub(super) fn tokens(&self, id: ConnId) -> u64 {
        self.peers[id].bucket.left(self.rate, self.now)
    }

    /// Returns the bucket for a key; `None` if the address isn't counted, and so has no limit.
    pub fn bucket(&mut self, key: BucketKey) -> Option<&mut TokenBucket> {
        match key {
            BucketKey::Connection(id) => Some(&mut self.peers[id].bucket),
            BucketKey::Address(id) => {
                let address = self.peers[id].address.as_ref()?;
                Some(self.admission.bucket(address))
            }
        }
    }

    /// Returns how long a connection blocked by rate waits for the next check of its bucket, whatever its debt.
    #[must_use]
    pub fn rate_timeout(&self) -> Duration {
        self.rate.wait()
    }

    /// Blocks a connection by rate until its bucket has a token.
    pub(super) fn block_by_rate(&mut self, id: ConnId, transport: &mut impl Transport) {
        self.peers[id].state.block(Blocked::RATE);
        self.await_refill(id);
        self.update_interest(id, transport);
    }

    fn await_refill(&mut self, id: ConnId) {
        if self.driver.polls {
            let until = self.now + self.rate_timeout();
            self.peers[id].refill = Some(self.timers.arm(until, Deadline::Refill, id));
        }
    }

    /// Unblocks a connection if its bucket has a token, else waits again. Returns whether nothing blocks it any more.
    pub fn unblock_rate(&mut self, id: ConnId, transport: &mut impl Transport) -> bool {
        // A connection that discards output is closed before the turn ends.
        if self.queues.discards_output(id) || self.tokens(id) == 0 {
            self.await_refill(id);
            // Reading ahead may begin or end.
            self.update_interest(id, transport);
            return false;
        }
        let state = &mut self.peers[id].state;
        state.unblock(Blocked::RATE);
        // If its own queue blocks it too, it becomes runnable once that has room.
        !state.is_blocked()
    }

    /// Takes the list of connections that may be runnable.
    pub fn take_runnable(&mut self) -> Vec<ConnId> {
        self.peers.take_runnable()
    }

    /// Clears the runnable flag; returns whether it was set and nothing blocks the connection.
    pub fn resume(&mut self, id: ConnId) -> bool {
        // The slot may have another owner since, which isn't runnable.
        let is_runnable = self.peers.get(id).is_some_and(|peer| peer.state.is_runnable());
        if is_runnable {
            self.peers[id].state.clear_runnable();
        }
        is_runnable && !self.peers[id].state.is_blocked()
    }

    // Output.

    /// Marks a connection writable: the transport has room again.
    pub fn writable(&mut self, id: ConnId) {
        self.queues.mark_writable(id);
    }

    /// Flushes each connection that is due by one send.
    pub(super) fn flush(&mut self, transport: &mut impl Transport) {
        self.flush_deferred();
        let mut index = 0;
        while let Some(id) = self.queues.dirty(index) {
            index += 1;
            // A connection that was dropped while dirty is not flushed.
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

    /// Sends each message as a datagram, without END. Counts and drops it if it can't be sent or exceeds the credit.
    fn flush_datagrams(&mut self, id: ConnId, transport: &mut impl Transport) {
        let Some(to) = self.datagrams.peer(id) else { return };
        let (mut dropped, mut calls) = (0, 0);
        self.queues.flush(id, usize::MAX, |bytes, _| {
            for datagram in message::each(bytes) {
                if to.take_credit(datagram.len()) {
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

    /// Includes deferred presence if its interval is over, the arenas are full, or the driver doesn't defer presence.
    fn flush_deferred(&mut self) {
        let is_time =
            self.presence_at <= self.now || self.queues.wants_flush() || !self.driver.defers_presence;
        if self.queues.waiting() > 0 && is_time {
            self.queues.promote_deferred();
            self.presence_at = self.now + PRESENCE_INTERVAL;
        }
    }

    /// Acts on the result of a flush.
    fn flushed(&mut self, id: ConnId, flushed: Flushed, transport: &mut impl Transport) {
        let Flushed::Unsent(queued) = flushed else { return self.schedule_close(id, CloseReason::Lost) };
        let unsent = queued + transport.unsent(id);
        // The usual case: all is sent, and the connection was not blocked.
        if unsent == 0 && self.peers[id].is_at_rest() {
            return;
        }
        self.note_unsent(id, unsent, transport);
    }

    /// Acts on the unsent bytes of a connection: blocks, unblocks or closes it, arms or cancels its too-slow timer.
    fn note_unsent(&mut self, id: ConnId, unsent: usize, transport: &mut impl Transport) {
        let limits = &self.limits;
        let peer = &mut self.peers[id];
        match peer.state.phase() {
            Phase::Closed => return,
            _ if unsent > self.driver.max_unsent => return self.too_slow(id, unsent),
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
                let until = self.now + TOO_SLOW_AFTER;
                peer.slow = Some(self.timers.arm(until, Deadline::TooSlow, id));
            }
            Some(_) if unsent <= limits.queue => {
                peer.slow.take().into_iter().for_each(|slow| self.timers.cancel(slow));
            }
            _ => {}
        }
        self.update_interest(id, transport);
    }

    /// Schedules the close of the largest queues while all exceed their limit; drops those in a closing phase.
    fn shed(&mut self) {
        for (id, unsent) in self.queues.make_room() {
            let is_closing = self.peers[id].state.is_closing();
            let reason = if is_closing { CloseReason::Lost } else { CloseReason::TooSlow };
            self.schedule(Scheduled { id, reason, unsent: Unsent::Shed(unsent) });
        }
    }

    /// Returns what to watch of the peer's stream.
    fn wanted_reading(&self, id: ConnId) -> Reading {
        let peer = &self.peers[id];
        let may_read_ahead = || self.input.len(peer) < READ && !self.input.is_high(&self.limits);
        peer.reading(peer.state.is_blocked_by(Blocked::RATE) && may_read_ahead())
    }

    /// Passes the interest in a connection to the transport if it has changed.
    pub fn update_interest(&mut self, id: ConnId, transport: &mut impl Transport) {
        let interest = Interest { read: self.wanted_reading(id), write: self.queues.unsent(id) > 0 };
        let peer = &mut self.peers[id];
        if peer.set_interest(interest) {
            self.stats.watch_calls += u64::from(self.driver.polls);
            if transport.set_interest(id, interest).is_err() {
                self.schedule_close(id, CloseReason::Lost);
            }
        }
    }

    // Close.

    /// Schedules the close of a connection that is too slow with `unsent` bytes.
    pub(super) fn too_slow(&mut self, id: ConnId, unsent: usize) {
        self.schedule(Scheduled { id, reason: CloseReason::TooSlow, unsent: Unsent::TooSlow(unsent) });
    }

    /// Schedules the close of a connection before the turn ends, and discards its output from now on.
    pub(super) fn schedule_close(&mut self, id: ConnId, reason: CloseReason) {
        self.schedule(Scheduled { id, reason, unsent: Unsent::NotAsked });
    }

    fn schedule(&mut self, scheduled: Scheduled) {
        if self.queues.discard_output(scheduled.id) {
            self.peers.list_to_close(scheduled);
        } else if scheduled.reason == CloseReason::Kicked {
            // A kick overrides the earlier reason: it has removed the connection from the hub already.
            self.peers.relist_to_close(scheduled);
        }
    }

    /// Begins to close a connection that has left the hub: its queue is flushed first, within `--drain`.
    pub(super) fn close(&mut self, id: ConnId, mode: CloseMode) {
        self.abandon(id);
        self.peers.set_phase(id, Phase::Flushing(mode));
        self.drain(id);
    }

    /// Has the queue of a closing connection flushed, and arms the drain timeout.
    fn drain(&mut self, id: ConnId) {
        let until = self.now + self.limits.drain.max(self.driver.min_drain);
        self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Drain, id));
        self.queues.mark_dirty(id);
    }

    /// Ends a connection with an empty queue. Its sending side is shut down first, since closing it with unread input
    /// resets it and destroys the last lines (RFC 2525 section 2.17).
    fn finish(&mut self, id: ConnId, mode: CloseMode, transport: &mut impl Transport) {
        if mode == CloseMode::Immediate && !self.driver.sends_later {
            return self.close_now(id, transport);
        }
        if transport.shutdown(id) == Shutdown::Done {
            self.shutdown_done(id, transport);
        }
    }

    /// Continues the close of a connection after its sending side is shut down.
    pub fn shutdown_done(&mut self, id: ConnId, transport: &mut impl Transport) {
        match self.peers[id].state.phase() {
            Phase::Flushing(CloseMode::Linger) => self.linger(id, transport),
            Phase::Flushing(_) => self.close_now(id, transport),
            Phase::Opening | Phase::Open | Phase::Lingering | Phase::Closed => {}
        }
    }

    /// Discards the input of a connection until its stream ends, at most for [`LINGER_TIMEOUT`].
    fn linger(&mut self, id: ConnId, transport: &mut impl Transport) {
        self.peers[id].cancel_timers(&mut self.timers);
        self.peers.set_phase(id, Phase::Lingering);
        let until = self.now + LINGER_TIMEOUT;
        self.peers[id].deadline = Some(self.timers.arm(until, Deadline::Linger, id));
        self.update_interest(id, transport);
    }

    /// Closes a connection that has left the hub, and drops its unsent output.
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
        if !self.driver.releases {
            self.peers.remove(id);
        }
    }

    /// Releases timers, saved input and address, which only an open connection needs.
    pub(super) fn abandon(&mut self, id: ConnId) {
        let peer = &mut self.peers[id];
        peer.cancel_timers(&mut self.timers);
        self.input.discard(peer);
        peer.address.take().into_iter().for_each(|address| self.admission.leave(address));
    }

    // Due.

    /// Returns when the next timer or deferred presence is due; `None` if neither waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        let presence = (self.queues.waiting() > 0).then_some(self.presence_at);
        self.timers.next().into_iter().chain(presence).min()
    }

    /// Returns whether the next turn has work without an event: a queue to flush or a runnable connection.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.queues.dirty(0).is_some() || self.peers.has_runnable()
    }

    /// Releases unused memory.
    pub(super) fn trim(&mut self) {
        self.input.trim();
        self.queues.trim();
        self.timers.trim();
        self.admission.trim();
    }

    // State.

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the number of connections, closing ones included, and the number of closing ones.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.peers.count(), self.peers.closing())
    }

    /// Returns the phase of a connection; `None` if its slot is free.
    #[must_use]
    pub fn phase(&self, id: ConnId) -> Option<Phase> {
        self.peers.get(id).map(|peer| peer.state.phase())
    }

    /// Returns state and interest of a connection; `None` if its slot is free or its close is scheduled.
    #[must_use]
    pub fn active_state(&self, id: ConnId) -> Option<(State, Interest)> {
        let peer = self.peers.get(id)?;
        (!self.queues.discards_output(id)).then_some((peer.state, peer.interest()))
    }

    /// Returns whether a connection may be read: open, neither blocked nor runnable, and no close is scheduled.
    #[must_use]
    pub fn is_readable(&self, id: ConnId) -> bool {
        self.peers[id].state.is_readable() && !self.queues.discards_output(id)
    }

    /// Returns whether a connection is open and blocked by `reason`.
    #[must_use]
    pub fn is_blocked_by(&self, id: ConnId, reason: Blocked) -> bool {
        self.peers[id].state.is_blocked_by(reason)
    }

    /// Returns the interest that was last set in the transport.
    #[must_use]
    pub fn interest(&self, id: ConnId) -> Interest {
        self.peers[id].interest()
    }

    /// Returns the queues of all connections.
    #[must_use]
    pub fn queues(&self) -> &SendQueues {
        &self.queues
    }

    /// Returns the input buffers of all connections.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Returns the length of the saved input of a connection.
    #[must_use]
    pub fn input_len(&self, id: ConnId) -> usize {
        self.input.len(&self.peers[id])
    }

    /// Returns the number of armed timers.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.timers.armed()
    }
}
