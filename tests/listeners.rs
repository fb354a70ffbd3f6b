//! The listeners of the built program: socket files and their permissions, errors where it can't listen, and standard
//! input as the server's console.

#![allow(clippy::panic, reason = "a failed test panics")]

mod common;

use common::{DEADLINE, Folder, Server, redpoll, uninterrupted};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Returns `unix://PATH`.
fn url(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// A connected operator, which has read its greeting.
struct Operator(BufReader<UnixStream>);

impl Operator {
    fn connect(path: &Path) -> Operator {
        let stream = UnixStream::connect(path).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        let mut operator = Operator(BufReader::new(stream));
        assert_eq!(operator.line(), "* You are connected from unix\n");
        assert!(operator.line().starts_with("* Say #name"));
        operator
    }

    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(line.as_bytes()).expect("the server reads");
    }

    fn line(&mut self) -> String {
        line(&mut self.0)
    }

    /// Returns a figure of `/stats`.
    fn figure(&mut self, key: &str) -> u64 {
        self.send("/stats\n");
        let (start, mut figure) = (format!("+stats {key} "), None);
        loop {
            let line = self.line();
            if let Some(value) = line.strip_prefix(&start) {
                figure = value.trim_end().parse().ok();
            } else if line.starts_with("+end stats ") {
                return figure.expect("there is such a figure");
            }
        }
    }
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("the server sends a line");
    line
}

/// Connects and registers a line peer, which has read its last line of registration.
fn arrive(server: &Server, name: &str) -> BufReader<TcpStream> {
    let mut peer = BufReader::new(server.connect());
    peer.get_mut().write_all(format!("#{name}\n").as_bytes()).expect("the server reads");
    while !line(&mut peer).starts_with("+room lobby ") {}
    peer
}

/// Returns the error of a server that can't start, which exits with 1.
fn error_line(arguments: &[&str]) -> String {
    let output = redpoll().arg("serve").args(arguments).output().expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty(), "no listener is printed");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

mod socket_files {
    use super::*;

    #[test]
    fn socket_file_is_private_and_removed() {
        let folder = Folder::create();
        let path = folder.path("operators");
        let mut server = Server::run(redpoll().args(["serve", "--listen", &url(&path)]));
        let file = fs::symlink_metadata(&path).expect("it is there");
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
        assert_eq!(server.address_of("unix"), path.to_str().expect("it is UTF-8"));
        let mut operator = Operator::connect(&path);
        operator.send("/who *\n");
        assert_eq!(operator.line(), "+end who * 0\n");
        server.signal(Signal::TERM);
        assert_eq!(operator.line(), "!shutting-down the server stops\n");
        drop(operator);
        assert_eq!(server.wait().code(), Some(0));
        assert!(fs::symlink_metadata(&path).is_err(), "the file is removed");
    }

    #[test]
    fn stale_socket_file_is_replaced() {
        let folder = Folder::create();
        let path = folder.path("operators");
        drop(UnixListener::bind(&path).expect("the folder is ours"));
        assert!(path.exists(), "the file is still there");
        let _server = Server::run(redpoll().args(["serve", "--listen", &url(&path)]));
        Operator::connect(&path);
    }

    #[test]
    fn killed_servers_socket_is_replaced() {
        let folder = Folder::create();
        let path = folder.path("operators");
        drop(Server::run(redpoll().args(["serve", "--listen", &url(&path)])));
        assert!(path.exists(), "the file is still there");
        let _server = Server::run(redpoll().args(["serve", "--listen", &url(&path)]));
        Operator::connect(&path);
    }

    #[test]
    fn live_servers_socket_is_kept() {
        let folder = Folder::create();
        let path = folder.path("operators");
        let _server = Server::run(redpoll().args(["serve", "--listen", &url(&path)]));
        let error_line = error_line(&["--listen", "127.0.0.1:0", "--listen", &url(&path)]);
        assert!(error_line.contains(&url(&path)) && error_line.contains("another server"), "{error_line}");
        Operator::connect(&path);
    }

    #[test]
    fn non_socket_file_is_kept() {
        let folder = Folder::create();
        let (path, directory) = (folder.path("notes"), folder.path("more"));
        fs::write(&path, "important").expect("the folder is ours");
        fs::create_dir(&directory).expect("the folder is ours");
        for path in [&path, &directory] {
            let error_line = error_line(&["--listen", &url(path)]);
            assert!(error_line.contains(&url(path)), "{error_line}");
        }
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "important");
        assert!(directory.is_dir());
        let error_line = error_line(&["--listen", &url(&folder.path("none/operators"))]);
        assert!(error_line.contains("none/operators"), "{error_line}");
    }

    #[test]
    fn failed_start_removes_its_socket() {
        let folder = Folder::create();
        let path = folder.path("operators");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = taken.local_addr().expect("it is bound").to_string();
        let error_line = error_line(&["--listen", &url(&path), "--listen", &address]);
        assert!(error_line.contains(&address), "{error_line}");
        assert!(fs::symlink_metadata(&path).is_err());
    }
}

