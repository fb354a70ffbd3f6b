//! Presence (join, leave and rename events) is deferred until other text leaves for the same recipient, or for a short
//! time; nothing overtakes it. In the simulator.

use redpoll::limits::{ARENA, Limits, PRESENCE_INTERVAL};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::fixtures::{register_all, stat};
use redpoll_kit::{PeerNo, Sim};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(1);

/// Registers members and lets [`PRESENCE_INTERVAL`] pass: the next presence event is sent at once.
fn arrive<const N: usize>(sim: &mut Sim, names: [&str; N]) -> [PeerNo; N] {
    let peers = register_all(sim, names);
    sim.pass(PRESENCE_INTERVAL);
    peers
}

/// Registers one more member, without letting time pass.
fn register(sim: &mut Sim, name: &str) -> PeerNo {
    let peer = sim.connect();
    sim.send(peer, format!("#{name}\n"));
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(peer).len(), 4, "answers are not deferred");
    peer
}

#[test]
fn first_event_is_immediate_then_batched() {
    let mut sim = Sim::new(Limits::default());
    let [alice] = arrive(&mut sim, ["alice"]);
    let bob = register(&mut sim, "bob");
    assert_eq!(sim.lines(alice), ["* bob joined"]);
    let (_, sends) = sim.sockets().calls;
    register(&mut sim, "carol");
    sim.end(bob);
    sim.pass(PRESENCE_INTERVAL - STEP);
    assert!(sim.take(alice).is_empty());
    assert_eq!(sim.sockets().calls.1, sends + 2, "carol's answer, and bob's deferred presence");
    // No other event wakes the server.
    let (due, mut received) = (sim.now() + STEP, None);
    sim.pass_watched(100 * STEP, |sim| {
        let now = sim.now();
        received =
            received.take().or_else(|| Some((now, sim.lines(alice))).filter(|(_, lines)| !lines.is_empty()));
    });
    assert_eq!(received, Some((due, vec!["* carol joined".to_owned(), "* bob left".to_owned()])));
    assert_eq!(sim.sockets().calls.1, sends + 4, "one each for alice and carol");
}

#[test]
fn message_flushes_deferred_presence() {
    let mut sim = Sim::new(Limits::default());
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    let carol = register(&mut sim, "carol");
    let dave = register(&mut sim, "dave");
    sim.send(carol, "/nick cora\n@alice:psst\n");
    sim.pass(Duration::ZERO);
    assert_eq!(
        sim.lines(alice),
        ["* carol joined", "* dave joined", "* carol is now cora", "@cora:psst"],
        "all lines, in order, at once"
    );
    assert_eq!(sim.lines(bob), ["* carol joined"], "bob's presence stays deferred");
    sim.send(dave, "all\n");
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(bob), ["* dave joined", "* carol is now cora", "dave: all"]);
}

#[test]
fn room_line_flushes_adjacent_presence() {
    let mut sim = Sim::new(Limits::default());
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    register(&mut sim, "carol");
    sim.take(alice);
    // The line follows the presence event in the arena without a gap.
    sim.send(bob, "/nick rob\nall\n");
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(alice), ["* bob is now rob", "rob: all"]);
}

#[test]
fn deferred_list_stays_bounded() {
    let mut sim = Sim::new(Limits { rate: None, ..Limits::default() });
    let [alice, _, carol] = arrive(&mut sim, ["alice", "bob", "carol"]);
    register(&mut sim, "dave");
    sim.take(alice);
    // Each turn lists bob's queue once more, since alice's keeps the list from being cleared.
    let flushed_after = (0..2000).find(|turn| {
        sim.send(carol, format!("/nick c{turn}\n@bob:x\n"));
        sim.pass(Duration::ZERO);
        !sim.take(alice).is_empty()
    });
    assert!(flushed_after.is_some(), "no presence was flushed before it was due");
}

