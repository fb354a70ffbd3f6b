//! The command line of the built program: help, invalid flags, listening addresses, signals and exit codes.

mod common;

use clap::{CommandFactory, Parser};
use common::{Server, redpoll, serve};
use redpoll::cli::{Cli, ListenAddress, ListenUrl, ServeOptions, duration, size};
use redpoll::limits::Limits;
use redpoll::protocol::scheme::Scheme;
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// All flags of `serve`.
const FLAGS: [&str; 22] = [
    "--listen",
    "--engine",
    "--max-line",
    "--queue",
    "--queue-total",
    "--send-buffer",
    "--max-connections",
    "--max-per-address",
    "--trust",
    "--rate",
    "--burst",
    "--register-timeout",
    "--max-rooms",
    "--max-rooms-per-connection",
    "--quiet-above",
    "--drain",
    "--pause",
    "--spin",
    "--console",
    "--udp-public",
    "--log",
    "--log-format",
];

/// Runs the program until it exits.
fn output(arguments: &[&str]) -> Output {
    redpoll().args(arguments).output().expect("the program can be started")
}

/// Returns standard output of a run with exit code 0.
fn stdout(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(output.status.success(), "{arguments:?} ends with {}", output.status);
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// Returns standard error of a run with exit code `code`.
fn stderr(code: i32, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "errors go to standard error only");
    text
}

/// Reads one line.
fn line(peer: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).expect("the server sends a line");
    line
}

