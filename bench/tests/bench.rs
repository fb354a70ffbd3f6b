//! The program `redpoll-bench`: it measures what its flags select, detects every wrong message of a server, and leaves
//! no process running. The server under test is built first, so that it is never outdated.
#![cfg(target_os = "linux")]

use redpoll_bench::results::Results;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

const BENCH: &str = env!("CARGO_BIN_EXE_redpoll-bench");

/// Builds the server with the profile of these tests. Only `-p redpoll` is built, as for a release, so that it has no
/// other features than its own. Cargo does not lock its target folder while it runs tests.
fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a path in the target folder");
        let profile =
            Path::new(BENCH).parent().and_then(Path::file_name).expect("a path in the folder of a profile");
        let profile = if profile == "debug" { "dev".as_ref() } else { profile };
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "-p", "redpoll", "--bin", "redpoll", "--message-format", "json"]);
        command.arg("--profile").arg(profile).arg("--target-dir").arg(target);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
        let output = command.output().expect("cargo runs");
        assert!(output.status.success(), "the server is built");
        let messages = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let program = messages.lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message.get("executable")?.as_str()?))
        });
        program.expect("cargo prints the path")
    })
}

fn bench(words: &[&str]) -> Command {
    let mut command = Command::new(BENCH);
    command.args(words);
    command
}

/// Returns a command that measures this server.
fn measure(words: &[&str]) -> Command {
    let mut command = bench(words);
    command.arg("--server").arg(server());
    command
}

/// Runs a command to its end. Returns its exit code and standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("the program runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Returns an empty path that is different for each test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn results(folder: &Path) -> Results {
    let json = fs::read_to_string(folder.join("results.json")).expect("results are written");
    serde_json::from_str(&json).expect("results are JSON")
}

#[test]
fn engines_are_measured_and_results_written() {
    let out = folder("bench-engines");
    let words = "--quick --scenario relay,fanout --engine reactor,limit --seconds 0.1 --runs 1 --connections 10 --out";
    let words: Vec<&str> = words.split(' ').chain(out.to_str()).collect();
    assert_eq!(run(&mut measure(&words)).0, Some(0));
    let results = results(&out);
    let series: Vec<(&str, &str, &str)> =
        results.series.iter().map(|series| (&*series.scenario, &*series.engine, &*series.unit)).collect();
    let (relay, fanout) = (("relay", "message"), ("fanout", "delivery"));
    let expected = [(relay, "reactor"), (relay, "limit"), (fanout, "reactor"), (fanout, "limit")];
    assert_eq!(series, expected.map(|((scenario, unit), engine)| (scenario, engine, unit)));
    for series in &results.series {
        let [run] = &series.runs[..] else { panic!("one round of {}", series.scenario) };
        assert!(run.units > 0 && run.cpu.is_some_and(|cpu| cpu > 0) && run.seconds >= 0.1);
        assert!(run.calls["recv"] > 0 && run.calls["send"] > 0 && run.calls["wait"] > 0);
        assert!(run.rss.is_some() && run.switches.is_some());
        let latency = run.latency.as_ref().expect("each is timed");
        assert!(0 < latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        assert!(series.connections == 10 && series.stopped.is_none());
    }
}

#[test]
fn every_scenario_runs_on_given_engines() {
    let out = folder("bench-scenarios");
    let words = "--scenario stalled,churn,idle,pingpong --engine reactor --engine limit --seconds 0.05 --runs 2 \
                 --connections 8 --out";
    let words: Vec<&str> = words.split_ascii_whitespace().chain(out.to_str()).collect();
    assert_eq!(run(&mut measure(&words)), (Some(0), String::new()));
    let results = results(&out);
    let names: Vec<String> = results
        .series
        .iter()
        .map(|series| {
            format!("{} {} {} {}", series.scenario, series.variant, series.engine, series.runs.len())
        })
        .collect();
    assert_eq!(
        names,
        [
            "pingpong  reactor 2",
            "pingpong  limit 2",
            "stalled with the stalled reactor 2",
            "stalled with the stalled limit 2",
            "stalled without the stalled reactor 2",
            "stalled without the stalled limit 2",
            "idle  reactor 2",
            "churn notices off reactor 2",
            "churn notices off limit 2",
            "churn notices on reactor 2",
            "churn notices on limit 2",
        ]
    );
    let idle = results.series.iter().find(|series| series.scenario == "idle").expect("idle was run");
    assert!(idle.runs[0].more.contains_key("bytes per connection after a burst"));
    assert!(results.series.iter().flat_map(|series| &series.runs).all(|run| run.units > 0));
}

/// What the fake server does to a message.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Loses,
    Doubles,
    Reorders,
    Damages,
    Misdelivers,
    Hangs,
}

