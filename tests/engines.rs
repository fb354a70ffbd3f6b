//! The engines with threads, where they differ from the reactor: threads that block, wait for each other and end. The
//! stories check the protocol with each engine.

#![cfg(feature = "threads")]

mod common;

use common::{DEADLINE, Server, redpoll, serve};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const ENGINES: [&str; 2] = ["threads", "threads-queued"];

/// Starts a server with small kernel buffers, so that a peer that doesn't read is noticed soon, and without a rate
/// limit.
fn start(engine: &str, flags: &[&str]) -> Server {
    let small = ["--engine", engine, "--send-buffer", "4KiB", "--rate", "0"];
    serve(small.into_iter().chain(flags.iter().copied()))
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    fn arrive(server: &Server, name: &str) -> Peer {
        Peer::enter(server.connect(), name)
    }

    /// Registers a peer with the smallest receive buffer.
    fn arrive_small(server: &Server, name: &str) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        socket.set_recv_buffer_size(4096).expect("a socket has a buffer");
        let address: SocketAddr = server.address.parse().expect("it is an address");
        socket.connect(&address.into()).expect("the server accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        Peer::enter(socket.into(), name)
    }

    fn enter(stream: TcpStream, name: &str) -> Peer {
        let mut peer = Peer(BufReader::new(stream));
        peer.send(&format!("#{name}\n"));
        peer.read_until(|line| line.starts_with("+room lobby "));
        peer
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    /// Sends `text` and reads the next line.
    fn answer(&mut self, text: &str) -> String {
        self.send(text);
        self.line()
    }

    /// Reads a line; an empty one is the end of the stream.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server sends a line");
        line
    }

    /// Reads lines up to and including the first that matches.
    fn read_until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the stream ends after {lines:?}");
            let is_last = last(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// A second handle to write to, while this one is read.
    fn writer(&self) -> TcpStream {
        self.0.get_ref().try_clone().expect("a stream can be shared")
    }

    /// Resets the connection: socket(7), SO_LINGER of no time.
    fn reset(self) {
        let socket: Socket = self.0.into_inner().into();
        socket.set_linger(Some(Duration::ZERO)).expect("a socket lingers");
    }
}

/// Lines of 4 MiB in all, far more than kernels buffer.
const MANY: usize = 4096;

fn many_lines() -> String {
    (0..MANY).map(|number| format!("{number} {:x>1000}\n", "")).collect()
}

/// Returns the number of one of these lines, as its recipients get it.
fn number(line: &str) -> Option<usize> {
    line.strip_prefix("alice: ")?.split(' ').next()?.parse().ok()
}

/// Reads all of these lines in their order; returns the other lines.
fn read_many(peer: &mut Peer) -> Vec<String> {
    let (mut next, mut others) = (0, Vec::new());
    while next < MANY {
        let line = peer.line();
        assert!(!line.is_empty(), "the stream ends before line {next}");
        match number(&line) {
            Some(number) => {
                assert_eq!(number, next);
                next += 1;
            }
            None => others.push(line),
        }
    }
    others
}

#[test]
fn stalled_peer_is_dropped_alone() {
    for engine in ENGINES {
        let server = start(engine, &["--queue", "8KiB"]);
        let mut alice = Peer::arrive(&server, "alice");
        let bob = Peer::arrive_small(&server, "bob");
        alice.send(&many_lines());
        alice.read_until(|line| line == "* bob left (too slow)\n");
        drop(bob);
        alice.send("/who\n");
        assert_eq!(alice.line(), "+who lobby alice\n", "{engine}");
        Peer::arrive(&server, "bob");
    }
}

#[test]
fn writers_isolate_a_stalled_peer() {
    let server = start("threads-queued", &["--queue", "64MiB"]);
    let mut alice = Peer::arrive(&server, "alice");
    let mut bob = Peer::arrive_small(&server, "bob");
    let mut carol = Peer::arrive(&server, "carol");
    alice.read_until(|line| line == "* carol joined\n");
    alice.send(&many_lines());
    assert!(read_many(&mut carol).is_empty());
    alice.send("/who\n");
    assert_eq!(alice.line(), "+who lobby alice bob carol\n", "bob has read nothing, and is still registered");
    assert_eq!(alice.line(), "+end who lobby 3\n");
    alice.send("@bob:x\n/ping\n");
    assert_eq!(alice.line(), "+pong\n", "half of bob's queue is free");
    // Bob has missed no line.
    assert_eq!(read_many(&mut bob), ["* carol joined\n"]);
    assert_eq!(bob.line(), "@alice:x\n");
}

#[test]
fn full_writer_queue_refuses_direct_messages() {
    let server = start("threads-queued", &["--queue", "8MiB"]);
    let mut alice = Peer::arrive(&server, "alice");
    let _bob = Peer::arrive_small(&server, "bob");
    // More than half of 8 MiB, beyond what kernels buffer.
    alice.send(&(many_lines() + &many_lines()[..1 << 20] + "\n@bob:x\n"));
    alice.read_until(|line| line == "!recipient-full bob\n");
}

#[test]
fn blocked_reader_resumes_after_drain() {
    let server = start("threads-queued", &["--queue", "8KiB"]);
    let mut alice = Peer::arrive_small(&server, "alice");
    let mut bob = Peer::arrive(&server, "bob");
    alice.send(&"/help\n".repeat(1000));
    // More than half of alice's queue is unsent then, so the reader thread blocks.
    while bob.answer("@alice:x\n/ping\n") != "!recipient-full alice\n" {}
    for _ in 0..1000 {
        alice.read_until(|line| line == "+end help\n");
    }
}

#[test]
fn reset_during_fan_out_leaves_once() {
    for engine in ENGINES {
        let server = start(engine, &["--queue", "64MiB"]);
        let mut alice = Peer::arrive(&server, "alice");
        // Carol registers before bob, so each line is sent to carol first.
        let mut carol = Peer::arrive(&server, "carol");
        let bob = Peer::arrive_small(&server, "bob");
        alice.read_until(|line| line == "* bob joined\n");
        let mut writer = alice.writer();
        let writing = thread::spawn(move || writer.write_all(many_lines().as_bytes()));
        carol.read_until(|line| number(line) == Some(0));
        bob.reset();
        let mut next = 1;
        let mut left = 0;
        while next < MANY || left == 0 {
            match carol.line() {
                line if line.starts_with("* bob left") => left += 1,
                line => {
                    assert_eq!(number(&line), Some(next), "{engine}: {line}");
                    next += 1;
                }
            }
        }
        assert_eq!(left, 1, "{engine}");
        writing.join().expect("it doesn't panic").expect("the server reads");
        alice.send("/who\n");
        alice.read_until(|line| line == "+who lobby alice carol\n");
    }
}

#[test]
fn stalled_peers_cannot_delay_stop() {
    for engine in ENGINES {
        let mut server = start(engine, &["--queue", "64MiB", "--drain", "100ms"]);
        let alice = Peer::arrive(&server, "alice");
        // Carol registers before the others, so each line is sent to carol first.
        let mut carol = Peer::arrive(&server, "carol");
        let _bobs = ["bob", "bert", "bill"].map(|name| Peer::arrive_small(&server, name));
        let mut writer = alice.writer();
        // The write ends with the server.
        let writing = thread::spawn(move || writer.write_all(many_lines().as_bytes()));
        carol.read_until(|line| number(line) == Some(0));
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0), "{engine}");
        let _ = writing.join().expect("it doesn't panic");
    }
}

