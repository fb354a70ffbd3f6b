//! The rate limit, in the simulator: the cost of each request in tokens; a sender above its rate is blocked, loses
//! nothing and costs no turns; the end of its stream is noticed meanwhile.

use redpoll::limits::{HALF_CLOSE_GRACE, KIB, LOW_READ, Limits, RATE_RECHECK, READ};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::{Faults, PeerNo, Sim};
use std::net::SocketAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(50);

/// A token bucket of twenty lines, refilled by four a second.
fn slow() -> Limits {
    Limits { rate: Some(4), burst: 20, ..Limits::default() }
}

/// Registers a member, with a full token bucket and without unread lines.
fn arrive(sim: &mut Sim, name: &str) -> PeerNo {
    let peer = sim.connect();
    sim.send(peer, format!("#{name}\n"));
    sim.pass(SECOND * 10);
    sim.take(peer);
    peer
}

fn pings(count: usize) -> String {
    (0..count).map(|i| format!("/ping {i}\n")).collect()
}

/// Returns the cost of a request, measured by the pings after it that are answered.
fn cost(request: &str) -> usize {
    let mut sim = Sim::new(slow());
    let alice = arrive(&mut sim, "alice");
    for name in ["bob", "carol"] {
        arrive(&mut sim, name);
    }
    sim.take(alice);
    sim.send(alice, format!("{request}{}", pings(30)));
    sim.run();
    20 - sim.lines(alice).iter().filter(|line| line.starts_with("+pong")).count()
}

#[test]
fn request_costs_match_the_protocol() {
    let table = [
        ("", 0),
        ("hello\n", 1),
        ("\n", 1),
        ("/nosuch\n", 1),
        ("a\0b\n", 1),
        ("@bob:hi\n", 1),
        ("@bob,carol:hi\n", 2),
        ("@bob,bob,bob:hi\n", 1),
        ("@alice,bob,carol:hi\n", 3),
        ("@nobody,carol:hi\n", 1),
        // The answer has one line of names and one that ends it.
        ("/who\n", 3),
        ("/who *\n", 3),
        ("/rooms\n", 3),
    ];
    for (request, tokens) in table {
        assert_eq!(cost(request), tokens, "{request:?}");
    }
}

#[test]
fn discarded_input_costs_per_4_kib() {
    for (bytes, tokens) in [(4 * KIB, 1 + 1), (4 * KIB + 1, 1 + 2), (8 * KIB, 1 + 2), (32 * KIB + 1, 1 + 9)] {
        let line = "x".repeat(bytes - 1) + "\n";
        // The default limit accepts 4096 bytes; one less makes them too long.
        let limits = Limits { max_line: 4 * KIB - 1, ..slow() };
        for piece in [bytes, 4 * KIB, 1000, 4 * KIB - 1] {
            let mut sim = Sim::new(limits.clone());
            let alice = arrive(&mut sim, "alice");
            for part in line.as_bytes().chunks(piece) {
                sim.send(alice, part);
                sim.run();
            }
            sim.send(alice, pings(30));
            sim.run();
            let pongs = sim.lines(alice).iter().filter(|line| line.starts_with("+pong")).count();
            assert_eq!(20 - pongs, tokens, "{bytes} bytes in pieces of {piece}");
        }
    }
}

#[test]
fn paste_within_burst_passes() {
    let mut sim = Sim::new(Limits::default());
    let alice = arrive(&mut sim, "alice");
    sim.send(alice, pings(100));
    sim.run();
    assert_eq!(sim.lines(alice).len(), 100);
}

#[test]
fn fast_sender_is_throttled_without_loss() {
    let mut sim = Sim::new(slow());
    let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
    sim.take(alice);
    sim.send(alice, (0..100).map(|i| format!("line {i}\n")).collect::<String>());
    sim.run();
    let mut received = sim.lines(bob);
    assert_eq!(received.len(), 20);
    for second in 1..=20 {
        sim.pass(SECOND);
        received.extend(sim.lines(bob));
        assert_eq!(received.len(), 20 + 4 * second, "after {second} s");
    }
    assert!(received.iter().enumerate().all(|(i, line)| *line == format!("alice: line {i}")), "in order");
    // A refilled bucket holds the burst again.
    sim.pass(SECOND * 5);
    sim.send(alice, pings(20));
    sim.run();
    assert_eq!(sim.lines(alice).len(), 20);
}

#[test]
fn sender_within_rate_is_never_blocked() {
    let mut sim = Sim::new(Limits { burst: 1, ..slow() });
    let alice = arrive(&mut sim, "alice");
    for i in 0..100 {
        sim.pass(RATE_RECHECK);
        sim.send(alice, format!("/ping {i}\n"));
        sim.run();
        assert_eq!(sim.lines(alice), [format!("+pong {i}")]);
    }
}

