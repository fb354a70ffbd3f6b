//! What the fuzzers have learnt, replayed by a stable compiler: every file of every corpus through the body of its
//! target, and a few thousand inputs by seed, some random, some made of the corpus. A failure names its input; what
//! each body asserts stands in `tests/kit/src/fuzz/`.

use redpoll_kit::fuzz::{datagrams, hubs, lines, names, sessions};
use redpoll_kit::rng::Rng;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);

/// Every file of the target's corpus.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes)).expect("a corpus holds files only");
    paths.into_iter().map(read).collect()
}

/// Runs a body, and says which input it was if it panics.
fn run(body: Body, input: &[u8], what: impl Fn() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        eprintln!("it was {}: \"{}\"", what(), input.escape_ascii());
        resume_unwind(panic);
    }
}

fn replay(target: &str, body: Body) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for (path, input) in corpus {
        run(body, &input, || path.display().to_string());
    }
}

/// Random bytes, and files of the corpus with a few bytes changed, dropped, doubled, or another file spliced in.
fn smoke(target: &str, body: Body, inputs: u64) {
    let corpus = corpus(target);
    for seed in 0..inputs {
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
        run(body, &input, || format!("seed {seed} of {target}"));
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
fn thousands_of_random_streams_hold() {
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
