//! The layers of `src/lib.rs`: modules below the edges are free of system calls, threads and clocks, and each module
//! names only modules below it. Both are checked in the text of the source, without comments and tests.
#![allow(clippy::panic, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names of system calls, threads, clocks and I/O. `std::net::SocketAddr` and `std::io::Error` are values and may pass.
const OUTSIDE: [&str; 21] = [
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "polling",
    "socket2",
    "rustix",
    "signal_hook",
    "Instant",
    "SystemTime",
    "print!",
    "println!",
    "eprintln!",
    "libc",
    "unsafe",
];

/// Modules that may use [`OUTSIDE`].
const EDGES: [&str; 4] = ["engine", "client", "cli", "main"];

/// Folders with a row for each of their modules in [`ARROWS`].
const NESTED: [&str; 2] = ["protocol", "server"];

/// The modules that each may name, all from rows above its own. A folder includes all modules in it. The edges may name
/// any.
const ARROWS: [(&str, &[&str]); 38] = [
    ("lib", &[]),
    ("subnet", &[]),
    ("limits", &["subnet"]),
    ("protocol/connection", &[]),
    ("protocol/time", &[]),
    ("protocol/text", &[]),
    ("protocol/name", &["limits", "protocol/text"]),
    ("protocol/message", &[]),
    ("protocol/close_reason", &[]),
    ("protocol/refusal", &[]),
    ("protocol/request", &["protocol/refusal"]),
    ("protocol/command", &["protocol/request"]),
    ("protocol/event", &["protocol/connection", "protocol/name", "protocol/refusal"]),
    ("protocol/outbox", &["protocol/connection", "protocol/event"]),
    ("protocol/frame", &["limits", "protocol/message"]),
    (
        "protocol/dialect",
        &[
            "limits",
            "protocol/command",
            "protocol/connection",
            "protocol/event",
            "protocol/message",
            "protocol/name",
            "protocol/refusal",
            "protocol/request",
            "protocol/text",
        ],
    ),
    ("protocol/scheme", &["protocol/dialect", "protocol/frame"]),
    ("protocol", &[]),
    ("hub", &["limits", "protocol"]),
    ("server/stats", &[]),
    ("server/log_events", &["protocol"]),
    ("server/transport", &["protocol"]),
    ("server/driver", &["limits"]),
    ("server/pool", &["limits"]),
    ("server/backlog", &["limits", "protocol"]),
    ("server/timers", &["limits", "protocol"]),
    ("server/rate_limit", &["limits", "protocol"]),
    ("server/admission", &["limits", "protocol", "server/rate_limit", "subnet"]),
    ("server/datagrams", &["limits", "protocol", "server/transport"]),
    ("server/feed", &["hub", "limits", "protocol"]),
    (
        "server/peer",
        &[
            "protocol",
            "server/admission",
            "server/pool",
            "server/rate_limit",
            "server/timers",
            "server/transport",
        ],
    ),
    ("server/peers", &["protocol", "server/peer"]),
    ("server/input", &["limits", "protocol", "server/peer", "server/pool"]),
    ("server/send_queue", &["limits", "protocol", "server/backlog", "server/stats"]),
    (
        "server/connections",
        &[
            "limits",
            "protocol",
            "server/admission",
            "server/datagrams",
            "server/driver",
            "server/input",
            "server/peer",
            "server/peers",
            "server/rate_limit",
            "server/send_queue",
            "server/stats",
            "server/timers",
            "server/transport",
        ],
    ),
    ("server", &["hub", "limits", "protocol"]),
    ("reactor", &["hub", "limits", "protocol", "server"]),
    ("memory", &["hub", "limits", "protocol", "reactor", "server"]),
];

/// A source file: the module with a row in [`ARROWS`] that it belongs to, and its text.
struct Source {
    module: String,
    /// Its path from the root of the crate: `["engine", "threads"]` for `src/engine/threads/mod.rs`.
    path: Vec<String>,
    text: String,
}

impl Source {
    fn new(module: &str, text: &str) -> Source {
        Source::at(&[module], text)
    }

    fn at(path: &[&str], text: &str) -> Source {
        // Tests are last in a file, and may name anything.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let path_of = path.iter().map(|part| (*part).to_owned()).collect();
        Source { module: module_of(path), path: path_of, text: code.join("\n") }
    }

