//! The log of the built program: which events are logged at which level and in which format, and what is never logged.
//! With all engines where that makes a difference.

mod common;

use common::{DEADLINE, Folder, Server, redpoll, serve};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

#[cfg(feature = "threads")]
const ENGINES: [&str; 3] = ["reactor", "threads", "threads-queued"];
#[cfg(not(feature = "threads"))]
const ENGINES: [&str; 1] = ["reactor"];

/// What must never be in a log.
const SECRET: &str = "xyzzy";

/// A peer of the line protocol.
struct Peer<S: Read>(BufReader<S>);

impl<S: Read + Write> Peer<S> {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("the server sends a line");
        assert!(bytes > 0, "the stream ended");
        line
    }

    /// Reads lines up to and including the first that starts with `start`.
    fn read_until(&mut self, start: &str) {
        while !self.read_line().starts_with(start) {}
    }
}

fn arrive(server: &Server, nick: &str) -> Peer<TcpStream> {
    let mut peer = Peer(BufReader::new(server.connect()));
    peer.send(&format!("#{nick}\n"));
    peer.read_until("+room lobby");
    peer
}

/// Starts a server with a listener for operators, and connects an operator.
fn start(folder: &Folder, flags: &[&str]) -> (Server, Peer<UnixStream>) {
    let path = folder.path("operators");
    let file = format!("unix://{}", path.display());
    let mut command = redpoll();
    command.args(["serve", "--listen", "127.0.0.1:0", "--listen", &file]).args(flags);
    let server = Server::run_at(2, &mut command);
    let operator = UnixStream::connect(path).expect("it listens");
    operator.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
    let mut operator = Peer(BufReader::new(operator));
    operator.read_until("* You are connected");
    (server, operator)
}

/// Runs a session with most events; returns its log.
fn session(flags: &[&str]) -> String {
    let folder = Folder::create();
    let (server, mut operator) = start(&folder, &[flags, &["--max-connections", "3"]].concat());
    let (mut alice, mut bob) = (arrive(&server, "alice"), arrive(&server, "bob"));
    let mut refused = Peer(BufReader::new(server.connect()));
    refused.read_until("!server-full");
    operator.send(&format!("/announce {SECRET}\n/kick bob {SECRET}\n"));
    operator.read_until("+kicked bob");
    bob.read_until("!kicked");
    alice
        .send(&format!("{SECRET}\n@alice:{SECRET}\n&dev:{SECRET}\n/{SECRET}\n/ping {SECRET}\n@{SECRET}:x\n"));
    alice.send(&format!("/quit {SECRET}\n"));
    alice.read_until("+bye");
    operator.send("/shutdown\n");
    operator.read_until("!shutting-down");
    drop((alice, bob, refused, operator));
    server.log()
}