#[test]
fn leaving_peer_gets_deferred_presence() {
    let mut sim = Sim::new(Limits::default());
    let [bob, carol] = arrive(&mut sim, ["bob", "carol"]);
    register(&mut sim, "dave");
    register(&mut sim, "erin");
    [bob, carol].iter().for_each(|peer| _ = sim.take(*peer));
    // By `/quit`, and by the end of the stream.
    sim.send(bob, "/quit\n");
    sim.end(bob);
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(bob), ["* erin joined", "+bye"]);
    sim.end(carol);
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(carol), ["* erin joined", "* bob left"]);
    assert!(sim.is_closed(bob) && sim.is_closed(carol));
}

#[test]
fn full_arena_flushes_deferred_presence() {
    let mut sim = Sim::new(Limits { rate: None, ..Limits::default() });
    let [alice, bob, carol] = arrive(&mut sim, ["alice", "bob", "carol"]);
    register(&mut sim, "dave");
    sim.take(alice);
    register(&mut sim, "erin");
    let line = format!("@carol:{}\n", "x".repeat(1000));
    sim.send(bob, line.repeat(ARENA / line.len()));
    sim.pass(Duration::ZERO);
    assert!(sim.take(alice).is_empty(), "{} bytes don't fill the arena", ARENA - line.len());
    sim.send(bob, line.repeat(2));
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(alice), ["* erin joined"]);
    assert_eq!(sim.lines(carol).len(), 2 + ARENA / line.len() + 2);
}

#[test]
fn suppressed_presence_counts_no_line() {
    let mut sim = Sim::with_schemes(Limits::default(), &[Scheme::Line, Scheme::Relay, Scheme::Unix]);
    let operator = sim.connect_at(2);
    sim.run();
    let lines_out = |sim: &mut Sim| stat(sim, operator, "lines-out");
    let [bob] = arrive(&mut sim, ["bob"]);
    let tom = sim.connect_at(1);
    sim.send(tom, "tom : hi");
    sim.pass(Duration::from_millis(60));
    let first = lines_out(&mut sim);
    let per_request = lines_out(&mut sim) - first;
    sim.send(bob, "hello\n/quit\n");
    sim.run();
    let sent = lines_out(&mut sim) - first - 2 * per_request;
    assert_eq!(sent, 2, "bob's line to the relay peer, and bob's +bye");
}

#[test]
fn lone_member_fills_no_arena() {
    let mut sim = Sim::new(Limits { rate: None, ..Limits::default() });
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    register(&mut sim, "carol");
    sim.take(bob);
    register(&mut sim, "dave");
    // More than an arena, in a room without other members.
    sim.send(alice, "&alone\n".to_owned() + &"x\n".repeat(ARENA));
    sim.pass(Duration::ZERO);
    assert!(sim.take(bob).is_empty(), "no arena was filled, so bob's presence is still deferred");
}

#[test]
fn no_deferred_queue_arms_no_timer() {
    let mut sim = Sim::new(Limits::default());
    arrive(&mut sim, ["alice", "bob"]);
    register(&mut sim, "carol");
    sim.pass(Duration::from_secs(5));
    let turns = sim.turns();
    sim.pass(Duration::from_secs(3600));
    assert!(sim.turns() <= turns + 1, "no timer is armed");
}

#[test]
fn presence_storm_costs_few_sends() {
    let mut sim = Sim::new(Limits { max_per_address: None, rate: None, ..Limits::default() });
    let members: Vec<PeerNo> = (0..50).flat_map(|n| arrive(&mut sim, [&format!("here{n}")])).collect();
    members.iter().for_each(|peer| _ = sim.take(*peer));
    let (_, before) = sim.sockets().calls;
    const CYCLES: usize = 500;
    for n in 0..CYCLES {
        let peer = sim.connect();
        sim.send(peer, format!("#c{n}\n"));
        sim.pass(Duration::ZERO);
        sim.end(peer);
        // Five cycles a millisecond.
        sim.pass(if n % 5 == 4 { STEP } else { Duration::ZERO });
    }
    sim.run();
    let sends = sim.sockets().calls.1 - before;
    // Two for each new peer: its answers, and its deferred presence as it leaves. One in 10 ms for each of the others.
    assert!(sends <= 2 * CYCLES + members.len() * (CYCLES / 5 / 10 + 2), "{sends} sends");
    for peer in members {
        assert_eq!(sim.lines(peer).len(), 2 * CYCLES, "each receives all events");
    }
}
