//! Bounds of the memory of all connections: in the simulator, which queue is dropped first; over real sockets, the
//! resident memory of the process.

mod common;

use common::{Server, serve};
use redpoll::limits::{CHUNK, KIB, Limits, READ};
use redpoll::memory::Memory;
use redpoll::protocol::name::EVERY_SCRIPT;
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::fixtures::register_all;
use redpoll_kit::{PeerNo, Sim};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server with a queue total of 64 KiB; a single queue is too slow at 256 KiB.
fn small_total() -> Sim {
    Sim::new(Limits { queue: 32 * KIB, queue_total: 64 * KIB, rate: None, ..Limits::default() })
}

#[test]
fn largest_queue_goes_above_total() {
    let mut sim = small_total();
    let [alice, bob, carol, dave] = register_all(&mut sim, ["alice", "bob", "carol", "dave"]);
    [bob, carol].into_iter().for_each(|peer| sim.stall(peer, 0));
    sim.send(alice, "/join den\n");
    sim.send(carol, "/join den\n");
    sim.run();
    // Lobby lines go to bob and dave, lines of the den to carol: bob's queue is the smaller one.
    sim.send(alice, format!("&lobby:{}\n", "x".repeat(1000)).repeat(12));
    sim.run();
    let line = format!("&den:{}\n", "x".repeat(1000));
    for _ in 0..60 {
        sim.send(alice, &line);
        sim.run();
    }
    assert_eq!(sim.lines(dave).last().map(String::as_str), Some("* carol left (too slow)"));
    [bob, carol].into_iter().for_each(|peer| sim.stall(peer, usize::MAX));
    sim.run();
    assert_eq!(sim.lines(carol), ["!too-slow what was sent to you was not read"]);
    assert_eq!(sim.lines(bob).len(), 13, "twelve lines, and carol's leave event");
}

#[test]
fn shared_text_counts_once() {
    let mut sim = small_total();
    let names: Vec<String> = (0..20).map(|i| format!("reader{i}")).collect();
    let [alice] = register_all(&mut sim, ["alice"]);
    let stalled: Vec<PeerNo> = names.iter().map(|name| register_all(&mut sim, [name])[0]).collect();
    stalled.iter().for_each(|peer| sim.stall(*peer, 0));
    // 20 times 30 KiB are ten times the total.
    sim.send(alice, format!("{}\n", "x".repeat(1015)).repeat(30));
    sim.run();
    stalled.iter().for_each(|peer| sim.stall(*peer, usize::MAX));
    sim.run();
    for peer in stalled {
        let lines = sim.lines(peer).into_iter().filter(|line| line.starts_with("alice: ")).count();
        assert_eq!(lines, 30, "no peer was too slow");
    }
}

#[test]
fn queue_size_counts_retained_chunks() {
    let mut sim = small_total();
    let [alice, bob, carol, dave] = register_all(&mut sim, ["alice", "bob", "carol", "dave"]);
    [bob, carol].into_iter().for_each(|peer| sim.stall(peer, 0));
    // Most of each chunk is carol's, and is read; one line in each stays unsent to bob.
    for _ in 0..20 {
        sim.send(alice, format!("@carol:{}\n", "x".repeat(1000)).repeat(CHUNK / 1024 - 1) + "@bob:y\n");
        sim.run();
        sim.stall(carol, usize::MAX);
        sim.run();
        sim.stall(carol, 0);
        sim.take(carol);
    }
    assert_eq!(
        sim.lines(dave),
        ["* bob left (too slow)"],
        "bob has few unsent bytes, which retain many chunks"
    );
}

/// Asserts the bound of buffered input for 50 connections. Each alone may hold 64 KiB, together more than twice the
/// bound.
fn assert_input_is_bounded(sim: &Sim, limits: &Limits) {
    let (bytes, max) = (sim.reactor().server().connections.input().memory(), limits.max_input_total(50));
    assert!(bytes > limits.max_read_ahead(), "{bytes} bytes are no flood");
    assert!(bytes <= max && 2 * max < 50 * READ, "{bytes} bytes held, of {max}");
}

#[test]
fn blocked_input_total_is_bounded() {
    let limits = Limits { queue: 8 * KIB, queue_total: KIB * KIB, rate: None, ..Limits::default() };
    let mut sim = Sim::new(limits.clone());
    let flood = "/ping x\n".repeat(20_000);
    let block = |_| {
        let peer = sim.connect();
        sim.run();
        sim.stall(peer, 0);
        sim.send(peer, &flood);
        sim.run();
        peer
    };
    let peers: Vec<PeerNo> = (0..50).map(block).collect();
    assert_input_is_bounded(&sim, &limits);
    for peer in peers {
        sim.stall(peer, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(peer).len(), 2 + 20_000, "no answer is lost");
    }
    assert_eq!(sim.reactor().server().connections.input().memory(), 0);
}

