//! Which connections are accepted, and how others are rejected: in the simulator, and over real sockets where it
//! depends on the kernel.

#![allow(clippy::panic, reason = "a failed test panics")]

mod common;

use redpoll::limits::{Limits, MAX_ACCEPT_BACKOFF, MAX_REJECTED};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::{Fault, Faults, PeerNo, Sim};
use std::net::SocketAddr;
use std::time::Duration;

/// Opens `N` connections.
fn connect<const N: usize>(sim: &mut Sim) -> [PeerNo; N] {
    std::array::from_fn(|_| sim.connect())
}

const FULL: &str = "!server-full try again later";

mod without_descriptors {
    use super::*;

    fn starve(sim: &mut Sim) {
        sim.sockets().set_faults(Some(Faults::none(0).with(Fault::NoDescriptor, 1000)));
    }

    #[test]
    fn spare_descriptor_rejects_with_a_line() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        let rejected: [PeerNo; 3] = connect(&mut sim);
        sim.run();
        for peer in rejected {
            assert_eq!(sim.lines(peer), [FULL]);
            assert!(sim.is_closed(peer));
        }
        assert_eq!(sim.reactor().server().connections.count().0, 0);
    }

    #[test]
    fn rejects_are_bounded_between_backoffs() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        const MANY: usize = 64 * MAX_REJECTED;
        let all: [PeerNo; MANY] = connect(&mut sim);
        sim.run();
        let rejected = all.iter().filter(|peer| sim.is_closed(**peer)).count();
        assert_eq!(rejected, MAX_REJECTED);
        let turns = sim.turns();
        sim.pass(Duration::from_secs(60));
        assert!(all.iter().all(|peer| sim.lines(*peer) == [FULL]));
        // 10, 20, 40 … 640 ms, then a second each.
        assert!(sim.turns() - turns <= 70, "{} turns", sim.turns() - turns);
    }

    #[test]
    fn accept_resumes_within_a_second() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        let mut late = sim.connect();
        for _ in 0..100 {
            sim.pass(MAX_ACCEPT_BACKOFF);
            assert_eq!(sim.lines(late), [FULL]);
            late = sim.connect();
        }
        sim.sockets().set_faults(None);
        sim.pass(MAX_ACCEPT_BACKOFF);
        sim.send(late, "/ping 1\n");
        sim.run();
        assert_eq!(sim.lines(late).last().map(String::as_str), Some("+pong 1"));
    }
}

/// Returns the last line that a peer has received.
fn last(sim: &mut Sim, peer: PeerNo) -> String {
    sim.lines(peer).pop().unwrap_or_default()
}

mod from_one_address {
    use super::*;

    const MANY: &str = "!too-many-connections from your address";

    fn limits() -> Limits {
        Limits {
            max_per_address: Some(2),
            trusted: vec!["10.0.0.0/8".parse().expect("a net")],
            ..Limits::default()
        }
    }

    fn connect_from(sim: &mut Sim, address: &str) -> PeerNo {
        let peer = sim.connect_from(address.parse().expect("an address"), 0);
        sim.run();
        peer
    }

    #[test]
    fn connections_per_address_are_limited() {
        let mut sim = Sim::new(limits());
        let [first, _second, third] = ["192.0.2.1"; 3].map(|address| connect_from(&mut sim, address));
        assert_eq!(sim.lines(third), [MANY]);
        assert!(sim.is_ended(third));
        let other = connect_from(&mut sim, "192.0.2.2");
        assert!(last(&mut sim, other).starts_with("* Say"));
        // A connection that quits frees its slot at once, though it is closed a little later.
        sim.send(first, "/quit\n");
        sim.run();
        assert!(!sim.is_closed(first));
        let fourth = connect_from(&mut sim, "192.0.2.1");
        assert!(last(&mut sim, fourth).starts_with("* Say"));
        let fifth = connect_from(&mut sim, "192.0.2.1");
        assert_eq!(sim.lines(fifth), [MANY]);
    }