    /// Returns the names of [`OUTSIDE`] in it, in a `use` with braces too.
    fn outside(&self) -> Vec<&'static str> {
        if EDGES.contains(&self.module.as_str()) {
            return Vec::new();
        }
        let paths = self.paths();
        let names = |what: &&str| {
            self.words().any(|word| word == what.trim_end_matches('!')) && !what.contains("::")
                || paths.iter().any(|path| path.starts_with(what))
        };
        // A module as a whole would give access to its forbidden parts by another name.
        let all = paths.iter().any(|path| path.trim_end_matches("::") == "std::net").then_some("std::net");
        OUTSIDE.into_iter().filter(names).chain(all).collect()
    }

    /// Returns the modules that it names and that [`ARROWS`] doesn't allow.
    fn upward(&self) -> BTreeSet<String> {
        if EDGES.contains(&self.module.as_str()) {
            return BTreeSet::new();
        }
        let allowed = ARROWS.iter().find(|(module, _)| *module == self.module).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("`{}` is not in the table of arrows", self.module));
        let named = self.paths().into_iter().filter_map(|path| {
            let inner = path.strip_prefix("crate::").or_else(|| path.strip_prefix("redpoll::"))?;
            Some(module_of(&inner.split("::").collect::<Vec<_>>()))
        });
        // An edge is never the child or sibling of a file that may not name it, so this is the top-level module.
        let edges = EDGES
            .iter()
            .filter(|edge| self.text.contains(&format!("super::{edge}")))
            .map(|edge| edge.to_string());
        let is_within = |name: &str, module: &str| {
            name.strip_prefix(module).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
        };
        let is_allowed = |name: &str| {
            is_within(name, &self.module) || allowed.iter().any(|module| is_within(name, module))
        };
        named.filter(|name| !is_allowed(name)).chain(edges).collect()
    }

    /// Returns the sibling modules that it names, of this module or of a folder that holds it: the shared folder, the
    /// naming module in it, the named module in it.
    fn siblings(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for path in self.paths() {
            let parts: Vec<&str> = path.split("::").collect();
            let ups = parts.iter().take_while(|part| **part == "super").count();
            let named: Vec<&str> = match parts[0] {
                "crate" => parts[1..].to_vec(),
                "super" if ups <= self.path.len() => {
                    let base = self.path[..self.path.len() - ups].iter().map(String::as_str);
                    base.chain(parts[ups..].iter().copied()).collect()
                }
                _ => continue,
            };
            let shared = self.path.iter().zip(&named).take_while(|(own, other)| own == other).count();
            // An item of a folder above is no module; modules below this one are its children.
            if shared < self.path.len()
                && named.get(shared).is_some_and(|name| name.starts_with(char::is_lowercase))
            {
                let folder = self.path[..shared].join("/");
                found.push((folder, self.path[shared].clone(), named[shared].to_owned()));
            }
        }
        found
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(|c: char| !c.is_alphanumeric() && c != '_')
    }

    /// Returns every path in the text, those within the braces of a `use` in full.
    fn paths(&self) -> Vec<String> {
        let code: String = self.text.chars().filter(|c| !c.is_whitespace() || *c == ' ').collect();
        let mut paths = Vec::new();
        let roots = ["std::", "crate::", "super::"];
        // `super::super::x` is one path.
        let begins = |at: &usize| !code[..*at].ends_with("::");
        for at in roots.iter().flat_map(|root| code.match_indices(root)).map(|(at, _)| at).filter(begins) {
            expand_paths(&code[at..], "", &mut paths);
        }
        paths
    }
}

/// Reads one path, or a tree of paths, at the start of `code`; returns the remainder of `code`.
fn expand_paths<'a>(code: &'a str, before: &str, paths: &mut Vec<String>) -> &'a str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(code.len());
    let path = format!("{before}{}", &code[..end]);
    let mut tail = &code[end..];
    if !path.ends_with("::") || !tail.starts_with('{') {
        paths.push(path);
        return tail;
    }
    while let Some(inner) = tail.strip_prefix(['{', ',']) {
        tail = expand_paths(inner.trim_start(), &path, paths).trim_start();
    }
    tail.strip_prefix('}').unwrap_or(tail)
}

/// Returns the module with a row of its own that holds the item or file at this path.
fn module_of(path: &[&str]) -> String {
    match path {
        [folder, inner, ..] if NESTED.contains(folder) && inner.starts_with(char::is_lowercase) => {
            format!("{folder}/{inner}")
        }
        [module, ..] => (*module).to_owned(),
        [] => String::new(),
    }
}

/// Returns every file under `src/`.
fn sources() -> Vec<(PathBuf, Source)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the source can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                let inner = path.strip_prefix(&root).expect("it is within").with_extension("");
                let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
                let parts: Vec<&str> =
                    parts.iter().map(|part| &**part).filter(|part| *part != "mod").collect();
                found.push((path.clone(), Source::at(&parts, &text)));
            }
        }
    }
    found
}

#[test]
fn inner_layers_name_no_system_calls() {
    for (path, source) in sources() {
        assert!(source.outside().is_empty(), "{} names {:?}", path.display(), source.outside());
    }
}

#[test]
fn engine_never_reads_wall_clock() {
    // The log writes timestamps, and decides nothing by them.
    let is_engine = |path: &Path| !path.ends_with("engine/log_sink.rs");
    for (path, source) in
        sources().into_iter().filter(|(path, source)| source.module == "engine" && is_engine(path))
    {
        assert!(!source.text.contains("SystemTime"), "{} would follow a clock that jumps", path.display());
    }
}

#[test]
fn arrows_point_down_only() {
    for (path, source) in sources() {
        assert!(source.upward().is_empty(), "{} names {:?}", path.display(), source.upward());
    }
}