#[test]
fn stop_sends_every_final_line() {
    for engine in ENGINES {
        let mut server = start(engine, &[]);
        let mut peers = ["alice", "bob"].map(|name| Peer::arrive(&server, name));
        server.signal(Signal::INT);
        for peer in &mut peers {
            peer.read_until(|line| line == "!shutting-down the server stops\n");
            assert_eq!(peer.line(), "", "{engine}");
        }
        drop(peers);
        assert_eq!(server.wait().code(), Some(0), "{engine}");
    }
}

#[test]
fn half_closed_peer_gets_all_answers() {
    for engine in ENGINES {
        // More answers than the queue holds: requests are read gradually.
        let server = start(engine, &["--queue", "8KiB"]);
        let mut alice = Peer::arrive(&server, "alice");
        let count = 2000;
        let mut writer = alice.writer();
        let asking = thread::spawn(move || {
            writer.write_all("/help\n".repeat(count).as_bytes()).expect("the server reads");
            writer.shutdown(Shutdown::Write).expect("an open stream can be shut");
        });
        let mut received = String::new();
        alice.0.read_to_string(&mut received).expect("it ends");
        asking.join().expect("it doesn't panic");
        assert_eq!(received.matches("+end help\n").count(), count, "{engine}");
    }
}

#[test]
fn register_timeout_sends_final_line() {
    for engine in ENGINES {
        let server = start(engine, &["--register-timeout", "1s"]);
        let mut received = String::new();
        server.connect().read_to_string(&mut received).expect("it ends");
        assert!(
            received.ends_with("\n!register-timeout no name was given in time\n"),
            "{engine}: {received}"
        );
    }
}

#[test]
fn udp_needs_the_reactor() {
    for engine in ENGINES {
        let output = redpoll().args(["serve", "--engine", engine, "--listen", "udp://127.0.0.1:0"]).output();
        let output = output.expect("the program can be started");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("udp needs --engine reactor") && text.lines().count() == 1, "{text}");
        assert!(output.stdout.is_empty(), "no listener is printed");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_end_with_their_connections() {
    for engine in ENGINES {
        let server = start(engine, &["--queue", "8KiB"]);
        let each = if engine == "threads" { 1 } else { 2 };
        // After the first registration, all threads of the server itself have started.
        let first = Peer::arrive(&server, "first");
        let before = server.threads() - each;
        let mut peers: Vec<Peer> =
            (0..200).map(|number| Peer::arrive(&server, &format!("n{number}"))).collect();
        peers.push(first);
        assert_eq!(server.threads(), before + 201 * each, "{engine}");
        for (number, mut peer) in peers.drain(..).enumerate() {
            match number % 4 {
                0 => peer.send("/quit\n"),
                1 => peer.reset(),
                2 => peer.writer().shutdown(Shutdown::Write).expect("an open stream can be shut"),
                _ => drop(peer),
            }
        }
        let start = Instant::now();
        while server.threads() > before {
            assert!(start.elapsed() < DEADLINE, "{engine}: {} threads are left", server.threads() - before);
            thread::yield_now();
        }
        Peer::arrive(&server, "n0");
    }
}
