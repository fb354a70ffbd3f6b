//! What all connections together may hold: in the simulator who goes first, and over real sockets what the process has.

mod common;

use common::{Server, serve};
use redpoll::limits::{CHUNK, KIB, Limits, READ};
use redpoll::memory::Memory;
use redpoll::protocol::name::EVERY_SCRIPT;
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::members::arrive_all;
use redpoll_kit::{PeerNo, Sim};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server whose queues may hold 64 KiB in all; none of them is too slow before 256 KiB.
fn small_total() -> Sim {
    Sim::new(Limits { queue: 32 * KIB, queue_total: 64 * KIB, rate: None, ..Limits::default() })
}

#[test]
fn largest_queue_goes_above_total() {
    let mut sim = small_total();
    let [alice, bob, carol, dave] = arrive_all(&mut sim, ["alice", "bob", "carol", "dave"]);
    [bob, carol].into_iter().for_each(|peer| sim.stall(peer, 0));
    sim.send(alice, "/join den\n");
    sim.send(carol, "/join den\n");
    sim.run();
    // The lobby is heard by bob and dave, the den by carol: bob's queue is the smaller.
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
    assert_eq!(sim.lines(bob).len(), 13, "twelve lines, and that carol left");
}

#[test]
fn shared_text_counts_once() {
    let mut sim = small_total();
    let names: Vec<String> = (0..20).map(|i| format!("reader{i}")).collect();
    let [alice] = arrive_all(&mut sim, ["alice"]);
    let stalled: Vec<PeerNo> = names.iter().map(|name| arrive_all(&mut sim, [name])[0]).collect();
    stalled.iter().for_each(|peer| sim.stall(*peer, 0));
    // 20 times 30 KiB would be ten times the total.
    sim.send(alice, format!("{}\n", "x".repeat(1015)).repeat(30));
    sim.run();
    stalled.iter().for_each(|peer| sim.stall(*peer, usize::MAX));
    sim.run();
    for peer in stalled {
        let said = sim.lines(peer).into_iter().filter(|line| line.starts_with("alice: ")).count();
        assert_eq!(said, 30, "nobody was too slow");
    }
}

#[test]
fn queue_size_counts_retained_chunks() {
    let mut sim = small_total();
    let [alice, bob, carol, dave] = arrive_all(&mut sim, ["alice", "bob", "carol", "dave"]);
    [bob, carol].into_iter().for_each(|peer| sim.stall(peer, 0));
    // Carol is refused most of each chunk and reads it; bob is left with a line in each.
    for _ in 0..20 {
        sim.send(alice, format!("@carol:{}\n", "x".repeat(1000)).repeat(CHUNK / 1024 - 1) + "@bob:y\n");
        sim.run();
        sim.stall(carol, usize::MAX);
        sim.run();
        sim.stall(carol, 0);
        sim.take(carol);
    }
    assert_eq!(sim.lines(dave), ["* bob left (too slow)"], "though he has few bytes unsent");
}

/// Each of fifty might hold 64 KiB, which is more than twice what is asserted.
fn assert_little_is_held(sim: &Sim, limits: &Limits) {
    let (held, most) = (sim.reactor().server().connections.input().memory(), limits.most_held(50));
    assert!(held > limits.held_total(), "{held} bytes are no flood");
    assert!(held <= most && 2 * most < 50 * READ, "{held} bytes held, of {most}");
}

#[test]
fn blocked_input_total_is_bounded() {
    let limits = Limits { queue: 8 * KIB, queue_total: KIB * KIB, rate: None, ..Limits::default() };
    let mut sim = Sim::new(limits.clone());
    let flood = "/ping x\n".repeat(20_000);
    let waits = |_| {
        let peer = sim.connect();
        sim.run();
        sim.stall(peer, 0);
        sim.send(peer, &flood);
        sim.run();
        peer
    };
    let peers: Vec<PeerNo> = (0..50).map(waits).collect();
    assert_little_is_held(&sim, &limits);
    for peer in peers {
        sim.stall(peer, usize::MAX);
        sim.run();
        assert_eq!(sim.lines(peer).len(), 2 + 20_000, "and nothing is lost");
    }
    assert_eq!(sim.reactor().server().connections.input().memory(), 0);
}

