//! The turn of the event loop, in the simulator: how often connections are read and sent to, what a peer that doesn't
//! read costs, and how connections and the server end.

use redpoll::limits::{
    ARENA, KIB, Limits, MAX_ACCEPT_BACKOFF, MAX_MAX_LINE, MAX_REJECTED, MIN_MAX_LINE, MIN_QUEUE, READ,
    TOO_SLOW_AFTER,
};
use redpoll::protocol::name::EVERY_SCRIPT;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use redpoll_kit::fixtures::{register, register_all, stat};
use redpoll_kit::{Fault, Faults, PeerNo, Sim};
use std::net::SocketAddr;
use std::time::Duration;

/// The default limits without a rate limit.
fn limits() -> Limits {
    Limits { rate: None, ..Limits::default() }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A server with small queues: 8 KiB each; half is 4 KiB, the hard limit (eight times) 64 KiB.
fn small_queues() -> Sim {
    Sim::new(Limits { queue: 8 * KIB, ..limits() })
}

fn forget(sim: &mut Sim, peer: PeerNo) {
    sim.sockets().peer(peer).forget_output();
}

fn unsent(sim: &mut Sim, peer: PeerNo) -> usize {
    let id = sim.sockets().id(peer).expect("it is connected");
    sim.reactor().server().connections.queues().unsent(id)
}

/// Counts the reads, sends and turns of `act`.
fn cost(sim: &mut Sim, act: impl FnOnce(&mut Sim)) -> (usize, usize, usize) {
    let (before, turns) = (sim.sockets().calls, sim.turns());
    act(sim);
    let after = sim.sockets().calls;
    (after.0 - before.0, after.1 - before.1, sim.turns() - turns)
}

/// Returns `count` lines of 100 bytes, each of `head` and its number.
fn lines_of_100(head: &str, count: usize) -> String {
    (0..count).map(|i| format!("{:x<99}\n", format!("{head}{i:05}"))).collect()
}

mod reading_and_sending {
    use super::*;

    #[test]
    fn one_read_and_send_per_peer() {
        let mut sim = Sim::new(limits());
        let peers = register_all(&mut sim, ["alice", "bob", "carol", "dave"]);
        for peer in &peers[..3] {
            sim.send(*peer, "one\ntwo\n@dave:three\n/ping 4\n");
        }
        assert_eq!(cost(&mut sim, Sim::turn), (3, 4, 1));
        assert_eq!(sim.lines(peers[3]).len(), 9, "all lines are in that one send");
        sim.run();
        assert_eq!(sim.lines(peers[0]).len(), 5);
    }

    #[test]
    fn fast_peer_starves_no_other() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        let much = lines_of_100("@alice:", 10_000);
        sim.send(alice, &much);
        sim.send(bob, "/ping soon\n");
        let first = cost(&mut sim, Sim::turn);
        assert_eq!(sim.lines(bob), ["+pong soon"]);
        assert_eq!((first.0, first.2), (2, 1), "both were read once");
        let (reads, _, turns) = cost(&mut sim, |sim| {
            sim.run();
        });
        assert_eq!(reads, (much.len() - READ).div_ceil(READ));
        assert_eq!(turns, reads + 1, "and one without work");
        assert_eq!(sim.lines(alice).len(), 10_000);
    }

    #[test]
    fn full_socket_is_not_sent_to() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 7);
        sim.send(alice, "hello\n");
        assert_eq!(cost(&mut sim, Sim::turn).1, 1, "one send is tried");
        sim.send(alice, "more\n");
        sim.run();
        sim.send(alice, "and more\n");
        assert_eq!(cost(&mut sim, Sim::turn).1, 0, "no send before the socket is writable");
        sim.stall(bob, 10);
        assert_eq!(cost(&mut sim, Sim::turn).1, 1);
        assert_eq!(sim.take(bob), b"alice: hello\nalic");
        sim.stall(bob, usize::MAX);
        assert_eq!(cost(&mut sim, Sim::turn).1, 1);
        assert_eq!(sim.lines(bob), ["e: more", "alice: and more"]);
        assert_eq!(cost(&mut sim, Sim::turn), (0, 0, 1), "write interest ends with the bytes");
    }

    #[test]
    fn arena_overflow_flows_in_order() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        for i in 0..100 {
            register_all(&mut sim, [&format!("{i:a>32}")]);
        }
        [alice, bob].iter().for_each(|peer| forget(&mut sim, *peer));
        let requests: String = (0..200).map(|i| format!("/who *\n/ping {i}\nline {i}\n")).collect();
        assert!(requests.len() < READ, "one read");
        sim.send(alice, requests);
        sim.turn();
        let mut answers = sim.lines(alice);
        let first: usize = answers.iter().map(String::len).sum();
        assert!((1..2 * 128 * KIB).contains(&first), "{first} bytes are an arena and what filled it");
        sim.run();
        answers.extend(sim.lines(alice));
        let bytes: usize = answers.iter().map(String::len).sum();
        assert!(bytes > 4 * 128 * KIB, "{bytes} bytes are several arenas");
        let pongs: Vec<_> = answers.iter().filter(|line| line.starts_with("+pong")).collect();
        assert!(pongs.iter().enumerate().all(|(i, line)| **line == format!("+pong {i}")));
        assert_eq!((pongs.len(), answers.len()), (200, 3 * 200));
        let received = sim.lines(bob);
        assert!(received.iter().enumerate().all(|(i, line)| *line == format!("alice: line {i}")));
        assert_eq!(received.len(), 200);
    }

    #[test]
    fn idle_server_arms_no_timer() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.send(alice, "hi\nan unfinished li");
        sim.run();
        let (reads, sends, turns) = cost(&mut sim, |sim| {
            sim.pass(DAY);
        });
        assert_eq!((reads, sends), (0, 0));
        assert!(turns <= 2, "one to trim, one that lasts a day, not {turns}");
        sim.send(alice, "ne\n");
        sim.run();
        assert_eq!(sim.lines(bob), ["alice: hi", "alice: an unfinished line"]);
    }

    #[test]
    fn only_unfinished_lines_hold_buffers() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        assert_eq!(sim.reactor().server().connections.input().buffers(), 0);
        sim.send(alice, "hi\nunfinished");
        sim.send(bob, "x".repeat(5000));
        sim.run();
        assert_eq!(sim.reactor().server().connections.input().buffers(), 1, "discarded input is not kept");
        sim.reset(alice);
        sim.run();
        assert_eq!(sim.reactor().server().connections.input().buffers(), 0);
    }
}

