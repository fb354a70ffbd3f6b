//! Stories: what each peer sends and receives, run once in the simulator and once with the program over real sockets. The
//! parser and the teller are here; where a story is told is a [`Stage`]. The stage on real
//! sockets is given the path of the built program.
//!
//! A story is a file of lines. Blank ones and those that begin with `//` say nothing. First may come:
//!
//! ```text
//! with --max-line 128 --queue 8KiB     flags of `redpoll serve`
//! needs unicode                        left out where the build takes ASCII names only
//! ```
//!
//! Then one step a line, in which NAMES is one peer or several with `, ` between:
//!
//! ```text
//! NAMES connects         a connection, and what greets it: two lines at the line protocol's door
//! NAMES knocks           a connection, and nothing is known of what it hears
//! NAMES arrives          connects, says `#NAME`, hears `+nick NAME` and how many are in the lobby
//! NAMES connects by udp  by that door, and so for the other two; the server has every door that its story uses
//! NAMES > text           sends the text and LF
//! NAMES >> text          sends the text alone, at once: one message, where messages end by a pause; one datagram
//! NAMES < text           the next line that each gets is exactly this; where it ends with `…`, begins like this
//! NAMES <= text          the next that each gets is exactly this, and not a line: these bytes, or one datagram
//! NAMES <* text          the next lines, one or more, all begin like this; another line follows
//! NAMES ends             shuts its sending side; where there is none, nothing more is known of what it hears
//! NAMES vanishes         resets the connection
//! NAMES closed           the next that each gets is the end of the stream
//! time passes 60s        told in the simulator only
//! server stops           as by SIGTERM; the program's exit code must be 0
//! ```
//!
//! In a text `\n`, `\r`, `\t`, `\s` (a space), `\\`, `\xFF` and `\u{202E}` are what they are elsewhere, and `\{120*x}` is
//! 120 times `x`. At the end no peer with an open stream may have unread output: each sends `/ping the-end`, or where
//! there is no such command a line with NUL, and what it gets next must be the answer.
//!
//! Where messages end by a frame timeout only the server waits for it: a story goes on with what the message caused, and
//! only then sends the next one. For peers with datagrams, `<` and `<=` take one each.

pub mod simulated;
pub mod sockets;

use crate::replay;
use redpoll::protocol::scheme::Scheme;
use std::collections::HashMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a story is told. Peers are known by their number: the first that connects is 0.
pub trait Stage {
    /// One more peer connects, by a door that the story uses.
    fn connect(&mut self, door: Scheme);
    /// A peer sends bytes; the server has handled all whole lines, or the datagram, before another peer acts.
    fn send(&mut self, peer: usize, bytes: &[u8]);
    /// The next line or datagram that a peer gets, `None` at the end of the stream.
    ///
    /// # Errors
    /// What else there is, or that there is nothing.
    fn hear(&mut self, peer: usize) -> Result<Option<String>, String>;
    /// The next so many bytes that a peer gets, or its next datagram, however long.
    ///
    /// # Errors
    /// What else there is, or that there is nothing.
    fn hear_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String>;
    /// A peer shuts its sending side.
    fn end(&mut self, peer: usize);
    /// A peer resets its connection.
    fn vanish(&mut self, peer: usize);
    /// Time passes.
    fn pass(&mut self, time: Duration);
    /// The server is asked to stop.
    fn stop(&mut self);
    /// The story is told. Where the server was asked to stop, it must have done so well.
    ///
    /// # Errors
    /// What is wrong.
    fn finish(self) -> Result<(), String>;
}

/// A story.
#[derive(Debug)]
pub struct Story {
    /// Its file's name without the extension.
    pub name: String,
    /// For `redpoll serve`.
    pub flags: Vec<String>,
    /// Told only where names of every script are taken.
    pub needs_unicode: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// In the file, from 1.
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
    Hears(String),
    HearsBytes(Vec<u8>),
    HearsMany(String),
    Ends,
    Vanishes,
    Closed,
    Passes(Duration),
    Stops,
}

impl Story {
    /// All stories of `tests/stories/` and its folders, in the order of their names.
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

    /// The story that a text tells.
    ///
    /// # Errors
    /// Which line is none of a story, and why.
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
        if story.steps.is_empty() { Err("it tells nothing".into()) } else { Ok(story) }
    }

    /// The doors that its peers come by, each once; the first is that of the line protocol.
    pub fn doors(&self) -> Vec<Scheme> {
        let mut doors = vec![Scheme::Line];
        for step in &self.steps {
            if let What::Connects(door) | What::Knocks(door) | What::Arrives(door) = step.what
                && !doors.contains(&door)
            {
                doors.push(door);
            }
        }
        doors
    }

    /// True where only the simulator can tell it.
    pub fn needs_a_clock(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::Passes(_)))
    }

    /// Tells the story on a stage.
    ///
    /// # Errors
    /// File, line and peer, what was expected and what came.
    pub fn tell(&self, stage: impl Stage) -> Result<(), String> {
        let mut teller = Teller { stage, peers: HashMap::new() };
        for step in &self.steps {
            let at = |peer: &str, why: String| {
                format!("tests/stories/{}.story:{}: {peer}{why}", self.name, step.line)
            };
            match step.what {
                What::Passes(time) => teller.stage.pass(time),
                What::Stops => teller.stage.stop(),
                _ => {
                    for peer in &step.peers {
                        teller.act(peer, &step.what).map_err(|why| at(peer, format!(" {why}")))?;
                    }
                }
            }
        }
        teller.end().map_err(|why| format!("tests/stories/{}.story: at the end {why}", self.name))
    }
}

