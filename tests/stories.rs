//! Every story of `tests/stories/` and its folders, in the simulator and over real sockets. The grammar is at the top
//! of `tests/kit/src/story/mod.rs`. `REDPOLL_STORY=room/members_are_listed cargo test --test stories` runs one story
//! alone; `REDPOLL_SEED=7` chooses one seed of the simulator with faults.
#![allow(clippy::panic, reason = "a failed test panics")]

use redpoll::protocol::name::EVERY_SCRIPT;
use redpoll_kit::replay;
use redpoll_kit::story::simulated::{Simulated, with_faults};
use redpoll_kit::story::sockets::Sockets;
use redpoll_kit::story::{Story, run_all};
use std::panic::catch_unwind;
use std::path::Path;

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_redpoll");

fn can_run(story: &Story) -> bool {
    EVERY_SCRIPT || !story.needs_unicode
}

fn on_sockets(story: &Story) -> bool {
    can_run(story) && !story.needs_a_clock()
}

/// True for stories that engines with threads can run: all but those with UDP.
#[cfg(feature = "threads")]
fn has_streams_only(story: &Story) -> bool {
    on_sockets(story) && !story.schemes().contains(&redpoll::protocol::scheme::Scheme::Udp)
}

fn run_on_sockets(test: &str, may: impl Fn(&Story) -> bool, engine: &str) {
    run_all(test, None, may, |story| Sockets::new(Path::new(PROGRAM), story, engine));
}

#[test]
fn every_story_in_the_simulator() {
    run_all("every_story_in_the_simulator", None, can_run, Simulated::new);
}

#[test]
fn every_story_with_faults() {
    for seed in replay::seeds(0..8) {
        println!("seed {seed}");
        let test = "every_story_with_faults";
        run_all(test, Some(seed), can_run, |story| with_faults(story, seed));
    }
}

#[test]
fn every_story_over_real_sockets() {
    run_on_sockets("every_story_over_real_sockets", on_sockets, "reactor");
}

#[cfg(feature = "threads")]
#[test]
fn stream_stories_with_threads() {
    run_on_sockets("stream_stories_with_threads", has_streams_only, "threads");
}

#[cfg(feature = "threads")]
#[test]
fn stream_stories_with_queued_threads() {
    run_on_sockets("stream_stories_with_queued_threads", has_streams_only, "threads-queued");
}

/// Returns the error of the story of this text in the simulator.
fn error_of(text: &str) -> String {
    let story = Story::parse("made-up", text).expect("it is a story");
    story.run(Simulated::new(&story)).expect_err("the story fails")
}

#[test]
fn wrong_story_names_its_line() {
    assert_eq!(
        error_of("alice arrives\n// a comment\nalice > /ping 1\nalice < +pong 2\n"),
        r#"tests/stories/made-up.story:4: alice should receive "+pong 2", but gets "+pong 1""#
    );
    assert_eq!(
        error_of("alice arrives\nalice < hi\n"),
        r#"tests/stories/made-up.story:2: alice should receive "hi", but gets nothing"#
    );
    assert_eq!(
        error_of("alice arrives\nalice > /ping 1\n"),
        r#"tests/stories/made-up.story: at the end alice should receive "+pong the-end", but gets "+pong 1""#
    );
    assert!(error_of("alice arrives\nalice closed\n").contains("gets nothing"));
    assert!(error_of("alice arrives\nalice > /quit\nalice closed\n").contains(r#"but gets "+bye""#));
    assert!(error_of("alice, alice arrives\n").contains("alice is there already"));
    assert!(error_of("alice arrives\nbob > hi\n").contains("bob has not connected"));
    assert!(error_of("alice arrives\nalice > /help\nalice <* +help\nalice <* +help\n").contains("+end help"));
}

#[test]
fn failure_prints_the_replay_command() {
    let outcome = catch_unwind(|| {
        let is_it = |story: &Story| story.name == "nick/renaming_frees_the_old_name";
        run_all("this_test", Some(7), is_it, |_| -> Simulated { panic!("no backend") });
    });
    // No story runs where `REDPOLL_STORY` names another one.
    let Err(panic) = outcome else { return assert!(replay::story().is_some(), "a panic is a failure") };
    let message = panic.downcast_ref::<String>().expect("an assertion has a text");
    let replay =
        "REDPOLL_STORY=nick/renaming_frees_the_old_name REDPOLL_SEED=7 cargo test --test stories this_test";
    assert_eq!(
        *message,
        format!(
            "of 1 stories:\ntests/stories/nick/renaming_frees_the_old_name.story: a panic, see above\n  replay it by: {replay}"
        )
    );
}

#[test]
fn invalid_story_is_refused() {
    let invalid = [
        "",
        "// nothing\n",
        "alice\n",
        "alice sings\n",
        "alice > \\q\n",
        "alice < \\xFF\n",
        "time passes x\n",
    ];
    for text in invalid {
        assert!(Story::parse("made-up", text).is_err(), "{text:?}");
    }
}

#[test]
fn texts_are_unescaped() {
    let text = "a arrives\na > /ping \\{3*xy}\\t\\\\\\x41\\u{e4}b\\s\na < +pong xyxyxy\\t\\\\Aäb\\s\n";
    let story = Story::parse("made-up", text).expect("it is a story");
    story.run(Simulated::new(&story)).expect("the text is echoed");
}
