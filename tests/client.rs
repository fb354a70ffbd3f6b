//! `redpoll chat` in a pipe, against a server that is played by the test. Every story says what the client is given, what
//! the server hears and says, and how the client ends.

#![cfg(feature = "chat")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Long enough for the slowest machine; only a failure ever waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

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
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// How a client ended: its code, what it wrote, what it complained about.
#[derive(Debug)]
struct End {
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

fn end(child: Child) -> End {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    End { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A client with nothing on its standard input is told `said`, and then the server closes.
fn told(said: &[u8]) -> End {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    drop(child.stdin.take());
    let mut stream = server.accept();
    stream.write_all(said).unwrap();
    drop(stream);
    end(child)
}

#[test]
fn what_is_typed_reaches_the_server_and_the_answers_come_after_the_input_has_ended() {
    let server = Server::start();
    let mut child = chat(&[&server.address(), "--nick", "alice"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"@bob:hi\nlast words").unwrap();
    let mut stream = server.accept();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "#alice\n@bob:hi\nlast words", "up to the half-close");
    stream.write_all(b"+nick alice\r\n+room lobby 2\n!no-such-user bob\nunfinished").unwrap();
    drop(stream);
    let end = end(child);
    assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
    assert_eq!(end.out, "+nick alice\n+room lobby 2\n!no-such-user bob\nunfinished\n");
}

#[test]
fn each_line_is_passed_on_as_it_comes() {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    let mut stream = server.accept();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut heard = BufReader::new(stream.try_clone().unwrap());
    for word in ["one", "two", "three"] {
        let mut line = String::new();
        writeln!(typed, "{word}?").unwrap();
        heard.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{word}?\n"));
        line.clear();
        writeln!(stream, "bob: {word}!").unwrap();
        shown.read_line(&mut line).unwrap();
        assert_eq!(line, format!("bob: {word}!\n"));
    }
    drop((stream, heard));
    assert_eq!(child.wait().unwrap().code(), Some(0), "the server's end is the end, whatever is still typed");
}

#[test]
fn nothing_from_the_network_controls_what_reads_it() {
    let end = told(b"bob: \x1b[2J\x07\xff\x00 \xc2\x9b1m\xe2\x80\xae\n");
    assert_eq!(end.out, "bob: \u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD} \u{FFFD}1m\u{FFFD}\n");
}

/// Each line that a hostile server may write, and what of it is not plain.
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
fn whatever_form_a_line_has_no_control_character_passes() {
    let lines = hostile_lines();
    let end = told(&lines.concat());
    let out: Vec<&str> = end.out.split_terminator('\n').collect();
    assert_eq!((out.len(), end.err.as_str()), (lines.len(), ""));
    for (line, shown) in lines.iter().zip(out) {
        // A CR before the LF belongs to the end of the line.
        let is_end = line.ends_with(b"\r\n");
        assert!(shown.chars().all(redpoll::protocol::text::is_safe), "{shown:?}");
        assert!(is_end || shown.contains('\u{FFFD}'), "{shown:?} of {}", line.escape_ascii());
    }
}

#[test]
fn ten_mebibytes_without_an_end_of_line_are_one_short_line() {
    let end = told(&vec![b'x'; 10 * 1024 * 1024]);
    assert!(end.out.ends_with("x [cut]\n") && end.out.len() < 20_000, "{} bytes", end.out.len());
}

#[test]
fn an_endless_line_is_cut() {
    let mut line = vec![b'x'; 1_000_000];
    line.extend_from_slice(b"\nbob: hi\n");
    let end = told(&line);
    assert_eq!(end.out.lines().count(), 2);
    assert!(end.out.lines().next().unwrap().ends_with("x [cut]"));
    assert!(end.out.len() < 20_000, "{} bytes", end.out.len());
    assert!(end.out.ends_with("\nbob: hi\n"));
}

#[test]
fn a_refusal_as_the_last_word_is_a_failure() {
    for code in [
        "server-full",
        "too-many-connections",
        "register-timeout",
        "too-slow",
        "kicked spam",
        "shutting-down",
    ] {
        let end = told(format!("* hello\n!{code}\n").as_bytes());
        assert_eq!((end.code, end.out), (Some(1), format!("* hello\n!{code}\n")));
    }
    assert_eq!(told(b"!no-such-user bob\n").code, Some(0), "this one is only an answer");
    assert_eq!(told(b"!kicked\n+bye\n").code, Some(0), "this one was not the last word");
}

#[test]
fn a_wrong_address_is_wrong_usage() {
    for (address, complaint) in
        [("localhost:http", "port"), ("localhost:70000", "65535"), ("[::1", "bracket"), ("http://x", "http")]
    {
        let end = end(chat(&[address]).spawn().unwrap());
        assert_eq!(end.code, Some(2), "{address}: {}", end.err);
        assert!(end.err.contains(complaint), "{address}: {}", end.err);
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address = Server::start().address();
    let end = end(chat(&[&address]).spawn().unwrap());
    assert_eq!((end.code, end.out.as_str()), (Some(1), ""));
    assert!(
        end.err.contains(&address) && end.err.contains("refused") && end.err.contains("serve"),
        "{}",
        end.err
    );
}

#[test]
fn the_address_and_the_name_may_come_from_the_environment() {
    let server = Server::start();
    let mut command = chat(&[]);
    let mut child =
        command.env("REDPOLL_ADDR", server.address()).env("REDPOLL_NICK", "alice").spawn().unwrap();
    drop(child.stdin.take());
    let mut heard = String::new();
    server.accept().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "#alice\n");
    assert_eq!(end(child).code, Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_client_quietly() {
    let server = Server::start();
    let mut child = chat(&[&server.address()]).spawn().unwrap();
    let mut stream = server.accept();
    drop(child.stdout.take());
    // Until the client is gone there may be room for more; then the system says so.
    while stream.write_all(b"bob: hi\n").is_ok() {}
    let end = end(child);
    assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
}

#[test]
fn the_help_teaches() {
    let end = end(chat(&["--help"]).spawn().unwrap());
    assert_eq!(end.code, Some(0));
    for lesson in ["@bob:hi", "&dev", "/who", "exit", "printf", "NO_COLOR", "REDPOLL_NICK"] {
        assert!(end.out.contains(lesson), "{lesson} in {}", end.out);
    }
}
