//! Stories: what each peer sends and receives, run once in the simulator and once with the program over real sockets.
//! The parser and the runner are here; a [`Backend`] runs the steps. The backend on real sockets needs the path of the
//! built program.
//!
//! A story is a file of lines. Blank ones and those that begin with `//` are comments. First may come:
//!
//! ```text
//! with --max-line 128 --queue 8KiB     flags of `redpoll serve`
//! needs unicode                        skipped if the build takes ASCII names only
//! ```
//!
//! Then one step per line, in which NAMES is one peer or several with `, ` between:
//!
//! ```text
//! NAMES connects         connects, and receives the greeting: in the line protocol, two lines
//! NAMES knocks           connects, without an expected greeting
//! NAMES arrives          connects, sends `#NAME`, receives `+nick NAME` and the members of the lobby
//! NAMES connects by udp  uses that scheme; so do the other two; the server has a listener for each scheme in the story
//! NAMES > text           sends the text and LF
//! NAMES >> text          sends the text alone, at once: one message, if a frame timeout ends messages; one datagram
//! NAMES < text           receives exactly this line next; with `…` at the end, a line that begins like this
//! NAMES <= text          receives exactly these bytes next, or this datagram
//! NAMES <* text          receives one or more lines that all begin like this, until another line follows
//! NAMES ends             shuts down its sending side; with datagrams, nothing more is expected
//! NAMES vanishes         resets the connection
//! NAMES closed           receives the end of the stream next
//! time passes 60s        only in the simulator
//! server stops           as by SIGTERM; the program's exit code must be 0
//! ```
//!
//! In a text, `\n`, `\r`, `\t`, `\s` (a space), `\\`, `\xFF` and `\u{202E}` are escapes, and `\{120*x}` is 120 times
//! `x`. At the end no peer with an open stream may have unread output: each sends `/ping the-end`, or a line with NUL
//! if its dialect has no such command, and must receive the answer next.
//!
//! If a frame timeout ends messages, only the server waits for it: a story goes on with the effects of the message, and
//! then sends the next one. For peers with datagrams, `<` and `<=` take one each.

pub mod simulated;
pub mod sockets;

use crate::replay;
use redpoll::protocol::scheme::Scheme;
use std::collections::HashMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server that runs the steps of a story. Peers have numbers in the order of connecting, from 0.
pub trait Backend {
    /// Connects one more peer, with a scheme of the story.
    fn connect(&mut self, scheme: Scheme);
    /// Sends bytes as a peer; the server handles all whole lines, or the datagram, before another peer acts.
    fn send(&mut self, peer: usize, bytes: &[u8]);
    /// Returns the next line or datagram to a peer, `None` at the end of the stream.
    ///
    /// # Errors
    /// The other output, or that there is none.
    fn receive(&mut self, peer: usize) -> Result<Option<String>, String>;
    /// Returns the next `len` bytes to a peer, or its next datagram of any length.
    ///
    /// # Errors
    /// The other output, or that there is none.
    fn receive_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String>;
    /// Shuts down the sending side of a peer.
    fn end(&mut self, peer: usize);
    /// Resets the connection of a peer.
    fn reset(&mut self, peer: usize);
    /// Lets time pass.
    fn pass(&mut self, time: Duration);
    /// Asks the server to stop.
    fn stop(&mut self);
    /// Ends the story.
    ///
    /// # Errors
    /// The server was asked to stop and has not done so successfully.
    fn finish(self) -> Result<(), String>;
}

/// A parsed story.
#[derive(Debug)]
pub struct Story {
    /// Its file's name without the extension.
    pub name: String,
    /// Flags of `redpoll serve`.
    pub flags: Vec<String>,
    /// Run only by builds that take names of every script.
    pub needs_unicode: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// Number of its line in the file, from 1.
    line: usize,
    peers: Vec<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    Connects(Scheme),
    Knocks(Scheme),
    Arrives(Scheme),
    Sends(Vec<u8>),
    Receives(String),
    ReceivesBytes(Vec<u8>),
    ReceivesMany(String),
    Ends,
    Vanishes,
    Closed,
    Passes(Duration),
    Stops,
}

