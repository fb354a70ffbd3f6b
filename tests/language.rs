//! Counts words in comments, in the pages and in names of tests, so that the language stays plain: comments and pages speak
//! of connections, peers, users and operators and not in person words, and a test is named by subject and result.
//!
//! Code spans, blocks of code and quoted text don't count. Generated tables aren't read.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Pronouns and other words for persons. Things have names of their own.
const PERSON_WORDS: [&str; 11] = [
    "who",
    "whom",
    "whose",
    "whoever",
    "somebody",
    "someone",
    "nobody",
    "everybody",
    "everyone",
    "anybody",
    "anyone",
];

/// Person words per 1,000 words, at most; of the comments together and of each page.
const MAX_PER_THOUSAND: f64 = 1.0;

/// Words in the names of tests: the median, at most.
const MAX_MEDIAN: usize = 6;

/// Words in the name of one test, at most.
const MAX_WORDS: usize = 7;

/// Identifiers that were given up for the field's terms; whole words of `src/` outside of comments and texts.
const OLD_TERMS: [&str; 16] = [
    "allowance",
    "brimming",
    "company",
    "deaf",
    "deceive",
    "door",
    "doorstep",
    "farewell",
    "household",
    "looks",
    "manners",
    "nameless",
    "newcomer",
    "seat",
    "stranger",
    "surcharge",
];

/// Folders and files with comments and pages, from the root.
const ROOTS: [&str; 6] = ["src", "tests", "bench", "fuzz", "docs", "README.md"];

const GENERATED: [&str; 2] = ["confusables.rs", "scripts.rs"];

/// All files below `path` whose names end with `end`.
fn files(path: &Path, end: &str, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder can be read") {
            let entry = entry.expect("an entry can be read");
            if entry.file_name() != "target" {
                files(&entry.path(), end, found);
            }
        }
    } else if path.to_string_lossy().ends_with(end) && !GENERATED.iter().any(|name| path.ends_with(name)) {
        found.push(path.to_owned());
    }
}

/// Path and text of all files of the repository that end so, in a fixed order.
fn texts(end: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ROOTS.iter().for_each(|part| files(&root.join(part), end, &mut found));
    found.sort();
    let read = |path: &PathBuf| fs::read_to_string(path).expect("source and pages are UTF-8");
    found.iter().map(|path| (path.strip_prefix(root).expect("it is below").to_owned(), read(path))).collect()
}

/// The comments of a source file, without their slashes.
fn comments(source: &str) -> String {
    let lines = source.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
    lines.map(|line| line.trim_start_matches(['/', '!'])).collect::<Vec<_>>().join("\n")
}

/// Text without blocks of code, code spans and quoted text.
fn prose(text: &str) -> String {
    let without_blocks: Vec<&str> = text.split("```").step_by(2).collect();
    let mut prose = String::new();
    for paragraph in without_blocks.join("\n").split("\n\n") {
        // A mark without a partner ends with its paragraph.
        for part in paragraph.split('`').step_by(2) {
            prose.extend(part.split('"').step_by(2));
            prose.push(' ');
        }
        prose.push('\n');
    }
    prose
}

fn words(prose: &str) -> impl Iterator<Item = String> {
    prose
        .split(|c: char| !c.is_alphabetic() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Words, and person words among them.
fn count(prose: &str) -> (usize, usize) {
    let is_person = |word: &String| PERSON_WORDS.contains(&word.split('\'').next().unwrap_or_default());
    (words(prose).count(), words(prose).filter(is_person).count())
}

fn per_thousand((words, person): (usize, usize)) -> f64 {
    1000.0 * person as f64 / words.max(1) as f64
}

#[test]
fn comments_hold_few_person_words() {
    let (mut total, mut report) = ((0, 0), String::new());
    for (path, source) in texts(".rs") {
        let (words, person) = count(&prose(&comments(&source)));
        total = (total.0 + words, total.1 + person);
        if person > 0 {
            let _ = writeln!(report, "{}: {person} in {words} words", path.display());
        }
    }
    assert!(per_thousand(total) < MAX_PER_THOUSAND, "{} per 1,000 words:\n{report}", per_thousand(total));
}

#[test]
fn pages_hold_few_person_words() {
    for (path, page) in texts(".md") {
        let counts = count(&prose(&page));
        assert!(
            per_thousand(counts) < MAX_PER_THOUSAND,
            "{}: {} of {} words",
            path.display(),
            counts.1,
            counts.0
        );
    }
}

/// The names of the tests in a source file.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    source.split("#[test]").skip(1).filter_map(|after| {
        let (_, name) = after.split_once("fn ")?;
        Some(&name[..name.find('(')?])
    })
}

#[test]
fn test_names_are_short() {
    let mut lengths = Vec::new();
    for (path, source) in texts(".rs").iter().filter(|(path, _)| !path.ends_with("tests/language.rs")) {
        for name in tests(source) {
            let length = name.split('_').count();
            assert!(length <= MAX_WORDS, "{}: {name} has {length} words", path.display());
            lengths.push(length);
        }
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= MAX_MEDIAN, "the median is {}", lengths[lengths.len() / 2]);
}

#[test]
fn source_holds_no_old_terms() {
    for (path, source) in texts(".rs").iter().filter(|(path, _)| path.starts_with("src")) {
        for (number, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // Texts are what users read.
            let code: String = code.split('"').step_by(2).collect();
            let mut names = code.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            let old = names.find(|name| {
                OLD_TERMS.contains(&name.trim_end_matches('s')) || OLD_TERMS.contains(&name.as_str())
            });
            assert_eq!(old, None, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn counters_see_what_they_count() {
    let page = "Nobody who is `who` or \"somebody\" counts.\n```\nwhoever\n```\nEverybody's turn.";
    assert_eq!(count(&prose(page)), (7, 3));
    assert_eq!(comments("/// One.\ncode // two\n    //! Three\n"), " One.\n Three");
    assert_eq!(
        tests("#[test]\nfn a_b() {}\n#[test]\n#[cfg(unix)]\nfn c() {}").collect::<Vec<_>>(),
        ["a_b", "c"]
    );
}
