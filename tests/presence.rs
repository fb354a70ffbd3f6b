//! Notices of who comes and goes may wait for what else their recipients are sent, but not long, and nothing overtakes them.

use redpoll::limits::{ARENA, Limits, NOTICES_APART};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::members::{arrive_all, figure};
use redpoll_kit::{PeerNo, Sim};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(1);

/// Members who are there for a while: the next notice is told at once.
fn arrive<const N: usize>(sim: &mut Sim, names: [&str; N]) -> [PeerNo; N] {
    let peers = arrive_all(sim, names);
    sim.pass(NOTICES_APART);
    peers
}

/// Somebody comes, and is answered, at this point in time.
fn come(sim: &mut Sim, name: &str) -> PeerNo {
    let peer = sim.connect();
    sim.send(peer, format!("#{name}\n"));
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(peer).len(), 4, "an answer doesn't wait");
    peer
}

#[test]
fn first_event_is_immediate_then_batched() {
    let mut sim = Sim::new(Limits::default());
    let [alice] = arrive(&mut sim, ["alice"]);
    let bob = come(&mut sim, "bob");
    assert_eq!(sim.lines(alice), ["* bob joined"]);
    let (_, sends) = sim.sockets().calls;
    come(&mut sim, "carol");
    sim.end(bob);
    sim.pass(NOTICES_APART - STEP);
    assert!(sim.take(alice).is_empty());
    assert_eq!(sim.sockets().calls.1, sends + 2, "carol's answer, and what bob had not been told yet");
    // Nothing else wakes the server up.
    let (due, mut told) = (sim.now() + STEP, None);
    sim.pass_watched(100 * STEP, |sim| {
        let now = sim.now();
        told = told.take().or_else(|| Some((now, sim.lines(alice))).filter(|(_, lines)| !lines.is_empty()));
    });
    assert_eq!(told, Some((due, vec!["* carol joined".to_owned(), "* bob left".to_owned()])));
    assert_eq!(sim.sockets().calls.1, sends + 4, "one each for alice and carol");
}

#[test]
fn message_flushes_deferred_presence() {
    let mut sim = Sim::new(Limits::default());
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    let carol = come(&mut sim, "carol");
    let dave = come(&mut sim, "dave");
    sim.send(carol, "/nick cora\n@alice:psst\n");
    sim.pass(Duration::ZERO);
    assert_eq!(
        sim.lines(alice),
        ["* carol joined", "* dave joined", "* carol is now cora", "@cora:psst"],
        "all of it, in its order, and now"
    );
    assert_eq!(sim.lines(bob), ["* carol joined"], "for him nothing is urgent");
    sim.send(dave, "all\n");
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(bob), ["* dave joined", "* carol is now cora", "dave: all"]);
}

#[test]
fn room_line_flushes_adjacent_presence() {
    let mut sim = Sim::new(Limits::default());
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    come(&mut sim, "carol");
    sim.take(alice);
    // The line follows the notice in the arena without a gap.
    sim.send(bob, "/nick rob\nall\n");
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(alice), ["* bob is now rob", "rob: all"]);
}

#[test]
fn deferred_list_stays_bounded() {
    let mut sim = Sim::new(Limits { rate: None, ..Limits::default() });
    let [alice, _, carol] = arrive(&mut sim, ["alice", "bob", "carol"]);
    come(&mut sim, "dave");
    sim.take(alice);
    // Each turn lists bob's queue once more, since alice's keeps the list from being cleared.
    let flushed_after = (0..2000).find(|turn| {
        sim.send(carol, format!("/nick c{turn}\n@bob:x\n"));
        sim.pass(Duration::ZERO);
        !sim.take(alice).is_empty()
    });
    assert!(flushed_after.is_some(), "no notice was flushed before it was due");
}

#[test]
fn leaving_peer_gets_deferred_presence() {
    let mut sim = Sim::new(Limits::default());
    let [bob, carol] = arrive(&mut sim, ["bob", "carol"]);
    come(&mut sim, "dave");
    come(&mut sim, "erin");
    [bob, carol].iter().for_each(|peer| _ = sim.take(*peer));
    // By asking for it, and by the end of its stream.
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
    come(&mut sim, "dave");
    sim.take(alice);
    come(&mut sim, "erin");
    let line = format!("@carol:{}\n", "x".repeat(1000));
    sim.send(bob, line.repeat(ARENA / line.len()));
    sim.pass(Duration::ZERO);
    assert!(sim.take(alice).is_empty(), "{} bytes are not enough", ARENA - line.len());
    sim.send(bob, line.repeat(2));
    sim.pass(Duration::ZERO);
    assert_eq!(sim.lines(alice), ["* erin joined"]);
    assert_eq!(sim.lines(carol).len(), 2 + ARENA / line.len() + 2);
}

#[test]
fn suppressed_presence_counts_no_line() {
    let mut sim = Sim::with_doors(Limits::default(), &[Scheme::Line, Scheme::Relay, Scheme::Unix]);
    let operator = sim.connect_at(2);
    sim.run();
    let lines_out = |sim: &mut Sim| figure(sim, operator, "lines-out");
    let [bob] = arrive(&mut sim, ["bob"]);
    let tom = sim.connect_at(1);
    sim.send(tom, "tom : hi");
    sim.pass(Duration::from_millis(60));
    let first = lines_out(&mut sim);
    let asking = lines_out(&mut sim) - first;
    sim.send(bob, "hello\n/quit\n");
    sim.run();
    let said = lines_out(&mut sim) - first - 2 * asking;
    assert_eq!(said, 2, "what was said to the other, and bob's +bye");
}

#[test]
fn lone_member_fills_no_arena() {
    let mut sim = Sim::new(Limits { rate: None, ..Limits::default() });
    let [alice, bob] = arrive(&mut sim, ["alice", "bob"]);
    come(&mut sim, "carol");
    sim.take(bob);
    come(&mut sim, "dave");
    // More than an arena, in a room of her own.
    sim.send(alice, "&alone\n".to_owned() + &"x\n".repeat(ARENA));
    sim.pass(Duration::ZERO);
    assert!(sim.take(bob).is_empty(), "no arena was needed, so what waits for him still waits");
}

#[test]
fn no_deferred_queue_arms_no_timer() {
    let mut sim = Sim::new(Limits::default());
    arrive(&mut sim, ["alice", "bob"]);
    come(&mut sim, "carol");
    sim.pass(Duration::from_secs(5));
    let turns = sim.turns();
    sim.pass(Duration::from_secs(3600));
    assert!(sim.turns() <= turns + 1, "it sleeps");
}

#[test]
fn presence_storm_costs_few_sends() {
    let mut sim = Sim::new(Limits { max_per_address: None, rate: None, ..Limits::default() });
    let here: Vec<PeerNo> = (0..50).flat_map(|n| arrive(&mut sim, [&format!("here{n}")])).collect();
    here.iter().for_each(|peer| _ = sim.take(*peer));
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
    // Two for each who came: what it is answered, and what it was to be told when it left. And one in 10 ms for the others.
    assert!(sends <= 2 * CYCLES + here.len() * (CYCLES / 5 / 10 + 2), "{sends} sends");
    for peer in here {
        assert_eq!(sim.lines(peer).len(), 2 * CYCLES, "each heard of all");
    }
}
