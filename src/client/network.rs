//! The network threads: one reads and reconnects, one writes. So a slow server or a large paste blocks neither the
//! keyboard nor reading, which a server may need before it reads on.

use super::Options;
use super::address::Address;
use super::backoff::Backoff;
use super::connection::{self, Lines};
use super::line::Line;
use super::roster::MAX_ROOMS;
use super::screen::Screen;
use super::session::{Action, Awaiting, Session};
use super::view::View;
use rustix::process::{Signal, getpid, kill_process};
use std::net::TcpStream;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Interval at which a wait checks for Ctrl-C, and at which SIGINT to the line reader is repeated.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum count of unwritten lines; above it, only lines that the user typed are sent. It exceeds the count of rooms
/// to join again after reconnecting.
const MAX_UNWRITTEN: usize = 2 * MAX_ROOMS;

/// A handle of the network threads for the terminal. Clones share the threads.
#[derive(Clone)]
pub struct NetworkHandle {
    shared: Arc<Shared>,
}

/// Why the client ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The user quit.
    Quit,
    /// An operator kicked the user. The rows with the reason, not shown yet.
    Kicked(String),
}

struct Shared {
    state: Mutex<State>,
    /// Signalled after every change of `state`.
    changed: Condvar,
}

#[derive(Default)]
pub struct State {
    session: Session,
    /// The queue of the writing thread; `None` without a connection.
    outgoing: Option<Sender<String>>,
    /// Count of lines in this queue.
    unwritten: Arc<AtomicUsize>,
    /// The user quits: the end of the connection ends the client.
    quitting: bool,
    end: Option<EndReason>,
    /// The prompt of the line being edited; `None` if no line is edited.
    shown_prompt: Option<String>,
    /// Count of interruptions of the line reader to change its prompt.
    interrupts: u64,
    /// A thread interrupts the line reader until its prompt is current.
    refreshing: bool,
}

/// The locked session.
pub struct SessionRef<'a>(MutexGuard<'a, State>);

impl Deref for SessionRef<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0.session
    }
}

/// Starts the network threads for the connection `stream`.
pub fn start(options: &Options, stream: TcpStream, screen: Screen, view: Arc<View>) -> NetworkHandle {
    let state = State { session: Session::new(options.nick.clone()), ..State::default() };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let handle = NetworkHandle { shared: Arc::clone(&shared) };
    let backoff = Backoff::new(fastrand::Rng::new());
    let reader = Reader { shared, screen, view, address: options.address.clone(), backoff };
    handle.shared.connected(&stream, &reader.screen, &reader.view);
    thread::spawn(move || reader.run(stream));
    handle
}

