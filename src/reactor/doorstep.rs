//! Newcomers: who is accepted, who is told that the server is full, and listeners that must rest.

use super::peer::{Peer, Then};
use super::{Interest, NotAccepted, Phase, Reactor, Reading, Sockets};
use crate::limits::{ACCEPTS_A_TURN, FAREWELLS, MAX_LISTENER_PAUSE, MIN_LISTENER_PAUSE};
use crate::protocol::Time;
use crate::protocol::dialect::Context;
use crate::protocol::scheme::Scheme;
use crate::protocol::{CloseReason, ConnId, Event, Origin, Outbox, Refusal};
use crate::server::admission::TooMany;
use crate::server::log_events as journal;
use crate::server::rate_limit::Allowance;
use crate::server::timers::Deadline;
use std::net::SocketAddr;
use std::time::Duration;

impl<S: Sockets> Reactor<S> {
    /// Accepts whoever knocks, up to so many a turn at each listener; the poller reports the others again.
    pub(super) fn accept(&mut self) {
        self.wake_listeners();
        while let Some(listener) = self.knocking.pop() {
            // So many each: one listener that is flooded shuts no other, the operators' above all.
            let mut left = ACCEPTS_A_TURN;
            while left > 0 && !self.stopping {
                let slot = self.peers.vacant_key();
                let id = ConnId(slot as u32);
                self.queues.counters.accept_calls += 1;
                match self.sockets.accept(listener, id) {
                    Ok(from) => {
                        self.rests[listener].pause = Duration::ZERO;
                        self.welcome(id, listener, from);
                        // Many may be turned down in one turn: those who go shall not fill the house.
                        if self.closing > FAREWELLS {
                            self.settle();
                        }
                    }
                    Err(NotAccepted::Gone) => {}
                    Err(NotAccepted::Nobody) => break,
                    Err(NotAccepted::NoDescriptor) => {
                        self.turn_away(listener);
                        self.rest_listener(listener);
                        break;
                    }
                    Err(NotAccepted::Failed) => {
                        self.rest_listener(listener);
                        break;
                    }
                }
                left -= 1;
            }
        }
    }

    pub(super) fn welcome(&mut self, id: ConnId, listener: usize, from: Origin) {
        let (door, others) = (self.doors[listener], self.peers.len());
        let made = self.insert(door);
        debug_assert_eq!(made, id);
        if door.row().for_operators {
            // No limits: it is open when it is needed most.
            self.hub.make_operator(id);
            self.queues.journal.operator(id);
            return self.queues.send(id, Event::Connected { from });
        }
        if others - self.closing >= self.limits.max_connections {
            journal::refused(from, Refusal::ServerFull.code());
        }
        if others >= self.limits.max_connections + FAREWELLS {
            return self.drop_now(id);
        }
        if others - self.closing >= self.limits.max_connections {
            self.queues.send(id, Event::Refused(Refusal::ServerFull));
            return self.close(id, Then::Discard);
        }
        if let Origin::Inet(address) = from {
            match self.admission.admit(address.ip()) {
                Ok(counted) => self.peers[id.index()].address = counted,
                Err(TooMany) => {
                    journal::refused(from, Refusal::TooManyConnections.code());
                    return self.turn_down(id, Refusal::TooManyConnections);
                }
            }
        }
        self.queues.journal.accepted(id, from, door.name());
        if door.row().hears_lobby {
            self.hub.make_listener(id);
        }
        // Not flushed now: it leaves together with the answer to what the newcomer has sent already.
        self.queues.send(id, Event::Connected { from });
        // Without a limit of time too they stand in line.
        let until = self.limits.register_timeout.map_or(Time::NEVER, |wait| self.now + wait);
        self.peers[id.index()].deadline = Some(self.timers.arm(until, Deadline::Register, id));
        if self.timers.count(Deadline::Register) > self.limits.max_unregistered()
            && let Some(longest_waiting) = self.timers.first(Deadline::Register)
        {
            self.queues.journal.made_way(longest_waiting);
            self.end_nameless(longest_waiting);
        }
    }

    /// A peer of the datagrams that come from there, unless there are too many peers.
    pub(super) fn welcome_source(&mut self, address: SocketAddr) -> Option<ConnId> {
        if self.peers.len() - self.closing >= self.limits.max_connections {
            return None;
        }
        let admitted = self.admission.admit(address.ip()).ok()?;
        let id = self.insert(Scheme::Udp);
        self.peers[id.index()].address = admitted;
        Some(id)
    }

    /// Closes a connection that has given no name in time, or has waited longest where too many have none.
    pub(super) fn end_nameless(&mut self, id: ConnId) {
        self.hub.leave(id, CloseReason::RegisterTimeout, b"", &mut self.queues);
        self.turn_down(id, Refusal::RegisterTimeout);
    }

    /// Closes a connection that is told why. With care only as long as few are closing: each waits for its end, and they
    /// might be many.
    fn turn_down(&mut self, id: ConnId, why: Refusal<'_>) {
        self.queues.send(id, Event::Refused(why));
        self.close(id, if self.closing < FAREWELLS { Then::Discard } else { Then::Shut });
    }

    /// A new peer, of whom nothing is known but by which door it came.
    pub(super) fn insert(&mut self, door: Scheme) -> ConnId {
        let id = ConnId(self.peers.insert(Peer {
            frame: door.row().language.expect("it chats").frame(),
            dialect: door.row().language.expect("it chats").dialect,
            phase: Phase::Open,
            interest: Interest { read: Reading::Bytes, write: false },
            held: None,
            deadline: None,
            slow: None,
            pause: None,
            refill: None,
            last_words: None,
            address: None,
            allowance: if door.row().for_operators { Allowance::UNLIMITED } else { Allowance::full() },
        }) as u32);
        self.queues.open(id, door.row().language.expect("it chats").dialect);
        id
    }

    /// There are no descriptors left: some of those who knock are told so, as many as where the server itself is full.
    fn turn_away(&mut self, listener: usize) {
        let mut farewell = Vec::new();
        let context = Context { max_line: self.limits.max_line };
        self.doors[listener].row().language.expect("it chats").dialect.encode(
            Event::Refused(Refusal::ServerFull),
            &context,
            &mut farewell,
        );
        for _ in 0..FAREWELLS {
            if self.sockets.turn_away(listener, &farewell).is_err() {
                break;
            }
        }
    }

    /// The system gave no connection though somebody knocks: not to be asked again and again.
    pub(super) fn rest_listener(&mut self, listener: usize) {
        if self.sockets.listen(listener, false).is_ok() {
            let rest = &mut self.rests[listener];
            rest.pause = (rest.pause * 2).clamp(MIN_LISTENER_PAUSE, MAX_LISTENER_PAUSE);
            rest.until = Some(self.now + rest.pause);
        }
    }

    pub(super) fn wake_listeners(&mut self) {
        for (listener, rest) in self.rests.iter_mut().enumerate() {
            if rest.until.is_some_and(|until| until <= self.now) {
                rest.until = None;
                self.knocking.push(listener);
                // Where this fails, the listener is asked once more after its pause.
                if self.sockets.listen(listener, true).is_err() {
                    rest.until = Some(self.now + rest.pause);
                }
            }
        }
    }
}
