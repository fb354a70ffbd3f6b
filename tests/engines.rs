//! The engines with threads, where they differ from the reactor: threads that block, wait for each other and end. What is
//! said and heard is told by the stories.

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

/// What the kernel holds for a connection is small, so that whoever doesn't read is noticed soon; and who floods may.
fn start(engine: &str, flags: &[&str]) -> Server {
    let small = ["--engine", engine, "--send-buffer", "4KiB", "--rate", "0"];
    serve(small.into_iter().chain(flags.iter().copied()))
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    fn arrive(server: &Server, name: &str) -> Peer {
        Peer::enter(server.connect(), name)
    }

    /// One whose kernel holds as little as it can of what it doesn't read.
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
        peer.say(&format!("#{name}\n"));
        peer.hear_until(|line| line.starts_with("+room lobby "));
        peer
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    /// Says something, and hears the next line.
    fn answer(&mut self, text: &str) -> String {
        self.say(text);
        self.line()
    }

    /// A line, or nothing at the end of the stream.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server says something");
        line
    }

    /// The lines up to one that is waited for, and that one.
    fn hear_until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the stream ends behind {lines:?}");
            let is_last = last(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// A stream of its own to write to, while this one is read.
    fn mouth(&self) -> TcpStream {
        self.0.get_ref().try_clone().expect("a stream can be shared")
    }

    /// Resets the connection: socket(7), SO_LINGER of no time.
    fn vanish(self) {
        let socket: Socket = self.0.into_inner().into();
        socket.set_linger(Some(Duration::ZERO)).expect("a socket lingers");
    }
}

/// Far more lines than kernels hold: 4 MiB.
const MANY: usize = 4096;

fn many_lines() -> String {
    (0..MANY).map(|number| format!("{number} {:x>1000}\n", "")).collect()
}

/// Which of many lines this is, as somebody hears it.
fn number(line: &str) -> Option<usize> {
    line.strip_prefix("alice: ")?.split(' ').next()?.parse().ok()
}

/// Hears all of many lines in their order; what else there was.
fn hear_many(peer: &mut Peer) -> Vec<String> {
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
        alice.say(&many_lines());
        alice.hear_until(|line| line == "* bob left (too slow)\n");
        drop(bob);
        alice.say("/who\n");
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
    alice.hear_until(|line| line == "* carol joined\n");
    alice.say(&many_lines());
    assert!(hear_many(&mut carol).is_empty());
    alice.say("/who\n");
    assert_eq!(alice.line(), "+who lobby alice bob carol\n", "bob has read nothing, and is there");
    assert_eq!(alice.line(), "+end who lobby 3\n");
    alice.say("@bob:x\n/ping\n");
    assert_eq!(alice.line(), "+pong\n", "half of his queue is free");
    // In the end he has missed nothing.
    assert_eq!(hear_many(&mut bob), ["* carol joined\n"]);
    assert_eq!(bob.line(), "@alice:x\n");
}

#[test]
fn full_writer_queue_refuses_direct_messages() {
    let server = start("threads-queued", &["--queue", "8MiB"]);
    let mut alice = Peer::arrive(&server, "alice");
    let _bob = Peer::arrive_small(&server, "bob");
    // More than half of 8 MiB, whatever the kernels hold.
    alice.say(&(many_lines() + &many_lines()[..1 << 20] + "\n@bob:x\n"));
    alice.hear_until(|line| line == "!recipient-full bob\n");
}

#[test]
fn blocked_reader_resumes_after_drain() {
    let server = start("threads-queued", &["--queue", "8KiB"]);
    let mut alice = Peer::arrive_small(&server, "alice");
    let mut bob = Peer::arrive(&server, "bob");
    alice.say(&"/help\n".repeat(1000));
    // More than half of her queue is unsent then, so her reader waits for room.
    while bob.answer("@alice:x\n/ping\n") != "!recipient-full alice\n" {}
    for _ in 0..1000 {
        alice.hear_until(|line| line == "+end help\n");
    }
}

