//! Runs the fuzz bodies with a stable compiler: on every file of the corpora, and on some thousand inputs by seed, some
//! random, some derived from the corpus. The invariants of each body are in `tests/kit/src/fuzz/`.
//!
//! A failure prints its replay commands: `REDPOLL_INPUT=fuzz/corpus/line/x cargo test --test corpora corpus_of_line`
//! runs one file, `REDPOLL_SEED=7 cargo test --test corpora random_line` one seed. The input of a seed depends on the
//! corpus too, so an input that fails is also written to a file.
#![allow(clippy::panic, reason = "a failed test panics")]

use redpoll_kit::fuzz::{datagrams, hubs, lines, names, sessions};
use redpoll_kit::replay;
use redpoll_kit::rng::Rng;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);

/// The targets, each with the name of the folder of its corpus.
const TARGETS: [&str; 5] = ["datagrams", "hub", "line", "name", "session"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file of the target's corpus.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(root().join("fuzz/corpus").join(target)).expect("every target has a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes)).expect("a corpus holds files only");
    paths.into_iter().map(read).collect()
}

/// Returns the inputs of a target: its corpus, or the chosen file. A chosen file is omitted if its folder has the name
/// of another target.
fn inputs(target: &str, chosen: Option<&Path>) -> Vec<(PathBuf, Vec<u8>)> {
    let Some(path) = chosen else { return corpus(target) };
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    if TARGETS.iter().any(|other| *other != target && folder == *other) {
        return Vec::new();
    }
    // A relative path starts at the root of the repository.
    let bytes = fs::read(root().join(path));
    let bytes = bytes.unwrap_or_else(|error| panic!("REDPOLL_INPUT={}: {error}", path.display()));
    vec![(path.to_owned(), bytes)]
}

/// Runs a body; if it panics, prints the input and the commands that replay it.
fn run(body: Body, input: &[u8], commands: impl Fn() -> Vec<String>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        eprintln!("the input was \"{}\"", input.escape_ascii());
        commands().iter().for_each(|command| eprintln!("replay it by: {command}"));
        resume_unwind(panic);
    }
}

/// Returns the command that replays one file.
fn replay_of_file(target: &str, path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path).display();
    format!("REDPOLL_INPUT={path} cargo test --test corpora corpus_of_{target}")
}

/// Returns the command that replays one seed.
fn replay_of_seed(target: &str, seed: u64) -> String {
    format!("REDPOLL_SEED={seed} cargo test --test corpora random_{target}")
}

/// Writes the input of a seed to a file that is kept; returns its path, in a folder with the target's name.
fn keep(target: &str, seed: u64, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpora").join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("seed-{seed}"));
    fs::write(&path, input)?;
    Ok(path)
}

fn replay(target: &str, body: Body) {
    let chosen = replay::input();
    let inputs = inputs(target, chosen.as_deref());
    assert!(chosen.is_some() || !inputs.is_empty(), "{target} has no corpus");
    for (path, input) in inputs {
        run(body, &input, || vec![replay_of_file(target, &path)]);
    }
}

/// Returns the input of a seed: random bytes, or a file of the corpus with some bytes changed, dropped or inserted,
/// or a part of another file spliced in.
fn input_of(seed: u64, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut input = corpus[rng.below(corpus.len())].1.clone();
    if rng.chance(20) {
        input = (0..rng.below(200)).map(|_| rng.number() as u8).collect();
    }
    for _ in 0..rng.below(8) {
        let at = rng.below(input.len() + 1);
        match rng.below(4) {
            0 => input.truncate(at),
            1 => input.insert(at, rng.number() as u8),
            2 if at < input.len() => input[at] = rng.number() as u8,
            _ => {
                let other = &corpus[rng.below(corpus.len())].1;
                let from = rng.below(other.len() + 1);
                let part = &other[from..from + rng.below(other.len() - from + 1)];
                input.splice(at..at, part.iter().copied());
            }
        }
    }
    input
}

/// Runs a body on the inputs of this number of seeds, or of the chosen seed; on none if a file is chosen.
fn smoke(target: &str, body: Body, seeds: u64) {
    if replay::input().is_some() {
        return;
    }
    let corpus = corpus(target);
    for seed in replay::seeds(0..seeds) {
        let input = input_of(seed, &corpus);
        run(body, &input, || {
            let kept = keep(target, seed, &input).map(|path| replay_of_file(target, &path));
            kept.into_iter().chain([replay_of_seed(target, seed)]).collect()
        });
    }
}

#[test]
fn the_corpus_of_lines_holds() {
    replay("line", lines::check_lines);
}

#[test]
fn the_corpus_of_names_holds() {
    replay("name", names::check_name);
}

#[test]
fn the_corpus_of_hubs_holds() {
    replay("hub", hubs::check_hub);
}

#[test]
fn the_corpus_of_sessions_holds() {
    replay("session", sessions::check_session);
}

#[test]
fn the_corpus_of_datagrams_holds() {
    replay("datagrams", datagrams::check_datagrams);
}

#[test]
fn thousands_of_random_lines_hold() {
    smoke("line", lines::check_lines, 4000);
}

#[test]
fn thousands_of_random_names_hold() {
    smoke("name", names::check_name, 4000);
}

#[test]
fn thousands_of_random_hubs_hold() {
    smoke("hub", hubs::check_hub, 4000);
}

#[test]
fn thousands_of_random_sessions_hold() {
    smoke("session", sessions::check_session, 2000);
}

#[test]
fn thousands_of_random_datagrams_hold() {
    smoke("datagrams", datagrams::check_datagrams, 1000);
}

#[test]
fn commands_name_file_and_seed() {
    let path = root().join("fuzz/corpus/hub/x");
    let command = "REDPOLL_INPUT=fuzz/corpus/hub/x cargo test --test corpora corpus_of_hub";
    assert_eq!(replay_of_file("hub", &path), command);
    assert_eq!(replay_of_seed("hub", 7), "REDPOLL_SEED=7 cargo test --test corpora random_hub");
}

#[test]
fn failing_input_is_kept_and_chosen() {
    // No test has this seed.
    let path = keep("hub", u64::MAX, b"made up").expect("the folder for that can be written to");
    assert_eq!(inputs("hub", Some(&path)), [(path.clone(), b"made up".to_vec())]);
    assert!(inputs("session", Some(&path)).is_empty(), "it is another target's");
    fs::remove_file(path).expect("the file is kept");
}

#[test]
fn chosen_file_is_found() {
    let (path, bytes) = corpus("name").swap_remove(0);
    let relative = path.strip_prefix(root()).expect("a corpus is in the repository");
    assert_eq!(inputs("name", Some(relative)), [(relative.to_owned(), bytes)]);
}

#[test]
#[should_panic(expected = "REDPOLL_INPUT=nowhere/x: ")]
fn missing_file_is_reported() {
    inputs("name", Some(Path::new("nowhere/x")));
}

#[test]
fn targets_are_the_folders_of_corpora() {
    let entries = fs::read_dir(root().join("fuzz/corpus")).expect("there are corpora");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").file_name()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS);
    for target in TARGETS {
        for test in [format!("fn the_corpus_of_{target}"), format!("fn thousands_of_random_{target}")] {
            assert!(include_str!("corpora.rs").contains(&test), "the commands name `{test}`");
        }
    }
}
