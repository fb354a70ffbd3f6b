//! The talk with the server beside the typing: one thread reads and reconnects, one writes, so that neither a slow server
//! nor a large paste ever holds up the keyboard, or the reading that a server may wait for before it reads on.

use super::Options;
use super::address::Address;
use super::backoff::Backoff;
use super::connection::{self, Lines};
use super::line::Line;
use super::roster::MAX_ROOMS;
use super::screen::Screen;
use super::session::{Session, Then, Wants};
use super::view::View;
use rustix::process::{Signal, getpid, kill_process};
use std::net::TcpStream;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// How often a wait looks for Ctrl-C, and a reader of lines is told again that all is over.
const GLANCE: Duration = Duration::from_millis(100);

/// Lines that may wait to be written before no more are sent but what the user typed: more than there are rooms to be in
/// again after a lost connection.
const UNWRITTEN: usize = 2 * MAX_ROOMS;

/// The talk, as the terminal sees it. Clones are the same talk.
#[derive(Clone)]
pub struct Talk {
    shared: Arc<Shared>,
}

/// How the talk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The user left.
    Bye,
    /// The server sent the user away; the rows that tell why, not shown yet.
    SentAway(String),
}

struct Shared {
    state: Mutex<State>,
    /// Something of `state` is other than it was.
    changed: Condvar,
}

#[derive(Default)]
pub struct State {
    session: Session,
    /// To the thread that writes; `None` while there is no connection.
    outgoing: Option<Sender<String>>,
    /// Lines that this thread has yet to write.
    unwritten: Arc<AtomicUsize>,
    /// The user is leaving: the end of the connection is what is wished.
    leaving: bool,
    ended: Option<Ended>,
    /// The prompt behind which a line is being typed.
    shown: Option<String>,
    /// How often the reader of lines was interrupted for the sake of another prompt.
    nudges: u64,
    /// There is a thread that interrupts it until the prompt is right.
    nudging: bool,
}

/// The session under its lock.
pub struct SessionRef<'a>(MutexGuard<'a, State>);

impl Deref for SessionRef<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0.session
    }
}

/// Goes on talking over `stream`, in the background.
pub fn start(options: &Options, stream: TcpStream, screen: Screen, view: Arc<View>) -> Talk {
    let state = State { session: Session::new(options.nick.clone()), ..State::default() };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let talk = Talk { shared: Arc::clone(&shared) };
    let backoff = Backoff::new(fastrand::Rng::new());
    let network = Network { shared, screen, view, address: options.address.clone(), backoff };
    talk.shared.connected(&stream, &network.screen, &network.view);
    thread::spawn(move || network.run(stream));
    talk
}

