//! What comes in: one read of whoever is ready, what is held of it until more comes, and what a pause or the end of the
//! stream makes of that. Messages are understood in `session.rs`; nothing is sent here.

use super::peer::{Doom, Then};
use super::{Phase, Reactor, Reading, Sockets};
use crate::hub::Next;
use crate::limits::{LOW_READ, READ, READ_A_TOKEN};
use crate::protocol::{CloseReason, ConnId, Outbox};
use crate::server::feed::{self as session, Bounds, Stop};
use crate::server::timers::Deadline;
use std::io::ErrorKind;

impl<S: Sockets> Reactor<S> {
    /// One read of a connection, put behind what is held of it. Where its allowance is used up, it isn't read.
    pub(super) fn receive(&mut self, id: ConnId) {
        let most = match self.tokens(id) {
            0 => return self.hold_back(id),
            _ if self.holds_much() => LOW_READ,
            tokens => read_at_once(tokens),
        };
        let kept = self.restore(id);
        self.scratch.resize(READ + self.limits.max_line, 0);
        self.queues.counters.recv_calls += 1;
        match self.sockets.recv(id, &mut self.scratch[kept..kept + most]) {
            Ok(0) => self.end(id, kept),
            Ok(bytes) => {
                self.queues.counters.bytes_in += bytes as u64;
                if self.digest(id, kept + bytes) {
                    self.await_pause(id);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.hold(id, 0, kept),
            Err(_) => self.doom(id, Doom::Lost),
        }
    }

    /// Has the hub obey what stands in the scratch buffer, as far as it is whole and may be obeyed now; false where that
    /// has ended the connection.
    pub(super) fn digest(&mut self, id: ConnId, len: usize) -> bool {
        let mut start = 0;
        loop {
            let Reactor { hub, peers, queues, scratch, limits, rate, now, .. } = self;
            let peer = &mut peers[id.index()];
            let input = &scratch[start..len];
            let bounds = Bounds { max_line: limits.max_line, tokens: peer.allowance.left(*rate, *now) };
            let fed = session::feed(hub, id, &mut peer.frame, peer.dialect, input, bounds, queues);
            peer.allowance.spend(fed.cost, *rate, *now);
            start += fed.consumed;
            queues.counters.lines_in += fed.messages;
            match fed.stop {
                Stop::Dry => break,
                Stop::Effects => self.act_on_effects(),
                Stop::Spent => {
                    self.hold_back(id);
                    break;
                }
                Stop::Close => {
                    self.close(id, Then::Discard);
                    return false;
                }
                Stop::Full => {
                    let brimming = fed.consumed > 0 && self.queues.wants_flush();
                    // Looked at even where nothing new is to be sent: its queue decides whether it waits.
                    self.queues.mark_dirty(id);
                    self.flush();
                    // Who is doomed stays open until it is reaped.
                    if self.peers[id.index()].phase != Phase::Open || !self.queues.has_room(id) {
                        break;
                    }
                    // Those who heard it are given a turn to take it: within one, a read's worth of short lines would
                    // make a whole room too slow, however fast it reads.
                    if brimming {
                        self.peers[id.index()].phase = Phase::Resuming;
                        self.resuming.push(id);
                        break;
                    }
                }
            }
        }
        self.hold(id, start, len);
        self.note_registration(id);
        true
    }

    /// Its stream has ended: a last line without LF counts, then it leaves, and gets what is queued for it.
    pub(super) fn end(&mut self, id: ConnId, len: usize) {
        self.flush_if_brimming();
        let Reactor { hub, peers, queues, scratch, .. } = self;
        let peer = &mut peers[id.index()];
        queues.counters.lines_in += u64::from(len > 0);
        match session::finish(hub, id, &mut peer.frame, peer.dialect, &scratch[..len], queues) {
            Next::Close => {}
            Next::Stay => hub.leave(id, CloseReason::EndOfStream, b"", queues),
        }
        self.close(id, Then::Close);
    }

    /// Goes on with those whose queues have room again.
    pub(super) fn resume(&mut self) {
        for id in std::mem::take(&mut self.resuming) {
            // The slot may have another owner by now, who is not resuming.
            let Some(peer) = self.peers.get_mut(id.index()) else { continue };
            if peer.phase == Phase::Resuming {
                self.go_on(id);
            }
        }
    }

    /// Obeys what is held of a connection, and reads it again.
    pub(super) fn go_on(&mut self, id: ConnId) {
        let was_read = self.peers[id.index()].interest.read == Reading::Bytes;
        self.peers[id.index()].phase = Phase::Open;
        let len = self.restore(id);
        if !self.digest(id, len) {
            return;
        }
        // A pause goes on where something is left behind which it began, unless it was we who didn't read.
        let peer = &self.peers[id.index()];
        if peer.held.is_none() || peer.pause.is_none() || !was_read {
            self.await_pause(id);
        }
        self.watch(id);
    }

    /// Keeps a part of the scratch buffer for a connection until more comes.
    pub(super) fn hold(&mut self, id: ConnId, start: usize, end: usize) {
        if start < end {
            self.peers[id.index()].held = Some(self.held.lend(&self.scratch[start..end]));
        }
    }

    /// Whether so much is held of all connections together that little more should be.
    pub(super) fn holds_much(&self) -> bool {
        self.held.memory() > self.limits.held_total()
    }

    /// Bytes that are held of a connection.
    pub(super) fn held_bytes(&self, id: ConnId) -> usize {
        self.peers[id.index()].held.as_ref().map_or(0, |held| self.held.bytes(held).len())
    }

    /// Puts what is held of a connection into the front of the scratch buffer; how many bytes that are.
    pub(super) fn restore(&mut self, id: ConnId) -> usize {
        let Some(held) = self.peers[id.index()].held.take() else { return 0 };
        let bytes = self.held.bytes(&held);
        let len = bytes.len();
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        self.scratch[..len].copy_from_slice(bytes);
        self.held.give_back(held);
        len
    }

    pub(super) fn note_registration(&mut self, id: ConnId) {
        let peer = &mut self.peers[id.index()];
        let until = peer.deadline.as_ref().map(|deadline| self.timers.look(deadline).0);
        if until == Some(Deadline::Register)
            && self.hub.rank(id).is_registered()
            && let Some(deadline) = peer.deadline.take()
        {
            self.timers.cancel(deadline);
        }
    }

    /// Arms the end of a message by a pause anew, if that is how this peer's messages end.
    pub(super) fn await_pause(&mut self, id: ConnId) {
        let left = self.held_bytes(id);
        let peer = &mut self.peers[id.index()];
        if let Some(pause) = peer.pause.take() {
            self.timers.cancel(pause);
        }
        if peer.frame.awaits_pause(left) {
            peer.pause = Some(self.timers.arm(self.now + self.limits.pause, Deadline::Pause, id));
        }
    }

    /// Nothing has come for a while: what is held may be a message.
    pub(super) fn end_by_pause(&mut self, id: ConnId) {
        if self.peers[id.index()].phase == Phase::Paused {
            return self.end_ahead(id);
        }
        let left = self.restore(id);
        let Reactor { hub, peers, queues, scratch, rate, now, .. } = self;
        let peer = &mut peers[id.index()];
        if peer.phase == Phase::Open && !queues.is_deaf(id) {
            match session::pause(hub, id, &mut peer.frame, peer.dialect, &scratch[..left], queues) {
                Some((Next::Close, _)) => return self.close(id, Then::Discard),
                Some((Next::Stay, cost)) => {
                    peer.allowance.spend(cost, *rate, *now);
                    self.queues.counters.lines_in += 1;
                    return self.note_registration(id);
                }
                None => {}
            }
        }
        self.hold(id, 0, left);
        self.await_pause(id);
    }

    /// Throws away one read of a connection that is shut.
    pub(super) fn discard(&mut self, id: ConnId) {
        self.scratch.resize(READ + self.limits.max_line, 0);
        self.queues.counters.recv_calls += 1;
        match self.sockets.recv(id, &mut self.scratch) {
            Ok(0) => self.drop_now(id),
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.drop_now(id),
            Ok(_) | Err(_) => {}
        }
    }

    /// One read of what is typed at the server's own terminal.
    pub(super) fn hear_console(&mut self) {
        self.scratch.resize(READ + self.limits.max_line, 0);
        let Ok(bytes) = self.sockets.read_console(&mut self.scratch[..READ]) else { return };
        if self.stopping {
            return;
        }
        let Reactor { hub, queues, scratch, console, limits, .. } = self;
        session::hear_console(hub, console, &scratch[..bytes], limits.max_line, queues);
    }
}

/// How many bytes are read at once of a peer that may still ask so much.
fn read_at_once(tokens: u64) -> usize {
    let bytes = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(READ_A_TOKEN);
    bytes.clamp(LOW_READ, READ)
}