#[test]
fn read_ahead_total_is_bounded() {
    let limits = Limits { queue_total: KIB * KIB, rate: Some(4), burst: 4, ..Limits::default() };
    let mut sim = Sim::with_schemes(limits.clone(), &[Scheme::Line, Scheme::Relay]);
    let [bob] = register_all(&mut sim, ["bob"]);
    let peers: Vec<PeerNo> = (0..50).map(|_| sim.connect_at(1)).collect();
    // Reads end within messages, and so does the buffered input of each.
    let lines: String = (0..30).map(|i| format!("{i} {}\n", "x".repeat(3000))).collect();
    peers.iter().for_each(|peer| sim.send(*peer, format!("{lines}the last")));
    sim.run();
    assert_input_is_bounded(&sim, &limits);
    let turns = sim.turns();
    sim.pass(Duration::from_secs(1));
    assert!(sim.turns() - turns < 50 * 20, "unread input causes no turns");
    let mut received = sim.lines(bob);
    for _ in 0..10 {
        sim.pass(Duration::from_secs(1));
        received.extend(sim.lines(bob));
        peers.iter().for_each(|peer| drop(sim.take(*peer)));
    }
    let last = received.iter().filter(|line| line.ends_with(": the last")).count();
    let whole = received.iter().filter(|line| line.ends_with(&"x".repeat(3000))).count();
    // One join event each; a message cut in two would be one more.
    assert_eq!((last, whole, received.len()), (50, 50 * 30, 50 * 32));
    assert_eq!(sim.reactor().server().connections.input().memory(), 0);
}

/// Returns the resident memory of the server, in bytes.
#[cfg(target_os = "linux")]
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * KIB
}

/// 200 members that don't read, in a flooded room: each queue alone may take 64 MiB.
#[test]
#[cfg(target_os = "linux")]
fn stalled_members_stay_within_total() {
    const TOTAL: usize = 8 * KIB * KIB;
    let flags = [
        "--rate",
        "0",
        "--queue",
        "8MiB",
        "--queue-total",
        "8MiB",
        "--send-buffer",
        "4KiB",
        "--quiet-above",
        "1",
    ];
    let server = serve(flags);
    let join = |name: &str| {
        let mut peer = server.connect();
        peer.write_all(format!("#{name}\n/ping in\n").as_bytes()).expect("the server reads");
        let mut reader = BufReader::new(peer.try_clone().expect("a descriptor is free"));
        read_until(&mut reader, "+pong in\n");
        (peer, reader)
    };
    let mut readers = [join("reader1"), join("reader2"), join("reader3")];
    let (mut speaker, _) = join("speaker");
    let stalled: Vec<_> = (0..200).map(|i| join(&format!("stalled{i}"))).collect();
    let before = resident(&server);
    let mut max = 0;
    for round in 0..200 {
        let line = format!("{round:06}{}\n", "x".repeat(4000));
        speaker.write_all(line.repeat(25).as_bytes()).expect("the server reads");
        // Members that read receive every line.
        for (_, reader) in &mut readers {
            for _ in 0..25 {
                let mut received = String::new();
                reader.read_line(&mut received).expect("the server still sends");
                assert_eq!(received, format!("speaker: {line}"));
            }
        }
        max = max.max(resident(&server));
    }
    assert!(max > before + TOTAL / 2, "the queues were not filled: {max} after {before}");
    assert!(max <= before + TOTAL + 8 * KIB * KIB, "{max} after {before}");
    drop(stalled);
}

/// Returns the name of this number, of 32 characters, each of four bytes as written and folded where the build has
/// such.
#[cfg(target_os = "linux")]
fn longest_name(number: usize) -> String {
    let (zero, one) = if EVERY_SCRIPT { ('\u{10410}', '\u{10412}') } else { ('A', 'B') };
    let bit = |at: usize| if number >> at & 1 == 1 { one } else { zero };
    (0..32).map(bit).collect()
}