#[test]
fn help_lists_commands_and_flags() {
    let help = stdout(&["--help"]);
    assert!(help.contains("serve") && help.contains("Usage: redpoll"), "{help}");
    let help = stdout(&["serve", "--help"]);
    for flag in FLAGS {
        assert!(
            help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
            "{flag} is missing from:\n{help}"
        );
        let variable = format!("REDPOLL_{}", flag[2..].to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{variable} is missing from:\n{help}");
    }
    assert!(help.contains("Examples:") && help.contains("Exit codes: 0"), "{help}");
}

#[test]
fn prints_the_package_version() {
    let version = format!("redpoll {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&["--version"]), version);
    assert!(stdout(&["serve", "--version"]).ends_with(&format!("{}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn unknown_flags_exit_with_2() {
    for wrong in [
        &["serve", "--no-such-flag"][..],
        &["no-such-command"],
        &["serve", "stray"],
        &["serve", "--max-line"],
    ] {
        let error = stderr(2, &output(wrong));
        assert!(error.contains("--help"), "{error}");
    }
    assert_eq!(output(&[]).status.code(), Some(2));
}

#[cfg(not(feature = "threads"))]
#[test]
fn engines_with_threads_need_their_feature() {
    for engine in ["threads", "threads-queued"] {
        let error = stderr(2, &output(&["serve", "--engine", engine]));
        assert!(error.contains(engine) && error.contains("[possible values: reactor]"), "{error}");
    }
    let help = stdout(&["serve", "--help"]);
    assert!(help.contains("need a build with the feature `threads`"), "{help}");
}

#[test]
fn invalid_value_names_flag_and_bound() {
    let table = [
        ("--max-line", "127", "128"),
        ("--max-line", "1MiB", "65536"),
        ("--max-line", "0", "128"),
        ("--max-line", "4 pounds", "KiB"),
        ("--queue", "8191", "8192"),
        ("--queue", "0", "8192"),
        ("--queue", "1GiB", "268435456"),
        ("--queue-total", "8192", "less than --queue 262144"),
        ("--send-buffer", "1", "4096"),
        ("--register-timeout", "999ms", "1s"),
        ("--register-timeout", "soon", "ms, s, m, h, d"),
        ("--rate", "x", "invalid digit"),
        ("--burst", "0", "at least 1"),
        ("--burst", "many", "whole number"),
        ("--max-per-address", "x", "invalid digit"),
        ("--trust", "10.1.0.0/8", "10.0.0.0/8"),
        ("--trust", "example.org", "not an IP address"),
        ("--trust", "10.0.0.0/33", "0 to 32"),
        ("--max-rooms", "many", "invalid digit"),
        ("--max-connections", "all", "invalid digit"),
        ("--quiet-above", "x", "invalid digit"),
        ("--drain", "", "whole number"),
        ("--pause", "0", "1ms"),
        ("--spin", "1s", "microseconds"),
        ("--spin", "1000001", "at most 1000000"),
        ("--log", "loud", "error, warn, info, debug"),
        ("--log-format", "xml", "text, json"),
        ("--listen", "localhost", "port is missing"),
        ("--listen", "smtp://localhost:25", "no scheme `smtp`"),
        ("--listen", "::1:5", "brackets"),
    ];
    for (flag, value, why) in table {
        let error = stderr(2, &output(&["serve", flag, value]));
        for part in [flag, value, why] {
            assert!(error.contains(part), "{flag} {value} doesn't name {part:?}: {error}");
        }
    }
}

#[test]
fn port_in_use_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("the listener is bound").to_string();
    let error = stderr(1, &output(&["serve", "--listen", &address]));
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn prints_each_listener_with_its_port() {
    let mut command = redpoll();
    command.args(["serve", "--listen", "127.0.0.1:0", "--listen", "line://127.0.0.1:0"]);
    let mut child = command.spawn().expect("the program can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
    let addresses: Vec<String> = (0..2)
        .map(|_| lines.next().expect("one line per listener").expect("the line is UTF-8"))
        .map(|line| line.strip_prefix("listening line://").expect(&line).to_owned())
        .collect();
    for address in &addresses {
        let mut peer = BufReader::new(TcpStream::connect(address).expect("the listener accepts"));
        assert!(line(&mut peer).starts_with("* You are connected from 127.0.0.1:"));
    }
    assert_ne!(addresses[0], addresses[1]);
    child.kill().expect("the child can be killed");
    child.wait().expect("the child exits");
    assert!(lines.next().is_none(), "no other line is printed");
}

#[test]
fn flags_override_the_environment() {
    let settings =
        [("REDPOLL_LISTEN", "127.0.0.1:0"), ("REDPOLL_MAX_LINE", "256"), ("REDPOLL_DRAIN", "nonsense")];
    let server = Server::run(redpoll().envs(settings).args(["serve", "--drain", "1s"]));
    let mut peer = BufReader::new(server.connect());
    peer.get_mut().write_all(&[b'x'; 300]).expect("the peer is connected");
    let lines: Vec<String> = (0..3).map(|_| line(&mut peer)).collect();
    assert_eq!(lines[2], "!line-too-long 256\n");

    let wrong =
        redpoll().env("REDPOLL_QUEUE", "1").arg("serve").output().expect("the program can be started");
    assert!(stderr(2, &wrong).contains("--queue"));
}

#[test]
fn missing_bench_exits_with_1() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redpoll-alone");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be created");
    // The build directory may contain redpoll-bench.
    let program = folder.join("redpoll");
    std::fs::hard_link(env!("CARGO_BIN_EXE_redpoll"), &program).expect("both are on one file system");
    for words in [&["bench"][..], &["bench", "--help"], &["bench", "soak"]] {
        let output =
            Command::new(&program).args(words).env("PATH", "").output().expect("the program can be started");
        let error = stderr(1, &output);
        assert!(error.contains("cargo build --release -p redpoll-bench"), "{words:?}: {error}");
    }
}

#[test]
fn sigterm_and_sigint_stop_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = serve([""; 0]);
        let mut peer = BufReader::new(server.connect());
        assert!(line(&mut peer).starts_with("* "));
        server.signal(signal);
        let mut remainder = String::new();
        peer.read_to_string(&mut remainder).expect("the stream ends without an error");
        assert!(remainder.ends_with("!shutting-down the server stops\n"), "{remainder:?}");
        drop(peer);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn second_sigint_stops_at_once() {
    // A drain time far above the duration of the test, and a peer that reads nothing while far more than socket buffers
    // hold is queued for it.
    let mut server = serve(["--drain", "1h", "--send-buffer", "4KiB"]);
    let mut stalled = server.connect();
    stalled.write_all(&b"/help\n".repeat(20_000)).expect("the input is sent");
    let mut other = BufReader::new(server.connect());
    (0..2).for_each(|_| drop(line(&mut other)));
    // After two turns the server has tried to write to the stalled peer.
    for _ in 0..2 {
        other.get_mut().write_all(b"/ping\n").expect("the other peer is connected");
        assert_eq!(line(&mut other), "+pong\n");
    }
    server.signal(Signal::INT);
    assert!(line(&mut other).starts_with("!shutting-down"));
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn flag_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flag_defaults_equal_limits() {
    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        options: ServeOptions,
    }
    let serve = Serve::parse_from(["serve"]).options;
    assert_eq!(Limits { max_connections: 1024, ..serve.limits() }, Limits::default());
    assert_eq!(serve.listen, [ListenUrl::parse("line://127.0.0.1:12345").unwrap()]);
}

#[test]
fn url_errors_name_the_part() {
    let at = |scheme, host: &str, port| {
        Ok(ListenUrl { scheme, address: ListenAddress::Port { host: host.into(), port } })
    };
    assert_eq!(ListenUrl::parse("line://localhost:0"), at(Scheme::Line, "localhost", 0));
    assert_eq!(ListenUrl::parse("[::1]:99"), at(Scheme::Line, "::1", 99));
    assert_eq!(ListenUrl::parse("udp://[::1]:99"), at(Scheme::Udp, "::1", 99));
    let file = ListenUrl { scheme: Scheme::Unix, address: ListenAddress::File("/run/redpoll.sock".into()) };
    assert_eq!(ListenUrl::parse("unix:///run/redpoll.sock"), Ok(file));
    let wrong = [
        ("smtp://x:1", "no scheme `smtp`; use one of: line, unix, classic, nickname, relay, udp"),
        ("unix://", "path is missing"),
        ("classic://host", "port is missing"),
        ("host", "port is missing"),
        (":1", "host is missing"),
        ("h:x", "`x` is not a port"),
        ("h:65536", "not a port"),
        ("::1:99", "brackets"),
    ];
    for (url, why) in wrong {
        let error = ListenUrl::parse(url).unwrap_err();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn sizes_and_times_take_units() {
    let sizes = [("4096", 4096), ("256KiB", 262_144), ("1KB", 1000), ("2 MiB", 2_097_152), ("7B", 7)];
    sizes.iter().for_each(|(text, bytes)| assert_eq!(size(text), Ok(*bytes)));
    let times = [("50ms", 50), ("2m", 120_000), ("60", 60_000), ("0", 0), ("1h", 3_600_000)];
    assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("1m500ms"), Ok(Duration::from_millis(60_500)));
    for wrong in ["1h30x", "1hm", "h30m", "1h-30m", ""] {
        assert!(duration(wrong).is_err(), "{wrong:?}");
    }
    times.iter().for_each(|(text, ms)| assert_eq!(duration(text), Ok(Duration::from_millis(*ms))));
    for wrong in ["", "KiB", "-1", "1.5KiB", "4 bytes", "99999999999999999999", "9999999999999GiB"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn invalid_values_name_their_variable() {
    let output = |flags: &[&str]| {
        let mut command = redpoll();
        command.arg("serve").args(flags).env("REDPOLL_RATE", "abc");
        stderr(2, &command.output().expect("the program can be started"))
    };
    assert!(output(&[]).contains("environment variable REDPOLL_RATE"));
    for flags in [&["--rate", "x"][..], &["--rate=x"]] {
        assert!(!output(flags).contains("REDPOLL_RATE"), "{flags:?}");
    }
}