/// A server that knows only direct messages and registration, and applies one fault.
struct Fake {
    fault: Fault,
    members: Mutex<HashMap<String, TcpStream>>,
}

impl Fake {
    fn start(fault: Fault) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let fake = Arc::new(Fake { fault, members: Mutex::default() });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let fake = Arc::clone(&fake);
                thread::spawn(move || fake.serve(stream));
            }
        });
        address
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let (mut name, mut count, mut held) = (String::new(), 0, None);
        let mut out = stream.try_clone().ok()?;
        for line in BufReader::new(stream).lines() {
            let line = line.ok()?;
            if let Some(nick) = line.strip_prefix('#') {
                name = nick.to_owned();
                self.members.lock().ok()?.insert(name.clone(), out.try_clone().ok()?);
                writeln!(out, "* hello\n+nick {name}").ok()?;
            } else if let Some(token) = line.strip_prefix("/ping ") {
                writeln!(out, "+pong {token}").ok()?;
            } else if let Some((to, text)) = line.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
                count += 1;
                let line = format!("@{name}:{text}\n");
                // The fault applies to the hundredth message of each sender.
                let line = match (count, self.fault) {
                    (100, Fault::Loses) => String::new(),
                    (100, Fault::Doubles) => line.repeat(2),
                    (100, Fault::Reorders) => {
                        held = Some(line);
                        continue;
                    }
                    (100, Fault::Damages) => line.to_lowercase(),
                    (100, Fault::Misdelivers) => {
                        self.deliver(&name, &line)?;
                        // The next message could reach the other member first, which would then report this one as
                        // lost.
                        return None;
                    }
                    (100, Fault::Hangs) => return out.shutdown(std::net::Shutdown::Both).ok(),
                    _ => line + &held.take().unwrap_or_default(),
                };
                self.deliver(to, &line)?;
            }
        }
        None
    }

    fn deliver(&self, to: &str, text: &str) -> Option<()> {
        self.members.lock().ok()?.get(to)?.write_all(text.as_bytes()).ok()
    }
}

#[test]
fn server_with_wrong_messages_is_caught() {
    let faults = [
        (Fault::Loses, "lost: message 99 of user000"),
        (Fault::Doubles, "doubled: message 99 of user000"),
        (Fault::Reorders, "reordered: message 99 of user000"),
        (Fault::Damages, "damaged: user000"),
        (Fault::Misdelivers, "misdelivered: message 99 of user000"),
        (Fault::Hangs, "the connection of user000"),
    ];
    for (fault, words) in faults {
        let url = format!("line://{}", Fake::start(fault));
        let flags = "--scenario relay --connections 2 --seconds 0.3 --runs 1 --target";
        let (code, stderr) = run(bench(&flags.split(' ').collect::<Vec<_>>()).arg(&url));
        assert_eq!(code, Some(1), "{fault:?}: {stderr}");
        assert!(stderr.contains(&format!("relay, {url}: ")) && stderr.contains(words), "{fault:?}: {stderr}");
    }
}

#[test]
fn correct_foreign_server_is_measured() {
    let (url, out) = (format!("line://{}", Fake::start(Fault::None)), folder("bench-target"));
    let pid = std::process::id().to_string();
    let words =
        ["--target", &url, "--pid", &pid, "--scenario", "relay", "--connections", "4", "--seconds", "0.2"];
    let words: Vec<&str> = words.into_iter().chain(["--runs", "1", "--out"]).chain(out.to_str()).collect();
    assert_eq!(run(&mut bench(&words)), (Some(0), String::new()));
    let results = results(&out);
    assert!(results.series[0].engine == url && results.series[0].runs[0].units > 0);
    assert!(results.series[0].runs[0].cpu.is_some());
}