/// A story on a stage, half told.
struct Teller<S> {
    stage: S,
    peers: HashMap<String, Peer>,
}

struct Peer {
    number: usize,
    door: Scheme,
    /// It can still send, and is to be asked at the end whether it has anything unread.
    open: bool,
    /// A line that it has got, and that no step has dealt with.
    next: Option<String>,
}

impl<S: Stage> Teller<S> {
    fn act(&mut self, name: &str, what: &What) -> Result<(), String> {
        if let What::Connects(door) | What::Knocks(door) | What::Arrives(door) = *what {
            let number = self.peers.len();
            self.stage.connect(door);
            if self.peers.insert(name.into(), Peer { number, door, open: true, next: None }).is_some() {
                return Err("is there already; give the second connection another name".into());
            }
        }
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        let number = peer.number;
        match what {
            What::Knocks(_) => {}
            What::Connects(door) => self.greeting(name, *door)?,
            What::Arrives(door) => {
                self.greeting(name, *door)?;
                self.arrival(name, *door, number)?;
            }
            What::Sends(bytes) => self.stage.send(number, bytes),
            What::Hears(expected) => self.expect(name, expected)?,
            What::HearsBytes(expected) => self.expect_bytes(name, expected)?,
            What::HearsMany(start) => {
                let start = format!("{start}…");
                self.expect(name, &start)?;
                while self.expect(name, &start).is_ok() {}
            }
            What::Ends => {
                peer.open = false;
                self.stage.end(number);
            }
            What::Vanishes => {
                peer.open = false;
                self.stage.vanish(number);
            }
            What::Closed => {
                peer.open = false;
                if let Some(line) = self.hear(name)? {
                    return Err(format!("should see the end of the stream, but gets {line:?}"));
                }
            }
            What::Passes(_) | What::Stops => {}
        }
        Ok(())
    }

    fn greeting(&mut self, name: &str, door: Scheme) -> Result<(), String> {
        match door {
            Scheme::Line => self.expect(name, "* You are connected from 127.0.0.1:…")?,
            Scheme::Unix => self.expect(name, "* You are connected from unix")?,
            Scheme::Classic => return self.expect(name, "You are connected from:('127.0.0.1', …"),
            Scheme::Nickname => return self.expect_bytes(name, b"NICKNAME"),
            Scheme::Relay | Scheme::Udp => return Ok(()),
        }
        self.expect(name, "* Say #name …")
    }

    fn arrival(&mut self, name: &str, door: Scheme, number: usize) -> Result<(), String> {
        let says = match door {
            Scheme::Line | Scheme::Unix => format!("#{name}\n"),
            Scheme::Classic => format!("#{name}"),
            Scheme::Nickname => name.to_owned(),
            Scheme::Udp => format!("L {name}"),
            Scheme::Relay => {
                return Err("arrives there with what it says first; connect it, and let it speak".into());
            }
        };
        self.stage.send(number, says.as_bytes());
        match door {
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

    /// The next bytes of a peer are these.
    fn expect_bytes(&mut self, name: &str, expected: &[u8]) -> Result<(), String> {
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        let number = peer.number;
        let should = format!("should get {:?}", String::from_utf8_lossy(expected));
        if let Some(line) = &peer.next {
            return Err(format!("{should}, but gets {line:?}"));
        }
        let got =
            self.stage.hear_bytes(number, expected.len()).map_err(|why| format!("{should}, but {why}"))?;
        if got == expected {
            Ok(())
        } else {
            Err(format!("{should}, but gets {:?}", String::from_utf8_lossy(&got)))
        }
    }

    /// The next line of a peer is this, or is left for the next step.
    fn expect(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let got = self.hear(name).map_err(|why| format!("should hear {expected:?}, but {why}"))?;
        let fits = got.as_deref().is_some_and(|got| match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == expected,
        });
        match got {
            _ if fits => Ok(()),
            Some(got) => {
                let why = format!("should hear {expected:?}, but gets {got:?}");
                self.peers.get_mut(name).expect("it has connected").next = Some(got);
                Err(why)
            }
            None => Err(format!("should hear {expected:?}, but sees the end of the stream")),
        }
    }

    fn hear(&mut self, name: &str) -> Result<Option<String>, String> {
        let peer = self.peers.get_mut(name).ok_or("has not connected")?;
        match peer.next.take() {
            Some(line) => Ok(Some(line)),
            None => self.stage.hear(peer.number),
        }
    }

    fn end(mut self) -> Result<(), String> {
        let mut names: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.open).collect();
        names.sort_by_key(|(_, peer)| peer.number);
        let open: Vec<_> =
            names.into_iter().map(|(name, peer)| (name.clone(), peer.number, peer.door)).collect();
        for (name, peer, door) in open {
            let (ping, pong) = ping(door, "the-end");
            self.stage.send(peer, &ping);
            self.expect(&name, &pong).map_err(|why| format!("{name} {why}"))?;
        }
        self.stage.finish()
    }
}

