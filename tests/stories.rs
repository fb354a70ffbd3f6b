//! Every story of `tests/stories/`, in the simulator and over real sockets. The grammar is at the top of `tests/kit/src/story/mod.rs`.
#![allow(clippy::panic, reason = "a test says by it what is wrong")]

use redpoll::protocol::name::EVERY_SCRIPT;
use redpoll_kit::story::simulated::{Simulated, gone_wrong};
use redpoll_kit::story::sockets::Sockets;
use redpoll_kit::story::{Story, tell_all};
use std::path::Path;

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_redpoll");

fn can_be_told(story: &Story) -> bool {
    EVERY_SCRIPT || !story.needs_unicode
}

fn on_sockets(story: &Story) -> bool {
    can_be_told(story) && !story.needs_a_clock()
}

/// What engines with threads can tell: all but datagrams.
#[cfg(feature = "threads")]
fn of_streams(story: &Story) -> bool {
    on_sockets(story) && !story.doors().contains(&redpoll::protocol::scheme::Scheme::Udp)
}

#[test]
fn every_story_in_the_simulator() {
    tell_all(can_be_told, Simulated::new);
}

#[test]
fn every_story_in_a_simulator_that_goes_wrong() {
    for seed in 0..8 {
        println!("seed {seed}");
        tell_all(can_be_told, |story| gone_wrong(story, seed));
    }
}

#[test]
fn every_story_over_real_sockets() {
    tell_all(on_sockets, |story| Sockets::new(Path::new(PROGRAM), story, "reactor"));
}

#[cfg(feature = "threads")]
#[test]
fn every_story_of_streams_by_a_thread_for_each_connection() {
    tell_all(of_streams, |story| Sockets::new(Path::new(PROGRAM), story, "threads"));
}

#[cfg(feature = "threads")]
#[test]
fn every_story_of_streams_by_two_threads_for_each_connection() {
    tell_all(of_streams, |story| Sockets::new(Path::new(PROGRAM), story, "threads-queued"));
}

/// What is wrong with a story that this text tells in the simulator.
fn wrong(text: &str) -> String {
    let story = Story::parse("made-up", text).expect("it is a story");
    story.tell(Simulated::new(&story)).expect_err("it is wrong")
}

#[test]
fn a_story_that_is_wrong_says_where() {
    assert_eq!(
        wrong("alice arrives\n// a comment\nalice > /ping 1\nalice < +pong 2\n"),
        r#"tests/stories/made-up.story:4: alice should hear "+pong 2", but gets "+pong 1""#
    );
    assert_eq!(
        wrong("alice arrives\nalice < hi\n"),
        r#"tests/stories/made-up.story:2: alice should hear "hi", but gets nothing"#
    );
    assert_eq!(
        wrong("alice arrives\nalice > /ping 1\n"),
        r#"tests/stories/made-up.story: at the end alice should hear "+pong the-end", but gets "+pong 1""#
    );
    assert!(wrong("alice arrives\nalice closed\n").contains("gets nothing"));
    assert!(wrong("alice arrives\nalice > /quit\nalice closed\n").contains(r#"but gets "+bye""#));
    assert!(wrong("alice, alice arrives\n").contains("alice is there already"));
    assert!(wrong("alice arrives\nbob > hi\n").contains("bob has not connected"));
    assert!(wrong("alice arrives\nalice > /help\nalice <* +help\nalice <* +help\n").contains("+end help"));
}

#[test]
fn what_is_no_story_is_refused() {
    let nonsense = [
        "",
        "// nothing\n",
        "alice\n",
        "alice sings\n",
        "alice > \\q\n",
        "alice < \\xFF\n",
        "time passes x\n",
    ];
    for text in nonsense {
        assert!(Story::parse("made-up", text).is_err(), "{text:?}");
    }
}

#[test]
fn texts_are_unescaped() {
    let text = "a arrives\na > /ping \\{3*xy}\\t\\\\\\x41\\u{e4}b\\s\na < +pong xyxyxy\\t\\\\Aäb\\s\n";
    let story = Story::parse("made-up", text).expect("it is a story");
    story.tell(Simulated::new(&story)).expect("what is said comes back");
}