#[test]
fn unreachable_target_is_reported() {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (code, stderr) =
        run(&mut bench(&["--target", &address.to_string(), "--scenario", "relay", "--runs", "1"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("can't connect"), "{stderr}");
}

#[test]
fn wrong_flags_are_explained() {
    for (words, reason) in [
        (&["--size", "3"][..], "32 to 4000 bytes"),
        (&["--scenario", "nonsense"], "relay, many, pingpong, fanout, stalled, idle, churn, ramp"),
        (&["--engine", "nonsense"], "reactor, threads, threads-queued, limit"),
        (&["--connections", "1"], "2 to 10000"),
        (&["--seconds", "0"], "0.01 to 3600"),
        (&["--pid", "1"], "--target"),
        (&["--target", "line://localhost:1", "--engine", "reactor"], "cannot be used with"),
        (&["soak", "--minutes", "0"], "0.02 to 10080"),
        (&["--quick", "soak"], "cannot be used with"),
    ] {
        let (code, stderr) = run(&mut bench(words));
        assert!(code == Some(2) && stderr.contains(reason), "{words:?}: {stderr}");
    }
}

/// Returns the child processes of a process.
fn children(child: &Child) -> Vec<i32> {
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn ctrl_c_ends_bench_and_server() {
    let mut command = measure(&["--scenario", "relay", "--engine", "reactor", "--seconds", "3600"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the process starts");
    let server = loop {
        if let [server] = children(&child)[..] {
            break server;
        }
        assert!(matches!(child.try_wait(), Ok(None)), "the bench runs");
        thread::sleep(Duration::from_millis(5));
    };
    kill_process(Pid::from_child(&child), Signal::INT).expect("the process exists");
    let Output { status, stderr, .. } = child.wait_with_output().expect("the process ends");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(1) && stderr.contains("interrupted"), "{status}: {stderr}");
    assert!(!Path::new(&format!("/proc/{server}")).exists(), "the server has ended");
}

#[test]
fn soak_prints_drift_without_complaints() {
    let out = folder("bench-soak");
    let words = ["soak", "--minutes", "0.03", "--seed", "5"];
    let output = measure(&words).arg("--out").arg(&out).output().expect("the program runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("first tenth") && stdout.ends_with("nothing to complain about\n"), "{stdout}");
    let samples = fs::read_to_string(out.join("soak.csv")).expect("samples are written");
    assert_eq!(samples.lines().count(), 1 + 60, "{samples}");
    for what in ["messages verified", "came, spoke and went", "connections of garbage"] {
        let count = stdout.lines().find_map(|line| line.strip_suffix(what)?.trim().parse().ok());
        assert!(count.is_some_and(|count: u64| count > 0), "{what}: {stdout}");
    }
}

#[test]
fn killed_server_fails_the_soak() {
    let out = folder("bench-soak-killed");
    let mut command = measure(&["soak", "--minutes", "1"]);
    command.arg("--out").arg(&out).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the process starts");
    // After the first sample all parts of the soak are running.
    while fs::read_to_string(out.join("soak.csv")).map_or(0, |samples| samples.lines().count()) < 2 {
        assert!(matches!(child.try_wait(), Ok(None)), "the bench runs");
        thread::sleep(Duration::from_millis(5));
    }
    let [server] = children(&child)[..] else { panic!("one server") };
    let server = Pid::from_raw(server).expect("no process is number 0");
    kill_process(server, Signal::KILL).expect("the process exists");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the process ends");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(1) && stderr.contains("the server ended (signal: 9"), "{status}: {stderr}");
    assert!(String::from_utf8_lossy(&stdout).contains("first tenth"), "samples are printed");
}

/// Creates a folder that contains these programs side by side. Returns the folder.
fn side_by_side(name: &str, programs: &[&Path]) -> PathBuf {
    let folder = folder(name);
    fs::create_dir_all(&folder).expect("the folder is created");
    for program in programs {
        // Not a copy: a child process of another test could hold the file open for writing (ETXTBSY).
        let link = folder.join(program.file_name().expect("a path of a file"));
        fs::hard_link(program, link).expect("one file system");
    }
    folder
}

#[test]
fn redpoll_bench_measures_adjacent_redpoll() {
    let folder = side_by_side("bench-beside", &[server(), BENCH.as_ref()]);
    let (redpoll, out) = (folder.join("redpoll"), folder.join("results"));
    let redpoll_bench = |words: &str| {
        let mut command = Command::new(&redpoll);
        command.arg("bench").args(words.split(' ')).env("PATH", "");
        command
    };
    let words = "--scenario pingpong --engine reactor --seconds 0.05 --runs 1 --out";
    assert_eq!(run(redpoll_bench(words).arg(&out)), (Some(0), String::new()));
    let results = results(&out);
    assert_eq!(results.series[0].server[0], redpoll.to_str().expect("a path in UTF-8"));
    assert!(results.machine.redpoll != "unknown" && results.machine.rustc != "unknown");

    let help = redpoll_bench("--help").output().expect("the program runs").stdout;
    assert!(String::from_utf8_lossy(&help).contains("Usage: redpoll-bench"));
    assert_eq!(run(&mut redpoll_bench("--size 3")).0, Some(2));
    let (code, stderr) = run(&mut redpoll_bench("--scenario pingpong --server /nowhere"));
    assert!(code == Some(1) && stderr.contains("no program /nowhere"), "a flag wins: {stderr}");
}

#[test]
fn missing_server_explains_the_build() {
    let folder = side_by_side("bench-alone", &[BENCH.as_ref()]);
    let mut command = Command::new(folder.join("redpoll-bench"));
    let (code, stderr) = run(command.args(["--scenario", "pingpong", "--engine", "reactor"]).env("PATH", ""));
    assert!(code == Some(1) && stderr.contains("cargo build --release -p redpoll`"), "{stderr}");
}