#[test]
fn arrow_table_has_no_cycle() {
    for (index, (module, below)) in ARROWS.iter().enumerate() {
        for name in *below {
            let under = ARROWS[..index].iter().any(|(module, _)| module == name);
            let under = under && ARROWS[index..].iter().all(|(module, _)| module != name);
            assert!(under, "{module} names {name}, which has no row before it in the table");
        }
    }
}

#[test]
fn siblings_form_no_cycle() {
    let mut arrows: BTreeSet<(String, String, String)> = BTreeSet::new();
    let sources = sources();
    let is_module = |folder: &str, name: &str| {
        sources
            .iter()
            .any(|(_, source)| source.path.join("/") == format!("{folder}/{name}").trim_start_matches('/'))
    };
    for (_, source) in &sources {
        let named = source.siblings().into_iter().filter(|(folder, _, other)| is_module(folder, other));
        arrows.extend(named);
    }
    assert!(arrows.len() > 50, "only {} arrows are found", arrows.len());
    // Remove arrows to modules without arrows of their own, until none is left or only a cycle.
    loop {
        let ends: BTreeSet<(String, String, String)> = arrows
            .iter()
            .filter(|(folder, _, other)| !arrows.iter().any(|(at, from, _)| at == folder && from == other))
            .cloned()
            .collect();
        if ends.is_empty() {
            break;
        }
        arrows.retain(|arrow| !ends.contains(arrow));
    }
    assert!(arrows.is_empty(), "these name each other: {arrows:?}");
}

#[test]
fn every_module_has_a_row() {
    let there: BTreeSet<String> = sources().into_iter().map(|(_, source)| source.module).collect();
    assert!(ARROWS.iter().all(|(module, _)| there.contains(*module)), "of a table of {there:?}");
    let known =
        |name: &String| EDGES.contains(&name.as_str()) || ARROWS.iter().any(|(module, _)| module == name);
    assert!(there.iter().all(known), "{there:?}");
}

#[test]
fn violations_are_found_in_any_form() {
    let outside = |text: &str| Source::new("hub", text).outside();
    assert_eq!(outside("use std::net::TcpStream;"), ["std::net::Tcp"]);
    assert_eq!(outside("use std::net::{SocketAddr,\n    UdpSocket};"), ["std::net::Udp"]);
    assert_eq!(outside("use std::{fmt, thread::{self, JoinHandle}, fs};"), ["std::thread", "std::fs"]);
    assert_eq!(outside("let start = std::time::Instant::now();"), ["Instant"]);
    assert_eq!(outside("use std::time::{Duration, SystemTime};"), ["SystemTime"]);
    assert_eq!(outside("fn f() { unsafe { g() } }"), ["unsafe"]);
    assert_eq!(outside("let home = std::env::var(\"HOME\");"), ["std::env"]);
    assert_eq!(outside("polling::Poller::new()?; socket2::Socket::new()"), ["polling", "socket2"]);
    assert_eq!(outside("println!(\"hi\")"), ["println!"]);
    assert_eq!(outside("use std::net;\nfn f(s: net::TcpStream) {}"), ["std::net"]);
    assert_eq!(outside("use std::net::*;"), ["std::net"]);
    assert!(outside("// std::thread, in words\nuse std::net::SocketAddr; // Instant").is_empty());
    assert!(outside("fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}").is_empty());
    assert!(Source::new("engine", "use std::net::TcpStream;").outside().is_empty());

    let upward =
        |module: &str, text: &str| Source::new(module, text).upward().into_iter().collect::<Vec<_>>();
    assert_eq!(
        upward("hub", "use crate::{server::Server, protocol::Name,\n reactor};"),
        ["reactor", "server"]
    );
    assert_eq!(upward("protocol/frame", "fn f(x: crate::hub::Hub) {}"), ["hub"]);
    assert_eq!(
        upward("protocol/frame", "use crate::protocol::{Event, text};"),
        ["protocol", "protocol/text"]
    );
    assert_eq!(upward("reactor", "use crate::client::run;"), ["client"]);
    assert_eq!(upward("hub", "use super::engine::serve;"), ["engine"]);
    assert!(
        upward("hub", "use crate::protocol::{Event, name::Name};\nuse crate::hub::AfterRequest;").is_empty()
    );
    assert!(upward("protocol", "pub use crate::protocol::name::Name;").is_empty());

    let siblings = |path: &[&str], text: &str| {
        let found = Source::at(path, text).siblings().into_iter();
        found.map(|(folder, own, other)| format!("{folder}: {own} -> {other}")).collect::<Vec<_>>()
    };
    assert_eq!(siblings(&["engine", "a"], "use super::b::C;"), ["engine: a -> b"]);
    assert_eq!(siblings(&["engine", "a", "deep"], "use super::super::b::C;"), ["engine: a -> b"]);
    assert_eq!(
        siblings(&["engine", "a"], "use crate::{hub::Hub, engine::b};"),
        [": engine -> hub", "engine: a -> b"]
    );
    assert!(siblings(&["engine", "a"], "use super::Item;\nuse crate::engine::a::own::C;").is_empty());
}