mod unread_output {
    use super::*;

    #[test]
    fn unread_answers_stop_reading() {
        let mut sim = small_queues();
        let [alice] = register_all(&mut sim, ["alice"]);
        sim.stall(alice, 0);
        sim.send(alice, "/who *\n".repeat(10_000));
        let (reads, sends, _) = cost(&mut sim, |sim| {
            sim.pass(DAY);
        });
        assert_eq!((reads, sends), (1, 1));
        assert!(unsent(&mut sim, alice) <= 8 * KIB, "{} bytes", unsent(&mut sim, alice));
        // The peer reads a little at a time.
        for _ in 0..1000 {
            sim.stall(alice, 100);
            sim.run();
            assert!(unsent(&mut sim, alice) <= 8 * KIB);
        }
        sim.stall(alice, usize::MAX);
        sim.run();
        let answers = sim.lines(alice);
        assert_eq!(answers.len(), 20_000);
        assert!(answers.chunks(2).all(|pair| pair == ["+who * alice", "+end who * 1"]));
        assert_eq!(sim.reactor().server().connections.input().buffers(), 0);
    }

    #[test]
    fn refilled_queue_keeps_reading_blocked() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(alice, 0);
        sim.send(alice, "/ping x\n".repeat(2_000));
        sim.run();
        // In one turn: alice's queue falls below half when bob's lines are flushed on the way, and passes it again.
        sim.stall(alice, 6_000);
        sim.send(bob, lines_of_100("", 85));
        sim.run();
        assert!(unsent(&mut sim, alice) > 4 * KIB);
        sim.stall(alice, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(alice).len(), 2_000 + 85);
    }

    #[test]
    fn half_closed_peer_is_still_answered() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.send(bob, "/ping x\n".repeat(5_000) + "@alice:last");
        sim.end(bob);
        sim.pass(DAY);
        assert!(sim.lines(alice).is_empty(), "bob is not read, so the end of the stream isn't either");
        sim.stall(bob, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(bob).len(), 5_000);
        assert_eq!(sim.lines(alice), ["@bob:last", "* bob left"]);
        assert!(sim.is_closed(bob));
    }

    #[test]
    fn reset_stalled_peer_leaves_at_once() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.send(bob, "/ping x\n".repeat(5_000));
        sim.run();
        sim.reset(bob);
        let (_, _, turns) = cost(&mut sim, |sim| {
            sim.pass(Duration::ZERO);
        });
        sim.run();
        assert!(turns <= 2, "the hang-up is handled once: {turns} turns");
        assert_eq!(sim.lines(alice), ["* bob left (connection lost)"]);
    }

    #[test]
    fn half_full_queue_refuses_direct_messages() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.run();
        // One a turn: bytes in the arena of the turn are not refused by the kernel yet.
        let mut taken = 0;
        while sim.lines(alice).is_empty() {
            taken += 1;
            assert!(taken < 100, "half is 4 KiB");
            sim.send(alice, lines_of_100("@bob:", 1));
            sim.run();
        }
        // `@alice:` is two bytes longer than `@bob:`.
        assert_eq!(taken - 1, 4 * KIB / 102 + 1, "accepted until more than half is used");
        let queued = unsent(&mut sim, bob);
        sim.send(alice, "@BOB:x\n@nobody,bob,alice:x\n@alice,bob:twice\n@bob,bob,bob:x\n");
        sim.run();
        let lines = [
            "!recipient-full BOB",
            "!no-such-user nobody",
            "!recipient-full bob",
            "@alice:x",
            "@alice:twice",
            "!recipient-full bob",
            "!recipient-full bob",
        ];
        assert_eq!(sim.lines(alice), lines, "each by name, a name that is repeated once");
        assert_eq!(unsent(&mut sim, bob), queued);
        // The other half is for room lines.
        sim.send(alice, "a room's line\n");
        sim.run();
        assert!(unsent(&mut sim, bob) > queued);
        sim.stall(bob, usize::MAX);
        sim.run();
        sim.send(alice, "@bob:again\n");
        sim.run();
        assert_eq!(sim.lines(bob)[taken - 1..], ["alice: a room's line", "@alice:again"]);
    }

    #[test]
    fn slow_peer_drops_after_two_seconds() {
        let mut sim = small_queues();
        let [alice, bob, carol] = register_all(&mut sim, ["alice", "bob", "carol"]);
        sim.stall(bob, 150);
        // 106 bytes each as sent to bob: 150 bytes are taken, the second line is partly sent.
        sim.send(alice, lines_of_100("", 77));
        sim.pass(DAY);
        assert!(unsent(&mut sim, bob) <= 8 * KIB, "within the limit there is no deadline");
        forget(&mut sim, carol);
        sim.send(alice, lines_of_100("", 3));
        sim.pass(Duration::from_millis(1999));
        assert!(unsent(&mut sim, bob) > 8 * KIB);
        assert_eq!(sim.lines(carol).len(), 3, "other connections are not delayed");
        sim.pass(Duration::from_millis(1));
        assert_eq!(sim.lines(alice), ["* bob left (too slow)"]);
        assert_eq!(sim.lines(carol), ["* bob left (too slow)"]);
        assert!(unsent(&mut sim, bob) < 300, "the remainder of a line and the final line");
        sim.send(alice, "not for bob\n");
        sim.stall(bob, usize::MAX);
        sim.run();
        let received = sim.lines(bob);
        assert_eq!(
            received[..2],
            lines_of_100("alice: ", 2).lines().map(|l| format!("{l}xxxxxxx")).collect::<Vec<_>>()
        );
        assert_eq!(received[2..], ["!too-slow what was sent to you was not read"]);
        assert!(sim.is_ended(bob));
    }

    #[test]
    fn hard_limit_drops_at_once() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        // 106 bytes each as sent to bob: 64 KiB are 618 lines and a part.
        sim.send(alice, lines_of_100("", 600));
        sim.run();
        assert!(sim.lines(alice).is_empty());
        sim.send(alice, lines_of_100("", 20));
        sim.run();
        assert_eq!(sim.lines(alice), ["* bob left (too slow)"]);
        sim.stall(bob, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(bob), ["!too-slow what was sent to you was not read"]);
    }

    #[test]
    fn recovered_queue_is_spared() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.send(alice, lines_of_100("", 100));
        sim.pass(Duration::from_millis(1999));
        // A queue back at the limit is enough; above it, two seconds start again.
        let surplus = unsent(&mut sim, bob) - 8 * KIB;
        sim.stall(bob, surplus);
        sim.pass(DAY);
        sim.send(alice, lines_of_100("", 1));
        sim.pass(Duration::from_millis(1999));
        assert!(sim.lines(alice).is_empty());
        sim.stall(bob, usize::MAX);
        sim.pass(DAY);
        assert!(sim.lines(alice).is_empty());
        assert_eq!(sim.lines(bob).len(), 101, "no line is lost");
    }

    #[test]
    fn dropped_peer_is_not_read_again() {
        let mut sim = small_queues();
        let others: Vec<PeerNo> =
            (0..30).map(|i| register_all(&mut sim, [&format!("other{i}")])[0]).collect();
        let [bob] = register_all(&mut sim, ["bob"]);
        // All are blocked by output: the others have more unread input than bob's queue takes, bob more than one line.
        let flood = "/ping x\n".repeat(700) + &"x\n".repeat(2_000);
        let inputs =
            others.iter().map(|other| (*other, flood.clone())).chain([(bob, "/ping x\n".repeat(5_000))]);
        for (peer, input) in inputs {
            sim.stall(peer, 0);
            sim.send(peer, input);
            sim.run();
        }
        // All are runnable in the next turn, bob last; bob's queue isn't empty yet.
        others.iter().for_each(|other| sim.stall(*other, usize::MAX));
        sim.stall(bob, 4 * KIB);
        sim.turn();
        sim.reset(bob);
        sim.run();
        let received = sim.lines(others[0]);
        assert!(received.iter().any(|line| line == "* bob left (too slow)"), "{:?}", received.last());
        assert!(sim.is_closed(bob));
    }

    #[test]
    fn partial_line_may_exceed_the_queue() {
        let limits = Limits { max_line: MAX_MAX_LINE, queue: MIN_QUEUE, ..limits() };
        let mut sim = Sim::new(limits);
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 1);
        sim.send(alice, [vec![0xFF; MAX_MAX_LINE - 1], b"\n".to_vec()].concat());
        sim.run();
        sim.pass(TOO_SLOW_AFTER);
        sim.send(alice, "/ping\n");
        sim.run();
        assert_eq!(sim.lines(alice), ["* bob left (too slow)", "+pong"]);
    }

    #[test]
    fn fast_reader_survives_short_line_burst() {
        let mut sim = Sim::new(limits());
        // The longest name that this build takes.
        let name = if EVERY_SCRIPT { "\u{10428}" } else { "a" }.repeat(32);
        let [alice, bob] = register_all(&mut sim, [name.as_str(), "bob"]);
        // A peer that reads all of its socket's buffer between two waits.
        sim.send(alice, "x\n".repeat(READ / 2));
        for _ in 0..1000 {
            sim.stall(bob, 256 * KIB);
            sim.turn();
        }
        sim.stall(bob, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(bob).len(), READ / 2);
    }

    #[test]
    fn server_sleep_drops_no_peer() {
        let mut sim = small_queues();
        let [alice, bob, carol] = register_all(&mut sim, ["alice", "bob", "carol"]);
        [bob, carol].iter().for_each(|peer| sim.stall(*peer, 0));
        sim.send(carol, "/quit\n");
        sim.run();
        sim.send(alice, lines_of_100("", 100));
        sim.run();
        [bob, carol].iter().for_each(|peer| sim.stall(*peer, usize::MAX));
        sim.oversleep(Duration::from_secs(60));
        sim.run();
        assert_eq!(sim.lines(alice), ["* carol left"]);
        assert_eq!(sim.lines(bob).len(), 101, "no line is lost");
        assert_eq!(sim.lines(carol), ["+bye"], "nor the bytes to flush within the drain");
    }

    #[test]
    fn quit_flushes_within_the_drain() {
        let mut sim = small_queues();
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.send(bob, "/quit\n");
        sim.pass(Duration::from_millis(4999));
        assert_eq!(sim.lines(alice), ["* bob left"]);
        assert!(!sim.is_closed(bob));
        sim.pass(Duration::from_millis(1));
        assert!(sim.is_closed(bob));
    }
}