impl Story {
    /// Returns all stories of `tests/stories/` and its folders, in the order of their names.
    pub fn all() -> Vec<Story> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stories");
        let mut paths = Vec::new();
        story_files(&root, &mut paths);
        paths.sort();
        let read = |path: &PathBuf| {
            let name = path.strip_prefix(&root).expect("it is in the folder").with_extension("");
            let text = std::fs::read_to_string(path).expect("a story is UTF-8");
            Story::parse(&name.to_string_lossy(), &text)
                .unwrap_or_else(|why| panic!("{}: {why}", path.display()))
        };
        paths.iter().map(read).collect()
    }

    /// Parses a story.
    ///
    /// # Errors
    /// The first invalid line, and the reason.
    pub fn parse(name: &str, text: &str) -> Result<Story, String> {
        let mut story = Story { name: name.into(), flags: vec![], needs_unicode: false, steps: vec![] };
        for (line, words) in (1..).zip(text.lines()) {
            let at = |why: String| format!("line {line}: {why}");
            match words {
                "" => {}
                _ if words.starts_with("//") => {}
                "needs unicode" if story.steps.is_empty() => story.needs_unicode = true,
                _ => match words.strip_prefix("with ") {
                    Some(flags) if story.steps.is_empty() => {
                        story.flags.extend(flags.split_whitespace().map(str::to_owned))
                    }
                    _ => story.steps.push(step(line, words).map_err(at)?),
                },
            }
        }
        if story.steps.is_empty() { Err("there is no step".into()) } else { Ok(story) }
    }

    /// Returns the schemes of its peers, each once; the first is the line protocol.
    pub fn schemes(&self) -> Vec<Scheme> {
        let mut schemes = vec![Scheme::Line];
        for step in &self.steps {
            if let What::Connects(scheme) | What::Knocks(scheme) | What::Arrives(scheme) = step.what
                && !schemes.contains(&scheme)
            {
                schemes.push(scheme);
            }
        }
        schemes
    }

    /// Returns whether only the simulator can run it.
    pub fn needs_a_clock(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::Passes(_)))
    }

    /// Runs the story on a backend.
    ///
    /// # Errors
    /// File, line and peer, and the expected and the actual output.
    pub fn run(&self, backend: impl Backend) -> Result<(), String> {
        let mut runner = Runner { backend, peers: HashMap::new() };
        for step in &self.steps {
            let at = |peer: &str, why: String| {
                format!("tests/stories/{}.story:{}: {peer}{why}", self.name, step.line)
            };
            match step.what {
                What::Passes(time) => runner.backend.pass(time),
                What::Stops => runner.backend.stop(),
                _ => {
                    for peer in &step.peers {
                        runner.act(peer, &step.what).map_err(|why| at(peer, format!(" {why}")))?;
                    }
                }
            }
        }
        runner.end().map_err(|why| format!("tests/stories/{}.story: at the end {why}", self.name))
    }
}

/// A story in progress.
struct Runner<S> {
    backend: S,
    peers: HashMap<String, Peer>,
}

struct Peer {
    number: usize,
    scheme: Scheme,
    /// It can still send, and at the end it must have no unread output.
    open: bool,
    /// A received line that no step has matched.
    next: Option<String>,
}

impl<S: Backend> Runner<S> {
    fn act(&mut self, name: &str, what: &What) -> Result<(), String> {
        if let What::Connects(scheme) | What::Knocks(scheme) | What::Arrives(scheme) = *what {
            let number = self.peers.len();
            self.backend.connect(scheme);
            if self.peers.insert(name.into(), Peer { number, scheme, open: true, next: None }).is_some() {
                return Err("is there already; give the second connection another name".into());
            }
        }
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        let number = peer.number;
        match what {
            What::Knocks(_) => {}
            What::Connects(scheme) => self.greeting(name, *scheme)?,
            What::Arrives(scheme) => {
                self.greeting(name, *scheme)?;
                self.arrival(name, *scheme, number)?;
            }
            What::Sends(bytes) => self.backend.send(number, bytes),
            What::Receives(expected) => self.expect(name, expected)?,
            What::ReceivesBytes(expected) => self.expect_bytes(name, expected)?,
            What::ReceivesMany(start) => {
                let start = format!("{start}…");
                self.expect(name, &start)?;
                while self.expect(name, &start).is_ok() {}
            }
            What::Ends => {
                peer.open = false;
                self.backend.end(number);
            }
            What::Vanishes => {
                peer.open = false;
                self.backend.reset(number);
            }
            What::Closed => {
                peer.open = false;
                if let Some(line) = self.receive(name)? {
                    return Err(format!("should see the end of the stream, but gets {line:?}"));
                }
            }
            What::Passes(_) | What::Stops => {}
        }
        Ok(())
    }