fn objects(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn events(log: &str) -> BTreeSet<String> {
    objects(log).iter().map(|line| line["event"].as_str().expect("it is a string").to_owned()).collect()
}

#[test]
fn each_level_includes_higher_ones() {
    for engine in ENGINES {
        let at = |level| events(&session(&["--engine", engine, "--log", level, "--log-format", "json"]));
        let set = |events: &[&str]| events.iter().map(|event| (*event).to_owned()).collect::<BTreeSet<_>>();
        let warn = set(&["refused"]);
        let info = set(&[
            "started",
            "listening",
            "operator",
            "registered",
            "left",
            "announced",
            "stopping",
            "stopped",
        ]);
        let logged = at("error");
        assert!(logged.iter().all(|event| event == "ascii-names"), "{engine}: {logged:?}");
        assert!(at("warn").is_superset(&warn) && at("warn").is_disjoint(&info), "{engine}");
        assert!(at("info").is_superset(&(&warn | &info)) && !at("info").contains("accepted"), "{engine}");
        assert!(at("debug").is_superset(&(&warn | &info)) && at("debug").contains("accepted"), "{engine}");
    }
}

#[test]
fn json_keys_and_numbers_are_stable() {
    for engine in ENGINES {
        let log = session(&["--engine", engine, "--log", "debug", "--log-format", "json"]);
        let lines = objects(&log);
        let of = |event: &str| lines.iter().filter(move |line| line["event"] == event).collect::<Vec<_>>();
        for line in &lines {
            for key in ["time", "level", "event", "message"] {
                assert!(line[key].is_string(), "{key} is missing from {line}");
            }
        }
        for (event, keys) in [
            ("started", &["version", "engine", "connections", "queue_total"][..]),
            ("listening", &["address", "scheme"]),
            ("operator", &["connection"]),
            ("accepted", &["connection", "address", "scheme"]),
            ("registered", &["connection", "address", "nick"]),
            ("left", &["connection", "nick", "reason"]),
            ("refused", &["address", "reason"]),
            ("announced", &["operator", "count"]),
            ("stopping", &["reason", "operator"]),
            ("stopped", &["ms", "count"]),
        ] {
            let line = of(event)[0];
            assert!(keys.iter().all(|key| !line[*key].is_null()), "{engine}: {line}");
        }
        let alice =
            of("registered").into_iter().find(|line| line["nick"] == "alice").expect("alice is registered");
        let accepted = of("accepted").into_iter().find(|line| line["connection"] == alice["connection"]);
        assert_eq!(accepted.expect("alice is accepted")["address"], alice["address"]);
        let left = of("left");
        let alice_left = left.iter().find(|line| line["connection"] == alice["connection"]);
        assert_eq!(alice_left.expect("alice has left")["reason"], "quit");
        let bob = left.iter().find(|line| line["nick"] == "bob").expect("bob has left");
        assert_eq!((&bob["reason"], &bob["operator"]), (&"kicked".into(), &of("operator")[0]["connection"]));
        assert_eq!(of("refused")[0]["reason"], "server-full");
    }
}

#[test]
fn message_text_is_never_logged() {
    for engine in ENGINES {
        for format in ["text", "json"] {
            let log = session(&["--engine", engine, "--log", "debug", "--log-format", format]);
            assert!(log.contains("alice") && log.contains("bob"), "{engine}: {log}");
            assert!(!log.contains(SECRET), "{engine}: {log}");
        }
    }
}

#[test]
fn text_lines_carry_level_and_subject() {
    let log = session(&["--log", "debug"]);
    let line = |part: &str| log.lines().find(|line| line.contains(part)).expect(part);
    for line in log.lines() {
        assert!(line.starts_with("redpoll: "), "{line}");
    }
    assert!(line(" registered as alice").starts_with("redpoll: info: connection "), "{log}");
    assert!(line("server-full").starts_with("redpoll: warn: refused 127.0.0.1:"), "{log}");
    assert!(line("bob, left").ends_with("left: kicked by operator 1"), "{log}");
}

#[test]
fn stop_logs_signal_and_drain() {
    for engine in ENGINES {
        let server = serve(["--engine", engine]);
        let alice = arrive(&server, "alice");
        server.signal(Signal::INT);
        drop(alice);
        let log = server.log();
        assert!(log.contains("redpoll: info: stopping: SIGINT\n"), "{engine}: {log}");
        assert!(log.lines().last().expect("the log has lines").contains("stopped after"), "{engine}: {log}");
    }
}

/// SIGHUP and SIGUSR1 ended the server; SIGTTIN and SIGTTOU stopped one in the background of a terminal.
#[test]
fn other_signals_do_not_stop() {
    for engine in ENGINES {
        let server = serve(["--engine", engine]);
        let mut alice = arrive(&server, "alice");
        for signal in [Signal::USR1, Signal::USR2, Signal::TTIN, Signal::TTOU, Signal::XFSZ, Signal::HUP] {
            server.signal(signal);
            alice.send("/ping\n");
            alice.read_until("+pong");
        }
        server.signal(Signal::TERM);
        let log = server.log();
        assert!(log.contains("info: SIGHUP: nothing to reload"), "{engine}: {log}");
        assert!(log.contains("stopping: SIGTERM"), "{engine}: {log}");
    }
}

/// A full disk, or `ulimit -f`: the server died by SIGXFSZ, and the line after a short write was glued to its part.
#[cfg(target_os = "linux")]
#[test]
fn limited_file_loses_whole_lines() {
    use rustix::process::{Resource, Rlimit, prlimit};
    let folder = Folder::create();
    let path = folder.path("log");
    let mut command = redpoll();
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.stderr(std::fs::File::create(&path).expect("a file can be created"));
    let mut server = Server::run(&mut command);
    let limit = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(server.process()), Resource::Fsize, limit).expect("the limit of a child can be set");
    };
    let size = || std::fs::metadata(&path).expect("it exists").len();
    drop(arrive(&server, "before"));
    // Room for a part of the next line.
    limit(Some(size() + 20));
    for nick in ["during", "during-2"] {
        arrive(&server, nick).send("/quit\n");
    }
    limit(None);
    let mut after = arrive(&server, "after");
    after.send("/ping\n");
    after.read_until("+pong");
    server.signal(Signal::TERM);
    server.wait();
    let log = std::fs::read_to_string(&path).expect("a log is UTF-8");
    assert!(log.contains(" registered as after\n"), "{log}");
    assert!(log.contains(" lines were dropped"), "{log}");
    let cut = log
        .lines()
        .filter(|line| !line.starts_with("redpoll: info: ") && !line.starts_with("redpoll: warn: "));
    assert!(cut.count() <= 1, "{log}");
    assert!(log.lines().all(|line| line.matches("redpoll: ").count() <= 1), "{log}");
}

