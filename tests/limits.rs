//! Promises of the protocol and the design that no other file is about, each shown in the simulator. Where the others are
//! kept and tested stands in `docs/architecture.md`.

use redpoll::limits::{ACCEPTS_A_TURN, KIB, Limits, MAX_KICKED, MAX_WHO};
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::members::{arrive, figure};
use redpoll_kit::{PeerNo, Sim};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { rate: None, ..Limits::default() }
}

#[test]
fn greeting_joins_the_first_answer() {
    let mut sim = Sim::new(limits());
    let alice = sim.connect();
    sim.send(alice, "#alice\n/ping 1\n");
    let sends = sim.sockets().calls.1;
    sim.run();
    assert_eq!(sim.lines(alice).len(), 2 + 2 + 1);
    assert_eq!(sim.sockets().calls.1 - sends, 1);
}

#[test]
fn message_takes_two_system_calls() {
    let mut sim = Sim::with_doors(limits(), &[Scheme::Line, Scheme::Unix]);
    let operator = sim.connect_at(1);
    let alice = arrive(&mut sim, "alice");
    let bob = arrive(&mut sim, "bob");
    let keys = ["watch-calls", "accept-calls"];
    let before = keys.map(|key| figure(&mut sim, operator, key));
    let calls = sim.sockets().calls;
    for _ in 0..100 {
        sim.send(alice, "@bob:hi\n");
        sim.run();
    }
    assert_eq!(sim.lines(bob).len(), 100);
    let after = sim.sockets().calls;
    assert_eq!((after.0 - calls.0, after.1 - calls.1), (100, 100));
    assert_eq!(keys.map(|key| figure(&mut sim, operator, key)), before);
}

#[test]
fn received_message_counts_once() {
    let mut sim = Sim::with_doors(limits(), &[Scheme::Line, Scheme::Unix, Scheme::Classic]);
    let operator = sim.connect_at(1);
    let before = figure(&mut sim, operator, "lines-in");
    let (alice, tom) = (sim.connect(), sim.connect_at(2));
    // The last one ends by the end of the stream, and tom's by a pause.
    sim.send(alice, "#alice\none\ntwo");
    sim.run();
    sim.end(alice);
    sim.send(tom, "#tom");
    sim.pass(SECOND);
    assert_eq!(figure(&mut sim, operator, "lines-in") - before, 3 + 1 + 1, "and one for /stats itself");
}

#[test]
fn accepts_per_turn_are_bounded() {
    let mut sim = Sim::new(limits());
    let alice = arrive(&mut sim, "alice");
    (0..2 * ACCEPTS_A_TURN).for_each(|_| _ = sim.connect());
    sim.send(alice, "/ping 1\n");
    sim.turn();
    assert_eq!(sim.lines(alice), ["+pong 1"]);
    assert_eq!(sim.reactor().server().connections.count().0, 1 + ACCEPTS_A_TURN);
    sim.run();
    assert_eq!(sim.reactor().server().connections.count().0, 1 + 2 * ACCEPTS_A_TURN);
}

#[test]
fn slow_reader_cannot_extend_the_drain() {
    for quits in [true, false] {
        let mut sim = Sim::new(limits());
        let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
        sim.stall(bob, 0);
        sim.send(alice, format!("{}\n", "x".repeat(1000)).repeat(100));
        sim.run();
        if quits {
            sim.send(bob, "/quit\n")
        } else {
            sim.stop()
        }
        // A drain is five seconds.
        for _ in 0..49 {
            sim.pass(SECOND / 10);
            sim.stall(bob, 100);
        }
        assert!(!sim.is_closed(bob));
        let running = sim.pass(SECOND / 10);
        assert!(sim.is_closed(bob));
        assert_eq!(running == Running::Done, !quits);
    }
}

#[test]
fn name_list_is_cut_at_1000() {
    let mut sim = Sim::new(Limits { quiet_above: Some(1), max_connections: 2 * MAX_WHO, ..limits() });
    let peers: Vec<PeerNo> = (0..MAX_WHO + 1).map(|i| arrive(&mut sim, &format!("n{i}"))).collect();
    for asked in ["/who\n", "/who *\n"] {
        sim.send(peers[0], asked);
        sim.run();
        let lines = sim.lines(peers[0]);
        let told: usize =
            lines.iter().map(|line| line.split(' ').filter(|word| word.starts_with('n')).count()).sum();
        assert_eq!(told, MAX_WHO);
        assert!(lines.last().is_some_and(|line| line.ends_with(&format!(" {}", MAX_WHO + 1))), "{asked}");
        assert!(lines.iter().all(|line| line.len() < 4 * KIB));
    }
}

#[test]
fn kicked_names_are_bounded_oldest_freed() {
    let mut sim = Sim::with_doors(limits(), &[Scheme::Line, Scheme::Unix]);
    let operator = sim.connect_at(1);
    for i in 0..=MAX_KICKED {
        arrive(&mut sim, &format!("n{i}"));
        sim.send(operator, format!("/kick n{i}\n"));
        sim.run();
    }
    let late = sim.connect();
    sim.send(late, "#n1\n#n0\n");
    sim.run();
    let told = sim.lines(late);
    assert!(told[2].starts_with("!kicked") && told[3] == "+nick n0", "{told:?}");
}