impl NetworkHandle {
    /// Locks and returns the session.
    #[must_use]
    pub fn session(&self) -> SessionRef<'_> {
        SessionRef(self.shared.lock())
    }

    /// Returns why the client ends; `None` while it runs.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.shared.lock().end.clone()
    }

    /// Begins the editing of a line. Returns its prompt, and the count of interruptions for
    /// [`end_line`](NetworkHandle::end_line).
    #[must_use]
    pub fn begin_line(&self) -> (String, u64) {
        let mut state = self.shared.lock();
        let prompt = state.session.prompt();
        state.shown_prompt = Some(prompt.clone());
        (prompt, state.interrupts)
    }

    /// Ends the editing of a line. Returns whether it was interrupted to change the prompt, and not by the user.
    #[must_use]
    pub fn end_line(&self, interrupts: u64) -> bool {
        let mut state = self.shared.lock();
        state.shown_prompt = None;
        state.interrupts != interrupts
    }

    /// Registers with this name, now or after connecting.
    pub fn choose_nick(&self, name: &str) {
        let mut state = self.shared.lock();
        if let Some(line) = state.session.choose_nick(name) {
            state.send(line);
        }
    }

    /// Sends a line. Returns false if there is no connection.
    pub fn send(&self, line: &str) -> bool {
        self.shared.lock().send(line.to_owned())
    }

    /// Waits until the session needs input from the user. Returns whether SIGINT came before that.
    #[must_use]
    pub fn wait(&self, interrupted: &AtomicBool) -> bool {
        interrupted.store(false, Ordering::Relaxed);
        let mut state = self.shared.lock();
        while state.session.awaiting() == Awaiting::Server && state.end.is_none() {
            if interrupted.swap(false, Ordering::Relaxed) {
                return true;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, POLL_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        false
    }

    /// Sends `line`, which quits, and waits up to `timeout` for the server to close the connection.
    pub fn quit(&self, line: &str, timeout: Duration) {
        let mut state = self.shared.lock();
        state.quitting = true;
        self.shared.changed.notify_all();
        if state.send(line.to_owned()) {
            let is_running = |state: &mut State| state.end.is_none();
            drop(self.shared.changed.wait_timeout_while(state, timeout, is_running));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles a new connection: starts its writing thread and sends the registration.
    fn connected(&self, stream: &TcpStream, screen: &Screen, view: &Arc<View>) {
        let mut state = self.lock();
        state.outgoing = stream.try_clone().ok().map(|stream| {
            let (outgoing, lines) = channel();
            let (screen, view) = (screen.clone(), Arc::clone(view));
            state.unwritten = Arc::default();
            let unwritten = Arc::clone(&state.unwritten);
            thread::spawn(move || write_lines(&stream, &lines, &unwritten, &screen, &view));
            outgoing
        });
        if let Some(line) = state.session.connected() {
            state.send(line);
        }
        self.changed.notify_all();
    }

    /// Interrupts the line reader if its prompt is not current. Before rustyline's handler is installed SIGINT has no
    /// effect, so a thread repeats it until the prompt is current.
    fn refresh_prompt(self: &Arc<Shared>, screen: &Screen) {
        // At most one thread, however often the server changes the prompt.
        if self.interrupt_if_stale(screen) && !std::mem::replace(&mut self.lock().refreshing, true) {
            let (shared, screen) = (Arc::clone(self), screen.clone());
            thread::spawn(move || {
                loop {
                    thread::sleep(POLL_INTERVAL);
                    if !shared.interrupt_if_stale(&screen) {
                        break;
                    }
                }
                shared.lock().refreshing = false;
            });
        }
    }

    /// Interrupts the line reader if its prompt is not current, and returns whether it did. The lock is held during the
    /// signal, so that `end_line` counts it only after it was sent.
    fn interrupt_if_stale(&self, screen: &Screen) -> bool {
        let mut state = self.lock();
        let stale = state.shown_prompt.as_ref().is_some_and(|shown| *shown != state.session.prompt());
        if stale {
            state.interrupts += 1;
            screen.close();
            interrupt_reader();
        }
        stale
    }
}

impl State {
    fn send(&self, line: String) -> bool {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        self.outgoing.as_ref().is_some_and(|outgoing| outgoing.send(line).is_ok())
    }

    /// Sends a line that the session generated for a received line. It is dropped above MAX_UNWRITTEN, which bounds the
    /// memory that a server can use by provoking lines and reading none.
    fn send_automatic(&self, line: String) {
        if self.unwritten.load(Ordering::Relaxed) < MAX_UNWRITTEN {
            self.send(line);
        }
    }
}

/// The thread that reads, and reconnects after the end of a connection.
struct Reader {
    shared: Arc<Shared>,
    screen: Screen,
    view: Arc<View>,
    address: Address,
    backoff: Backoff,
}

/// The effects of the lines of one read.
struct ReadEffects {
    /// Rows to show.
    rows: Vec<String>,
    /// The last action other than [`Action::Continue`].
    action: Action,
}

impl Reader {
    fn run(mut self, mut stream: TcpStream) {
        loop {
            let cause = self.read_until_end(&stream);
            connection::shutdown(&stream);
            if matches!(cause, Disconnect::Kicked(_)) {
                self.screen.close();
            }
            let mut state = self.shared.lock();
            state.session.lost();
            state.outgoing = None;
            state.end = match cause {
                Disconnect::Kicked(ref reason) => Some(EndReason::Kicked(reason.clone())),
                _ if state.quitting => Some(EndReason::Quit),
                _ => None,
            };
            let has_ended = state.end.is_some();
            self.shared.changed.notify_all();
            drop(state);
            if has_ended {
                return interrupt_forever();
            }
            self.shared.refresh_prompt(&self.screen);
            let Some(next) = self.reconnect(&cause) else {
                return;
            };
            stream = next;
            self.shared.connected(&stream, &self.screen, &self.view);
        }
    }

    /// Reads until the connection ends or must be closed. Returns why.
    fn read_until_end(&mut self, stream: &TcpStream) -> Disconnect {
        let mut lines = Lines::new(stream);
        loop {
            let mut effects = ReadEffects { rows: Vec::new(), action: Action::Continue };
            let read = lines.read(|line| self.handle_line(line, &mut effects));
            if effects.action == Action::Stop {
                return Disconnect::Kicked(effects.rows.join("\n"));
            }
            if !effects.rows.is_empty() {
                self.screen.show_blocking(&effects.rows.join("\n"));
            }
            self.shared.refresh_prompt(&self.screen);
            match (effects.action, read) {
                (Action::Reconnect, _) => return Disconnect::NameTaken,
                (_, Ok(true)) => {}
                (_, Ok(false)) => return Disconnect::Lost(None),
                (_, Err(error)) => return Disconnect::Lost(Some(connection::error_text(&error))),
            }
        }
    }

    fn handle_line(&mut self, raw: &str, effects: &mut ReadEffects) {
        if matches!(effects.action, Action::Stop | Action::Reconnect) {
            return;
        }
        let line = Line::parse(raw);
        let mut state = self.shared.lock();
        let handled = state.session.handle_line(&line);
        for line in handled.send {
            state.send_automatic(line);
        }
        self.shared.changed.notify_all();
        drop(state);
        let now = SystemTime::now();
        if handled.show {
            effects.rows.extend(self.view.line(now, raw, &line));
        }
        match handled.action {
            Action::ResetBackoff => self.backoff.reset(),
            Action::AskName => effects.rows.push(self.view.status(now, "press Enter to choose another name")),
            Action::Continue | Action::Reconnect | Action::Stop => {}
        }
        if handled.action != Action::Continue {
            effects.action = handled.action;
        }
    }

    /// Reconnects, with backoff. Returns `None` if the user quits before.
    fn reconnect(&mut self, cause: &Disconnect) -> Option<TcpStream> {
        let mut problem = match cause {
            Disconnect::Lost(Some(reason)) => format!("connection lost ({reason})"),
            Disconnect::NameTaken => "the name is taken, perhaps by the lost connection".to_owned(),
            Disconnect::Lost(None) | Disconnect::Kicked(_) => "connection lost".to_owned(),
        };
        loop {
            // At the maximum delay no more rows are shown: the server may be down for hours.
            let is_shown = !self.backoff.is_at_max();
            let delay = self.backoff.next_delay();
            if is_shown {
                let seconds = delay.as_secs_f64().ceil();
                self.show_status(&format!("{problem}; trying again in {seconds} s"));
            }
            if self.quits_within(delay) {
                return None;
            }
            match connection::connect(&self.address) {
                Ok(stream) => {
                    self.show_status("connected again");
                    return Some(stream);
                }
                Err(error) => problem = format!("no connection ({})", connection::error_text(&error)),
            }
        }
    }

    fn quits_within(&self, delay: Duration) -> bool {
        let is_running = |state: &mut State| !state.quitting;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), delay, is_running);
        waited.unwrap_or_else(PoisonError::into_inner).0.quitting
    }

    fn show_status(&self, text: &str) {
        self.screen.show(&self.view.status(SystemTime::now(), text));
    }
}

/// Why a connection ended.
enum Disconnect {
    /// The server closed it, or it failed with this error.
    Lost(Option<String>),
    /// The name is taken, perhaps by the former connection.
    NameTaken,
    /// An operator kicked the user. The rows with the reason.
    Kicked(String),
}

/// The writing thread: writes `lines` until the connection is replaced or fails.
fn write_lines(
    stream: &TcpStream,
    lines: &Receiver<String>,
    unwritten: &AtomicUsize,
    screen: &Screen,
    view: &View,
) {
    while let Ok(line) = lines.recv() {
        unwritten.fetch_sub(1, Ordering::Relaxed);
        if connection::send_line(stream, &line).is_err() {
            connection::shutdown(stream);
            let unsent = std::iter::once(line)
                .chain(lines.try_iter())
                .filter(|line| !line.starts_with("/who "))
                .count();
            if unsent > 0 {
                let text = format!("lines not sent: {unsent}; send them again");
                screen.show(&view.error(SystemTime::now(), &text));
            }
            return;
        }
    }
}

/// Interrupts the line reader: rustyline has no call for that, but SIGINT ends its read as Ctrl-C does (its handler is
/// installed during the read). Close the gate before: as after Enter, no row may be printed until the typed line is
/// replaced.
fn interrupt_reader() {
    // A process may always signal itself.
    let _ = kill_process(getpid(), Signal::INT);
}

/// Ends the line reader when the client ends. A signal just before a read begins is missed, so it is repeated until the
/// process exits.
fn interrupt_forever() {
    loop {
        interrupt_reader();
        thread::sleep(POLL_INTERVAL);
    }
}