mod connections {
    use super::*;

    #[test]
    fn slot_is_reused_after_its_events() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        let slot = sim.sockets().id(bob);
        // In one turn: alice's input causes a flush, which finds bob's connection broken; then bob's own event, for a
        // connection that is closed by then; then an accepted connection.
        sim.send(alice, "/who *\n".repeat(9_000));
        sim.send(bob, "hi\n@alice:x\n");
        sim.send(alice, "x\n");
        sim.reset(bob);
        let carol = sim.connect();
        sim.turn();
        assert_eq!(sim.sockets().id(carol), slot, "the slot is reused in the same turn");
        sim.send(carol, "/ping mine\n");
        sim.run();
        let lines = sim.lines(carol);
        assert_eq!((lines.len(), lines[2].as_str()), (3, "+pong mine"), "no line of bob's");
        let presence: Vec<_> = sim.lines(alice).into_iter().filter(|line| line.starts_with('*')).collect();
        assert_eq!(presence, ["* bob left (connection lost)"], "sent once");
        // Bob's deadlines don't apply to carol, which has the whole time to register.
        sim.pass(Duration::from_secs(59));
        assert!(!sim.is_ended(carol));
    }

    #[test]
    fn reset_during_fan_out_is_announced() {
        let mut sim = Sim::new(limits());
        let [alice, bob, carol, dave] = register_all(&mut sim, ["alice", "bob", "carol", "dave"]);
        // Both are broken, which only a send shows: alice's line is handled first in the turn.
        sim.send(alice, "hello\n");
        sim.reset(bob);
        sim.reset(carol);
        sim.run();
        let received = sim.lines(dave);
        assert_eq!(
            received,
            ["alice: hello", "* bob left (connection lost)", "* carol left (connection lost)"]
        );
        assert_eq!(sim.lines(alice), received[1..]);
        assert_eq!(
            (sim.reactor().server().connections.count().0, sim.reactor().server().hub().registered()),
            (2, 2)
        );
    }

    #[test]
    fn accept_backoff_doubles_and_ends() {
        let mut sim = Sim::new(limits());
        let [alice] = register_all(&mut sim, ["alice"]);
        let no_memory = Faults::none(0).with(Fault::NoMemory, 1000);
        sim.sockets().set_faults(Some(no_memory));
        let bob = sim.connect();
        let (_, _, turns) = cost(&mut sim, |sim| {
            sim.pass(Duration::from_secs(60));
        });
        // 10, 20, 40 … 640 ms, then a second each; and one to trim.
        assert!((60..=70).contains(&turns), "{turns} turns");
        sim.send(alice, "/ping 1\n");
        sim.run();
        assert_eq!(sim.lines(alice), ["+pong 1"], "accepted connections are not affected");
        sim.sockets().set_faults(None);
        sim.pass(MAX_ACCEPT_BACKOFF);
        sim.send(bob, "#bob\n");
        sim.run();
        assert_eq!(sim.lines(alice), ["* bob joined"]);
        // The backoff starts again from its minimum.
        let carol = sim.connect();
        sim.run();
        assert_eq!(sim.lines(carol).len(), 2);
    }

    #[test]
    fn full_server_rejects_then_drops() {
        let mut sim = Sim::new(Limits { max_connections: 2, ..limits() });
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        let more: Vec<_> = (0..MAX_REJECTED + 3).map(|_| sim.connect()).collect();
        sim.run();
        for (i, peer) in more.iter().enumerate() {
            let lines = sim.lines(*peer);
            assert_eq!(lines.len(), usize::from(i < MAX_REJECTED), "{lines:?}");
            assert!(lines.iter().all(|line| line.starts_with("!server-full")), "{lines:?}");
            assert!(sim.is_ended(*peer));
        }
        assert_eq!(
            sim.reactor().server().connections.count().0,
            2 + MAX_REJECTED,
            "until the peers close, or a second has passed"
        );
        sim.send(alice, "/ping 1\n@bob:hi\n");
        sim.pass(Duration::from_secs(1));
        assert_eq!((sim.lines(alice).len(), sim.lines(bob)), (1, vec!["@alice:hi".to_owned()]));
        assert_eq!(sim.reactor().server().connections.count().0, 2);
        sim.end(bob);
        sim.run();
        forget(&mut sim, alice);
        register_all(&mut sim, ["carol"]);
        assert_eq!(sim.lines(alice), ["* carol joined"]);
    }

    #[test]
    fn rejected_connections_take_no_slot() {
        let mut sim = Sim::new(Limits { max_connections: 2, ..limits() });
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        // Repeatedly, so that some of them are always lingering.
        let connect = |sim: &mut Sim| (0..MAX_REJECTED).map(|_| sim.connect()).count();
        connect(&mut sim);
        sim.pass(Duration::from_millis(900));
        sim.end(bob);
        sim.run();
        forget(&mut sim, alice);
        register_all(&mut sim, ["carol"]);
        assert_eq!(sim.lines(alice), ["* carol joined"]);
        connect(&mut sim);
        sim.run();
        assert_eq!(
            sim.reactor().server().connections.count().0,
            2 + MAX_REJECTED,
            "no more of them linger than before"
        );
    }

    #[test]
    fn linger_discards_input_for_a_second() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.send(alice, "/quit\n@bob:too late\n");
        sim.pass(Duration::ZERO);
        assert_eq!(sim.lines(alice), ["+bye"]);
        assert!(sim.is_ended(alice) && !sim.is_closed(alice));
        for _ in 0..9 {
            sim.pass(Duration::from_millis(111));
            sim.send(alice, lines_of_100("@bob:", 1000));
            sim.run();
            assert!(!sim.is_closed(alice));
        }
        sim.pass(Duration::from_millis(1));
        assert!(sim.is_closed(alice));
        assert_eq!(sim.lines(bob), ["* alice left"]);
    }

    #[test]
    fn linger_ends_with_the_peer() {
        let mut sim = Sim::new(limits());
        let [alice] = register_all(&mut sim, ["alice"]);
        sim.send(alice, "/quit\n");
        sim.run();
        assert!(!sim.is_closed(alice));
        sim.end(alice);
        sim.run();
        assert!(sim.is_closed(alice));
        assert_eq!(sim.reactor().server().connections.count().0, 0);
    }
}

