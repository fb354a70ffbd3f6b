//! The documentation names only what exists: every path, test, flag, variable and item of the source in a code span of
//! README.md, docs/ and fuzz/README.md, and the target of every link. In blocks of code, only paths and the flags of
//! known programs are checked.
//!
//! A path begins with an entry of the repository's root, or ends with one of [`FILES`], or with `/`; a partial path may
//! be the end of any file's path. `*` matches anything, and so does a word in capitals in a name that doesn't exist as
//! written (`fixed-WHAT`). A test is `file.rs: name` or `file::name`.
#![cfg(feature = "chat")]

use clap::CommandFactory;
use redpoll::cli::Cli;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Ends of file names that are searched in all folders.
const FILES: [&str; 6] = [".rs", ".md", ".toml", ".story", ".dict", ".svg"];

/// Long flags of other programs that the pages use.
const OTHER_PROGRAMS: [(&str, &[&str]); 2] = [
    ("cargo", &["--bench", "--example", "--no-default-features", "--release", "--test", "--workspace"]),
    ("systemctl", &["--now"]),
];

/// Environment variables that tests read.
const VARIABLES: [&str; 4] = ["REDPOLL_INPUT", "REDPOLL_SEED", "REDPOLL_SEEDS", "REDPOLL_STORY"];

/// Names that the pages may use.
#[derive(Default)]
struct Known {
    /// Directories with `/` at the end, and files with the text of source and pages; relative to the root.
    paths: BTreeMap<String, String>,
    /// Long flags by program.
    flags: BTreeMap<String, BTreeSet<String>>,
    variables: BTreeSet<String>,
    /// Every word of the source.
    words: BTreeSet<String>,
}

impl Known {
    fn of_the_repository() -> Known {
        let mut known = Known::default();
        known.add_folder(Path::new(env!("CARGO_MANIFEST_DIR")), "");
        let mut cli = Cli::command();
        cli.build();
        let serve_and_chat = cli.get_subcommands().flat_map(|command| command.get_arguments());
        let arguments: Vec<_> = cli.get_arguments().chain(serve_and_chat).collect();
        let flags = arguments.iter().filter_map(|argument| argument.get_long());
        known.flags.insert("redpoll".into(), flags.map(|flag| format!("--{flag}")).collect());
        let variables = arguments.iter().filter_map(|argument| argument.get_env()?.to_str());
        known.variables = variables.chain(VARIABLES).map(str::to_owned).collect();
        known.flags.insert("redpoll-bench".into(), flags_in(&known.paths["bench/src/cli.rs"]));
        for (program, flags) in OTHER_PROGRAMS {
            known.flags.insert(program.into(), flags.iter().map(|flag| (*flag).to_owned()).collect());
        }
        known
    }

