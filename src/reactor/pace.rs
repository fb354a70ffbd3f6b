//! Peers that ask faster than they may: they are held back until their allowance is refilled, lose nothing and cost
//! nothing meanwhile. How much that is stands in `crate::server::rate_limit`, what costs how much in `session.rs` and the hub.

use super::peer::Doom;
use super::{Phase, Reactor, Reading, Sockets};
use crate::limits::{LAST_WORDS, READ};
use crate::protocol::{ConnId, message};
use crate::server::timers::Deadline;
use std::io::ErrorKind;

impl<S: Sockets> Reactor<S> {
    /// What is left of a connection's allowance.
    pub(super) fn tokens(&self, id: ConnId) -> u64 {
        self.peers[id.index()].allowance.left(self.rate, self.now)
    }

    /// Its allowance is used up: it isn't obeyed until some of it is there again.
    pub(super) fn hold_back(&mut self, id: ConnId) {
        self.await_refill(id);
        self.peers[id.index()].phase = Phase::Paused;
        self.watch(id);
    }

    /// All wait equally long, whatever they owe: who still has nothing then waits again.
    fn await_refill(&mut self, id: ConnId) {
        let refill = self.timers.arm(self.now + self.rate.wait(), Deadline::Refill, id);
        self.peers[id.index()].refill = Some(refill);
    }

    /// Its allowance may be refilled by now.
    pub(super) fn refill(&mut self, id: ConnId) {
        // Who is doomed, or kicked, is seen to before the turn is over.
        if self.queues.is_deaf(id) {
            return self.await_refill(id);
        }
        if self.tokens(id) == 0 {
            self.await_refill(id);
            // It may be read ahead again, or no more.
            return self.watch(id);
        }
        self.go_on(id);
    }

    /// What a connection that is held back is watched for. Where messages end by pauses, it is read as far as it may be
    /// held; otherwise only its end counts, and that once.
    pub(super) fn reading_ahead(&self, id: ConnId) -> Reading {
        let peer = &self.peers[id.index()];
        if peer.last_words.is_some() {
            Reading::Nothing
        } else if peer.frame.is_by_pause() && self.held_bytes(id) < READ && !self.holds_much() {
            Reading::Bytes
        } else {
            Reading::End
        }
    }

    /// One read of a connection that is held back, whose messages end by pauses.
    pub(super) fn receive_ahead(&mut self, id: ConnId) {
        let room = READ.saturating_sub(self.held_bytes(id));
        if room == 0 || self.holds_much() {
            return self.watch(id);
        }
        self.scratch.resize(READ + self.limits.max_line, 0);
        self.queues.counters.recv_calls += 1;
        match self.sockets.recv(id, &mut self.scratch[..room]) {
            Ok(0) => {
                self.end_ahead(id);
                self.note_end(id);
            }
            Ok(bytes) => {
                self.queues.counters.bytes_in += bytes as u64;
                match &self.peers[id.index()].held {
                    Some(held) => self.held.add(held, &self.scratch[..bytes]),
                    None => self.hold(id, 0, bytes),
                }
                self.await_pause(id);
                self.watch(id);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.doom(id, Doom::Lost),
        }
    }

    /// Nothing has come for a while from a connection that is held back: if its last bytes are a message, LF shows that
    /// once they are looked at. One as long as may be just so is too long then, which is as near as that comes.
    pub(super) fn end_ahead(&mut self, id: ConnId) {
        let is_read = self.reading_ahead(id) == Reading::Bytes;
        let peer = &mut self.peers[id.index()];
        // Where no more may be held, it is we who have paused.
        if peer.interest.read != Reading::Bytes {
            return;
        }
        let Some(held) = &peer.held else {
            // The rest of a message too long may be over.
            peer.frame.pause(b"");
            return;
        };
        let bytes = self.held.bytes(held);
        let tail = message::whole(bytes);
        // Where no more is read, because no more may be held or its end was seen, it is we who have paused.
        if tail == bytes.len() || !is_read {
            return;
        }
        if peer.frame.ends_by_pause(&bytes[tail..]) {
            self.held.add(held, &[message::END]);
            // That may have been the last byte that may be held.
            self.watch(id);
        } else {
            self.await_pause(id);
        }
    }

    /// Its stream has ended, though what came before may not be read yet: that is, for a while, and then it goes. Who has no
    /// name stays among those who make way meanwhile, and the time to give one isn't prolonged.
    pub(super) fn note_end(&mut self, id: ConnId) {
        let last_words = self.timers.arm(self.now + LAST_WORDS, Deadline::LastWords, id);
        self.peers[id.index()].last_words = Some(last_words);
        self.watch(id);
    }
}