impl Talk {
    /// What is known.
    #[must_use]
    pub fn session(&self) -> SessionRef<'_> {
        SessionRef(self.shared.lock())
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.shared.lock().ended.clone()
    }

    /// A line is about to be typed: behind this prompt, and with this number for [`end_line`](Talk::end_line).
    #[must_use]
    pub fn begin_line(&self) -> (String, u64) {
        let mut state = self.shared.lock();
        let prompt = state.session.prompt();
        state.shown = Some(prompt.clone());
        (prompt, state.nudges)
    }

    /// No line is being typed any more. True if it was interrupted for the sake of another prompt and not by the user.
    #[must_use]
    pub fn end_line(&self, nudges: u64) -> bool {
        let mut state = self.shared.lock();
        state.shown = None;
        state.nudges != nudges
    }

    /// Registers by this name, now or when there is a connection.
    pub fn choose(&self, name: &str) {
        let mut state = self.shared.lock();
        if let Some(line) = state.session.choose(name) {
            state.send(line);
        }
    }

    /// Sends a line; false if there is no connection any more.
    pub fn send(&self, line: &str) -> bool {
        self.shared.lock().send(line.to_owned())
    }

    /// Waits until there is something to ask the user for. True if `interrupted` before that.
    #[must_use]
    pub fn wait(&self, interrupted: &AtomicBool) -> bool {
        interrupted.store(false, Ordering::Relaxed);
        let mut state = self.shared.lock();
        while state.session.wants() == Wants::Patience && state.ended.is_none() {
            if interrupted.swap(false, Ordering::Relaxed) {
                return true;
            }
            state = self.shared.changed.wait_timeout(state, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Takes leave by `line` and gives the server `patience` to answer.
    pub fn leave(&self, line: &str, patience: Duration) {
        let mut state = self.shared.lock();
        state.leaving = true;
        self.shared.changed.notify_all();
        if state.send(line.to_owned()) {
            let going_on = |state: &mut State| state.ended.is_none();
            drop(self.shared.changed.wait_timeout_while(state, patience, going_on));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on lines go to `stream`, the registration first.
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

    /// Has the line that is being typed shown behind the prompt of now. A signal that comes before rustyline listens has no
    /// effect, so it is repeated until the prompt is right.
    fn nudge(self: &Arc<Shared>, screen: &Screen) {
        // One such thread is enough, however often the server changes the prompt.
        if self.interrupt_if_stale(screen) && !std::mem::replace(&mut self.lock().nudging, true) {
            let (shared, screen) = (Arc::clone(self), screen.clone());
            thread::spawn(move || {
                loop {
                    thread::sleep(GLANCE);
                    if !shared.interrupt_if_stale(&screen) {
                        break;
                    }
                }
                shared.lock().nudging = false;
            });
        }
    }

    /// Interrupts the typing if the prompt is another by now. Under the lock, so that the signal has come before whoever
    /// counts it goes on.
    fn interrupt_if_stale(&self, screen: &Screen) -> bool {
        let mut state = self.lock();
        let stale = state.shown.as_ref().is_some_and(|shown| *shown != state.session.prompt());
        if stale {
            state.nudges += 1;
            screen.shut();
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

    /// Sends what follows from a line of the server, unless much is to be written already: so a server that provokes
    /// lines and reads none fills no memory.
    fn send_unasked(&self, line: String) {
        if self.unwritten.load(Ordering::Relaxed) < UNWRITTEN {
            self.send(line);
        }
    }
}

/// The thread that reads, and connects again when there is nothing left to read.
struct Network {
    shared: Arc<Shared>,
    screen: Screen,
    view: Arc<View>,
    address: Address,
    backoff: Backoff,
}

/// What reading led to.
struct Heard {
    /// Rows to show.
    rows: Vec<String>,
    /// The last thing that followed other than going on.
    then: Then,
}

impl Network {
    fn run(mut self, mut stream: TcpStream) {
        loop {
            let parted = self.converse(&stream);
            connection::abandon(&stream);
            if matches!(parted, Parted::SentAway(_)) {
                self.screen.shut();
            }
            let mut state = self.shared.lock();
            state.session.lost();
            state.outgoing = None;
            state.ended = match parted {
                Parted::SentAway(ref reason) => Some(Ended::SentAway(reason.clone())),
                _ if state.leaving => Some(Ended::Bye),
                _ => None,
            };
            let ended = state.ended.is_some();
            self.shared.changed.notify_all();
            drop(state);
            if ended {
                return wake_reader();
            }
            self.shared.nudge(&self.screen);
            let Some(next) = self.reconnect(&parted) else {
                return;
            };
            stream = next;
            self.shared.connected(&stream, &self.screen, &self.view);
        }
    }

    /// Hears the server until the connection ends, or has to.
    fn converse(&mut self, stream: &TcpStream) -> Parted {
        let mut lines = Lines::new(stream);
        loop {
            let mut heard = Heard { rows: Vec::new(), then: Then::GoOn };
            let read = lines.read(|line| self.hear(line, &mut heard));
            if heard.then == Then::End {
                return Parted::SentAway(heard.rows.join("\n"));
            }
            if !heard.rows.is_empty() {
                self.screen.show_patiently(&heard.rows.join("\n"));
            }
            self.shared.nudge(&self.screen);
            match (heard.then, read) {
                (Then::TryAgain, _) => return Parted::NameTaken,
                (_, Ok(true)) => {}
                (_, Ok(false)) => return Parted::Lost(None),
                (_, Err(error)) => return Parted::Lost(Some(connection::reason(&error))),
            }
        }
    }

    fn hear(&mut self, raw: &str, heard: &mut Heard) {
        if matches!(heard.then, Then::End | Then::TryAgain) {
            return;
        }
        let line = Line::parse(raw);
        let mut state = self.shared.lock();
        let follows = state.session.hear(&line);
        for line in follows.send {
            state.send_unasked(line);
        }
        self.shared.changed.notify_all();
        drop(state);
        let now = SystemTime::now();
        if follows.show {
            heard.rows.extend(self.view.line(now, raw, &line));
        }
        match follows.then {
            Then::Settled => self.backoff.reset(),
            Then::Rename => heard.rows.push(self.view.remark(now, "press Enter to choose another name")),
            Then::GoOn | Then::TryAgain | Then::End => {}
        }
        if follows.then != Then::GoOn {
            heard.then = follows.then;
        }
    }

    /// Tries until the server is there again; `None` if the user leaves meanwhile.
    fn reconnect(&mut self, parted: &Parted) -> Option<TcpStream> {
        let mut why = match parted {
            Parted::Lost(Some(reason)) => format!("connection lost ({reason})"),
            Parted::NameTaken => "perhaps your lost connection still has that name".to_owned(),
            Parted::Lost(None) | Parted::SentAway(_) => "connection lost".to_owned(),
        };
        loop {
            // A server that stays away for hours is not worth a row every half a minute.
            let tell = !self.backoff.is_longest();
            let pause = self.backoff.pause();
            if tell {
                let seconds = pause.as_secs_f64().ceil();
                self.remark(&format!("{why}; trying again in {seconds} s"));
            }
            if self.leaves_within(pause) {
                return None;
            }
            match connection::connect(&self.address) {
                Ok(stream) => {
                    self.remark("connected again");
                    return Some(stream);
                }
                Err(error) => why = format!("no connection ({})", connection::reason(&error)),
            }
        }
    }

    fn leaves_within(&self, pause: Duration) -> bool {
        let staying = |state: &mut State| !state.leaving;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), pause, staying);
        waited.unwrap_or_else(PoisonError::into_inner).0.leaving
    }

    fn remark(&self, text: &str) {
        self.screen.show(&self.view.remark(SystemTime::now(), text));
    }
}

/// Why a connection ended.
enum Parted {
    /// The server closed it, or it broke for this reason.
    Lost(Option<String>),
    /// The name is taken, perhaps still by the connection before this one.
    NameTaken,
    /// The server doesn't want this user; the rows that tell why.
    SentAway(String),
}

/// The thread that writes, until its connection is replaced or broken.
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
            connection::abandon(stream);
            let unsent = std::iter::once(line)
                .chain(lines.try_iter())
                .filter(|line| !line.starts_with("/who "))
                .count();
            if unsent > 0 {
                let text = format!("the last lines typed, {unsent} in number, were not sent");
                screen.show(&view.error(SystemTime::now(), &text));
            }
            return;
        }
    }
}

/// Rustyline can't be told to stop reading, but SIGINT ends it as Ctrl-C does (its handler is there while it reads). Shut the
/// gate before: as with Enter, nothing may be shown from then on until the typed line is replaced.
fn interrupt_reader() {
    // There is no reason for which a process can't signal itself.
    let _ = kill_process(getpid(), Signal::INT);
}

/// Tells the reader of lines that all is over. The signal may come just before reading begins and be missed, so it is
/// repeated for as long as this process lasts.
fn wake_reader() {
    loop {
        interrupt_reader();
        thread::sleep(GLANCE);
    }
}
