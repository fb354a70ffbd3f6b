//! A server without a system: the reactor's own turn over sockets in memory, a clock that only moves when asked, and
//! faults by seed. Tests, the fuzz bodies and the in-memory benchmark live on it; the server itself never uses it.

mod grammar;
pub mod hubs;
pub mod lines;
pub mod names;
pub mod rng;
mod script;
pub mod sessions;
mod sockets;

pub use sockets::{Faults, PeerNo, SimSockets};

use crate::limits::Limits;
use crate::reactor::{Reactor, Ready, Running};
use crate::timers::Time;
use bstr::ByteSlice;
use std::time::Duration;

/// A simulated server and its peers.
#[derive(Debug)]
pub struct Sim {
    reactor: Reactor<SimSockets>,
    running: Running,
    turns: usize,
}

impl Sim {
    /// A server within these limits, without faults.
    #[must_use]
    pub fn new(limits: Limits) -> Sim {
        Sim { reactor: Reactor::new(SimSockets::default(), 1, limits), running: Running::On, turns: 0 }
    }

    /// A server whose sockets cut, delay and break as `faults` say.
    #[must_use]
    pub fn with_faults(limits: Limits, faults: Faults) -> Sim {
        let mut sim = Sim::new(limits);
        sim.sockets().set_faults(Some(faults));
        sim
    }

    /// A new peer knocks.
    pub fn connect(&mut self) -> PeerNo {
        self.sockets().connect()
    }

    /// The peer sends bytes; the server sees them when it [runs](Sim::run).
    pub fn send(&mut self, peer: PeerNo, bytes: impl AsRef<[u8]>) {
        self.sockets().peer(peer).send(bytes.as_ref());
    }

    /// The peer shuts its sending side.
    pub fn end(&mut self, peer: PeerNo) {
        self.sockets().peer(peer).end();
    }

    /// The peer is gone, and its kernel says so.
    pub fn reset(&mut self, peer: PeerNo) {
        self.sockets().peer(peer).reset();
    }

    /// From now on the kernel takes at most `room` bytes more for this peer: it has stopped reading.
    pub fn stall(&mut self, peer: PeerNo, room: usize) {
        self.sockets().peer(peer).set_room(room);
    }

    /// What the peer has got since the last time.
    pub fn take(&mut self, peer: PeerNo) -> Vec<u8> {
        self.sockets().peer(peer).take()
    }

    /// The same as lines, without their LF.
    ///
    /// # Panics
    /// Where it is not whole lines of UTF-8, which the server never sends.
    pub fn lines(&mut self, peer: PeerNo) -> Vec<String> {
        let bytes = self.take(peer);
        let text = bytes.to_str().expect("the server sends UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines, not {text:?}");
        text.lines().map(str::to_owned).collect()
    }

    /// True once the server has ended its side, or closed the connection.
    pub fn is_ended(&mut self, peer: PeerNo) -> bool {
        self.sockets().peer(peer).is_ended()
    }

    /// True once the server has closed the connection.
    pub fn is_closed(&mut self, peer: PeerNo) -> bool {
        self.sockets().peer(peer).is_closed()
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        self.sockets().push_ready(Ready::Stop);
    }

    /// Lets the server work until it has nothing to do at this point in time.
    pub fn run(&mut self) -> Running {
        self.pass(Duration::ZERO)
    }

    /// Lets so much time pass, in which the server does whatever is to be done.
    ///
    /// # Panics
    /// Where the server doesn't come to rest, or breaks an invariant.
    pub fn pass(&mut self, time: Duration) -> Running {
        /// More turns than any test's work can take; a server that spins reaches it soon.
        const MANY: usize = 1_000_000;
        self.sockets().sleep_until(time);
        for _ in 0..MANY {
            if self.running == Running::Done || self.sockets().is_asleep() {
                return self.running;
            }
            self.turn();
        }
        panic_spinning()
    }

    /// The server doesn't run for so long, whatever is due: its machine is busy, or stopped.
    pub fn oversleep(&mut self, time: Duration) {
        self.sockets().oversleep(time);
    }

    /// One turn of the reactor.
    ///
    /// # Panics
    /// Where it breaks an invariant, in debug builds.
    pub fn turn(&mut self) {
        self.turns += 1;
        self.running = self.reactor.turn().expect("the simulated poller never fails");
        if cfg!(debug_assertions) {
            self.reactor.invariants();
        }
    }

    /// How many turns there were: one for each time that the server woke up.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.turns
    }

    /// The time.
    #[must_use]
    pub fn now(&mut self) -> Time {
        crate::reactor::Sockets::now(self.sockets())
    }

    /// The reactor, to look into.
    #[must_use]
    pub fn reactor(&self) -> &Reactor<SimSockets> {
        &self.reactor
    }

    /// The world.
    pub fn sockets(&mut self) -> &mut SimSockets {
        self.reactor.sockets()
    }
}

#[expect(clippy::panic, reason = "the simulator is for tests")]
fn panic_spinning() -> ! {
    panic!("the server spins")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_people_talk() {
        let mut sim = Sim::new(Limits::default());
        let (alice, bob) = (sim.connect(), sim.connect());
        sim.send(alice, "#alice\n");
        sim.run();
        sim.send(bob, "#Bob\nhello all\n@ALICE:psst\n");
        sim.run();
        sim.send(alice, "@bob:hi\n@nobody:x\n&dev\n/who *\n");
        sim.run();
        sim.end(bob);
        sim.run();
        assert_eq!(
            sim.lines(alice),
            [
                "* You are connected from 127.0.0.1:50001",
                "* Say #name to take a name, /help for help",
                "+nick alice",
                "+room lobby 1",
                "* Bob joined",
                "Bob: hello all",
                "@Bob:psst",
                "!no-such-user nobody",
                "+room dev 1",
                "+who * alice Bob",
                "+end who * 2",
                "* Bob left",
            ]
        );
        assert_eq!(sim.lines(bob)[2..], ["+nick Bob", "+room lobby 2", "@alice:hi"]);
        assert!(sim.is_closed(bob));
    }
}
