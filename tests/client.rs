//! `redpoll chat` in a pipe, against a server inside the test. Each test gives the client input, and checks what the
//! server receives, what the client prints, and its exit code.

#![cfg(feature = "chat")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Long enough for the slowest machine; only a failed test waits this long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that accepts one client.
struct Server {
    listener: TcpListener,
}

impl Server {
    fn start() -> Server {
        Server { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }
}

/// The exit code, standard output and standard error of a client.
#[derive(Debug)]
struct Finished {
    code: Option<i32>,
    out: String,
    err: String,
}

fn chat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redpoll"));
    command.arg("chat").args(arguments).env_remove("REDPOLL_ADDR").env_remove("REDPOLL_NICK");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(child: Child) -> Finished {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a client with empty standard input. The server sends `bytes` and closes the connection.
fn receive(bytes: &[u8]) -> Finished {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    drop(child.stdin.take());
    let mut stream = server.accept();
    stream.write_all(bytes).unwrap();
    drop(stream);
    finish(child)
}

#[test]
fn half_close_still_receives_answers() {
    let server = Server::start();
    let mut child = chat(&[&server.address(), "--nick", "alice"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"@bob:hi\nlast line").unwrap();
    let mut stream = server.accept();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, "#alice\n@bob:hi\nlast line", "up to the half-close");
    stream.write_all(b"+nick alice\r\n+room lobby 2\n!no-such-user bob\nunfinished").unwrap();
    drop(stream);
    let finished = finish(child);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    assert_eq!(finished.out, "+nick alice\n+room lobby 2\n!no-such-user bob\nunfinished\n");
}

#[test]
fn lines_are_passed_on_at_once() {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    let mut stream = server.accept();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut received = BufReader::new(stream.try_clone().unwrap());
    for word in ["one", "two", "three"] {
        let mut line = String::new();
        writeln!(typed, "{word}?").unwrap();
        received.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{word}?\n"));
        line.clear();
        writeln!(stream, "bob: {word}!").unwrap();
        shown.read_line(&mut line).unwrap();
        assert_eq!(line, format!("bob: {word}!\n"));
    }
    drop((stream, received));
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "the client ends with the connection, though standard input is open"
    );
}

#[test]
fn control_characters_are_replaced() {
    let finished = receive(b"bob: \x1b[2J\x07\xff\x00 \xc2\x9b1m\xe2\x80\xae\n");
    assert_eq!(finished.out, "bob: \u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD} \u{FFFD}1m\u{FFFD}\n");
}

/// Lines of every form with every control character and invalid byte.
fn hostile_lines() -> Vec<Vec<u8>> {
    let controls = (0..=0x1F_u32).filter(|c| !b"\t\n".contains(&(*c as u8))).chain(0x7F..=0x9F);
    let bidi =
        [0x61C, 0x200E, 0x200F, 0x2028, 0x2029].into_iter().chain(0x202A..=0x202E).chain(0x2066..=0x2069);
    let mut bad: Vec<Vec<u8>> =
        controls.chain(bidi).filter_map(char::from_u32).map(|c| c.to_string().into_bytes()).collect();
    bad.extend((0x80..=0xFF_u8).map(|byte| vec![byte]));
    bad.extend([
        b"\xED\xA0\x80".to_vec(),
        b"\xC0\x8A".to_vec(),
        b"\x1b]0;title\x07".to_vec(),
        b"\x1bP1$r\x1b\\".to_vec(),
    ]);
    let frames = [
        ("", ""),
        ("bob: ", "."),
        ("b", "b: hi"),
        ("&d", "v:bob:hi"),
        ("&dev:b", ":hi"),
        ("@b", ":hi"),
        ("+nick a", ""),
        ("+room r", " 1"),
        ("+who lobby b", " c"),
        ("+odd", " x"),
        ("!nick-taken x", ""),
        ("!odd", ""),
        ("* b", " joined &r"),
    ];
    let line =
        |bad: &Vec<u8>, (head, tail): (&str, &str)| [head.as_bytes(), bad, tail.as_bytes(), b"\n"].concat();
    bad.iter().flat_map(|bad| frames.map(|frame| line(bad, frame))).collect()
}

#[test]
fn control_characters_pass_in_no_form() {
    let lines = hostile_lines();
    let finished = receive(&lines.concat());
    let out: Vec<&str> = finished.out.split_terminator('\n').collect();
    assert_eq!((out.len(), finished.err.as_str()), (lines.len(), ""));
    for (line, shown) in lines.iter().zip(out) {
        // CR LF ends the line.
        let is_end = line.ends_with(b"\r\n");
        assert!(shown.chars().all(redpoll::protocol::text::is_safe), "{shown:?}");
        assert!(is_end || shown.contains('\u{FFFD}'), "{shown:?} of {}", line.escape_ascii());
    }
}

#[test]
fn unterminated_10_mib_are_cut() {
    let finished = receive(&vec![b'x'; 10 * 1024 * 1024]);
    assert!(
        finished.out.ends_with("x [cut]\n") && finished.out.len() < 20_000,
        "{} bytes",
        finished.out.len()
    );
}

#[test]
fn long_line_is_cut() {
    let mut line = vec![b'x'; 1_000_000];
    line.extend_from_slice(b"\nbob: hi\n");
    let finished = receive(&line);
    assert_eq!(finished.out.lines().count(), 2);
    assert!(finished.out.lines().next().unwrap().ends_with("x [cut]"));
    assert!(finished.out.len() < 20_000, "{} bytes", finished.out.len());
    assert!(finished.out.ends_with("\nbob: hi\n"));
}

#[test]
fn closing_refusal_exits_with_1() {
    for code in [
        "server-full",
        "too-many-connections",
        "register-timeout",
        "too-slow",
        "kicked spam",
        "shutting-down",
    ] {
        let finished = receive(format!("* hello\n!{code}\n").as_bytes());
        assert_eq!((finished.code, finished.out), (Some(1), format!("* hello\n!{code}\n")));
    }
    assert_eq!(receive(b"!no-such-user bob\n").code, Some(0), "an answer that does not close");
    assert_eq!(receive(b"!kicked\n+bye\n").code, Some(0), "not the last line");
}

#[test]
fn invalid_address_exits_with_2() {
    for (address, expected) in
        [("localhost:http", "port"), ("localhost:70000", "65535"), ("[::1", "bracket"), ("http://x", "http")]
    {
        let finished = finish(chat(&[address]).spawn().unwrap());
        assert_eq!(finished.code, Some(2), "{address}: {}", finished.err);
        assert!(finished.err.contains(expected), "{address}: {}", finished.err);
    }
}

#[test]
fn refused_connection_names_the_address() {
    let address = Server::start().address();
    let finished = finish(chat(&[&address]).spawn().unwrap());
    assert_eq!((finished.code, finished.out.as_str()), (Some(1), ""));
    assert!(
        finished.err.contains(&address) && finished.err.contains("refused") && finished.err.contains("serve"),
        "{}",
        finished.err
    );
}

#[test]
fn reads_address_and_name_from_environment() {
    let server = Server::start();
    let mut command = chat(&[]);
    let mut child =
        command.env("REDPOLL_ADDR", server.address()).env("REDPOLL_NICK", "alice").spawn().unwrap();
    drop(child.stdin.take());
    let mut received = String::new();
    server.accept().read_to_string(&mut received).unwrap();
    assert_eq!(received, "#alice\n");
    assert_eq!(finish(child).code, Some(0));
}

#[test]
fn closed_output_pipe_exits_with_0() {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    let mut stream = server.accept();
    drop(child.stdout.take());
    // Writes succeed until the client has exited and the buffers are full.
    while stream.write_all(b"bob: hi\n").is_ok() {}
    let finished = finish(child);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
}

#[test]
fn help_shows_examples() {
    let finished = finish(chat(&["--help"]).spawn().unwrap());
    assert_eq!(finished.code, Some(0));
    for word in ["@bob:hi", "&dev", "/who", "exit", "printf", "NO_COLOR", "REDPOLL_NICK"] {
        assert!(finished.out.contains(word), "{word} in {}", finished.out);
    }
}