#[test]
fn slow_peer_logs_unsent_bytes() {
    // A total of one queue is exceeded first, as soon as the kernel refuses bytes.
    for (event, total) in [("too-slow", "64MiB"), ("queues-full", "8KiB")] {
        let flags =
            ["--queue", "8KiB", "--queue-total", total, "--send-buffer", "4KiB", "--log-format", "json"];
        let server = serve(flags);
        let (stalled, mut alice) = (arrive(&server, "bob"), arrive(&server, "alice"));
        let mut received = String::new();
        while !received.starts_with("* bob left") {
            alice.send(&(SECRET.repeat(200) + "\n").repeat(16));
            alice.send("/ping\n");
            received = alice.read_line();
        }
        server.signal(Signal::TERM);
        drop((stalled, alice));
        let lines = objects(&server.log());
        let logged = lines.iter().find(|line| line["event"] == event).expect(event);
        assert_eq!(logged["nick"], "bob");
        assert!(logged["bytes"].as_u64() > Some(0), "{logged}");
        let left = lines.iter().find(|line| line["event"] == "left").expect("bob has left");
        assert_eq!((&left["connection"], &left["reason"]), (&logged["connection"], &"too slow".into()));
    }
}

/// Only Linux can change the limit of another process (prlimit(2)).
#[cfg(target_os = "linux")]
#[test]
fn accept_backoff_and_resume_are_logged() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    for engine in ENGINES {
        let mut server = serve(["--engine", engine]);
        let mut lines = BufReader::new(server.stderr()).lines().map(|line| line.expect("a log is UTF-8"));
        let mut line = |part: &str| lines.find(|line| line.contains(part)).expect(part);
        // After the first registration, starting takes no more descriptors.
        let _alice = arrive(&server, "alice");
        let pid = Pid::from_raw(server.pid() as i32);
        // Standard input, output and error; with a limit of 0, poll(2) would refuse any descriptor.
        let none = Rlimit { current: Some(3), maximum: Some(1024) };
        prlimit(pid, Resource::Nofile, none).expect("a limit can be lowered");
        let _first = server.connect();
        line("redpoll: warn: can't accept connections by line, trying again: ");
        let enough = Rlimit { current: Some(1024), maximum: Some(1024) };
        prlimit(pid, Resource::Nofile, enough).expect("and raised again");
        // Early connections may be rejected, since the server is full.
        while !Peer(BufReader::new(server.connect())).read_line().starts_with("* You are connected") {}
        line("redpoll: info: connections by line are accepted again");
    }
}

