//! Who may come in, and what becomes of the others: in the simulator, and over real sockets where the kernel has a say.

#![allow(clippy::panic, reason = "a test says by it what is wrong")]

mod server;

use redpoll::limits::{FAREWELLS, Limits, MAX_LISTENER_PAUSE};
use redpoll::sim::{Faults, PeerNo, Sim};
use std::time::Duration;

/// Peers who knock, and what they are told.
fn knock<const N: usize>(sim: &mut Sim) -> [PeerNo; N] {
    std::array::from_fn(|_| sim.connect())
}

const FULL: &str = "!server-full try again later";

mod without_descriptors {
    use super::*;

    fn starve(sim: &mut Sim) {
        sim.sockets().set_faults(Some(Faults { descriptors: 100, ..Faults::none() }));
    }

    #[test]
    fn newcomers_are_told_so_by_the_spare_one() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        let told: [PeerNo; 3] = knock(&mut sim);
        sim.run();
        for peer in told {
            assert_eq!(sim.lines(peer), [FULL]);
            assert!(sim.is_closed(peer));
        }
        assert_eq!(sim.reactor().connections(), 0);
    }

    #[test]
    fn so_many_are_told_at_a_time_and_the_listener_rests_meanwhile() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        const MANY: usize = 64 * FAREWELLS;
        let all: [PeerNo; MANY] = knock(&mut sim);
        sim.run();
        let told = all.iter().filter(|peer| sim.is_closed(**peer)).count();
        assert_eq!(told, FAREWELLS);
        let turns = sim.turns();
        sim.pass(Duration::from_secs(60));
        assert!(all.iter().all(|peer| sim.lines(*peer) == [FULL]));
        // 10, 20, 40 … 640 ms, then a second each.
        assert!(sim.turns() - turns <= 70, "{} turns", sim.turns() - turns);
    }

    #[test]
    fn it_serves_again_within_a_second_of_room() {
        let mut sim = Sim::new(Limits::default());
        starve(&mut sim);
        let mut late = sim.connect();
        for _ in 0..100 {
            sim.pass(MAX_LISTENER_PAUSE);
            assert_eq!(sim.lines(late), [FULL]);
            late = sim.connect();
        }
        sim.sockets().set_faults(None);
        sim.pass(MAX_LISTENER_PAUSE);
        sim.send(late, "/ping 1\n");
        sim.run();
        assert_eq!(sim.lines(late).last().map(String::as_str), Some("+pong 1"));
    }
}

#[cfg(target_os = "linux")]
mod over_real_sockets {
    use super::*;
    use crate::server::{DEADLINE, Folder, Server, redpoll, uninterrupted};
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    /// What comes until the server closes.
    fn all_that_comes(mut stream: TcpStream) -> String {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("the server closes");
        heard
    }

    fn line(stream: &mut impl BufRead) -> String {
        let mut line = String::new();
        stream.read_line(&mut line).expect("the server says something");
        line
    }

    /// The program, started by a shell that sets these limits of descriptors first.
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
    fn connections_are_clamped_below_the_limit_of_descriptors_and_the_rest_is_told() {
        let mut command = limited(40, 64);
        let mut server = Server::run(command.args(["--listen", "127.0.0.1:0", "--max-connections", "1000"]));
        let mut log = BufReader::new(server.stderr());
        let clamped = line(&mut log);
        // The hard limit, less what is kept back and the listener.
        assert!(clamped.contains("--max-connections 1000 is clamped to 31"), "{clamped}");
        assert!(clamped.contains("64 descriptors"), "{clamped}");
        let mut inside: Vec<_> = (0..31).map(|_| BufReader::new(server.connect())).collect();
        inside.iter_mut().for_each(|peer| assert!(line(peer).starts_with("* You are connected")));
        for _ in 0..3 * FAREWELLS {
            let heard = all_that_comes(server.connect());
            assert!(heard == format!("{FULL}\n") || heard.is_empty(), "{heard}");
        }
        drop(inside.pop());
        while !line(&mut BufReader::new(server.connect())).starts_with("* You are connected") {}
    }

    /// More than any test needs, whatever the server was started with.
    const ENOUGH: u64 = 1000;

    /// An operator, who was there before descriptors ran out.
    struct Operator(BufReader<UnixStream>);

    impl Operator {
        fn figure(&mut self, key: &str) -> u64 {
            self.0.get_mut().write_all(b"/stats\n").expect("the server is there");
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

    fn set_descriptors(server: &Server, most: u64) {
        let hard = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(most), maximum: hard };
        prlimit(Some(server.process()), Resource::Nofile, limit).expect("the server is ours");
    }

    /// Leaves the server no descriptor but those that it has, holes in their numbers being filled by those who come
    /// back.
    fn take_descriptors(server: &Server) -> Vec<TcpStream> {
        let folder = format!("/proc/{}/fd", server.process().as_raw_nonzero());
        let open = std::fs::read_dir(folder).expect("/proc tells of the server");
        let names = open.map(|entry| entry.expect("it can be read").file_name());
        let open: Vec<u64> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        let most = open.iter().max().expect("there are some") + 1;
        set_descriptors(server, most);
        (open.len() as u64..most).map(|_| greeted(server.connect())).collect()
    }

    /// One who came in.
    fn greeted(stream: TcpStream) -> TcpStream {
        let mut greeting = [0; 11];
        (&stream).read_exact(&mut greeting).expect("the server says something");
        assert_eq!(&greeting, b"* You are c");
        stream
    }

    fn start() -> (Server, Operator, Folder) {
        let folder = Folder::new();
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
    fn where_the_kernel_has_no_descriptor_left_newcomers_are_told_so() {
        let (server, mut operator, _folder) = start();
        let _inside = take_descriptors(&server);
        let before = operator.figure("turns");
        let all: Vec<TcpStream> = (0..4 * FAREWELLS).map(|_| server.connect()).collect();
        for stream in all {
            assert_eq!(all_that_comes(stream), format!("{FULL}\n"));
        }
        let turns = operator.figure("turns") - before;
        assert!(turns <= 200, "{turns} turns");
        set_descriptors(&server, ENOUGH);
        while !line(&mut BufReader::new(server.connect())).starts_with("* You are connected") {}
    }

    #[test]
    fn where_not_even_the_spare_one_can_be_had_it_does_not_spin_and_says_so_once() {
        let (mut server, mut operator, _folder) = start();
        let mut log = server.stderr();
        set_descriptors(&server, 3);
        let mut first = server.connect();
        let others: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        let before = operator.figure("turns");
        first.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket has a timeout");
        let nothing = uninterrupted(|| first.read(&mut [0; 64])).map_err(|error| error.kind());
        assert_eq!(nothing, Err(ErrorKind::WouldBlock), "nobody is served");
        let turns = operator.figure("turns") - before;
        assert!(turns <= 30, "{turns} turns in a second");
        set_descriptors(&server, ENOUGH);
        for stream in others.into_iter().chain([first]) {
            stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
            greeted(stream);
        }
        drop(server);
        let mut said = String::new();
        log.read_to_string(&mut said).expect("it is UTF-8");
        assert_eq!(said.matches("can't accept").count(), 1, "{said}");
    }
}
