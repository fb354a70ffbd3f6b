//! A server without a system: the reactor's own turn over sockets in memory, a clock that only moves when asked, and
//! faults by seed. Tests, the fuzz bodies and the in-memory benchmark use it.

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
    /// Creates a server with these limits and one listener of the line protocol, without faults.
    #[must_use]
    pub fn new(limits: Limits) -> Sim {
        Sim::with_schemes(limits, &[Scheme::Line])
    }

    /// Creates a server with a listener for each of `schemes`, without faults.
    #[must_use]
    pub fn with_schemes(limits: Limits, schemes: &[Scheme]) -> Sim {
        let sockets = SimSockets::new(schemes);
        Sim { reactor: Reactor::new(sockets, schemes.to_vec(), limits), running: Running::On, turns: 0 }
    }

    /// Creates a server with one listener of the line protocol and these faults.
    #[must_use]
    pub fn with_faults(limits: Limits, faults: Faults) -> Sim {
        let mut sim = Sim::new(limits);
        sim.sockets().set_faults(Some(faults));
        sim
    }

    /// Connects a new peer to the first listener.
    pub fn connect(&mut self) -> PeerNo {
        self.connect_at(0)
    }

    /// Connects a new peer to that listener.
    pub fn connect_at(&mut self, listener: usize) -> PeerNo {
        // The address of the tutorials.
        self.connect_from(Ipv4Addr::LOCALHOST.into(), listener)
    }

    /// Connects a new peer from another address to that listener.
    pub fn connect_from(&mut self, address: IpAddr, listener: usize) -> PeerNo {
        self.sockets().connect(listener, address)
    }

    /// Sends a datagram from that address to that listener.
    pub fn send_datagram(&mut self, listener: usize, from: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.sockets().push_datagram(listener, from, bytes.as_ref());
    }

    /// Returns the datagrams sent to that address since the last call.
    pub fn datagrams(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        self.sockets().take_datagrams(to)
    }

    /// Types at the server's own terminal.
    pub fn type_at_console(&mut self, bytes: impl AsRef<[u8]>) {
        self.sockets().push_console(bytes.as_ref());
    }

    /// Sends bytes as the peer; the server reads them when it [runs](Sim::run).
    pub fn send(&mut self, peer: PeerNo, bytes: impl AsRef<[u8]>) {
        self.sockets().peer(peer).send(bytes.as_ref());
    }

    /// Shuts down the peer's sending side.
    pub fn end(&mut self, peer: PeerNo) {
        self.sockets().peer(peer).end();
    }

    /// Resets the peer's connection.
    pub fn reset(&mut self, peer: PeerNo) {
        self.sockets().peer(peer).reset();
    }

    /// Stops the peer's reading: the kernel takes at most `room` bytes more for it.
    pub fn stall(&mut self, peer: PeerNo, room: usize) {
        self.sockets().peer(peer).set_room(room);
    }

    /// Returns what the peer has received since the last call.
    pub fn take(&mut self, peer: PeerNo) -> Vec<u8> {
        self.sockets().peer(peer).take()
    }

    /// Returns the lines that the peer has received since the last call, without their LF.
    ///
    /// # Panics
    /// If the output isn't complete lines of UTF-8. The server sends only those.
    pub fn lines(&mut self, peer: PeerNo) -> Vec<String> {
        let bytes = self.take(peer);
        let text = bytes.to_str().expect("the server sends UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines, not {text:?}");
        text.lines().map(str::to_owned).collect()
    }

    /// Returns whether the server has shut down its side or closed the connection.
    pub fn is_ended(&mut self, peer: PeerNo) -> bool {
        self.sockets().peer(peer).is_ended()
    }

    /// Returns whether the server has closed the connection.
    pub fn is_closed(&mut self, peer: PeerNo) -> bool {
        self.sockets().peer(peer).is_closed()
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        self.sockets().push_ready(Ready::Stop);
    }

    /// Runs the server until it has nothing to do at this time, and sends deferred presence.
    pub fn run(&mut self) -> Running {
        self.pass(Duration::ZERO);
        if self.reactor.server().connections.queues().waiting() > 0 {
            self.pass(PRESENCE_INTERVAL)
        } else {
            self.running
        }
    }

    /// Advances the clock by `time`, during which the server runs whatever is due.
    ///
    /// # Panics
    /// If the server spins or breaks an invariant.
    pub fn pass(&mut self, time: Duration) -> Running {
        self.pass_watched(time, |_| {})
    }

    /// Advances the clock as [`pass`](Sim::pass) does, and calls `watch` after each turn.
    ///
    /// # Panics
    /// If the server spins or breaks an invariant.
    pub fn pass_watched(&mut self, time: Duration, mut watch: impl FnMut(&mut Sim)) -> Running {
        /// More turns than any test needs; a server that spins reaches it soon.
        const MAX_TURNS: usize = 1_000_000;
        self.sockets().sleep_until(time);
        for _ in 0..MAX_TURNS {
            if self.running == Running::Done || self.sockets().is_asleep() {
                return self.running;
            }
            self.turn();
            watch(self);
        }
        panic_spinning()
    }

    /// Advances the clock by `time` without running the server: its machine is busy or suspended.
    pub fn oversleep(&mut self, time: Duration) {
        self.sockets().oversleep(time);
    }

    /// Runs one turn of the reactor.
    ///
    /// # Panics
    /// If it breaks an invariant, in debug builds.
    pub fn turn(&mut self) {
        self.turns += 1;
        self.running = self.reactor.turn().expect("the simulated poller never fails");
        if cfg!(debug_assertions) {
            self.reactor.server().invariants();
        }
    }

    /// Returns whether the server still runs.
    #[must_use]
    pub fn running(&self) -> Running {
        self.running
    }

    /// Returns the number of turns so far: one for each time that the server woke up.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.turns
    }

    /// Returns the simulated time.
    #[must_use]
    pub fn now(&mut self) -> Time {
        self.sockets().now()
    }

    /// Returns the reactor, for inspection.
    #[must_use]
    pub fn reactor(&self) -> &Reactor<SimSockets> {
        &self.reactor
    }

    /// Returns the simulated sockets.
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
    fn two_peers_exchange_messages() {
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

    /// Returns what the peer has received since the last call, as text.
    fn received(sim: &mut Sim, peer: PeerNo) -> String {
        String::from_utf8(sim.take(peer)).unwrap()
    }

    #[test]
    fn all_schemes_share_one_lobby() {
        let schemes =
            [Scheme::Line, Scheme::Classic, Scheme::Nickname, Scheme::Relay, Scheme::Udp, Scheme::Unix];
        let mut sim = Sim::with_schemes(Limits::default(), &schemes);
        let frame_timeout = Duration::from_millis(60);
        let udp = SocketAddr::from(([127, 0, 0, 1], 9));
        let [line, classic, nickname, relay] = [0, 1, 2, 3].map(|listener| sim.connect_at(listener));
        let operator = sim.connect_at(5);
        sim.run();
        assert!(received(&mut sim, classic).starts_with("You are connected from:('127.0.0.1', 5000"));
        assert_eq!(received(&mut sim, nickname), "NICKNAME");
        assert_eq!(received(&mut sim, relay), "");
        sim.send(line, "#line\n");
        sim.send(classic, "#Classy");
        sim.send(nickname, "nick");
        sim.pass(frame_timeout);
        sim.lines(line);
        assert_eq!(received(&mut sim, classic), "Your user detail saved as : Classy\n");
        assert_eq!(received(&mut sim, nickname), "nick joined!\nConnected to server!\n");
        sim.send(nickname, "nick: hello");
        sim.pass(frame_timeout);
        assert_eq!(received(&mut sim, nickname), "nick: hello\n");
        assert_eq!(received(&mut sim, relay), "nick: hello\n");
        sim.send(relay, "tom  :   good morning");
        sim.pass(frame_timeout);
        assert_eq!(received(&mut sim, relay), "tom: good morning\n");
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
        assert_eq!(received(&mut sim, classic), "psst\n");
        assert_eq!(received(&mut sim, relay), "ming: hello all\n@line: psst\nline: all\n");
        assert_eq!(sim.datagrams(udp), [&b"@line: psst"[..], b"line : all"]);
        sim.send(operator, "/announce hear\n/kick tom\n/stats\n");
        sim.run();
        assert!(received(&mut sim, relay).ends_with("administrator: hear\n!kicked\n"));
        assert!(received(&mut sim, classic).ends_with("administrator: hear\n"));
        assert!(received(&mut sim, nickname).ends_with("Administrator message: hear\ntom left!\n"));
        let stats = received(&mut sim, operator);
        assert!(stats.contains("+announced 5\n+kicked tom\n+stats users 4\n"), "{stats}");
        sim.send_datagram(4, udp, "Q ming");
        sim.run();
        assert_eq!(sim.datagrams(udp), [&b"administrator : hear"[..], b"tom exited the chat room", b"EXIT"]);
    }
}