    #[test]
    fn rejected_senders_get_the_final_line() {
        let mut sim = Sim::new(limits());
        let peers: Vec<PeerNo> = (0..2 + 2 * MAX_REJECTED)
            .map(|_| {
                let peer = sim.connect_from("192.0.2.1".parse().unwrap(), 0);
                sim.send(peer, "#early\n");
                peer
            })
            .collect();
        sim.run();
        for peer in &peers[2..] {
            assert_eq!(sim.lines(*peer), [MANY]);
            assert!(sim.is_ended(*peer));
        }
        let waiting = peers[2..].iter().filter(|peer| !sim.is_closed(**peer)).count();
        assert_eq!(waiting, MAX_REJECTED, "that many rejected connections linger, not the others");
    }

    #[test]
    fn slash_64_counts_once_trusted_never() {
        let mut sim = Sim::new(limits());
        let same =
            ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"].map(|address| connect_from(&mut sim, address));
        assert_eq!(last(&mut sim, same[2]), MANY);
        for address in ["10.1.2.3", "127.0.0.1", "::1"] {
            for _ in 0..4 {
                let peer = connect_from(&mut sim, address);
                assert!(last(&mut sim, peer).starts_with("* Say"), "{address}");
            }
        }
    }

    #[test]
    fn flood_from_one_address_is_contained() {
        let mut sim = Sim::new(Limits { max_connections: 20, ..limits() });
        for _ in 0..1000 {
            let peer = sim.connect_from("192.0.2.1".parse().expect("an address"), 0);
            sim.send(peer, "#x\n");
        }
        sim.run();
        assert!(
            sim.reactor().server().connections.count().0 <= 2 + MAX_REJECTED,
            "{}",
            sim.reactor().server().connections.count().0
        );
        let other = connect_from(&mut sim, "192.0.2.2");
        assert!(last(&mut sim, other).starts_with("* Say"));
    }

    #[test]
    fn udp_peers_count_per_address() {
        let mut sim = Sim::with_schemes(limits(), &[Scheme::Line, Scheme::Udp]);
        let sources = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        for (i, source) in sources.into_iter().enumerate() {
            sim.send_datagram(1, source, format!("L n{i}"));
            sim.run();
        }
        assert_eq!(
            sources.map(|source| sim.datagrams(source).contains(&b"OK".to_vec())),
            [true, true, false]
        );
        let peer = connect_from(&mut sim, "192.0.2.1");
        assert_eq!(sim.lines(peer), [MANY]);
        // An unregistered source takes no slot.
        sim.send_datagram(1, sources[0], "Q n0");
        sim.run();
        (0..5).for_each(|_| sim.send_datagram(1, sources[2], "hello"));
        sim.send_datagram(1, sources[2], "L n2");
        sim.run();
        assert_eq!(sim.datagrams(sources[2]), [b"OK"]);
    }
}

mod unregistered {
    use super::*;

    const TIMEOUT: &str = "!register-timeout no name was given in time";

    #[test]
    fn longest_waiting_unregistered_is_closed() {
        for register_timeout in [Some(Duration::from_secs(60)), None] {
            // A quarter, but not less than 16.
            let mut sim = Sim::new(Limits { max_connections: 40, register_timeout, ..Limits::default() });
            let silent: [PeerNo; 16] = connect(&mut sim);
            sim.pass(Duration::from_secs(1));
            assert!(silent.iter().all(|peer| !sim.is_ended(*peer)));
            let alice = sim.connect();
            sim.run();
            assert_eq!(last(&mut sim, silent[0]), TIMEOUT);
            assert!(sim.is_ended(silent[0]) && silent[1..].iter().all(|peer| !sim.is_ended(*peer)));
            // Registered connections are not counted.
            sim.send(alice, "#alice\n");
            sim.run();
            let _more: [PeerNo; 30] = connect(&mut sim);
            sim.run();
            assert!(silent.iter().all(|peer| sim.is_ended(*peer)));
            sim.send(alice, "/ping 1\n");
            sim.run();
            assert_eq!(last(&mut sim, alice), "+pong 1");
        }
    }

