//! What goes out: the flush of the dirty, and what it means for each of them.

use super::peer::Doom;
use super::{Interest, Phase, Reactor, Reading, Sockets};
use crate::hub::Effect;
use crate::limits::{NOTICES_APART, TOO_SLOW_AFTER};
use crate::protocol::frame::Frame;
use crate::protocol::name::Name;
use crate::protocol::{ConnId, Event, Origin, Outbox};
use crate::server::send_queue::Flushed;
use crate::server::timers::Deadline;

impl<S: Sockets> Reactor<S> {
    pub(super) fn flush(&mut self) {
        self.act_on_effects();
        self.hurry_notices();
        let mut place = 0;
        while let Some(id) = self.queues.dirty(place) {
            place += 1;
            // Whoever was dropped while dirty is gone without being flushed.
            let Some(peer) = self.peers.get(id.index()) else { continue };
            if matches!(peer.frame, Frame::Datagram) {
                self.flush_datagrams(id);
                continue;
            }
            let is_flushing = matches!(peer.phase, Phase::Flushing { .. });
            let Reactor { queues, sockets, .. } = self;
            let mut calls = 0;
            let flushed = queues.flush(id, |bytes, all| {
                calls += 1;
                sockets.send(id, bytes, all && is_flushing)
            });
            queues.counters.send_calls += calls;
            self.flushed(id, flushed);
        }
        self.queues.end_flush();
        self.make_room();
    }

    /// Has those flushed too who are sent nothing but notices, if they have waited long enough, or the arenas are needed.
    fn hurry_notices(&mut self) {
        let is_time = self.notices_at <= self.now || self.queues.wants_flush();
        if self.queues.waiting() > 0 && is_time {
            self.queues.hurry();
            self.notices_at = self.now + NOTICES_APART;
        }
    }

    /// Where all queues together are above their limit, whoever holds most goes. Who is told so and goes on closing may be
    /// next, and then is dropped.
    fn make_room(&mut self) {
        for (id, unsent) in self.queues.make_room() {
            let is_closing = self.peers[id.index()].phase.is_closing();
            self.queues.journal.shed(id, self.hub.nick(id).map(Name::shown), unsent);
            self.doom(id, if is_closing { Doom::Lost } else { Doom::TooSlow });
        }
    }

    /// Bounds what a turn holds where nobody is fed: many may go in one turn, and many hear of each.
    pub(super) fn flush_if_brimming(&mut self) {
        if self.queues.wants_flush() {
            self.flush();
        }
    }

    /// What a flush means for the connection: whether it is too slow, is read, goes on closing.
    pub(super) fn flushed(&mut self, id: ConnId, flushed: Flushed) {
        let Flushed::Unsent(unsent) = flushed else { return self.doom(id, Doom::Lost) };
        let peer = &mut self.peers[id.index()];
        match peer.phase {
            _ if unsent > self.limits.hard_queue() => return self.doom_slow(id, unsent),
            Phase::Flushing { then } if unsent == 0 => return self.shut(id, then),
            Phase::Flushing { .. } | Phase::Discarding => {}
            Phase::Open if unsent > self.limits.half_queue() => peer.phase = Phase::Waiting,
            Phase::Waiting if unsent <= self.limits.half_queue() => {
                peer.phase = Phase::Resuming;
                self.resuming.push(id);
            }
            Phase::Open | Phase::Waiting | Phase::Paused | Phase::Resuming => {}
        }
        match &peer.slow {
            None if unsent > self.limits.queue && !peer.phase.is_closing() => {
                peer.slow = Some(self.timers.arm(self.now + TOO_SLOW_AFTER, Deadline::TooSlow, id));
            }
            Some(_) if unsent <= self.limits.queue => {
                peer.slow.take().into_iter().for_each(|slow| self.timers.cancel(slow));
            }
            _ => {}
        }
        self.watch(id);
    }

    /// Acts on what the hub has left to do. To be called before a connection is closed that it speaks of, so that the log
    /// can say where it came from.
    pub(super) fn act_on_effects(&mut self) {
        while let Some(effect) = self.hub.next_effect() {
            match effect {
                Effect::Registered { id } => {
                    if let Some(nick) = self.hub.nick(id) {
                        self.queues.journal.registered(id, self.origin(id), nick.shown());
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
                Effect::Stats { to } => self.tell_stats(to),
                Effect::Stop { operator } => {
                    self.queues.journal.stopping(operator);
                    self.is_asked_to_stop = true;
                }
            }
        }
    }

    fn tell_stats(&mut self, to: ConnId) {
        let mut figures: Vec<(String, u64)> = vec![
            ("users".into(), self.hub.registered() as u64),
            ("rooms".into(), self.hub.rooms_open() as u64),
        ];
        self.queues.figures(&mut |key, value| figures.push((key.to_owned(), value)));
        figures.iter().for_each(|(key, value)| self.queues.send(to, Event::Stat { key, value: *value }));
        self.queues.send(to, Event::EndStats { count: figures.len() });
    }

    fn origin(&self, id: ConnId) -> Option<Origin> {
        match self.datagrams.address(id) {
            Some(address) => Some(Origin::Inet(address)),
            None => self.sockets.origin(id),
        }
    }

    /// Tells the sockets what the connection is to be watched for, if that has changed.
    pub(super) fn watch(&mut self, id: ConnId) {
        let read = match self.peers[id.index()].phase {
            // Who resumes is read in the next turn, so there is nothing to gain from two system calls.
            Phase::Open | Phase::Resuming | Phase::Discarding => Reading::Bytes,
            Phase::Paused => self.reading_ahead(id),
            Phase::Waiting | Phase::Flushing { .. } => Reading::Nothing,
        };
        let interest = Interest { read, write: self.queues.unsent(id) > 0 };
        let peer = &mut self.peers[id.index()];
        if interest != peer.interest {
            peer.interest = interest;
            self.queues.counters.watch_calls += 1;
            if self.sockets.watch(id, interest).is_err() {
                self.doom(id, Doom::Lost);
            }
        }
    }
}