#[test]
fn reset_during_fan_out_leaves_once() {
    for engine in ENGINES {
        let server = start(engine, &["--queue", "64MiB"]);
        let mut alice = Peer::arrive(&server, "alice");
        // She came before him, and so hears what his socket is still to be sent.
        let mut carol = Peer::arrive(&server, "carol");
        let bob = Peer::arrive_small(&server, "bob");
        alice.hear_until(|line| line == "* bob joined\n");
        let mut mouth = alice.mouth();
        let speaking = thread::spawn(move || mouth.write_all(many_lines().as_bytes()));
        carol.hear_until(|line| number(line) == Some(0));
        bob.vanish();
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
        speaking.join().expect("it doesn't panic").expect("the server reads");
        alice.say("/who\n");
        alice.hear_until(|line| line == "+who lobby alice carol\n");
    }
}

#[test]
fn stalled_peers_cannot_delay_stop() {
    for engine in ENGINES {
        let mut server = start(engine, &["--queue", "64MiB", "--drain", "100ms"]);
        let alice = Peer::arrive(&server, "alice");
        // She came before them, and so is sent to before them.
        let mut carol = Peer::arrive(&server, "carol");
        let _bobs = ["bob", "bert", "bill"].map(|name| Peer::arrive_small(&server, name));
        let mut mouth = alice.mouth();
        // It ends where the server does.
        let speaking = thread::spawn(move || mouth.write_all(many_lines().as_bytes()));
        carol.hear_until(|line| number(line) == Some(0));
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0), "{engine}");
        let _ = speaking.join().expect("it doesn't panic");
    }
}

#[test]
fn stop_sends_every_final_line() {
    for engine in ENGINES {
        let mut server = start(engine, &[]);
        let mut peers = ["alice", "bob"].map(|name| Peer::arrive(&server, name));
        server.signal(Signal::INT);
        for peer in &mut peers {
            peer.hear_until(|line| line == "!shutting-down the server stops\n");
            assert_eq!(peer.line(), "", "{engine}");
        }
        drop(peers);
        assert_eq!(server.wait().code(), Some(0), "{engine}");
    }
}

#[test]
fn half_closed_peer_gets_all_answers() {
    for engine in ENGINES {
        // More than its own queue holds: it is read by and by.
        let server = start(engine, &["--queue", "8KiB"]);
        let mut alice = Peer::arrive(&server, "alice");
        let count = 2000;
        let mut mouth = alice.mouth();
        let asking = thread::spawn(move || {
            mouth.write_all("/help\n".repeat(count).as_bytes()).expect("the server reads");
            mouth.shutdown(Shutdown::Write).expect("an open stream can be shut");
        });
        let mut heard = String::new();
        alice.0.read_to_string(&mut heard).expect("it ends");
        asking.join().expect("it doesn't panic");
        assert_eq!(heard.matches("+end help\n").count(), count, "{engine}");
    }
}

#[test]
fn register_timeout_sends_final_line() {
    for engine in ENGINES {
        let server = start(engine, &["--register-timeout", "1s"]);
        let mut heard = String::new();
        server.connect().read_to_string(&mut heard).expect("it ends");
        assert!(heard.ends_with("\n!register-timeout no name was given in time\n"), "{engine}: {heard}");
    }
}

#[test]
fn udp_needs_the_reactor() {
    for engine in ENGINES {
        let output = redpoll().args(["serve", "--engine", engine, "--listen", "udp://127.0.0.1:0"]).output();
        let output = output.expect("the program can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("udp needs --engine reactor") && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty(), "nothing is said to listen");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_end_with_their_connections() {
    for engine in ENGINES {
        let server = start(engine, &["--queue", "8KiB"]);
        let each = if engine == "threads" { 1 } else { 2 };
        // Once somebody is in, all threads of the server itself have started.
        let first = Peer::arrive(&server, "first");
        let before = server.threads() - each;
        let mut peers: Vec<Peer> =
            (0..200).map(|number| Peer::arrive(&server, &format!("n{number}"))).collect();
        peers.push(first);
        assert_eq!(server.threads(), before + 201 * each, "{engine}");
        for (number, mut peer) in peers.drain(..).enumerate() {
            match number % 4 {
                0 => peer.say("/quit\n"),
                1 => peer.vanish(),
                2 => peer.mouth().shutdown(Shutdown::Write).expect("an open stream can be shut"),
                _ => drop(peer),
            }
        }
        let gone = Instant::now();
        while server.threads() > before {
            assert!(gone.elapsed() < DEADLINE, "{engine}: {} threads are left", server.threads() - before);
            thread::yield_now();
        }
        Peer::arrive(&server, "n0");
    }
}