    fn greeting(&mut self, name: &str, scheme: Scheme) -> Result<(), String> {
        match scheme {
            Scheme::Line => self.expect(name, "* You are connected from 127.0.0.1:…")?,
            Scheme::Unix => self.expect(name, "* You are connected from unix")?,
            Scheme::Classic => return self.expect(name, "You are connected from:('127.0.0.1', …"),
            Scheme::Nickname => return self.expect_bytes(name, b"NICKNAME"),
            Scheme::Relay | Scheme::Udp => return Ok(()),
        }
        self.expect(name, "* Say #name …")
    }

    fn arrival(&mut self, name: &str, scheme: Scheme, number: usize) -> Result<(), String> {
        let input = match scheme {
            Scheme::Line | Scheme::Unix => format!("#{name}\n"),
            Scheme::Classic => format!("#{name}"),
            Scheme::Nickname => name.to_owned(),
            Scheme::Udp => format!("L {name}"),
            Scheme::Relay => {
                return Err("has no registration of its own by relay; let it connect and send".into());
            }
        };
        self.backend.send(number, input.as_bytes());
        match scheme {
            Scheme::Classic => self.expect(name, &format!("Your user detail saved as : {name}")),
            Scheme::Nickname => {
                self.expect(name, &format!("{name} joined!"))?;
                self.expect(name, "Connected to server!")
            }
            Scheme::Udp => self.expect_bytes(name, b"OK"),
            _ => {
                self.expect(name, &format!("+nick {name}"))?;
                self.expect(name, "+room lobby …")
            }
        }
    }

    /// Matches the next bytes to a peer.
    fn expect_bytes(&mut self, name: &str, expected: &[u8]) -> Result<(), String> {
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        let number = peer.number;
        let should = format!("should get {:?}", String::from_utf8_lossy(expected));
        if let Some(line) = &peer.next {
            return Err(format!("{should}, but gets {line:?}"));
        }
        let got = self
            .backend
            .receive_bytes(number, expected.len())
            .map_err(|why| format!("{should}, but {why}"))?;
        if got == expected {
            Ok(())
        } else {
            Err(format!("{should}, but gets {:?}", String::from_utf8_lossy(&got)))
        }
    }

    /// Matches the next line to a peer, or leaves it to the next step.
    fn expect(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let got = self.receive(name).map_err(|why| format!("should receive {expected:?}, but {why}"))?;
        let fits = got.as_deref().is_some_and(|got| match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == expected,
        });
        match got {
            _ if fits => Ok(()),
            Some(got) => {
                let why = format!("should receive {expected:?}, but gets {got:?}");
                self.peers.get_mut(name).expect("it has connected").next = Some(got);
                Err(why)
            }
            None => Err(format!("should receive {expected:?}, but sees the end of the stream")),
        }
    }

    fn receive(&mut self, name: &str) -> Result<Option<String>, String> {
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        match peer.next.take() {
            Some(line) => Ok(Some(line)),
            None => self.backend.receive(peer.number),
        }
    }

    fn end(mut self) -> Result<(), String> {
        let mut names: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.open).collect();
        names.sort_by_key(|(_, peer)| peer.number);
        let open: Vec<_> =
            names.into_iter().map(|(name, peer)| (name.clone(), peer.number, peer.scheme)).collect();
        for (name, peer, scheme) in open {
            let (ping, pong) = ping(scheme, "the-end");
            self.backend.send(peer, &ping);
            self.expect(&name, &pong).map_err(|why| format!("{name} {why}"))?;
        }
        self.backend.finish()
    }
}

