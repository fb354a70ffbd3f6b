//! `redpoll chat` on a pseudo terminal, seen as a person sees it: the bytes that it writes are put on a screen, and each
//! step waits until the screen shows what it should. The server is played by the test.

#![cfg(all(feature = "chat", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the slowest machine; only a failure ever waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Size of the terminal.
const ROWS: NonZero<u16> = NonZero::new(12).expect("not 0");
const COLUMNS: NonZero<u16> = NonZero::new(60).expect("not 0");

/// A client on a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

/// The server's end of a connection.
struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        tcsetwinsize(
            &keyboard,
            Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 },
        )
        .unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        let open = || OpenOptions::new().read(true).write(true).open(path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_redpoll"))
            .arg("chat")
            .args(arguments)
            .envs([("TERM", "xterm"), ("NO_COLOR", "1"), ("TZ", "UTC0"), ("USER", "")])
            .env_remove("REDPOLL_ADDR")
            .env_remove("REDPOLL_NICK")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let keyboard = File::from(keyboard);
        let output = read_in_background(keyboard.try_clone().unwrap());
        Terminal { child, keyboard, output, screen: vt100::Parser::new(ROWS, COLUMNS, 0) }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen: its rows without the times and without those that are empty at the end.
    fn rows(&self) -> Vec<String> {
        let rows = self.screen.screen().rows(0, COLUMNS.get());
        let mut rows: Vec<String> = rows.map(|row| untimed(&row).trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    /// Waits until the last rows are just `expected`.
    fn shows(&mut self, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !self.rows().ends_with(&expected.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("expected at the end: {expected:#?}, on the screen: {:#?}", self.rows()),
            }
        }
    }

    fn ends_with(mut self, code: i32) {
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }
}

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Peer { stream, lines }
    }

    fn says(&mut self, lines: &str) {
        self.stream.write_all(lines.as_bytes()).unwrap();
    }

    fn hears(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{expected}\n"));
    }

    /// Lets `nick` in, and answers the quiet question that follows.
    fn admits(&mut self, nick: &str) {
        self.hears(&format!("#{nick}"));
        self.says(&format!("+nick {nick}\n+room lobby 2\n"));
        self.hears("/who lobby");
        self.says(&format!("+who lobby {nick} bob\n+end who lobby 2\n"));
    }
}

/// A row without the time in front of it.
fn untimed(row: &str) -> &str {
    let time = row.as_bytes();
    if time.len() > 5 && time[2] == b':' && time[..2].iter().all(u8::is_ascii_digit) {
        &row[6..]
    } else {
        row
    }
}