/// What is always answered at a door, has no other effect, and what the answer is. It is long enough for the answer
/// not to be more than three times as long.
fn ping(door: Scheme, token: &str) -> (Vec<u8>, String) {
    match door {
        Scheme::Line | Scheme::Unix => (format!("/ping {token}\n").into(), format!("+pong {token}")),
        _ => (format!("\0 {token:16}\n").into(), "!bad-byte the line holds a NUL byte".into()),
    }
}

/// The door that is meant by `by SCHEME`, or by nothing.
fn door_of(text: Option<&str>) -> Result<Scheme, String> {
    let Some(text) = text else { return Ok(Scheme::Line) };
    let scheme = text.strip_prefix("by ").unwrap_or(text);
    let door = Scheme::named(scheme);
    door.ok_or_else(|| format!("there is no door {text:?}: by line, by udp"))
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
        let (name, behind) = rest.split_once(' ').ok_or("what does it do?")?;
        rest = behind;
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
        ("connects", by) => What::Connects(door_of(by)?),
        ("knocks", by) => What::Knocks(door_of(by)?),
        ("arrives", by) => What::Arrives(door_of(by)?),
        ("ends", None) => What::Ends,
        ("vanishes", None) => What::Vanishes,
        ("closed", None) => What::Closed,
        (">", text) => What::Sends([&unescape(text.unwrap_or(""))?[..], b"\n"].concat()),
        (">>", Some(text)) => What::Sends(unescape(text)?),
        ("<", Some(text)) => What::Hears(heard(text)?),
        ("<=", Some(text)) => What::HearsBytes(unescape(text)?),
        ("<*", Some(text)) => What::HearsMany(heard(text)?),
        _ => return Err(format!("there is no step {rest:?}")),
    };
    whole(peers, what)
}

fn heard(text: &str) -> Result<String, String> {
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
        let behind = &escape[kind.len_utf8()..];
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
                let code = behind.get(..2).ok_or_else(wrong)?;
                bytes.push(u8::from_str_radix(code, 16).map_err(|_| wrong())?);
                used += 2;
            }
            'u' => {
                let (code, left) = braced(behind.strip_prefix('{').ok_or_else(wrong)?)?;
                let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).ok_or_else(wrong)?;
                bytes.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                used = escape.len() - left;
            }
            '{' => {
                let (times, left) = braced(behind)?;
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

/// Tells every story that `may` be told, or of these the one of `REDPOLL_STORY`, each on a stage of its own. `test` is what
/// calls this, and `seed` what its stages depend on besides.
///
/// # Panics
/// Where one isn't as the server has it: says all of them, and how to replay each. Where `REDPOLL_STORY` is no story.
pub fn tell_all<S: Stage>(
    test: &str,
    seed: Option<u64>,
    may: impl Fn(&Story) -> bool,
    stage: impl Fn(&Story) -> S,
) {
    let all = Story::all();
    let chosen = replay::story();
    let chosen = chosen.as_deref().map(|name| named(&all, name).unwrap_or_else(|why| panic!("{why}")));
    let is_chosen = |story: &Story| chosen.is_none_or(|chosen| story.name == chosen.name);
    let mut wrong = String::new();
    let mut told = 0;
    for story in all.iter().filter(|story| is_chosen(story) && may(story)) {
        told += 1;
        println!("{}", story.name);
        // What a panic says is printed above what this test says.
        let outcome = catch_unwind(AssertUnwindSafe(|| story.tell(stage(story))))
            .unwrap_or_else(|_| Err(format!("tests/stories/{}.story: a panic, see above", story.name)));
        if let Err(why) = outcome {
            let _ = write!(wrong, "\n{why}\n  replay it by: {}", replay_of(story, test, seed));
        }
    }
    match chosen {
        Some(story) if told == 0 => println!("{} can't be told here", story.name),
        _ => assert!(told > 0, "there are stories"),
    }
    assert!(wrong.is_empty(), "of {told} stories:{wrong}");
}

/// The command that tells one story again, in that test.
fn replay_of(story: &Story, test: &str, seed: Option<u64>) -> String {
    let seed = seed.map_or(String::new(), |seed| format!("REDPOLL_SEED={seed} "));
    format!("REDPOLL_STORY={} {seed}cargo test --test stories {test}", story.name)
}

/// The story of that name: its path in `tests/stories/` without `.story`, or the last part of it.
///
/// # Errors
/// Which names are like it, where there is none.
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