/// 300 members, each in 64 of 1024 rooms and with the longest names, send requests without reading the answers. Parts
/// of the sum that this doesn't reach: the longest text of one turn in all dialects at once, spare capacity of vectors
/// and tables just after growing, a UDP peer for each, all names that may be kicked.
#[test]
#[cfg(target_os = "linux")]
fn worst_case_stays_within_sum() {
    const N: usize = 300;
    const FLAGS: &str = "--rate 0 --queue 48KiB --queue-total 8MiB --send-buffer 4KiB --quiet-above 1";
    let limits = Limits { queue: 48 * KIB, queue_total: 8 * KIB * KIB, ..Limits::default() };
    let worst = Memory::at_worst(&limits, N + 1).expect("rooms are limited").of(N + 1);
    let server = serve(FLAGS.split(' '));
    let mut observer = server.connect();
    observer.write_all(b"/ping in\n").expect("the server reads");
    let mut received = BufReader::new(observer.try_clone().expect("a descriptor is free"));
    read_until(&mut received, "+pong in\n");
    let before = resident(&server);
    let register = |i| {
        let mut peer = server.connect();
        // A small receive buffer for bytes that the peer doesn't read.
        socket2::SockRef::from(&peer).set_recv_buffer_size(4 * KIB).expect("it is a socket");
        let rooms = (0..63).map(|j| format!("&{}\n", longest_name((i * 63 + j) % 1023)));
        let requests = format!("#{}\n{}/ping in\n", longest_name(i), rooms.collect::<String>());
        peer.write_all(requests.as_bytes()).expect("the server reads");
        read_until(&mut BufReader::new(peer.try_clone().expect("a descriptor is free")), "+pong in\n");
        peer.set_nonblocking(true).expect("it is a socket");
        peer
    };
    let mut peers: Vec<TcpStream> = (0..N).map(register).collect();
    let flood = "/help\n".repeat(READ / 6);
    let (mut max, mut rounds) = (0, 0);
    // Until the memory doesn't grow any more.
    while rounds < 5 {
        for peer in &mut peers {
            // An error means that the server has stopped reading.
            let _ = peer.write(flood.as_bytes());
        }
        observer.write_all(b"/ping round\n").expect("the server reads");
        read_until(&mut received, "+pong round\n");
        let now = resident(&server) - before;
        (max, rounds) = if now > max { (now, 0) } else { (max, rounds + 1) };
    }
    observer.write_all(b"#observer\n/who *\n").expect("the server reads");
    read_until(&mut received, &format!("+end who * {}\n", N + 1));
    assert!(max <= worst, "{max} of {worst}");
    assert!(3 * max >= worst, "{max} of {worst} is no worst case");
}

/// Reads lines up to and including `last`.
fn read_until(reader: &mut BufReader<TcpStream>, last: &str) {
    let mut line = String::new();
    while line != last {
        line.clear();
        let bytes = reader.by_ref().read_line(&mut line).expect("the server answers");
        assert!(bytes > 0, "the server closed the connection");
    }
}

#[test]
fn operations_page_lists_the_bounds() {
    let page = include_str!("../docs/operations.md");
    let kib = |bytes: usize| bytes.div_ceil(KIB);
    let mib = |bytes: usize| bytes.div_ceil(KIB * KIB);
    let default = (Limits::default(), 1024);
    let small = (Limits { queue: 64 * KIB, queue_total: 8 * KIB * KIB, ..Limits::default() }, 1000);
    let [default, small] = [default, small].map(|(limits, connections)| {
        let worst = Memory::at_worst(&limits, connections).unwrap();
        (worst, worst.of(connections))
    });
    for (what, [first, second]) in [
        ("each connection, idle", [default, small].map(|(worst, _)| format!("{} B", worst.idle))),
        ("each connection, busy", [default, small].map(|(worst, _)| format!("{} KiB", kib(worst.busy)))),
        ("rooms", [default, small].map(|(worst, _)| format!("{} KiB", kib(worst.rooms)))),
        ("held", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.input)))),
        ("queued and said", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.queued)))),
        ("fixed", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.fixed)))),
        ("the sum", [default, small].map(|(_, sum)| format!("{} MiB", mib(sum)))),
    ] {
        let figures = format!("| {first} | {second} |");
        let row = page.lines().find(|line| line.starts_with(&format!("| {what}")));
        assert!(row.is_some_and(|row| row.ends_with(&figures)), "{what}: {figures}");
    }
}

#[test]
fn worst_case_needs_a_room_limit() {
    let of = |max_rooms, max_rooms_per_connection| {
        let limits = Limits { max_rooms, max_rooms_per_connection, ..Limits::default() };
        Memory::at_worst(&limits, 10).map(|worst| worst.of(10))
    };
    assert!(of(Some(1024), None).is_some() && of(None, Some(64)).is_some() && of(None, None).is_none());
    assert!(of(Some(8), Some(64)) < of(Some(1024), Some(64)));
}
