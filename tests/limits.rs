//! Fixed bounds of `src/limits.rs` that have no file of tests of their own, in the simulator. `docs/architecture.md`
//! lists all bounds with the code that keeps them and the tests that check them.

use redpoll::limits::{ACCEPTS_PER_TURN, KIB, Limits, MAX_KICKED, MAX_WHO};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::fixtures::register;
use redpoll_kit::{PeerNo, Sim};

/// The default limits without a rate limit.
fn limits() -> Limits {
    Limits { rate: None, ..Limits::default() }
}

#[test]
fn accepts_per_turn_are_bounded() {
    let mut sim = Sim::new(limits());
    let alice = register(&mut sim, "alice");
    (0..2 * ACCEPTS_PER_TURN).for_each(|_| _ = sim.connect());
    sim.send(alice, "/ping 1\n");
    sim.turn();
    assert_eq!(sim.lines(alice), ["+pong 1"]);
    assert_eq!(sim.reactor().server().connections.count().0, 1 + ACCEPTS_PER_TURN);
    sim.run();
    assert_eq!(sim.reactor().server().connections.count().0, 1 + 2 * ACCEPTS_PER_TURN);
}

#[test]
fn name_list_is_cut_at_1000() {
    let mut sim = Sim::new(Limits { quiet_above: Some(1), max_connections: 2 * MAX_WHO, ..limits() });
    let peers: Vec<PeerNo> = (0..MAX_WHO + 1).map(|i| register(&mut sim, &format!("n{i}"))).collect();
    for request in ["/who\n", "/who *\n"] {
        sim.send(peers[0], request);
        sim.run();
        let lines = sim.lines(peers[0]);
        let names: usize =
            lines.iter().map(|line| line.split(' ').filter(|word| word.starts_with('n')).count()).sum();
        assert_eq!(names, MAX_WHO);
        assert!(lines.last().is_some_and(|line| line.ends_with(&format!(" {}", MAX_WHO + 1))), "{request}");
        assert!(lines.iter().all(|line| line.len() < 4 * KIB));
    }
}

#[test]
fn kicked_names_are_bounded_oldest_freed() {
    let mut sim = Sim::with_schemes(limits(), &[Scheme::Line, Scheme::Unix]);
    let operator = sim.connect_at(1);
    for i in 0..=MAX_KICKED {
        register(&mut sim, &format!("n{i}"));
        sim.send(operator, format!("/kick n{i}\n"));
        sim.run();
    }
    let late = sim.connect();
    sim.send(late, "#n1\n#n0\n");
    sim.run();
    let lines = sim.lines(late);
    assert!(lines[2].starts_with("!kicked") && lines[3] == "+nick n0", "{lines:?}");
}