mod addresses {
    use super::*;

    #[test]
    fn listeners_print_in_flag_order() {
        let folder = Folder::create();
        let unix = url(&folder.path("operators"));
        let urls = [
            "udp://127.0.0.1:0",
            "127.0.0.1:0",
            &unix,
            "relay://127.0.0.1:0",
            "nickname://127.0.0.1:0",
            "classic://127.0.0.1:0",
            "line://127.0.0.1:0",
        ];
        let mut by_flags = redpoll();
        by_flags.arg("serve");
        by_flags.args(urls.iter().flat_map(|url| ["--listen", url]));
        let mut by_environment = redpoll();
        by_environment.arg("serve").env("REDPOLL_LISTEN", urls.join(" "));
        for mut command in [by_flags, by_environment] {
            let server = Server::run_at(urls.len(), &mut command);
            let schemes: Vec<&str> = server.listens.iter().map(|(scheme, _)| scheme.as_str()).collect();
            assert_eq!(schemes, ["udp", "line", "unix", "relay", "nickname", "classic", "line"]);
            for (scheme, address) in &server.listens {
                assert!(scheme == "unix" || !address.ends_with(":0"), "the real port: {scheme}://{address}");
            }
        }
    }

    #[test]
    fn unknown_scheme_lists_all_schemes() {
        for url in ["irc://127.0.0.1:0", "LINE://127.0.0.1:0", "://127.0.0.1:0", "tcp://127.0.0.1:0"] {
            let output = redpoll().args(["serve", "--listen", url]).output().expect("it can be started");
            assert_eq!(output.status.code(), Some(2), "{url}");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            for scheme in ["line", "unix", "classic", "nickname", "relay", "udp"] {
                assert!(text.contains(scheme), "{scheme} is missing from: {text}");
            }
        }
        for url in ["unix://", "udp://127.0.0.1", "classic://"] {
            let output = redpoll().args(["serve", "--listen", url]).output().expect("it can be started");
            assert_eq!(output.status.code(), Some(2), "{url}");
        }
    }

    #[test]
    fn public_udp_needs_its_flag() {
        for url in ["udp://0.0.0.0:0", "udp://[::]:0"] {
            let error_line = error_line(&["--listen", url]);
            assert!(error_line.contains(url) && error_line.contains("--udp-public"), "{error_line}");
        }
        let server = Server::run(redpoll().args(["serve", "--udp-public", "--listen", "udp://0.0.0.0:0"]));
        let port = server.address.strip_prefix("0.0.0.0:").expect("it listens on all addresses");
        let ming = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        ming.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        ming.connect(format!("127.0.0.1:{port}")).expect("it is an address");
        ming.send(b"L ming").expect("it can be sent");
        let mut answer = [0; 16];
        let got = uninterrupted(|| ming.recv(&mut answer)).expect("it is answered");
        assert_eq!(&answer[..got], b"OK");
    }

    #[test]
    fn udp_port_in_use_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("udp://{}", taken.local_addr().expect("it is bound"));
        let error_line = error_line(&["--listen", &url]);
        assert!(error_line.contains(&url) && error_line.contains("another server"), "{error_line}");
    }

    #[test]
    fn every_scheme_accepts_ipv6() {
        if TcpListener::bind("[::1]:0").is_err() {
            // This machine has no IPv6.
            return;
        }
        let mut command = redpoll();
        command.args(["serve", "--listen", "[::1]:0", "--listen", "classic://[::1]:0"]);
        let server = Server::run_at(3, command.args(["--listen", "udp://[::1]:0"]));
        let mut peer = BufReader::new(server.connect());
        let port = peer.get_ref().local_addr().expect("it is connected").port();
        assert_eq!(line(&mut peer), format!("* You are connected from [::1]:{port}\n"));
        let classic = TcpStream::connect(server.address_of("classic")).expect("the server accepts");
        classic.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        let port = classic.local_addr().expect("it is connected").port();
        let greeting = line(&mut BufReader::new(classic));
        assert_eq!(greeting, format!("You are connected from:('::1', {port})\n"));
        let ming = UdpSocket::bind("[::1]:0").expect("a port is free");
        ming.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        ming.connect(server.address_of("udp")).expect("it is an address");
        ming.send(b"L ming").expect("it can be sent");
        let mut answer = [0; 16];
        let got = uninterrupted(|| ming.recv(&mut answer)).expect("it is answered");
        assert_eq!(&answer[..got], b"OK");
    }

    #[test]
    fn mapped_ipv4_is_shown_as_ipv4() {
        if TcpListener::bind("[::]:0").is_err() {
            // This machine has no IPv6.
            return;
        }
        let server = Server::run(redpoll().args(["serve", "--listen", "[::]:0"]));
        let port = server.address.strip_prefix("[::]:").expect("it listens on all addresses");
        let peer = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the server accepts");
        peer.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        assert!(line(&mut BufReader::new(peer)).starts_with("* You are connected from 127.0.0.1:"));
    }
}

