//! `redpoll chat` on a pseudo terminal: a terminal emulator displays the client's output, and each step waits until the
//! screen shows the expected rows. The server is inside the test.

#![cfg(all(feature = "chat", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

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

/// Long enough for the slowest machine; only a failed test waits this long.
const TIMEOUT: Duration = Duration::from_secs(60);

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

    /// Returns the rows of the screen without times and without empty rows at the end.
    fn rows(&self) -> Vec<String> {
        let rows = self.screen.screen().rows(0, COLUMNS.get());
        let mut rows: Vec<String> = rows.map(|row| untimed(&row).trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    /// Waits until the last rows are `expected`.
    fn shows(&mut self, expected: &[&str]) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.rows().ends_with(&expected.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>()) {
            let remaining = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(remaining) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("expected at the end: {expected:#?}, on the screen: {:#?}", self.rows()),
            }
        }
    }

    fn exits_with(mut self, code: i32) {
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }
}

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Peer { stream, lines }
    }

    fn sends(&mut self, lines: &str) {
        self.stream.write_all(lines.as_bytes()).unwrap();
    }

    fn receives(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{expected}\n"));
    }

    /// Registers `nick`, and answers the automatic `/who` after that.
    fn registers(&mut self, nick: &str) {
        self.receives(&format!("#{nick}"));
        self.sends(&format!("+nick {nick}\n+room lobby 2\n"));
        self.receives("/who lobby");
        self.sends(&format!("+who lobby {nick} bob\n+end who lobby 2\n"));
    }
}

/// Returns the row without the time at its beginning.
fn untimed(row: &str) -> &str {
    let time = row.as_bytes();
    if time.len() > 5 && time[2] == b':' && time[..2].iter().all(u8::is_ascii_digit) {
        &row[6..]
    } else {
        row
    }
}

/// Reads the output of a terminal from a thread. The read fails when no process has the terminal open.
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

/// Starts a client on a terminal, and registers it as alice.
fn alice() -> (TcpListener, Peer, Terminal) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::start(&[&address, "--nick", "alice"]);
    let mut server = Peer::accept(&listener);
    server.registers("alice");
    terminal.shows(&["+ you are alice", "+ you are in lobby, 2 are here", "lobby>"]);
    (listener, server, terminal)
}

#[test]
fn received_line_keeps_typed_text() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("hel");
    terminal.shows(&["lobby> hel"]);
    server.sends("bob: are you there?\n");
    terminal.shows(&["bob: are you there?", "lobby> hel"]);
    terminal.press("lo\r");
    server.receives("hello");
    terminal.shows(&["bob: are you there?", "alice: hello", "lobby>"]);
    terminal.press("exit\r");
    server.receives("/quit");
    server.sends("+bye\n");
    drop(server);
    terminal.exits_with(0);
}

#[test]
fn long_local_echo_is_shown_once() {
    let (_listener, mut server, mut terminal) = alice();
    // Two columns each: 26 fit after the prompt, 23 after time and name, 30 in a row.
    let wide = |count| "界".repeat(count);
    let typed = [format!("lobby> {}", wide(26)), wide(30), wide(24)];
    let echo = [format!("alice: {}", wide(23)), wide(30), wide(27)];
    terminal.press(&wide(80));
    terminal.shows(&typed.each_ref().map(String::as_str));
    server.sends("bob: hi\n");
    terminal.shows(&["bob: hi", &typed[0], &typed[1], &typed[2]]);
    terminal.press("\r");
    server.receives(&wide(80));
    terminal.shows(&["+ you are in lobby, 2 are here", "bob: hi", &echo[0], &echo[1], &echo[2], "lobby>"]);
}

#[test]
fn completes_names_and_explains_refusals() {
    let (_listener, mut server, mut terminal) = alice();
    // When this line is shown, the answer to the automatic `/who` has been handled.
    server.sends("carol: hi\n");
    terminal.shows(&["carol: hi", "lobby>"]);
    terminal.press("@b\t");
    terminal.shows(&["lobby> @bob:"]);
    terminal.press("psst\r");
    server.receives("@bob:psst");
    server.sends("!no-such-user bob\n");
    terminal.shows(&["alice -> @bob: psst", "! bob is not here (no-such-user)", "lobby>"]);
}