/// A terminal's output ends with an error once nobody has it open.
fn read_in_background(mut from: File) -> Receiver<Vec<u8>> {
    let (chunks, output) = channel();
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count) = from.read(&mut chunk) {
            if count == 0 || chunks.send(chunk[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

/// alice on a terminal and her server, which has let her in.
fn alice() -> (TcpListener, Peer, Terminal) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::start(&[&address, "--nick", "alice"]);
    let mut server = Peer::accept(&listener);
    server.admits("alice");
    terminal.shows(&["+ you are alice", "+ you are in lobby, 2 are here", "lobby>"]);
    (listener, server, terminal)
}

#[test]
fn a_line_that_comes_while_one_types_leaves_the_typed_text_alone_and_own_lines_are_shown_once() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("hel");
    terminal.shows(&["lobby> hel"]);
    server.says("bob: are you there?\n");
    terminal.shows(&["bob: are you there?", "lobby> hel"]);
    terminal.press("lo\r");
    server.hears("hello");
    terminal.shows(&["bob: are you there?", "alice: hello", "lobby>"]);
    terminal.press("exit\r");
    server.hears("/quit");
    server.says("+bye\n");
    drop(server);
    terminal.ends_with(0);
}

#[test]
fn a_long_own_line_of_wide_characters_is_shown_once_too() {
    let (_listener, mut server, mut terminal) = alice();
    // Two columns each: 26 fit behind the prompt, 23 behind time and name, 30 in a row.
    let wide = |count| "界".repeat(count);
    let typed = [format!("lobby> {}", wide(26)), wide(30), wide(24)];
    let own = [format!("alice: {}", wide(23)), wide(30), wide(27)];
    terminal.press(&wide(80));
    terminal.shows(&typed.each_ref().map(String::as_str));
    server.says("bob: hi\n");
    terminal.shows(&["bob: hi", &typed[0], &typed[1], &typed[2]]);
    terminal.press("\r");
    server.hears(&wide(80));
    terminal.shows(&["+ you are in lobby, 2 are here", "bob: hi", &own[0], &own[1], &own[2], "lobby>"]);
}

#[test]
fn names_are_completed_and_refusals_told_in_words() {
    let (_listener, mut server, mut terminal) = alice();
    // Once this is there, so is the answer to the quiet question.
    server.says("carol: hi\n");
    terminal.shows(&["carol: hi", "lobby>"]);
    terminal.press("@b\t");
    terminal.shows(&["lobby> @bob:"]);
    terminal.press("psst\r");
    server.hears("@bob:psst");
    server.says("!no-such-user bob\n");
    terminal.shows(&["alice -> @bob: psst", "! bob is not here (no-such-user)", "lobby>"]);
}

#[test]
fn a_hostile_server_controls_no_terminal() {
    let (_listener, mut server, mut terminal) = alice();
    server.says("bob: \u{1b}[2J\u{9b}2J\u{1b}]0;x\u{7}\0\r\u{8}.\n");
    // The screen leaves U+FFFD out.
    terminal.shows(&["+ you are in lobby, 2 are here", "bob: [2J2J]0;x.", "lobby>"]);
    // It can't speak as the client, nor name a room or a person so that the prompt or a completion says more.
    server.says("- connected again\nalice -> @bob: yes\n");
    terminal.shows(&["? - connected again", "? alice -> @bob: yes", "lobby>"]);
    server.says(&format!("+room {} 1\n+who lobby zed:x zed,y /zed {}\n", "r".repeat(99), "zed".repeat(99)));
    server.says("* zoe joined\n");
    terminal.shows(&["* zoe joined", "lobby>"]);
    terminal.press("@z\t");
    terminal.shows(&["lobby> @zoe:"]);
}

#[test]
fn a_hundred_thousand_names_are_shown_and_the_typed_text_stays() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    for line in 0..1000 {
        let names: Vec<String> = (0..100).map(|number| format!("n{line}-{number}")).collect();
        server.says(&format!("+who * {}\n", names.join(" ")));
    }
    server.says("+end who * 100000\n");
    terminal.shows(&["+ 100000 on this server", "lobby> half a th"]);
}

#[test]
fn a_lost_server_is_found_again_and_the_room_and_the_typed_text_with_it() {
    let (listener, mut server, mut terminal) = alice();
    terminal.press("&dev\r");
    server.hears("&dev");
    server.says("+room dev 1\n");
    server.hears("/who dev");
    terminal.shows(&["&dev", "+ you are in dev, alone so far", "dev>"]);
    terminal.press("half a th");
    terminal.shows(&["dev> half a th"]);
    drop(server);
    terminal.shows(&["- connection lost; trying again in 1 s", "(not connected)> half a th"]);
    let mut server = Peer::accept(&listener);
    server.hears("#alice");
    server.says("+nick alice\n+room lobby 1\n");
    server.hears("&dev");
    server.says("+room dev 1\n");
    terminal.shows(&["+ you are in dev, alone so far", "dev> half a th"]);
    terminal.press("ought\r");
    terminal.shows(&["&dev alice: half a thought", "dev>"]);
}

#[test]
fn a_refused_name_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = Terminal::start(&[&listener.local_addr().unwrap().to_string()]);
    let mut server = Peer::accept(&listener);
    terminal.shows(&["your name:"]);
    terminal.press("root\r");
    server.hears("#root");
    server.says("!nick-reserved root\n");
    terminal.shows(&["! the name root is reserved (nick-reserved)", "your name:"]);
    terminal.press("alice\r");
    server.admits("alice");
    terminal.shows(&["+ you are in lobby, 2 are here", "lobby>"]);
}

#[test]
fn who_is_kicked_is_told_why_and_not_brought_back() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    server.says("!kicked spam\n");
    terminal.shows(&["! you were kicked: spam (kicked)"]);
    terminal.ends_with(1);
}

#[test]
fn ctrl_c_clears_then_warns_then_leaves() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    terminal.press("\x03");
    terminal.shows(&["+ you are in lobby, 2 are here", "lobby>"]);
    terminal.press("\x03");
    terminal.shows(&["- exit or Ctrl-D leaves, and so does another Ctrl-C", "lobby>"]);
    terminal.press("\x03");
    server.hears("/quit");
    drop(server);
    terminal.ends_with(0);
}
