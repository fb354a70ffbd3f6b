//! A server without a system: the reactor's own turn over sockets in memory, a clock that only moves when asked, and
//! faults by seed. Tests, the fuzz bodies and the in-memory benchmark live on it.

mod faults;
mod sockets;

pub use faults::{Fault, Faults};
pub use sockets::{PeerNo, SimPeer, SimSockets};

use bstr::ByteSlice;
use redpoll::limits::{Limits, PRESENCE_INTERVAL};
use redpoll::protocol::Time;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::{Reactor, Ready, Running};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
        Sim::with_schemes(limits, &[Scheme::Line])
    }

    /// A server that listens at these doors, without faults.
    #[must_use]
    pub fn with_schemes(limits: Limits, doors: &[Scheme]) -> Sim {
        let sockets = SimSockets::new(doors);
        Sim { reactor: Reactor::new(sockets, doors.to_vec(), limits), running: Running::On, turns: 0 }
    }

    /// Creates a server with sockets that cut, delay and break as `faults` say.
    #[must_use]
    pub fn with_faults(limits: Limits, faults: Faults) -> Sim {
        let mut sim = Sim::new(limits);
        sim.sockets().set_faults(Some(faults));
        sim
    }

    /// A new peer knocks at the first door.
    pub fn connect(&mut self) -> PeerNo {
        self.connect_at(0)
    }

    /// A new peer knocks at that door.
    pub fn connect_at(&mut self, door: usize) -> PeerNo {
        // The address of the tutorials.
        self.connect_from(Ipv4Addr::LOCALHOST.into(), door)
    }

    /// A new peer from elsewhere knocks at that door.
    pub fn connect_from(&mut self, address: IpAddr, door: usize) -> PeerNo {
        self.sockets().connect(door, address)
    }

    /// A datagram comes to that door from that address.
    pub fn send_datagram(&mut self, door: usize, from: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.sockets().push_datagram(door, from, bytes.as_ref());
    }

    /// The datagrams that were sent to that address since the last time.
    pub fn datagrams(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        self.sockets().take_datagrams(to)
    }

    /// Types at the server's own terminal.
    pub fn type_at_console(&mut self, bytes: impl AsRef<[u8]>) {
        self.sockets().push_console(bytes.as_ref());
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

    /// Lets the server work until it has nothing to do at this point in time, notices that wait told too.
    pub fn run(&mut self) -> Running {
        self.pass(Duration::ZERO);
        if self.reactor.server().connections.queues().waiting() > 0 {
            self.pass(PRESENCE_INTERVAL)
        } else {
            self.running
        }
    }

    /// Lets so much time pass, in which the server does whatever is to be done.
    ///
    /// # Panics
    /// Where the server doesn't come to rest, or breaks an invariant.
    pub fn pass(&mut self, time: Duration) -> Running {
        self.pass_watched(time, |_| {})
    }

    /// The same, and has `watch` look at each turn.
    ///
    /// # Panics
    /// Where the server doesn't come to rest, or breaks an invariant.
    pub fn pass_watched(&mut self, time: Duration, mut watch: impl FnMut(&mut Sim)) -> Running {
        /// More turns than any test's work can take; a server that spins reaches it soon.
        const MANY: usize = 1_000_000;
        self.sockets().sleep_until(time);
        for _ in 0..MANY {
            if self.running == Running::Done || self.sockets().is_asleep() {
                return self.running;
            }
            self.turn();
            watch(self);
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
            self.reactor.server().invariants();
        }
    }

    /// Whether the server goes on.
    #[must_use]
    pub fn running(&self) -> Running {
        self.running
    }

    /// How many turns there were: one for each time that the server woke up.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.turns
    }

    /// The time.
    #[must_use]
    pub fn now(&mut self) -> Time {
        self.sockets().now()
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

    /// Bytes as text, pieces that came between two looks joined.
    fn heard(sim: &mut Sim, peer: PeerNo) -> String {
        String::from_utf8(sim.take(peer)).unwrap()
    }

    #[test]
    fn everyone_meets_everyone() {
        let doors =
            [Scheme::Line, Scheme::Classic, Scheme::Nickname, Scheme::Relay, Scheme::Udp, Scheme::Unix];
        let mut sim = Sim::with_schemes(Limits::default(), &doors);
        let pause = Duration::from_millis(60);
        let udp = SocketAddr::from(([127, 0, 0, 1], 9));
        let [line, classic, nickname, relay] = [0, 1, 2, 3].map(|door| sim.connect_at(door));
        let operator = sim.connect_at(5);
        sim.run();
        assert!(heard(&mut sim, classic).starts_with("You are connected from:('127.0.0.1', 5000"));
        assert_eq!(heard(&mut sim, nickname), "NICKNAME");
        assert_eq!(heard(&mut sim, relay), "");
        sim.send(line, "#line\n");
        sim.send(classic, "#Classy");
        sim.send(nickname, "nick");
        sim.pass(pause);
        sim.lines(line);
        assert_eq!(heard(&mut sim, classic), "Your user detail saved as : Classy\n");
        assert_eq!(heard(&mut sim, nickname), "nick joined!\nConnected to server!\n");
        sim.send(nickname, "nick: hello");
        sim.pass(pause);
        assert_eq!(heard(&mut sim, nickname), "nick: hello\n");
        assert_eq!(heard(&mut sim, relay), "nick: hello\n");
        sim.send(relay, "tom  :   good morning");
        sim.pass(pause);
        assert_eq!(heard(&mut sim, relay), "tom: good morning\n");
        sim.send_datagram(4, udp, "L ming");
        sim.run();
        sim.send_datagram(4, udp, "C ming hello all\n");
        sim.run();
        assert_eq!(sim.datagrams(udp), [b"OK"]);
        assert_eq!(
            sim.lines(line),
            ["nick: hello", "* tom joined", "tom: good morning", "* ming joined", "ming: hello all"]
        );
        sim.send(line, "@classy,nick,tom,ming:psst\nall\n");
        sim.run();
        assert_eq!(heard(&mut sim, classic), "psst\n");
        assert_eq!(heard(&mut sim, relay), "ming: hello all\n@line: psst\nline: all\n");
        assert_eq!(sim.datagrams(udp), [&b"@line: psst"[..], b"line : all"]);
        sim.send(operator, "/announce hear\n/kick tom\n/stats\n");
        sim.run();
        assert!(heard(&mut sim, relay).ends_with("administrator: hear\n!kicked\n"));
        assert!(heard(&mut sim, classic).ends_with("administrator: hear\n"));
        assert!(heard(&mut sim, nickname).ends_with("Administrator message: hear\ntom left!\n"));
        let said = heard(&mut sim, operator);
        assert!(said.contains("+announced 5\n+kicked tom\n+stats users 4\n"), "{said}");
        sim.send_datagram(4, udp, "Q ming");
        sim.run();
        assert_eq!(sim.datagrams(udp), [&b"administrator : hear"[..], b"tom exited the chat room", b"EXIT"]);
    }
}