#[test]
fn blocked_sender_costs_no_reads() {
    let mut sim = Sim::new(Limits { rate: Some(1), burst: 1, ..Limits::default() });
    let alice = arrive(&mut sim, "alice");
    sim.send(alice, pings(10_000));
    sim.run();
    let (reads, turns) = (sim.sockets().calls.0, sim.turns());
    sim.pass(SECOND * 100);
    assert!(sim.sockets().calls.0 - reads <= 2, "buffered input lasts for longer than that");
    assert!(sim.turns() - turns <= 210, "{} turns", sim.turns() - turns);
    assert_eq!(sim.lines(alice).len(), 101);
}

#[test]
fn few_tokens_limit_the_read() {
    let mut sim = Sim::new(slow());
    let alice = arrive(&mut sim, "alice");
    sim.send(alice, "x\n".repeat(READ));
    sim.run();
    sim.end(alice);
    let id = sim.sockets().id(alice).expect("it is connected");
    assert!(sim.reactor().server().connections.input_len(id) <= LOW_READ);
}

#[test]
fn operators_have_no_rate_limit() {
    let mut sim = Sim::with_schemes(slow(), &[Scheme::Unix]);
    let operator = sim.connect();
    sim.send(operator, pings(1000));
    sim.run();
    assert_eq!(sim.lines(operator).len(), 2 + 1000);
}

#[test]
fn unlimited_rate_blocks_no_sender() {
    let mut sim = Sim::new(Limits { rate: None, ..slow() });
    let alice = arrive(&mut sim, "alice");
    sim.send(alice, pings(10_000));
    sim.run();
    assert_eq!(sim.lines(alice).len(), 10_000);
}

#[test]
fn blocked_sender_delays_no_other() {
    let mut sim = Sim::new(slow());
    let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
    sim.send(alice, pings(1000));
    sim.send(bob, "@alice:hi\n/ping 1\n");
    sim.run();
    assert_eq!(sim.lines(bob), ["+pong 1"]);
    assert!(sim.lines(alice).contains(&"@bob:hi".to_owned()), "a blocked sender still receives");
}

mod end_of_stream {
    use super::*;

    #[test]
    fn half_closed_input_is_still_handled() {
        let mut sim = Sim::new(slow());
        let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
        sim.send(alice, (0..50).map(|i| format!("line {i}\n")).collect::<String>() + "last");
        sim.end(alice);
        sim.pass(HALF_CLOSE_GRACE);
        let received = sim.lines(bob);
        assert_eq!(received.len(), 52);
        assert_eq!(received[49..], ["alice: line 49", "alice: last", "* alice left"]);
    }

    #[test]
    fn name_is_free_after_grace() {
        let mut sim = Sim::new(slow());
        let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
        // More than an hour's tokens, most of it not read yet.
        sim.send(alice, "line\n".repeat(20_000));
        sim.pass(SECOND * 3);
        sim.end(alice);
        sim.pass(HALF_CLOSE_GRACE - Duration::from_millis(1));
        let received = sim.lines(bob);
        assert_eq!(received.len(), 20 + 4 * 3 + 4 * 10 - 1);
        assert!(received.iter().all(|line| line == "alice: line"));
        sim.pass(Duration::from_millis(1));
        assert_eq!(sim.lines(bob).last().map(String::as_str), Some("* alice left"));
        assert!(sim.is_ended(alice));
        let turns = sim.turns();
        sim.pass(SECOND * 60);
        assert!(sim.is_closed(alice) && sim.turns() - turns < 100, "{} turns", sim.turns() - turns);
    }

    #[test]
    fn reset_connection_leaves_at_once() {
        let mut sim = Sim::new(slow());
        let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
        sim.send(alice, pings(1000));
        sim.run();
        sim.reset(alice);
        sim.run();
        assert_eq!(sim.lines(bob), ["* alice left (connection lost)"]);
    }

    #[test]
    fn end_does_not_extend_register_timeout() {
        let mut sim = Sim::new(slow());
        let unregistered = sim.connect();
        sim.send(unregistered, pings(5000));
        sim.pass(SECOND * 55);
        sim.end(unregistered);
        sim.pass(Duration::from_millis(4999));
        assert!(!sim.is_ended(unregistered));
        sim.pass(Duration::from_millis(1));
        assert!(sim.is_ended(unregistered));
    }

    #[test]
    fn late_registration_gets_full_grace() {
        let mut sim = Sim::new(slow());
        let bob = arrive(&mut sim, "bob");
        let alice = sim.connect();
        sim.send(alice, pings(30) + "#alice\n" + &"line\n".repeat(1000));
        sim.end(alice);
        sim.pass(SECOND * 4);
        assert_eq!(sim.lines(bob)[0], "* alice joined");
        sim.pass(SECOND * 7);
        assert_eq!(sim.lines(bob).last().map(String::as_str), Some("* alice left"));
    }
}

