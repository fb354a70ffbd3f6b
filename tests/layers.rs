//! The map of `src/lib.rs` holds: the files that decide are free of system calls, threads and clocks, and name only
//! modules below them. Both are read off the source, as text without comments and tests.
#![allow(clippy::panic, reason = "a test says by it what is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What stands for the world outside. `std::net::SocketAddr` and `std::io::Error` are values and may pass.
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

/// Modules that may name the world outside, because they are it.
const EDGES: [&str; 4] = ["engine", "client", "cli", "main"];

/// Modules whose files have rows of their own in [`ARROWS`].
const NESTED: [&str; 2] = ["protocol", "server"];

/// Which modules each may name: arrows point down only. A folder stands for all that is in it. The edges may name any.
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

/// A source file: the module at the top of the tree that it belongs to, and what it says.
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
        // Tests stand last in a file, and may name what they like.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let path_of = path.iter().map(|part| (*part).to_owned()).collect();
        Source { module: module_of(path), path: path_of, text: code.join("\n") }
    }

    /// What of the world outside it names, in a `use` with braces too.
    fn outside(&self) -> Vec<&'static str> {
        if EDGES.contains(&self.module.as_str()) {
            return Vec::new();
        }
        let paths = self.paths();
        let names = |what: &&str| {
            self.words().any(|word| word == what.trim_end_matches('!')) && !what.contains("::")
                || paths.iter().any(|path| path.starts_with(what))
        };
        // The whole of a module whose parts may not be named would let them in by another name.
        let all = paths.iter().any(|path| path.trim_end_matches("::") == "std::net").then_some("std::net");
        OUTSIDE.into_iter().filter(names).chain(all).collect()
    }

    /// Modules above it, or beside it, that it names.
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
        // An edge is never the child or the sister of a file that may not name it, so this is the one at the top.
        let edges = EDGES
            .iter()
            .filter(|edge| self.text.contains(&format!("super::{edge}")))
            .map(|edge| edge.to_string());
        let is_within = |name: &str, module: &str| {
            name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_allowed = |name: &str| {
            is_within(name, &self.module) || allowed.iter().any(|module| is_within(name, module))
        };
        named.filter(|name| !is_allowed(name)).chain(edges).collect()
    }

    /// Modules in the same folder as this one, or as a folder that it is in, that it names: folder, itself or the folder that
    /// it is in, the other.
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
            // An item of a folder above is no module, and what is below this one is its own.
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

    /// Every path that it writes, those within the braces of a `use` spelled out.
    fn paths(&self) -> Vec<String> {
        let code: String = self.text.chars().filter(|c| !c.is_whitespace() || *c == ' ').collect();
        let mut paths = Vec::new();
        let roots = ["std::", "crate::", "super::"];
        // `super::super::x` is one path.
        let begins = |at: &usize| !code[..*at].ends_with("::");
        for at in roots.iter().flat_map(|root| code.match_indices(root)).map(|(at, _)| at).filter(begins) {
            spell_out(&code[at..], "", &mut paths);
        }
        paths
    }
}

/// Reads one path, or a tree of them, at the front of `code`; what is left behind it.
fn spell_out<'a>(code: &'a str, before: &str, paths: &mut Vec<String>) -> &'a str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(code.len());
    let path = format!("{before}{}", &code[..end]);
    let mut rest = &code[end..];
    if !path.ends_with("::") || !rest.starts_with('{') {
        paths.push(path);
        return rest;
    }
    while let Some(inner) = rest.strip_prefix(['{', ',']) {
        rest = spell_out(inner.trim_start(), &path, paths).trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

/// The module with a row of its own that holds the item or the file at this path.
fn module_of(path: &[&str]) -> String {
    match path {
        [folder, inner, ..] if NESTED.contains(folder) && inner.starts_with(char::is_lowercase) => {
            format!("{folder}/{inner}")
        }
        [module, ..] => (*module).to_owned(),
        [] => String::new(),
    }
}

/// Every file under `src/`.
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
    // The log writes down when something was, and decides nothing by it.
    let decides = |path: &Path| !path.ends_with("engine/log.rs");
    for (path, source) in
        sources().into_iter().filter(|(path, source)| source.module == "engine" && decides(path))
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
    for (place, (module, below)) in ARROWS.iter().enumerate() {
        for name in *below {
            let under = ARROWS[..place].iter().any(|(module, _)| module == name);
            let under = under && ARROWS[place..].iter().all(|(module, _)| module != name);
            assert!(under, "{module} names {name}, which stands no lower in the table");
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
    assert!(arrows.len() > 50, "only {} are found", arrows.len());
    // Take away what names nothing else, until nothing is left, or a circle.
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
    assert!(upward("hub", "use crate::protocol::{Event, name::Name};\nuse crate::hub::Next;").is_empty());
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
