//! Messages that end by a pause, in the simulator: how the tutorials' clients are framed, who send no LF. What came is
//! seen by what a relay peer gets back, since it gets its own lines too.

use redpoll::limits::{KIB, Limits, MAX_PAUSES};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::{Faults, PeerNo, Sim};
use std::time::Duration;

/// The default of `--pause`, and just less.
const PAUSE: Duration = Duration::from_millis(50);
const LESS: Duration = Duration::from_millis(49);

/// A short limit of lines, so that streams with lines too long are short as well.
const MAX_LINE: usize = 128;

/// A relay peer called tom, who has nothing unread.
fn tom(limits: Limits) -> (Sim, PeerNo) {
    let mut sim = Sim::with_doors(limits, &[Scheme::Relay]);
    let tom = sim.connect();
    sim.send(tom, "tom:here\n");
    sim.run();
    assert_eq!(sim.lines(tom), ["tom: here"]);
    (sim, tom)
}

fn short_lines() -> Limits {
    Limits { max_line: MAX_LINE, ..Limits::default() }
}

#[test]
fn one_send_is_one_message() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "tom: hello");
    sim.pass(LESS);
    assert!(sim.lines(tom).is_empty(), "more may come");
    sim.pass(PAUSE - LESS);
    assert_eq!(sim.lines(tom), ["tom: hello"]);
    sim.pass(PAUSE * 10);
    assert!(sim.lines(tom).is_empty(), "it is said once");
}

#[test]
fn segments_within_timeout_are_one_message() {
    let (mut sim, tom) = tom(Limits::default());
    for _ in 0..20 {
        sim.send(tom, "0123456789");
        sim.pass(LESS);
    }
    assert!(sim.lines(tom).is_empty());
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), [format!("tom: {}", "0123456789".repeat(20))]);
}

#[test]
fn timeout_separates_messages() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "one");
    sim.pass(LESS);
    sim.send(tom, "two");
    sim.pass(PAUSE);
    sim.send(tom, "three");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: onetwo", "tom: three"]);
}

#[test]
fn lf_ends_a_message_at_once() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "one\r\n\ntwo\nthree\r");
    sim.run();
    assert_eq!(sim.lines(tom), ["tom: one", "tom: two"]);
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: three"]);
}

#[test]
fn frame_timeout_follows_its_flag() {
    let second = Duration::from_secs(1);
    let (mut sim, tom) = tom(Limits { pause: second, ..Limits::default() });
    sim.send(tom, "hello");
    sim.pass(second - Duration::from_millis(1));
    assert!(sim.lines(tom).is_empty());
    sim.pass(Duration::from_millis(1));
    assert_eq!(sim.lines(tom), ["tom: hello"]);
}

#[test]
fn timeout_within_character_waits() {
    for cut in 1.."😀".len() {
        let (mut sim, tom) = tom(Limits::default());
        let (first, rest) = "😀".as_bytes().split_at(cut);
        sim.send(tom, [b"so ", first].concat());
        sim.pass(PAUSE * 2);
        assert!(sim.lines(tom).is_empty(), "cut at {cut}");
        sim.send(tom, rest);
        sim.pass(PAUSE);
        assert_eq!(sim.lines(tom), ["tom: so 😀"], "cut at {cut}");
    }
}

#[test]
fn incomplete_character_waits_are_bounded() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, b"Gr\xC3");
    sim.pass(PAUSE * u32::from(MAX_PAUSES));
    assert!(sim.lines(tom).is_empty());
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: Gr\u{FFFD}"]);
    // And the next message is waited for as if nothing had been.
    sim.send(tom, b"Gr\xC3");
    sim.pass(PAUSE * 2);
    sim.send(tom, b"\xBC\xC3");
    sim.pass(PAUSE * u32::from(MAX_PAUSES));
    assert!(sim.lines(tom).is_empty());
    sim.send(tom, b"\x9Fe");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: Grüße"]);
}

#[test]
fn invalid_bytes_extend_no_timeout() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, b"Gr\xFC\xDFe");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: Gr\u{FFFD}\u{FFFD}e"], "Latin 1, as it was before all this");
}

