//! How connections and the server end, over real sockets: a stalled peer can't extend the drain, a second signal ends
//! it, and the end of a stream is noticed while the connection is not read.

#![allow(clippy::panic, reason = "a failed test panics")]

mod common;

use common::{Server, serve, uninterrupted};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

fn line(peer: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).expect("the server sends a line");
    line
}

/// Connects and registers a line peer, which has read its last line of registration.
fn arrive(server: &Server, name: &str) -> BufReader<TcpStream> {
    let mut peer = BufReader::new(server.connect());
    send(&mut peer, &format!("#{name}\n"));
    while !line(&mut peer).starts_with("+room lobby ") {}
    peer
}

fn send(peer: &mut BufReader<TcpStream>, text: &str) {
    peer.get_mut().write_all(text.as_bytes()).expect("the server reads");
}

/// Alice and bob, of which bob reads nothing and has more unsent bytes than the kernel takes.
fn start_with_stalled_peer(flags: &[&str]) -> (Server, BufReader<TcpStream>, BufReader<TcpStream>) {
    let server = serve(["--rate", "0", "--queue", "8MiB", "--send-buffer", "4KiB"].iter().chain(flags));
    let bob = arrive(&server, "bob");
    let mut alice = arrive(&server, "alice");
    let text = "x".repeat(4000);
    for i in 0.. {
        assert!(i < 10_000, "the kernel takes a bounded number of bytes");
        send(&mut alice, &format!("@bob:{text}\n/ping {i}\n"));
        let answer = line(&mut alice);
        if answer.starts_with("!recipient-full") {
            break;
        }
        assert_eq!(answer, format!("+pong {i}\n"));
    }
    (server, alice, bob)
}

#[test]
fn stalled_peer_cannot_extend_the_drain() {
    let (mut server, mut alice, bob) = start_with_stalled_peer(&["--drain", "300ms"]);
    server.signal(Signal::TERM);
    while line(&mut alice) != "!shutting-down the server stops\n" {}
    drop(alice);
    // Bob stays connected and never reads.
    assert_eq!(server.wait().code(), Some(0));
    drop(bob);
}

#[test]
fn second_signal_ends_the_drain() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let (mut server, mut alice, bob) = start_with_stalled_peer(&["--drain", "1h"]);
        server.signal(first);
        while line(&mut alice) != "!shutting-down the server stops\n" {}
        drop(alice);
        server.signal(second);
        assert_eq!(server.wait().code(), Some(1));
        drop(bob);
    }
}

/// A SIGHUP while the server stopped was logged, and acted on, as a second signal to stop.
#[test]
fn hangup_during_the_drain_changes_nothing() {
    let (server, mut alice, bob) = start_with_stalled_peer(&["--drain", "1s"]);
    server.signal(Signal::TERM);
    while line(&mut alice) != "!shutting-down the server stops\n" {}
    server.signal(Signal::HUP);
    drop(alice);
    let log = server.log();
    assert!(log.contains("info: SIGHUP: "), "{log}");
    assert_eq!(log.matches("stopping: SIGTERM").count(), 1, "{log}");
    drop(bob);
}

#[test]
#[cfg(target_os = "linux")]
fn end_is_noticed_above_the_rate() {
    // Alice's input takes an hour at this rate; the name is free all the same, ten seconds after the end of the stream.
    let server = serve(["--rate", "1", "--burst", "1"]);
    let mut bob = arrive(&server, "bob");
    let mut alice = arrive(&server, "alice");
    send(&mut alice, &"/ping\n".repeat(3600));
    alice.get_ref().shutdown(Shutdown::Write).expect("it is connected");
    let mut timeouts = 0;
    loop {
        let received = uninterrupted(|| {
            let mut line = String::new();
            bob.read_line(&mut line).map(|_| line)
        });
        match received {
            Ok(line) if line.starts_with("* alice left") => break,
            Ok(line) => assert!(line.starts_with("* alice joined"), "{line}"),
            // The deadline of the tests is as long as the server's grace, so a few timeouts are allowed.
            Err(error) => {
                timeouts += 1;
                assert!(error.kind() == ErrorKind::WouldBlock && timeouts <= 3, "alice has not left");
            }
        }
    }
    let mut answers = String::new();
    alice.read_to_string(&mut answers).expect("it is closed");
    assert!(answers.matches("+pong").count() < 20, "{answers}");
}