    fn add_folder(&mut self, folder: &Path, name: &str) {
        for entry in std::fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            let entry = path.file_name().expect("an entry has a name").to_string_lossy();
            // Build output of cargo and the fuzzer.
            if entry == "target" || entry == ".git" {
                continue;
            }
            let inner = format!("{name}{entry}");
            if path.is_dir() {
                self.paths.insert(format!("{inner}/"), String::new());
                self.add_folder(&path, &format!("{inner}/"));
            } else if inner.ends_with(".rs") || inner.ends_with(".md") {
                self.add_file(&inner, &std::fs::read_to_string(&path).expect("source and pages are UTF-8"));
            } else {
                self.add_file(&inner, "");
            }
        }
    }

    fn add_file(&mut self, path: &str, text: &str) {
        // This file holds made-up names.
        if path.ends_with(".rs") && path != "tests/docs.rs" {
            self.words.extend(text.split(|c: char| !is_word(c)).map(str::to_owned));
        }
        self.paths.insert(path.into(), text.into());
    }

    /// Files and directories that a path may mean: itself, or any with a path that ends with it.
    fn found<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let path = path.trim_end_matches('/').to_owned();
        self.paths.iter().map(|(name, text)| (name.trim_end_matches('/'), text.as_str())).filter(
            move |(name, _)| {
                let starts = name.match_indices('/').map(|(at, _)| at + 1);
                [0].into_iter().chain(starts).any(|start| matches(&path, &name[start..]))
            },
        )
    }

    fn has(&self, path: &str) -> bool {
        self.found(path).next().is_some()
            || path.split(['/', '-', '.']).any(is_capitals) && {
                let parts: Vec<&str> = path.split('/').collect();
                let pattern = |part: &str| match part.split(['-', '.']).find(|word| is_capitals(word)) {
                    Some(word) => part.replace(word, "*"),
                    None => part.to_owned(),
                };
                self.found(&parts.into_iter().map(pattern).collect::<Vec<_>>().join("/")).next().is_some()
            }
    }

    fn is_path(&self, word: &str) -> bool {
        let is_plain = word.chars().all(|c| c.is_alphanumeric() || "/._-*".contains(c));
        let first = word.split('/').next().unwrap_or_default();
        let from_root = word.contains('/')
            && (self.paths.contains_key(&format!("{first}/")) || self.paths.contains_key(first));
        let is_folder = word.ends_with('/') && !word.starts_with('/');
        is_plain && (from_root || is_folder || FILES.iter().any(|end| word.ends_with(end) && word != *end))
    }

    /// Returns the files that `path` may mean and that have a test of that name.
    fn tests_in(&self, path: &str, test: &str) -> Vec<&str> {
        let has_test = |text: &str| {
            text.match_indices(&format!("fn {test}(")).any(|(at, _)| {
                let before = text[..at].lines().rev().skip_while(|line| line.trim().is_empty());
                before
                    .take_while(|line| line.trim_start().starts_with(['#', '/']))
                    .any(|line| line.trim() == "#[test]")
            })
        };
        self.found(path).filter(|(_, text)| has_test(text)).map(|(name, _)| name).collect()
    }

    /// Adds the names in a span that don't exist to `missing`.
    fn missing_in_span(&self, span: &str, missing: &mut Vec<String>) {
        let span = span.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((file, test)) = test_of(&span) {
            if self.tests_in(file, test).is_empty() {
                let others = self.tests_in("*.rs", test).join(", ");
                let hint = if others.is_empty() { String::new() } else { format!("; it is in {others}") };
                missing.push(format!("no test `{test}` in a file `{file}`{hint}"));
            }
            return;
        }
        self.missing_items(&span, missing);
        self.missing_paths(&span, missing);
        self.missing_flags(&span, true, missing);
        for word in span.split(|c: char| !is_word(c)).filter(|word| word.starts_with("REDPOLL_")) {
            if !self.variables.contains(word) {
                missing.push(format!("no variable `{word}`"));
            }
        }
    }

    /// `a::b`, where `a` is a file of tests, must have a test `b`; of other paths each part must be a word of the
    /// source, and so must a single name in the form of an identifier: `some_words`, `SomeWords`.
    fn missing_items(&self, span: &str, missing: &mut Vec<String>) {
        let parts: Vec<&str> = span.trim_end_matches("()").split("::").collect();
        let is_item = parts.len() > 1 || is_compound(parts[0]);
        if !is_item || !parts.iter().all(|part| !part.is_empty() && part.chars().all(is_word)) {
            return;
        }
        let files = [format!("tests/{}.rs", parts[0]), format!("tests/{}/main.rs", parts[0])];
        match files.iter().find(|file| parts.len() == 2 && self.paths.contains_key(*file)) {
            Some(file) if self.tests_in(file, parts[1]).is_empty() => {
                missing.push(format!("no test `{}` in {file}", parts[1]));
            }
            Some(_) => {}
            None => {
                let unknown = parts.iter().filter(|part| !self.words.contains(**part));
                missing.extend(unknown.map(|part| format!("no `{part}` in the source")));
            }
        }
    }

    fn missing_paths(&self, text: &str, missing: &mut Vec<String>) {
        for word in text.split_whitespace() {
            let word = word.trim_start_matches('(').trim_end_matches([',', ';', ':', ')', '.']);
            if self.is_path(word) && !self.has(word) {
                missing.push(format!("no file or directory `{word}`"));
            }
        }
    }

    /// Checks flags against the program named before them; without one, against `redpoll` and `redpoll-bench` if
    /// `without_program`. Flags after `--` belong to another program.
    fn missing_flags(&self, text: &str, without_program: bool, missing: &mut Vec<String>) {
        let mut program = None;
        let mut is_inner = false;
        for word in text.split_whitespace() {
            let word = word.trim_matches(['(', ')', ',', ';', '.', '\'']);
            match word {
                "|" | "&&" | ">" => (program, is_inner) = (None, false),
                "--" => is_inner = true,
                "bench" if program == Some("redpoll") => program = Some("redpoll-bench"),
                _ if word.starts_with("--") && !is_inner => {
                    let flag = word.split(['=', '…']).next().unwrap_or_default();
                    let owners = match program {
                        Some(program) => vec![program],
                        None if without_program => vec!["redpoll", "redpoll-bench"],
                        None => continue,
                    };
                    let is_of =
                        |owner: &&str| self.flags.get(*owner).is_some_and(|flags| flags.contains(flag));
                    if !owners.iter().any(is_of) {
                        missing.push(format!("no flag `{flag}` of {}", owners.join(" or ")));
                    }
                }
                _ => {
                    let name = word.rsplit('/').next().unwrap_or_default();
                    if program.is_none() {
                        program = self.flags.keys().map(String::as_str).find(|known| *known == name);
                    }
                }
            }
        }
    }

    /// Checks that the target of a link exists: the file, and the heading if there is an anchor.
    fn missing_in_link(&self, page: &str, link: &str, missing: &mut Vec<String>) {
        if link.contains("://") {
            return;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = page.rfind('/').map_or("", |at| &page[..at]);
        let path = match (file, file.strip_prefix("../")) {
            ("", _) => page.to_owned(),
            (_, Some(above)) => above.to_owned(),
            _ if folder.is_empty() => file.to_owned(),
            _ => format!("{folder}/{file}"),
        };
        match self.paths.get(&path) {
            None => missing.push(format!("no file {path} to link to")),
            Some(text) if !anchor.is_empty() && !headings(text).contains(anchor) => {
                missing.push(format!("no heading #{anchor} in {path}"));
            }
            Some(_) => {}
        }
    }

    /// Returns every name of a page that doesn't exist, a line each.
    fn missing_in(&self, page: &str, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (line, part) in parts_of(text) {
            let mut missing = Vec::new();
            let shown = match &part {
                Part::Span(span) => {
                    self.missing_in_span(span, &mut missing);
                    format!("`{span}`")
                }
                Part::Block(code) => {
                    self.missing_paths(code, &mut missing);
                    self.missing_flags(code, false, &mut missing);
                    code.trim().to_owned()
                }
                Part::Link(link) => {
                    self.missing_in_link(page, link, &mut missing);
                    format!("({link})")
                }
            };
            all.extend(missing.into_iter().map(|what| format!("{page}:{line}: {shown}: {what}")));
        }
        all
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_capitals(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase())
}

/// True for `some_words` and `SomeWords`.
fn is_compound(word: &str) -> bool {
    let is_camel = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().filter(char::is_ascii_uppercase).count() > 1
        && word.chars().any(|c| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric());
    is_camel || word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// True if `name` matches `pattern`, in which `*` matches anything within one component of a path.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, tail)) => name.strip_prefix(start).is_some_and(|name| {
            let end = name.find('/').unwrap_or(name.len());
            (0..=end).any(|at| name.is_char_boundary(at) && matches(tail, &name[at..]))
        }),
    }
}

