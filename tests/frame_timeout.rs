//! Messages that end by the frame timeout (`--pause`), in the simulator: the framing of the tutorials' clients, which
//! send no LF. A relay peer is sent its own lines too, which shows what the server received.

use redpoll::limits::{KIB, Limits, MAX_FRAME_TIMEOUTS};
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::{Faults, PeerNo, Sim};
use std::time::Duration;

/// The default of `--pause`, and a millisecond less.
const TIMEOUT: Duration = Duration::from_millis(50);
const LESS: Duration = Duration::from_millis(49);

/// A short line limit, so that streams with overlong lines are short too.
const MAX_LINE: usize = 128;

/// A registered relay peer called tom without unread lines.
fn tom(limits: Limits) -> (Sim, PeerNo) {
    let mut sim = Sim::with_schemes(limits, &[Scheme::Relay]);
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
    assert!(sim.lines(tom).is_empty(), "more bytes may follow");
    sim.pass(TIMEOUT - LESS);
    assert_eq!(sim.lines(tom), ["tom: hello"]);
    sim.pass(TIMEOUT * 10);
    assert!(sim.lines(tom).is_empty(), "the message is sent once");
}

#[test]
fn segments_within_timeout_are_one_message() {
    let (mut sim, tom) = tom(Limits::default());
    for _ in 0..20 {
        sim.send(tom, "0123456789");
        sim.pass(LESS);
    }
    assert!(sim.lines(tom).is_empty());
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), [format!("tom: {}", "0123456789".repeat(20))]);
}

#[test]
fn timeout_separates_messages() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "one");
    sim.pass(LESS);
    sim.send(tom, "two");
    sim.pass(TIMEOUT);
    sim.send(tom, "three");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: onetwo", "tom: three"]);
}

#[test]
fn lf_ends_a_message_at_once() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "one\r\n\ntwo\nthree\r");
    sim.run();
    assert_eq!(sim.lines(tom), ["tom: one", "tom: two"]);
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: three"]);
}

#[test]
fn frame_timeout_follows_its_flag() {
    let second = Duration::from_secs(1);
    let (mut sim, tom) = tom(Limits { frame_timeout: second, ..Limits::default() });
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
        let (first, second) = "😀".as_bytes().split_at(cut);
        sim.send(tom, [b"so ", first].concat());
        sim.pass(TIMEOUT * 2);
        assert!(sim.lines(tom).is_empty(), "cut at {cut}");
        sim.send(tom, second);
        sim.pass(TIMEOUT);
        assert_eq!(sim.lines(tom), ["tom: so 😀"], "cut at {cut}");
    }
}

#[test]
fn incomplete_character_waits_are_bounded() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, b"Gr\xC3");
    sim.pass(TIMEOUT * u32::from(MAX_FRAME_TIMEOUTS));
    assert!(sim.lines(tom).is_empty());
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: Gr\u{FFFD}"]);
    // The next message has the same number of timeouts.
    sim.send(tom, b"Gr\xC3");
    sim.pass(TIMEOUT * 2);
    sim.send(tom, b"\xBC\xC3");
    sim.pass(TIMEOUT * u32::from(MAX_FRAME_TIMEOUTS));
    assert!(sim.lines(tom).is_empty());
    sim.send(tom, b"\x9Fe");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: Grüße"]);
}

#[test]
fn invalid_bytes_extend_no_timeout() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, b"Gr\xFC\xDFe");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: Gr\u{FFFD}\u{FFFD}e"], "Latin 1 is no UTF-8");
}

#[test]
fn message_may_fill_the_limit() {
    let (mut sim, tom) = tom(short_lines());
    sim.send(tom, "x".repeat(MAX_LINE));
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), [format!("tom: {}", "x".repeat(MAX_LINE))]);
    sim.send(tom, "x".repeat(MAX_LINE + 1));
    sim.run();
    assert_eq!(sim.lines(tom), ["!line-too-long 128"], "before the message ends");
    sim.pass(TIMEOUT);
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
    sim.pass(TIMEOUT);
    sim.send(tom, "hello");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["tom: hello"]);
    // LF ends it too, and the bytes after it are a message of their own.
    sim.send(tom, "x".repeat(200) + "\nhello");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["!line-too-long 128", "tom: hello"]);
}

#[test]
fn message_with_nul_is_refused() {
    let (mut sim, tom) = tom(Limits::default());
    sim.send(tom, "a\0b");
    sim.pass(TIMEOUT);
    sim.send(tom, "\0");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(tom), ["!bad-byte the line holds a NUL byte"; 2]);
}