/// Returns a message that is always answered in a scheme and has no other effect, and its answer. It is long enough for
/// the amplification limit of three times its bytes.
fn ping(scheme: Scheme, token: &str) -> (Vec<u8>, String) {
    match scheme {
        Scheme::Line | Scheme::Unix => (format!("/ping {token}\n").into(), format!("+pong {token}")),
        _ => (format!("\0 {token:16}\n").into(), "!bad-byte the line holds a NUL byte".into()),
    }
}

/// Parses `by SCHEME`; the default is the line protocol.
fn scheme_of(text: Option<&str>) -> Result<Scheme, String> {
    let Some(text) = text else { return Ok(Scheme::Line) };
    let scheme = text.strip_prefix("by ").unwrap_or(text);
    let scheme = Scheme::named(scheme);
    scheme.ok_or_else(|| format!("there is no scheme {text:?}: by line, by udp"))
}

fn step(line: usize, words: &str) -> Result<Step, String> {
    let whole = |peers: Vec<String>, what| Ok(Step { line, peers, what });
    if words == "server stops" {
        return whole(vec![], What::Stops);
    }
    if let Some(time) = words.strip_prefix("time passes ") {
        return whole(vec![], What::Passes(time_of(time)?));
    }
    let mut peers = Vec::new();
    let mut rest = words;
    loop {
        let (name, after) = rest.split_once(' ').ok_or("there is no verb")?;
        rest = after;
        match name.strip_suffix(',') {
            Some(name) => peers.push(name.to_owned()),
            None => {
                peers.push(name.to_owned());
                break;
            }
        }
    }
    let (verb, text) = match rest.split_once(' ') {
        Some((verb, text)) => (verb, Some(text)),
        None => (rest, None),
    };
    let what = match (verb, text) {
        ("connects", by) => What::Connects(scheme_of(by)?),
        ("knocks", by) => What::Knocks(scheme_of(by)?),
        ("arrives", by) => What::Arrives(scheme_of(by)?),
        ("ends", None) => What::Ends,
        ("vanishes", None) => What::Vanishes,
        ("closed", None) => What::Closed,
        (">", text) => What::Sends([&unescape(text.unwrap_or(""))?[..], b"\n"].concat()),
        (">>", Some(text)) => What::Sends(unescape(text)?),
        ("<", Some(text)) => What::Receives(expected_line(text)?),
        ("<=", Some(text)) => What::ReceivesBytes(unescape(text)?),
        ("<*", Some(text)) => What::ReceivesMany(expected_line(text)?),
        _ => return Err(format!("there is no step {rest:?}")),
    };
    whole(peers, what)
}

fn expected_line(text: &str) -> Result<String, String> {
    String::from_utf8(unescape(text)?).map_err(|_| "the server sends UTF-8 only".into())
}