/// Returns file and test of a span `file.rs: name`.
fn test_of(span: &str) -> Option<(&str, &str)> {
    let (file, test) = span.split_once(": ").or_else(|| span.split_once("::"))?;
    let is_test = file.ends_with(".rs") && !test.is_empty() && test.chars().all(is_word);
    is_test.then_some((file, test))
}

/// Returns the long flags that a file declares for clap.
fn flags_in(source: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::from(["--help".to_owned()]);
    for (at, attribute) in source.match_indices("#[arg(") {
        let inner = &source[at + attribute.len()..];
        let (attribute, field) = inner.split_once(")]\n").expect("an attribute ends");
        let Some(long) = attribute.trim_start().strip_prefix("long") else { continue };
        let name = match long.strip_prefix(" = \"") {
            Some(named) => named.split('"').next().unwrap_or_default().to_owned(),
            None => {
                let field = field.split(':').next().unwrap_or_default();
                field.split_whitespace().last().unwrap_or_default().replace('_', "-")
            }
        };
        flags.insert(format!("--{name}"));
    }
    flags
}

/// Returns the anchors of a page's headings, as forges make them.
fn headings(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix('#').map(|line| line.trim_start_matches('#').trim()));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    lines.map(|line| line.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// A part of a page that is checked.
enum Part {
    Span(String),
    /// A line of a block of code.
    Block(String),
    Link(String),
}

/// Returns spans, lines of blocks and targets of links, each with its line number. A span may continue in the next line
/// of its paragraph.
fn parts_of(text: &str) -> Vec<(usize, Part)> {
    let mut parts = Vec::new();
    let mut is_fenced = false;
    let mut paragraph: Vec<(usize, &str)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()).chain([(0, "")]) {
        let is_fence = line.trim_start().starts_with("```");
        if !(is_fence || is_fenced || line.trim().is_empty() || line.starts_with("    ")) {
            paragraph.push((number, line));
            continue;
        }
        prose(&paragraph, &mut parts);
        paragraph.clear();
        if is_fence {
            is_fenced = !is_fenced;
        } else if !line.trim().is_empty() {
            parts.push((number, Part::Block(line.into())));
        }
    }
    parts
}