mod frame_timeouts {
    use super::*;

    /// A relay peer called tom with an empty token bucket, and a line peer that receives its messages.
    fn tom() -> (Sim, PeerNo, PeerNo) {
        let mut sim = Sim::with_schemes(slow(), &[Scheme::Line, Scheme::Relay]);
        let bob = arrive(&mut sim, "bob");
        let tom = sim.connect_at(1);
        sim.send(tom, (0..20).map(|_| "tom:x\n").collect::<String>());
        sim.run();
        assert_eq!(sim.lines(bob).len(), 21);
        (sim, bob, tom)
    }

    #[test]
    fn timeouts_are_seen_while_blocked() {
        let (mut sim, bob, tom) = tom();
        for i in 0..10 {
            sim.send(tom, format!("message {i}"));
            sim.pass(TIMEOUT);
        }
        assert!(sim.lines(bob).len() < 3);
        sim.pass(SECOND * 3);
        sim.take(bob);
        let (mut sim, bob, tom) = self::tom();
        for i in 0..10 {
            sim.send(tom, format!("message {i}"));
            sim.pass(TIMEOUT * 2);
        }
        sim.pass(SECOND * 10);
        let expected: Vec<String> = (0..10).map(|i| format!("tom: message {i}")).collect();
        assert_eq!(sim.lines(bob), expected);
    }

    #[test]
    fn read_ahead_calls_are_counted() {
        let mut sim = Sim::with_schemes(slow(), &[Scheme::Relay, Scheme::Unix]);
        let [tom, operator] = [0, 1].map(|listener| sim.connect_at(listener));
        sim.send(tom, "tom:x\n".repeat(20));
        sim.run();
        for i in 0..5 {
            sim.send(tom, format!("{i}\n"));
            sim.run();
        }
        sim.send(operator, "/stats\n");
        sim.run();
        let (read, counted) = (sim.sockets().calls.0, sim.lines(operator));
        assert!(counted.contains(&format!("+stats recv-calls {read}")), "{read} reads: {counted:?}");
    }

    #[test]
    fn cut_character_keeps_message_whole() {
        let (mut sim, bob, tom) = tom();
        sim.send(tom, b"Gr\xC3");
        sim.pass(TIMEOUT * 3);
        sim.send(tom, b"\xBC\xC3\x9Fe");
        sim.pass(SECOND * 5);
        assert_eq!(sim.lines(bob), ["tom: Gr\u{fc}\u{df}e"]);
    }

    #[test]
    fn held_messages_are_bounded_and_sent() {
        let (mut sim, bob, tom) = tom();
        let line = "y".repeat(4000);
        for _ in 0..20 {
            sim.send(tom, &line);
            sim.pass(TIMEOUT / 5);
            sim.send(tom, "\n");
            sim.run();
        }
        let id = sim.sockets().id(tom).expect("it is connected");
        assert!(
            (READ - KIB..=READ).contains(&sim.reactor().server().connections.input_len(id)),
            "{}",
            sim.reactor().server().connections.input_len(id)
        );
        sim.pass(SECOND * 10);
        assert_eq!(sim.lines(bob).len(), 20);
    }

    #[test]
    fn end_of_stream_sends_held_messages() {
        let (mut sim, bob, tom) = tom();
        sim.send(tom, "one");
        sim.pass(TIMEOUT);
        sim.send(tom, "two");
        sim.end(tom);
        sim.run();
        assert!(sim.lines(bob).is_empty());
        sim.pass(SECOND);
        assert_eq!(sim.lines(bob), ["tom: one", "tom: two", "* tom left"]);
    }
}

#[test]
fn excess_datagrams_are_dropped_and_counted() {
    let mut sim = Sim::with_schemes(slow(), &[Scheme::Line, Scheme::Udp]);
    let bob = arrive(&mut sim, "bob");
    let ming = SocketAddr::from(([192, 168, 0, 7], 9));
    sim.send_datagram(1, ming, "L ming");
    (0..30).for_each(|i| sim.send_datagram(1, ming, format!("C ming {i}")));
    sim.run();
    assert_eq!(sim.lines(bob).len(), 20, "the join event, and the remainder of the burst");
    sim.pass(SECOND);
    (0..30).for_each(|i| sim.send_datagram(1, ming, format!("C ming {i}")));
    sim.run();
    assert_eq!(sim.lines(bob).len(), 4);
}

#[test]
fn clock_jump_fills_bucket_once() {
    let mut sim = Sim::new(slow());
    let [alice, bob] = ["alice", "bob"].map(|name| arrive(&mut sim, name));
    sim.send(alice, "line\n".repeat(1000));
    sim.run();
    sim.take(bob);
    sim.oversleep(SECOND * 1000);
    sim.run();
    assert_eq!(sim.lines(bob).len(), 20);
}

