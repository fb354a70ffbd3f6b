//! UDP peers, which are source addresses, in the simulator: what they are sent, what they cost, and several datagrams
//! in one turn.

use redpoll::limits::{
    AMPLIFICATION_LIMIT, DATAGRAMS_PER_TURN, KIB, Limits, MAX_SHORT_MESSAGE, MAX_UNSOLICITED,
};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::Sim;
use redpoll_kit::fixtures::register;
use redpoll_kit::rng::Rng;
use std::net::SocketAddr;

/// The listeners of these tests, and their indexes.
const SCHEMES: [Scheme; 4] = [Scheme::Line, Scheme::Udp, Scheme::Udp, Scheme::Unix];
const UDP: usize = 1;
const OTHER: usize = 2;
const UNIX: usize = 3;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 0, 7], port))
}

/// Sends one datagram; returns the answers to its source.
fn ask(sim: &mut Sim, from: SocketAddr, datagram: impl AsRef<[u8]>) -> Vec<String> {
    sim.send_datagram(UDP, from, datagram);
    sim.run();
    received(sim, from)
}

fn received(sim: &mut Sim, at: SocketAddr) -> Vec<String> {
    let datagrams = sim.datagrams(at).into_iter();
    datagrams.map(|datagram| String::from_utf8(datagram).expect("the server sends UTF-8")).collect()
}

/// Returns a figure of `/stats`.
fn stat(sim: &mut Sim, key: &str) -> usize {
    let operator = sim.connect_at(UNIX);
    let stat = redpoll_kit::fixtures::stat(sim, operator, key);
    sim.send(operator, "/quit\n");
    sim.end(operator);
    sim.run();
    stat
}

#[test]
fn silent_peer_gets_bounded_output() {
    let mut sim = Sim::with_schemes(Limits { rate: None, ..Limits::default() }, &SCHEMES);
    let alice = register(&mut sim, "alice");
    let ming = address(1);
    assert_eq!(ask(&mut sim, ming, "L ming"), ["OK"]);
    for request in ["hm", "L ming", "C nobody hello"] {
        let answered: usize = ask(&mut sim, ming, request).iter().map(String::len).sum();
        let line = "x".repeat(KIB - 8);
        let datagram = "alice : ".len() + line.len();
        let dropped = stat(&mut sim, "datagrams-dropped");
        for _ in 0..80 {
            sim.send(alice, format!("{line}\n"));
        }
        sim.run();
        let got: usize = received(&mut sim, ming).iter().map(String::len).sum();
        let max = (MAX_UNSOLICITED - answered) / (datagram.min(MAX_SHORT_MESSAGE - 1))
            * datagram.min(MAX_SHORT_MESSAGE - 1);
        assert_eq!(got, max, "after {request:?}");
        let count = 80 - max / datagram.min(MAX_SHORT_MESSAGE - 1);
        assert_eq!(stat(&mut sim, "datagrams-dropped") - dropped, count, "dropped datagrams are counted");
    }
}

#[test]
fn unregistered_source_gets_threefold_at_most() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    register(&mut sim, "alice");
    let (mut rng, mut answers) = (Rng::new(7), 0);
    let parts = ["L ", "C ", "Q ", "alice", "admin", " ", "\n", "\0", "ü", "x", ":", "\u{202E}", "guest-1"];
    for port in 1..5000 {
        let mut datagram = String::new();
        for _ in 0..rng.below(6) {
            datagram.push_str(parts[rng.below(parts.len())]);
        }
        // A source that registers is not bounded threefold.
        let from = address(port);
        let got = ask(&mut sim, from, &datagram);
        if got.first().is_some_and(|got| got == "OK") {
            assert_eq!(ask(&mut sim, from, format!("Q{}", &datagram[1..])), ["EXIT"], "{datagram:?}");
            continue;
        }
        let bytes: usize = got.iter().map(String::len).sum();
        assert!(bytes <= AMPLIFICATION_LIMIT * datagram.len(), "{got:?} for {datagram:?}");
        answers += got.len();
    }
    assert!(answers > 100, "some are answered: {answers}");
    assert_eq!(sim.reactor().server().connections.count().0, 1, "unregistered sources leave no state");
}