#[test]
fn read_ahead_total_is_bounded() {
    let limits = Limits { queue_total: KIB * KIB, rate: Some(4), burst: 4, ..Limits::default() };
    let mut sim = Sim::with_doors(limits.clone(), &[Scheme::Line, Scheme::Relay]);
    let [bob] = arrive_all(&mut sim, ["bob"]);
    let peers: Vec<PeerNo> = (0..50).map(|_| sim.connect_at(1)).collect();
    // The reads end within messages, and so does what is held of each.
    let said: String = (0..30).map(|i| format!("{i} {}\n", "x".repeat(3000))).collect();
    peers.iter().for_each(|peer| sim.send(*peer, format!("{said}the last")));
    sim.run();
    assert_little_is_held(&sim, &limits);
    let turns = sim.turns();
    sim.pass(Duration::from_secs(1));
    assert!(sim.turns() - turns < 50 * 20, "nobody is told again and again of what isn't read");
    let mut heard = sim.lines(bob);
    for _ in 0..10 {
        sim.pass(Duration::from_secs(1));
        heard.extend(sim.lines(bob));
        peers.iter().for_each(|peer| drop(sim.take(*peer)));
    }
    let last = heard.iter().filter(|line| line.ends_with(": the last")).count();
    let whole = heard.iter().filter(|line| line.ends_with(&"x".repeat(3000))).count();
    // Each is told to have come; a message in two would be one more.
    assert_eq!((last, whole, heard.len()), (50, 50 * 30, 50 * 32));
    assert_eq!(sim.reactor().server().connections.input().memory(), 0);
}

/// Resident memory of the server, in bytes.
#[cfg(target_os = "linux")]
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * KIB
}

/// 200 members who don't read, in a room that is flooded: each queue alone might take 64 MiB.
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
    let mut most = 0;
    for round in 0..200 {
        let line = format!("{round:06}{}\n", "x".repeat(4000));
        speaker.write_all(line.repeat(25).as_bytes()).expect("the server reads");
        // Everyone who reads hears every line, while the others don't.
        for (_, reader) in &mut readers {
            for _ in 0..25 {
                let mut heard = String::new();
                reader.read_line(&mut heard).expect("the server goes on");
                assert_eq!(heard, format!("speaker: {line}"));
            }
        }
        most = most.max(resident(&server));
    }
    assert!(most > before + TOTAL / 2, "the flood was no flood: {most} after {before}");
    assert!(most <= before + TOTAL + 8 * KIB * KIB, "{most} after {before}");
    drop(stalled);
}

/// A name of 32 characters of four bytes each, where this build has such, both as written and folded; another for each number.
#[cfg(target_os = "linux")]
fn longest_name(number: usize) -> String {
    let (zero, one) = if EVERY_SCRIPT { ('\u{10410}', '\u{10412}') } else { ('A', 'B') };
    let bit = |at: usize| if number >> at & 1 == 1 { one } else { zero };
    (0..32).map(bit).collect()
}

/// 300 who are each in 64 of 1024 rooms, with the longest names, ask what they don't read the answers to, and go on asking.
/// What isn't reached of the sum: the text of one turn at its longest in all dialects at once, places that vectors and
/// tables would have just after growing, a peer by datagrams for each, all names that may be kicked.
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
    let mut heard = BufReader::new(observer.try_clone().expect("a descriptor is free"));
    read_until(&mut heard, "+pong in\n");
    let before = resident(&server);
    let arrive = |i| {
        let mut peer = server.connect();
        // Little room for what it doesn't read.
        socket2::SockRef::from(&peer).set_recv_buffer_size(4 * KIB).expect("it is a socket");
        let rooms = (0..63).map(|j| format!("&{}\n", longest_name((i * 63 + j) % 1023)));
        let asked = format!("#{}\n{}/ping in\n", longest_name(i), rooms.collect::<String>());
        peer.write_all(asked.as_bytes()).expect("the server reads");
        read_until(&mut BufReader::new(peer.try_clone().expect("a descriptor is free")), "+pong in\n");
        peer.set_nonblocking(true).expect("it is a socket");
        peer
    };
    let mut peers: Vec<TcpStream> = (0..N).map(arrive).collect();
    let flood = "/help\n".repeat(READ / 6);
    let (mut most, mut rounds) = (0, 0);
    // Until nobody makes it hold any more.
    while rounds < 5 {
        for peer in &mut peers {
            // Where its kernel takes no more, the server has stopped reading.
            let _ = peer.write(flood.as_bytes());
        }
        observer.write_all(b"/ping round\n").expect("the server reads");
        read_until(&mut heard, "+pong round\n");
        let now = resident(&server) - before;
        (most, rounds) = if now > most { (now, 0) } else { (most, rounds + 1) };
    }
    observer.write_all(b"#observer\n/who *\n").expect("the server reads");
    read_until(&mut heard, &format!("+end who * {}\n", N + 1));
    assert!(most <= worst, "{most} of {worst}");
    assert!(3 * most >= worst, "{most} of {worst} is no flood");
}

/// Reads lines until that one has come.
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
        ("held", [default, small].map(|(worst, _)| format!("{} MiB", mib(worst.held)))),
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