    #[test]
    fn silent_flood_leaves_room_to_register() {
        let mut sim = Sim::new(Limits { max_connections: 40, ..Limits::default() });
        for i in 0..20 {
            let _storm: [PeerNo; 200] = connect(&mut sim);
            let peer = sim.connect();
            sim.send(peer, format!("#n{i}\n"));
            sim.pass(Duration::from_millis(1));
            assert_eq!(sim.reactor().server().hub().registered(), i + 1);
        }
    }

    #[test]
    fn input_does_not_extend_register_timeout() {
        let mut sim = Sim::new(Limits::default());
        let peer = sim.connect();
        for i in 0..59 {
            sim.send(peer, format!("/ping {i}\n"));
            sim.pass(Duration::from_secs(1));
        }
        assert_eq!(last(&mut sim, peer), "+pong 58");
        sim.pass(Duration::from_millis(999));
        assert!(!sim.is_ended(peer));
        sim.pass(Duration::from_millis(1));
        assert_eq!(last(&mut sim, peer), TIMEOUT);
    }

    #[test]
    fn no_register_timeout_arms_no_timer() {
        let mut sim = Sim::new(Limits { register_timeout: None, ..Limits::default() });
        let peer = sim.connect();
        sim.run();
        let turns = sim.turns();
        sim.pass(Duration::from_secs(1_000_000));
        assert!(!sim.is_ended(peer) && sim.turns() - turns <= 2);
    }
}

#[cfg(target_os = "linux")]
mod over_real_sockets {
    use super::*;
    use crate::common::{DEADLINE, Folder, Server, redpoll, uninterrupted};
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    /// Reads until the server closes.
    fn read_all(mut stream: TcpStream) -> String {
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("the server closes");
        received
    }

    fn line(stream: &mut impl BufRead) -> String {
        let mut line = String::new();
        stream.read_line(&mut line).expect("the server sends a line");
        line
    }

    /// The program, started by a shell that sets these descriptor limits first.
    fn limited(soft: usize, hard: usize) -> Command {
        let program = redpoll();
        let mut command = Command::new("sh");
        let limits = format!("ulimit -S -n {soft} && ulimit -H -n {hard} && exec \"$0\" \"$@\"");
        command.args(["-c", &limits]).arg(program.get_program()).arg("serve");
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    #[test]
    fn connections_are_clamped_to_descriptor_limit() {
        let mut command = limited(40, 64);
        let mut server = Server::run(command.args(["--listen", "127.0.0.1:0", "--max-connections", "1000"]));
        let mut log = BufReader::new(server.stderr());
        let clamped = line(&mut log);
        // The hard limit, less the reserve and the listener.
        assert!(clamped.contains("--max-connections 1000 is clamped to 31"), "{clamped}");
        assert!(clamped.contains("64 descriptors"), "{clamped}");
        let arrive = |i| {
            let mut peer = BufReader::new(server.connect());
            peer.get_mut().write_all(format!("#n{i}\n").as_bytes()).expect("the server reads");
            while !line(&mut peer).starts_with("+room lobby") {}
            peer
        };
        let mut inside: Vec<_> = (0..31).map(arrive).collect();
        for _ in 0..3 * MAX_REJECTED {
            let received = read_all(server.connect());
            assert!(received == format!("{FULL}\n") || received.is_empty(), "{received}");
        }
        drop(inside.pop());
        while !line(&mut BufReader::new(server.connect())).starts_with("* You are connected") {}
    }

    /// More descriptors than any test needs.
    const ENOUGH: u64 = 1000;

    /// An operator that connected before descriptors ran out.
    struct Operator(BufReader<UnixStream>);

    impl Operator {
        fn figure(&mut self, key: &str) -> u64 {
            self.0.get_mut().write_all(b"/stats\n").expect("the server reads");
            let (start, mut figure) = (format!("+stats {key} "), None);
            loop {
                let line = line(&mut self.0);
                if let Some(value) = line.strip_prefix(&start) {
                    figure = value.trim_end().parse().ok();
                } else if line.starts_with("+end stats ") {
                    return figure.expect("there is such a figure");
                }
            }
        }
    }

    fn set_descriptors(server: &Server, max: u64) {
        let hard = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(max), maximum: hard };
        prlimit(Some(server.process()), Resource::Nofile, limit).expect("the server is ours");
    }