#[test]
fn hostile_server_cannot_control_terminal() {
    let (_listener, mut server, mut terminal) = alice();
    server.sends("bob: \u{1b}[2J\u{9b}2J\u{1b}]0;x\u{7}\0\r\u{8}.\n");
    // The emulator does not display U+FFFD.
    terminal.shows(&["+ you are in lobby, 2 are here", "bob: [2J2J]0;x.", "lobby>"]);
    // It can't imitate the client, nor inject text through the name of a room or user into the prompt or a completion.
    server.sends("- connected again\nalice -> @bob: yes\n");
    terminal.shows(&["? - connected again", "? alice -> @bob: yes", "lobby>"]);
    server.sends(&format!("+room {} 1\n+who lobby zed:x zed,y /zed {}\n", "r".repeat(99), "zed".repeat(99)));
    server.sends("* zoe joined\n");
    terminal.shows(&["* zoe joined", "lobby>"]);
    terminal.press("@z\t");
    terminal.shows(&["lobby> @zoe:"]);
}

#[test]
fn hundred_thousand_names_keep_typed_text() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    for line in 0..1000 {
        let names: Vec<String> = (0..100).map(|number| format!("n{line}-{number}")).collect();
        server.sends(&format!("+who * {}\n", names.join(" ")));
    }
    server.sends("+end who * 100000\n");
    terminal.shows(&["+ 100000 on this server", "lobby> half a th"]);
}

#[test]
fn reconnecting_restores_room_and_typed_text() {
    let (listener, mut server, mut terminal) = alice();
    terminal.press("&dev\r");
    server.receives("&dev");
    server.sends("+room dev 1\n");
    server.receives("/who dev");
    terminal.shows(&["&dev", "+ you are in dev, alone so far", "dev>"]);
    terminal.press("half a th");
    terminal.shows(&["dev> half a th"]);
    drop(server);
    terminal.shows(&["- connection lost; trying again in 1 s", "(not connected)> half a th"]);
    let mut server = Peer::accept(&listener);
    server.receives("#alice");
    server.sends("+nick alice\n+room lobby 1\n");
    server.receives("&dev");
    server.sends("+room dev 1\n");
    terminal.shows(&["+ you are in dev, alone so far", "dev> half a th"]);
    terminal.press("ought\r");
    terminal.shows(&["&dev alice: half a thought", "dev>"]);
}

#[test]
fn refused_name_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = Terminal::start(&[&listener.local_addr().unwrap().to_string()]);
    let mut server = Peer::accept(&listener);
    terminal.shows(&["your name:"]);
    terminal.press("root\r");
    server.receives("#root");
    server.sends("!nick-reserved root\n");
    terminal.shows(&["! root is reserved; choose another (nick-reserved)", "your name:"]);
    terminal.press("alice\r");
    server.registers("alice");
    terminal.shows(&["+ you are in lobby, 2 are here", "lobby>"]);
}

#[test]
fn kick_shows_reason_and_exits() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    server.sends("!kicked spam\n");
    terminal.shows(&["! you were kicked: spam (kicked)"]);
    terminal.exits_with(1);
}

#[test]
fn ctrl_c_clears_warns_and_quits() {
    let (_listener, mut server, mut terminal) = alice();
    terminal.press("half a th");
    terminal.shows(&["lobby> half a th"]);
    terminal.press("\x03");
    terminal.shows(&["+ you are in lobby, 2 are here", "lobby>"]);
    terminal.press("\x03");
    terminal.shows(&["- to leave: exit, Ctrl-D or Ctrl-C again", "lobby>"]);
    terminal.press("\x03");
    server.receives("/quit");
    drop(server);
    terminal.exits_with(0);
}
