//! Peers without a connection: datagrams in, datagrams out. Who is behind an address, and what it may be sent, is in
//! `crate::server::datagrams`.

use super::peer::Then;
use super::{Reactor, Sockets};
use crate::limits::{DATAGRAMS_A_TURN, MAX_SHORT, MAX_SILENCE, READ};
use crate::protocol::scheme::Scheme;
use crate::protocol::{ConnId, message};
use crate::server::datagrams::Source;
use crate::server::feed::{self as session, Bounds, Stop};
use crate::server::timers::Deadline;
use std::io::ErrorKind;

impl<S: Sockets> Reactor<S> {
    /// Reads datagrams where there are any, up to so many a turn; the poller reports the others again. Behind the
    /// events of connections, since one from a new source takes a slot.
    pub(super) fn receive_datagrams(&mut self) {
        let doors = &self.doors;
        for listener in
            self.knocking.extract_if(.., |listener| doors[*listener] == Scheme::Udp).collect::<Vec<_>>()
        {
            self.receive_from(listener);
        }
    }

    pub(super) fn receive_from(&mut self, listener: usize) {
        self.scratch.resize(READ + self.limits.max_line, 0);
        for _ in 0..DATAGRAMS_A_TURN {
            self.queues.counters.recv_calls += 1;
            // One byte more than may be shows that it is too long.
            match self.sockets.recv_from(listener, &mut self.scratch[..=MAX_SHORT]) {
                _ if self.stopping => return,
                Ok((bytes, from)) => self.attend_datagram((listener, from), bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // An answer of ours to a source that is gone comes back as an error of the socket.
                Err(_) => {}
            }
        }
    }

    /// One datagram, at the front of the scratch buffer.
    pub(super) fn attend_datagram(&mut self, source: Source, bytes: usize) {
        self.queues.counters.bytes_in += bytes as u64;
        self.flush_if_brimming();
        if self.datagrams.find(source).is_some_and(|id| self.peers[id.index()].phase.is_closing()) {
            // Whoever has just quit there is gone once that was flushed, and may come again.
            self.flush();
        }
        if !self.doomed.is_empty() {
            // A slot is given to a new source only once its former owner is reaped.
            self.settle();
        }
        let known = self.datagrams.find(source);
        let id = match known {
            Some(id) if self.tokens(id) == 0 => {
                self.queues.counters.datagrams_dropped += 1;
                return;
            }
            Some(id) => id,
            None => match self.welcome_source(source.1) {
                Some(id) => id,
                None => return,
            },
        };
        if known.is_some() {
            self.datagrams.spoke(id);
        } else {
            self.datagrams.add(id, source, bytes);
        }
        let Reactor { hub, peers, queues, scratch, rate, now, .. } = self;
        let peer = &mut peers[id.index()];
        if peer.phase.is_closing() || queues.is_deaf(id) {
            return;
        }
        // What others hear of it is a line, which has its limit too.
        let max_line = MAX_SHORT.min(self.limits.max_line);
        let bounds = Bounds { max_line, tokens: peer.allowance.left(*rate, *now) };
        let fed = session::feed(hub, id, &mut peer.frame, peer.dialect, &scratch[..bytes], bounds, queues);
        peer.allowance.spend(fed.cost, *rate, *now);
        queues.counters.lines_in += fed.messages;
        let is_registered = hub.rank(id).is_registered();
        self.act_on_effects();
        match (fed.stop, is_registered) {
            (Stop::Close, _) => self.close(id, Then::Close),
            (_, true) => {
                self.datagrams.spoke(id);
                self.forget_deadlines(id);
                let silence = self.timers.arm(self.now + MAX_SILENCE, Deadline::Silence, id);
                self.peers[id.index()].deadline = Some(silence);
            }
            // It has no name, and so leaves nothing behind but what it is answered.
            (_, false) => self.close(id, Then::Close),
        }
    }

    /// Flushes a peer that gets datagrams: one for each line. What can't be sent now, or is more than the peer may be
    /// sent, is lost, and counted.
    pub(super) fn flush_datagrams(&mut self, id: ConnId) {
        let Some(to) = self.datagrams.peer(id) else { return };
        let (sockets, mut dropped, mut calls) = (&mut self.sockets, 0, 0);
        self.queues.flush(id, |bytes, _| {
            for datagram in message::each(bytes) {
                let (listener, address) = to.source;
                if to.may_get(datagram.len()) {
                    calls += 1;
                    dropped += u64::from(sockets.send_to(listener, address, datagram).is_err());
                } else {
                    dropped += 1;
                }
            }
            Ok(bytes.len())
        });
        self.queues.counters.send_calls += calls;
        self.queues.counters.datagrams_dropped += dropped;
        if self.peers[id.index()].phase.is_closing() {
            self.drop_now(id);
        }
    }
}