fn prose(lines: &[(usize, &str)], parts: &mut Vec<(usize, Part)>) {
    let text = lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
    let line_at = |at: usize| lines[text[..at].matches('\n').count()].0;
    let mut plain = String::new();
    let mut at = 0;
    while let Some(start) = text[at..].find('`').map(|start| at + start) {
        plain += &text[at..start];
        let ticks = text[start..].len() - text[start..].trim_start_matches('`').len();
        let inner = &text[start + ticks..];
        let Some(len) = inner.find(&text[start..start + ticks]) else { break };
        parts.push((line_at(start), Part::Span(inner[..len].trim().replace('\n', " "))));
        // Links are searched in the text between spans; a span is replaced by its line ends, to keep line numbers.
        let _ = write!(plain, "{}", "\n".repeat(inner[..len].matches('\n').count()));
        at = start + 2 * ticks + len;
    }
    plain += &text[at..];
    for (at, _) in plain.match_indices("](") {
        let line = lines[plain[..at].matches('\n').count()].0;
        let link = plain[at + 2..].split(')').next().unwrap_or_default();
        parts.push((line, Part::Link(link.into())));
    }
}

#[test]
fn documentation_names_what_exists() {
    let known = Known::of_the_repository();
    let is_page = |path: &&String| {
        path.ends_with(".md")
            && (!path.contains('/') || path.starts_with("docs/") || path.ends_with("/README.md"))
    };
    let pages: Vec<&String> = known.paths.keys().filter(is_page).collect();
    assert!(pages.len() > 5, "{pages:?}");
    let missing: Vec<String> =
        pages.into_iter().flat_map(|page| known.missing_in(page, &known.paths[page])).collect();
    assert!(
        missing.is_empty(),
        "{} names in the documentation don't exist:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

/// A made-up repository of a few files.
fn made_up() -> Known {
    let mut known = Known::default();
    for (path, text) in [
        ("src/", ""),
        ("src/hub/", ""),
        ("src/hub/mod.rs", "pub struct Hub;\n#[test]\nfn it_holds() {}\nfn helper() {}"),
        ("tests/", ""),
        ("tests/rate.rs", "/// Why.\n#[test]\n#[cfg(unix)]\nfn rate_holds() {}"),
        ("tests/stories/", ""),
        ("tests/stories/renaming.story", ""),
        ("docs/page.md", "# A page\n\n## What's (not) there"),
    ] {
        known.add_file(path, text);
    }
    let flags = |all: &[&str]| all.iter().map(|flag| (*flag).to_owned()).collect();
    known.flags.insert("redpoll".into(), flags(&["--queue"]));
    known.flags.insert("redpoll-bench".into(), flags(&["--out"]));
    known.flags.insert("cargo".into(), flags(&["--test"]));
    known.variables.insert("REDPOLL_SEED".into());
    known
}

#[test]
fn existing_names_pass() {
    let text = "`src/hub/mod.rs`, `hub/mod.rs`, `mod.rs` and `hub/`; `tests/stories/*.story`, `renaming.story`,\n\
        `tests/stories/NAME.story`. `rate.rs: rate_holds`, `tests/rate.rs: rate_holds`, `rate::rate_holds`,\n\
        `hub/mod.rs: it_holds`, `Hub::helper`, `it_holds`, `Alice`, `/proc`. `--queue 1`, `--out`, `redpoll --queue=2`,\n\
        `redpoll bench\n--out x`, `REDPOLL_SEED=7 cargo test --test rate -- --nocapture`, `/kick`, `std::x y`,\n\
        `10.0.0.0/8`, `target/release/redpoll`, `a/b`. [a page](page.md#whats-not-there), [it](../src/hub/mod.rs)\n\
        [here](#a-page), [out](https://example.org/x.rs)\n\n\
        ```\n$ nc --nothing src/hub/mod.rs\n$ cargo run -- --anything `x\n```\n";
    assert_eq!(made_up().missing_in("docs/page.md", text), Vec::<String>::new());
}

#[test]
fn missing_names_are_reported() {
    let known = made_up();
    let missing = |text: &str| {
        let all = known.missing_in("docs/page.md", text);
        all.into_iter()
            .map(|line| line.rsplit_once(": ").map_or(line.clone(), |(_, what)| what.to_owned()))
            .collect()
    };
    let one = |text: &str| -> String {
        let all: Vec<String> = missing(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all.concat()
    };
    assert_eq!(
        known.missing_in("docs/page.md", "One.\n\nSee `src/x.rs`."),
        ["docs/page.md:3: `src/x.rs`: no file or directory `src/x.rs`"]
    );
    assert_eq!(one("`tests/worlds/`"), "no file or directory `tests/worlds/`");
    assert_eq!(one("`session.rs`, which"), "no file or directory `session.rs`");
    assert_eq!(one("`ub/mod.rs`"), "no file or directory `ub/mod.rs`");
    assert_eq!(one("`tests/stories/a*.story`"), "no file or directory `tests/stories/a*.story`");
    assert_eq!(one("`tests/rate.rs: rate_helds`"), "no test `rate_helds` in a file `tests/rate.rs`");
    assert_eq!(one("`rate.rs: it_holds`"), "no test `it_holds` in a file `rate.rs`; it is in src/hub/mod.rs");
    assert_eq!(one("`hub/mod.rs: helper`"), "no test `helper` in a file `hub/mod.rs`");
    assert_eq!(one("`rate::it_holds`"), "no test `it_holds` in tests/rate.rs");
    assert_eq!(one("`Hub::obey`"), "no `obey` in the source");
    assert_eq!(one("`it_held`"), "no `it_held` in the source");
    assert_eq!(one("`HubThing`"), "no `HubThing` in the source");
    assert_eq!(one("`--que 1`"), "no flag `--que` of redpoll or redpoll-bench");
    assert_eq!(one("`redpoll --out x`"), "no flag `--out` of redpoll");
    assert_eq!(one("`redpoll bench --queue`"), "no flag `--queue` of redpoll-bench");
    assert_eq!(one("`cargo bench --bench x`"), "no flag `--bench` of cargo");
    assert_eq!(one("`REDPOLL_SEEDLING`"), "no variable `REDPOLL_SEEDLING`");
    assert_eq!(one("```\n$ redpoll serve --que 1\n```"), "no flag `--que` of redpoll");
    assert_eq!(one("    cat src/y.rs"), "no file or directory `src/y.rs`");
    assert_eq!(one("[a](other.md)"), "no file docs/other.md to link to");
    assert_eq!(one("[a](page.md#nowhere)"), "no heading #nowhere in docs/page.md");
}

#[test]
fn flags_are_read_from_the_source() {
    let source = "#[arg(long, value_name = \"N\")]\n    pub max_line: usize,\n    #[arg(\n        long = \"minutes\"\n    )]\n    \
        time: u64,\n    #[arg(short)]\n    x: bool,\n";
    assert_eq!(flags_in(source).into_iter().collect::<Vec<_>>(), ["--help", "--max-line", "--minutes"]);
}