    /// Leaves the server no descriptor but those that it has open; the returned connections fill the gaps between their
    /// numbers.
    fn take_descriptors(server: &Server) -> Vec<TcpStream> {
        let folder = format!("/proc/{}/fd", server.process().as_raw_nonzero());
        let open = std::fs::read_dir(folder).expect("/proc lists the server's descriptors");
        let names = open.map(|entry| entry.expect("an entry can be read").file_name());
        let open: Vec<u64> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        let max = open.iter().max().expect("the server has descriptors") + 1;
        set_descriptors(server, max);
        (open.len() as u64..max).map(|_| greeted(server.connect())).collect()
    }

    /// Reads the start of the greeting.
    fn greeted(stream: TcpStream) -> TcpStream {
        let mut greeting = [0; 11];
        (&stream).read_exact(&mut greeting).expect("the server sends a line");
        assert_eq!(&greeting, b"* You are c");
        stream
    }

    fn start() -> (Server, Operator, Folder) {
        let folder = Folder::create();
        let operators = folder.path("operators");
        let url = format!("unix://{}", operators.display());
        let mut command = redpoll();
        command.args(["serve", "--listen", "127.0.0.1:0", "--listen", &url]);
        let server = Server::run_at(2, &mut command);
        let stream = UnixStream::connect(operators).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        let mut operator = Operator(BufReader::new(stream));
        assert!(line(&mut operator.0).starts_with("* You are connected from unix"));
        (server, operator, folder)
    }

    #[test]
    fn descriptor_exhaustion_rejects_with_a_line() {
        let (server, mut operator, _folder) = start();
        let _inside = take_descriptors(&server);
        let before = operator.figure("turns");
        let all: Vec<TcpStream> = (0..4 * MAX_REJECTED).map(|_| server.connect()).collect();
        for stream in all {
            assert_eq!(read_all(stream), format!("{FULL}\n"));
        }
        let turns = operator.figure("turns") - before;
        assert!(turns <= 200, "{turns} turns");
        set_descriptors(&server, ENOUGH);
        while !line(&mut BufReader::new(server.connect())).starts_with("* You are connected") {}
    }

    #[test]
    fn lost_spare_descriptor_causes_no_spin() {
        let (mut server, mut operator, _folder) = start();
        let mut log = server.stderr();
        set_descriptors(&server, 3);
        let mut first = server.connect();
        let others: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        let before = operator.figure("turns");
        first.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket has a timeout");
        let nothing = uninterrupted(|| first.read(&mut [0; 64])).map_err(|error| error.kind());
        assert_eq!(nothing, Err(ErrorKind::WouldBlock), "no connection is accepted");
        let turns = operator.figure("turns") - before;
        assert!(turns <= 30, "{turns} turns in a second");
        set_descriptors(&server, ENOUGH);
        for stream in others.into_iter().chain([first]) {
            stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
            greeted(stream);
        }
        drop(server);
        let mut entries = String::new();
        log.read_to_string(&mut entries).expect("it is UTF-8");
        assert_eq!(entries.matches("can't accept").count(), 1, "{entries}");
    }
}