mod stopping {
    use super::*;

    #[test]
    fn stop_notifies_all_without_presence() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        let unregistered = sim.connect();
        sim.run();
        forget(&mut sim, unregistered);
        sim.stop();
        assert_eq!(sim.run(), Running::On, "the peers have not ended yet");
        for peer in [alice, bob, unregistered] {
            assert_eq!(sim.lines(peer), ["!shutting-down the server stops"]);
            assert!(sim.is_ended(peer));
            sim.end(peer);
        }
        assert_eq!(sim.run(), Running::Done);
    }

    #[test]
    fn stalled_peer_is_bounded_by_drain() {
        let mut sim = Sim::new(limits());
        let [_alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        sim.stop();
        assert_eq!(sim.pass(Duration::from_millis(4999)), Running::On);
        assert_eq!(sim.reactor().server().connections.count().0, 1, "alice lingered for a second");
        assert_eq!(sim.pass(Duration::from_millis(1)), Running::Done);
    }

    #[test]
    fn stop_flushes_several_sends_whole() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 0);
        let text = lines_of_100("", 2 * ARENA / 100);
        sim.send(alice, &text);
        sim.run();
        sim.stop();
        sim.run();
        assert!(unsent(&mut sim, bob) > ARENA);
        sim.stall(bob, usize::MAX);
        sim.run();
        let received = sim.lines(bob);
        assert_eq!(
            (received.len(), received.last().unwrap().starts_with("!shutting-down")),
            (text.len() / 100 + 1, true)
        );
        assert!(sim.is_ended(bob));
    }

    #[test]
    fn reset_during_stop_is_not_announced() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        [alice, bob].iter().for_each(|peer| sim.stall(*peer, 0));
        sim.stop();
        sim.run();
        sim.reset(bob);
        sim.run();
        sim.stall(alice, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(alice), ["!shutting-down the server stops"]);
    }

    #[test]
    fn stop_accepts_none_and_is_idempotent() {
        let mut sim = Sim::new(limits());
        let [alice] = register_all(&mut sim, ["alice"]);
        sim.stop();
        let late = sim.connect();
        sim.run();
        sim.stop();
        sim.run();
        assert_eq!(sim.lines(alice).len(), 1);
        assert!(sim.lines(late).is_empty());
        assert_eq!(sim.pass(Duration::from_secs(1)), Running::Done);
    }

    #[test]
    fn stop_sends_queued_text_first() {
        let mut sim = Sim::new(limits());
        let [alice, bob] = register_all(&mut sim, ["alice", "bob"]);
        sim.stall(bob, 10);
        sim.send(alice, lines_of_100("", 50));
        sim.run();
        sim.stop();
        sim.pass(Duration::from_secs(4));
        sim.stall(bob, usize::MAX);
        sim.run();
        let received = sim.lines(bob);
        assert_eq!((received.len(), received[50].as_str()), (51, "!shutting-down the server stops"));
    }
}