fn time_of(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number = number.parse().map_err(|_| format!("{text:?} is no time"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("{text:?} is no time: 10ms, 60s")),
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let wrong = || format!("there is no escape \\{escape}");
        let kind = escape.chars().next().ok_or_else(wrong)?;
        let after = &escape[kind.len_utf8()..];
        let braced =
            |from: &'_ str| from.split_once('}').map(|(a, b)| (a.to_owned(), b.len())).ok_or_else(wrong);
        let mut used = kind.len_utf8();
        match kind {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            's' => bytes.push(b' '),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let code = after.get(..2).ok_or_else(wrong)?;
                bytes.push(u8::from_str_radix(code, 16).map_err(|_| wrong())?);
                used += 2;
            }
            'u' => {
                let (code, left) = braced(after.strip_prefix('{').ok_or_else(wrong)?)?;
                let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).ok_or_else(wrong)?;
                bytes.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                used = escape.len() - left;
            }
            '{' => {
                let (times, left) = braced(after)?;
                let (times, what) = times.split_once('*').ok_or_else(wrong)?;
                let times = times.parse().map_err(|_| wrong())?;
                bytes.extend_from_slice(&unescape(what)?.repeat(times));
                used = escape.len() - left;
            }
            _ => return Err(wrong()),
        }
        rest = &escape[used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Runs each story for which `may` is true, or of these the one in `REDPOLL_STORY`, each on a backend of its own.
/// `test` is the name of the calling test, and `seed` the seed of its backends, if they have one.
///
/// # Panics
/// If a story fails: with all failures, and the command that replays each. If `REDPOLL_STORY` is no story.
pub fn run_all<S: Backend>(
    test: &str,
    seed: Option<u64>,
    may: impl Fn(&Story) -> bool,
    backend: impl Fn(&Story) -> S,
) {
    let all = Story::all();
    let chosen = replay::story();
    let chosen = chosen.as_deref().map(|name| named(&all, name).unwrap_or_else(|why| panic!("{why}")));
    let is_chosen = |story: &Story| chosen.is_none_or(|chosen| story.name == chosen.name);
    let mut wrong = String::new();
    let mut count = 0;
    for story in all.iter().filter(|story| is_chosen(story) && may(story)) {
        count += 1;
        println!("{}", story.name);
        // The message of a panic is printed before this report.
        let outcome = catch_unwind(AssertUnwindSafe(|| story.run(backend(story))))
            .unwrap_or_else(|_| Err(format!("tests/stories/{}.story: a panic, see above", story.name)));
        if let Err(why) = outcome {
            let _ = write!(wrong, "\n{why}\n  replay it by: {}", replay_of(story, test, seed));
        }
    }
    match chosen {
        Some(story) if count == 0 => println!("{} can't run here", story.name),
        _ => assert!(count > 0, "there are stories"),
    }
    assert!(wrong.is_empty(), "of {count} stories:{wrong}");
}

/// Returns the command that replays one story in that test.
fn replay_of(story: &Story, test: &str, seed: Option<u64>) -> String {
    let seed = seed.map_or(String::new(), |seed| format!("REDPOLL_SEED={seed} "));
    format!("REDPOLL_STORY={} {seed}cargo test --test stories {test}", story.name)
}

/// Returns the story with that name: its path in `tests/stories/` without `.story`, or the last part of the path.
///
/// # Errors
/// Similar names, if there is none.
fn named<'a>(all: &'a [Story], name: &str) -> Result<&'a Story, String> {
    let path = name.strip_prefix("tests/stories/").unwrap_or(name);
    let path = path.strip_suffix(".story").unwrap_or(path);
    let file = |story: &Story| story.name.rsplit('/').next() == Some(path);
    let found = all.iter().find(|story| story.name == path).or_else(|| all.iter().find(|story| file(story)));
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|story| story.name.as_str()).collect();
        let near = replay::near(path, &names).join(", ");
        let hint = if near.is_empty() { "see tests/stories/".into() } else { format!("near it are: {near}") };
        format!("REDPOLL_STORY={name} is no story; {hint}")
    })
}

/// Adds the files of stories in `folder` and the folders in it to `paths`.
fn story_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of stories can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            story_files(&path, paths);
        } else if path.extension().is_some_and(|ext| ext == "story") {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(name: &str) -> Story {
        Story::parse(name, "alice arrives\n").unwrap()
    }

    #[test]
    fn unknown_story_names_near_ones() {
        let all = [story("room/who_is_where"), story("renaming")];
        assert_eq!(named(&all, "renaming").unwrap().name, "renaming");
        for name in ["who_is_where", "room/who_is_where", "tests/stories/room/who_is_where.story"] {
            assert_eq!(named(&all, name).unwrap().name, "room/who_is_where");
        }
        assert_eq!(
            named(&all, "who_is_here").unwrap_err(),
            "REDPOLL_STORY=who_is_here is no story; near it are: room/who_is_where"
        );
        assert_eq!(named(&all, "x").unwrap_err(), "REDPOLL_STORY=x is no story; see tests/stories/");
    }

    #[test]
    fn replay_names_story_seed_and_test() {
        let story = story("who_is_where");
        assert_eq!(
            replay_of(&story, "every_story", None),
            "REDPOLL_STORY=who_is_where cargo test --test stories every_story"
        );
        assert_eq!(
            replay_of(&story, "every_story", Some(3)),
            "REDPOLL_STORY=who_is_where REDPOLL_SEED=3 cargo test --test stories every_story"
        );
    }
}