#[test]
fn message_may_fill_the_limit() {
    let (mut sim, tom) = tom(short_lines());
    sim.send(tom, "x".repeat(MAX_LINE));
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), [format!("tom: {}", "x".repeat(MAX_LINE))]);
    sim.send(tom, "x".repeat(MAX_LINE + 1));
    sim.run();
    assert_eq!(sim.lines(tom), ["!line-too-long 128"], "as soon as it is known");
    sim.pass(PAUSE);
    assert!(sim.lines(tom).is_empty());
}

#[test]
fn overlong_message_is_refused_once() {
    let (mut sim, tom) = tom(short_lines());
    for _ in 0..10 {
        sim.send(tom, "x".repeat(100));
        sim.pass(LESS);
    }
    assert_eq!(sim.lines(tom), ["!line-too-long 128"]);
    sim.pass(PAUSE);
    sim.send(tom, "hello");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["tom: hello"]);
    // By LF too, and what is behind that is a message of its own.
    sim.send(tom, "x".repeat(200) + "\nhello");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["!line-too-long 128", "tom: hello"]);
}

#[test]
fn message_with_nul_is_refused() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "a\0b");
    sim.pass(PAUSE);
    sim.send(tom, "\0");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(tom), ["!bad-byte the line holds a NUL byte"; 2]);
}

#[test]
fn blank_message_is_ignored() {
    let (mut sim, tom) = tom(Limits::default());
    for blank in [" ", "\t \t", "\r", "\n", " \r\n "] {
        sim.send(tom, blank);
        sim.pass(PAUSE);
        assert!(sim.lines(tom).is_empty(), "{blank:?}");
    }
}

#[test]
fn end_of_stream_ends_a_message() {
    let (mut sim, tom) = tom(Limits::default());
    let other = sim.connect();
    sim.run();
    sim.send(tom, "one\nbye");
    sim.end(tom);
    sim.run();
    sim.pass(PAUSE * 2);
    assert_eq!(sim.lines(other), ["tom: one", "tom: bye"]);
    assert!(sim.is_closed(tom));
}

#[test]
fn reset_discards_an_unfinished_message() {
    let (mut sim, tom) = tom(Limits::default());
    let other = sim.connect();
    sim.send(tom, "half of");
    sim.run();
    sim.reset(tom);
    sim.pass(PAUSE * 2);
    assert!(sim.lines(other).is_empty());
    // Whoever takes its slot begins anew.
    let next = sim.connect();
    sim.pass(PAUSE * 2);
    sim.send(next, "tom: hello");
    sim.pass(PAUSE);
    assert_eq!(sim.lines(next), ["tom: hello"]);
}

#[test]
fn segmented_handshake_is_one_answer() {
    let mut sim = Sim::with_doors(Limits::default(), &[Scheme::Nickname]);
    let alice = sim.connect();
    sim.run();
    assert_eq!(sim.take(alice), b"NICKNAME");
    for byte in b"alice" {
        sim.send(alice, [*byte]);
        sim.pass(LESS);
    }
    sim.pass(PAUSE);
    assert_eq!(sim.lines(alice), ["alice joined!", "Connected to server!"]);
}

#[test]
fn line_protocol_has_no_timeout() {
    let mut sim = Sim::new(Limits::default());
    let alice = sim.connect();
    sim.send(alice, "#ali");
    sim.pass(PAUSE * 10);
    sim.send(alice, "ce\n");
    sim.run();
    assert_eq!(sim.lines(alice)[2..], ["+nick alice", "+room lobby 1"]);
}

#[test]
fn idle_peer_arms_no_timer() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "hello");
    sim.pass(Duration::from_secs(10));
    let turns = sim.turns();
    sim.pass(Duration::from_secs(24 * 60 * 60));
    assert!(sim.turns() - turns <= 1, "{} turns", sim.turns() - turns);
}

