//! How connections and the server end, over real sockets: what a stalled peer can't prolong, what a second signal does,
//! and that the end of a peer is seen which isn't read.

#![allow(clippy::panic, reason = "a test says by it what is wrong")]

mod common;

use common::{Server, serve, uninterrupted};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

fn line(peer: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).expect("the server says something");
    line
}

/// Somebody of that name, who has heard how many are in the lobby.
fn arrive(server: &Server, name: &str) -> BufReader<TcpStream> {
    let mut peer = BufReader::new(server.connect());
    say(&mut peer, &format!("#{name}\n"));
    while !line(&mut peer).starts_with("+room lobby ") {}
    peer
}

fn say(peer: &mut BufReader<TcpStream>, text: &str) {
    peer.get_mut().write_all(text.as_bytes()).expect("the server is there");
}

/// Two people, of whom bob reads nothing and has more unread than the kernel takes; alice knows that.
fn with_a_stalled_peer(flags: &[&str]) -> (Server, BufReader<TcpStream>, BufReader<TcpStream>) {
    let server = serve(["--rate", "0", "--queue", "8MiB", "--send-buffer", "4KiB"].iter().chain(flags));
    let bob = arrive(&server, "bob");
    let mut alice = arrive(&server, "alice");
    let text = "x".repeat(4000);
    for i in 0.. {
        assert!(i < 10_000, "a kernel takes no end of it");
        say(&mut alice, &format!("@bob:{text}\n/ping {i}\n"));
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
    let (mut server, mut alice, bob) = with_a_stalled_peer(&["--drain", "300ms"]);
    server.signal(Signal::TERM);
    while line(&mut alice) != "!shutting-down the server stops\n" {}
    drop(alice);
    // Though bob is there all the time and never reads.
    assert_eq!(server.wait().code(), Some(0));
    drop(bob);
}

#[test]
fn second_signal_ends_the_drain() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let (mut server, mut alice, bob) = with_a_stalled_peer(&["--drain", "1h"]);
        server.signal(first);
        while line(&mut alice) != "!shutting-down the server stops\n" {}
        drop(alice);
        server.signal(second);
        assert_eq!(server.wait().code(), Some(1));
        drop(bob);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn end_is_noticed_above_the_rate() {
    // Nothing of it can be read for an hour; its name is free all the same, ten seconds behind its end.
    let server = serve(["--rate", "1", "--burst", "1"]);
    let mut bob = arrive(&server, "bob");
    let mut alice = arrive(&server, "alice");
    say(&mut alice, &"/ping\n".repeat(3600));
    alice.get_ref().shutdown(Shutdown::Write).expect("it is connected");
    let mut silences = 0;
    loop {
        let heard = uninterrupted(|| {
            let mut line = String::new();
            bob.read_line(&mut line).map(|_| line)
        });
        match heard {
            Ok(line) if line.starts_with("* alice left") => break,
            Ok(line) => assert!(line.starts_with("* alice joined"), "{line}"),
            // The deadline of the tests is as long as the server's, which is not seen to the second: an hour is too much.
            Err(error) => {
                silences += 1;
                assert!(error.kind() == ErrorKind::WouldBlock && silences <= 3, "alice is a ghost");
            }
        }
    }
    let mut rest = String::new();
    alice.read_to_string(&mut rest).expect("it is closed");
    assert!(rest.matches("+pong").count() < 20, "{rest}");
}
