//! How connections end: now, or closing, which is flush, shut, discard, close. And how the server does.

use super::peer::{Doom, Peer, Then};
use super::{Phase, Reactor, Sockets};
use crate::limits::{DISCARD, MIN_DRAIN};
use crate::protocol::frame::Frame;
use crate::protocol::name::Name;
use crate::protocol::{CloseReason, ConnId, Event, Outbox, Refusal};
use crate::server::timers::Deadline;

impl<S: Sockets> Reactor<S> {
    /// Marks a connection for reaping that doesn't read what it is sent, of which this much is unsent.
    pub(super) fn doom_slow(&mut self, id: ConnId, unsent: usize) {
        if !self.queues.is_deaf(id) {
            self.queues.journal.too_slow(id, self.hub.nick(id).map(Name::shown), unsent);
            self.doom(id, Doom::TooSlow);
        }
    }

    /// Marks a connection for reaping. From now on it hears nothing.
    pub(super) fn doom(&mut self, id: ConnId, doom: Doom) {
        if self.queues.deafen(id) {
            self.doomed.push((id, doom));
        }
    }

    pub(super) fn reap(&mut self, id: ConnId, doom: Doom) {
        self.flush_if_brimming();
        // A deadline may have dropped it since. Its slot is still empty: newcomers are accepted last.
        let Some(peer) = self.peers.get(id.index()) else { return };
        match doom {
            Doom::TooSlow if peer.phase != Phase::Discarding && !self.queues.is_cut(id) => {
                let is_closing = peer.phase.is_closing();
                self.queues.forget(id);
                self.queues.undeafen(id);
                self.queues.send(id, Event::Refused(Refusal::TooSlow));
                if !is_closing {
                    self.hub.leave(id, CloseReason::TooSlow, b"", &mut self.queues);
                    self.close(id, Then::Discard);
                }
            }
            Doom::Lost | Doom::TooSlow => {
                if !self.stopping && !peer.phase.is_closing() {
                    let how = if doom == Doom::Lost { CloseReason::Lost } else { CloseReason::TooSlow };
                    self.hub.leave(id, how, b"", &mut self.queues);
                }
                self.drop_now(id);
            }
        }
    }

    /// Closes those whom the hub has shown the door; whether there were any.
    pub(super) fn close_kicked(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.kicked.pop() {
            self.queues.undeafen(id);
            any = true;
            if self.peers.get(id.index()).is_some_and(|peer| !peer.phase.is_closing()) {
                self.close(id, Then::Discard);
            }
        }
        any
    }

    /// Begins to close a connection that has left the hub: what is queued is flushed, within the time for that.
    pub(super) fn close(&mut self, id: ConnId, then: Then) {
        self.forget_deadlines(id);
        let peer = &mut self.peers[id.index()];
        if let Some(held) = peer.held.take() {
            self.held.give_back(held);
        }
        peer.address.take().into_iter().for_each(|address| self.admission.leave(address));
        peer.phase = Phase::Flushing { then };
        self.closing += 1;
        let drain = self.limits.drain.max(MIN_DRAIN);
        peer.deadline = Some(self.timers.arm(self.now + drain, Deadline::Drain, id));
        self.queues.mark_dirty(id);
    }

    /// Everything is flushed: shuts our side, and waits a little for the other. Closing at once with input unread
    /// would make the kernel reset the connection and destroy the last lines; those that it was told to keep back for the
    /// end too, if our side isn't shut before.
    pub(super) fn shut(&mut self, id: ConnId, then: Then) {
        match then {
            Then::Close => return self.drop_now(id),
            Then::Shut => {
                self.sockets.shut(id);
                return self.drop_now(id);
            }
            Then::Discard => self.sockets.shut(id),
        }
        self.forget_deadlines(id);
        let peer = &mut self.peers[id.index()];
        peer.phase = Phase::Discarding;
        peer.deadline = Some(self.timers.arm(self.now + DISCARD, Deadline::Discard, id));
        self.watch(id);
    }

    /// Closes a connection that has left the hub, whatever is queued for it.
    pub(super) fn drop_now(&mut self, id: ConnId) {
        self.forget_deadlines(id);
        self.queues.close(id);
        let peer = self.peers.remove(id.index());
        self.closing -= usize::from(peer.phase.is_closing());
        peer.address.into_iter().for_each(|address| self.admission.leave(address));
        match peer.frame {
            Frame::Datagram => self.datagrams.remove(id),
            Frame::Line(_) => self.sockets.close(id),
        }
        if let Some(held) = peer.held {
            self.held.give_back(held);
        }
    }

    pub(super) fn forget_deadlines(&mut self, id: ConnId) {
        let Peer { deadline, slow, pause, refill, last_words, .. } = &mut self.peers[id.index()];
        let armed = [deadline, slow, pause, refill, last_words];
        for timer in armed.into_iter().filter_map(Option::take) {
            self.timers.cancel(timer);
        }
    }

    /// Asked to stop: nobody is accepted or read any more, everybody is told, and nobody's leaving is.
    pub(super) fn stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.stopping_since = self.now;
        for listener in 0..self.rests.len() {
            // A listener that stays in the poller would only wake us; we stop either way.
            let _ = self.sockets.listen(listener, false);
        }
        self.rests.clear();
        let open = self.peers.iter().filter(|(_, peer)| !peer.phase.is_closing());
        let open: Vec<ConnId> = open.map(|(key, _)| ConnId(key as u32)).collect();
        for id in open {
            self.queues.send(id, Event::Refused(Refusal::ShuttingDown));
            self.close(id, Then::Discard);
        }
    }
}