#[test]
fn blank_message_is_ignored() {
    let (mut sim, tom) = tom(Limits::default());
    for blank in [" ", "\t \t", "\r", "\n", " \r\n "] {
        sim.send(tom, blank);
        sim.pass(TIMEOUT);
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
    sim.pass(TIMEOUT * 2);
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
    sim.pass(TIMEOUT * 2);
    assert!(sim.lines(other).is_empty());
    // A connection that reuses the slot starts with an empty message.
    let next = sim.connect();
    sim.pass(TIMEOUT * 2);
    sim.send(next, "tom: hello");
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(next), ["tom: hello"]);
}

#[test]
fn segmented_handshake_is_one_answer() {
    let mut sim = Sim::with_schemes(Limits::default(), &[Scheme::Nickname]);
    let alice = sim.connect();
    sim.run();
    assert_eq!(sim.take(alice), b"NICKNAME");
    for byte in b"alice" {
        sim.send(alice, [*byte]);
        sim.pass(LESS);
    }
    sim.pass(TIMEOUT);
    assert_eq!(sim.lines(alice), ["alice joined!", "Connected to server!"]);
}

#[test]
fn line_protocol_has_no_timeout() {
    let mut sim = Sim::new(Limits::default());
    let alice = sim.connect();
    sim.send(alice, "#ali");
    sim.pass(TIMEOUT * 10);
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
    // Its queue is more than half full, which blocks reading, but not above its limit.
    sim.pass(TIMEOUT * 10);
    sim.send(tom, " no more");
    sim.pass(TIMEOUT * 10);
    sim.stall(tom, usize::MAX);
    sim.pass(TIMEOUT * 2);
    let lines = sim.lines(tom);
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[6], "tom: unfinished no more");
}

/// Returns the lines that a stream results in, with a frame timeout at one position or none. Only the last message is
/// without LF.
fn expected(stream: &[u8], timeout: Option<usize>) -> Vec<String> {
    // A timeout within a character doesn't end a message.
    let timeout = timeout.filter(|at| std::str::from_utf8(&stream[..*at]).is_ok());
    let (before, after) = stream.split_at(timeout.unwrap_or(0));
    let mut lines = Vec::new();
    for line in [before, after].into_iter().flat_map(|part| part.split_inclusive(|byte| *byte == b'\n')) {
        let message = line.strip_suffix(b"\n").unwrap_or(line);
        let message = message.strip_suffix(b"\r").unwrap_or(message);
        let text = std::str::from_utf8(message).expect("it is cut between characters");
        lines.push(match text {
            _ if line.len() > MAX_LINE => "!line-too-long 128".to_owned(),
            _ if message.contains(&0) => "!bad-byte the line holds a NUL byte".to_owned(),
            _ if text.trim_matches([' ', '\t']).is_empty() => continue,
            _ => format!("tom: {text}"),
        });
    }
    lines
}

/// Returns lines of each kind, valid and refused; the last has no LF.
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
        sim.pass(TIMEOUT);
        // A CR is replaced in text, which `expected` doesn't do.
        let lines: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        assert_eq!(lines, expected(&stream, None), "cut at {cut}");
    }
}

#[test]
fn timeout_ends_message_at_any_cut() {
    let stream = stream();
    for cut in 0..=stream.len() {
        let (mut sim, tom) = tom(short_lines());
        sim.send(tom, &stream[..cut]);
        sim.pass(TIMEOUT * 2);
        sim.send(tom, &stream[cut..]);
        sim.pass(TIMEOUT);
        let lines: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        assert_eq!(lines, expected(&stream, Some(cut)), "a timeout at {cut}");
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
    sim.pass(TIMEOUT);
    let lines: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
    assert_eq!(lines, expected(&stream, None));
}

#[test]
fn faulty_sockets_change_no_message() {
    let stream = stream();
    for seed in 0..100 {
        let (mut sim, tom) = tom(short_lines());
        sim.sockets().set_faults(Some(Faults::plenty(seed)));
        sim.send(tom, &stream);
        sim.pass(TIMEOUT);
        sim.send(tom, "and\nthis");
        sim.pass(TIMEOUT);
        sim.sockets().set_faults(None);
        sim.run();
        let lines: Vec<String> = sim.lines(tom).iter().map(|line| line.replace('\u{FFFD}', "\r")).collect();
        let last = ["tom: and".to_owned(), "tom: this".to_owned()];
        assert_eq!(lines, [expected(&stream, None), last.to_vec()].concat(), "seed {seed}");
    }
}