#[test]
fn blocked_peer_keeps_unfinished_message() {
    let (mut sim, tom) = tom(Limits { queue: 8 * KIB, ..Limits::default() });
    sim.stall(tom, 0);
    let line = "x".repeat(994);
    sim.send(tom, format!("{line}\n").repeat(6) + "unfinished");
    // Its queue is above half, so that it isn't read, but not above the whole.
    sim.pass(PAUSE * 10);
    sim.send(tom, " no more");
    sim.pass(PAUSE * 10);
    sim.stall(tom, usize::MAX);
    sim.pass(PAUSE * 2);
    let said = sim.lines(tom);
    assert_eq!(said.len(), 7);
    assert_eq!(said[6], "tom: unfinished no more");
}

/// What comes of a stream of which nothing but a last message is without LF, with a pause at one place or nowhere.
fn expected(stream: &[u8], pause: Option<usize>) -> Vec<String> {
    // A client sends whole characters, so a pause within one is none.
    let pause = pause.filter(|at| std::str::from_utf8(&stream[..*at]).is_ok());
    let (before, behind) = stream.split_at(pause.unwrap_or(0));
    let mut said = Vec::new();
    for line in [before, behind].into_iter().flat_map(|part| part.split_inclusive(|byte| *byte == b'\n')) {
        let message = line.strip_suffix(b"\n").unwrap_or(line);
        let message = message.strip_suffix(b"\r").unwrap_or(message);
        let text = std::str::from_utf8(message).expect("it is cut between characters");
        said.push(match text {
            _ if line.len() > MAX_LINE => "!line-too-long 128".to_owned(),
            _ if message.contains(&0) => "!bad-byte the line holds a NUL byte".to_owned(),
            _ if text.trim_matches([' ', '\t']).is_empty() => continue,
            _ => format!("tom: {text}"),
        });
    }
    said
}

/// Lines and what may be wrong with them; the last has no LF.
fn stream() -> Vec<u8> {
    let long = "long".repeat(40);
    format!("one\r\n\nzwei fünf 😀\nn\0l\n{long}\nthree\r\r\n  \nlast ü").into_bytes()
}

#[test]
fn no_cut_changes_the_messages() {
    let stream = stream();
    for cut in 0..=stream.len() {
        let (mut sim, tom) = tom(short_lines());
        sim.send(tom, &stream[..cut]);
        sim.pass(LESS);
        sim.send(tom, &stream[cut..]);
        sim.pass(PAUSE);
        // tom is safe from a CR, which is no part of what `expected` knows.
        let said: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        assert_eq!(said, expected(&stream, None), "cut at {cut}");
    }
}

#[test]
fn timeout_ends_message_at_any_cut() {
    let stream = stream();
    for cut in 0..=stream.len() {
        let (mut sim, tom) = tom(short_lines());
        sim.send(tom, &stream[..cut]);
        sim.pass(PAUSE * 2);
        sim.send(tom, &stream[cut..]);
        sim.pass(PAUSE);
        let said: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        assert_eq!(said, expected(&stream, Some(cut)), "a pause at {cut}");
    }
}

#[test]
fn single_bytes_change_no_message() {
    let stream = stream();
    let (mut sim, tom) = tom(short_lines());
    for byte in &stream {
        sim.send(tom, [*byte]);
        sim.pass(Duration::from_millis(1));
    }
    sim.pass(PAUSE);
    let said: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
    assert_eq!(said, expected(&stream, None));
}

#[test]
fn faulty_sockets_change_no_message() {
    let stream = stream();
    for seed in 0..100 {
        let (mut sim, tom) = tom(short_lines());
        sim.sockets().set_faults(Some(Faults::plenty(seed)));
        sim.send(tom, &stream);
        sim.pass(PAUSE);
        sim.send(tom, "and\nthis");
        sim.pass(PAUSE);
        sim.sockets().set_faults(None);
        sim.run();
        let said: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        let last = ["tom: and".to_owned(), "tom: this".to_owned()];
        assert_eq!(said, [expected(&stream, None), last.to_vec()].concat(), "seed {seed}");
    }
}