#[test]
fn faulty_sockets_lose_no_request() {
    for seed in 0..50 {
        let mut sim =
            Sim::with_faults(Limits { rate: Some(100), burst: 3, ..Limits::default() }, Faults::plenty(seed));
        let peers: Vec<PeerNo> = (0..4).map(|_| sim.connect()).collect();
        for (i, peer) in peers.iter().enumerate() {
            sim.send(*peer, format!("#n{i}\n{}", pings(200)));
            sim.pass(Duration::from_millis(70));
        }
        sim.pass(SECOND * 10);
        for peer in peers {
            let pongs: Vec<_> =
                sim.lines(peer).into_iter().filter(|line| line.starts_with("+pong")).collect();
            assert!(pongs.iter().enumerate().all(|(i, line)| *line == format!("+pong {i}")), "seed {seed}");
            assert_eq!(pongs.len(), 200, "seed {seed}");
        }
    }
}

/// Two members of a server with a low rate; messages of the second may end by the frame timeout.
fn alice_and_nickname_bob() -> (Sim, PeerNo, PeerNo) {
    let limits = Limits { rate: Some(200), burst: 10, ..Limits::default() };
    let mut sim = Sim::with_schemes(limits, &[Scheme::Line, Scheme::Nickname]);
    let alice = arrive(&mut sim, "alice");
    let bob = sim.connect_at(1);
    sim.send(bob, "bob\n");
    sim.pass(SECOND);
    sim.take(alice);
    (sim, alice, bob)
}

/// Returns bob's message of this number: 1,004 bytes, the same as sent and as received.
fn line(i: usize) -> String {
    format!("bob: {i:04}{}", "x".repeat(995))
}

#[test]
fn full_input_cuts_no_message() {
    let (mut sim, alice, bob) = alice_and_nickname_bob();
    let lines = |range: std::ops::Range<usize>| range.map(|i| line(i) + "\n").collect::<String>();
    sim.send(bob, lines(0..20));
    sim.run();
    sim.pass(TIMEOUT / 2);
    // More than the input bound: the remainder of a message stays in the kernel. When the server wakes up, tokens are
    // refilled first, then the frame timeout passes.
    let count = 2 * READ / 1000;
    sim.send(bob, lines(20..count));
    sim.run();
    sim.oversleep(SECOND);
    sim.pass(SECOND * 10);
    assert_eq!(sim.lines(alice), (0..count).map(line).collect::<Vec<_>>());
}

#[test]
fn early_end_cuts_no_message() {
    let (mut sim, alice, bob) = alice_and_nickname_bob();
    let count = 2 * READ / 1000;
    sim.send(bob, (0..count).map(|i| line(i) + "\n").collect::<String>());
    sim.run();
    sim.end(bob);
    sim.pass(HALF_CLOSE_GRACE);
    let mut received: Vec<String> = (0..count).map(line).collect();
    received.push("* bob left".into());
    assert_eq!(sim.lines(alice), received);
}

#[test]
fn filled_input_is_no_stream_end() {
    let limits = Limits { rate: Some(1), burst: 5, ..Limits::default() };
    let mut sim = Sim::with_schemes(limits, &[Scheme::Classic]);
    let alice = sim.connect();
    sim.send(alice, "#alice\n");
    sim.pass(SECOND * 10);
    sim.send(alice, "\n".repeat(300));
    sim.run();
    let id = sim.sockets().id(alice).expect("alice is connected");
    // All but one byte of the input bound, then the frame timeout: the LF that it adds is the last byte.
    let room = READ - 1 - sim.reactor().server().connections.input_len(id);
    sim.send(alice, "y".repeat(room));
    sim.pass(TIMEOUT);
    assert_eq!(sim.reactor().server().connections.input_len(id), READ);
    sim.send(alice, "more");
    sim.pass(HALF_CLOSE_GRACE * 2);
    assert!(!sim.is_ended(alice), "alice's stream has not ended");
}

#[test]
fn ended_unregistered_connection_is_evicted() {
    let limits = Limits { max_connections: 64, ..Limits::default() };
    let max = limits.max_unregistered();
    let mut sim = Sim::new(limits);
    let unregistered: Vec<PeerNo> = (0..max).map(|_| sim.connect()).collect();
    sim.run();
    for peer in &unregistered {
        sim.send(*peer, "\n".repeat(10_000));
        sim.end(*peer);
    }
    sim.pass(SECOND);
    assert!(unregistered.iter().all(|peer| !sim.is_ended(*peer)), "all are blocked by rate");
    sim.connect();
    sim.run();
    let last = sim.lines(unregistered[0]).pop();
    assert_eq!(last.as_deref(), Some("!register-timeout no name was given in time"));
}