#[test]
fn no_name_forges_a_line() {
    for format in ["text", "json"] {
        let server = serve(["--log", "debug", "--log-format", format]);
        let mut peer = Peer(BufReader::new(server.connect()));
        for nick in [
            "a\rredpoll: b",
            "a\u{1b}[2J",
            "a\u{2028}b",
            "a\u{202E}b",
            "a\u{85}b",
            "\"}",
            "a\\n",
            "a\tb",
            "-a",
        ] {
            peer.send(&format!("#{nick}\n"));
            peer.read_until("!nick-");
        }
        peer.send("#eve\nredpoll: error: forged\n/quit a\u{2028}redpoll: error: forged\n");
        peer.read_until("+bye");
        server.signal(Signal::TERM);
        drop(peer);
        let log = server.log();
        assert!(log.contains("eve") && !log.contains("forged"), "{log}");
        let whole = |line: &str| match format {
            "text" => line.starts_with("redpoll: ") && !line.contains("error"),
            _ => serde_json::from_str::<Value>(line).is_ok(),
        };
        assert!(log.lines().all(whole), "{log}");
        assert!(log.chars().all(|c| c == '\n' || redpoll::protocol::text::is_safe(c)), "{log}");
    }
}

#[test]
fn refusal_flood_is_bounded_and_counted() {
    let server = serve(["--max-connections", "1", "--log-format", "json"]);
    let alice = arrive(&server, "alice");
    for _ in 0..1000 {
        // Rejected with a line or just closed: the stream ends.
        let _ = server.connect().read_to_end(&mut Vec::new());
    }
    server.signal(Signal::TERM);
    drop(alice);
    let lines = objects(&server.log());
    let refused = lines.iter().filter(|line| line["event"] == "refused").count();
    let more = lines.iter().filter(|line| line["event"] == "suppressed" && line["of"] == "refused");
    let more: u64 = more.map(|line| line["count"].as_u64().expect("it is a number")).sum();
    assert!(more > 0, "{refused} lines");
    assert_eq!(refused as u64 + more, 1000);
    assert!(lines.iter().any(|line| line["event"] == "stopped"), "other events are logged all the same");
}

#[test]
fn registration_at_stream_end_is_logged() {
    for engine in ENGINES {
        let server = serve(["--engine", engine]);
        let mut alice = server.connect();
        alice.write_all(b"#alice").expect("the server reads");
        alice.shutdown(std::net::Shutdown::Write).expect("it is connected");
        alice.read_to_end(&mut Vec::new()).expect("the server closes");
        server.signal(Signal::TERM);
        let log = server.log();
        let at = |end: &str| log.lines().position(|line| line.contains(end)).expect(end);
        assert!(at(" registered as alice") < at(" left: "), "{engine}: {log}");
    }
}

/// Only Linux reports the size of a pipe.
#[cfg(target_os = "linux")]
#[test]
fn blocked_stderr_stops_no_connection() {
    use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};
    for engine in ENGINES {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be had");
        let (mut reader, mut full) = (std::fs::File::from(reader), std::fs::File::from(writer));
        let size = fcntl_getpipe_size(&full).expect("a pipe has a size");
        full.write_all(&vec![b'x'; size]).expect("the pipe holds that many bytes");
        let mut command = redpoll();
        command.args(["serve", "--engine", engine, "--listen", "127.0.0.1:0"]);
        command.stderr(full.try_clone().expect("a descriptor can be had"));
        let server = Server::run(&mut command);
        let mut alice = arrive(&server, "alice");
        alice.send("/ping\n");
        alice.read_until("+pong");

        reader.read_exact(&mut vec![0; size]).expect("it is full");
        let _bob = arrive(&server, "bob");
        drop((full, command));
        let mut lines = BufReader::new(reader).lines().map(|line| line.expect("a log is UTF-8"));
        let lost = lines.next().expect("it is logged again");
        assert!(
            lost.ends_with(" lines were dropped: standard error did not accept them"),
            "{engine}: {lost}"
        );
        assert!(lines.next().expect("the log goes on").ends_with(" registered as bob"), "{engine}");
    }
}