#[test]
fn datagrams_obey_the_line_limit() {
    let limits = Limits { max_line: MIN_MAX_LINE, ..Limits::default() };
    let mut sim = Sim::with_schemes(limits, &[Scheme::Line, Scheme::Udp]);
    let (bob, ming) = (sim.connect(), SocketAddr::from(([127, 0, 0, 1], 9)));
    sim.send(bob, "#bob\n");
    sim.send_datagram(1, ming, "L ming");
    sim.run();
    sim.take(bob);
    sim.datagrams(ming);
    sim.send_datagram(1, ming, format!("C ming {}", "\u{1}".repeat(MIN_MAX_LINE)));
    sim.send_datagram(1, ming, format!("C ming {}", "x".repeat(MIN_MAX_LINE - "C ming ".len())));
    sim.run();
    assert_eq!(sim.lines(bob), ["ming: ".to_owned() + &"x".repeat(MIN_MAX_LINE - "C ming ".len())]);
    assert_eq!(sim.datagrams(ming), [b"!line-too-long 128"]);
}

#[test]
fn final_line_respects_queue_limit() {
    let mut sim = Sim::new(Limits { queue: MIN_QUEUE, ..Limits::default() });
    let (alice, bob) = (sim.connect(), sim.connect());
    sim.send(alice, "#alice\n");
    sim.send(bob, "#bob\n");
    sim.run();
    sim.take(bob);
    sim.stall(bob, 1);
    // Full but for 7 bytes: 63 KiB in lines of 1 KiB, and one shorter line; the first byte is taken.
    let line = |bytes: usize| "x".repeat(bytes - "alice: \n".len()) + "\n";
    sim.send(alice, line(KIB).repeat(63) + &line(KIB - 6));
    sim.run();
    sim.stop();
    sim.run();
    sim.stall(bob, usize::MAX);
    sim.run();
    assert_eq!(
        sim.lines(bob),
        ["alice: ".to_owned() + line(KIB).trim_end(), "!too-slow what was sent to you was not read".into()]
    );
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
    let mut sim = Sim::with_schemes(limits(), &[Scheme::Line, Scheme::Unix]);
    let operator = sim.connect_at(1);
    let alice = register(&mut sim, "alice");
    let bob = register(&mut sim, "bob");
    let keys = ["watch-calls", "accept-calls"];
    let before = keys.map(|key| stat(&mut sim, operator, key));
    let calls = sim.sockets().calls;
    for _ in 0..100 {
        sim.send(alice, "@bob:hi\n");
        sim.run();
    }
    assert_eq!(sim.lines(bob).len(), 100);
    let after = sim.sockets().calls;
    assert_eq!((after.0 - calls.0, after.1 - calls.1), (100, 100));
    assert_eq!(keys.map(|key| stat(&mut sim, operator, key)), before);
}

#[test]
fn received_message_counts_once() {
    let mut sim = Sim::with_schemes(limits(), &[Scheme::Line, Scheme::Unix, Scheme::Classic]);
    let operator = sim.connect_at(1);
    let before = stat(&mut sim, operator, "lines-in");
    let (alice, tom) = (sim.connect(), sim.connect_at(2));
    // The last one ends with the stream, tom's by the frame timeout.
    sim.send(alice, "#alice\none\ntwo");
    sim.run();
    sim.end(alice);
    sim.send(tom, "#tom");
    sim.pass(SECOND);
    assert_eq!(stat(&mut sim, operator, "lines-in") - before, 3 + 1 + 1, "and one for /stats itself");
}

#[test]
fn slow_reader_cannot_extend_the_drain() {
    for quits in [true, false] {
        let mut sim = Sim::new(limits());
        let [alice, bob] = ["alice", "bob"].map(|name| register(&mut sim, name));
        sim.stall(bob, 0);
        sim.send(alice, format!("{}\n", "x".repeat(1000)).repeat(100));
        sim.run();
        if quits {
            sim.send(bob, "/quit\n")
        } else {
            sim.stop()
        }
        // The drain takes at most five seconds.
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