mod console {
    use super::*;

    /// Starts a server with a socket file for operators and a pipe as its standard input.
    fn serve(folder: &Folder, flags: &[&str]) -> (Server, std::process::ChildStdin) {
        let mut command = redpoll();
        command.args(["serve", "--listen", "127.0.0.1:0", "--listen", &url(&folder.path("operators"))]);
        let mut server = Server::run_at(2, command.args(flags).stdin(Stdio::piped()));
        let stdin = server.stdin();
        (server, stdin)
    }

    #[test]
    fn console_lines_reach_every_member() {
        let folder = Folder::create();
        let (server, mut stdin) = serve(&folder, &["--console"]);
        let (mut alice, mut bob) = (arrive(&server, "alice"), arrive(&server, "bob"));
        assert_eq!(line(&mut alice), "* bob joined\n");
        let mut unregistered = BufReader::new(server.connect());
        stdin.write_all(b"tea\r\n\n  \nand \x1b[31mcake\nhal").expect("the server reads");
        for peer in [&mut alice, &mut bob] {
            assert_eq!(line(peer), "* administrator: tea\n");
            assert_eq!(line(peer), "* administrator: and \u{FFFD}[31mcake\n");
        }
        stdin.write_all(b"f\n").expect("the server reads");
        assert_eq!(line(&mut alice), "* administrator: half\n");
        unregistered.get_mut().write_all(b"/ping\n").expect("the server reads");
        (0..2).for_each(|_| assert!(line(&mut unregistered).starts_with("* ")));
        assert_eq!(line(&mut unregistered), "+pong\n");
    }

    #[test]
    fn console_end_costs_no_turns() {
        let folder = Folder::create();
        let (mut server, mut stdin) = serve(&folder, &["--console"]);
        let mut operator = Operator::connect(&folder.path("operators"));
        let mut alice = arrive(&server, "alice");
        stdin.write_all(b"bye\n").expect("the server reads");
        drop(stdin);
        assert_eq!(line(&mut alice), "* administrator: bye\n");
        let before = operator.figure("turns");
        // No input for 200 ms; a server that polls the ended pipe again and again would count turns.
        alice.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a socket has a timeout");
        let silence = uninterrupted(|| alice.read(&mut [0; 1])).expect_err("no line is sent");
        assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
        let turns = operator.figure("turns") - before;
        assert!(turns < 10, "{turns} turns");
        alice.get_ref().set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        alice.get_mut().write_all(b"/ping\n").expect("the server reads");
        assert_eq!(line(&mut alice), "+pong\n");
        server.signal(Signal::TERM);
        drop((alice, operator));
        assert_eq!(server.wait().code(), Some(0));
    }

    #[test]
    fn console_is_off_by_default() {
        let folder = Folder::create();
        let (server, mut stdin) = serve(&folder, &[]);
        let mut alice = arrive(&server, "alice");
        stdin.write_all(b"tea\n").expect("the pipe is there");
        alice.get_mut().write_all(b"/ping\n").expect("the server reads");
        assert_eq!(line(&mut alice), "+pong\n");
        let mut operator = Operator::connect(&folder.path("operators"));
        operator.send("/announce cake\n");
        assert_eq!(operator.line(), "+announced 1\n");
        assert_eq!(line(&mut alice), "* administrator: cake\n");
    }

    #[test]
    fn console_from_a_file_is_harmless() {
        let folder = Folder::create();
        let file = folder.path("input");
        fs::write(&file, "tea\n").expect("the folder is ours");
        let file = fs::File::open(&file).expect("it is there");
        let mut command = redpoll();
        command.args(["serve", "--console", "--listen", "127.0.0.1:0"]).stdin(file);
        let server = Server::run(&mut command);
        let mut alice = arrive(&server, "alice");
        alice.get_mut().write_all(b"/ping\n").expect("the server reads");
        assert_eq!(line(&mut alice), "+pong\n");
    }
}