#[test]
fn burst_from_one_source_keeps_order() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let alice = register(&mut sim, "alice");
    let ming = address(1);
    for datagram in ["L ming", "C ming one", "C ming two", "Q ming"] {
        sim.send_datagram(UDP, ming, datagram);
    }
    sim.run();
    assert_eq!(received(&mut sim, ming), ["OK", "EXIT"]);
    assert_eq!(sim.lines(alice), ["* ming joined", "ming: one", "ming: two", "* ming left"]);
}

#[test]
fn source_reenters_in_the_same_turn() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let alice = register(&mut sim, "alice");
    let (ming, hans) = (address(1), address(2));
    for (from, datagram) in [
        (ming, "L ming"),
        (ming, "Q ming"),
        (hans, "L ming"),
        (ming, "L ming"),
        (ming, "L bai"),
        (hans, "C ming hi"),
    ] {
        sim.send_datagram(UDP, from, datagram);
    }
    sim.run();
    assert_eq!(received(&mut sim, ming), ["OK", "EXIT", "occupied", "OK", "ming : hi"]);
    assert_eq!(received(&mut sim, hans), ["OK", "Welcome bai to the chat room"]);
    assert_eq!(
        sim.lines(alice),
        ["* ming joined", "* ming left", "* ming joined", "* bai joined", "ming: hi"]
    );
}

#[test]
fn kicked_source_is_unknown_at_once() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let operator = sim.connect_at(UNIX);
    let ming = address(1);
    assert_eq!(ask(&mut sim, ming, "L ming"), ["OK"]);
    // Both arrive in one turn, which reads connections first.
    sim.send(operator, "/kick ming out\n");
    assert_eq!(ask(&mut sim, ming, "L bai"), ["!kicked out", "OK"]);
}

#[test]
fn datagrams_per_turn_are_bounded() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let alice = register(&mut sim, "alice");
    let ming = address(1);
    sim.send_datagram(UDP, ming, "L ming");
    let many = 3 * DATAGRAMS_PER_TURN;
    (0..many).for_each(|number| sim.send_datagram(UDP, ming, format!("C ming {number}")));
    sim.send(alice, "/ping\n");
    sim.turn();
    let mut lines = sim.lines(alice);
    // The join event, the datagrams of one turn and the answer: no connection waits for more datagrams than that.
    assert_eq!((lines.len(), lines.contains(&"+pong".to_owned())), (1 + DATAGRAMS_PER_TURN, true));
    sim.run();
    lines.extend(sim.lines(alice));
    let texts: Vec<&String> = lines.iter().filter(|line| line.starts_with("ming: ")).collect();
    assert_eq!(texts.len(), many);
    assert!((0..many).all(|number| *texts[number] == format!("ming: {number}")), "in order");
}

#[test]
fn sources_differ_by_listener() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let ming = address(1);
    assert_eq!(ask(&mut sim, ming, "L ming"), ["OK"]);
    sim.send_datagram(OTHER, ming, "L ming");
    sim.send_datagram(OTHER, ming, "C ming hello");
    sim.send_datagram(OTHER, ming, "Q ming");
    sim.run();
    assert_eq!(received(&mut sim, ming), ["occupied"]);
}

#[test]
fn peers_count_as_connections() {
    let mut sim = Sim::with_schemes(Limits { max_connections: 2, ..Limits::default() }, &SCHEMES);
    let alice = register(&mut sim, "alice");
    assert_eq!(ask(&mut sim, address(1), "L ming"), ["OK"]);
    assert_eq!(ask(&mut sim, address(2), "L hans"), [""; 0], "a full server drops datagrams");
    let late = sim.connect();
    sim.run();
    assert_eq!(sim.lines(late), ["!server-full try again later"]);
    assert_eq!(ask(&mut sim, address(1), "Q ming"), ["EXIT"]);
    sim.end(late);
    sim.run();
    assert_eq!(ask(&mut sim, address(2), "L hans"), ["OK"]);
    assert_eq!(sim.lines(alice), ["* ming joined", "* ming left", "* hans joined"]);
}

#[test]
fn stop_notifies_udp_peers_without_waiting() {
    let mut sim = Sim::with_schemes(Limits::default(), &SCHEMES);
    let ming = address(1);
    assert_eq!(ask(&mut sim, ming, "L ming"), ["OK"]);
    sim.stop();
    assert_eq!(sim.run(), redpoll::reactor::Running::Done);
    assert_eq!(received(&mut sim, ming), ["!shutting-down the server stops"]);
}
